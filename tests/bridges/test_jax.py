"""The bridge to JAX: values and derivatives of refode's own, under jit too."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from rough_problem import Bowl

import refode

jax = pytest.importorskip("jax")
jax.config.update("jax_enable_x64", True)

RNG = np.random.default_rng(2)
X, Z_BAR = RNG.standard_normal((2, 7, 2))
Y = (X[:, 0] > 0).astype(float)
ODE = refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=3, basis=refode.bases.Legendre(2))
PROBLEM = refode.Supervised(ODE, "logistic", tikhonov=0.1)


def same(got, want):
    assert got.dtype == np.float64
    assert np.asarray(got).tobytes() == np.asarray(want).tobytes()


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "jit"])
def test_a_problem(compiled):
    made = refode.bridges.jax_function(PROBLEM, X, Y)
    value, both = made, jax.value_and_grad(made)
    if compiled:
        value, both = jax.jit(value), jax.jit(both)
    theta = PROBLEM.initial(seed=1)
    same(value(theta), PROBLEM.value(theta, X, Y))
    for got, want in zip(both(theta), PROBLEM.value_and_gradient(theta, X, Y), strict=True):
        same(got, want)
    doubled = jax.grad(lambda th: 2.0 * made(th))(theta)
    same(doubled, 2.0 * PROBLEM.value_and_gradient(theta, X, Y)[1])


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "jit"])
def test_an_ode(compiled):
    solve = refode.bridges.jax_function(ODE)
    theta = ODE.initial(seed=1)

    def total(theta, x):
        return jax.numpy.sum(Z_BAR * solve(theta, x))

    gradient = jax.grad(total, argnums=(0, 1))
    if compiled:
        solve, gradient = jax.jit(solve), jax.jit(gradient)
    same(solve(theta, X), ODE.solve(theta, X))
    for got, want in zip(gradient(theta, X), ODE.adjoint(theta, X, Z_BAR), strict=True):
        same(got, want)


def test_jax_agrees_by_its_own_check():
    from jax.test_util import check_grads

    solve = refode.bridges.jax_function(ODE)
    check_grads(solve, (ODE.initial(seed=1), X), order=1, modes=["rev"])
    check_grads(
        refode.bridges.jax_function(PROBLEM, X, Y), (PROBLEM.initial(1),), order=1, modes=["rev"]
    )


def test_many_weights_at_a_time():
    value = refode.bridges.jax_function(PROBLEM, X, Y)
    thetas = np.stack([PROBLEM.initial(seed=s) for s in range(3)])
    got = jax.vmap(jax.grad(value))(thetas)
    same(got, np.stack([PROBLEM.value_and_gradient(th, X, Y)[1] for th in thetas]))


def test_what_is_refused():
    value, solve = refode.bridges.jax_function(PROBLEM, X, Y), refode.bridges.jax_function(ODE)
    theta = PROBLEM.initial().astype(np.float32)
    with pytest.raises(TypeError, match=r"^theta: got dtype float32, wanted .*float64"):
        value(theta)
    with pytest.raises(TypeError, match=r"^theta: got dtype float32"):
        jax.grad(value)(theta)
    with pytest.raises(TypeError, match=r"^x: got dtype int64, wanted .*float64"):
        solve(ODE.initial(), X.astype(int))
    with pytest.raises(TypeError, match=r"^computed: got 3 \(int\), wanted a NeuralODE or a pro"):
        refode.bridges.jax_function(3)
    with pytest.raises(TypeError, match=r"^data: got 1 with a NeuralODE, wanted none"):
        refode.bridges.jax_function(ODE, X)


def test_float32_is_refused_with_the_setting_to_change():
    code = (
        "import refode\n"
        "ode = refode.NeuralODE(refode.fields.Shallow(2, 3))\n"
        "try:\n    refode.bridges.jax_function(ode)\n"
        "except ValueError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.startswith("jax_enable_x64: got False, wanted jax.config.update("), done


def test_a_problem_with_value_and_gradient_alone():
    value, theta = refode.bridges.jax_function(Bowl()), np.array([1.0, 2.0, 3.0])
    one, other = jax.grad(value)(theta), jax.grad(value)(2.0 * theta)
    same(value(theta), 14.0)
    same(one, [2.0, 4.0, 6.0])
    same(other, [4.0, 8.0, 12.0])
