"""Real data: densities of wine and breast cancer beside scikit-learn's two estimators.

Flows with transport cost, from a Gaussian start: the data are whitened by the training part's
mean and covariance, and the log-determinant of that map is part of every likelihood, so that all
models are compared in the same coordinates. The number of iterations is chosen on the validation
part; the number of components of GaussianMixture by BIC and the bandwidth of KernelDensity by
cross-validation, both on the training part. The test part is looked at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode import datasets, densities, plotting
from refode.fields import Shallow
from refode.ode.neural_ode import NeuralODE
from refode.problems.normalizing_flow import ContinuousNormalizingFlow
from refode.reports import outputs, tables
from refode.training import INTERRUPTED, train

Array = np.ndarray
Split = tuple[Array, Array, Array]
N_STEPS, FINE = 8, 32


class Task(NamedTuple):
    """A data set, the flow's width and penalties, and how far the whitening is shrunk.

    All four were chosen on the validation part.
    """

    name: str
    load: Callable[[], Split]
    width: int
    tikhonov: float
    transport: float
    shrinkage: float


TASKS = (
    Task("wine", datasets.wine_density, 16, 1e-2, 0.5, 0.4),
    Task("breast cancer", datasets.breast_cancer_density, 48, 1e-2, 0.3, 0.02),
)


class DensityRow(NamedTuple):
    """A model's mean negative log-likelihood in nats, on each part of the data."""

    model: str
    train: float
    validation: float
    test: float
    seconds: float


class Whitening(NamedTuple):
    """y -> L^{-1} (y - mean), covariance L L^T (shrunk towards its diagonal)."""

    mean: Array
    L: Array

    @classmethod
    def of(cls, y: Array, shrinkage: float) -> Whitening:
        """From the training part."""
        covariance = np.cov(y.T)
        shrunk = (1 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))
        return cls(y.mean(axis=0), np.linalg.cholesky(shrunk))

    def __call__(self, y: Array) -> Array:
        return np.ascontiguousarray(np.linalg.solve(self.L, (y - self.mean).T).T)

    @property
    def log_det(self) -> float:
        """log|det| of the map."""
        return -float(np.log(np.diag(self.L)).sum())


def flow_row(
    task: Task, parts: Split, max_iter: int, progress: bool
) -> tuple[DensityRow, list[Any]]:
    """Train the flow, keep the iterate that is best on the validation part."""
    began = time.perf_counter()
    white = Whitening.of(parts[0], task.shrinkage)
    y, held, test = (white(part) for part in parts)
    ode = NeuralODE(Shallow(y.shape[1], task.width, time=True), "rk4", N_STEPS)
    flow = ContinuousNormalizingFlow(ode, task.transport, tikhonov=task.tikhonov)
    start = flow.initial(0)
    flow.unpack(start)["W1"][...] *= 0.0  # the identity: the whitened Gaussian
    best: dict[str, Any] = {"theta": start, "held": np.inf}
    curve: list[Any] = []

    def watch(current: Any) -> None:
        loss = -float(flow.log_density(current.x, held).mean()) - white.log_det
        curve.append((current.iteration, current.fun - white.log_det, loss))
        if loss < best["held"]:
            best.update(theta=current.x, held=loss)

    result = train(flow, y, theta0=start, max_iter=max_iter, progress=progress, callback=watch)
    if result.status == INTERRUPTED:
        raise KeyboardInterrupt
    seconds = time.perf_counter() - began
    theta = best["theta"]
    on_train, on_held, on_test = (
        -float(flow.log_density(theta, p, FINE).mean()) - white.log_det for p in (y, held, test)
    )
    name = f"flow ({flow.n_parameters} weights)"
    return DensityRow(name, on_train, on_held, on_test, seconds), curve


def peer_rows(parts: Split) -> list[DensityRow]:
    """The Gaussian, scikit-learn's GaussianMixture (BIC) and KernelDensity (cross-validation)."""
    from sklearn.mixture import GaussianMixture
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KernelDensity

    y = parts[0]

    def row(name: str, log_density: Any, began: float) -> DensityRow:
        on_train, on_held, on_test = (-float(np.mean(log_density(p))) for p in parts)
        return DensityRow(name, on_train, on_held, on_test, time.perf_counter() - began)

    began = time.perf_counter()
    gauss = densities.Gaussian(y.mean(axis=0), np.cov(y.T))
    rows = [row("Gaussian", gauss.log_density, began)]
    began = time.perf_counter()
    mixtures = [
        GaussianMixture(k, covariance_type=kind, random_state=0, reg_covar=1e-3, n_init=2).fit(y)
        for k in range(1, 7)
        for kind in ("full", "tied", "diag", "spherical")
    ]
    mixture = min(mixtures, key=lambda m: m.bic(y))
    name = f"GaussianMixture ({mixture.n_components} {mixture.covariance_type})"
    rows.append(row(name, mixture.score_samples, began))
    began = time.perf_counter()
    search = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.1, 3.0, 30)}, cv=5).fit(y)
    kernel = search.best_estimator_
    rows.append(row(f"KernelDensity ({kernel.bandwidth:.2f})", kernel.score_samples, began))
    return rows


def run(out: str | Path, progress: bool = True, max_iter: int = 300) -> bool:
    """Fit all models, print the tables, draw the training, save the numbers."""
    folder, numbers, checks, curves = outputs.folder("densities", out), {}, [], {}
    with tables.keeping("densities", folder) as kept:
        for task in TASKS:
            parts = task.load()
            flow, curves[task.name] = flow_row(task, parts, max_iter, progress)
            rows = [flow, *peer_rows(parts)]
            tables.show(
                f"{task.name}: d = {parts[0].shape[1]}, {' / '.join(str(len(p)) for p in parts)} "
                "samples, mean negative log-likelihood in nats",
                ["model", "train", "validation", "test", "seconds"],
                [[r.model, *(f"{v:.2f}" for v in r[1:4]), f"{r.seconds:.1f}"] for r in rows],
            )
            checks.append((f"{task.name}: flow better than the Gaussian", flow.test < rows[1].test))
            better = sum(flow.test < r.test for r in rows[1:])
            print(
                f"{task.name}: the flow is better than {better} of {len(rows) - 1} on the test part"
            )
            numbers[task.name] = [r._asdict() for r in rows]
            kept.add(task.name, numbers[task.name])
    plotting.save(draw(curves, numbers), folder, "densities")
    return tables.finish("densities", folder, checks, numbers)


def draw(curves: dict[str, list[Any]], numbers: dict[str, Any]) -> Any:
    """Likelihoods over the training, with the peers' on the validation part as lines."""
    figure = plotting.figure(7.2, 3.2)
    for i, (name, curve) in enumerate(curves.items()):
        axes = figure.add_subplot(1, len(curves), i + 1)
        iteration, objective, held = np.transpose(curve)
        axes.plot(iteration, objective, color=plotting.BLUE, label="objective, training part")
        axes.plot(iteration, held, color=plotting.VERMILION, label="flow, validation part")
        styles = ((0, (1, 1)), "--", "-.")
        for row, style in zip(numbers[name][1:], styles, strict=True):
            axes.axhline(row["validation"], color="0.35", lw=0.8, ls=style, label=row["model"])
        axes.set(xlabel="iteration", ylabel="negative log-likelihood, nats", title=name)
        low = min(objective.min(), held.min())
        top = max(max(r["validation"] for r in numbers[name][1:]), held.max())
        axes.set_ylim(low - 0.05 * (top - low), top + 0.08 * (top - low))
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 2}
        axes.legend(fontsize=6, **below)
    figure.tight_layout(w_pad=2.0)
    return figure
