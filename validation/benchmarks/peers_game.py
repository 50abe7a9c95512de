"""Workloads M1 and M2: the transport game of [ROL+20], value and gradient, beside jitted JAX.

Every JAX code has the potential's gradient and Laplacian in closed form (jax_games.py) and
differs in the Laplacian's form, the loop, and whether samples go in blocks that stay in cache:

- "direct": the products K_1 J_0 of a Jacobian (16, d, N), the formula as it is written;
- "Gram": the same through K_0 K_0^T, at a cost that does not grow with d;
- "product": K_1 J_0 is linear in tanh(K_0 s + b_0), one matrix for all samples, from the
  Cholesky factor of the Gram matrix where d > m;
- "pairs": the squares are quadratic forms in that tanh, one product with its pairs.

log rho_0 at the samples does not depend on the weights; JAX is given it.

Started by benchmark_peers.py as interleaved.py is, with the number of threads fixed from
outside; prints progress, writes one JSON file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode.machine import threads as parallel
from refode.machine.activations import tanh_and_log_cosh_rows
from refode.reports.figures.games_setups import VARIANCE, transport
from validation.benchmarks import interleaved, peers

STAGES = 4  # of RK4


class Workload(NamedTuple):
    """A transport game's sizes; two layers, quadratic part s . (A + A^T) s/4."""

    name: str
    d: int
    k: int  # width m
    n_samples: int
    n_steps: int
    n_blocks: int  # of JAX's codes that go block by block
    loss: str = "transport game"
    piecewise: bool = False

    @property
    def flops(self) -> float:
        """Of the products alone, for value and gradient: three times those of the slopes.

        A stage and sample: K_0 and its transpose 4 m d, K_1 and its transpose 4 m^2, the
        quadratic part 2 d^2, the Laplacian 2 m^2 min(d, m), or m^2 (m + 1) by pairs if less.
        """
        d, m = self.d, self.k
        laplacian = min(2 * m * m * min(d, m), m * m * (m + 1))
        stage = 4 * m * d + 4 * m * m + 2 * d * d + laplacian
        return 3.0 * stage * STAGES * self.n_steps * self.n_samples

    @property
    def tanhs(self) -> float:
        """Evaluations of tanh alone: the last layer's, m a stage and sample."""
        return 1.0 * self.k * STAGES * self.n_steps * self.n_samples

    @property
    def pairs(self) -> float:
        """Evaluations of tanh and log cosh: the first layer's, and both layers' at the end."""
        return 1.0 * self.k * (STAGES * self.n_steps + 2) * self.n_samples


M1 = Workload("M1", 2, 16, 48**2, 2, 2)
M2 = Workload("M2", 50, 16, 128**2, 2, 16)


class GamePeerCase(NamedTuple):
    """What refode and the peers are given."""

    workload: Workload
    problem: Any
    theta: Any
    weights: dict[str, Any]
    x: Any


def case(w: Workload, seed: int = 0) -> GamePeerCase:
    """The published game; weights of order one, so that no part is negligible."""
    published = transport(w.d)
    problem = published.problem(w.n_steps, w.k)
    rng = np.random.default_rng(seed)
    weights = {}
    for name, a in problem.unpack(problem.initial(seed)).items():
        columns = a.shape[-1] if a.ndim == 2 else 10.0
        weights[name] = rng.standard_normal(a.shape) / np.sqrt(columns)
    theta = problem.pack(weights)
    x = published.game.initial.sample(w.n_samples, seed=seed)
    return GamePeerCase(w, problem, theta, weights, x)


def refode_peer(c: GamePeerCase) -> peers.Peer:
    """refode, as a user calls it."""

    def read(result: Any) -> tuple[float, Any]:
        return result[0], c.problem.unpack(result[1])

    return peers.Peer("refode", lambda: c.problem.value_and_gradient(c.theta, c.x), read)


def jax_peer(c: GamePeerCase, form: str, loop: str = "unrolled", n_blocks: int = 1) -> peers.Peer:
    """Jitted value_and_grad of the whole objective, samples in columns."""
    import jax

    from validation.models import jax_games as jg

    w = c.workload
    game = jg.JaxGame(
        None,
        jg.Mixture([1.0], [np.zeros(w.d)], [VARIANCE * np.eye(w.d)]),
        alpha=2.0,
        terminal=5.0,
        hjb=3.0,
        hjb_terminal=3.0,
        n_steps=w.n_steps,
    )
    value = jg.objective(game, jg.closed_form(jg.Net(w.d, w.k, 2, True), form), loop)
    both = jax.jit(jg.in_blocks(value, n_blocks))
    log_rho = c.problem.game.initial.log_density(c.x)
    p, x, log_rho = jax.device_put((c.weights, np.ascontiguousarray(c.x.T), log_rho))

    def read(result: Any) -> tuple[float, Any]:
        return float(result[0]), {k: np.asarray(a) for k, a in result[1].items()}

    name = f"jax.jit {loop}, {form}" + (f", {n_blocks} blocks" if n_blocks > 1 else "")
    return peers.Peer(name, lambda: jax.block_until_ready(both(p, x, log_rho)), read)


def found_peers(c: GamePeerCase) -> tuple[list[peers.Peer], list[str]]:
    """Every peer, or a line that says why there is none."""
    if not peers.have("jax"):
        return [], ["jax is not installed: no jax.jit"]
    n = c.workload.n_blocks
    found = [jax_peer(c, "direct", loop) for loop in ("scan", "unrolled")]
    found += [jax_peer(c, form) for form in ("Gram", "product", "pairs")]
    found.append(jax_peer(c, "product", "scan"))
    found += [jax_peer(c, form, n_blocks=n) for form in ("product", "pairs")]
    return found, []


def agreement(c: GamePeerCase, found: list[peers.Peer]) -> dict[str, float]:
    """Disagreement of each peer with refode; AssertionError above peers.TOLERANCE."""
    mine, errors = refode_peer(c), {}
    truth = mine.read(mine.call())
    for peer in found:
        errors[peer.name] = error = peers.disagreement(peer.read(peer.call()), truth)
        assert error <= peers.TOLERANCE, f"{c.workload.name}: {peer.name} differs by {error:.2e}"
    return errors


def pair_rate(n_threads: int, repeats: int) -> float:
    """Best evaluations a second of refode's own tanh and log cosh, in cache, on n threads."""
    blocks = [np.zeros((3, 64, 64)) for _ in range(n_threads)]
    b, calls = np.zeros(64), 100

    def task(i: int) -> None:
        a, u, start = blocks[i]
        for _ in range(calls):
            tanh_and_log_cosh_rows(u, b, a, 0.0, start)

    seconds = interleaved._best(lambda: parallel.run(task, n_threads), repeats)
    return n_threads * calls * blocks[0][0].size / seconds


def against_peers(w: Workload, rounds: int, seconds: float) -> dict[str, Any]:
    """Verify all codes on a workload, then time them."""
    c = case(w)
    found, missing = found_peers(c)
    errors = agreement(c, found)
    worst = max(errors.values(), default=0.0)
    print(
        f"  {w.name}: {len(found)} codes agree with refode to {worst:.1e}"
        + "".join(f"; {line}" for line in missing),
        flush=True,
    )
    calls: dict[str, Callable[[], Any]] = {p.name: p.call for p in (refode_peer(c), *found)}
    times = interleaved.in_turns(calls, rounds, seconds)
    return {
        "workload": w._asdict(),
        "flops": w.flops,
        "tanhs": w.tanhs,
        "pairs": w.pairs,
        "errors": errors,
        "missing": missing,
        "times": {name: interleaved.summary(t) for name, t in times.items()},
    }


def rates(threads: int, quick: bool) -> tuple[float, float, float]:
    """Flops, tanhs, and tanhs with log cosh, a second."""
    n = 1024 if quick else 2048
    return (
        interleaved.gemm_rate(n, 5),
        interleaved.tanh_rate(threads, 5),
        pair_rate(threads, 5),
    )


def main() -> None:
    """Measure what benchmark_peers.py asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of a code's turn")
    parser.add_argument("--only", nargs="*", default=[], help="names of workloads")
    parser.add_argument("--file", type=Path, required=True)
    args = parser.parse_args()
    assert parallel.get_num_threads() == args.threads, "REFODE_NUM_THREADS must be set"
    quick = args.rounds < 10
    before = rates(args.threads, quick)
    results = [
        against_peers(w, args.rounds, args.seconds)
        for w in (M1, M2)
        if not args.only or w.name in args.only
    ]
    best = map(max, zip(before, rates(args.threads, quick), strict=True))
    names = ("gemm_flops_per_second", "tanhs_per_second", "pairs_per_second")
    measured = dict(zip(names, best, strict=True))
    for result in results:
        result["rates"] = measured
    args.file.write_text(json.dumps({"results": results, **measured}, indent=1))


if __name__ == "__main__":
    main()
