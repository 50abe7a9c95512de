"""NeuralODE on the device: every field, scheme and basis, both ways to run, both memories."""

from __future__ import annotations

import numpy as np
import pytest
from common import MODES, close, laid_out

import refode
from refode import bases, fields, tableaus

FIELDS = {
    "shallow": lambda: fields.Shallow(3, 4),
    "shallow-time": lambda: fields.Shallow(2, 5, time=True),
    "shallow-wide": lambda: fields.Shallow(5, 2, time=True),
    "mlp-0": lambda: fields.MLP(3, (), time=True),
    "mlp-1": lambda: fields.MLP(2, (3,), "softplus"),
    "mlp-2": lambda: fields.MLP(3, (4, 2), ("sine", "tanh"), time=True),
    "mlp-3": lambda: fields.MLP(2, (3, 4, 2), ("softplus", "identity", "sine")),
    "potential": lambda: fields.Potential(3, 4),
    "potential-1": lambda: fields.Potential(2, 3, depth=1),
    "potential-3": lambda: fields.Potential(2, 3, depth=3, rank=2),
    "potential-symmetric": lambda: fields.Potential(2, 3, quadratic="symmetric"),
    "potential-high": lambda: fields.Potential(7, 3, depth=3),
}
BASES = {
    "constant": bases.Constant(),
    "cells": bases.PiecewiseConstant(3),
    "linear": bases.PiecewiseLinear(2),
    "legendre": bases.Legendre(3),
    "spline": bases.BSpline(4),
}


def pair(field, scheme="heun", n_steps=2, t_span=(0.3, -0.9), basis=None, memory="store", **how):
    """The same ode on the CPU and on the device, theta."""
    rest = (scheme, n_steps, t_span, basis or bases.PiecewiseLinear(2), memory)
    here, there = refode.NeuralODE(field, *rest), refode.NeuralODE(field, *rest, "cuda", **how)
    rng = np.random.default_rng(here.n_parameters)
    return here, there, 0.6 * rng.standard_normal(here.n_parameters), rng


def all_of(ode, theta, x, z_bar, path_bar, l_bar):
    """Everything that a sweep computes."""
    return (
        ode.solve(theta, x),
        ode.trajectory(theta, x),
        *ode.log_det(theta, x),
        *ode.adjoint(theta, x, z_bar),
        *ode.adjoint(theta, x, path_bar),
        *ode.log_det_adjoint(theta, x, z_bar, l_bar),
    )


def compared(here, there, theta, rng, n, mode, **how):
    d = here.dim
    x, z_bar = rng.standard_normal((n, d)), rng.standard_normal((n, d))
    path_bar, l_bar = rng.standard_normal((here.n_steps + 1, n, d)), rng.standard_normal(n)
    with laid_out(mode, **how):
        close(
            all_of(there, theta, x, z_bar, path_bar, l_bar),
            all_of(here, theta, x, z_bar, path_bar, l_bar),
        )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FIELDS)
def test_fields(name, mode):
    compared(*pair(FIELDS[name]()), 5, mode)


@pytest.mark.parametrize("scheme", tableaus.names("explicit"))
def test_schemes(scheme):
    compared(*pair(fields.Shallow(2, 2, time=True), scheme), 3, "tile")


@pytest.mark.parametrize("scheme", ["rk4", "dopri5"])
def test_schemes_staged(scheme):
    compared(*pair(fields.Shallow(2, 2, time=True), scheme, n_steps=1), 3, "staged")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("basis", BASES)
def test_bases(basis, mode):
    compared(*pair(fields.Shallow(2, 3), "heun", 3, (0.0, 1.0), BASES[basis]), 3, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["shallow-time", "mlp-2", "potential"])
def test_starts_of_steps(name, mode):
    compared(*pair(FIELDS[name](), "rk4", memory="steps"), 5, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [1, 4, 8, 9])
def test_sizes(n, mode):
    """A sample alone, whole tiles, and a tail."""
    compared(*pair(fields.Shallow(3, 4, time=True)), n, mode)


@pytest.mark.parametrize("mode", MODES)
def test_other_intervals(mode):
    here, there, theta, rng = pair(fields.Shallow(2, 3, time=True))
    x, z_bar = rng.standard_normal((5, 2)), rng.standard_normal((5, 2))
    with laid_out(mode):
        for span in ((-0.9, 0.3), (0.1, -0.4)):
            close(there.solve(theta, x, span), here.solve(theta, x, span))
            close(there.adjoint(theta, x, z_bar, span), here.adjoint(theta, x, z_bar, span))


@pytest.mark.parametrize("mode", MODES)
def test_grids(mode):
    """Steps of one's own, as they are, backwards and stretched; cells that they do not meet."""
    field, grid = fields.Shallow(2, 3, time=True), [-0.2, 0.1, 0.2, 0.9]
    for basis in (bases.PiecewiseConstant(2), bases.PiecewiseLinear(2)):
        here, there = (
            refode.NeuralODE(field, "heun", basis=basis, grid=grid, device=device)
            for device in ("cpu", "cuda")
        )
        rng = np.random.default_rng(1)
        theta = 0.6 * rng.standard_normal(here.n_parameters)
        compared(here, there, theta, rng, 5, mode)
        x, z_bar = rng.standard_normal((5, 2)), rng.standard_normal((5, 2))
        with laid_out(mode):
            for span in ((0.9, -0.2), (0.5, 0.1)):
                close(there.solve(theta, x, span), here.solve(theta, x, span))
                close(there.adjoint(theta, x, z_bar, span), here.adjoint(theta, x, z_bar, span))


@pytest.mark.parametrize("mode", MODES)
def test_against_plain_numpy(mode):
    """An oracle that shares no code with either."""
    field = fields.Shallow(3, 4)
    there = refode.NeuralODE(field, "rk4", 3, device="cuda")
    rng = np.random.default_rng(0)
    theta, x = rng.standard_normal(there.n_parameters), rng.standard_normal((6, 3))
    w = {name: a[0] for name, a in there.unpack(theta).items()}

    def f(z, t):
        return np.tanh(z @ w["W0"].T + w["b0"]) @ w["W1"].T + w["b1"]

    z, h = x.copy(), 1.0 / 3.0
    for n in range(3):
        t = n * h
        k1 = f(z, t)
        k2 = f(z + 0.5 * h * k1, t)
        k3 = f(z + 0.5 * h * k2, t)
        z = z + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + f(z + h * k3, t))
    with laid_out(mode):
        close(there.solve(theta, x), z)


def test_complex_steps_stay_with_the_cpu():
    here, there, theta, rng = pair(fields.Shallow(2, 3, time=True))
    x, theta_dot, x_dot = (rng.standard_normal(s) for s in ((5, 2), theta.shape, (5, 2)))
    assert np.array_equal(
        there.tangent(theta, x, theta_dot, x_dot), here.tangent(theta, x, theta_dot, x_dot)
    )
    got, wanted = (ode.adjoint(theta, x, x_dot, times=True) for ode in (there, here))
    assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("size", [2.0**-900, 2.0**-140, 2.0**130, 2.0**900])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cotangents_of_every_size(size, dtype):
    """Beyond what float32 holds, too: they come to the device at size one."""
    here, there, theta, rng = pair(fields.Shallow(2, 3), dtype=dtype)
    x, z_bar, l_bar = (rng.standard_normal(shape) for shape in ((5, 2), (5, 2), (5,)))
    with laid_out("tile"):
        got = there.log_det_adjoint(theta, x, size * z_bar, size * l_bar)
    wanted = here.log_det_adjoint(theta, x, z_bar, l_bar)
    close(tuple(bar / size for bar in got), wanted, 1e-5 if dtype == "float32" else 1e-13)
