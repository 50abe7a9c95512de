"""What agents pay on the way and at its end, with L2 derivatives: (D80)-(D83), (D87)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refode import _validate
from refode._fixed import Fixed
from refode._quiet import quietly
from refode._weights import weighing
from refode.costs.energies import Energy
from refode.densities import Density, Empirical
from refode.games.energies import Nothing

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
        self.energy = _validate.instance("energy", Nothing() if energy is None else energy, Energy)

    @quietly()
    def value(self, x: ArrayLike, v: ArrayLike) -> Float64:
        """L (N,) at points x and velocities v, (N, d)."""
        x, v = _pair(x, "v", v)
        return 0.5 * self.alpha * np.sum(v**2, axis=1) + self.energy.value(x)

    @quietly()
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

    @quietly()
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
        self.weight = _validate.nonnegative("weight", weight)

    @quietly()
    def functional(
        self, x: ArrayLike, log_rho: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> float:
        """Its value from samples x (N, d) of rho with log rho(x), (N,), and their weights."""
        x, log_rho = _samples(x, log_rho)
        return float(self.weight * _mean(log_rho, sample_weight))

    @quietly()
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
        self.weight = _validate.positive("weight", weight)

    @quietly()
    def functional(
        self, x: ArrayLike, log_rho: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> float:
        """Its value from samples x (N, d) of rho with log rho(x), (N,), and their weights.

        It is inf where log rho_Y is -inf at a sample.
        """
        x, log_rho = _samples(x, log_rho)
        excess = log_rho - _log_density("target", self.target, x)
        return float(self.weight * _mean(excess, sample_weight))

    @quietly()
    def derivative(self, x: ArrayLike, log_rho: ArrayLike) -> Float64:
        """G = weight (1 + log rho - log rho_Y), (N,), (D82); inf where log rho_Y is -inf."""
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
        self.weight = _validate.positive("weight", weight)

    @quietly()
    def functional(
        self, y: ArrayLike, log_rho: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> float:
        """Its value from samples y (N, d) of *rho_Y* with log rho(y), (N,), and their weights."""
        y, log_rho = _samples(y, log_rho, "y")
        return float(-self.weight * _mean(log_rho, sample_weight))

    @quietly()
    def derivative(self, x: ArrayLike, log_rho: ArrayLike) -> Float64:
        """G = -weight rho_Y/rho, (N,), (D83); -inf where that is beyond float64."""
        x, log_rho = _samples(x, log_rho)
        return -self.weight * np.exp(_log_density("target", self.target, x) - log_rho)

    def __repr__(self) -> str:
        return f"CrossEntropy({self.target!r}, weight={self.weight})"


class TerminalEnergy(Fixed):
    """The terminal cost weight * E g(z(T)): an energy g that agents pay for where they end.

    Parameters
    ----------
    energy : Energy
        g: a `GaussianBump`, a `Quadratic`, a sum, or one's own (docs/adding_a_terminal_cost.md).
    weight : float
        Positive.
    """

    def __init__(self, energy: Energy, weight: float = 1.0) -> None:
        self.energy = _validate.instance("energy", energy, Energy)
        self.weight = _validate.positive("weight", weight)

    @quietly()
    def functional(
        self, x: ArrayLike, log_rho: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> float:
        """Its value from samples x (N, d) of rho, and their weights; log rho (N,) is not read."""
        x, _ = _samples(x, log_rho)
        return float(self.weight * _mean(self.energy.value(x), sample_weight))

    @quietly()
    def derivative(self, x: ArrayLike, log_rho: ArrayLike) -> Float64:
        """G = weight g, (N,), whatever rho is, (D87)."""
        x, _ = _samples(x, log_rho)
        return self.weight * self.energy.value(x)

    def check_dim(self, d: int) -> None:
        """ValueError where g does not live on R^d."""
        try:
            self.energy.check_dim(d)
        except ValueError as error:  # energies are obstacles to themselves
            message = str(error)
            if not message.startswith("obstacle:"):
                raise
            raise ValueError("terminal_cost:" + message.removeprefix("obstacle:")) from None

    def __repr__(self) -> str:
        return f"TerminalEnergy({self.energy!r}, weight={self.weight})"


def _pair(x: ArrayLike, name: str, v: ArrayLike) -> tuple[Float64, Float64]:
    x = _validate.real_array("x", x, ("N", "d"))
    return x, _validate.real_array(name, v, x.shape)


def _samples(x: Any, log_rho: Any, name: str = "x") -> tuple[Float64, Float64]:
    x = _validate.real_array(name, x, ("N", "d"))
    return x, _validate.real_vector("log_rho", log_rho, len(x))


def _mean(values: Float64, sample_weight: Any) -> Any:
    """Mean over the samples, those of weight 0 left out."""
    by, keep = weighing(sample_weight, len(values))
    return by.mean(values if keep is None else values[keep])


def _log_density(name: str, density: Density, x: Float64) -> Float64:
    return _answer(name, "log_density", density.log_density(x), (len(x),))


def _answer(name: str, method: str, value: Any, shape: tuple[int, ...]) -> Float64:
    """What a density's method returned; -inf is an answer outside its support, NaN is none."""
    value = np.asarray(value, dtype=np.float64)
    if value.shape != shape or np.isnan(value).any():
        what = "NaN" if value.shape == shape else f"an array of shape {value.shape}"
        raise ValueError(f"{name}: got {what} from its {method}, wanted numbers of shape {shape}")
    return value
