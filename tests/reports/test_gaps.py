"""The gap of the library's own models: the discrete adjoint is that of the sweeps."""

from __future__ import annotations

import numpy as np
import pytest
from closed_form_checks import close
from tolerances import GAP_ORDER, GAP_ROUNDING

import refode
from refode import bases, fields

CASES = {
    "constant": (fields.Shallow(2, 3), bases.Constant(), "rk4"),
    "cells": (fields.Shallow(2, 3, time=True), bases.PiecewiseConstant(4), "heun"),
    "legendre": (fields.Antisymmetric(2, time=True), bases.Legendre(3), "kutta3"),
    "hats": (fields.MLP(2, (3,)), bases.PiecewiseLinear(3), "rk4"),
}


def drawn(field, basis, scheme, n_steps=8, t_span=(0.3, 1.6)):
    ode = refode.NeuralODE(field, scheme, n_steps, t_span, basis)
    rng = np.random.default_rng(4)
    theta = 0.8 * rng.standard_normal(ode.n_parameters)
    return ode, theta, *rng.standard_normal((2, 3, ode.dim))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("t_span", [None, (1.6, 0.3)])
def test_the_discrete_adjoint_is_the_sweeps(case, t_span):
    """Two codes, and weights that are read in the cells of steps."""
    ode, theta, x, z_bar = drawn(*case)
    report = refode.reports.adjoint_gap(ode, theta, x, z_bar, n_steps=[8], t_span=t_span)
    theta_bar, x_bar = ode.adjoint(theta, x, z_bar, t_span)
    close(report.theta_bar, theta_bar, GAP_ROUNDING)
    close(report.x_bar, x_bar, GAP_ROUNDING)


#: Of "hermite" and of "backsolve", by which Heun's scheme gains one.
ORDERS = {"constant": (4, 4), "cells": (2, 3), "hats": (4, 4)}


@pytest.mark.parametrize("name", ORDERS)
def test_orders(name):
    field, basis, scheme = CASES[name]
    ode, theta, x, z_bar = drawn(field, basis, scheme)
    report = refode.reports.adjoint_gap(ode, theta, x, z_bar, ["backsolve", "hermite"], (64, 128))
    for kind, wanted in zip(("hermite", "backsolve"), ORDERS[name], strict=True):
        assert abs(report.orders[kind].order - wanted) < GAP_ORDER


def test_bad_input_is_named():
    ode, theta, x, z_bar = drawn(*CASES["cells"])
    gap = refode.reports.adjoint_gap
    with pytest.raises(TypeError, match=r"^ode: got "):
        gap(ode.field, theta, x, z_bar)
    with pytest.raises(ValueError, match=r"^theta: got an array of shape"):
        gap(ode, theta[1:], x, z_bar)
    with pytest.raises(ValueError, match=r"^x: got an array of shape"):
        gap(ode, theta, x[:, :1], z_bar)
    with pytest.raises(ValueError, match=r"^z_bar: got an array of shape"):
        gap(ode, theta, x, z_bar[:1])
    with pytest.raises(ValueError, match=r"^t_span: got the normalised time"):
        gap(ode, theta, x, z_bar, t_span=(0.0, 9.0))
    verlet = refode.NeuralODE(fields.Hamiltonian(2), "verlet")
    with pytest.raises(ValueError, match=r"^ode: got scheme='verlet', wanted an explicit Runge"):
        gap(verlet, verlet.initial(), x, z_bar)
