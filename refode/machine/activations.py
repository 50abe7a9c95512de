"""Activations, with the derivatives that adjoints and traces need.

Each is written so that sigma'' follows from a = sigma(u) and s = sigma'(u) alone:
the tape keeps (a, s) and never the pre-activation.

========  =============  ============  ============
name      sigma(u)       sigma'(u)     sigma''(u)
========  =============  ============  ============
tanh      tanh u         1 - a^2       -2 a s
softplus  log(1 + e^u)   1/(1+e^-u)    s (1 - s)
sine      sin u          cos u         -a
identity  u              1             0
========  =============  ============  ============

Complex arguments are treated to first order, sigma(x + iy) = sigma(x) + iy
sigma'(x): with the complex step's y = 1e-200 ... that is exact, because the
neglected terms are below the smallest number.

Twin on the device: refode/cuda/activations.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from refode.machine.compile import kernel

TANH, SOFTPLUS, SINE, IDENTITY = range(4)
CODES = {"tanh": TANH, "softplus": SOFTPLUS, "sine": SINE, "identity": IDENTITY}

# --- tanh x = sign(x) em / (em + 2), em = exp(2|x|) - 1 = 2^k (1 + p(r)) - 1 ------------
# 2|x| = k ln 2 + r with |r| <= ln(2)/2, p(r) = r + r^2 q(r); x is halved throughout, so
# that the constants of the reduction are those of ln(2)/2, split in a high part with
# trailing zeros (k * high is exact) and a low part.
_LOG2E_2 = 2.8853900817779268
_HALF_LN2_HIGH = 0.6931471803691238 / 2
_HALF_LN2_LOW = 1.9082149292705877e-10 / 2
_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer held in the low bits


def _interpolant(
    value: Callable[[Fraction], Fraction], low: float, high: float, degree: int
) -> list[float]:
    """Coefficients of the polynomial through Chebyshev nodes, in exact rational arithmetic."""
    n, middle, radius = degree + 1, (low + high) / 2, (high - low) / 2
    nodes = [
        Fraction(middle + radius * math.cos(math.pi * (2 * i + 1) / (2 * n))) for i in range(n)
    ]
    divided = [value(r) for r in nodes]
    for j in range(1, n):
        for i in range(n - 1, j - 1, -1):
            divided[i] = (divided[i] - divided[i - 1]) / (nodes[i] - nodes[i - j])
    monomials = [divided[-1]]
    for i in range(n - 2, -1, -1):  # p <- p (r - r_i) + c_i
        shifted = [Fraction(0), *monomials]
        lower = [-nodes[i] * m for m in monomials] + [Fraction(0)]
        monomials = [a + b for a, b in zip(shifted, lower, strict=True)]
        monomials[0] += divided[i]
    return [float(m) for m in monomials]


def _expm1_remainder(r: Fraction) -> Fraction:
    """(expm1(r) - r)/r^2, by its series."""
    total, term = Fraction(0), Fraction(1, 2)
    for j in range(3, 28):
        total, term = total + term, term * r / j
    return total


def _atanh_ratio(w: Fraction) -> Fraction:
    """atanh(y)/y for y^2 = w, by its series."""
    total, term = Fraction(0), Fraction(1)
    for j in range(24):
        total, term = total + term / (2 * j + 1), term * w
    return total


_RADIUS = 0.34657359027997264 * 1.0001
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9 = _interpolant(
    _expm1_remainder, -_RADIUS, _RADIUS, 9
)
_, _D1, _D2, _D3, _D4, _D5, _D6, _D7, _D8, _D9, _D10 = _interpolant(_atanh_ratio, 0.0, 1 / 9, 10)


@intrinsic
def _bits(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def _float(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@kernel(cache=False)
def _expm1_twice(x):
    """exp(2|x|) - 1, for |x| up to 20 and as for 20 beyond."""
    ax = abs(x)
    ax = 20.0 if ax > 20.0 else ax  # a NaN stays a NaN
    shifted = ax * _LOG2E_2 + _ROUND
    k = shifted - _ROUND
    r = (ax - k * _HALF_LN2_HIGH) - k * _HALF_LN2_LOW
    r = r + r
    r2 = r * r
    r4 = r2 * r2
    q = ((_C0 + _C1 * r) + (_C2 + _C3 * r) * r2) + (
        (_C4 + _C5 * r) + (_C6 + _C7 * r) * r2 + (_C8 + _C9 * r) * r4
    ) * r4
    p = r + r2 * q
    scale = _float((_bits(shifted) + 1023) << 52)  # 2^k from the exponent bits
    return scale * p + (scale - 1.0)


@kernel(cache=False)
def _tanh_real(x):
    em = _expm1_twice(x)
    return math.copysign(em / (em + 2.0), x)


@kernel(cache=False)
def _log_cosh_real(x):
    """|x| + log(1 + e), e = exp(-2|x|): the logarithm is 2 atanh(y) with y = e/(2 + e)."""
    y = 1.0 / (2.0 * _expm1_twice(x) + 3.0)
    w = y * y
    w2 = w * w
    w4 = w2 * w2
    tail = ((_D1 + _D2 * w) + (_D3 + _D4 * w) * w2) + (
        ((_D5 + _D6 * w) + (_D7 + _D8 * w) * w2) + (_D9 + _D10 * w) * w4
    ) * w4
    return abs(x) + 2.0 * (y + y * (w * tail))  # the constant term is 1


def tanh(x):
    """Vectorisable tanh: branch-free for floats, first order in the imaginary part."""
    if isinstance(x, complex | np.complexfloating):
        a = math.tanh(x.real)
        return complex(a, x.imag * (1.0 - a * a))
    return math.tanh(x)


def log_cosh(x):
    """log(2 cosh x), whose derivative is tanh; first order in the imaginary part."""
    if isinstance(x, complex | np.complexfloating):
        return complex(log_cosh(x.real), x.imag * math.tanh(x.real))
    return abs(x) + math.log1p(math.exp(-2.0 * abs(x)))


def softplus(x):
    """log(1 + exp x), first order in the imaginary part."""
    if isinstance(x, complex | np.complexfloating):
        return complex(softplus(x.real), x.imag * sigmoid(x.real))
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x):
    """1/(1 + exp(-x)), first order in the imaginary part."""
    if isinstance(x, complex | np.complexfloating):
        a = sigmoid(x.real)
        return complex(a, x.imag * a * (1.0 - a))
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)


def sine(x):
    """sin x, first order in the imaginary part."""
    if isinstance(x, complex | np.complexfloating):
        return complex(math.sin(x.real), x.imag * math.cos(x.real))
    return math.sin(x)


def cosine(x):
    """cos x, first order in the imaginary part."""
    if isinstance(x, complex | np.complexfloating):
        return complex(math.cos(x.real), -x.imag * math.sin(x.real))
    return math.cos(x)


COMPILED: dict[str, tuple[str, str]] = {}  # names of the compiled twins


def _compiled(function: Any, real: Any, slope: Any) -> None:
    """Register the compiled twin: ``real`` for floats, first order for complex numbers."""

    def for_floats(x):
        return real(x)

    def for_complex(x):
        return complex(real(x.real), x.imag * slope(x.real))

    for twin in (for_floats, for_complex):  # closures: ``machine.compile.kernel`` on their names
        twin.__qualname__ = f"{function.__name__}_{twin.__name__}"
    COMPILED[function.__name__] = (for_floats.__qualname__, for_complex.__qualname__)

    def choose(x):  # no annotations: Numba compares signatures
        return for_complex if isinstance(x, types.Complex) else for_floats

    overload(function, jit_options={"error_model": "numpy", "fastmath": {"contract", "nsz"}})(
        choose
    )


@kernel(cache=False)
def _tanh_slope(x):
    a = _tanh_real(x)
    return 1.0 - a * a


@kernel(cache=False)
def _softplus_real(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@kernel(cache=False)
def _sigmoid_real(x):
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)


@kernel(cache=False)
def _sigmoid_slope(x):
    a = _sigmoid_real(x)
    return a * (1.0 - a)


@kernel(cache=False)
def _sin(x):
    return math.sin(x)


@kernel(cache=False)
def _cos(x):
    return math.cos(x)


@kernel(cache=False)
def _minus_sin(x):
    return -math.sin(x)


_compiled(tanh, _tanh_real, _tanh_slope)
_compiled(log_cosh, _log_cosh_real, _tanh_real)
_compiled(softplus, _softplus_real, _sigmoid_real)
_compiled(sigmoid, _sigmoid_real, _sigmoid_slope)
_compiled(sine, _sin, _cos)
_compiled(cosine, _cos, _minus_sin)


@kernel(cache=False)
def tanh_rows(u, b):
    """u[j, :] <- tanh(u[j, :] + b[j]), in place."""
    for j in range(u.shape[0]):
        bj = b[j]
        for i in range(u.shape[1]):
            u[j, i] = tanh(u[j, i] + bj)


@kernel(cache=False)
def tanh_and_log_cosh_rows(u, b, a, h, start):
    """a[j] <- tanh(v), u[j] <- start[j] + h log(2 cosh v), v = a[j] + b[j], row by row."""
    for j in range(a.shape[0]):
        bj = b[j]
        for i in range(a.shape[1]):
            v = a[j, i] + bj
            a[j, i] = tanh(v)
            u[j, i] = start[j, i] + h * log_cosh(v)


@kernel(cache=False)
def activate(code, u, b, s):
    """u[j] <- a = sigma(u[j] + b[j]) in place, and s[j] <- sigma' there."""
    for j in range(u.shape[0]):
        bj = b[j]
        if code == TANH:
            for i in range(u.shape[1]):
                a = tanh(u[j, i] + bj)
                u[j, i] = a
                s[j, i] = 1.0 - a * a
        elif code == SOFTPLUS:
            for i in range(u.shape[1]):
                v = u[j, i] + bj
                u[j, i] = softplus(v)
                s[j, i] = sigmoid(v)
        elif code == SINE:
            for i in range(u.shape[1]):
                v = u[j, i] + bj
                u[j, i] = sine(v)
                s[j, i] = cosine(v)
        else:
            for i in range(u.shape[1]):
                u[j, i] += bj
                s[j, i] = 1.0


@kernel(cache=False)
def add_curvature(code, a, s, s_bar, u_bar):
    """u_bar += sigma''(u) s_bar, the pull-back of s = sigma'(u); a and s as in ``activate``."""
    for j in range(a.shape[0]):
        if code == TANH:
            for i in range(a.shape[1]):
                u_bar[j, i] += -2.0 * a[j, i] * s[j, i] * s_bar[j, i]
        elif code == SOFTPLUS:
            for i in range(a.shape[1]):
                u_bar[j, i] += s[j, i] * (1.0 - s[j, i]) * s_bar[j, i]
        elif code == SINE:
            for i in range(a.shape[1]):
                u_bar[j, i] -= a[j, i] * s_bar[j, i]
