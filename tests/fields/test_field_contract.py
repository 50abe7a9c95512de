"""What every field owes: value, trace and their adjoint, held against the oracle.

A dot test is blind to an error that tangent and adjoint share, a complex step through the
oracle is not, and neither sees a jacobian that is right by accident at one point: hence all.
"""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import tolerances as tol
from contract import CASES, FACTORIES, close, field_classes, over

import refode
from refode import evaluate
from refode.fields.contract import rhs, rhs_adjoint
from refode.machine.compile import JIT

TRACED = [c for c in CASES if c.trace_is == "varies"]
SQUARE = [c for c in CASES if c.field.square]
PARTITIONED = [c for c in CASES if c.field.partitioned]
FEW = [c for c in CASES if c.n <= 9]  # the oracle takes one sample and one weight at a time


def rows_given(case):
    """Shape of the field's value."""
    return case.n, case.field.outputs


def test_every_field_class_has_cases():
    assert set(field_classes()) == set(FACTORIES)
    for name, cls in field_classes().items():
        cases = [c for c in CASES if type(c.field) is cls]
        assert any(c.field.time for c in cases), f"{name}: no case with t as an input"
        assert any(c.n == 1 for c in cases), f"{name}: no case of a single sample"


def test_every_activation_is_met():
    for cls in field_classes().values():
        fields = [c.field for c in CASES if type(c.field) is cls]
        if hasattr(fields[0], "activation"):
            names = {str(n) for f in fields for n in np.atleast_1d(f.activation)}
            assert names == set(refode.machine.activations.CODES)


@pytest.mark.parametrize("name", sorted(set(FACTORIES) - {"Potential"}))
def test_names_leave_room_for_the_readout(name):
    """Supervised appends W and b to the field's weights.

    The potential's b is in the public contract: test_potential.py has what is said then.
    """
    for case in FACTORIES[name]():
        assert not {"W", "b"} & set(case.field.layout.shapes)


@pytest.mark.nojit
@over(CASES)
def test_value(case):
    w, z = case.weights(), case.states()
    close(evaluate.value(case.field, w, z, case.t), case.value(w, z, case.t), tol.FIELD_VALUE)


@pytest.mark.nojit
@over(CASES)
def test_jacobian(case):
    w, z = case.weights(), case.states()
    J = evaluate.jacobian(case.field, w, z, case.t)
    named = case.named(w)
    close(J, [case.oracle.jacobian(named, row, case.t) for row in z], tol.FIELD_VALUE)


@pytest.mark.nojit
@over(SQUARE)
def test_trace(case):
    w, z = case.weights(), case.states()
    J = evaluate.jacobian(case.field, w, z, case.t)
    traces = evaluate.trace(case.field, w, z, case.t)
    want = case.trace(w, z, case.t)
    scale = max(1.0, np.abs(J).max())  # entries of a trace may cancel
    assert traces.shape == (case.n,)
    assert np.abs(traces - want).max() <= tol.FIELD_VALUE * scale
    assert np.abs(traces - np.trace(J, axis1=1, axis2=2)).max() <= tol.FIELD_VALUE * scale
    assert (np.abs(want).max() == 0) == (case.trace_is == "zero")


@over(CASES)
def test_dot_test_of_the_value(case):
    f, w, z = case.field, case.weights(), case.states()
    report = refode.verify.dot_test(
        lambda w_dot, z_dot: evaluate.tangent(f, w, z, w_dot, z_dot, case.t)[0],
        lambda f_bar: evaluate.adjoint(f, w, z, f_bar, t=case.t)[:2],
        [w.shape, z.shape],
        rows_given(case),
    )
    assert report, report


@over(TRACED)
def test_dot_test_of_value_and_trace(case):
    f, w, z = case.field, case.weights(), case.states()
    report = refode.verify.dot_test(
        lambda w_dot, z_dot: evaluate.tangent(f, w, z, w_dot, z_dot, case.t),
        lambda f_bar, tr_bar: evaluate.adjoint(f, w, z, f_bar, tr_bar, case.t)[:2],
        [w.shape, z.shape],
        [z.shape, (case.n,)],
    )
    assert report, report


def oracle_cotangents(case, w, z, f_bar, tr_bar):
    """Cotangents of (weights, z, t) by complex steps through the oracle."""

    def scalar(w, z, t):
        total = np.sum(f_bar * case.value(w, z, t))
        return total if tr_bar is None else total + np.sum(tr_bar * case.trace(w, z, t))

    return (
        oracle.complex_gradient(lambda w: scalar(w, z, case.t), w),
        oracle.complex_gradient(lambda z: scalar(w, z, case.t), z),
        oracle.complex_gradient(lambda t: scalar(w, z, t[0]), np.array([case.t]))[0],
    )


@pytest.mark.nojit
@pytest.mark.parametrize("traced", [False, True], ids=["value", "trace"])
@over(FEW)
def test_adjoint_against_the_oracle(case, traced):
    w, z = case.weights(), case.states()
    rng = case.rng("cotangents")
    f_bar = rng.standard_normal(rows_given(case))
    tr_bar = rng.standard_normal(case.n) if traced else None
    if traced and not case.field.square:
        with pytest.raises(ValueError, match="field: got .* has no trace, wanted"):
            evaluate.adjoint(case.field, w, z, f_bar, tr_bar, case.t)
        return
    w_bar, z_bar, t_bar = evaluate.adjoint(case.field, w, z, f_bar, tr_bar, case.t)
    want_w, want_z, want_t = oracle_cotangents(case, w, z, f_bar, tr_bar)
    for name, want in case.named(want_w).items():
        got = case.named(w_bar)[name]
        assert got.shape == case.field.layout.shapes[name]
        close(got, want, tol.FIELD_COMPLEX_STEP)
    close(z_bar, want_z, tol.FIELD_COMPLEX_STEP)
    close(t_bar, want_t, tol.FIELD_COMPLEX_STEP)
    assert (want_t != 0.0) == case.field.time


@over([c for c in TRACED if c.n <= 9])
def test_trace_alone(case):
    """With f_bar = 0 a wrong term of the trace's pull-back has nothing to hide behind."""
    w, z = case.weights(), case.states()
    zero, tr_bar = np.zeros(z.shape), case.rng("trace").standard_normal(case.n)
    w_bar, z_bar, t_bar = evaluate.adjoint(case.field, w, z, zero, tr_bar, case.t)
    want_w, want_z, want_t = oracle_cotangents(case, w, z, zero, tr_bar)
    scale = np.abs(want_w).max()  # single blocks may have none at all
    assert scale > 0
    assert np.abs(w_bar - want_w).max() <= tol.FIELD_COMPLEX_STEP * scale
    assert np.abs(z_bar - want_z).max() <= tol.FIELD_COMPLEX_STEP * scale
    assert abs(t_bar - want_t) <= tol.FIELD_COMPLEX_STEP * scale


@over(FEW)
def test_tangent_against_the_oracle(case):
    w, z = case.weights(), case.states()
    rng = case.rng("tangents")
    w_dot, z_dot = rng.standard_normal(w.shape), rng.standard_normal(z.shape)
    f_dot, tr_dot = evaluate.tangent(case.field, w, z, w_dot, z_dot, case.t)
    step = 1j * oracle.STEP
    moved = w + step * w_dot, z + step * z_dot, case.t
    close(f_dot, case.value(*moved).imag / oracle.STEP, tol.FIELD_COMPLEX_STEP)
    if not case.field.square:
        assert tr_dot is None
        return
    close(tr_dot, case.trace(*moved).imag / oracle.STEP, tol.FIELD_COMPLEX_STEP)


@over(FEW)
def test_taylor_remainders(case):
    f, n, shape = case.field, case.field.n_weights, case.states().shape
    rng = case.rng("taylor")
    f_bar, tr_bar = rng.standard_normal(rows_given(case)), rng.standard_normal(case.n)
    tr_bar = tr_bar if f.square else None

    def fun(both):
        w, z = both[:n], both[n:].reshape(shape)
        total = float(np.sum(f_bar * evaluate.value(f, w, z, case.t)))
        if tr_bar is None:
            return total
        return total + float(np.sum(tr_bar * evaluate.trace(f, w, z, case.t)))

    def gradient(both):
        w_bar, z_bar, _ = evaluate.adjoint(
            f, both[:n], both[n:].reshape(shape), f_bar, tr_bar, case.t
        )
        return np.concatenate([w_bar, z_bar.ravel()])

    at = np.concatenate([case.weights(), case.states().ravel()])
    report = refode.verify.taylor_test(fun, gradient, at)
    assert report.passed, report
    assert report.kind1 == "power law"
    assert abs(report.slope1 - 2.0) <= tol.TAYLOR_SLOPE
    assert report.n_points >= 4


@pytest.mark.nojit
@pytest.mark.parametrize("traced", [False, True], ids=["value", "trace"])
@over(FEW)
def test_effective_weights_and_their_adjoint(case, traced):
    f = case.field
    sets = np.stack([case.weights(), case.weights("second")])
    if traced and not f.square:
        with pytest.raises(ValueError, match="has no trace"):
            f.prepare(sets, True)
        return
    E = f.prepare(sets, traced)
    assert E.shape[0] == 2
    assert np.array_equal(f.prepare(sets[1:], traced)[0], E[1])  # each set by itself
    report = refode.verify.dot_test(
        lambda dot: f.prepare(sets + 1e-200j * dot, traced).imag / 1e-200,
        lambda bar: f.prepare_adjoint(sets, traced, bar),
        sets.shape,
        E.shape,
    )
    assert report, report


@pytest.mark.nojit
@over(PARTITIONED)
def test_halves(case):
    """One Verlet step: each half by itself, its adjoint, and the halves' order."""
    ode = refode.NeuralODE(case.field, scheme="verlet", n_steps=1, t_span=(0.4, 0.9))
    theta, x, times = case.weights(), case.states(), np.array([0.4, 0.9])
    substeps = [(1, 1.0, 0.0), (0, 1.0, 1.0)]

    def end(theta, x):
        w = case.named(theta)
        rows = [oracle.splitting(case.oracle, lambda t: w, row, times, substeps) for row in x]
        return np.array([states[-1] for states in rows])

    close(ode.solve(theta, x), end(theta, x), tol.FIELD_VALUE)
    z_bar = case.rng("halves").standard_normal(x.shape)
    theta_bar, x_bar = ode.adjoint(theta, x, z_bar)
    if case.n > 3:
        return
    want = oracle.complex_gradient(lambda w: np.sum(z_bar * end(w, x)), theta)
    for name, block in case.named(want).items():
        close(case.named(theta_bar)[name], block, tol.FIELD_COMPLEX_STEP)
    want = oracle.complex_gradient(lambda z: np.sum(z_bar * end(theta, z)), x)
    close(x_bar, want, tol.FIELD_COMPLEX_STEP)


@pytest.mark.nojit
@over([] if JIT else FEW)  # calls the bodies as plain Python
def test_bodies_add_and_do_not_trust_their_buffers(case):
    """Cotangents are added to what is there; tape, slope and work space may hold anything."""
    f, spec, t, traced = case.field, case.field.description(), case.t, case.field.square
    e = f.prepare(case.weights()[None], traced)[0]
    Z = np.ascontiguousarray(case.states().T)
    rng = case.rng("buffers")
    n_tape, n_scratch = f.rows(traced)
    F_bar = rng.standard_normal(rows_given(case)[::-1])
    tr_bar = rng.standard_normal(case.n) if traced else None

    def run(fill, Z_bar, e_bar):
        tape = np.full((max(n_tape, 1), case.n), fill)
        scratch = np.full((max(n_scratch, 1), case.n), fill)
        F, tr = np.full(F_bar.shape, fill), np.full(case.n, fill) if traced else None
        rhs(spec, e, t, Z, F, tr, tape)
        read = [a for a in (Z, tape, F_bar, tr_bar, e) if a is not None]
        given = [a.copy() for a in read]
        rhs_adjoint(spec, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch)
        for now, before in zip(read, given, strict=True):
            assert np.array_equal(now, before, equal_nan=True), "an input was written to"
        return F, tr, Z_bar, e_bar

    clean = run(0.0, np.zeros(Z.shape), np.zeros(e.shape))
    Z_bar, e_bar = rng.standard_normal(Z.shape), rng.standard_normal(e.shape)
    dirty = run(np.nan, Z_bar.copy(), e_bar.copy())
    for a, b in zip(dirty[:2], clean[:2], strict=True):
        assert np.array_equal(a, b)
    for after, before, added in zip(dirty[2:], (Z_bar, e_bar), clean[2:], strict=True):
        assert np.abs(after - before - added).max() <= tol.FIELD_VALUE * np.abs(added).max()


@over([c for c in CASES if c.n <= 3 and c.group != "PotentialSpec"])  # test_potential.py
def test_initial_weights(case):
    drawn = case.field.initial(np.random.default_rng(0))
    assert {n: w.shape for n, w in drawn.items()} == dict(case.field.layout.shapes)
    for w in drawn.values():
        assert np.all(w == 0.0) if w.ndim == 1 else np.all(w != 0.0)
