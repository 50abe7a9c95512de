"""Plots of benchmark_peers.py's measurements, and once more from its file.

python -m validation.benchmarks.benchmark_plots [FILE] [--out DIR]

draws without measuring; FILE is a benchmark_peers.json, by default the one beside the picture of
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

from validation import common
from validation.benchmarks import benchmark_peers

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

PLAIN = FuncFormatter(lambda v, _: f"{v:g}")


LOOKS = {
    "refode": common.BLUE,
    "JAX as one writes it: the ratios in the text refer to the fastest": common.ORANGE,
    "other JAX codes": common.SKY,
    "other libraries": common.GREY,
}


def kind(code: str, referred: tuple[str, ...]) -> str:
    """What a code is, one of LOOKS."""
    own, as_written, jax, other = LOOKS
    if code == "refode":
        return own
    if code in referred:
        return as_written
    return jax if code.startswith("jax") else other


def _threads(n: int) -> str:
    return f"{n} thread" + "s" * (n > 1)


def _number(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.3g}"


def bars(report: common.Report, found: Any) -> None:
    """Milliseconds of every code on the workloads with a target, with the floor."""
    chosen = [r for r in found["results"] if r["workload"]["name"] in benchmark_peers.TARGETS]
    if not chosen:
        return
    columns = min(2, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(6.6 * columns, 3.9 * rows), squeeze=False)
    for axis, result in zip(axes.ravel(), chosen, strict=False):
        _bars_of(axis, result)
        bound = benchmark_peers.floor(found, result)
        axis.axvline(bound, color=common.RED, ls="--", lw=1.3)
        axis.annotate(
            f"floor {_number(bound)} ms",
            (bound, len(result["times"]) - 0.4),
            (4, 0),
            textcoords="offset points",
            color=common.RED,
            va="bottom",
            fontsize=9.5,
        )
        w = result["workload"]
        axis.set_title(
            f"{w['name']}: d={w['d']}, k={w['k']}, {w['n_samples']} samples, "
            f"{_threads(found['threads'])}",
            loc="left",
        )
    _legend(figure, 0.5 / (3.9 * rows))
    figure.tight_layout(w_pad=2.5, rect=(0.0, 0.0, 1.0, 1.0 - 0.5 / (3.9 * rows)))
    report.figure(figure, "benchmark_peers")
    plt.close(figure)


def _legend(figure: Any, height: float) -> None:
    """What the colours, the whiskers and the line are, above all panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=colour, label=label) for label, colour in LOOKS.items()]
    handles.append(Line2D([], [], color=common.RED, ls="--", label="floor of the machine"))
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, 1.0 - height / 2.0),
        ncols=len(handles),
        fontsize=10.5,
        handlelength=1.6,
        columnspacing=1.6,
    )


def _bars_of(axis: Any, result: Any) -> None:
    """Bars from slow to fast; those far beyond JAX's are cut off, at an arrow."""
    times = sorted(result["times"].items(), key=lambda item: -item[1]["median"])
    mine = result["times"]["refode"]["median"]
    jax = [t["median"] for n, t in times if n in benchmark_peers.two_jax(result)]
    longest = min(max(t["high"] for _, t in times), 3.0 * max(jax, default=float("inf")))
    edge = 1.6 * longest  # what is right of the longest whisker has room for its label
    for i, (name, t) in enumerate(times):
        cut = t["high"] > longest
        spread = (
            None
            if cut or t["low"] == t["high"]
            else [[t["median"] - t["low"]], [t["high"] - t["median"]]]
        )
        length = longest if cut else t["median"]
        colour = LOOKS[kind(name, benchmark_peers.two_jax(result))]
        axis.barh(
            i,
            length,
            xerr=spread,
            color=colour,
            height=0.7,
            capsize=2.5,
            error_kw={"elinewidth": 1.0, "ecolor": "#333333"},
        )
        factor = "" if name == "refode" else f" ({t['median'] / mine:.1f}x)"
        note = ("\u2192 " if cut else "") + f"{_number(t['median'])} ms{factor}"
        start = length if cut else t["high"]
        axis.annotate(
            note, (start, i), (4, 0), textcoords="offset points", va="center", fontsize=9.5
        )
    axis.set_yticks(range(len(times)), [name for name, _ in times])
    axis.set_xlim(0, edge)
    axis.set_ylim(-0.6, len(times) + 0.1)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("value and gradient, ms (median and quartiles)")


def over_dimension(report: common.Report, all_found: Any) -> None:
    """Speed-up over JAX, and distance from the floor, against d; supervised learning alone."""

    def supervised(found: Any) -> list[Any]:
        losses = ("logistic", "regression")
        return [r for r in found["results"] if r["workload"]["loss"] in losses]

    if len(supervised(all_found[0])) < 3:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 3.9))
    looks = [(common.BLUE, "o", "-"), (common.ORANGE, "s", "--")]
    for found, (colour, marker, line) in zip(all_found, looks, strict=False):
        results = sorted(supervised(found), key=lambda r: r["workload"]["d"])
        dims = [r["workload"]["d"] for r in results]
        label = _threads(found["threads"])
        look = {"color": colour, "marker": marker, "ls": line, "ms": 5}
        if all(benchmark_peers.has_jax(r) for r in results):
            ratios = [benchmark_peers.ratio(r, benchmark_peers.TWO_JAX) for r in results]
            left.plot(dims, ratios, label=label, **look)
        distances = [
            r["times"]["refode"]["median"] / benchmark_peers.floor(found, r) for r in results
        ]
        right.plot(dims, distances, label=label, **look)
    for axis in (left, right):
        axis.axhline(1.0, color="#333333", lw=0.9)
        axis.set_xscale("log", base=2)
        axis.set_xticks(dims, [str(d) for d in dims])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel("state dimension d, dimensionless\n(S1 at d=3, S2 at d=64, else k=4d)")
        axis.legend()
    left.set_ylabel("time of jitted JAX / time of refode")
    left.set_title("Against the faster of two jitted JAX codes", loc="left")
    right.set_ylabel("time of refode / floor")
    right.set_title("Against the machine's floor", loc="left")
    figure.tight_layout(w_pad=2.5)
    report.figure(figure, "speed_over_dimension")
    plt.close(figure)


def draw(report: common.Report, all_found: Any) -> None:
    """All plots; the first of the measurements is the one on all threads."""
    with plt.rc_context(common.STYLE):
        bars(report, all_found[0])
        over_dimension(report, all_found)


def main() -> int:
    """Draw what a file holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stored = Path(__file__).resolve().parents[2] / "docs" / "figures" / "benchmark_peers.json"
    parser.add_argument("file", nargs="?", type=Path, default=stored)
    parser.add_argument("--out", type=Path, default=Path("results") / "benchmark_peers")
    args = parser.parse_args()
    report = common.Report(args.out)
    draw(report, json.loads(args.file.read_text()))
    print(f"files in {args.out.resolve()}: " + ", ".join(f.name for f in report.files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
