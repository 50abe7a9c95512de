"""Random cases of every field of the oracle, and how two results are compared."""

from __future__ import annotations

import numpy as np
import oracle
import tolerances as tol

EULER = ([[0.0]], [1.0], [0.0])
RK4 = (
    [[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 1, 0]],
    [1 / 6, 1 / 3, 1 / 3, 1 / 6],
    [0, 0.5, 0.5, 1],
)
ACTIVATIONS = ["tanh", "softplus", "sine", "identity"]
FIELDS = ["affine", "shallow", "mlp", "antisymmetric", "parabolic", "hamiltonian", "second_order"]


def build(name, activation, d, k, seed, time=False, depth=2):
    """A field of the oracle, random weights, a random state, and the generator."""
    rng = np.random.default_rng(seed)
    e = int(time)
    shapes = {
        "affine": {"A": (d, d + e), "c": (d,)},
        "shallow": {"W0": (k, d + e), "b0": (k,), "W1": (d, k), "b1": (d,)},
        "antisymmetric": {"K": (d, d), "b0": (d,)},
        "parabolic": {"K": (k, d + e), "b0": (k,)},
        "hamiltonian": {"K": (d, d), "b0": (d,)},
        "second_order": {"K": (k, d), "b0": (k,)},
    }
    sizes = [d + e, *[k + i for i in range(depth)], d]
    shapes["mlp"] = {}
    for i in range(depth + 1):
        shapes["mlp"] |= {f"W{i}": (sizes[i + 1], sizes[i]), f"b{i}": (sizes[i + 1],)}
    if time:
        for with_tau in ("antisymmetric", "hamiltonian", "second_order"):
            shapes[with_tau]["tau"] = shapes[with_tau]["b0"]
    make = getattr(oracle, name)
    if name in ("affine", "shallow"):
        field = make(time=time)
    elif name == "antisymmetric":
        field = make(gamma=0.3, activation=activation, time=time)
    else:
        field = make(activation=activation, time=time)
    w = {key: rng.standard_normal(s) / np.sqrt(s[-1]) for key, s in shapes[name].items()}
    n = 2 * d if name in ("hamiltonian", "second_order") else d
    return field, w, rng.standard_normal(n), rng


def constant(w):
    """theta(t) = w."""
    return lambda t: w


def close(a, b, rtol=tol.ORACLE_ROUNDING):
    """Same shape, and entries equal to rtol relative to max(1, the largest of b)."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    scale = max(np.max(np.abs(b), initial=0.0), 1.0)
    assert np.max(np.abs(a - b), initial=0.0) <= rtol * scale, (a, b)
