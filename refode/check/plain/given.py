"""What quantities would be if those that they are made of were right as they came.

A wrong array that is what follows from an implementation's own earlier arrays is no mistake but
the consequence of one; the mistake lies where an array does not follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.case import Case
from refode.check.plain import KINDS, RIGHT
from refode.check.plain.game import GameFormulas
from refode.check.plain.paths import Blocks, Clock, Path, combined, runge_kutta
from refode.check.plain.problems import Flow, Problem, Supervised

Array = NDArray[Any]
Results = dict[str, Array]
TERMS = {
    "supervised": ("loss", "tikhonov", "smoothness"),
    "flow": ("likelihood", "transport", "tikhonov", "smoothness"),
    "game": ("L", "F", "G", "hjb", "hjb_terminal"),
}


def following(document: dict[str, Any], values: Mapping[str, Array]) -> Results:
    """Quantities computed from given ones, as far as these reach.

    Parameters
    ----------
    document : dict
        As of `refode.reference.case`; its results are not read.
    values : mapping of arrays
        An implementation's quantities by full name, in the shapes of the case's results.

    Returns
    -------
    dict of arrays
        ``trajectory``: every state one step from the given one before, the first as it should
        be. ``stages``, ``slopes``, ``trace``, ``phi``, ...: of steps that start from the given
        states. ``log_det``, ``log_density_path``: quadratures of the given traces and Laplacians.
        ``outputs``, ``inverse``, ``log_density``, ``terms/loss``, ``terms/likelihood``,
        ``terms/transport``, ``terms/L``, ``terms/hjb`` (without entropy), ``terms/G`` (of a
        Kullback-Leibler divergence or an energy), ``total``: from what they are made of. No
        derivatives.
    """
    case = Case.of(document)
    problem = KINDS[case.kind](case, RIGHT)
    lift = case.kind == "game"
    theta = {k: (v[None] if lift else v)[None] + 0.0j for k, v in case.theta.items()}
    with np.errstate(all="ignore"):
        results = _path(problem, theta, values) | _made(problem, theta, values)
    return {k: np.array(np.real(v)) for k, v in results.items()}


def _path(problem: Problem, theta: Blocks, values: Mapping[str, Array]) -> Results:
    """Steps from the given states."""
    case, given = problem.case, values.get("trajectory")
    if given is None or case.scheme.symplectic:
        return {}
    clock, start = problem.starts(1, case.x[None])[0]
    inner = {k: v for k, v in theta.items() if k not in problem.readout}
    path, states = Path([]), [start[0, :, : problem.d]]
    for z, t in zip(given[:-1], clock.starts(), strict=True):
        y = start.copy()
        y[0, :, : problem.d] = z
        timed = [(combined(inner, p), at, p) for at, p in clock.stages(t, clock.h)]
        new, kept = runge_kutta(clock, problem.slope, y, float(clock.h), timed)
        path.states.append(y)
        path.stages.append(kept)
        states.append(new[0, :, : problem.d])
    path.states.append(y)
    results = _stages(problem, theta, path)
    return results | {"trajectory": np.array(states)}


def _stages(problem: Problem, theta: Blocks, path: Path) -> Results:
    """What a problem reports of stages."""
    d = problem.d
    results = {
        "stages": problem.at_stages(path, lambda s: s.y[0, :, :d]),
        "slopes": problem.at_stages(path, lambda s: s.k[0, :, :d]),
    }
    if isinstance(problem, GameFormulas):
        w = {k: v[:1, 0] for k, v in theta.items()}
        names = ("phi", "phi_gradient", "phi_time", "phi_laplacian")
        for i, name in enumerate(names):
            results[name] = problem.at_stages(
                path, lambda s, i=i: problem.derivatives(w, s.y[..., :d], s.t)[i][0]
            )
    elif not isinstance(problem, Supervised):
        results["trace"] = problem.at_stages(path, lambda s: s.k[0, :, d])
    return results


def _made(problem: Problem, theta: Blocks, values: Mapping[str, Array]) -> Results:
    """Everything that is made of whole quantities."""
    results: Results = {}
    terms = [f"terms/{name}" for name in TERMS.get(problem.case.kind, ())]
    if terms and all(name in values for name in terms):
        results["total"] = np.array(sum(values[name] for name in terms))
    if "trace" in values:
        results["log_det"] = _integral(problem, values["trace"]).sum(0)
    by_kind = {Supervised: _supervised, Flow: _flow, GameFormulas: _game}
    for kind, make in by_kind.items():
        if isinstance(problem, kind):
            results |= make(problem, theta, values)
    return results


def _integral(problem: Problem, rates: Array) -> Array:
    """h sum_i b_i rates[:, i], step by step."""
    h = float(Clock.of(problem.case, RIGHT).h)
    return h * np.tensordot(rates, problem.case.scheme.b, axes=(1, 0))


def _supervised(problem: Any, theta: Blocks, values: Mapping[str, Array]) -> Results:
    results: Results = {}
    if "trajectory" in values:
        results["outputs"] = problem.outputs(theta, values["trajectory"][-1][None])[0]
    if "outputs" in values:
        losses = problem.losses(values["outputs"][None] + 0.0j, np.array(problem.case.y))
        results["terms/loss"] = losses.mean()
    return results


def _flow(problem: Any, theta: Blocks, values: Mapping[str, Array]) -> Results:
    results: Results = {}
    if "trajectory" in values:
        results["inverse"] = values["trajectory"][-1]
    if "inverse" in values and "log_det" in values:
        end = np.concatenate([values["inverse"], values["log_det"][:, None]], axis=-1)
        results["log_density"] = problem.log_density(end[None])[0]
    if "log_density" in values:
        results["terms/likelihood"] = -values["log_density"].mean()
    if "transport_cost" in values:
        results["terms/transport"] = problem.setting["transport"] * values["transport_cost"].mean()
    return results


def _game(problem: Any, theta: Blocks, values: Mapping[str, Array]) -> Results:
    results: Results = {}
    s, alpha = problem.setting, problem.alpha("v")
    if "phi_laplacian" in values and "log_density_path" in values:
        moves = _integral(problem, values["phi_laplacian"]) / alpha
        path = values["log_density_path"]
        first = problem.initial.real[None]
        results["log_density_path"] = np.concatenate([first, path[:-1] + moves])
    if "phi_gradient" in values and s["alpha"]:
        square = 0.5 / alpha * np.sum(values["phi_gradient"] ** 2, -1)
        results["terms/L"] = _integral(problem, square).sum(0).mean()
        if "phi_time" in values and s["hjb"] and not s["energy"] and not s["entropy"]:
            r = square - values["phi_time"]
            R = r * r if s["hjb_norm"] == "squared" else np.abs(r)
            results["terms/hjb"] = s["hjb"] * _integral(problem, R).sum(0).mean()
    if "trajectory" in values and "log_density_path" in values and s["kind"] == "kl":
        end = [values["trajectory"][-1], values["log_density_path"][-1][:, None]]
        gap = problem.gap(np.concatenate(end, axis=-1)[None] + 0.0j, "G")
        results["terms/G"] = s["terminal"] * gap.mean()
    if "trajectory" in values and s["kind"] == "energy":
        results["terms/G"] = s["terminal"] * problem.paid(values["trajectory"][-1]).mean()
    return results
