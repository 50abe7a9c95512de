"""The class of tableaus: floats, text, names, and what it and the order conditions refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest

from refode import tableaus
from refode.tableaus import Tableau
from refode.verify import order_conditions as oc

ALL = [tableaus.get(name) for name in tableaus.names("explicit")]
every = pytest.mark.parametrize("t", ALL, ids=lambda t: t.name)


def refused(error: type[Exception], message: str):
    return pytest.raises(error, match="^" + re.escape(message))


@every
def test_floats_are_the_nearest_doubles_in_c_order(t):
    A, b, c = t.as_floats()
    assert (A.shape, b.shape, c.shape) == ((t.n_stages,) * 2, (t.n_stages,), (t.n_stages,))
    for array, entries in ((A, sum(t.A, ())), (b, t.b), (c, t.c)):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert array.ravel().tolist() == [e.numerator / e.denominator for e in entries]


@every
def test_the_drawn_table_reads_back(t):
    title, _, drawn = str(t).partition("\n")
    assert title.startswith(f"{t.name}, order {t.order}")
    again = Tableau.from_text(
        t.name, t.order, t.reference, drawn, t.embedded_order, t.exact, t.digits
    )
    assert again == t
    assert hash(again) == hash(t)


def test_get_takes_a_name_or_a_tableau():
    own = Tableau("own", [[0]], [1], [0], 1, "here")
    assert tableaus.get(own) is own
    assert tableaus.get("rk4").name == "rk4"
    with refused(TypeError, "name: got 4 (int)"):
        tableaus.get(4)
    with refused(ValueError, "name: got 'RK4', wanted one of 'euler'") as caught:
        tableaus.get("RK4")
    assert all(repr(name) in str(caught.value) for name in tableaus.names())


GOOD = {
    "name": "heun",
    "A": [[0, 0], [1, 0]],
    "b": ["1/2", "1/2"],
    "c": [0, 1],
    "order": 2,
    "reference": "",
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"A": []}, ValueError, "A: got no rows"),
        ({"A": [[0, 0], [1]]}, ValueError, "A: got 1 entries, wanted 2"),
        ({"A": [[0, 0], [1, "1/3"]]}, ValueError, "A: got row 1 = 1, 1/3, wanted a strictly lower"),
        ({"A": [[0, 1], [1, 0]]}, ValueError, "A: got row 0 = 0, 1, wanted a strictly lower"),
        ({"b": [1]}, ValueError, "b: got 1 entries, wanted 2"),
        ({"b": [float("nan"), 1]}, ValueError, "b: got nan"),
        ({"b": [float("inf"), 1]}, ValueError, "b: got inf"),
        ({"b": ["1/0", 1]}, ValueError, "b: got '1/0'"),
        ({"c": ["half", 1]}, ValueError, "c: got 'half'"),
        ({"c": [0, 1j]}, TypeError, "c: got 1j"),
        ({"c": [0, None]}, TypeError, "c: got None"),
        ({"order": 0}, ValueError, "order: got 0"),
        ({"order": 2.0}, TypeError, "order: got 2.0"),
        ({"b_embedded": [1, 0]}, ValueError, "b_embedded, embedded_order: got one without"),
        ({"embedded_order": 1}, ValueError, "b_embedded, embedded_order: got one without"),
        ({"b_embedded": [1], "embedded_order": 1}, ValueError, "b_embedded: got 1 entries"),
        ({"b_embedded": [1, 0], "embedded_order": -1}, ValueError, "embedded_order: got -1"),
    ],
)
def test_a_bad_tableau_is_refused_by_name(change, error, message):
    assert Tableau(**GOOD).n_stages == 2
    with refused(error, message):
        Tableau(**{**GOOD, **change})


@pytest.mark.parametrize("text", ["0 |", "0 |\n--+--", "0|\n--+--\n|1\n|1\n|1"])
def test_a_table_without_weights_is_refused(text):
    with refused(ValueError, "text: got"):
        Tableau.from_text("bad", 1, "", text)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: oc.rooted_trees(0), "order: got 0"),
        (lambda: oc.rooted_trees(10), "order: got 10"),
        (lambda: oc.rooted_trees(True), "order: got True"),
        (lambda: oc.residuals([[0]], [1], 2.0), "order: got 2.0"),
        (lambda: oc.residuals([[0, 0]], [1], 1), "A: got rows of lengths [2]"),
        (lambda: oc.residuals([], [], 1), "A: got rows of lengths []"),
        (lambda: oc.residuals([[0]], [1, 0], 1), "b: got 2 entries"),
        (lambda: oc.consistency([[0]], []), "c: got 0 entries"),
        (lambda: oc.order_of([[0]], [1], [1]), "c: got c[0] = 1, off by 1"),
        (lambda: oc.order_of([[0]], [1], [float("nan")]), "c: got c[0] = nan"),
        (lambda: oc.order_of([[0]], [1], [0], up_to=0), "order: got 0"),
    ],
)
def test_order_conditions_refuse_bad_input(call, message):
    with refused(ValueError, message):
        call()


def test_a_nan_is_of_no_order():
    assert oc.order_of([[0.0]], [float("nan")], [0.0]) == 0
