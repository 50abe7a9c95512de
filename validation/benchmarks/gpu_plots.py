"""Figures of gpu.py: ratios to the other codes, and both modes over the width."""

from __future__ import annotations

import math
from typing import Any

import matplotlib

from validation import common
from validation.benchmarks import gpu_peers

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator

PLAIN = FuncFormatter(lambda v, _: f"{v:g}")


def draw(report: common.Report, results: list[Any], crossing: Any, device: str) -> None:
    """Both figures."""
    with plt.rc_context(common.STYLE):
        ratios(report, results, device)
        over_width(report, crossing, device)


def ratios(report: common.Report, results: list[Any], device: str) -> None:
    """Times of all codes over refode's, a panel a workload; bars beyond the edge are cut."""
    shown = [r for r in results if r["auto"] in r["times"]]
    if not shown:
        print("figure of ratios: refode itself was not timed, so there is none")
        return
    columns, rows = min(2, len(shown)), -(-len(shown) // 2)
    heights = [max(len(r["times"]) for r in shown[2 * i : 2 * i + 2]) for i in range(rows)]
    size = 6.6 * columns, 0.4 * sum(heights) + 1.3 * rows + 0.3
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, height_ratios=heights)
    for axis in axes.ravel()[len(shown) :]:
        axis.set_visible(False)
    for axis, result in zip(axes.ravel(), shown, strict=False):
        _bars(axis, result)
    figure.suptitle(f"Value and gradient in float64 on {device}", x=0.01, ha="left")
    figure.tight_layout(w_pad=2.5, rect=(0.0, 0.0, 1.0, 0.985))
    report.figure(figure, "gpu_ratios")
    plt.close(figure)


def _bars(axis: Any, result: Any) -> None:
    """Bars from slow to fast, with the wanted ratio to the codes in orange."""
    times, w = result["times"], result["workload"]
    mine = times[result["auto"]]["median"]
    codes = sorted(times.items(), key=lambda item: -item[1]["median"])
    target = gpu_peers.TARGETS[w["name"].split(",")[0]]
    near = [t["median"] / mine for n, t in codes if n in (*gpu_peers.TWO_JAX, "refode tile")]
    edge = 1.5 * max(target, *near)
    for i, (name, t) in enumerate(codes):
        value, low, high = (t[key] / mine for key in ("median", "low", "high"))
        cut = value > 0.75 * edge
        length = 0.75 * edge if cut else value
        spread = None if cut else [[value - low], [min(high, edge) - value]]
        axis.barh(
            i,
            length,
            xerr=spread,
            color=_colour(name, result["auto"]),
            height=0.7,
            capsize=2.5,
            error_kw={"elinewidth": 1.0, "ecolor": "#333333"},
        )
        note = ("\u2192 " if cut else "") + f"{value:.3g} ({_milliseconds(t['median'])})"
        start = length if cut else min(high, 0.75 * edge)
        axis.annotate(
            note,
            (start, i),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            bbox={"fc": "white", "ec": "none", "pad": 0.6},
        )
    axis.axvline(target, color=common.RED, ls="--", lw=1.3)
    axis.annotate(
        f"wanted of orange: {target:g}",
        (target, len(codes) - 0.45),
        (4, 0),
        textcoords="offset points",
        color=common.RED,
        va="bottom",
        fontsize=9.5,
    )
    axis.set_yticks(range(len(codes)), [n + " *" * (n == result["auto"]) for n, _ in codes])
    axis.set_xlim(0, edge)
    axis.set_ylim(-0.6, len(codes) + 0.25)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("time over refode's (*: mode='auto'); median, quartiles")
    axis.set_title(
        f"{w['name'].split(',')[0]}: d={w['d']}, k={w['k']}, {w['n_samples']:,} samples", loc="left"
    )


def _milliseconds(t: float) -> str:
    return f"{t:.0f} ms" if t >= 100.0 else f"{t:.3g} ms"


def _colour(name: str, auto: str) -> str:
    if name.startswith("refode"):
        return common.BLUE if name == auto else common.SKY
    return common.ORANGE if name in gpu_peers.TWO_JAX else common.GREY


def over_width(report: common.Report, crossing: Any, device: str) -> None:
    """Time against the width: samples over the rows of panels, d over the columns."""
    points = crossing["points"]
    dims, sizes = (sorted({p[key] for p in points}) for key in ("d", "n"))
    figure, axes = plt.subplots(
        len(sizes),
        len(dims),
        figsize=(5.2 * len(dims), 3.6 * len(sizes)),
        squeeze=False,
        sharex=True,
    )
    looks = {"tile": (common.BLUE, "o", "-"), "staged": (common.ORANGE, "s", "--")}
    for row, n in enumerate(sizes):
        for column, d in enumerate(dims):
            axis = axes[row][column]
            chosen = sorted(
                (p for p in points if (p["d"], p["n"]) == (d, n)), key=lambda p: p["width"]
            )
            widths = [p["width"] for p in chosen]
            for mode, (colour, marker, line) in looks.items():
                axis.plot(
                    widths,
                    [p[mode] for p in chosen],
                    color=colour,
                    marker=marker,
                    ls=line,
                    ms=5,
                    label={"tile": "tiles"}.get(mode, mode),
                )
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            _thresholds(axis, crossing, d, widths)
            axis.set_xticks(widths, [str(w) for w in widths])
            axis.minorticks_off()
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter(PLAIN)
            axis.set_title(f"d={d}, {n:,} samples", loc="left")
            if column == 0:
                axis.set_ylabel("value and gradient, ms")
            if row == len(sizes) - 1:
                axis.set_xlabel("width k of Shallow(d, k)")
    handles = axes[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper right", ncols=2)
    figure.suptitle(f"Two ways to run, 4 steps of RK4, on {device}", x=0.01, ha="left")
    figure.tight_layout(w_pad=2.0)
    report.figure(figure, "gpu_crossover")
    plt.close(figure)


def _thresholds(axis: Any, crossing: Any, d: int, widths: list[int]) -> None:
    """Where ``mode="auto"`` changes over, and where it should by what was measured."""
    suggested = crossing["suggested"]
    drawn = [
        ("WIDE", crossing["wide"], common.GREY, 0.02),
        ("measured", suggested, common.GREEN, 0.12),
    ]
    for name, wide, colour, height in drawn:
        if not math.isfinite(wide) or not widths[0] <= wide / d <= widths[-1]:
            continue
        axis.axvline(wide / d, color=colour, ls=":", lw=1.5)
        right = wide / d > widths[len(widths) // 2]
        axis.annotate(
            name,
            (wide / d, height),
            (-3 if right else 3, 0),
            color=colour,
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=9.5,
        )
