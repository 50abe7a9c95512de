"""Agents that a potential controls: their paths and densities, and the value function."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._fixed import Fixed
from refode._quiet import quietly
from refode.bases import Basis, Constant
from refode.fields.potential import Potential
from refode.ode import driver, evaluate
from refode.ode.placement import Resident, hosted, resident
from refode.ode.plan import Plan
from refode.problems.contract import WithODE
from refode.problems.paths import all_finite
from refode.sweeps.dynamics import LogDet
from refode.sweeps.game_dynamics import GameDynamics

Array = np.ndarray


class Started(Resident):
    """Samples that are on the device side by side with what the state goes on with, (N, d+1).

    Parameters
    ----------
    there : array on the device
        (x, log rho(x)) of a density, or (x, 0).
    host : ndarray, (N, d+1)
        The same numbers in the host's memory.
    density : Density, optional
        Whose log-density is in the last column; zeros without it.
    """

    def __init__(self, there: Any, host: Array, density: Any = None) -> None:
        super().__init__(there, np.ascontiguousarray(host[:, :-1]))
        self.density, self.start = density, Resident(there, host)


class Controlled(Fixed, WithODE):
    """What a potential's control does to agents: the part of a game that asks for no cost.

    A subclass sets the attributes below, once.
    """

    potential: Potential
    game: Any
    hjb_norm: str
    n_steps: int
    t_span: tuple[float, float]
    _starts: dict[str, tuple[Array, Array]]
    _sweeps: dict[int, tuple[driver.Sweep, driver.Sweep]]
    _draws: dict[str, Array]

    # --- parameters --------------------------------------------------------------------
    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.potential.dim

    @property
    def sampler(self) -> Any:
        """The game's initial density's ``sample``."""
        return self.game.initial.sample

    def initial(self, seed: int = 0) -> Array:
        """Random theta (p,), the potential's ``initial``."""
        rng = np.random.default_rng(_validate.nonnegative_int("seed", seed))
        return self.pack(self.potential.initial(rng))

    def standardized(self, *data: Array) -> Controlled:
        """There is none: a TypeError that says why.

        A game's densities, obstacles and costs are given in the coordinates of its agents. In
        scaled ones they would be others: |f|^2 would weigh the axes differently.
        """
        raise TypeError(
            f"problem: got a {self.kind}, whose densities and costs are functions of the agents' "
            "own coordinates, wanted Supervised or ContinuousNormalizingFlow (a game may be made "
            "of densities of scaled samples, refode.problems.scaling.Scaling)"
        )

    # --- the value function --------------------------------------------------------------
    def value_function(self, theta: Array, t: float, x: Array) -> tuple[Array, Array, Array]:
        """Phi (N,), grad_x Phi (N, d) and dPhi/dt (N,) at t in [t0, T] and points x (N, d).

        Raises
        ------
        TypeError, ValueError
            Naming the argument; x also where one of them leaves the finite range.
        """
        phi, gradient, by_time, _ = self._derivatives(theta, t, x)
        all_finite("x", np.column_stack([phi, gradient, by_time]), "value")
        return phi, gradient, by_time

    def laplacian(self, theta: Array, t: float, x: Array) -> Array:
        """Laplacian of Phi in x, (N,), in closed form, (D93); errors as of ``value_function``."""
        return all_finite("x", self._derivatives(theta, t, x)[3], "value")

    # --- paths and densities -------------------------------------------------------------
    @quietly()
    def generate(self, theta: Array, x: Array, n_steps: int | None = None) -> Array:
        """z(T) (N, d) of the agents that start at x; errors as of ``states``."""
        return self.states(theta, x, n_steps)[-1, :, : self.dim].copy()

    @quietly()
    def trajectory(self, theta: Array, x: Array, n_steps: int | None = None) -> Array:
        """Paths (n_steps+1, N, d) of the agents that start at x; errors as of ``states``."""
        return self.states(theta, x, n_steps)[:, :, : self.dim].copy()

    @quietly()
    def states(self, theta: Array, x: Array, n_steps: int | None = None) -> Array:
        """The whole state (n_steps+1, N, d+4) along the paths: z, log rho, L, F, R.

        R is the integral of |r| or r^2; none of the three is weighted here but by the game's
        own alpha and entropy.

        Raises
        ------
        TypeError, ValueError
            Naming the argument; x also where a path leaves the finite range.
        """
        theta, x = self._parameters(theta), self._samples("x", x, self.game.initial)
        states = self._forward(theta, self._start(x), self._ode(n_steps).plan(), whole=True)
        all_finite("x", states.transpose(1, 0, 2))
        return states

    @quietly()
    def inverse(
        self, theta: Array, y: Array, n_steps: int | None = None, t: float | None = None
    ) -> tuple[Array, Array]:
        """x (N, d) whose paths are at y at time t (T by default), and log|det| of y -> x.

        n_steps steps cover the way from t to t0, however short it is.
        Errors as of ``states``, naming y.
        """
        theta, y = self._parameters(theta), self._samples("y", y)
        return self._inverse("y", theta, y, n_steps, self.t_span[1] if t is None else self._time(t))

    @quietly()
    def log_density(
        self, theta: Array, y: Array, n_steps: int | None = None, t: float | None = None
    ) -> Array:
        """log rho(t, y) (N,), at T by default: the initial density carried along, (21).

        n_steps steps cover the way from t to t0, however short it is.
        Errors as of ``inverse``; -inf where the initial density's logarithm is.
        """
        x, log_det = self.inverse(theta, y, n_steps, t)
        return self.game.initial.log_density(x) + log_det

    # --- insides -----------------------------------------------------------------------
    @quietly()
    def _forward(
        self, theta: Array, start: Array, plan: Plan, whole: bool = False, of: str = "x"
    ) -> Array:
        E = self.potential.prepare(self.ode.stage_weights(theta, plan), True)
        return driver.forward(self._sweep(plan, E.dtype), E, start, whole, of)

    def _inverse(
        self, name: str, theta: Array, y: Array, n_steps: int | None, t: float
    ) -> tuple[Array, Array]:
        """`inverse` of arguments that have been checked; the name is for a path that blows up."""
        ode = self._ode(n_steps)
        if t == self.t_span[0]:
            return hosted(y).copy(), np.zeros(len(y))
        w, q = self._backward(theta, y, ode.plan((t, self.t_span[0])))
        all_finite(name, np.column_stack([w, q]))
        return w, -q

    def _backward(self, theta: Array, y: Array, plan: Plan) -> tuple[Array, Array]:
        """Where paths to y come from, and what log rho gathered on the way back."""
        end = self._forward(theta, with_zero(y), plan, of="y")[0]
        return np.ascontiguousarray(end[:, : self.dim]), np.ascontiguousarray(end[:, self.dim])

    def _sweep(self, plan: Plan, dtype: Any) -> driver.Sweep:
        sweep = self.ode.sweep(plan, LogDet, dtype)
        of, of_game = self._sweeps.get(id(sweep), (sweep, None))
        if of_game is None or of is not sweep:
            game = self.game
            dynamics = GameDynamics(
                self.potential.description(),
                game.alpha or 1.0,
                game.energy.description(),
                game.entropy,
                self.hjb_norm == "squared",
            )
            of_game = sweep._replace(dynamics=dynamics, rows=self.dim + 4)
            if len(self._sweeps) > 64:
                self._sweeps.clear()
            self._sweeps[id(sweep)] = sweep, of_game
        return of_game

    @quietly()
    def _derivatives(self, theta: Array, t: float, x: Array) -> tuple[Array, ...]:
        theta, t = self._parameters(theta), self._time(t)
        return evaluate.potential(self.potential, theta, _validate.samples("x", x, self.dim), t)

    def _samples(self, name: str, x: Any, density: Any = None) -> Any:
        """Samples (N, d), checked: an ndarray, or what ``to_device`` made of some."""
        if not isinstance(x, Started):
            there = resident(self.ode.placement, name, x, (None, self.dim), self._dtype)
            return _validate.samples(name, x if there is None else there.host, self.dim)
        resident(self.ode.placement, name, x, (None, self.dim + 1), self._dtype)
        if x.density is not density:
            raise ValueError(
                f"{name}: got what to_device made of other samples than {name}, or for another "
                f"game, wanted what this one's to_device makes of {name}"
            )
        return x

    @property
    def _dtype(self) -> str:
        return self.ode.placement.dtype

    def _start(self, x: Any) -> Any:
        """(x, log rho_0(x)) side by side, (N, d+1); kept for the next call with the same x."""
        if isinstance(x, Started):
            return x.start
        kept = self._starts.get("start")
        if kept is None or not np.array_equal(kept[0], x):
            log_rho = self._rows(x).apply(self.game.initial.log_density, x)
            kept = x.copy(), np.column_stack([x, log_rho])
            self._starts["start"] = kept
        return kept[1]

    def _time(self, t: float) -> float:
        t, (t0, T) = _validate.real_number("t", t), self.t_span
        if not t0 <= t <= T:
            raise ValueError(f"t: got {t}, wanted a time in [{t0}, {T}]")
        return t


def with_zero(y: Any) -> Any:
    """y with a column of zeros: no log-density gathered so far."""
    if isinstance(y, Started):
        return y.start
    return np.column_stack([y, np.zeros(len(y))])


def constant(basis: Any) -> Constant:
    """The one basis of a potential's weights that there is; ValueError for another."""
    basis = _validate.instance("basis", Constant() if basis is None else basis, Basis)
    if not isinstance(basis, Constant):
        raise ValueError(
            f"basis: got {_validate.short(basis)}, wanted None or Constant() (Phi has time as an "
            "input, and the HJB equation reads dPhi/dt, into which weights that move in time would "
            "enter)"
        )
    return basis
