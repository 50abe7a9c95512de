"""Right-hand sides built on a potential: its derivatives, and the state of a mean field game.

================  ===========================  ==============================================
dynamics          state                        slope
================  ===========================  ==============================================
``Derivatives``   (x, ., ., .)                 (grad Phi, Phi, dPhi/dt, Lap Phi), no dynamics
``GameDynamics``  (z, log rho, L, F, R)        (24), (25) with the control -grad Phi/alpha
================  ===========================  ==============================================

With g = grad Phi(t, z) and the residual of the HJB equation (24)

    r = -dPhi/dt + |g|^2/(2 alpha) - Q(z) - lambda (log rho + 1)

the slopes of ``GameDynamics`` are (D98)

    z' = -g/alpha,  (log rho)' = Lap Phi/alpha,  L' = |g|^2/(2 alpha),
    F' = Q(z) + lambda log rho,  R' = |r| or r^2.

Twin on the device: refode/cuda/game_dynamics.py.
"""

from __future__ import annotations

from typing import NamedTuple

from refode.costs.energies import energy, energy_gradient
from refode.fields.potential.kernels import (
    GRADIENT,
    LAPLACIAN,
    PHI,
    POTENTIAL,
    derivatives,
    derivatives_adjoint,
)
from refode.machine.blocks import fill, sign
from refode.machine.compile import kernel
from refode.machine.parts import Member, members
from refode.machine.views import band, row
from refode.sweeps.contract import slope, slope_adjoint


class Derivatives(NamedTuple):
    """All four quantities of a potential, for the scheme that takes no step."""

    field: tuple


class GameDynamics(NamedTuple):
    """A potential's control in a game: the state's rows are z, log rho, L, F, R."""

    field: tuple
    alpha: float
    energy: tuple
    entropy: float  # lambda
    squared: bool  # R' = r^2 in place of |r|


members(Derivatives, field=Member(room=POTENTIAL))
members(GameDynamics, field=Member(room=POTENTIAL))


@slope.register(Derivatives)
def derivatives_slope(dynamics, e, t, Y, F, tape):
    """F = (grad Phi, Phi, dPhi/dt, Lap Phi)."""
    d = Y.shape[0] - 3
    derivatives(
        dynamics.field,
        e,
        t,
        band(Y, 0, d),
        PHI | GRADIENT | LAPLACIAN,
        row(F, d),
        band(F, 0, d),
        row(F, d + 1),
        row(F, d + 2),
        tape,
    )


@slope_adjoint.register(Derivatives)
def derivatives_slope_adjoint(dynamics, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
    """The adjoint of all four, (D94)-(D97)."""
    d = Y.shape[0] - 3
    return derivatives_adjoint(
        dynamics.field,
        e,
        t,
        band(Y, 0, d),
        tape,
        PHI | GRADIENT | LAPLACIAN,
        row(F_bar, d),
        band(F_bar, 0, d),
        row(F_bar, d + 1),
        row(F_bar, d + 2),
        band(Y_bar, 0, d),
        e_bar,
        scratch,
    )


@slope.register(GameDynamics)
def game_slope(dynamics, e, t, Y, F, tape):
    """(D98); the tape's first rows keep dPhi/dt and r."""
    d = Y.shape[0] - 4
    derivatives(  # [1]
        dynamics.field,
        e,
        t,
        band(Y, 0, d),
        GRADIENT | LAPLACIAN,
        row(tape, 0),
        band(F, 0, d),
        row(tape, 0),
        row(F, d),
        tape,
    )
    fill(band(F, d + 2, 1), 0.0)
    energy(dynamics.energy, band(Y, 0, d), row(F, d + 2))  # [2] Q
    _control(F, d, dynamics.alpha)  # [3]
    _residual(
        row(Y, d), F, d, row(tape, 0), dynamics.entropy, dynamics.squared, row(tape, 1)
    )  # [4]


@kernel(cache=False)
def _control(F, d, alpha):
    """f, (log rho)' and L' from grad Phi and Lap Phi."""
    L = row(F, d + 1)
    for s in range(F.shape[1]):
        F[d, s] /= alpha
        L[s] = 0.0
    for i in range(d):
        for s in range(F.shape[1]):
            f = -F[i, s] / alpha
            F[i, s] = f
            L[s] += (0.5 * alpha) * f * f


@kernel(cache=False)
def _residual(log_rho, F, d, Phi_t, entropy, squared, r):
    """r, F' and R' from L' = |g|^2/(2 alpha) and Q."""
    for s in range(r.shape[0]):
        Q = F[d + 2, s]
        r[s] = F[d + 1, s] - Phi_t[s] - Q - entropy * (log_rho[s] + 1.0)
        F[d + 2, s] = Q + entropy * log_rho[s]
        F[d + 3, s] = r[s] * r[s] if squared else r[s] * sign(r[s])


@slope_adjoint.register(GameDynamics)
def game_slope_adjoint(dynamics, e, t, Y, F, tape, F_bar, Y_bar, e_bar, scratch):
    """(D99): all cotangents of the potential's derivatives, then the potential's own adjoint."""
    d = Y.shape[0] - 4
    _residual_adjoint(
        F_bar, d, dynamics.entropy, dynamics.squared, row(tape, 1), row(Y_bar, d)
    )  # [4]^T
    _control_adjoint(F, F_bar, d, dynamics.alpha)  # [3]^T
    energy_gradient(dynamics.energy, band(Y, 0, d), row(F_bar, d + 2), band(Y_bar, 0, d))  # [2]^T
    return derivatives_adjoint(  # [1]^T
        dynamics.field,
        e,
        t,
        band(Y, 0, d),
        tape,
        GRADIENT | LAPLACIAN,
        row(F_bar, d),
        band(F_bar, 0, d),
        row(F_bar, d + 3),
        row(F_bar, d),
        band(Y_bar, 0, d),
        e_bar,
        scratch,
    )


@kernel(cache=False)
def _residual_adjoint(F_bar, d, entropy, squared, r, log_rho_bar):
    """Rows d+1, d+2, d+3 of F_bar become the cotangents of L' in all, of Q and of dPhi/dt."""
    for s in range(r.shape[0]):
        r_bar = F_bar[d + 3, s] * (2.0 * r[s] if squared else sign(r[s]))
        log_rho_bar[s] += entropy * (F_bar[d + 2, s] - r_bar)
        F_bar[d + 1, s] += r_bar
        F_bar[d + 2, s] -= r_bar
        F_bar[d + 3, s] = -r_bar


@kernel(cache=False)
def _control_adjoint(F, F_bar, d, alpha):
    """Rows 0, ..., d of F_bar become the cotangents of grad Phi and Lap Phi."""
    for i in range(d):
        for s in range(F.shape[1]):  # f = -g/alpha and L' = alpha |f|^2/2
            F_bar[i, s] = -F_bar[i, s] / alpha - F[i, s] * F_bar[d + 1, s]
    for s in range(F.shape[1]):
        F_bar[d, s] /= alpha
