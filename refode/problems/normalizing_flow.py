"""Continuous normalizing flows by maximum likelihood, eqs. (10)-(16)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from refode import _validate
from refode._blas import one_thread
from refode._fixed import Kept
from refode._quiet import quietly
from refode._weights import Weighing
from refode.ode.neural_ode import NeuralODE
from refode.ode.placement import Resident, hosted, moved, samples, send
from refode.ode.steps import Steps
from refode.problems.contract import with_total
from refode.problems.flow_error_bars import FlowErrorBars
from refode.problems.learned_steps import LearnsSteps
from refode.problems.paths import all_finite
from refode.problems.regularisers import Regulariser
from refode.problems.scaling import Scaling, checked, described, standardised, with_units
from refode.problems.weights import sent, weighed
from refode.sweeps.symplectic import Partitioned

Array = np.ndarray
TRACES = ("exact", "rademacher", "gaussian")


class ContinuousNormalizingFlow(LearnsSteps, FlowErrorBars):
    """A density as the push-forward of the standard normal by a neural ODE.

    F takes x ~ N(0, I) at t0 to a datum at T; its inverse integrates from T to t0, eq. (12).
    The objective is the mean exact negative log-likelihood of data y, in nats, eqs. (13), (14)
    with the sign of docs/errata.md, plus the transport cost (15) and regularisers:

    mean [|w|^2/2 + d/2 log 2 pi + int tr df/dz dt + transport int |f|^2/2 dt], w = F^{-1}(y).

    Parameters
    ----------
    ode : NeuralODE
        Of dimension d, with a Runge-Kutta scheme.
    transport : float, optional
        alpha of (15).
    tikhonov : float, optional
        Adds tikhonov/2 |theta|^2.
    smoothness : float, optional
        Adds smoothness/2 int |theta'(t)|^2 dt, as for ``Supervised``.
    trace : {"exact", "rademacher", "gaussian"}, optional
        The field's own trace; or, in the objective and its gradient alone, Hutchinson's
        estimate eps^T df/dz eps with one eps a sample for the whole path.
    noise_seed : int, optional
        Draws eps, by a key of its own: no data drawn with the same seed have its numbers.
        It stays the same from one evaluation to the next, as an optimiser that
        compares values needs; ``with_noise`` redraws.
    device : {"cpu", "cuda"}, optional
        Where sweeps run, docs/cuda.md; where the ode's do by default.
    dtype : {"float64", "float32"}, optional
        Number type on the device given; results are float64.
    y_scaling : Scaling, optional
        How data are shifted and scaled where they come in: what ``standardized`` sets,
        docs/data.md.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.

    Notes
    -----
    Densities, inverses and samples always use the exact trace. All quantities are
    dimensionless; logarithms are natural.

    Examples
    --------
    >>> import numpy as np, refode
    >>> flow = refode.ContinuousNormalizingFlow(refode.NeuralODE(refode.fields.Shallow(2, 8)))
    >>> theta, y = flow.initial(), np.random.default_rng(0).normal(size=(50, 2))
    >>> value, gradient = flow.value_and_gradient(theta, y)
    >>> bool(np.isclose(value, -flow.log_density(theta, y).mean())), gradient.shape == theta.shape
    (True, True)
    >>> np.allclose(flow.generate(theta, flow.inverse(theta, y)[0]), y, atol=1e-4)
    True
    """

    n_data = (1, 1)
    no_gauss_newton = (
        "its log-determinant is no output with a convex loss; method='newton-cg' has the Hessian"
    )
    held_out_term = "likelihood"
    has_sample_weight = True

    @quietly()
    def __init__(
        self,
        ode: NeuralODE,
        transport: float = 0.0,
        tikhonov: float = 0.0,
        smoothness: float = 0.0,
        trace: str = "exact",
        noise_seed: int = 0,
        device: str | None = None,
        dtype: Any = "float64",
        *,
        y_scaling: Scaling | None = None,
    ) -> None:
        self.ode = moved(_validate.instance("ode", ode, NeuralODE), device, dtype)
        ode = self.ode
        if isinstance(ode.plan().scheme, Partitioned):
            raise ValueError(
                f"ode: got scheme {ode.scheme!r}, wanted a Runge-Kutta scheme (the transport "
                "cost is a quadrature of its stages)"
            )
        self.transport = _validate.nonnegative("transport", transport)
        self._regulariser = Regulariser(ode, tikhonov, smoothness)
        self.trace = _validate.choice("trace", trace, TRACES)
        self.noise_seed = _validate.nonnegative_int("noise_seed", noise_seed)
        self.y_scaling = checked("y_scaling", y_scaling, ode.dim)
        self.layout, self._odes = ode.layout, Kept()

    def with_noise(self, noise_seed: int) -> ContinuousNormalizingFlow:
        """The same flow with another draw of eps."""
        return self._copied(self.ode, noise_seed, self.y_scaling)

    def standardized(self, y: Array) -> ContinuousNormalizingFlow:
        """The same flow for raw data like y (N, d): it shifts and scales what it is given, (D125).

        Each column's mean and deviation become ``y_scaling``; a constant column is shifted
        alone. F becomes shift + scale F, so that likelihoods, log-determinants, densities,
        paths and samples are in the data's own units. The transport cost stays that of the
        scaled states, where no column outweighs the others. A flow that is standardised
        already gets the new scaling in place of the old one.

        Raises
        ------
        TypeError, ValueError
            As of ``value``: no missing values, no masks.
        """
        y = _validate.samples("y", y, self.dim)
        return self._copied(self.ode, self.noise_seed, Scaling.of("y", y))

    def _with_ode(self, ode: NeuralODE) -> ContinuousNormalizingFlow:
        return self._copied(ode, self.noise_seed, self.y_scaling)

    def _copied(
        self, ode: NeuralODE, noise_seed: int, y_scaling: Scaling | None
    ) -> ContinuousNormalizingFlow:
        return ContinuousNormalizingFlow(
            ode,
            self.transport,
            self.tikhonov,
            self.smoothness,
            self.trace,
            noise_seed,
            y_scaling=y_scaling,
        )

    # --- parameters --------------------------------------------------------------------
    def initial(self, seed: int = 0) -> Array:
        """Random theta (p,), the ode's ``initial``."""
        return self.ode.initial(seed)

    def with_steps(self, n_steps: int | Steps) -> ContinuousNormalizingFlow:
        """The same problem with other steps: so many equal ones."""
        return self._copied(self.ode.with_steps(n_steps), self.noise_seed, self.y_scaling)

    # --- objective ---------------------------------------------------------------------
    @quietly()
    def to_device(self, y: Array, *, sample_weight: Array | None = None) -> Any:
        """y on the device, to be given in its place as often as wanted.

        With ``sample_weight`` (N,) that too, both without the samples of weight 0.

        Raises
        ------
        TypeError, ValueError
            As of ``value_and_gradient``; also device="cpu", or too little free memory.
        """
        place = self.ode.placement
        y, by = self._weighed(y, sample_weight)
        there = y if isinstance(y, Resident) else send(place, y, self.y_scaling)
        return there if sample_weight is None else (there, sent(place, by, len(y)))

    @quietly()
    def value(self, theta: Array, y: Array, *, sample_weight: Array | None = None) -> float:
        """Objective for data y (N, d), in nats; not finite where a path is not."""
        theta, y, by = self._arguments(theta, y, sample_weight)
        return sum(self._terms(theta, y, by).values()) + float(self._regulariser(theta)[0])

    @quietly()
    def value_and_gradient(
        self, theta: Array, y: Array, *, sample_weight: Array | None = None
    ) -> tuple[float, Array]:
        """Objective and its gradient (p,), by the discrete adjoint, eqs. (D43), (D44).

        Not finite where a path is not, as the value.

        Parameters
        ----------
        theta : (p,)
        y : (N, d)
        sample_weight : (N,), optional
            Numbers >= 0, not all 0: the mean over samples becomes sum w l / sum w, (D126).
            Samples of weight 0 are left out: what becomes of their paths does not count.
            Noise of an estimated trace is drawn for those that are left.
        """
        value, gradient = self._value_and_gradient(*self._arguments(theta, y, sample_weight))
        return float(value), gradient

    def hessian_vector(
        self, theta: Array, v: Array, y: Array, *, sample_weight: Array | None = None
    ) -> Array:
        """Exact Hessian-vector product (p,): the complex step through the gradient, (D33).

        Not finite where a path is not.
        """
        return super().hessian_vector(theta, v, y, sample_weight=sample_weight)

    @quietly()
    def costs(
        self, theta: Array, y: Array, *, sample_weight: Array | None = None
    ) -> dict[str, float]:
        """Weighted terms: likelihood, transport, tikhonov, smoothness, and their sum, total.

        Not finite where a path is not, as the value.
        """
        theta, y, by = self._arguments(theta, y, sample_weight)
        terms = self._terms(theta, y, by)
        return with_total({**terms, **self._regulariser.terms(theta)})

    @property
    def shows_costs(self) -> bool:
        """Not without transport cost and regularisers: the likelihood is all of the value then."""
        return bool(self.transport or self.tikhonov or self.smoothness)

    # --- densities and samples -----------------------------------------------------------
    @quietly()
    def log_density(
        self, theta: Array, y: Array, n_steps: int | None = None, t: float | None = None
    ) -> Array:
        """Log-density (N,) at y (N, d), in nats, eqs. (10), (14).

        It is -inf where a path that stays finite ends beyond 1e154.

        Parameters
        ----------
        theta : (p,)
        y : (N, d)
        n_steps : int, optional
            Steps of this evaluation; the ode's own by default.
        t : float, optional
            Time within the ode's t_span: the density rho(t, .) of (16). Its end T by default.
            n_steps steps cover the way from t to t0, however short it is.

        Raises
        ------
        ValueError
            Also where a path leaves the finite range, with the sample's index.
        """
        w, l, _ = self._finite(theta, y, n_steps, t)  # noqa: E741
        return l - 0.5 * np.sum(w**2, axis=1) - self._constant

    @quietly()
    def inverse(self, theta: Array, y: Array, n_steps: int | None = None) -> tuple[Array, Array]:
        """x = F^{-1}(y) (N, d) and log|det grad F^{-1}(y)| (N,), by the quadrature (13)."""
        w, l, _ = self._finite(theta, y, n_steps)  # noqa: E741
        return w, l - self._log_scale

    @quietly()
    def transport_cost(self, theta: Array, y: Array, n_steps: int | None = None) -> Array:
        """int |f|^2/2 dt along the path through each datum, (N,), eq. (15), as it is charged."""
        return self._finite(theta, y, n_steps)[2]

    @quietly()
    def generate(self, theta: Array, x: Array, n_steps: int | None = None) -> Array:
        """F(x), (N, d)."""
        theta, x = self._parameters(theta), _validate.samples("x", x, self.dim)
        return all_finite("x", with_units(self._ode(n_steps).solve(theta, x), self.y_scaling))

    def sample(self, theta: Array, n: int, seed: int = 0, n_steps: int | None = None) -> Array:
        """n draws (n, d) from the density: F of standard normals."""
        n = _validate.positive_int("n", n)
        _validate.affordable("n", n, 32 * n * self.dim)
        rng = np.random.default_rng(_validate.nonnegative_int("seed", seed))
        return self.generate(theta, rng.standard_normal((n, self.dim)), n_steps)

    @quietly()
    def trajectory(
        self, theta: Array, x: Array, n_steps: int | None = None, inverse: bool = False
    ) -> Array:
        """States (n_steps+1, N, d) from x at t0 to T, or with ``inverse`` from data at T to t0.

        Those of a standardised flow are all in the data's units: x starts at shift + scale x.
        Errors as of ``log_density``, naming x.
        """
        theta, x = self._parameters(theta), _validate.samples("x", x, self.dim)
        ode = self._ode(n_steps)
        inverse = _validate.boolean("inverse", inverse)
        if inverse:
            x = standardised("x", x, self.y_scaling)
        states = ode.trajectory(theta, x, t_span=ode.t_span[::-1] if inverse else None)
        return with_units(states, self.y_scaling)

    @quietly()
    def log_det_exact(self, theta: Array, y: Array, n_steps: int | None = None) -> Array:
        """log|det grad F^{-1}(y)| (N,) of the discrete map itself: d tangents, then slogdet.

        It is -inf where the discrete map is singular.

        What ``inverse`` returns is the quadrature of the trace; the two differ by the
        scheme's error, (D45). Costs d tangents and O(d^3) a sample.
        """
        theta, y = self._parameters(theta), self._data(y)
        ode, still = self._ode(n_steps), np.zeros(self.n_parameters)
        with _named("x", "y"):  # of a path, which starts at y here
            columns = [
                ode.tangent(theta, y, still, np.broadcast_to(e, y.shape).copy(), ode.t_span[::-1])
                for e in np.eye(self.dim)
            ]
        jacobian = all_finite("y", np.stack(columns, axis=2))
        return one_thread(np.linalg.slogdet)(jacobian)[1] - self._log_scale

    @quietly()
    def density_on_grid(
        self, theta: Array, *axes: Array, t: float | None = None, n_steps: int | None = None
    ) -> Array:
        """Density rho(t, .) (16) on the grid that d axes span, shape (len(axis) for each axis).

        n_steps and t are those of ``log_density``: n_steps steps cover the way from t to t0.
        Errors as of ``log_density``; inf where a density is beyond float64.
        """
        if len(axes) != self.dim:
            raise ValueError(f"axes: got {len(axes)}, wanted {self.dim}, one a dimension")
        ends = [_validate.real_array("axes", a, ("n",)) for a in axes]
        points = np.stack([g.ravel() for g in np.meshgrid(*ends, indexing="ij")], axis=1)
        with _named("y", "axes"):
            density = np.exp(self.log_density(theta, points, n_steps, t))
        return density.reshape([len(a) for a in ends])

    # --- insides -----------------------------------------------------------------------
    def _finite(
        self, theta: Array, y: Array, n_steps: int | None, t: float | None = None
    ) -> tuple[Array, Array, Array]:
        """``_backward`` with the exact trace, after checks and before one of what came out."""
        theta, y = self._parameters(theta), self._data(y)
        ode = self._ode(n_steps)
        if t is not None:
            t, (low, high) = _validate.real_number("t", t), sorted(ode.t_span)
            if not low <= t <= high:
                raise ValueError(f"t: got {t}, wanted a time in [{low}, {high}]")
            ode._check_end(t)
        if t == ode.t_span[0]:
            return hosted(y), np.zeros(len(y)), np.zeros(len(y))
        w, l, v = self._backward(theta, y, ode, t, exact=True)  # noqa: E741
        all_finite("y", np.column_stack([w, l, v]))
        return w, l, v

    def _arguments(
        self, theta: Any, y: Any, sample_weight: Any = None
    ) -> tuple[Array, Any, Weighing]:
        return self._parameters(theta), *self._weighed(y, sample_weight)

    def _weighed(self, y: Any, sample_weight: Any) -> tuple[Any, Weighing]:
        """Data as sweeps take them, without samples of weight 0; and the weights."""
        by, (y,) = weighed(self.ode.placement, sample_weight, (self._data(y),))
        return y, by

    def _check_products(self, *data: Any) -> None:
        if self.trace != "exact":
            raise ValueError(f"trace: got {self.trace!r}, wanted 'exact' for second derivatives")

    def _data(self, y: Any) -> Any:
        return standardised("y", samples(self.ode.placement, "y", y, self.dim), self.y_scaling)

    def __repr__(self) -> str:
        extra = "" if self.trace == "exact" else f", trace={self.trace!r}"
        extra += f", noise_seed={self.noise_seed}" if self.noise_seed else ""
        text = f"ContinuousNormalizingFlow({self.ode!r}, transport={self.transport}"
        return f"{text}{self._penalties()}{extra}{described(self.scalings)})"


@contextlib.contextmanager
def _named(inside: str, name: str) -> Iterator[None]:
    """Errors of an argument ``inside`` are those of the one that it was made of."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(f"{inside}:"):
            raise
        raise ValueError(name + str(error)[len(inside) :]) from None
