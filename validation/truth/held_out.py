"""What held-out samples and mini-batches bring, for the tables of docs/training.md.

Two moons with so much noise that 80 points are learnt by heart: the loss on fresh samples of the
theta at which training ends, and of the best one on held-out samples. And a spiral of 20,000
points: how many passes through them, in evaluations, until the loss on held-out samples falls
below a level, by all samples and by batches.

Both must hold: for each start the loss of the best theta is at most a third of the last one's, and
batches of 2,000 need at most a third of the passes.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import refode
from validation import common

STARTS = (0, 1, 2)
PATIENCE = 10
LEVELS = (0.1, 0.03)
N, HELD_OUT = 20_000, 4_000
SIZES = ((None, None), (5_000, 10), (2_000, 5), (2_000, 10), (2_000, 25), (500, 10))


def problem(tikhonov: float) -> refode.Supervised:
    """A shallow field of the plane with one zero appended."""
    ode = refode.NeuralODE(refode.fields.Shallow(dim=3, width=16), n_steps=4)
    return refode.Supervised(ode, augment=1, tikhonov=tikhonov)


def early(start: int) -> dict[str, Any]:
    """The loss on 10,000 fresh samples, trained to the end and stopped early."""
    x, y = refode.datasets.two_moons(80, seed=0, noise=0.3)
    held_out = refode.datasets.two_moons(400, seed=1, noise=0.3)
    fresh = refode.datasets.two_moons(10_000, seed=2, noise=0.3)
    moons = problem(0.0)
    options = {"seed": start, "max_iter": 500, "progress": False}
    last = refode.train(moons, x, y, **options)
    best = refode.train(moons, x, y, validation=held_out, patience=PATIENCE, **options)
    return {
        "iterations": (last.nit, best.nit),
        "loss": [moons.value(r.x, *fresh) for r in (last, best)],
        "right": [
            float((moons.predict_label(r.x, fresh[0]) == fresh[1]).mean()) for r in (last, best)
        ],
    }


def passes(start: int, size: int | None, every: int | None) -> list[float]:
    """Evaluations times the batch's share until each level; infinite where it is not met."""
    x, y = refode.datasets.spiral(N, seed=0, noise=0.05, spacing="random")
    held_out = refode.datasets.spiral(HELD_OUT, seed=1, noise=0.05, spacing="random")
    result = refode.train(
        problem(1e-4),
        x,
        y,
        seed=start,
        max_iter=300,
        validation=held_out,
        batch=size,
        every=every,
        progress=False,
    )
    history = result.history
    share = (size or N) / N
    found = []
    for level in LEVELS:
        below = np.flatnonzero(history["validation"] <= level)
        found.append(float(history["evaluations"][below[0]] * share) if len(below) else np.inf)
    return found


def main() -> int:
    """Measure, print, check."""
    args = common.arguments(__doc__, "held_out").parse_args()
    report = common.Report(args.out)
    starts = STARTS[:1] if args.quick else STARTS
    stopped = {start: early(start) for start in starts}
    common.print_table(
        "80 noisy points: trained to the end / stopped early",
        ("start", "iterations", "loss on fresh samples", "labels right"),
        [
            (
                str(start),
                "{} / {}".format(*found["iterations"]),
                "{:.2f} / {:.2f}".format(*found["loss"]),
                "{:.1%} / {:.1%}".format(*found["right"]),
            )
            for start, found in stopped.items()
        ],
    )
    needed = {sizes: [passes(start, *sizes) for start in starts] for sizes in SIZES}
    common.print_table(
        f"Passes through {N} points until the loss on held-out ones is {LEVELS[0]}, {LEVELS[1]}",
        ("batch, every", *(f"start {start}" for start in starts)),
        [
            (
                "all" if size is None else f"{size}, {every}",
                *(", ".join(f"{value:.1f}" for value in found) for found in of),
            )
            for (size, every), of in needed.items()
        ],
    )
    share = max(found["loss"][1] / found["loss"][0] for found in stopped.values())
    report.at_most("loss of the best theta, share of the last one's", share, 1 / 3)
    fewer = np.array(needed[(2_000, 10)]) / np.array(needed[(None, None)])
    report.at_most("passes by batches of 2000, share of those by all", float(fewer.max()), 1 / 3)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
