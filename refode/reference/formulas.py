"""Fields, weights in time, densities and losses, as on paper, over any ring of rings.py.

One sample at a time: a state is a list of d numbers, weights a dict of nested lists. Traces and
Laplacians are sums of derivatives along the axes by truncated series, none by closed form.
Equation numbers are those of docs/equations_survey.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from refode.reference import rings
from refode.reference.arithmetic import active, constant
from refode.reference.rings import Number, Series, add, dot

Vector = list[Number]
Weights = dict[str, Any]

ACTIVATIONS: dict[str, Callable[[Number], Number]] = {
    "tanh": rings.tanh,
    "softplus": rings.softplus,
    "sine": rings.sine,
    "identity": lambda u: u,
}


def affine(W: Sequence[Vector], x: Vector, b: Vector) -> Vector:
    """W x + b."""
    return [dot(row, x, start) for row, start in zip(W, b, strict=True)]


def transposed(W: Sequence[Vector]) -> list[Vector]:
    """The transpose."""
    return [list(column) for column in zip(*W, strict=True)]


def _minus(v: Vector) -> Vector:
    return [-a for a in v]


# --- fields f(z, t; w) -----------------------------------------------------------------------


def field(f: dict[str, Any]) -> Callable[[Weights, Vector, Number], Vector]:
    """The right-hand side that a case describes."""
    return globals()["_" + f["type"].lower()](f)


def _shift(w: Weights, t: Number) -> Vector:
    """b0, or b0 + t tau where t is an input beside the matrix."""
    tau = w.get("tau", [0] * len(w["b0"]))
    return [add(b, rings.multiply(t, s)) for b, s in zip(w["b0"], tau, strict=True)]


def _affine(f: dict[str, Any]) -> Any:
    return lambda w, z, t: affine(w["A"], [*z, t] if f["time"] else z, w["c"])


def _shallow(f: dict[str, Any]) -> Any:
    """Eq. (2)."""

    def value(w: Weights, z: Vector, t: Number) -> Vector:
        a = affine(w["W0"], [*z, t] if f["time"] else z, w["b0"])
        return affine(w["W1"], [rings.tanh(u) for u in a], w["b1"])

    return value


def _mlp(f: dict[str, Any]) -> Any:
    """Eq. (1)."""
    sigma, last = ACTIVATIONS[f["activation"]], len(f["widths"])

    def value(w: Weights, z: Vector, t: Number) -> Vector:
        a = [*z, t] if f["time"] else z
        for i in range(last):
            a = [sigma(u) for u in affine(w[f"W{i}"], a, w[f"b{i}"])]
        return affine(w[f"W{last}"], a, w[f"b{last}"])

    return value


def _antisymmetric(f: dict[str, Any]) -> Any:
    sigma, gamma = ACTIVATIONS[f["activation"]], Fraction(f["gamma"])

    def value(w: Weights, z: Vector, t: Number) -> Vector:
        K, d = w["K"], len(z)
        B = [
            [K[i][j] - K[j][i] if i != j else constant(-gamma) for j in range(d)] for i in range(d)
        ]
        return [sigma(u) for u in affine(B, z, _shift(w, t))]

    return value


def _parabolic(f: dict[str, Any]) -> Any:
    sigma = ACTIVATIONS[f["activation"]]

    def value(w: Weights, z: Vector, t: Number) -> Vector:
        a = [sigma(u) for u in affine(w["K"], [*z, t] if f["time"] else z, w["b0"])]
        K = [row[: len(z)] for row in w["K"]]
        return _minus(affine(transposed(K), a, [0] * len(z)))

    return value


def _hamiltonian(f: dict[str, Any]) -> Any:
    sigma, n = ACTIVATIONS[f["activation"]], f["dim"] // 2

    def value(w: Weights, z: Vector, t: Number) -> Vector:
        Y, Z, b = z[:n], z[n:], _shift(w, t)
        upper = [sigma(u) for u in affine(w["K"], Z, b)]
        return upper + [-sigma(u) for u in affine(transposed(w["K"]), Y, b)]

    return value


def _leapfrog(f: dict[str, Any]) -> Any:
    sigma, n = ACTIVATIONS[f["activation"]], f["dim"] // 2

    def value(w: Weights, z: Vector, t: Number) -> Vector:
        a = [sigma(u) for u in affine(w["K"], z[:n], _shift(w, t))]
        return z[n:] + _minus(affine(transposed(w["K"]), a, [0] * n))

    return value


def _potential(f: dict[str, Any]) -> Any:
    def value(w: Weights, z: Vector, t: Number) -> Vector:
        return _minus(potential(f, w, z, t)[1])

    return value


def trace(f: dict[str, Any], w: Weights, z: Vector, t: Number) -> Number:
    """The sum of df_i/dz_i, one series along each axis."""
    if f["type"] == "Potential":
        return -potential(f, w, z, t)[3]
    value, total = field(f), 0
    for i in range(len(z)):
        along: list[Any] = [Series((a, 1 if j == i else 0)) for j, a in enumerate(z)]
        rate = value(w, along, t)[i]
        total = add(total, rate.c[1] if isinstance(rate, Series) else 0)
    return total


def estimate(f: dict[str, Any], w: Weights, z: Vector, t: Number, noise: Vector) -> Number:
    """Hutchinson's e^T (df/dz) e, by one series along e."""
    if f["type"] == "Potential":  # f = -grad Phi: twice the second coefficient of Phi
        curved = [Series((a, e, 0)) for a, e in zip(z, noise, strict=True)]
        return -2 * _phi(f, w, [*curved, Series((t, 0, 0))]).c[2]
    rates = field(f)(w, [Series((a, e)) for a, e in zip(z, noise, strict=True)], t)
    return dot(noise, [rate.c[1] if isinstance(rate, Series) else 0 for rate in rates])


# --- the potential network -------------------------------------------------------------------


def _phi(f: dict[str, Any], w: Weights, s: Vector) -> Number:
    """Phi(s) = w . u_M + quadratic + b . s + c, s = (x, t)."""
    u = [rings.log_2_cosh(v) for v in affine(w["K0"], s, w["b0"])]
    M = f["depth"] - 1
    for i in range(1, M + 1):
        v = affine(w[f"K{i}"], u, w[f"b{i}"])
        h = constant(Fraction(1, M))
        u = [add(a, h * rings.log_2_cosh(b)) for a, b in zip(u, v, strict=True)]
    As = affine(w["A"], s, [0] * len(w["A"]))
    half = constant(Fraction(1, 2))
    # 1/2 |A s|^2, or 1/2 s . (A + A^T)/2 s, which is 1/2 s . A s
    quadratic = dot(As, As) if f["quadratic"] == "lowrank" else dot(s, As)
    return dot(w["w"], u) + half * quadratic + dot(w["b"], s) + w["c"]


def potential(
    f: dict[str, Any], w: Weights, x: Vector, t: Number
) -> tuple[Number, Vector, Number, Number]:
    """Phi, grad Phi, dPhi/dt and Lap Phi, by a series along each axis of s."""
    s, d = [*x, t], len(x)
    series = []
    for i in range(d + 1):
        along = [Series((a, 1 if j == i else 0, 0)) for j, a in enumerate(s)]
        series.append(_phi(f, w, along).c)
    laplacian: Number = 0
    for c in series[:d]:
        laplacian = add(laplacian, 2 * c[2])
    return series[0][0], [c[1] for c in series[:d]], series[d][1], laplacian


# --- densities and energies ------------------------------------------------------------------


def _log_normal(x: Vector, mean: list[Fraction], S: list[list[Fraction]]) -> Number:
    """log N(x; mean, S), the covariance eliminated in exact fractions."""
    y: Vector = [a + constant(-m) for a, m in zip(x, mean, strict=True)]
    rows, det, square = [list(row) for row in S], Fraction(1), 0
    for i in range(len(y)):  # S = L D L^T: y^T S^{-1} y = sum_i (L^{-1} y)_i^2 / D_i
        pivot = rows[i][i]
        det *= pivot
        square = add(square, constant(1 / pivot) * (y[i] * y[i]))
        for k in range(i + 1, len(y)):
            factor = rows[k][i] / pivot
            if factor:
                y[k] = y[k] - constant(factor) * y[i]
            rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    offset = log_two_pi(len(y)) + constant(Fraction(-1, 2)) * rings.log(constant(det))
    return constant(Fraction(-1, 2)) * square + offset


def log_two_pi(d: int) -> Number:
    """The standard normal's constant in d dimensions, -d/2 log 2 pi."""
    return constant(Fraction(-d, 2)) * rings.log(2 * active().pi())


def log_density(rho: dict[str, Any], x: Vector) -> Number:
    """The log-density of a mixture of Gaussians, given by decimals."""
    parts = [
        _log_normal(x, list(map(Fraction, m)), [list(map(Fraction, row)) for row in S])
        for m, S in zip(rho["means"], rho["covariances"], strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    weights = [constant(w) for w in rho["weights"]]
    return rings.log_sum_exp(parts, weights)


def energy(parts: list[dict[str, Any]], x: Vector) -> Number:
    """Q(x): a sum of Gaussian bumps and quadratics on the leading coordinates."""
    total: Number = 0
    for q in parts:
        if q["type"] == "GaussianBump":
            S = [list(map(Fraction, row)) for row in q["covariance"]]
            log_normal = _log_normal(x[: len(S)], list(map(Fraction, q["mean"])), S)
            total = add(total, constant(q["height"]) * rings.exp(log_normal))
        else:
            y = [a + constant(-Fraction(c)) for a, c in zip(x, q["centre"], strict=False)]
            total = add(total, constant(Fraction(q["stiffness"]) / 2) * dot(y, y))
    return total


# --- losses ----------------------------------------------------------------------------------


def loss(name: str, v: Vector, y: list[Fraction]) -> Number:
    """|v - y|^2/2; log(1 + e^v) - y v; log sum exp v - v_y."""
    if name == "regression":
        r = [a + constant(-b) for a, b in zip(v, y, strict=True)]
        return constant(Fraction(1, 2)) * dot(r, r)
    if name == "logistic":
        return rings.softplus(v[0]) + constant(-y[0]) * v[0]
    return rings.log_sum_exp(v, [1] * len(v), v[int(y[0])])


# --- theta(t) = sum_j p_j(t) theta_j: exact fractions, s in [0, 1] ---------------------------


def basis(b: dict[str, Any], s: Fraction, middle: Fraction) -> list[Fraction]:
    """p_j(s); cells by the step's middle, a border belonging to the earlier cell."""
    J = b["J"]
    if b["type"] in ("Constant", "PiecewiseConstant"):
        cell = min(max(math.ceil(middle * J) - 1, 0), J - 1)
        return [Fraction(int(j == cell)) for j in range(J)]
    if b["type"] == "PiecewiseLinear":
        return [max(Fraction(0), 1 - abs(s * (J - 1) - j)) for j in range(J)]
    if b["type"] == "Legendre":
        x, p = 2 * s - 1, [Fraction(1), 2 * s - 1]
        for j in range(1, J - 1):
            p.append(((2 * j + 1) * x * p[j] - j * p[j - 1]) / (j + 1))
        return p[:J]
    return _splines(J, s, 3)


def _splines(J: int, s: Fraction, degree: int) -> list[Fraction]:
    """Cubic B-splines by de Boor's recurrence, fourfold knots at the ends."""
    n = J - degree
    knots = [Fraction(0)] * degree + [Fraction(i, n) for i in range(n + 1)] + [Fraction(1)] * degree
    cell = min(math.floor(s * n), n - 1) + degree
    p = [Fraction(int(i == cell)) for i in range(len(knots) - 1)]
    for k in range(1, degree + 1):
        p = [
            _share(s - knots[i], knots[i + k] - knots[i], p[i])
            + _share(knots[i + k + 1] - s, knots[i + k + 1] - knots[i + 1], p[i + 1])
            for i in range(len(p) - 1)
        ]
    return p


def _share(part: Fraction, whole: Fraction, value: Fraction) -> Fraction:
    return part / whole * value if whole else Fraction(0)


def stiffness(b: dict[str, Any]) -> list[list[Fraction]]:
    """int_0^1 p_i' p_j' ds from the polynomials' exact values; differences for cells."""
    J = b["J"]
    if b["type"] in ("Constant", "PiecewiseConstant"):
        D = [[Fraction((j == i + 1) - (j == i)) for j in range(J)] for i in range(J - 1)]
        return [
            [J * sum((r[i] * r[j] for r in D), Fraction(0)) for j in range(J)] for i in range(J)
        ]
    cells = {"PiecewiseLinear": J - 1, "Legendre": 1, "BSpline": J - 3}[b["type"]]
    degree = {"PiecewiseLinear": 1, "Legendre": J - 1, "BSpline": 3}[b["type"]]
    total = [[Fraction(0)] * J for _ in range(J)]
    for cell in range(cells):
        columns = [_monomials(b, j, cell, cells, degree) for j in range(J)]
        for i in range(J):
            for j in range(J):
                total[i][j] += cells * _derivative_product(columns[i], columns[j])
    return total


def _monomials(b: dict[str, Any], j: int, cell: int, cells: int, degree: int) -> list[Fraction]:
    """Coefficients in u in [0, 1] of p_j on a cell, by Lagrange interpolation inside it."""
    nodes = [Fraction(k + 1, degree + 2) for k in range(degree + 1)]
    total = [Fraction(0)] * (degree + 1)
    for k, node in enumerate(nodes):
        s = (cell + node) / cells
        p = [basis(b, s, s)[j]]
        for other in (m for i, m in enumerate(nodes) if i != k):
            scale = 1 / (node - other)
            shifted = [Fraction(0), *(scale * a for a in p)]
            lower = [-other * scale * a for a in p] + [Fraction(0)]
            p = [a + c for a, c in zip(shifted, lower, strict=True)]
        total = [a + c for a, c in zip(total, p, strict=True)]
    return total


def _derivative_product(p: list[Fraction], q: list[Fraction]) -> Fraction:
    """int_0^1 p' q' du."""
    total = Fraction(0)
    for i in range(1, len(p)):
        for j in range(1, len(q)):
            total += i * j * p[i] * q[j] / (i + j - 1)
    return total
