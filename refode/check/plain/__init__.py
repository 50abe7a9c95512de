"""A case evaluated in plain NumPy, rightly or with a given mistake.

Independent of refode's kernels, problems and adjoints: gradients are complex steps, all of them
in one pass over copies of the case, each with one parameter moved by 1e-30 i. What an
implementation with a known mistake would return is computed here and compared with what one
returned, refode/check/variants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.case import Case
from refode.check.plain.game import GameFormulas
from refode.check.plain.mistakes import Mistakes
from refode.check.plain.problems import Flow, Ode, Problem, Supervised

__all__ = ["RIGHT", "Mistakes", "evaluate"]

Array = NDArray[Any]
Blocks = dict[str, Array]

KINDS: dict[str, type[Problem]] = {
    "ode": Ode,
    "supervised": Supervised,
    "flow": Flow,
    "game": GameFormulas,
}
#: No mistake.
RIGHT = Mistakes()
#: The complex step: its square is nothing beside 1.
STEP = 1e-30
#: Central differences of gradients: largest step, and how often it is halved.
FAR, HALVINGS = 2.0**-7, 4


def evaluate(
    document: dict[str, Any],
    mistakes: Mistakes = RIGHT,
    *,
    derivatives: bool = True,
    hessian: bool = True,
) -> dict[str, Array]:
    """All quantities of a case by the names of its results.

    Parameters
    ----------
    document : dict
        As of `refode.reference.case`; its results are not read.
    mistakes : Mistakes, optional
        None by default.
    derivatives : bool, optional
        Whether tangents and gradients are wanted.
    hessian : bool, optional
        Whether Hessian-vector products are, to about ten digits; none for ODEs and flows with an
        estimated trace.

    Returns
    -------
    dict of arrays
        "gradient/W0" is a block of the gradient.
    """
    case = Case.of(document)
    problem = KINDS[case.kind](case, mistakes)
    hessian &= derivatives and case.kind != "ode" and "trace" not in case.problem
    copies = Copies(case, mistakes, derivatives, hessian)
    with np.errstate(all="ignore"):  # a mistake may divide by zero or overflow
        theta, x = copies.blocks(), copies.x()
        paths = problem.paths(theta, x)
        states = [path.states for path in paths]
        terms = problem.terms(theta, states)
        total = np.broadcast_to(problem.total(theta, states), len(copies.rows))
        results = problem.values(paths)
    if case.kind != "ode":
        results |= {f"terms/{k}": v[0] for k, v in terms.items()} | {"total": total[0]}
    results = {k: np.array(np.real(v)) for k, v in results.items()}
    if not derivatives:
        return results
    if case.kind == "ode":
        results["tangent"] = paths[0].states[-1][1, :, : problem.d].imag / STEP
        bars = copies.gradient(total, "theta_bar")
        return results | bars | {"x_bar": copies.x_bar(total)}
    results |= copies.gradient(total, "gradient")
    return results | (copies.hessian_vector(total) if hessian else {})


def steps(along: Array) -> Array:
    """Steps of central differences along a direction, each half of the one before."""
    return FAR / max(1.0, float(np.abs(along).max())) * 0.5 ** np.arange(HALVINGS)


def extrapolated(g: Array, h: Array) -> Array:
    """The derivative by central differences, h extrapolated to 0.

    Parameters
    ----------
    g : (K, 2, ...) array
        Values at h and -h.
    h : (K,) array
    """
    table = list((g[:, 0] - g[:, 1]) / (2.0 * h.reshape(-1, *(1,) * (g.ndim - 2))))
    for order in range(1, len(h)):
        f = 4.0**order
        table = [(f * b - a) / (f - 1.0) for a, b in zip(table, table[1:], strict=False)]
    return np.array(table[0])


def by_term(document: dict[str, Any]) -> dict[str, dict[str, Array]]:
    """Every term's value, under "total", and its gradient and Hessian-vector product by block."""
    case = Case.of(document)
    problem = KINDS[case.kind](case, RIGHT)
    copies = Copies(case, RIGHT, True, "trace" not in case.problem)
    theta = copies.blocks()
    states = [path.states for path in problem.paths(theta, copies.x())]
    gradients = {}
    for name, term in problem.terms(theta, states).items():
        values = np.broadcast_to(term, len(copies.rows)) + 0.0j
        gradients[name] = {"total": values[0].real, **copies.gradient(values, "gradient")}
        if "trace" not in case.problem:
            gradients[name] |= copies.hessian_vector(values)
    return gradients


def gauss_newton(document: dict[str, Any]) -> dict[str, Array]:
    """(J^T H J v)/N + regularisers' own, by block: curvature of the outputs left out.

    J is the derivative of the outputs (N m) by theta, H that of the loss by them.
    """
    case = Case.of(document)
    problem = Supervised(case, RIGHT)
    copies = Copies(case, RIGHT, True, True)
    theta = copies.blocks()
    states = [path.states for path in problem.paths(theta, copies.x())]
    terms = problem.terms(theta, states)
    count, outputs = len(copies.one), problem.last
    J = outputs[2 : 2 + count].imag / STEP  # (P, N, m)
    along = outputs[1].imag / STEP
    curved = _loss_slopes(problem, outputs[0].real + 1j * STEP * along).imag / STEP
    product = np.sum(J * curved, axis=(-1, -2)) / len(along)
    others = sum(v for k, v in terms.items() if k != "loss")
    rest = np.broadcast_to(others, len(copies.rows)) + 0.0j
    products = copies.hessian_vector(rest)
    flat = copies.split(product, "hessian_vector")
    return {k: products[k] + flat[k] for k in products}


def _loss_slopes(problem: Supervised, v: Array) -> Array:
    """Derivative of every sample's loss by its outputs, (N, m)."""
    loss, y = problem.setting["loss"], np.array(problem.case.y)
    if loss == "regression":
        return v - y
    if loss == "logistic":
        return 0.5 + 0.5 * np.tanh(0.5 * v) - y[:, None]
    parts = np.exp(v - v.real.max(-1, keepdims=True))
    return parts / parts.sum(-1, keepdims=True) - np.eye(v.shape[-1])[y.astype(int)]


class Copies:
    """Copies of a case's theta and x: as they are, along the direction, and one moved each.

    Attributes
    ----------
    rows : (B, P + Nd) complex
        Theta and, for an ODE, x.
    """

    def __init__(self, case: Case, m: Mistakes, derivatives: bool, hessian: bool) -> None:
        self.case, self.m = case, m
        self.at = self._joined(case.theta, case.x)
        rows = [self.at[None]]
        if derivatives:
            moves = np.zeros(case.x.shape) if case.x_direction is None else case.x_direction
            self.along = self._joined(case.direction or _zeros(case.theta), moves)
            # every parameter; without its row where it is not differentiated by
            self.one = 1j * STEP * np.eye(len(self.at))
            if case.kind != "ode":
                self.one = self.one[: len(self.at) - case.x.size]
            rows += [self.at[None] + 1j * STEP * self.along, self.at + self.one]
        if hessian:
            self.steps = steps(self.along)
            rows += [self.at + s * h * self.along + self.one for h in self.steps for s in (1, -1)]
        self.rows = np.concatenate(rows).astype(complex)

    @staticmethod
    def _joined(theta: Blocks, x: Array) -> Array:
        return np.concatenate([*(v.ravel() for v in theta.values()), x.ravel()])

    def blocks(self) -> Blocks:
        """Theta, (B, J, ...) by name; a potential of a game has J = 1."""
        named, at = {}, 0
        for name, value in self.case.theta.items():
            part = self.rows[:, at : at + value.size].reshape(-1, *value.shape)
            part = self.m.read(name, part) if self.m.read else part
            named[name] = part[:, None] if self.case.kind == "game" else part
            at += value.size
        return named

    def x(self) -> Array:
        """(B, N, ...)."""
        x = self.case.x
        return self.rows[:, -x.size :].reshape(-1, *x.shape)

    def gradient(self, total: Array, name: str) -> Blocks:
        """Of the first P moved copies, block by block."""
        return self.split(total[2 : 2 + len(self.one)].imag / STEP, name)

    def x_bar(self, total: Array) -> Array:
        """Of the last ones."""
        x = self.case.x
        return (total[2 : 2 + len(self.one)].imag / STEP)[-x.size :].reshape(x.shape)

    def hessian_vector(self, total: Array) -> Blocks:
        """Central differences of gradients, extrapolated."""
        count = len(self.one)
        g = (total[2 + count :].imag / STEP).reshape(HALVINGS, 2, count)
        return self.split(extrapolated(g, self.steps), "hessian_vector")

    def split(self, flat: Array, name: str) -> Blocks:
        """One entry a parameter, as blocks."""
        named, at = {}, 0
        for block, value in self.case.theta.items():
            named[f"{name}/{block}"] = flat[at : at + value.size].reshape(value.shape)
            at += value.size
        return named


def _zeros(theta: Blocks) -> Blocks:
    return {k: np.zeros_like(v) for k, v in theta.items()}
