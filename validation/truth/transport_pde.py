"""Equation (9): the transport PDE on a grid against the network's characteristics.

The corrected form (docs/errata.md) is u_t + f(x, t) . grad u = 0 with the terminal condition
u(x, T) = W x + b, and the prediction is F(x) = u(x, 0). A small network is trained on two
moons; then the PDE is solved backward in time on square grids, by third-order upwind-biased
differences and the classical Runge-Kutta method, written here. The grid asks refode only for
f at its nodes. `Supervised.transported` follows characteristics instead. The two must approach
each other at order 3 as the grid is refined.

Edges: outside the box u is held at W x + b. That is wrong, but what is wrong there travels
along characteristics, and the box holds all those that start in the region of comparison, with
a margin. A larger box must give the same values in the region.

The form as printed, u(x, 0) = W x + b and prediction u(x, T), must be far from the network;
it reads the features of the inverse map instead.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import refode
from refode import plotting
from refode.verify import observed_order
from validation import common

Array = np.ndarray

ORDER = 3.0
# The error is C h^3 + O(h^4). The slope of the last refinement is judged, which the second term
# still bends by a few per cent; --quick stops at twice the mesh size, where it is twice that.
ORDER_TOLERANCE, ORDER_TOLERANCE_QUICK = 0.1, 0.2
AGREEMENT = 1e-3  # largest difference on the finest grid, relative to the range of u
PRINTED_MARGIN = 0.1  # the printed form is off by at least this much of the range of u
EDGE = 1e-6  # a box larger by half changes u by at most this, relative to its range
COURANT = 0.8
REGION = np.array([1.7, 1.1])  # half the sides of the rectangle on which u is compared
MARGIN = 0.45  # of the box beyond the characteristics, relative: some twenty nodes at h = 0.1
SEED, N_DATA, WIDTH, NOISE, TIKHONOV = 0, 400, 12, 0.12, 0.03


class Model(NamedTuple):
    """A trained problem, the same with a fine time step, its weights, and its data."""

    trained: Any
    fine: Any
    theta: Array
    x: Array
    y: Array

    @property
    def T(self) -> float:
        """End of the time interval, which starts at 0."""
        return self.trained.ode.t_span[1]


def trained_model(max_iter: int = 150) -> Model:
    """A net whose weights are linear in t, on two moons around the origin."""
    x, y = refode.datasets.two_moons(N_DATA, seed=SEED, noise=NOISE)
    x = x - x.mean(axis=0)

    def problem(scheme: str, n_steps: int) -> Any:
        ode = refode.NeuralODE(
            refode.fields.Shallow(2, WIDTH),
            scheme=scheme,
            n_steps=n_steps,
            basis=refode.bases.Legendre(2),
        )
        return refode.Supervised(ode, "logistic", tikhonov=TIKHONOV)

    coarse = problem("rk4", 8)
    result = refode.train(coarse, x, y, seed=SEED, max_iter=max_iter, progress=False)
    return Model(coarse, problem("fehlberg8", 24), result.x, x, y)


# --- the grid's own solver --------------------------------------------------------------------


def velocity(model: Model, nodes: Array, t: float) -> Array:
    """f(x, t) at nodes (n1, n2, 2), of the same shape."""
    ode = model.trained.ode
    p = ode.basis.matrix(np.array([t / model.T])).toarray()[0]
    coefficients = ode.unpack(model.theta[: ode.n_parameters])
    weights = np.concatenate([np.tensordot(p, c, axes=1).ravel() for c in coefficients.values()])
    flat = np.ascontiguousarray(nodes.reshape(-1, 2))
    return refode.evaluate.value(ode.field, weights, flat, t).reshape(nodes.shape)


def upwind(u: Array, speed: Array, h: float, axis: int) -> Array:
    """Derivative of u (padded by two on all sides) against the wind, third order."""
    v = np.moveaxis(u, axis, 0)
    other = slice(2, -2)
    far_left, left, here, right, far_right = (v[k : len(v) - 4 + k, other] for k in range(5))
    from_left = (2.0 * right + 3.0 * here - 6.0 * left + far_left) / (6.0 * h)
    from_right = -(2.0 * left + 3.0 * here - 6.0 * right + far_right) / (6.0 * h)
    a = np.moveaxis(speed, axis, 0)
    return np.moveaxis(np.where(a > 0.0, from_left, from_right), 0, axis)


class Solution(NamedTuple):
    """Values on a grid at the start, half way and at the end of the solver's own time."""

    nodes: Array  # (n1, n2, 2)
    h: float
    values: tuple[Array, Array, Array]
    n_steps: int


def on_grid(
    model: Model, h: float, half_sides: Array, backward: bool, n_steps: int | None = None
) -> Solution:
    """Carry W x + b from T to 0 (backward, as corrected) or from 0 to T (as printed).

    The grid has the mesh size h, a node in the origin, and reaches at least to half_sides (2,).
    """
    n = np.ceil(half_sides / h).astype(int)
    axes = [h * np.arange(-m - 2, m + 3) for m in n]  # two nodes more on every side
    everywhere = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    readout = model.trained.unpack(model.theta)
    u = (everywhere @ readout["W"].T + readout["b"])[..., 0]
    nodes = np.ascontiguousarray(everywhere[2:-2, 2:-2])
    T, sign = model.T, -1.0 if backward else 1.0  # u_s + sign f . grad u = 0 in the solver's time s

    def wind(s: float) -> Array:
        return sign * velocity(model, nodes, T - s if backward else s)

    if n_steps is None:  # an even number by the Courant number
        fastest = max(np.abs(wind(s)).sum(axis=-1).max() for s in np.linspace(0.0, T, 5))
        n_steps = 2 * int(np.ceil(T * fastest / (2.0 * COURANT * h)))
    dt, found, start = T / n_steps, [u[2:-2, 2:-2].copy()], wind(0.0)

    def rate(w: Array, a: Array) -> Array:
        slope = np.zeros_like(w)
        slope[2:-2, 2:-2] = -sum(a[..., i] * upwind(w, a[..., i], h, i) for i in range(2))
        return slope

    for k in range(n_steps):
        middle, end = wind((k + 0.5) * dt), wind((k + 1.0) * dt)
        k1 = rate(u, start)
        k2 = rate(u + dt / 2 * k1, middle)
        k3 = rate(u + dt / 2 * k2, middle)
        k4 = rate(u + dt * k3, end)
        u = u + dt / 6 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        start = end
        if k + 1 in (n_steps // 2, n_steps):
            found.append(u[2:-2, 2:-2].copy())
    return Solution(nodes, h, (found[0], found[1], found[2]), n_steps)


def box(model: Model) -> Array:
    """Half the sides (2,) of a box that holds all characteristics through the region."""
    axes = [np.linspace(-side, side, 41) for side in REGION]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    ode, theta = model.trained.ode, model.theta[: model.trained.ode.n_parameters]
    paths = [ode.trajectory(theta, points, t_span=span) for span in ((0, model.T), (model.T, 0))]
    return (1.0 + MARGIN) * np.abs(np.concatenate(paths)).max(axis=(0, 1))


def in_region(solution: Solution) -> Array:
    """Which nodes lie in the region of comparison."""
    return (np.abs(solution.nodes) <= REGION + 1e-12).all(axis=-1)


# --- comparison --------------------------------------------------------------------------------


def compare(model: Model, solution: Solution, which: int, t: float) -> tuple[Array, Array]:
    """u on the grid and along characteristics at time t, both (k,), at the nodes in the region."""
    inside = in_region(solution)
    points = np.ascontiguousarray(solution.nodes[inside])
    along = model.fine.transported(model.theta, points, t)[:, 0]
    return solution.values[which][inside], along


def refine(model: Model, half_sides: Array, meshes: list[float]) -> tuple[list[dict], Solution]:
    """Errors on each grid, at t = 0 and half way, and the finest solution."""
    rows = []
    for h in meshes:
        solution = on_grid(model, h, half_sides, backward=True)
        shape = solution.nodes.shape
        row: dict[str, Any] = {"grid": f"{shape[0]} x {shape[1]}", "h": h}
        row["steps"] = solution.n_steps
        for name, which, t in (("t = T/2", 1, model.T / 2), ("t = 0", 2, 0.0)):
            u, along = compare(model, solution, which, t)
            row[name] = {
                "rms": float(np.sqrt(np.mean((u - along) ** 2))),
                "max": float(np.abs(u - along).max()),
                "range": float(np.ptp(along)),
            }
        rows.append(row)
        print(f"  {row['grid']} nodes, {solution.n_steps} steps", flush=True)
    return rows, solution


def edge_effect(model: Model, h: float, half_sides: Array) -> float:
    """Largest change of u(x, 0) in the region as the box grows by half, relative to its range."""
    large = on_grid(model, h, 1.5 * half_sides, backward=True)
    small = on_grid(model, h, half_sides, backward=True, n_steps=large.n_steps)
    a, b = (s.values[2][in_region(s)] for s in (small, large))
    return float(np.abs(a - b).max() / np.ptp(b))


def printed_form(model: Model, h: float, half_sides: Array) -> tuple[Solution, dict[str, float]]:
    """Prediction u(x, T) from u(x, 0) = W x + b, against the network and the inverse map."""
    solution = on_grid(model, h, half_sides, backward=False)
    inside = in_region(solution)
    points = np.ascontiguousarray(solution.nodes[inside])
    network = model.fine.predict(model.theta, points)[:, 0]
    readout = model.fine.unpack(model.theta)
    ode = model.fine.ode
    inverse = ode.solve(model.theta[: ode.n_parameters], points, t_span=(model.T, 0.0))
    backward = (inverse @ readout["W"].T + readout["b"])[:, 0]
    u, size = solution.values[2][inside], float(np.ptp(network))
    return solution, {
        "from the network": float(np.sqrt(np.mean((u - network) ** 2))) / size,
        "labels that differ": float(np.mean((u > 0) != (network > 0))),
        "from the inverse map": float(np.sqrt(np.mean((u - backward) ** 2))) / size,
    }


def main() -> int:
    """Train, solve, compare, draw."""
    args = common.arguments(__doc__, "transport_pde").parse_args()
    report = common.Report(args.out)
    model = trained_model()
    accuracy = float((model.trained.predict_label(model.theta, model.x) == model.y).mean())
    half_sides = box(model)
    print(
        f"network: training accuracy {accuracy:.3f}; box: "
        f"+-{half_sides[0]:.2f} by +-{half_sides[1]:.2f}"
    )
    meshes = [0.16, 0.08, 0.04] if args.quick else [0.2, 0.1, 0.05, 0.025]
    tolerance = ORDER_TOLERANCE_QUICK if args.quick else ORDER_TOLERANCE
    rows, finest = refine(model, half_sides, meshes)
    edge = edge_effect(model, 0.1, half_sides)
    printed, off = printed_form(model, meshes[-2], half_sides)

    steps, names = [row["h"] for row in rows], ("t = T/2", "t = 0")
    slopes = {
        t: [
            observed_order([r[t]["rms"] for r in rows], steps).slopes[k]
            for k in range(len(rows) - 1)
        ]
        for t in names
    }
    measured = [f"{what}, {t}" for t in names for what in ("RMS", "max", "order")]
    common.print_table(
        "u on the grid and along characteristics, in the region of comparison",
        ("grid", "h", "steps", *measured),
        [
            (
                r["grid"],
                f"{r['h']:g}",
                str(r["steps"]),
                *(
                    entry
                    for t in names
                    for entry in (
                        f"{r[t]['rms']:.2e}",
                        f"{r[t]['max']:.2e}",
                        f"{slopes[t][i - 1]:.3f}" if i else "-",
                    )
                ),
            )
            for i, r in enumerate(rows)
        ],
    )
    report.at_least("training accuracy", accuracy, 0.95)
    for t in names:
        report.within(f"order of the last refinement, {t}", float(slopes[t][-1]), ORDER, tolerance)
        last = rows[-1][t]
        report.at_most(
            f"largest difference / range of u, {t}", last["max"] / last["range"], AGREEMENT
        )
    report.at_most("effect of the box's edge / range of u", edge, EDGE)
    report.at_least(
        "printed form: RMS distance / range of u", off["from the network"], PRINTED_MARGIN
    )
    report.at_least("printed form: share of labels that differ", off["labels that differ"], 0.05)
    report.at_most(
        "printed form is the readout of the inverse map, RMS / range",
        off["from the inverse map"],
        AGREEMENT,
    )
    numbers = {"rows": rows, "printed form": off, "edge": edge, "accuracy": accuracy}
    report.json("transport_pde.json", numbers | {"box": half_sides.tolist()})
    report.files += draw(model, finest, printed, rows, args.out)
    return report.finish()


def draw(
    model: Model, finest: Solution, printed: Solution, rows: list[dict], out: Path
) -> list[Path]:
    """u at T and 0 by both, their difference, its order, and what the printed form predicts."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import NullFormatter

    made = plotting.figure(7.2, 3.9)
    made.set_layout_engine("constrained")
    panels = made.subplots(2, 3)
    shape, inside = finest.nodes.shape[:2], in_region(finest)
    along = model.fine.transported(model.theta, finest.nodes.reshape(-1, 2), 0.0).reshape(shape)
    top = float(np.abs(along[inside]).max())
    maps = (
        (panels[0, 0], finest, finest.values[0], "(a) readout, $u(x,T)=Wx+b$"),
        (panels[0, 1], finest, finest.values[2], "(b) grid, $u(x,0)$"),
        (panels[0, 2], finest, along, "(c) characteristics, $u(x,0)$"),
        (panels[1, 0], printed, printed.values[2], "(d) as printed, $u(x,T)$"),
    )
    for panel, solution, u, title in maps:
        image = _map(panel, solution, u, {"cmap": "RdBu_r", "vmin": -top, "vmax": top})
        panel.contour(
            *np.moveaxis(solution.nodes, 2, 0), u, levels=[0.0], colors="black", linewidths=1.0
        )
        for label, mark, colour in ((0, "o", plotting.CLASSES[0]), (1, "^", plotting.CLASSES[1])):
            some = model.x[model.y == label][:60]
            panel.plot(
                *some.T,
                mark,
                color=colour,
                markersize=2.2,
                markeredgecolor="white",
                markeredgewidth=0.3,
            )
        panel.set_title(title)
    made.colorbar(image, ax=panels[0, :], fraction=0.03, pad=0.01, label="$u$", shrink=0.8)
    error = np.maximum(np.abs(finest.values[2] - along), 1e-16)
    high = float(error[inside].max())
    colours = {"cmap": "cividis", "norm": LogNorm(high * 1e-3, high)}
    image = _map(panels[1, 1], finest, error, colours)
    panels[1, 1].set_title(f"(e) |(b) $-$ (c)|, $h={finest.h:g}$")
    made.colorbar(image, ax=panels[1, 1], location="bottom", fraction=0.06, pad=0.02, panchor=False)
    _orders(panels[1, 2], rows)
    panels[1, 2].xaxis.set_minor_formatter(NullFormatter())
    panels[1, 2].set_xticks([r["h"] for r in rows], [f"{r['h']:g}" for r in rows])
    return plotting.save(made, out, "transport_pde")


def _map(panel: Any, solution: Solution, u: Array, how: dict[str, Any]) -> Any:
    x, y = np.moveaxis(solution.nodes, 2, 0)
    image = panel.pcolormesh(x, y, u, shading="gouraud", rasterized=True, **how)
    panel.set_anchor("N")
    panel.set(
        xlim=(-REGION[0], REGION[0]),
        ylim=(-REGION[1], REGION[1]),
        aspect="equal",
        xlabel="$x_1$",
        ylabel="$x_2$",
    )
    return image


def _orders(panel: Any, rows: list[dict]) -> None:
    h = np.array([r["h"] for r in rows])
    for t, mark, colour in (("t = T/2", "s", plotting.GREEN), ("t = 0", "o", plotting.BLUE)):
        label = f"${t}$"
        panel.loglog(h, [r[t]["rms"] for r in rows], mark + "-", color=colour, label=label)
    last = rows[-1]["t = 0"]["rms"]
    panel.loglog(h, last * (h / h[-1]) ** 3 / 3, ":", color="black", label="$h^3$")
    panel.set_title("(f) difference against mesh size")
    panel.set_xlabel("mesh size $h$")
    panel.set_ylabel("RMS difference in $u$")
    panel.legend()
    panel.grid(alpha=0.25, linewidth=0.5)


if __name__ == "__main__":
    sys.exit(main())
