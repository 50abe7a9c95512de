"""The survey's Figure 2, and the eight toy densities with and without transport cost.

For each density two flows of the same size are trained on the same data from the same start: one
by likelihood alone (alpha = 0), one with transport cost (15). The table says what they reach on
data that neither has seen, by fine steps, with the quadrature of the trace beside the
log-determinant of the discrete map itself.

A likelihood is only as good as its quadrature. Trained with few steps and no penalty, L-BFGS finds
weights whose *discrete* log-determinant flatters them: with 8 steps and alpha = 0 the checkerboard
"reached" 2.3 nats, below its entropy log 32 = 3.47, and 5.5 nats by fine steps. With 12 steps and
a weaker penalty six of the eight still did so without transport cost, and none but the Swiss roll
with it. Hence 16 steps, a Tikhonov penalty and a smooth theta(t), the same for both flows, and
likelihoods by fine steps.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode import bases, datasets, densities, plotting
from refode.fields import Shallow
from refode.ode.neural_ode import NeuralODE
from refode.problems.normalizing_flow import ContinuousNormalizingFlow
from refode.reports import outputs, tables
from refode.reports.figures import figure2_plots
from refode.training import INTERRUPTED, train

Array = np.ndarray
N_TRAIN, N_TEST, N_COMPARED = 3000, 4000, 2000
WIDTH, N_STEPS, FINE = 64, 16, 96
ALPHA, TIKHONOV, SMOOTHNESS = 0.03, 2e-4, 1e-3
MAX_ITER, MINUTES = 500, 5.0
ENOUGH = 0.01  # nats: how near few steps must come to fine ones
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


class Fit(NamedTuple):
    """A trained flow and what it does on test data; likelihoods in nats, by fine steps."""

    name: str
    alpha: float
    flow: ContinuousNormalizingFlow
    theta: Array
    train_value: float
    likelihood: float
    coarse: float  # by the steps of the training
    determinants: float  # largest distance of quadrature and slogdet, fine steps
    inverse_error: float  # mean |y - F(F^{-1}(y))|, steps of the training
    transport: float
    bend: float  # mean length of a path over the distance of its ends
    steps: int  # the fewest whose likelihood is within ENOUGH of the fine one
    mmd: float
    mass: float  # of the density on a grid
    seconds: float


def flow_for(alpha: float) -> ContinuousNormalizingFlow:
    """A shallow net with time as input, weights piecewise linear in time."""
    ode = NeuralODE(Shallow(2, WIDTH, time=True), "rk4", N_STEPS, basis=bases.PiecewiseLinear(4))
    return ContinuousNormalizingFlow(ode, alpha, tikhonov=TIKHONOV, smoothness=SMOOTHNESS)


def fit(name: str, alpha: float, max_iter: int, progress: bool) -> Fit:
    """Train on one density and score the flow."""
    flow, y = flow_for(alpha), datasets.toy_density(name, N_TRAIN, seed=0)
    if progress:
        print(f"{name}, alpha = {alpha:g}", flush=True)
    began = time.perf_counter()
    result = train(flow, y, max_iter=max_iter, progress=progress)
    if result.status == INTERRUPTED:
        raise KeyboardInterrupt
    return score(name, flow, result.x, float(result.fun), time.perf_counter() - began)


def score(
    name: str, flow: ContinuousNormalizingFlow, theta: Array, value: float, seconds: float
) -> Fit:
    """Everything the table says of one flow."""
    test = datasets.toy_density(name, N_TEST, seed=1)
    fine = -flow.log_density(theta, test, FINE).mean()
    some = test[:500]
    path = flow.trajectory(theta, some, FINE, inverse=True)
    length = np.linalg.norm(np.diff(path, axis=0), axis=2).sum(axis=0)
    chord = np.linalg.norm(path[-1] - path[0], axis=1)
    back = flow.inverse(theta, test)[0]
    by_slogdet = flow.log_det_exact(theta, some, FINE)
    axis = np.linspace(-6.0, 6.0, 241)
    mass = (
        flow.density_on_grid(theta, axis, axis, n_steps=2 * N_STEPS).sum()
        * (axis[1] - axis[0]) ** 2
    )
    likelihoods = ((n, -flow.log_density(theta, test, n).mean()) for n in COUNTS)
    steps = next((n for n, found in likelihoods if abs(found - fine) < ENOUGH), FINE)
    return Fit(
        name,
        flow.transport,
        flow,
        theta,
        value,
        float(fine),
        float(-flow.log_density(theta, test).mean()),
        float(np.abs(flow.inverse(theta, some, FINE)[1] - by_slogdet).max()),
        float(np.linalg.norm(flow.generate(theta, back) - test, axis=1).mean()),
        float(flow.transport_cost(theta, test, FINE).mean()),
        float((length / chord).mean()),
        steps,
        mmd(flow.sample(theta, N_COMPARED, 2, FINE), test[:N_COMPARED]),
        float(mass),
        seconds,
    )


def mmd(x: Array, y: Array) -> float:
    """Squared maximum mean discrepancy with the kernel exp(-|x - y|^2/2), unbiased.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y); the terms k(x, x) = 1 are left out, so an
    estimate of zero may come out negative.
    """

    def mean(a: Array, b: Array, same: bool) -> float:
        square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T
        total = np.exp(-0.5 * np.maximum(square, 0.0)).sum()
        return float((total - len(a)) / (len(a) * (len(a) - 1)) if same else total / square.size)

    return mean(x, x, True) + mean(y, y, True) - 2.0 * mean(x, y, False)


def entropy(name: str) -> float | None:
    """Entropy in nats where it is known: no density has a smaller expected likelihood."""
    if name == "checkerboard":
        return float(np.log(32.0))  # uniform on eight squares of side 2
    if name == "8gaussians":
        angle = np.pi / 4 * np.arange(8)
        means = 4.0 / 1.414 * np.column_stack([np.cos(angle), np.sin(angle)])
        exact = densities.GaussianMixture(np.full(8, 0.125), means, (0.5 / 1.414) ** 2)
        return float(-exact.log_density(exact.sample(200_000, seed=3)).mean())
    return None


def gaussian_likelihood(name: str) -> float:
    """Of the Gaussian with the training data's moments, on the test data."""
    y = datasets.toy_density(name, N_TRAIN, seed=0)
    fitted = densities.Gaussian(y.mean(axis=0), np.cov(y.T))
    return float(-fitted.log_density(datasets.toy_density(name, N_TEST, seed=1)).mean())


def checks_of(unmoved: Fit, moved: Fit) -> list[tuple[str, bool]]:
    """What must hold for one density."""
    name, bound, both = unmoved.name, entropy(unmoved.name), (unmoved, moved)
    gauss = gaussian_likelihood(name)
    checks = [
        (f"{name}: both flows beat the Gaussian", all(f.likelihood < gauss for f in both)),
        (f"{name}: quadrature and slogdet agree to 0.01", all(f.determinants < 0.01 for f in both)),
        (f"{name}: density integrates to 1 within 0.01", all(abs(f.mass - 1) < 0.01 for f in both)),
        (f"{name}: less transport with alpha > 0", moved.transport < unmoved.transport),
        (f"{name}: straighter paths with alpha > 0", moved.bend < unmoved.bend),
        (f"{name}: no more steps needed with alpha > 0", moved.steps <= unmoved.steps),
    ]
    if bound is not None:
        near = all(bound - 0.03 < f.likelihood < bound + 0.25 for f in both)
        checks.append((f"{name}: within 0.25 nats of the entropy {bound:.3f}, not below", near))
    return checks


def run(
    out: str | Path,
    progress: bool = True,
    max_iter: int = MAX_ITER,
    names: tuple[str, ...] = datasets.TOY_DENSITIES,
) -> bool:
    """Train, print the table, save figures and numbers; False where a check fails."""
    folder = outputs.folder("figure2", out)
    pairs = []
    with tables.keeping("figure2", folder) as kept:
        for n in names:
            pairs.append((fit(n, 0.0, max_iter, progress), fit(n, ALPHA, max_iter, progress)))
            kept.add(n, [_numbers(f) | {"theta": f.theta} for f in pairs[-1]])
    fits = [f for pair in pairs for f in pair]
    data = {n: datasets.toy_density(n, N_TEST, seed=1) for n in names}
    plotting.save(figure2_plots.figure2(pairs[0][1], data[names[0]]), folder, "figure2")
    plotting.save(figure2_plots.panels(pairs, data), folder, "figure2_toys")
    show(fits)
    seconds = sum(f.seconds for f in fits)
    checks = [check for pair in pairs for check in checks_of(*pair)]
    checks.append(
        (f"all trainings in {MINUTES:g} minutes ({seconds:.0f} s)", seconds < 60 * MINUTES)
    )
    floor = {
        n: mmd(datasets.toy_density(n, N_COMPARED, seed=5), data[n][:N_COMPARED]) for n in names
    }
    numbers: dict[str, Any] = {
        "width": WIDTH,
        "steps": N_STEPS,
        "fine_steps": FINE,
        "tikhonov": TIKHONOV,
        "smoothness": SMOOTHNESS,
        "iterations": max_iter,
        "seconds": seconds,
        "entropy": {n: entropy(n) for n in names},
        "gaussian": {n: gaussian_likelihood(n) for n in names},
        "mmd_of_two_draws": floor,
        "fits": [_numbers(f) for f in fits],
    }
    return tables.finish("figure2", folder, checks, numbers)


def _numbers(of: Fit) -> dict[str, Any]:
    return {k: v for k, v in of._asdict().items() if k not in ("flow", "theta")}


def show(fits: list[Fit]) -> None:
    """The table, a flow a row: NLL the mean negative log-likelihood, NFE the evaluations of f
    a path in training, steps the fewest that come within ENOUGH of the fine NLL."""
    tables.show(
        f"Toy densities: test data, likelihoods by {FINE} steps of RK4 in nats",
        [
            "density",
            "alpha",
            "NLL",
            f"NLL, {N_STEPS} steps",
            "|l - slogdet|",
            "|y - F(F^-1(y))|",
            "transport",
            "length/chord",
            "MMD^2, 1e-4",
            "NFE",
            "steps",
            "seconds",
        ],
        [
            [
                f.name,
                f"{f.alpha:g}",
                f"{f.likelihood:.3f}",
                f"{f.coarse:.3f}",
                f"{f.determinants:.0e}",
                f"{f.inverse_error:.0e}",
                f"{f.transport:.2f}",
                f"{f.bend:.3f}",
                f"{1e4 * f.mmd:.1f}",
                4 * N_STEPS,
                f.steps,
                f"{f.seconds:.1f}",
            ]
            for f in fits
        ],
    )
