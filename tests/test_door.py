"""The door: NumPy's scalars, sizes beyond memory, tensors, and how short messages are."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import refode
from refode import _memory, _shown, _validate, fields
from validation.fuzz.values import Broken, Frame, Grad, Shy

TRUE = [True, np.True_, np.array(True)]
TWO = [2, np.int8(2), np.int64(2), np.uint64(2), np.array(2), np.array(2, ">i4")]
HALF = [0.5, np.float16(0.5), np.float32(0.5), np.longdouble(0.5), np.array(0.5, ">f8")]


@pytest.mark.parametrize("value", TRUE, ids=repr)
def test_a_bool_of_any_kind_is_one(value: Any) -> None:
    assert _validate.boolean("x", value) is True
    for cls in (fields.Affine, fields.MLP, fields.Antisymmetric, fields.Parabolic):
        assert cls(2, time=value).layout == cls(2, time=True).layout
        assert cls(2, time=value).time is True
    for cls in (fields.Hamiltonian, fields.Leapfrog):
        assert cls(2, time=value).layout == cls(2, time=True).layout
    assert fields.Shallow(2, 3, time=value).layout.shapes["W0"] == (3, 3)


@pytest.mark.parametrize("value", [0, 1, 1.0, "True", None, np.int64(1), [True], np.array([True])])
def test_what_is_no_bool_is_refused(value: Any) -> None:
    for make in (fields.Affine, fields.MLP, fields.Parabolic):
        with pytest.raises(TypeError, match=r"^time: got .*, wanted a bool"):
            make(2, time=value)


@pytest.mark.parametrize("value", TWO, ids=repr)
def test_an_int_of_any_kind_is_one(value: Any) -> None:
    for found in (_validate.positive_int("n", value), _validate.nonnegative_int("n", value)):
        assert type(found) is int
        assert found == 2


@pytest.mark.parametrize("value", HALF, ids=repr)
def test_a_number_of_any_kind_is_one(value: Any) -> None:
    assert type(_validate.real_number("x", value)) is float
    assert _validate.real_number("x", value) == 0.5


def test_a_text_of_any_kind_is_one() -> None:
    for value in ("tanh", np.str_("tanh"), np.array("tanh")):
        found = _validate.choice("activation", value, ("tanh", "sine"))
        assert type(found) is str
        assert repr(fields.Parabolic(2, activation=value)) == repr(fields.Parabolic(2))
        assert repr(fields.MLP(2, (3,), value)) == "MLP(dim=2, widths=(3,))"
    with pytest.raises(TypeError, match=r"^activation: got b'tanh' \(bytes\), wanted a str"):
        _validate.choice("activation", b"tanh", ("tanh",))


@pytest.mark.parametrize(
    "value", [np.timedelta64(1, "s"), np.timedelta64("NaT"), np.array(np.timedelta64(1, "s"))]
)
def test_a_duration_is_no_number(value: Any) -> None:
    for check in (_validate.positive_int, _validate.nonnegative_int, _validate.real_number):
        with pytest.raises(TypeError, match="^x: got .*timedelta64"):
            check("x", value)
    with pytest.raises(TypeError, match=r"^x: got an array of dtype .*timedelta|^x: got an array"):
        _validate.real_array("x", value, ())


def test_a_long_double_that_is_no_double_is_refused() -> None:
    third = np.longdouble(1) / 3
    if float(third) == third:
        pytest.skip("long doubles are doubles here")
    with pytest.raises(TypeError, match="^x: got .*which float64 rounds"):
        _validate.real_number("x", third)


def test_a_tensor_with_a_gradient_is_met_with_detach() -> None:
    ode = refode.NeuralODE(fields.Affine(2))
    for value in (Grad(), [Grad()]):
        with pytest.raises(TypeError, match=r"^x: got .*, wanted .*x\.detach\(\)"):
            ode.solve(ode.initial(), value)
    with pytest.raises(TypeError, match=r"^tikhonov: got .*wanted .*tikhonov\.detach\(\)"):
        refode.Supervised(ode, tikhonov=Grad())
    with pytest.raises(TypeError, match=r"^fun: returned .*detach"):
        refode.verify.check_gradient(lambda x: Grad(), np.cos, [1.0], print_table=False)


@pytest.mark.parametrize("value", [Broken(), Shy(), [Broken()], object(), {1}, (i for i in "ab")])
def test_objects_that_fail_are_named(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^x: got .*, wanted"):
        _validate.real_array("x", value, ("N", 2))


# --- sizes ----------------------------------------------------------------------------------
ODE = refode.NeuralODE(fields.Shallow(2, 3))
FLOW = refode.ContinuousNormalizingFlow(ODE)
LARGE: dict[str, Any] = {
    "n_steps": [
        lambda n: refode.NeuralODE(fields.Affine(2), n_steps=n),
        lambda n: refode.steps.Equal(n),
        lambda n: ODE.with_steps(n),
        lambda n: FLOW.generate(FLOW.initial(), np.ones((1, 2)), n_steps=n),
    ],
    "J": [refode.bases.Legendre, refode.bases.BSpline, refode.bases.PiecewiseLinear],
    "width": [
        lambda n: fields.Shallow(2, n),
        lambda n: fields.Parabolic(2, n),
        lambda n: fields.Leapfrog(2, n),
        lambda n: fields.Potential(2, n),
    ],
    "rank": [lambda n: fields.Potential(2, 3, rank=n)],
    "widths": [lambda n: fields.MLP(2, (3, n))],
    "depth": [lambda n: fields.Potential(2, 3, depth=n)],
    "dim": [fields.Affine, fields.Antisymmetric, lambda n: fields.Hamiltonian(n - n % 2)],
    "n": [
        lambda n: refode.densities.Gaussian([0.0], 1.0).sample(n),
        lambda n: refode.densities.Empirical([[0.0]]).sample(n),
        lambda n: FLOW.sample(FLOW.initial(), n),
        lambda n: refode.datasets.spiral(n),
    ],
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize(
    "n", [10**13, 2**62, 2**63, 10**30, 10**5000], ids=lambda n: f"{n.bit_length()} bits"
)
def test_sizes_beyond_memory_are_refused_before_anything_is_made(name: str, n: int) -> None:
    for make in LARGE[name]:
        with pytest.raises(ValueError, match=rf"^{name}\b.*: got .*, wanted") as caught:
            make(n)
        text = str(caught.value)
        assert len(text) < 250
        assert "of memory" in text or "below 2**63" in text


def test_the_bytes_wanted_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "available", lambda: 4_000_000_000)
    with pytest.raises(ValueError, match=r"which wants 64\.0 GB of memory, wanted at most 4\.0 GB"):
        refode.NeuralODE(fields.Affine(2), n_steps=10**9)
    ode = refode.NeuralODE(fields.Affine(2), n_steps=10**7)
    with pytest.raises(ValueError, match=r"^x: got .*which wants 16\.0 GB"):
        ode.trajectory(ode.initial(), np.ones((100, 2)))


def test_the_size_that_is_too_large_is_named_and_not_dim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "available", lambda: 100_000_000)
    monkeypatch.setattr(_memory, "ALWAYS", 0)
    for make in (*LARGE["width"][:3], *LARGE["rank"]):
        with pytest.raises(ValueError, match=r"^(width|rank): got 10000000 .*, which wants"):
            make(10_000_000)
    for width in (lambda: fields.Potential(2, 5000), lambda: fields.MLP(2, (5000, 5000))):
        with pytest.raises(ValueError, match=r"^widths?: got .*, which wants 200\.\d MB"):
            width()
    with pytest.raises(ValueError, match=r"^dim: got 5000 .*, which wants 400\.\d MB"):
        fields.Shallow(5000, 5000)


X, Y = np.ones((4, 2)), np.array([0, 1, 0, 1])
PAIRS: dict[str, Any] = {
    "memory": [
        lambda n: refode.train(refode.Supervised(ODE), X, Y, memory=n, progress=False),
        lambda n: refode.train_multilevel([refode.Supervised(ODE)], X, Y, memory=n, progress=False),
    ],
    "memory_pairs": [
        lambda n: refode.train_resampled(FLOW, lambda *_: X, 4, memory_pairs=n, progress=False)
    ],
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("n", [10**6, 10**9, 2**62])
def test_more_pairs_than_memory_holds_are_refused_at_once(name: str, n: int) -> None:
    for train in PAIRS[name]:
        with pytest.raises(ValueError, match=rf"^{name}: got {n} \(int\), which wants .* memory"):
            train(n)


def test_small_sizes_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "available", lambda: 1 / 0)
    assert refode.NeuralODE(fields.Affine(2), n_steps=10**6).n_steps == 10**6
    assert _memory.UNKNOWN > 2**20


def test_memory_is_known_here() -> None:
    assert 2**20 < _memory.available() < 2**60


def test_bytes_in_words() -> None:
    said = {0: "0 B", 999: "999 B", 1500: "1.5 kB", 8 * 10**9: "8.0 GB", 10**18: "1.0 EB"}
    assert {n: _memory.in_words(n) for n in said} == said
    assert _memory.in_words(10**40) == "more than 1000 EB"


# --- messages -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3 (int)"),
        ("a" * 500, None),
        (list(range(10_000)), "[0, 1, 2, 3, 4, 5, ...] (list)"),
        (np.zeros((300, 40)), "ndarray of shape (300, 40) and dtype float64"),
        (np.zeros(2), "array([0., 0.]) (ndarray of shape (2,) and dtype float64)"),
        (np.float32(0.5), "np.float32(0.5) (float32)"),
        (Shy(), "<Shy> (Shy)"),
        pytest.param(10**5000, "<int> (int)", id="5001 digits"),
        (Frame([1.0]), None),
    ],
)
def test_a_value_is_shown_in_short(value: Any, text: str | None) -> None:
    found = _shown.shown(value)
    assert "\n" not in found
    assert len(found) < 110
    assert text is None or found == text


def test_messages_are_short() -> None:
    frame = Frame(np.full((50, 3), "a"))
    for call in (
        lambda: ODE.solve(frame, [[1.0, 2.0]]),
        lambda: refode.Supervised(frame),
        lambda: refode.Supervised(ODE, frame),
        lambda: refode.train(frame, [1.0], progress=False),
        lambda: refode.densities.Gaussian(frame, 1.0),
        lambda: refode.verify.check_gradient(frame, frame, [1.0]),
        lambda: refode.tableaus.get(frame),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert len(str(caught.value)) < 1000
        assert "\n" not in str(caught.value)


# --- the others of their kind ----------------------------------------------------------------
@pytest.mark.parametrize("widths", [b"ab", bytearray(b"ab"), "ab", {3}, 3, None, np.array(3)])
def test_widths_are_a_sequence_of_ints(widths: Any) -> None:
    with pytest.raises(TypeError, match=r"^widths: got .*, wanted a sequence of ints"):
        fields.MLP(2, widths)
    assert fields.MLP(2, np.array([3, 4])).widths == (3, 4)


BOOLEANS: dict[str, Any] = {
    "times": lambda v: ODE.log_det_adjoint(ODE.initial(), [[1.0, 2]], [[1.0, 2]], [1.0], times=v),
    "condition": lambda v: refode.reference.errors(refode.reference.names()[0], condition=v),
    "conjugate": lambda v: refode.verify.dot_test(np.sin, np.sin, 2, 2, conjugate=v),
    "print_table": lambda v: refode.verify.check_gradient(np.sum, np.cos, [1.0], print_table=v),
    "in_process": lambda v: refode.check.check("a:b", in_process=v),
    "diagnose": lambda v: refode.check.check("a:b", diagnose=v),
    "exact": lambda v: refode.tableaus.Tableau("a", [[0]], [1], [0], 1, "here", exact=v),
    "readout": lambda v: refode.Supervised(ODE, readout=v),
}


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize("value", [1, "yes", None, [], np.zeros(2)], ids=repr)
def test_what_is_true_or_false_is_checked(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: got .*, wanted a bool"):
        BOOLEANS[name](value)


@pytest.mark.parametrize("named", ["²", "", "0", "-1", "1.5", " 2", "9" * 30, "two"])
def test_a_number_of_threads_of_the_environment_is_checked(named: str) -> None:
    code = "import refode; print(refode.get_num_threads())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**__import__("os").environ, "REFODE_NUM_THREADS": named},
        capture_output=True,
        text=True,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(r"ValueError: REFODE_NUM_THREADS: got .*, wanted a positive integer", last)


def test_a_covariance_below_all_normal_numbers_is_refused() -> None:
    for covariance in (1e-320, 5e-324, np.diag([1.0, 1e-320])):
        with pytest.raises(ValueError, match="^covariance: got .*wanted"):
            refode.densities.Gaussian([0.0, 0.0], covariance)
    found = refode.densities.Gaussian([0.0], 1e-300).log_density([[0.0]])
    assert np.isfinite(found).all()


def test_what_no_degree_resolves_is_refused_at_once() -> None:
    """These took up to 20 s: Newton's method never ended, at higher and higher degrees."""
    good: dict[str, Any] = dict.fromkeys(("alpha", "entropy", "stiffness", "terminal"), 1.0)
    good |= dict.fromkeys(("deviation0", "target_deviation"), 1.0) | dict.fromkeys(
        ("centre", "mean0", "target_mean"), 0.0
    )
    good |= {"entropy": 0.1, "stiffness": 0.5, "target_deviation": 0.8}
    refode.closed_forms.lq_game(**good)
    for change in ({"alpha": 1e-160}, {"deviation0": 1e-160}, {"target_deviation": 1e-160}):
        with pytest.raises(ValueError, match="^stiffness, entropy, terminal: got .*resolves"):
            refode.closed_forms.lq_game(**(good | change))
