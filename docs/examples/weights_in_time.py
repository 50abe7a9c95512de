"""Weights that move in time: five bases on one problem, then coarse levels before a fine one."""

import numpy as np

import refode
from refode import bases


def turned(z, centre, angle):
    """Points turned about a centre, by the angle there and ever less farther out."""
    r = z - centre
    a = angle * np.exp(-4.0 * np.sum(r**2, axis=1, keepdims=True))
    return centre + np.cos(a) * r + np.sin(a) * r[:, ::-1] * [-1.0, 1.0]


# Two turns, one after the other: a field that stays the same does not find that easily.
x = np.random.default_rng(0).uniform(-1.0, 1.0, (300, 2))
y = turned(turned(x, [0.4, 0.0], 3.0), [-0.4, 0.0], -3.0)
field = refode.fields.Shallow(dim=2, width=4)


def problem(basis):
    """Half the mean square of z(1) - y, and a penalty on int |theta'|^2."""
    ode = refode.NeuralODE(field, scheme="rk4", n_steps=8, basis=basis)
    return refode.Supervised(ode, "regression", n_outputs=2, readout=False, smoothness=1e-5)


print("basis                 weights   r.m.s. error")
for basis in (
    bases.Constant(),
    bases.PiecewiseConstant(4),
    bases.PiecewiseLinear(5),
    bases.Legendre(4),
    bases.BSpline(5),
):
    one = problem(basis)
    theta = refode.train(one, x, y, max_iter=1000, tolerance=1e-4, progress=False).x
    off = np.sqrt(np.mean((one.predict(theta, x) - y) ** 2))
    print(f"{basis!s:21s} {one.n_parameters:7d}   {off:.4f}")

# PiecewiseLinear(2) lies in PiecewiseLinear(3), and so on: no level loses what the last one found.
levels = [problem(bases.PiecewiseLinear(J)) for J in (2, 3, 5, 9)]
result = refode.train_multilevel(levels, x, y, max_iter=1000, tolerance=1e-4, progress=False)
for level, one in zip(levels, result.levels, strict=True):
    print(f"level {level.ode.basis}: from {one.history['value'][0]:.6f} to {one.fun:.6f}")
