"""States carried along a scheme, for B copies of a case at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.case import Case
from refode.check.plain.mistakes import Mistakes, Nodes
from refode.check.plain.times import combination, other_combination

Array = NDArray[Any]
Blocks = dict[str, Array]
#: (weights, state (B, N, D), time) -> slope (B, N, D)
Slope = Callable[[Blocks, Array, float], Array]


@lru_cache(maxsize=1024)
def fraction(text: str) -> Fraction:
    """A decimal or fraction in text."""
    return Fraction(text)


@dataclass(frozen=True)
class Stage:
    """One evaluation of the right-hand side: state, slope, time as the field sees it, p_j."""

    y: Array
    k: Array
    t: float
    p: Array


@dataclass
class Path:
    """States at the steps, and the stages of every step."""

    states: list[Array]
    stages: list[list[Stage]] = field(default_factory=list)


@dataclass(frozen=True)
class Clock:
    """The steps of a case and the times of their stages.

    Attributes
    ----------
    case : Case
    m : Mistakes
    along : (Fraction, Fraction)
        The interval integrated over.
    """

    case: Case
    m: Mistakes
    along: tuple[Fraction, Fraction]

    @classmethod
    def of(cls, case: Case, m: Mistakes, back: bool = False) -> Clock:
        """The clock of a case, or of the other direction."""
        first, last = (fraction(t) for t in case.document["along"])
        return cls(case, m, (last, first) if back else (first, last))

    @cached_property
    def _known(self) -> dict[tuple[Fraction, Fraction], list[tuple[float, Array]]]:
        """Stages by start and step, of all clocks that go alike: most mistakes are elsewhere."""
        document, m, basis = self.case.document, self.m, self.case.basis
        span, c = tuple(document["t_span"]), tuple(document["scheme"]["c"])
        how = m.time_nodes, m.theta_nodes, m.clock, m.basis, m.cells
        return _stages_of(self.along, span, c, basis["type"], basis["J"], how)

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return self.case.n_steps

    @property
    def h(self) -> Fraction:
        """The step."""
        length = self.along[1] - self.along[0]
        return length if self.m.whole_steps else length / self.n_steps

    def starts(self) -> list[Fraction]:
        """Times at which the steps start."""
        return [self.along[0] + n * self.h for n in range(self.n_steps)]

    def stages(self, start: Fraction, h: Fraction) -> list[tuple[float, Array]]:
        """The field's time and the p_j, stage by stage, for a step h from a start."""
        known = self._known
        if (start, h) not in known:
            known[start, h] = self._stages(start, h)
            for _, p in known[start, h]:
                p.setflags(write=False)
        return known[start, h]

    def _stages(self, start: Fraction, h: Fraction) -> list[tuple[float, Array]]:
        c = tuple(fraction(c) for c in self.case.document["scheme"]["c"])
        m = self.m
        in_time: Nodes = m.time_nodes(c) if m.time_nodes else c
        in_theta: Nodes = m.theta_nodes(c) if m.theta_nodes else c
        return [
            (self.time(start + a * h), self.p(start + b * h, start + h / 2))
            for a, b in zip(in_time, in_theta, strict=True)
        ]

    def time(self, t: Fraction) -> float:
        """The time that the field gets."""
        start, end = (fraction(s) for s in self.case.document["t_span"])
        shown: dict[str, Callable[[], Fraction]] = {
            "": lambda: t,
            "from zero": lambda: t - self.along[0],
            "from the span": lambda: t - start,
            "normalised": lambda: (t - start) / (end - start),
            "mirrored": lambda: start + end - t,
            "missing": lambda: Fraction(0),
        }
        return float(shown[self.m.clock]())

    def p(self, t: Fraction, middle: Fraction) -> Array:
        """p_j at a time of a step with this middle."""
        start, end = (fraction(s) for s in self.case.document["t_span"])
        m, kind, J = self.m, self.case.basis["type"], self.case.basis["J"]
        if kind == "Constant":
            return np.ones(1)
        s, middle = ((a - start) / (end - start) for a in (t, middle))
        if m.basis == "unnormalised":
            s, middle = t, middle * (end - start) + start
        if m.basis == "unshifted" and kind == "Legendre":
            s = (s + 1) / 2
        if (m.basis, kind) in (
            ("orthonormal", "Legendre"),
            ("powers", "Legendre"),
            ("open knots", "BSpline"),
        ):
            return other_combination(m.basis, J, s)
        if m.cells:
            middle = s
        p = combination(kind, J, s, middle, right=m.cells == "stage right")
        return p[::-1] if m.basis == "reversed" else p


@lru_cache(maxsize=256)
def _stages_of(*clock: Any) -> dict[tuple[Fraction, Fraction], list[tuple[float, Array]]]:
    """Where stages are kept of clocks that go alike."""
    return {}


def combined(theta: Blocks, p: Array) -> Blocks:
    """The weights sum_j p_j theta_j of blocks (B, J, ...)."""
    used = [int(j) for j in np.flatnonzero(p)]
    if not used:
        return {name: 0.0 * block[:, 0] for name, block in theta.items()}
    return {
        name: sum((p[j] * block[:, j] for j in used[1:]), p[used[0]] * block[:, used[0]])
        for name, block in theta.items()
    }


def solve(clock: Clock, slope: Slope, theta: Blocks, start: Array, extras: int = 0) -> Path:
    """Carry states along.

    Parameters
    ----------
    clock : Clock
    slope : callable
    theta : dict of (B, J, ...) arrays
    start : (B, N, D) array
    extras : int
        How many of the last components are accumulators.
    """
    path = Path([start])
    known: dict[bytes, Blocks] = {}
    for t in clock.starts():
        stages = []
        for at, p in clock.stages(t, clock.h):
            key = p.tobytes()
            if key not in known:
                known[key] = combined(theta, p)
            stages.append((known[key], at, p))
        step = _substeps if clock.case.scheme.symplectic else runge_kutta
        y, kept = step(clock, slope, path.states[-1], float(clock.h), stages, extras)
        path.states.append(y)
        path.stages.append(kept)
    return path


def runge_kutta(
    clock: Clock, slope: Slope, y: Array, h: float, stages: list[Any], extras: int = 0
) -> tuple[Array, list[Stage]]:
    """k_i = f(t + c_i h, y + h sum a_ij k_j), y+ = y + h sum b_i k_i."""
    scheme, m = clock.case.scheme, clock.m
    kept: list[Stage] = []
    for row, (w, at, p) in zip(scheme.A, stages, strict=True):
        Y = kept[-1].y if m.in_place and kept else y
        for a, stage in zip(row, kept, strict=False):
            if a:
                Y = Y + (h * a) * stage.k
        kept.append(Stage(Y, slope(w, Y, at), at, p))
    y = kept[-1].y if m.in_place else y
    d = y.shape[-1] - extras
    new = y + sum(h * b * stage.k for b, stage in zip(scheme.b, kept, strict=True) if b)
    if m.quadrature and extras:
        one = kept[0 if m.quadrature == "first" else -1].k
        new = np.concatenate([new[..., :d], y[..., d:] + h * one[..., d:]], axis=-1)
    return new, kept


def _substeps(
    clock: Clock, slope: Slope, y: Array, h: float, stages: list[Any], extras: int = 0
) -> tuple[Array, list[Stage]]:
    """Symplectic: each substep moves one half of the state."""
    scheme, n, start, kept = clock.case.scheme, y.shape[-1] // 2, y, []
    for half, b, (w, at, p) in zip(scheme.half, scheme.b, stages, strict=True):
        read = start if clock.m.together else y
        k = slope(w, read, at)
        moves = np.zeros_like(k)
        part = slice(0, n) if half == 0 else slice(n, None)
        moves[..., part] = k[..., part]
        kept.append(Stage(read, k, at, p))
        y = y + (h * b) * moves
    return y, kept
