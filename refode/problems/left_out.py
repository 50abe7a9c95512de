"""What the fit would be without each sample, by one Newton step, (D148).

The objective is phi = sum_i s_i phi_i + R. Without sample i, the others' shares s staying as they
are, its Newton step from theta is -(H - s_i H_i)^{-1} (g - s_i g_i). Where samples have outputs,
H_i is J^T Lambda J, their loss's curvature by linearised outputs: leverages say then what they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode._blas import one_thread
from refode._quiet import quietly
from refode._scaling import TINY
from refode.problems.curvature import KINDS, Definite, dense

__all__ = ["LeftOut"]

Array = np.ndarray
#: Relative residual at which a sample's step is solved for.
SOLVED = 1e-14
#: Part of the curvature of all that must be left without a sample.
LEFT = 1e-10


class LeftOut(NamedTuple):
    """One row for each sample of positive weight: the fit without it.

    Attributes
    ----------
    theta : (N, p)
        One Newton step from the optimum towards that without the sample.
    predictions : (N, m) or None
        F(x_i) by it, in the data's units; None where the problem has no targets.
    losses : (N,)
        The sample's own loss by it, as the objective's mean has it, without regularisers.
    leverages : (N,) or None
        What part of the parameters' curvature is the sample's own, trace of (D148)'s; the sum
        is p_eff for the Gauss-Newton matrix. None where there are no predictions.
    """

    theta: Array
    predictions: Array | None
    losses: Array
    leverages: Array | None


class Alone(NamedTuple):
    """Samples one by one.

    Attributes
    ----------
    shares : (N,)
        s_i, what each counts in the objective: 1/N, or w_i/sum w.
    data : list of tuples
        Each sample's checked data, as ``_value_and_gradient`` takes them after theta.
    told : callable
        ``told(theta, data)``: prediction (m,) or None, and loss, of one sample.
    linear : callable or None
        ``linear(theta)``: for all samples J (N, m, p), the losses' derivatives (N, m) and their
        Hessians (N, m, m) in the outputs; None where there are no outputs with a loss.
    """

    shares: Array
    data: list[tuple[Any, ...]]
    told: Callable[..., tuple[Array | None, float]]
    linear: Callable[[Array], tuple[Array, Array, Array]] | None


@quietly()
@one_thread
def left_out(
    problem: Any, theta: Array, data: tuple[Any, ...], named: Any, curvature: str
) -> LeftOut:
    """``problem.leave_one_out``; theta has been checked."""
    curvature = _validate.choice("curvature", curvature, KINDS)
    alone = problem._alone(*data, **named)
    n, p = len(alone.shares), len(theta)
    if n < 2:
        raise ValueError("x: got one sample, wanted at least two: nothing is left without it")
    _validate.affordable("x", data[0], 8 * n * p * 3)
    H = Definite(dense(problem, curvature, theta, data, named), curvature)
    gradient = problem.value_and_gradient(theta, *data, **named)[1]
    steps: Array
    leverages: Array | None = None
    if alone.linear is None:
        steps = np.array([_solved(problem, theta, H, gradient, alone, i) for i in range(n)])
    else:
        J, bars, hessians = alone.linear(theta)
        steps, leverages = _by_leverages(J, bars, hessians, alone.shares, H, gradient)
    moved = theta + steps
    told = [alone.told(at, one) for at, one in zip(moved, alone.data, strict=True)]
    values = None if told[0][0] is None else np.array([value for value, _ in told])
    return LeftOut(moved, values, np.array([loss for _, loss in told]), leverages)


def _by_leverages(
    J: Array, bars: Array, hessians: Array, shares: Array, H: Definite, gradient: Array
) -> tuple[Array, Array]:
    """Steps (N, p) for H_i = J^T Lambda J, by s Lambda J H^{-1} J^T; and the traces of these."""
    u = H.solve(gradient)
    spread = (shares[:, None, None] * J) @ H.inverse()  # (N, m, p), s J H^{-1}
    leverage = hessians @ (spread @ np.swapaxes(J, 1, 2))
    left = np.eye(leverage.shape[1]) - leverage
    least = np.linalg.eigvals(left).real.min(axis=1)
    _check_definite(float(least.min()), int(least.argmin()))
    bars = bars - (hessians @ (J @ u)[..., None])[..., 0]  # at the optimum of all samples
    pushed = np.linalg.solve(left, bars[..., None])
    steps = (np.swapaxes(spread, 1, 2) @ pushed)[..., 0] - u
    return steps, np.trace(leverage, axis1=1, axis2=2)


def _solved(
    problem: Any, theta: Array, H: Definite, gradient: Array, alone: Alone, i: int
) -> Array:
    """(H - s H_i)^{-1} (s g_i - g), by conjugate gradients on I - s L^{-1} H_i L^{-T}.

    L L^T = H. What is taken from the identity has few eigenvalues that are not small, as many
    as the sample has outputs, so that few products with H_i do.
    """
    s, data, root = alone.shares[i], alone.data[i], H.inverse_factor
    regulariser = problem._regulariser

    def gradient_of_one(at: Array) -> Array:
        return problem._value_and_gradient(at, *data)[1] - regulariser(at)[1]

    def product(v: Array) -> Array:
        step = TINY / np.abs(v).max()
        return gradient_of_one(theta + 1j * step * v).imag / step

    r = root @ (s * gradient_of_one(theta) - gradient)
    u, enough = np.zeros_like(r), SOLVED * float(np.sqrt(r @ r))
    d, square = r.copy(), float(r @ r)
    for _ in range(2 * len(r) + 10):
        if np.sqrt(square) <= enough or square == 0.0:
            break
        Bd = d - root @ (s * product(root.T @ d))
        curved = float(d @ Bd)
        _check_definite(curved / float(d @ d), i)
        length = square / curved
        u, r = u + length * d, r - length * Bd
        square, before = float(r @ r), square
        d = r + (square / before) * d
    return root.T @ u


def _check_definite(left: float, i: int) -> None:
    if not left > LEFT:
        raise ValueError(
            f"x: got sample {i}, without which the objective's second derivatives at theta are not "
            "positive definite, wanted curvature='gauss_newton', or parameters that the other "
            "samples or tikhonov determine"
        )
