"""Value and gradient of a game cost time in proportion to d and to the number of samples.

The transport game of [ROL+20] with 16 units in two layers. The low-rank potential of rank 10
has 26 (d + 1) weights that grow with d, and its Laplacian, by orthonormal directions, costs the
same in every dimension d > 16: time = c0 + c1 d. A straight line must fit the times over d, and
the slope in doubly logarithmic scale between the last sizes must approach 1 from below. The
symmetric quadratic part has (d + 1)^2 weights; its time is drawn beside, and not checked
for a slope of 1.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

import refode
from refode.reports.figures.games_setups import transport
from validation import common

WIDTH, DEPTH, STEPS = 16, 2, 2
LINE = 0.15  # how far a time may be from the straight line over d, in units of the time


def problem_and_data(d: int, n_samples: int, quadratic: str = "lowrank") -> tuple[Any, ...]:
    """A transport game: problem, theta, x."""
    game = transport(d).game
    potential = refode.fields.Potential(d, WIDTH, DEPTH, quadratic=quadratic)
    problem = refode.MeanFieldGame(potential, game, hjb=3.0, hjb_terminal=3.0, n_steps=STEPS)
    return problem, problem.initial(seed=0), game.initial.sample(n_samples, seed=0)


def times(settings: list[tuple[Any, ...]], rounds: int) -> list[float]:
    """Best seconds of a gradient for every setting, measured in turns."""
    cases = [problem_and_data(*s) for s in settings]
    best = [float("inf")] * len(cases)
    for _ in range(rounds + 1):  # the first turn warms up; it is not the best one anyway
        for i, (problem, theta, x) in enumerate(cases):
            start = time.perf_counter()
            problem.value_and_gradient(theta, x)
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Slope in doubly logarithmic scale over the last three sizes."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0])


def line(sizes: list[int], seconds: list[float]) -> tuple[Any, float]:
    """c0 and c1 of the line that fits best, errors relative; and the largest of them."""
    d, s = np.array(sizes, dtype=float), np.array(seconds)
    A = np.column_stack([1.0 / s, d / s])
    c = np.linalg.lstsq(A, np.ones(len(s)), rcond=None)[0]
    return c, float(np.max(np.abs(A @ c - 1.0)))


def over_dimension(report: common.Report, quick: bool) -> dict[str, Any]:
    """Times over d, both quadratic parts; the low-rank one checked."""
    dims = [2, 5, 20, 50, 100, 200] if quick else [2, 3, 5, 10, 17, 25, 35, 50, 70, 100, 140, 200]
    n_samples, rounds = (1024, 3) if quick else (4096, 8)
    found: dict[str, Any] = {"sizes": dims, "n_samples": n_samples}
    for quadratic in ("lowrank", "symmetric"):
        seconds = times([(d, n_samples, quadratic) for d in dims], rounds)
        found[quadratic] = {"seconds": seconds, "slope": slope(dims, seconds)}
    large = [i for i, d in enumerate(dims) if d > WIDTH]  # below, the Laplacian grows too
    seconds = found["lowrank"]["seconds"]
    c, error = line([dims[i] for i in large], [seconds[i] for i in large])
    found["line"] = {"coefficients": c.tolist(), "error": error}
    rows = [
        (
            f"{d}",
            *(f"{1e3 * found[q]['seconds'][i]:.2f}" for q in ("lowrank", "symmetric")),
            f"{1e3 * (c[0] + c[1] * d):.2f}" if d > WIDTH else "",
            f"{1e9 * seconds[i] / (n_samples * d):.1f}",
        )
        for i, d in enumerate(dims)
    ]
    columns = (
        "d",
        "low rank, best ms",
        "symmetric, best ms",
        "line c0 + c1 d, ms",
        "low rank, ns a sample and dimension",
    )
    common.print_table(f"Time over the dimension, {n_samples} samples", columns, rows)
    for q in ("lowrank", "symmetric"):
        print(f"{q}: slope of the last three in doubly logarithmic scale {found[q]['slope']:.2f}")
    report.at_most(f"low rank: distance from a straight line in d > {WIDTH}", error, LINE)
    report.at_least(
        "low rank: c1 d at d=200 of the line's time there",
        float(200 * c[1] / (c[0] + 200 * c[1])),
        0.5,
    )
    report.at_most("low rank: slope in d, last three", found["lowrank"]["slope"], 1.1)
    return found


def over_samples(report: common.Report, quick: bool) -> dict[str, Any]:
    """Times over the number of samples at d = 2 and d = 50, both checked."""
    counts = (
        [1_024, 4_096, 8_192, 16_384]
        if quick
        else [1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536]
    )
    found: dict[str, Any] = {"sizes": counts}
    for d in (2, 50):
        seconds = times([(d, n, "symmetric") for n in counts], 8)
        found[f"d={d}"] = {"seconds": seconds, "slope": slope(counts, seconds)}
        report.within(f"d={d}: slope in samples, last three", found[f"d={d}"]["slope"], 1.0, 0.1)
    rows = [
        (f"{n}", *(f"{1e3 * found[f'd={d}']['seconds'][i]:.2f}" for d in (2, 50)))
        for i, n in enumerate(counts)
    ]
    common.print_table("Time over the samples", ("samples", "d=2, best ms", "d=50, best ms"), rows)
    return found


def draw(report: common.Report, found: dict[str, Any]) -> None:
    """Two panels: time over d and over samples."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(common.STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.0))
        over = found["dimension"]
        d = np.array(over["sizes"])
        for q, colour, marker in (("lowrank", common.BLUE, "o"), ("symmetric", common.ORANGE, "s")):
            name = (
                "quadratic part of rank 10" if q == "lowrank" else "full symmetric quadratic part"
            )
            left.loglog(
                d,
                1e3 * np.array(over[q]["seconds"]),
                color=colour,
                marker=marker,
                ls="none",
                label=name,
            )
        c0, c1 = over["line"]["coefficients"]
        shown = np.geomspace(WIDTH + 1, d[-1], 50)
        left.loglog(
            shown,
            1e3 * (c0 + c1 * shown),
            color=common.RED,
            ls="--",
            lw=1.2,
            label="line c0 + c1 d, fitted",
        )
        left.set_xlabel("dimension d, dimensionless")
        left.set_title(f"Time over d, {over['n_samples']} samples", loc="left")
        over = found["samples"]
        n = np.array(over["sizes"])
        for key, colour, marker in (("d=2", common.BLUE, "o"), ("d=50", common.ORANGE, "s")):
            seconds = 1e3 * np.array(over[key]["seconds"])
            right.loglog(
                n,
                seconds,
                color=colour,
                marker=marker,
                ls="none",
                label=f"{key}: last slope {over[key]['slope']:.2f}",
            )
            right.loglog(
                n,
                seconds[-1] * n / n[-1],
                color=common.RED,
                ls="--",
                lw=1.2,
                label="slope 1" if key == "d=50" else None,
            )
        right.set_xlabel("number of samples, dimensionless")
        right.set_title("Time over samples", loc="left")
        for axis, sizes in ((left, [2, 5, 10, 20, 50, 100, 200]), (right, n[::2])):
            axis.minorticks_off()
            axis.set_xticks(sizes, [f"{s}" for s in sizes])
            axis.set_ylabel("value and gradient, ms (best)")
            axis.legend()
        figure.tight_layout(w_pad=2.5)
        report.figure(figure, "games_scaling")
        plt.close(figure)


def main() -> int:
    """Measure, print, draw, check."""
    args = common.arguments(__doc__, "games_scaling").parse_args()
    report = common.Report(args.out)
    found = {
        "machine": common.machine(),
        "dimension": over_dimension(report, args.quick),
        "samples": over_samples(report, args.quick),
    }
    report.json("games_scaling.json", found)
    draw(report, found)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
