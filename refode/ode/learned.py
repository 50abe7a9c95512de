"""Steps that are learned with the weights: from theta's last name, "h", to a grid, (D167)-(D169).

Twin: none on the device, which knows no cotangents of t and h.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refode import _validate, bases
from refode.ode.plan import Plan
from refode.packing import Layout
from refode.sweeps.sweep import Grid

Array = np.ndarray
RULES = ("fixed", "free", "simplex", "softmax")
#: A step of length 0 is swept with this one: it moves nothing, and a step's cotangent is divided by
#: its length. Large enough that complex steps of 1e-200 times it are numbers.
NOTHING = 1e-80


class Pruned(NamedTuple):
    """What is left without the layers whose steps are 0, and which these were.

    Attributes
    ----------
    problem : NeuralODE or problem
        The smaller one.
    theta : (p,)
        Its theta, with the same results.
    kept, dropped : (.,) integers
        Numbers of the steps that are left, and of those that are not, from 0 on.
    """

    problem: Any
    theta: Array
    kept: NDArray[np.int64]
    dropped: NDArray[np.int64]


def checked(rule: Any, n_steps: int, basis: bases.Basis, on_gpu: bool) -> str:
    """What ``steps`` says; ValueError where steps cannot be learned."""
    rule = _validate.choice("steps", rule, RULES)
    if rule == "fixed":
        return rule
    if not isinstance(basis, bases.PiecewiseConstant) or basis.n_coefficients not in (1, n_steps):
        raise ValueError(
            f"steps: got {rule!r} with {basis!r}, wanted weights that are constant or belong to "
            f"the step: Constant() or PiecewiseConstant({n_steps})"
        )
    if on_gpu:
        raise ValueError(f"steps: got {rule!r} with device='cuda', wanted device='cpu'")
    return rule


def joined(layout: Layout, rule: str, n_steps: int) -> Layout:
    """The weights' layout and, where steps are learned, "h" (n_steps,) after it."""
    if rule == "fixed":
        return layout
    if "h" in layout.shapes:
        raise ValueError(
            f"steps: got {rule!r} with a field that has weights 'h', wanted 'fixed' (steps take "
            "the name)"
        )
    return layout.joined(Layout({"h": (n_steps,)}))


# --- what theta says of the steps ----------------------------------------------------------------
def sizes(rule: str, h: Array, length: float) -> Array:
    """Steps (n,) of what theta has, real or complex; ``length`` is T - t0 with its sign, (D167)."""
    if rule == "free":
        return h
    if rule == "softmax":
        weights = np.exp(h - h.real.max())
        return weights * (length / np.cumsum(weights)[-1])
    sign = np.sign(length)
    return sign * _projected(sign * h, abs(length))


def sizes_adjoint(rule: str, steps: Array, length: float, h_bar: Array) -> Array:
    """The cotangent of what theta has, from that of the steps that it gave, (D168)."""
    if rule == "free":
        return h_bar
    if rule == "softmax":
        return steps * (h_bar - np.sum(steps * h_bar) / length)
    active = steps.real != 0.0
    return np.where(active, h_bar - h_bar[active].sum() / np.count_nonzero(active), 0.0)


def start(rule: str, steps: Array, length: float) -> Array:
    """What theta has for given steps, all of one sign."""
    return np.log(steps / length * len(steps)) if rule == "softmax" else steps.copy()


def _projected(v: Array, total: float) -> Array:
    """The point of the simplex {h >= 0, sum h = total} that is nearest to v.

    Which entries are 0 is said by the real parts, so that complex steps go along a face. Sums
    go through entries in order: those that are 0 change no bit of the others.
    """
    ordered = np.sort(v.real)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, len(v) + 1)
    rho = np.count_nonzero(ordered > excess)
    threshold = excess[rho - 1]
    active = v.real > threshold
    if v.dtype == np.complex128:
        threshold = threshold + 1j * np.cumsum(v.imag[active])[-1] / np.count_nonzero(active)
    return np.where(active, v - threshold, 0.0)


# --- grids ---------------------------------------------------------------------------------------
def with_sizes(plan: Plan, steps: Array, t0: float) -> Plan:
    """The plan of equal steps with these, or with these backwards where it goes backwards."""
    times = t0 + np.concatenate([np.zeros(1, steps.dtype), np.cumsum(steps)])
    moving = np.where(steps == 0.0, NOTHING, steps)
    if plan.backwards:
        moving, times = -moving[::-1], times[::-1]
    grid = Grid(times[:-1].copy(), moving.copy(), plan.grid.slots)
    return plan._replace(grid=grid, steps=steps)


def steps_bar(plan: Plan, time_bar: Array) -> Array:
    """Cotangent of theta's steps, of that (n, 2) of the grid's times and steps, (D169)."""
    t_bar, h_bar = time_bar[:, 0], time_bar[:, 1]
    n = len(h_bar)
    at_nodes = np.zeros(n + 1, time_bar.dtype)  # of the nodes, forwards
    if plan.backwards:
        at_nodes[1:], h_bar = t_bar[::-1], -h_bar[::-1]
    else:
        at_nodes[:-1] = t_bar
    later = np.cumsum(at_nodes[:0:-1])[::-1]  # of all nodes after a step
    return h_bar + later


def check_second(plan: Plan) -> None:
    """ValueError where a step of length 0 is moved by a complex step through the adjoint."""
    still = (plan.steps.real == 0.0) & (plan.steps.imag != 0.0)
    if still.any():
        n = int(np.argmax(still))
        raise ValueError(
            f"theta: got a step of 0, h[{n}], whose second derivatives are not computed, wanted "
            "steps that are not 0, or a direction that leaves it"
        )


def kept_steps(steps: Array) -> tuple[Array, Array]:
    """Numbers of the steps that are not 0, and of those that are."""
    moves = steps != 0.0
    if not moves.any():
        raise ValueError("theta: got steps that are all 0, wanted one that is not")
    return np.flatnonzero(moves), np.flatnonzero(~moves)
