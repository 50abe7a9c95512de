"""What holds for sweeps whatever the formulas: invariants, exact cases, orders, equal bits."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import scipy.linalg
import tolerances as tol
from contract import close, same
from hypothesis import given, settings
from hypothesis import strategies as st

import refode
from refode import bases, evaluate, fields, tableaus, verify
from refode.sweeps import sweep

SMALL = fields.Shallow(2, 3, time=True)
WIDE = fields.Shallow(5, 2, time=True)
HAMILTONIAN = fields.Hamiltonian(4, time=True)
LEAPFROG = fields.Leapfrog(4, 3, "softplus", time=True)
SYMPLECTIC = ("verlet", "stormer_verlet")
BASES = [
    bases.Constant(),
    bases.PiecewiseConstant(3),
    bases.PiecewiseLinear(3),
    bases.Legendre(3),
    bases.BSpline(5),
]


def label(value):
    """Names of parameters; a field's begins with its kernel description."""
    if isinstance(value, fields.Field):
        return type(value.description()).__name__
    return str(value) if isinstance(value, str | int | bases.Basis) else None


def draw(ode, n, seed=0):
    """theta, x, and a generator for what else is needed."""
    rng = np.random.default_rng(seed)
    return 0.7 * rng.standard_normal(ode.n_parameters), rng.standard_normal((n, ode.dim)), rng


# --- invariants -----------------------------------------------------------------------------


@pytest.mark.parametrize("basis", BASES, ids=label)
@pytest.mark.parametrize("scheme", [*tableaus.names("explicit"), *SYMPLECTIC])
@pytest.mark.parametrize("field", [SMALL, HAMILTONIAN], ids=label)
def test_cotangent_times_tangent_is_constant_along_steps(field, scheme, basis):
    """lambda^T delta-y at every grid point, for tangents of the initial state."""
    if scheme in SYMPLECTIC and not field.partitioned:
        with pytest.raises(ValueError, match="scheme"):
            refode.NeuralODE(field, scheme)
        return
    n_steps, t0, T = 4, -0.3, 1.7
    whole = refode.NeuralODE(field, scheme, n_steps, (t0, T), basis)
    theta, x, rng = draw(whole, 3)
    states = whole.trajectory(theta, x)
    x_dot, z_bar = rng.standard_normal(x.shape), rng.standard_normal(x.shape)
    still, times = np.zeros_like(theta), np.linspace(t0, T, n_steps + 1)
    products = []
    for n in range(n_steps + 1):
        y_dot, y_bar = x_dot, z_bar
        if n > 0:
            before = refode.NeuralODE(field, scheme, n, (t0, T), basis)
            y_dot = before.tangent(theta, x, still, x_dot, t_span=(t0, times[n]))
        if n < n_steps:
            after = refode.NeuralODE(field, scheme, n_steps - n, (t0, T), basis)
            y_bar = after.adjoint(theta, states[n], z_bar, t_span=(times[n], T))[1]
        products.append(np.sum(y_bar * y_dot))
    scale = max(np.linalg.norm(x_dot) * np.linalg.norm(z_bar), 1.0)
    assert np.ptp(products) <= tol.SWEEP_STATE * scale
    assert abs(products[0]) > tol.SWEEP_INVARIANT_CLEAR * scale


@pytest.mark.parametrize("scheme", tableaus.names("explicit"))
@pytest.mark.parametrize("field", [SMALL], ids=label)
def test_there_and_back(field, scheme):
    """Back at x up to the order p, or p + 1 where p is even: the leading terms cancel then."""
    order, errors = tableaus.get(scheme).order, []
    n = {1: 512, 2: 128, 3: 64, 4: 64, 5: 64, 6: 16, 8: 8}[order]
    for n_steps in (n, 2 * n):
        ode = refode.NeuralODE(field, scheme, n_steps, (-0.3, 1.7), bases.Legendre(3))
        theta, x, _ = draw(ode, 3)
        z = ode.solve(theta, x, t_span=(-0.1, 1.2))
        errors.append(np.linalg.norm(ode.solve(theta, z, t_span=(1.2, -0.1)) - x))
    slope = math.log2(errors[0] / errors[1])
    wanted = order + (order % 2 == 0)
    assert abs(slope - wanted) <= tol.SWEEP_RETURN_ORDER, (errors, slope)


@pytest.mark.parametrize("field", [HAMILTONIAN, LEAPFROG], ids=label)
def test_a_symmetric_scheme_returns_to_rounding(field):
    ode = refode.NeuralODE(field, "stormer_verlet", 5, (-0.3, 1.7), bases.Legendre(3))
    theta, x, _ = draw(ode, 4)
    z = ode.solve(theta, x)
    close(ode.solve(theta, z, t_span=(1.7, -0.3)), x, tol.SWEEP_STATE)
    assert np.abs(z - x).max() > tol.SWEEP_INVARIANT_CLEAR


# --- exact cases ----------------------------------------------------------------------------


@pytest.mark.parametrize("field", [fields.Shallow(2, 4), fields.Shallow(6, 4)], ids=label)
def test_resnet_is_euler_with_unit_steps(field):
    """Eq. (3), bit for bit, layer by layer."""
    J = 5
    ode = refode.NeuralODE(field, "euler", J, (0.0, J), bases.PiecewiseConstant(J))
    theta, x, _ = draw(ode, 11)
    layers = [np.concatenate([w[j].ravel() for w in ode.unpack(theta).values()]) for j in range(J)]
    z, states = x, ode.trajectory(theta, x)
    for j, weights in enumerate(layers):
        z = z + evaluate.value(field, weights, z)
        same(states[j + 1], z)
    same(ode.solve(theta, x), z)


def affine_solution(w, x, T):
    d = len(w["c"])
    block = np.zeros((d + 1, d + 1))
    block[:d, :d], block[:d, d] = w["A"] * T, w["c"] * T
    return (scipy.linalg.expm(block) @ np.vstack([x.T, np.ones(len(x))]))[:d].T


@pytest.mark.parametrize("scheme", ["euler", "ralston", "bogacki_shampine", "rk4_38"])
@pytest.mark.parametrize("field", [fields.Affine(3)], ids=label)
def test_affine_converges_to_the_matrix_exponential(field, scheme):
    order, errors, steps = tableaus.get(scheme).order, [], []
    for n in (2**k * (64 if order == 1 else 16) for k in range(4)):
        ode = refode.NeuralODE(field, scheme, n, (0.0, 1.3))
        theta, x, _ = draw(ode, 3)
        w = {k: v[0] for k, v in ode.unpack(theta).items()}
        errors.append(np.linalg.norm(ode.solve(theta, x) - affine_solution(w, x, 1.3)))
        steps.append(1.3 / n)
    report = verify.observed_order(errors, steps, expected=order, tolerance=tol.OBSERVED_ORDER)
    assert report, report


@pytest.mark.parametrize("field", [fields.Affine(3)], ids=label)
def test_determinant_of_rk4_on_an_affine_field(field):
    """det R(hA)^n, R(x) = sum x^j/j!; the quadrature of the trace is exact, and O(h^4) off it."""
    gaps, steps = [], []
    for n in (8, 16, 32, 64):
        ode = refode.NeuralODE(field, "rk4", n, (0.0, 1.3))
        theta, x, _ = draw(ode, 1, seed=5)
        A, still = ode.unpack(theta)["A"][0], np.zeros_like(theta)
        J = np.stack([ode.tangent(theta, x, still, e[None])[0] for e in np.eye(3)], axis=1)
        h = 1.3 / n
        R = sum(np.linalg.matrix_power(h * A, j) / math.factorial(j) for j in range(5))
        close(J, np.linalg.matrix_power(R, n), tol.SWEEP_STATE)
        close(np.linalg.det(J), np.linalg.det(R) ** n, tol.SWEEP_COMPLEX_STEP)
        _, l = ode.log_det(theta, x)  # noqa: E741
        close(l, np.full(1, 1.3 * np.trace(A)), tol.SWEEP_STATE)
        gaps.append(abs(np.log(np.linalg.det(J)) - l[0]))
        steps.append(h)
    report = verify.observed_order(gaps, steps, expected=4, tolerance=tol.OBSERVED_ORDER)
    assert report, report


# --- orders ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["heun", "kutta3", "rk4"])
@pytest.mark.parametrize("field", [SMALL], ids=label)
def test_order_of_state_log_det_and_gradient(field, scheme):
    """Against the eighth-order method on a fine grid; validation/ does all schemes."""

    def results(scheme, n):
        ode = refode.NeuralODE(field, scheme, n, (0.0, 1.0), bases.Legendre(3))
        theta, x, rng = draw(ode, 4)
        z_bar, l_bar = rng.standard_normal(x.shape), rng.standard_normal(len(x))
        z, l = ode.log_det(theta, x)  # noqa: E741
        theta_bar, x_bar = ode.log_det_adjoint(theta, x, z_bar, l_bar)
        plain = ode.adjoint(theta, x, z_bar)[0]
        return {"z": z, "l": l, "theta_bar": theta_bar, "x_bar": x_bar, "plain": plain}

    truth = results("fehlberg8", 64)
    order = tableaus.get(scheme).order
    n_steps = [32, 64, 128, 256]
    tables = [results(scheme, n) for n in n_steps]
    for name, exact in truth.items():
        errors = [np.linalg.norm(t[name] - exact) for t in tables]
        report = verify.observed_order(
            errors,
            [1.0 / n for n in n_steps],
            expected=order,
            tolerance=tol.OBSERVED_ORDER,
            scale=float(np.linalg.norm(exact)),
        )
        assert report, (name, report)


# --- memory ---------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("basis", BASES, ids=label)
@pytest.mark.parametrize(
    ("field", "scheme"),
    [(SMALL, "rk4"), (SMALL, "fehlberg8"), (WIDE, "dopri5"), (HAMILTONIAN, "rk4")]
    + [(f, s) for f in (HAMILTONIAN, LEAPFROG) for s in SYMPLECTIC],
    ids=label,
)
def test_memory_modes_agree(field, scheme, basis):
    """Recomputed steps give the same bits; a path run backwards the same but for rounding."""

    def bars(memory):
        ode = refode.NeuralODE(field, scheme, 4, (-0.3, 1.7), basis, memory=memory)
        theta, x, rng = draw(ode, 11)
        z_bar = rng.standard_normal((5, *x.shape))
        found = [*ode.adjoint(theta, x, z_bar, times=True), *ode.adjoint(theta, x, z_bar[0])]
        if not field.partitioned:
            found += ode.log_det_adjoint(theta, x, z_bar[1], z_bar[0, :, 0].copy(), times=True)
        return found

    stored = bars("store")
    for a, b in zip(bars("steps"), stored, strict=True):
        same(a, b)
    if scheme in SYMPLECTIC:
        for a, b in zip(bars("reverse"), stored, strict=True):
            close(a, b, tol.SWEEP_REVERSE)
    else:
        with pytest.raises(ValueError, match="memory: got 'reverse'"):
            bars("reverse")


# --- samples, blocks, threads ---------------------------------------------------------------


@pytest.fixture
def threads():
    before = refode.get_num_threads()
    yield refode.set_num_threads
    refode.set_num_threads(before)


@pytest.mark.parametrize("n", [1, 7, 8, 129, "one more than a block", 1000, 5001])
@pytest.mark.parametrize("field", [SMALL, WIDE], ids=label)
def test_same_bits_on_any_number_of_threads_and_again(field, n, threads):
    n = n if isinstance(n, int) else field.block() + 1
    ode = refode.NeuralODE(field, "rk4", 3, basis=bases.PiecewiseLinear(2))
    theta, x, rng = draw(ode, n)
    z_bar, l_bar = rng.standard_normal(x.shape), rng.standard_normal(n)

    def everything():
        return [
            ode.trajectory(theta, x),
            *ode.log_det(theta, x),
            *ode.adjoint(theta, x, z_bar, times=True),
            *ode.log_det_adjoint(theta, x, z_bar, l_bar, times=True),
        ]

    threads(1)
    first = everything()
    for count in (1, 2, 3, 16):
        threads(count)
        for a, b in zip(everything(), first, strict=True):
            same(a, b)


@given(n=st.integers(1, 400), seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None, derandomize=True)
@pytest.mark.parametrize("field", [SMALL, WIDE], ids=label)
def test_samples_do_not_see_each_other(field, n, seed):
    """Alone or among others, a sample's path, cotangent and share of the gradient are its own."""
    ode = refode.NeuralODE(field, "midpoint", 2)
    theta, x, rng = draw(ode, n, seed)
    z_bar = rng.standard_normal(x.shape)
    theta_bar, x_bar = ode.adjoint(theta, x, z_bar)
    z, total = ode.solve(theta, x), np.zeros_like(theta)
    order = rng.permutation(n)
    for part in np.array_split(order, min(n, 5)):
        close(ode.solve(theta, x[part]), z[part], tol.SWEEP_STATE)
        share, part_bar = ode.adjoint(theta, x[part], z_bar[part])
        close(part_bar, x_bar[part], tol.SWEEP_STATE)
        total += share
    close(theta_bar, total, tol.SWEEP_STATE)


@pytest.mark.parametrize("n", [1, 129, "one more than a block"])
@pytest.mark.parametrize("field", [SMALL, WIDE], ids=label)
def test_every_sample_of_every_block_against_the_oracle(field, n):
    n = n if isinstance(n, int) else field.block() + 1
    ode = refode.NeuralODE(field, "heun", 2)
    theta, x, _ = draw(ode, n)
    w = {k: v[0] for k, v in ode.unpack(theta).items()}
    times, table = oracle.grid(0.0, 1.0, 2), tableaus.get("heun").as_floats()
    twin = oracle.shallow(True)
    want = [oracle.trajectory(twin.value, lambda t: w, row, times, table)[-1] for row in x]
    close(ode.solve(theta, x), want, tol.SWEEP_STATE)


@pytest.mark.parametrize("field", [SMALL], ids=label)
def test_arguments_are_left_alone(field):
    """Nothing is written to, and read-only arrays meet the same machine code as others."""
    ode = refode.NeuralODE(field, "rk4", 2)
    theta, x, rng = draw(ode, 5)
    z_bar = rng.standard_normal(x.shape)
    results = [ode.solve(theta, x), *ode.adjoint(theta, x, z_bar)]
    entries = (sweep.forward_chunks, sweep.gradient_chunks)
    counts = [len(entry._calls) for entry in entries]
    kept = [a.copy() for a in (theta, x, z_bar)]
    for array in (theta, x, z_bar):
        array.flags.writeable = False
    again = [ode.solve(theta, x), *ode.adjoint(theta, x, z_bar)]
    for a, b in zip(again + [theta, x, z_bar], results + kept, strict=True):
        same(a, b)
    assert [len(entry._calls) for entry in entries] == counts
