"""Is a network a differential equation: closed forms, orders, bounds, and what is printed."""

from __future__ import annotations

import numpy as np
import pytest
from closed_form_checks import close
from tolerances import DEPTH_ORDER, DEPTH_REFERENCE

import refode
from refode import bases, fields, verify

X = np.random.default_rng(2).standard_normal((6, 2))


def layers(field, n, scheme="euler", t_span=(0.0, 1.0)):
    return refode.NeuralODE(field, scheme, n, t_span, bases.PiecewiseConstant(n))


def smooth(n, scheme="euler", t_span=(0.0, 1.0)):
    """Weights of a shallow field that are a smooth function of time, read at each layer's start."""
    ode = layers(fields.Shallow(2, 4), n, scheme, t_span)
    rng = np.random.default_rng(8)
    names = ode.unpack(ode.initial())
    s = np.arange(n) / n
    made = {}
    for name, array in names.items():
        a, b = rng.standard_normal((2, *array.shape[1:]))
        made[name] = np.stack([a * np.cos(2.0 * si) + b * np.sin(3.0 * si) for si in s])
    return ode, ode.pack(made)


def scalar(n, a=1.0):
    ode = layers(fields.Affine(1), n)
    return ode, ode.pack({"A": np.full((n, 1, 1), a), "c": np.zeros((n, 1))})


@pytest.mark.parametrize(
    ("n", "gap"),
    [(4, 0.276875578459045235), (8, 0.152497314508697335), (16, 0.0803533310924453766)],
)
def test_the_gap_of_a_scalar_is_known(n, gap):
    """(1 + 1/n)^n - e; and of 2 n layers the next one."""
    report = refode.reports.depth(*scalar(n), np.ones((1, 1)))
    wanted = [np.e - (1.0 + 1.0 / m) ** m for m in (n, 2 * n, 4 * n, 8 * n)]
    assert wanted[0] == pytest.approx(gap, rel=1e-14)
    close(report.gaps, np.array(wanted), DEPTH_REFERENCE, 1.0)
    assert report.d1 == 0.0
    assert report.lipschitz == pytest.approx(1.0, rel=1e-12)
    # h/2 max|z''| (e^L - 1)/L: here z'' = e^t, so nearly twice the leading e/(2n)
    close(report.curvature, np.e, 0.2 / n)
    assert report.bound == pytest.approx(report.curvature * (np.e - 1.0) / (2.0 * n), rel=1e-9)
    assert report.reconstruction == pytest.approx(1.0 - (1.0 - 1.0 / n**2) ** n, rel=1e-9)
    assert len(report.changes) == 5
    pruned = report.changes[-1]
    assert pruned.n_layers == n // 4
    right = (1.0 + 4.0 / n) ** (n // 4) / (1.0 + 1.0 / n) ** n - 1.0
    assert pruned.features == pytest.approx(abs(right), rel=1e-9)


def test_the_bound_by_numbers():
    """h/2 max|z''| (e^(LT) - 1)/L with L = 2, T = 1.5, z'' = 4 e^(2 t)."""
    ode = layers(fields.Affine(1), 50, t_span=(0.0, 1.5))
    theta = ode.pack({"A": np.full((50, 1, 1), 2.0), "c": np.zeros((50, 1))})
    report = refode.reports.depth(ode, theta, np.ones((1, 1)))
    close(report.bound, 0.015 * 4.0 * np.e**3 * (np.e**3 - 1.0) / 2.0, 0.01)
    still = ode.pack({"A": np.zeros((50, 1, 1)), "c": np.linspace(0.0, 1.0, 50)[:, None]})
    report = refode.reports.depth(ode, still, np.ones((1, 1)))
    close(report.bound, 0.015 * 1.5 * (50.0 / 49.0 / 1.5), 1e-6)  # z'' = c' and L = 0


@pytest.mark.parametrize("t_span", [(0.0, 1.0), (0.5, -0.7)])
def test_smooth_weights_are_an_equation(t_span):
    gaps, starts, gradients, reports = [], [], [], []
    steps = (64, 128, 256)
    for n in steps:
        report = refode.reports.depth(*smooth(n, t_span=t_span), X)
        assert report.gaps[0] <= report.bound
        reports.append(report)
        gaps.append(report.gaps[0])
        starts.append(report.reconstruction)
        gradients.append(report.gradient_error)
    for errors in (gaps, starts, gradients):
        slopes = verify.observed_order(errors, 1.0 / np.array(steps)).slopes
        assert abs(slopes[-1] - 1.0) < DEPTH_ORDER
    assert abs(reports[-1].order.slopes[-1] - 1.0) < DEPTH_ORDER
    assert reports[-1].d1 == pytest.approx(reports[0].d1, rel=0.1)  # bounded
    assert reports[-1].d1 == max(part.max() for part in reports[-1].roughness.values())


def test_heun_comes_back_at_order_three():
    found = [refode.reports.depth(*smooth(n, "heun"), X) for n in (32, 64, 128)]
    for errors in ([r.reconstruction for r in found], [r.gradient_error for r in found]):
        slopes = verify.observed_order(errors, [1 / 32, 1 / 64, 1 / 128]).slopes
        assert abs(slopes[-1] - 3.0) < DEPTH_ORDER
    assert np.isnan(found[0].bound)


def test_weights_without_order_are_no_equation():
    """D1 grows with the layers, and what the equation predicts has nothing to do with the net."""
    found = []
    for n in (8, 32):
        ode = layers(fields.Shallow(2, 4), n)
        theta = n**0.5 * np.random.default_rng(0).standard_normal(ode.n_parameters)
        found.append(refode.reports.depth(ode, theta, X))
    assert found[1].d1 > 5.0 * found[0].d1
    assert found[1].verdict.startswith("no ODE at this depth")
    assert refode.reports.depth(*smooth(64), X).verdict.startswith("an ODE to ")


def test_the_first_gap_is_the_networks_own():
    """And the roughness is max |theta_{n+1} - theta_n| n, by name."""
    ode, theta = smooth(16)
    report = refode.reports.depth(ode, theta, X)
    nodes = {k: np.concatenate([v, v[-1:]]) for k, v in ode.unpack(theta).items()}
    fine = refode.NeuralODE(ode.field, "fehlberg8", 64, (0.0, 1.0), bases.PiecewiseLinear(17))
    exact = fine.solve(fine.pack(nodes), X)
    own = np.linalg.norm(ode.solve(theta, X) - exact, axis=1).max()
    assert report.gaps[0] == pytest.approx(own, rel=1e-6)
    for name, values in ode.unpack(theta).items():
        jumps = 16 * np.abs(np.diff(values, axis=0)).reshape(15, -1).max(axis=1)
        close(report.roughness[name], jumps, 1e-12)


def test_features_and_labels_of_a_problem():
    ode = layers(fields.Shallow(3, 4), 8)
    problem = refode.Supervised(ode, "logistic", augment=1)
    theta = problem.initial(seed=1)
    theta[: ode.n_parameters] += np.random.default_rng(5).standard_normal(ode.n_parameters)
    x = 3.0 + 2.0 * X
    scaled = problem.standardized(x)
    report = refode.reports.depth(scaled, theta, x)
    assert report.size == pytest.approx(
        np.linalg.norm(scaled.features(theta, x), axis=1).max(), rel=1e-12
    )
    half = refode.Supervised(layers(fields.Shallow(3, 4), 4), "logistic", augment=1)
    kept = {k: v[::2] if k in ode.layout.shapes else v for k, v in problem.unpack(theta).items()}
    changed = half.standardized(x).predict_label(half.pack(kept), x)
    own = scaled.features(theta, x)
    moved = np.linalg.norm(half.standardized(x).features(half.pack(kept), x) - own)
    pruned = next(c for c in report.changes if c.name == "pruned /2")
    assert pruned.features == pytest.approx(moved / np.linalg.norm(own), rel=1e-10)
    assert pruned.predictions == np.mean(changed != scaled.predict_label(theta, x))
    values = refode.Supervised(ode, "regression", augment=1)
    found = refode.reports.depth(values, theta, x).changes[-1]
    assert 0.0 < found.predictions != found.features


def test_the_table_shows_every_number():
    report = refode.reports.depth(*smooth(16), X)
    text = str(report)
    for number in (f"{report.gaps[0]:.3e}", f"{report.d1:.3g}", f"{report.bound:.3g}"):
        assert number in text
    for change in report.changes:
        assert change.name in text
    assert text.endswith(report.verdict)


def test_gradient_flow_of_a_product_keeps_layers_equal():
    """prod(1 + w_n/N) -> 3 from w = 0 ends at N (3^(1/N) - 1) in every layer: D1 stays 0."""
    n, c = 8, 3.0
    ode, theta = scalar(n, 0.0)
    x = np.ones((1, 1))
    for _ in range(400):
        z = ode.solve(theta, x)
        w = ode.unpack(ode.adjoint(theta, x, z - c)[0])["A"]
        theta = theta - 0.3 * ode.pack({"A": w, "c": np.zeros((n, 1))})
    close(ode.unpack(theta)["A"].ravel(), np.full(n, 1.17762152351901672), 1e-9)
    assert refode.reports.depth(ode, theta, x).d1 < 1e-12


def test_bad_input_is_named():
    depth = refode.reports.depth
    ode, theta = smooth(4)
    with pytest.raises(TypeError, match="^problem: got "):
        depth(ode.field, theta, X)
    with pytest.raises(ValueError, match="^theta: got an array of shape"):
        depth(ode, theta[1:], X)
    with pytest.raises(ValueError, match="^x: got an array of shape"):
        depth(ode, theta, X[:, :1])
    for other in (
        refode.NeuralODE(ode.field, "euler", 4),
        refode.NeuralODE(ode.field, "euler", 8, basis=bases.PiecewiseConstant(4)),
        refode.NeuralODE(
            ode.field, "euler", grid=[0.0, 0.1, 0.3, 0.5, 1.0], basis=bases.PiecewiseConstant(4)
        ),
    ):
        with pytest.raises(ValueError, match=r"^problem: got an ode with .* wanted equal steps"):
            depth(other, other.initial(), X)
    verlet = layers(fields.Hamiltonian(2), 4, "verlet")
    with pytest.raises(ValueError, match="^problem: got scheme='verlet'"):
        depth(verlet, verlet.initial(), X)
