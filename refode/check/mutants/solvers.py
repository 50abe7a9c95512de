"""Bugs planted in schemes, sweeps and quadratures, and in their adjoints."""

from __future__ import annotations

from refode.check.mutants.mutant import Mutant

_STAGE = "        slope(dynamics, E[slots[i]], t + c[i] * h, Ys[i], Fs[i], tapes[i])  # [2] k_i\n"
_END = "    _stage(Y, Y, h, b, Fs)  # [3] y+ = y + h sum_i b_i k_i\n"
_FIRST = "        _stage(Ys[i], Y, h, A[i, :i], Fs)  # [1]"
_PULL = "        _stage_adjoint(W, L, b[i], A[i + 1 :, i], Z_bars[i + 1 :], h)\n"


def _overwritten(kept: str) -> str:
    """The end of a step, all that the adjoint reads replaced by one stage's."""
    return (
        f"{_END}    for i in range(b.shape[0]):\n        copy(Ys[i], Ys[{kept}])\n"
        f"        copy(Fs[i], Fs[{kept}])\n        copy(tapes[i], tapes[{kept}])\n"
    )


#: The adjoint equation -lambda' = J^T lambda by the same scheme, z solved back beside it from
#: the step's end.
_OPTIMIZE_DISCRETIZE = """    A, b, c = scheme.A, scheme.b, scheme.c
    n = b.shape[0]
    end = Ys[0] + h * sum(b[i] * Fs[i] for i in range(n))
    back, pulled = np.zeros_like(Fs), np.zeros_like(Fs)
    for i in range(n):
        y = end - h * sum((A[i, j] * back[j] for j in range(i)), 0.0 * end)
        w = L + h * sum((A[i, j] * pulled[j] for j in range(i)), 0.0 * L)
        slot = slots[np.argmin(np.abs(c - (1.0 - c[i])))]
        here, e_bar = np.zeros_like(tapes[0]), np.zeros_like(E_bar[0])
        slope(dynamics, E[slot], t + (1.0 - c[i]) * h, y, back[i], here)
        slope_adjoint(dynamics, E[slot], t + (1.0 - c[i]) * h, y, back[i].copy(), here, w.copy(),
                      pulled[i], e_bar, scratch)
        E_bar[slot] += h * b[i] * e_bar
    L += h * sum(b[i] * pulled[i] for i in range(n))
    return
"""

SCHEMES: tuple[Mutant, ...] = (
    Mutant(
        "missing-stage", "the last stage is not added to the step", "solvers.schemes",
        _END, _END.replace("b, Fs", "b[:-1], Fs"), (("last-stage-dropped", ""),), "trajectory",
    ),
    Mutant(
        "stage-in-place", "stages overwrite the step's state, as y += h a k does",
        "solvers.schemes", _FIRST,
        "        _stage(Y, Y, h, A[i, :i], Fs)\n        copy(Ys[i], Y)  #",
        (("stage-in-place", ""),), "trajectory",
    ),
    Mutant(
        "stage-times", "the field's time is c_(i-1) on the way forward", "solvers.schemes",
        _STAGE, _STAGE.replace("c[i]", "c[i - 1 if i else 0]"),
        (("nodes-previous-time", ""), ("nodes-previous-both", "")), "trajectory",
    ),
    Mutant(
        "stages-overwritten", "every stage's memory holds the last one's when the way back begins",
        "solvers.schemes", _END, _overwritten("b.shape[0] - 1"),
        (("adjoint-last-stage", ""),), "gradient",
    ),
    Mutant(
        "adjoint-at-step-start", "the way back reads every stage at the step's state",
        "solvers.schemes", _END, _overwritten("0"), (("adjoint-step-start", ""),), "gradient",
    ),
    Mutant(
        "optimize-discretize", "the adjoint equation is solved by itself, from kept states",
        "solvers.schemes", "    A, b, c = scheme.A, scheme.b, scheme.c\n    n = b.shape[0]\n",
        _OPTIMIZE_DISCRETIZE,
        (("adjoint-equation-kept", ""), ("adjoint-equation", ""), ("optimize-discretize", "")),
        "gradient",
    ),
    Mutant(
        "zero-weight", "the adjoint divides by b_i", "solvers.schemes",
        "                factor = h * weights[j]\n                for s in range(W.shape[1]):\n",
        "                factor = h * (b * (weights[j] / b))\n"
        "                for s in range(W.shape[1]):\n",
        (("zero-weight", ""),), "x_bar",
    ),
    Mutant(
        "uncoupled-stages", "a stage's cotangent lacks those of later stages", "solvers.schemes",
        _PULL, _PULL.replace("A[i + 1 :, i]", "0.0 * A[i + 1 :, i]"),
        (("adjoint-uncoupled", ""),), "gradient",
    ),
    Mutant(
        "stage-adjoint-1.001", "h b_i lambda is 0.1 % too large", "solvers.schemes",
        "W[r, s] = factor * L[r, s]\n", "W[r, s] = 1.001 * factor * L[r, s]\n",
        (("factor", "1.001"),), "gradient",
    ),
    Mutant(
        "symplectic-order", "the halves of a Verlet step move in the other order",
        "solvers.neural_ode", '"verlet": ([1, 0], [1.0, 1.0], [0.0, 1.0])',
        '"verlet": ([0, 1], [1.0, 1.0], [0.0, 1.0])', (("symplectic-order", ""),), "trajectory",
    ),
    Mutant(
        "symplectic-together", "the second half does not see the first one's move",
        "solvers.schemes",
        "which, Y, Fs[i], tapes[i])\n        axpy(Y, h * scheme.b[i], Fs[i])\n",
        "which, Ys[0], Fs[i], tapes[i])\n        axpy(Y, h * scheme.b[i], Fs[i])\n",
        (("symplectic-together", ""),), "trajectory",
    ),
)  # fmt: skip

SWEEPS: tuple[Mutant, ...] = (
    Mutant(
        "adjoint-mirrored", "the way back reads times and weights in forward order",
        "solvers.sweeps", "        t, h, slots = grid.t[n], grid.h[n], grid.slots[n]\n",
        "        k = n_steps - 1 - n\n        t, h, slots = grid.t[k], grid.h[k], grid.slots[k]\n",
        (("adjoint-mirrored", ""),), "gradient",
    ),
    Mutant(
        "first-step-detached", "the first step adds nothing to the gradient by theta",
        "solvers.sweeps", "            L, W, Z_bars, E_bar, scratch, time_bar[n],\n",
        "            L, W, Z_bars, E_bar if n else 0.0 * E_bar, scratch, time_bar[n],\n",
        (("adjoint-first-step", ""),), "gradient",
    ),
    Mutant(
        "x-bar-at-the-end", "the cotangent of x is the one of z(T)", "solvers.sweeps",
        "    value = terminal(cost, Y, block * S, m, L, cost_bar, scratch)\n",
        "    value = terminal(cost, Y, block * S, m, L, cost_bar, scratch)\n    L_T = L.copy()\n",
        (("x-bar-at-end", ""),), "x_bar",
        more=(("        unload(L, m, block * S, X_bar)\n",
               "        unload(L_T, m, block * S, X_bar)\n"),),
    ),
    Mutant(
        "batch-for-component", "states are written by samples and read by components",
        "solvers.sweeps", "            X[first + s, i] = Y[i, s]\n",
        "            k = s * X.shape[1] + i\n"
        "            X[first + k % m, k // m] = Y[i, s]\n",
        (("array-order", ""),), "trajectory",
    ),
    Mutant(
        "jumps-skipped", "cotangents of states before the end are not added", "costs.contract",
        "    if cost.z_bar.shape[0] > 1:\n", "    if False:\n", (("jumps-missing", ""),), "x_bar",
    ),
    Mutant(
        "first-jump-skipped", "the cotangent of the first state is not added", "costs.contract",
        "    if cost.z_bar.shape[0] > 1:\n", "    if cost.z_bar.shape[0] > 1 and n > 0:\n",
        (("jumps-first", ""),), "x_bar",
    ),
    Mutant(
        "accumulators-at-t0", "accumulators start at the first time instead of at 0",
        "solvers.driver", "    X = np.ascontiguousarray(x, dtype=E.dtype)\n    n_points",
        "    X = np.ascontiguousarray(x, dtype=E.dtype)\n"
        "    X = np.hstack([X, np.full((len(X), sweep.rows - X.shape[1]), sweep.grid.t[0])])\n"
        "    n_points", (("accumulators-at-start", ""), ("accumulators-at-t0", "")), "log_det",
    ),
)  # fmt: skip

QUADRATURES: tuple[Mutant, ...] = (
    Mutant(
        "log-det-negative", "the log-determinant has the wrong sign", "solvers.neural_ode",
        "np.ascontiguousarray(y[:, :-1]), np.ascontiguousarray(y[:, -1])",
        "np.ascontiguousarray(y[:, :-1]), np.ascontiguousarray(-y[:, -1])",
        (("sign", "log_det"),), "log_det",
    ),
    Mutant(
        "transport-half", "|f|^2 in place of |f|^2/2, on the way forward", "solvers.dynamics",
        "        v[s] = 0.5 * F[0, s] * F[0, s]\n", "        v[s] = F[0, s] * F[0, s]\n",
        (("transport-half", ""), ("factor", "2")), "transport_cost",
        more=(("            v[s] += 0.5 * F[i, s] * F[i, s]\n",
               "            v[s] += F[i, s] * F[i, s]\n"),),
    ),
    Mutant(
        "transport-gradient-half", "the derivative of |f|^2/2 is f/2", "solvers.dynamics",
        "            F_bar[i, s] += v_bar[s] * F[i, s]\n",
        "            F_bar[i, s] += 0.5 * v_bar[s] * F[i, s]\n",
        (("gradient-half-transport", ""),), "gradient",
    ),
    Mutant(
        "noise-redrawn", "every other stage has other noise", "solvers.schemes", _STAGE,
        "        if type(dynamics).__name__ == 'Hutchinson' and i % 2:\n"
        "            Ys[i][(Ys[i].shape[0] - 2) // 2] *= -1.0\n" + _STAGE,
        (("noise-redrawn", ""),), "trace",
        more=(("reference.kernels", '"trace": _trace(field, w, y, at, noise)}',
               '"trace": _trace(field, w, y, at, None if noise is None else noise * np.array('
               "[-1.0 if i % 2 else 1.0] + [1.0] * (field.dim - 1)))}"),),
    ),
    Mutant(
        "trace-detached", "the cotangent of the log-determinant is not pulled back",
        "solvers.dynamics",
        "    half_square_adjoint(F, d, F_bar[d + 1], F_bar)  # [2]^T\n",
        "    half_square_adjoint(F, d, F_bar[d + 1], F_bar)  # [2]^T\n    F_bar[d] = 0.0\n",
        (("log-det-detached", ""),), "gradient",
    ),
)  # fmt: skip

SOLVERS: tuple[Mutant, ...] = (*SCHEMES, *SWEEPS, *QUADRATURES)
