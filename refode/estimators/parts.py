"""The ode that an estimator's parameters name: field, weights in time, scheme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from refode import _validate, bases, fields
from refode.ode.neural_ode import NeuralODE

Maker = Callable[[int, int, bool], fields.Field]

#: By its name: a field of so many dimensions, hidden units, with or without t as an input.
FIELDS: dict[str, Maker] = {
    "affine": lambda dim, width, time: fields.Affine(dim, time),
    "antisymmetric": lambda dim, width, time: fields.Antisymmetric(dim, time=time),
    "hamiltonian": lambda dim, width, time: fields.Hamiltonian(dim, time=time),
    "leapfrog": lambda dim, width, time: fields.Leapfrog(dim, width, time=time),
    "mlp": lambda dim, width, time: fields.MLP(dim, (width, width), time=time),
    "parabolic": lambda dim, width, time: fields.Parabolic(dim, width, time=time),
    "shallow": lambda dim, width, time: fields.Shallow(dim, width, time),
}
#: Those that read inputs u(t) besides, so many of them.
READING: dict[str, Callable[[int, int, bool, int], fields.Field]] = {
    "mlp": lambda dim, width, time, q: fields.MLP(dim, (width, width), time=time, inputs=q),
    "shallow": fields.Shallow,
}
HALVES = ("hamiltonian", "leapfrog")  # whose state has two halves

BASES: dict[str, Callable[[int], bases.Basis]] = {
    "piecewise_constant": bases.PiecewiseConstant,
    "piecewise_linear": bases.PiecewiseLinear,
    "legendre": bases.Legendre,
    "bspline": bases.BSpline,
}


def ode_of(estimator: Any, n_inputs: int, driving: int = 0) -> tuple[NeuralODE, int]:
    """The ode, and how many zeros are appended to a sample of so many columns.

    ``driving`` says how many inputs u(t) there are.
    """
    p = estimator
    time = _validate.boolean("time", p.time)
    augment = _validate.nonnegative_int("augment", getattr(p, "augment", 0))
    if isinstance(p.field, fields.Field):
        field, augment = p.field, p.field.dim - n_inputs
        _check_dim(p, augment, n_inputs)
        if field.inputs != driving:
            raise ValueError(
                f"inputs: got {driving} channels with a field of inputs={field.inputs}, wanted as "
                "many"
            )
    else:
        name = _validate.choice("field", p.field, (*FIELDS, "a refode.fields.Field"))
        width = _validate.positive_int("width", p.width)
        augment += (n_inputs + augment) % 2 if name in HALVES and hasattr(p, "augment") else 0
        if driving and name not in READING:
            raise ValueError(
                f"inputs: got some with field={name!r}, which reads none, wanted field='shallow', "
                "'mlp' or a field with inputs=q"
            )
        if driving:
            field = READING[name](n_inputs + augment, width, time, driving)
        else:
            field = FIELDS[name](n_inputs + augment, width, time)
    ode = NeuralODE(field, p.scheme, p.n_steps, p.t_span, _basis(p.basis, p.n_coefficients))
    return ode, augment


def _check_dim(p: Any, augment: int, n_inputs: int) -> None:
    wanted = f"at least {n_inputs}" if hasattr(p, "augment") else str(n_inputs)
    if augment < 0 or (augment and not hasattr(p, "augment")):
        raise ValueError(
            f"field: got one of dim {p.field.dim} with {n_inputs} columns of X, wanted dim {wanted}"
        )


def _basis(basis: Any, n_coefficients: Any) -> bases.Basis:
    if isinstance(basis, bases.Basis):
        return basis
    name = _validate.choice("basis", basis, ("constant", *BASES, "a refode.bases.Basis"))
    if name == "constant":
        return bases.Constant()
    return BASES[name](_validate.positive_int("n_coefficients", n_coefficients))
