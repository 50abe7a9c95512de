"""How far a game's absolute values are from their kinks, from its results alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.densities import Gaussian
from refode.reference.files import arrays
from refode.reference.kernels import density_of

Array = NDArray[np.float64]
Arrays = Mapping[str, Array]
Document = dict[str, Any]


def near_kink(document: Document, found: Arrays) -> float:
    """The smallest absolute value in a case's objective, relative to the largest of its terms.

    Parameters
    ----------
    document : dict
    found : dict of arrays
        The case's results.

    Returns
    -------
    float
        Infinite where no absolute value counts: no game, the squared norm, weights of 0.
    """
    p = document["problem"]
    if p["type"] != "game" or p["hjb_norm"] != "absolute":
        return math.inf
    sums = []
    if Fraction(p["hjb"]):
        sums.append(residual(document, found))
    if Fraction(p["hjb_terminal"]):
        sums.append(terminal_gap(document, found))
    ratios = [np.abs(sum(terms)) / np.max(np.abs(terms), axis=0) for terms in sums]
    return float(np.min(np.concatenate([np.ravel(r) for r in [math.inf, *ratios]])))


def residual(document: Document, found: Arrays) -> Array:
    """Terms of the HJB residual (24) at the stages, (4, n_steps, n_stages, N)."""
    p, z = document["problem"], found["stages"]
    alpha, entropy = float(Fraction(p["alpha"])), float(Fraction(p["entropy"]))
    square = (found["phi_gradient"] ** 2).sum(axis=-1)
    log_rho = _log_density_at_stages(document, found)
    return np.stack([
        -found["phi_time"], square / (2.0 * alpha), -_energy(p["energy"], z),
        -entropy * (log_rho + 1.0),
    ])  # fmt: skip


def terminal_gap(document: Document, found: Arrays) -> Array:
    """Phi and -G' at the paths' ends, (2, N)."""
    p, z, log_rho = document["problem"], found["trajectory"][-1], found["log_density_path"][-1]
    t = float(Fraction(document["along"][1]))
    gap = log_rho - density_of(p["target"]).log_density(z)
    derivative = 1.0 + gap if p["kind"] == "kl" else -np.exp(-gap)
    return np.stack([_phi(document, z, t), -float(Fraction(p["terminal"])) * derivative])


def _log_density_at_stages(document: Document, found: Arrays) -> Array:
    """log rho, whose slope is Lap Phi / alpha, (n_steps, n_stages, N)."""
    start, end = (Fraction(t) for t in document["along"])
    h = float((end - start) / document["n_steps"])
    A = np.array([[float(Fraction(a)) for a in row] for row in document["scheme"]["A"]])
    slopes = found["phi_laplacian"] / float(Fraction(document["problem"]["alpha"]))
    return found["log_density_path"][:-1, None] + h * np.einsum("ij,njk->nik", A, slopes)


def _phi(document: Document, z: Array, t: float) -> Array:
    """Phi(z, t), (N,), (D90)."""
    f, given = document["field"], arrays(document, "inputs")
    w = {k.removeprefix("theta/"): a for k, a in given.items() if k.startswith("theta/")}
    s = np.concatenate([z, np.full((len(z), 1), t)], axis=1)
    u = _log_2_cosh(s @ w["K0"].T + w["b0"])
    for i in range(1, f["depth"]):
        u = u + _log_2_cosh(u @ w[f"K{i}"].T + w[f"b{i}"]) / (f["depth"] - 1)
    As = s @ w["A"].T
    quadratic = (As * (As if f["quadratic"] == "lowrank" else s)).sum(axis=1)
    return u @ w["w"] + 0.5 * quadratic + s @ w["b"] + w["c"]


def _log_2_cosh(u: Array) -> Array:
    return np.logaddexp(u, -u)


def _energy(parts: list[Document], z: Array) -> Array:
    """Q at points (..., d)."""
    total, points = np.zeros(z.shape[:-1]), z.reshape(-1, z.shape[-1])
    for q in parts:
        centre = np.array(q["centre" if q["type"] == "Quadratic" else "mean"], dtype=float)
        x = points[:, : len(centre)]
        if q["type"] == "Quadratic":
            value = 0.5 * float(q["stiffness"]) * ((x - centre) ** 2).sum(axis=1)
        else:
            bump = Gaussian(centre, np.array(q["covariance"], dtype=float))
            value = float(q["height"]) * np.exp(bump.log_density(x))
        total += value.reshape(total.shape)
    return total
