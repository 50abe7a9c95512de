"""Any function as a field: f, its vjp and what else is asked for, in plain NumPy for batches.

The sweeps are those of every field. This one's bodies hold no formula: they ring
(refode/machine/callbacks.py), and the answer turns a block (d, S) into a batch (S, d), calls the
user's functions, and turns back what they return. In complex numbers, by which the sweeps
differentiate, the value is a dual number: f of the real parts, and the user's own
``jacobian_vector`` of the imaginary ones. Only ``vjp`` and ``trace`` meet complex arrays
themselves, where second derivatives are asked for, and are checked there beforehand.

No twin on the device: ``device="cuda"`` refuses the field by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode._fixed import Kept
from refode.fields.contract import Array, Field, rhs, rhs_adjoint
from refode.fields.user_checks import (
    check_complex,
    check_functions,
    check_points,
    drawn_points,
)
from refode.fields.user_functions import Functions, name_of
from refode.machine.callbacks import (
    ADDRESS,
    FREE,
    NUMBER,
    WHICH,
    answering,
    array_at,
    number_of,
    ring,
)
from refode.machine.compile import kernel
from refode.machine.counting import hold
from refode.packing import Layout

VALUE, ADJOINT = range(2)  # which answer
# places in a frame
WIDTH, SAMPLES, WEIGHTS, TIME, STATES, FIRST, SECOND, THIRD, FOURTH, FIFTH = range(FREE, FREE + 10)


@answering
class UserSpec(NamedTuple):
    """Sizes, and whom to ask where."""

    d: int
    p: int
    address: int
    number: int


class User(Field):
    """Any function as a field: f(theta, t, z) in plain NumPy, with its vjp.

    Parameters
    ----------
    f : callable
        ``f(theta, t, z)``: theta (p,), a number t, and z (N, d) -> (N, d). Row n of the result
        depends on row n of z alone.
    dim : int
        Dimension d of the state.
    n_parameters : int
        Length p of theta, at one time.
    vjp : callable
        ``vjp(theta, t, z, f_bar)`` -> theta_bar (p,), summed over the rows, and z_bar (N, d).
        Where f depends on t, the cotangent of t may come third, a number:
        ``adjoint(..., times=True)`` asks for it.
    jacobian_vector : callable, optional
        ``jacobian_vector(theta, t, z, theta_dot, z_dot)`` -> (N, d), the derivative of f in a
        direction: for tangents, second derivatives and Hutchinson's trace.
    trace : pair of callables, optional
        ``value(theta, t, z)`` -> (N,), the trace of df/dz, and its
        ``vjp(theta, t, z, trace_bar)``, trace_bar (N,), which returns what ``vjp`` returns: for
        flows and ``log_det``.
    names : mapping of str to tuple of int, optional
        Names and shapes of theta's parts, in order; {"theta": (p,)} by default.
    initial : callable, optional
        ``initial(rng)`` -> (p,), a random theta. By default N(0, 1/columns) for matrices and zeros
        for vectors where there are names, else N(0, 1/d).
    check : bool or (theta, t, z), optional
        Whether the functions are held against f's own differences when the field is made, at
        random points or at those given.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted; a derivative that is not that of f:
        which side is off, and by how much.

    Notes
    -----
    Every scheme, basis, memory and problem takes the field; it is exact, and slow beside a
    compiled one (docs/adding_a_field.md). Functions get arrays of their own in C order. They are
    called for blocks of samples, whose number is a multiple of 8: where there are too few, copies
    of the first fill up, with cotangents of zero. They may be called on several threads, one at
    a time, BLAS on one thread; results have the same bits on any number of threads if the
    functions give the same for the same.

    Hessian-vector products and the gradient of Hutchinson's estimate differentiate ``vjp`` by
    complex numbers: it then gets complex arrays and must be written so that these pass through
    (no ``abs``, ``conj``, ``real``, no arrays made for real numbers). So must ``trace`` for
    tangents and second derivatives with an exact trace. The first such call checks that.

    Examples
    --------
    The field f(z) = tanh(A z), in two dimensions:

    >>> import numpy as np, refode
    >>> def f(theta, t, z):
    ...     return np.tanh(z @ theta.reshape(2, 2).T)
    >>> def vjp(theta, t, z, f_bar):
    ...     u_bar = (1 - f(theta, t, z) ** 2) * f_bar
    ...     return (u_bar.T @ z).ravel(), u_bar @ theta.reshape(2, 2)
    >>> field = refode.fields.User(f, dim=2, n_parameters=4, vjp=vjp, names={"A": (2, 2)})
    >>> ode = refode.NeuralODE(field, n_steps=4)
    >>> ode.solve(ode.initial(), np.ones((3, 2))).shape
    (3, 2)
    """

    def __init__(
        self,
        f: Callable[..., Any],
        *,
        dim: int,
        n_parameters: int,
        vjp: Callable[..., Any],
        jacobian_vector: Callable[..., Any] | None = None,
        trace: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
        names: Mapping[str, tuple[int, ...]] | None = None,
        initial: Callable[[np.random.Generator], Any] | None = None,
        check: bool | tuple[Any, float, Any] = True,
    ) -> None:
        p = _validate.positive_int("n_parameters", n_parameters)
        super().__init__(dim, {"theta": (p,)} if names is None else _sized(names, p))
        _validate.affordable("dim", dim, 64 * self.dim)
        self._functions = Functions.of(f, vjp, jacobian_vector, trace, self.dim, p)
        if initial is not None and not callable(initial):
            raise TypeError(f"initial: got {_validate.shown(initial)}, wanted a function or None")
        self._named, self._initial, self._kept = names is not None, initial, Kept()
        given = check_points(check, self.dim, p)
        points = drawn_points(self.dim, p) if given is None else given
        self.time, self._may_move = check_functions(self._functions, points, check is not False)

    def description(self) -> UserSpec:
        return UserSpec(self.dim, self.n_weights, ADDRESS, number_of(self))

    def rows(self, trace: bool) -> tuple[int, int]:
        return 0, 0

    def block(self) -> int:
        return 1024  # the fewer calls from compiled code the better

    def prepare(self, weights: Array, trace: bool) -> Array:
        if trace and self._functions.trace_value is None:
            raise ValueError(
                "trace: got None, wanted a pair of functions, the trace of df/dz and its vjp "
                "(flows and log_det read it)"
            )
        return weights

    def check_times(self) -> None:
        """ValueError where f may depend on t and ``vjp`` returns no cotangent of it."""
        if self._may_move and not self.time:
            raise ValueError(
                "vjp: got two cotangents, theta_bar and z_bar, of an f that may depend on t, "
                "wanted t_bar as the third for the cotangent of times"
            )

    def initial(self, rng: np.random.Generator) -> dict[str, Array]:
        if self._initial is None:
            if self._named:
                return super().initial(rng)
            return {"theta": rng.standard_normal(self.n_weights) / np.sqrt(self.dim)}
        drawn = _validate.real_vector("initial", self._initial(rng), self.n_weights)
        return {name: w.copy() for name, w in self.layout.unpack(drawn).items()}

    def answer(self, which: int, frame: Array) -> None:
        """What the bodies below ring for."""
        with np.errstate(all="ignore"):
            (_value if which == VALUE else _adjoint)(self, frame)

    def __repr__(self) -> str:
        fn = self._functions
        parts = [name_of(fn.f), f"dim={self.dim}", f"n_parameters={self.n_weights}"]
        parts.append(f"vjp={name_of(fn.vjp)}")
        if fn.jacobian_vector is not None:
            parts.append(f"jacobian_vector={name_of(fn.jacobian_vector)}")
        if fn.trace_value is not None:
            parts.append(f"trace=({name_of(fn.trace_value)}, {name_of(fn.trace_vjp)})")
        if self._named:
            parts.append(f"names={dict(self.layout.shapes)}")
        return f"User({', '.join(parts)})"


def _sized(names: Any, p: int) -> Any:
    """The shapes by name; ValueError unless they are those of p numbers."""
    if not isinstance(names, Mapping):
        raise TypeError(f"names: got {_validate.shown(names)}, wanted a mapping of names to shapes")
    try:
        size = Layout(names).size
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("shapes", "names", 1)) from None
    if size != p:
        raise ValueError(f"names: got shapes of {size} numbers, wanted n_parameters={p} of them")
    return names


# --- bodies ----------------------------------------------------------------------------------
@kernel
def _begin(frame, field, which, e, time, Z):
    """What every frame begins with."""
    frame[NUMBER] = field.number
    frame[WHICH] = which
    frame[WIDTH] = e.itemsize
    frame[SAMPLES] = Z.shape[1]
    frame[WEIGHTS] = e.ctypes.data
    frame[TIME] = time.ctypes.data
    frame[STATES] = Z.ctypes.data


@rhs.register(UserSpec)
def user_rhs(field, e, t, Z, F, tr, tape):
    """F <- f, tr <- the trace."""
    time, frame = np.empty(1, e.dtype), np.empty(FIFTH + 1, np.int64)
    time[0] = t
    _begin(frame, field, VALUE, e, time, Z)
    frame[FIRST] = F.ctypes.data
    frame[SECOND] = 0
    if tr is not None:
        frame[SECOND] = tr.ctypes.data
    ring(field.address, frame)
    hold((time, frame))


@rhs_adjoint.register(UserSpec)
def user_rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """Add what vjp, and the trace's, return."""
    time, frame = np.empty(2, e.dtype), np.empty(FIFTH + 1, np.int64)
    time[0] = t
    time[1] = 0
    _begin(frame, field, ADJOINT, e, time, Z)
    frame[FIRST] = F_bar.ctypes.data
    frame[SECOND] = 0
    if tr_bar is not None:
        frame[SECOND] = tr_bar.ctypes.data
    frame[THIRD] = Z_bar.ctypes.data
    frame[FOURTH] = e_bar.ctypes.data
    ring(field.address, frame)
    t_bar = time[1]
    hold((time, frame))
    return t_bar


# --- answers ---------------------------------------------------------------------------------
class _Asked(NamedTuple):
    """Whose value or cotangents: theta (p,), t, z (S, d), all of the caller's number type.

    They show the caller's arrays; ``Functions`` copies what it hands out.
    """

    dtype: Any
    S: int
    theta: Array
    t: float
    z: Array

    @classmethod
    def of(cls, field: User, frame: Array) -> _Asked:
        """From a frame."""
        dtype = np.complex128 if frame[WIDTH] == 16 else np.float64
        S = int(frame[SAMPLES])
        theta = array_at(int(frame[WEIGHTS]), field.n_weights, dtype)
        (t,) = array_at(int(frame[TIME]), 1, dtype).real
        Z = array_at(int(frame[STATES]), field.dim * S, dtype).reshape(field.dim, S)
        return cls(dtype, S, theta, float(t), Z.T)

    def block(self, place: Any, d: int) -> Array:
        """The block (d, S) at an address, as a batch (S, d) that shows it."""
        return array_at(int(place), d * self.S, self.dtype).reshape(d, self.S).T

    def row(self, place: Any) -> Array:
        """The row (S,) at an address."""
        return array_at(int(place), self.S, self.dtype)


def _value(field: User, frame: Array) -> None:
    """F <- f and tr <- the trace, for real or dual numbers."""
    at, fn = _Asked.of(field, frame), field._functions
    F = at.block(frame[FIRST], field.dim)
    if at.dtype == np.float64:
        F[:] = fn.value(at.theta, at.t, at.z)
    else:
        F.real[:], F.imag[:] = _dual(fn, at)
    if frame[SECOND]:
        if at.dtype != np.float64:
            _once(field, "trace", at)
        at.row(frame[SECOND])[:] = fn.trace(at.theta, at.t, at.z)


def _dual(fn: Functions, at: _Asked) -> tuple[Array, Array]:
    """f of the real parts, and its derivative in the direction of the imaginary ones.

    That is brought to size one, by a power of two, as these are tiny.
    """
    theta, z = at.theta.real, at.z.real
    theta_dot, z_dot = at.theta.imag, at.z.imag
    value = fn.value(theta, at.t, z)
    size = max(np.abs(theta_dot).max(), np.abs(z_dot).max())
    if size == 0.0:
        return value, np.zeros_like(value)
    exponent = int(np.frexp(size)[1]) if np.isfinite(size) else 0
    small = np.ldexp(theta_dot, -exponent), np.ldexp(z_dot, -exponent)
    return value, np.ldexp(fn.tangent(theta, at.t, z, *small), exponent)


def _adjoint(field: User, frame: Array) -> None:
    """Add the cotangents, those of the trace included."""
    at, fn, d = _Asked.of(field, frame), field._functions, field.dim
    f_bar = at.block(frame[FIRST], d)
    if at.dtype != np.float64:
        _once(field, "vjp", at)
    found = [fn.adjoint(at.theta, at.t, at.z, f_bar)]
    if frame[SECOND]:
        if at.dtype != np.float64:
            _once(field, "trace's vjp", at)
        found.append(fn.trace_adjoint(at.theta, at.t, at.z, at.row(frame[SECOND])))
    Z_bar = at.block(frame[THIRD], d)
    e_bar = array_at(int(frame[FOURTH]), field.n_weights, at.dtype)
    time = array_at(int(frame[TIME]), 2, at.dtype)
    if field._may_move and not field.time:
        time[1] = np.nan  # nobody knows it, and nobody may take it for 0
    for theta_bar, z_bar, t_bar in found:
        Z_bar += z_bar
        e_bar += theta_bar
        time[1:] += t_bar


def _once(field: User, name: str, at: _Asked) -> None:
    """Check at the first call that complex numbers pass through a function."""
    if name not in field._kept:
        check_complex(field._functions, name, at.theta.real, at.t, at.z.real[:3])
        field._kept[name] = True
