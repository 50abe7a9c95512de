"""Sunspots, 1700 to 2008: a field learned from yearly numbers forecasts years it has not seen.

The state is what two years in a row say, y(t) and y(t - 1), of which z' = f(z) has to make the
eleven years that follow. Yule's autoregression of 1927 reads the same two numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refode.fields import Shallow
from refode.ode.neural_ode import NeuralODE
from refode.problems.observations import Observations
from refode.problems.trajectories import TrajectoryFitting
from refode.training import train

Array = np.ndarray

SPLIT = 1929  # the last year that anything is learned from
AHEAD = 11  # years that are forecast
YEAR = 2.0 * np.pi / 11.0  # one turn of the field takes about eleven
WIDTH, TIKHONOV = 8, 1e-3  # chosen within the years up to 1929: learned up to 1879, tried after
GROWING = (2, 4, 7, AHEAD)
NINE = 9  # terms of the larger autoregression

NODE, PERSISTENCE, YULE, LARGER, CYCLE = (
    "neural ODE",
    "persistence",
    "autoregression, 2 terms",
    "autoregression, 9 terms",
    "eleven years before",
)


@dataclass(frozen=True)
class Forecasts:
    """Forecasts from every held-out year on, and what came.

    Attributes
    ----------
    years, numbers : (n,)
        The whole series.
    origins : (N,)
        Last years that forecasts know, from the last learned one on.
    came : (N, 11)
        sqrt of the numbers of the years after; NaN after the end of the series.
    by : dict of str to (N, 11)
        sqrt of the numbers, forecast.
    learned : (11,)
        Error of the neural ODE, by years ahead, where it was fitted.
    """

    years: Array
    numbers: Array
    origins: Array
    came: Array
    by: dict[str, Array]
    learned: Array

    def errors(self, name: str) -> Array:
        """Root mean squares by years ahead, (11,)."""
        return np.sqrt(np.nanmean((self.by[name] - self.came) ** 2, axis=0))

    def error(self, name: str) -> float:
        """Root mean square over all of them."""
        return float(np.sqrt(np.nanmean((self.by[name] - self.came) ** 2)))


def sunspots() -> tuple[Array, Array]:
    """Years and yearly mean numbers, as statsmodels ships them; ImportError without it."""
    from statsmodels.datasets import sunspots as shipped

    found = shipped.load_pandas().data.to_numpy(dtype=float)
    return found[:, 0].astype(int), found[:, 1]


def forecasts(years: Array, numbers: Array, max_iter: int = 300) -> Forecasts:
    """Learn from the years up to ``SPLIT``, forecast from there on."""
    root = np.sqrt(numbers)
    known = int(np.searchsorted(years, SPLIT, side="right"))
    shift, scale = float(root[:known].mean()), float(root[:known].std())
    q = (root - shift) / scale
    problem, theta, learned = _learned(q[:known], max_iter)
    origins = np.arange(known - 1, len(q) - 1)
    by = {
        NODE: problem.predict(theta, _states(q, origins), _times())[:, :, 0],
        PERSISTENCE: np.repeat(q[origins][:, None], AHEAD, axis=1),
        YULE: _autoregression(q, known, origins, 2),
        LARGER: _autoregression(q, known, origins, NINE),
        CYCLE: np.stack([q[k - AHEAD + 1 : k + 1] for k in origins]),
    }
    return Forecasts(
        years,
        numbers,
        years[origins],
        _after(root, origins),
        {name: shift + scale * values for name, values in by.items()},
        scale * learned,
    )


def _times() -> Array:
    return YEAR * np.arange(1, AHEAD + 1)


def _states(q: Array, origins: Array) -> Array:
    return np.stack([q[origins], q[origins - 1]], axis=1)


def _after(q: Array, origins: Array) -> Array:
    """(N, 11) of the years after; NaN where there are none."""
    padded = np.concatenate([q, np.full(AHEAD, np.nan)])
    return padded[origins[:, None] + np.arange(1, AHEAD + 1)]


def _learned(q: Array, max_iter: int) -> tuple[TrajectoryFitting, Array, Array]:
    """The problem, its theta, and the errors of the fit by years ahead."""
    origins = np.arange(1, len(q) - 1)
    x, y = _states(q, origins), _after(q, origins)[:, :, None]
    ode = NeuralODE(Shallow(2, WIDTH), "dopri5", AHEAD, (0.0, AHEAD * YEAR))
    problem = TrajectoryFitting(ode, observed=[[1.0, 0.0]], tikhonov=TIKHONOV)
    theta = problem.initial(seed=0)
    for part in GROWING:
        seen = Observations(_times()[:part], y[:, :part])
        how: Any = {"tolerance": 1e-5, "progress": False}
        how["max_iter"] = max_iter if part == AHEAD else max_iter // 3
        theta = train(problem, x, seen, theta0=theta, **how).x
    errors = problem.residuals(theta, x, seen)[:, :, 0]
    return problem, theta, np.sqrt(np.nanmean(errors**2, axis=0))


def _autoregression(q: Array, known: int, origins: Array, terms: int) -> Array:
    """Forecasts by least squares on the years up to the split, a step at a time."""
    rows = np.arange(terms, known)
    back = np.stack([q[rows - k] for k in range(1, terms + 1)] + [np.ones(len(rows))], axis=1)
    weights = np.linalg.lstsq(back, q[rows], rcond=None)[0]
    past = np.stack([q[origins - k] for k in range(terms)], axis=1)  # the latest first
    found = np.empty((len(origins), AHEAD))
    for k in range(AHEAD):
        found[:, k] = past @ weights[:-1] + weights[-1]
        past = np.concatenate([found[:, k : k + 1], past[:, :-1]], axis=1)
    return found
