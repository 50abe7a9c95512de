"""The evaluation in ball arithmetic: its rings, and the stored digits made anew."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

flint = pytest.importorskip("flint")

from refode import reference  # noqa: E402
from refode.reference import certify, formulas, rings  # noqa: E402
from refode.reference.balls import evaluate  # noqa: E402
from refode.reference.case_list import cases  # noqa: E402
from refode.reference.files import _folder, text  # noqa: E402
from refode.reference.paths import leaves, nested  # noqa: E402

CASES = {case["name"]: case for case in cases()}
FUNCTIONS = ("exp", "tanh", "sigmoid", "softplus", "log_2_cosh", "inverse", "log", "sine", "cosine")


@pytest.fixture(autouse=True)
def _precise():
    before, flint.ctx.prec = flint.ctx.prec, 256
    yield
    flint.ctx.prec = before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_series_of_a_function_are_its_taylor_series(name):
    function, x = getattr(rings, name), flint.arb("0.7")
    c = function(rings.Series((x, 1, 0, 0))).c
    step = flint.arb(2) ** -60  # f(x + h) - 2 f(x) + f(x - h) and the like
    f = [function(x + k * step) for k in (-2, -1, 0, 1, 2)]
    slopes = (
        (f[3] - f[1]) / (2 * step),
        (f[3] - 2 * f[2] + f[1]) / (2 * step**2),
        (f[4] - 2 * f[3] + 2 * f[1] - f[0]) / (12 * step**3),
    )
    for k, slope in enumerate(slopes, start=1):
        assert abs(c[k] - slope) < flint.arb(2) ** -60, k


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tape_over_series_has_the_second_derivative(name):
    function, tape = getattr(rings, name), rings.Tape()
    x = tape.variable(rings.Series((flint.arb("0.7"), 1)))
    (bar,) = tape.gradient(function(x) * x, [x])
    c = function(rings.Series((flint.arb("0.7"), 1, 0))).c
    u = flint.arb("0.7")
    assert (bar.c[0] - (c[0] + u * c[1])).contains(0)
    assert (bar.c[1] - (2 * c[1] + u * 2 * c[2])).contains(0)
    assert bar.c[1].rad() < 1e-60


def test_absolute_needs_a_proven_sign():
    third = flint.arb(1) / 3
    assert rings.absolute(-third).overlaps(third)
    assert rings.absolute(third) is third
    for kink in (0, third - third, flint.arb(0)):
        with pytest.raises(ArithmeticError, match="at a kink"):
            rings.absolute(kink)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (Fraction(1, 3), "3." + "3" * 24 + "e-1"),
        (Fraction(-2, 3), "-6." + "6" * 23 + "7e-1"),
        (Fraction(5, 2), "2.5"),
        (Fraction(-1, 16), "-6.25e-2"),
        (Fraction(120), "1.2e2"),
        (Fraction(10**30 - 1, 10**30), "1"),
        (Fraction(1), "1"),
        (Fraction(0), "0"),
    ],
)
def test_digits_are_rounded_to_nearest(number, expected):
    assert certify.digits(formulas.constant(number)) == expected


def test_digits_of_wide_enclosures_are_refused():
    third = flint.arb(1) / 3
    assert certify.digits(third - third) == "0"
    assert certify.digits(0) == "0"
    with pytest.raises(ArithmeticError, match="wider"):
        certify.digits(third + flint.arb(0, 1e-30))
    with pytest.raises(ArithmeticError, match="two different integers"):
        certify.digits(formulas.constant("1.5") + flint.arb("5e-25") + flint.arb(0, 1e-50))


def test_enclosures_are_narrower_than_promised():
    for name in ("ode-tsit5", "game-crowd-squared", "supervised-softmax-wide"):
        radii = [float(v.rad()) for v in leaves(evaluate(CASES[name])) if not isinstance(v, int)]
        assert 0.0 < max(radii) < 1e-60


def test_lower_precision_encloses_the_same_numbers(monkeypatch):
    from refode.reference import balls

    sharp = list(leaves(evaluate(CASES["flow-everything"])))
    monkeypatch.setattr(balls, "PRECISION", 64)
    wide = list(leaves(evaluate(CASES["flow-everything"])))
    for a, b in zip(sharp, wide, strict=True):
        assert isinstance(a, int) or b.overlaps(a)
    assert max(float(b.rad()) for b in wide if not isinstance(b, int)) > 1e-18


@pytest.mark.parametrize("name", reference.names())
def test_making_a_file_anew_gives_the_same_bytes(name):
    assert (
        text(certify.certified(CASES[name])).encode() == (_folder() / f"{name}.json").read_bytes()
    )


def test_the_module_writes_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(certify, "cases", lambda: [CASES["ode-line"]])
    certify.main(tmp_path / "new")
    (written,) = (tmp_path / "new").iterdir()
    assert written.read_bytes() == (_folder() / "ode-line.json").read_bytes()


def random_field(name, seed):
    """A case's field with its weights at random, at some z and t."""
    from refode.reference.cases import Draws, shapes

    draws, f = Draws(seed), CASES[name]["field"]

    def array(shape):
        drawn = draws.array(shape, 14)["data"]
        return nested([formulas.constant(v) for v in drawn], list(shape))

    return f, {k: array(shape) for k, shape in shapes(f).items()}, array((f["dim"],)), array(())


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in CASES
        if n
        in (
            "ode-affine-time",
            "ode-mlp",
            "ode-antisymmetric",
            "ode-hamiltonian",
            "game-crowd-deep",
            "game-transport",
        )
    ],
)
def test_estimates_along_the_axes_add_up_to_the_trace(name):
    f, w, z, t = random_field(name, 5)
    d, one, third = f["dim"], formulas.constant(1), formulas.constant("1/3")
    axes = [[one if i == j else 0 for i in range(d)] for j in range(d)]
    total = sum((formulas.estimate(f, w, z, t, e) for e in axes), formulas.constant(0))
    assert (total - formulas.trace(f, w, z, t)).contains(0)
    e = [third * (i + 1) for i in range(d)]  # off the axes: a quadratic form's parallelogram
    for axis in axes:
        both = [
            sum(
                formulas.estimate(f, w, z, t, [a + sign * b for a, b in zip(e, axis, strict=True)])
                for sign in (1, -1)
            )
        ]
        apart = formulas.estimate(f, w, z, t, e) + formulas.estimate(f, w, z, t, axis)
        assert (both[0] - 2 * apart).contains(0)
    step = formulas.constant("1/1000000000000000000000000")  # against a difference along e
    moved = [[a + sign * step * b for a, b in zip(z, e, strict=True)] for sign in (1, -1)]
    ends = [formulas.field(f)(w, at, t) for at in moved]
    slope = sum(b * (p - q) for b, p, q in zip(e, *ends, strict=True)) / (2 * step)
    assert abs(formulas.estimate(f, w, z, t, e) - slope) < 1e-40


@pytest.mark.parametrize(
    "basis", ["PiecewiseConstant 3", "PiecewiseLinear 4", "Legendre 4", "BSpline 6"]
)
def test_bases_and_their_stiffness(basis):
    """Against the package's own, which its tests hold to other truths."""
    from refode import bases
    from refode.reference.cases import basis as described

    b = described(basis)
    own = getattr(bases, b["type"])(b["J"])
    s = [Fraction(k, 17) for k in range(1, 17)]
    values = [[float(p) for p in formulas.basis(b, at, at)] for at in s]
    np.testing.assert_allclose(values, own.matrix([float(at) for at in s]).toarray(), atol=1e-15)
    S = [[float(p) for p in row] for row in formulas.stiffness(b)]
    np.testing.assert_allclose(S, own.stiffness().toarray(), atol=1e-13)
