"""The activations as compiled: errors in units of the last place, extreme and complex arguments."""

from __future__ import annotations

import decimal
import math

import numpy as np
import pytest
import tolerances as tol

from refode.machine import activations as act
from refode.machine.compile import JIT, kernel

pytestmark = pytest.mark.nojit
TANH, SOFTPLUS, SIGMOID, SINE, COSINE, LOG_COSH = range(6)
NAMES = {
    "tanh": TANH,
    "softplus": SOFTPLUS,
    "sigmoid": SIGMOID,
    "sine": SINE,
    "cosine": COSINE,
    "log_cosh": LOG_COSH,
}
WIDE = np.finfo(np.longdouble).nmant >= 63
COUNT = 400_000 if JIT else 2_000


@kernel(cache=False)
def apply(which, x, out):
    for i in range(x.shape[0]):
        if which == TANH:
            out[i] = act.tanh(x[i])
        elif which == SOFTPLUS:
            out[i] = act.softplus(x[i])
        elif which == SIGMOID:
            out[i] = act.sigmoid(x[i])
        elif which == SINE:
            out[i] = act.sine(x[i])
        elif which == LOG_COSH:
            out[i] = act.log_cosh(x[i])
        else:
            out[i] = act.cosine(x[i])


def run(name, x):
    out = np.full_like(x, np.nan)
    apply(NAMES[name], x, out)
    return out


def reference(name, x):
    """In long double, with no cancellation."""
    x = x.astype(np.longdouble)
    if name == "softplus":
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    if name == "log_cosh":
        return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x)))
    if name == "sigmoid":
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1, e) / (1 + e)
    return {"tanh": np.tanh, "sine": np.sin, "cosine": np.cos}[name](x)


def ulps(got, exact):
    """Largest error in units of the last place of the exact value."""
    unit = np.spacing(np.abs(exact.astype(float)))
    return float(np.max(np.abs(got.astype(np.longdouble) - exact) / unit))


def points():
    """Dense, random, tiny, subnormal and large arguments of both signs."""
    rng = np.random.default_rng(0)
    halves = np.log(2.0) / 4 * np.arange(1, 120)  # where tanh's reduction changes its k
    near = np.concatenate([np.nextafter(halves, 0), halves, np.nextafter(halves, 99)])
    x = np.concatenate(
        [
            np.linspace(0.0, 1.0, COUNT),
            np.linspace(1.0, 25.0, COUNT),
            near,
            rng.uniform(0.0, 3.0, COUNT),
            10.0 ** rng.uniform(-308.0, 1.3, COUNT),
            5e-324 * np.arange(1, 50),
            np.array([1e-310, 2.3e-308, 1e3, 700.0, 1e10, 1e308]),
        ]
    )
    return np.concatenate([x, -x])


@pytest.mark.skipif(not WIDE, reason="long double is no wider than double here")
@pytest.mark.parametrize("name", NAMES)
def test_error_in_units_of_the_last_place(name):
    x = points()
    if name in ("sine", "cosine"):
        x = x[np.abs(x) < 1e4]
    got, exact = run(name, x), reference(name, x)
    subnormal = np.abs(exact.astype(float)) < np.finfo(float).tiny
    worst = ulps(got[~subnormal], exact[~subnormal])
    assert worst <= getattr(tol, f"{name.upper()}_ULPS"), worst
    assert worst > 0.25  # below that the reference would be the function itself
    assert np.all(np.abs(got[subnormal] - exact[subnormal].astype(float)) <= 5e-324)


def test_tanh_against_decimal_arithmetic():
    """The same without trust in anyone's long double."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(0, 22, 500), 10.0 ** rng.uniform(-300, 0, 300)])
    with decimal.localcontext() as context:
        context.prec = 360  # 1 - e^-2x of a tiny x
        worst = 0.0
        for a, b in zip(x, run("tanh", x), strict=True):
            e = (-2 * decimal.Decimal(float(a))).exp()
            exact = (1 - e) / (1 + e)
            off = abs(float(decimal.Decimal(float(b)) - exact))
            worst = max(worst, off / math.ulp(float(exact)))
    assert worst <= tol.TANH_ULPS


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        (
            "tanh",
            [
                (0.0, 0.0),
                (-0.0, -0.0),
                (np.inf, 1.0),
                (-np.inf, -1.0),
                (1e308, 1.0),
                (-20.0, -1.0),
                (5e-324, 5e-324),
                (-5e-324, -5e-324),
            ],
        ),
        (
            "softplus",
            [
                (0.0, math.log(2.0)),
                (-0.0, math.log(2.0)),
                (-np.inf, 0.0),
                (np.inf, np.inf),
                (-800.0, 0.0),
                (800.0, 800.0),
            ],
        ),
        (
            "sigmoid",
            [(0.0, 0.5), (-0.0, 0.5), (-np.inf, 0.0), (np.inf, 1.0), (-800.0, 0.0), (800.0, 1.0)],
        ),
        ("sine", [(0.0, 0.0), (-0.0, -0.0)]),
        (
            "log_cosh",
            [
                (0.0, math.log(2.0)),
                (-0.0, math.log(2.0)),
                (np.inf, np.inf),
                (-np.inf, np.inf),
                (1e308, 1e308),
                (-700.0, 700.0),
                (20.0, 20.0),
            ],
        ),
        ("cosine", [(0.0, 1.0), (-0.0, 1.0)]),
    ],
)
def test_special_values(name, pairs):
    x, want = np.array(pairs).T
    assert run(name, x.copy()).tobytes() == want.tobytes()  # 0.0 and -0.0 told apart
    assert np.isnan(run(name, np.array([np.nan, -np.nan]))).all()


@pytest.mark.parametrize("name", NAMES)
def test_symmetry_range_and_order(name):
    """Odd or even to the bit, within bounds, monotone but for the last place."""
    x = np.sort(np.abs(points()))
    up, down = run(name, x), run(name, -x)
    if name in ("tanh", "sine"):
        assert np.array_equal(up, -down)
    elif name in ("cosine", "log_cosh"):
        assert np.array_equal(up, down)
    elif name == "sigmoid":
        assert np.abs(up + down - 1.0).max() <= np.finfo(float).eps
    if name in ("tanh", "softplus", "sigmoid", "log_cosh"):
        assert np.all(np.diff(up) >= -2 * np.spacing(up[1:]))
    if name not in ("softplus", "log_cosh"):
        assert np.abs(up).max() <= 1.0


SLOPES = {
    "tanh": lambda x: 1 / np.cosh(x.astype(np.longdouble)) ** 2,
    "softplus": lambda x: reference("sigmoid", x),
    "sigmoid": lambda x: reference("sigmoid", x) * reference("sigmoid", -x),
    "sine": lambda x: np.cos(x.astype(np.longdouble)),
    "cosine": lambda x: -np.sin(x.astype(np.longdouble)),
    "log_cosh": lambda x: np.tanh(x.astype(np.longdouble)),
}


@pytest.mark.parametrize("y", [1e-200, -3e-250, 1e-8])
@pytest.mark.parametrize("name", NAMES)
def test_complex_numbers_to_first_order(name, y):
    """sigma(x + iy) = sigma(x) + iy sigma'(x), whatever y: the real part has the real's bits."""
    x = np.linspace(-30.0, 30.0, 4001)
    got = run(name, x + 1j * y)
    assert np.array_equal(got.real, run(name, x))
    error = np.abs(got.imag / y - SLOPES[name](x).astype(float))
    assert error.max() <= tol.SLOPE_EPS * np.finfo(float).eps


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("name", act.CODES)
def test_activate_and_curvature(name, dtype):
    """sigma, sigma' and sigma'' as the fields use them, with the bias added, in place."""
    rng = np.random.default_rng(0)
    u, b = rng.standard_normal((3, 40)), rng.standard_normal(3)
    a, s = u.astype(dtype), np.empty((3, 40), dtype)
    act.activate(act.CODES[name], a, b.astype(dtype), s)
    v = u + b[:, None]
    logistic = 1.0 / (1.0 + np.exp(-v))
    want = {
        "tanh": (np.tanh(v), 1 - np.tanh(v) ** 2, -2 * np.tanh(v) * (1 - np.tanh(v) ** 2)),
        "softplus": (np.log1p(np.exp(v)), logistic, logistic * (1 - logistic)),
        "sine": (np.sin(v), np.cos(v), -np.sin(v)),
        "identity": (v, np.ones_like(v), np.zeros_like(v)),
    }[name]
    assert np.abs(a - want[0]).max() <= tol.FIELD_VALUE
    assert np.abs(s - want[1]).max() <= tol.FIELD_VALUE
    s_bar, u_bar = rng.standard_normal((2, 3, 40))
    got = u_bar.astype(dtype)
    act.add_curvature(act.CODES[name], a, s, s_bar.astype(dtype), got)
    assert np.abs(got - u_bar - want[2] * s_bar).max() <= tol.FIELD_VALUE
    rows = u.astype(dtype)
    act.tanh_rows(rows, b.astype(dtype))
    assert np.abs(rows - np.tanh(v)).max() <= tol.FIELD_VALUE
