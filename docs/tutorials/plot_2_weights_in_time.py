r"""
2. Neural ODEs, and weights in time
===================================

A neural ODE, (4), is a differential equation whose right-hand side is learned:

.. math:: \frac{d}{dt} z = f_{\theta(t)}(z), \qquad t \in (0, 1], \qquad z(0) = x .

The little :math:`(t)` behind :math:`\theta` says that its weights may change on the way. This
tutorial shows what that buys, on an example where one can prove it, and how a function of time
becomes finitely many numbers.
"""

import matplotlib.pyplot as plt
import numpy as np

import refode
from refode import plotting

plotting.use()

# %%
# What one field can do, and what not
# -----------------------------------
# Take the simplest field there is, :math:`f(z) = Az`. With :math:`A` constant the flow is
# :math:`z(1) = e^A x`. Can it learn the map
#
# .. math:: x \mapsto Mx, \qquad M = \begin{pmatrix} -1 & 0 \\ 0 & -2 \end{pmatrix} ,
#
# which turns the plane by half a turn and stretches it along one axis?
#
# It cannot. Any :math:`e^A` is a square, of :math:`e^{A/2}`. A real matrix whose square is
# :math:`M` would commute with it, leave its two axes alone, and be a real square root of
# :math:`-1` on the first; there is none. What is more, no :math:`e^A` comes near: matrices with
# two different negative eigenvalues are an open set, and the closest matrix outside of it is off
# by entries of :math:`\pm\tfrac14`, a mean loss of :math:`\tfrac18` for data with
# :math:`\mathbb{E}\, x x^\top = I`. But a matrix with a positive determinant is a *product* of
# exponentials, so that :math:`A` need only change on the way.
#
# We fit both, by the regression loss of (5) and without a readout: :math:`F(x) = z(1)`.

M = np.diag([-1.0, -2.0])
x = np.random.default_rng(0).standard_normal((200, 2))
x -= x.mean(axis=0)
x = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / len(x))).T  # now the mean of x x^T is I
y = x @ M.T


def fit(basis, y=y, tikhonov=0.0):
    """Train a linear field with weights of this basis, from three starts; the best of them."""
    ode = refode.NeuralODE(refode.fields.Affine(dim=2), n_steps=24, basis=basis)
    problem = refode.Supervised(
        ode, loss="regression", n_outputs=2, readout=False, tikhonov=tikhonov
    )
    options = {"max_iter": 1000, "tolerance": 1e-5, "progress": False}
    runs = [refode.train(problem, x, y, seed=s, **options) for s in range(3)]
    best = min(runs, key=lambda run: run.fun)
    assert best.success
    return ode, best.x, problem.costs(best.x, x, y)["loss"]


# %%
# With constant weights no matrix is the best: better ones have larger entries, without end. A very
# small penalty :math:`\tfrac\tau2 |\theta|^2` makes one the best.

constant_ode, constant, off = fit(refode.bases.Constant(), tikhonov=1e-5)
moving_ode, moving, off_moving = fit(refode.bases.PiecewiseConstant(4))
print(f"mean loss, constant weights: {off:.4f}, no less than 1/8")
print(f"mean loss, weights in time:  {off_moving:.1e}")
assert 0.125 < off < 0.13
assert off_moving < 1e-8

# %%
# The letter F on its way to :math:`MF`, dashed. With constant weights every point runs along an
# orbit of one linear system, and the best such system misses.

letter = np.array(
    [[0, 0], [0, 5], [3, 5], [3, 4], [1, 4], [1, 3], [2.5, 3], [2.5, 2], [1, 2], [1, 0], [0, 0]]
) / 5.0 + [0.2, -0.2]
figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.3), sharex=True, sharey=True)
shades = plt.get_cmap("viridis")(np.linspace(0.0, 0.8, 5))
for panel, ode, theta, title in (
    (axes[0], constant_ode, constant, "one matrix for all times"),
    (axes[1], moving_ode, moving, "a matrix for every quarter"),
):
    path = ode.trajectory(theta, letter)
    panel.plot(path[:, ::2, 0], path[:, ::2, 1], color="0.75", lw=0.5)
    for step, shade in zip(range(0, 25, 6), shades, strict=True):
        panel.plot(*path[step].T, color=shade, label=f"$t = {step / 24:g}$")
    panel.plot(*(letter @ M.T).T, "--", color="black", lw=1.0, label="wanted")
    panel.set(title=title, xlabel="$z_1$")
    panel.set_aspect("equal")
axes[0].set_ylabel("$z_2$")
figure.legend(*axes[0].get_legend_handles_labels(), loc="center right")
figure.tight_layout(rect=(0, 0, 0.88, 1))

# %%
# A function of time as numbers
# -----------------------------
# refode takes :math:`\theta(t) = \sum_j p_j(t)\, \theta_j` with one of a few families of
# functions :math:`p_j`. The flat vector ``theta`` holds the coefficients :math:`\theta_j`, and
# ``unpack`` gives them a leading axis. A ResNet is ``PiecewiseConstant``: a cell for every layer.

bases = {
    "Constant()": refode.bases.Constant(),
    "PiecewiseConstant(4)": refode.bases.PiecewiseConstant(4),
    "PiecewiseLinear(5)": refode.bases.PiecewiseLinear(5),
    "Legendre(4)": refode.bases.Legendre(4),
    "BSpline(5)": refode.bases.BSpline(5),
}
s = np.linspace(0.0, 1.0, 301)
figure, axes = plt.subplots(1, 5, figsize=(7.2, 1.7), sharey=True)
for panel, (name, basis) in zip(axes, bases.items(), strict=True):
    panel.plot(s, basis.matrix(s).toarray())
    panel.set(title=name, xlabel="$t$", xticks=(0, 0.5, 1))
axes[0].set_ylabel("$p_j(t)$")
figure.tight_layout()

# %%
# They all contain the constants, so that none does worse than constant weights can:

for name, basis in bases.items():
    *_, value = fit(basis, tikhonov=1e-5)
    print(f"{name:22} mean loss {value:9.2e}")
    assert value < 1e-3 or name == "Constant()"

# %%
# How many steps
# --------------
# Weights and steps are two choices, and not one as in a ResNet. ``with_steps`` solves the same
# equation with other steps. The weights were learned for 24 steps and have come to terms with the
# error of these: the exact flow of the same weights is off by as much.

for n in (4, 8, 24, 96, 384):
    error = np.abs(moving_ode.with_steps(n).solve(moving, x) - y).max()
    print(f"{n:3d} steps: off by {error:.1e}")
assert error < 1e-2

# %%
# An exercise
# -----------
# *Train the same model towards* :math:`M = \operatorname{diag}(1, -1)`, *a reflection, with as
# many cells as you like. Why does it not work?*
#
# **Answer.** A flow is invertible at all times and is the identity at :math:`t = 0`; its
# determinant is a continuous function of time that starts at 1 and is never 0, so it stays
# positive (by Liouville's formula it is :math:`\exp \int \operatorname{tr} A\, dt`). A reflection
# has determinant :math:`-1`. The way out is a further dimension, as in Figure 1 of the survey: pad
# the features by a zero, and turn by half a turn *through* it.

mirror = np.diag([1.0, -1.0])
_, mirrored, off_mirror = fit(refode.bases.PiecewiseConstant(4), x @ mirror, tikhonov=1e-5)
ode = refode.NeuralODE(refode.fields.Affine(dim=3), n_steps=24)
padded = refode.Supervised(ode, loss="regression", n_outputs=3, augment=1, readout=False)
target = np.pad(x @ mirror, ((0, 0), (0, 1)))
result = refode.train(padded, x, target, max_iter=500, tolerance=1e-5, progress=False)
print(f"reflection, in the plane: mean loss {off_mirror:.3f}; padded: {result.fun:.1e}")
for ode, theta in ((constant_ode, constant), (moving_ode, moving), (moving_ode, mirrored)):
    matrix = ode.solve(theta, np.eye(2)) - ode.solve(theta, np.zeros((2, 2)))
    assert np.linalg.det(matrix) > 0.0
assert off_mirror > 0.1
assert result.success
assert result.fun < 1e-6
