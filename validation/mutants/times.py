"""Bugs planted in tableaus, times, bases and in how a case's settings are read."""

from __future__ import annotations

from validation.mutants.mutant import Mutant

_DESCRIBED = '    return _Described(s["name"], s["A"], s["b"], s["c"],'
_TABLE = '    table = basis._stages(s[:-1], s[1:], scheme.c, "t_span")\n'
_STEP = "        return np.full(self.n_steps, (T - t0) / self.n_steps)\n"

TABLEAUS: tuple[Mutant, ...] = (
    Mutant(
        "three-eighths-rule",
        "rk4 is the 3/8 rule",
        "reference.kernels",
        _DESCRIBED,
        f'    if s["name"] == "rk4":\n        return "rk4_38"\n{_DESCRIBED}',
        (("three-eighths-rule", ""),),
        "stages",
    ),
    Mutant(
        "dopri5-typo",
        "64448/6651 for 64448/6561 in dopri5",
        "reference.kernels",
        _DESCRIBED,
        _DESCRIBED.replace(
            's["A"]', '[[a.replace("64448/6561", "64448/6651") for a in r] for r in s["A"]]'
        ),
        (("tableau-entry", "dopri5"),),
        "stages",
    ),
    Mutant(
        "tableau-digits",
        "coefficients have seven digits",
        "_tableau",
        "        A = np.array([[float(a) for a in row] for row in self.A])\n"
        "        return A, np.array([float(b) for b in self.b]), ",
        "        A = np.array([[float(f'{float(a):.7g}') for a in row] for row in self.A])\n"
        "        return A, np.array([float(f'{float(b):.7g}') for b in self.b]), ",
        (("coefficients-7", ""),),
        "trajectory",
    ),
    Mutant(
        "nodes-previous",
        "c_(i-1) for c_i, for the field and for theta(t)",
        "_tableau",
        "np.array([float(c) for c in self.c])",
        "np.array([float(c) for c in (self.c[0], *self.c[:-1])])",
        (("nodes-previous-both", ""),),
        "slopes",
    ),
)

TIMES: tuple[Mutant, ...] = (
    Mutant(
        "forward-time",
        "integration always runs forward",
        "ode.plan",
        "    t0, T = span\n",
        "    t0, T = sorted(span)\n",
        (("forward-time", ""),),
        "trajectory",
    ),
    Mutant(
        "theta-at-step-start",
        "theta(t) is read at the step's start",
        "ode.plan",
        _TABLE,
        _TABLE.replace("scheme.c", "0.0 * scheme.c"),
        (("nodes-start-theta", ""),),
        "slopes",
    ),
    Mutant(
        "time-from-zero",
        "the field's time starts at 0",
        "ode.plan",
        "    grid = Grid(nodes[:-1].copy(), h, table.slots)\n",
        "    grid = Grid(nodes[:-1] - t0, h, table.slots)\n",
        (("time-from-zero", ""),),
        "slopes",
    ),
    Mutant(
        "whole-steps",
        "h is the interval's length",
        "ode.steps",
        _STEP,
        _STEP.replace(" / self.n_steps)", ")"),
        (("whole-steps", ""),),
        "stages",
    ),
    Mutant(
        "sign-for-length",
        "the sign of the interval stands for its length",
        "ode.steps",
        _STEP,
        _STEP.replace("(T - t0)", "np.sign(T - t0)"),
        (("unit-steps", ""),),
        "stages",
    ),
    Mutant(
        "step-sign-lost",
        "h is positive where time runs backwards",
        "ode.steps",
        _STEP,
        _STEP.replace("(T - t0)", "abs(T - t0)"),
        (("step-sign", ""),),
        "stages",
    ),
    Mutant(
        "coefficients-reversed",
        "theta(t) reads its coefficients in reverse order",
        "ode.swept",
        "[theta[place].reshape(J, -1) for place",
        "[theta[place].reshape(J, -1)[::-1] for place",
        (("coefficients-reversed", ""),),
        "slopes",
    ),
    Mutant(
        "gradient-1.001",
        "the gradient by theta(t) is 0.1 % too large",
        "ode.swept",
        "        return Theta_bar.reshape(-1)[self._order]\n",
        "        return 1.001 * Theta_bar.reshape(-1)[self._order]\n",
        (("factor", "1.001"),),
        "gradient",
    ),
    Mutant(
        "whole-cotangent",
        "every coefficient gets the whole cotangent of theta(t)",
        "ode.swept",
        "product(plan.P.T, weights_bar)",
        "(plan.P != 0.0).T @ weights_bar",
        (("adjoint-all-coefficients", ""),),
        "gradient",
    ),
)

BASES: tuple[Mutant, ...] = (
    Mutant(
        "cell-by-step-start",
        "a step's start says which cell it reads",
        "bases",
        "        return self._table(times, 0.5 * (start + end))\n",
        "        return self._table(times, start)\n",
        (),
        "slopes",
    ),
    Mutant(
        "cell-by-stage",
        "a stage's own time says which cell it reads",
        "bases",
        "        visited, slot = np.unique(self._cells(midpoints), return_inverse=True)\n"
        "        slots = np.repeat(slot.astype(np.int64)[:, None], times.shape[1], axis=1)\n",
        "        visited, slot = np.unique(self._cells(times.ravel()), return_inverse=True)\n"
        "        slots = slot.astype(np.int64).reshape(times.shape)\n",
        (("cell-by-stage-earlier", ""),),
        "slopes",
    ),
    Mutant(
        "legendre-unshifted",
        "P_j(s) in place of P_j(2s - 1)",
        "bases",
        "        return csr(np.polynomial.legendre.legvander(2.0 * s - 1.0, "
        "self.n_coefficients - 1))\n",
        "        return csr(np.polynomial.legendre.legvander(s, self.n_coefficients - 1))\n",
        (("legendre-unshifted", ""),),
        "slopes",
    ),
    Mutant(
        "legendre-normalised",
        "Legendre polynomials of norm 1",
        "bases",
        "        return csr(np.polynomial.legendre.legvander(2.0 * s - 1.0, "
        "self.n_coefficients - 1))\n",
        "        return csr(np.polynomial.legendre.legvander(2.0 * s - 1.0, "
        "self.n_coefficients - 1) * np.sqrt(2.0 * np.arange(self.n_coefficients) + 1.0))\n",
        (("legendre-normalised", ""),),
        "slopes",
    ),
    Mutant(
        "spline-knots",
        "knots of B-splines are equally spaced beyond the ends",
        "_splines",
        "    return np.concatenate((np.zeros(3), inner, np.ones(3)))\n",
        "    beyond = inner[1] * np.arange(1.0, 4.0)\n"
        "    return np.concatenate((-beyond[::-1], inner, 1.0 + beyond))\n",
        (("spline-knots", ""),),
        "slopes",
    ),
    Mutant(
        "smoothness-differences",
        "squared differences in place of the integral of |theta'|^2",
        "_sparse",
        "    return csr(weight * squares)\n",
        "    return csr(squares)\n",
        (("smoothness-differences", ""),),
        "terms",
    ),
)

TIME: tuple[Mutant, ...] = (*TABLEAUS, *TIMES, *BASES)
