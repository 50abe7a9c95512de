"""The potential network: value, gradient, time derivative, Laplacian, and the adjoint of all.

The oracle carries dense Hessians by second-order jets; it shares no formula with the kernels.
"""

from __future__ import annotations

import numpy as np
import oracle_games as og
import pytest
import tolerances as tol
from contract import close
from oracle import complex_gradient

import refode
from refode import evaluate
from refode.costs.contract import Cotangent
from refode.ode import driver
from refode.sweeps.dynamics import LogDet

# name: (dim, width, depth, rank, quadratic, N)
SHAPES = {
    "one-layer": (2, 3, 1, None, "lowrank", 3),
    "plane": (2, 4, 2, None, "lowrank", 4),
    "plane-symmetric": (2, 3, 2, None, "symmetric", 3),
    "line": (1, 3, 3, 1, "lowrank", 2),
    "more-coordinates-than-units": (7, 3, 2, 2, "lowrank", 3),
    "the-same-symmetric": (5, 2, 3, None, "symmetric", 2),
    "deep": (3, 3, 4, 2, "lowrank", 1),
}
TIME = 0.6


def network(name):
    """Field, oracle's shape, weights without zeros, points."""
    d, m, depth, rank, quadratic, n = SHAPES[name]
    field = refode.fields.Potential(d, m, depth, rank, quadratic)
    rng = np.random.default_rng(sorted(SHAPES).index(name))
    weights = 0.6 * rng.standard_normal(field.n_weights)
    return field, og.Shape(d, m, depth, rank, quadratic), weights, rng.standard_normal((n, d))


def over_shapes(function):
    ids = [f"PotentialSpec-{name}" for name in SHAPES]
    return pytest.mark.parametrize("name", SHAPES, ids=ids)(function)


@pytest.mark.nojit
@over_shapes
def test_all_four_against_the_oracle(name):
    field, shape, w, x = network(name)
    got, want = evaluate.potential(field, w, x, TIME), og.potential(w, shape, TIME, x)
    for mine, theirs in zip(got, want, strict=True):
        close(mine, theirs, tol.FIELD_VALUE)


@pytest.mark.nojit
@over_shapes
def test_adjoint_of_all_four_against_the_oracle(name):
    """Complex steps through the oracle, by weights, points and time."""
    field, shape, w, x = network(name)
    rng = np.random.default_rng(7)
    bars = [rng.standard_normal(a.shape) for a in og.potential(w, shape, TIME, x)]

    def scalar(w, x, t):
        return sum(np.sum(b * v) for b, v in zip(bars, og.potential(w, shape, t, x), strict=True))

    got = evaluate.potential_adjoint(field, w, x, *bars, t=TIME)
    close(got[0], complex_gradient(lambda w: scalar(w, x, TIME), w), tol.FIELD_COMPLEX_STEP)
    close(got[1], complex_gradient(lambda x: scalar(w, x, TIME), x), tol.FIELD_COMPLEX_STEP)
    want = complex_gradient(lambda t: scalar(w, x, t[0]), np.array([TIME]))
    close(np.array([got[2]]), want, tol.FIELD_COMPLEX_STEP)


@pytest.mark.parametrize("which", range(4), ids=["value", "gradient", "time", "laplacian"])
@over_shapes
def test_each_of_the_four_alone(name, which):
    """With the other cotangents zero nothing can make up for a term that is missing."""
    field, shape, w, x = network(name)
    rng = np.random.default_rng(8)
    values = og.potential(w, shape, TIME, x)
    bars = [rng.standard_normal(a.shape) * (i == which) for i, a in enumerate(values)]

    def scalar(w):
        return np.sum(bars[which] * og.potential(w, shape, TIME, x)[which])

    got = evaluate.potential_adjoint(field, w, x, *bars, t=TIME)[0]
    close(got, complex_gradient(scalar, w), tol.FIELD_COMPLEX_STEP)


@over_shapes
def test_dot_test(name):
    field, _, w, x = network(name)
    report = refode.verify.dot_test(
        lambda w_dot, x_dot: evaluate.potential_tangent(field, w, x, w_dot, x_dot, TIME),
        lambda *bars: evaluate.potential_adjoint(field, w, x, *bars, t=TIME)[:2],
        [w.shape, x.shape],
        [(len(x),), x.shape, (len(x),), (len(x),)],
    )
    assert report, report


@over_shapes
def test_laplacian_is_the_trace_of_the_complex_step_hessian(name):
    field, _, w, x = network(name)
    trace = np.zeros(len(x))
    for i, e in enumerate(np.eye(field.dim)):
        moved = evaluate.potential_tangent(field, w, x, 0 * w, np.tile(e, (len(x), 1)), TIME)
        trace += moved[1][:, i]
    laplacian = evaluate.potential(field, w, x, TIME)[3]
    assert np.abs(trace - laplacian).max() <= tol.FIELD_VALUE * max(1.0, np.abs(trace).max())


@over_shapes
def test_gradient_and_time_derivative_are_those_of_the_value(name):
    field, _, w, x = network(name)
    still = 0 * w
    _, gradient, by_time, _ = evaluate.potential(field, w, x, TIME)
    for i, e in enumerate(np.eye(field.dim)):
        slope = evaluate.potential_tangent(field, w, x, still, np.tile(e, (len(x), 1)), TIME)[0]
        close(slope, gradient[:, i], tol.FIELD_VALUE)
    close(
        evaluate.potential_tangent(field, w, x, still, 0 * x, TIME, 1.0)[0],
        by_time,
        tol.FIELD_VALUE,
    )


def test_the_rotation_of_the_rows_changes_nothing():
    """(D92): for d > m the Laplacian from D = m columns is the one from all d."""
    field, _, w, x = network("more-coordinates-than-units")
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((field.dim, field.dim)))[0]
    named = {k: v.copy() for k, v in field.layout.unpack(w).items()}
    for key in ("K0", "A"):
        named[key][:, : field.dim] = named[key][:, : field.dim] @ turn.T
    named["b"][: field.dim] = turn @ named["b"][: field.dim]
    turned = evaluate.potential(field, field.layout.pack(named), x @ turn.T, TIME)
    plain = evaluate.potential(field, w, x, TIME)
    for i in (0, 2, 3):
        close(turned[i], plain[i], tol.FIELD_VALUE)
    close(turned[1] @ turn, plain[1], tol.FIELD_VALUE)


@pytest.mark.parametrize("name", ["more-coordinates-than-units", "the-same-symmetric", "plane"])
def test_complex_step_of_the_adjoint(name):
    """Second derivatives: the adjoint at complex weights is the derivative of the adjoint."""
    field, shape, w, x = network(name)
    rng = np.random.default_rng(5)
    v, bars = rng.standard_normal(w.shape), rng.standard_normal((len(x), field.dim + 1))
    ode = refode.NeuralODE(field, "euler", 1)
    step = 1e-200

    def gradient(weights):
        E = field.prepare(weights[None], True)
        result = driver.gradient(
            ode.sweep(ode.plan(), LogDet, E.dtype), E, x, Cotangent(bars[None])
        )
        return field.prepare_adjoint(weights[None], True, result.E_bar)[0]

    got = gradient(w + 1j * step * v).imag / step
    h = 1e-4
    fourth = (
        8 * (gradient(w + h * v) - gradient(w - h * v))
        - (gradient(w + 2 * h * v) - gradient(w - 2 * h * v))
    ) / (12 * h)
    assert np.abs(got - fourth).max() <= tol.GAME_HESSIAN * np.abs(fourth).max()


def test_dependent_rows_have_no_second_derivatives_here():
    field, _, w, x = network("the-same-symmetric")
    w = w.copy()
    field.layout.unpack(w)["K0"][1] = field.layout.unpack(w)["K0"][0]
    E = field.prepare(w[None].astype(complex), True)
    with pytest.raises(ValueError, match="^theta: got a K0 with linearly dependent rows"):
        field.prepare_adjoint(w[None].astype(complex), True, np.zeros_like(E))


def test_initial_weights():
    """As in [ROL+20], and nothing whose gradient would vanish for ever."""
    for quadratic in ("lowrank", "symmetric"):
        field = refode.fields.Potential(30, 40, 3, quadratic=quadratic)
        drawn = field.initial(np.random.default_rng(0))
        assert {n: w.shape for n, w in drawn.items()} == dict(field.layout.shapes)
        for name in ("K0", "K1", "K2"):
            assert 0.009 < drawn[name].std() < 0.011
        for name in ("b0", "b1", "b2"):
            assert 0.05 < drawn[name].std() < 0.15
        assert np.all(drawn["w"] == 1.0)
        assert not drawn["b"].any()
        assert drawn["c"] == 0.0
        assert drawn["A"].any() == (quadratic == "lowrank")
        w = field.layout.pack(drawn)
        x = np.random.default_rng(1).standard_normal((4, 30))
        bars = np.ones(4), np.ones((4, 30)), np.ones(4), np.ones(4)
        w_bar = evaluate.potential_adjoint(field, w, x, *bars, t=TIME)[0]
        for name, part in field.layout.unpack(w_bar).items():
            assert part.any(), name


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"dim": 0}, "dim"),
        ({"dim": 2.0}, "dim"),
        ({"width": -1}, "width"),
        ({"depth": 0}, "depth"),
        ({"depth": 1.5}, "depth"),
        ({"rank": 0}, "rank"),
        ({"quadratic": "full"}, "quadratic"),
        ({"rank": 2, "quadratic": "symmetric"}, "rank"),
    ],
)
def test_bad_sizes(given, named):
    with pytest.raises((TypeError, ValueError), match=f"^{named}: got"):
        refode.fields.Potential(**{"dim": 2, "width": 3, **given})


def test_bad_cotangents_are_named():
    field, _, w, x = network("plane")
    n = len(x)
    good = [np.ones(n), np.ones(x.shape), np.ones(n), np.ones(n)]
    names = ("phi_bar", "gradient_bar", "time_bar", "laplacian_bar")
    for i, name in enumerate(names):
        bad = [g if j != i else np.ones((n, 7)) for j, g in enumerate(good)]
        with pytest.raises(ValueError, match=f"^{name}: got"):
            evaluate.potential_adjoint(field, w, x, *bad)
    with pytest.raises(TypeError, match="^field: got"):
        evaluate.potential(refode.fields.Shallow(2, 3), w, x)
