"""Milliseconds of value and gradient of a fitted field, beside diffrax and torchdiffeq.

    python -m validation.benchmarks.trajectories [--quick] [--out FOLDER]

Samples with irregular times of their own, all of the state observed, dopri5 in every code.
diffrax solves each sample by steps of its own at rtol 1e-6 (``vmap``, ``SaveAt(ts=...)``, jitted,
each of its adjoints that runs); torchdiffeq knows common times alone, so that it is given all
times of all samples and what it does not need is left out. refode takes the least number of steps,
equal or growing evenly, by which what is observed is at least as close to a fine solution as
diffrax's, in the largest error and in the mean square one; both are printed. Before anything is
timed, values and gradients agree to what the tolerance allows. The codes take turns
(interleaved.py). Codes that are not installed are left out by name.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import refode
from validation.benchmarks.interleaved import in_turns, summary
from validation.common import machine

Array = np.ndarray
RTOL, ATOL = 1e-6, 1e-9
#: Errors in units of the tolerance, largest and root mean square, where diffrax is not there.
ALLOWED = (900.0, 16.0)
#: By how much the last of refode's steps may be longer than the mean one.
GROWTH = (0.0, 0.1, 0.2)
#: Values and gradients of codes that meet the tolerance, relative to the largest entry.
AGREE = 2e-4
#: Residuals within the noise: their mean square at most so many times its variance.
NOISE = 1.1
#: Wanted factors, by workload: how many times slower than refode each peer is at least.
WANTED = {"small": {"diffrax": 10.0, "torchdiffeq": 50.0}, "large": {"diffrax": 3.0}}


class Workload(NamedTuple):
    """Sizes: dimension, width, samples, times of each."""

    name: str
    d: int
    k: int
    N: int
    K: int


SMALL, LARGE = Workload("small", 2, 50, 100, 40), Workload("large", 16, 64, 2000, 40)


class Case(NamedTuple):
    """A workload with its numbers, and what refode makes of them."""

    workload: Workload
    problem: Any
    theta: Array
    weights: dict[str, Array]
    x: Array
    y: Any
    fine: Array  # what is observed, to many digits


class Code(NamedTuple):
    """A code: value and gradient by name, and the same as it is timed."""

    name: str
    outcome: Callable[[], tuple[float, dict[str, Array]]]
    call: Callable[[], Any]


def case(w: Workload, seed: int = 0) -> Case:
    """Curves of one network, noisy, seen by the times of each sample; weights are another's."""
    rng = np.random.default_rng(seed)
    field, span = refode.fields.Shallow(w.d, w.k), (0.0, 2.0)
    x, times = rng.standard_normal((w.N, w.d)), np.sort(rng.uniform(*span, (w.N, w.K)), axis=1)
    theta = refode.NeuralODE(field).initial(seed) * 1.5
    fine_ode = refode.NeuralODE(field, "dopri5", 400, span)
    truth = fine_ode.interpolate(refode.NeuralODE(field).initial(seed + 1), x, times)
    y = refode.Observations(times, truth + 0.05 * rng.standard_normal(truth.shape))
    fine = fine_ode.interpolate(theta, x, times)
    weights = {name: value[0] for name, value in fine_ode.unpack(theta).items()}
    c = Case(w, refode.TrajectoryFitting(fine_ode), theta, weights, x, y, fine)
    try:
        allowed = errors(diffrax_states(c), fine)
    except ImportError:
        allowed = ALLOWED
    print(f"{w.name}: diffrax's errors/tolerance {allowed[0]:.0f}, {allowed[1]:.1f} rms")
    return c._replace(problem=enough(c, allowed))


def errors(z: Array, fine: Array) -> tuple[float, float]:
    """The largest error in units of the tolerance, and the root of the mean square."""
    off = np.abs(z - fine) / (ATOL + RTOL * np.abs(fine))
    return float(off.max()), float(np.sqrt((off**2).mean()))


def enough(c: Case, allowed: tuple[float, float]) -> Any:
    """The problem on the least number of steps with no larger errors."""
    for n in range(2, 400):
        for growth in GROWTH:
            problem = c.problem.with_steps(growing(n, growth))
            z = problem.predict(c.theta, c.x, c.y.times)
            if (np.array(errors(z, c.fine)) <= allowed).all():
                return problem
    raise RuntimeError("no number of steps below 400 is as accurate")


def growing(n: int, growth: float) -> Any:
    """Steps of [0, 2] whose length goes from 1 - growth to 1 + growth times the mean one's."""
    s = np.linspace(0.0, 1.0, n + 1)
    grid = 2.0 * s * (1.0 - growth * (1.0 - s))
    return refode.NeuralODE(refode.fields.Affine(dim=1), grid=grid).steps


def ours(c: Case) -> Code:
    """refode as its users call it."""

    def call() -> Any:
        return c.problem.value_and_gradient(c.theta, c.x, c.y)

    def outcome() -> tuple[float, dict[str, Array]]:
        value, gradient = call()
        return value, {n: g[0] for n, g in c.problem.unpack(gradient).items()}

    return Code("refode", outcome, call)


def diffrax_path(adjoint: Any) -> Callable[..., Any]:
    """A sample's states at its times, by steps of its own."""
    import diffrax
    import jax.numpy as jnp

    def field(t: Any, z: Any, w: Any) -> Any:
        return w["W1"] @ jnp.tanh(w["W0"] @ z + w["b0"]) + w["b1"]

    def path(w: Any, z: Any, ts: Any) -> Any:
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Dopri5(),
            0.0,
            2.0,
            None,
            z,
            w,
            saveat=diffrax.SaveAt(ts=ts),
            stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=ATOL),
            adjoint=adjoint,
            max_steps=256,
        ).ys

    return path


def diffrax_states(c: Case) -> Array:
    """What diffrax says of the states that are observed."""
    import diffrax
    import jax

    jax.config.update("jax_enable_x64", True)
    path = diffrax_path(diffrax.RecursiveCheckpointAdjoint())
    return np.asarray(jax.jit(jax.vmap(path, (None, 0, 0)))(c.weights, c.x, c.y.times))


def with_diffrax(c: Case) -> list[Code]:
    """Each of diffrax's adjoints that this version takes."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x, times, values = map(jnp.asarray, (c.x, c.y.times, c.y.values))
    weights = {n: jnp.asarray(w) for n, w in c.weights.items()}

    def made(name: str, adjoint: Any) -> Code:
        path = diffrax_path(adjoint)

        def loss(w: Any) -> Any:
            z = jax.vmap(path, in_axes=(None, 0, 0))(w, x, times)
            return 0.5 * jnp.mean((z - values) ** 2)

        both = jax.jit(jax.value_and_grad(loss))

        def outcome() -> tuple[float, dict[str, Array]]:
            value, gradient = both(weights)
            return float(value), {n: np.asarray(g) for n, g in gradient.items()}

        return Code(f"diffrax {name}", outcome, lambda: jax.block_until_ready(both(weights)))

    adjoints = {"checkpointed": diffrax.RecursiveCheckpointAdjoint()}
    adjoints["direct"] = diffrax.DirectAdjoint()
    if hasattr(diffrax, "BacksolveAdjoint"):
        adjoints["backsolve"] = diffrax.BacksolveAdjoint()
    return [made(name, adjoint) for name, adjoint in adjoints.items()]


def with_torchdiffeq(c: Case) -> list[Code]:
    """odeint over all times of all samples together."""
    import torch
    import torchdiffeq

    times = np.concatenate([[0.0], np.unique(c.y.times)])
    which = np.searchsorted(times, c.y.times)
    t, x, values = map(torch.as_tensor, (times, c.x, c.y.values.copy()))
    rows = torch.arange(len(c.x))[:, None]
    places = torch.as_tensor(which)
    w = {n: torch.tensor(v, requires_grad=True) for n, v in c.weights.items()}

    def field(_: Any, z: Any) -> Any:
        return torch.tanh(z @ w["W0"].T + w["b0"]) @ w["W1"].T + w["b1"]

    def call() -> Any:
        z = torchdiffeq.odeint(field, x, t, method="dopri5", rtol=RTOL, atol=ATOL)
        loss = 0.5 * ((z[places, rows] - values) ** 2).mean()
        return loss, torch.autograd.grad(loss, list(w.values()))

    def outcome() -> tuple[float, dict[str, Array]]:
        loss, gradient = call()
        return loss.item(), {n: g.numpy() for n, g in zip(w, gradient, strict=True)}

    return [Code("torchdiffeq", outcome, call)]


def peers(c: Case) -> tuple[list[Code], list[str]]:
    """Codes that are installed, and a line for each that is not."""
    found, missing = [], []
    for name, make in (("diffrax", with_diffrax), ("torchdiffeq", with_torchdiffeq)):
        if name == "torchdiffeq" and c.workload is LARGE:
            continue  # 80,000 times together
        try:
            found += make(c)
        except ImportError as error:
            missing.append(f"{name} is left out: {error}")
    return found, missing


def agreeing(codes: list[Code], c: Case) -> tuple[list[Code], dict[str, float]]:
    """Those that give refode's numbers, and by how much each is off; others are named."""
    _, wanted = ours(c).outcome()
    good, off = [], {}
    for code in codes:
        try:
            _, got = code.outcome()
        except Exception as error:
            print(f"  {code.name} does not run: {str(error).splitlines()[0][:100]}", flush=True)
            continue
        off[code.name] = max(
            float(np.abs(got[n] - wanted[n]).max() / np.abs(wanted[n]).max()) for n in wanted
        )
        if off[code.name] <= AGREE:
            good.append(code)
        else:
            print(f"  {code.name} is off by {off[code.name]:.1e} and not timed", flush=True)
    return good, off


def measured(w: Workload, rounds: int, seconds: float) -> dict[str, Any]:
    """Agreement first, then times, in milliseconds."""
    c = case(w)
    z = c.problem.predict(c.theta, c.x, c.y.times)
    worst, mean = errors(z, c.fine)
    steps = c.problem.ode.n_steps
    print(
        f"{w.name}: refode takes {steps} steps; its errors/tolerance {worst:.0f}, {mean:.1f} rms",
        flush=True,
    )
    found, missing = peers(c)
    print("".join(f"  {line}\n" for line in missing), end="", flush=True)
    good, off = agreeing(found, c)
    times = in_turns({code.name: code.call for code in (ours(c), *good)}, rounds, seconds)
    table = {name: summary(t) for name, t in times.items()}
    for name, row in table.items():
        factor = row["median"] / table["refode"]["median"]
        print(
            f"  {name:22s} {row['median']:9.2f} ms  ({factor:6.1f} times refode)  "
            f"off by {off.get(name, 0.0):.0e}",
            flush=True,
        )
    return {"workload": w._asdict(), "times": table, "off": off, "missing": missing}


def met(result: dict[str, Any]) -> list[str]:
    """What is wanted and not there: a line each."""
    times, lines = result["times"], []
    for peer, wanted in WANTED[result["workload"]["name"]].items():
        fastest = [row["median"] for name, row in times.items() if name.startswith(peer)]
        if fastest and min(fastest) < wanted * times["refode"]["median"]:
            factor = min(fastest) / times["refode"]["median"]
            lines.append(f"{result['workload']['name']}: {peer} {factor:.1f}, wanted {wanted:g}")
    return lines


def fitted_spiral() -> dict[str, float]:
    """Seconds in which a spiral is fitted to the noise, compiled beforehand."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0.0, 6.0, (30, 40)), axis=1)
    x = np.tile([[2.0, 0.0]], (30, 1)) + 0.3 * rng.standard_normal((30, 2))
    A, noise = np.array([[-0.1, 2.0], [-2.0, -0.1]]), 0.05
    rate, U = np.linalg.eig(A)
    z = np.einsum("ij,skj,jl,sl->ski", U, np.exp(rate * t[..., None]), np.linalg.inv(U), x).real
    y = refode.Observations(t, z + noise * rng.standard_normal(z.shape), weights=noise**-2)
    ode = refode.NeuralODE(refode.fields.Shallow(2, 16), "dopri5", 30, (0.0, 6.0))
    problem = refode.TrajectoryFitting(ode)
    refode.train(problem, x, y, max_iter=2, progress=False)
    start = time.perf_counter()
    result = refode.train(problem, x, y, max_iter=1000, progress=False)
    took = time.perf_counter() - start
    chi2 = 2.0 * float(result.fun) * y.total / y.n_observed
    print(f"spiral: {took:.2f} s, chi^2 of a number {chi2:.3f}", flush=True)
    return {"seconds": took, "chi2": chi2, "iterations": int(result.nit)}


def fitted_curve(n_times: int, seed: int = 0) -> dict[str, float]:
    """Seconds in which one noisy turning curve is fitted, its beginning first, compiled before."""
    rng = np.random.default_rng(seed)
    noise, t = 0.05, np.sort(rng.uniform(0.0, 6.0, (1, n_times)), axis=1)
    z = 2.0 * np.exp(-0.1 * t)[..., None] * np.stack([np.cos(2.0 * t), -np.sin(2.0 * t)], axis=-1)
    values, x = z + noise * rng.standard_normal(z.shape), np.array([[2.0, 0.0]])
    ode = refode.NeuralODE(refode.fields.Shallow(2, 16), "dopri5", 20, (0.0, 6.0))
    problem = refode.TrajectoryFitting(ode, tikhonov=1e-6)
    refode.train(problem, x, refode.Observations(t, values), max_iter=2, progress=False)
    start, theta = time.perf_counter(), None
    for end in (2.0, 4.0, 6.0):
        mask = np.broadcast_to((t <= end)[..., None], values.shape)
        y = refode.Observations(t, values, mask=mask)
        theta = refode.train(
            problem, x, y, theta0=theta, max_iter=150 if end < 6.0 else 500, progress=False
        ).x
    took = time.perf_counter() - start
    rms = float(np.sqrt(np.mean(problem.residuals(theta, x, y) ** 2)))
    print(f"curve, {n_times} times: {took:.2f} s, rms residual/noise {rms / noise:.2f}", flush=True)
    return {"seconds": took, "chi2": (rms / noise) ** 2, "n_times": n_times}


def main() -> int:
    """Measure, print, write a file; 1 where a wanted factor is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the small workload, few rounds")
    parser.add_argument("--out", type=Path, default=Path("results/trajectories"))
    args = parser.parse_args()
    rounds, seconds = (3, 0.2) if args.quick else (9, 1.0)
    results = [measured(w, rounds, seconds) for w in ((SMALL,) if args.quick else (SMALL, LARGE))]
    slow = [line for result in results for line in met(result)]
    fits = [fitted_spiral(), *(fitted_curve(n) for n in (30, 60, 100))]
    for fit in fits:
        if fit["seconds"] > 2.0 or fit["chi2"] > NOISE:
            slow.append(f"fit: {fit['seconds']:.1f} s, chi^2 {fit['chi2']:.2f}, wanted 2, {NOISE}")
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "trajectories.json"
    file.write_text(json.dumps({"results": results, "fits": fits, "machine": machine()}, indent=1))
    print("\n".join([*(f"NOT MET: {line}" for line in slow), f"wrote {file}"]))
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())
