"""Fields fitted to measured trajectories: irregular times, gaps, noise of known size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refode import _validate
from refode._fixed import Kept, read_only
from refode._quiet import quietly
from refode._scaling import TINY, restored, scaled
from refode._shown import piece
from refode.ode.neural_ode import NeuralODE
from refode.ode.steps import Steps
from refode.packing import Layout
from refode.problems.contract import with_total
from refode.problems.observations import Observations
from refode.problems.paths import all_finite
from refode.problems.regularisers import Regulariser
from refode.problems.trajectory_error_bars import MeasuredErrorBars
from refode.sweeps.runge_kutta import RungeKutta

Array = np.ndarray


class TrajectoryFitting(MeasuredErrorBars):
    """Mean square of what is observed of z' = f(z, t; theta(t)), z(t0) = x, less what was measured.

    phi = (1/M) sum w/2 |C z(t) + c - y|^2 over all that is observed, M the sum of the weights w,
    eq. (D135); plus regularisers. Times that all samples share are points of the grid beside
    the ode's own; times of each sample's own are read within the ode's steps by the scheme's
    interpolant (``NeuralODE.interpolate``), or each sample takes steps of its own between
    them. After the last time no step is taken.

    Parameters
    ----------
    ode : NeuralODE
        Of dimension d.
    observed : array_like (m, d), optional
        C; by default the whole state is observed, m = d.
    readout : bool, optional
        Whether C and c are trained: W (m, d) and b (m,) in theta, which begin with ``observed``
        and 0. Otherwise c = 0.
    initial : {"given", "fitted"}, optional
        Whether states at t0 are given as x, or are "x0" (N, d) in theta, with x = None.
    shooting : array_like (n_nodes,), optional
        Times between t0 and the last time at which paths begin anew, at "nodes" (N, n_nodes, d)
        in theta: multiple shooting. To phi comes the augmented Lagrangian of c = 0, c where a
        stretch ends less the next node: the sum over samples and nodes of
        mu . c + penalty/2 |c|^2, (D141). ``gaps`` has c, ``raised`` is the problem with
        mu + penalty c in the place of mu.
    n_samples : int, optional
        N, wanted with initial="fitted" and with shooting.
    steps_between : int, optional
        So many equal steps of each sample's own from one of its times to the next, in place of
        the ode's steps. For fields without t and inputs, theta(t) constant.
    tikhonov : float, optional
        Adds tikhonov/2 |theta|^2, over all of theta.
    smoothness : float, optional
        Adds smoothness/2 int |theta'(t)|^2 dt over the ode's t_span.
    penalty : float, optional
        rho of the augmented Lagrangian, positive.
    multipliers : array_like (N, n_nodes, d), optional
        mu of the augmented Lagrangian, 0 by default.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.

    Notes
    -----
    Methods take theta, x (N, d) and ``refode.Observations`` of N samples. Derivatives are those
    of the numbers computed, with the grid's points where they are. Where the weights are
    1/sigma^2, M phi is the negative log-likelihood but for a constant.

    Examples
    --------
    >>> import numpy as np, refode
    >>> t = np.linspace(0.0, 2.0, 21)
    >>> y = refode.Observations(t, np.exp(-0.7 * t)[None, :, None])
    >>> field = refode.fields.Affine(dim=1)
    >>> ode = refode.NeuralODE(field, n_steps=10, t_span=(0.0, 2.0))
    >>> problem = refode.TrajectoryFitting(ode)
    >>> result = refode.train(problem, np.ones((1, 1)), y, progress=False)
    >>> round(problem.unpack(result.x)["A"].item(), 2)
    -0.7
    """

    n_data = (2, 2)
    no_gauss_newton = "with shooting the objective is no sum of squares: multipliers"
    held_out_term = "loss"

    @quietly()
    def __init__(
        self,
        ode: NeuralODE,
        observed: ArrayLike | None = None,
        readout: bool = False,
        initial: str = "given",
        shooting: ArrayLike | None = None,
        n_samples: int | None = None,
        *,
        steps_between: int | None = None,
        tikhonov: float = 0.0,
        smoothness: float = 0.0,
        penalty: float = 10.0,
        multipliers: ArrayLike | None = None,
    ) -> None:
        self.ode = _validate.instance("ode", ode, NeuralODE)
        ode._check_fixed_steps("fixed ones, as observations have times of their own", "ode")
        if ode.placement.device != "cpu":
            raise ValueError(
                f"ode: got one with device={ode.placement.device!r}, where paths are seen at "
                "their ends alone, wanted device='cpu'"
            )
        d = ode.dim
        if observed is not None:
            observed = read_only(_validate.real_array("observed", observed, ("m", d)).copy())
        self.observed = observed
        self.n_channels = d if observed is None else len(observed)
        self.readout = _validate.boolean("readout", readout)
        self.initial_states = _validate.choice("initial", initial, ("given", "fitted"))
        self.fitted = self.initial_states == "fitted"
        self.shooting = self._nodes_of(shooting)
        self.n_samples = self._samples(n_samples)
        self.steps_between = self._between(steps_between)
        self._regulariser = Regulariser(ode, tikhonov, smoothness)
        shapes: dict[str, tuple[int, ...]] = {}
        if self.readout:
            shapes |= {"W": (self.n_channels, d), "b": (self.n_channels,)}
        if self.fitted:
            shapes["x0"] = (self.n_samples or 0, d)
        if self.shooting is not None:
            shapes["nodes"] = (self.n_samples or 0, len(self.shooting), d)
        self.penalty = _validate.positive("penalty", penalty)
        self.multipliers = self._multipliers_of(multipliers)
        taken = [name for name in shapes if name in ode.layout.shapes]
        if taken:
            raise ValueError(
                f"readout: got {readout} with a {type(ode.field).__name__}, whose weights take "
                f"the names {' and '.join(map(repr, taken))}, wanted False"
            )
        self.layout = ode.layout.joined(Layout(shapes))
        self._schedules = Kept()

    def _samples(self, n: Any) -> int | None:
        how = "initial='fitted'" if self.fitted else "shooting"
        if not self.fitted and self.shooting is None:
            if n is not None:
                raise ValueError(f"n_samples: got {n} with initial='given', wanted None")
            return None
        if n is None:
            raise ValueError(f"n_samples: got None with {how}, wanted an int >= 1")
        n = _validate.positive_int("n_samples", n)
        _validate.affordable("n_samples", n, 8 * n * self.ode.dim)
        return n

    def _nodes_of(self, shooting: Any) -> Array | None:
        """Times of nodes, checked: within t_span, in its direction."""
        if shooting is None:
            return None
        times = _validate.real_array("shooting", shooting, ("n_nodes",)).copy()
        t0, T = self.ode.t_span
        way = 1.0 if t0 < T else -1.0
        if (way * np.diff([t0, *times, T]) <= 0.0).any():
            raise ValueError(
                f"shooting: got {_validate.shown(shooting)}, wanted times between {t0} and {T} "
                "in the direction of t_span"
            )
        return read_only(times)

    def _multipliers_of(self, multipliers: Any) -> Array | None:
        if multipliers is None:
            return None
        self._check_shooting()
        shape = (self.n_samples, len(self.shooting), self.ode.dim)  # type: ignore[arg-type]
        return read_only(_validate.real_array("multipliers", multipliers, shape).copy())

    def _between(self, each: Any) -> int | None:
        if each is None:
            return None
        each, ode = _validate.positive_int("steps_between", each), self.ode
        field = ode.field
        why = ""
        if self.shooting is not None:
            why = "shooting"
        elif field.inputs:
            why = f"a {type(field).__name__} that reads inputs"
        elif field.time or getattr(field, "_may_move", False):
            why = f"a {type(field).__name__} that reads t"
        elif ode.basis.n_coefficients != 1:
            why = f"basis={ode.basis!r}"
        elif not isinstance(ode._scheme, RungeKutta):
            why = f"scheme={ode.scheme!r}"
        if why:
            raise ValueError(
                f"steps_between: got {each} with {why}, wanted a field without t, theta(t) "
                "constant and an explicit scheme (samples are not at the same time together)"
            )
        return each

    # --- parameters --------------------------------------------------------------------
    def initial(self, seed: int = 0) -> Array:
        """Random theta (p,): the ode's ``initial``, W = ``observed``, b, x0 and nodes 0."""
        theta = np.zeros(self.n_parameters)
        theta[: self.ode.n_parameters] = self.ode.initial(seed)
        if self.readout:
            eye = np.eye(self.ode.dim) if self.observed is None else self.observed
            self.unpack(theta)["W"][...] = eye
        return theta

    def with_steps(self, n_steps: int | Steps) -> TrajectoryFitting:
        """The same problem with other steps: so many equal ones."""
        return self._copied(self.ode.with_steps(n_steps), self.penalty, self.multipliers)

    @quietly()
    def raised(
        self, theta: Array, x: Array | None, y: Observations, penalty: float | None = None
    ) -> TrajectoryFitting:
        """The problem with multipliers mu + penalty c at theta, and perhaps another penalty."""
        gaps = self.gaps(theta, x, y)
        before = 0.0 if self.multipliers is None else self.multipliers
        penalty = self.penalty if penalty is None else penalty
        return self._copied(self.ode, penalty, before + self.penalty * gaps)

    def _copied(
        self, ode: NeuralODE, penalty: float, multipliers: Array | None
    ) -> TrajectoryFitting:
        return TrajectoryFitting(
            ode,
            self.observed,
            self.readout,
            self.initial_states,
            self.shooting,
            self.n_samples,
            steps_between=self.steps_between,
            tikhonov=self.tikhonov,
            smoothness=self.smoothness,
            penalty=penalty,
            multipliers=multipliers,
        )

    # --- objective ---------------------------------------------------------------------
    @quietly()
    def value(self, theta: Array, x: Array | None, y: Observations) -> float:
        """Objective, regularisers included; not finite where a path is not."""
        return float(self.costs(theta, x, y)["total"])

    @quietly()
    def value_and_gradient(
        self, theta: Array, x: Array | None, y: Observations
    ) -> tuple[float, Array]:
        """Objective and its gradient (p,), by the discrete adjoint; not finite where a path is not.

        Parameters
        ----------
        theta : (p,)
        x : (N, d), or None with initial="fitted"
            States at t0.
        y : Observations
            Of N samples, with times within the ode's t_span, in its direction.
        """
        value, gradient = self._value_and_gradient(*self._arguments(theta, x, y))
        return float(value), gradient

    def hessian_vector(self, theta: Array, v: Array, x: Array | None, y: Observations) -> Array:
        """Exact Hessian-vector product (p,): the complex step through the gradient, (D33).

        Not finite where a path is not.
        """
        return super().hessian_vector(theta, v, x, y)

    @quietly()
    def costs(self, theta: Array, x: Array | None, y: Observations) -> dict[str, float]:
        """Weighted terms of the objective: loss, tikhonov, smoothness, and their sum, total.

        With shooting also gaps, what the augmented Lagrangian adds. Not finite where a path is
        not, as the value.
        """
        theta, x, y, schedule = self._arguments(theta, x, y)
        r = self._outputs(theta, x, schedule) - y.values

        def squares(r: Array, w: Array) -> Any:
            there = w > 0.0
            return 0.5 * float(np.sum(w[there] * r[there] ** 2))

        terms = {"loss": float(self._rows(x).sums(squares, r, y.weights) / y.total)}
        if self.shooting is not None:
            terms["gaps"] = self._joining(self._stretches(theta, x, y, schedule)[2])
        return with_total({**terms, **self._regulariser.terms(theta)})

    @property
    def shows_costs(self) -> bool:
        """Not without regularisers: the loss is all of the value then."""
        return bool(self.tikhonov or self.smoothness)

    @property
    def has_gauss_newton(self) -> bool:  # type: ignore[override]
        """Not with shooting."""
        return self.shooting is None

    @quietly()
    def gauss_newton_vector(
        self, theta: Array, v: Array, x: Array | None, y: Observations
    ) -> Array:
        """Gauss-Newton product J^T w J v / M (p,), regularisers included, eq. (D140).

        J is the derivative of what is observed. Linear in v of every size. A path that leaves
        the finite range is an error that names x.
        """
        theta, x, y, schedule = self._arguments(theta, x, y)
        self._check_single("gauss_newton_vector")
        exponent, (v,) = scaled(_validate.real_vector("v", v, self.n_parameters))
        size = np.abs(v).max()
        if size == 0.0:
            return np.zeros_like(v)
        step = TINY / size
        moved = theta + 1j * step * v
        outputs = self._outputs(moved, self._start(moved, x), schedule)
        there = y.there
        all_finite("x", np.where(there, outputs, 0.0))
        bars = np.where(there, outputs.imag / step * y.weights / y.total, 0.0)
        product = self._pulled(theta, x, y, schedule, bars) + self._regulariser(v)[1]
        return restored(exponent, product)

    @quietly()
    def gradients(self, theta: Array, x: Array | None, y: Observations) -> tuple[Array, Array]:
        """Derivatives of the objective in the states at t0, and in the times of observation.

        Not finite where a path is not.

        Returns
        -------
        x_bar : (N, d)
        times_bar : (K,) or (N, K)
            Of times that are points of the grid, with the steps that end and begin there; of
            times within steps, with the steps as they are.
        """
        theta, x, y, schedule = self._arguments(theta, x, y)
        self._check_single("gradients")
        if schedule.reading.begin.shape[0] == 0 and self.steps_between is None:
            self.ode.field.check_times()
        bars = self._swept(theta, x, self._cost(theta, y, schedule), schedule, y.times)
        return bars.x, bars.times

    # --- predictions -------------------------------------------------------------------
    @quietly()
    def predict(
        self,
        theta: Array,
        x: Array | None,
        times: Array,
        inputs: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Array:
        """What would be observed at times (K,) or (N, K), in order: (N, K, m).

        Where the field reads inputs u(t), they are given as to ``Observations``.

        Raises
        ------
        TypeError, ValueError
            Naming the argument; x also where a path leaves the finite range.
        """
        theta = self._parameters(theta)
        x = self._states(theta, x, None)
        schedule = self._asked(len(x), times, inputs)
        return all_finite("x", self._read(theta, self._states_along(theta, x, schedule)))

    @quietly()
    def residuals(self, theta: Array, x: Array | None, y: Observations) -> Array:
        """Predictions less what was observed, (N, K, m); NaN where it is missing."""
        theta, x, y, schedule = self._arguments(theta, x, y)
        outputs = self._outputs(theta, x, schedule)
        all_finite("x", np.where(y.there, outputs, 0.0))
        return np.where(y.there, outputs - y.values, np.nan)

    # --- who it is ---------------------------------------------------------------------
    def to_device(self, x: Any, y: Any) -> Any:
        """Refused: these sweeps are the CPU's."""
        raise ValueError(
            f"x: got {_validate.shown(x)} for a device, wanted it in a method's place: paths are "
            "seen along the way by the CPU's sweeps alone"
        )

    def fingerprint(self) -> str:
        """What a checkpoint knows the problem by; of a large matrix repr shows a part alone."""
        C = b"" if self.observed is None else self.observed.tobytes()
        return f"{super().fingerprint()} {C.hex()}"

    def __repr__(self) -> str:
        parts = [repr(self.ode)]
        if self.observed is not None:
            parts.append(f"observed={piece(self.observed)}")
        if self.readout:
            parts.append("readout=True")
        if self.fitted:
            parts.append("initial='fitted'")
        if self.shooting is not None:
            parts.append(f"shooting={piece(self.shooting)}, penalty={self.penalty}")
        if self.multipliers is not None:
            parts.append(f"multipliers={piece(self.multipliers)}")
        if self.n_samples is not None:
            parts.append(f"n_samples={self.n_samples}")
        if self.steps_between is not None:
            parts.append(f"steps_between={self.steps_between}")
        return f"TrajectoryFitting({', '.join(parts)}{self._penalties()})"
