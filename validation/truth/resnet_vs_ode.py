"""A residual network's distance to its neural ODE as depth grows.

The layers of the ResNet (3), Z+ = Z + W1 tanh(W0 Z + b0) + b1, take their weights from a
smooth theta(t): layer l of L reads t = l/L, and W1 and b1 are divided by L. That is forward
Euler with h = 1/L, so the distance to the ODE z' = f(z; theta(t)), over all layers and samples,
must fall as 1/L: order 1, to 0.1, over each of the last three doublings of the depth.

The control: with independent noise in every layer's W1 and b1 there is no smooth theta(t), the
layers' noise adds up like a random walk, and the distance to the same ODE falls as 1/sqrt(L)
only. A check that reads order 1 there would see nothing.
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

ORDER_TOLERANCE = 0.1
ROUGH_ORDER, ROUGH_TOLERANCE = 0.5, 0.15  # the mean over DRAWS nets still scatters
DRAWS, NOISE = 24, 1.0  # noise relative to the weights' own size
SEED, WIDTH, N_SAMPLES, DEGREE = 4, 8, 40, 4
FINEST = 1024  # steps of the solution taken for the ODE's


class Model(NamedTuple):
    """theta(t) by its Legendre coefficients, and samples."""

    ode: Any
    theta: Array
    x: Array

    def weights(self, t: Array) -> dict[str, Array]:
        """W0 (n, k, d), b0, W1, b1 at times t (n,)."""
        p = self.ode.basis.matrix(t).toarray()
        coefficients = self.ode.unpack(self.theta)
        return {name: np.tensordot(p, c, axes=1) for name, c in coefficients.items()}


def smooth_model() -> Model:
    """A net in the plane whose weights are polynomials of degree DEGREE in t."""
    ode = refode.NeuralODE(
        refode.fields.Shallow(2, WIDTH),
        scheme="rk4",
        n_steps=FINEST,
        basis=refode.bases.Legendre(DEGREE + 1),
    )
    rng = np.random.default_rng(SEED)
    arrays = {}
    for name, shape in ode.layout.shapes.items():
        sizes = 0.6 ** np.arange(DEGREE + 1)
        sizes = sizes.reshape(-1, *[1] * (len(shape) - 1))
        arrays[name] = 0.9 * sizes * rng.standard_normal(shape)
    return Model(ode, ode.pack(arrays), rng.standard_normal((N_SAMPLES, 2)))


def resnet(model: Model, depth: int, rng: np.random.Generator | None = None) -> Array:
    """Features after every layer (depth + 1, N, d) of the ResNet (3); noise from rng."""
    layers = model.weights(np.arange(depth) / depth)
    for name in ("W1", "b1"):
        if rng is not None:
            spread = NOISE * np.std(layers[name])
            layers[name] = layers[name] + spread * rng.standard_normal(layers[name].shape)
        layers[name] = layers[name] / depth
    net = refode.NeuralODE(
        model.ode.field,
        scheme="euler",
        n_steps=depth,
        t_span=(0.0, float(depth)),
        basis=refode.bases.PiecewiseConstant(depth),
    )
    return net.trajectory(net.pack(layers), model.x)


def distance(model: Model, path: Array, features: Array) -> float:
    """Largest distance |Z_l - z(l/L)| over layers and samples."""
    every = FINEST // (len(features) - 1)
    return float(np.linalg.norm(features - path[::every], axis=-1).max())


def main() -> int:
    """Measure, print, draw, check."""
    args = common.arguments(__doc__, "resnet_vs_ode").parse_args()
    report = common.Report(args.out)
    model = smooth_model()
    path = model.ode.trajectory(model.theta, model.x)
    depths = [2**k for k in range(2, 9 if args.quick else 11)]
    draws = 8 if args.quick else DRAWS
    smooth = [distance(model, path, resnet(model, depth)) for depth in depths]
    rng = np.random.default_rng(SEED + 1)
    rough = [
        float(np.mean([distance(model, path, resnet(model, depth, rng)) for _ in range(draws)]))
        for depth in depths
    ]
    steps = 1.0 / np.array(depths)
    order = observed_order(smooth, steps, expected=1.0, tolerance=ORDER_TOLERANCE)
    control = float(np.polyfit(np.log(steps), np.log(rough), 1)[0])
    size = float(np.linalg.norm(path[-1] - model.x, axis=-1).max())
    common.print_table(
        f"Largest distance over all layers and samples (they move by up to {size:.2f})",
        ("layers", "smooth theta(t)", "order", f"noise in every layer, mean of {draws}"),
        [
            (str(depth), f"{a:.3e}", f"{order.slopes[i - 1]:.3f}" if i else "-", f"{b:.3e}")
            for i, (depth, a, b) in enumerate(zip(depths, smooth, rough, strict=True))
        ],
    )
    for k, slope in enumerate(order.slopes[-3:]):
        report.within(
            f"order, {depths[k - 4]} to {depths[k - 3]} layers", slope, 1.0, ORDER_TOLERANCE
        )
    report.within(
        "control: order with noise in every layer, fitted", control, ROUGH_ORDER, ROUGH_TOLERANCE
    )
    report.json(
        "resnet_vs_ode.json",
        {
            "depths": depths,
            "smooth": smooth,
            "rough": rough,
            "order": order.order,
            "control": control,
        },
    )
    report.files += draw(model, path, depths, smooth, rough, args.out)
    return report.finish()


def draw(
    model: Model,
    path: Array,
    depths: list[int],
    smooth: list[float],
    rough: list[float],
    out: Path,
) -> list[Path]:
    """Features of some samples layer by layer beside the ODE's paths; distance against depth."""
    made = plotting.figure(7.2, 3.0)
    made.set_layout_engine("constrained")
    left, right = made.subplots(1, 2)
    for depth, mark, colour in ((4, "o", plotting.VERMILION), (16, ".", plotting.BLUE)):
        features = resnet(model, depth)
        for s in range(6):
            left.plot(
                *features[:, s].T,
                mark + "-",
                color=colour,
                linewidth=0.6,
                markersize=3,
                label=f"ResNet, {depth} layers" if s == 0 else None,
            )
    for s in range(6):
        left.plot(*path[:, s].T, color="black", label="neural ODE" if s == 0 else None)
        left.plot(*path[0, s], "s", color="black", markersize=3.5)
    left.set(xlabel="$z_1$", ylabel="$z_2$", title="(a) features of six samples")
    left.legend()
    L = np.array(depths, dtype=float)
    right.loglog(L, rough, "s-", color=plotting.ORANGE, label="noise in every layer (mean)")
    right.loglog(L, smooth, "o-", color=plotting.BLUE, label=r"layers from a smooth $\theta(t)$")
    for values, power, style in ((rough, 0.5, "--"), (smooth, 1.0, ":")):
        label = r"$1/\sqrt{L}$" if power == 0.5 else "$1/L$"
        right.loglog(
            L,
            0.7 * values[-1] * (L / L[-1]) ** -power,
            style,
            color="black",
            linewidth=0.9,
            label=label,
        )
    right.set(
        xlabel="number of layers $L$",
        ylabel=r"$\max_{l}\,|Z_l - z(l/L)|$",
        title="(b) distance to the neural ODE",
    )
    right.grid(alpha=0.25, linewidth=0.5)
    right.legend()
    return plotting.save(made, out, "resnet_vs_ode")


if __name__ == "__main__":
    sys.exit(main())
