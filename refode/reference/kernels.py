"""A golden case by refode's own kernels, in double precision: quantity by quantity."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

import refode
from refode import bases, fields, games, tableaus
from refode.densities import Density, Empirical, Gaussian, GaussianMixture
from refode.ode import evaluate
from refode.problems.regularisers import Regulariser
from refode.reference.files import arrays

Array = NDArray[np.float64]
Arrays = dict[str, Array]
Document = dict[str, Any]
#: What makes a supervised problem, beside its ode and penalties.
HOW = ("loss", "n_outputs", "augment", "readout")


def results(case: Document, inputs: Arrays | None = None) -> Arrays:
    """All quantities of a case by name, in the shapes of its results.

    Parameters
    ----------
    case : dict
        As of `refode.reference.case`; its results are not read.
    inputs : dict, optional
        Other numbers for its inputs, as `refode.reference.arrays` gives them.
    """
    given = arrays(case, "inputs") if inputs is None else inputs
    by_kind: dict[str, Callable[[Document, Arrays], Arrays]] = {
        "ode": _ode,
        "supervised": _supervised,
        "flow": _flow,
        "game": _game,
    }
    return by_kind[case["problem"]["type"]](case, given)


def _number(text: str) -> float:
    return float(Fraction(text))


def field_of(case: Document) -> fields.Field:
    """The field that a case describes."""
    f = {k: v for k, v in case["field"].items() if k != "type"}
    if "gamma" in f:
        f["gamma"] = _number(f["gamma"])
    return getattr(fields, case["field"]["type"])(**f)


class _Described(tableaus.Tableau):
    """A document's coefficients, with every stage that it has."""

    def propagating(self) -> tableaus.Tableau:
        return self


def scheme_of(case: Document) -> str | tableaus.Tableau:
    """The scheme that a case describes by its coefficients; symplectic ones by name."""
    s = case["scheme"]
    if "half" in s:
        return s["name"]
    return _Described(s["name"], s["A"], s["b"], s["c"], order=1, reference="the document")


def ode_of(case: Document) -> refode.NeuralODE:
    """The ODE that a case describes."""
    b = case["basis"]
    kind = getattr(bases, b["type"])
    basis = kind() if b["type"] == "Constant" else kind(b["J"])
    span = (_number(case["t_span"][0]), _number(case["t_span"][1]))
    return refode.NeuralODE(field_of(case), scheme_of(case), case["n_steps"], span, basis)


def _blocks(inputs: Arrays, name: str) -> Arrays:
    return {k.partition("/")[2]: a for k, a in inputs.items() if k.startswith(f"{name}/")}


def _named(name: str, blocks: Arrays) -> Arrays:
    return {f"{name}/{k}": a for k, a in blocks.items()}


def _trace(field: fields.Field, w: Array, y: Array, t: float, noise: Array | None) -> Array:
    """The trace of the Jacobian, or e . J e for noise e, (N,)."""
    if noise is None:
        return evaluate.trace(field, w, y, t)
    return np.einsum("ni,nij,nj->n", noise, evaluate.jacobian(field, w, y, t), noise)


def _stages(
    ode: refode.NeuralODE, theta: Array, path: Array, along: Any, noise: Array | None = None
) -> Arrays:
    """Stage states, slopes and traces, or their estimates, by the field's own kernels."""
    plan, field = ode.plan(along), ode.field
    A, b, c = plan.scheme.A, plan.scheme.b, plan.scheme.c
    weights, h = ode.stage_weights(theta, plan), plan.grid.h[0]
    kept: dict[str, list[Any]] = {}
    for n, t in enumerate(plan.grid.t):
        slopes: list[Array] = []
        for i in range(len(b)):
            w, at = weights[plan.grid.slots[n, i]], t + c[i] * h
            y = path[n] + h * sum((A[i, j] * slopes[j] for j in range(i)), np.zeros(path[n].shape))
            slopes.append(evaluate.value(field, w, y, at))
            results = {"stages": y, "slopes": slopes[-1], "trace": _trace(field, w, y, at, noise)}
            for name, value in results.items():
                kept.setdefault(name, []).append(value)
    return {name: np.reshape(v, (ode.n_steps, len(b), *v[0].shape)) for name, v in kept.items()}


def _ode(case: Document, given: Arrays) -> Arrays:
    ode = ode_of(case)
    theta, theta_dot = ode.pack(_blocks(given, "theta")), ode.pack(_blocks(given, "direction"))
    along = (_number(case["along"][0]), _number(case["along"][1]))
    x = given["x"]
    results = {"trajectory": ode.trajectory(theta, x, along)}
    if "half" not in case["scheme"]:
        results |= _stages(ode, theta, results["trajectory"], along)
    results["log_det"] = ode.log_det(theta, x, along)[1]
    results["tangent"] = ode.tangent(theta, x, theta_dot, given["x_direction"], along)
    if "path_bar" in given:
        bars = ode.adjoint(theta, x, given["path_bar"], along)
    else:
        bars = ode.log_det_adjoint(theta, x, given["z_bar"], given["l_bar"], along)
    return results | {"x_bar": bars[1], **_named("theta_bar", ode.unpack(bars[0]))}


def _derivatives(problem: Any, given: Arrays, terms: dict[str, float], *data: Array) -> Arrays:
    """The terms, their sum, gradient and Hessian-vector product."""
    theta = problem.pack(_blocks(given, "theta"))
    value, gradient = problem.value_and_gradient(theta, *data)
    results = {f"terms/{name}": np.array(term) for name, term in terms.items()}
    results |= {"total": np.array(value), **_named("gradient", problem.unpack(gradient))}
    if isinstance(problem, _Estimated):
        return results
    v = problem.pack(_blocks(given, "direction"))
    product = problem.hessian_vector(theta, v, *data)
    return results | _named("hessian_vector", problem.unpack(product))


def _penalties(p: Document, ode: refode.NeuralODE, theta: Array) -> dict[str, float]:
    tikhonov, smoothness = _number(p["tikhonov"]), _number(p["smoothness"])
    return {
        "tikhonov": Regulariser(ode, tikhonov, 0.0)(theta)[0],
        "smoothness": Regulariser(ode, 0.0, smoothness)(theta)[0],
    }


def _supervised(case: Document, given: Arrays) -> Arrays:
    p, ode = case["problem"], ode_of(case)
    how: Document = {k: p[k] for k in HOW}
    penalties: Document = {k: _number(p[k]) for k in ("tikhonov", "smoothness")}
    problem = refode.Supervised(ode, **how, **penalties)
    theta, x, y = problem.pack(_blocks(given, "theta")), given["x"], given["y"]
    if p["loss"] != "regression":
        y = y.astype(np.int64)
    inner = theta[: ode.n_parameters]
    padded = np.concatenate([x, np.zeros((len(x), p["augment"]))], axis=1)
    results = {"trajectory": ode.trajectory(inner, padded)}
    if "half" not in case["scheme"]:
        stages = _stages(ode, inner, results["trajectory"], None)
        results |= {k: stages[k] for k in ("stages", "slopes")}
    results["outputs"] = problem.predict(theta, x)
    loss = refode.Supervised(ode, **how).value(theta, x, y)
    terms = {"loss": loss, **_penalties(p, ode, theta)}
    return results | _derivatives(problem, given, terms, x, y)


def of_outputs(case: Document, F_bar: Array) -> Arrays:
    """Gradient and Hessian-vector product of the sum of ``F_bar * F``, F (N, m) the outputs.

    Also ``outputs_dot``, the derivative of F in the direction. It and the product are central
    differences, good to some six digits.
    """
    given = arrays(case, "inputs")
    problem = refode.Supervised(ode_of(case), **{k: case["problem"][k] for k in HOW})
    theta, v = (problem.pack(_blocks(given, part)) for part in ("theta", "direction"))
    ends = [problem._outputs_adjoint(theta + h * v, given["x"], F_bar) for h in (-1e-5, 0.0, 1e-5)]
    results = _named("gradient", problem.unpack(ends[1]))
    moved = [problem.predict(theta + h * v, given["x"]) for h in (-1e-5, 1e-5)]
    results["outputs_dot"] = (moved[1] - moved[0]) / 2e-5
    return results | _named("hessian_vector", problem.unpack((ends[2] - ends[0]) / 2e-5))


class _Estimated(refode.ContinuousNormalizingFlow):
    """Hutchinson's estimate with given noise (N, d), in densities too."""

    def __init__(self, ode: refode.NeuralODE, noise: Array, **how: Any) -> None:
        super().__init__(ode, trace="rademacher", **how)
        self.noise = noise

    def _start(self, y: Array) -> Array:
        return np.concatenate([y, self.noise], axis=1)

    def _finite(self, theta: Array, y: Array, *when: Any) -> tuple[Array, Array, Array]:
        return self._backward(theta, y, self.ode, None)


def flow_of(case: Document, noise: Array | None = None) -> refode.ContinuousNormalizingFlow:
    """The flow that a case describes; the noise is that of its estimated trace."""
    p = case["problem"]
    numbers: Document = {k: _number(p[k]) for k in ("transport", "tikhonov", "smoothness")}
    if p.get("trace", "exact") == "exact":
        return refode.ContinuousNormalizingFlow(ode_of(case), **numbers)
    if noise is None:
        raise ValueError("noise: got none, wanted an array for the estimated trace")
    return _Estimated(ode_of(case), noise, **numbers)


def _flow(case: Document, given: Arrays) -> Arrays:
    p, flow = case["problem"], flow_of(case, given.get("noise"))
    ode = flow.ode
    theta, y = flow.pack(_blocks(given, "theta")), given["x"]
    results = {"trajectory": flow.trajectory(theta, y, inverse=True)}
    noise = given.get("noise") if isinstance(flow, _Estimated) else None
    results |= _stages(ode, theta, results["trajectory"], ode.t_span[::-1], noise)
    results["inverse"], results["log_det"] = flow.inverse(theta, y)
    results["log_density"] = flow.log_density(theta, y)
    results["transport_cost"] = flow.transport_cost(theta, y)
    terms = {
        "likelihood": -float(results["log_density"].mean()),
        "transport": flow.transport * float(results["transport_cost"].mean()),
        **_penalties(p, ode, theta),
    }
    return results | _derivatives(flow, given, terms, y)


def density_of(rho: Document) -> Density:
    """The density that a case describes: a Gaussian where there is one component."""
    means = np.array(rho["means"], dtype=float)
    covariances = np.array(rho["covariances"], dtype=float)
    if len(means) == 1:
        return Gaussian(means[0], covariances[0])
    return GaussianMixture(np.array(rho["weights"], dtype=float), means, covariances)


def _energy(parts: list[Document]) -> games.Energy:
    total: games.Energy = games.Nothing()
    for q in parts:
        if q["type"] == "GaussianBump":
            mean, S = np.array(q["mean"], dtype=float), np.array(q["covariance"], dtype=float)
            total = total + games.GaussianBump(_number(q["height"]), mean, S)
        else:
            centre = np.array(q["centre"], dtype=float)
            total = total + games.Quadratic(_number(q["stiffness"]), centre)
    return total


def _terminal(p: Document, y: Array | None) -> Any:
    """The terminal cost of a game."""
    weight = _number(p["terminal"])
    if p["kind"] == "energy":
        return games.TerminalEnergy(_energy(p["terminal_energy"]), weight)
    target = Empirical(y) if p["target"] is None and y is not None else density_of(p["target"])
    kind = games.KullbackLeibler if p["kind"] == "kl" else games.CrossEntropy
    return kind(target, weight)


def game_of(case: Document, y: Array | None = None) -> refode.MeanFieldGame:
    """The game that a case describes; y are samples where the target is known by them."""
    p = case["problem"]
    game = games.Game(
        density_of(p["initial"]),
        _terminal(p, y),
        _number(p["alpha"]),
        _energy(p["energy"]),
        _number(p["entropy"]),
    )
    field = field_of(case)
    if not isinstance(field, fields.Potential):
        raise TypeError(f"field: got {case['field']['type']}, wanted Potential")
    span = (_number(case["along"][0]), _number(case["along"][1]))
    return refode.MeanFieldGame(
        field,
        game,
        _number(p["hjb"]),
        _number(p["hjb_terminal"]),
        p["hjb_norm"],
        scheme_of(case),
        case["n_steps"],
        span,
    )


def _game(case: Document, given: Arrays) -> Arrays:
    problem = game_of(case, given.get("y"))
    theta, x = problem.pack(_blocks(given, "theta")), given["x"]
    data = (x, given["y"]) if "y" in given else (x,)
    states = problem.states(theta, x)
    results = {"trajectory": problem.trajectory(theta, x), "log_density_path": states[:, :, -4]}
    alpha = _number(case["problem"]["alpha"])
    results |= _game_stages(problem, theta, results["trajectory"], alpha)
    if "y" in given:
        results["inverse"] = problem.inverse(theta, given["y"])[0]
        results["log_density"] = problem.log_density(theta, given["y"])
    terms = problem.costs(theta, *data)
    del terms["total"]
    return results | _derivatives(problem, given, terms, *data)


def _game_stages(problem: Any, theta: Array, path: Array, alpha: float) -> Arrays:
    """Stages of the feedback and Phi, grad Phi, dPhi/dt, Lap Phi there."""
    plan = problem.ode.plan()
    A, c, h = plan.scheme.A, plan.scheme.c, plan.grid.h[0]
    names = ("stages", "slopes", "phi", "phi_gradient", "phi_time", "phi_laplacian")
    kept: dict[str, list[Array]] = {name: [] for name in names}
    for n, t in enumerate(plan.grid.t):
        slopes: list[Array] = []
        for i in range(len(c)):
            y = path[n] + h * sum((A[i, j] * slopes[j] for j in range(i)), np.zeros(path[n].shape))
            four = evaluate.potential(problem.potential, theta, y, t + c[i] * h)
            slopes.append(-four[1] / (alpha or 1.0))
            for name, value in zip(names, (y, slopes[-1], *four), strict=True):
                kept[name].append(value)
    shape = (problem.n_steps, len(c))
    return {name: np.reshape(v, (*shape, *v[0].shape)) for name, v in kept.items()}
