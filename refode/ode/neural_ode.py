"""``NeuralODE``: eq. (4), a field with weights in time, solved by a Runge-Kutta scheme."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refode import _validate, bases, tableaus
from refode._fixed import Kept, read_only
from refode._quiet import quietly
from refode.costs.contract import check_cost, check_path, check_samples, everywhere
from refode.fields.contract import Field
from refode.ode import learned, placement
from refode.ode import memory as kept
from refode.ode import steps as stepping
from refode.ode.finite import all_finite
from refode.ode.learned_steps import LearnedSteps
from refode.ode.placement import Placement
from refode.ode.plan import scheme_of
from refode.sweeps.runge_kutta import RungeKutta
from refode.sweeps.symplectic import Partitioned

Array = np.ndarray


class NeuralODE(LearnedSteps):
    """Neural ODE z' = f(z, t; theta(t)), z(t0) = x, eqs. (4), (7).

    Parameters
    ----------
    field : Field
        Right-hand side, from ``refode.fields``.
    scheme : str or Tableau, optional
        Runge-Kutta scheme, explicit, or implicit for stiff fields (docs/stiff.md;
        ``refode.tableaus.names()``); "reversible(rk4)" or "reversible(rk4, 0.99)" for the
        reversible coupling of any explicit one, docs/memory.md; for partitioned fields also
        "verlet", which is [HR17]'s, and "stormer_verlet".
    n_steps : int or Steps, optional
        Number of equal steps, 10 by default; or steps from ``refode.steps``.
    t_span : (float, float), optional
        Interval on which theta(t) lives, and the default one of integration; (0.0, 1.0) by
        default. n_steps steps cover it, and whatever other t_span a method is given.
    basis : Basis, optional
        Weights in time, from ``refode.bases``; constant by default.
    memory : {"store", "steps", "reverse", "binomial"}, optional
        What the adjoint sweep keeps of a block's path: every stage; the start of every
        step (a third more work); nothing, the path being recomputed backwards from
        its end (symplectic schemes and reversible couplings only, where that is exact but for
        rounding); or the starts of as many steps as ``slots`` says, docs/memory.md. Where
        every stage would take a thread more than 512 MB, "store" does as "steps" does, to
        the same bits.
    device : {"cpu", "cuda"}, optional
        Where sweeps run, docs/cuda.md; complex steps (tangents, Hessian-vector products) and
        the cotangents of times are the CPU's in any case.
    dtype : {"float64", "float32"}, optional
        Number type on the GPU; results are float64.
    grid : array_like (n_steps+1,), optional
        In place of n_steps and t_span: the times to step at, rising or falling throughout; its
        ends are t_span. Other intervals are stepped through as ``refode.steps.Given`` says.
    slots : int, optional
        With memory="binomial", and only then: states of a block that are kept at a time, one of
        them that at t0. Steps are walked again, as few as so many slots allow.
    steps : {"fixed", "free", "simplex", "softmax"}, optional
        Whether steps are learned with the weights, docs/learned_steps.md; n_steps or grid are where
        they start. theta has "h" (n_steps,) last: the steps themselves, whose sum is the
        interval's length wherever it ends ("free"); what is projected onto steps >= 0 over t_span
        ("simplex"); or logits ("softmax"). With weights that are constant, or belong to the
        step: ``PiecewiseConstant(n_steps)``.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    RuntimeError
        With device="cuda": the package numba-cuda, the driver or the device is missing.

    Notes
    -----
    theta is flat, name by name; each name's array is (J, ...), the J basis
    coefficients first. All quantities are dimensionless. Attributes are set once: for other
    steps there is ``with_steps``, for everything else a new ode.

    Examples
    --------
    Short steps where the solution changes quickly:

    >>> import numpy as np, refode
    >>> field = refode.fields.Shallow(dim=2, width=8)
    >>> ode = refode.NeuralODE(field, grid=[0.0, 0.01, 0.05, 0.2, 0.5, 1.0])
    >>> ode.n_steps, ode.t_span
    (5, (0.0, 1.0))
    >>> ode.trajectory(ode.initial(), np.ones((3, 2))).shape
    (6, 3, 2)
    >>> ode.with_steps(20).steps
    Equal(20)
    """

    def __init__(
        self,
        field: Field,
        scheme: str | tableaus.Tableau = "rk4",
        n_steps: int | stepping.Steps | None = None,
        t_span: tuple[float, float] | None = None,
        basis: bases.Basis | None = None,
        memory: str = "store",
        device: str = "cpu",
        dtype: Any = "float64",
        *,
        grid: ArrayLike | None = None,
        slots: int | None = None,
        steps: str = "fixed",
    ) -> None:
        self.field = _validate.instance("field", field, Field)
        if field.outputs != field.dim:
            raise ValueError(
                f"field: got {field!r}, wanted as many outputs as dim={field.dim}, those of z'"
            )
        self.steps, self.t_span = stepping.resolved(n_steps, t_span, grid, default=10)
        self.n_steps = self.steps.n_steps
        self.basis = _validate.instance(
            "basis", bases.Constant() if basis is None else basis, bases.Basis
        )
        self._named_scheme = scheme
        self.scheme, self._scheme = scheme_of(scheme, field)
        on_gpu = isinstance(device, str) and device == "cuda"
        self.memory, self.slots = kept.checked(memory, slots, self._scheme, self.scheme, on_gpu)
        if not isinstance(self._scheme, RungeKutta) and on_gpu:
            raise ValueError(
                f"scheme: got {self.scheme!r} with device='cuda', wanted an explicit Runge-Kutta "
                "scheme"
            )
        self.step_rule = learned.checked(steps, self.n_steps, self.basis, on_gpu)
        self.placement = Placement.of(device, dtype)
        _validate.affordable("basis", basis, 16 * self.basis.n_coefficients * field.n_weights)
        weights = field.layout.stacked(self.basis.n_coefficients)
        self.layout = learned.joined(weights, self.step_rule, self.n_steps)
        self._places, self._h = [*weights.slices.values()], slice(weights.size, self.layout.size)
        J, n = self.basis.n_coefficients, field.n_weights
        rows = np.arange(J * n).reshape(J, n)  # where each entry of theta is in (J, n_weights)
        order = [rows[:, p].ravel() for p in field.layout.slices.values()]
        self._order = read_only(np.concatenate(order))
        self._plans, self._sweeps = Kept(), Kept()

    def with_steps(self, n_steps: int | stepping.Steps) -> NeuralODE:
        """The same field, weights in time and scheme with other steps: so many equal ones."""
        steps = stepping.of(n_steps)
        self._check_fixed_steps("fixed ones, to take others in their place", "n_steps")
        return self._like(n_steps=steps)

    def on(self, device: str, dtype: Any = "float64") -> NeuralODE:
        """The same ode with its sweeps on another device."""
        device, dtype = Placement(device, dtype)
        return self._like(device=device, dtype=dtype)

    def _like(self, **changes: Any) -> NeuralODE:
        """The same but for the arguments given."""
        own = {
            "field": self.field,
            "scheme": self._named_scheme,
            "n_steps": self.steps,
            "t_span": self.t_span,
            "basis": self.basis,
            "memory": self.memory,
            "device": self.placement.device,
            "dtype": self.placement.dtype,
            "slots": self.slots,
            "steps": self.step_rule,
        }
        return NeuralODE(**{**own, **changes})

    # --- parameters --------------------------------------------------------------------
    @property
    def dim(self) -> int:
        """Dimension d of the state."""
        return self.field.dim

    @property
    def n_parameters(self) -> int:
        """Length p of theta."""
        return self.layout.size

    def initial(self, seed: int = 0) -> Array:
        """Random theta (p,): one weight set, the same at all times.

        Matrices are N(0, 1/columns), vectors zero; see the field's ``initial``.
        """
        rng = np.random.default_rng(_validate.nonnegative_int("seed", seed))
        return self.constant_in_time(self.field.initial(rng))

    @quietly()
    def constant_in_time(self, weights: dict[str, Array]) -> Array:
        """Theta (p,) with theta(t) equal to one weight set at all times.

        Steps that are learned are those of n_steps, or of the grid.
        """
        one = bases.Constant().prolongation(self.basis).toarray()[:, 0]
        flat = self.field.layout.unpack(self.field.layout._packed("weights", weights))
        named = {n: np.multiply.outer(one, w) for n, w in flat.items()}
        return self.layout.pack({**named, **self._started()})

    def _started(self) -> dict[str, Array]:
        """What theta has for the steps of ``n_steps`` or ``grid``, by name."""
        if self.step_rule == "fixed":
            return {}
        length = self.t_span[1] - self.t_span[0]
        return {"h": learned.start(self.step_rule, self.steps.sizes(self.t_span), length)}

    def unpack(self, theta: Array) -> dict[str, Array]:
        """Views of theta by name, each (J, ...)."""
        return self.layout.unpack(theta)

    def pack(self, arrays: dict[str, Array]) -> Array:
        """The inverse of ``unpack``: theta (p,)."""
        return self.layout.pack(arrays)

    # --- solutions ---------------------------------------------------------------------
    @quietly()
    def solve(self, theta: Array, x: Array, t_span: tuple[float, float] | None = None) -> Array:
        """z(T) for z(t0) = x.

        Parameters
        ----------
        theta : (p,)
        x : (N, d)
        t_span : (float, float), optional
            Interval of integration, in either direction; theta(t) stays where the
            ode's own ``t_span`` put it. n_steps steps cover whatever t_span is given: a tenth
            of the interval takes steps a tenth as long. Steps of one's own are stretched, and
            walked backwards in the other direction.

        Returns
        -------
        (N, d)

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what was wanted; x also where a path leaves the
            finite range, as a stiff field's does that has too few steps. The steps are those
            asked for and nothing else: a path may be far off and finite.
        """
        theta, x = self._parameters(theta), self._states(x)
        return all_finite("x", self._forward(theta, x, self.plan(t_span))[0])

    @quietly()
    def trajectory(
        self, theta: Array, x: Array, t_span: tuple[float, float] | None = None
    ) -> Array:
        """States at all grid points, (n_steps+1, N, d); the first is x.

        n_steps steps cover whatever t_span is given; errors as of ``solve``.
        """
        theta, x = self._parameters(theta), self._states(x)
        _validate.affordable("x", x, x.nbytes * (self.n_steps + 1))
        states = self._forward(theta, x, self.plan(t_span), whole=True)
        all_finite("x", states.transpose(1, 0, 2))
        return states

    @quietly()
    def log_det(
        self, theta: Array, x: Array, t_span: tuple[float, float] | None = None
    ) -> tuple[Array, Array]:
        """z(T) (N, d) and l = + int tr df/dz dt (N,) along t_span, by the same stages.

        n_steps steps cover whatever t_span is given, as in ``solve``.
        Errors as of ``solve``.
        """
        theta, x = self._parameters(theta), self._states(x)
        plan = self.plan(t_span)
        if isinstance(plan.scheme, Partitioned):  # each substep is a shear: no volume changes
            return all_finite("x", self._forward(theta, x, plan)[0]), np.zeros(len(x))
        y = all_finite("x", self._forward(theta, x, plan, trace=True)[0])
        return np.ascontiguousarray(y[:, :-1]), np.ascontiguousarray(y[:, -1])

    # --- derivatives -------------------------------------------------------------------
    @quietly()
    def tangent(
        self,
        theta: Array,
        x: Array,
        theta_dot: Array,
        x_dot: Array,
        t_span: tuple[float, float] | None = None,
    ) -> Array:
        """Derivative of ``solve`` in a direction, z_dot (N, d).

        By the complex step through the forward sweep, which is exact to rounding
        (docs/equations.md). n_steps steps cover whatever t_span is given, as in ``solve``. A linear
        map of directions of every size, to rounding of their largest entry. Errors as of
        ``solve``; x also where a derivative leaves the finite range.
        """
        theta, x = self._parameters(theta), self._states(x)
        theta_dot = _validate.real_vector("theta_dot", theta_dot, self.n_parameters)
        x_dot = _validate.real_array("x_dot", x_dot, x.shape)
        return self._tangent(theta, x, theta_dot, x_dot, self.plan(t_span), trace=False)

    @quietly()
    def adjoint(
        self,
        theta: Array,
        x: Array,
        z_bar: Array,
        t_span: tuple[float, float] | None = None,
        times: bool = False,
    ) -> tuple[Array, ...]:
        """Discrete adjoint of ``solve``, or of ``trajectory``.

        Parameters
        ----------
        theta : (p,)
        x : (N, d)
        z_bar : (N, d) or (n_steps+1, N, d)
            Cotangent of z(T), or of every state of the trajectory (a loss at
            intermediate times: the adjoint jumps there).
        t_span : (float, float), optional
            As in ``solve``: n_steps steps cover it.
        times : bool, optional
            Also return the cotangent (2,) of the ends (t0, T) of the interval.

        Returns
        -------
        theta_bar : (p,)
        x_bar : (N, d)
        times_bar : (2,), if asked for

        Raises
        ------
        TypeError, ValueError
            As of ``solve``. Where the path is finite and a cotangent is not, it comes back so.
        """
        theta, x = self._parameters(theta), self._states(x)
        times = _validate.boolean("times", times)
        shape = (self.n_steps + 1, *x.shape) if _validate.n_axes(z_bar) == 3 else x.shape
        z_bar = _validate.real_array("z_bar", z_bar, shape).reshape(-1, *x.shape)
        return self._adjoint(theta, x, z_bar, self.plan(t_span), times, trace=False)

    @quietly()
    def log_det_adjoint(
        self,
        theta: Array,
        x: Array,
        z_bar: Array,
        l_bar: Array,
        t_span: tuple[float, float] | None = None,
        times: bool = False,
    ) -> tuple[Array, ...]:
        """Discrete adjoint of ``log_det``: cotangents z_bar (N, d) and l_bar (N,).

        n_steps steps cover whatever t_span is given, as in ``solve``.
        Results and errors as of ``adjoint``.
        """
        theta, x = self._parameters(theta), self._states(x)
        z_bar = _validate.real_array("z_bar", z_bar, x.shape)
        l_bar = _validate.real_vector("l_bar", l_bar, len(x))
        times, plan = _validate.boolean("times", times), self.plan(t_span)
        if isinstance(plan.scheme, Partitioned):
            return self._adjoint(theta, x, z_bar[None], plan, times, trace=False)
        y_bar = np.concatenate([z_bar, l_bar[:, None]], axis=1)[None]
        return self._adjoint(theta, x, y_bar, plan, times, trace=True)

    @quietly()
    def cost_and_gradient(
        self, theta: Array, x: Array, cost: Any, t_span: tuple[float, float] | None = None
    ) -> tuple[float, Array, Array]:
        """Value of a cost of one's own along the path, and its discrete adjoint.

        Parameters
        ----------
        theta : (p,)
        x : (N, d)
        cost : NamedTuple
            Of a class with a body registered for ``refode.costs.contract.observe``,
            docs/adding_a_loss.md; read at z(T) alone, or at every point of the grid.
        t_span : (float, float), optional
            As in ``solve``: n_steps steps cover it.

        Returns
        -------
        value : float
            It and the cotangents are not finite where a path is not, for optimisers to see.
        theta_bar : (p,)
        x_bar : (N, d)

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what was wanted.
        """
        theta, x = self._parameters(theta), self._states(x)
        check_cost("cost", cost)
        check_samples("cost", cost, len(x))
        check_path("cost", cost, self.n_steps + 1, self.dim)
        if everywhere(cost) and self.placement.device != "cpu":
            raise ValueError(
                f"cost: got a {type(cost).__name__}, which reads the whole path, with device="
                f"{self.placement.device!r}, wanted one that reads its end alone, or device='cpu'"
            )
        plan = self.stepped(self.plan(t_span), theta)
        result, weights_bar = self._charged(theta, x, cost, plan, trace=False)
        theta_bar = self.stage_weights_adjoint(weights_bar, plan, result.time_bar)
        return float(result.value), theta_bar, result.x_bar

    # --- insides -----------------------------------------------------------------------
    def _parameters(self, theta: Array) -> Array:
        return _validate.real_vector("theta", theta, self.n_parameters)

    def _states(self, x: Any) -> Any:
        return placement.samples(self.placement, "x", x, self.dim)

    def __repr__(self) -> str:
        place = self.placement
        kept = "" if self.memory == "store" else f", memory={self.memory!r}"
        kept += "" if self.slots is None else f", slots={self.slots}"
        kept += "" if self.step_rule == "fixed" else f", steps={self.step_rule!r}"
        where = "" if place.device == "cpu" else f", device={place.device!r}, dtype={place.dtype!r}"
        return (
            f"NeuralODE({self.field!r}, scheme={self.scheme!r}, "
            f"{stepping.described(self.steps, self.t_span)}, basis={self.basis!r}{kept}{where})"
        )
