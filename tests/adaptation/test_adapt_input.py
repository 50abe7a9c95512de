"""Bad input of ``refode.adapt``: what came, what was wanted, and who forced it."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode import fields

GOOD = {"rtol": 1e-5, "atol": 1e-7}


def given(scheme="dopri5", scale=1.0):
    ode = refode.NeuralODE(fields.Shallow(2, 4), scheme)
    return ode, scale * ode.initial(), np.random.default_rng(0).normal(size=(5, 2))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rtol": 0.0}, ValueError, "rtol: got 0.0, wanted a number > 0"),
        ({"rtol": -1e-3}, ValueError, "rtol: got -0.001, wanted a number > 0"),
        ({"rtol": 1e-15}, ValueError, "rtol: got 1e-15, wanted at least 1e-13"),
        ({"rtol": 2.0}, ValueError, "rtol: got 2.0, wanted a number below 1"),
        ({"rtol": "small"}, TypeError, "rtol: got"),
        ({"atol": 0.0}, ValueError, "atol: got 0.0, wanted a number > 0"),
        ({"atol": np.nan}, ValueError, "atol: got nan, wanted a finite number"),
        ({"error_in": ("log_det",)}, ValueError, "error_in: got .*wanted 'z' among them"),
        ({"error_in": ("z", "y")}, ValueError, "error_in: got 'y', wanted one of"),
        ({"norm": "l2"}, ValueError, "norm: got 'l2', wanted one of 'max', 'rms'"),
        ({"controller": "pid"}, ValueError, "controller: got 'pid', wanted one of 'pi', 'i'"),
        ({"stops": [0.5, 1.5]}, ValueError, r"stops: got 1.5, wanted times within \[0.0, 1.0\]"),
        ({"stops": 0.5}, ValueError, "stops: got an array of shape"),
        ({"first_step": 0.0}, ValueError, "first_step: got 0.0, wanted a number > 0"),
        ({"max_steps": 0}, ValueError, "max_steps: got 0, wanted an int >= 1"),
        ({"z_bar": np.ones((5, 3))}, ValueError, r"z_bar: got an array of shape \(5, 3\)"),
    ],
)
def test_arguments_are_named(change, error, message):
    with pytest.raises(error, match=message):
        refode.adapt(*given(), **{**GOOD, **change})


@pytest.mark.parametrize("scheme", ["rk4", "euler"])
def test_schemes_without_a_pair_are_refused(scheme):
    with pytest.raises(ValueError, match=r"ode: got scheme .*'dopri5', 'tsit5'"):
        refode.adapt(*given(scheme), **GOOD)
    field = fields.Hamiltonian(2)
    ode = refode.NeuralODE(field, "verlet")
    with pytest.raises(ValueError, match="ode: got scheme 'verlet'"):
        refode.adapt(ode, ode.initial(), np.ones((3, ode.dim)), **GOOD)


def test_no_ode_is_a_type_error():
    ode, theta, x = given()
    with pytest.raises(TypeError, match="ode: got"):
        refode.adapt(ode.field, theta, x, **GOOD)


def test_too_many_steps_say_where_and_by_whom():
    ode = refode.NeuralODE(fields.Shallow(1, 1), "dopri5")
    theta = ode.pack({"W0": [[[1.0]]], "b0": [[0.0]], "W1": [[[-3000.0]]], "b1": [[0.0]]})
    x = np.array([[1e-9], [2e-9], [1.3], [1e-9]])
    with pytest.raises(ValueError, match=r"more than max_steps=50 at t = 0\.\d+ .*sample 2 of x"):
        refode.adapt(ode, theta, x, rtol=1e-6, atol=1e-6, max_steps=50)
    assert refode.adapt(ode, theta, x, rtol=1e-6, atol=1e-6)[1].n_steps > 500


def test_a_path_that_blows_up_says_where_and_by_whom():
    def f(theta, t, z):
        return theta[0] * z**2

    def vjp(theta, t, z, f_bar):
        return [np.sum(f_bar * z**2)], 2 * theta[0] * z * f_bar

    ode = refode.NeuralODE(fields.User(f, dim=1, n_parameters=1, vjp=vjp), "dopri5")
    x = np.array([[0.1], [2.0], [0.2]])  # 1/(1/x - t) ends at t = 1/2
    with pytest.raises(ValueError, match=r"shorter than .* at t = 0\.5 .*sample 1 of x"):
        refode.adapt(ode, np.ones(1), x, rtol=1e-6, atol=1e-6, max_steps=10**6)


def test_slopes_that_are_not_finite_at_the_start_are_named():
    def f(theta, t, z):
        return theta[0] / z

    def vjp(theta, t, z, f_bar):
        return [np.sum(f_bar / z)], -theta[0] / z**2 * f_bar

    field = fields.User(f, dim=1, n_parameters=1, vjp=vjp)
    ode = refode.NeuralODE(field, "dopri5")
    with pytest.raises(ValueError, match="x: got sample 1, whose slope leaves the finite range"):
        refode.adapt(ode, np.ones(1), np.array([[1.0], [0.0]]), **GOOD)


def test_what_a_field_raises_is_raised_on_any_thread():
    calls = []

    def f(theta, t, z):
        calls.append(t)
        if len(calls) > 40:
            raise RuntimeError("no more")
        return -z * theta[0]

    def vjp(theta, t, z, f_bar):
        return [-np.sum(f_bar * z)], -theta[0] * f_bar

    field = fields.User(f, dim=1, n_parameters=1, vjp=vjp, check=False)
    ode = refode.NeuralODE(field, "dopri5")
    with pytest.raises(ValueError, match="f: raised RuntimeError: no more"):
        refode.adapt(ode, np.ones(1), np.ones((5000, 1)), rtol=1e-10, atol=1e-12)


def test_a_gradient_that_wants_too_many_steps_says_where():
    def f(theta, t, z):
        return theta[0] * np.sin(1e5 * t) + 0.0 * z

    def vjp(theta, t, z, f_bar):
        return [np.sin(1e5 * t) * np.sum(f_bar)], 0.0 * f_bar

    field = fields.User(f, dim=1, n_parameters=1, vjp=vjp)
    ode = refode.NeuralODE(field, "dopri5")
    one = np.ones((1, 1))
    with pytest.raises(ValueError, match="max_steps=200 at t = .* where the gradient wants it"):
        refode.adapt(ode, np.zeros(1), one, rtol=1e-9, atol=1e-9, z_bar=one, max_steps=200)
