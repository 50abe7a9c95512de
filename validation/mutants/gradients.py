"""A golden case's objective as a function for `refode.verify`, which knows no golden number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.reference import files
from refode.verify import check_gradient

Array = NDArray[np.float64]

#: Steps of the differences, and how often they are halved.
STEP, HALVINGS = 2.0**-10, 3
DIRECTIONS = 2


@dataclass
class Objective:
    """A function of one vector, its gradient and its Hessian.

    Attributes
    ----------
    value, gradient : callable
        ``value(x)`` and ``gradient(x)``, (p,).
    hessian_vector : callable or None
    x0 : (p,)
    blocks : dict of slice
    """

    value: Callable[[Array], float]
    gradient: Callable[[Array], Array]
    hessian_vector: Callable[[Array, Array], Array] | None
    x0: Array
    blocks: dict[str, slice]


def examined(kernels: Any, name: str, hessian: bool) -> dict[str, Any]:
    """Hold the gradient of a case against its own value.

    Parameters
    ----------
    kernels : module
        ``refode.reference.kernels``, perhaps with a bug planted below it.
    name : str
        Of a golden case; its results are not read.
    hessian : bool
        Look at second derivatives: the Hessian-vector product against the gradient.

    Returns
    -------
    dict of float
        ``error`` and ``doubt`` by differences in every parameter (for a Hessian along its
        direction), relative; ``power`` and ``failed`` as `check_gradient` says.
    """
    case = files.case(name)
    given = files.arrays(case, "inputs")
    makers = {"ode": _ode, "supervised": _problem, "flow": _problem, "game": _problem}
    objective = makers[case["problem"]["type"]](kernels, case, given)
    report = check_gradient(
        objective.value,
        objective.gradient,
        objective.x0,
        blocks=objective.blocks,
        hessian_vector=objective.hessian_vector if hessian else None,
        n_directions=DIRECTIONS,
        print_table=False,
    )
    error, doubt = _by_hessian(objective) if hessian else _by_differences(objective)
    power = report.smallest_detectable_any
    if report.gradient_norm == 0.0 and report.directions:  # an error relative to it has no size
        power = max(row.tolerance / (abs(row.truth) or 1.0) for row in report.directions)
    if hessian and report.hessian is not None:
        power = report.hessian.smallest_detectable
    failed = report.verdict.startswith("failed")
    return {"error": error, "doubt": doubt, "power": power, "failed": float(failed)}


def _ode(kernels: Any, case: dict[str, Any], given: dict[str, Array]) -> Objective:
    """<z_bar, z(T)> + <l_bar, l>, or <path_bar, path>, in theta and x."""
    ode = kernels.ode_of(case)
    theta = ode.pack(kernels._blocks(given, "theta"))
    along = tuple(kernels._number(t) for t in case["along"])
    shape, p = given["x"].shape, len(theta)

    observed = given.get("path_bar")

    def value(v: Array) -> float:
        if observed is not None:
            path = ode.trajectory(v[:p], v[p:].reshape(shape), along)
            return float(np.sum(observed * path))
        z, log_det = ode.log_det(v[:p], v[p:].reshape(shape), along)
        return float(np.sum(given["z_bar"] * z) + np.sum(given["l_bar"] * log_det))

    def gradient(v: Array) -> Array:
        x = v[p:].reshape(shape)
        if observed is not None:
            bars = ode.adjoint(v[:p], x, observed, along)
        else:
            bars = ode.log_det_adjoint(v[:p], x, given["z_bar"], given["l_bar"], along)
        return np.concatenate([bars[0], bars[1].ravel()])

    blocks = {**ode.layout.slices, "x": slice(p, p + given["x"].size)}
    return Objective(value, gradient, None, np.concatenate([theta, given["x"].ravel()]), blocks)


def _problem(kernels: Any, case: dict[str, Any], given: dict[str, Array]) -> Objective:
    """A problem's objective."""
    kind = case["problem"]["type"]
    problem, data = {"supervised": _supervised, "flow": _flow, "game": _game}[kind](
        kernels, case, given
    )
    return Objective(  # value and gradient come together, as an optimiser gets them
        lambda v: problem.value_and_gradient(v, *data)[0],
        lambda v: problem.value_and_gradient(v, *data)[1],
        lambda v, w: problem.hessian_vector(v, w, *data),
        problem.pack(kernels._blocks(given, "theta")),
        dict(problem.layout.slices),
    )


def _supervised(kernels: Any, case: dict[str, Any], given: dict[str, Array]) -> Any:
    p = case["problem"]
    how = {k: p[k] for k in ("loss", "n_outputs", "augment", "readout")}
    how |= {k: kernels._number(p[k]) for k in ("tikhonov", "smoothness")}
    y = given["y"] if p["loss"] == "regression" else given["y"].astype(np.int64)
    return kernels.refode.Supervised(kernels.ode_of(case), **how), (given["x"], y)


def _flow(kernels: Any, case: dict[str, Any], given: dict[str, Array]) -> Any:
    return kernels.flow_of(case, given.get("noise")), (given["x"],)


def _game(kernels: Any, case: dict[str, Any], given: dict[str, Array]) -> Any:
    data = (given["x"], given["y"]) if "y" in given else (given["x"],)
    return kernels.game_of(case, given.get("y")), data


def _by_differences(objective: Objective) -> tuple[float, float]:
    """Relative error of the gradient, and what is uncertain of it; infinite where not finite."""
    x, g = objective.x0, objective.gradient(objective.x0)
    truth, doubt = np.empty(x.size), np.empty(x.size)
    for i, e in enumerate(np.eye(x.size)):
        truth[i], doubt[i] = extrapolated(
            lambda h, e=e: (
                (  # type: ignore[misc]
                    objective.value(x + h * e) - objective.value(x - h * e)
                )
                / (2.0 * h)
            )
        )
    return _relative(g, truth, doubt)


def _by_hessian(objective: Objective) -> tuple[float, float]:
    """The same for the Hessian along one direction, by differences of gradients."""
    assert objective.hessian_vector is not None
    x = objective.x0
    v = np.random.default_rng(1).standard_normal(x.size)
    v /= np.linalg.norm(v)
    truth, doubt = extrapolated(
        lambda h: (objective.gradient(x + h * v) - objective.gradient(x - h * v)) / (2.0 * h)
    )
    return _relative(objective.hessian_vector(x, v), truth, doubt)


def _relative(found: Array, truth: Array, doubt: Array) -> tuple[float, float]:
    size = float(np.linalg.norm(truth))
    if not (np.isfinite(found).all() and np.isfinite(truth).all() and size):
        return np.inf, 0.0
    return float(np.linalg.norm(found - truth)) / size, float(np.linalg.norm(doubt)) / size


def extrapolated(difference: Callable[[float], Any]) -> tuple[Any, Any]:
    """Central differences for h -> 0 by Romberg's table, and how far its last two entries are.

    Parameters
    ----------
    difference : callable
        ``difference(h)``, with an error in even powers of h.
    """
    row = [np.asarray(difference(STEP * 0.5**k)) for k in range(HALVINGS)]
    before = row[-1]
    for order in range(1, HALVINGS):
        before = row[-1]
        row = [
            (4.0**order * b - a) / (4.0**order - 1.0) for a, b in zip(row, row[1:], strict=False)
        ]
    return row[-1], np.abs(row[-1] - before)
