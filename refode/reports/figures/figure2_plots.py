"""Pictures of flows: Figure 2, and a row a toy density."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import plotting

Array = np.ndarray
N_LINES, N_POINTS, FINE = 60, 1500, 64
LIMIT = 4.2
PATH = "#c03030"


def figure2(fit: Any, data: Array) -> Any:
    """Samples of the target in blue, red lines along the flow to the standard Gaussian."""
    figure = plotting.figure(3.4, 3.4)
    axes = figure.add_subplot(1, 1, 1)
    some = data[: N_LINES * 3]
    path = fit.flow.trajectory(fit.theta, some, FINE, inverse=True)
    lines = axes.plot(path[:, :, 0], path[:, :, 1], color=PATH, lw=0.5, alpha=0.7)
    axes.scatter(*data[:N_POINTS].T, s=3, color=plotting.BLUE, linewidths=0, label="data $y$")
    axes.scatter(*path[-1].T, s=5, color="black", linewidths=0, zorder=3, label="$F^{-1}(y)$")
    _square(axes, np.abs(data).max() * 1.05)
    axes.set(xlabel="$x_1$", ylabel="$x_2$")
    lines[0].set_label("paths")
    axes.legend(
        loc="upper right", borderpad=0.2, handletextpad=0.3, handlelength=1.2, markerscale=1.5
    )
    figure.tight_layout()
    return figure


def panels(pairs: list[Any], data: dict[str, Array]) -> Any:
    """A row a density: data, density, samples, forward and inverse paths of both flows."""
    n = len(pairs)
    figure = plotting.figure(7.2, 0.35 + 1.03 * n)
    grid = figure.add_gridspec(n, 7, wspace=0.06, hspace=0.06)
    alpha = pairs[0][1].alpha
    titles = (
        "data",
        f"density\n$\\alpha={alpha:g}$",
        f"samples\n$\\alpha={alpha:g}$",
        "forward\n$\\alpha=0$",
        f"forward\n$\\alpha={alpha:g}$",
        "inverse\n$\\alpha=0$",
        f"inverse\n$\\alpha={alpha:g}$",
    )
    for i, (unmoved, moved) in enumerate(pairs):
        y = data[moved.name]
        row = [figure.add_subplot(grid[i, j]) for j in range(7)]
        _dots(row[0], y[:N_POINTS], plotting.BLUE)
        _density(row[1], moved)
        _dots(row[2], moved.flow.sample(moved.theta, N_POINTS, 4, FINE), plotting.GREEN)
        x = np.random.default_rng(6).standard_normal((N_LINES, 2))
        for axes, fit, inverse in (
            (row[3], unmoved, False),
            (row[4], moved, False),
            (row[5], unmoved, True),
            (row[6], moved, True),
        ):
            _paths(axes, fit, y[:N_LINES] if inverse else x, inverse)
        for axes, title in zip(row, titles, strict=True):
            _square(axes, LIMIT)
            axes.set(xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set(visible=True, linewidth=0.4)
            if i == 0:
                axes.set_title(title)
        row[0].set_ylabel(moved.name)
    _legend(figure)
    return figure


def _legend(figure: Any) -> None:
    """What the dots and lines of the last four columns are, below the last row."""
    from matplotlib.lines import Line2D

    dot: Any = {"ls": "", "marker": "o", "ms": 3.5, "mew": 0}
    entries = [
        Line2D([], [], color=PATH, lw=0.8, label="paths of single points, forward and inverse"),
        Line2D([], [], color=plotting.BLUE, label="their end at the data, $t = 1$", **dot),
        Line2D([], [], color="black", label="their end at the Gaussian, $t = 0$", **dot),
    ]
    figure.legend(
        handles=entries, loc="upper center", bbox_to_anchor=(0.5, 0.105), ncols=3, handlelength=1.4
    )


def _square(axes: Any, limit: float) -> None:
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axes.set_aspect("equal")


def _dots(axes: Any, points: Array, colour: str) -> None:
    axes.scatter(*points.T, s=0.8, color=colour, linewidths=0, rasterized=True)


def _density(axes: Any, fit: Any) -> None:
    axis = np.linspace(-LIMIT, LIMIT, 181)
    rho = fit.flow.density_on_grid(fit.theta, axis, axis, n_steps=24)
    top = np.quantile(rho, 0.995)
    extent = (-LIMIT, LIMIT, -LIMIT, LIMIT)
    axes.imshow(rho.T, origin="lower", extent=extent, cmap="Blues", vmin=0.0, vmax=top)


def _paths(axes: Any, fit: Any, start: Array, inverse: bool) -> None:
    path = fit.flow.trajectory(fit.theta, start, FINE, inverse=inverse)
    axes.plot(path[:, :, 0], path[:, :, 1], color=PATH, lw=0.35, alpha=0.8)
    ends = path[[0, -1]] if inverse else path[[-1, 0]]  # data first
    axes.scatter(*ends[0].T, s=2.0, color=plotting.BLUE, linewidths=0, zorder=3)
    axes.scatter(*ends[1].T, s=2.0, color="black", linewidths=0, zorder=3)
