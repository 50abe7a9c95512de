"""The transport game's optimum: the stored bounds are found again, coarsely, and hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tolerances import (
    OPTIMUM_ASSEMBLY,
    OPTIMUM_GAP,
    OPTIMUM_GAUSSIANS,
    OPTIMUM_LEGENDRE,
    OPTIMUM_LOWER,
    OPTIMUM_STEP,
    OPTIMUM_WIDE_STEP,
)

from validation.truth import transport_bounds as tb  # noqa: E402
from validation.truth import transport_optimum as to  # noqa: E402

GRID = (16, 6)


@pytest.fixture(scope="module")
def coarse():
    return to.study(*to.eight_gaussians(), GRID)


def test_stored_bounds_are_found_again(coarse):
    lower, upper = to.optimum()
    assert 0.0 < upper - lower < OPTIMUM_GAP * lower
    assert coarse.bounds.lower <= upper
    assert coarse.bounds.upper >= lower
    assert coarse.bounds.gap < OPTIMUM_GAP
    assert abs(coarse.bounds.lower / lower - 1.0) < OPTIMUM_LOWER
    assert coarse.bounds.folded == 0
    again = to.optimum(GRID)
    assert_allclose(again, (coarse.bounds.lower, coarse.bounds.upper), rtol=OPTIMUM_LOWER)


def test_gap_is_that_of_jensen(coarse):
    """(D106): half beta times the variance of log R, to leading order."""
    b = coarse.bounds
    assert_allclose(b.upper - b.lower, 2.5 * b.spread**2, rtol=0.1)


def test_two_gaussians_enclose_the_closed_form():
    game, space, best = to.two_gaussians()
    found = to.study(game, space, GRID).bounds
    assert found.lower <= best <= found.upper
    assert found.gap < OPTIMUM_GAUSSIANS


def test_lower_bound_without_derivatives(coarse):
    rough, fine = (to.by_legendre(coarse.of, coarse.c, n) for n in (80, 160))
    limit = fine + (fine - rough) / 3.0
    assert abs(limit / coarse.bounds.lower - 1.0) < OPTIMUM_LEGENDRE


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.05])
def test_bounds_of_any_convex_u_hold(coarse, factor):
    found = tb.bounds(tb.Points(coarse.of), factor * coarse.c)
    assert found.lower < to.LOWER
    assert found.upper > to.UPPER


def test_lower_bound_holds_where_u_is_not_convex(coarse):
    """And no upper bound is claimed."""
    noise = 1e-2 * np.random.default_rng(5).standard_normal(coarse.c.size)
    found = tb.bounds(tb.Points(coarse.of), coarse.c + noise)
    assert found.folded > 0
    assert found.lower < to.LOWER
    assert found.upper == math.inf


@pytest.mark.parametrize("case", [to.eight_gaussians, to.two_gaussians])
def test_newton_system_against_differences(case):
    of = tb.Potential(*case()[:2], (8, 3))
    at = tb.Points(of)
    weights = at.mass + 1e-3 * at.weights
    rng, c = np.random.default_rng(2), np.zeros(of.n_unknowns)
    hessian = tb.newton_system(at, tb.objective(at, c, weights)[1], weights)[1]
    unit = 1.0 / np.sqrt(hessian.diagonal())  # lengths of steps that keep u convex
    c = 0.1 * unit * rng.standard_normal(c.size) / math.sqrt(c.size)
    direction = unit * rng.standard_normal(c.size) / math.sqrt(c.size)

    def at_step(h):
        value, f = tb.objective(at, c + h * direction, weights)
        return value, tb.newton_system(at, f, weights)[0]

    gradient, hessian = tb.newton_system(at, tb.objective(at, c, weights)[1], weights)
    h = OPTIMUM_WIDE_STEP
    (v2, g2), (v1, g1), (w1, k1), (w2, k2) = (at_step(s * h) for s in (2, 1, -1, -2))
    slope = (8.0 * (v1 - w1) - (v2 - w2)) / (12.0 * h)
    bend = (8.0 * (g1 - k1) - (g2 - k2)) / (12.0 * h)
    assert_allclose(gradient @ direction, slope, rtol=OPTIMUM_ASSEMBLY)
    scale = np.abs(unit * bend).max()
    assert_allclose(
        unit * (hessian @ direction), unit * bend, rtol=0, atol=OPTIMUM_ASSEMBLY * scale
    )


def test_second_derivatives_of_u(coarse):
    """The fields at pairs of a radius and an angle against differences in the plane."""
    x, h = np.array([3.1, 1.7]), OPTIMUM_STEP

    def fields(p):
        r, theta = np.hypot(*p), np.arctan2(p[1], p[0])
        return coarse.of.fields(coarse.c, np.array([[r]]), np.array([[theta]]))

    f = fields(x)
    e = x / np.hypot(*x)
    frame = np.stack([e, [-e[1], e[0]]])
    slope = [(fields(x + h * v).u - fields(x - h * v).u).item() / (2 * h) for v in frame]
    assert_allclose([f.along.item(), f.across.item()], slope, rtol=0, atol=OPTIMUM_ASSEMBLY)

    def gradient(p):
        q = fields(p)
        return coarse.of.moved(q, np.arctan2(p[1], p[0])).ravel()

    H = np.stack([(gradient(x + h * v) - gradient(x - h * v)) / (2 * h) for v in frame]) @ frame.T
    found = [[f.aa.item(), f.ac.item()], [f.ac.item(), f.cc.item()]]
    assert_allclose(found, H, rtol=0, atol=OPTIMUM_ASSEMBLY)
