"""Shallow networks whose flow is known exactly: the truth for nonlinear fields, (D157), (D158).

Where W0 W1 is diagonal and W0 b1 = 0, the preactivations of f(z) = W1 tanh(W0 z + b0) + b1 obey an
equation each. A single neuron is always of this kind, whatever its weights. Derived in
docs/equations_exact_flows.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import exprel

from refode import _validate
from refode._blas import one_thread
from refode._fixed import Fixed, read_only
from refode._quiet import quietly
from refode._shown import as_called

__all__ = ["ParabolicFlow", "ShallowFlow"]

Float64 = NDArray[np.float64]

BIORTHOGONAL = 1e-12  # cosines up to here are taken for rounding of 0
FAR = 300.0  # of |a t|: beyond it exponentials are replaced by their logarithms
STILL = 1e-150  # of |a t|: up to here preactivations stand still to rounding
CANCELS = 0.5  # of |a t|: below it elementary integrals cancel, and Gauss's rule has one panel
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
PANEL = 2.0  # of |a t|, in which 16 nodes are exact to rounding: poles are pi/2 off the axis
MOST_PANELS = 10_000


class ShallowFlow(Fixed):
    """Exact flow of `fields.Shallow` where the preactivations decouple. Attributes are set once.

    Parameters
    ----------
    W0 : array_like, shape (k, d)
    b0 : array_like, shape (k,)
    W1 : array_like, shape (d, k)
        W0 W1 is diagonal to rounding. With k = 1 it always is.
    b1 : array_like, shape (d,), optional
        W0 b1 = 0 to rounding; 0 by default.

    Attributes
    ----------
    rates : ndarray, shape (k,)
        The diagonal a of W0 W1. Stiff where it is far below 0.
    theta : ndarray, shape (p,)
        The weights as ``NeuralODE(Shallow(d, k))`` takes them.

    Raises
    ------
    TypeError
        No real numbers.
    ValueError
        Shapes that disagree; weights that couple the preactivations.

    Notes
    -----
    With u = W0 z + b0, (D157): u_k(t) = asinh(e^(a_k t) sinh u_k(0)). All times have either sign,
    and nothing overflows on the way. Weights that change in time as alpha(t) W1 and alpha(t) b1 run
    through the same states: give the integral of alpha in place of t. ``dim`` and ``width``
    are d and k.

    Examples
    --------
    >>> exact = ShallowFlow([[1.5, -0.7]], [0.3], [[0.8], [1.1]])
    >>> exact.solve([[0.4, -0.9]], 1.0).round(6)
    array([[1.15002 , 0.131278]])
    """

    def __init__(
        self, W0: ArrayLike, b0: ArrayLike, W1: ArrayLike, b1: ArrayLike | None = None
    ) -> None:
        self.W0 = np.array(_validate.real_array("W0", W0, ("k", "d")))
        k, d = self.W0.shape
        self.b0 = np.array(_validate.real_vector("b0", b0, k))
        self.W1 = np.array(_validate.real_array("W1", W1, (d, k)))
        self.b1 = np.zeros(d) if b1 is None else np.array(_validate.real_vector("b1", b1, d))
        self.dim, self.width = d, k
        with np.errstate(all="ignore"):  # what is too large to multiply ends in an error
            self.rates = np.sum(self.W0 * self.W1.T, axis=1)
        _decoupled(self.W0, self.W1, self.b1)
        self.theta = self._flat(self.W0, self.b0, self.W1, self.b1)
        read_only(vars(self))

    @classmethod
    @one_thread
    def drawn(cls, dim: int, rates: ArrayLike, seed: int = 0) -> ShallowFlow:
        """Draw weights whose W0 W1 is diag(rates), with a b1 where dim leaves room for one.

        Parameters
        ----------
        dim : int
            d, at least the number of rates.
        rates : array_like, shape (k,)
        seed : int, optional
        """
        d = _validate.positive_int("dim", dim)
        rates = _validate.real_array("rates", rates, ("k",))
        if len(rates) > d:
            raise ValueError(f"rates: got {len(rates)} of them, wanted at most dim={d}")
        rng = np.random.default_rng(_validate.nonnegative_int("seed", seed))
        axes = np.linalg.qr(rng.standard_normal((d, d)))[0].T
        W0 = np.tril(rng.uniform(-0.5, 0.5, (len(rates),) * 2), -1) + np.eye(len(rates))
        rest = axes[len(rates) :].T
        W1 = axes[: len(rates)].T @ np.linalg.inv(W0) * rates
        W1 = W1 + rest @ rng.standard_normal((rest.shape[1], len(rates)))
        b1 = rest @ rng.standard_normal(rest.shape[1])
        return cls(W0 @ axes[: len(rates)], 0.3 * rng.standard_normal(len(rates)), W1, b1)

    def __repr__(self) -> str:
        return as_called(self, self.W0, self.b0, self.W1, self.b1)

    @quietly()
    @one_thread
    def solve(self, x: ArrayLike, t: float = 1.0) -> Float64:
        """z(t) (N, d) from z(0) = x (N, d), (D157); t of either sign."""
        x, t = _validate.samples("x", x, self.dim), _validate.real_number("t", t)
        return _finite(t, self._position(x, t, _Moved(self, self._start(x), t)))[0]

    @quietly()
    @one_thread
    def preactivations(self, x: ArrayLike, t: float = 1.0) -> Float64:
        """u(t) (N, k) to a few digits below its own size, where z(t) has those of x."""
        x, t = _validate.samples("x", x, self.dim), _validate.real_number("t", t)
        u = self._start(x)
        return _finite(t, np.sign(u) * _size(np.abs(u), self.rates * t))[0]

    @quietly()
    @one_thread
    def trajectory(self, x: ArrayLike, times: ArrayLike) -> Float64:
        """States (K, N, d) at times (K,), in any order, from z(0) = x (N, d)."""
        x, times = _validate.samples("x", x, self.dim), _validate.real_array("times", times, ("K",))
        u = self._start(x)
        found = [self._position(x, float(t), _Moved(self, u, float(t))) for t in times]
        return _finite(times, np.stack(found))[0]

    @quietly()
    @one_thread
    def log_det(self, x: ArrayLike, t: float = 1.0) -> tuple[Float64, Float64]:
        """z(t) (N, d) and the integral (N,) of the trace of df/dz up to t, (D157)."""
        x, t = _validate.samples("x", x, self.dim), _validate.real_number("t", t)
        moved = _Moved(self, self._start(x), t)
        z, log_det = _finite(t, self._position(x, t, moved), moved.log_d.sum(axis=1))
        return z, log_det

    @quietly()
    @one_thread
    def adjoint(
        self, x: ArrayLike, z_bar: ArrayLike, t: float = 1.0, log_det_bar: ArrayLike | None = None
    ) -> tuple[Float64, Float64, float]:
        """Pull cotangents of z(t) and of the log-determinant back, (D158).

        The derivatives are those of the flow in all directions of theta, of which most couple the
        preactivations: with one neuron elementary, with more of them integrals besides, by Gauss's
        rule to rounding.

        Parameters
        ----------
        x, z_bar : array_like, shape (N, d)
        t : float, optional
        log_det_bar : array_like, shape (N,), optional

        Returns
        -------
        theta_bar : ndarray, shape (p,)
        x_bar : ndarray, shape (N, d)
        t_bar : float

        Raises
        ------
        TypeError, ValueError
            Shapes and numbers; derivatives beyond float64; several neurons with rates beyond
            20,000/abs(t).
        """
        x, t = _validate.samples("x", x, self.dim), _validate.real_number("t", t)
        z_bar = _validate.real_array("z_bar", z_bar, x.shape)
        l_bar = np.zeros(len(x))
        if log_det_bar is not None:
            l_bar = _validate.real_vector("log_det_bar", log_det_bar, len(x))
        u, l_bar = self._start(x), l_bar[:, None]
        c = z_bar @ self.W1
        moved = _Moved(self, u, t)
        q = _costate(moved, c, l_bar)
        L, Q = self._integrals(u, t, c, l_bar, moved)
        q_all, Q_all, trace = q.sum(axis=0), Q.sum(axis=0), (l_bar * moved.slopes).sum(axis=0)
        b1_bar = t * z_bar.sum(axis=0) + L.sum(axis=0) @ self.W0
        W0_bar = q.T @ x + Q_all @ self.W1.T + np.outer(L.sum(axis=0), self.b1)
        W0_bar += trace[:, None] * self.W1.T
        W1_bar = z_bar.T @ moved.values + self.W0.T @ Q_all + trace * self.W0.T
        slope = 1.0 - np.tanh(u + moved.by) ** 2
        velocity = np.tanh(u + moved.by) @ self.W1.T + self.b1
        t_bar = np.sum(z_bar * velocity) + np.sum(l_bar * slope * self.rates)
        theta_bar = self._flat(W0_bar, q_all, W1_bar, b1_bar)
        theta_bar, x_bar, last = _finite(t, theta_bar, z_bar + q @ self.W0, t_bar)
        return theta_bar, x_bar, float(last)

    # --- insides -----------------------------------------------------------------------
    def _flat(self, W0: Float64, b0: Float64, W1: Float64, b1: Float64) -> Float64:
        return np.concatenate([W0.ravel(), b0, W1.ravel(), b1])

    def _start(self, x: Float64) -> Float64:
        return x @ self.W0.T + self.b0

    def _position(self, x: Float64, t: float, moved: _Moved) -> Float64:
        return x + t * self.b1 + moved.values @ self.W1.T

    def _integrals(
        self, u: Float64, t: float, c: Float64, l_bar: Float64, moved: _Moved
    ) -> tuple[Float64, Float64]:
        """Integrals of q_j (N, k) and of q_j tanh u_k (N, k, k) over [0, t], (D158)."""
        n, k = u.shape
        elementary = np.abs(self.rates * t) >= CANCELS
        L, Q = np.zeros((n, k)), np.zeros((n, k, k))
        if k > 1 or not elementary.all():
            L, Q = self._by_gauss(u, t, c, l_bar, L, Q)
        j = np.flatnonzero(elementary)
        a, d, start = self.rates[j], np.exp(moved.log_d[:, j]), np.tanh(u[:, j])
        T, S, end = moved.values[:, j], moved.slopes[:, j], d * start  # end = tanh u(t)
        of_d = (np.expm1(moved.log_d[:, j]) + end * moved.by[:, j]) / a
        L[:, j] = c[:, j] * (of_d - t) / a + l_bar * (T - end * of_d)
        Q[:, j, j] = c[:, j] * (end * t - T) / a + l_bar * (t * (1.0 - end**2) - S)
        return L, Q

    def _by_gauss(
        self, u: Float64, t: float, c: Float64, l_bar: Float64, L: Float64, Q: Float64
    ) -> tuple[Float64, Float64]:
        reach = float(np.abs(self.rates * t).max())
        if not reach <= PANEL * MOST_PANELS:
            raise ValueError(
                f"t: got {t} with rates up to {np.abs(self.rates).max()}, wanted at most "
                f"{PANEL * MOST_PANELS:.0f} of their product for several neurons"
            )
        panels = max(1, int(np.ceil(reach / PANEL)))
        half = 0.5 * t / panels
        for panel in range(panels):
            for node, weight in zip(NODES, WEIGHTS, strict=True):
                s = half * (2 * panel + 1 + node)
                there = u + _Moved(self, u, s).by
                q = _costate(_Moved(self, there, t - s), c, l_bar)
                L += weight * half * q
                Q += weight * half * q[:, :, None] * np.tanh(there)[:, None, :]
        return L, Q


class ParabolicFlow(ShallowFlow):
    """Exact flow of `fields.Parabolic` with tanh and orthogonal rows; as `ShallowFlow`.

    Parameters
    ----------
    K : array_like, shape (k, d)
        Rows orthogonal to rounding. The rates are -|K_k|^2.
    b0 : array_like, shape (k,)
    """

    def __init__(self, K: ArrayLike, b0: ArrayLike) -> None:
        K = _validate.real_array("K", K, ("k", "d"))
        super().__init__(K, b0, -K.T)

    @classmethod
    @one_thread
    def drawn(cls, dim: int, rates: ArrayLike, seed: int = 0) -> ParabolicFlow:
        """Draw orthogonal rows with -|K_k|^2 = rates, none of them positive."""
        d = _validate.positive_int("dim", dim)
        rates = _validate.real_array("rates", rates, ("k",))
        if len(rates) > d or rates.max() > 0.0:
            raise ValueError(f"rates: got {rates}, wanted at most dim={d} numbers <= 0")
        rng = np.random.default_rng(_validate.nonnegative_int("seed", seed))
        rows = np.linalg.qr(rng.standard_normal((d, d)))[0][: len(rates)]
        return cls(np.sqrt(-rates)[:, None] * rows, 0.3 * rng.standard_normal(len(rates)))

    def __repr__(self) -> str:
        return as_called(self, self.W0, self.b0)

    def _flat(self, W0: Float64, b0: Float64, W1: Float64, b1: Float64) -> Float64:
        """K and b0; of cotangents K's two places together. theta itself is read from W0 alone."""
        at_first = "theta" not in vars(self)
        return np.concatenate([(W0 if at_first else W0 - W1.T).ravel(), b0])


class _Moved:
    """Where preactivations u (N, k) have gone by time t, each entry (N, k).

    Attributes
    ----------
    by : u(t) - u(0)
    log_d : log of the derivative D of u(t) by u(0)
    values, slopes : integrals of tanh u and of sech^2 u over [0, t]
    """

    def __init__(self, flow: ShallowFlow, u: Float64, t: float) -> None:
        a = flow.rates
        at = np.broadcast_to(a * t, u.shape)
        near = np.abs(at) <= FAR
        e = np.exp(-2.0 * np.abs(u))
        slope, tanh = 4.0 * e / (1.0 + e) ** 2, np.tanh(u)
        self.by, self.log_d = _by_logarithms(u, at)
        by, log_d = _by_exponentials(slope, tanh, np.where(near, at, 0.0))
        self.by, self.log_d = np.where(near, by, self.by), np.where(near, log_d, self.log_d)
        still = np.abs(at) < STILL
        safe = np.where(still, 1.0, a)
        self.values = np.where(still, t * tanh, self.by / safe)
        self.slopes = np.where(still, t * slope, self.log_d / safe)
        self.start = tanh


def _by_exponentials(slope: Float64, tanh: Float64, at: Float64) -> tuple[Float64, Float64]:
    """(D157) without cancellation, however small a t or u is; |a t| must not be large."""
    inner = slope * np.exp(-2.0 * at) + tanh**2  # 1/D^2
    by = np.arcsinh(2.0 * tanh * np.sinh(at) / (1.0 + np.sqrt(inner)))
    less_one = slope * np.expm1(-2.0 * at)
    return by, -0.5 * np.where(less_one > -0.5, np.log1p(less_one), np.log(inner))


def _by_logarithms(u: Float64, at: Float64) -> tuple[Float64, Float64]:
    """(D157) without overflow, however large a t or u is."""
    size = np.abs(u)
    end = _size(size, at)
    return np.sign(u) * (end - size), at + _log_2_cosh(size) - _log_2_cosh(end)


def _size(size: Float64, at: Float64) -> Float64:
    """|u(t)| of |u(0)|: asinh(e^w) with w = a t + log sinh |u(0)|."""
    large = size - np.log(2.0) + np.log1p(-np.exp(-2.0 * size))
    w = at + np.where(size > 1.0, large, np.log(np.sinh(np.minimum(size, 1.0))))
    grown = w + np.log1p(np.sqrt(1.0 + np.exp(-2.0 * np.maximum(w, 0.0))))
    return np.where(w > 0.0, grown, np.arcsinh(np.exp(np.minimum(w, 0.0))))


def _log_2_cosh(size: Float64) -> Float64:
    return size + np.log1p(np.exp(-2.0 * size))


def _costate(moved: _Moved, c: Float64, l_bar: Float64) -> Float64:
    """q of (D158) where `moved` leads to the end: c (D - 1)/a + l_bar tanh u (1 - D^2)."""
    growth = moved.slopes * exprel(moved.log_d)
    return c * growth - l_bar * moved.start * np.expm1(2.0 * moved.log_d)


def _decoupled(W0: Float64, W1: Float64, b1: Float64) -> None:
    """Refuse weights that couple the preactivations, naming the first pair."""
    with np.errstate(all="ignore"):
        of_W1 = np.abs(_unit(W0) @ _unit(W1.T).T)
        np.fill_diagonal(of_W1, 0.0)
        of_b1 = np.abs(_unit(W0) @ _unit(b1[None])[0])
    for name, cosines in (("W1", of_W1), ("b1", of_b1)):
        if cosines.max() > BIORTHOGONAL:
            worst = np.unravel_index(cosines.argmax(), cosines.shape)
            column = f"column {worst[1]} of W1" if name == "W1" else "b1"
            raise ValueError(
                f"{name}: got {column} at a cosine of {cosines.max():.1e} to row {worst[0]} of W0, "
                f"wanted {'W0 W1 diagonal' if name == 'W1' else 'W0 b1 = 0'} (to {BIORTHOGONAL})"
            )


def _unit(rows: Float64) -> Float64:
    """Rows brought to length 1, those of zeros left."""
    rows = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-300)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)


def _finite(t: Any, *results: Any) -> tuple[Any, ...]:
    if not all(np.isfinite(result).all() for result in results):
        raise ValueError(f"t: got {t}, wanted times at which all results are below 1.8e308")
    return results
