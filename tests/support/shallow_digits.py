"""(D157) in as many digits as decimal's context has: what tests of exact flows share."""

from __future__ import annotations

from decimal import Decimal

import numpy as np


def exact(W0, b0, W1, b1, x, t):
    """z(t) and the log-determinant of one sample, of Decimals, printed as the formulas are."""
    z, log_det = [xi + t * bi for xi, bi in zip(x, b1, strict=True)], Decimal(0)
    for k, row in enumerate(W0):
        column = [W1[i][k] for i in range(len(x))]
        a = sum(w * v for w, v in zip(row, column, strict=True))
        u = sum(w * xi for w, xi in zip(row, x, strict=True)) + b0[k]
        grown = (a * t).exp() * (u.exp() - (-u).exp()) / 2
        end = (abs(grown) + (grown * grown + 1).sqrt()).ln().copy_sign(grown)
        log_det += a * t + ((u.exp() + (-u).exp()) / (end.exp() + (-end).exp())).ln()
        z = [zi + v * (end - u) / a for zi, v in zip(z, column, strict=True)]
    return z, log_det


def decimals(array):
    return [[*map(Decimal, row)] for row in np.atleast_2d(array).tolist()]


def of(flow, x, t):
    b0, b1, x = (decimals(a)[0] for a in (flow.b0, flow.b1, x))
    return [decimals(flow.W0), b0, decimals(flow.W1), b1, x, Decimal(t)]
