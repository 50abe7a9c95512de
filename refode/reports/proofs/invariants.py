"""What must hold bit for bit, and identities that tie the solvers to formulas on paper."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from refode import bases, fields
from refode.machine.threads import get_num_threads, set_num_threads
from refode.ode import evaluate
from refode.ode.neural_ode import NeuralODE
from refode.problems.supervised import Supervised
from refode.reports.section import Section, table, verdict
from refode.verify import observed_order

Array = np.ndarray

SAMPLES = (1, 129, 700)  # one; no multiple of a block; several blocks, the last one not full
ROUNDING = 1e-12  # a few steps of small nets, relative to the largest entry
VOLUME = 1e-13  # determinants of 4 x 4 matrices near 1


def run(out: Path, quick: bool) -> Section:
    """Check all invariants and print the table; nothing is drawn.

    Parameters
    ----------
    out : Path
        Not used.
    quick : bool
        Leave out the second process.
    """
    section = Section("invariants")
    _bits(section)
    if not quick:
        _other_process(section)
    _resnet(section)
    _determinant(section)
    _volume(section)
    _memory(section)
    table(
        "Invariants",
        ["invariant", "measured", "wanted", "verdict"],
        [(c.name, c.measured, c.wanted, verdict(c.passed)) for c in section.checks],
    )
    return section


# --- the same bits ------------------------------------------------------------------------


def everything(dim: int) -> dict[str, bytes]:
    """Bytes of all that a problem computes, for one sample and for several blocks of them."""
    ode = NeuralODE(fields.Shallow(dim, 7), n_steps=4, basis=bases.PiecewiseLinear(3))
    problem = Supervised(ode, "softmax", n_outputs=3)
    bytes_of: dict[str, bytes] = {}
    for n in SAMPLES:
        rng = np.random.default_rng(n)
        theta = 0.5 * rng.standard_normal(problem.n_parameters)
        x, y = rng.standard_normal((n, dim)), rng.integers(0, 3, n)
        theta_ode, v = theta[: ode.n_parameters], np.cos(np.arange(theta.size))
        value, gradient = problem.value_and_gradient(theta, x, y)
        z, log_det = ode.log_det(theta_ode, x)
        parts = {
            "value": np.float64(value),
            "gradient": gradient,
            "Hessian times vector": problem.hessian_vector(theta, v, x, y),
            "z(T)": z,
            "log-determinant": log_det,
            "trajectory": ode.trajectory(theta_ode, x),
            "adjoint": ode.log_det_adjoint(theta_ode, x, np.sin(z), np.cos(log_det))[0],
        }
        bytes_of |= {f"{key}, N = {n}": np.asarray(a).tobytes() for key, a in parts.items()}
    return bytes_of


def digest() -> str:
    """One hash of everything, for another process to compare."""
    h = hashlib.sha256()
    for dim in (3, 6):
        for part in everything(dim).values():
            h.update(part)
    return h.hexdigest()


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run what is inside on n threads."""
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def _bits(section: Section) -> None:
    for dim in (3, 6):
        with threads(1):
            one, again = everything(dim), everything(dim)
        with threads(2):
            two = everything(dim)
        with threads(5):
            five = everything(dim)
        for name, others in (
            ("twice on 1 thread", [again]),
            ("on 1, 2 and 5 threads", [two, five]),
        ):
            differ = sorted({key for o in others for key in one if o[key] != one[key]})
            measured = f"other bits in {len(differ)}, {differ[0]} one" if differ else "same bits"
            what = f"all that a net of d = {dim} computes, {name}"
            section.add(what, not differ, measured, "same bits")


def _other_process(section: Section) -> None:
    command = "from refode.reports.proofs.invariants import digest; print(digest())"
    environment = {**os.environ, "REFODE_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
        check=False,
    )
    same = done.returncode == 0 and done.stdout.strip() == digest()
    measured = "same bits" if same else (done.stderr.strip().splitlines() or ["other bits"])[-1]
    section.add("all of that in another process", same, measured, "same bits")


# --- eq. (3) is Euler with h = 1 ----------------------------------------------------------


def _resnet(section: Section) -> None:
    depth = 6
    for dim in (3, 6):
        net = fields.Shallow(dim, 5)
        ode = NeuralODE(
            net,
            "euler",
            n_steps=depth,
            t_span=(0.0, float(depth)),
            basis=bases.PiecewiseConstant(depth),
        )
        rng = np.random.default_rng(dim)
        theta = 0.5 * rng.standard_normal(ode.n_parameters)
        x = rng.standard_normal((SAMPLES[-1], dim))
        w = ode.unpack(theta)
        layers, formula = x, x
        for j in range(depth):
            weights = np.concatenate([w[name][j].ravel() for name in ("W0", "b0", "W1", "b1")])
            layers = layers + evaluate.value(net, weights, layers)
            hidden = np.tanh(formula @ w["W0"][j].T + w["b0"][j])
            formula = formula + hidden @ w["W1"][j].T + w["b1"][j]
        z = ode.solve(theta, x)
        differ = int(np.count_nonzero(z != layers))
        section.add(
            f"ResNet (3) with d = {dim}, layer by layer, and Euler with h = 1",
            differ == 0,
            "same bits" if not differ else f"{differ} of {z.size} entries differ",
            "same bits",
        )
        off = float(np.max(np.abs(z - formula)) / np.max(np.abs(formula)))
        section.add(
            "the same and NumPy's tanh and products",
            off < ROUNDING,
            f"{off:.1e} off",
            f"< {ROUNDING:.0e}",
        )


# --- RK4 on f = A z: det R(hA)^n, and the trace's quadrature -------------------------------


def _jacobian(ode: NeuralODE, theta: Array, x: Array) -> Array:
    """dz(T)/dx of one start (d,), column by column."""
    zero = np.zeros_like(theta)
    columns = [ode.tangent(theta, x[None], zero, e[None])[0] for e in np.eye(len(x))]
    return np.column_stack(columns)


def _determinant(section: Section) -> None:
    rng = np.random.default_rng(7)
    A, x = 0.7 * rng.standard_normal((3, 3)), rng.standard_normal(3)
    theta = np.concatenate([A.ravel(), rng.standard_normal(3)])
    worst, gaps, steps = 0.0, [], []
    for n in (8, 16, 32, 64):
        ode = NeuralODE(fields.Affine(3), "rk4", n_steps=n)
        det = float(np.linalg.det(_jacobian(ode, theta, x)))
        R = np.eye(3)
        for j in range(1, 5):  # R(x) = sum_{j <= 4} x^j / j!
            R += np.linalg.matrix_power(A / n, j) / math.factorial(j)
        worst = max(worst, abs(det / float(np.linalg.det(R)) ** n - 1.0))
        log_det = float(ode.log_det(theta, x[None])[1][0])
        gaps.append(abs(math.log(det) - log_det))
        steps.append(1.0 / n)
    section.add(
        "det of RK4's map for f = Az is det R(hA)^n",
        worst < ROUNDING,
        f"{worst:.1e} off",
        f"< {ROUNDING:.0e}",
    )
    report = observed_order(gaps, steps, expected=4.0)
    section.add(
        "its log less the quadrature of the trace falls as h^4",
        report,
        f"order {report.order:.3f}",
        "4 ± 0.1, 3 halvings",
    )
    section.numbers["determinant"] = {"steps": steps, "log det less quadrature": gaps}


# --- volume and memory ----------------------------------------------------------------------


def _volume(section: Section) -> None:
    for net in (fields.Hamiltonian(4), fields.Leapfrog(4)):
        for scheme in ("verlet", "stormer_verlet"):
            ode = NeuralODE(net, scheme, n_steps=5)
            rng = np.random.default_rng(2)
            theta, x = rng.standard_normal(ode.n_parameters), rng.standard_normal(4)
            off = abs(float(np.linalg.det(_jacobian(ode, theta, x))) - 1.0)
            section.add(
                f"{type(net).__name__}, {scheme}: det of the map is 1",
                off < VOLUME,
                f"{off:.1e} off",
                f"< {VOLUME:.0e}",
            )


def _memory(section: Section) -> None:
    def gradient(memory: str, net: fields.Field, scheme: str) -> Array:
        ode = NeuralODE(net, scheme, n_steps=5, basis=bases.Legendre(2), memory=memory)
        rng = np.random.default_rng(4)
        theta = 0.5 * rng.standard_normal(ode.n_parameters)
        x = rng.standard_normal((50, net.dim))
        bars: Any = ode.adjoint(theta, x, np.cos(x))
        return np.concatenate([bars[0], bars[1].ravel()])

    for net, scheme, memory in (
        (fields.Shallow(3, 7), "rk4", "steps"),
        (fields.Hamiltonian(4), "stormer_verlet", "steps"),
        (fields.Hamiltonian(4), "stormer_verlet", "reverse"),
    ):
        stored, other = gradient("store", net, scheme), gradient(memory, net, scheme)
        off = float(np.max(np.abs(stored - other)) / np.max(np.abs(stored)))
        limit = ROUNDING if memory == "reverse" else 0.0
        section.add(
            f"{type(net).__name__}, {scheme}: gradient with memory={memory!r} and 'store'",
            off <= limit,
            f"{off:.1e} off" if off else "same bits",
            "same bits" if limit == 0.0 else f"< {limit:.0e}",
        )
