r"""
6. OT-flow: transport costs straighten
======================================

Many flows lead to the same density, and maximum likelihood does not care which. A price on motion
picks one: the flow that moves the mass the least, along straight lines. Equations (15) and (16).
"""

import matplotlib.pyplot as plt
import numpy as np

import refode
from refode import plotting
from refode.closed_forms import bures_distance2, bures_map

plotting.use()
rng = np.random.default_rng(0)

# %%
# Flows that the likelihood cannot tell apart
# -------------------------------------------
# Let the data be standard normal, so that the best map is the identity. The field
# :math:`f(z) = \omega J z`, :math:`J` a quarter turn, rotates: it has no divergence and keeps all
# lengths, and the likelihood (14) is the same for every speed :math:`\omega`. The transport cost
#
# .. math:: P_{\mathrm{OT}} = \int_0^1 \tfrac\alpha2 |f_{\theta(t)}(w)|^2\, dt ,
#
# (15), is not: it is :math:`\tfrac\alpha2 \omega^2\, \mathbb{E}|y|^2`.

y = rng.standard_normal((500, 2))
ode = refode.NeuralODE(refode.fields.Affine(dim=2), scheme="rk4", n_steps=32)
free, priced = refode.ContinuousNormalizingFlow(ode), refode.ContinuousNormalizingFlow(ode, 0.1)


def rotation(omega):
    """Weights of the field that rotates by omega in a unit of time."""
    return ode.pack({"A": omega * np.array([[[0.0, -1.0], [1.0, 0.0]]]), "c": np.zeros((1, 2))})


speeds = np.linspace(-np.pi, np.pi, 21)
likelihoods = np.array([free.value(rotation(w), y) for w in speeds])
costs = np.array([priced.costs(rotation(w), y)["transport"] for w in speeds])
expected = 0.05 * speeds**2 * np.mean(np.sum(y**2, axis=1))
off = np.abs(costs - expected).max()
print(f"likelihoods differ by {np.ptp(likelihoods):.1e}; cost off by {off:.1e}")
assert np.ptp(likelihoods) < 1e-4
assert off < 1e-4

# %%
# Training from a rotation shows the same: without a price it stays, with one it stops.

for name, flow in (("free", free), ("priced", priced)):
    result = refode.train(
        flow, y, theta0=rotation(2.0), max_iter=500, tolerance=1e-5, progress=False
    )
    A = ode.unpack(result.x)["A"][0]
    turn = 0.5 * (A[1, 0] - A[0, 1])
    print(f"{name:7} rotates by {turn:+.4f} after training")
    assert result.success
    assert abs(turn - 2.0) < 0.2 if name == "free" else abs(turn) < 1e-3

# %%
# Where the optimum is known
# --------------------------
# Between two Gaussians the cheapest transport is known in closed form: a linear map, and paths at
# constant speed along straight lines. We move a standard Gaussian to a correlated one, with a field
# that could do much else, and from weights that swirl. The price makes the flow arrive a little
# short of the target, the less the smaller :math:`\alpha` is.

source = refode.densities.Gaussian([0.0, 0.0], 1.0)
target = refode.densities.Gaussian([2.0, 1.0], [[0.8, 0.45], [0.45, 0.4]])
data = target.sample(2000, seed=0)
ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=16, time=True), scheme="rk4", n_steps=8)
x = source.sample(1000, seed=1)
best = target.mean + (x - source.mean) @ bures_map(source, target).T
print(f"least cost, alpha = 1: {0.5 * bures_distance2(source, target):.3f}")
learned = {}
for alpha in (0.0, 0.03):
    flow = refode.ContinuousNormalizingFlow(ode, transport=alpha)
    theta = np.random.default_rng(5).standard_normal(ode.n_parameters)
    result = refode.train(flow, data, theta0=theta, max_iter=1000, tolerance=2e-3, progress=False)
    assert result.success
    path = flow.with_steps(32).trajectory(result.x, x)
    length = np.linalg.norm(np.diff(path, axis=0), axis=2).sum(axis=0)
    chord = np.linalg.norm(path[-1] - path[0], axis=1)
    learned[alpha] = path
    off = np.sqrt(np.mean((path[-1] - best) ** 2))
    bent = length.sum() / chord.sum()
    print(
        f"alpha = {alpha:4}: off the optimal map by {off:.3f}, paths {bent:.3f} times their chords"
    )
assert off < 0.15
assert bent < 1.02

figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), sharex=True, sharey=True)
for panel, (alpha, path) in zip(axes, learned.items(), strict=True):
    panel.plot(*path[:, :60].transpose(2, 0, 1), color="#c03030", lw=0.5)
    panel.scatter(*path[0, :60].T, s=6, lw=0, color="black", zorder=3, label="$x$")
    panel.scatter(*path[-1, :60].T, s=6, lw=0, color=plotting.BLUE, zorder=3, label="$z(1)$")
    panel.scatter(*best[:60].T, s=12, fc="none", ec=plotting.GREEN, lw=0.6, label="optimal map")
    panel.set(title=rf"$\alpha = {alpha:g}$", xlabel="$z_1$")
    panel.set_aspect("equal")
axes[0].set_ylabel("$z_2$")
axes[0].legend(loc="upper left", handletextpad=0.1)
figure.tight_layout()

# %%
# What straight paths are good for
# --------------------------------
# A straight path at constant speed is solved exactly by one step of Euler's method. We fit two
# flows to a ring of eight Gaussians, by eight steps of RK4, and ask how far the likelihood by other
# numbers of steps is from the true one, of 96 steps.
#
# Without a price there is nothing to converge to: the flow learns to be so fast that eight steps
# no longer see what it does, and its *computed* likelihood goes on growing. We stop it.

data = refode.datasets.toy_density("8gaussians", 1000, seed=0)
field = refode.fields.Shallow(dim=2, width=32, time=True)
ode = refode.NeuralODE(field, scheme="rk4", n_steps=8)
theta = 0.5 * np.random.default_rng(0).standard_normal(ode.n_parameters)
counts = np.array([1, 2, 3, 4, 6, 8, 12, 16, 32])
errors, bends = {}, {}
for alpha in (0.0, 0.03):
    flow = refode.ContinuousNormalizingFlow(ode, transport=alpha, tikhonov=2e-4)
    result = refode.train(flow, data, theta0=theta, max_iter=300, tolerance=1e-2, progress=False)

    def likelihood(n, flow=flow, theta=result.x):
        return -flow.with_steps(int(n)).log_density(theta, data).mean()

    errors[alpha] = [abs(likelihood(n) - likelihood(96)) for n in counts]
    path = flow.trajectory(result.x, source.sample(300, seed=3), 64)
    length = np.linalg.norm(np.diff(path, axis=0), axis=2).sum(axis=0)
    bends[alpha] = length.sum() / np.linalg.norm(path[-1] - path[0], axis=1).sum()
    learned[alpha] = path
    how = result.message.split(":")[0].split(",")[0]
    print(
        f"alpha = {alpha:4}: {likelihood(8):.3f} nats by 8 steps, {likelihood(96):.3f} by 96; "
        f"paths {bends[alpha]:.2f} times their chords ({how})"
    )
assert result.success
assert bends[0.03] < 1.05 < bends[0.0]
assert errors[0.03][1] < 0.05  # two steps are enough

figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.5))
for panel, alpha in zip(axes, (0.0, 0.03), strict=False):
    path = learned[alpha][:, :80]
    panel.plot(*path.transpose(2, 0, 1), color="#c03030", lw=0.4)
    panel.scatter(*path[0].T, s=4, lw=0, color="black", zorder=3)
    panel.scatter(*path[-1].T, s=4, lw=0, color=plotting.BLUE, zorder=3)
    panel.set(title=rf"paths, $\alpha = {alpha:g}$", xlim=(-4.5, 4.5), ylim=(-4.5, 4.5))
    panel.set_aspect("equal")
for (alpha, error), marker in zip(errors.items(), "os", strict=True):
    axes[2].loglog(counts, error, marker + "-", ms=3, label=rf"$\alpha = {alpha:g}$")
axes[2].axhline(0.01, color="0.5", lw=0.7, label="0.01 nats")
axes[2].set(xlabel="steps of RK4", title="error of the likelihood, nats")
axes[2].set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
axes[2].minorticks_off()
axes[2].legend()
figure.tight_layout()

# %%
# Seen from the whole population, (16) is Benamou and Brenier's dynamic optimal transport, in which
# arriving is rewarded and not demanded. It is the simplest of the mean field games of the next
# tutorial, in which more than motion is charged.
#
# An exercise
# -----------
# *Can a path cost less than the straight line at constant speed between its end points? A flow is
# computed by one step of Euler's method: what does the price on motion say of how it bends?*
#
# **Answer.** No. The cost :math:`\tfrac12 \int |\dot z|^2 dt` is at least
# :math:`\tfrac12 |z(1) - z(0)|^2`, with equality for straight paths at constant speed alone
# (Jensen's inequality). One Euler step is such a path, whatever the field is: the price then pays
# for where it ends, and sees nothing of how the flow of the field would bend. We check the first
# for the paths above.

for alpha, path in learned.items():
    steps = len(path) - 1
    energy = 0.5 * steps * np.sum(np.diff(path, axis=0) ** 2, axis=(0, 2))
    straight = 0.5 * np.sum((path[-1] - path[0]) ** 2, axis=1)
    excess = energy.mean() / straight.mean() - 1.0
    print(f"alpha = {alpha:4}: {excess:.1%} above the cost of straight lines")
    assert (energy > straight - 1e-9).all()
assert excess < 0.1
