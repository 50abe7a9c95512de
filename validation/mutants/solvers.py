"""Bugs planted in schemes, sweeps and quadratures, and in their adjoints."""

from __future__ import annotations

import re

from validation.mutants.mutant import Mutant

_STAGE = (
    "        e, t = E[at.slots[i]], at.t + c[i] * h\n"
    "        slope(dynamics, e, t, tape.Y[i], tape.F[i], tape.field[i])  # [2] k_i\n"
)
_END = "    _stage(Y, Y, h, b, tape.F)  # [3] y+ = y + h sum_i b_i k_i\n"
_FIRST = "        _stage(tape.Y[i], Y, h, A[i, :i], tape.F)  # [1]"
_PULL = "        _stage_adjoint(W, bar.L, b[i], A[i + 1 :, i], bar.Z[i + 1 :], h)\n"
_BACK = (
    "        tape = kept_of(work.tape, n if memory == STORE else 0, n_stages)\n"
    "        at = Step(n, grid.t[n], grid.h[n], grid.slots[n], first, m)\n"
)
_ASKED = (
    "    value = observe(cost, Moment(n_steps, True, end, first, m), Y, L, cost_bar, "
    "work.scratch)\n"
)
_JUMP = "            L[i, s] += bar\n"


def _overwritten(kept: str) -> str:
    """The end of a step, all that the adjoint reads replaced by one stage's."""
    copies = "".join(
        f"        copy(tape.{part}[i], tape.{part}[{kept}])\n" for part in ("Y", "F", "field")
    )
    return f"{_END}    for i in range(b.shape[0]):\n{copies}"


#: The adjoint equation -lambda' = J^T lambda by the same scheme, z solved back beside it from
#: the step's end.
_OPTIMIZE_DISCRETIZE = """    A, b, c, h = scheme.A, scheme.b, scheme.c, at.h
    n, L, slots = b.shape[0], bar.L, at.slots
    end = tape.Y[0] + h * sum(b[i] * tape.F[i] for i in range(n))
    back, pulled = np.zeros_like(tape.F), np.zeros_like(tape.F)
    for i in range(n):
        y = end - h * sum((A[i, j] * back[j] for j in range(i)), 0.0 * end)
        w = L + h * sum((A[i, j] * pulled[j] for j in range(i)), 0.0 * L)
        slot = slots[np.argmin(np.abs(c - (1.0 - c[i])))]
        here, e_bar = np.zeros_like(tape.field[0]), np.zeros_like(bar.E[0])
        slope(dynamics, E[slot], at.t + (1.0 - c[i]) * h, y, back[i], here)
        slope_adjoint(dynamics, E[slot], at.t + (1.0 - c[i]) * h, y, back[i].copy(), here,
                      w.copy(), pulled[i], e_bar, bar.scratch)
        bar.E[slot] += h * b[i] * e_bar
    L += h * sum(b[i] * pulled[i] for i in range(n))
    return
"""

SCHEMES: tuple[Mutant, ...] = (
    Mutant(
        "missing-stage",
        "the last stage is not added to the step",
        "sweeps.runge_kutta",
        _END,
        _END.replace("b, tape", "b[:-1], tape"),
        (("last-stage-dropped", ""),),
        "trajectory",
    ),
    Mutant(
        "stage-in-place",
        "stages overwrite the step's state, as y += h a k does",
        "sweeps.runge_kutta",
        _FIRST,
        "        _stage(Y, Y, h, A[i, :i], tape.F)\n        copy(tape.Y[i], Y)  #",
        (("stage-in-place", ""),),
        "trajectory",
    ),
    Mutant(
        "stage-times",
        "the field's time is c_(i-1) on the way forward",
        "sweeps.runge_kutta",
        _STAGE,
        _STAGE.replace("c[i]", "c[i - 1 if i else 0]"),
        (("nodes-previous-time", ""), ("nodes-previous-both", "")),
        "trajectory",
    ),
    Mutant(
        "stages-overwritten",
        "every stage's memory holds the last one's when the way back begins",
        "sweeps.runge_kutta",
        _END,
        _overwritten("b.shape[0] - 1"),
        (("adjoint-last-stage", ""),),
        "gradient",
    ),
    Mutant(
        "adjoint-at-step-start",
        "the way back reads every stage at the step's state",
        "sweeps.runge_kutta",
        _END,
        _overwritten("0"),
        (("adjoint-step-start", ""),),
        "gradient",
    ),
    Mutant(
        "optimize-discretize",
        "the adjoint equation is solved by itself, from kept states",
        "sweeps.runge_kutta",
        "    A, b, c, h = scheme.A, scheme.b, scheme.c, at.h\n    n, W = b.shape[0], bar.W\n",
        _OPTIMIZE_DISCRETIZE,
        (("adjoint-equation-kept", ""), ("adjoint-equation", ""), ("optimize-discretize", "")),
        "gradient",
    ),
    Mutant(
        "zero-weight",
        "the adjoint divides by b_i",
        "sweeps.runge_kutta",
        "                factor = h * weights[j]\n                for s in range(W.shape[1]):\n",
        "                factor = h * (b * (weights[j] / b))\n"
        "                for s in range(W.shape[1]):\n",
        (("zero-weight", ""),),
        "x_bar",
    ),
    Mutant(
        "uncoupled-stages",
        "a stage's cotangent lacks those of later stages",
        "sweeps.runge_kutta",
        _PULL,
        _PULL.replace("A[i + 1 :, i]", "0.0 * A[i + 1 :, i]"),
        (("adjoint-uncoupled", ""),),
        "gradient",
    ),
    Mutant(
        "stage-adjoint-1.001",
        "h b_i lambda is 0.1 % too large",
        "sweeps.runge_kutta",
        "W[r, s] = factor * L[r, s]\n",
        "W[r, s] = 1.001 * factor * L[r, s]\n",
        (("factor", "1.001"),),
        "gradient",
    ),
    Mutant(
        "symplectic-order",
        "the halves of a Verlet step move in the other order",
        "ode.plan",
        '"verlet": ([1, 0], [1.0, 1.0], [0.0, 1.0])',
        '"verlet": ([0, 1], [1.0, 1.0], [0.0, 1.0])',
        (("symplectic-order", ""),),
        "trajectory",
    ),
    Mutant(
        "halves-at-the-start",
        "both halves of a Verlet step read the field at its start",
        "sweeps.symplectic",
        "        F, t = tape.F[i], at.t + scheme.c[i] * at.h\n        copy(",
        "        F, t = tape.F[i], at.t\n        copy(",
        (("nodes-start-time", ""), ("nodes-start-both", "")),
        "trajectory",
    ),
    Mutant(
        "symplectic-together",
        "the second half does not see the first one's move",
        "sweeps.symplectic",
        "which[i], Y, F, tape.field[i])\n        axpy(Y, at.h * scheme.b[i], F)\n",
        "which[i], tape.Y[0], F, tape.field[i])\n        axpy(Y, at.h * scheme.b[i], F)\n",
        (("symplectic-together", ""),),
        "trajectory",
    ),
)

SWEEPS: tuple[Mutant, ...] = (
    Mutant(
        "adjoint-mirrored",
        "the way back reads times and weights in forward order",
        "sweeps.sweep",
        _BACK,
        "        k = n_steps - 1 - n\n" + re.sub(r"(t|h|slots)\[n\]", r"\1[k]", _BACK),
        (("adjoint-mirrored", ""),),
        "gradient",
    ),
    Mutant(
        "first-step-detached",
        "the first step adds nothing to the gradient by theta",
        "sweeps.sweep",
        "work.Z_bars, E_bar, work.scratch",
        "work.Z_bars, E_bar if n else 0.0 * E_bar, work.scratch",
        (("adjoint-first-step", ""),),
        "gradient",
    ),
    Mutant(
        "x-bar-at-the-end",
        "the cotangent of x is the one of z(T)",
        "sweeps.sweep",
        _ASKED,
        f"{_ASKED}    L_T = L.copy()\n",
        (("x-bar-at-end", ""),),
        "x_bar",
        more=(("        unload(L, m, first, X_bar)\n", "        unload(L_T, m, first, X_bar)\n"),),
    ),
    Mutant(
        "batch-for-component",
        "states are written by samples and read by components",
        "sweeps.sweep",
        "            X[first + s, i] = Y[i, s]\n",
        "            k = s * X.shape[1] + i\n            X[first + k % m, k // m] = Y[i, s]\n",
        (("array-order", ""),),
        "trajectory",
    ),
    Mutant(
        "jumps-skipped",
        "cotangents of states before the end are not added",
        "costs.contract",
        _JUMP,
        _JUMP.replace("bar\n", "bar if at.last else 0.0\n"),
        (("jumps-missing", ""),),
        "x_bar",
    ),
    Mutant(
        "first-jump-skipped",
        "the cotangent of the first state is not added",
        "costs.contract",
        _JUMP,
        _JUMP.replace("bar\n", "bar if at.last or at.n > 0 else 0.0\n"),
        (("jumps-first", ""),),
        "x_bar",
    ),
    Mutant(
        "jumps-of-the-next",
        "states before the end have the cotangents of the next ones",
        "costs.contract",
        "    here = cost.z_bar[cost.z_bar.shape[0] - 1 if at.last else at.n]\n",
        "    here = cost.z_bar[cost.z_bar.shape[0] - 1 if at.last else at.n + 1]\n",
        (("jumps-early", ""),),
        "x_bar",
    ),
    Mutant(
        "accumulators-at-t0",
        "accumulators start at the first time instead of at 0",
        "ode.driver",
        "    X = np.ascontiguousarray(x, dtype=E.dtype)\n    n_points",
        "    X = np.ascontiguousarray(x, dtype=E.dtype)\n"
        "    X = np.hstack([X, np.full((len(X), sweep.rows - X.shape[1]), sweep.grid.t[0])])\n"
        "    n_points",
        (("accumulators-at-start", ""), ("accumulators-at-t0", "")),
        "log_det",
    ),
)

QUADRATURES: tuple[Mutant, ...] = (
    Mutant(
        "log-det-negative",
        "the log-determinant has the wrong sign",
        "ode.neural_ode",
        "np.ascontiguousarray(y[:, :-1]), np.ascontiguousarray(y[:, -1])",
        "np.ascontiguousarray(y[:, :-1]), np.ascontiguousarray(-y[:, -1])",
        (("sign", "log_det"),),
        "log_det",
    ),
    Mutant(
        "transport-half",
        "|f|^2 in place of |f|^2/2, on the way forward",
        "sweeps.dynamics",
        "        v[s] = 0.5 * F[0, s] * F[0, s]\n",
        "        v[s] = F[0, s] * F[0, s]\n",
        (("transport-half", ""), ("factor", "2")),
        "transport_cost",
        more=(
            (
                "            v[s] += 0.5 * F[i, s] * F[i, s]\n",
                "            v[s] += F[i, s] * F[i, s]\n",
            ),
        ),
    ),
    Mutant(
        "transport-gradient-half",
        "the derivative of |f|^2/2 is f/2",
        "sweeps.dynamics",
        "            F_bar[i, s] += v_bar[s] * F[i, s]\n",
        "            F_bar[i, s] += 0.5 * v_bar[s] * F[i, s]\n",
        (("gradient-half-transport", ""),),
        "gradient",
    ),
    Mutant(
        "noise-redrawn",
        "every other stage has other noise",
        "sweeps.runge_kutta",
        _STAGE,
        "        if type(dynamics).__name__ == 'Hutchinson' and i % 2:\n"
        "            tape.Y[i][(Y.shape[0] - 2) // 2] *= -1.0\n" + _STAGE,
        (("noise-redrawn", ""),),
        "trace",
        more=(
            (
                "reference.kernels",
                '"trace": _trace(field, w, y, at, noise)}',
                '"trace": _trace(field, w, y, at, None if noise is None else noise * np.array('
                "[-1.0 if i % 2 else 1.0] + [1.0] * (field.dim - 1)))}",
            ),
        ),
    ),
    Mutant(
        "trace-detached",
        "the cotangent of the log-determinant is not pulled back",
        "sweeps.dynamics",
        "    half_square_adjoint(F, d, F_bar[d + 1], F_bar)  # [2]^T\n",
        "    half_square_adjoint(F, d, F_bar[d + 1], F_bar)  # [2]^T\n    F_bar[d] = 0.0\n",
        (("log-det-detached", ""),),
        "gradient",
    ),
)

SOLVERS: tuple[Mutant, ...] = (*SCHEMES, *SWEEPS, *QUADRATURES)
