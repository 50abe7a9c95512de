"""Jacobians df/dz of fields in blocks of samples, for implicit schemes."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode.fields.contract import jacobian, rhs_adjoint
from refode.machine.blocks import fill
from refode.machine.compile import kernel
from refode.machine.rooms import forms


@kernel(cache=False)
def pairs(V, W, factor):
    """P (d d, k) with V diag(g) W = P g entry by entry: P[i d + j, k] = factor V[i, k] W[k, j]."""
    d, k = V.shape
    P = np.empty((d * d, k), V.dtype)
    for i in range(d):
        for j in range(d):
            for q in range(k):
                P[i * d + j, q] = factor * V[i, q] * W[q, j]
    return P


def by_pull_backs(field, e, t, Z, tape, J, scratch):
    """Row i of J is the pull-back of the unit vector e_i: exact for any field, real or complex."""
    d, S = Z.shape
    unit, e_bar = np.empty((d, S), e.dtype), np.zeros(e.shape[0], e.dtype)
    fill(J, 0.0)
    for i in range(d):
        fill(unit, 0.0)
        for s in range(S):
            unit[i, s] = 1.0
        rhs_adjoint(field, e, t, Z, tape, unit, None, J[i * d : (i + 1) * d], e_bar, scratch)


def provide(description: Any) -> None:
    """Let fields described so have a Jacobian: by pull-backs, where they bring no body for it."""
    form = forms.get(type(description))
    kind = type(description if form is None else form(description))
    if kind not in jacobian.bodies:
        jacobian.register(kind)(by_pull_backs)
