"""Speed of the GPU path beside JAX and PyTorch on the same device, for gpu.py.

Workloads and codes are the CPU benchmark's (peers.py), data and weights of all codes resident;
refode's weights and gradient alone pass through NumPy arrays, as its users pass them. Every code
is compared with refode on the CPU before it is timed, and a code that cannot run is named.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import refode
import refode.cuda
from refode.cuda import bodies
from refode.cuda import widths as widths_
from refode.cuda.ops import staged
from refode.sweeps.dynamics import Flow, Plain
from validation import common
from validation.benchmarks import interleaved, peers, peers_flow

TARGETS = {"S1": 5.0, "S2": 1.0, "C1": 5.0, "C2": 1.0}
MODES = ("tile", "staged")
TWO_JAX = ("jax.jit scan", "jax.jit unrolled")


def on_device(c: peers.PeerCase, dtype: str = "float64") -> Any:
    """The problem of a workload, on the device."""
    ode, w = c.problem.ode, c.workload
    if w.loss == "flow":
        return refode.ContinuousNormalizingFlow(
            ode, transport=peers.TRANSPORT, device="cuda", dtype=dtype
        )
    logistic = w.loss == "logistic"
    return refode.Supervised(
        ode, loss=w.loss, augment=int(logistic), readout=logistic, device="cuda", dtype=dtype
    )


def refode_peers(c: peers.PeerCase) -> list[peers.Peer]:
    """refode in both modes, data on the device."""
    problem = on_device(c)
    given = (c.x,) if c.workload.loss == "flow" else (c.x_unpadded, c.y)
    data = problem.to_device(*given)
    data = data if isinstance(data, tuple) else (data,)

    def read(result: Any) -> tuple[float, peers.Named]:
        return result[0], problem.unpack(result[1])

    def call_in(mode: str) -> Callable[[], Any]:
        def call() -> Any:
            with refode.cuda.settings(mode=mode):
                return problem.value_and_gradient(c.theta, *data)

        return call

    return [peers.Peer(f"refode {mode}", call_in(mode), read) for mode in MODES]


def automatic(problem: Any) -> str:
    """The mode that ``mode="auto"`` takes."""
    widest = max(problem.ode.field.layout.sizes.values())
    return "staged" if widest >= widths_.WIDE else "tile"


# --- other codes ---------------------------------------------------------------------------
def gpu_of_jax() -> str:
    """'' after float64 and the GPU have been chosen for JAX, else why not."""
    if not peers.have("jax"):
        return "jax is not installed"
    import jax

    jax.config.update("jax_enable_x64", True)
    try:
        jax.config.update("jax_default_device", jax.devices("gpu")[0])
    except RuntimeError as error:
        return f"jax {jax.__version__} sees no GPU ({one_line(error)})"
    return ""


def gpu_of_torch() -> str:
    """'' if PyTorch sees the GPU, else why not."""
    if not peers.have("torch"):
        return "torch is not installed"
    import torch

    return "" if torch.cuda.is_available() else f"torch {torch.__version__} sees no GPU"


def one_line(error: BaseException) -> str:
    """A message without its further lines."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _jax_makers(c: peers.PeerCase, prototype: bool) -> dict[str, Callable[[], peers.Peer]]:
    loops = ("scan", "unrolled")
    if c.workload.loss == "flow":
        made = {f"jax.jit {a}": lambda a=a: peers_flow.jax_flow(c, a) for a in loops}
        if prototype:  # Jacobians of 100,000 samples do not fit
            made["jax, trace by autodiff"] = lambda: peers_flow.jax_flow(c, "scan", "autodiff")
        return made
    return {
        f"jax.jit {loop}, rows {rows}": lambda loop=loop, rows=rows: peers.jax_peer(c, loop, rows)
        for rows in (True, False)
        for loop in loops
    }


def eager_flow(c: peers.PeerCase) -> peers.Peer:
    """PyTorch eager, the classical RK4 by hand, trace in closed form, autograd."""
    import torch

    from validation.benchmarks.peers_torch import _Model

    model, w = _Model(c), c.workload
    h = -1.0 / w.n_steps

    def rhs(z: Any, W0: Any, b0: Any, W1: Any, b1: Any, M: Any) -> tuple[Any, ...]:
        a = torch.tanh(torch.nn.functional.linear(z, W0, b0))
        f = torch.nn.functional.linear(a, W1, b1)
        return f, (1.0 - a * a) @ M, 0.5 * (f * f).sum(1)

    def call() -> Any:
        weights = [model.p[name][0] for name in ("W0", "b0", "W1", "b1")]
        weights.append((weights[2].T * weights[0]).sum(1))
        z, trace, cost = model.x, 0.0, 0.0
        for _ in range(w.n_steps):
            k1 = rhs(z, *weights)
            k2 = rhs(z + 0.5 * h * k1[0], *weights)
            k3 = rhs(z + 0.5 * h * k2[0], *weights)
            k4 = rhs(z + h * k3[0], *weights)
            z, trace, cost = (
                y + h / 6.0 * (a + 2.0 * b + 2.0 * c + d)
                for y, a, b, c, d in zip((z, trace, cost), k1, k2, k3, k4, strict=True)
            )
        value = peers_flow._loss(w, z, trace, cost)
        return value.detach(), torch.autograd.grad(value, list(model.p.values()))

    return peers.Peer("torch eager", call, model.read)


def _torch_makers(c: peers.PeerCase, prototype: bool) -> dict[str, Callable[[], peers.Peer]]:
    from validation.benchmarks import peers_torch

    flow = c.workload.loss == "flow"
    made = {"torch eager": lambda: eager_flow(c) if flow else peers_torch.eager_peer(c)}
    if peers.have("torchdiffeq"):
        if not flow:
            made["torchdiffeq"] = lambda: peers_torch.torchdiffeq_peer(c)
        elif prototype:
            made["torchdiffeq"] = lambda: peers_flow.torchdiffeq_flow(c)
    return {name: lambda make=make: _on_cuda(make) for name, make in made.items()}


def _on_cuda(make: Callable[[], peers.Peer]) -> peers.Peer:
    """A PyTorch code with its tensors on the GPU; a call is over when the GPU has finished."""
    import torch

    with torch.device("cuda"):
        peer = make()
    # the context makes every call of torch slower, and only some calls make tensors
    makes_tensors = "trace by autodiff" in peer.name

    def call() -> Any:
        with torch.device("cuda") if makes_tensors else contextlib.nullcontext():
            result = peer.call()
        torch.cuda.synchronize()
        return result

    def read(result: Any) -> tuple[float, peers.Named]:
        return peer.read((result[0], [g.cpu() for g in result[1]]))

    return peers.Peer(peer.name, call, read, peer.scheme)


def others(c: peers.PeerCase, prototype: bool) -> tuple[list[peers.Peer], list[str]]:
    """Every other code on this device, and a line for each that is not there."""
    makers: dict[str, Callable[[], peers.Peer]] = {}
    found, missing = [], []
    for reason, make in ((gpu_of_jax(), _jax_makers), (gpu_of_torch(), _torch_makers)):
        if reason:
            missing.append(reason)
        else:
            makers |= make(c, prototype)
    if not gpu_of_torch() and not peers.have("torchdiffeq"):
        missing.append("torchdiffeq is not installed")
    if c.workload.loss == "flow" and not prototype:
        missing.append("traces by autodiff are timed with the prototypes' sizes alone")
    for name, make in makers.items():
        try:
            found.append(make())
        except Exception as error:  # each package has classes of its own
            missing.append(f"{name}: {one_line(error)}")
    return found, missing


# --- one workload --------------------------------------------------------------------------
def tape_bytes(problem: Any, n: int) -> float:
    """Bytes that must pass through memory: the tape written and read once, the samples read.

    Rows of a stage: its state, its slope, and what the field keeps. Less is impossible with a
    tape in global memory; whether shared memory or caches serve the rest, this does not say.
    """
    ode = problem.ode
    sweep = ode.sweep(ode.plan(), Flow if hasattr(problem, "transport") else Plain, np.float64)
    tape, _ = bodies.dynamics_bodies(staged, sweep.dynamics).rows(sweep.dynamics)
    n_steps, n_stages = sweep.grid.slots.shape
    return 8.0 * n * (2 * n_steps * n_stages * (2 * sweep.rows + tape) + ode.dim)


def verified(
    report: common.Report, c: peers.PeerCase, codes: list[peers.Peer], missing: list[str]
) -> tuple[dict[str, peers.Peer], dict[str, float]]:
    """The codes that agree with refode on the CPU, and their differences."""
    truth: dict[str, Any] = {}
    good, errors = {}, {}
    for peer in codes:
        if peer.scheme not in truth:
            mine = peers.refode_peer(
                c if peer.scheme == "rk4" else peers.case(c.workload, scheme=peer.scheme)
            )
            truth[peer.scheme] = mine.read(mine.call())
        try:
            got = peer.read(peer.call())
        except Exception as error:  # each package has classes of its own
            missing.append(f"{peer.name}: {one_line(error)}")
            continue
        errors[peer.name] = found = peers.disagreement(got, truth[peer.scheme])
        if found <= peers.TOLERANCE:
            good[peer.name] = peer
        elif not peer.name.startswith("refode"):  # whose check is made in any case
            what = f"{c.workload.name}: {peer.name} beside refode on the CPU"
            report.at_most(what, found, peers.TOLERANCE)
    for name in list(good):  # once more, now that all keep what memory they keep
        try:
            good[name].call()
        except Exception as error:
            missing.append(f"{name}: {one_line(error)}")
            del good[name]
    return good, errors


def times_of(calls: dict[str, Callable[[], Any]], rounds: int, seconds: float) -> Any:
    """In turns, where there is anything to time."""
    return interleaved.in_turns(calls, rounds, seconds) if calls else {}


def measure(
    report: common.Report,
    w: peers.Workload,
    prototype: bool,
    rounds: int,
    seconds: float,
    rates: dict[str, float],
) -> dict[str, Any]:
    """Verify all codes on a workload, time them in turns, compare with the device's rates."""
    c = peers.case(w)
    found, missing = others(c, prototype)
    codes = [*refode_peers(c), *found]
    good, errors = verified(report, c, codes, missing)
    worst = max(errors.values(), default=float("nan"))
    print(
        f"  {w.name}: {len(good)} codes, largest difference {worst:.1e}"
        + "".join(f"; {line}" for line in missing),
        flush=True,
    )
    mine = [errors.get(f"refode {mode}", math.nan) for mode in MODES]
    report.at_most(f"{w.name}: both modes beside the CPU", float(np.max(mine)), peers.TOLERANCE)
    times = times_of({n: p.call for n, p in good.items()}, rounds, seconds)
    medians = {name: interleaved.summary(t) for name, t in times.items()}
    moved = tape_bytes(c.problem, w.n_samples)
    fractions = {
        name: {
            "of_rate": w.flops / (1e-3 * t["median"]) / rates["flops_per_second"],
            "of_bandwidth": moved / (1e-3 * t["median"]) / rates["bytes_per_second"],
        }
        for name, t in medians.items()
    }
    return {
        "workload": w._asdict(),
        "flops": w.flops,
        "bytes": moved,
        "errors": errors,
        "missing": missing,
        "times": medians,
        "fractions": fractions,
        "auto": f"refode {automatic(c.problem)}",
        "prototype": prototype,
    }


def ratio(result: Any, names: tuple[str, ...] = TWO_JAX) -> float:
    """Fastest of the named codes over refode as it is by default; NaN without one of them."""
    times = result["times"]
    mine = times.get(result["auto"], {}).get("median", math.nan)
    return min((times[n]["median"] for n in names if n in times), default=math.nan) / mine


def speed(
    report: common.Report, quick: bool, n_large: int, rates: dict[str, float]
) -> list[dict[str, Any]]:
    """S1, S2, C1 and C2 with the prototypes' sizes and with many samples."""
    rounds, seconds = (4, 0.1) if quick else (20, 0.2)
    results = []
    for w in (peers.S1, peers.S2, peers.C1, peers.C2):
        for prototype in (True, False):
            sized = w if prototype else w._replace(name=f"{w.name}, {n_large:,}", n_samples=n_large)
            result = measure(report, sized, prototype, rounds, seconds, rates)
            results.append(result)
            print_result(result)
            if any(name in result["times"] for name in TWO_JAX):
                what = f"{sized.name}: times as fast as the faster of two jitted JAX codes"
                report.at_least(what, ratio(result), TARGETS[w.name])
            else:
                print(f"{sized.name}: no jitted JAX on this device, so no target is checked")
    return results


def print_result(result: Any) -> None:
    """A table, codes from fast to slow."""
    w, rows = result["workload"], []
    mine = result["times"].get(result["auto"], {}).get("median", math.nan)
    for name, t in sorted(result["times"].items(), key=lambda item: item[1]["median"]):
        fraction = result["fractions"][name]
        rows.append(
            (
                name + (" (auto)" if name == result["auto"] else ""),
                f"{t['median']:.3g}",
                f"{t['low']:.3g} - {t['high']:.3g}",
                f"{t['median'] / mine:.2f}",
                f"{100 * fraction['of_rate']:.1f}",
                f"{100 * fraction['of_bandwidth']:.1f}",
            )
        )
    title = (
        f"{w['name']}: d={w['d']}, k={w['k']}, {w['n_samples']:,} samples, {w['n_steps']} "
        f"steps of RK4, {w['loss']}"
    )
    columns = ("code", "median ms", "quartiles ms", "of refode", "% of f64 rate", "% of bandwidth")
    common.print_table(title, columns, rows)
    both = [result["times"].get(f"refode {mode}", {}).get("median", math.nan) for mode in MODES]
    print(
        f"{w['name']}: {'tiles' if both[0] <= both[1] else 'staged'} are faster, staged/tile = "
        f"{both[1] / both[0]:.2f}"
    )
