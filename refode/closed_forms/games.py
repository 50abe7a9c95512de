"""The linear-quadratic game with entropy, solved to rounding: a truth to hold games against.

Derived in docs/equations_closed_forms.md, (D68)-(D73). The density stays Gaussian, so that each
coordinate has a mean, which is elementary, and a deviation, which minimises a convex function.
"""

from __future__ import annotations

import contextlib
import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from refode import _validate
from refode._blas import one_thread
from refode._fixed import Fixed, read_only
from refode._quiet import quietly
from refode._shown import as_called

__all__ = ["LinearQuadraticGame", "lq_game"]

Float64 = NDArray[np.float64]

RESOLVED = 1e-15  # of a series of degree 1, its last coefficients; in proportion to the degree
NODES = (16, 32, 64, 128, 256, 512)
MAX_NEWTON = 60  # layers that some degree resolves take a dozen steps, 30 at most


@quietly()
def lq_game(
    alpha: float,
    entropy: float,
    stiffness: ArrayLike,
    centre: ArrayLike,
    terminal: float,
    mean0: ArrayLike,
    deviation0: ArrayLike,
    target_mean: ArrayLike,
    target_deviation: ArrayLike,
    T: float = 1.0,
) -> LinearQuadraticGame:
    """Solve the linear-quadratic game with entropy between Gaussians, (D68).

    It minimises, over densities rho on [0, T] that start at N(mean0, diag deviation0^2) and move
    with velocity v::

        int E[alpha/2 |v|^2 + sum_i stiffness_i/2 (x_i - centre_i)^2] + entropy int rho log rho dt
        + terminal KL(rho(T) || N(target_mean, diag target_deviation^2))

    Parameters
    ----------
    alpha : float
        Weight of the running cost, > 0.
    entropy, terminal : float
        Weights lambda and beta, >= 0.
    stiffness, centre : float or array_like, shape (d,)
        k >= 0 and q of the quadratic potential.
    mean0, deviation0, target_mean, target_deviation : float or array_like, shape (d,)
        Means and standard deviations, the latter > 0; numbers count for every coordinate.
    T : float, optional
        End of the interval, > 0.

    Returns
    -------
    LinearQuadraticGame
        Densities, value function and costs, to about 1e-11 of their size.

    Raises
    ------
    TypeError
        No real numbers.
    ValueError
        Numbers out of range, shapes that disagree, or layers at the ends of [0, T] so thin that
        polynomials of degree 512 do not resolve them.
    """
    alpha = _validate.positive("alpha", alpha)
    entropy = _validate.nonnegative("entropy", entropy)
    terminal = _validate.nonnegative("terminal", terminal)
    T = _validate.positive("T", T)
    named = {
        "stiffness": stiffness,
        "centre": centre,
        "mean0": mean0,
        "deviation0": deviation0,
        "target_mean": target_mean,
        "target_deviation": target_deviation,
    }
    k, q, m0, s0, m1, s1 = _coordinates(named)
    for name, values in (("deviation0", s0), ("target_deviation", s1)):
        for value in values:
            _validate.positive(name, float(value))
    for value in k:
        _validate.nonnegative("stiffness", float(value))
    return LinearQuadraticGame(alpha, entropy, k, q, terminal, m0, s0, m1, s1, T)


class LinearQuadraticGame(Fixed):
    """Equilibrium of a linear-quadratic game; made by `lq_game`. Attributes are set once.

    Attributes
    ----------
    dim : int
        d.
    L, F, G : ndarray, shape (d,)
        The coordinates' shares of the running cost, of potential and entropy, and of the terminal
        cost, all weighted, (D71).
    """

    def __init__(
        self,
        alpha: float,
        entropy: float,
        k: Float64,
        q: Float64,
        terminal: float,
        m0: Float64,
        s0: Float64,
        m1: Float64,
        s1: Float64,
        T: float,
    ) -> None:
        self.alpha, self.entropy, self.stiffness, self.centre = alpha, entropy, k, q
        self.terminal, self.mean0, self.deviation0, self.T = terminal, m0, s0, T
        self.target_mean, self.target_deviation = m1, s1
        self.dim = len(k)
        self._s: NDArray[Any] = self.deviation0[None]  # the series to start from
        with contextlib.suppress(_NotFound), np.errstate(all="ignore"):  # ends in an error
            for degree in NODES:
                if self._solve(degree):
                    read_only(vars(self))
                    return
        raise ValueError(
            f"stiffness, entropy, terminal: got {k}, {entropy}, {terminal} with alpha={alpha}, "
            f"T={T}, wanted layers at the ends of [0, T] that degree {NODES[-1]} resolves"
        )

    def __repr__(self) -> str:
        given = (self.alpha, self.entropy, self.stiffness, self.centre, self.terminal, self.mean0)
        more = (self.deviation0, self.target_mean, self.target_deviation, self.T)
        return as_called(self, *given, *more)

    @property
    @quietly()
    def total(self) -> float:
        """The minimum of the cost, L + F + G summed over coordinates."""
        return float(np.sum(self.L + self.F + self.G))

    @property
    @quietly()
    def costs(self) -> dict[str, float]:
        """Sums over coordinates of the weighted terms, named as ``MeanFieldGame.costs``."""
        terms = {"L": self.L, "F": self.F, "G": self.G}
        return {name: float(np.sum(a)) for name, a in terms.items()} | {"total": self.total}

    @quietly()
    def mean(self, t: ArrayLike, derivative: int = 0) -> Float64:
        """Mean m, or m', at times t: shape (*t.shape, d), (D72).

        Raises
        ------
        ValueError, TypeError
            A time outside [0, T]; another derivative than 0 and 1.
        """
        t = self._times(t)
        return self._mean(t)[_order(derivative)]

    @quietly()
    def deviation(self, t: ArrayLike, derivative: int = 0) -> Float64:
        """Standard deviation s, or s', at times t: shape (*t.shape, d), (D73).

        Raises
        ------
        ValueError, TypeError
            A time outside [0, T]; another derivative than 0 and 1.
        """
        t = self._times(t)
        return self._series(self._s_dot if _order(derivative) else self._s, t)

    @quietly()
    def value_function(self, t: float, x: ArrayLike) -> tuple[Float64, Float64, Float64]:
        """Value function Phi (N,), grad Phi (N, d) and dPhi/dt (N,) at x (N, d), (D70)."""
        t, y, m, s = self._local(t, x)
        slope = s[1] / s[0]
        gradient = -self.alpha * (m[1] + slope * y)
        c = float(np.sum(self._series(self._c, t))) + self.terminal + self.entropy * (self.T - t)
        phi = c - self.alpha * np.sum((m[1] + 0.5 * slope * y) * y, axis=1)
        log_rho = self._log_density(y, s[0])
        Q = 0.5 * np.sum(self.stiffness * (m[0] + y - self.centre) ** 2, axis=1)
        # the HJB equation itself, which (D70) was shown to satisfy
        time = np.sum(gradient**2, axis=1) / (2.0 * self.alpha) - Q - self.entropy * (log_rho + 1.0)
        return phi, gradient, time

    @quietly()
    def laplacian(self, t: float) -> float:
        """Laplacian of Phi at t, the same everywhere."""
        t = self._time(t)
        return float(-self.alpha * np.sum(self.deviation(t, 1) / self.deviation(t)))

    @quietly()
    def velocity(self, t: float, x: ArrayLike) -> Float64:
        """Velocity v = -grad Phi/alpha, (N, d)."""
        return -self.value_function(t, x)[1] / self.alpha

    @quietly()
    def log_density(self, t: float, x: ArrayLike) -> Float64:
        """log rho(t, x), (N,)."""
        _, y, _, s = self._local(t, x)
        return self._log_density(y, s[0])

    @quietly()
    def positions(self, t: float, x: ArrayLike) -> Float64:
        """Where agents who start at x (N, d) are at time t: m + s/s0 (x - m0)."""
        t, x = self._time(t), _validate.samples("x", x, self.dim)
        return self.mean(t) + self.deviation(t) / self.deviation0 * (x - self.mean0)

    # --- insides -----------------------------------------------------------------------
    @one_thread
    def _solve(self, degree: int) -> bool:
        """Solve with polynomials of this degree; whether they resolve what they represent."""
        nodes, weights, D, to_series = _lobatto(degree)
        t, w, D = 0.5 * self.T * (nodes + 1.0), 0.5 * self.T * weights, 2.0 / self.T * D
        m, m_dot = self._mean(t)
        start = np.maximum(self._series(self._s, t), 1e-3 * self.deviation0)
        s = np.stack([self._least(i, w, D, start[:, i]) for i in range(self.dim)], axis=1)
        k, a, e = self.stiffness, self.alpha, self.entropy
        # integrated from the equation, as differentiating the series would lose digits
        half, last = 0.5 * self.T, s[-1]
        self._s_dot = legendre.legint(to_series @ ((k * s - e / s) / a), scl=half, lbnd=-1.0)
        moved = legendre.legint(self._s_dot, scl=half, lbnd=-1.0).sum(axis=0)  # up to T
        self._s_dot[0] += (last - self.deviation0 - moved) / self.T
        self._s = legendre.legint(self._s_dot, scl=half, lbnd=-1.0)
        self._s[0] += self.deviation0
        s, s_dot = (np.asarray(self._series(a, t), np.float64) for a in (self._s, self._s_dot))
        if s.min() <= 0.0:  # far from resolved
            return False
        kinetic = 0.5 * a * (m_dot**2 + s_dot**2)
        from_centre, log_s = 0.5 * k * (m - self.centre) ** 2, np.log(s) + 0.5 * math.log(2 * np.pi)
        c_dot = -0.5 * a * m_dot**2 - from_centre + e * log_s
        rate = to_series @ c_dot
        self.L = w @ kinetic
        self.F = w @ (from_centre + 0.5 * k * s**2 - e * (log_s + 0.5))
        miss = 0.5 * ((m[-1] - self.target_mean) / self.target_deviation) ** 2
        ratio = s[-1] / self.target_deviation
        at_end = self.terminal * (miss - np.log(ratio))
        self.G = at_end + 0.5 * self.terminal * (ratio**2 - 1.0)
        self._c = legendre.legint(rate, scl=half, lbnd=1.0)
        self._c[0] += at_end
        floor = a * (self._s[0] / self.T) ** 2  # rounding of s' is that of s/T
        kinetic = to_series @ kinetic
        return _resolved(self._s) and _resolved(rate, floor) and _resolved(kinetic, floor)

    def _least(self, i: int, w: Float64, D: Float64, s: Float64) -> Float64:
        """Deviation of coordinate i at the nodes from s: Newton on the convex function of (D73)."""
        scale = max(self.alpha, self.stiffness[i], self.entropy, self.terminal)
        a, k, e, beta = (
            float(v) / scale for v in (self.alpha, self.stiffness[i], self.entropy, self.terminal)
        )
        e, w_end = e * w, np.zeros_like(w)
        e[-1] += beta  # of -log s, the end's among them
        w_end[-1] = beta / self.target_deviation[i] ** 2
        H0 = a * (D.T * w) @ D + np.diag(k * w + w_end)

        def gradient(s: Float64) -> Float64:
            return (H0 @ s - e / s)[1:]

        s[0] = self.deviation0[i]
        g, last = gradient(s), np.inf
        for _ in range(MAX_NEWTON):
            step = -np.linalg.solve((H0 + np.diag(e / s**2))[1:, 1:], g)
            size = float(np.max(np.abs(step) / s[1:]))
            if size < 1e-9 and size >= 0.5 * last:  # rounding is all that is left
                break
            last, descent = size, float(g @ step)
            length = min(1.0, 0.9 / max(float(np.max(-step / s[1:])), 1e-300))
            trial = s.copy()
            for _ in range(60):
                trial[1:] = s[1:] + length * step
                g = gradient(trial)
                if size < 1e-3 or float(g @ step) <= 0.5 * abs(descent):
                    break
                length *= 0.5
            s = trial.copy()
        else:  # of no use at higher degrees, where each step costs more
            raise _NotFound
        return s

    def _mean(self, t: Any) -> tuple[Float64, Float64]:
        """Mean and its derivative at times t, (D72), by exponentials that cannot overflow."""
        omega, T = np.sqrt(self.stiffness / self.alpha), self.T
        pull = self.terminal / self.target_deviation**2
        t = np.asarray(t)[..., None]
        cosh_T, sinh_T = _scaled_cosh_sinh(omega, T)
        below = self.alpha * cosh_T + pull * sinh_T
        cosh_left, sinh_left = _scaled_cosh_sinh(omega, T - t)
        cosh_t, sinh_t = _scaled_cosh_sinh(omega, t)
        left, gone = np.exp(-omega * t), np.exp(-omega * (T - t))
        u = left * (self.alpha * cosh_left + pull * sinh_left) / below
        u_dot = -left * (self.stiffness * sinh_left + pull * cosh_left) / below
        start, end = self.mean0 - self.centre, pull * (self.target_mean - self.centre)
        m = self.centre + start * u + end * gone * sinh_t / below
        return m, start * u_dot + end * gone * cosh_t / below

    def _series(self, coefficients: NDArray[Any], t: Any) -> Float64:
        """Legendre series (n, d) at t: (*t.shape, d)."""
        return np.moveaxis(legendre.legval(2.0 * np.asarray(t) / self.T - 1.0, coefficients), 0, -1)

    def _local(self, t: float, x: ArrayLike) -> tuple[float, Float64, Any, Any]:
        """t, x - m, (m, m'), (s, s')."""
        t, x = self._time(t), _validate.samples("x", x, self.dim)
        m, s = self._mean(t), (self.deviation(t), self.deviation(t, 1))
        return t, x - m[0], m, s

    def _log_density(self, y: Float64, s: Float64) -> Float64:
        logs = 0.5 * (y / s) ** 2 + np.log(s) + 0.5 * math.log(2.0 * math.pi)
        return -np.sum(logs, axis=1)

    def _time(self, t: float) -> float:
        t = _validate.real_number("t", t)
        if not 0.0 <= t <= self.T:
            raise ValueError(f"t: got {t}, wanted a time in [0, {self.T}]")
        return t

    def _times(self, t: ArrayLike) -> Float64:
        times = _validate.real_array("t", t, (None,) * _validate.n_axes(t))
        if times.min() < 0.0 or times.max() > self.T:
            raise ValueError(
                f"t: got times in [{times.min()}, {times.max()}], wanted times in [0, {self.T}]"
            )
        return times


class _NotFound(Exception):
    """Newton's method does not come to an end: the layers are thinner than any degree resolves."""


@lru_cache(maxsize=len(NODES))
@one_thread
def _lobatto(n: int) -> tuple[Float64, Float64, Float64, Float64]:
    """Gauss-Lobatto on [-1, 1] with degree n: nodes, weights, derivative, values -> series."""
    top = np.zeros(n + 1)
    top[n] = 1.0
    # The zeros of P_n' are those of a Jacobi polynomial, and of its symmetric matrix, of which the
    # lower triangle is read (Golub, Welsch). NumPy's legroots may answer in complex numbers.
    k = np.arange(1.0, n - 1.0)
    beside = np.sqrt(k * (k + 2.0) / ((2.0 * k + 1.0) * (2.0 * k + 3.0)))
    inner = np.linalg.eigvalsh(np.diag(beside, -1))
    for _ in range(2):  # Newton, as (1 - x^2) P'' = 2 x P' - n (n + 1) P
        P, P_dot = legendre.legval(inner, top), legendre.legval(inner, legendre.legder(top))
        inner -= P_dot * (1.0 - inner**2) / (2.0 * inner * P_dot - n * (n + 1) * P)
    nodes = np.concatenate([[-1.0], inner, [1.0]])
    nodes = 0.5 * (nodes - nodes[::-1])
    V = legendre.legvander(nodes, n)
    weights = 2.0 / (n * (n + 1) * V[:, n] ** 2)
    # the quadrature is exact for all products of the basis but the square of the last
    norms = (2.0 * np.arange(n + 1) + 1.0) / 2.0
    norms[n] = n / 2.0
    to_series = norms[:, None] * V.T * weights
    gap = nodes[:, None] - nodes
    np.fill_diagonal(gap, 1.0)
    D = V[:, n][:, None] / V[:, n] / gap
    np.fill_diagonal(D, 0.0)
    np.fill_diagonal(D, -D.sum(axis=1))  # constants have no slope
    return nodes, weights, D, to_series


def _resolved(coefficients: NDArray[Any], floor: Any = 0.0) -> bool:
    """Whether the last coefficients of every series are at the rounding of it or of `floor`."""
    magnitude = np.abs(coefficients)
    bound = RESOLVED * len(coefficients) * np.maximum(magnitude.max(axis=0), floor)
    return bool(np.all(magnitude[-4:].max(axis=0) <= bound))


def _scaled_cosh_sinh(omega: Float64, t: Any) -> tuple[Float64, Float64]:
    """exp(-omega t) times cosh(omega t) and sinh(omega t)/omega; the latter is t for omega = 0."""
    decay = np.expm1(-2.0 * omega * t)
    safe = np.where(omega > 0.0, omega, 1.0)
    return 1.0 + 0.5 * decay, np.where(omega > 0.0, -0.5 * decay / safe, t)


def _coordinates(named: dict[str, ArrayLike]) -> list[Float64]:
    """The named arguments as vectors of one length."""
    vectors = {name: _validate.n_axes(value) for name, value in named.items()}
    first = next((name for name, axes in vectors.items() if axes), None)
    d = 1 if first is None else len(_validate.real_array(first, named[first], ("d",)))
    vectors_of = []
    for name, value in named.items():
        if vectors[name]:
            vectors_of.append(_validate.real_array(name, value, (d,)).copy())
        else:
            vectors_of.append(np.full(d, _validate.real_number(name, value)))
    return vectors_of


def _order(derivative: int) -> int:
    derivative = _validate.nonnegative_int("derivative", derivative)
    if derivative > 1:
        raise ValueError(f"derivative: got {derivative}, wanted 0 or 1")
    return derivative
