"""Correct implementations at three precisions: their rounding, and how far they are from truth."""

from __future__ import annotations

import builtins
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
import tolerances as tol

from refode import reference
from refode.check import rounded as adapters
from refode.check.case import Case
from refode.check.outcome import EPS
from refode.check.protocol import ask
from refode.reference import arithmetic, formulas, rings
from refode.reference.rounded import (
    ARITHMETICS,
    evaluate,
    to_bfloat16,
    to_float32,
)

SOME = (
    "ode-mlp-sine",
    "ode-observations-verlet",
    "supervised-softmax",
    "flow-everything",
    "flow-hutchinson",
    "game-flow-density",
)


def largest_error(name: str, precision: str) -> tuple[float, float]:
    """Largest error over max|truth| in units of eps, and of the numbers themselves."""
    document = reference.case(name)
    found, truth = evaluate(document, precision), reference.arrays(document, "results")
    assert set(found) == set(truth)
    worst = 0.0
    for key, value in truth.items():
        assert found[key].shape == value.shape, key
        size = np.abs(value).max()
        if size:
            worst = max(worst, float(np.abs(found[key] - value).max() / size))
    return worst / EPS[precision], worst


# --- rounding --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (1.0, 1.0),
        (0.0, 0.0),
        (3.0 * 2.0**-9, 3.0 * 2.0**-9),
        (-255.0, -255.0),
        (1.0 + 2.0**-8, 1.0),
        (1.0 + 3.0 * 2.0**-8, 1.0 + 2.0**-6),  # ties: to even
        (1.0 + 2.0**-8 + 2.0**-40, 1.0 + 2.0**-7),
        (1.0 + 2.0**-8 - 2.0**-40, 1.0),
        (257.0, 256.0),
        (259.0, 260.0),
        (-511.0, -512.0),
        (math.pi, 3.140625),
        (0.1, 0.10009765625),
        (1.0 / 3.0, 0.333984375),
        (255.0 * 2.0**120, 255.0 * 2.0**120),
        (255.4 * 2.0**120, 255.0 * 2.0**120),
        (255.5 * 2.0**120, math.inf),
        (-1e300, -math.inf),
        (math.inf, math.inf),
        (2.0**-126, 2.0**-126),
        (2.0**-133, 2.0**-133),
        (2.0**-134, 0.0),  # subnormal
        (3.0 * 2.0**-134, 2.0**-132),
        (2.0**-134 * 1.001, 2.0**-133),
        (127.5 * 2.0**-133, 2.0**-126),
        (126.5 * 2.0**-133, 126.0 * 2.0**-133),
        (5e-324, 0.0),
    ],
)
def test_bfloat16_is_nearest_with_ties_to_even(x, expected):
    assert to_bfloat16(x) == expected
    assert to_bfloat16(-x) == -expected


def test_bfloat16_agrees_with_the_upper_half_of_float32():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**31, 2000, dtype=np.uint32)
    for b in bits.tolist():
        x = struct.unpack("<f", struct.pack("<I", b))[0]
        above = (b + 0x7FFF + (b >> 16 & 1)) & 0xFFFF0000  # round the lower 16 bits off
        expected = struct.unpack("<f", struct.pack("<I", above))[0]
        if not math.isnan(x):
            assert to_bfloat16(x) == expected, hex(b)
    assert math.isnan(to_bfloat16(math.nan))


def test_float32_is_numpys():
    rng = np.random.default_rng(1)
    for x in (rng.standard_normal(200) * 10.0 ** rng.integers(-46, 38, 200)).tolist():
        assert to_float32(x) == float(np.float32(x))
    assert to_float32(1e39) == math.inf
    assert to_float32(-3.5e38) == -math.inf


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_operation_is_rounded_once(precision):
    """Against the exact sum, difference and product, rounded as a fraction."""
    arithmetic, places = ARITHMETICS[precision], {"float32": 24, "bfloat16": 8}[precision]
    rng = np.random.default_rng(2)
    for a, b in rng.standard_normal((100, 2)).tolist():
        u, v = arithmetic.number(Fraction(a)), arithmetic.number(Fraction(b))
        x, y = Fraction(float(u)), Fraction(float(v))
        for got, exact in (
            (u + v, x + y),
            (u - v, x - y),
            (u * v, x * y),
            (u + 1, x + 1),
            (1 - u, 1 - x),
            (2 * u, 2 * x),
            (u - 1, x - 1),
        ):
            assert Fraction(float(got)) == nearest(exact, places)


def nearest(x: Fraction, places: int) -> Fraction:
    """Round to nearest even within the normal range, from the definition."""
    if not x:
        return x
    unit = Fraction(1)
    while abs(x) >= 2**places * unit:
        unit *= 2
    while abs(x) < 2 ** (places - 1) * unit:
        unit /= 2
    return round(x / unit) * unit


@pytest.mark.parametrize("precision", list(EPS))
@pytest.mark.parametrize("x", [-300.0, -80.0, -1.5, -0.25, 0.0, 0.25, 3.0, 80.0, 300.0])
def test_functions_are_right_where_their_plain_forms_overflow(precision, x):
    a = ARITHMETICS[precision]
    u = a.number(Fraction(x))
    wanted = {
        "softplus": np.logaddexp(0.0, x),
        "log_2_cosh": np.logaddexp(x, -x),
        "tanh": math.tanh(x),
        "sigmoid": math.exp(-np.logaddexp(0.0, -x)),
        "sin": math.sin(x),
        "cos": math.cos(x),
    }
    for name, value in wanted.items():
        got = float(getattr(a, name)(u))
        assert abs(got - value) <= tol.ROUNDED_FUNCTION * EPS[precision] * max(1e-30, abs(value)), (
            name,
            got,
            value,
        )


@pytest.mark.parametrize("precision", list(EPS))
def test_losses_and_mixtures_do_not_overflow(precision):
    with arithmetic.using(ARITHMETICS[precision]):
        scores = [arithmetic.constant(v) for v in (-1000, 1000, 992)]
        loss = formulas.loss("softmax", scores, [Fraction(2)])
        assert abs(float(loss) / (8.0 + math.log1p(math.exp(-8.0))) - 1.0) <= EPS[precision]
        assert float(formulas.loss("logistic", scores[:1], [Fraction(0)])) == 0.0
        far = {
            "weights": ["0.5", "0.5"],
            "means": [["0"], ["1"]],
            "covariances": [[["1"]], [["1"]]],
        }
        far_density = math.log(0.5) - 63.0**2 / 2 - math.log(2 * math.pi) / 2  # 64 from the other
        at = formulas.log_density(far, [arithmetic.constant(64)])
        assert abs(float(at) / far_density - 1.0) < 2 * EPS[precision]


def test_what_floating_point_gives_where_python_raises():
    for a in ARITHMETICS.values():
        big, zero, below = (a.number(Fraction(v)) for v in (5000, 0, -1))
        assert float(a.exp(big)) == math.inf
        assert float(a.log(zero)) == -math.inf
        assert math.isnan(float(a.log(below)))
        assert float(a.inverse(zero)) == math.inf
        assert math.isnan(float(a.sin(a.exp(big))))


def test_absolute_takes_the_sign_of_the_value():
    with arithmetic.using(ARITHMETICS["float32"]):
        tape = rings.Tape()
        for value, slope in ((-0.5, -1.0), (0.25, 1.0), (0.0, 0.0)):
            u = tape.variable(arithmetic.constant(value))
            size = rings.absolute(u)
            assert float(rings.scalar_of(size)) == abs(value)
            assert float(tape.gradient(size, [u])[0]) == slope


# --- whole cases -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOME)
def test_float64_is_right_to_a_few_units(name):
    units, _ = largest_error(name, "float64")
    assert 0.1 < units < tol.ROUNDED_UNITS


@pytest.mark.parametrize("name", SOME)
def test_float32_and_bfloat16_make_errors_of_their_size(name):
    units, error = largest_error(name, "float32")
    assert units < tol.ROUNDED_UNITS
    assert 1e-9 < error < 1e-5
    units, error = largest_error(name, "bfloat16")
    assert units < tol.ROUNDED_UNITS
    assert error > 1e-3


def test_results_are_numbers_of_the_precision():
    document = reference.case("flow-shallow")
    for precision, rounding in (("float32", to_float32), ("bfloat16", to_bfloat16)):
        for value in evaluate(document, precision).values():
            assert all(rounding(v) == v for v in value.ravel().tolist())


def test_no_python_flint_is_needed(monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        assert not name.startswith("flint")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    evaluate(reference.case("game-entropy"), "float32")


def test_the_arithmetic_in_force_is_put_back():
    before = arithmetic.active()
    document = reference.case("ode-line")
    document["basis"]["type"] = "Fourier"
    with pytest.raises(KeyError):
        evaluate({**document, "problem": {"type": "none"}}, "float32")
    assert arithmetic.active() is before
    with pytest.raises(ValueError, match="precision: got 'float16', wanted"):
        evaluate(document, "float16")


@pytest.mark.parametrize("precision", list(EPS))
def test_adapters_answer_for_all_quantities(precision):
    adapter = getattr(adapters, precision)
    assert adapter.precision == precision
    document = reference.case("ode-line")
    answer = ask(adapter, Case.of(document), tuple(document["results"]))
    assert not answer.problems
    assert not answer.skipped
    assert set(answer.values) == set(reference.arrays(document, "results"))
