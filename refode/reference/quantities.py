"""The quantities of a case, in whatever arithmetic is in force (arithmetic.py).

Reads a case's inputs and nothing else of refode: formulas.py has the mathematics, rings.py the
derivatives. balls.py evaluates with proven errors, rounded.py as ordinary precisions do.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from refode.reference import formulas
from refode.reference.arithmetic import constant
from refode.reference.formulas import Vector
from refode.reference.paths import (
    Document,
    Inputs,
    Path,
    Results,
    Slope,
    along_paths,
    coefficient,
    every_stage,
    mean,
    plain_values,
    solve,
    trajectory,
)
from refode.reference.rings import Number, absolute, add, dot, is_zero, multiply, scalar_of


def quantities(case: Document) -> Results:
    """Every quantity of a case as nested lists of scalars, by name."""
    kind = case["problem"]["type"]
    return {"ode": _ode, "supervised": _supervised, "flow": _flow, "game": _game}[kind](
        Inputs(case)
    )


def _ode(inputs: Inputs) -> Results:
    """States, log-determinants; tangent, adjoint of <z_bar, z> + <l_bar, l>."""
    d, f, split = inputs.field["dim"], inputs.field, "half" in inputs.case["scheme"]

    def slope(w: dict[str, Any], y: Vector, t: Any) -> Vector:
        z, at = y[:d], constant(t)
        return inputs.rhs(w, z, at) + ([] if split else [formulas.trace(f, w, z, at)])

    paths = [solve(inputs, slope, [*x, *([] if split else [0])], inputs.along) for x in inputs.x]
    ends = [p.states[-1] for p in paths]
    results: Results = {"trajectory": trajectory(paths, d)}
    if not split:
        results |= {
            "stages": along_paths(paths, "stages", slice(0, d)),
            "slopes": along_paths(paths, "slopes", slice(0, d)),
            "trace": _traces(paths, d),
        }
    results["log_det"] = [scalar_of(end[d]) if not split else 0 for end in ends]
    results["tangent"] = [[coefficient(a, 1) for a in end[:d]] for end in ends]
    bars = inputs.results(_paired(inputs, paths))["gradient"]
    return results | {"x_bar": bars.pop("x"), "theta_bar": bars}


def _paired(inputs: Inputs, paths: list[Path]) -> Number:
    """<path_bar, trajectory>, or <z_bar, z> + <l_bar, l> at the end."""
    d, total = inputs.field["dim"], 0
    if "path_bar" in inputs.case["inputs"]:
        for n, bars in enumerate(inputs.given("path_bar")):
            for path, bar in zip(paths, bars, strict=True):
                total = dot(bar, path.states[n][:d], total)
        return total
    z_bar, l_bar = inputs.given("z_bar"), inputs.given("l_bar")
    for path, zb, lb in zip(paths, z_bar, l_bar, strict=True):
        end = path.states[-1]
        total = dot(zb, end[:d], total)
        if end[d:]:
            total = add(total, multiply(lb, end[d]))
    return total


def _traces(paths: list[Path], d: int) -> Any:
    """Row d of the slopes, (n_steps, n_stages, N)."""
    return [
        [[k[0] for k in samples] for samples in stages]
        for stages in along_paths(paths, "slopes", slice(d, d + 1))
    ]


def _regularisers(inputs: Inputs) -> dict[str, Number]:
    """tikhonov/2 |theta|^2 and smoothness/2 int |theta'|^2 dt."""
    half, terms = Fraction(1, 2), {}
    every = [v for block in inputs.variables.values() for v in block]
    terms["tikhonov"] = constant(half * Fraction(inputs.problem["tikhonov"])) * dot(every, every)
    weight = half * Fraction(inputs.problem["smoothness"])
    weight /= abs(inputs.t_span[1] - inputs.t_span[0])
    S, total = formulas.stiffness(inputs.basis), 0
    for name in inputs.theta:
        if name in inputs.of_readout:
            continue
        block = inputs.variables[name]
        size = len(block) // len(S)
        rows = [block[j * size : (j + 1) * size] for j in range(len(S))]
        for i, row in enumerate(S):
            for j, s in enumerate(row):
                if s:
                    total = add(total, constant(s) * dot(rows[i], rows[j]))
    terms["smoothness"] = 0 if is_zero(total) else constant(weight) * total
    return terms


def _objective(inputs: Inputs, terms: dict[str, Number]) -> Results:
    """The terms, their sum, its gradient and Hessian-vector product."""
    total: Number = 0
    for term in terms.values():
        total = add(total, term)
    results: Results = {"terms": {name: scalar_of(term) for name, term in terms.items()}}
    return results | {"total": scalar_of(total)} | inputs.results(total)


def _supervised(inputs: Inputs) -> Results:
    """Eqs. (5)-(8)."""
    problem, zeros = inputs.problem, [0] * inputs.problem["augment"]

    def slope(w: dict[str, Any], y: Vector, t: Any) -> Vector:
        return inputs.rhs(w, y, constant(t))

    paths = [solve(inputs, slope, [*x, *zeros], inputs.along) for x in inputs.x]
    outputs = [p.states[-1] for p in paths]
    results: Results = {"trajectory": trajectory(paths, inputs.field["dim"])}
    if "half" not in inputs.case["scheme"]:
        results["stages"] = along_paths(paths, "stages", slice(None))
        results["slopes"] = along_paths(paths, "slopes", slice(None))
    if problem["readout"]:
        W, b = inputs.theta["W"], inputs.theta["b"]
        outputs = [formulas.affine(W, z, b) for z in outputs]
    y = inputs.rational("y")
    losses = [
        formulas.loss(problem["loss"], v, t if isinstance(t, list) else [t])
        for v, t in zip(outputs, y, strict=True)
    ]
    results["outputs"] = plain_values(outputs)
    return results | _objective(inputs, {"loss": mean(losses), **_regularisers(inputs)})


def _flow(inputs: Inputs) -> Results:
    """Eqs. (10)-(16), the sign of (13) corrected."""
    d, half, back = inputs.field["dim"], constant(Fraction(1, 2)), inputs.along
    estimated = inputs.problem.get("trace") == "hutchinson"
    noise = inputs.given("noise") if estimated else [None] * len(inputs.x)
    sign = 1 if back[1] > back[0] else -1  # the transport cost is positive in both directions
    paths = [
        solve(inputs, _flow_slope(inputs, e), [*x, 0, 0], back)
        for x, e in zip(inputs.x, noise, strict=True)
    ]
    ends = [p.states[-1] for p in paths]
    offset = formulas.log_two_pi(d)
    densities = [add(end[d], offset - half * dot(end[:d], end[:d])) for end in ends]
    costs = [sign * end[d + 1] for end in ends]
    alpha = Fraction(inputs.problem["transport"])
    terms = {"likelihood": -mean(densities)}
    terms["transport"] = constant(alpha) * mean(costs) if alpha else 0
    results: Results = {
        "trajectory": trajectory(paths, d),
        "stages": along_paths(paths, "stages", slice(0, d)),
        "slopes": along_paths(paths, "slopes", slice(0, d)),
        "trace": _traces(paths, d),
        "inverse": [plain_values(end[:d]) for end in ends],
        "log_det": [scalar_of(end[d]) for end in ends],
        "log_density": plain_values(densities),
        "transport_cost": plain_values(costs),
    }
    results |= _objective(inputs, {**terms, **_regularisers(inputs)})
    if estimated:  # refode has no second derivatives of the estimate to compare with
        del results["hessian_vector"]
    return results


def _flow_slope(inputs: Inputs, noise: Vector | None) -> Slope:
    """(f, its trace or the estimate with a sample's noise, |f|^2/2)."""
    d, f, half = inputs.field["dim"], inputs.field, constant(Fraction(1, 2))

    def slope(w: dict[str, Any], y: Vector, t: Any) -> Vector:
        z, at = y[:d], constant(t)
        v = inputs.rhs(w, z, at)
        trace = (
            formulas.trace(f, w, z, at) if noise is None else formulas.estimate(f, w, z, at, noise)
        )
        return [*v, trace, half * dot(v, v)]

    return slope


def _game(inputs: Inputs) -> Results:
    """Eqs. (17)-(25); the state is (z, log rho, L, F, R)."""
    game, d = inputs.problem, inputs.field["dim"]
    alpha, entropy = Fraction(game["alpha"]), Fraction(game["entropy"])
    slope = _game_slope(inputs)
    paths = [
        solve(inputs, slope, [*x, formulas.log_density(game["initial"], x), 0, 0, 0], inputs.along)
        for x in inputs.x
    ]
    ends = [p.states[-1] for p in paths]
    terms: dict[str, Number] = {
        "L": mean([end[d + 1] for end in ends]) if alpha else 0,
        "F": mean([end[d + 2] for end in ends]) if game["energy"] or entropy else 0,
    }
    results = _game_values(inputs, paths)
    terminal = constant(game["terminal"])
    if game["kind"] == "kl":
        gaps = [end[d] - formulas.log_density(game["target"], end[:d]) for end in ends]
        terms["G"] = terminal * mean(gaps)
    elif game["kind"] == "energy":
        paid = [formulas.energy(game["terminal_energy"], end[:d]) for end in ends]
        terms["G"] = terminal * mean(paid)
    else:
        log_rho = _arrived(inputs, slope, results)
        terms["G"] = -(terminal * mean(log_rho))
    hjb = Fraction(game["hjb"])
    terms["hjb"] = constant(hjb) * mean([end[d + 3] for end in ends]) if hjb else 0
    terms["hjb_terminal"] = _terminal_penalty(inputs, ends)
    return results | _objective(inputs, terms)


def _game_slope(inputs: Inputs) -> Slope:
    game, f, d = inputs.problem, inputs.field, inputs.field["dim"]
    alpha, entropy = Fraction(game["alpha"]), Fraction(game["entropy"])
    a, half = alpha or Fraction(1), constant(Fraction(1, 2))

    def slope(w: dict[str, Any], y: Vector, t: Any) -> Vector:
        z, log_rho = y[:d], y[d]
        _, gradient, time, laplacian = formulas.potential(f, w, z, constant(t))
        Q = formulas.energy(game["energy"], z)
        square, lam = dot(gradient, gradient), constant(entropy)
        F = add(Q, lam * log_rho if entropy else 0)
        r: Number = -time + (half * constant(1 / a)) * square
        r = add(r, 0 if is_zero(Q) else -Q)
        if entropy:
            r = r - lam * (log_rho + 1)
        R = _measured(r, game["hjb_norm"]) if alpha else 0
        L = (half * constant(1 / a)) * square if alpha else 0
        return [-(constant(1 / a) * g) for g in gradient] + [constant(1 / a) * laplacian, L, F, R]

    return slope


def _measured(r: Number, norm: str) -> Number:
    return r * r if norm == "squared" else absolute(r)


def _game_values(inputs: Inputs, paths: list[Path]) -> Results:
    d = inputs.field["dim"]
    results: Results = {
        "trajectory": trajectory(paths, d),
        "log_density_path": [
            [scalar_of(y[d]) for y in states]
            for states in zip(*(p.states for p in paths), strict=True)
        ],
        "stages": along_paths(paths, "stages", slice(0, d)),
        "slopes": along_paths(paths, "slopes", slice(0, d)),
    }
    names = ("phi", "phi_gradient", "phi_time", "phi_laplacian")
    theta = {block: plain_values(w) for block, w in inputs.theta.items()}

    def four(y: Vector, t: Any) -> Any:
        return formulas.potential(inputs.field, theta, plain_values(y[:d]), constant(t))

    for name, value in zip(names, every_stage(paths, four), strict=True):
        results[name] = value
    return results


def _arrived(inputs: Inputs, slope: Slope, found: Results) -> list[Number]:
    """log rho(T, y) at given y, along the inverse flow."""
    d, game = inputs.field["dim"], inputs.problem

    def back(w: dict[str, Any], y: Vector, t: Any) -> Vector:
        _, gradient, _, laplacian = formulas.potential(inputs.field, w, y[:d], constant(t))
        a = constant(1 / (Fraction(game["alpha"]) or Fraction(1)))
        return [-(a * g) for g in gradient] + [a * laplacian]

    ends = [solve(inputs, back, [*y, 0], inputs.along[::-1]).states[-1] for y in inputs.given("y")]
    log_rho = [formulas.log_density(game["initial"], end[:d]) - end[d] for end in ends]
    found["inverse"] = [plain_values(end[:d]) for end in ends]
    found["log_density"] = plain_values(log_rho)
    return log_rho


def _terminal_penalty(inputs: Inputs, ends: list[Vector]) -> Number:
    """hjb_terminal times the mean of |Phi(z(T), T) - G'|."""
    game, d, T = inputs.problem, inputs.field["dim"], constant(inputs.along[1])
    weight, terminal = Fraction(game["hjb_terminal"]), constant(game["terminal"])
    if not weight:
        return 0
    sizes = []
    for end in ends:
        phi = formulas.potential(inputs.field, inputs.theta, end[:d], T)[0]
        derivative = terminal * _terminal_derivative(game, end[:d], end[d])
        sizes.append(_measured(phi - derivative, game["hjb_norm"]))
    return constant(weight) * mean(sizes)


def _terminal_derivative(game: Document, z: Vector, log_rho: Number) -> Number:
    """The L2 derivative of the terminal cost, of weight 1."""
    if game["kind"] == "energy":
        return formulas.energy(game["terminal_energy"], z)
    gap = log_rho - formulas.log_density(game["target"], z)
    return 1 + gap if game["kind"] == "kl" else -formulas.rings.exp(-gap)
