"""The GPU path beside the CPU's, for gpu.py: random sizes, a million samples, the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import refode
import refode.cuda
from refode import bases, densities, fields, games
from refode.cuda import device
from refode.ode.placement import TooLarge
from validation import common
from validation.benchmarks import gpu_peers, peers

Array = np.ndarray
MODES = ("tile", "staged")
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}  # of the largest entry
NUDGE = 1e-9  # relative change of the weights that a comparison must see


class Limits(NamedTuple):
    """Largest sizes that are drawn, and how many cases a field and problem."""

    cases: int
    shallow: tuple[int, int]  # d, width
    mlp: tuple[int, int]
    mlp_trace: tuple[int, int]  # its exact trace costs d products a sample
    potential: tuple[int, int]
    samples: tuple[int, int]
    steps: int
    schemes: tuple[str, ...]


FULL = Limits(
    3,
    (256, 1024),
    (64, 256),
    (12, 48),
    (64, 48),
    (300, 3000),
    6,
    ("euler", "heun", "rk4", "rk4_38", "dopri5"),
)
QUICK = FULL._replace(cases=1, samples=(100, 500))
TINY = Limits(1, (3, 5), (3, 4), (2, 4), (3, 4), (5, 6), 2, ("euler", "heun"))


class ParityCase(NamedTuple):
    """A problem on the CPU, how to make it on the device, weights and data."""

    kind: str
    label: str
    here: Any
    there: Callable[[str], Any]  # of the number type
    theta: Array
    data: tuple[Array, ...]


def small_tiles() -> Any:
    """A layout in which tiny cases have three tiles, and one block takes two of them."""
    return refode.cuda.settings(tile=2, blocks=2, threads=2 if device.simulated() else 64)


# --- cases ---------------------------------------------------------------------------------
def cases(limits: Limits) -> Iterator[ParityCase]:
    """Random ones of every field and problem, and the largest nets."""
    rng = np.random.default_rng(6)
    for problem in (_supervised, _flow):
        for field in ("Shallow", "MLP", "Potential"):
            for _ in range(limits.cases):
                yield problem(rng, limits, _field(rng, limits, field, problem is _flow))
        if limits.shallow[0] >= 256:  # constant weights: every block keeps a sum of its own
            large = fields.Shallow(*limits.shallow)
            yield problem(rng, limits._replace(steps=2), large, bases.Constant())
    for make in (_transport, _crowd, _density):
        for _ in range(limits.cases):
            yield _game(rng, limits, make)


def _upto(rng: Any, top: int, low: int = 1) -> int:
    """An integer in [low, top], small ones as likely as large ones."""
    return int(round(np.exp(rng.uniform(np.log(low), np.log(max(top, low))))))


def _field(rng: Any, limits: Limits, name: str, trace: bool) -> Any:
    timed = bool(rng.integers(2))
    if name == "Shallow":
        d, k = (_upto(rng, n) for n in limits.shallow)
        return fields.Shallow(d, k, time=timed)
    if name == "MLP":
        top_d, top_k = limits.mlp_trace if trace else limits.mlp
        d, depth = _upto(rng, top_d), int(rng.integers(2, 4))
        widths = [_upto(rng, top_k, 2) for _ in range(depth)]
        activations = [str(a) for a in rng.choice(["tanh", "softplus", "sine"], depth)]
        return fields.MLP(d, widths, activations, time=timed)
    d, m = (_upto(rng, n, 2) for n in limits.potential)
    depth, quadratic = int(rng.integers(2, 4)), ("lowrank", "symmetric")[rng.integers(2)]
    return fields.Potential(d, m, depth, quadratic=quadratic)


def _ode(rng: Any, limits: Limits, field: Any, basis: Any) -> Any:
    J = int(rng.integers(2, 4))
    drawn = (
        bases.Constant(),
        bases.PiecewiseConstant(J),
        bases.PiecewiseLinear(J),
        bases.Legendre(J),
        bases.BSpline(4),
    )[rng.integers(5)]
    return refode.NeuralODE(
        field,
        str(rng.choice(limits.schemes)),
        int(rng.integers(1, limits.steps + 1)),
        (0.1, 1.1) if rng.integers(2) else (0.8, -0.1),
        drawn if basis is None else basis,
        memory=str(rng.choice(["store", "steps"])),
    )


def _label(ode: Any, n: int) -> str:
    basis = type(ode.basis).__name__
    return f"{ode.field!r}, {ode.scheme} x {ode.n_steps}, {basis}, {ode.memory}, N={n}"


def _samples(rng: Any, limits: Limits) -> int:
    """Seldom a multiple of the tile."""
    low, high = limits.samples
    return _upto(rng, high, low)


def _weights(rng: Any, problem: Any, field: Any) -> Array:
    """The problem's own start, moved so that no weight is zero."""
    widest = max(max(shape, default=1) for shape in field.layout.shapes.values())
    start = problem.initial(seed=0)
    return start + 0.3 / np.sqrt(widest) * rng.standard_normal(start.size)


def _supervised(rng: Any, limits: Limits, field: Any, basis: Any = None) -> ParityCase:
    ode, n = _ode(rng, limits, field, basis), _samples(rng, limits)
    readout = not isinstance(field, fields.Potential)  # whose names are the readout's
    losses = ["regression"] + ["logistic", "softmax"] * readout
    loss = losses[rng.integers(len(losses))]
    m = {"logistic": 1, "softmax": 3}.get(loss, 2) if readout else 1
    augment = int(rng.integers(2)) if field.dim > 1 else 0
    how: dict[str, Any] = {
        "loss": loss,
        "n_outputs": m,
        "augment": augment,
        "readout": readout,
        "tikhonov": 0.01,
    }
    here = refode.Supervised(ode, **how)
    x = rng.standard_normal((n, here.n_inputs))
    if loss == "regression":
        y = rng.standard_normal((n, here.n_outputs))
    else:
        y = rng.integers(2 if loss == "logistic" else m, size=n)
    return ParityCase(
        "supervised",
        f"{loss}: {_label(ode, n)}",
        here,
        lambda dtype: refode.Supervised(ode, **how, device="cuda", dtype=dtype),
        _weights(rng, here, field),
        (x, y),
    )


def _flow(rng: Any, limits: Limits, field: Any, basis: Any = None) -> ParityCase:
    ode, n = _ode(rng, limits, field, basis), _samples(rng, limits)
    here = refode.ContinuousNormalizingFlow(ode, transport=0.3)

    def there(dtype: str) -> Any:
        return refode.ContinuousNormalizingFlow(ode, transport=0.3, device="cuda", dtype=dtype)

    theta, y = _weights(rng, here, field), rng.standard_normal((n, field.dim))
    return ParityCase("flow", _label(ode, n), here, there, theta, (y,))


def _game(rng: Any, limits: Limits, make: Callable[..., Any]) -> ParityCase:
    d, m = (_upto(rng, n, 2) for n in limits.potential)
    game, n = make(rng, d), _samples(rng, limits)
    potential = fields.Potential(d, m, quadratic=("lowrank", "symmetric")[rng.integers(2)])
    how: dict[str, Any] = {
        "scheme": str(rng.choice(limits.schemes)),
        "n_steps": min(limits.steps - 1, 2),
    }
    if game.alpha > 0.0:
        how |= {"hjb": 0.4, "hjb_terminal": 0.3, "hjb_norm": "squared"}
    here = refode.MeanFieldGame(potential, game, **how)

    def there(dtype: str) -> Any:
        return refode.MeanFieldGame(potential, game, **how, device="cuda", dtype=dtype)

    data = (game.initial.sample(n, seed=1),)
    if isinstance(game.terminal_cost, games.CrossEntropy):
        data += (game.target.sample(n, seed=2),)
    how_many = f"{how['scheme']} x {how['n_steps']}"
    label = f"{make.__name__[1:]}: {potential!r}, {how_many}, N={n}"
    return ParityCase("game", label, here, there, _weights(rng, here, potential), data)


def _transport(rng: Any, d: int) -> Any:
    start = densities.GaussianMixture(np.ones(3) / 3, rng.standard_normal((3, d)), 0.5)
    return games.optimal_transport(start, densities.Gaussian(np.zeros(d), 0.4), 1.5, 2.0)


def _crowd(rng: Any, d: int) -> Any:
    up = np.eye(d)[0]
    start, end = densities.Gaussian(up, 0.5), densities.Gaussian(-up, 0.5)
    bump = games.GaussianBump(5.0, np.zeros(min(d, 2)), np.ones(min(d, 2)))
    return games.crowd_motion(start, end, alpha=1.2, obstacle=bump, entropy=0.1, terminal=2.0)


def _density(rng: Any, d: int) -> Any:
    target = densities.GaussianMixture(np.ones(2) / 2, rng.standard_normal((2, d)), 0.5)
    return games.normalizing_flow(densities.Gaussian(np.zeros(d), 1.0), target, alpha=0.3)


# --- comparisons ---------------------------------------------------------------------------
def _answers(problem: Any, theta: Array, data: tuple[Any, ...]) -> list[Array]:
    """Value, gradient, and what the forward sweep alone gives."""
    value, gradient = problem.value_and_gradient(theta, *data)
    return [np.array([value]), gradient, forward(problem)(theta, data[0])]


def forward(problem: Any) -> Callable[..., Array]:
    """The method that only goes forward."""
    for name in ("predict", "log_density", "generate"):
        if hasattr(problem, name) and not (name == "log_density" and hasattr(problem, "game")):
            return getattr(problem, name)
    raise TypeError(f"problem: got {type(problem).__name__}")


def error(got: list[Array], wanted: list[Array]) -> float:
    """Largest difference, each array's relative to its largest entry; a NaN stays."""
    return float(
        np.max([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(got, wanted, strict=True)])
    )


def parity(report: common.Report, quick: bool, n_large: int, tiny: bool) -> dict[str, Any]:
    """Every case in both modes and number types; what does not fit is said and left out."""
    limits = TINY if tiny else QUICK if quick else FULL
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    first: tuple[ParityCase, list[Array]] | None = None
    for case in cases(limits):
        wanted = _answers(case.here, case.theta, case.data)
        first = first or (case, wanted)
        for dtype in TOLERANCE:
            there = case.there(dtype)
            for mode in MODES:
                start, what = time.perf_counter(), f"{case.label}, {mode}, {dtype}"
                try:
                    with refode.cuda.settings(mode=mode):
                        found = error(_answers(there, case.theta, case.data), wanted)
                except TooLarge as reason:
                    left_out.append(f"{what}: {reason}")
                    continue
                except Exception as reason:  # the other cases are still worth knowing
                    print(f"  FAILED {what}: {type(reason).__name__}: {reason}")
                    found = float("nan")
                row = {
                    "kind": case.kind,
                    "mode": mode,
                    "dtype": dtype,
                    "error": found,
                    "seconds": time.perf_counter() - start,
                    "case": case.label,
                }
                rows.append(row)
                print(f"  {mode:6} {dtype} {found:.1e} {case.kind} {case.label}", flush=True)
    for line in left_out:
        print(f"  left out: {line}")
    for kind in ("supervised", "flow", "game"):
        for dtype, bound in TOLERANCE.items():
            for mode in MODES:
                errors = [
                    r["error"]
                    for r in rows
                    if (r["kind"], r["dtype"], r["mode"]) == (kind, dtype, mode)
                ]
                worst = float(np.max(errors)) if errors else float("nan")
                report.at_most(f"{kind}, {mode}, {dtype}: {len(errors)} cases", worst, bound)
    single = [r["error"] for r in rows if r["dtype"] == "float32"]
    what = "control: some float32 case differs by more than float64's bound"
    report.at_least(what, max(single, default=float("nan")), TOLERANCE["float64"])
    assert first is not None
    _control(report, *first)
    sliced = many_samples(report, 5 if tiny else n_large)
    return {"cases": rows, "left_out": left_out, "many_samples": sliced}


def _control(report: common.Report, case: ParityCase, wanted: list[Array]) -> None:
    """Weights that are a little off are noticed."""
    with refode.cuda.settings(mode="tile"):
        got = _answers(case.there("float64"), case.theta * (1.0 + NUDGE), case.data)
    what = f"control: weights off by {NUDGE:g} are seen, difference"
    report.at_least(what, error(got, wanted), 5 * TOLERANCE["float64"])


def many_samples(report: common.Report, n: int) -> list[dict[str, Any]]:
    """S1 with n samples beside the CPU; in three slices beside all at once."""
    steps = peers.S1.n_steps if n > 10 else 2
    c = peers.case(peers.S1._replace(n_samples=n, n_steps=steps))
    there = gpu_peers.on_device(c)
    data = (c.x_unpadded, c.y)
    wanted = _answers(c.problem, c.theta, data)
    found = []
    for mode in MODES:
        answers = []
        for how in ({}, {"slice": n // 3 + 1}):
            with refode.cuda.settings(mode=mode, **how):
                answers.append(_answers(there, c.theta, data))
        row = {
            "mode": mode,
            "n": n,
            "error": error(answers[0], wanted),
            "sliced": error(answers[1], answers[0]),
        }
        found.append(row)
        name, bound = f"S1, {n:,} samples, {mode}", TOLERANCE["float64"]
        report.at_most(f"{name}: beside the CPU", row["error"], bound)
        report.at_most(f"{name}: three slices beside all at once", row["sliced"], bound)
    return found


# --- bits ----------------------------------------------------------------------------------
def bits(report: common.Report, quick: bool, tiny: bool) -> list[dict[str, Any]]:
    """Entries that differ when a gradient is computed again, with other threads, from the device.

    Tiles promise the same bits for every number of threads with the same number of blocks.
    """
    limits = QUICK._replace(samples=(2000, 5000), shallow=(8, 64), mlp=(8, 64), potential=(8, 16))
    again, others = 3 if quick else 20, (32, 64, 256)
    if tiny:
        limits, again, others = TINY, 1, (3,) if device.simulated() else (96,)
    found = []
    kinds: set[str] = set()
    for case in cases(limits):
        if tiny and case.kind in kinds:
            continue  # one of each problem
        kinds.add(case.kind)
        there = case.there("float64")
        for mode in MODES:
            ways: list[dict[str, int]] = [{}] * again
            ways += [{"threads": n} for n in others] if mode == "tile" else []
            with refode.cuda.settings(mode=mode):
                first = _answers(there, case.theta, case.data)
                data = there.to_device(*case.data)
                data = data if isinstance(data, tuple) else (data,)
                results = [_answers(there, case.theta, data)]
            for how in ways:
                with refode.cuda.settings(mode=mode, **how):
                    results.append(_answers(there, case.theta, case.data))
            differ = sum(
                int(np.count_nonzero(a.view(np.int64) != b.view(np.int64)))
                for r in results
                for a, b in zip(r, first, strict=True)
            )
            found.append(
                {
                    "kind": case.kind,
                    "mode": mode,
                    "case": case.label,
                    "repetitions": len(results),
                    "differ": differ,
                }
            )
    for mode in MODES:
        chosen = [r for r in found if r["mode"] == mode]
        total = sum(r["repetitions"] for r in chosen)
        what = f"same bits, {mode}: entries that differ in {total} repetitions"
        report.at_most(what, float(sum(r["differ"] for r in chosen)), 0.0)
    return found
