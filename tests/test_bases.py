"""Each basis against its definition in exact fractions; stiffness and prolongation."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from fractions import Fraction
from math import ceil, comb, floor

import numpy as np
import pytest
import tolerances
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from refode import bases
from refode.bases import BSpline, Constant, Legendre, PiecewiseConstant, PiecewiseLinear

SEEDS = st.integers(0, 2**16)
BASES = st.one_of(
    st.just(Constant()),
    st.integers(1, 7).map(PiecewiseConstant),
    st.integers(2, 7).map(PiecewiseLinear),
    st.integers(1, 7).map(Legendre),
    st.integers(4, 9).map(BSpline),
)
ONE_OF_EACH = [Constant(), PiecewiseConstant(4), PiecewiseLinear(5), Legendre(4), BSpline(6)]
SOME = settings(max_examples=40, deadline=None)


def refused(error: type[Exception], message: str):
    return pytest.raises(error, match="^" + re.escape(message))


# --- the definitions, in exact fractions and without refode ---------------------------------


def cox_de_boor(j: int, k: int, s: Fraction, knots: list[Fraction]) -> Fraction:
    """B_{j,k}(s) by the recursion, 0/0 = 0; the last cell is closed on the right."""
    if k == 0:
        inside = knots[j] <= s < knots[j + 1] or (s == 1 and knots[j] < knots[j + 1] == 1)
        return Fraction(int(inside))
    value = Fraction(0)
    if knots[j + k] > knots[j]:
        value += (s - knots[j]) / (knots[j + k] - knots[j]) * cox_de_boor(j, k - 1, s, knots)
    if knots[j + k + 1] > knots[j + 1]:
        value += (
            (knots[j + k + 1] - s)
            / (knots[j + k + 1] - knots[j + 1])
            * cox_de_boor(j + 1, k - 1, s, knots)
        )
    return value


def oracle(basis, j: int, s: Fraction) -> Fraction:
    """p_j(s)."""
    J = basis.n_coefficients
    if type(basis) is Constant:
        return Fraction(1)
    if type(basis) is PiecewiseConstant:  # a border belongs to the earlier cell
        return Fraction(int(max(ceil(s * J) - 1, 0) == j))
    if type(basis) is PiecewiseLinear:
        return max(Fraction(0), 1 - abs(s * (J - 1) - j))
    if type(basis) is Legendre:
        return sum(
            ((-1) ** (j + k) * comb(j, k) * comb(j + k, k) * s**k for k in range(j + 1)),
            Fraction(0),
        )
    cells = J - 3
    inner = [Fraction(i, cells) for i in range(cells + 1)]
    return cox_de_boor(j, 3, s, [Fraction(0)] * 3 + inner + [Fraction(1)] * 3)


def slope(basis, j: int, s: Fraction) -> Fraction:
    """dp_j/ds: a difference quotient with a step that no rounding spoils, one-sided at the ends."""
    h = Fraction(1, 10**30)
    low, high = max(s - h, Fraction(0)), min(s + h, Fraction(1))
    return (oracle(basis, j, high) - oracle(basis, j, low)) / (high - low)


def table(function, basis, s) -> np.ndarray:
    return np.array(
        [[float(function(basis, j, Fraction(x))) for j in range(basis.n_coefficients)] for x in s]
    )


def spots(seed: int) -> np.ndarray:
    """Both ends, two dyadic fractions (exact nodes of some bases), and a few random times."""
    return np.concatenate(([0.0, 1.0, 0.5, 0.25], np.random.default_rng(seed).random(4)))


# --- values and derivatives -----------------------------------------------------------------


@SOME
@given(BASES, SEEDS)
def test_values_are_the_definition(basis, seed):
    s = spots(seed)
    P = basis.matrix(s)
    assert isinstance(P, csr_array)
    assert P.shape == (len(s), basis.n_coefficients)
    np.testing.assert_allclose(
        P.toarray(), table(oracle, basis, s), rtol=0, atol=tolerances.BASIS_VALUE
    )


@SOME
@given(BASES.filter(lambda b: not isinstance(b, PiecewiseConstant)), SEEDS)
def test_derivatives_are_those_of_the_definition(basis, seed):
    s = spots(seed)
    dP = basis.matrix(s, derivative=1)
    assert isinstance(dP, csr_array)
    expected = table(slope, basis, s)  # at a node of hats: the mean of both sides, as documented
    np.testing.assert_allclose(
        dP.toarray(),
        expected,
        rtol=0,
        atol=tolerances.BASIS_VALUE * max(1.0, np.abs(expected).max()),
    )


@SOME
@given(BASES, SEEDS)
def test_the_functions_sum_to_one_and_the_slopes_to_zero(basis, seed):
    s = np.random.default_rng(seed).random(30)
    one = (
        np.eye(basis.n_coefficients)[0]
        if isinstance(basis, Legendre)
        else np.ones(basis.n_coefficients)
    )
    np.testing.assert_allclose(basis.matrix(s) @ one, 1.0, rtol=tolerances.BASIS_VALUE)
    np.testing.assert_allclose(basis.matrix(s, 1) @ one, 0.0, atol=tolerances.BASIS_SLOPES_SUM)


def test_rows_hold_only_what_is_not_zero():
    s = np.linspace(0.0, 1.0, 41)
    for basis, most in ((PiecewiseConstant(8), 1), (PiecewiseLinear(9), 2), (BSpline(12), 4)):
        assert np.diff(basis.matrix(s).indptr).max() == most
    nodes = np.arange(9) / 8
    assert PiecewiseLinear(9).matrix(nodes).nnz == 9
    assert PiecewiseConstant(8).matrix(s, 1).nnz == Constant().matrix(s, 1).nnz == 0


def test_the_slope_at_a_node_is_the_mean_of_both_sides_even_where_the_node_is_rounded():
    basis = PiecewiseLinear(4)  # nodes 1/3, 2/3
    theta = np.array([0.0, 1.0, 5.0, 3.0])  # slopes 3, 12, -6
    for third in (1 / 3, np.nextafter(1 / 3, 0), np.nextafter(1 / 3, 1)):
        s = [0.0, third, 0.5, 1 - third, 1.0]
        np.testing.assert_allclose(
            basis.matrix(s, 1) @ theta, [3.0, 7.5, 12.0, 3.0, -6.0], rtol=tolerances.BASIS_VALUE
        )


@pytest.mark.parametrize("J", [3, 7, 10, 49, 1000])
def test_a_rounded_border_belongs_to_the_earlier_cell(J):
    basis, cells = PiecewiseConstant(J), np.arange(J)
    for border in ((cells + 1) / J, np.cumsum(np.full(J, 1 / J)), 1 - cells[::-1] / J):
        np.testing.assert_array_equal(basis.matrix(border).indices, cells)
    just_after = (cells[:-1] + 1) / J + 1e-9
    np.testing.assert_array_equal(basis.matrix(just_after).indices, cells[1:])
    assert basis.matrix([0.0]).indices == [0]


@pytest.mark.parametrize("basis", [PiecewiseLinear(5), Legendre(6), BSpline(8)], ids=repr)
def test_what_the_class_says_about_its_ends(basis):
    ends = basis.matrix([0.0, 1.0]).toarray()
    if isinstance(basis, Legendre):
        np.testing.assert_array_equal(ends, [(-1.0) ** np.arange(6), np.ones(6)])
    else:
        np.testing.assert_array_equal(ends, np.eye(basis.n_coefficients)[[0, -1]])


# --- stiffness ------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(BASES.filter(lambda b: type(b) is not PiecewiseConstant))
def test_stiffness_is_the_integral_of_products_of_slopes(basis):
    J = basis.n_coefficients
    x, w = np.polynomial.legendre.leggauss(8)  # exact to degree 15; the integrands have 12 at most
    cells = {PiecewiseLinear: J - 1, BSpline: J - 3}.get(type(basis), 1)
    s = ((np.arange(cells)[:, None] + 0.5 + 0.5 * x) / cells).ravel()
    D = table(slope, basis, s)
    expected = D.T @ (np.tile(0.5 * w / cells, cells)[:, None] * D)
    S = basis.stiffness()
    assert isinstance(S, csr_array)
    assert S.shape == (J, J)
    np.testing.assert_allclose(
        S.toarray(),
        expected,
        rtol=0,
        atol=tolerances.BASIS_VALUE * max(1.0, np.abs(expected).max()),
    )


@given(st.integers(1, 7), SEEDS)
@settings(max_examples=15, deadline=None)
def test_stiffness_of_cells_sums_difference_quotients_between_centres(J, seed):
    theta = np.random.default_rng(seed).normal(size=J)
    ds = 1 / J
    expected = sum((theta[j + 1] - theta[j]) ** 2 / ds for j in range(J - 1))
    found = theta @ (PiecewiseConstant(J).stiffness() @ theta)
    assert found == pytest.approx(expected, rel=tolerances.BASIS_VALUE)


def test_a_constant_costs_nothing():
    assert Constant().stiffness().toarray() == [[0.0]]


# --- prolongation ---------------------------------------------------------------------------


NESTED = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 4)).map(
        lambda p: (PiecewiseConstant(p[0]), PiecewiseConstant(p[0] * p[1]))
    ),
    st.tuples(st.integers(2, 5), st.integers(1, 4)).map(
        lambda p: (PiecewiseLinear(p[0]), PiecewiseLinear(p[1] * (p[0] - 1) + 1))
    ),
    st.tuples(st.integers(1, 6), st.integers(0, 4)).map(
        lambda p: (Legendre(p[0]), Legendre(p[0] + p[1]))
    ),
    st.tuples(st.integers(4, 8), st.integers(1, 4)).map(
        lambda p: (BSpline(p[0]), BSpline(p[1] * (p[0] - 3) + 3))
    ),
    st.tuples(st.just(Constant()), BASES),
    st.tuples(st.integers(1, 4).map(Legendre), st.integers(4, 9).map(BSpline)),
)


@SOME
@given(NESTED, SEEDS)
def test_prolongation_between_nested_spaces_keeps_the_function(pair, seed):
    coarse, fine = pair
    rng = np.random.default_rng(seed)
    theta, s = rng.normal(size=(coarse.n_coefficients, 3)), rng.random(30)
    X = coarse.prolongation(fine)
    assert isinstance(X, csr_array)
    assert X.shape == (fine.n_coefficients, coarse.n_coefficients)
    np.testing.assert_allclose(
        fine.matrix(s) @ (X @ theta),
        coarse.matrix(s) @ theta,
        rtol=0,
        atol=tolerances.BASIS_PROLONGED * np.abs(theta).max(),
    )


def test_nested_prolongations_of_local_bases_stay_sparse():
    assert PiecewiseConstant(8).prolongation(PiecewiseConstant(64)).nnz == 64
    assert PiecewiseLinear(9).prolongation(PiecewiseLinear(65)).nnz == 2 * 56 + 9
    # knot insertion: no spline reads more than four coarse ones
    assert np.diff(BSpline(11).prolongation(BSpline(19)).indptr).max() <= 4


NATURAL = {  # a finer basis's natural points
    PiecewiseConstant(5): (np.arange(5) + 0.5) / 5,
    PiecewiseLinear(6): np.arange(6) / 5,
    Legendre(5): 0.5 + 0.5 * np.polynomial.legendre.leggauss(5)[0],
    BSpline(6): np.array([0, 1 / 3, 1, 2, 8 / 3, 3]) / 3,  # means of three inner knots
}


@pytest.mark.parametrize("fine", NATURAL, ids=repr)
@pytest.mark.parametrize(
    "coarse", [PiecewiseConstant(3), PiecewiseLinear(4), Legendre(5), BSpline(5)], ids=repr
)
def test_other_prolongations_interpolate_at_the_finer_natural_points(coarse, fine):
    theta = np.random.default_rng(1).normal(size=coarse.n_coefficients)
    points = NATURAL[fine]
    found = fine.matrix(points) @ (coarse.prolongation(fine) @ theta)
    np.testing.assert_allclose(
        found, coarse.matrix(points) @ theta, rtol=tolerances.BASIS_PROLONGED
    )


def test_prolongation_refuses_what_is_not_finer():
    with refused(ValueError, "finer: got Legendre(3), wanted at least 4 coefficients, as"):
        Legendre(4).prolongation(Legendre(3))
    with refused(ValueError, "finer: got Constant(), wanted at least 2"):
        PiecewiseLinear(2).prolongation(Constant())
    for other in (4, "Constant", None, Legendre):
        with refused(TypeError, "finer: got"):
            Legendre(4).prolongation(other)


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize("basis", ONE_OF_EACH[1:], ids=repr)
def test_times_outside_t_span_are_refused_and_rounding_is_clipped(basis):
    inside = basis.matrix([0.0, 1.0]).toarray()
    np.testing.assert_array_equal(basis.matrix([-9e-13, 1 + 9e-13]).toarray(), inside)
    for s in (-1e-11, 1 + 1e-11, 2.0, -5.0):
        with refused(ValueError, "s: got the normalised time"):
            basis.matrix([0.5, s])
        with refused(ValueError, "s_end: got the normalised time"):
            basis.stage_table([0.5], [s], [0.0, 1.0])
    found = basis.stage_table([-9e-13], [1 + 9e-13], [0.0, 1.0])
    assert found.s.min() >= 0.0
    assert found.s.max() <= 1.0


@pytest.mark.parametrize("basis", ONE_OF_EACH, ids=repr)
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda b: b.matrix([]), ValueError, "s: got an empty array"),
        (lambda b: b.matrix(0.5), ValueError, "s: got an array of shape ()"),
        (lambda b: b.matrix([[0.5]]), ValueError, "s: got an array of shape (1, 1)"),
        (lambda b: b.matrix([np.nan]), ValueError, "s: got nan"),
        (lambda b: b.matrix([np.inf]), ValueError, "s: got inf"),
        (lambda b: b.matrix([0.5j]), TypeError, "s: got an array of dtype complex128"),
        (lambda b: b.matrix([0.5], 2), ValueError, "derivative: got 2, wanted 0 or 1"),
        (lambda b: b.matrix([0.5], True), TypeError, "derivative: got True"),
        (lambda b: b.matrix([0.5], "1"), TypeError, "derivative: got '1'"),
        (lambda b: b.stage_table([0.0], [1.0, 1.0], [0.0]), ValueError, "s_end: got an array of"),
        (lambda b: b.stage_table([], [], [0.0]), ValueError, "s_start: got an empty array"),
        (lambda b: b.stage_table([0.0], [1.0], []), ValueError, "c: got an empty array"),
        (lambda b: b.stage_table([0.0], [1.0], [np.nan]), ValueError, "c: got nan"),
        (lambda b: b.stage_table(["a"], [1.0], [0.0]), TypeError, "s_start: got an array of dtype"),
    ],
)
def test_bad_arguments_are_refused_by_name(basis, call, error, message):
    with refused(error, message):
        call(basis)


@pytest.mark.parametrize(
    ("kind", "least"), [(PiecewiseConstant, 1), (PiecewiseLinear, 2), (Legendre, 1), (BSpline, 4)]
)
def test_a_bad_number_of_coefficients_is_refused(kind, least):
    assert kind(least).n_coefficients == least
    assert kind(np.int64(least)) == kind(least)
    for J in (least - 1, 0, -3):
        with refused(ValueError, f"J: got {J}, wanted an int >= "):
            kind(J)
    for J in (4.0, 4.5, True, "4", None, [4]):
        with refused(TypeError, "J: got "):
            kind(J)


# --- the objects ----------------------------------------------------------------------------


@given(BASES, BASES)
def test_bases_are_equal_where_kind_and_size_are(one, other):
    same = type(one) is type(other) and one.n_coefficients == other.n_coefficients
    assert (one == other) is same
    assert not same or hash(one) == hash(other)
    assert eval(repr(one), vars(bases)) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert one != repr(one)


def test_importing_the_bases_leaves_scipy_alone():
    script = "import refode.bases, sys; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_cell_numbers_are_floors_away_from_borders():
    s = np.random.default_rng(0).random(200)
    found = PiecewiseConstant(13).matrix(s).indices
    assert found.tolist() == [floor(13 * x) for x in s]


@pytest.mark.parametrize(
    "finer", [PiecewiseConstant(3), PiecewiseLinear(4), Legendre(3), BSpline(6)], ids=str
)
def test_a_constant_is_prolonged_to_that_constant(finer):
    """theta_0 = 1 is the function 1 in every basis, and for Legendre the first polynomial alone."""
    coefficients = Constant().prolongation(finer).toarray()[:, 0]
    s = np.linspace(0.0, 1.0, 7)
    np.testing.assert_allclose(finer.matrix(s) @ coefficients, 1.0, rtol=tolerances.BASIS_VALUE)
