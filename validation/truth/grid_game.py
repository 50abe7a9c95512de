"""Figure 3's crowd game on a grid, and the grid's solver against closed forms.

The solver (grid_solver.py) minimises a convex cost of the mass to the left of x, without
agents, network or value function. Its costs must approach at order 2 in the cells' width:

- the linear-quadratic game with entropy, whose optimum is known to rounding, (D68)-(D73);
- transport from a normal density to two wells without obstacle, met exactly: alpha/2 W2^2, (D77);
- Figure 3's crowd game, whose truth nobody knows: its costs on the grids must settle at the same
  order, and int rho (alpha/2 v^2 - Q - entropy log rho) must not change in time.

The last two grids are extrapolated besides, which takes the term h^2 away: that number is what
a network's cost in the crowd game is compared with. Control: the optimum without the obstacle
must be clearly worse in the game that has one.

``solve`` and the figure's game can be imported: ``from grid_game import CROWD, crowd, solve``.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refode import plotting
from refode.closed_forms import lq_game, monotone_distance2
from refode.densities import Gaussian, GaussianMixture
from refode.verify import observed_order
from validation import common
from validation.truth.grid_solver import Line, Solution, bump, normal, solve

__all__ = ["CROWD", "Line", "Solution", "bump", "crowd", "normal", "solve"]

ORDER, ORDER_TOLERANCE = 2.0, 0.15
# The target's wells are far apart and nearly empty in between: v all but jumps where agents part,
# and the order, 1.84, 1.87, 1.90 and 1.70, 1.80 by refinement, comes to 2 from below.
LEAST_ORDER, LEAST_ORDER_QUICK = 1.75, 1.6
# of the cost on the finest grid with the closed form, relative; --quick stops at twice the width
AGREEMENT = {"lq": 1e-3, "transport": 2e-3}
EXTRAPOLATED = {"lq": 1e-4, "transport": 5e-4}
SETTLED = 5e-4  # two extrapolations of the crowd's cost, relative
CONSERVED = 0.02  # change of the energy in time, relative to its kinetic part
CONTROL = 1.05  # the cost without regard to the obstacle, relative
COARSER = 4.0  # what one refinement less may lose
GRIDS = ((48, 12), (96, 24), (192, 48), (384, 96))

START = Gaussian([0.0], 1.0)
WELLS = GaussianMixture([0.5, 0.5], [[-2.0], [2.0]], 0.25)
CROWD: dict[str, Any] = {
    "initial": START,
    "target": WELLS,
    "alpha": 1.0,
    "obstacle": bump(10.0, 0.0, 1.0),
    "entropy": 0.05,
    "terminal": 5.0,
}
LQ: dict[str, Any] = {
    "alpha": 1.0,
    "entropy": 0.1,
    "stiffness": 1.0,
    "centre": 0.5,
    "terminal": 5.0,
    "mean0": -1.0,
    "deviation0": 1.0,
    "target_mean": 1.5,
    "target_deviation": 0.6,
}
TRANSPORT_ALPHA = 2.0


class Study(NamedTuple):
    """A game's solutions, one a grid, and its least cost where that is known."""

    name: str
    solutions: list[Solution]
    truth: float

    @property
    def h(self) -> list[float]:
        """Widths of the cells."""
        return [s.grid.h for s in self.solutions]

    @property
    def extrapolated(self) -> list[float]:
        """(4 J_h - J_2h)/3 of neighbouring grids."""
        costs = [s.total for s in self.solutions]
        return [(4.0 * b - a) / 3.0 for a, b in zip(costs, costs[1:], strict=False)]

    @property
    def errors(self) -> list[float]:
        """Costs less the truth, or less the last extrapolation."""
        truth = self.extrapolated[-1] if math.isnan(self.truth) else self.truth
        return [s.total - truth for s in self.solutions]

    @property
    def slopes(self) -> list[float]:
        """Observed orders; of the costs' differences where the truth is not known."""
        if math.isnan(self.truth):
            steps = np.diff([s.total for s in self.solutions])
            return [math.nan, *np.log2(steps[:-1] / steps[1:]).tolist()]
        return list(observed_order(np.abs(self.errors).tolist(), self.h).slopes)


def crowd(n_x: int = 384, n_t: int = 96) -> Solution:
    """Figure 3's crowd game."""
    return solve(**CROWD, n_x=n_x, n_t=n_t)


def studies(grids: tuple[tuple[int, int], ...]) -> list[Study]:
    """The three games on all grids."""

    def on_all(name: str, truth: float, **game: Any) -> Study:
        print(f"  {name}", flush=True)
        return Study(name, [solve(**game, n_x=n, n_t=m) for n, m in grids], truth)

    def quadratic(x: np.ndarray) -> np.ndarray:
        return 0.5 * LQ["stiffness"] * (x - LQ["centre"]) ** 2

    exact = 0.5 * TRANSPORT_ALPHA * monotone_distance2(START, WELLS)
    return [
        on_all(
            "lq",
            lq_game(**LQ).total,
            initial=normal(LQ["mean0"], LQ["deviation0"]),
            target=normal(LQ["target_mean"], LQ["target_deviation"]),
            alpha=LQ["alpha"],
            obstacle=quadratic,
            entropy=LQ["entropy"],
            terminal=LQ["terminal"],
        ),
        on_all(
            "transport",
            exact,
            initial=START,
            target=WELLS,
            alpha=TRANSPORT_ALPHA,
            obstacle=None,
            entropy=0.0,
            terminal=math.inf,
        ),
        on_all("crowd", math.nan, **CROWD),
    ]


def energies(s: Solution) -> tuple[np.ndarray, float]:
    """int rho (alpha/2 v^2 - Q - entropy log rho) between times, and its largest kinetic part."""
    g, rho = s.grid, 0.5 * (s.rho[1:] + s.rho[:-1])
    kinetic = 0.5 * g.alpha * g.h * np.sum(rho * s.v**2, axis=1)
    rest = g.h * np.sum(rho * (g.Q + g.entropy * np.log(rho)), axis=1)
    return kinetic - rest, float(kinetic.max())


def show(study: Study) -> None:
    """A table of a game's costs on all grids."""
    orders = ["-", *(f"{o:.3f}" for o in study.slopes)]
    extrapolated = ["-", *(f"{c:.6f}" for c in study.extrapolated)]
    rows = [
        (
            f"{len(s.x) - 1} x {len(s.t) - 1}",
            f"{s.L:.5f}",
            f"{s.F:.5f}",
            f"{s.G:.5f}",
            f"{s.total:.5f}",
            f"{e:.2e}",
            order,
            better,
            str(s.iterations),
            f"{s.seconds:.1f}",
        )
        for s, e, order, better in zip(
            study.solutions, study.errors, orders, extrapolated, strict=True
        )
    ]
    known = "" if math.isnan(study.truth) else f", least cost {study.truth:.6f}"
    common.print_table(
        study.name + known,
        ("grid", "L", "F", "G", "total", "error", "order", "extrapolated", "Newton", "seconds"),
        rows,
    )


def judge(report: common.Report, lq: Study, transport: Study, game: Study, quick: bool) -> None:
    """Orders, agreement, conservation, and the control."""
    loose = COARSER if quick else 1.0
    for slope in lq.slopes[-2:]:
        report.within("lq: order", float(slope), ORDER, ORDER_TOLERANCE)
    for study in (transport, game):
        least = LEAST_ORDER_QUICK if quick else LEAST_ORDER
        report.at_least(f"{study.name}: order", float(study.slopes[-1]), least)
    for study in (lq, transport):
        report.at_most(
            f"{study.name}: cost, finest grid, relative error",
            abs(study.errors[-1]) / study.truth,
            loose * AGREEMENT[study.name],
        )
        report.at_most(
            f"{study.name}: cost, extrapolated, relative error",
            abs(study.extrapolated[-1] / study.truth - 1.0),
            loose * EXTRAPOLATED[study.name],
        )
    before, last = game.extrapolated[-2:]
    report.at_most("crowd: two extrapolations, relative", abs(before / last - 1.0), loose * SETTLED)
    energy, kinetic = energies(game.solutions[-1])
    report.at_most(
        "crowd: energy's change in time, relative",
        float(np.ptp(energy)) / kinetic,
        loose * CONSERVED,
    )
    finest = game.solutions[-1]
    n_x, n_t = len(finest.x) - 1, len(finest.t) - 1
    blind = solve(**{**CROWD, "obstacle": None, "entropy": 0.0}, n_x=n_x, n_t=n_t)
    ratio = finest.grid.terms(blind.psi)["total"] / finest.total
    report.at_least("control: cost without regard to the obstacle", ratio, CONTROL)


def main() -> int:
    """Solve, compare, draw."""
    args = common.arguments(__doc__, "grid_game").parse_args()
    report = common.Report(args.out)
    found = studies(GRIDS[:-1] if args.quick else GRIDS)
    for study in found:
        show(study)
    judge(report, *found, args.quick)
    report.json(
        "grid_game.json",
        [
            {
                "game": s.name,
                "truth": None if math.isnan(s.truth) else s.truth,
                "extrapolated": s.extrapolated,
                "orders": s.slopes[1:],
                "grids": [
                    {"n_x": len(g.x) - 1, "n_t": len(g.t) - 1, **g.terms, "seconds": g.seconds}
                    for g in s.solutions
                ],
            }
            for s in found
        ],
    )
    report.files += draw(found, args.out)
    return report.finish()


# --- picture -------------------------------------------------------------------------------


def draw(found: list[Study], out: Path) -> list[Path]:
    """Agents and density without and with the obstacle, densities in between, orders."""
    made = plotting.figure(7.2, 5.0)
    made.set_layout_engine("constrained")
    panels = made.subplots(2, 2)
    _, transport, game = (s.solutions[-1] for s in found)
    for panel, s, title in (
        (panels[0, 0], transport, "(a) transport, $Q=0$"),
        (panels[0, 1], game, "(b) crowd motion, obstacle in the middle"),
    ):
        density = 0.5 * (s.rho[1:] + s.rho[:-1])
        image = panel.pcolormesh(
            s.x, s.t, density, cmap="Blues", vmin=0.0, vmax=0.6, rasterized=True
        )
        starts = np.linspace(-2.3, 2.3, 24)  # symmetric, none in the middle
        panel.plot(s.paths(starts), s.t, color="black", linewidth=0.5)
        panel.set(title=title, xlabel="$x$", ylabel="$t$", xlim=(-4, 4))
    made.colorbar(image, ax=panels[0].tolist(), label=r"$\rho$", pad=0.02)
    _densities(panels[1, 0], game)
    _orders(panels[1, 1], found)
    return plotting.save(made, out, "grid_game")


def _densities(panel: Any, s: Solution) -> None:
    for fraction, colour in (
        (0.0, "#999999"),
        (0.25, plotting.SKY),
        (0.5, plotting.GREEN),
        (1.0, plotting.BLUE),
    ):
        k = round(fraction * (len(s.t) - 1))
        panel.plot(s.centres, s.rho[k], color=colour, label=f"$t={s.t[k]:g}$")
    target = np.exp(WELLS.log_density(s.centres[:, None]))
    panel.plot(s.centres, target, ":", color="black", label="target")
    panel.set(title=r"(c) $\rho(t,x)$ of the crowd", xlabel="$x$", xlim=(-4, 4), ylim=(0, 0.52))
    panel.legend(loc="upper center", ncols=5, columnspacing=1.0, handlelength=1.4)


def _orders(panel: Any, found: list[Study]) -> None:
    from matplotlib.ticker import NullFormatter

    for study, mark, colour in zip(
        found, "os^", (plotting.BLUE, plotting.VERMILION, plotting.GREEN), strict=True
    ):
        relative = np.abs(study.errors) / abs(study.solutions[-1].total)
        panel.loglog(study.h, relative, mark + "-", color=colour, label=study.name)
    h = np.array(found[0].h)
    panel.loglog(h, 0.5 * relative[-1] * (h / h[-1]) ** 2, ":", color="black", label="$h^2$")
    panel.set(title="(d) relative error of the cost", xlabel="cell width $h$", xlim=(0.025, 0.28))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xticks([0.03, 0.06, 0.12, 0.24], ["0.03", "0.06", "0.12", "0.24"])
    panel.legend()
    panel.grid(alpha=0.25, linewidth=0.5)


if __name__ == "__main__":
    sys.exit(main())
