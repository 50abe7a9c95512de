"""Losses and mixtures where outputs are so large that their logarithms have no digits to spare."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

import refode
from refode import densities, fields
from refode.check.plain import problems as plain
from refode.check.plain.mistakes import Mistakes
from refode.costs import losses
from refode.densities import Gaussian, GaussianMixture

FAR = np.array([[1e15 + 1.0, 1e15]])
P = 1.0 / (1.0 + math.exp(-1.0))  # of class 0
#: Right values: log(1 + 1/e), and 1 more for the other class.
RIGHT = {0: math.log1p(math.exp(-1.0)), 1: 1.0 + math.log1p(math.exp(-1.0))}


def still(readout, loss="softmax", m=2):
    """A problem whose outputs are its inputs, and its parameters."""
    ode = refode.NeuralODE(fields.Affine(m), n_steps=1)
    problem = refode.Supervised(ode, loss, m, readout=readout)
    arrays = {k: np.zeros(v.shape) for k, v in problem.unpack(problem.initial()).items()}
    if readout:
        arrays["W"][...] = np.eye(m)
    return problem, problem.pack(arrays)


@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize("y", RIGHT)
def test_softmax_keeps_its_digits(y, readout):
    problem, theta = still(readout)
    value, gradient = problem.value_and_gradient(theta, FAR, [y])
    assert value == pytest.approx(RIGHT[y], rel=1e-15)
    assert problem.value(theta, FAR, [y]) == value
    assert problem.costs(theta, FAR, [y])["loss"] == value
    np.testing.assert_allclose(problem.predict_proba(theta, FAR), [[P, 1.0 - P]], rtol=1e-15)
    shift = problem.unpack(gradient)["b" if readout else "c"].ravel()  # z(1) = x + c
    np.testing.assert_allclose(shift, [P - (y == 0), 1.0 - P - (y == 1)], rtol=1e-14)
    v = np.zeros_like(theta)
    problem.unpack(v)["b" if readout else "c"][..., 0] = 1.0
    for product in (problem.hessian_vector, problem.gauss_newton_vector):
        row = problem.unpack(product(theta, v, FAR, [y]))["b" if readout else "c"].ravel()
        np.testing.assert_allclose(row, P * (1.0 - P) * np.array([1.0, -1.0]), rtol=1e-14)


@pytest.mark.parametrize("y", RIGHT)
def test_softmax_by_itself(y):
    loss = losses.Softmax()
    assert loss.values(FAR, [y])[0] == pytest.approx(RIGHT[y], rel=1e-15)
    np.testing.assert_allclose(
        loss.gradient(FAR, [y])[0], [P - (y == 0), 1.0 - P - (y == 1)], rtol=1e-14
    )


@pytest.mark.parametrize(("v", "y", "right"), [(1e15, 0, 1e15), (1e15, 1, 0.0), (-1e15, 0, 0.0)])
def test_logistic_keeps_its_digits(v, y, right):
    problem, theta = still(True, "logistic", 1)
    for value in (
        problem.value(theta, [[v]], [y]),
        problem.value_and_gradient(theta, [[v]], [y])[0],
        losses.Logistic().values([[v]], [y])[0],
    ):
        assert value == right
    small = problem.value(theta, [[40.0]], [1])
    assert small == pytest.approx(math.log1p(math.exp(-40.0)), rel=1e-14)


def test_the_plain_formula_keeps_them_too():
    of = SimpleNamespace(m=Mistakes(), setting={"loss": "softmax"})
    for y, right in RIGHT.items():
        found = plain.Supervised.losses(of, FAR[None], np.array([y]))
        assert found[0, 0] == pytest.approx(right, rel=1e-15)


@pytest.mark.parametrize("covariance", [[[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.5], [0.5, 1.0]]])
@pytest.mark.parametrize("x", [1e7 + 0.3, -3e6 - 0.7])
def test_shares_of_a_mixture_far_away_sum_to_one(covariance, x):
    """Three components in one place are one: its score, from a cost's kernel and by methods.

    Half the square of a distance of 1e7 has digits down to 0.01 only, and with it log rho.
    """
    mixture = GaussianMixture([0.25, 0.25, 0.5], np.zeros((3, 2)), [covariance] * 3)
    one, z = Gaussian([0.0, 0.0], covariance), np.array([[x, 1.0]])
    right = one.log_density_gradient(z)
    np.testing.assert_allclose(mixture.log_density_gradient(z), right, rtol=4e-15)
    np.testing.assert_allclose(score_in_kernel(mixture, z), right, rtol=4e-15)


def score_in_kernel(density, z):
    """grad log rho(z), as the gradient of KL in the velocity -b of agents who stand still."""
    start = Gaussian(z[0], 1.0)
    game = refode.MeanFieldGame(
        fields.Potential(2, 3), refode.games.optimal_transport(start, density), n_steps=1
    )
    gradient = game.value_and_gradient(np.zeros(game.n_parameters), z)[1]
    return game.unpack(gradient)["b"][None, :2]


def test_densities_far_away_are_those_of_the_nearest():
    mixture = densities.GaussianMixture([0.5, 0.5], [[0.0], [4.0]], 1.0)
    x = np.array([[1e8], [-1e8]])
    nearest = np.array([[4.0], [0.0]])
    np.testing.assert_allclose(mixture.log_density_gradient(x), nearest - x, rtol=1e-15)
