"""Check a gradient of your own, right and wrong, and an adjoint: refode.verify knows no model."""

import numpy as np

from refode import verify

rng = np.random.default_rng(0)
a, y = rng.standard_normal((50, 4)), rng.choice([-1.0, 1.0], 50)
w = rng.standard_normal(4)


def loss(w):
    """Mean of log(1 + exp(-y a.w)), and a little of |w|^2."""
    return np.mean(np.log1p(np.exp(-y * (a @ w)))) + 0.005 * w @ w


def gradient(w):
    return -(a.T @ (y / (1.0 + np.exp(y * (a @ w))))) / len(y) + 0.01 * w


def forgetful(w):
    """The same without the penalty's derivative in one entry."""
    return gradient(w) - [0.0, 0.0, 0.01 * w[2], 0.0]


blocks = {"first half": slice(0, 2), "second half": slice(2, 4)}
for name, tried in (("right", gradient), ("forgetful", forgetful)):
    report = verify.check_gradient(loss, tried, w, blocks=blocks, name=name, print_table=False)
    print(str(report).splitlines()[-1])

# An adjoint is asked for <A u, v> = <u, A^T v>: here of the derivative of v(w) = tanh(a w).
s = 1.0 - np.tanh(a @ w) ** 2
for name, adjoint in (("right", lambda v: a.T @ (s * v)), ("forgetful", lambda v: a.T @ v)):
    report = verify.dot_test(lambda u: s * (a @ u), adjoint, 4, 50)
    print(f"adjoint, {name}: {str(report).splitlines()[-1]}")
