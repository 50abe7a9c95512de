"""Bases with many coefficients: nothing that is asked of them makes a dense square matrix."""

from __future__ import annotations

import tracemalloc
import unittest.mock

import numpy as np
import pytest

import refode
from refode import bases

MANY = 20_000
SPARSE = [bases.PiecewiseConstant, bases.PiecewiseLinear, bases.BSpline]


def peak_of(call):
    """Peak memory of a call in MiB, and what it returns."""
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1] / 2**20, result
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", SPARSE)
def test_no_matrix_of_many_coefficients_is_dense(kind):
    """A square of 20,000 numbers a side would take 3 GB."""
    many = kind(MANY)
    peak, stiffness = peak_of(many.stiffness)
    assert peak < 30.0
    assert stiffness.nnz < 8 * MANY
    peak, same = peak_of(lambda: many.prolongation(kind(MANY)))
    assert peak < 30.0
    assert abs(same - many.prolongation(many)).nnz == 0
    coarse = kind(MANY // 2 + 2)
    peak, up = peak_of(lambda: coarse.prolongation(many))
    assert peak < 150.0
    np.testing.assert_allclose(up @ coarse._one(), 1.0, atol=1e-11)


@pytest.mark.parametrize("smoothness", [0.0, 0.1])
def test_a_problem_of_many_coefficients(smoothness):
    basis = bases.PiecewiseLinear(MANY)

    def gradient():
        ode = refode.NeuralODE(refode.fields.Affine(1), n_steps=4, basis=basis)
        problem = refode.Supervised(ode, "regression", tikhonov=0.1, smoothness=smoothness)
        theta = problem.initial()
        terms = problem.costs(theta, np.ones((2, 1)), np.ones(2))
        return terms, problem.value_and_gradient(theta, np.ones((2, 1)), np.ones(2))

    gradient()  # compiled
    peak, (terms, (value, slope)) = peak_of(gradient)
    assert peak < 60.0
    assert terms["total"] == pytest.approx(value, rel=1e-12)
    assert np.isfinite(slope).all()


def test_a_stiffness_that_is_not_asked_for_is_not_made():
    """Legendre's is dense by nature."""
    basis = bases.Legendre(8)
    for weight, made in ((0.0, 0), (0.5, 1)):
        with unittest.mock.patch.object(bases.Legendre, "stiffness", autospec=True) as asked:
            asked.return_value = np.eye(8)
            ode = refode.NeuralODE(refode.fields.Affine(1), basis=basis)
            refode.Supervised(ode, smoothness=weight)
            assert asked.call_count == made


@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_prolongations_are_the_dense_ones(kind, monkeypatch):
    coarse, finer = kind(7), kind(12)
    dense = coarse.prolongation(finer).toarray()
    monkeypatch.setattr(bases, "DENSE", 0)
    np.testing.assert_allclose(coarse.prolongation(finer).toarray(), dense, atol=3e-15)
