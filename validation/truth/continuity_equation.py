"""Equation (16): the continuity equation on a grid against the density of a flow.

rho_t + div(rho f) = 0 is solved from the standard normal density by a conservative
finite-volume scheme of second order in plain NumPy, written here: fluxes through the faces'
centres with the mean of the two cells, classical Runge-Kutta in time, nothing flows through the
edge of the box. It shares no code with refode, not even f: the network, its weights in time and
t as an input are formulas below. `density_on_grid` follows characteristics instead, eq. (14).
In one and two dimensions the two must approach each other at order 2, in the L1 norm of the
cells' means, at three times; the grid's mass stays 1 to rounding, and the flow's density
integrates to 1. The last two grids are extrapolated besides, which takes the term h^2 away and
leaves a difference far below that of either.

Control: with log|det| of the sign printed in (13) the density must be far off.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import legendre

import refode
from refode import plotting
from refode.verify import observed_order
from validation import common

Array = np.ndarray

ORDER, ORDER_TOLERANCE, N_JUDGED = 2.0, 0.15, 2
T_SPAN = (0.2, 1.4)  # neither starts at 0 nor has length 1
PARTS = 3  # of the interval: compared at each of their ends
HALF_SIDE = 9.6  # of the box; the density at its edge is held to EDGE
COURANT = 0.8
ROUNDING = 1e-12  # of the mass after hundreds of steps
INTEGRAL = 1e-9  # of the flow's density, with two Gauss points a cell and side
EDGE = 1e-10  # largest density at the edge of the box
# L1 differences by dimension, on the finest grid and extrapolated: the size of an error of the
# flow's density that could hide
AGREEMENT = {1: 2e-4, 2: 5e-3}
EXTRAPOLATED = {1: 1e-5, 2: 5e-4}
CONTROL = 0.05  # L1: the printed sign is at least this far off
WIDTH, SIZE, SEEDS = 5, 0.6, {1: 0, 2: 4}  # two modes each
GRIDS = {1: (100, 200, 400, 800, 1600), 2: (60, 120, 240, 480)}
QUICK_GRIDS = {1: (100, 200, 400, 800), 2: (60, 120, 240)}


class Model(NamedTuple):
    """A flow and its weights (p,); also by name, each (J, ...), for the formulas."""

    flow: Any
    theta: Array
    weights: dict[str, Array]

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.flow.dim


def model(dim: int) -> Model:
    """A shallow net that reads t, quadratic weights in time, drawn at random."""
    ode = refode.NeuralODE(
        refode.fields.Shallow(dim, WIDTH, time=True),
        "fehlberg8",
        24,
        T_SPAN,
        refode.bases.Legendre(3),
    )
    flow = refode.ContinuousNormalizingFlow(ode)
    theta = SIZE * np.random.default_rng(SEEDS[dim]).standard_normal(flow.n_parameters)
    return Model(flow, theta, flow.unpack(theta))


# --- the grid's own solver -----------------------------------------------------------------


def velocity(weights: dict[str, Array], x: Array, t: float, component: int) -> Array:
    """One component of f at x (..., d): W1 tanh(W0 (x, t) + b0) + b1, all of them at t."""
    s = (t - T_SPAN[0]) / (T_SPAN[1] - T_SPAN[0])
    W0, b0, W1, b1 = (legendre.legval(2.0 * s - 1.0, weights[n]) for n in ("W0", "b0", "W1", "b1"))
    hidden = np.tanh(x @ W0[:, :-1].T + (t * W0[:, -1] + b0))
    return hidden @ W1[component] + b1[component]


def edges(n: int) -> Array:
    """Ends of the n cells of an axis, (n+1,)."""
    return np.linspace(-HALF_SIDE, HALF_SIDE, n + 1)


def faces(dim: int, n: int) -> list[Array]:
    """Centres of the inner faces across each axis, (n-1, d) or (n-1, n, 2), (n, n-1, 2)."""
    inner, centres = edges(n)[1:-1], 0.5 * (edges(n)[1:] + edges(n)[:-1])
    found = []
    for axis in range(dim):
        lines = [inner if i == axis else centres for i in range(dim)]
        found.append(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1))
    return found


def normal_means(dim: int, n: int) -> Array:
    """Means over the cells of the standard normal density, by its distribution function."""
    cumulated = np.array([0.5 * math.erfc(-x / math.sqrt(2.0)) for x in edges(n)])
    line = np.diff(cumulated) / (2.0 * HALF_SIDE / n)
    return line if dim == 1 else np.multiply.outer(line, line)


def rate(rho: Array, speeds: list[Array], h: float) -> Array:
    """-div(rho f) in cells: what comes in through one face goes out of the neighbour."""
    change = np.zeros_like(rho)
    for axis, speed in enumerate(speeds):
        v, out = np.moveaxis(rho, axis, 0), np.moveaxis(change, axis, 0)
        flux = np.moveaxis(speed, axis, 0) * 0.5 * (v[:-1] + v[1:]) / h
        out[:-1] -= flux
        out[1:] += flux
    return change


def on_grid(m: Model, n: int) -> tuple[list[Array], list[float], int]:
    """Cell means at the ends of the PARTS, those times, and the number of steps."""
    h, where, (t0, T) = 2.0 * HALF_SIDE / n, faces(m.dim, n), T_SPAN

    def speeds(t: float) -> list[Array]:
        return [velocity(m.weights, x, t, axis) for axis, x in enumerate(where)]

    fastest = max(sum(np.abs(v).max() for v in speeds(t)) for t in np.linspace(t0, T, 7))
    n_steps = PARTS * math.ceil((T - t0) * fastest / (PARTS * COURANT * h))
    dt, rho, found, times = (T - t0) / n_steps, normal_means(m.dim, n), [], []
    start = speeds(t0)
    for k in range(1, n_steps + 1):
        middle, end = speeds(t0 + (k - 0.5) * dt), speeds(t0 + k * dt)
        k1 = rate(rho, start, h)
        k2 = rate(rho + dt / 2 * k1, middle, h)
        k3 = rate(rho + dt / 2 * k2, middle, h)
        k4 = rate(rho + dt * k3, end, h)
        rho, start = rho + dt / 6 * (k1 + 2.0 * k2 + 2.0 * k3 + k4), end
        if k % (n_steps // PARTS) == 0:
            found.append(rho)
            times.append(t0 + (T - t0) * (k // (n_steps // PARTS)) / PARTS)
    return found, times, n_steps


# --- the flow ------------------------------------------------------------------------------


def cell_means(density: Callable[..., Array], dim: int, n: int) -> Array:
    """Means over the cells of a function of `dim` axes, two Gauss points a side: order 4."""
    centres, h = 0.5 * (edges(n)[1:] + edges(n)[:-1]), 2.0 * HALF_SIDE / n
    points = (centres[:, None] + h / math.sqrt(12.0) * np.array([-1.0, 1.0])).ravel()
    return coarse(density(*[points] * dim))


def by_flow(m: Model, n: int, t: float) -> Array:
    """Cell means of the flow's density at time t."""
    return cell_means(lambda *axes: m.flow.density_on_grid(m.theta, *axes, t=t), m.dim, n)


def printed(m: Model, n: int) -> Array:
    """The same at T with the printed sign of log|det|."""

    def density(*axes: Array) -> Array:
        points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=1)
        log_det = m.flow.inverse(m.theta, points)[1]
        right = m.flow.log_density(m.theta, points)
        return np.exp(right - 2.0 * log_det).reshape([len(a) for a in axes])

    return cell_means(density, m.dim, n)


# --- comparison ----------------------------------------------------------------------------


class Study(NamedTuple):
    """Rows of numbers, one a grid, and the finest solutions of both kinds at each time."""

    dim: int
    rows: list[dict[str, Any]]
    times: list[float]
    grid: list[Array]
    flow: list[Array]
    extrapolated: list[float]  # L1 differences at each time


def largest_at_edge(rho: Array) -> float:
    """Largest |rho| in the cells along the edge of the box."""
    return max(float(np.abs(rho.take([0, -1], axis)).max()) for axis in range(rho.ndim))


def coarse(means: Array) -> Array:
    """Means over cells of twice the width."""
    for axis in range(means.ndim):
        pairs = np.moveaxis(means, axis, 0)
        means = np.moveaxis(0.5 * (pairs[::2] + pairs[1::2]), 0, axis)
    return means


def refine(m: Model, grids: tuple[int, ...]) -> Study:
    """Compare on each grid."""
    rows: list[dict[str, Any]] = []
    found, extrapolated = [], [np.nan] * PARTS
    for n in grids:
        cell, before = (2.0 * HALF_SIDE / n) ** m.dim, found
        found, times, n_steps = on_grid(m, n)
        truth = [by_flow(m, n, t) for t in times]
        rows.append(
            {
                "n": n,
                "h": 2.0 * HALF_SIDE / n,
                "steps": n_steps,
                "L1": [
                    float(np.abs(a - b).sum() * cell) for a, b in zip(found, truth, strict=True)
                ],
                "mass": max(abs(float(a.sum()) * cell - 1.0) for a in found),
                "integral": max(abs(float(b.sum()) * cell - 1.0) for b in truth),
                "edge": max(largest_at_edge(a) for a in [*found, *truth]),
            }
        )
        print(f"  {' x '.join([str(n)] * m.dim)} cells, {n_steps} steps", flush=True)
    for k in range(PARTS):  # the finest grid has twice as many cells as the one before
        better = (4.0 * coarse(found[k]) - before[k]) / 3.0
        extrapolated[k] = float(np.abs(better - coarse(truth[k])).sum() * cell * 2**m.dim)
    return Study(m.dim, rows, times, found, truth, extrapolated)


def slopes(study: Study, which: int) -> Array:
    """Observed order between neighbouring grids at one of the times."""
    rows = study.rows
    return observed_order([r["L1"][which] for r in rows], [r["h"] for r in rows]).slopes


def show(study: Study) -> None:
    """The table of a dimension."""
    steepness = [slopes(study, k) for k in range(PARTS)]
    columns = [e for t in study.times for e in (f"L1, t = {t:.1f}", "order")]
    common.print_table(
        f"rho on the grid and by the flow, d = {study.dim}",
        ("cells a side", "h", "steps", *columns, "mass - 1", "integral - 1"),
        [
            (
                str(r["n"]),
                f"{r['h']:.4f}",
                str(r["steps"]),
                *(
                    e
                    for k in range(PARTS)
                    for e in (f"{r['L1'][k]:.2e}", f"{steepness[k][i - 1]:.3f}" if i else "-")
                ),
                f"{r['mass']:.0e}",
                f"{r['integral']:.0e}",
            )
            for i, r in enumerate(study.rows)
        ],
    )


def judge(report: common.Report, m: Model, study: Study) -> None:
    """Add the checks of a dimension."""
    d, rows = f"d = {study.dim}", study.rows
    for k, t in enumerate(study.times):
        for i, slope in enumerate(slopes(study, k)[-N_JUDGED:]):
            report.within(
                f"{d}, t = {t:.1f}: order, refinement {len(rows) - N_JUDGED + i}",
                float(slope),
                ORDER,
                ORDER_TOLERANCE,
            )
        report.at_most(
            f"{d}, t = {t:.1f}: L1 difference, finest grid", rows[-1]["L1"][k], AGREEMENT[study.dim]
        )
        report.at_most(
            f"{d}, t = {t:.1f}: L1 difference, extrapolated",
            study.extrapolated[k],
            EXTRAPOLATED[study.dim],
        )
    report.at_most(f"{d}: the grid's mass - 1", max(r["mass"] for r in rows), ROUNDING)
    report.at_most(f"{d}: integral of the flow's density - 1", rows[-1]["integral"], INTEGRAL)
    report.at_most(f"{d}: density at the edge of the box", rows[-1]["edge"], EDGE)
    n = rows[0]["n"]
    off = np.abs(printed(m, n) - by_flow(m, n, T_SPAN[1])).sum() * rows[0]["h"] ** study.dim
    report.at_least(f"{d}: L1 distance with the printed sign of (13)", float(off), CONTROL)


def main() -> int:
    """Solve, compare, draw."""
    args = common.arguments(__doc__, "continuity_equation").parse_args()
    report, studies = common.Report(args.out), []
    for dim, grids in (QUICK_GRIDS if args.quick else GRIDS).items():
        m = model(dim)
        study = refine(m, grids)
        show(study)
        judge(report, m, study)
        studies.append(study)
    report.json(
        "continuity_equation.json",
        [
            {"dim": s.dim, "times": s.times, "rows": s.rows, "extrapolated": s.extrapolated}
            for s in studies
        ],
    )
    report.files += draw(*studies, args.out)
    return report.finish()


# --- picture -------------------------------------------------------------------------------


def draw(line: Study, plane: Study, out: Path) -> list[Path]:
    """1-D densities, their differences, orders; 2-D by both, and the difference."""
    made = plotting.figure(7.2, 4.9)
    made.set_layout_engine("constrained")
    panels = made.subplots(2, 3)
    _on_the_line(panels[0, 0], panels[0, 1], line)
    _orders(panels[0, 2], (line, plane))
    limits = {"cmap": "cividis", "vmin": 0.0, "vmax": float(plane.flow[-1].max())}
    error = plane.grid[-1] - plane.flow[-1]
    top = float(np.abs(error).max())
    for panel, values, title, how in (
        (panels[1, 0], plane.grid[-1], f"(d) grid, $\\rho(x,{T_SPAN[1]})$", limits),
        (panels[1, 1], plane.flow[-1], f"(e) flow, $\\rho(x,{T_SPAN[1]})$", limits),
        (panels[1, 2], error, "(f) grid less flow", {"cmap": "RdBu_r", "vmin": -top, "vmax": top}),
    ):
        x = edges(len(values))
        image = panel.pcolormesh(x, x, values.T, rasterized=True, **how)
        panel.set(
            title=title, xlabel="$x_1$", ylabel="$x_2$", aspect="equal", xlim=(-5, 5), ylim=(-5, 5)
        )
        made.colorbar(image, ax=panel, fraction=0.046, pad=0.03)
    return plotting.save(made, out, "continuity_equation")


def _on_the_line(densities: Any, differences: Any, s: Study) -> None:
    n = len(s.grid[0])
    x = 0.5 * (edges(n)[1:] + edges(n)[:-1])
    some = slice(None, None, max(n // 100, 1))
    densities.plot(x, normal_means(1, n), color="#999999", label=f"$t={T_SPAN[0]}$")
    for k, colour in enumerate((plotting.SKY, plotting.GREEN, plotting.BLUE)):
        densities.plot(x, s.flow[k], color=colour, label=f"$t={s.times[k]:.1f}$")
        densities.plot(x[some], s.grid[k][some], "o", color=colour, markersize=2.0)
        differences.plot(x, s.grid[k] - s.flow[k], color=colour)
    densities.set(title=r"(a) $\rho(x,t)$, $d=1$: flow —, grid •", xlabel="$x$", xlim=(-5, 5))
    densities.legend()
    differences.set(title=f"(b) grid less flow, {n} cells", xlabel="$x$", xlim=(-5, 5))
    differences.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))


def _orders(panel: Any, studies: tuple[Study, ...]) -> None:
    from matplotlib.ticker import NullFormatter

    for s, mark, colour in zip(studies, "os", (plotting.BLUE, plotting.VERMILION), strict=True):
        h, e = (np.array(a) for a in zip(*((r["h"], r["L1"][-1]) for r in s.rows), strict=True))
        panel.loglog(h, e, mark + "-", color=colour, label=f"$d={s.dim}$")
        panel.loglog(h, 0.5 * e[-1] * (h / h[-1]) ** 2, ":", color=colour)
    panel.plot([], [], ":", color="black", label="$h^2$")
    panel.set(
        title=f"(c) $L^1$ difference at $t={T_SPAN[1]}$", xlabel="cell width $h$", xlim=(8e-3, 0.5)
    )
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xticks([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"])
    panel.legend()
    panel.grid(alpha=0.25, linewidth=0.5)


if __name__ == "__main__":
    sys.exit(main())
