"""The survey's Figure 1: what a neural ODE cannot separate, and a padded zero can.

Two rows (features of width 2; padded by a zero to width 3), three columns (inputs and
labels; propagated features with the hyperplane; predicted labels over the plane). The
data are [HR17]'s ellipses: a disc inside a ring, with a gap between them. A flow of
the plane is a homeomorphism, so the ring's image still surrounds the disc's and no
line parts them; in three dimensions there is a way out.

That speaks of regions. Finitely many points can be told apart by a flow of the plane
that cuts the ring between two of them, and with few points and no penalty L-BFGS does
find such flows. Hence many points, so that a cut is never free of them, and a Tikhonov
penalty, the same for both rows, that keeps cuts from being arbitrarily thin; both rows
are trained from several starts, and the picture shows the best of each.

A second figure shows ANODE's proof in one dimension [DDT19].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode import datasets, plotting
from refode.fields import Shallow
from refode.ode.neural_ode import NeuralODE
from refode.problems.supervised import Supervised
from refode.reports import outputs, tables
from refode.training import INTERRUPTED, train

Array = np.ndarray
N_SAMPLES, GAP, WIDTH, N_STEPS = 4000, 0.2, 32, 10
TIKHONOV = 3e-3
STARTS = (0, 1, 2)
SHOWN = 1200  # points drawn, out of all


class AugmentedRow(NamedTuple):
    """One row of the figure: a trained model and what it does on its data."""

    augment: int
    problem: Supervised
    theta: Array
    features: Array
    predicted: Array
    accuracy: float
    value: float
    iterations: int
    seconds: float


def train_row(
    augment: int, x: Array, y: Array, max_iter: int, progress: bool, seed: int = 0
) -> AugmentedRow:
    """Train the classifier on features padded with ``augment`` zeros."""
    ode = NeuralODE(Shallow(2 + augment, WIDTH), scheme="rk4", n_steps=N_STEPS)
    problem = Supervised(ode, "logistic", augment=augment, tikhonov=TIKHONOV)
    result = train(problem, x, y, seed=seed, max_iter=max_iter, progress=progress)
    if result.status == INTERRUPTED:
        raise KeyboardInterrupt
    predicted = problem.predict_label(result.x, x)
    return AugmentedRow(
        augment,
        problem,
        result.x,
        problem.features(result.x, x),
        predicted,
        float((predicted == y).mean()),
        float(result.fun),
        int(result.nit),
        float(result.history["seconds"][-1]),
    )


def truth(points: Array) -> Array:
    """Label of every point of the plane: 0 in the disc, 1 in the ring, -1 elsewhere."""
    r = np.hypot(points[:, 0], points[:, 1] / 0.4)
    return np.where(r <= 1.0, 0, np.where((r >= 1.0 + GAP) & (r <= 2.0 + GAP), 1, -1))


def region_error(row: AugmentedRow, n: int = 400) -> float:
    """Share of the data's region, disc and ring, that a row labels wrongly."""
    points = _plane(n)[2]
    label = truth(points)
    inside = label >= 0
    return float((row.problem.predict_label(row.theta, points[inside]) != label[inside]).mean())


class Proof(NamedTuple):
    """ANODE's map x -> -x on {-1, 1}: loss and trajectories, by augmentation."""

    augment: int
    loss: float
    ends: Array
    path: Array  # (n_steps+1, 2, 1 + augment)
    fan: Array  # the same for a fan of starts


def one_dimensional(augment: int, max_iter: int) -> Proof:
    """Train x -> -x without a readout: 1-D paths cannot cross, padded ones need not."""
    x, y = datasets.anode_1d()
    target = np.pad(y, ((0, 0), (0, augment)))
    ode = NeuralODE(Shallow(1 + augment, 16), scheme="rk4", n_steps=40)
    problem = Supervised(ode, "regression", n_outputs=1 + augment, augment=augment, readout=False)
    result = train(problem, x, target, max_iter=max_iter, progress=False)
    if result.status == INTERRUPTED:
        raise KeyboardInterrupt
    fan = np.pad(np.linspace(-2.0, 2.0, 17)[:, None], ((0, 0), (0, augment)))
    padded = np.pad(x, ((0, 0), (0, augment)))
    path = ode.trajectory(result.x, padded)
    return Proof(augment, float(result.fun), path[-1], path, ode.trajectory(result.x, fan))


def _trained(
    augment: int, x: Array, y: Array, max_iter: int, progress: bool, kept: tables.Kept
) -> list[AugmentedRow]:
    rows = []
    for seed in STARTS:
        row = train_row(augment, x, y, max_iter, progress, seed)
        numbers = {"accuracy": row.accuracy, "objective": row.value, "theta": row.theta}
        kept.add(f"R^{2 + augment}, seed {seed}", numbers)
        rows.append(row)
    return rows


def run(out: str | Path, progress: bool = True, max_iter: int = 200) -> bool:
    """Train both rows, print the numbers, save figures and numbers; False where one fails."""
    folder = outputs.folder("figure1", out)
    x, y = datasets.ellipses(N_SAMPLES, gap=GAP)
    with tables.keeping("figure1", folder) as kept:
        runs = [_trained(augment, x, y, max_iter, progress, kept) for augment in (0, 1)]
        proofs = [one_dimensional(augment, 200) for augment in (0, 1)]
    rows = [max(same, key=lambda row: (row.accuracy, -row.value)) for same in runs]
    errors = [[region_error(row) for row in same] for same in runs]
    plotting.save(draw(x, y, rows), folder, "figure1")
    plotting.save(draw_proofs(proofs), folder, "figure1_anode_1d")
    checks = [
        (
            "padded: every training label right, from every start",
            all(row.accuracy == 1.0 for row in runs[1]),
        ),
        (
            "plain: some training label wrong, from every start",
            all(row.accuracy < 1.0 for row in runs[0]),
        ),
        ("plain: some of the region wrong, from every start", min(errors[0]) > 0.0),
        ("1-D, plain: loss no lower than its bound 1/2", proofs[0].loss >= 0.5 - 1e-12),
        ("1-D, padded: loss below 1e-6", proofs[1].loss < 1e-6),
    ]
    tables.show(
        f"Figure 1: ellipses, {N_SAMPLES} samples, {len(STARTS)} starts each",
        ["features", "right", "wrong", "region wrong", "objective", "iterations", "seconds"],
        [
            [
                f"R^{2 + r.augment}",
                f"{100 * r.accuracy:.2f} %",
                int((r.predicted != y).sum()),
                f"{100 * e:.2f} %",
                f"{r.value:.3e}",
                r.iterations,
                f"{r.seconds:.1f}",
            ]
            for same, wrong in zip(runs, errors, strict=True)
            for r, e in zip(same, wrong, strict=True)
        ],
    )
    tables.show(
        "ANODE in one dimension: x -> -x on {-1, 1}, no readout",
        ["features", "mean loss", "F(-1)", "F(1)"],
        [
            [f"R^{1 + p.augment}", f"{p.loss:.3e}", *(f"{v:+.4f}" for v in _by_start(p))]
            for p in proofs
        ],
    )
    numbers: dict[str, Any] = {
        "samples": N_SAMPLES,
        "gap": GAP,
        "tikhonov": TIKHONOV,
        "accuracy": [[r.accuracy for r in same] for same in runs],
        "region_error": errors,
        "objective": [[r.value for r in same] for same in runs],
        "anode_1d_loss": [p.loss for p in proofs],
    }
    return tables.finish("figure1", folder, checks, numbers)


def _by_start(proof: Proof) -> list[float]:
    order = np.argsort(proof.path[0, :, 0])
    return [float(proof.ends[i, 0]) for i in order]


# --- pictures --------------------------------------------------------------------------
_LIMIT = np.array([2.4, 1.0])


def _plane(n: int) -> tuple[Array, Array, Array]:
    u = np.linspace(-_LIMIT[0], _LIMIT[0], n)
    v = np.linspace(-_LIMIT[1], _LIMIT[1], n)
    U, V = np.meshgrid(u, v)
    return u, v, np.column_stack([U.ravel(), V.ravel()])


def draw(x: Array, y: Array, rows: list[AugmentedRow]) -> Any:
    """The figure, two rows by three columns, and what its colours say below."""
    figure = plotting.figure(7.2, 4.9)
    grid = figure.add_gridspec(
        2, 3, left=0.105, right=0.985, bottom=0.175, top=0.945, wspace=0.42, hspace=0.46
    )
    for i, row in enumerate(rows):
        d = 2 + row.augment
        _draw_inputs(figure.add_subplot(grid[i, 0]), x, y, d)
        if row.augment:
            _draw_space(figure.add_subplot(grid[i, 1], projection="3d"), y, row)
        else:
            _draw_features(figure.add_subplot(grid[i, 1]), y, row)
        _draw_labels(figure.add_subplot(grid[i, 2]), x, y, row)
    _legend(figure)
    return figure


def _legend(figure: Any) -> None:
    """Every colour and mark of the picture, in one row below it."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    dot: Any = {"ls": "", "marker": "o", "mew": 0.7}
    ring: Any = {"markerfacecolor": "none", "markeredgecolor": "black"}
    disc, outer = plotting.CLASSES
    pale, pale_outer = plotting.PALE_CLASSES
    entries = [
        (Line2D([], [], color=disc, ms=3.5, **dot), "label 0, the disc"),
        (Patch(facecolor=pale), "predicted 0"),
        (Line2D([], [], color=outer, ms=3.5, **dot), "label 1, the ring"),
        (Patch(facecolor=pale_outer), "predicted 1"),
        (Line2D([], [], ms=4.5, **dot, **ring), "sample with a wrong label"),
        (Patch(facecolor=plotting.ALERT), "wrong region"),
        (Line2D([], [], color="black"), "hyperplane $Wz+b=0$, a line"),
        (Patch(facecolor="0.75"), "the same, a plane"),
    ]
    figure.legend(*zip(*entries, strict=True), loc="lower center", ncols=4, columnspacing=2.0)


def _scatter(axes: Any, points: Array, y: Array, **options: Any) -> None:
    points, y = points[:SHOWN], y[:SHOWN]
    for label, colour in enumerate(plotting.CLASSES):
        axes.scatter(
            *points[y == label].T, s=4, color=colour, linewidths=0, rasterized=True, **options
        )


def _draw_inputs(axes: Any, x: Array, y: Array, d: int) -> None:
    _scatter(axes, x, y)
    axes.set_xlim(-_LIMIT[0], _LIMIT[0])
    axes.set_ylim(-_LIMIT[1], _LIMIT[1])
    axes.set_ylabel(rf"features in $\mathbb{{R}}^{d}$" + "\n" + r"$x_2$")
    axes.set_xlabel("$x_1$")
    axes.set_title("inputs $x$ and labels $y$")


def _draw_features(axes: Any, y: Array, row: AugmentedRow) -> None:
    _scatter(axes, row.features, y)
    named = row.problem.unpack(row.theta)
    w, b = named["W"][0], named["b"][0]
    low, high = row.features.min(axis=0), row.features.max(axis=0)
    margin = 0.08 * (high - low)
    normal = w / np.dot(w, w)
    along = np.array([-w[1], w[0]]) / np.hypot(*w) * 3 * np.abs(high - low).max()
    ends = np.array([-b * normal - along, -b * normal + along])
    axes.plot(*ends.T, color="black", lw=1.2)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    axes.set_xlabel("$z_1(1)$")
    axes.set_ylabel("$z_2(1)$")
    axes.set_title("features $z(1)$ and hyperplane")


def _draw_space(axes: Any, y: Array, row: AugmentedRow) -> None:
    z, named = row.features, row.problem.unpack(row.theta)
    w, b = named["W"][0], named["b"][0]
    centre = z.mean(axis=0)
    anchor = centre - (w @ centre + b) / (w @ w) * w  # the plane's point nearest to the middle
    basis = np.linalg.svd(w[None])[2][1:]
    reach = 0.75 * np.abs((z - anchor) @ basis.T).max()
    grid = np.array([-reach, reach])
    A, B = np.meshgrid(grid, grid)
    surface = anchor + A[..., None] * basis[0] + B[..., None] * basis[1]
    axes.plot_surface(*np.moveaxis(surface, -1, 0), color="0.4", alpha=0.3, lw=0)
    _scatter(axes, z, y, depthshade=False)
    elevation, azimuth = _view(basis, w / np.linalg.norm(w))
    axes.view_init(elev=elevation, azim=azimuth)
    axes.set_box_aspect((1, 1, 0.9), zoom=1.2)
    axes.zaxis.set_rotate_label(False)
    for name, number in (("x", 1), ("y", 2), ("z", 3)):
        getattr(axes, f"set_{name}label")(f"$z_{number}(1)$", labelpad=-12)
        getattr(axes, f"set_{name}ticklabels")([])
    axes.zaxis.label.set_rotation(90)
    axes.zaxis.labelpad = -15.5  # close to its own axis: the next panel's label is not far
    axes.tick_params(pad=-4)
    axes.set_title("features $z(1)$ and hyperplane", y=1.06, pad=6)


def _view(basis: Array, normal: Array) -> tuple[float, float]:
    """Angles that look nearly along the plane and from a little above: both sides are seen."""
    angle = np.linspace(0.0, 2.0 * np.pi, 721)
    along = np.cos(angle)[:, None] * basis[0] + np.sin(angle)[:, None] * basis[1]
    best = along[np.argmin(np.abs(along[:, 2] - np.sin(np.radians(18.0))))]
    upwards = normal if normal[2] >= 0 else -normal
    direction = best + np.tan(np.radians(12.0)) * upwards
    azimuth = np.degrees(np.arctan2(direction[1], direction[0]))
    return float(np.degrees(np.arctan2(direction[2], np.hypot(*direction[:2])))), float(azimuth)


def _draw_labels(axes: Any, x: Array, y: Array, row: AugmentedRow) -> None:
    u, v, points = _plane(400)
    label = row.problem.predict_label(row.theta, points)
    shape = (len(v), len(u))
    axes.contourf(u, v, label.reshape(shape), levels=[-0.5, 0.5, 1.5], colors=plotting.PALE_CLASSES)
    right = truth(points)
    wrong = ((label != right) & (right >= 0)).reshape(shape)
    if wrong.any():
        axes.contourf(u, v, wrong, levels=[0.5, 1.5], colors=[plotting.ALERT])
    _scatter(axes, x, y, alpha=0.75)
    missed = row.predicted != y
    if missed.any():
        axes.scatter(*x[missed].T, s=16, facecolors="none", edgecolors="black", linewidths=0.7)
    axes.set_xlim(-_LIMIT[0], _LIMIT[0])
    axes.set_ylim(-_LIMIT[1], _LIMIT[1])
    axes.set_xlabel("$x_1$")
    axes.set_ylabel("$x_2$")
    axes.set_title(f"predicted labels, {100 * row.accuracy:.2f} % right")


def draw_proofs(proofs: list[Proof]) -> Any:
    """Paths in (t, z) of the 1-D ODE, and in the plane of the padded one."""
    figure = plotting.figure(7.2, 2.9)
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    unpadded, padded = proofs
    t = np.linspace(0.0, 1.0, len(unpadded.path))
    left.plot(t, unpadded.fan[:, :, 0], color="0.8", lw=0.6)
    order, dashes = np.argsort(unpadded.path[0, :, 0]), ("-", (0, (3, 3)))  # they meet: both show
    for i, colour, dash in zip(order, plotting.CLASSES, dashes, strict=True):
        start = unpadded.path[0, i, 0]
        left.plot(t, unpadded.path[:, i, 0], color=colour, lw=1.6, ls=dash)
        left.plot(1.0, -start, marker="x", color=colour, ms=7, mew=1.6, clip_on=False)
        right.plot(*padded.path[:, i].T, color=colour, lw=1.6)
        right.plot(*padded.path[0, i], marker="o", color=colour, ms=5)
        right.plot(-start, 0.0, marker="x", color=colour, ms=7, mew=1.6)
        named = {"color": colour, "lw": 1.6, "marker": "x", "ms": 6, "mew": 1.4, "ls": dash}
        label = f"from ${start:+g}$, wanted ${-start:+g}$ (cross)"
        left.plot([], [], label=label, **named)
    left.plot([], [], color="0.8", lw=0.6, label="other starts")
    left.legend(loc="lower right")
    left.set(xlabel="$t$", ylabel="$z(t)$", xlim=(0, 1), ylim=(-2.1, 2.1))
    left.set_title(f"one dimension: paths cannot cross, loss {unpadded.loss:.3f}")
    right.set(xlabel="$z_1$", ylabel="$z_2$ (padded)")
    for marker, label in (("o", "start"), ("x", "wanted")):
        right.plot([], [], ls="", color="0.3", marker=marker, ms=5, label=label)
    right.legend(loc="lower right")
    right.set_aspect("equal", adjustable="datalim")
    right.set_title(f"one padded zero: loss {padded.loss:.0e}")
    figure.tight_layout(w_pad=2.0)
    return figure
