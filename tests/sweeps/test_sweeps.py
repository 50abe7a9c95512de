"""Solutions, tangents and discrete adjoints of every scheme and basis, against the oracle.

The adjoint meets the complex step through the oracle block by block: for each name of theta,
for x, and for the ends (t0, T) of the interval, which runs within t_span and either way.
"""

from __future__ import annotations

import contract
import numpy as np
import oracle
import pytest
import tolerances as tol
from contract import close, same
from sweep_oracle import FUNCTIONS, Twin, hats

import refode
from refode import bases, fields, tableaus

T_SPAN = (-0.3, 1.7)  # length 2, so that a missing factor of the length shows
SPANS = {"forward": (0.07, 1.4), "backward": (1.4, 0.07)}
BASES = [
    bases.Constant(),
    bases.PiecewiseConstant(3),
    bases.PiecewiseLinear(3),
    bases.Legendre(3),
    bases.BSpline(5),
]
SYMPLECTIC = ("verlet", "stormer_verlet")
SMALL = fields.Shallow(2, 3, time=True)
FIELDS = {
    "small": (SMALL, oracle.shallow(True)),
    "wide": (fields.Shallow(5, 2), oracle.shallow()),
    "affine": (fields.Affine(2, time=True), oracle.affine(True)),
    "hamiltonian": (fields.Hamiltonian(4, time=True), oracle.hamiltonian(time=True)),
    "leapfrog": (
        fields.Leapfrog(4, 3, "softplus", time=True),
        oracle.second_order("softplus", True),
    ),
}


class SweepCase:
    """A NeuralODE with random theta, x and cotangents, and its twin."""

    def __init__(self, field, scheme, basis, span, n=2):
        f, twin = FIELDS[field]
        self.ode = refode.NeuralODE(f, scheme, n_steps=3, t_span=T_SPAN, basis=basis)
        self.twin, self.span = Twin(self.ode, twin), SPANS[span]
        self.rng = np.random.default_rng(
            tableaus.names().index(scheme) if scheme in tableaus.names() else 99
        )
        self.theta = 0.7 * self.rng.standard_normal(self.ode.n_parameters)
        self.x = self.rng.standard_normal((n, f.dim))

    def draw(self, *shape):
        return self.rng.standard_normal(shape)

    def check_adjoint(self, fun, theta_bar, x_bar, times_bar, whole=False):
        """Each block of the cotangents against fun(theta, x, t0, T) of the twin."""
        t0, T = self.span
        for name, place in self.ode.layout.slices.items():
            got = theta_bar[place]
            v = np.zeros_like(self.theta)
            v[place] = self.draw(got.size)
            want = oracle.complex_directional(lambda th: fun(th, self.x, t0, T), self.theta, v)
            scale = np.linalg.norm(got) * np.linalg.norm(v)
            assert abs(got @ v[place] - want) <= tol.SWEEP_COMPLEX_STEP * scale, name
            assert scale > 0, name
        if whole:
            want = oracle.complex_gradient(lambda th: fun(th, self.x, t0, T), self.theta)
            for place in self.ode.layout.slices.values():
                close(theta_bar[place], want[place], tol.SWEEP_COMPLEX_STEP)
        want = oracle.complex_gradient(lambda x: fun(self.theta, x, t0, T), self.x)
        close(x_bar, want, tol.SWEEP_COMPLEX_STEP)
        ends = np.array(self.span)
        want = oracle.complex_gradient(lambda e: fun(self.theta, self.x, e[0], e[1]), ends)
        close(times_bar, want, tol.SWEEP_COMPLEX_STEP)


def group(field):
    return type(FIELDS[field][0].description()).__name__


def pairs():
    """(field, scheme, basis): everything for one field, each scheme and basis for the others."""
    names = tableaus.names()
    every = [("small", s, b) for s in names for b in BASES]
    every += [(f, s, b) for f in ("hamiltonian", "leapfrog") for s in SYMPLECTIC for b in BASES]
    for shift, field in enumerate(("wide", "affine", "hamiltonian")):
        every += [(field, s, BASES[(i + shift) % 5]) for i, s in enumerate(names)]
    return every


def spread(combinations):
    ids = [f"{group(f)}-{f}-{s}-{type(b).__name__}" for f, s, b in combinations]
    return pytest.mark.parametrize(("field", "scheme", "basis"), combinations, ids=ids)


everything = spread(pairs())
each_scheme = spread(
    [
        (f, s, BASES[i % 5])
        for f in ("small", "wide", "affine")
        for i, s in enumerate(tableaus.names())
    ]
)
both_ways = pytest.mark.parametrize("span", SPANS)


@both_ways
@everything
def test_states(field, scheme, basis, span):
    case = SweepCase(field, scheme, basis, span)
    want = case.twin.states(case.theta, case.x, *case.span)
    got = case.ode.trajectory(case.theta, case.x, t_span=case.span)
    assert np.isrealobj(want) or np.all(want.imag == 0)
    close(got, want.real, tol.SWEEP_STATE)
    same(got[0], case.x)
    same(got[-1], case.ode.solve(case.theta, case.x, t_span=case.span))


@both_ways
@everything
def test_tangent_and_adjoint(field, scheme, basis, span):
    """Cotangents of all states at once: the adjoint jumps at every grid point."""
    case = SweepCase(field, scheme, basis, span)
    theta_dot, x_dot = case.draw(case.theta.size), case.draw(*case.x.shape)
    both = np.concatenate([case.theta, case.x.ravel()])

    def end(v):
        theta, x = np.split(v, [case.theta.size])
        return case.twin.states(theta, x.reshape(case.x.shape), *case.span)[-1]

    want = oracle.complex_directional(end, both, np.concatenate([theta_dot, x_dot.ravel()]))
    got = case.ode.tangent(case.theta, case.x, theta_dot, x_dot, t_span=case.span)
    close(got, want, tol.SWEEP_COMPLEX_STEP)

    z_bar = case.draw(case.ode.n_steps + 1, *case.x.shape)
    bars = case.ode.adjoint(case.theta, case.x, z_bar, t_span=case.span, times=True)
    whole = field == "small" and basis == BASES[tableaus.names().index(scheme) % 5]
    case.check_adjoint(lambda *args: np.sum(z_bar * case.twin.states(*args)), *bars, whole=whole)


@everything
def test_cotangent_of_the_end_alone(field, scheme, basis):
    """A (N, d) cotangent is that of the last state, and times=False says the same of the rest."""
    case = SweepCase(field, scheme, basis, "forward")
    z_bar = np.zeros((case.ode.n_steps + 1, *case.x.shape))
    z_bar[-1] = case.draw(*case.x.shape)
    long = case.ode.adjoint(case.theta, case.x, z_bar, t_span=case.span)
    short = case.ode.adjoint(case.theta, case.x, z_bar[-1].copy(), t_span=case.span, times=True)
    same(long[0], short[0])
    same(long[1], short[1])


@both_ways
@everything
def test_dot_test(field, scheme, basis, span):
    case = SweepCase(field, scheme, basis, span, n=9)
    ode, theta, x = case.ode, case.theta, case.x
    report = refode.verify.dot_test(
        lambda theta_dot, x_dot: ode.tangent(theta, x, theta_dot, x_dot, t_span=case.span),
        lambda z_bar: ode.adjoint(theta, x, z_bar, t_span=case.span),
        [theta.shape, x.shape],
        x.shape,
    )
    assert report, report


@pytest.mark.nojit
@both_ways
@each_scheme
def test_log_det(field, scheme, basis, span):
    case = SweepCase(field, scheme, basis, span)
    want_z, want_l = case.twin.log_det(case.theta, case.x, *case.span)
    z, l = case.ode.log_det(case.theta, case.x, t_span=case.span)  # noqa: E741
    close(z, want_z.real, tol.SWEEP_STATE)
    close(l, want_l.real, tol.SWEEP_STATE)

    z_bar, l_bar = case.draw(*case.x.shape), case.draw(len(case.x))

    def fun(*args):
        z, l = case.twin.log_det(*args)  # noqa: E741
        return np.sum(z_bar * z) + np.sum(l_bar * l)

    bars = case.ode.log_det_adjoint(case.theta, case.x, z_bar, l_bar, t_span=case.span, times=True)
    case.check_adjoint(fun, *bars, whole=field == "small")
    short = case.ode.log_det_adjoint(case.theta, case.x, z_bar, l_bar, t_span=case.span)
    same(short[0], bars[0])
    same(short[1], bars[1])


@pytest.mark.nojit
@spread(
    [("hamiltonian", "rk4", BASES[3])]
    + [(f, s, BASES[3]) for f in ("hamiltonian", "leapfrog") for s in SYMPLECTIC]
)
def test_log_det_of_a_field_without_divergence(field, scheme, basis):
    """Zero; with a symplectic scheme that is the step's own determinant too."""
    case = SweepCase(field, scheme, basis, "forward")
    z, l = case.ode.log_det(case.theta, case.x, t_span=case.span)  # noqa: E741
    close(z, case.ode.solve(case.theta, case.x, t_span=case.span), tol.SWEEP_STATE)
    assert l.shape == (2,)
    assert not l.any()
    z_bar, l_bar = case.draw(*z.shape), case.draw(2)
    got = case.ode.log_det_adjoint(case.theta, case.x, z_bar, l_bar, t_span=case.span, times=True)
    want = case.ode.adjoint(case.theta, case.x, z_bar, t_span=case.span, times=True)
    for a, b in zip(got, want, strict=True):
        close(a, b, tol.SWEEP_STATE)
    if scheme in SYMPLECTIC:
        still = np.zeros_like(case.theta)
        columns = [
            case.ode.tangent(case.theta, case.x, still, np.tile(e, (2, 1)), t_span=case.span)
            for e in np.eye(4)
        ]
        for J in np.stack(columns, axis=2):
            assert abs(np.linalg.det(J) - 1.0) <= tol.SWEEP_COMPLEX_STEP


@pytest.mark.nojit
@spread([("small", "rk4", bases.PiecewiseLinear(3))])
def test_times_at_a_node(field, scheme, basis, monkeypatch):
    """A stage on a node of the basis: the mean of both sides' derivatives."""
    case = SweepCase(field, scheme, basis, "forward")
    ode = refode.NeuralODE(SMALL, scheme, n_steps=4, t_span=T_SPAN, basis=basis)
    twin, z_bar = Twin(ode, FIELDS[field][1]), case.draw(*case.x.shape)
    sides = []
    for side in (-1e-9, 1e-9):
        monkeypatch.setitem(FUNCTIONS, bases.PiecewiseLinear, lambda s, J, d=side: hats(s, J, d))
        sides.append(
            oracle.complex_gradient(
                lambda e: np.sum(z_bar * twin.states(case.theta, case.x, e[0], e[1])[-1]),
                np.array(T_SPAN),
            )
        )
    _, _, times_bar = ode.adjoint(case.theta, case.x, z_bar, times=True)
    close(times_bar, (sides[0] + sides[1]) / 2, tol.SWEEP_COMPLEX_STEP)
    assert np.abs(sides[0] - sides[1]).min() > tol.SWEEP_SIDES_DIFFER


def test_contract_names():
    """The groups of this file are the contract's, so that conftest.py joins them."""
    known = {c.group for c in contract.CASES}
    assert {group(f) for f in FIELDS} <= known


def test_cotangents_at_all_times_belong_to_their_samples():
    """Of several blocks, as of every sample by itself: nobody reads another block's row."""
    ode = refode.NeuralODE(SMALL, "rk4", 3, basis=bases.PiecewiseLinear(2))
    rng = np.random.default_rng(0)
    theta, x = rng.standard_normal(ode.n_parameters), rng.standard_normal((300, ode.dim))
    z_bar = rng.standard_normal((4, 300, ode.dim))
    theta_bar, x_bar = ode.adjoint(theta, x, z_bar)
    parts = [
        ode.adjoint(theta, x[i : i + 50], z_bar[:, i : i + 50].copy()) for i in range(0, 300, 50)
    ]
    close(x_bar, np.concatenate([part[1] for part in parts]), tol.SWEEP_STATE)
    close(theta_bar, np.sum([part[0] for part in parts], axis=0), tol.SWEEP_STATE)
