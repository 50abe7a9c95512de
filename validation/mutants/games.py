"""Bugs planted in mean field games and densities."""

from __future__ import annotations

from validation.mutants.mutant import Mutant

_R = "        r[s] = F[d + 1, s] - Phi_t[s] - Q - entropy * (log_rho[s] + 1.0)\n"
_NORM = "r[s] * r[s] if squared else r[s] * sign(r[s])"
_PAID = "            sums, *arrays = self._paid("
_PEAK = "        self._log_peak = -log_root_det - 0.5 * self.dim * math.log(2.0 * math.pi)\n"

RESIDUAL: tuple[Mutant, ...] = (
    Mutant(
        "Q-sign",
        "Q enters the HJB residual with the wrong sign",
        "sweeps.game_dynamics",
        _R,
        _R.replace("- Q", "+ Q"),
        (("Q-sign-in-r", ""),),
        "terms",
    ),
    Mutant(
        "entropy-one",
        "the entropy's derivative lacks its 1",
        "sweeps.game_dynamics",
        _R,
        _R.replace("(log_rho[s] + 1.0)", "log_rho[s]"),
        (("entropy-one", ""),),
        "terms",
    ),
    Mutant(
        "phi-time-sign",
        "dPhi/dt enters the HJB residual with the wrong sign",
        "sweeps.game_dynamics",
        _R,
        _R.replace("- Phi_t", "+ Phi_t"),
        (("phi-time-sign", ""),),
        "terms",
    ),
    Mutant(
        "one-sided",
        "max(r, 0) in place of |r| along the paths",
        "sweeps.game_dynamics",
        _NORM,
        "r[s] * r[s] if squared else max(r[s].real, 0.0)",
        (("hjb-positive-part", ""),),
        "terms",
    ),
    Mutant(
        "squared-for-absolute",
        "r^2 in place of |r|",
        "problems.game",
        '_validate.choice("hjb_norm", hjb_norm, NORMS)',
        '"squared"',
        (("hjb-squared", ""),),
        "terms",
    ),
    Mutant(
        "weights-swapped",
        "the weights hjb and hjb_terminal are exchanged",
        "problems.game",
        'self.hjb = _validate.nonnegative("hjb", hjb)',
        'self.hjb = _validate.nonnegative("hjb", hjb_terminal)',
        (("hjb-weights-swapped", ""),),
        "terms",
        more=(
            (
                'self.hjb_terminal = _validate.nonnegative("hjb_terminal", hjb_terminal)',
                'self.hjb_terminal = _validate.nonnegative("hjb_terminal", hjb)',
            ),
        ),
    ),
    Mutant(
        "phi-t-detached",
        "dPhi/dt of the residual has no gradient",
        "sweeps.game_dynamics",
        "F_bar[d + 3, s] = -r_bar\n",
        "F_bar[d + 3, s] = 0.0 * r_bar\n",
        (("r-detached-time", ""),),
        "gradient",
    ),
)

COSTS: tuple[Mutant, ...] = (
    Mutant(
        "entropy-in-F",
        "F lacks the entropy",
        "sweeps.game_dynamics",
        "        F[d + 2, s] = Q + entropy * log_rho[s]\n",
        "        F[d + 2, s] = Q\n",
        (("entropy-in-F", ""),),
        "terms",
    ),
    Mutant(
        "rows-of-the-state",
        "L and F are read from each other's rows",
        "problems.game_objective",
        "            L, F, R, G, H = (rows.sums(",
        "            F, L, R, G, H = (rows.sums(",
        (("rows-swapped", ""), ("exchanged", "terms/")),
        "terms",
    ),
    Mutant(
        "kinetic-half",
        "L is alpha |v|^2",
        "sweeps.game_dynamics",
        "            L[s] += (0.5 * alpha) * f * f\n",
        "            L[s] += alpha * f * f\n",
        (("factor", "2 times what is right"), ("L-half", "")),
        "terms",
    ),
    Mutant(
        "alpha-in-density",
        "log rho moves by Lap Phi in place of Lap Phi / alpha",
        "sweeps.game_dynamics",
        "        F[d, s] /= alpha\n        L[s] = 0.0\n",
        "        L[s] = 0.0\n",
        (("alpha-in-density", ""),),
        "log_density_path",
    ),
    Mutant(
        "stale-density",
        "the terminal cost reads log rho at the paths' start",
        "problems.game_objective",
        _PAID,
        "            end[:, self.dim] = self._start(x)[:, self.dim]\n" + _PAID,
        (("stale-density-terminal", ""), ("stale-density-in-G", "")),
        "terms",
    ),
    Mutant(
        "divergence-reversed",
        "log rho_Y - log rho",
        "games.costs",
        'excess = log_rho - _log_density("target", self.target, x)',
        'excess = _log_density("target", self.target, x) - log_rho',
        (("divergence-reversed", ""), ("sign", "terms/G")),
        "terms",
    ),
    Mutant(
        "terminal-at-one",
        "the terminal penalty takes Phi at t = 1",
        "problems.game_costs",
        "            self.t_span[1],\n            target,\n",
        "            1.0,\n            target,\n",
        (("terminal-at-one", ""),),
        "total",
    ),
    Mutant(
        "penalty-of-theta-detached",
        "Phi at T has no gradient by theta",
        "problems.game_objective",
        "E_bar[0] += result.cost_bar\n",
        "pass\n",
        (("direct-missing", ""),),
        "gradient",
    ),
    Mutant(
        "game-sum",
        "a sum over samples in place of their mean",
        "problems.game_costs",
        "            by.scale,\n            tape,\n",
        "            1.0,\n            tape,\n",
        (("sum-over-samples", ""), ("factor", "N (the number")),
        "total",
    ),
    Mutant(
        "log-rho-sign",
        "the inverse's log-determinant has the wrong sign",
        "problems.agents",
        "        return w, -q\n",
        "        return w, q\n",
        (("log-rho-sign", ""),),
        "log_density",
    ),
    Mutant(
        "gaussian-constant",
        "log-densities lack d/2 log 2 pi",
        "densities",
        _PEAK,
        "        self._log_peak = -log_root_det\n",
        (("constant", "d/2 log(2 pi)"), ("gaussian-two-pi", "")),
        "log_density_path",
    ),
    Mutant(
        "energy-half",
        "k |x - q|^2 in place of k |x - q|^2/2",
        "costs.energies",
        "            out[s] += 0.5 * Q.k * (Z[i, s] - q) * (Z[i, s] - q)\n",
        "            out[s] += Q.k * (Z[i, s] - q) * (Z[i, s] - q)\n",
        (("bowl-half", ""),),
        "terms",
    ),
)

GAMES: tuple[Mutant, ...] = (*RESIDUAL, *COSTS)
