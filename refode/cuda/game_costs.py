"""What a mean field game charges at the end of the paths: twin of refode/costs/game.py.

One thread takes a sample's share of the value whole, so that its sums have a fixed order; the
shares lie in a row of their own until ``total`` adds them up.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from numba import cuda

from refode.costs.game import CROSS_ENTROPY, ENERGY, KULLBACK_LEIBLER
from refode.costs.targets import rows as rows_of_target
from refode.cuda import weights
from refode.cuda.contract import CostBodies
from refode.cuda.costs import nothing
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops, sign
from refode.cuda.potential import potential_bodies

LARGEST = 709.78  # e^v is finite in float64 up to here


@functools.cache
def game_cost(ops: Ops, log_density: Any, weighted: bool = False) -> CostBodies:
    """The quadratures, the terminal cost, and the violation of the terminal condition."""
    potential = potential_bodies(ops)
    derivatives, derivatives_adjoint = potential.derivatives, potential.derivatives_adjoint
    weight_of = weights.weight_of(weighted)
    quadratures, divergences = _quadratures(ops, weight_of), _divergences(ops, weight_of)
    residuals = _residuals(ops, weight_of)
    add_score, fill, total = _add_score(ops), linalg(ops).fill, linalg(ops).total
    energies = _energies(ops, weight_of)

    @ops.body
    def terminal(cost, Y, first, m, L, cost_bar, value_at, scratch):
        """Value and cotangents, (D100), (D101)."""
        d, at = cost.field.d, cost.tape + cost.scratch
        Z, log_rho = Y[:d], Y[d]
        log_Y, phi = scratch[at], scratch[at + 1]
        a_bar, phi_bar, values = scratch[at + 2], scratch[at + 3], scratch[at + 4]
        score, work = scratch[at + 5 : at + 5 + d], scratch[at + 5 + d :]
        tape, free = scratch[: cost.tape], scratch[cost.tape : at]
        fill(L, 0.0)
        if cost.kind != CROSS_ENTROPY or cost.hjb_terminal > 0.0:
            log_density(cost.target, Z, first, m, log_Y, score, work)
        else:
            fill(score, 0.0)
        quadratures(values, cost.running, cost.hjb, cost.scale, cost.weights, first, Y, d, m, L)
        if cost.kind == KULLBACK_LEIBLER:
            divergences(
                values,
                cost.weight,
                cost.scale,
                cost.weights,
                first,
                log_rho,
                log_Y,
                m,
                L[d],
                a_bar,
            )
        elif cost.kind == ENERGY:
            energies(values, cost.weight, cost.scale, cost.weights, first, log_Y, m, a_bar)
        else:
            fill(scratch[at + 2 : at + 3], 0.0)  # a_bar
        if cost.hjb_terminal > 0.0:
            derivatives(cost.field, cost.e, cost.t, Z, phi, None, None, None, tape)
            residuals(
                phi,
                cost.kind,
                cost.weight,
                cost.hjb_terminal,
                cost.squared,
                cost.scale,
                cost.weights,
                first,
                log_rho,
                log_Y,
                m,
                L[d],
                a_bar,
                phi_bar,
                values,
            )
            derivatives_adjoint(
                cost.field,
                cost.e,
                cost.t,
                Z,
                tape,
                phi_bar,
                None,
                None,
                None,
                L[:d],
                cost_bar,
                free,
            )
        add_score(L[:d], a_bar, score)
        total(cost_bar, value_at, values, cost.scale)

    def rows(cost: Any) -> int:
        """The potential's, five rows a sample, the score's and the target's."""
        d = cost.field.d
        return cost.tape + cost.scratch + 5 + d + rows_of_target(cost.target, d)

    return CostBodies(terminal, nothing(ops), rows)


@functools.cache
def inverse_cost(ops: Ops, log_density: Any) -> CostBodies:
    """The cross-entropy of the density that the flow back from data gives them."""
    cross_entropies, add_score = _cross_entropies(ops), _add_score(ops)
    fill, total = linalg(ops).fill, linalg(ops).total

    @ops.body
    def terminal(cost, Y, first, m, L, cost_bar, value_at, scratch):
        """weight scale (q - log rho_0(w)), q the state's second part, which began as 0, (D102)."""
        d = cost.d
        log_rho_0, values, a_bar = scratch[0], scratch[1], scratch[2]
        score, work = scratch[3 : 3 + d], scratch[3 + d :]
        fill(L, 0.0)
        log_density(cost.initial, Y[:d], first, m, log_rho_0, score, work)
        factor = cost.weight * cost.scale
        cross_entropies(values, factor, Y[d], log_rho_0, m, L[d], a_bar)
        add_score(L[:d], a_bar, score)
        total(cost_bar, value_at, values, factor)

    return CostBodies(
        terminal, nothing(ops), lambda cost: 3 + cost.d + rows_of_target(cost.initial, cost.d)
    )


def _quadratures(ops: Ops, weight_of: Any) -> Any:
    @ops.each
    def quadratures(s, values, running, hjb, scale, weights, first, Y, d, m, L):
        """running L + F + hjb R, without the scale, and its cotangents, with it."""
        value = 0.0
        if s < m:
            weight = weight_of(weights, first + s)
            value = weight * (running * Y[d + 1, s] + Y[d + 2, s] + hjb * Y[d + 3, s])
            L[d + 1, s] = scale * weight * running
            L[d + 2, s] = scale * weight
            L[d + 3, s] = scale * weight * hjb
        values[s] = value

    return quadratures


def _divergences(ops: Ops, weight_of: Any) -> Any:
    @ops.each
    def divergences(
        s, values, strength, scale, weights, first, log_rho, log_Y, m, log_rho_bar, a_bar
    ):
        """strength (log rho - log rho_Y), without the scale; a_bar: log rho_Y's cotangent."""
        if s < m:
            weight = weight_of(weights, first + s)
            values[s] += weight * (strength * (log_rho[s] - log_Y[s]))
            log_rho_bar[s] += scale * weight * strength
            a_bar[s] = -scale * weight * strength
        else:
            a_bar[s] = 0.0

    return divergences


def _energies(ops: Ops, weight_of: Any) -> Any:
    @ops.each
    def energies(s, values, weight, scale, weights, first, log_Y, m, a_bar):
        """weight g, without the scale, log_Y being -g; a_bar is the cotangent of log_Y."""
        if s < m:
            share = weight_of(weights, first + s)
            values[s] -= share * (weight * log_Y[s])
            a_bar[s] = -scale * share * weight
        else:
            a_bar[s] = 0.0

    return energies


def _residuals(ops: Ops, weight_of: Any) -> Any:
    @ops.each
    def residuals(
        s,
        phi,
        kind,
        strength,
        hjb_terminal,
        squared,
        scale,
        weights,
        first,
        log_rho,
        log_Y,
        m,
        log_rho_bar,
        a_bar,
        phi_bar,
        values,
    ):
        """hjb_terminal |r| or r^2 with r = Phi - G', without the scale; adds to cotangents."""
        if s >= m:
            phi_bar[s] = 0.0
        else:
            weight = weight_of(weights, first + s)
            if kind == KULLBACK_LEIBLER:  # G' = strength (1 + log rho - log rho_Y)
                slope = strength
                r = phi[s] - strength * (1.0 + log_rho[s] - log_Y[s])
            elif kind == ENERGY:  # G' = strength g
                slope = strength
                r = phi[s] + strength * log_Y[s]
            else:  # G' = -strength rho_Y/rho
                slope = strength * _exp(log_Y[s] - log_rho[s])
                r = phi[s] + slope
            values[s] += weight * (hjb_terminal * (r * r if squared else r * sign(r)))
            r_bar = 2.0 * r if squared else sign(r) + 0.0 * r  # not finite where r is not
            r_bar *= scale * weight * hjb_terminal
            phi_bar[s] = r_bar
            if kind != ENERGY:
                log_rho_bar[s] -= r_bar * slope
            a_bar[s] += r_bar * slope

    return residuals


@cuda.jit(device=True)
def _exp(v):
    """e^v, infinite beyond float64 as on the CPU: the simulator's would raise."""
    return math.inf if v > LARGEST else math.exp(v)


def _cross_entropies(ops: Ops) -> Any:
    @ops.each
    def cross_entropies(s, values, factor, q, log_rho_0, m, q_bar, a_bar):
        """q - log rho_0(w), without the factor; a_bar is the cotangent of log rho_0."""
        values[s] = q[s] - log_rho_0[s] if s < m else 0.0
        q_bar[s] = factor if s < m else 0.0
        a_bar[s] = -factor if s < m else 0.0

    return cross_entropies


def _add_score(ops: Ops) -> Any:
    @ops.entries
    def add_score(i, s, L, a_bar, score):
        """L += a_bar times the score: what log rho_Y's cotangent means for z."""
        L[i, s] += a_bar[s] * score[i, s]

    return add_score
