"""Every scheme meets its order conditions exactly, by rooted trees and by power series."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import tolerances
from scipy.integrate import RK23, RK45

from refode import tableaus
from refode.tableaus import Tableau
from refode.verify import order_conditions as oc

ALL = [tableaus.get(name) for name in tableaus.names("explicit")]
EXACT = [t for t in ALL if t.exact]
PAIRS = [t for t in ALL if t.b_embedded is not None]

EXPECTED = {  # order, stages, embedded order, stages that propagate
    "euler": (1, 1, None, 1),
    "midpoint": (2, 2, None, 2),
    "heun": (2, 2, None, 2),
    "ralston": (2, 2, None, 2),
    "ssprk3": (3, 3, None, 3),
    "kutta3": (3, 3, None, 3),
    "bogacki_shampine": (3, 4, 2, 3),
    "rk4": (4, 4, None, 4),
    "rk4_38": (4, 4, None, 4),
    "dopri5": (5, 7, 4, 6),
    "tsit5": (5, 7, 4, 6),
    "butcher6": (6, 7, None, 7),
    "fehlberg8": (8, 13, 7, 12),
}

EMBEDDED_ONLY = {"bogacki_shampine": 3, "dopri5": 6, "tsit5": 6, "fehlberg8": 10}  # stages


def by_name(t: Tableau) -> str:
    return t.name


every = pytest.mark.parametrize("t", ALL, ids=by_name)
pairs = pytest.mark.parametrize("t", PAIRS, ids=by_name)


# --- rooted trees ---------------------------------------------------------------------------


def symmetry(tree) -> int:
    """Number of automorphisms of a rooted tree, from its definition."""
    found = 1
    for child in set(tree):
        times = tree.count(child)
        found *= math.factorial(times) * symmetry(child) ** times
    return found


def test_there_are_as_many_rooted_trees_as_cayley_counted():
    counts = [len(oc.rooted_trees(n)) for n in range(1, 10)]
    assert counts == [1, 1, 2, 4, 9, 20, 48, 115, 286]


@pytest.mark.parametrize("n", range(1, 10))
def test_trees_and_densities_meet_the_two_counting_identities(n):
    trees = oc.rooted_trees(n)
    # labelled rooted trees: Cayley's n^(n-1); monotonically labelled ones: (n-1)!
    assert sum(Fraction(math.factorial(n), symmetry(t)) for t in trees) == n ** (n - 1)
    assert sum(
        Fraction(math.factorial(n), symmetry(t) * oc.density(t)) for t in trees
    ) == math.factorial(n - 1)


def test_elementary_weights_of_all_trees_up_to_four_nodes_are_the_textbook_ones():
    rng = np.random.default_rng(0)
    A, b = np.tril(rng.normal(size=(4, 4)), -1), rng.normal(size=4)
    c = A.sum(axis=1)
    textbook = {
        (): b.sum() - 1,
        ((),): b @ c - 1 / 2,
        ((), ()): b @ c**2 - 1 / 3,
        (((),),): b @ A @ c - 1 / 6,
        ((), (), ()): b @ c**3 - 1 / 4,
        ((), ((),)): b @ (c * (A @ c)) - 1 / 8,
        (((), ()),): b @ A @ c**2 - 1 / 12,
        ((((),),),): b @ A @ A @ c - 1 / 24,
    }
    found = oc.residuals(A.tolist(), b.tolist(), 4)
    assert found.keys() == textbook.keys()
    for tree, residual in found.items():
        assert residual == pytest.approx(textbook[tree], abs=tolerances.TREE_WEIGHT_ROUNDING)
        weight = oc.elementary_weight(A.tolist(), b.tolist(), tree)
        assert weight - 1 / oc.density(tree) == pytest.approx(
            residual, abs=tolerances.TREE_WEIGHT_ROUNDING
        )


# --- the shipped tableaus -------------------------------------------------------------------


def test_the_promised_schemes_are_there():
    assert {
        t.name: (t.order, t.n_stages, t.embedded_order, t.propagating().n_stages) for t in ALL
    } == EXPECTED
    assert [t.name for t in ALL if not t.exact] == ["tsit5"]
    assert all(
        len(t.reference) > 40 and re.search(r"\b1[789]\d\d|\b20\d\d", t.reference) for t in ALL
    )


@every
def test_the_tableau_is_explicit_and_consistent(t):
    assert all(a == 0 for i, row in enumerate(t.A) for a in row[i:])
    assert all(isinstance(x, Fraction) for row in (*t.A, t.b, t.c) for x in row)
    off = oc.consistency(t.A, t.c)
    if t.exact:
        assert not any(off)
    else:
        assert max(map(abs, off)) <= tolerances.TSIT5_PRINTED_DIGITS


@pytest.mark.parametrize("t", EXACT, ids=by_name)
def test_order_conditions_hold_exactly_and_fail_at_the_next_order(t):
    found = oc.residuals(t.A, t.b, t.order + 1)
    assert all(isinstance(r, Fraction) for r in found.values())
    assert not any(r for tree, r in found.items() if oc.n_nodes(tree) <= t.order)
    assert any(r for tree, r in found.items() if oc.n_nodes(tree) == t.order + 1)
    assert oc.order_of(t.A, t.b, t.c) == t.order
    if t.b_embedded is not None:
        assert oc.order_of(t.A, t.b_embedded, t.c) == t.embedded_order


@pytest.mark.parametrize(("weights", "order"), [("b", 5), ("b_embedded", 4)])
def test_tsit5_meets_its_order_conditions_to_its_printed_digits(weights, order):
    t = tableaus.get("tsit5")
    assert t.digits == 16
    found = oc.residuals(t.A, getattr(t, weights), order + 1)
    worst = {
        n: max(abs(r) for tree, r in found.items() if oc.n_nodes(tree) == n)
        for n in range(1, order + 2)
    }
    assert max(worst[n] for n in range(1, order + 1)) <= tolerances.TSIT5_PRINTED_DIGITS
    # what the tolerance lets through is nowhere near what a wrong order looks like
    assert worst[order + 1] > 1e6 * tolerances.TSIT5_PRINTED_DIGITS
    assert (
        oc.order_of(t.A, getattr(t, weights), t.c, tolerance=tolerances.TSIT5_PRINTED_DIGITS)
        == order
    )


@every
def test_every_entry_of_A_matters(t):
    tolerance = 0 if t.exact else tolerances.TSIT5_PRINTED_DIGITS
    for i, row in enumerate(t.A):
        embedded = EMBEDDED_ONLY.get(t.name) == i
        b, order = (t.b_embedded, t.embedded_order) if embedded else (t.b, t.order)
        for j in (j for j, a in enumerate(row) if a):
            A = [list(r) for r in t.A]
            A[i][j] += Fraction(1, 1000)
            c = [sum(r) for r in A]  # the nodes follow, so that the trees alone must object
            assert oc.order_of(A, b, c, up_to=order, tolerance=tolerance) < order, (i, j)


@pairs
def test_the_stage_that_only_the_embedded_weights_read_is_kept_and_can_be_left_out(t):
    kept = t.propagating()
    left = [i for i in range(t.n_stages) if i != EMBEDDED_ONLY[t.name]]
    assert kept.c == tuple(t.c[i] for i in left)
    assert kept.b_embedded is None
    assert kept.embedded_order is None
    assert kept.propagating() is kept
    tolerance = 0 if t.exact else tolerances.TSIT5_PRINTED_DIGITS
    assert oc.order_of(kept.A, kept.b, kept.c, tolerance=tolerance) == t.order
    assert one_step(kept.A, kept.b, kept.c, 3) == one_step(t.A, t.b, t.c, 3)


def test_a_method_that_needs_all_its_stages_propagates_as_it_is():
    for t in ALL:
        if t.b_embedded is None:
            assert t.propagating() is t


def test_a_stage_that_is_read_by_a_later_one_alone_is_kept():
    t = Tableau(
        "two_in_a_row",
        [[0, 0, 0], ["1/2", 0, 0], [0, "1/2", 0]],
        [0, 0, 1],
        [0, "1/2", "1/2"],
        2,
        "",
    )
    assert t.propagating() is t
    shortened = Tableau(
        "skips",
        [[0, 0, 0], [1, 0, 0], ["1/2", 0, 0]],
        [0, 0, 1],
        [0, 1, "1/2"],
        2,
        "",
        [0, 1, 0],
        1,
    ).propagating()
    assert (shortened.A, shortened.b, shortened.c) == (
        ((0, 0), (Fraction(1, 2), 0)),
        (0, 1),
        (0, Fraction(1, 2)),
    )


# --- order by power series: no trees --------------------------------------------------------
# A number is its coefficients in powers of h. One step of the method on a polynomial system is
# then exact, and so is the solution's Taylor series; they agree up to h^order.


def times(x, y):
    out = [0 * x[0]] * len(x)
    for i, x_i in enumerate(x):
        if x_i:
            for j in range(len(x) - i):
                out[i + j] += x_i * y[j]
    return out


def field(t, y):
    """A system that depends on time and is nonlinear in both unknowns."""
    u, v = y
    square, product, forced = times(v, v), times(u, v), times(t, u)
    one = [1] + [0] * (len(t) - 1)
    return [
        [a + b + e for a, b, e in zip(square, forced, one, strict=True)],
        [a - b / 2 + e for a, b, e in zip(product, u, times(t, t), strict=True)],
    ]


def start(n):
    return [[Fraction(1)] + [Fraction(0)] * n, [Fraction(1, 3)] + [Fraction(0)] * n]


def taylor(n):
    """The solution's series to h^n, by Picard iteration: each sweep settles one more power."""
    t = [Fraction(0), Fraction(1)] + [Fraction(0)] * (n - 1)
    y = start(n)
    for _ in range(n):
        y = [
            [y0[0], *(f / (k + 1) for k, f in enumerate(rate[:-1]))]
            for y0, rate in zip(start(n), field(t, y), strict=True)
        ]
    return y


def one_step(A, b, c, n):
    """One step's result as a series to h^n, one stage after the other."""

    def ahead(weights, rates):
        return [
            [
                y_k + sum(w * r[m][k - 1] for w, r in zip(weights, rates, strict=False))
                if k
                else y_k
                for k, y_k in enumerate(y0)
            ]
            for m, y0 in enumerate(start(n))
        ]

    rates = []
    for i, c_i in enumerate(c):
        t = [Fraction(0), Fraction(c_i)] + [Fraction(0)] * (n - 1)
        rates.append(field(t, ahead(A[i][:i], rates)))
    return ahead(b, rates)


def agreement(t: Tableau, b, order, tolerance):
    """Whether each power of h up to order + 1 agrees with the solution."""
    pairs_of = zip(one_step(t.A, b, t.c, order + 1), taylor(order + 1), strict=True)
    off = [[abs(a - e) for a, e in zip(x, y, strict=True)] for x, y in pairs_of]
    return [max(d) <= tolerance for d in zip(*off, strict=True)]


@every
def test_one_step_agrees_with_the_taylor_series_to_the_order_and_no_further(t):
    tolerance = 0 if t.exact else tolerances.TSIT5_PRINTED_DIGITS
    assert agreement(t, t.b, t.order, tolerance) == [True] * (t.order + 1) + [False]
    if t.b_embedded is not None:
        assert agreement(t, t.b_embedded, t.embedded_order, tolerance) == [True] * (
            t.embedded_order + 1
        ) + [False]


# --- that each name is the method it says ---------------------------------------------------


@pytest.mark.parametrize(("name", "solver"), [("bogacki_shampine", RK23), ("dopri5", RK45)])
def test_scipy_has_the_same_pair(name, solver):
    t = tableaus.get(name)
    A, b, c = t.propagating().as_floats()
    np.testing.assert_array_equal(A[:, : solver.A.shape[1]], solver.A[:, : len(A)])
    np.testing.assert_array_equal(b, solver.B)
    np.testing.assert_array_equal(c, solver.C)
    difference = [float(e - w) for w, e in zip(t.b, t.b_embedded, strict=True)]
    sign = np.sign(difference[-1] * solver.E[-1])  # scipy's sign differs between the two
    np.testing.assert_allclose(difference, sign * solver.E, rtol=tolerances.TABLEAU_DIFFERENCE)


def test_the_small_methods_are_the_ones_their_names_say():
    F = Fraction
    nodes = {
        "midpoint": (0, F(1, 2)),
        "heun": (0, 1),
        "ralston": (0, F(2, 3)),
        "ssprk3": (0, 1, F(1, 2)),
        "kutta3": (0, F(1, 2), 1),
        "rk4": (0, F(1, 2), F(1, 2), 1),
        "rk4_38": (0, F(1, 3), F(2, 3), 1),
    }
    for name, c in nodes.items():
        assert tableaus.get(name).c == c
    assert tableaus.get("rk4").A[2] == (0, F(1, 2), 0, 0)
    assert tableaus.get("rk4_38").b == (F(1, 8), F(3, 8), F(3, 8), F(1, 8))


def test_ssprk3_is_a_convex_combination_of_euler_steps():
    t = tableaus.get("ssprk3")
    n = 5

    def euler(y, time):  # y + h f(time h, y)
        rate = field([Fraction(0), Fraction(time)] + [Fraction(0)] * (n - 1), y)
        return [
            [a + r for a, r in zip(y_m, [0, *r_m[:-1]], strict=True)]
            for y_m, r_m in zip(y, rate, strict=True)
        ]

    def mix(w, x, y):
        return [
            [w * a + (1 - w) * b for a, b in zip(p, q, strict=True)]
            for p, q in zip(x, y, strict=True)
        ]

    y0 = start(n)
    second = mix(Fraction(3, 4), y0, euler(euler(y0, 0), 1))
    assert one_step(t.A, t.b, t.c, n) == mix(Fraction(1, 3), y0, euler(second, Fraction(1, 2)))
