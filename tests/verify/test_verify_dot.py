"""dot_test passes adjoints, fails what is none, and says where nothing was checked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refode.verify import dot_test

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
DTYPES = st.sampled_from([np.float32, np.float64, np.complex64, np.complex128])


def operator(x_shapes, y_shapes, dtype=float, seed=0):
    """A random dense operator between lists of arrays: tangent and conjugate transpose."""
    rng = np.random.default_rng(seed)
    n, m = (sum(int(np.prod(s)) for s in shapes) for shapes in (x_shapes, y_shapes))
    a = rng.standard_normal((m, n))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((m, n))
    a = a.astype(dtype)

    def between(matrix, shapes):
        ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]

        def apply(*parts):
            out = matrix @ np.concatenate([p.ravel() for p in parts])
            return tuple(p.reshape(s) for p, s in zip(np.split(out, ends), shapes, strict=True))

        return apply

    return between(a, y_shapes), between(a.conj().T, x_shapes)


A = np.random.default_rng(0).standard_normal((5, 3))


def forward(v):
    return A @ v


def back(w):
    return A.T @ w


@settings(deadline=None, max_examples=50)
@given(
    x_shapes=st.lists(SHAPES, min_size=1, max_size=3),
    y_shapes=st.lists(SHAPES, min_size=1, max_size=3),
    dtype=DTYPES,
    seed=st.integers(0, 2**16),
)
def test_adjoints_pass_and_errors_it_says_it_can_see_fail(x_shapes, y_shapes, dtype, seed):
    tangent, adjoint = operator(x_shapes, y_shapes, dtype, seed)
    report = dot_test(tangent, adjoint, x_shapes, y_shapes, dtype=dtype, seed=seed)
    assert report, str(report)
    assert report.smallest_detectable > 0
    factor = 1 + report.smallest_detectable

    def scaled(*w):  # in double precision, which the test must take too
        return tuple(
            factor * part.astype(complex if part.dtype.kind == "c" else float)
            for part in adjoint(*w)
        )

    assert not dot_test(tangent, scaled, x_shapes, y_shapes, dtype=dtype, seed=seed)


def test_single_arrays_and_sizes_will_do():
    assert dot_test(forward, back, 3, 5)
    assert dot_test(forward, back, (3,), (5,))
    assert dot_test(forward, back, [(3,)], [(5,)])
    assert dot_test(lambda v: (A @ v,), lambda w: [A.T @ w], 3, 5)
    assert dot_test(lambda v: np.trace(v), lambda w: w * np.eye(4), (4, 4), ())


@pytest.mark.parametrize("factor", [-1.0, 1.001, 0.5, 1 + 1e-12])
def test_what_is_no_adjoint_fails(factor):
    report = dot_test(forward, lambda w: factor * back(w), 3, 5)
    assert not report
    assert report.verdict.startswith("failed")
    for left, right in zip(report.left, report.right, strict=True):
        assert right == pytest.approx(factor * left)


def test_a_wrong_entry_or_a_transpose_fails():
    wrong = A.copy()
    wrong[4, 2] *= 1.001
    assert not dot_test(forward, lambda w: wrong.T @ w, 3, 5)
    square = A[:3]
    assert not dot_test(lambda v: square @ v, lambda w: square @ w, 3, 3)


def test_the_conjugate_is_the_callers_choice():
    c = A + 1j * A**2
    options = {"dtype": complex}
    assert dot_test(lambda v: c @ v, lambda w: c.conj().T @ w, 3, 5, **options)
    assert not dot_test(lambda v: c @ v, lambda w: c.T @ w, 3, 5, **options)
    options["conjugate"] = False
    assert dot_test(lambda v: c @ v, lambda w: c.T @ w, 3, 5, **options)
    assert not dot_test(lambda v: c @ v, lambda w: c.conj().T @ w, 3, 5, **options)


def test_pairs_that_disagree_are_named():
    shapes = [(3,), (5,)], [(5,), (3,)]

    def tangent(a, b):
        return A @ a + b, 2 * a

    assert dot_test(tangent, lambda p, q: (A.T @ p + 2 * q, p), *shapes)
    report = dot_test(tangent, lambda p, q: (A.T @ p + 2 * q, 1.01 * p), *shapes)
    assert "(in output 0 by input 1)" in report.verdict
    report = dot_test(tangent, lambda p, q: (A.T @ p + 3 * q, p), *shapes)
    assert "(in output 1 by input 0)" in report.verdict


def test_it_is_blind_to_an_error_that_both_share():
    wrong = 3 * A  # not the derivative of anything in sight
    assert dot_test(lambda v: wrong @ v, lambda w: wrong.T @ w, 3, 5)


def test_zeros_are_inconclusive():
    report = dot_test(lambda v: 0 * forward(v), lambda w: 0 * back(w), 3, 5)
    assert not report
    assert report.verdict.startswith("inconclusive: tangent returns zeros; adjoint returns")
    assert report.smallest_detectable == np.inf
    report = dot_test(lambda a, b: A @ a, lambda w: (A.T @ w, np.zeros(2)), [(3,), (2,)], 5)
    assert not report
    assert report.verdict.startswith("inconclusive: adjoint returns zeros as its array 1")
    assert dot_test(forward, lambda w: 0 * back(w), 3, 5).verdict.startswith("failed")


def test_results_that_are_not_finite_fail():
    for bad in (np.nan, np.inf):
        report = dot_test(forward, lambda w, b=bad: b * back(w), 3, 5)
        assert not report
        assert "not finite" in report.verdict


def test_an_adjoint_that_never_clears_its_buffer_fails():
    buffer = np.zeros(3)

    def adding(w):
        nonlocal buffer
        buffer += back(w)
        return buffer

    report = dot_test(forward, adding, 3, 5)
    assert not report
    assert "called again" in report.verdict


def test_writing_into_the_argument_fails():
    def careless(v):
        out = forward(v)
        v[:] = 0
        return out

    report = dot_test(careless, back, 3, 5)
    assert not report
    assert "tangent changes its argument" in report.verdict


def test_the_report_prints():
    report = dot_test(forward, back, 3, 5, name="A", n_trials=4)
    text = str(report)
    assert text.startswith("A\n")
    assert text.count("ok") == len(report.left) == 4
    assert text.endswith(report.verdict)
    assert dot_test(forward, back, 3, 5, seed=1).left != dot_test(forward, back, 3, 5, seed=2).left
    complex_text = str(dot_test(lambda v: 1j * v, lambda w: -1j * w, 2, 2, dtype=complex))
    assert "j" in complex_text


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        ((None, back, 3, 5), {}, TypeError, "tangent: got None"),
        ((forward, 1, 3, 5), {}, TypeError, r"adjoint: got 1 \(int\)"),
        ((forward, back, 0, 5), {}, ValueError, "x_shape: got 0"),
        ((forward, back, (3, -1), 5), {}, ValueError, "x_shape: got -1"),
        ((forward, back, 3, 5.0), {}, TypeError, r"y_shape: got 5.0 \(float\)"),
        ((forward, back, [], 5), {}, ValueError, "x_shape: got an empty list"),
        ((forward, back, [(3,), "a"], 5), {}, TypeError, r"x_shape\[1\]: got 'a'"),
        ((forward, back, 3, 5), {"n_trials": 0}, ValueError, "n_trials: got 0"),
        ((forward, back, 3, 5), {"seed": -1}, ValueError, "seed: got -1"),
        ((forward, back, 3, 5), {"dtype": int}, TypeError, "dtype: got int64"),
        ((forward, back, 3, 5), {"constant": -1.0}, ValueError, "constant: got -1.0"),
        ((forward, back, 3, 6), {}, ValueError, r"tangent: returned .* \(5,\), wanted \(6,\)"),
        ((forward, lambda w: w, 3, 5), {}, ValueError, r"adjoint: returned .* \(5,\), wanted"),
        ((forward, back, 3, [(5,), (2,)]), {}, ValueError, "tangent: returned ndarray, wanted 2"),
        ((lambda v: None, back, 3, 5), {}, TypeError, "tangent: returned dtype object"),
        ((lambda v: 1j * A @ v, back, 3, 5), {}, TypeError, "tangent: returned dtype complex128"),
    ],
)
def test_bad_input_is_refused(args, options, error, message):
    with pytest.raises(error, match="^" + message):
        dot_test(*args, **options)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e160, 1e300])
def test_operators_of_every_size(scale):
    """Squares of 1e-200 vanish, and those of 1e160 are infinite: any adjoint passed, or none."""
    assert dot_test(lambda v: scale * forward(v), lambda w: scale * back(w), 3, 5)
    wrong = dot_test(lambda v: scale * forward(v), lambda w: 1.001 * (scale * back(w)), 3, 5)
    assert not wrong
    assert "the sides differ" in wrong.verdict


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_operators_of_every_size_in_single_precision(scale):
    a = (scale * A).astype(np.float32)
    assert dot_test(lambda v: a @ v, lambda w: a.T @ w, 3, 5, dtype=np.float32)
    wrong = dot_test(lambda v: a @ v, lambda w: np.float32(1.01) * (a.T @ w), 3, 5, dtype="f4")
    assert not wrong


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_operator_whose_products_overflow_is_not_passed():
    report = dot_test(lambda v: 1e308 * forward(v), lambda w: 2e308 * back(w) / 2, 3, 5)
    assert not report
    assert "not finite" in report.verdict
