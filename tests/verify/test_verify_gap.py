"""Adjoint equations beside the discrete adjoint: the orders of their gaps, and exact numbers."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import GAP_ORDER, GAP_ROUNDING

from refode import tableaus, verify
from refode.closed_forms import ShallowFlow

FLOW = ShallowFlow.drawn(3, [1.4, -2.1])
X, Z_BAR = np.random.default_rng(3).standard_normal((2, 4, 3))


def network(flow):
    """f and vjp of a shallow network in plain NumPy."""

    def f(t, z):
        return np.tanh(z @ flow.W0.T + flow.b0) @ flow.W1.T + flow.b1

    def vjp(t, z, w):
        a = np.tanh(z @ flow.W0.T + flow.b0)
        u_bar = (w @ flow.W1) * (1.0 - a * a)
        parts = (u_bar.T @ z, u_bar.sum(axis=0), w.T @ a, w.sum(axis=0))
        return u_bar @ flow.W0, np.concatenate([part.ravel() for part in parts])

    return f, vjp


def linear(t, z):
    return z


def linear_vjp(t, z, w):
    return w, (w * z).sum()


def gap_of(scheme, n_steps, flow=FLOW, x=X, z_bar=Z_BAR, **named):
    return verify.adjoint_gap(
        *network(flow), tableaus.get(scheme), x, z_bar, n_steps=n_steps, **named
    )


# --- the table of orders ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "backsolve", "hermite", "linear", "exact"),
    [
        ("euler", 1, 1, 1, 1),
        ("midpoint", 2, 2, 2, 2),
        ("heun", 3, 2, 2, 2),  # back and forth, Heun's scheme gains one
        ("rk4", 4, 4, 2, 4),  # lines between stored states destroy it
    ],
)
def test_orders_of_the_gaps(scheme, backsolve, hermite, linear, exact):
    steps = (64, 128, 256)
    report = gap_of(scheme, steps)
    wanted = {"backsolve": backsolve, "hermite": hermite, "linear": linear}
    for kind, order in wanted.items():
        assert abs(report.orders[kind].order - order) < GAP_ORDER, kind
        slopes = verify.observed_order(report.x_gaps[kind], report.steps).slopes
        assert np.abs(slopes - order).max() < GAP_ORDER, kind
    theta_bar, x_bar, _ = FLOW.adjoint(X, Z_BAR, 1.0)
    errors = [[], []]
    for n in steps:
        found = gap_of(scheme, [n], kinds=["linear"])
        errors[0].append(np.linalg.norm(found.theta_bar - theta_bar))
        errors[1].append(np.linalg.norm(found.x_bar - x_bar))
    for of_one in errors:
        assert np.abs(verify.observed_order(of_one, report.steps).slopes - exact).max() < GAP_ORDER


def test_a_cubic_holds_the_fifth_order_down_to_four():
    """With stages at 1/5 and 3/10 of a step, where its two halves are not each other's mirror."""
    report = gap_of("dopri5", (16, 32, 64))
    for gaps in (report.gaps["hermite"], report.x_gaps["hermite"]):
        slopes = verify.observed_order(gaps, report.steps).slopes
        assert np.abs(slopes - 4.0).max() < 2.0 * GAP_ORDER
    assert report.orders["backsolve"].order > 4.8


def test_explicit_time_keeps_the_orders():
    report = verify.adjoint_gap(
        lambda t, z: np.sin(3.0 * t) * np.tanh(z),
        lambda t, z, w: (np.sin(3.0 * t) * w / np.cosh(z) ** 2, np.zeros(2)),
        tableaus.get("rk4"),
        X,
        Z_BAR,
        (0.3, -0.9),
        n_steps=(64, 128, 256),
    )
    for kind, order in {"backsolve": 4, "hermite": 4, "linear": 2}.items():
        slopes = verify.observed_order(report.x_gaps[kind], report.steps).slopes
        assert np.abs(slopes - order).max() < GAP_ORDER, kind
    assert all(gap == 0.0 for gaps in report.gaps.values() for gap in gaps)


# --- numbers that are known ------------------------------------------------------------------


def test_euler_of_a_scalar():
    """z' = a z, phi = z_N, by a: N h (1 + ha)^(N-1) against h sum (1 - h^2 a^2)^k (1 + ha)^N."""
    report = verify.adjoint_gap(
        linear, linear_vjp, tableaus.get("euler"), [[1.0]], [[1.0]], n_steps=[10]
    )
    discrete, backsolve = 2.357947691, 2.4800827199632
    assert report.theta_bar == pytest.approx(discrete, rel=1e-9)
    assert report.gaps["backsolve"][0] == pytest.approx(backsolve / discrete - 1.0, rel=1e-9)
    # stored: the same lambda with the true states, h sum (1 + ha)^k (1 + ha)^(N-k) = e_N
    assert report.gaps["hermite"][0] == pytest.approx(1.1**10 / discrete - 1.0, rel=1e-9)
    assert report.gaps["linear"][0] == pytest.approx(report.gaps["hermite"][0], rel=1e-12)
    # x_bar is (1 + ha)^N for all of them
    assert max(gaps[0] for gaps in report.x_gaps.values()) < GAP_ROUNDING


@pytest.mark.parametrize(
    ("x", "factor", "digits"), [(-0.5, 1.000224, 6), (-1.0, 1.015625, 12), (-2.0, 7.0 / 3.0, 2)]
)
def test_rk4_back_and_forth(x, factor, digits):
    """R(x) R(-x) a step."""
    if x == -2.0:
        factor = (1 - 2 + 2 - 8 / 6 + 16 / 24) * (1 + 2 + 2 + 8 / 6 + 16 / 24)
    report = verify.adjoint_gap(
        lambda t, z: x * z,
        lambda t, z, w: (x * w, (w * z).sum()),
        tableaus.get("rk4"),
        [[1.0]],
        [[1.0]],
        n_steps=[1, 3],
    )
    if digits == 6:
        assert report.reconstruction[0] == pytest.approx(factor - 1.0, rel=3e-3)
    else:
        assert report.reconstruction[0] == pytest.approx(factor - 1.0, rel=1e-9)
    more = (1.0 + x / 3 + (x / 3) ** 2 / 2 + (x / 3) ** 3 / 6 + (x / 3) ** 4 / 24) * (
        1.0 - x / 3 + (x / 3) ** 2 / 2 - (x / 3) ** 3 / 6 + (x / 3) ** 4 / 24
    )
    assert report.reconstruction[1] == pytest.approx(more**3 - 1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("rate", "printed"), [(-1.0, 1.7), (-8.0, 1.6e3), (-20.0, 2.7e8), (-50.0, 2.9e21)]
)
def test_amplification_is_that_of_the_flow(rate, printed):
    flow = ShallowFlow([[1.0]], [0.0], [[rate]])
    exact = np.exp(-flow.log_det([[1.2]])[1].item())  # of a scalar the determinant is all
    assert exact == pytest.approx(printed, rel=0.05)
    report = gap_of("fehlberg8", [64], flow, np.array([[1.2]]), np.ones((1, 1)))
    assert report.amplification == pytest.approx(exact, rel=1e-4)
    assert ("nothing of the path is left" in str(report)) == (rate == -50.0)


def test_a_stiff_path_is_noise_whatever_the_steps():
    """a = -50: backsolve comes back to anything but the start, and its gradient is wrong.

    In the plane: a scalar that decays to 0 has a rounding as small as itself.
    """
    flow = ShallowFlow.drawn(2, [-50.0])
    report = gap_of("rk4", [64, 128, 256], flow, X[:, :2], Z_BAR[:, :2])
    assert report.reconstruction.min() > 0.1
    stored = report.gaps["hermite"]
    assert report.gaps["backsolve"].min() > 0.1
    assert (np.diff(stored) < 0.0).all()


def test_the_largest_amplification_of_all_samples():
    """diag(e^-3, e^1): the smallest singular value, and of the worst sample."""
    a = np.array([-3.0, 1.0])
    report = verify.adjoint_gap(
        lambda t, z: a * z, lambda t, z, w: (a * w, a * 0.0), tableaus.get("fehlberg8"), X[:, :2],
        Z_BAR[:, :2], n_steps=[32],
    )  # fmt: skip
    assert report.amplification == pytest.approx(np.exp(3.0), rel=1e-9)
    flow = ShallowFlow([[1.0]], [0.0], [[-3.0]])
    x = np.array([[0.1], [3.0]])
    report = gap_of("fehlberg8", [32], flow, x, np.ones_like(x))
    exact = np.exp(-flow.log_det(x)[1])
    assert exact[0] > 2.0 * exact[1]
    assert report.amplification == pytest.approx(exact[0], rel=1e-9)


# --- what is reported ----------------------------------------------------------------------


def test_the_table_shows_every_number():
    report = gap_of("rk4", [8, 16], kinds=["linear", "backsolve"])
    text = str(report)
    assert list(report.gaps) == ["linear", "backsolve"]
    assert len(text.splitlines()) == 1 + 4 + 1
    assert f"{report.gaps['linear'][1]:.2e}" in text
    assert f"{report.orders['linear'].slopes[0]:.2f}" in text
    assert text.endswith(report.verdict)
    assert report.verdict.startswith("orders of the gaps: linear")


def test_many_dimensions_have_no_amplification():
    x = np.ones((1, 65))
    report = verify.adjoint_gap(linear, linear_vjp, tableaus.get("heun"), x, x, n_steps=[2])
    assert np.isnan(report.amplification)
    assert report.verdict == "no order of the gaps to see"


def test_a_function_that_keeps_its_arrays_does_no_harm():
    f, vjp = network(FLOW)
    buffer = np.empty_like(X)

    def reusing(t, z):
        buffer[:] = f(t, z)
        z[:] = np.nan
        return buffer

    def spoiling(t, z, w):
        found = vjp(t, z, w)
        w[:] = np.nan
        return found

    rk4 = tableaus.get("rk4")
    mine = verify.adjoint_gap(reusing, spoiling, rk4, X, Z_BAR, n_steps=[4])
    right = verify.adjoint_gap(f, vjp, rk4, X, Z_BAR, n_steps=[4])
    assert mine.gaps == right.gaps
    np.testing.assert_array_equal(mine.theta_bar, right.theta_bar)


EULER = ([[0.0]], [1.0], [0.0])
GOOD = {"f": linear, "vjp": linear_vjp, "tableau": EULER, "x": X, "z_bar": Z_BAR}


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"f": 1}, TypeError, r"^f: got 1 \(int\), wanted a callable"),
        ({"vjp": None}, TypeError, "^vjp: got None"),
        ({"tableau": "rk4"}, TypeError, r"^tableau: got 'rk4' \(str\), wanted a tableau \(refode"),
        ({"tableau": ([[1.0]], [1.0], [1.0])}, ValueError, "^tableau: got A with entries on or"),
        ({"tableau": ([[0.0]], [1.0], [0.0, 1.0])}, ValueError, "^tableau: got an array of shape"),
        ({"x": X[0]}, ValueError, "^x: got an array of shape"),
        ({"z_bar": Z_BAR[:2]}, ValueError, "^z_bar: got an array of shape"),
        ({"t_span": (1.0, 1.0)}, ValueError, "^t_span: got"),
        (
            {"kinds": ["adjoint"]},
            ValueError,
            "^kinds: got 'adjoint' .*wanted one of backsolve, her",
        ),
        ({"kinds": "linear"}, TypeError, "^kinds: got 'linear'"),
        ({"kinds": []}, ValueError, "^kinds, n_steps: got none"),
        ({"n_steps": [0]}, ValueError, "^n_steps: got 0"),
        ({"n_steps": 8}, TypeError, "^n_steps: got 8"),
        ({"f": lambda t, z: z[0]}, ValueError, r"^f: returned an array of shape \(3,\), wanted"),
        ({"f": lambda t, z: z + 1j}, TypeError, "^f: returned an array of dtype complex128"),
        ({"vjp": lambda t, z, w: w}, TypeError, "^vjp: returned .* wanted .z_bar, theta_bar"),
        ({"vjp": lambda t, z, w: (w[0], 0.0)}, ValueError, "^vjp: returned an array of shape"),
        ({"vjp": lambda t, z, w: (np.inf * w, 0.0)}, ValueError, "^f, vjp: the discrete gradient"),
    ],
)
def test_bad_input_is_named(change, error, match):
    with pytest.raises(error, match=match):
        verify.adjoint_gap(**(GOOD | change))
