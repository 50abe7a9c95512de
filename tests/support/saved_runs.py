"""Short trainings with a checkpoint, for tests of what is in it."""

from __future__ import annotations

import numpy as np

import refode
from refode import fields
from refode.problems.contract import Problem

X = np.random.default_rng(0).standard_normal((6, 2))
Y = X[:, 0] * X[:, 1]


class Bowl(Problem):
    """|theta - 1|^2 / 2, a problem of one's own."""

    n_data = (1, 1)

    def __init__(self):
        self.layout = refode.packing.Layout({"a": (3,)})

    def initial(self, seed=0):
        return np.zeros(3)

    def value_and_gradient(self, theta, x):
        return 0.5 * float(np.sum((theta - 1.0) ** 2)), theta - 1.0


class Some:
    """An object with a value and a gradient, and nothing else."""

    def value_and_gradient(self, theta, x):
        return 0.5 * float(np.sum((theta - 1.0) ** 2)), theta - 1.0


def supervised(field=None):
    ode = refode.NeuralODE(fields.Shallow(2, 3) if field is None else field, n_steps=2)
    return refode.Supervised(ode, "regression")


def trained(path, problem, *data, **how):
    return refode.train(problem, *data, checkpoint=path, max_iter=3, progress=False, **how)
