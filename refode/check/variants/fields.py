"""Mistakes in fields and in how their weights are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.plain.mistakes import Mistakes
from refode.check.variants.make import Document, Variant, edited, knobs

Array = NDArray[Any]


def _transposed(block: str) -> Variant:
    def read(name: str, value: Array) -> Array:
        square = name == block and value.shape[-1] == value.shape[-2]
        return value.swapaxes(-1, -2) if square else value

    return knobs(
        f"transposed-{block}",
        f"{block} is transposed: rows are outputs, columns are inputs.",
        read=read,
        chosen=lambda d: Mistakes(read=read) if block in d["inputs"]["theta"] else None,
    )


def _column_major(name: str, value: Array) -> Array:
    shape = value.shape[1:]
    flat = value.reshape(len(value), -1)
    places = np.arange(flat.shape[1]).reshape(shape, order="F")
    return flat[:, places]


def _time_first(document: Document) -> Mistakes | None:
    """The first column of what meets (z, t) belongs to t."""
    f = document["field"]
    if not f.get("time") and f["type"] != "Potential":
        return None
    names = {
        "Shallow": ["W0"],
        "MLP": ["W0"],
        "Affine": ["A"],
        "Parabolic": ["K"],
        "Potential": ["K0", "A", "b"],
    }.get(f["type"], [])

    def read(name: str, value: Array) -> Array:
        if name not in names:
            return value
        if name == "A" and f.get("quadratic") == "symmetric":
            value = np.roll(value, -1, axis=-2)
        return np.roll(value, -1, axis=-1)

    return Mistakes(read=read) if names else None


def _no_biases(document: Document) -> Mistakes | None:
    affine = document["field"]["type"] == "Affine"

    def read(name: str, value: Array) -> Array:
        bias = name == "c" if affine else name[0] == "b" and name[1:].isdigit()
        return 0.0 * value if bias else value

    return Mistakes(read=read)


def _field(document: Document, **changes: Any) -> Document | None:
    field = document["field"]
    if any(key not in field for key in changes):
        return None
    return {"field": {**field, **changes}}


def _gamma_sign(document: Document) -> Document | None:
    gamma = document["field"].get("gamma")
    return None if gamma is None else _field(document, gamma=f"-{gamma}")


FIELDS: tuple[Variant, ...] = (
    *(_transposed(name) for name in ("W0", "W1", "W2", "K", "A", "K0", "K1", "K2", "W")),
    knobs(
        "column-major",
        "Weights are read in column-major order: the files have the last index run fastest.",
        read=_column_major,
    ),
    knobs(
        "time-first",
        "The first column of the weight that meets the time is taken for t; the "
        "input is (z, t), t last.",
        chosen=_time_first,
    ),
    knobs("biases-missing", "The field's biases are missing.", chosen=_no_biases),
    knobs(
        "field-sign",
        "The field enters with the wrong sign (f = -grad Phi / alpha for "
        "potentials, -K^T sigma(...) for parabolic fields).",
        field_sign=-1.0,
    ),
    edited(
        "activation-tanh",
        "The activation is tanh, whatever was asked for.",
        lambda d: _field(d, activation="tanh"),
    ),
    knobs("antisymmetric-K", "K stands for K - K^T.", slip="K alone"),
    knobs("antisymmetric-sum", "K + K^T stands for K - K^T.", slip="K + K^T"),
    knobs(
        "hamiltonian-K-twice",
        "K stands for K^T in the second half of a Hamiltonian field.",
        slip="K twice",
    ),
    knobs(
        "hamiltonian-sign", "The second half of a Hamiltonian field lacks its minus.", slip="plus"
    ),
    edited("gamma-sign", "gamma enters with the wrong sign: K - K^T - gamma I.", _gamma_sign),
    edited("gamma-missing", "gamma is missing: K - K^T - gamma I.", lambda d: _field(d, gamma="0")),
    knobs(
        "resnet-step-one",
        "The potential's layers take steps of 1; h = 1/M, M being the layers behind the first.",
        ("ode", "game"),
        resnet_step_one=True,
    ),
    knobs(
        "log-cosh",
        "The potential's activation is log cosh: a constant log 2 a unit is missing "
        "from |x| + log(1 + exp(-2|x|)).",
        ("ode", "game"),
        log_cosh=True,
    ),
    knobs(
        "not-symmetrised",
        "The gradient of the quadratic part is A s; that of s.A s/2 is (A + A^T) s / 2.",
        ("ode", "game"),
        not_symmetrised=True,
    ),
    knobs(
        "quadratic-half",
        "The factor 1/2 of the potential's quadratic part is missing.",
        ("ode", "game"),
        quadratic_half=1.0,
    ),
)
