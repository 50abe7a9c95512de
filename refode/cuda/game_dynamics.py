"""The state of a mean field game on the device: twin of ``GameDynamics`` in
refode/sweeps/game_dynamics.py.
"""

from __future__ import annotations

import functools
from typing import Any

from refode.cuda.contract import DynamicsBodies
from refode.cuda.energies import EnergyBodies
from refode.cuda.linalg import linalg
from refode.cuda.ops import Ops, sign
from refode.cuda.potential import potential_bodies


@functools.cache
def game(ops: Ops, of_energy: EnergyBodies) -> DynamicsBodies:
    """(24), (25) with the control -grad Phi/alpha."""
    potential = potential_bodies(ops)
    derivatives, derivatives_adjoint = potential.derivatives, potential.derivatives_adjoint
    energy, energy_gradient = of_energy
    control, control_adjoint = _controls(ops)
    residual, residual_adjoint = _residuals(ops)
    fill = linalg(ops).fill

    @ops.body
    def slope(dyn, e, t, Y, F, tape):
        """(D98); the tape's first rows keep dPhi/dt and r."""
        d = dyn.field.d
        derivatives(dyn.field, e, t, Y[:d], None, F[:d], tape[0], F[d], tape)  # [1]
        fill(F[d + 2 : d + 3], 0.0)
        energy(dyn.energy, Y[:d], F[d + 2])  # [2] Q
        control(F, d, dyn.alpha)  # [3]
        residual(tape[1], Y[d], F, d, tape[0], dyn.entropy, dyn.squared)  # [4]

    @ops.body
    def slope_adjoint(dyn, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
        """(D99): all cotangents of the potential's derivatives, then its own adjoint."""
        d = dyn.field.d
        residual_adjoint(tape[1], F_bar, d, dyn.entropy, dyn.squared, Y_bar[d])  # [4]^T
        control_adjoint(F_bar[: d + 1], F, dyn.alpha, F_bar)  # [3]^T
        energy_gradient(dyn.energy, Y[:d], F_bar[d + 2], Y_bar[:d])  # [2]^T
        derivatives_adjoint(  # [1]^T
            dyn.field,
            e,
            t,
            Y[:d],
            tape,
            None,
            F_bar[:d],
            F_bar[d + 3],
            F_bar[d],
            Y_bar[:d],
            e_bar,
            scratch,
        )

    return DynamicsBodies(slope, slope_adjoint, lambda dyn: potential.rows(dyn.field, True))


def _controls(ops: Ops) -> tuple[Any, Any]:
    @ops.each
    def control(s, F, d, alpha):
        """f, (log rho)' and L' from grad Phi and Lap Phi."""
        F[d, s] /= alpha
        L = 0.0
        for i in range(d):
            f = -F[i, s] / alpha
            F[i, s] = f
            L += (0.5 * alpha) * f * f
        F[d + 1, s] = L

    @ops.entries
    def control_adjoint(i, s, F_bar, F, alpha, all_bar):
        """Rows 0, ..., d of F_bar become the cotangents of grad Phi and Lap Phi."""
        d = F_bar.shape[0] - 1
        if i < d:  # f = -g/alpha and L' = alpha |f|^2/2
            F_bar[i, s] = -F_bar[i, s] / alpha - F[i, s] * all_bar[d + 1, s]
        else:
            F_bar[d, s] /= alpha

    return control, control_adjoint


def _residuals(ops: Ops) -> tuple[Any, Any]:
    @ops.each
    def residual(s, r, log_rho, F, d, Phi_t, entropy, squared):
        """r, F' and R' from L' = |g|^2/(2 alpha) and Q."""
        Q = F[d + 2, s]
        v = F[d + 1, s] - Phi_t[s] - Q - entropy * (log_rho[s] + 1.0)
        F[d + 2, s] = Q + entropy * log_rho[s]
        F[d + 3, s] = v * v if squared else v * sign(v)
        r[s] = v

    @ops.each
    def residual_adjoint(s, r, F_bar, d, entropy, squared, log_rho_bar):
        """Rows d+1, d+2, d+3 of F_bar become the cotangents of L' in all, of Q, of dPhi/dt."""
        r_bar = F_bar[d + 3, s] * (2.0 * r[s] if squared else sign(r[s]))
        log_rho_bar[s] += entropy * (F_bar[d + 2, s] - r_bar)
        F_bar[d + 1, s] += r_bar
        F_bar[d + 2, s] -= r_bar
        F_bar[d + 3, s] = -r_bar

    return residual, residual_adjoint
