"""Supervised learning as optimal control, eqs. (5)-(8)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode import _validate
from refode._quiet import quietly
from refode._scaling import TINY, restored, scaled
from refode._weights import Weighing, equal
from refode.adaptation.course import Course, rows_of_ode
from refode.costs.losses import NAMED, Loss, Regression, hessian_products, loss_of, one_by_one
from refode.costs.supervised import SupervisedCost
from refode.costs.weights import WeightedLoss
from refode.ode import driver
from refode.ode.neural_ode import NeuralODE
from refode.ode.placement import Resident, hosted, moved, resident, send
from refode.ode.steps import Steps
from refode.packing import Layout
from refode.problems.contract import with_total
from refode.problems.error_bars import FittedErrorBars
from refode.problems.learned_steps import LearnsSteps
from refode.problems.paths import all_finite
from refode.problems.regularisers import Regularised, Regulariser
from refode.problems.scaling import Scaling, checked, described, standardised
from refode.problems.weights import sent, weighed
from refode.sweeps.dynamics import Plain

Array = np.ndarray


class Supervised(Regularised, LearnsSteps, FittedErrorBars):
    """Mean loss of F(x) = W z(T) + b, z' = f(z; theta(t)), z(t0) = (x, 0), plus regularisers.

    Parameters
    ----------
    ode : NeuralODE
        Of dimension d.
    loss : {"regression", "logistic", "softmax"} or Loss, optional
        |v - y|^2/2; log(1 + e^v) - y v for y in {0, 1}, one output; cross-entropy
        for integer labels 0, ..., m-1; or one's own, docs/adding_a_loss.md.
    n_outputs : int, optional
        m; without a readout m = d (give d, or leave it 1 to mean d).
    augment : int, optional
        Number of zeros appended to each sample: x has d - augment columns.
    readout : bool, optional
        Whether W (m, d) and b (m,) are there, last in theta.
    tikhonov : float, optional
        Adds tikhonov/2 |theta|^2, over all parameters, the readout's too.
    smoothness : float, optional
        Adds smoothness/2 int |theta'(t)|^2 dt over the ode's t_span (for piecewise
        constant weights the differences of neighbouring cells stand for theta').
    device : {"cpu", "cuda"}, optional
        Where sweeps run, docs/cuda.md; where the ode's do by default.
    dtype : {"float64", "float32"}, optional
        Number type on the device given; results are float64.
    x_scaling, y_scaling : Scaling, optional
        How x, and y of a regression, are shifted and scaled where they come in: what
        ``standardized`` sets, docs/data.md.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.

    Examples
    --------
    Predictions are (N, m), also where y is (N,): without ``[:, 0]`` the difference below would
    be a matrix (N, N).

    >>> import numpy as np, refode
    >>> x = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 2))
    >>> y = x[:, 0] * x[:, 1]
    >>> problem = refode.Supervised(refode.NeuralODE(refode.fields.Shallow(2, 8)), "regression")
    >>> theta = problem.initial()
    >>> error = problem.predict(theta, x)[:, 0] - y
    >>> np.array_equal(error, problem.residuals(theta, x, y))
    True
    """

    n_data = (2, 2)
    has_gauss_newton = True
    held_out_term = "loss"
    has_sample_weight = True

    @quietly()
    def __init__(
        self,
        ode: NeuralODE,
        loss: str | Loss = "logistic",
        n_outputs: int = 1,
        augment: int = 0,
        readout: bool = True,
        tikhonov: float = 0.0,
        smoothness: float = 0.0,
        device: str | None = None,
        dtype: Any = "float64",
        *,
        x_scaling: Scaling | None = None,
        y_scaling: Scaling | None = None,
    ) -> None:
        self.ode = moved(_validate.instance("ode", ode, NeuralODE), device, dtype)
        ode = self.ode
        self._loss = loss_of(loss)
        self.readout = readout = _validate.boolean("readout", readout)
        self.augment = _validate.nonnegative_int("augment", augment)
        if self.augment >= ode.dim:
            raise ValueError(
                f"augment: got {self.augment}, wanted less than the ode's dim {ode.dim}"
            )
        self.n_outputs = self._outputs(_validate.positive_int("n_outputs", n_outputs))
        self._regulariser = Regulariser(ode, tikhonov, smoothness)
        shapes = {"W": (self.n_outputs, ode.dim), "b": (self.n_outputs,)} if readout else {}
        taken = [name for name in shapes if name in ode.layout.shapes]
        if taken:
            raise ValueError(
                f"readout: got True with a {type(ode.field).__name__}, whose weights take the "
                f"readout's {' and '.join(map(repr, taken))}, wanted False"
            )
        self.x_scaling = checked("x_scaling", x_scaling, self.n_inputs)
        self.y_scaling = checked("y_scaling", y_scaling, self.n_outputs)
        if y_scaling is not None and not self._scales_targets:
            raise ValueError(f"y_scaling: got one with loss={self.loss!r}, wanted 'regression'")
        self._readout_layout = Layout(shapes)
        self.layout = ode.layout.joined(self._readout_layout)

    def _outputs(self, m: int) -> int:
        d = self.ode.dim
        if not self.readout and m not in (1, d):
            raise ValueError(f"n_outputs: got {m}, wanted the ode's dim {d} without a readout")
        m = m if self.readout else d
        self._loss.check_outputs(m)
        return m

    @property
    def loss(self) -> str:
        """The loss's name."""
        return self._loss.name

    # --- parameters --------------------------------------------------------------------
    def initial(self, seed: int = 0) -> Array:
        """Random theta (p,): the ode's ``initial``, W ~ N(0, 1/d), b = 0."""
        theta = np.zeros(self.n_parameters)
        theta[: self.ode.n_parameters] = self.ode.initial(seed)
        if self.readout:
            rng = np.random.default_rng((_validate.nonnegative_int("seed", seed), 1))
            W = self.unpack(theta)["W"]
            W[...] = rng.standard_normal(W.shape) / np.sqrt(self.ode.dim)
        return theta

    def with_steps(self, n_steps: int | Steps) -> Supervised:
        """The same problem with other steps: so many equal ones."""
        return self._copied(self.ode.with_steps(n_steps), self.x_scaling, self.y_scaling)

    def standardized(self, x: Array, y: Array | None = None) -> Supervised:
        """The same problem for raw data like these: it shifts and scales what it is given, (D124).

        Parameters
        ----------
        x : (N, d - augment)
            Each column's mean and deviation become ``x_scaling``; a constant column is shifted
            alone.
        y : (N, m), or (N,) for m = 1, optional
            Targets. A regression's become ``y_scaling``; without them, and for every other
            loss, targets stay as they are.

        Returns
        -------
        Supervised
            Its methods take x and y in the data's own units; predictions, residuals and score
            are in these too. The loss and its derivatives are those of the scaled data, so
            that a regression's is in units of the targets' deviations; ``features`` are the
            states that the readout reads. A problem that is standardised already gets the new
            scalings in place of the old ones.

        Raises
        ------
        TypeError, ValueError
            As of ``value``: no missing values, no masks.
        """
        x = _validate.samples("x", x, self.n_inputs)
        y_scaling = None
        if y is not None:
            targets = self._loss.targets(y, len(x), self.n_outputs)
            y_scaling = Scaling.of("y", targets) if self._scales_targets else None
        return self._copied(self.ode, Scaling.of("x", x), y_scaling)

    def _with_ode(self, ode: NeuralODE) -> Supervised:
        return self._copied(ode, self.x_scaling, self.y_scaling)

    def _copied(
        self, ode: NeuralODE, x_scaling: Scaling | None, y_scaling: Scaling | None
    ) -> Supervised:
        return Supervised(
            ode,
            self._loss,
            self.n_outputs,
            self.augment,
            self.readout,
            self.tikhonov,
            self.smoothness,
            x_scaling=x_scaling,
            y_scaling=y_scaling,
        )

    @property
    def _scales_targets(self) -> bool:
        return isinstance(self._loss, Regression)

    # --- objective ---------------------------------------------------------------------
    @quietly()
    def to_device(
        self, x: Array, y: Array, *, sample_weight: Array | None = None
    ) -> tuple[Resident, ...]:
        """x and y on the device, to be given in their place as often as wanted.

        With ``sample_weight`` (N,) that too, all three without the samples of weight 0.

        Raises
        ------
        TypeError, ValueError
            As of ``value_and_gradient``; also device="cpu", or too little free memory.
        """
        place = self.ode.placement
        x, targets, by = self._data(x, y, sample_weight)
        there = [
            a if isinstance(a, Resident) else send(place, a, scaling)
            for a, scaling in ((x, self.x_scaling), (targets, self.y_scaling))
        ]
        return tuple(there) if sample_weight is None else (*there, sent(place, by, len(x)))

    @quietly()
    def value(
        self, theta: Array, x: Array, y: Array, *, sample_weight: Array | None = None
    ) -> float:
        """Objective (8), regularisers included; not finite where a path is not."""
        theta, x, targets, by = self._arguments(theta, x, y, sample_weight)
        return self._mean_loss(theta, x, targets, by) + float(self._regulariser(theta)[0])

    @quietly()
    def value_and_gradient(
        self, theta: Array, x: Array, y: Array, *, sample_weight: Array | None = None
    ) -> tuple[float, Array]:
        """Objective and its gradient (p,), by the discrete adjoint; not finite where a path is not.

        Parameters
        ----------
        theta : (p,)
        x : (N, d - augment)
        y : (N, m) for regression ((N,) will do for m = 1), (N,) labels for the classifiers
        sample_weight : (N,), optional
            Numbers >= 0, not all 0: the mean over samples becomes sum w l / sum w, (D126).
            Samples of weight 0 are left out: what becomes of their paths does not count.
        """
        value, gradient = self._value_and_gradient(*self._arguments(theta, x, y, sample_weight))
        return float(value), gradient

    def hessian_vector(
        self, theta: Array, v: Array, x: Array, y: Array, *, sample_weight: Array | None = None
    ) -> Array:
        """Exact Hessian-vector product (p,): the complex step through the gradient, (D33).

        Not finite where a path is not.
        """
        return super().hessian_vector(theta, v, x, y, sample_weight=sample_weight)

    @quietly()
    def costs(
        self, theta: Array, x: Array, y: Array, *, sample_weight: Array | None = None
    ) -> dict[str, float]:
        """Weighted terms of the objective: loss, tikhonov, smoothness, and their sum, total.

        Not finite where a path is not, as the value.
        """
        theta, x, targets, by = self._arguments(theta, x, y, sample_weight)
        return with_total(
            {"loss": self._mean_loss(theta, x, targets, by), **self._regulariser.terms(theta)}
        )

    @property
    def shows_costs(self) -> bool:
        """Not without regularisers: the loss is all of the value then."""
        return bool(self.tikhonov or self.smoothness)

    @quietly()
    def gauss_newton_vector(
        self, theta: Array, v: Array, x: Array, y: Array, *, sample_weight: Array | None = None
    ) -> Array:
        """Gauss-Newton product J^T H_l J v (p,), regularisers included, eq. (D34).

        H_l is the loss's Hessian in the outputs, by the complex step through the loss's
        derivative; J the outputs' derivative in theta. Linear in v of every size. A path that
        leaves the finite range is an error that names x.
        """
        theta, x, targets, by = self._arguments(theta, x, y, sample_weight)
        exponent, (v,) = scaled(_validate.real_vector("v", v, self.n_parameters))
        F = all_finite("x", self._outputs_at(theta, x))
        size = np.abs(v).max()
        if size == 0.0:
            return np.zeros_like(v)
        step = TINY / size
        F_dot = self._outputs_at(theta + 1j * step * v, x).imag / step
        F_bar = hessian_products(self._loss.description(hosted(targets)), F, F_dot) / by.total
        if by.weights is not None:
            F_bar *= hosted(by.weights)[:, None]
        product = self._outputs_adjoint(theta, x, F_bar) + self._regulariser(v)[1]
        return restored(exponent, product)

    # --- insides -----------------------------------------------------------------------
    def _value_and_gradient(
        self, theta: Array, x: Array, y: Any, by: Weighing | None = None
    ) -> tuple[Any, Array]:
        ode, of_ode = self.ode, theta[: self.ode.n_parameters]
        plan = ode.stepped(ode.plan(), of_ode)
        weights = ode.stage_weights(of_ode, plan)
        E = ode.field.prepare(weights, False)
        cost = self._cost(theta, y, equal(len(x)) if by is None else by)
        sweep = ode.sweep(plan, Plain, E.dtype)
        n_cost = self._readout_layout.size
        result = driver.gradient(sweep, E, x, cost, n_cost, cost_rows=self.n_outputs)
        weights_bar = ode.field.prepare_adjoint(weights, False, result.E_bar)
        theta_bar = ode.stage_weights_adjoint(weights_bar, plan, result.time_bar)
        penalty, penalty_bar = self._regulariser(theta)
        return result.value + penalty, np.concatenate([theta_bar, result.cost_bar]) + penalty_bar

    def _courses(self, theta: Array, x: Any, y: Any, by: Weighing) -> list[Course]:
        ode = self.ode
        sweep = ode.sweep(ode.plan(), Plain, np.dtype(float))
        cost, n_cost = self._cost(theta, hosted(y), hosted(by)), self._readout_layout.size
        return [
            Course(
                ode,
                theta[: ode.n_parameters],
                ode.t_span,
                sweep,
                False,
                hosted(x),
                rows_of_ode(ode.dim, ("z",)),
                lambda E, reached: (cost, self.n_outputs, n_cost),
            )
        ]

    def _mean_loss(self, theta: Array, x: Array, y: Any, by: Weighing) -> float:
        rows, y, z = self._rows(x), hosted(y), self._ends_at(theta, x)

        def losses(z: Array, y: Array) -> Array:
            return one_by_one(self._loss.description(y), self._read(theta, z))[0]

        return float(rows.mean(hosted(by), rows.apply(losses, z, y)))

    def _cost(self, theta: Array, y: Any, by: Weighing) -> SupervisedCost:
        W, b = self._readout(theta)
        about = self._loss.description(y)
        if by.weights is not None:
            about = WeightedLoss(about, by.weights)
        return SupervisedCost(about, W, b, by.scale)

    def _arguments(
        self, theta: Any, x: Any, y: Any, sample_weight: Any = None
    ) -> tuple[Array, Any, Any, Weighing]:
        return self._parameters(theta), *self._data(x, y, sample_weight)

    def _data(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Weighing]:
        """x and targets as sweeps take them, without samples of weight 0; and the weights."""
        x = self._inputs(x)
        data = x, self._targets(y, len(x))
        by, (x, targets) = weighed(self.ode.placement, sample_weight, data)
        return x, targets, by

    def _targets(self, y: Any, n: int) -> Any:
        """Targets as the loss's description takes them, checked; a ``Resident`` on a device."""
        loss, m, place = self._loss, self.n_outputs, self.ode.placement
        shape, dtype = ((n,), "int64") if loss.labels else ((n, m), place.dtype)
        there = resident(place, "y", y, shape, dtype)
        if there is None:
            return standardised("y", loss.targets(y, n, m), self.y_scaling)
        if loss.labels:  # those out of range would read another's memory
            loss.targets(there.host, n, m)
        return standardised("y", there, self.y_scaling)

    def __repr__(self) -> str:
        named = type(NAMED.get(self.loss)) is type(self._loss)
        loss = self.loss if named else self._loss
        text = (
            f"Supervised({self.ode!r}, loss={loss!r}, n_outputs={self.n_outputs}, "
            f"augment={self.augment}, readout={self.readout}"
        )
        return f"{text}{self._penalties()}{described(self.scalings)})"
