"""observed_order finds the order, leaves rounding out, and fails what is not of that order."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from hypothesis import given
from hypothesis import strategies as st

from refode.verify import observed_order

H = 0.5 ** np.arange(8)


@given(p=st.integers(1, 8), n=st.integers(4, 9), base=st.sampled_from([2, 3, 10]))
def test_a_pure_power_is_found_exactly(p, n, base):
    h = float(base) ** -np.arange(n)
    report = observed_order(3 * h**p, h, expected=p)
    assert report
    np.testing.assert_allclose(report.slopes, p, rtol=tol.VERIFY_ORDER)
    assert report.order == pytest.approx(p, rel=tol.VERIFY_ORDER)
    assert report.n_used == 3
    assert not observed_order(3 * h**p, h, expected=p + 0.2)
    assert not observed_order(3 * h**p, h, expected=p - 1)


def test_steps_may_come_in_any_order():
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(H.size)
    report = observed_order((H**2 + H**3)[shuffled], H[shuffled], expected=2)
    np.testing.assert_array_equal(report.steps, H)
    assert str(report) == str(observed_order(H**2 + H**3, H, expected=2))


def test_the_last_refinements_count_and_each_by_itself():
    assert observed_order(H**2 + 30 * H**5, H, expected=2)
    erratic = np.cumprod([1.0, 2**-4.0, 2**-3.0, 2**-4.0, 2**-5.0])
    report = observed_order(erratic, H[:5], expected=4)
    assert report.order == pytest.approx(4, abs=0.1)
    assert not report
    assert "slope 5.000 among them" in report.verdict
    assert observed_order(erratic[:2], H[:2], expected=4, n_last=1)


def test_errors_at_rounding_are_left_out():
    errors = np.maximum(H**6, 3e-10)
    assert not observed_order(errors, H, expected=6)
    report = observed_order(errors, H, expected=6, floor=1e-9)
    assert report
    assert report.floor == 1e-9
    assert np.isnan(report.slopes[-2:]).all()
    assert "rounding" in str(report)
    scale = 1e-9 / (100 * np.finfo(float).eps)
    assert observed_order(errors, H, expected=6, scale=scale)
    zeros = np.where(H < 0.02, 0.0, H**2)
    assert observed_order(zeros, H, expected=2)


def test_too_few_refinements_above_rounding_fail():
    report = observed_order(H**2, H, expected=2, floor=0.01)
    assert np.count_nonzero(H**2 > 0.01) == 4
    assert report
    report = observed_order(H**2, H, expected=2, floor=0.02)
    assert not report
    assert "2 refinements above rounding, wanted 3" in report.verdict
    report = observed_order(H**2, H, expected=2, floor=10.0)
    assert not report
    assert np.isnan(report.order)


def test_a_gap_ends_the_run():
    errors = H**2
    errors[5] = 0.0
    report = observed_order(errors, H, expected=2)
    assert report.n_used == 1
    assert not report


def test_without_an_expectation_nothing_is_judged():
    report = observed_order(H**3, H)
    assert report.order == pytest.approx(3)
    assert report.passed is None
    with pytest.raises(TypeError, match="no order was expected"):
        bool(report)


def test_the_tolerance_is_the_callers():
    errors = H**2.08
    assert observed_order(errors, H, expected=2)
    assert not observed_order(errors, H, expected=2, tolerance=0.05)
    assert observed_order(errors, H, expected=2.08, tolerance=1e-6)


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        ((H[:3], H), {}, ValueError, "errors, steps: got lengths 3 and 8"),
        (([1.0], [1.0]), {}, ValueError, "errors: got 1 entry"),
        (([], []), {}, ValueError, "errors: got an empty array"),
        ((H, np.r_[H[:-1], 0.0]), {}, ValueError, "steps: got 0.0, wanted numbers > 0"),
        ((H, -H), {}, ValueError, "steps: got -1.0"),
        ((-H, H), {}, ValueError, "errors: got -1.0, wanted numbers >= 0"),
        ((H, H * np.nan), {}, ValueError, "steps: got nan"),
        ((H * np.inf, H), {}, ValueError, "errors: got inf"),
        (([1.0, 2.0], [1.0, 1.0]), {}, ValueError, "steps: got one twice"),
        ((H[:, None], H), {}, ValueError, r"errors: got an array of shape \(8, 1\)"),
        ((["a"], H), {}, TypeError, "errors: got an array of dtype"),
        ((H, H), {"expected": "2"}, TypeError, "expected: got '2'"),
        ((H, H), {"tolerance": -0.1}, ValueError, "tolerance: got -0.1"),
        ((H, H), {"n_last": 0}, ValueError, "n_last: got 0"),
        ((H, H), {"scale": 1.0, "floor": 1.0}, ValueError, "scale, floor: got both"),
        ((H, H), {"scale": -1.0}, ValueError, "scale: got -1.0"),
        ((H, H), {"floor": np.nan}, ValueError, "floor: got nan"),
    ],
)
def test_bad_input_is_refused(args, options, error, message):
    with pytest.raises(error, match="^" + message):
        observed_order(*args, **options)
