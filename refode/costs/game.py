"""What a mean field game charges at the end of the paths, eqs. (17), (24), (25).

The state at the end is (z, log rho, L, F, R). ``GameCost`` weighs the three quadratures, adds
the terminal cost and the violation of the terminal condition Phi(z, T) = G'; ``InverseCost``
is the cross-entropy of the density that the flow back from data gives them. A terminal cost that
is an energy, E g(z(T)), comes as the target whose log-density is -g (``EnergyTarget``).

Twin on the device: refode/cuda/game_costs.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode.costs.contract import observe
from refode.costs.targets import log_density
from refode.costs.weights import weight_of, weighted
from refode.fields.potential.kernels import PHI, POTENTIAL, derivatives, derivatives_adjoint
from refode.machine.blocks import fill, sign
from refode.machine.compile import kernel
from refode.machine.parts import Member, members
from refode.machine.views import band, row

KULLBACK_LEIBLER, CROSS_ENTROPY, ENERGY = range(3)


class GameCost(NamedTuple):
    """Weights and parts of the cost at the end of the paths from x.

    Work rows: the potential's tape and its adjoint's scratch (``tape`` rows of the first),
    four rows for values, d for the score, then the target's.
    """

    field: tuple
    e: np.ndarray  # the potential's effective weights at T
    t: float  # T
    target: tuple
    kind: int
    running: float  # weight of L
    hjb: float
    weight: float  # of the terminal cost
    hjb_terminal: float
    squared: bool
    scale: float  # 1/N, or 1/sum w
    tape: int
    scratch: int
    weights: Any = None  # (N,), of the samples; None for equal ones


class InverseCost(NamedTuple):
    """weight times the mean of -log rho(T, y), paths going from y back to the initial density."""

    d: int
    initial: tuple
    weight: float
    scale: float


members(GameCost, field=Member(room=POTENTIAL))


@observe.register(GameCost)
def game_observe(cost, at, Y, L, cost_bar, scratch):
    """Value and cotangents, (D100), (D101)."""
    first, m = at.first, at.m
    d, free_from = Y.shape[0] - 4, cost.tape + cost.scratch
    Z, log_rho = band(Y, 0, d), row(Y, d)
    log_Y, phi = row(scratch, free_from), row(scratch, free_from + 1)
    a_bar, phi_bar = row(scratch, free_from + 2), row(scratch, free_from + 3)
    score, work = band(scratch, free_from + 4, d), scratch[free_from + 4 + d :]
    tape, free = band(scratch, 0, cost.tape), band(scratch, cost.tape, cost.scratch)
    if cost.kind != CROSS_ENTROPY or cost.hjb_terminal > 0.0:
        log_density(cost.target, Z, first, m, log_Y, score, work)
    else:
        fill(score, 0.0)
    value = _quadratures(cost, Y, d, first, m, L)
    if cost.kind == KULLBACK_LEIBLER:
        for s in range(m):
            n = first + s
            value += weighted(cost.weights, n, cost.weight * (log_rho[s] - log_Y[s]))
            scale = cost.scale * weight_of(cost.weights, n)
            L[d, s] += scale * cost.weight
            a_bar[s] = -scale * cost.weight
    elif cost.kind == ENERGY:  # log_Y is -g
        for s in range(m):
            n = first + s
            value += weighted(cost.weights, n, -cost.weight * log_Y[s])
            a_bar[s] = -cost.scale * weight_of(cost.weights, n) * cost.weight
    else:
        for s in range(m):
            a_bar[s] = 0.0
    if cost.hjb_terminal > 0.0:
        derivatives(cost.field, cost.e, cost.t, Z, PHI, phi, Z, phi, phi, tape)
        value += _residuals(cost, log_rho, log_Y, phi, first, m, row(L, d), a_bar, phi_bar)
        derivatives_adjoint(
            cost.field,
            cost.e,
            cost.t,
            Z,
            tape,
            PHI,
            phi_bar,
            Z,
            phi_bar,
            phi_bar,
            band(L, 0, d),
            cost_bar,
            free,
        )
    for i in range(d):
        for s in range(m):
            L[i, s] += a_bar[s] * score[i, s]
    return cost.scale * value


@kernel(cache=False)
def _quadratures(cost, Y, d, first, m, L):
    """running L + F + hjb R, without the scale, and its cotangents, with it."""
    value = Y[0, 0] * 0
    for s in range(m):
        n = first + s
        charged = cost.running * Y[d + 1, s] + Y[d + 2, s] + cost.hjb * Y[d + 3, s]
        value += weighted(cost.weights, n, charged)
        scale = cost.scale * weight_of(cost.weights, n)
        L[d + 1, s] += scale * cost.running
        L[d + 2, s] += scale
        L[d + 3, s] += scale * cost.hjb
    return value


@kernel(cache=False)
def _residuals(cost, log_rho, log_Y, phi, first, m, log_rho_bar, a_bar, phi_bar):
    """hjb_terminal |r| or r^2 with r = Phi - G', without the scale; adds to the cotangents."""
    value = phi[0] * 0
    for s in range(phi.shape[0]):
        phi_bar[s] = 0.0
    for s in range(m):
        if cost.kind == KULLBACK_LEIBLER:  # G' = weight (1 + log rho - log rho_Y)
            slope = cost.weight + 0 * phi[s]
            r = phi[s] - cost.weight * (1.0 + log_rho[s] - log_Y[s])
        elif cost.kind == ENERGY:  # G' = weight g
            slope = cost.weight + 0 * phi[s]
            r = phi[s] + cost.weight * log_Y[s]
        else:  # G' = -weight rho_Y/rho
            slope = cost.weight * np.exp(log_Y[s] - log_rho[s])
            r = phi[s] + slope
        size = cost.hjb_terminal * (r * r if cost.squared else r * sign(r))
        value += weighted(cost.weights, first + s, size)
        scale = cost.scale * weight_of(cost.weights, first + s)
        r_bar = scale * cost.hjb_terminal * (2.0 * r if cost.squared else sign(r) + 0 * r)
        phi_bar[s] = r_bar
        if cost.kind != ENERGY:
            log_rho_bar[s] -= r_bar * slope
        a_bar[s] += r_bar * slope
    return value


@observe.register(InverseCost)
def inverse_observe(cost, at, Y, L, cost_bar, scratch):
    """weight scale (q - log rho_0(w)), q the state's second part, which began as 0, (D102)."""
    d, first, m = cost.d, at.first, at.m
    value_row, score, work = row(scratch, 0), band(scratch, 1, d), scratch[1 + d :]
    log_density(cost.initial, band(Y, 0, d), first, m, value_row, score, work)
    value = Y[0, 0] * 0
    factor = cost.weight * cost.scale
    for s in range(m):
        value += Y[d, s] - value_row[s]
        L[d, s] += factor
    for i in range(d):
        for s in range(m):
            L[i, s] -= factor * score[i, s]
    return factor * value
