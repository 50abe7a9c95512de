"""Which weights each stage of each step reads: slots, sharing, cells, either direction in time."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
import tolerances
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from refode import tableaus
from refode.bases import BSpline, Constant, Legendre, PiecewiseConstant, PiecewiseLinear

SMOOTH = st.one_of(
    st.integers(2, 7).map(PiecewiseLinear),
    st.integers(1, 7).map(Legendre),
    st.integers(4, 9).map(BSpline),
)
SCHEMES = st.sampled_from(tableaus.names("explicit"))
SOME = settings(max_examples=40, deadline=None)


def steps_of(n_steps: int, direction: int, t0: float, length: float):
    """Ends of each step in normalised time, with the rounding that a real t_span brings."""
    t = np.array([t0 + n * (length / n_steps) for n in range(n_steps)] + [t0 + length])
    s = (t - t0) / (t[-1] - t0)
    return (s[:-1], s[1:]) if direction > 0 else (s[:0:-1], s[-2::-1])


def exact_times(n_steps: int, direction: int, c) -> list[list[Fraction]]:
    ahead = [[(n + c_i) / n_steps for c_i in c] for n in range(n_steps)]
    return ahead if direction > 0 else [[1 - s for s in row] for row in ahead]


STEPS = st.tuples(
    st.integers(1, 9),
    st.sampled_from([1, -1]),
    st.sampled_from([0.0, 0.1, -3.7]),
    st.sampled_from([1.0, 0.7, 11.3]),
)


@SOME
@given(SMOOTH, SCHEMES, STEPS)
def test_each_stage_reads_the_weights_at_its_time_and_equal_times_share_a_slot(
    basis, scheme, steps
):
    c = tableaus.get(scheme).c
    exact = exact_times(*steps[:2], c)
    start, end = steps_of(*steps)
    found = basis.stage_table(start, end, [float(c_i) for c_i in c])

    assert found.slots.dtype == np.int64
    assert found.slots.shape == (steps[0], len(c))
    distinct = sorted({s for row in exact for s in row})
    assert len(found.s) == len(distinct)
    np.testing.assert_allclose(
        found.s, np.array(distinct, dtype=float), rtol=0, atol=tolerances.NORMALISED_TIME
    )
    rank = {s: k for k, s in enumerate(distinct)}
    np.testing.assert_array_equal(found.slots, [[rank[s] for s in row] for row in exact])

    for P, derivative in ((found.P, 0), (found.dP, 1)):
        assert isinstance(P, csr_array)
        np.testing.assert_array_equal(P.toarray(), basis.matrix(found.s, derivative).toarray())


@SOME
@given(st.integers(1, 12), SCHEMES, STEPS)
def test_a_step_reads_the_cell_of_its_midpoint_alone(J, scheme, steps):
    n_steps, direction = steps[:2]
    c = [float(c_i) for c_i in tableaus.get(scheme).c]
    found = PiecewiseConstant(J).stage_table(*steps_of(*steps), c)
    cells = [max(ceil(Fraction(2 * n + 1, 2 * n_steps) * J) - 1, 0) for n in range(n_steps)][
        ::direction
    ]
    visited = sorted(set(cells))
    expected = [[visited.index(cell)] * len(c) for cell in cells]
    np.testing.assert_array_equal(found.slots, expected)
    assert found.slots.dtype == np.int64
    np.testing.assert_array_equal(found.P.toarray(), np.eye(J)[visited])
    np.testing.assert_allclose(
        found.s, (np.array(visited) + 0.5) / J, atol=tolerances.NORMALISED_TIME
    )
    assert found.dP.shape == found.P.shape
    assert found.dP.nnz == 0


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.0)])
def test_a_midpoint_on_a_border_reads_the_earlier_cell_in_both_directions(start, end):
    for J in (2, 6, 10):
        found = PiecewiseConstant(J).stage_table([start], [end], [0.0, 0.5, 1.0])
        assert found.P.indices == [J // 2 - 1]


def test_a_layer_a_step_reads_each_layer_once():
    J = 7
    found = PiecewiseConstant(J).stage_table(np.arange(J) / J, np.arange(1, J + 1) / J, [0, 0.5, 1])
    np.testing.assert_array_equal(found.P.toarray(), np.eye(J))
    np.testing.assert_array_equal(found.slots, np.arange(J)[:, None].repeat(3, axis=1))


def test_a_constant_has_one_slot_wherever_the_steps_lie():
    found = Constant().stage_table([-3.0, 0.0, 5.0, 0.5], [0.0, 1.0, 7.0, -0.5], [0, 0.5, 1])
    assert found.slots.tolist() == [[0, 0, 0]] * 4
    assert found.P.toarray() == [[1.0]]
    assert found.dP.toarray() == [[0.0]]
    assert found.s.shape == (1,)
    np.testing.assert_array_equal(Constant().matrix([-3.0, 0.0, 1e9]).toarray(), np.ones((3, 1)))


def test_times_share_a_slot_up_to_rounding_and_no_further():
    basis = PiecewiseLinear(3)
    for gap, slots in ((1e-14, 2), (1e-11, 3)):
        found = basis.stage_table([0.0, 0.4], [0.4 + gap, 0.4], [0.0, 1.0])
        assert len(found.s) == slots, gap


def test_a_stage_on_a_node_has_the_mean_slope_of_its_neighbours():
    found = PiecewiseLinear(3).stage_table([0.0, 0.5], [0.5, 1.0], [0.0, 1.0])
    np.testing.assert_array_equal(found.slots, [[0, 1], [1, 2]])
    np.testing.assert_array_equal(found.dP.toarray(), [[-2, 2, 0], [-1, 0, 1], [0, -2, 2]])
