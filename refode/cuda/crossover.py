"""From which width on launches beat tiles: measured on the device in use, and remembered.

``calibrate`` times both ways over growing widths, and keeps what it finds beside the cache of
machine code, a number for each device and number type. Until somebody calls it, ``widths.WIDE``
stands, an estimate. It is never measured unasked: the bits of results depend on the choice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.cuda import device, layout
from refode.cuda.widths import _keep
from refode.ode.placement import DTYPES, TooLarge

WIDTHS = tuple((d, width) for d in (4, 64) for width in (16, 64, 128, 256, 512, 1024))


class Point(NamedTuple):
    """Seconds of a value and gradient in both ways; NaN where one does not fit."""

    entries: int  # of the largest matrix
    tile: float
    staged: float


def best(points: Sequence[Any]) -> float:
    """Entries from which staged sweeps are the better choice on the whole; inf: never."""
    candidates = [*sorted({p.entries for p in points}), math.inf]
    return min(candidates, key=lambda entries: excess(points, entries))


def excess(points: Sequence[Any], entries: float) -> float:
    """Geometric mean of the chosen way's time over the faster one's, where both ran."""
    logs = [
        math.log((p.staged if p.entries >= entries else p.tile) / min(p.tile, p.staged))
        for p in points
        if not math.isnan(p.tile + p.staged)
    ]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def calibrate(
    *,
    n: int = 20_000,
    dtype: str = "float64",
    widths: Sequence[tuple[int, int]] = WIDTHS,
    repeats: int = 5,
    callback: Callable[[Point], None] | None = None,
) -> float:
    """Measure on this device from which width on ``mode="auto"`` takes launches, and keep it.

    Parameters
    ----------
    n : int, optional
        Samples of the measurement.
    dtype : {"float64", "float32"}, optional
        Number type; each has a crossover of its own.
    widths : sequence of (d, width), optional
        Shallow fields that are timed, four steps of the classical method each.
    repeats : int, optional
        Of which the fastest counts, the two ways in turn.
    callback : callable, optional
        Called with each `Point` as it is measured, for progress.

    Returns
    -------
    float
        Entries of the largest matrix; infinity where tiles were faster throughout.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted; no width at which both ways ran.
    RuntimeError
        No device.

    Notes
    -----
    Kept in the folder of the cache (``REFODE_CACHE_DIR``), in devices.json. Takes a minute or
    more, most of it for compiling. Results keep their digits but not their bits where the choice
    changes.
    """
    n, repeats = _validate.positive_int("n", n), _validate.positive_int("repeats", repeats)
    dtype = _validate.choice("dtype", dtype, DTYPES)
    sizes = [tuple(_validate.positive_int("widths", v) for v in pair) for pair in widths]
    device.require()
    points = []
    for d, width in sizes:
        points.append(Point(d * width, *_both(d, width, n, dtype, repeats)))
        if callback is not None:
            callback(points[-1])
    if math.isnan(excess(points, math.inf)):
        raise ValueError(f"widths: got {list(widths)!r}, wanted some at which both ways run")
    found = best(points)
    _keep(dtype, found)
    return found


def _both(d: int, width: int, n: int, dtype: str, repeats: int) -> tuple[float, float]:
    """Seconds in tiles and staged, the fastest of some in turn."""
    calls = _calls(d, width, n, dtype)
    fastest = dict.fromkeys(calls, math.inf)
    for k in range(repeats + 1):  # the first compiles
        for mode, call in calls.items():
            if math.isnan(fastest[mode]):
                continue
            start = time.perf_counter()
            try:
                call()
            except TooLarge:
                fastest[mode] = math.nan
                continue
            if k > 0:
                fastest[mode] = min(fastest[mode], time.perf_counter() - start)
    return fastest["tile"], fastest["staged"]


def _calls(d: int, width: int, n: int, dtype: str) -> dict[str, Callable[[], Any]]:
    """A value and gradient in each way, samples on the device."""
    import refode

    rng = np.random.default_rng(0)
    field = refode.fields.Shallow(d, width)
    ode = refode.NeuralODE(field, "rk4", n_steps=4, device="cuda", dtype=dtype)
    problem = refode.Supervised(ode, loss="regression", readout=False)
    theta = problem.initial()
    data: Any = problem.to_device(rng.standard_normal((n, d)), rng.standard_normal((n, d)))

    def in_mode(mode: str) -> Callable[[], Any]:
        def call() -> Any:
            with layout.settings(mode=mode):
                return problem.value_and_gradient(theta, *data)

        return call

    return {mode: in_mode(mode) for mode in ("tile", "staged")}
