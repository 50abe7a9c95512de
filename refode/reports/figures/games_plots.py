"""Pictures of the games in the plane: agents and densities above, the value function below."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import plotting
from refode.densities import Density

Array = np.ndarray
N_PATHS, N_DOTS = 80, 1200
STEPS = 64
TIMES = (0.0, 0.5, 1.0)
LIMITS = {"transport": ((-6.0, 6.0), (-6.0, 6.0)), "crowd": ((-3.5, 3.5), (-4.8, 4.8))}
PATH, INK = "#3a3a3a", "#222222"
#: Where the legends of panels b and c hide nothing.
CORNERS = {"transport": ("lower left", "center"), "crowd": ("upper left", "lower left")}


def draw(of: Any) -> Any:
    """Six panels: agents, rho(1, .), the target pulled back; Phi at t = 0, 1/2, 1."""
    (left, right), (low, high) = LIMITS[of.setup.name]
    height = 2.25 * (high - low) / (right - left)
    figure = plotting.figure(7.2, 2.0 * height + 0.85)
    grid = figure.add_gridspec(
        2,
        3,
        hspace=0.13,
        wspace=0.1,
        left=0.06,
        right=0.91,
        bottom=0.07,
        top=0.95,
    )
    panels = [[figure.add_subplot(grid[i, j]) for j in range(3)] for i in range(2)]
    _agents(panels[0][0], of)
    _densities(panels[0][1:], _beside(panels[0][-1]), figure, of)
    _values(panels[1], _beside(panels[1][-1]), figure, of)
    for i, row in enumerate(panels):
        for j, axes in enumerate(row):
            axes.set(xlim=(left, right), ylim=(low, high))
            axes.set_aspect("equal")
            axes.tick_params(labelleft=j == 0, labelbottom=i == 1)
            for side in axes.spines.values():
                side.set_visible(True)
        row[0].set_ylabel("$x_2$", labelpad=0)
    for axes in panels[1]:
        axes.set_xlabel("$x_1$", labelpad=1)
    for letter, axes in zip("abcdef", (a for row in panels for a in row), strict=True):
        axes.set_title(letter, loc="left", fontweight="bold")
    return figure


def _beside(axes: Any) -> Any:
    """Room for a colour bar, as high as the panel is drawn."""
    return axes.inset_axes((1.05, 0.0, 0.045, 1.0))


def _agents(axes: Any, of: Any) -> None:
    _obstacle(axes, of, filled=True)
    x = of.x
    path = of.problem.trajectory(of.theta, x[:N_PATHS], STEPS)
    ends = of.problem.generate(of.theta, x[:N_DOTS], STEPS)
    dots = {"s": 2.2, "linewidths": 0, "rasterized": True}
    axes.scatter(*x[:N_DOTS, :2].T, color=plotting.SKY, alpha=0.8, label="$x$", **dots)
    axes.scatter(*ends[:, :2].T, color=plotting.ORANGE, alpha=0.8, label="$z(1)$", **dots)
    lines = axes.plot(path[:, :, 0], path[:, :, 1], color=PATH, lw=0.45, alpha=0.75, zorder=3)
    lines[0].set_label("paths")
    if of.setup.game.energy:
        axes.plot([], [], color=PATH, lw=0.6, ls=":", label="$Q$")
    axes.set_title("agents and paths")
    _legend(axes, "lower left", markerscale=3)


def _legend(axes: Any, corner: str, **look: Any) -> None:
    axes.legend(
        loc=corner,
        handlelength=1.3,
        handletextpad=0.4,
        borderpad=0.2,
        borderaxespad=0.2,
        labelspacing=0.3,
        **look,
    )


def _densities(panels: list[Any], bar: Any, figure: Any, of: Any) -> None:
    """Each by its largest value, with contours of the density that it should be near."""
    game = of.setup.game
    points = grid_points(of.axes)
    wanted = (
        (of.pushed, game.target, r"\rho_Y", r"$\rho(1,\cdot)$, pushed forward"),
        (of.pulled, game.initial, r"\rho(0,\cdot)", r"$\rho_Y$ pulled back"),
    )
    corners = CORNERS[of.setup.name]
    for axes, corner, (rho, near, name, title) in zip(panels, corners, wanted, strict=True):
        _obstacle(axes, of, filled=False)
        image = _map(axes, of, rho / rho.max(), "Blues", 0.0, 1.0)
        _contours(axes, of, near, points)
        for share, dashes in (("2", "-"), ("20", "--")):
            label = rf"$\max / {share}$"
            axes.plot([], [], color=plotting.VERMILION, lw=0.7, ls=dashes, label=label)
        _legend(axes, corner, title=f"${name}$ equals")
        axes.set_title(title)
    figure.colorbar(image, cax=bar)
    bar.set_ylabel("density / its maximum", labelpad=3)


def _contours(axes: Any, of: Any, density: Density, points: Array) -> None:
    """Where the density is a half and a twentieth of its largest value."""
    rho = np.exp(density.log_density(points)).reshape(of.pushed.shape)
    levels = [0.05 * rho.max(), 0.5 * rho.max()]
    axes.contour(
        *of.axes,
        rho.T,
        levels=levels,
        colors=plotting.VERMILION,
        linewidths=0.7,
        linestyles=("--", "-"),
    )


def _values(panels: list[Any], bar: Any, figure: Any, of: Any) -> None:
    """Phi on one scale for the three times, with some agents."""
    from matplotlib.ticker import MaxNLocator

    limits, n = LIMITS[of.setup.name], 161
    axes_of = tuple(np.linspace(*limit, n) for limit in limits)
    points = grid_points(axes_of)
    fields = [of.problem.value_function(of.theta, t, points)[0].reshape(n, n) for t in TIMES]
    where = of.problem.trajectory(of.theta, of.x[:N_DOTS], STEPS)[:: STEPS // 2]
    low = min(f.min() for f in fields)
    high = np.quantile(np.concatenate([f.ravel() for f in fields]), 0.98)
    levels = MaxNLocator(26, steps=[1, 2, 5, 10]).tick_values(low, high)
    apart = 4 * (levels[1] - levels[0])
    marks = [level for level in levels if abs(level / apart - round(level / apart)) < 1e-9]
    for axes, field, t, at in zip(panels, fields, TIMES, where, strict=True):
        image = axes.contourf(*axes_of, field.T, levels=levels, cmap="viridis", extend="max")
        image.set_rasterized(True)
        axes.contour(*axes_of, field.T, levels=levels[::2], colors="white", linewidths=0.3)
        axes.scatter(*at[:300].T, s=1.6, color="black", linewidths=0, alpha=0.7, rasterized=True)
        _obstacle(axes, of, filled=False, colour="white")
        axes.set_title(rf"$\Phi(\cdot,\,{t:g})$ and agents")
    figure.colorbar(image, cax=bar, ticks=marks)
    bar.set_ylabel(r"$\Phi$", labelpad=3)


def _obstacle(axes: Any, of: Any, filled: bool, colour: str = PATH) -> None:
    """Contours of Q, none where there is no obstacle."""
    if not of.setup.game.energy:
        return
    Q = of.setup.game.energy.value(grid_points(of.axes)).reshape(of.pushed.shape)
    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9]) * Q.max()
    if filled:
        image = axes.contourf(
            *of.axes, Q.T, levels=[*levels, Q.max()], cmap="Greys", vmin=-Q.max(), vmax=2 * Q.max()
        )
        image.set_zorder(0)
    axes.contour(*of.axes, Q.T, levels=levels, colors=colour, linewidths=0.6, linestyles=":")


def _map(axes: Any, of: Any, values: Array, colours: str, low: float, high: float) -> Any:
    (a, b), (c, d) = ((side[0], side[-1]) for side in of.axes)
    half = 0.5 * (of.axes[0][1] - of.axes[0][0])
    extent = (a - half, b + half, c - half, d + half)
    return axes.imshow(
        values.T, origin="lower", extent=extent, cmap=colours, vmin=low, vmax=high, aspect="auto"
    )


def grid_points(axes: tuple[Array, ...]) -> Array:
    """The points of a grid of the plane, (N, 2), the second coordinate running first."""
    return np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=1)
