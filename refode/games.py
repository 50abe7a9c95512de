"""Potential mean field games: costs and densities, all rows of the survey's Table 1.

===================  =======================  =========================  ===================
game                 L(x, v)                  functional of rho          terminal cost
===================  =======================  =========================  ===================
optimal transport    alpha/2 |v|^2                                       KL(rho, rho_Y)
crowd motion         alpha/2 |v|^2 + Q(x)     entropy int rho log rho    KL(rho, rho_Y)
normalizing flow                                                         E_y[-log rho(y)]
the same with OT     alpha/2 |v|^2                                       E_y[-log rho(y)]
===================  =======================  =========================  ===================

Each cost has its L2 derivative (F and G of (20)), the running cost its Hamiltonian (23) and
feedback (22): docs/equations_games.md, (D80)-(D86). All quantities are dimensionless.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refode import _validate
from refode._fixed import Fixed
from refode.costs.energies import Energy, GaussianBump, Nothing, Quadratic
from refode.densities import Density, Empirical

__all__ = [
    "CrossEntropy",
    "Energy",
    "Entropy",
    "Game",
    "GaussianBump",
    "KullbackLeibler",
    "Nothing",
    "Quadratic",
    "RunningCost",
    "crowd_motion",
    "normalizing_flow",
    "optimal_transport",
]

Float64 = NDArray[np.float64]


class RunningCost(Fixed):
    """L(x, v) = alpha/2 |v|^2 + Q(x), its Hamiltonian and its feedback.

    Parameters
    ----------
    alpha : float
        Positive; or 0, where there is no Hamiltonian and agents follow -p.
    energy : Energy, optional
        Q.
    """

    def __init__(self, alpha: float, energy: Energy | None = None) -> None:
        self.alpha = _validate.nonnegative("alpha", alpha)
        self.energy = _validate.instance(
            "obstacle", Nothing() if energy is None else energy, Energy
        )

    def value(self, x: ArrayLike, v: ArrayLike) -> Float64:
        """L (N,) at points x and velocities v, (N, d)."""
        x, v = _pair(x, "v", v)
        return 0.5 * self.alpha * np.sum(v**2, axis=1) + self.energy.value(x)

    def hamiltonian(self, x: ArrayLike, p: ArrayLike) -> Float64:
        """H = sup_v {-p . v - L} = |p|^2/(2 alpha) - Q, (N,), eq. (23), (D80).

        Raises
        ------
        ValueError
            alpha = 0: the supremum is infinite.
        """
        x, p = _pair(x, "p", p)
        if self.alpha == 0.0:
            raise ValueError("alpha: got 0, wanted a positive number for a Hamiltonian")
        return np.sum(p**2, axis=1) / (2.0 * self.alpha) - self.energy.value(x)

    def feedback(self, x: ArrayLike, p: ArrayLike) -> Float64:
        """v = -grad_p H = -p/alpha, (N, d), eq. (22); -p where alpha = 0."""
        _, p = _pair(x, "p", p)
        return -p / (self.alpha or 1.0)

    def __repr__(self) -> str:
        return f"RunningCost(alpha={self.alpha}, energy={self.energy!r})"


class Entropy(Fixed):
    """The functional weight * int rho log rho dx.

    Parameters
    ----------
    weight : float
        Not negative: it spreads agents out.
    """

    def __init__(self, weight: float) -> None:
        self.weight = _validate.nonnegative("entropy", weight)

    def functional(self, x: ArrayLike, log_rho: ArrayLike) -> float:
        """Its value from samples x (N, d) of rho with log rho(x), (N,)."""
        x, log_rho = _samples(x, log_rho)
        return float(self.weight * np.mean(log_rho))

    def derivative(self, x: ArrayLike, log_rho: ArrayLike) -> Float64:
        """F = weight (log rho + 1), (N,), (D81)."""
        x, log_rho = _samples(x, log_rho)
        return self.weight * (log_rho + 1.0)

    def __repr__(self) -> str:
        return f"Entropy({self.weight})"


class KullbackLeibler(Fixed):
    """The terminal cost weight * KL(rho, rho_Y) = weight * int rho log(rho/rho_Y) dx.

    Parameters
    ----------
    target : Density
        rho_Y, with a log-density and its gradient.
    weight : float
        Positive.
    """

    def __init__(self, target: Density, weight: float = 1.0) -> None:
        self.target = _validate.instance("target", target, Density)
        if isinstance(target, Empirical):
            raise ValueError(
                "target: got an Empirical density, wanted one with a log-density (samples "
                "alone serve games.normalizing_flow)"
            )
        self.weight = _validate.positive("terminal", weight)

    def functional(self, x: ArrayLike, log_rho: ArrayLike) -> float:
        """Its value from samples x (N, d) of rho with log rho(x), (N,)."""
        x, log_rho = _samples(x, log_rho)
        return float(self.weight * np.mean(log_rho - _log_density("target", self.target, x)))

    def derivative(self, x: ArrayLike, log_rho: ArrayLike) -> Float64:
        """G = weight (1 + log rho - log rho_Y), (N,), (D82)."""
        x, log_rho = _samples(x, log_rho)
        return self.weight * (1.0 + log_rho - _log_density("target", self.target, x))

    def __repr__(self) -> str:
        return f"KullbackLeibler({self.target!r}, weight={self.weight})"


class CrossEntropy(Fixed):
    """The terminal cost weight * E_{y ~ rho_Y}[-log rho(y)].

    Parameters
    ----------
    target : Density
        rho_Y; for the cost itself its samples are enough.
    weight : float
        Positive.
    """

    def __init__(self, target: Density, weight: float = 1.0) -> None:
        self.target = _validate.instance("target", target, Density)
        self.weight = _validate.positive("terminal", weight)

    def functional(self, y: ArrayLike, log_rho: ArrayLike) -> float:
        """Its value from samples y (N, d) of *rho_Y* with log rho(y), (N,)."""
        y, log_rho = _samples(y, log_rho)
        return float(-self.weight * np.mean(log_rho))

    def derivative(self, x: ArrayLike, log_rho: ArrayLike) -> Float64:
        """G = -weight rho_Y/rho, (N,), (D83)."""
        x, log_rho = _samples(x, log_rho)
        return -self.weight * np.exp(_log_density("target", self.target, x) - log_rho)

    def __repr__(self) -> str:
        return f"CrossEntropy({self.target!r}, weight={self.weight})"


class Game(Fixed):
    """A potential mean field game (18): where agents start, and what they pay.

    Parameters
    ----------
    initial : Density
        Where agents start, with samples and a log-density.
    terminal_cost : KullbackLeibler or CrossEntropy
    alpha : float, optional
        Weight of |v|^2/2; 0 for a cross-entropy alone.
    obstacle : Energy, optional
        Q.
    entropy : float, optional
        Weight of int rho log rho.

    Attributes
    ----------
    initial, target : Density
    running_cost : RunningCost
    interaction : Entropy
    terminal_cost : KullbackLeibler or CrossEntropy
    alpha, entropy, terminal : float
    energy : Energy
    dim : int

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted; dimensions that disagree.
    """

    def __init__(
        self, initial: Density, terminal_cost: KullbackLeibler | CrossEntropy,
        alpha: float = 1.0, obstacle: Energy | None = None, entropy: float = 0.0,
    ) -> None:  # fmt: skip
        self.initial = _validate.instance("initial", initial, Density)
        if isinstance(initial, Empirical):
            raise ValueError("initial: got an Empirical density, wanted one with a log-density")
        self.terminal_cost = _validate.instance(
            "terminal_cost", terminal_cost, (KullbackLeibler, CrossEntropy)
        )
        self.dim = _dimension("initial", initial)
        self.target = terminal_cost.target
        if _dimension("target", self.target) != self.dim:
            raise ValueError(
                f"target: got dim {self.target.dim}, wanted the initial density's {self.dim}"
            )
        self.running_cost = RunningCost(alpha, obstacle)
        self.alpha, self.energy = self.running_cost.alpha, self.running_cost.energy
        if self.alpha == 0.0 and not isinstance(terminal_cost, CrossEntropy):
            raise ValueError(f"alpha: got {alpha}, wanted a positive number")
        self.energy.check_dim(self.dim)
        self.interaction = Entropy(entropy)
        self.entropy, self.terminal = self.interaction.weight, terminal_cost.weight
        self._ask_densities()

    def _ask_densities(self) -> None:
        """Whether one's own densities answer in the shapes that kernels read, at some points."""
        n = self.dim + 1  # tells (n, d) from (d, n)
        x = _answer("initial", "sample", self.initial.sample(n, seed=0), (n, self.dim))
        crossed = isinstance(self.terminal_cost, CrossEntropy)
        asked = [("initial", self.initial, crossed)]  # the flow from y ends in its score
        if not crossed:
            asked.append(("target", self.target, True))
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
    """
    return Game(initial, KullbackLeibler(target, terminal), alpha)


def crowd_motion(
    initial: Density, target: Density, alpha: float = 1.0, obstacle: Energy | None = None,
    entropy: float = 0.0, terminal: float = 1.0,
) -> Game:  # fmt: skip
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
    return Game(initial, KullbackLeibler(target, terminal), alpha, obstacle, entropy)


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
    return Game(initial, CrossEntropy(target, terminal), alpha)


def _pair(x: ArrayLike, name: str, v: ArrayLike) -> tuple[Float64, Float64]:
    x = _validate.real_array("x", x, ("N", "d"))
    return x, _validate.real_array(name, v, x.shape)


def _samples(x: Any, log_rho: Any) -> tuple[Float64, Float64]:
    x = _validate.real_array("x", x, ("N", "d"))
    return x, _validate.real_vector("log_rho", log_rho, len(x))


def _dimension(name: str, density: Density) -> int:
    return _validate.positive_int(f"{name}.dim", getattr(density, "dim", None))


def _log_density(name: str, density: Density, x: Float64) -> Float64:
    return _answer(name, "log_density", density.log_density(x), (len(x),))


def _answer(name: str, method: str, value: Any, shape: tuple[int, ...]) -> Float64:
    """What a density's method returned; -inf is an answer outside its support, NaN is none."""
    value = np.asarray(value, dtype=np.float64)
    if value.shape != shape or np.isnan(value).any():
        what = "NaN" if value.shape == shape else f"an array of shape {value.shape}"
        raise ValueError(f"{name}: got {what} from its {method}, wanted numbers of shape {shape}")
    return value
