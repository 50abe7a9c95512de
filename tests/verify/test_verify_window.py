"""The window is found at the small end, and what it is judged by is what was promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refode.verify.reports import DirectionReport
from refode.verify.taylor import CLEAR, fit_window
from refode.verify.truth import detectable_any

H = 0.5 ** np.arange(30)
NOISE = np.full(30, 1e-16)


def remainder(*terms):
    """|sum of c h^p| for pairs (c, p), with rounding of 1e-16 added."""
    rounding = 1e-16 * np.where(np.arange(30) % 2, 1.0, -1.0)
    return np.abs(sum(c * H**p for c, p in terms) + rounding)


@given(p=st.integers(2, 4), c=st.sampled_from([0.01, 1.0, 30.0]))
def test_a_power_is_found_with_its_window(p, c):
    window = fit_window(H, remainder((c, p)), NOISE, p)
    assert window.kind == "power law"
    assert window.slope == pytest.approx(p, abs=0.02)
    clear = np.flatnonzero(c * H**p > CLEAR * 1e-16)
    assert window.first == 0
    assert clear[-1] - 2 <= window.last <= clear[-1]
    assert window.n_points == window.last + 1
    assert fit_window(H, remainder((c, p)), NOISE, p + 1).kind == "slope"
    assert fit_window(H, remainder((c, p)), NOISE, p - 1).kind == "higher"


def test_large_steps_are_left_out():
    window = fit_window(H, remainder((1.0, 2), (100.0, 3)), NOISE, 2)
    assert window.kind == "power law"
    assert 8 <= window.first <= 11
    assert abs(window.slope - 2) <= 0.05


@pytest.mark.parametrize("error", [1.0, 1e-3, 1e-6])
def test_slope_two_further_up_does_not_hide_slope_one_at_the_end(error):
    e = remainder((error, 1), (1.0, 2))
    if error == 1e-6:  # slope 2 over more rows than anybody asks for
        assert np.all(np.abs(np.log2(e[:14] / e[1:15]) - 2) < 0.05)
    window = fit_window(H, e, NOISE, 2)
    assert not window.sound
    assert round(window.slope) == 1


@pytest.mark.parametrize(("p", "sound"), [(1.9, False), (1.94, False), (1.96, True), (2.04, True)])
def test_the_slope_must_be_right_to_a_twentieth(p, sound):
    assert fit_window(H, remainder((1.0, p)), NOISE, 2).sound is sound


@pytest.mark.parametrize(("n", "kind"), [(3, "too few points"), (4, "power law")])
def test_four_points_are_needed(n, kind):
    e = np.where(np.arange(30) < n, H**2, 1e-16)
    noise = np.full(30, H[n - 1] ** 2 / CLEAR / 2)
    assert fit_window(H, e, noise, 2).kind == kind


def test_what_rounding_could_be_does_not_count():
    e = remainder((1e-15, 2))  # never ten times the noise
    window = fit_window(H, e, NOISE, 2)
    assert window.kind == "linear"
    assert window.n_points == 0
    assert fit_window(H, e + H, NOISE, 2).kind == "slope"


def test_between_two_powers_is_enough_and_said():
    window = fit_window(H, remainder((1e-7, 2), (1.0, 3)), NOISE, 2)
    assert window.kind == "higher"
    assert window.sound


def test_a_wrong_gradient_where_the_curvature_vanishes_is_no_power_in_between():
    window = fit_window(H, remainder((1e-9, 1), (1.0, 3)), NOISE, 2)
    assert not window.sound


def test_a_straight_piece_and_a_bend_are_told_apart():
    straight = np.where(H > 1e-3, H, 1e-17)
    assert fit_window(H, straight, NOISE, 2).kind == "locally linear"
    assert fit_window(H, H, NOISE, 2, even=2 * H).kind == "kink"
    assert fit_window(H, H, NOISE, 2, even=1e-3 * H).kind == "slope"
    assert fit_window(H, np.full(30, np.nan), NOISE, 2).kind == "not finite"


@pytest.mark.parametrize(("size", "n_directions"), [(10, 5), (100, 5), (100, 2)])
def test_errors_of_any_shape_are_missed_as_rarely_as_promised(size, n_directions):
    rows = [
        DirectionReport("", 1, 1, 0, 10.0**k, 0, "", 0) for k in np.linspace(-9, -8, n_directions)
    ]
    missed = 1e-2  # instead of 1e-3, so that fewer trials tell
    length = detectable_any(rows, 2.0, size, missed) * 2.0
    v = np.random.default_rng(0).standard_normal((6000, n_directions, size))
    component = length * v[:, :, 0] / np.linalg.norm(v, axis=2)
    share = np.mean((np.abs(component) < [2 * row.tolerance for row in rows]).all(axis=1))
    assert missed / 3 < share < 2 * missed
