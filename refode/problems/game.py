"""Potential mean field games by one scalar network, eqs. (17)-(25)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refode import _validate
from refode._fixed import Kept
from refode._quiet import quietly
from refode._weights import Weighing
from refode.costs.targets import target_of
from refode.densities import Empirical
from refode.fields.potential import Potential
from refode.games import Game
from refode.ode import steps as stepping
from refode.ode.neural_ode import NeuralODE
from refode.ode.placement import hosted, send
from refode.ode.plan import is_implicit
from refode.problems.agents import Started, constant, with_zero
from refode.problems.contract import with_total
from refode.problems.game_objective import TERMS as TERMS
from refode.problems.game_objective import Priced
from refode.problems.paths import all_finite
from refode.problems.weights import sent, weighed

Array = np.ndarray
NORMS = ("absolute", "squared")


class MeanFieldGame(Priced):
    """A potential mean field game solved for its value function Phi, eq. (25).

    Agents start at x ~ ``game.initial`` and move by the feedback (22), z' = -grad Phi/alpha.
    The objective is the mean over samples x of

    int L + F dt + G + hjb int |r| dt + hjb_terminal |Phi(z(T), T) - G'|

    with r the residual of the HJB equation (24) along the path and G' the L2 derivative of the
    terminal cost; log rho along the path is part of the state, (21).

    Parameters
    ----------
    potential : refode.fields.Potential
        Phi, of the game's dimension.
    game : refode.games.Game
        Costs and densities.
    hjb, hjb_terminal : float, optional
        Weights of the two penalties; both 0 where the game has alpha = 0.
    hjb_norm : {"absolute", "squared"}, optional
        |r| as in [ROL+20], with subgradient 0 at 0, or r^2; for both penalties.
    scheme : str or Tableau, optional
        Explicit Runge-Kutta scheme; no other, as the density's quadrature may feed slopes.
    n_steps : int or Steps, optional
        Number of equal steps, 2 by default; or steps from ``refode.steps``.
    t_span : (float, float), optional
        (t0, T) with t0 < T; (0.0, 1.0) by default. n_steps steps cover it, and the part of it
        up to or from a time t that a method is given.
    device : {"cpu", "cuda"}, optional
        Where sweeps run, docs/cuda.md; second derivatives and the value function at given
        points are the CPU's in any case.
    dtype : {"float64", "float32"}, optional
        Number type on the GPU; results are float64.
    grid : array_like (n_steps+1,), optional
        In place of n_steps and t_span: the times to step at, rising, as for ``NeuralODE``.
    basis : refode.bases.Constant, optional
        No other: time is an input of Phi already, and weights that move in time too would add
        dPhi/dtheta theta'(t) to the dPhi/dt that the HJB equation (24) reads.
    memory : {"store", "steps", "binomial"}, optional
        What the adjoint sweep keeps of a block's path, as for ``NeuralODE``.
    slots : int, optional
        With memory="binomial": states that are kept, as for ``NeuralODE``.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    RuntimeError
        With device="cuda": the package numba-cuda, the driver or the device is missing.

    Notes
    -----
    theta is flat, with the potential's names and shapes. All quantities are dimensionless,
    logarithms natural.

    Examples
    --------
    >>> import refode
    >>> initial = refode.densities.Gaussian([0.0, 3.0], 0.3)
    >>> target = refode.densities.Gaussian([0.0, -3.0], 0.3)
    >>> game = refode.games.optimal_transport(initial, target, alpha=1.0, terminal=5.0)
    >>> problem = refode.MeanFieldGame(refode.fields.Potential(dim=2, width=8), game)
    >>> theta, x = problem.initial(), initial.sample(20, seed=0)
    >>> sorted(problem.costs(theta, x))
    ['F', 'G', 'L', 'hjb', 'hjb_terminal', 'total']
    """

    n_data = (1, 2)
    has_sample_weight = True

    @quietly()
    def __init__(
        self,
        potential: Potential,
        game: Game,
        hjb: float = 0.0,
        hjb_terminal: float = 0.0,
        hjb_norm: str = "absolute",
        scheme: Any = "rk4",
        n_steps: int | stepping.Steps | None = None,
        t_span: tuple[float, float] | None = None,
        device: str = "cpu",
        dtype: Any = "float64",
        *,
        grid: ArrayLike | None = None,
        basis: Any = None,
        memory: str = "store",
        slots: int | None = None,
    ) -> None:
        self.potential = _validate.instance("potential", potential, Potential)
        self.game = _validate.instance("game", game, Game)
        if potential.dim != game.dim:
            raise ValueError(
                f"potential: got dim {potential.dim}, wanted the game's dim {game.dim}"
            )
        self.hjb = _validate.nonnegative("hjb", hjb)
        self.hjb_terminal = _validate.nonnegative("hjb_terminal", hjb_terminal)
        self.hjb_norm = _validate.choice("hjb_norm", hjb_norm, NORMS)
        if n_steps is None and grid is None:
            n_steps = 2
        self.ode = NeuralODE(
            potential,
            scheme,
            n_steps,
            t_span,
            constant(basis),
            memory,
            device,
            dtype,
            grid=grid,
            slots=slots,
        )
        if is_implicit(self.ode.plan().scheme):
            raise ValueError(
                f"scheme: got {self.ode.scheme!r}, wanted an explicit scheme (with an entropy the "
                "log-density, a quadrature, feeds slopes; implicit schemes solve for z alone)"
            )
        self.n_steps, self.t_span = self.ode.n_steps, self.ode.t_span
        if self.t_span[0] >= self.t_span[1]:
            if grid is not None:
                raise ValueError(
                    f"grid: got times from {self.t_span[0]} to {self.t_span[1]}, "
                    "wanted times that rise"
                )
            raise ValueError(f"t_span: got {self.t_span}, wanted (t0, T) with t0 < T")
        self._check_penalties()
        self.layout, self._odes = potential.layout, Kept()
        self._starts, self._draws, self._sweeps = Kept(), Kept(), Kept()

    def _check_penalties(self) -> None:
        for name in ("hjb", "hjb_terminal"):
            weight = getattr(self, name)
            if weight > 0.0 and self.game.alpha == 0.0:
                raise ValueError(
                    f"{name}: got {weight} with a game of alpha=0, wanted 0 (without a running "
                    "cost there is no Hamiltonian)"
                )
        if self.hjb_terminal > 0.0 and isinstance(self.game.target, Empirical):
            raise ValueError(
                f"hjb_terminal: got {self.hjb_terminal} with an Empirical target, wanted 0 "
                "(the terminal condition reads the target's density)"
            )

    def with_steps(self, n_steps: int | stepping.Steps) -> MeanFieldGame:
        """The same game and potential with other steps: so many equal ones."""
        return MeanFieldGame(
            self.potential,
            self.game,
            self.hjb,
            self.hjb_terminal,
            self.hjb_norm,
            self.ode._named_scheme,
            stepping.of(n_steps),
            self.t_span,
            *self.ode.placement,
            memory=self.ode.memory,
            slots=self.ode.slots,
        )

    @quietly()
    def to_device(
        self, x: Array, y: Array | None = None, *, sample_weight: Array | None = None
    ) -> Any:
        """Send samples once, for many calls: what these take in place of x, or of x and y.

        Parameters
        ----------
        x : (N, d)
            Samples of ``game.initial``; its log-density at x goes with them.
        y : (M, d), optional
            Samples of the target, for the cross-entropy alone.
        sample_weight : (N,), optional
            Weights of x; samples of weight 0 are left out.

        Returns
        -------
        x, or x and y, and the weights if there are some
            For ``value``, ``value_and_gradient``, ``hessian_vector``, ``costs``, ``generate``,
            ``trajectory`` and ``states``; y for ``inverse`` and ``log_density`` too.

        Raises
        ------
        TypeError, ValueError
            With device="cpu", with y where the terminal cost reads x alone, or with too little
            memory on the device; and as for ``value_and_gradient``.
        """
        self._reads(y)
        place = self.ode.placement
        x, by = self._weighed(_validate.samples("x", x, self.dim), sample_weight)
        start = np.column_stack([x, self.game.initial.log_density(x)])
        there = [Started(send(place, start).there, start, self.game.initial)]
        if y is not None:
            start = with_zero(_validate.samples("y", y, self.dim))
            there.append(Started(send(place, start).there, start))
        if sample_weight is not None:
            there.append(sent(place, by, len(x)))
        return there[0] if len(there) == 1 else tuple(there)

    # --- objective ---------------------------------------------------------------------
    @quietly()
    def value(
        self,
        theta: Array,
        x: Array,
        y: Array | None = None,
        *,
        sample_weight: Array | None = None,
    ) -> float:
        """Objective (25); not finite where a path is not."""
        theta, x, y, by = self._arguments(theta, x, y, sample_weight)
        return sum(self._terms(theta, x, y, self.ode, by).values())

    def value_and_gradient(
        self,
        theta: Array,
        x: Array,
        y: Array | None = None,
        *,
        sample_weight: Array | None = None,
    ) -> tuple[float, Array]:
        """Objective (25) and its gradient (p,), by the discrete adjoint, (D98)-(D102).

        Not finite where a path is not, as the value.

        Parameters
        ----------
        theta : (p,)
        x : (N, d)
            Samples of ``game.initial``, or what ``to_device`` made of them; y likewise.
        y : (M, d), optional
            Samples of the target, for the cross-entropy alone: an ``Empirical`` target's own
            by default, else N draws, the same each time, by a key of their own.
        sample_weight : (N,), optional
            Weights of x, not of y: numbers >= 0, not all 0. Every mean over x becomes
            sum w l / sum w, (D126). Samples of weight 0 are left out: what becomes of their
            paths does not count, nor do they among the N draws.
        """
        value, gradient = self._value_and_gradient(*self._arguments(theta, x, y, sample_weight))
        return float(value), gradient

    def hessian_vector(
        self,
        theta: Array,
        v: Array,
        x: Array,
        y: Array | None = None,
        *,
        sample_weight: Array | None = None,
    ) -> Array:
        """Exact Hessian-vector product (p,): the complex step through the gradient, (D33).

        Not finite where a path is not.
        """
        return super().hessian_vector(theta, v, x, y, sample_weight=sample_weight)

    @quietly()
    def costs(
        self,
        theta: Array,
        x: Array,
        y: Array | None = None,
        n_steps: int | None = None,
        *,
        sample_weight: Array | None = None,
    ) -> dict[str, float]:
        """Weighted terms of the objective: L, F, G, hjb, hjb_terminal, and their sum, total.

        Parameters
        ----------
        theta : (p,)
        x : (N, d)
        y : (M, d), optional
            As in ``value_and_gradient``.
        n_steps : int, optional
            Steps of this evaluation; the problem's own by default.
        sample_weight : (N,), optional
            As in ``value_and_gradient``.

        Raises
        ------
        ValueError
            Also where a path leaves the finite range, with the sample's index; of weighed
            samples that among those whose weight is not 0.
        """
        theta, x, y, by = self._arguments(theta, x, y, sample_weight)
        terms = self._terms(theta, x, y, self._ode(n_steps), by, finite=True)
        return with_total(terms)

    @quietly()
    def single_agent_cost(
        self, theta: Array, x: Array, t: float | None = None, n_steps: int | None = None
    ) -> Array:
        """J_t of (20), (N,): what an agent at x pays from t (t0 by default) to T.

        n_steps steps cover the way back from t to t0, and as many the one from t to T.
        It follows the feedback among a population that does the same, so it pays F and G
        at the density around it. At the equilibrium it is Phi(t, x).

        Raises
        ------
        TypeError, ValueError
            Naming the argument; x also where a path, or what is paid, leaves the finite range.
        """
        if isinstance(self.game.target, Empirical):
            raise ValueError(
                "game: got an Empirical target, wanted one with a log-density (what an agent "
                "pays at the end reads it)"
            )
        theta = self._parameters(theta)
        x = hosted(self._samples("x", x, self.game.initial))
        t0, T = self.t_span
        t = t0 if t is None else self._time(t)
        start, log_det = self._inverse("x", theta, x, n_steps, t)
        log_rho = self.game.initial.log_density(start) + log_det
        end = np.column_stack([x, log_rho, np.zeros((len(x), 3))])
        if t < T:
            plan = self._ode(n_steps).plan((t, T))
            end = all_finite("x", self._forward(theta, end[:, : self.dim + 1], plan)[0])
        d, game = self.dim, self.game
        running = (end[:, d + 1] if game.alpha else 0.0) + end[:, d + 2] + game.entropy * (T - t)
        at_end = game.terminal_cost.derivative(end[:, :d], end[:, d])
        return all_finite("x", running + at_end, "cost")

    # --- insides -----------------------------------------------------------------------
    def _arguments(
        self, theta: Array, x: Array, y: Array | None = None, sample_weight: Any = None
    ) -> tuple[Array, Array, Array | None, Weighing]:
        """theta; x without samples of weight 0; y for the cross-entropy, else None; the weights."""
        theta, x = self._parameters(theta), self._samples("x", x, self.game.initial)
        x, by = self._weighed(x, sample_weight)
        if not self._reads(y):
            return theta, x, None, by
        if y is None:
            return theta, x, self._drawn(len(x)), by
        return theta, x, self._samples("y", y), by

    def _weighed(self, x: Any, sample_weight: Any) -> tuple[Any, Weighing]:
        """x without samples of weight 0; and the weights."""
        by, (x,) = weighed(self.ode.placement, sample_weight, (x,))
        if sample_weight is not None and not self._has_paths():
            raise ValueError(
                "sample_weight: got weights of x with a game that charges the cross-entropy "
                "alone, wanted None (it reads y)"
            )
        return x, by

    def _check_products(self, x: Array, y: Array | None, *_: Any) -> None:
        needed = [] if y is None else [self.game.initial]
        if self.game.target is not None and (y is None or self.hjb_terminal):
            needed.append(self.game.target)
        for density in needed:
            if target_of(density) is None:
                raise ValueError(
                    f"game: got the density {density!r}, wanted Gaussians or mixtures of them "
                    "for second derivatives"
                )

    def __repr__(self) -> str:
        ode = self.ode
        how = "" if ode.scheme == "rk4" else f", scheme={ode.scheme!r}"
        kept = "" if ode.memory == "store" else f", memory={ode.memory!r}"
        kept += "" if ode.slots is None else f", slots={ode.slots}"
        kept += (
            ""
            if ode.placement.device == "cpu"
            else ", device={!r}, dtype={!r}".format(*ode.placement)
        )
        return (
            f"MeanFieldGame({self.potential!r}, {self.game!r}, hjb={self.hjb}, "
            f"hjb_terminal={self.hjb_terminal}, hjb_norm={self.hjb_norm!r}{how}, "
            f"{stepping.described(self.ode.steps, self.t_span)}{kept})"
        )
