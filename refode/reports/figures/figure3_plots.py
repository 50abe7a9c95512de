"""The picture of Figure 3: densities above and below, paths through space and time between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from refode import plotting

Array = np.ndarray
LIMIT, N_PATHS, N_TIMES, FINE = 4.0, 24, 65, 128
TITLES = ("relaxed optimal transport", "crowd motion")


class View(NamedTuple):
    """What is drawn of a game: densities (N_TIMES, n) at times t and points x, and paths."""

    x: Array  # (n,)
    t: Array
    density: Array
    path_t: Array  # (FINE + 1,)
    paths: Array  # (FINE + 1, N_PATHS)


def view(problem: Any, theta: Array, n: int = 401) -> View:
    """Densities and paths of a trained game; the paths carry equal parts of the mass."""
    x, t = np.linspace(-LIMIT, LIMIT, n), np.linspace(0.0, 1.0, N_TIMES)
    density = np.array(
        [np.exp(problem.log_density(theta, x[:, None], FINE // 2, float(s))) for s in t]
    )
    starts = ndtri((np.arange(N_PATHS) + 0.5) / N_PATHS)[:, None]
    paths = problem.trajectory(theta, starts, FINE)[:, :, 0]
    return View(x, t, density, np.linspace(0.0, 1.0, FINE + 1), paths)


def draw(views: Sequence[View], target: Any, obstacle: Any) -> Any:
    """A column a game: initial density, paths downwards in time, target and push-forward."""
    figure = plotting.figure(7.0, 5.4)
    grid = figure.add_gridspec(3, 2, height_ratios=(1.0, 2.9, 1.0), hspace=0.10, wspace=0.09)
    shape = [[figure.add_subplot(grid[i, j]) for j in range(2)] for i in range(3)]
    for j, (seen, title) in enumerate(zip(views, TITLES, strict=True)):
        top, middle, bottom = (shape[i][j] for i in range(3))
        top.set_title(title, pad=8)
        _initial(top, seen)
        _paths(middle, seen, obstacle if j else None)
        _ends(bottom, seen, target)
        for axes in (top, middle, bottom):
            axes.set(xlim=(-LIMIT, LIMIT), xticks=range(-4, 5, 2))
            if axes is not bottom:
                axes.tick_params(labelbottom=False)
            if j:
                axes.tick_params(labelleft=False)
        bottom.set_xlabel("$x$", labelpad=2)
    for axes, label in zip(
        (row[0] for row in shape), ("density", "time $t$", "density"), strict=True
    ):
        axes.set_ylabel(label)
    figure.align_ylabels([row[0] for row in shape])
    return figure


def _initial(axes: Any, seen: View) -> None:
    axes.fill_between(seen.x, seen.density[0], color="0.85", lw=0)
    axes.plot(seen.x, seen.density[0], color="0.15")
    axes.set(ylim=(0.0, 0.46), yticks=(0.0, 0.2, 0.4))
    axes.text(1.15, 0.33, r"initial density $\pi_X$")


def _paths(axes: Any, seen: View, obstacle: Any) -> None:
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    axes.pcolormesh(
        seen.x,
        seen.t,
        seen.density,
        cmap=LinearSegmentedColormap.from_list("", _shades()),
        vmin=0.0,
        vmax=0.42,
        shading="gouraud",
        rasterized=True,
    )
    if obstacle is not None:
        height = obstacle.value(seen.x[:, None])
        colour = np.tile(to_rgba(plotting.ORANGE), (1, len(seen.x), 1))
        colour[0, :, 3] = 0.8 * height / height.max()
        axes.imshow(
            colour,
            extent=(-LIMIT, LIMIT, 1.0, 0.0),
            aspect="auto",
            zorder=1.5,
            interpolation="bilinear",
        )
        axes.annotate(
            "obstacle $Q$",
            (0.1, 0.22),
            (2.25, 0.10),
            va="center",
            zorder=4,
            fontsize=7,
            arrowprops={"arrowstyle": "-", "lw": 0.6, "shrinkA": 1.0, "shrinkB": 0.0},
        )
    axes.plot(seen.paths, seen.path_t, color="0.15", lw=0.6, zorder=3)
    if obstacle is None:  # once: the other panel has the same colours
        axes.fill_between([], [], color=_shades()[-1], lw=0, label="density")
        axes.plot([], [], color="0.15", lw=0.6, label="agents")
        axes.legend(loc="upper left", fontsize=7, handlelength=1.0, handletextpad=0.5)
    axes.set(ylim=(1.0, 0.0), yticks=(0.0, 0.25, 0.5, 0.75, 1.0))
    for side in axes.spines.values():
        side.set(visible=True, linewidth=0.5)


def _shades() -> list[str]:
    return ["#ffffff", "#d4e6f4", "#8fbfe0"]


def _ends(axes: Any, seen: View, target: Any) -> None:
    wanted = np.exp(target.log_density(seen.x[:, None]))
    axes.fill_between(seen.x, wanted, color="0.85", lw=0)
    axes.plot(seen.x, wanted, color="0.15", label=r"target $\pi_Y$")
    axes.plot(
        seen.x,
        seen.density[-1],
        color=plotting.VERMILION,
        ls=(0, (4, 2.5)),
        lw=1.4,
        label=r"reached $\rho(T, \cdot)$",
    )
    axes.set(ylim=(0.0, 0.46), yticks=(0.0, 0.2, 0.4))
    axes.legend(loc="upper center", ncols=2, handlelength=2.2, borderaxespad=0.0)
