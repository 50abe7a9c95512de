"""Adaptive steps in plain NumPy, sharing no code with refode: (D128), (D129)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


class Pair:
    """A tableau's own fractions as arrays of numbers."""

    def __init__(self, tableau):
        self.A = np.array([[float(a) for a in row] for row in tableau.A])
        self.b, self.c = (np.array([float(v) for v in w]) for w in (tableau.b, tableau.c))
        self.e = np.array(
            [
                float(Fraction(x) - Fraction(y))
                for x, y in zip(tableau.b, tableau.b_embedded, strict=True)
            ]
        )
        self.k = min(tableau.order, tableau.embedded_order) + 1


def steps(f, x, span, pair, rtol, atol, pi=True, norm="max", stops=(), first=None):
    """Nodes and tried steps (t, h, E, taken).

    ``f(t, y, middle)`` for y (N, d), with the middle of the step that the stage belongs to.
    """

    def size(v, y0, y1):
        each = ((v / (atol + rtol * np.maximum(abs(y0), abs(y1)))) ** 2).mean(axis=1)
        return np.sqrt(each.max() if norm == "max" else each.mean())

    t, end = span
    sign = 1.0 if end > t else -1.0
    targets = sorted([s for s in stops if min(span) < s < max(span)], reverse=sign < 0) + [end]
    y, f0 = x, f(t, x, t + 1e-9 * sign)
    h = first
    if h is None:
        d0, d1 = size(y, y, y), size(f0, y, y)
        h0 = 1e-6 if min(d0, d1) < 1e-5 else 0.01 * d0 / d1
        h0 = min(h0, abs(end - t))
        d2 = size(f(t + sign * h0, y + sign * h0 * f0, t + 0.5 * sign * h0) - f0, y, y) / h0
        big = max(d1, d2)
        h1 = max(1e-6, h0 * 1e-3) if big <= 1e-15 else (0.01 / big) ** (1 / pair.k)
        h = min(100 * h0, h1, abs(end - t))
    before, nodes, tried = 1.0, [t], []
    for target in targets:
        rejected = False
        while t != target:
            clipped = h >= abs(target - t) * (1 - 1e-10)
            new = target if clipped else t + sign * h
            step = new - t
            k = []
            for i in range(len(pair.b)):
                z = y + step * sum(
                    (a * kj for a, kj in zip(pair.A[i], k, strict=False)), np.zeros_like(y)
                )
                k.append(f(t + pair.c[i] * step, z, t + 0.5 * step))
            y1 = y + step * sum(b * kj for b, kj in zip(pair.b, k, strict=True))
            E = size(step * sum(e * kj for e, kj in zip(pair.e, k, strict=True)), y, y1)
            tried.append((t, step, E, E <= 1))
            if E <= 1:
                floor = max(E, 1e-10)
                if pi:
                    factor = 0.9 * floor ** (-0.7 / pair.k) * before ** (0.4 / pair.k)
                else:
                    factor = 0.9 * floor ** (-1 / pair.k)
                factor = min(10.0, max(0.2, factor))
                factor = min(1.0, factor) if rejected else factor
                if clipped:
                    h = max(h, abs(step) * factor)
                else:
                    h, before = abs(step) * factor, floor
                t, y, rejected = new, y1, False
                nodes.append(t)
            else:
                h, rejected = abs(step) * max(0.2, 0.9 * E ** (-1 / pair.k)), True
    return np.array(nodes), tried
