"""Mean field games (18): where agents start, and what they pay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode import _validate
from refode._fixed import Fixed
from refode.costs.energies import Energy
from refode.densities import Density, Empirical
from refode.games.costs import (
    CrossEntropy,
    Entropy,
    KullbackLeibler,
    RunningCost,
    TerminalEnergy,
    _answer,
    _log_density,
)

Float64 = NDArray[np.float64]


class Game(Fixed):
    """A potential mean field game (18): where agents start, and what they pay.

    Parameters
    ----------
    initial : Density
        Where agents start, with samples and a log-density.
    terminal_cost : KullbackLeibler, CrossEntropy, TerminalEnergy or Energy
        An energy g by itself stands for ``TerminalEnergy(g)``, E g(z(T)).
    alpha : float, optional
        Weight of |v|^2/2; 0 for a cross-entropy alone.
    obstacle : Energy, optional
        Q.
    entropy : float, optional
        Weight of int rho log rho.

    Attributes
    ----------
    initial : Density
    target : Density or None
        None where the terminal cost is an energy.
    running_cost : RunningCost
    interaction : Entropy
    terminal_cost : KullbackLeibler, CrossEntropy or TerminalEnergy
    alpha, entropy, terminal : float
    energy : Energy
    dim : int

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted; dimensions that disagree.
    """

    def __init__(
        self,
        initial: Density,
        terminal_cost: KullbackLeibler | CrossEntropy | TerminalEnergy | Energy,
        alpha: float = 1.0,
        obstacle: Energy | None = None,
        entropy: float = 0.0,
    ) -> None:
        self.initial = _validate.instance("initial", initial, Density)
        if isinstance(initial, Empirical):
            raise ValueError("initial: got an Empirical density, wanted one with a log-density")
        self.dim = _dimension("initial", initial)
        self.terminal_cost = _terminal(terminal_cost, self.dim)
        self.target: Density | None = getattr(self.terminal_cost, "target", None)
        if obstacle is not None:
            _validate.instance("obstacle", obstacle, Energy)
        self.running_cost = RunningCost(alpha, obstacle)
        self.alpha, self.energy = self.running_cost.alpha, self.running_cost.energy
        if self.alpha == 0.0 and not isinstance(self.terminal_cost, CrossEntropy):
            raise ValueError(f"alpha: got {alpha}, wanted a positive number")
        self.energy.check_dim(self.dim)
        self.interaction = Entropy(_validate.nonnegative("entropy", entropy))
        self.entropy, self.terminal = self.interaction.weight, self.terminal_cost.weight
        self._ask_densities()

    def _ask_densities(self) -> None:
        """Whether one's own densities answer in the shapes that kernels read, at some points."""
        n = self.dim + 1  # tells (n, d) from (d, n)
        x = _answer("initial", "sample", self.initial.sample(n, seed=0), (n, self.dim))
        crossed = isinstance(self.terminal_cost, CrossEntropy)
        asked = [("initial", self.initial, crossed)]  # the flow from y ends in its score
        if isinstance(self.terminal_cost, KullbackLeibler):
            asked.append(("target", self.terminal_cost.target, True))
        for name, density, score in asked:
            _log_density(name, density, x)
            if score:
                gradient = density.log_density_gradient(x)
                _answer(name, "log_density_gradient", gradient, x.shape)

    def __repr__(self) -> str:
        return (
            f"Game({self.initial!r}, {self.terminal_cost!r}, alpha={self.alpha}, "
            f"obstacle={self.energy!r}, entropy={self.entropy})"
        )


def optimal_transport(
    initial: Density, target: Density, alpha: float = 1.0, terminal: float = 1.0
) -> Game:
    """Relaxed dynamic optimal transport: L = alpha/2 |v|^2, terminal * KL(rho, target).

    Parameters
    ----------
    initial, target : Density
    alpha, terminal : float, optional
        Positive.

    Returns
    -------
    Game

    Examples
    --------
    >>> from refode.densities import Gaussian
    >>> game = optimal_transport(Gaussian([0.0], 1.0), Gaussian([3.0], 1.0), alpha=2.0)
    >>> game.running_cost.feedback([[0.5]], [[1.0]])  # v = -p / alpha
    array([[-0.5]])
    """
    return Game(initial, KullbackLeibler(target, _validate.positive("terminal", terminal)), alpha)


def crowd_motion(
    initial: Density,
    target: Density,
    alpha: float = 1.0,
    obstacle: Energy | None = None,
    entropy: float = 0.0,
    terminal: float = 1.0,
) -> Game:
    """Crowd motion: transport past an obstacle, L = alpha/2 |v|^2 + Q(x), with an entropy.

    Parameters
    ----------
    initial, target : Density
    alpha : float, optional
        Positive.
    obstacle : Energy, optional
        Q: a `GaussianBump`, a `Quadratic`, a sum, or one's own.
    entropy : float, optional
        Weight of int rho log rho dx.
    terminal : float, optional
        Weight of KL(rho, target), positive.

    Returns
    -------
    Game
    """
    return Game(
        initial,
        KullbackLeibler(target, _validate.positive("terminal", terminal)),
        alpha,
        obstacle,
        entropy,
    )


def normalizing_flow(
    initial: Density, target: Density, alpha: float = 0.0, terminal: float = 1.0
) -> Game:
    """Density estimation: terminal * E_y[-log rho(y)], with alpha/2 |v|^2 where alpha > 0.

    Parameters
    ----------
    initial : Density
        Reference density, with a log-density.
    target : Density
        Where the data come from; `Empirical` for data alone.
    alpha : float, optional
        Not negative.
    terminal : float, optional
        Positive.

    Returns
    -------
    Game
    """
    return Game(initial, CrossEntropy(target, _validate.positive("terminal", terminal)), alpha)


def _terminal(cost: Any, d: int) -> KullbackLeibler | CrossEntropy | TerminalEnergy:
    """A terminal cost on R^d; an energy by itself is one."""
    if isinstance(cost, Energy):
        cost = TerminalEnergy(cost)
    known = (KullbackLeibler, CrossEntropy, TerminalEnergy)
    if not isinstance(cost, known):  # says that an energy would do too
        _validate.instance("terminal_cost", cost, (*known, Energy))
    if isinstance(cost, TerminalEnergy):
        cost.check_dim(d)
    elif _dimension("target", cost.target) != d:
        raise ValueError(f"target: got dim {cost.target.dim}, wanted the initial density's {d}")
    return cost


def _dimension(name: str, density: Density) -> int:
    return _validate.positive_int(f"{name}.dim", getattr(density, "dim", None))
