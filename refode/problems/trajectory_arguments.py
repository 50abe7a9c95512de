"""What the methods of fitted trajectories are given: checked, and laid out in time."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._numbers import at, first
from refode.ode.interpolation import times_within
from refode.problems.driven import driven_by
from refode.problems.observations import Observations, digest_of, inputs_of
from refode.problems.schedules import schedule_of, stretches_of
from refode.problems.shooting import Shooting

Array = np.ndarray


class Asked(Shooting):
    """A problem with its door. A subclass sets the attributes below."""

    _schedules: dict[Any, Any]

    def _arguments(
        self, theta: Any, *data: Any, **named: Any
    ) -> tuple[Array, Array, Observations, Any]:
        for name in named:
            raise TypeError(f"{name}: got it by name, wanted x and y by position")
        x, y = self.data(data)
        theta = self._parameters(theta)
        y = self._observations(y)
        make: tuple[Any, Any] = (schedule_of, self.steps_between)
        if self.shooting is not None:
            make = stretches_of, self.shooting
        schedule = self._schedule(y.times, y.fingerprint(), *make, y.inputs, "y")
        return theta, self._states(theta, x, y), y, schedule

    def _check_single(self, method: str) -> None:
        if self.shooting is not None:
            raise ValueError(f"shooting: got times with {method}, wanted None")

    def _observations(self, y: Any) -> Observations:
        y = _validate.instance("y", y, Observations)
        if y.n_channels != self.n_channels:
            raise ValueError(
                f"y: got values of {y.n_channels} channels, wanted {self.n_channels}, "
                + ("the ode's dim" if self.observed is None else "the rows of observed")
            )
        if self.n_samples not in (None, y.n_samples):
            raise ValueError(
                f"y: got observations of {y.n_samples} samples, wanted n_samples={self.n_samples}"
            )
        if y.fingerprint() not in self._schedules:  # looked at before
            known = np.where(np.isnan(y.times), self.ode.t_span[0], y.times)
            times_within("times", known, y.n_samples, self.ode.t_span)
            self._check_way(y.times)
            self._check_nodes(y)
        return y

    def _check_nodes(self, y: Observations) -> None:
        if self.shooting is None:
            return
        way = 1.0 if self.ode.t_span[1] > self.ode.t_span[0] else -1.0
        last = way * np.nanmax(way * y.times)
        if way * (last - self.shooting[-1]) <= 0.0:
            raise ValueError(
                f"y: got no time beyond {last}, wanted one beyond the last node of shooting, "
                f"{self.shooting[-1]}"
            )

    def _check_way(self, times: Array) -> None:
        way = self.ode.t_span[1] > self.ode.t_span[0]
        gaps = np.diff(np.atleast_2d(times), axis=1)
        wrong = (gaps <= 0.0) if way else (gaps >= 0.0)
        if wrong.any():
            index = first(wrong)
            raise ValueError(
                f"times: got {np.atleast_2d(times)[index]} at {at(index[-times.ndim :])} and no "
                f"{'later' if way else 'earlier'} one after it, wanted times that "
                f"{'rise' if way else 'fall'} as t_span={self.ode.t_span} does"
            )

    def _states(self, theta: Array, x: Any, y: Observations | None) -> Array:
        if self.fitted:
            if x is not None:
                raise ValueError(f"x: got {_validate.shown(x)}, wanted None with initial='fitted'")
            return self._start(theta, theta)
        x = _validate.samples("x", x, self.ode.dim)
        if y is not None and len(x) != y.n_samples:
            raise ValueError(f"x: got {len(x)} samples, wanted {y.n_samples} as y has")
        return x

    def _asked(self, n: int, times: Any, inputs: Any) -> Any:
        """The schedule of times that n samples are asked for, with what drives them."""
        times = times_within("times", times, n, self.ode.t_span)
        self._check_way(times)
        inputs = None if inputs is None else inputs_of(inputs, n)
        key = digest_of(times, *(inputs or ()))
        return self._schedule(times, key, schedule_of, self.steps_between, inputs, "inputs")

    def _schedule(self, times: Array, key: Any, make: Any, how: Any, inputs: Any, name: str) -> Any:
        kept: Any = self._schedules
        found = kept.get(key)
        if found is None:
            if len(kept) > 16:
                kept.clear()
            ode = driven_by(self.ode, inputs, name)
            found = kept.setdefault(key, make(ode, times, how))
        return found
