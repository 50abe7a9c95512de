"""The pictures of ``refode reproduce trajectories``: fits and their bands; sunspots forecast."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import plotting
from refode.reports.figures import trajectories_sunspots as sunspots
from refode.reports.figures.trajectories_cases import Fit

Array = np.ndarray

FIRST, SECOND, REFIT = plotting.BLUE, plotting.VERMILION, "0.72"
LETTERS = "abcdefg"
TITLES = {
    "spiral": "spiral, by a network",
    "pendulum": "damped pendulum, two swings",
    "Lotka-Volterra": "predator and prey",
}
N_LINES = 25  # refits that are drawn


def draw(fits: list[Fit]) -> Any:
    """Curves above, deviations by Laplace and by refits in the middle, parameters below."""
    made = plotting.figure(7.2, 6.4)
    grid = made.add_gridspec(
        3,
        3,
        height_ratios=(1.35, 0.95, 0.9),
        hspace=0.52,
        wspace=0.27,
        left=0.085,
        right=0.985,
        top=0.955,
        bottom=0.1,
    )
    above = [made.add_subplot(grid[0, k]) for k in range(3)]
    for axes, fit in zip(above, fits, strict=True):
        axes.set_title(TITLES[fit.case.name])
        if fit.case.name == "spiral":
            _plane(axes, fit)
        else:
            _in_time(axes, fit)
    for k, fit in enumerate(fits):
        _deviations(made.add_subplot(grid[1, k]), fit)
    _parameters(made.add_subplot(grid[2, :]), [fit for fit in fits if fit.case.true is not None])
    for letter, axes in zip(LETTERS, made.axes, strict=False):
        axes.annotate(
            letter,
            (0.0, 1.0),
            xytext=(-22, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=10,
            fontweight="bold",
        )
    _legend(made)
    return made


def _legend(made: Any) -> None:
    """One for all panels, of the looks that they share."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shared = [
        (Line2D([], [], color="k", marker="o", ms=3, ls=""), "measured"),
        (Line2D([], [], color="k", ls="--", lw=0.9), "truth"),
        (Line2D([], [], color=FIRST), "fit"),
        (Patch(color=FIRST, alpha=0.3, lw=0), "two deviations (Laplace)"),
        (Line2D([], [], color=REFIT, lw=1.0), "refits to other noise"),
        (Line2D([], [], color="k", ls=":", lw=0.8), "last observation"),
    ]
    handles, labels = zip(*shared, strict=True)
    made.legend(handles, labels, loc="lower center", ncols=6, bbox_to_anchor=(0.53, 0.0))


def _colours(fit: Fit) -> list[tuple[int, int, str, str]]:
    """Curve, channel, colour and words of what is drawn against time."""
    if fit.case.name == "pendulum":
        return [(0, 0, FIRST, "first swing"), (1, 0, SECOND, "second swing")]
    words = ("$z_1$", "$z_2$") if fit.case.name == "spiral" else ("prey", "predator")
    return [(0, 0, FIRST, words[0]), (0, 1, SECOND, words[1])]


def _plane(axes: Any, fit: Fit) -> None:
    """The spiral in its plane; there is no time to end a band at, so ellipses stand for it."""
    from matplotlib.patches import Ellipse

    for refit in fit.refits[:N_LINES]:
        axes.plot(*refit.curves[0].T, color=REFIT, lw=0.4, zorder=1)
    axes.plot(*fit.truth[0].T, "k--", lw=0.9, zorder=4)
    axes.plot(*fit.curves[0].T, color=FIRST, zorder=3)
    for point, band in list(zip(fit.curves[0], fit.bands[0], strict=True))[::3]:
        size = {"width": 4.0 * band[0], "height": 4.0 * band[1]}
        axes.add_patch(Ellipse(point, **size, color=FIRST, alpha=0.15, lw=0, zorder=2))
    whole = fit.y.there.all(axis=2)
    axes.plot(*fit.y.values[whole].T, "ko", ms=2.2, zorder=5)
    last = fit.curves[0, fit.inside][-1]
    axes.plot(*last, "kD", ms=4, mfc="w", zorder=6)
    beside = {"textcoords": "offset points", "ha": "center", "fontsize": 7, "zorder": 6}
    axes.annotate("last seen", last, xytext=(0, -13), **beside)
    axes.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    axes.set_adjustable("datalim")


def _in_time(axes: Any, fit: Fit) -> None:
    """Curves against time; refits, bands, truth and what was measured."""
    for i, channel, colour, word in _colours(fit):
        for refit in fit.refits[:N_LINES]:
            axes.plot(fit.times, refit.curves[i, :, channel], color=REFIT, lw=0.4, zorder=1)
        curve, band = fit.curves[i, :, channel], 2.0 * fit.bands[i, :, channel]
        axes.fill_between(fit.times, curve - band, curve + band, color=colour, alpha=0.3, lw=0)
        axes.plot(fit.times, fit.truth[i, :, channel], "k--", lw=0.9, zorder=4)
        axes.plot(fit.times, curve, color=colour, label=word, zorder=3)
        there = fit.y.there[i, :, channel]
        seen = fit.y.times[i, there], fit.y.values[i, there, channel]
        axes.plot(*seen, "o", ms=2.4, mfc=colour, mec="k", mew=0.3, zorder=5)
    axes.axvline(fit.case.until, ymax=0.84, color="k", ls=":", lw=0.8)
    pendulum = fit.case.name == "pendulum"
    axes.set(xlabel="time", ylabel="angle" if pendulum else "number", xlim=(0.0, fit.case.beyond))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.18 * (high - low))
    axes.legend(loc="upper right", ncols=2, handlelength=1.4, columnspacing=1.0)


def _deviations(axes: Any, fit: Fit) -> None:
    """Standard deviations of the curves: two ways that must agree."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    spread = fit.spread
    for i, channel, colour, word in _colours(fit):
        axes.semilogy(fit.times, fit.bands[i, :, channel], color=colour, label=word)
        axes.semilogy(fit.times, spread[i, :, channel], ":", color=colour, lw=1.5)
    axes.axvline(fit.case.until, ymax=0.84, color="k", ls=":", lw=0.8)
    low, high = axes.get_ylim()
    axes.set(xlabel="time", xlim=(0.0, fit.case.beyond), title="solid: Laplace, dotted: refits")
    axes.set_ylim(low, high * (high / low) ** 0.22)
    axes.yaxis.set_major_locator(FixedLocator([0.01, 0.02, 0.05, 0.1, 0.2, 0.5]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, at: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(loc="upper right", ncols=2, handlelength=1.4, columnspacing=1.0)
    if fit.case.name == "spiral":
        axes.set_ylabel("standard deviation")


def _parameters(axes: Any, fits: list[Fit]) -> None:
    """Estimates less the truth, in standard errors, beside those of the refits."""
    labels: list[str] = []
    for fit in fits:
        names, true = known(fit)
        sd = np.sqrt(np.diagonal(fit.posterior.covariance))
        for k, name in enumerate(names):
            at = len(labels)
            again = [(refit.theta[k] - true[k]) / sd[k] for refit in fit.refits]
            shifts = np.linspace(-0.16, 0.16, max(len(again), 1))[: len(again)]
            axes.plot(at + shifts, again, "o", ms=1.8, color=REFIT, zorder=1)
            off = (fit.posterior.theta[k] - true[k]) / sd[k]
            bars = {"yerr": 2.0, "capsize": 2.5, "ms": 4, "lw": 1.0, "zorder": 3}
            axes.errorbar(at, off, fmt="o", color=FIRST, **bars)
            labels.append(name)
        if fit is not fits[-1]:
            axes.axvline(len(labels) - 0.5, color="0.8", lw=0.7)
    axes.axhline(0.0, color="k", ls="--", lw=0.9)
    axes.set_xticks(range(len(labels)), labels)
    axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(-5.0, 5.0))
    axes.set_yticks([-4, -2, 0, 2, 4])
    axes.set_ylabel("(estimate $-$ truth)\n/ standard error")
    axes.set_title(
        "parameters and states at time 0 of the fields of known form: pendulum (left), "
        "predator and prey (right)"
    )


def known(fit: Fit) -> tuple[list[str], Array]:
    """Names and true values of theta, of a field of known form."""
    case = fit.case
    names = [f"${name}$" for name in fit.problem.ode.field.layout.shapes]
    channels = ("angle", "speed") if case.name == "pendulum" else ("prey", "predator")
    many = len(case.starts) > 1
    for i in range(len(case.starts)):
        names += [f"{word} {i + 1}" if many else word for word in channels]
    return names, np.concatenate([case.true, case.starts.ravel()])


# --- sunspots ------------------------------------------------------------------------------
COLOURS = {
    sunspots.NODE: (plotting.BLUE, "o-"),
    sunspots.YULE: (plotting.ORANGE, "s-"),
    sunspots.LARGER: (plotting.VERMILION, "D-"),
    sunspots.CYCLE: (plotting.GREEN, "^-"),
    sunspots.PERSISTENCE: ("0.5", "v-"),
}


def draw_sunspots(found: sunspots.Forecasts) -> Any:
    """Forecasts of eleven years one after another, and errors by years ahead."""
    made = plotting.figure(7.2, 2.7)
    axes = made.subplots(1, 2, width_ratios=(1.75, 1.0))
    shown = found.years >= 1880
    axes[0].plot(found.years[shown], found.numbers[shown], "k.-", ms=2.5, lw=0.6, label="observed")
    band = "two deviations"
    for k in range(0, len(found.origins), sunspots.AHEAD):
        root = found.by[sunspots.NODE][k]
        came = ~np.isnan(found.came[k])
        years, error = found.origins[k] + np.arange(1, sunspots.AHEAD + 1), 2.0 * found.learned
        bounds = [np.maximum(root + s * error, 0.0)[came] ** 2 for s in (-1.0, 1.0)]
        axes[0].fill_between(years[came], *bounds, color=plotting.BLUE, alpha=0.2, lw=0, label=band)
        band = "_"
        axes[0].plot(years[came], root[came] ** 2, color=plotting.BLUE)
        axes[0].axvline(found.origins[k], color="0.8", lw=0.6, zorder=0)
    axes[0].axvline(sunspots.SPLIT, color="k", ls=":", lw=0.8)
    axes[0].set(xlabel="year", ylabel="sunspot number", xlim=(1880, 2009), ylim=(0, 260))
    axes[0].set_title("forecasts from two years' numbers, eleven years ahead")
    axes[0].annotate("learned", (sunspots.SPLIT - 2, 247), ha="right", fontsize=7)
    axes[0].annotate("held out", (sunspots.SPLIT + 2, 247), ha="left", fontsize=7)
    axes[0].legend(loc="upper left", bbox_to_anchor=(0.0, 0.93))
    ahead = np.arange(1, sunspots.AHEAD + 1)
    for name, (colour, look) in COLOURS.items():
        axes[1].plot(ahead, found.errors(name), look, color=colour, ms=3, label=name)
    axes[1].set(xlabel="years ahead", ylabel="RMS error of the square root", ylim=(0, None))
    axes[1].set_title(f"all forecasts after {sunspots.SPLIT}")
    axes[1].set_xticks(ahead[::2])
    handles, labels = axes[1].get_legend_handles_labels()
    made.legend(handles, labels, loc="lower center", ncols=5, bbox_to_anchor=(0.5, -0.07))
    made.tight_layout()
    return made
