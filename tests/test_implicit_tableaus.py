"""Implicit tableaus and ros2: order conditions, stability functions, what their classes refuse."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
import tolerances as tol

from refode import tableaus
from refode.tableaus import ImplicitTableau, RosenbrockTableau, Tableau
from refode.verify import order_conditions as oc

ALL = [tableaus.get(name) for name in tableaus.names("implicit")]
IMPLICIT = [t for t in ALL if isinstance(t, ImplicitTableau)]
every = pytest.mark.parametrize("t", IMPLICIT, ids=lambda t: t.name)
EXPECTED = {  # order, stages, one by one, the last stage is the end
    "implicit_midpoint": (2, 1, True, False),
    "sdirk2": (2, 2, True, True),
    "sdirk3": (3, 3, True, True),
    "gauss2": (4, 2, False, False),
}
# by exact rational functions, twenty digits
R = {
    "implicit_midpoint": (1 / 3, -2 / 3, 5 / 3),
    "gauss2": (0.368421052631578947, 13 / 43, 61 / 37),
    "sdirk2": (0.350440262760281835, -0.203552227967972466, 1.656854249492380195),
    "sdirk3": (0.361423808431126483, -0.127960951390991400, 1.644843747441334022),
    "ros2": (0.350440262760281835, -0.203552227967972466, 1.656854249492380195),
}


def refused(error: type[Exception], message: str):
    return pytest.raises(error, match="^" + re.escape(message))


def test_names_by_kind():
    assert tableaus.names() == tableaus.names("explicit") + tableaus.names("implicit")
    assert {t.name for t in ALL} == {*EXPECTED, "ros2"}
    assert all(type(tableaus.get(name)) is Tableau for name in tableaus.names("explicit"))
    with refused(ValueError, "kind: got 'stiff', wanted one of 'all', 'explicit', 'implicit'"):
        tableaus.names("stiff")


@every
def test_order_conditions_hold_to_the_printed_digits_and_fail_at_the_next_order(t):
    assert (t.order, t.n_stages, t.one_by_one, t.ends) == EXPECTED[t.name]
    assert t.propagating() == t
    assert len(t.reference) > 40
    tolerance = Fraction(0) if t.exact else tol.PRINTED_28_DIGITS
    assert oc.order_of(t.A, t.b, t.c, t.order + 1, tolerance) == t.order
    found = oc.residuals(t.A, t.b, t.order + 1)
    beyond = [r for tree, r in found.items() if oc.n_nodes(tree) == t.order + 1]
    assert max(map(abs, beyond)) > 0.005


def test_ros2_has_order_two_with_the_jacobian_and_without_it():
    """Exactly, whatever gamma: a W-method. The conditions of a Runge-Kutta method see no G."""
    t = tableaus.get("ros2")
    assert oc.order_of(t.A, t.b, t.c, 3, tol.PRINTED_28_DIGITS, t.G) == 2 == t.order
    assert oc.order_of(t.A, t.b, t.c, 3) == 2
    other = tuple(tuple(g * 7 / 3 for g in row) for row in t.G)
    assert oc.order_of(t.A, t.b, t.c, 3, tol.PRINTED_28_DIGITS, other) == 2
    lopsided = ((t.G[0][0], 0), (0, t.G[0][0]))
    assert oc.order_of(t.A, t.b, t.c, 3, tol.PRINTED_28_DIGITS, lopsided) == 1
    with refused(ValueError, "G: got rows of lengths [1], wanted 2 of 2 each"):
        oc.residuals(t.A, t.b, 2, G=[[0]])


@pytest.mark.parametrize("t", ALL, ids=lambda t: t.name)
def test_stability_functions(t):
    for z, want in zip((-1.0, -10.0, 0.5), R[t.name], strict=True):
        assert abs(t.stability(z) - want) <= tol.STABILITY_FUNCTION * abs(want)
    assert abs(t.stability(0.3j)) <= 1.0 + tol.STABILITY_FUNCTION
    at_infinity = abs(t.stability(-1e12))
    assert at_infinity <= 1e-10 or abs(at_infinity - 1.0) <= 1e-10
    assert (at_infinity <= 1e-10) == (t.name in ("sdirk2", "sdirk3", "ros2"))


def test_a_pole_and_what_is_no_number():
    assert tableaus.get("implicit_midpoint").stability(2.0) == np.inf
    assert tableaus.get("rk4").stability(-1.0) == pytest.approx(0.375)
    for z in (True, "1", None):
        with refused(TypeError, "z: got "):
            tableaus.get("rk4").stability(z)


@pytest.mark.parametrize("t", IMPLICIT, ids=lambda t: t.name)
def test_gauss_methods_alone_are_symplectic(t):
    off = max(
        abs(t.b[i] * t.A[i][j] + t.b[j] * t.A[j][i] - t.b[i] * t.b[j])
        for i in range(t.n_stages)
        for j in range(t.n_stages)
    )
    if t.name in ("implicit_midpoint", "gauss2"):
        assert off <= tol.PRINTED_28_DIGITS
    else:
        assert off > 0.01


@every
def test_the_drawn_table_reads_back(t):
    drawn = str(t).partition("\n")[2]
    again = ImplicitTableau.from_text(t.name, t.order, t.reference, drawn, None, t.exact, t.digits)
    assert again == t
    assert hash(again) == hash(t)


def test_what_the_classes_refuse():
    explicit = {"name": "a", "A": [[0, 0], [1, 0]], "b": ["1/2", "1/2"], "c": [0, 1]}
    explicit |= {"order": 2, "reference": ""}
    with refused(ValueError, "A: got a strictly lower triangular matrix, wanted an entry on its"):
        ImplicitTableau(**explicit)
    with refused(ValueError, "A: got row 0 = 1/2, wanted a strictly lower triangular"):
        Tableau(**{**explicit, "A": [["1/2"]], "b": [1], "c": ["1/2"]})
    with refused(ValueError, "G: got 0 rows, wanted 2"):
        RosenbrockTableau(**explicit)
    with refused(ValueError, "G: got row 0 = 1, 1, wanted a lower triangular matrix"):
        RosenbrockTableau(**explicit, G=[[1, 1], [0, 1]])
    with refused(ValueError, "A: got row 0 = 1, 0, wanted a strictly lower triangular"):
        RosenbrockTableau(**{**explicit, "A": [[1, 0], [0, 1]]}, G=[[1, 0], [0, 1]])
