"""The picture of the transport game's optimum: Phi, densities, paths, how the bounds close in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import plotting

if TYPE_CHECKING:  # which imports this module
    from validation.truth.transport_optimum import Study

Array = np.ndarray


def draw(studies: list[Study], spacings: list[float], errors: list[float], out: Path) -> list[Path]:
    """Paths, image of the map, value function at both ends, and how the errors fall.

    ``spacings`` are those of the Cartesian grids that the ``errors`` are of.
    """
    made = plotting.figure(7.2, 4.7)
    made.set_layout_engine("constrained")
    panels = made.subplots(2, 3)
    best = studies[-1]
    r, theta = np.linspace(0.02, 8.5, 425), np.linspace(0.0, 2.0 * math.pi, 641)
    f = best.of.fields(best.c, r, theta)
    y = best.of.moved(f, theta)
    x = r[:, None] * np.stack([np.cos(theta), np.sin(theta)])[:, None, :]
    game, level = best.of.game, best.bounds.log_mass - 1.0
    late = game.alpha * (r[:, None] * f.along - f.u - 0.5 * (y**2).sum(axis=0)) - game.beta * level
    early = game.alpha * (0.5 * r[:, None] ** 2 - f.u) - game.beta * level
    stopped = np.exp(late / game.beta - 1.0 + game.log_target(y))
    start = np.exp(game.log_source(x))
    _field(made, panels[0, 0], x, start, r"(a) $\rho_0$, paths to $\rho(\cdot,1)$", 5.9)
    _field(made, panels[0, 1], y, stopped, r"(b) $\rho(\cdot,1)$, images of discs", 2.2)
    _field(made, panels[0, 2], x, early, r"(c) $\Phi(x,0)$", 5.9)
    _field(made, panels[1, 0], y, late, r"(d) $\Phi(y,1)$", 2.2)
    _paths(panels[0, 0], panels[0, 1], best)
    _errors(panels[1, 1], panels[1, 2], studies, np.array(spacings), errors)
    return plotting.save(made, out, "transport_optimum")


def _field(made: Any, panel: Any, at: Array, values: Array, title: str, side: float) -> None:
    """A density, in grey, or a value function, in colours with level lines."""
    density, name = "rho" in title, "y" if side < 3.0 else "x"
    top = values[np.abs(at).max(axis=0) <= side].max()
    image = panel.pcolormesh(
        *at,
        values,
        shading="gouraud",
        rasterized=True,
        vmax=top,
        vmin=0.0 if density else values.min(),
        cmap="Greys" if density else "cividis",
    )
    ticks = np.arange(-4, 5, 2) if name == "x" else np.arange(-2, 3)
    panel.set(
        title=title,
        xlabel=f"${name}_1$",
        ylabel=f"${name}_2$",
        aspect="equal",
        xlim=(-side, side),
        ylim=(-side, side),
        xticks=ticks,
        yticks=ticks,
    )
    if not density:
        levels = np.linspace(values.min(), top, 14)[1:]
        panel.contour(*at, values, levels, colors="white", linewidths=0.35, alpha=0.7)
    made.colorbar(image, ax=panel, fraction=0.046, pad=0.03)


def _paths(all_of_it: Any, middle: Any, best: Study) -> None:
    """Straight paths from circles around the eight means, and the circles' images."""
    game, angles = best.of.game, np.linspace(0.0, 2.0 * math.pi, 181)
    for i, mean in enumerate(game.means):
        colour = (plotting.BLUE, plotting.VERMILION, plotting.GREEN, plotting.ORANGE)[i % 4]
        turned = angles + math.atan2(mean[1], mean[0])
        circle = np.stack([np.cos(turned), np.sin(turned)])
        for radius in (1.0, 2.0):  # of standard deviations
            x = mean[:, None] + radius * math.sqrt(game.variances[0]) * circle
            theta = np.arctan2(x[1], x[0])[:, None]
            f = best.of.fields(best.c, np.hypot(*x)[:, None], theta)
            y = best.of.moved(f, theta)[:, :, 0]
            middle.fill(*y, facecolor=colour, edgecolor=colour, alpha=0.25, linewidth=0.0)
            middle.plot(*y, color=colour, linewidth=0.7)
            all_of_it.plot(*x, color=colour, linewidth=0.7)
        for k in range(0, 180, 20):
            all_of_it.plot(*np.stack([x[:, k], y[:, k]], axis=1), color=colour, linewidth=0.4)


def _errors(left: Any, right: Any, studies: list[Study], h: Array, errors: list[float]) -> None:
    from matplotlib.ticker import NullFormatter

    truth, n = studies[-1].bounds.lower, [s.of.n_unknowns for s in studies]
    left.loglog(
        n,
        [s.bounds.upper - truth for s in studies],
        "o-",
        color=plotting.VERMILION,
        label="upper bound",
    )
    left.loglog(
        n[:-1],
        [truth - s.bounds.lower for s in studies[:-1]],
        "s-",
        color=plotting.BLUE,
        label="lower bound",
    )
    left.set(title="(e) distance to the best lower bound", xlabel="unknowns")
    left.set_xticks([50, 100, 200, 500, 1000], ["50", "100", "200", "500", "1000"])
    left.set(xlim=(40, 1100), ylim=(3e-11, 3e-2))
    right.loglog(h, errors, "o-", color=plotting.GREEN, label="discrete Legendre")
    right.loglog(h, 0.5 * errors[-1] * (h / h[-1]) ** 2, ":", color="black", label="$h^2$")
    right.set(title="(f) lower bound on Cartesian grids", xlabel="spacing $h$ of $x$")
    right.set_xticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    right.set(xlim=(0.02, 0.35), ylim=(1e-5, 3e-2))
    for panel in (left, right):
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_box_aspect(1.0)
        panel.legend(loc="upper left" if panel is right else "upper right")
        panel.grid(alpha=0.25, linewidth=0.5)
