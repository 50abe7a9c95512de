"""The truths that gradients are held against: complex step, extrapolation, measured noise."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
import verify_cases as cases
from hypothesis import given
from hypothesis import strategies as st

from refode.verify import complex_step
from refode.verify.directional import EPS, extrapolate, noise_level


@given(seed=st.integers(0, 2**16), size=st.integers(1, 6))
def test_the_complex_step_is_true_to_rounding(seed, size):
    rng = np.random.default_rng(seed)
    x, v = rng.standard_normal((2, size))
    slope = complex_step(lambda z: np.sum(np.exp(z) * np.sin(z)), x, v)
    assert isinstance(slope, float)
    terms = np.exp(x) * (np.sin(x) + np.cos(x)) * v
    assert abs(slope - terms.sum()) <= tol.VERIFY_COMPLEX_STEP * np.abs(terms).sum()


def test_the_complex_step_takes_arrays_and_scalars():
    rng = np.random.default_rng(0)
    a, x, v = rng.standard_normal((3, 4, 4))
    slope = complex_step(lambda z: np.tanh(a @ z), x, v)
    np.testing.assert_allclose(slope, (a @ v) / np.cosh(a @ x) ** 2, rtol=tol.VERIFY_COMPLEX_STEP)
    assert complex_step(lambda z: z**3, 2.0, 1.0) == pytest.approx(12, rel=tol.VERIFY_COMPLEX_STEP)
    for step in (1e-30, 1e-100):
        assert complex_step(np.exp, 0.5, 2.0, step=step) == pytest.approx(2 * np.exp(0.5))


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((1, [1.0], [1.0]), TypeError, r"fun: got 1 \(int\)"),
        ((np.abs, [1.0], [1.0]), TypeError, "fun: returned dtype float64 for complex input"),
        ((lambda z: np.array(z, float), [1.0], [1.0]), TypeError, "fun: discards the imaginary"),
        ((np.exp, [np.nan], [1.0]), ValueError, "x: got nan"),
        ((np.exp, [], []), ValueError, "x: got an empty array"),
        ((np.exp, [1.0], [1.0, 2.0]), ValueError, r"v: got an array of shape \(2,\)"),
        ((np.exp, [1.0], [np.inf]), ValueError, "v: got inf"),
        ((np.exp, [1.0], [1.0], 0.0), ValueError, "step: got 0.0"),
        ((np.exp, [1.0], [1.0], -1e-200), ValueError, "step: got -1e-200"),
        ((np.exp, [1.0], [1.0], "1"), TypeError, "step: got '1'"),
    ],
)
def test_bad_input_of_the_complex_step_is_refused(args, error, message):
    with pytest.raises(error, match="^" + message):
        complex_step(*args)


def differences(fun, x, n, noise):
    h = 0.7391 * 0.5 ** np.arange(n)
    return np.array([(fun(x + s) - fun(x - s)) / (2 * s) for s in h]), noise / h


@pytest.mark.parametrize("fun", [np.sin, np.exp, np.arctan, lambda x: 1 / (1 + 25 * x * x)])
@pytest.mark.parametrize("x", [0.1, 0.7, 1.9])
def test_extrapolation_is_within_its_estimate_and_close(fun, x):
    values, noise = differences(fun, x, 25, EPS * (1 + abs(fun(x))))
    limit, error = extrapolate(values, noise)
    truth = complex_step(fun, x, 1.0)
    assert abs(limit - truth) <= error
    assert error < tol.VERIFY_EXTRAPOLATED


def test_the_estimate_holds_over_many_functions():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        a, b, c = rng.standard_normal((3, 4))
        values, noise = differences(
            lambda x, a=a, b=b, c=c: a @ np.sin(b * x + c), 0.0, 20, 4 * EPS
        )
        limit, error = extrapolate(values, noise)
        assert abs(limit - a @ (b * np.cos(c))) <= error


def test_extrapolation_is_not_fooled_by_rows_that_agree_at_large_steps():
    # between 1 and 1e6 the tanh is a step, and the rows agree on a slope of 1 to many digits
    values, noise = differences(lambda x: np.tanh(1e6 * x) + x, 1.0e-7, 45, EPS)
    truth = 1 + 1e6 / np.cosh(0.1) ** 2
    limit, error = extrapolate(values, noise)
    assert abs(limit - truth) <= error < 1e-3 * truth


def test_extrapolation_takes_vectors_and_skips_rows_that_are_not_finite():
    columns = [differences(fun, 0.3, 25, EPS) for fun in (np.sin, np.exp)]
    values, noise = np.stack([c[0] for c in columns], axis=1), columns[0][1]
    limit, error = extrapolate(values, noise)
    assert np.linalg.norm(limit - [np.cos(0.3), np.exp(0.3)]) <= error < tol.VERIFY_EXTRAPOLATED
    values[:3] = [[np.nan, 1], [1, np.inf], [np.nan, np.nan]]
    limit, error = extrapolate(values, noise)
    assert np.linalg.norm(limit - [np.cos(0.3), np.exp(0.3)]) <= error < tol.VERIFY_EXTRAPOLATED
    for rows in (values[:2], values[3:5]):
        limit, error = extrapolate(rows, noise[: len(rows)])
        assert np.isnan(limit).all()
        assert error == np.inf


def test_extrapolation_counts_noise_that_it_was_not_told_of():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values, noise = differences(np.sin, 0.3, 12, EPS)
        values += 100 * noise * rng.standard_normal(12)
        limit, error = extrapolate(values, noise)
        assert abs(limit - np.cos(0.3)) <= 3 * error


@pytest.mark.parametrize("level", [1e-13, 1e-9, 1e-5])
def test_noise_is_measured(level):
    measured = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        measured.append(
            noise_level(
                lambda x, r=rng: np.sum(np.exp(x)) + level * r.standard_normal(),
                np.array([0.3, -0.2]),
                np.exp([0.3, -0.2]),
                rng,
            )
        )
    assert level / 2 < np.median(measured) < 2 * level
    assert min(measured) > level / 5


def test_noise_is_at_least_rounding_and_stairs_are_seen():
    x = np.array([0.3, -0.2, 1.0])
    rng = np.random.default_rng(0)
    assert noise_level(lambda x: 5.0, x, 0 * x, rng) == 5 * EPS
    for seed in range(20):
        case = cases.single_precision(seed)
        g = np.asarray(case.gradient(case.x0), dtype=float)
        noise = noise_level(
            lambda x, c=case: float(c.fun(x)), case.x0, g, np.random.default_rng(seed)
        )
        assert noise > tol.VERIFY_SINGLE_NOISE
