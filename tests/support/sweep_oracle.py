"""The oracle's twin of a ``NeuralODE``: bases, grids and schemes again, for complex numbers.

Written without refode but for the tableaus' exact fractions: every function takes theta, x
and the ends (t0, T) of the interval in complex numbers, so that `oracle.complex_gradient`
differentiates by each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import oracle_implicit

from refode import bases, tableaus

Array = np.ndarray
SUBSTEPS = {  # [HR17], and Stoermer-Verlet: (half that moves, fraction of h, at which fraction)
    "verlet": [(1, 1.0, 0.0), (0, 1.0, 1.0)],
    "stormer_verlet": [(1, 0.5, 0.0), (0, 1.0, 0.5), (1, 0.5, 1.0)],
}


def hats(s: Any, J: int, side: float = 0.0) -> Array:
    """Piecewise linear: the two hats around s + side, by its real part."""
    i = int(np.clip(np.floor((s.real + side) * (J - 1)), 0, J - 2))
    p = np.zeros(J, dtype=complex)
    p[i], p[i + 1] = i + 1 - s * (J - 1), s * (J - 1) - i
    return p


def legendre(s: Any, J: int) -> Array:
    """P_0, ..., P_{J-1} at 2s - 1: (j+1) P_{j+1} = (2j+1) x P_j - j P_{j-1}."""
    x, p = 2 * s - 1, [1.0, 2 * s - 1]
    for j in range(1, J):
        p.append(((2 * j + 1) * x * p[j] - j * p[j - 1]) / (j + 1))
    return np.array(p[:J], dtype=complex)


def bspline(s: Any, J: int) -> Array:
    """Cubic B-splines with fourfold end knots, by Cox and de Boor's recursion."""
    knots = np.concatenate([np.zeros(3), np.linspace(0.0, 1.0, J - 2), np.ones(3)])
    # a time that rounding puts outside [0, 1] belongs to the first or the last cell
    cell = int(np.clip(np.searchsorted(knots, s.real, side="right") - 1, 3, J - 1))
    N = np.zeros(len(knots) - 1, dtype=complex)
    N[cell] = 1.0
    for degree in (1, 2, 3):
        for i in range(len(N) - degree):
            left, right = knots[i + degree] - knots[i], knots[i + degree + 1] - knots[i + 1]
            a = (s - knots[i]) / left * N[i] if left else 0.0
            b = (knots[i + degree + 1] - s) / right * N[i + 1] if right else 0.0
            N[i] = a + b
    return N[:J]


FUNCTIONS: dict[type, Callable[[Any, int], Array]] = {
    bases.PiecewiseLinear: hats,
    bases.Legendre: legendre,
    bases.BSpline: bspline,
}


class Twin:
    """The same solution as a NeuralODE's, by the oracle, over any interval within t_span."""

    def __init__(self, ode: Any, field: oracle.Field) -> None:
        self.ode, self.field = ode, field

    def weights(self, theta: Array, times: Array) -> oracle.Theta:
        """theta(t); for cells, that of the step's midpoint (a border is the earlier cell's)."""
        named = oracle.unpack(theta, self.ode.layout.shapes)
        start, length = self.ode.t_span[0], self.ode.t_span[1] - self.ode.t_span[0]
        basis = self.ode.basis
        if isinstance(basis, bases.PiecewiseConstant):
            J, middles = basis.n_coefficients, (times.real[1:] + times.real[:-1]) / 2
            s = (middles - start) / length
            return oracle.in_cells(named, np.clip(np.ceil(s * J - 1e-9) - 1, 0, J - 1).astype(int))
        p = FUNCTIONS[type(basis)]
        return oracle.in_time(named, lambda t: p((t - start) / length, basis.n_coefficients))

    def states(self, theta: Array, x: Array, t0: Any, T: Any) -> Array:
        """The trajectory, (n_steps+1, N, d)."""
        times = oracle.grid(t0, T, self.ode.n_steps)
        at, scheme = self.weights(theta, times), self.ode.scheme
        if scheme in SUBSTEPS:
            rows = [oracle.splitting(self.field, at, z, times, SUBSTEPS[scheme]) for z in x]
        elif scheme in tableaus.names("implicit"):
            rows = [self.implicitly(at, z, times)[0] for z in x]
        else:
            tableau = tableaus.get(scheme)
            table = tableau.as_floats()
            rows = [oracle.trajectory(self.field.value, at, z, times, table) for z in x]
        return np.stack(rows, axis=1)

    def implicitly(self, at: oracle.Theta, z: Array, times: Array) -> tuple[Array, Any]:
        """States and l of one sample by an implicit scheme."""
        table = tableaus.get(self.ode.scheme)
        A, b, c = table.as_floats()

        def one(w: Any, y: Array, t: Any, h: Any) -> tuple[Array, Any]:
            if isinstance(table, tableaus.RosenbrockTableau):
                return oracle_implicit.ros2_step(self.field, w, y, t, h, float(table.G[0][0]))
            return oracle_implicit.step(self.field, w, y, t, h, (A, b, c), iterations=12)

        return oracle_implicit.path(self.field, at, z, times, c, one)

    def log_det(self, theta: Array, x: Array, t0: Any, T: Any) -> tuple[Array, Array]:
        """z(T) (N, d) and l (N,)."""
        times = oracle.grid(t0, T, self.ode.n_steps)
        table = tableaus.get(self.ode.scheme).as_floats()
        at = self.weights(theta, times)
        if self.ode.scheme in tableaus.names("implicit"):
            ends = [self.implicitly(at, z, times) for z in x]
            return np.array([z[-1] for z, _ in ends]), np.array([l for _, l in ends])  # noqa: E741
        rows = [oracle.log_det(self.field, at, z, times, table) for z in x]
        return np.array([z for z, _ in rows]), np.array([l for _, l in rows])  # noqa: E741
