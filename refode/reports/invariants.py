"""What must hold to the bit, or by algebra: no tolerance that a bug could hide in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refode import bases, fields
from refode.reports.section import Section, table, verdict
from refode.solvers import evaluate, parallel
from refode.solvers.neural_ode import NeuralODE

Array = np.ndarray
SAMPLES = (1, 129, 1000)  # one, no multiple of a block, several blocks


def same_bits() -> bool:
    """Adjoints on 1 and 2 threads, and of a second call, are equal to the bit."""
    ode = NeuralODE(fields.Shallow(3, 8), n_steps=3, basis=bases.PiecewiseConstant(3))
    theta, rng = ode.initial(seed=1), np.random.default_rng(0)
    before, found = parallel.get_num_threads(), []
    try:
        for n in SAMPLES:
            x, z_bar = rng.standard_normal((2, n, 3))
            runs = []
            for threads in (1, 2, 2):
                parallel.set_num_threads(threads)
                runs.append(ode.adjoint(theta, x, z_bar))
            for run in runs[1:]:
                found += [np.array_equal(a, b) for a, b in zip(run, runs[0], strict=True)]
    finally:
        parallel.set_num_threads(before)
    return all(found)


def resnet_is_euler() -> bool:
    """ResNet layers (3) in a plain loop are Euler with h = 1, bit for bit."""
    depth, net = 6, fields.Shallow(3, 8)
    ode = NeuralODE(
        net, "euler", n_steps=depth, t_span=(0.0, depth), basis=bases.PiecewiseConstant(depth)
    )
    rng = np.random.default_rng(2)
    layers = [0.3 * rng.standard_normal(net.n_weights) for _ in range(depth)]
    named = [net.layout.unpack(w) for w in layers]
    theta = ode.pack({n: np.stack([w[n] for w in named]) for n in net.layout.names})
    z = x = rng.standard_normal((200, 3))
    for w in layers:
        z = z + evaluate.value(net, w, z)
    return np.array_equal(z, ode.solve(theta, x))


def determinant_error() -> float:
    """RK4's map of f = Az has determinant det R(hA)^n, R(x) = sum_{j<=4} x^j/j!."""
    d, n = 3, 4
    ode = NeuralODE(fields.Affine(d), "rk4", n_steps=n)
    A = 0.7 * np.random.default_rng(3).standard_normal((d, d))
    theta = ode.pack({"A": A[None], "c": np.zeros((1, d))})
    M = ode.solve(theta, np.eye(d)).T
    hA = A / n
    R = np.eye(d) + hA @ (np.eye(d) + hA / 2 @ (np.eye(d) + hA / 3 @ (np.eye(d) + hA / 4)))
    return float(abs(np.linalg.det(M) / np.linalg.det(R) ** n - 1.0))


def run(out: Path, quick: bool) -> Section:
    """Check the invariants and print them; there is nothing to draw, and nothing to shorten."""
    section = Section("invariants")
    error = determinant_error()
    section.add("same bits on 1 and 2 threads and twice", same_bits(), "-", "equal to the bit")
    section.add("a ResNet is Euler with h = 1", resnet_is_euler(), "-", "equal to the bit")
    section.add("determinant of RK4's affine map", error < 1e-14, f"{error:.1e}", "< 1e-14")
    table(
        "Invariants",
        ["what", "measured", "wanted", "verdict"],
        [(c.name, c.measured, c.wanted, verdict(c.passed)) for c in section.checks],
    )
    section.numbers["determinant error"] = error
    return section
