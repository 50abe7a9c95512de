"""Bugs to plant in implicit schemes: what each is, and the quantities that it spoils."""

from __future__ import annotations

from validation.mutants import Mutant


def _mutant(name: str, about: str, module: str, old: str, new: str) -> Mutant:
    return Mutant(name, about, f"sweeps.{module}", old, new, ())


_ALL = (
    _mutant(
        "jacobian-held-fast",
        "ros2's adjoint takes J for a constant: M_bar = -u k^T is dropped",
        "rosenbrock",
        "    _curvature(scheme, at, E, tape, bar, k.one, u.one, k.J)\n"
        "    _curvature(scheme, at, E, tape, bar, k.two, u.two, k.J)\n",
        "",
    ),
    _mutant(
        "first-curvature-alone",
        "the share of k2 in M_bar is dropped",
        "rosenbrock",
        "    _curvature(scheme, at, E, tape, bar, k.two, u.two, k.J)\n",
        "",
    ),
    _mutant(
        "jacobian-where-it-moved",
        "ros2's second stage does not move J's time",
        "rosenbrock",
        "    bar.time[0] += scale * t_bar.imag\n",
        "",
    ),
    _mutant(
        "not-transposed",
        "ros2's adjoint solves with M in place of M^T",
        "rosenbrock",
        "        if transposed:\n",
        "        if False:\n",
    ),
    _mutant(
        "two-corrections",
        "Newton's iteration ends after two corrections, whatever is left",
        "newton",
        "            elif work.by[s] == 1.0 and (found <= CONVERGED or stopped):\n",
        "            elif work.last[s] < np.inf:\n",
    ),
    _mutant(
        "explicit-adjoint",
        "a stage's own slope is left out of its cotangent, as explicit schemes have it",
        "implicit",
        "        _solve_adjoint(scheme, h, first, m, J, M, pivots, x, w)\n",
        "",
    ),
    _mutant(
        "tableau-not-transposed",
        "the coupled system of the adjoint has A in place of A^T",
        "implicit",
        "                a = h * scheme.A[first + j, first + i]\n",
        "                a = h * scheme.A[first + i, first + j]\n",
    ),
    _mutant(
        "jacobian-not-transposed",
        "the system of the adjoint has J in place of J^T",
        "implicit",
        "= -a * J[(j * d + q) * d + p, s]\n",
        "= -a * J[(j * d + p) * d + q, s]\n",
    ),
    _mutant(
        "quadratures-afterwards",
        "cotangents by the trace's derivative do not enter the stages' systems",
        "implicit",
        "                axpy(part, h * scheme.A[j, i], bar.Z[j + 1][:d])\n",
        "                if j >= first + m:\n"
        "                    axpy(part, h * scheme.A[j, i], bar.Z[j + 1][:d])\n",
    ),
    _mutant(
        "whole-step",
        "the cotangent of h lacks what stages' times move",
        "implicit",
        "    bar.time[1] += c * t_bar\n",
        "",
    ),
)
MUTANTS = {mutant.name: mutant for mutant in _ALL}
