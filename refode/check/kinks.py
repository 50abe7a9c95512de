"""How far a game's absolute values are from their kinks, from its results alone.

The terms are those of `refode.check.plain.game`, where nothing is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check.case import Case
from refode.check.plain import RIGHT
from refode.check.plain.game import GameFormulas, energy

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
    game = GameFormulas(Case.of(document), RIGHT)
    square = (found["phi_gradient"] ** 2).sum(axis=-1)
    Q = energy(game.setting["energy"], found["stages"], RIGHT)
    log_rho = _log_density_at_stages(game, found)
    return np.stack(list(game.residual(square, found["phi_time"], Q, log_rho).values()))


def terminal_gap(document: Document, found: Arrays) -> Array:
    """Phi and -G' at the paths' ends, (2, N)."""
    game = GameFormulas(Case.of(document), RIGHT)
    z, log_rho = found["trajectory"][-1], found["log_density_path"][-1]
    theta = {name: value[None, None] for name, value in game.case.theta.items()}
    phi, derivative = game.lacking(theta, np.column_stack([z, log_rho])[None])
    return np.stack([phi[0], -derivative[0]])


def _log_density_at_stages(game: GameFormulas, found: Arrays) -> Array:
    """log rho, whose slope is Lap Phi / alpha, (n_steps, n_stages, N)."""
    slopes = found["phi_laplacian"] / game.alpha("d")
    moved = np.einsum("ij,njk->nik", game.case.scheme.A, slopes)
    return found["log_density_path"][:-1, None] + game.case.h * moved
