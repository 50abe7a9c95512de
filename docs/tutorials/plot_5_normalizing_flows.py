r"""
5. Continuous normalizing flows with exact traces
=================================================

A density that one can both sample from and evaluate, learned from samples alone: that is what a
normalizing flow is. If the map behind it is the flow of an ODE, invertibility is free and the
determinant becomes an integral. Equations (10)-(14).
"""

import matplotlib.pyplot as plt
import numpy as np

import refode
from refode import plotting

plotting.use()

# %%
# Densities under maps
# --------------------
# Let :math:`x` have the density :math:`\pi_X` of the standard Gaussian, and :math:`F` be
# invertible. The density of :math:`y = F(x)` is, (10),
#
# .. math:: \pi_Y(y) = \pi_X(F^{-1}(y)) \; |\det \nabla F^{-1}(y)| .
#
# If :math:`F(x) = z(1)` is the end of an ODE, the inverse is the same ODE backward in time, (12),
# and the logarithm of the determinant is an integral along the path, (13):
#
# .. math:: \log |\det \nabla F(x)| = \int_0^1 \operatorname{tr} \nabla f_{\theta(t)}(z)\, dt .
#
# (The survey prints the sign of the inverse's the other way round; the
# errata have the derivation.) ``log_det`` gives both, the end and the integral. We compare it with
# the determinant itself, of the Jacobian that the tangents span:

rng = np.random.default_rng(0)
ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=16), scheme="rk4", n_steps=16)
theta = rng.standard_normal(ode.n_parameters)
x = rng.standard_normal((200, 2))
_, integral = ode.log_det(theta, x)


def jacobian(ode, theta, x):
    """dz(1)/dx, (N, d, d), a column a tangent."""
    zero, unit = np.zeros_like(theta), np.ones((len(x), 1))
    return np.stack([ode.tangent(theta, x, zero, unit * e) for e in np.eye(x.shape[1])], axis=2)


steps = np.array([8, 16, 32, 64])
errors = []
for n in steps:
    finer = ode.with_steps(int(n))
    errors.append(
        np.abs(finer.log_det(theta, x)[1] - np.linalg.slogdet(jacobian(finer, theta, x))[1]).max()
    )
report = refode.verify.observed_order(errors, 1.0 / steps)
print(f"integral and determinant differ by {errors[1]:.1e} for 16 steps; {report.verdict}")
assert abs(report.order - 4.0) < 0.5

# %%
# The two differ by what the steps make of the integral, and agree in the limit, at the order of the
# scheme.
#
# The trace, exactly
# ------------------
# For :math:`f = W_1 \tanh(W_0 z + b_0) + b_1` the trace is a sum over the units,
# :math:`\operatorname{tr} \nabla f = \sum_i (W_0 W_1)_{ii} \, (1 - \tanh^2(\cdot)_i)`: as cheap as
# the field. Codes that see :math:`f` as a black box estimate it, by
# :math:`\varepsilon^\top \nabla f\, \varepsilon` with random signs :math:`\varepsilon`
# (Hutchinson). The estimate is right on average, and exact in one dimension. In more it has the
# noise of all entries off the diagonal, which are soon more than the trace itself.

spread, traces = {}, {}
for d in (1, 2, 8, 32):
    field = refode.fields.Shallow(dim=d, width=64)
    w = np.random.default_rng(d).standard_normal(field.n_weights) / np.sqrt(d)
    z = np.random.default_rng(1).standard_normal((4000, d))
    signs = np.random.default_rng(2).choice([-1.0, 1.0], z.shape)
    slope, _ = refode.evaluate.tangent(field, w, z, np.zeros_like(w), signs)
    estimate, exact = (signs * slope).sum(axis=1), refode.evaluate.trace(field, w, z)
    spread[d], traces[d] = np.std(estimate - exact), exact.mean()
    print(f"d = {d:2d}: trace {traces[d]:7.2f}, noise of the estimate {spread[d]:.2f}")
assert spread[1] < 1e-12
assert spread[8] > 2.0 * abs(traces[8])
assert spread[32] > 2.0 * abs(traces[32])

# %%
# Learning a density
# ------------------
# Maximum likelihood, (11) and (14): minimise the mean of :math:`-\log \pi_Y` over the data,
#
# .. math:: \mathbb{E}_y \Big[ \tfrac12 |w(0)|^2 + \int_0^1 \operatorname{tr} \nabla f\, dt \Big]
#           + \tfrac d2 \log 2\pi ,
#
# where :math:`w` runs from the datum back to the Gaussian. We need no more than the data. (The
# small transport cost is the next tutorial's subject.)

y = refode.datasets.toy_density("moons", 1000, seed=0)
field = refode.fields.Shallow(dim=2, width=24, time=True)
flow = refode.ContinuousNormalizingFlow(
    refode.NeuralODE(field, scheme="rk4", n_steps=8), transport=0.03, tikhonov=1e-3
)
result = refode.train(flow, y, max_iter=1000, tolerance=3e-3, progress=False)
fine = flow.with_steps(32)
fresh = refode.datasets.toy_density("moons", 5000, seed=1)
likelihood = -fine.log_density(result.x, fresh).mean()
print(f"{result.message.split(':')[0]} after {result.nit} iterations")
print(f"negative log-likelihood of new points: {likelihood:.3f} nats")
assert result.success

# %%
# What makes this a density and no score: it integrates to one. And what makes it a generator: it
# goes both ways.

axis = np.linspace(-6.0, 6.0, 241)
density = fine.density_on_grid(result.x, axis, axis)
total = density.sum() * (axis[1] - axis[0]) ** 2
samples = fine.sample(result.x, 1000, seed=1)
back, _ = fine.inverse(result.x, samples)
off = np.abs(fine.generate(result.x, back) - samples).max()
print(f"integral {total:.5f}; there and back off by {off:.0e}")
assert abs(total - 1.0) < 1e-3
assert off < 1e-3

figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.1), sharex=True, sharey=True)
axes[0].scatter(*y.T, s=1.5, lw=0, color=plotting.BLUE)
axes[1].imshow(density.T, extent=(-6, 6, -6, 6), origin="lower", cmap="Blues")
axes[2].scatter(*samples.T, s=1.5, lw=0, color=plotting.GREEN)
path = fine.trajectory(result.x, y[:60], inverse=True)
axes[3].plot(*path.transpose(2, 0, 1), color="#c03030", lw=0.4)
axes[3].scatter(*path[0].T, s=4, lw=0, color=plotting.BLUE, zorder=3, label="data")
axes[3].scatter(*path[-1].T, s=4, lw=0, color="black", zorder=3, label="at $t = 0$")
axes[3].legend(loc="lower left", markerscale=1.5, handletextpad=0.0, borderaxespad=0.0)
for panel, title in zip(axes, ("data", "density", "samples", "paths of the inverse"), strict=True):
    panel.set(title=title, xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), xlabel="$y_1$")
    panel.set_aspect("equal")
axes[0].set_ylabel("$y_2$")
figure.tight_layout()

# %%
# An exercise
# -----------
# *What is the negative log-likelihood of the best Gaussian for these data? What would be the least
# possible, and why can no flow go below it?*
#
# **Answer.** For the Gaussian with the mean and covariance :math:`C` of the data it is
# :math:`\tfrac12 \log \det (2 \pi e\, C)`. The least possible is the entropy of the true density:
# the difference of the two is a Kullback-Leibler divergence, never negative. (On *training* data a
# model may go below, which is over-fitting, and on few new points by chance.)

gaussian = 0.5 * np.linalg.slogdet(2.0 * np.pi * np.e * np.cov(y.T))[1]
print(f"Gaussian {gaussian:.3f} nats, flow {likelihood:.3f} nats")
assert likelihood < gaussian - 0.2
