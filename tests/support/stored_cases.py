"""One small case of every kind of problem, for the values and gradients that are stored.

A case is a function of a generator that returns named arrays. Compiling is what takes time,
once for each kind of field, dynamics, cost and number type; so cases share kinds with one
another and with the other tests' cases, and schemes, bases and sizes vary within a kind. The
name's first part is the description that conftest.py deals tests to workers by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import stored_games  # noqa: F401 (registers the games)
from stored_case import CASES, MANY, Array, Draw, Found, case, prefixed, thinned

import refode
from refode import bases, evaluate, fields

__all__ = ["CASES"]

T_SPAN, INNER = (-0.3, 1.7), (1.4, 0.07)  # the second runs backwards within the first

NARROW, WIDE = fields.Shallow(2, 7, time=True), fields.Shallow(5, 6)
ANTISYMMETRIC = fields.Antisymmetric(3, gamma=0.4, activation="sine")
MLP = fields.MLP(2, (3, 4), "softplus", time=True)
PARABOLIC = fields.Parabolic(3, 2, time=True)
HAMILTONIAN = fields.Hamiltonian(4, time=True)
LEAPFROG = fields.Leapfrog(4, 3, "softplus", time=True)


# --- neural ODEs -------------------------------------------------------------------------------
def solved(
    rng: Draw,
    field: Any,
    scheme: str,
    basis: Any,
    n: int,
    memory: str = "store",
    tangent: bool = True,
    log_det: bool = True,
) -> Found:
    """Everything a NeuralODE computes, along its own interval and backwards within it."""
    ode = refode.NeuralODE(field, scheme, 3, T_SPAN, basis, memory)
    theta, x = 0.6 * rng.standard_normal(ode.n_parameters), rng.standard_normal((n, ode.dim))
    z_bar, path_bar = rng.standard_normal(x.shape), rng.standard_normal((4, *x.shape))
    found = {
        "solve": thinned(ode.solve(theta, x, t_span=INNER), n),
        "trajectory": thinned(ode.trajectory(theta, x), n),
    }
    end = ode.adjoint(theta, x, z_bar, t_span=INNER, times=True)
    path = ode.adjoint(theta, x, path_bar, times=True)
    found |= {"end theta": end[0], "end x": thinned(end[1], n), "end times": end[2]}
    found |= {"path theta": path[0], "path x": thinned(path[1], n), "path times": path[2]}
    if tangent:
        dots = rng.standard_normal(theta.size), rng.standard_normal(x.shape)
        found["tangent"] = thinned(ode.tangent(theta, x, *dots), n)
    if log_det:
        l_bar = rng.standard_normal(n)
        z, l = ode.log_det(theta, x, t_span=INNER)  # noqa: E741
        bars = ode.log_det_adjoint(theta, x, z_bar, l_bar, times=True)
        found |= {"log_det z": thinned(z, n), "log_det l": thinned(l, n)}
        found |= {"log_det theta": bars[0], "log_det x": thinned(bars[1], n)}
        found["log_det times"] = bars[2]
    return prefixed(f"{scheme} {type(basis).__name__} {memory} {n}", found)


@case("NarrowShallowSpec-ode")
def narrow_ode(rng: Draw) -> Found:
    """Every basis, memory and sort of scheme, from one sample to several blocks."""
    return (
        solved(rng, NARROW, "rk4", bases.Constant(), 1)
        | solved(rng, NARROW, "dopri5", bases.Legendre(3), 13)
        | solved(rng, NARROW, "euler", bases.PiecewiseConstant(3), MANY, "steps")
        | solved(rng, NARROW, "rk4", bases.BSpline(5), 9, "steps")
        | solved(rng, fields.Shallow(2, 4), "heun", bases.PiecewiseLinear(4), MANY)
    )


@case("ShallowSpec-ode")
def wide_ode(rng: Draw) -> Found:
    return solved(rng, WIDE, "rk4", bases.PiecewiseLinear(3), 5) | solved(
        rng, fields.Shallow(5, 7, time=True), "dopri5", bases.Constant(), 300, "steps"
    )


@case("AffineSpec-ode")
def affine_ode(rng: Draw) -> Found:
    return solved(rng, fields.Affine(2), "rk4", bases.Legendre(2), 1, tangent=False) | solved(
        rng, fields.Affine(3, time=True), "midpoint", bases.Constant(), 300, tangent=False
    )


@case("HamiltonianSpec-ode")
def hamiltonian_ode(rng: Draw) -> Found:
    """The symplectic schemes, with all that may be kept of a path."""
    return solved(rng, HAMILTONIAN, "verlet", bases.PiecewiseConstant(3), 5, "reverse") | solved(
        rng, fields.Hamiltonian(6, "sine"), "stormer_verlet", bases.BSpline(5), 300, "steps"
    )


@case("LeapfrogSpec-ode")
def leapfrog_ode(rng: Draw) -> Found:
    return solved(rng, LEAPFROG, "verlet", bases.PiecewiseLinear(3), 5, tangent=False) | solved(
        rng, LEAPFROG, "stormer_verlet", bases.Constant(), 300, "reverse", tangent=False
    )


def by_itself(rng: Draw, field: Any, n: int = 5) -> Found:
    """Value and adjoint of a field without its trace, which flows have."""
    w, z = 0.7 * rng.standard_normal(field.n_weights), rng.standard_normal((n, field.dim))
    bars = evaluate.adjoint(field, w, z, rng.standard_normal(z.shape), t=0.4)
    found = {"value": evaluate.value(field, w, z, 0.4), "weights": bars[0], "z": bars[1]}
    return prefixed("field", found | {"t": np.array(bars[2])})


@case("PotentialSpec-field")
def potential(rng: Draw) -> Found:
    """All four derivatives and their adjoint; as a field of ODEs with its trace."""
    found: Found = {}
    for i, args in enumerate(
        [
            (2, 4, 2),
            (7, 3, 2, 2),
            (3, 3, 4, 2),
            (2, 3, 2, None, "symmetric"),
            (7, 3, 3, None, "symmetric"),
            (2, 3, 1),
        ]
    ):
        field: Any = fields.Potential(*args)
        w, x = 0.6 * rng.standard_normal(field.n_weights), rng.standard_normal((3 + i, field.dim))
        four = evaluate.potential(field, w, x, 0.6)
        bars = [rng.standard_normal(a.shape) for a in four]
        back = evaluate.potential_adjoint(field, w, x, *bars, t=0.6)
        named = dict(zip(("phi", "gradient", "time", "laplacian"), four, strict=True))
        named |= {"weights": back[0], "x": back[1], "t": np.array(back[2])}
        found |= prefixed(str(args), named)
    ode = refode.NeuralODE(fields.Potential(2, 4, 2), "rk4", 2, basis=bases.PiecewiseLinear(2))
    theta, x = 0.4 * rng.standard_normal(ode.n_parameters), rng.standard_normal((130, 2))
    z, l = ode.log_det(theta, x)  # noqa: E741
    bars = list(ode.log_det_adjoint(theta, x, x, l, times=True))
    found |= {"ode z": thinned(z, 130), "ode l": thinned(l, 130), "ode theta": bars[0]}
    return found | {"ode x": thinned(bars[1], 130), "ode times": bars[2]}


# --- supervised learning -----------------------------------------------------------------------
def learned(
    rng: Draw,
    field: Any,
    scheme: str,
    basis: Any,
    n: int,
    loss: str,
    m: int = 1,
    memory: str = "store",
    second: bool = True,
    **how: Any,
) -> Found:
    """Value, gradient and both products with second derivatives."""
    ode = refode.NeuralODE(field, scheme, 3, T_SPAN, basis, memory)
    problem = refode.Supervised(ode, loss, m, **how)
    theta, v = (0.7 * rng.standard_normal(problem.n_parameters) for _ in range(2))
    x = rng.standard_normal((n, problem.n_inputs))
    y: Array = rng.standard_normal((n, problem.n_outputs))
    if loss != "regression":
        y = rng.integers(2 if loss == "logistic" else problem.n_outputs, size=n)
    both = problem.value_and_gradient(theta, x, y)
    found = {"objective": np.array(both[0]), "gradient": both[1]}
    if second:
        found["value"] = np.array(problem.value(theta, x, y))
        found["hessian"] = problem.hessian_vector(theta, v, x, y)
        found["gauss_newton"] = problem.gauss_newton_vector(theta, v, x, y)
        found["predict"] = thinned(problem.predict(theta, x), n)
    given = " ".join(f"{k}={a}" for k, a in how.items())
    return prefixed(f"{loss} {m} {scheme} {type(basis).__name__} {memory} {n} {given}", found)


@case("NarrowShallowSpec-supervised")
def narrow_supervised(rng: Draw) -> Found:
    """All losses, with and without readout, padding and either penalty."""
    linear = bases.PiecewiseLinear(3)
    return (
        learned(rng, NARROW, "rk4", bases.PiecewiseConstant(3), MANY, "logistic", augment=1)
        | learned(rng, NARROW, "heun", linear, 5, "logistic", tikhonov=0.1, smoothness=0.4)
        | learned(
            rng, NARROW, "dopri5", bases.Legendre(3), 9, "softmax", 3, "steps", smoothness=0.5
        )
        | learned(rng, NARROW, "euler", bases.Constant(), 1, "softmax", 2, readout=False)
        | learned(rng, NARROW, "rk4", bases.BSpline(5), 13, "regression", 2, tikhonov=0.3)
        | learned(rng, NARROW, "rk4", linear, 300, "regression", 2, readout=False)
    )


@case("NarrowShallowSpec-supervised-3")
def three_supervised(rng: Draw) -> Found:
    """The figures' own kind."""
    field = fields.Shallow(3, 16)
    return learned(
        rng,
        field,
        "rk4",
        bases.PiecewiseConstant(3),
        MANY,
        "logistic",
        second=False,
        augment=1,
        tikhonov=0.01,
    )


@case("ShallowSpec-supervised")
def wide_supervised(rng: Draw) -> Found:
    return learned(
        rng, WIDE, "rk4", bases.Constant(), 300, "softmax", 4, augment=3, tikhonov=0.1
    ) | learned(rng, WIDE, "euler", bases.PiecewiseConstant(3), 1, "regression", 5, readout=False)


@case("HamiltonianSpec-supervised")
def hamiltonian_supervised(rng: Draw) -> Found:
    return learned(
        rng,
        HAMILTONIAN,
        "verlet",
        bases.PiecewiseConstant(3),
        21,
        "softmax",
        3,
        "reverse",
        augment=2,
        tikhonov=0.1,
    )


# --- normalizing flows -------------------------------------------------------------------------
class FormerNoise(refode.ContinuousNormalizingFlow):
    """With the noise that the estimate had when values were stored, from the plain seed."""

    def _start(self, y: Array) -> Array:
        if self.trace == "exact":
            return y
        rng = np.random.default_rng(self.noise_seed)
        if self.trace == "gaussian":
            return np.concatenate([y, rng.standard_normal(y.shape)], axis=1)
        return np.concatenate([y, rng.choice([-1.0, 1.0], size=y.shape)], axis=1)


def flowed(
    rng: Draw,
    field: Any,
    scheme: str,
    basis: Any,
    n: int,
    second: bool = False,
    trace: str = "exact",
    density: bool = True,
    memory: str = "store",
) -> Found:
    """Objective and gradient; densities, inverses and samples where the trace is exact."""
    ode = refode.NeuralODE(field, scheme, 3, T_SPAN, basis, memory)
    flow = FormerNoise(ode, 0.3, 0.1, 0.2, trace)
    theta, v = (0.5 * rng.standard_normal(flow.n_parameters) for _ in range(2))
    y = rng.standard_normal((n, flow.dim))
    both = flow.value_and_gradient(theta, y)
    found = {"objective": np.array(both[0]), "gradient": both[1]}
    if second:
        found["hessian"] = flow.hessian_vector(theta, v, y)
        found["generate"] = thinned(flow.generate(theta, y), n)
    if density:
        found["value"] = np.array(flow.value(theta, y))
        found["log_density"] = thinned(flow.log_density(theta, y, t=0.9), n)
        x, log_det = flow.inverse(theta, y)
        found |= {"inverse": thinned(x, n), "inverse log_det": thinned(log_det, n)}
    return prefixed(f"{trace} {scheme} {type(basis).__name__} {memory} {n}", found)


@case("NarrowShallowSpec-flow")
def narrow_flow(rng: Draw) -> Found:
    """The exact trace and both estimates."""
    return (
        flowed(rng, NARROW, "rk4", bases.Legendre(3), MANY, second=True)
        | flowed(rng, fields.Shallow(2, 8), "dopri5", bases.Constant(), 1, second=True)
        | flowed(rng, NARROW, "euler", bases.PiecewiseConstant(3), 13, memory="steps")
        | flowed(rng, NARROW, "rk4", bases.PiecewiseLinear(3), 300, trace="gaussian")
        | flowed(rng, NARROW, "heun", bases.Constant(), 5, trace="rademacher")
    )


@case("ShallowSpec-flow")
def wide_flow(rng: Draw) -> Found:
    return flowed(rng, WIDE, "heun", bases.PiecewiseConstant(3), 300, second=True) | flowed(
        rng, WIDE, "rk4", bases.BSpline(5), 5, trace="rademacher", density=False
    )


@case("MLPSpec-flow")
def mlp_flow(rng: Draw) -> Found:
    return (
        by_itself(rng, MLP)
        | flowed(rng, MLP, "rk4", bases.Legendre(3), 300)
        | flowed(rng, fields.MLP(2, (5,), "tanh"), "rk4", bases.Constant(), 1)
    )


@case("AntisymmetricSpec-flow")
def antisymmetric_flow(rng: Draw) -> Found:
    found = by_itself(rng, fields.Antisymmetric(3, 0.2, time=True))
    return found | flowed(rng, ANTISYMMETRIC, "kutta3", bases.PiecewiseLinear(3), 300)


@case("ParabolicSpec-flow")
def parabolic_flow(rng: Draw) -> Found:
    found = by_itself(rng, fields.Parabolic(2, 3, "sine"))
    return found | flowed(rng, PARABOLIC, "dopri5", bases.BSpline(5), 300)


@case("HamiltonianSpec-flow")
def hamiltonian_flow(rng: Draw) -> Found:
    return flowed(rng, HAMILTONIAN, "rk4", bases.Legendre(3), 300)
