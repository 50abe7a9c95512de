"""A case's inputs as numbers that differentiate, and the schemes that carry states along.

What quantities.py evaluates the problems with; the mathematics is in formulas.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from refode.reference import formulas
from refode.reference.arithmetic import constant
from refode.reference.formulas import Vector
from refode.reference.rings import Number, Series, Tape, Var, add, dot, is_zero, scalar_of

Results = dict[str, Any]
Document = dict[str, Any]


class Inputs:
    """A case's inputs as numbers: theta and x on a tape, along the given direction."""

    def __init__(self, case: Document) -> None:
        self.case, self.problem, self.field = case, case["problem"], case["field"]
        self.tape = Tape()
        self.variables: dict[str, list[Var]] = {}
        self.theta = self._independent("theta", case["inputs"]["theta"], "direction")
        inputs = case["inputs"]
        self.x = self.given("x") if "x" in inputs else []
        self.t_span = [Fraction(t) for t in case["t_span"]]
        self.along = [Fraction(t) for t in case["along"]]
        self.basis = case["basis"]
        self.of_readout = ("W", "b") if self.problem.get("readout") else ()
        self.rhs = formulas.field(self.field)

    def _independent(self, name: str, blocks: Any, direction: str) -> dict[str, Any]:
        given = self.case["inputs"].get(direction)
        theta = {}
        for block, array in blocks.items():
            values = [Fraction(a) for a in array["data"]]
            moves = [Fraction(a) for a in given[block]["data"]] if given else [0] * len(values)
            entries = [self._variable(v, m) for v, m in zip(values, moves, strict=True)]
            self.variables[block] = entries
            theta[block] = nested(entries, array["shape"])
        return theta

    def _variable(self, value: Fraction, move: Any) -> Var:
        return self.tape.variable(Series((constant(value), constant(move) if move else 0)))

    def given(self, name: str) -> Any:
        """An array of inputs; x of an ODE is a variable too."""
        array = self.case["inputs"][name]
        values: list[Any] = [Fraction(a) for a in array["data"]]
        if name == "x" and self.problem["type"] == "ode":
            moves = [Fraction(a) for a in self.case["inputs"]["x_direction"]["data"]]
            values = [self._variable(v, m) for v, m in zip(values, moves, strict=True)]
            self.variables["x"] = values
        else:
            values = [constant(v) for v in values]
        return nested(values, array["shape"])

    def rational(self, name: str) -> Any:
        """An array of exact inputs."""
        array = self.case["inputs"][name]
        return nested([Fraction(a) for a in array["data"]], array["shape"])

    def grid(self, along: list[Fraction]) -> tuple[list[Fraction], Fraction]:
        """Times of the steps' starts and their length."""
        n = self.case["n_steps"]
        h = (along[1] - along[0]) / n
        return [along[0] + i * h for i in range(n)], h

    def weights(self, t: Fraction, middle: Fraction) -> dict[str, Any]:
        """theta(t) of the field by name; a potential has one weight set."""
        if self.problem["type"] == "game":
            return self.theta
        start, length = self.t_span[0], self.t_span[1] - self.t_span[0]
        p = formulas.basis(self.basis, (t - start) / length, (middle - start) / length)
        names = [n for n in self.theta if n not in self.of_readout]
        return {
            name: _combined([constant(a) if a else 0 for a in p], self.theta[name])
            for name in names
        }

    def results(self, objective: Number) -> Results:
        """Gradient and Hessian-vector product of an objective, by block."""
        names = list(self.variables)
        flat = [v for name in names for v in self.variables[name]]
        gradients = iter(self.tape.gradient(objective, flat))
        first: Results = {}
        second: Results = {}
        for name in names:
            shape = self.case["inputs"]["theta"].get(name, self.case["inputs"].get("x"))["shape"]
            entries = [next(gradients) for _ in self.variables[name]]
            first[name] = nested([coefficient(g, 0) for g in entries], shape)
            second[name] = nested([coefficient(g, 1) for g in entries], shape)
        return {"gradient": first, "hessian_vector": second}


def coefficient(g: Number, k: int) -> Any:
    """The k-th coefficient of a number that need not be a series."""
    if isinstance(g, Var):
        g = g.value
    if isinstance(g, Series):
        return g.c[k]
    return g if k == 0 else 0


def nested(flat: list[Any], shape: list[int]) -> Any:
    """Nested lists from a flat one in C order."""
    if not shape:
        return flat[0]
    size = len(flat) // shape[0] if shape[0] else 0
    return [nested(flat[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]


def _combined(p: list[Any], coefficients: list[Any]) -> Any:
    """sum_j p_j theta_j, entry by entry."""
    if isinstance(coefficients[0], list):
        return [_combined(p, list(entries)) for entries in zip(*coefficients, strict=True)]
    return dot(p, coefficients)


def plain_values(value: Any) -> Any:
    """Derivatives dropped, through nested lists."""
    return [plain_values(v) for v in value] if isinstance(value, list) else scalar_of(value)


def mean(values: list[Number]) -> Number:
    return dot([constant(Fraction(1, len(values)))] * len(values), values)


# --- schemes -----------------------------------------------------------------------------------

Slope = Callable[[dict[str, Any], Vector, Any], Vector]


class Path:
    """States, stage states and slopes of one sample: lists over steps (and stages)."""

    def __init__(self, start: Vector) -> None:
        self.states = [start]
        self.slopes: list[list[Vector]] = []
        self.stages: list[list[Vector]] = []
        self.times: list[list[Fraction]] = []


def solve(inputs: Inputs, slope: Slope, start: Vector, along: list[Fraction]) -> Path:
    scheme, path = inputs.case["scheme"], Path(start)
    times, h = inputs.grid(along)
    for t in times:
        if "half" in scheme:
            path.states.append(_substeps(inputs, slope, path.states[-1], t, h))
        else:
            _runge_kutta(inputs, slope, path, t, h)
    return path


def _runge_kutta(inputs: Inputs, slope: Slope, path: Path, t: Fraction, h: Fraction) -> None:
    """k_i = f(t + c_i h, y + h sum a_ij k_j), y+ = y + h sum b_i k_i."""
    scheme, y = inputs.case["scheme"], path.states[-1]
    stages: list[Vector] = []
    slopes: list[Vector] = []
    times: list[Fraction] = []
    for row, c in zip(scheme["A"], scheme["c"], strict=True):
        at = t + Fraction(c) * h
        stages.append(_moved(y, h, row[: len(slopes)], slopes))
        times.append(at)
        slopes.append(slope(inputs.weights(at, t + h / 2), stages[-1], at))
    path.states.append(_moved(y, h, scheme["b"], slopes))
    path.stages.append(stages)
    path.slopes.append(slopes)
    path.times.append(times)


def _moved(y: Vector, h: Fraction, weights: list[str], slopes: list[Vector]) -> Vector:
    for weight, k in zip(weights, slopes, strict=True):
        factor = h * Fraction(weight)
        if factor:
            move = constant(factor)
            y = [a if is_zero(b) else add(a, move * b) for a, b in zip(y, k, strict=True)]
    return y


def _substeps(inputs: Inputs, slope: Slope, y: Vector, t: Fraction, h: Fraction) -> Vector:
    """Symplectic: each substep moves one half of y."""
    scheme, n = inputs.case["scheme"], len(y) // 2
    for half, b, c in zip(scheme["half"], scheme["b"], scheme["c"], strict=True):
        at = t + Fraction(c) * h
        f = slope(inputs.weights(at, t + h / 2), y, at)
        moves = f[:n] + [0] * n if half == 0 else [0] * n + f[n:]
        y = _moved(y, h, [b], [moves])
    return y


def along_paths(paths: list[Path], what: str, rows: slice) -> Any:
    """(n_steps, n_stages, N, rows) of stages or slopes."""
    columns = [getattr(path, what) for path in paths]
    return [
        [[plain_values(at[rows]) for at in samples] for samples in zip(*stages, strict=True)]
        for stages in zip(*columns, strict=True)
    ]


def every_stage(paths: list[Path], fun: Callable[[Vector, Any], Sequence[Any]]) -> list[Any]:
    """Each value of fun(y, t) at all stages, (n_steps, n_stages, N, ...)."""
    samples = [
        [
            [fun(y, t) for y, t in zip(*stage, strict=True)]
            for stage in zip(p.stages, p.times, strict=True)
        ]
        for p in paths
    ]
    steps = [
        [list(zip(*at, strict=True)) for at in zip(*steps, strict=True)]
        for steps in zip(*samples, strict=True)
    ]
    return [[[list(at[i]) for at in stages] for stages in steps] for i in range(len(steps[0][0]))]


def trajectory(paths: list[Path], d: int) -> Any:
    """(n_steps + 1, N, d)."""
    return [
        [plain_values(y[:d]) for y in states]
        for states in zip(*(p.states for p in paths), strict=True)
    ]


def leaves(value: Any) -> Iterator[Any]:
    """The numbers in nested lists and dicts, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def shape(value: Any) -> list[int]:
    """The shape of nested lists."""
    return [len(value), *shape(value[0])] if isinstance(value, list) else []
