"""A problem or an ode as a function of JAX, with a ``custom_vjp`` through ``pure_callback``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refode.bridges.asked import check_dtype, is_ode, package
from refode.problems.contract import Problem
from refode.problems.wrapped import problem_of


def jax_function(computed: Any, *data: Any) -> Callable[..., Any]:
    """A function of arrays that JAX differentiates by refode's adjoint, under ``jit`` too.

    Parameters
    ----------
    computed : NeuralODE or problem
        A problem is whatever has ``value_and_gradient``.
    *data
        What comes after theta in a problem's calls; none for a ``NeuralODE``.

    Returns
    -------
    callable
        Of a problem: theta (p,) -> its value, a scalar. Of an ode: theta (p,), x (N, d) ->
        z(T) (N, d). Both once differentiable, in reverse mode (``grad``, ``vjp``, ``jacrev``).

    Raises
    ------
    ImportError
        JAX is missing.
    ValueError
        JAX computes in float32: ``jax_enable_x64`` is not set.
    TypeError
        Arrays that are not float64. What refode refuses in a callback JAX reports as its own
        error, with refode's message in it.

    Examples
    --------
    ::

        jax.config.update("jax_enable_x64", True)
        solve = refode.bridges.jax_function(ode)
        grad = jax.jit(jax.grad(lambda theta: jnp.sum(solve(theta, x) ** 2)))
    """
    alone = is_ode(computed, data)
    jax = package("jax", "jax_function")
    if not jax.config.jax_enable_x64:
        raise ValueError(
            "jax_enable_x64: got False, wanted jax.config.update('jax_enable_x64', True) before "
            "any array is made (refode computes in float64)"
        )
    return _solution(jax, computed) if alone else _value(jax, problem_of(computed), data)


def _called(jax: Any, function: Callable[..., Any], shapes: Any, *given: Any) -> Any:
    """A host function's results, float64 of these shapes; vmap calls it one by one."""
    wanted = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, np.float64), shapes)
    return jax.pure_callback(
        lambda *arrays: function(*map(np.array, arrays)),  # copies, which may be changed
        wanted,
        *given,
        vmap_method="sequential",
    )


def _solution(jax: Any, ode: Any) -> Callable[..., Any]:
    @jax.custom_vjp
    def solve(theta: Any, x: Any) -> Any:
        check_dtype("theta", theta, np.float64)
        check_dtype("x", x, np.float64)
        return _called(jax, ode.solve, x, theta, x)

    def forward(theta: Any, x: Any) -> Any:
        return solve(theta, x), (theta, x)

    def backward(given: Any, z_bar: Any) -> Any:
        return _called(jax, ode.adjoint, given, *given, z_bar)

    solve.defvjp(forward, backward)
    return solve


def _value(jax: Any, problem: Problem, data: tuple[Any, ...]) -> Callable[..., Any]:
    scalar = np.zeros(())

    @jax.custom_vjp
    def value(theta: Any) -> Any:
        check_dtype("theta", theta, np.float64)
        return _called(jax, lambda th: np.asarray(problem.value(th, *data)), scalar, theta)

    def both(theta: Any) -> Any:
        found, gradient = problem.value_and_gradient(theta, *data)
        return np.asarray(found), np.array(gradient)

    def forward(theta: Any) -> Any:
        check_dtype("theta", theta, np.float64)
        return _called(jax, both, (scalar, theta), theta)

    def backward(gradient: Any, bar: Any) -> Any:
        return (bar * gradient,)

    value.defvjp(forward, backward)
    return value
