"""Multiple shooting: stretches, the multipliers that are the adjoint, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from contract import close

import refode
from refode import bases, fields

N, D = 3, 2
NODES = [0.25, 0.75]
CASES = {
    "common": {"own": False, "scheme": "rk4"},
    "own": {"own": True, "scheme": "dopri5"},
    "fitted": {"own": True, "scheme": "tsit5", "initial": "fitted", "readout": True},
    "cells": {"own": True, "scheme": "dopri5", "basis": bases.PiecewiseConstant(4)},
}
cases = pytest.mark.parametrize("case", CASES, ids=lambda name: f"ShallowSpec-{name}")


def made(own, scheme, basis=None, **how):
    """A problem of single shooting and one of multiple, on the same points of the grid."""
    rng = np.random.default_rng(0)
    basis = bases.Legendre(2) if basis is None else basis
    ode = refode.NeuralODE(fields.Shallow(D, 3, time=True), scheme, 4, basis=basis)
    how |= {"n_samples": N} if "initial" in how else {}
    single = refode.TrajectoryFitting(ode, **how)
    many = refode.TrajectoryFitting(ode, **{**how, "n_samples": N}, shooting=NODES)
    times = np.sort(rng.uniform(0.0, 1.0, (N, 6) if own else 6), axis=-1)
    times[..., 0], times[..., 1], times[..., 3] = 0.0, 0.25, 0.75  # ends of stretches
    times.sort(axis=-1)
    values = rng.standard_normal((N, 6, D))
    values[rng.uniform(size=values.shape) < 0.2] = np.nan
    y = refode.Observations(times, values)
    theta = 0.6 * rng.standard_normal(single.n_parameters)
    x = None if "initial" in how else rng.standard_normal((N, D))
    return single, many, theta, x, y


def on_the_path(single, many, theta, x, y):
    """theta with nodes where the single path is."""
    theta, x, y, schedule = single._arguments(theta, x, y)
    z = single._states_seen(theta, x, schedule)
    rows = np.atleast_2d(y.times)[0]
    nodes = z[:, [int(np.flatnonzero(rows == t)[0]) for t in NODES]]
    if y.own:
        which = [[np.flatnonzero(row == t)[0] for t in NODES] for row in y.times]
        nodes = np.take_along_axis(z, np.array(which)[..., None], axis=1)
    return many.pack({**single.unpack(theta), "nodes": nodes})


@cases
def test_on_the_path_it_is_single_shooting(case):
    """Without gaps the value is the same; residuals too; predictions are the single path's."""
    single, many, theta, x, y = made(**CASES[case])
    joined = on_the_path(single, many, theta, x, y)
    assert np.abs(many.gaps(joined, x, y)).max() < 1e-13
    close(many.value_and_gradient(joined, x, y)[0], single.value(theta, x, y), tol.TRAJECTORIES)
    a, b = many.residuals(joined, x, y), single.residuals(theta, x, y)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    close(np.nan_to_num(a), np.nan_to_num(b), tol.TRAJECTORIES)
    moved = joined.copy()
    many.unpack(moved)["nodes"][...] += 1.0
    np.testing.assert_array_equal(
        many.predict(moved, x, [0.3, 0.9]), single.predict(theta, x, [0.3, 0.9])
    )


@cases
def test_multipliers_are_the_adjoint(case):
    """With mu = lambda at the nodes all derivatives are those of single shooting, nodes' none."""
    single, many, theta, x, y = made(**CASES[case])
    joined, mu = on_the_path(single, many, theta, x, y), np.zeros((N, 2, D))
    place = many.layout.slices["nodes"]
    for k in (1, 0):  # stationarity in a node says the multiplier before it
        many = many._copied(many.ode, 10.0, mu)
        left = many.value_and_gradient(joined, x, y)[1][place].reshape(mu.shape)
        mu[:, k] = left[:, k]
    many = many._copied(many.ode, 10.0, mu)
    gradient, wanted = (
        many.value_and_gradient(joined, x, y)[1],
        single.value_and_gradient(theta, x, y)[1],
    )
    assert np.abs(gradient[place]).max() < 1e-13
    close(np.delete(gradient, np.arange(place.start, place.stop)), wanted, tol.TRAJECTORIES)
    assert np.abs(mu).max() > 1e-2


@cases
def test_gradient_off_the_path(case):
    """Against differences of the value, in theta and nodes; Hessian products against its own."""
    single, many, theta, x, y = made(**CASES[case])
    rng = np.random.default_rng(1)
    mu = rng.standard_normal((N, 2, D))
    many = many._copied(many.ode, 3.0, mu)
    theta = on_the_path(single, many, theta, x, y) + 0.1 * rng.standard_normal(many.n_parameters)
    gradient = many.value_and_gradient(theta, x, y)[1]
    for _ in range(3):
        v, e = rng.standard_normal(theta.shape), 1e-5
        up, down = (many.value_and_gradient(theta + s * v, x, y) for s in (e, -e))
        assert (up[0] - down[0]) / (2 * e) == pytest.approx(gradient @ v, rel=1e-7)
        product = many.hessian_vector(theta, v, x, y)
        close(product, (up[1] - down[1]) / (2 * e), tol.TRAJECTORIES_DIFFERENCES)


def test_value_is_the_augmented_lagrangian():
    single, many, theta, x, y = made(**CASES["own"])
    mu = np.random.default_rng(2).standard_normal((N, 2, D))
    many = many._copied(many.ode, 3.0, mu)
    theta = on_the_path(single, many, theta, x, y)
    many.unpack(theta)["nodes"][...] += 0.3 * mu[::-1]
    c, r = many.gaps(theta, x, y), many.residuals(theta, x, y)
    value = np.nansum(r**2) / (2 * y.n_observed) + np.sum(mu * c + 1.5 * c**2)
    close(many.value_and_gradient(theta, x, y)[0], value, tol.TRAJECTORIES)
    terms = many.costs(theta, x, y)
    close(terms["total"], value, tol.TRAJECTORIES)
    close(many.raised(theta, x, y, 7.0).multipliers, mu + 3.0 * c, tol.TRAJECTORIES)
    assert many.raised(theta, x, y, 7.0).penalty == 7.0


def rotation(theta, t, z):
    return theta[0] * np.stack([-z[:, 1], z[:, 0]], axis=1)


def rotation_vjp(theta, t, z, w):
    rate = np.sum(w[:, 1] * z[:, 0] - w[:, 0] * z[:, 1])
    return np.array([rate]), theta[0] * np.stack([w[:, 1], -w[:, 0]], axis=1)


def test_a_frequency_that_single_shooting_misses():
    """omega = 6 from starts below and above it: single shooting ends elsewhere, multiple there."""
    t = np.linspace(0.25, 3.0, 12)
    z = np.stack([np.cos(6.0 * t), np.sin(6.0 * t)], axis=-1)[None]
    y, x = refode.Observations(t, z), np.array([[1.0, 0.0]])
    field = fields.User(rotation, dim=2, n_parameters=1, vjp=rotation_vjp)
    ode = refode.NeuralODE(field, "rk4", 48, (0.0, 3.0))
    single = refode.TrajectoryFitting(ode)
    shooting = refode.TrajectoryFitting(ode, shooting=t[:-1], n_samples=1, penalty=0.4)
    for omega in (0.5, 3.5, 11.0):
        end = refode.train(single, x, y, theta0=[omega], progress=False).x
        assert abs(end[0] - 6.0) > 1.0
        many = shooting
        theta = many.pack({"theta": np.full((1, 1), omega), "nodes": z[:, :-1]})
        for _ in range(2):
            theta = refode.train(many, x, y, theta0=theta, max_iter=300, progress=False).x
            many = many.raised(theta, x, y)
        assert theta[0] == pytest.approx(6.0, abs=2e-3)  # RK4's own omega is 6.0009
        assert np.abs(many.gaps(theta, x, y)).max() < 1e-2


def test_what_shooting_has_not():
    _, many, theta, x, y = made(**CASES["common"])
    theta = many.initial()
    for name in ("gauss_newton_vector", "gradients"):
        given = (theta, theta, x, y) if name.startswith("gauss") else (theta, x, y)
        with pytest.raises(ValueError, match=f"shooting: got times with {name}, wanted None"):
            getattr(many, name)(*given)
    with pytest.raises(ValueError, match="shooting: got None, wanted times of nodes"):
        refode.TrajectoryFitting(many.ode).gaps(theta[: many.ode.n_parameters], x, y)
    early = refode.Observations([0.1, 0.5], np.zeros((N, 2, D)))
    with pytest.raises(ValueError, match="y: got no time beyond 0.5, wanted one beyond the last"):
        many.value_and_gradient(theta, x, early)
    other = refode.Observations(y.times, y.values[:2])
    with pytest.raises(ValueError, match="y: got observations of 2 samples"):
        many.value_and_gradient(theta, x[:2], other)
