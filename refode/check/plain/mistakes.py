"""What may be wrong in an evaluation: knobs, each right by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Nodes = tuple[Any, ...]


@dataclass(frozen=True)
class Mistakes:
    """Knobs of `refode.check.plain.evaluate`.

    What a setting of the case can express (another scheme, another number of steps, a weight of
    zero) is not here: variants change the case's document for it.

    Attributes
    ----------
    time_nodes, theta_nodes : callable, optional
        The nodes c that the field's time, and theta(t), are taken at instead.
    clock : {"", "from zero", "from the span", "normalised", "mirrored", "missing"}
        What a field with time as an input gets instead of t.
    whole_steps : bool
        Every step as long as the interval.
    in_place : bool
        A stage starts from the stage before instead of from the step's state.
    together : bool
        Symplectic substeps all read the state at the step's start.
    cells : {"", "stage", "stage right"}
        Cells of theta by the stage's time, a border belonging to the earlier or the later one.
    basis : {"", "reversed", "unnormalised", "unshifted", "orthonormal", "powers", "open knots"}
        Coefficients in reverse order; s = t; Legendre polynomials in s instead of 2s - 1,
        normalised, or (2s - 1)^j instead; B-splines with simple knots at the ends.
    read : callable, optional
        Applied to a block's name and its values (B, J, ...), or (B, ...) without J, as they are
        read.
    field_sign : float
        Of f.
    trace : {"", "first", "sum", "with time", "one noise", "minus"}
        The first component alone; all entries of the Jacobian; the trace over (x, t); an
        estimate with the first sample's noise for all; the wrong sign.
    slip : {"", "K alone", "K + K^T", "K twice", "plus"}
        For K - K^T of an antisymmetric field; for K^T, and the minus, in a Hamiltonian one's second
        half.
    slopes_detached : bool
        Derivatives take sigma' in the Jacobian (sigma'' in the potential's Hessian) for constant.
    quadrature : {"", "first", "last"}
        Accumulators move by the first or the last slope alone.
    start : {"", "along", "span"}
        Accumulators start at the first time, or at the span's, instead of at 0.
    start_rows : tuple of int
        Which of them; all where empty.
    density_sign, constant : float
        Of the log-determinant in a flow's density, of d/2 log 2 pi.
    cost_half, cost_power : float
        Transport cost: cost_half |f|^cost_power.
    cost_signed : bool
        Backwards the transport cost is negative.
    loss_half : float
        Of a regression.
    over_samples : {"mean", "sum"}
    over_outputs : bool
        A regression's mean over the outputs as well.
    labels : callable, optional
        Applied to y.
    signed_labels : {"", "product", "shifted"}
        A logistic loss log(1 + e^{-y v}), or softplus(v) - (2y - 1) v.
    zeros_in_front, no_bias, no_readout : bool
    tikhonov_half, smoothness_half : float
    tikhonov_power : float
        |theta|^power.
    tikhonov_blocks : callable, optional
        Which blocks count, by name.
    length_power : float
        The smoothness is multiplied by the interval's length to this power.
    smoothness : {"", "differences", "readout"}
        Squared differences of coefficients; all blocks that have J rows.
    no_alpha, inverse_alpha : str
        Letters among "v", "d", "L", "r" (feedback, density) where alpha is 1, or stands where
        1/alpha should.
    resnet_step_one, log_cosh, not_symmetrised : bool
        The potential's steps are 1; its sigma is log cosh; grad of s.As/2 is As.
    quadratic_half : float
    phi_time, Q_in_r, entropy_in_r, entropy_in_F, entropy_one : float
        Factors in r = -phi_time dPhi/dt + |grad Phi|^2 / (2 alpha) - Q_in_r Q - entropy_in_r
        lambda (log rho + entropy_one) and F = Q + entropy_in_F lambda log rho.
    log_rho_sign : float
        Of the rate of log rho.
    L_half, r_half, bowl_half : float
        Of |grad Phi|^2 / alpha in L and in r, and of a quadratic energy.
    bump_constant : float
        Factor of the constant in a bump's density.
    stale : str
        "F", "r", "G": log rho(t0, x) is used there.
    positive_part, outside : bool
        max(r, 0) for |r|; the norm of the integral instead of the integral of the norm.
    swapped_rows : bool
        L and F exchanged; of a flow, log-determinant and transport cost.
    target_constant, initial_constant : float
        Factors of the densities' constants.
    two_pi, determinant : float
        Factors of d log 2 pi and log det S in the constants of a game's densities.
    r_detached : {"", "time", "square", "Q", "log rho"}
        A part of the HJB residual that derivatives take for constant.
    target_detached : bool
        Derivatives take G' in the terminal penalty for constant.
    reversed_divergence, end_at : bool, str
        log rho_Y - log rho; "one" or "start": the time of Phi in the terminal penalty.
    terminal_in_G, G_one, G_sign : float
        Factors in the terminal cost's derivative: terminal^{terminal_in_G} G_sign (G_one + log
        rho - log rho_Y); G_sign for cross-entropies and energies too.
    """

    time_nodes: Callable[[Nodes], Nodes] | None = None
    theta_nodes: Callable[[Nodes], Nodes] | None = None
    clock: str = ""
    whole_steps: bool = False
    in_place: bool = False
    together: bool = False
    cells: str = ""
    basis: str = ""
    read: Callable[[str, Array], Array] | None = None
    field_sign: float = 1.0
    slip: str = ""
    slopes_detached: bool = False
    trace: str = ""
    quadrature: str = ""
    start: str = ""
    start_rows: tuple[int, ...] = ()
    density_sign: float = 1.0
    constant: float = 1.0
    cost_half: float = 0.5
    cost_power: float = 2.0
    cost_signed: bool = False
    loss_half: float = 0.5
    over_samples: str = "mean"
    over_outputs: bool = False
    labels: Callable[[Array], Array] | None = None
    signed_labels: str = ""
    zeros_in_front: bool = False
    no_bias: bool = False
    no_readout: bool = False
    tikhonov_half: float = 0.5
    tikhonov_power: float = 2.0
    tikhonov_blocks: Callable[[str], bool] | None = None
    smoothness_half: float = 0.5
    length_power: float = -1.0
    smoothness: str = ""
    no_alpha: str = ""
    inverse_alpha: str = ""
    resnet_step_one: bool = False
    log_cosh: bool = False
    not_symmetrised: bool = False
    quadratic_half: float = 0.5
    phi_time: float = 1.0
    Q_in_r: float = 1.0
    entropy_in_r: float = 1.0
    entropy_in_F: float = 1.0
    entropy_one: float = 1.0
    log_rho_sign: float = 1.0
    L_half: float = 0.5
    r_half: float = 0.5
    bowl_half: float = 0.5
    bump_constant: float = 1.0
    stale: str = ""
    positive_part: bool = False
    outside: bool = False
    swapped_rows: bool = False
    two_pi: float = 1.0
    determinant: float = 1.0
    r_detached: str = ""
    target_detached: bool = False
    target_constant: float = 1.0
    initial_constant: float = 1.0
    reversed_divergence: bool = False
    end_at: str = ""
    terminal_in_G: float = 1.0
    G_one: float = 1.0
    G_sign: float = 1.0
