"""A regression whose samples have weights, and short trainings of it with held-out samples."""

from __future__ import annotations

import numpy as np
from training_problems import Regression, same_result

import refode

#: So few samples that the noise is fitted, and some to see it by.
X = Regression(noise=1.0).draw(18, 1)
HELD_OUT = Regression(noise=1.0).draw(300, 99)
#: What is trained on, and weights of it: one of them is zero.
MANY = Regression(noise=1.0).draw(61, 3)
WEIGHTS = np.append(np.random.default_rng(4).uniform(0.0, 3.0, 60), 0.0)


class Weighted(Regression):
    """The same with weights: means are sum w l / sum w; the penalty is none of the samples'."""

    def __init__(self, *args, noise=1.0, **options):
        super().__init__(*args, noise=noise, **options)
        self.asked = []  # (method, weights)

    def _parts(self, theta, x, w=None):
        off = theta - 1
        residual = x[:, :-1] @ off - x[:, -1]
        L = 0.5 * np.average(residual**2, weights=w)
        return off, residual, L, 0.25 * self.bend * (off**4).sum()

    def value(self, theta, x, *, sample_weight=None):
        self.count["test"] += 1
        self.asked.append(("value", sample_weight))
        return float(sum(self._parts(theta, x, sample_weight)[2:]))

    def value_and_gradient(self, theta, x, *, sample_weight=None):
        self.asked.append(("value_and_gradient", sample_weight))
        value, gradient = super().value_and_gradient(theta, x)
        if sample_weight is None:
            return value, gradient
        w = sample_weight / sample_weight.sum()
        off, residual, L, G = self._parts(theta, x, sample_weight)
        return float(L + G), (w * residual) @ x[:, :-1] + self.bend * off**3

    def hessian_vector(self, theta, v, x, *, sample_weight=None):
        self.asked.append(("hessian_vector", sample_weight))
        a, w = x[:, :-1], np.ones(len(x)) if sample_weight is None else sample_weight
        return (w / w.sum() * (a @ v)) @ a + 3 * self.bend * (theta - 1) ** 2 * v

    def gauss_newton_vector(self, theta, v, x, *, sample_weight=None):
        """The same: residuals are linear in theta, and the rest is convex."""
        return self.hessian_vector(theta, v, x, sample_weight=sample_weight)

    def costs(self, theta, x, *, sample_weight=None):
        self.asked.append(("costs", sample_weight))
        L, G = (float(term) for term in self._parts(theta, x, sample_weight)[2:])
        return {"L": L, "G": G, "total": L + G}


def train(problem=None, x=X, **options):
    """``refode.train`` that overfits; by default as far as rounding lets it."""
    options = {"validation": HELD_OUT, "progress": False, "seed": 1, **options}
    return refode.train(problem or Regression(noise=1.0), x, **options)


def same(a, b):
    """To the last bit, with what a validation adds."""
    named = (a.validation, a.best_iteration) == (b.validation, b.best_iteration)
    return same_result(a, b) and named
