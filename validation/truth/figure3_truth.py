"""Figure 3's two games: the trained networks' costs against a grid solver that shares no code.

``grid_solver.py`` minimises the same primal cost over densities and momenta on a grid in (x, t);
its cost, extrapolated over three grids, is the optimum but for what two extrapolations differ
by. A network's cost, by many steps and quantiles, can lie above it only. The control is the
transport network charged for the crowd's obstacle: it must stand out.
"""

from __future__ import annotations

import sys
from typing import Any

from refode import games
from refode.reports.figures import figure3
from validation import common
from validation.truth.grid_solver import Solution, solve

GRIDS = ((96, 24), (192, 48), (384, 96))
ABOVE = 0.01  # how far above the optimum a trained network may be
SETTLED = 1e-3  # what two extrapolations may differ by
CONTROL = 0.1  # at least so far above is the control


def on_grids(game: games.Game) -> list[Solution]:
    """The game on ever finer grids."""
    Q: Any = (lambda x: game.energy.value(x[:, None])) if game.energy else None
    return [
        solve(game.initial, game.target, game.alpha, Q, game.entropy, game.terminal, n_x, n_t)
        for n_x, n_t in GRIDS
    ]


def main() -> int:
    """Train, solve, compare."""
    args = common.arguments(__doc__, "figure3_truth").parse_args()
    report, rows, found = common.Report(args.out), [], {}
    fits = {}
    for name, game in (("transport", figure3.transport_game()), ("crowd", figure3.crowd_game())):
        fits[name] = fit = figure3.fit(name, game, figure3.MAX_ITER, progress=False)
        solutions = on_grids(game)
        totals = [s.total for s in solutions]
        before, last = (b + (b - a) / 3.0 for a, b in zip(totals, totals[1:], strict=False))
        off, above = abs(last / before - 1.0), fit.costs["total"] / last - 1.0
        report.at_most(f"{name}: two extrapolations of the grid's cost, relative", off, SETTLED)
        report.at_least(f"{name}: the network's cost less the optimum, relative", above, -off)
        report.at_most(f"{name}: the network's cost over the optimum, relative", above, ABOVE)
        for label, c in (("network", fit.costs), ("grid, finest", solutions[-1].terms)):
            terms = [f"{c[k]:.5f}" for k in ("L", "F", "G", "total")]
            rows.append((f"{name}, {label}", *terms))
        rows.append((f"{name}, grid, extrapolated", "", "", "", f"{last:.5f}"))
        found[name] = {"grids": totals, "extrapolated": last, "network": fit.costs}
    crowd, transport = fits["crowd"], fits["transport"]
    x = figure3.quantiles(figure3.N_TEST)
    astray = figure3.paid(crowd.problem, transport.theta, x, figure3.FINE)["total"]
    control = astray / found["crowd"]["extrapolated"] - 1.0
    report.at_least("control: straight paths in the crowd's game, relative", control, CONTROL)
    common.print_table("Figure 3's games", ("what", "L", "F", "G", "total"), rows)
    report.json("figure3_truth.json", found)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
