"""The games of [ROL+20] in 2, 10, 50 and 100 dimensions, against what their optimum costs.

Transport from eight Gaussians to one, and a crowd that passes an obstacle: published densities,
costs, penalties, network (16 units, two layers) and numbers of samples, L-BFGS on samples that
are redrawn every 50 iterations. Few steps flatter a value function that was trained with them, so
every theta is judged with 16 steps and samples of its own; J = L + F + G are the agents' costs
without the penalties. No J can be below the optimum but for the samples' noise, which is stated.

- Transport costs the same at the optimum in every dimension, between bounds known to seven digits
  (transport_optimum.py). J must come within stated gaps of it, in the plane also within 2 % in 30
  seconds and 1 % in three minutes.
- The crowd's game is one in the plane times known ones in every further coordinate; J less these
  must agree between dimensions. Q along the paths is compared with Q along straight lines.

A finished case is saved, and not trained again as long as its plan is the same (but for --again).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode import plotting
from refode.reports.figures import games
from refode.training import INTERRUPTED, train_resampled
from validation import common
from validation.truth import pnas_setups as setups

Array = np.ndarray

SECONDS_2, SECONDS_1, SECONDS_100 = 30.0, 180.0, 1800.0  # to 2 % and 1 % in the plane; d = 100
#: Largest J over the optimum, by dimension, and with --quick.
GAPS = {2: 0.01, 10: 0.01, 50: 0.02, 100: 0.02}
QUICK_GAP = 0.1
CROWD_APART = 0.03  # plane's part of the crowd's J, relative to d = 2
CROWD_Q = 0.85  # Q on the paths over Q on straight lines
LEAST = 180.0  # seconds that every case has
NOISE = 4.0  # standard errors that J may be below the optimum
N_JUDGED = {2: 32_768, 10: 32_768, 50: 16_384, 100: 16_384}
N_WATCHED = 4096
SHOWN = 4.0  # largest distance from the end in the plot of the crowd
SEED_JUDGED, SEED_WATCHED = 1_000_003, 1_000_033


class Point(NamedTuple):
    """A theta on the way."""

    iteration: int
    seconds: float
    theta: Array


class Trained(NamedTuple):
    """A case's training: points on the way, the last one at the end."""

    plan: tuple[setups.Phase, ...]
    points: list[Point]
    evaluations: int
    finished: bool  # not stopped by the limit

    @property
    def last(self) -> Point:
        """Where training ended."""
        return self.points[-1]


# --- training ------------------------------------------------------------------------------


def train(kind: str, dim: int, plan: tuple[setups.Phase, ...], limit: float) -> Trained:
    """Train through the phases, or until the limit, in seconds of training alone."""
    setup = setups.setup(kind, dim)
    points: list[Point] = []
    finished = True
    theta, spent, iterations, evaluations = setup.start(), 0.0, 0, 0
    for number, phase in enumerate(plan):

        def watch(current: Any) -> bool:
            at = iterations + current.iteration  # noqa: B023  called within this phase alone
            seconds = spent + current.seconds  # noqa: B023
            if not points or at >= 1.12 * points[-1].iteration + 2:
                points.append(Point(at, seconds, current.x))
            return seconds > limit

        result = train_resampled(
            setup.problem(phase.n_steps),
            n_samples=phase.n_samples,
            every=phase.every,
            theta0=theta,
            seed=number,
            max_iter=phase.iterations,
            callback=watch,
        )
        if result.status == INTERRUPTED:
            raise KeyboardInterrupt
        theta = result.x
        spent += float(result.history["seconds"][-1])
        iterations += int(result.history["iteration"][-1])
        evaluations += int(result.history["evaluations"][-1])
        if spent > limit:
            finished = False
            break
    points.append(Point(iterations, spent, theta))
    return Trained(plan, points, evaluations, finished)


def compile_kernels(kind: str) -> None:
    """One gradient, so that no clock counts compilation."""
    problem = setups.setup(kind, 2).problem()
    problem.value_and_gradient(problem.initial(0), problem.game.initial.sample(200, seed=0))


# --- files ---------------------------------------------------------------------------------


def save(file: Path, of: Trained) -> None:
    """Write a training's points."""
    np.savez(
        file,
        plan=json.dumps(of.plan),
        evaluations=of.evaluations,
        finished=of.finished,
        iterations=[p.iteration for p in of.points],
        seconds=[p.seconds for p in of.points],
        thetas=np.array([p.theta for p in of.points]),
    )


def load(file: Path, plan: tuple[setups.Phase, ...]) -> Trained | None:
    """A finished training of this very plan, if the file has one."""
    try:
        with np.load(file, allow_pickle=False) as saved:
            if str(saved["plan"]) != json.dumps(plan) or not saved["finished"]:
                return None
            columns = saved["iterations"].tolist(), saved["seconds"].tolist(), saved["thetas"]
            points = [Point(*row) for row in zip(*columns, strict=True)]
            return Trained(plan, points, int(saved["evaluations"]), True)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


# --- what a case comes to ------------------------------------------------------------------


class JudgedRow(NamedTuple):
    """A row of the table, and the curve of the plot."""

    kind: str
    dim: int
    samples: int
    steps: int
    iterations: int
    seconds: float
    per_iteration: float
    trained: dict[str, float]  # weighted terms, training's steps and samples
    judged: dict[str, float]  # the same by FINE steps and fresh samples
    cost: games.Cost
    paths: games.Paths
    curve: list[tuple[int, float, float, float]]  # iteration, seconds, J, error
    plane: float  # J less what the further coordinates cost at the optimum


def judge(kind: str, dim: int, of: Trained) -> JudgedRow:
    """Costs at the end, and J along the way."""
    setup, phase, last = setups.setup(kind, dim), of.plan[-1], of.last
    problem, sample = setup.problem(phase.n_steps), setup.game.initial.sample
    fresh = sample(N_JUDGED[dim], seed=SEED_JUDGED)
    watched = sample(N_WATCHED, seed=SEED_WATCHED)
    curve = []
    for point in of.points:
        try:
            found = games.cost(setup, point.theta, watched)
        except ValueError:  # paths that 16 steps cannot follow
            continue
        curve.append((point.iteration, point.seconds, found.J, found.error))
    final = games.cost(setup, last.theta, fresh)
    return JudgedRow(
        kind,
        dim,
        phase.n_samples,
        phase.n_steps,
        last.iteration,
        last.seconds,
        last.seconds / last.iteration,
        problem.costs(last.theta, sample(phase.n_samples, seed=SEED_WATCHED)),
        problem.costs(last.theta, fresh, n_steps=games.FINE),
        final,
        games.paths(setup, last.theta, fresh[:2000], games.FINE),
        curve,
        final.J - setups.further(kind, dim),
    )


def first_within(row: JudgedRow, gap: float) -> float:
    """Seconds of training until J stays within the gap of the optimum, infinite where never."""
    best = games.OPTIMUM * (1.0 + gap)
    outside = [i for i, (_, _, J, _) in enumerate(row.curve) if not best >= J]
    first = outside[-1] + 1 if outside else 0
    return row.curve[first][1] if first < len(row.curve) else float("inf")


def show(rows: list[JudgedRow]) -> None:
    """Both tables."""
    columns = (
        "game",
        "d",
        "steps",
        "N",
        "L",
        "F",
        "G",
        "HJB",
        "HJB end",
        "J",
        "gap, %",
        "its",
        "s",
        "s/it",
    )
    lines = []
    for r in rows:
        for terms, steps, samples, J in (
            (r.trained, r.steps, r.samples, None),
            (r.judged, games.FINE, N_JUDGED[r.dim], r.cost),
        ):
            gap = f"{100 * (J.J / games.OPTIMUM - 1):+.2f}" if J and r.kind == "transport" else ""
            known = f"{J.J:.3f}" if J else f"{terms['L'] + terms['F'] + terms['G']:.3f}"
            values = (f"{terms[k]:.3f}" for k in ("L", "F", "G", "hjb", "hjb_terminal"))
            times = (
                ("",) * 3
                if J
                else (str(r.iterations), f"{r.seconds:.1f}", f"{r.per_iteration:.4f}")
            )
            lines.append(
                [r.kind, str(r.dim), str(steps), str(samples), *values, known, gap, *times]
            )
    title = "Games of [ROL+20]: as trained, and by 16 steps and fresh samples (N of them)"
    common.print_table(title, columns, lines)


def check(report: common.Report, rows: list[JudgedRow], quick: bool) -> None:
    """What must hold."""
    plane = {r.kind: r for r in rows if r.dim == 2}
    for r in rows:
        name = f"{r.kind}, d = {r.dim}"
        if r.kind == "transport":
            gap = r.cost.J / games.OPTIMUM - 1.0
            most = QUICK_GAP if quick else GAPS[r.dim]
            report.at_most(f"{name}: J over the optimum", 100 * gap, 100 * most, "%")
            report.at_least(
                f"{name}: J less the optimum, standard errors",
                (r.cost.J - games.OPTIMUM) / r.cost.error,
                -NOISE,
            )
            if r.dim == 100:
                report.at_most(f"{name}: seconds", r.seconds, SECONDS_100)
        else:
            ratio = r.paths.energy / r.paths.energy_straight
            if not quick:
                report.at_most(f"{name}: Q on paths over Q on straight lines", ratio, CROWD_Q)
            if r.dim > 2 and "crowd" in plane and not quick:
                apart = abs(r.plane / plane["crowd"].plane - 1.0)
                report.at_most(f"{name}: the plane's part apart from d = 2", apart, CROWD_APART)
    if "transport" in plane and not quick:
        within = {gap: first_within(plane["transport"], gap) for gap in (0.02, 0.01)}
        report.at_most("transport, d = 2: seconds to within 2 %", within[0.02], SECONDS_2)
        report.at_most("transport, d = 2: seconds to within 1 %", within[0.01], SECONDS_1)


def main() -> int:
    """Train what is not there yet, judge, draw."""
    args = _arguments()
    report = common.Report(args.out)
    cases = [(kind, dim) for kind in args.games for dim in args.dims]
    weight = {case: setups.SAMPLES[case[0]][case[1]] * (case[1] + 16.0) for case in cases}
    left, rows = 60.0 * args.minutes, []
    for case in cases:
        plan = setups.plan(*case, args.quick)
        file = args.out / f"{case[0]}-{case[1]}{'-quick' if args.quick else ''}.npz"
        trained = None if args.again else load(file, plan)
        if trained is None:
            share = weight[case] / sum(weight[c] for c in cases[cases.index(case) :])
            print(f"{case[0]}, d = {case[1]}: {plan}", flush=True)
            compile_kernels(case[0])
            began = time.perf_counter()
            trained = train(*case, plan, max(left * share, LEAST))
            left = max(left - (time.perf_counter() - began), 0.0)
            save(file, trained)
        rows.append(judge(*case, trained))
    show(rows)
    check(report, rows, args.quick)
    report.json(
        "pnas_games.json",
        {
            "machine": common.machine(),
            "optimum": games.OPTIMUM,
            "rows": [_plain(r) for r in rows],
        },
    )
    report.files += draw(rows, args.out)
    return report.finish()


def _arguments() -> argparse.Namespace:
    parser = common.arguments(__doc__, "pnas_games")
    parser.add_argument(
        "--dims",
        type=int,
        nargs="+",
        choices=setups.DIMS,
        metavar="D",
        help=f"some of {setups.DIMS} (default: all; --quick: 2, 10)",
    )
    parser.add_argument("--games", nargs="+", choices=setups.KINDS, default=setups.KINDS)
    parser.add_argument("--minutes", type=float, default=15.0, help="of training, all together")
    parser.add_argument("--again", action="store_true", help="train saved cases again too")
    args = parser.parse_args()
    args.dims = args.dims or (setups.DIMS[:2] if args.quick else setups.DIMS)
    return args


def _plain(row: JudgedRow) -> dict[str, Any]:
    return row._asdict() | {"cost": row.cost._asdict(), "paths": row.paths._asdict()}


# --- pictures ------------------------------------------------------------------------------


def draw(rows: list[JudgedRow], out: Path) -> list[Path]:
    """J over seconds of training, a panel for each game that was played."""
    kinds = [kind for kind in PANELS if any(r.kind == kind for r in rows)]
    figure = plotting.figure(3.6 * len(kinds), 3.0)
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    for kind, panel in zip(kinds, panels, strict=True):
        PANELS[kind](panel, [r for r in rows if r.kind == kind])
        panel.set(xscale="log", xlabel="seconds of training", title=kind)
        panel.legend()
    figure.tight_layout(w_pad=2.0)
    return plotting.save(figure, out, "pnas_games")


def _style(r: JudgedRow) -> dict[str, Any]:
    colours = dict(zip(setups.DIMS, plotting.CYCLE, strict=False))
    return {"color": colours[r.dim], "marker": "o", "ms": 2.2, "label": f"$d={r.dim}$"}


def _transport(panel: Any, rows: list[JudgedRow]) -> None:
    """Over the optimum."""
    for r in rows:
        _, seconds, J, _ = np.transpose(r.curve)
        gap = 100 * (J / games.OPTIMUM - 1.0)
        panel.plot(seconds, np.where(gap > 0, gap, np.nan), **_style(r))
    panel.set(yscale="log", ylabel="$J$ over the optimum, per cent")
    for level, name in ((2.0, "2 %"), (1.0, "1 %")):
        panel.axhline(level, color="0.6", lw=0.6, ls="--", zorder=0)
        panel.annotate(
            name,
            (1.0, level),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=6.5,
            color="0.4",
        )


def _crowd(panel: Any, rows: list[JudgedRow]) -> None:
    """The part in the plane."""
    for r in rows:
        _, seconds, J, _ = np.transpose(r.curve)
        plane = J - setups.further(r.kind, r.dim)
        panel.plot(seconds, np.where(plane < r.plane + SHOWN, plane, np.nan), **_style(r))
    panel.set(ylabel="$J$ less that of $x_3,\\ldots,x_d$ at the optimum")


PANELS = {"transport": _transport, "crowd": _crowd}


if __name__ == "__main__":
    sys.exit(main())
