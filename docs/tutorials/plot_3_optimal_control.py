r"""
3. Supervised learning is optimal control
=========================================

To train a neural ODE is to steer: the weights :math:`\theta(t)` are the controls, the features are
the state that they move, and the loss is what the state costs when it arrives. This tutorial
trains a classifier, derives its gradient as Pontryagin would have, by hand and in NumPy, and sees
that this is the gradient that training used. Equations (5)-(9).
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import refode
from refode import plotting

plotting.use()

# %%
# The problem
# -----------
# A classifier is an affine function of the features that the ODE has moved, (6) and (7),
#
# .. math:: F_\theta(x) = W z(1) + b, \qquad
#           \frac{d}{dt} z = f_{\theta(t)}(z), \quad z(0) = x ,
#
# and learning is the control problem (8): to minimise the expected loss
# :math:`\mathbb{E}\, \ell(W z(1) + b, y)` over :math:`\theta`, :math:`W` and :math:`b`, subject to
# the differential equation. For two classes :math:`\ell` is the logistic loss. A small penalty
# :math:`\tfrac\tau2 |\theta|^2` keeps the weights from growing without end.

x, y = refode.datasets.two_moons(400, seed=0, noise=0.1)
ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=16), scheme="rk4", n_steps=10)
problem = refode.Supervised(ode, loss="logistic", tikhonov=2e-3)
result = refode.train(problem, x, y, max_iter=500, tolerance=1e-4, progress=False)
right = (problem.predict_label(result.x, x) == y).mean()
print(f"{result.message.split(':')[0]} after {result.nit} iterations, {right:.1%} right")
assert result.success
assert right > 0.98

# %%
# Pontryagin's equations
# ----------------------
# How does the loss :math:`\ell` of one sample change if its state is nudged at time :math:`t`?
# Call that :math:`p(t) = \partial \ell / \partial z(t)`, the *costate* or adjoint. At the end it
# is known, and backward in time it obeys the linearised equation, transposed:
#
# .. math:: p(1) = W^\top \ell'(Wz(1) + b), \qquad
#           -\frac{d}{dt} p = \Big(\frac{\partial f}{\partial z}\Big)^{\!\top} p, \qquad
#           \frac{d\ell}{d\theta} = \int_0^1 \Big(\frac{\partial f}{\partial \theta}\Big)^{\!\top}
#           p \, dt .
#
# One run forward and one back give the derivatives for *all* weights. With Euler's method, and
# weights :math:`\theta_n` for each step, the three equations become, exactly,
#
# .. math:: z_{n+1} = z_n + h f_{\theta_n}(z_n), \qquad
#           p_n = p_{n+1} + h\, \partial_z f_{\theta_n}(z_n)^\top p_{n+1}, \qquad
#           g_n = h\, \partial_\theta f_{\theta_n}(z_n)^\top p_{n+1} ,
#
# which is the back-propagation of the ResNet of tutorial 1. All of it by hand, for the field (2),
# :math:`f(z) = W_1 \tanh(W_0 z + b_0) + b_1`:


def loss_and_gradient(weights, W, b, x, y):
    """Mean logistic loss of a ResNet, and its derivatives for every layer and for W and b."""
    L, n, states = len(weights["W0"]), len(x), [x]
    hidden = []
    for k in range(L):  # forward: the state
        hidden.append(np.tanh(states[-1] @ weights["W0"][k].T + weights["b0"][k]))
        states.append(states[-1] + (hidden[-1] @ weights["W1"][k].T + weights["b1"][k]) / L)
    v = states[-1] @ W[0] + b[0]
    value = np.mean(np.logaddexp(0.0, v) - y * v)
    v_bar = (1.0 / (1.0 + np.exp(-v)) - y) / n
    gradient = {name: np.zeros_like(block) for name, block in weights.items()}
    gradient["W"], gradient["b"] = (v_bar @ states[-1])[None], np.array([v_bar.sum()])
    p = v_bar[:, None] * W[0]
    for k in reversed(range(L)):  # backward: the costate
        gradient["W1"][k] = p.T @ hidden[k] / L
        gradient["b1"][k] = p.sum(axis=0) / L
        u_bar = (p @ weights["W1"][k]) * (1.0 - hidden[k] ** 2) / L
        gradient["W0"][k] = u_bar.T @ states[k]
        gradient["b0"][k] = u_bar.sum(axis=0)
        p = p + u_bar @ weights["W0"][k]
    return value, gradient, p


# %%
# Is that right? A check that knows nothing of how a gradient came about compares it with values of
# the function alone, for step sizes that it finds by itself:

layers = 6
resnet = refode.Supervised(
    refode.NeuralODE(
        refode.fields.Shallow(dim=2, width=16),
        scheme="euler",
        n_steps=layers,
        basis=refode.bases.PiecewiseConstant(layers),
    ),
    loss="logistic",
)
theta = resnet.initial(seed=3)
theta += 0.3 * np.random.default_rng(3).standard_normal(theta.size)


def by_hand(theta):
    """Value, flat gradient and costates at t = 0."""
    named = dict(resnet.unpack(theta))
    W, b = named.pop("W"), named.pop("b")
    value, gradient, p = loss_and_gradient(named, W, b, x, y)
    return value, resnet.pack(gradient), p


report = refode.verify.check_gradient(
    lambda theta: by_hand(theta)[0], lambda theta: by_hand(theta)[1], theta, print_table=False
)
print(str(report).splitlines()[-1])
assert report.passed

# %%
# and it is refode's, to rounding: the adjoint of a scheme is worked out by hand there as here, for
# every scheme and field.

value, gradient = resnet.value_and_gradient(theta, x, y)
error = np.abs(gradient - by_hand(theta)[1]).max() / np.abs(gradient).max()
print(f"the two gradients differ by {error:.1e} of the largest entry")
assert error < 1e-12

# %%
# What the costate says
# ---------------------
# :math:`p(t)` is the direction in which a nudge at time :math:`t` does most harm. For the trained
# classifier we draw :math:`-p`, the way each sample *would like* to go, at three times, for the
# samples where it is largest (the lengths are those of its root). Its size at :math:`t = 0` is a
# measure of robustness: how much the loss of a sample changes with its input.

theta = result.x
named = problem.unpack(theta)
W, b = named["W"], named["b"]
flow = theta[: ode.n_parameters]
fine = ode.with_steps(48)
states = fine.trajectory(flow, x)
v = states[-1] @ W[0] + b[0]
end = (1.0 / (1.0 + np.exp(-v)) - y)[:, None] * W[0]  # a sample's own loss, and no mean


def costates(t):
    """p(t) of all samples, by the adjoint of the flow from t to 1."""
    if t == 1.0:
        return end
    return fine.adjoint(flow, states[round(48 * t)], end, t_span=(t, 1.0))[1]


figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.5))
for panel, t in zip(axes, (0.0, 0.5, 1.0), strict=True):
    z, p = states[round(48 * t)], costates(t)
    for label, colour in enumerate(plotting.CLASSES):
        panel.scatter(*z[y == label].T, s=3, color=colour, lw=0, label=f"label {label}")
    size = np.linalg.norm(p, axis=1)
    most = np.argsort(-size)[:50]
    arrows = -p[most] / np.sqrt(size[most, None])
    panel.quiver(*z[most].T, *arrows.T, color="0.2", width=0.006, scale=5.0, zorder=3)
    panel.margins(0.25)
    panel.set(title=f"$z({t:g})$ and $-p({t:g})$", xlabel="$z_1$")
axes[0].set_ylabel("$z_2$")
axes[0].legend(loc="lower left", markerscale=2, handletextpad=0.1)
figure.tight_layout()

# %%
# What stays the same
# -------------------
# The *Hamiltonian* :math:`H = p^\top f_\theta(z)` does not change along a path if the weights do
# not depend on time, as in mechanics: :math:`\dot H = \dot p^\top f + p^\top \partial_z f\, \dot z
# = 0`. We see that for every sample; it is a check of state and costate at once.

times = np.linspace(0.0, 1.0, 9)
H = []
for t in times:
    slopes = refode.evaluate.value(ode.field, flow, states[round(48 * t)])
    H.append((costates(t) * slopes).sum(axis=1))
H = np.array(H)
drift = np.abs(H - H[0]).max() / np.abs(H).max()
print(f"H changes by {drift:.1e} of its size, the error of 48 steps")
assert drift < 1e-4

# %%
# The same problem, seen from space
# ---------------------------------
# Instead of moving samples one can move the function. Let :math:`u(z, t)` be the prediction for a
# point that is at :math:`z` at time :math:`t`. It does not change along paths, which is the
# transport equation of (9),
#
# .. math:: \partial_t u + f_{\theta(t)}(z)^\top \nabla u = 0, \qquad u(z, 1) = Wz + b ,
#
# with a *terminal* condition (the survey prints it at the other end): the classifier is
# :math:`u(\cdot, 0)`, and is linear at :math:`t = 1`. Time unbends its boundary.

figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.6))
for panel, t in zip(axes, (0.0, 0.5, 1.0), strict=True):
    z = states[round(48 * t)]
    side = 1.15 * np.abs(z).max() * np.linspace(-1.0, 1.0, 161)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    u = problem.transported(theta, points, t).reshape(161, 161)
    panel.contourf(side, side, u > 0, levels=[-0.5, 0.5, 1.5], colors=plotting.PALE_CLASSES)
    panel.contour(side, side, u, levels=[0.0], colors="black", linewidths=1.0)
    for label, colour in enumerate(plotting.CLASSES):
        panel.scatter(*z[y == label].T, s=3, color=colour, lw=0)
    panel.set(title=f"$u(\\cdot, {t:g})$, and samples", xlabel="$z_1$")
axes[0].set_ylabel("$z_2$")
figure.tight_layout()

# %%
# An exercise
# -----------
# *A gradient by finite differences needs no thought. How many times longer does it take for this
# model, and what would it be for a million weights?*
#
# **Answer.** Forward differences take a value for every weight besides the first, the adjoint
# method about as much as two or three values in all, whatever the number of weights: the ratio is
# a third to a half of the number of weights or more, and the differences have half the digits.

theta = result.x


def seconds(function):
    """The shortest of twenty calls."""
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        function(theta, x, y)
        taken.append(time.perf_counter() - began)
    return min(taken)


ratio = (theta.size + 1) * seconds(problem.value) / seconds(problem.value_and_gradient)
value, gradient = problem.value_and_gradient(theta, x, y)
step = 1e-7 * np.eye(theta.size)
differences = np.array([problem.value(theta + e, x, y) - value for e in step]) / 1e-7
error = np.abs(differences - gradient).max()
print(f"{theta.size} weights: {ratio:.0f} times as long, off by {error:.0e}")
assert error < 1e-5
