"""Walks back through a problem's paths: the right gradient's own walk, and wrong ones.

One walk serves all problems. With H(w, y, t; mu) = <mu, slope(w, y, t)>, a complex step gives
dH/dy and dH/dw where a walk asks for them: no adjoint of a field is written out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.case import Case
from refode.check.plain import KINDS, STEP, extrapolated, steps
from refode.check.plain.mistakes import Mistakes
from refode.check.plain.paths import Blocks, Clock, Path, combined, runge_kutta
from refode.check.plain.problems import Problem

Array = NDArray[Any]


@dataclass(frozen=True)
class Walk:
    """How the gradient is computed, rightly by default.

    Attributes
    ----------
    continuous : bool
        The adjoint differential equation, solved backwards by the same scheme.
    linearised : {"stages", "last stage", "start", "solved back"}
        States at which slopes are differentiated; for the adjoint equation, "stages" stands for
        one that starts every step from the kept state, "solved back" for one that does not.
    coupled : bool
        Whether a stage's cotangent takes in those of the later stages.
    mirrored : bool
        The first step's weights and times in the last step, and so on.
    skipped : {"", "first", "last"}
        A step that adds nothing to the gradient by theta.
    frozen : bool
        Every stage's weights and time are those of the step's first stage.
    scattered : {"", "whole", "nearest"}
        Every coefficient with p_j != 0, or the one with the largest p_j, gets a stage's whole
        cotangent.
    detached : {"", "state", "log density", "trace by state", "trace by weights"}
        Components whose cotangents are dropped; derivatives of the trace that are.
    transposed : bool
        Whether cotangents of states move by the Jacobian's transpose, not by the Jacobian.
    direct : bool
        Whether what the objective reads of theta beside the states counts.
    """

    continuous: bool = False
    linearised: str = "stages"
    coupled: bool = True
    mirrored: bool = False
    skipped: str = ""
    frozen: bool = False
    scattered: str = ""
    detached: str = ""
    transposed: bool = True
    direct: bool = True


#: The right one.
RIGHT = Walk()


def gradient(
    document: dict[str, Any], walk: Walk = RIGHT, *, hessian: bool = False
) -> Blocks | None:
    """theta_bar and x_bar, or the gradient, of a case: by block, as its results.

    Parameters
    ----------
    document : dict
    walk : Walk, optional
    hessian : bool, optional
        With the gradient's derivative along the direction, the Hessian-vector product; not for
        ODEs.

    Returns
    -------
    dict or None
        None for symplectic schemes.
    """
    case = Case.of(document)
    if case.scheme.symplectic:
        return None
    with np.errstate(all="ignore"):
        results = _Back(case, walk).gradient()
        if hessian and case.kind != "ode" and "trace" not in case.problem:
            results |= _along(case, walk)
        return results


def _along(case: Case, walk: Walk) -> Blocks:
    """Differences of gradients, extrapolated."""
    h = steps(np.concatenate([v.ravel() for v in case.direction.values()]))
    moved = []
    for step in (s * size for size in h for s in (1.0, -1.0)):
        theta = {k: v + step * case.direction[k] for k, v in case.theta.items()}
        moved.append(_Back(replace(case, theta=theta), walk).gradient())
    return {
        name.replace("gradient", "hessian_vector"): extrapolated(
            np.array([g[name] for g in moved]).reshape(len(h), 2, *moved[0][name].shape), h
        )
        for name in moved[0]
    }


class _Back:
    """One gradient of one case."""

    def __init__(self, case: Case, walk: Walk) -> None:
        self.case, self.walk, self.m = case, walk, Mistakes()
        self.problem: Problem = KINDS[case.kind](case, self.m)
        lift = case.kind == "game"
        self.theta: Blocks = {
            k: (v[None] if lift else v)[None] + 0.0j for k, v in case.theta.items()
        }
        self.paths: list[Path] = self.problem.paths(self.theta, case.x[None])
        self.clocks = [clock for clock, _ in self.problem.starts(1, case.x[None])]
        self.inner = {k: v for k, v in self.theta.items() if k not in self.problem.readout}
        self._listen()
        self.bars: Blocks = {k: np.zeros(v.shape[1:]) for k, v in self.theta.items()}

    def gradient(self) -> Blocks:
        """By block."""
        jumps = self._jumps()
        x_bar: Array = np.zeros(0)
        for number, (clock, path) in enumerate(zip(self.clocks, self.paths, strict=True)):
            back = self._continuous if self.walk.continuous else self._discrete
            first = back(clock, path, jumps[number])
            x_bar = first if number == 0 else x_bar
        name = "theta_bar" if self.case.kind == "ode" else "gradient"
        results = {f"{name}/{k}": v.reshape(self.case.theta[k].shape) for k, v in self.bars.items()}
        if self.case.kind == "ode":
            results["x_bar"] = x_bar[:, : self.problem.d]
        return results

    def _listen(self) -> None:
        """Components whose cotangents are passed on to the state and to the weights."""
        d, D, detached = self.problem.d, self.paths[0].states[0].shape[-1], self.walk.detached
        self.to_state, self.to_weights = np.ones(D), np.ones(D)
        if detached == "state":
            self.to_state[:d] = self.to_weights[:d] = 0.0
        if detached in ("log density", "trace by state"):
            self.to_state[d : d + 1] = 0.0
        if detached in ("log density", "trace by weights"):
            self.to_weights[d : d + 1] = 0.0

    # --- the objective's derivatives by states and, beside them, by theta ------------------------

    def _jumps(self) -> list[list[Array]]:
        """Cotangents (N, D) of all states of all paths; adds theta's own part to the bars."""
        states = [[y[0] for y in path.states] for path in self.paths]
        shape = [np.array(s).shape for s in states]
        sizes = [int(np.prod(s)) for s in shape]
        flat = np.concatenate([np.ravel(s) for s in states])
        ends = np.zeros(len(flat), dtype=bool)  # what moves the objective, except for path_bar
        at = 0
        for size, (n, *_) in zip(sizes, shape, strict=True):
            every = self.case.path_bar is not None
            ends[at if every else at + size - size // n : at + size] = True
            at += size
        moved = np.flatnonzero(ends)
        copies = np.repeat(flat[None], len(moved), axis=0)
        copies[np.arange(len(moved)), moved] += 1j * STEP
        total = self.problem.total(self._repeated(len(moved)), self._split(copies, sizes, shape))
        bar = np.zeros(len(flat))
        bar[moved] = total.imag / STEP
        if self.walk.direct:
            self._direct(flat, sizes, shape)
        parts = np.split(bar, np.cumsum(sizes)[:-1])
        return [list(part.reshape(s)) for part, s in zip(parts, shape, strict=True)]

    def _direct(self, flat: Array, sizes: list[int], shape: list[Any]) -> None:
        for name, block in self.theta.items():
            size = block[0].size
            theta = self._repeated(size)
            theta[name].reshape(size, size)[np.arange(size), np.arange(size)] += 1j * STEP
            copies = np.repeat(flat[None], size, axis=0)
            total = np.broadcast_to(
                self.problem.total(theta, self._split(copies, sizes, shape)), (size,)
            )
            self.bars[name] += (total.imag / STEP).reshape(block.shape[1:])

    def _repeated(self, count: int) -> Blocks:
        return {k: np.repeat(v, count, axis=0) for k, v in self.theta.items()}

    @staticmethod
    def _split(copies: Array, sizes: list[int], shape: list[Any]) -> list[list[Array]]:
        parts = np.split(copies, np.cumsum(sizes)[:-1], axis=1)
        whole = [part.reshape(len(copies), *s) for part, s in zip(parts, shape, strict=True)]
        return [[states[:, n] for n in range(states.shape[1])] for states in whole]

    # --- one stage -------------------------------------------------------------------------------

    def _pullback(self, w: Blocks, y: Array, t: float, mu: Array) -> tuple[Array, Blocks]:
        """dH/dy (N, D) and dH/dw by block, at the state y (1, N, D) and weights (1, ...)."""
        D, sizes = y.shape[-1], {k: v[0].size for k, v in w.items()}
        count = D + sum(sizes.values())
        states = np.repeat(y + 0.0j, count, axis=0)
        states[np.arange(D), :, np.arange(D)] += 1j * STEP
        moved, at = {}, D
        for name, block in w.items():
            copies = np.repeat(block + 0.0j, count, axis=0)
            flat = copies.reshape(count, -1)
            flat[at + np.arange(sizes[name]), np.arange(sizes[name])] += 1j * STEP
            moved[name] = flat.reshape(copies.shape)
            at += sizes[name]
        k = self.problem.slope(moved, states, t).imag / STEP  # (count, N, D)
        k[:D] *= self.to_state
        k[D:] *= self.to_weights
        H = np.sum(k * mu, -1)
        parts = np.split(H[D:].sum(-1), np.cumsum(list(sizes.values()))[:-1])
        bars = {k: part.reshape(w[k].shape[1:]) for k, part in zip(w, parts, strict=True)}
        if not self.walk.transposed:
            d = self.problem.d
            step = np.zeros(y.shape, dtype=complex)
            step[..., :d] = 1j * STEP * mu[:, :d]
            H[:d] += (self.problem.slope(w, y + step, t)[0, :, :d].imag / STEP).T
            H[:d] -= np.sum(k[:d, :, :d] * mu[:, :d], -1)
        return H[:D].T, bars

    def _add(self, p: Array, bars: Blocks, factor: float = 1.0) -> None:
        """theta_j += p_j times the weights' cotangents."""
        if self.walk.scattered:
            p = 1.0 * (p != 0.0) if self.walk.scattered == "whole" else np.eye(len(p))[np.argmax(p)]
        for name, bar in bars.items():
            self.bars[name] += factor * np.multiply.outer(p, bar)

    # --- the scheme's own adjoint ----------------------------------------------------------------

    def _discrete(self, clock: Clock, path: Path, jumps: list[Array]) -> Array:
        walk, scheme, h = self.walk, self.case.scheme, float(clock.h)
        solved = self._solved_back(clock, path) if walk.linearised == "solved back" else path
        bar = jumps[-1]
        for n in range(clock.n_steps - 1, -1, -1):
            used = clock.n_steps - 1 - n if walk.mirrored else n
            stage_bars = np.zeros((len(scheme.b), *bar.shape))
            for i in range(len(scheme.b) - 1, -1, -1):
                mu = h * scheme.b[i] * bar
                if walk.coupled:
                    mu = mu + h * np.tensordot(scheme.A[:, i], stage_bars, axes=1)
                timed = path.stages[used][0 if walk.frozen else i]
                y = self._where(solved, n, i)
                w = combined(self.inner, timed.p)
                stage_bars[i], weight_bars = self._pullback(w, y, timed.t, mu)
                if n != {"first": 0, "last": clock.n_steps - 1}.get(walk.skipped, -1):
                    self._add(timed.p, weight_bars)
            bar = bar + stage_bars.sum(0) + jumps[n]
        return bar

    def _where(self, path: Path, n: int, i: int) -> Array:
        if self.walk.linearised == "start":
            return path.states[n]
        return path.stages[n][-1 if self.walk.linearised == "last stage" else i].y

    def _solved_back(self, clock: Clock, path: Path) -> Path:
        """The stages of steps that start from states solved backwards from the end."""
        y, states = path.states[-1], [path.states[-1]]
        for t in reversed(clock.starts()):
            y, _ = runge_kutta(
                clock,
                self.problem.slope,
                y,
                -float(clock.h),
                self._timed(clock, t + clock.h, -clock.h),
            )
            states.insert(0, y)
        stages = [
            runge_kutta(
                clock, self.problem.slope, y, float(clock.h), self._timed(clock, t, clock.h)
            )[1]
            for y, t in zip(states[:-1], clock.starts(), strict=True)
        ]
        return replace(path, states=states, stages=stages)

    def _timed(self, clock: Clock, t: Fraction, h: Fraction) -> list[Any]:
        return [(combined(self.inner, p), at, p) for at, p in clock.stages(t, h)]

    # --- the adjoint differential equation -------------------------------------------------------

    def _continuous(self, clock: Clock, path: Path, jumps: list[Array]) -> Array:
        """(y, lambda) solved from the end with steps -h, gradients by the same quadrature."""
        y, bar, D = path.states[-1], jumps[-1], jumps[-1].shape[-1]
        h = -float(clock.h)
        for n, t in reversed(list(enumerate(clock.starts()))):
            gathered: list[Blocks] = []

            def slope(w: Blocks, both: Array, at: float, gathered: Any = gathered) -> Array:
                mu = both[0, :, D:].real
                y_bar, bars = self._pullback(w, both[..., :D], at, mu)
                gathered.append(bars)
                return np.concatenate([self.problem.slope(w, both[..., :D], at), -y_bar[None]], -1)

            start = path.states[n + 1] if self.walk.linearised == "stages" else y
            both = np.concatenate([start, bar[None]], axis=-1)
            timed = self._timed(clock, t + clock.h, -clock.h)
            both, _ = runge_kutta(clock, slope, both, h, timed)
            for b, (_, _, p), bars in zip(self.case.scheme.b, timed, gathered, strict=True):
                self._add(p, bars, -h * b)
            y, bar = both[..., :D], both[0, :, D:].real + jumps[n]
        return bar
