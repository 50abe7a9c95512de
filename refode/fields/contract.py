"""What a field must supply, and the generic kernel functions it registers bodies for.

A field is f(z, t; weights). Its weights are named arrays (``layout``); before a
sweep they become *effective* weights, the arrays that the kernels read
(``prepare``), once for each distinct weight set, and the cotangents of these are
pulled back once afterwards (``prepare_adjoint``). Kernels see blocks of S
samples, feature-major, and registered bodies of:

``rhs(field, e, t, Z, F, tr, tape)``
    F <- f(Z, t); if ``tr`` is not None, tr[s] <- tr df/dz; ``tape`` keeps what
    the adjoint reads.
``rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch)``
    Z_bar += J^T F_bar + (d tr/dz)^T tr_bar, e_bar likewise; returns the cotangent
    of t. ``tr_bar`` is None where no trace was asked for.
``jacobian(field, e, t, Z, tape, J, scratch)``
    J <- df/dz, entry (i, j) of every sample in row i d + j, after ``rhs`` has filled the
    tape at these Z; ``scratch`` as the adjoint's without a trace. For implicit schemes
    alone; a field without a body of its own gets ``by_pull_backs``.
``half`` and ``half_adjoint``
    for fields y=(p, q) with p' a function of q alone and q' of p alone: one half
    of f, for the symplectic schemes.

Twin on the device: refode/cuda/contract.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from refode import _validate
from refode._fixed import Fixed
from refode._shown import as_called
from refode.machine.activations import CODES
from refode.machine.parts import Room
from refode.packing import Layout

Array = np.ndarray
FIELD = Room("field")


@FIELD.function("vsMMv?M")
def rhs(field, e, t, Z, F, tr, tape):
    """F <- f(Z, t), tr <- trace of the Jacobian unless None."""


@FIELD.function("vsMMMv?MvM", "s")
def rhs_adjoint(field, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
    """Add the pull-backs of F_bar and tr_bar; return the cotangent of t."""


@FIELD.function("vsMMMM")
def jacobian(field, e, t, Z, tape, J, scratch):
    """J <- df/dz, one entry of all samples a row."""


@FIELD.function("vsiMMM")
def half(field, e, t, which, Z, F, tape):
    """Rows of F that belong to half ``which`` (0: first, 1: second)."""


@FIELD.function("vsiMMMMvM", "s")
def half_adjoint(field, e, t, which, Z, tape, F_bar, Z_bar, e_bar, scratch):
    """Add the pull-backs of these rows of F_bar; return the cotangent of t."""


class Field(Fixed):
    """Base of all fields: names, shapes and the passage to effective weights.

    Parameters
    ----------
    dim : int
        Dimension d of the state.
    shapes : mapping
        Names and shapes of the weights, in the order of theta.
    time : bool
        Whether t is an input of the field besides z.

    Notes
    -----
    A subclass supplies ``rows`` (how many rows of S numbers a stage keeps, and how
    many the adjoint needs as work space) and ``description``. Attributes are set while a
    field is made, and never again.
    """

    partitioned: ClassVar[bool] = False
    divergence_free: ClassVar[bool] = False
    #: Number of inputs u that the field reads after z.
    inputs: int = 0
    _outputs: int | None = None

    def __init__(self, dim: int, shapes: Mapping[str, tuple[int, ...]], time: bool = False) -> None:
        self.dim = _validate.positive_int("dim", dim)
        self.time = _validate.boolean("time", time)
        self.layout = Layout(_there(shapes))
        _validate.affordable("dim", dim, 8 * self.layout.size)

    @property
    def n_weights(self) -> int:
        """Number of weights of one coefficient set."""
        return self.layout.size

    @property
    def outputs(self) -> int:
        """Number of rows that the field gives: d for z' = f."""
        return self.dim if self._outputs is None else self._outputs

    @property
    def square(self) -> bool:
        """Whether it reads z and t alone, and gives as many rows: its Jacobian has a trace."""
        return self.inputs == 0 and self.outputs == self.dim

    def named(self, weights: Array) -> dict[str, Array]:
        """Views of weight sets by name: (n, n_weights) -> {name: (n, *shape)}."""
        places = self.layout.slices.items()
        return {
            name: weights[:, place].reshape(len(weights), *self.layout.shapes[name])
            for name, place in places
        }

    def description(self) -> Any:
        """The NamedTuple that kernels dispatch on."""
        raise NotImplementedError

    def rows(self, trace: bool) -> tuple[int, int]:
        """Rows of a stage's tape, and of the adjoint's work space."""
        raise NotImplementedError

    def block(self) -> int:
        """Largest number of samples in a block, a multiple of 8."""
        return 192

    def prepare(self, weights: Array, trace: bool) -> Array:
        """Effective weights, one row a weight set: (n, n_weights) -> (n, q)."""
        return weights

    def prepare_adjoint(self, weights: Array, trace: bool, e_bar: Array) -> Array:
        """Cotangents of the weights from those of the effective weights."""
        return e_bar

    def check_times(self) -> None:  # noqa: B027  fields of ours all return the cotangent of t
        """Raise a ValueError where the adjoint may not return the cotangent of t."""

    def initial(self, rng: np.random.Generator) -> dict[str, Array]:
        """One random weight set: matrices ~ N(0, 1/columns), vectors zero."""
        drawn = {}
        for name, shape in self.layout.shapes.items():
            if len(shape) == 2:
                drawn[name] = rng.standard_normal(shape) / np.sqrt(shape[1])
            else:
                drawn[name] = np.zeros(shape)
        return drawn

    def __repr__(self) -> str:
        """As the constructor is called, where its arguments are attributes; else by shapes."""
        given: dict[str, Any] = {}
        for name in inspect.signature(type(self)).parameters:
            if name == "shapes":
                given[name] = dict(self.layout.shapes)
            elif name == "outputs":
                given[name] = self._outputs
            elif hasattr(self, name):
                given[name] = getattr(self, name)
            else:
                shapes = ", ".join(f"{n} {s}" for n, s in self.layout.shapes.items())
                return f"{type(self).__name__}(dim={self.dim}: {shapes})"
        return as_called(self, **given)


def _there(shapes: Any) -> Any:
    """The shapes of a field's weights; ValueError where there are none."""
    if isinstance(shapes, Mapping) and not shapes:
        raise ValueError(
            "shapes: got no weights, wanted the name and shape of one at least (a field without "
            "weights has nothing to learn)"
        )
    return shapes


def rows_of(field: Any, trace: bool) -> tuple[int, int]:
    """What a field's ``rows`` says, checked: rows of a tape, and of the work space."""
    found = field.rows(trace)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise TypeError(
            f"{type(field).__name__}.rows: got {_validate.shown(found)}, wanted a pair of ints, "
            "the rows of a stage's tape and of the adjoint's work space"
        )
    tape, scratch = (_validate.nonnegative_int(f"{type(field).__name__}.rows", n) for n in found)
    return tape, scratch


def inputs_and_outputs(dim: int, inputs: Any, outputs: Any) -> tuple[int, int | None]:
    """Both as they are kept, checked: outputs None where they are dim."""
    q = _validate.nonnegative_int("inputs", inputs)
    if outputs is None:
        return q, None
    m = _validate.positive_int("outputs", outputs)
    return q, None if m == dim else m


def check_trace(field: Any, trace: bool) -> None:
    """Raise a ValueError where a trace is asked of a Jacobian that is not square."""
    if trace and not field.square:
        raise ValueError(
            f"field: got {field!r}, which has no trace, wanted inputs=0 and outputs=None"
        )


def check_inputs(field: Any) -> None:
    """Raise a ValueError where a field reads inputs that nobody gives: a sweep would run on."""
    if field.inputs:
        raise ValueError(
            f"field: got {field!r} and no data for its inputs, wanted TrajectoryFitting with "
            "Observations(..., inputs=(times, values)), or inputs=0"
        )


def activation_of(name: str) -> tuple[str, int]:
    """Name and code of an activation; ValueError lists the known names."""
    known = _validate.choice("activation", name, tuple(CODES))
    return known, CODES[known]


def width_of(width: int, dim: int, each: int, squares: int = 0) -> int:
    """A field's width; ValueError where it is why its weights find no room.

    There are `each` weights a unit, and `squares` matrices of units by units.
    """
    k = _validate.positive_int("width", width)
    if k > dim:  # else dim is to be named, as by Field
        _validate.affordable("width", width, 8 * k * (each + squares * k))
    return k
