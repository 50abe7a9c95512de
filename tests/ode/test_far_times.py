"""Weights in time far from t = 0: the same problem as from 0, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import bases, fields

START = 1.7e9  # a time stamp, in seconds: its neighbours are 2.4e-7 away
END = START + 0.75
X = np.random.default_rng(1).standard_normal((5, 2))
Y = np.array([0, 1, 1, 0, 1])
BASES = [
    bases.Constant(),
    bases.PiecewiseConstant(3),
    bases.PiecewiseLinear(4),
    bases.Legendre(3),
    bases.BSpline(5),
]
GRID = np.array([0.0, 0.125, 0.3125, 0.75])
over_bases = pytest.mark.parametrize("basis", BASES, ids=repr)


def both(basis, scheme="dopri5", grid=None):
    """The ode from 0, and the same one at the time stamp, with the shift between them."""
    field, made = fields.Shallow(2, 4), []
    for t0 in (0.0, START):
        if grid is None:
            made.append(refode.NeuralODE(field, scheme, 7, (t0, t0 + 0.75), basis))
        else:
            made.append(refode.NeuralODE(field, scheme, basis=basis, grid=t0 + grid))
    return made


def drawn(ode):
    return np.random.default_rng(2).standard_normal(ode.n_parameters)


def moved(span):
    return None if span is None else (START + span[0], START + span[1])


@over_bases
@pytest.mark.parametrize("grid", [None, GRID], ids=["equal", "given"])
@pytest.mark.parametrize("span", [None, (0.75, 0.0), (0.25, 0.5), (0.625, 0.125)])
def test_paths_and_derivatives_are_those_from_zero(basis, grid, span):
    near, far = both(basis, grid=grid)
    theta = drawn(near)
    bar = np.random.default_rng(3).standard_normal(X.shape)
    np.testing.assert_array_equal(
        near.trajectory(theta, X, span), far.trajectory(theta, X, moved(span))
    )
    for a, b in zip(near.log_det(theta, X, span), far.log_det(theta, X, moved(span)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        near.tangent(theta, X, theta[::-1].copy(), bar, span),
        far.tangent(theta, X, theta[::-1].copy(), bar, moved(span)),
    )
    for a, b in zip(
        near.adjoint(theta, X, bar, span, times=True),
        far.adjoint(theta, X, bar, moved(span), times=True),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@over_bases
def test_problems_are_those_from_zero(basis):
    near, far = both(basis)
    theta = drawn(near)
    for kind, data in (
        (lambda ode: refode.Supervised(ode, smoothness=0.5), (X, Y)),
        (lambda ode: refode.ContinuousNormalizingFlow(ode, 0.1), (X,)),
    ):
        one, other = kind(near), kind(far)
        at = np.concatenate([theta, np.ones(one.n_parameters - len(theta))])
        for a, b in zip(
            one.value_and_gradient(at, *data), other.value_and_gradient(at, *data), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_the_weights_read_are_exact():
    """theta(t) = t - t0 drives z' = theta: z(t) - x is the integral, (t - t0)^2/2."""
    ode = refode.NeuralODE(
        fields.Affine(1), n_steps=3, t_span=(START, END), basis=bases.PiecewiseLinear(2)
    )
    theta = ode.pack({"A": np.zeros((2, 1, 1)), "c": np.array([[0.0], [0.75]])})
    z = ode.trajectory(theta, np.zeros((1, 1)))[:, 0, 0]
    np.testing.assert_allclose(z, np.array([0.0, 0.25, 0.5, 0.75]) ** 2 / 2, rtol=4e-16)


@pytest.mark.parametrize("t", [0.25, 0.5])
def test_densities_in_between(t):
    near, far = (refode.ContinuousNormalizingFlow(ode) for ode in both(bases.Legendre(3)))
    theta = drawn(near)
    np.testing.assert_array_equal(
        near.log_density(theta, X, t=t), far.log_density(theta, X, t=START + t)
    )


def test_time_itself_stays_what_it_is():
    """A field with time as input is given t, not t - t0."""
    made = refode.NeuralODE(fields.Affine(1, time=True), "euler", 1, (START, END))
    theta = made.pack({"A": [[[0.0, 1.0]]], "c": [[0.0]]})  # z' = t
    z = made.solve(theta, np.zeros((1, 1)))
    assert z[0, 0] == START * 0.75


def test_steps_since_a_time():
    equal, given = refode.steps.Equal(4), refode.steps.Given(START + GRID)
    span = (START, START + 1.0)
    np.testing.assert_array_equal(equal.since(START, span), equal.nodes((0.0, 1.0)))
    np.testing.assert_array_equal(given.since(START, (START, END)), GRID)
    np.testing.assert_array_equal(given.since(START, (END, START)), GRID[::-1])
    near = refode.steps.Given(GRID)
    np.testing.assert_array_equal(given.since(START, span), near.nodes((0.0, 1.0)))
    for steps in (equal, given):
        np.testing.assert_array_equal(steps.since(0.0, span), steps.nodes(span))
