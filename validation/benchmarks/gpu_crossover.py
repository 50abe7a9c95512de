"""Tiles of samples or launches of their own: where each is faster on the GPU."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from refode.cuda import widths as widths_
from refode.cuda.crossover import best, excess
from validation import common
from validation.benchmarks import interleaved, peers
from validation.benchmarks.gpu_peers import MODES, one_line, refode_peers, times_of


class Point(NamedTuple):
    """Milliseconds of both modes; NaN where one does not fit."""

    d: int
    width: int
    n: int
    tile: float
    staged: float

    @property
    def entries(self) -> int:
        """Of the largest matrix, which layout.WIDE counts."""
        return self.d * self.width


def widths(quick: bool) -> Iterator[tuple[int, int, int]]:
    """d, width, samples."""
    for n in (2000,) if quick else (2000, 50_000):
        for d in (4, 64):
            for width in (16, 128, 1024) if quick else (16, 32, 64, 128, 256, 512, 1024):
                yield d, width, n


def crossover(report: common.Report, quick: bool) -> dict[str, Any]:
    """Both modes over the width, and what layout.WIDE should be."""
    points = []
    for d, width, n in widths(quick):
        c = peers.case(peers.Workload("", d, width, n, 4, "regression", False))
        calls = {p.name: p.call for p in refode_peers(c)}
        for name in list(calls):
            try:
                calls[name]()
            except Exception as error:  # each package has classes of its own
                print(f"  {name}, d={d}, width {width}, {n} samples: {one_line(error)}")
                del calls[name]
        times = times_of(calls, 3 if quick else 6, 0.1)
        medians = [
            interleaved.summary(times[f"refode {mode}"])["median"]
            if f"refode {mode}" in times
            else math.nan
            for mode in MODES
        ]
        points.append(Point(d, width, n, *medians))
        print(
            f"  d={d}, width {width}, {n} samples: tile {medians[0]:.3g} ms, "
            f"staged {medians[1]:.3g} ms",
            flush=True,
        )
    wide, now = best(points), excess(points, widths_.WIDE)
    better = "out of reach: tiles always" if math.isinf(wide) else f"{wide:.0f}"
    print(
        f"layout.WIDE is {widths_.WIDE}, whose choices take {now:.2f} times the faster mode's "
        f"time; by these measurements it should be {better} ({excess(points, wide):.2f} times)"
    )
    report.at_most("mode='auto' over the faster mode, geometric mean", now, 1.1, "times")
    return {
        "points": [p._asdict() for p in points],
        "wide": widths_.WIDE,
        "excess": now,
        "suggested": wide,
        "suggested_excess": excess(points, wide),
    }
