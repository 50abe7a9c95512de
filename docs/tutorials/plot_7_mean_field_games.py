r"""
7. Mean field games: one potential, and the HJB equation
========================================================

A crowd of agents, each after its own good, each in the others' way. In the limit of infinitely many
this is a *mean field game*; the flow that all of them follow is the gradient of one scalar
function. We learn that function for a game whose solution is known, see how close we come, and
then put an obstacle in the way. Equations (17)-(25).
"""

import matplotlib.pyplot as plt
import numpy as np

import refode
from refode import plotting
from refode.closed_forms import lq_game

plotting.use()

# %%
# The game
# --------
# The density :math:`\rho` of agents moves with the velocity :math:`f`, by the continuity equation.
# What they pay together is (17), here
#
# .. math:: \mathcal J = \int_0^1 \!\! \int \Big( \tfrac\alpha2 |f|^2 + Q(x) \Big) \rho\, dx\, dt
#           + \lambda \int_0^1 \!\! \int \rho \log \rho\, dx\, dt
#           + \beta\, \mathrm{KL}\big(\rho(1, \cdot) \,\|\, \rho_Y\big) :
#
# motion, a place :math:`Q` that is better avoided, an entropy :math:`\rho \log \rho` that makes
# crowding dear, and a reward for arriving at :math:`\rho_Y`.
#
# What is left to pay for a single agent at :math:`(t, x)` is the *value function* :math:`\Phi(t,
# x)`, (19). Pontryagin's principle gives the best velocity from it, (22), and Bellman's gives its
# equation, (24), with :math:`H = \tfrac{1}{2\alpha} |\nabla \Phi|^2` from (23):
#
# .. math:: f = -\tfrac1\alpha \nabla \Phi, \qquad
#           -\partial_t \Phi + \tfrac{1}{2\alpha} |\nabla \Phi|^2
#           = Q + \lambda (\log \rho + 1), \qquad \Phi(1, \cdot) = G .
#
# So we need no network for the velocity. One scalar network :math:`\Phi_\theta` will do, trained on
# :math:`\mathcal J` and a penalty for the violation of the HJB equation along the paths, (25). The
# density along a path is known from its divergence, (21): no grid anywhere.
#
# A game that can be solved
# -------------------------
# With Gaussians and a quadratic :math:`Q` the densities stay Gaussian and :math:`\Phi` is
# quadratic; ``closed_forms.lq_game`` has the solution to eleven digits. Agents start around
# :math:`(-1.5, 0)`, are wanted around :math:`(1.5, 0)`, and are charged for the distance from the
# point :math:`(0, 1)`.

alpha, beta, entropy, stiffness, centre = 1.0, 5.0, 0.1, 1.0, np.array([0.0, 1.0])
start, end = np.array([-1.5, 0.0]), np.array([1.5, 0.0])
deviation, wanted = 0.5, 0.7
truth = lq_game(alpha, entropy, stiffness, centre, beta, start, deviation, end, wanted)

initial = refode.densities.Gaussian(start, deviation**2)
target = refode.densities.Gaussian(end, wanted**2)
game = refode.games.crowd_motion(
    initial,
    target,
    alpha=alpha,
    obstacle=refode.games.Quadratic(stiffness, centre),
    entropy=entropy,
    terminal=beta,
)
potential = refode.fields.Potential(dim=2, width=8, quadratic="symmetric")
problem = refode.MeanFieldGame(
    potential, game, hjb=1.0, hjb_terminal=1.0, hjb_norm="squared", n_steps=4
)
x = initial.sample(512, seed=0)
result = refode.train(problem, x, max_iter=1000, tolerance=1e-2, progress=False)
print(f"{result.message.split(':')[0]} after {result.nit} iterations")
assert result.success

# %%
# How good is it? The closed form has the costs, and :math:`\Phi`; as fresh samples we take many.

fresh = initial.sample(20000, seed=1)
costs = problem.costs(result.x, fresh, n_steps=32)
for name in "LFG":
    print(f"{name}: learned {costs[name]:7.4f}, true {truth.costs[name]:7.4f}")
total = sum(costs[name] for name in "LFG")
print(f"J: learned {total:7.4f}, true {truth.total:7.4f}, the least possible")
assert abs(total / truth.total - 1.0) < 0.02

# %%
# Paths, and the value function at the half of the time. :math:`\Phi` is compared where agents are:
# elsewhere nothing was learned.

paths = problem.trajectory(result.x, fresh, n_steps=32)
true_paths = np.array([truth.positions(t, fresh) for t in np.linspace(0.0, 1.0, 33)])
z = paths[16]
phi = problem.value_function(result.x, 0.5, z)[0]
true_phi = truth.value_function(0.5, z)[0]
off_paths = np.sqrt(np.mean((paths - true_paths) ** 2))
off_phi = np.sqrt(np.mean((phi - true_phi) ** 2)) / np.std(true_phi)
print(f"paths off by {off_paths:.3f}, Phi by {off_phi:.1%} of its spread")
assert off_paths < 0.05
assert off_phi < 0.1

figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.0))
side_1, side_2 = np.linspace(-3.0, 3.0, 121), np.linspace(-1.5, 2.0, 81)
points = np.stack(np.meshgrid(side_1, side_2), axis=-1).reshape(-1, 2)
Q = 0.5 * stiffness * np.sum((points - centre) ** 2, axis=1).reshape(81, 121)
axes[0].contour(side_1, side_2, Q, levels=8, colors="0.75", linewidths=0.6)
axes[0].plot(*true_paths[:, :40].transpose(2, 0, 1), color="black", lw=1.4, alpha=0.25)
axes[0].plot(*paths[:, :40].transpose(2, 0, 1), color=plotting.BLUE, lw=0.5)
axes[0].plot([], [], color="black", lw=1.4, alpha=0.25, label="true paths")
axes[0].plot([], [], color=plotting.BLUE, lw=0.5, label="learned paths")
axes[0].plot([], [], color="0.75", lw=0.6, label="$Q$")
axes[0].set(xlabel="$x_1$", ylabel="$x_2$", title="from left to right, drawn to (0, 1)")
axes[0].legend(loc="lower center", ncols=3)
axes[0].set(ylim=(-1.9, 2.0))
some = slice(0, 1500)
axes[1].scatter(true_phi[some], phi[some], s=2, lw=0, color=plotting.BLUE)
ends = [true_phi[some].min(), true_phi[some].max()]
axes[1].plot(ends, ends, color="black", lw=0.8)
axes[1].set(xlabel=r"true $\Phi(\frac{1}{2}, z)$", ylabel="learned", title="cost to go, of agents")
figure.tight_layout()

# %%
# The HJB equation as a check
# ---------------------------
# For most games there is no closed form, but the equation is there to be asked. Its residual along
# the paths, over the size of its terms, tells how far :math:`\Phi` is from a value function:

residuals = []
times = np.linspace(0.0, 1.0, 9)
for i, t in enumerate(times):
    z = paths[4 * i]
    _, gradient, by_time = problem.value_function(result.x, t, z)
    H = np.sum(gradient**2, axis=1) / (2.0 * alpha)
    charged = 0.5 * stiffness * np.sum((z - centre) ** 2, axis=1)
    log_density = truth.log_density(t, z)
    F = charged + entropy * (log_density + 1.0)
    residuals.append(np.mean(np.abs(-by_time + H - F)) / np.mean(np.abs(H) + np.abs(F)))
print(f"HJB residual over its terms: {np.round(residuals, 3)}")
assert np.median(residuals) < 0.2

# %%
# Around an obstacle
# ------------------
# Now :math:`Q` is a bump in the middle of the way, a little off it. Nobody knows the optimum;
# walking straight is a bound from above. (``train_resampled`` would redraw the
# samples now and then.) In the pictures of :math:`\Phi`, each of its own scale, dark is little
# left to pay: agents go where it falls.

initial = refode.densities.Gaussian([0.0, 3.0], 0.3)
target = refode.densities.Gaussian([0.0, -3.0], 0.3)
bump = refode.games.GaussianBump(150.0, [-0.5, 0.0], [0.5, 0.5])
game = refode.games.crowd_motion(
    initial, target, alpha=1.0, obstacle=bump, entropy=0.01, terminal=5.0
)
potential = refode.fields.Potential(dim=2, width=16, quadratic="symmetric")
problem = refode.MeanFieldGame(
    potential, game, hjb=0.01, hjb_terminal=0.01, hjb_norm="squared", n_steps=8
)
x = initial.sample(1024)
result = refode.train(problem, x, max_iter=500, tolerance=5e-2, progress=False)
assert result.success

x = initial.sample(2000, seed=99)
costs = problem.costs(result.x, x, n_steps=64)
paths = problem.trajectory(result.x, x, n_steps=64)
way = target.mean - initial.mean
straight = x + np.linspace(0.0, 1.0, 65)[:, None, None] * way
paid = 0.5 * way @ way + np.mean([bump.value(z).mean() for z in straight])
paid += 0.01 * initial.log_density(x).mean()
total = sum(costs[name] for name in "LFG")
print(f"around the obstacle {total:.2f}, straight through it {paid:.2f}")
assert total < paid - 4.0

figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.9), sharex=True, sharey=True)
side_1, side_2 = np.linspace(-3.0, 4.0, 141), np.linspace(-5.0, 5.0, 201)
points = np.stack(np.meshgrid(side_1, side_2), axis=-1).reshape(-1, 2)
Q = bump.value(points).reshape(201, 141)
axes[0].contourf(side_1, side_2, Q, np.linspace(1.0, Q.max(), 9), cmap="Greys", alpha=0.6)
axes[0].plot(*paths[:, :80].transpose(2, 0, 1), color=plotting.BLUE, lw=0.4)
axes[0].scatter(*paths[0, :80].T, s=5, lw=0, color=plotting.GREEN, zorder=3, label="$x$")
axes[0].scatter(*paths[-1, :80].T, s=5, lw=0, color=plotting.VERMILION, zorder=3, label="$z(1)$")
axes[0].legend(loc="lower left", handletextpad=0.0, borderaxespad=0.1)
axes[0].set(title="agents and $Q$", ylabel="$x_2$")
for panel, t in zip(axes[1:], (0.0, 0.5, 1.0), strict=True):
    phi = problem.value_function(result.x, t, points)[0].reshape(201, 141)
    panel.contourf(side_1, side_2, phi, levels=30, cmap="viridis")
    panel.scatter(*paths[round(64 * t), :300].T, s=1.5, lw=0, color="white")
    panel.set(title=rf"$\Phi({t:g}, \cdot)$ and agents")
for panel in axes:
    panel.set(xlabel="$x_1$", xlim=(-3, 4), ylim=(-5, 5))
    panel.set_aspect("equal")
figure.tight_layout(w_pad=0.4)

# %%
# An exercise
# -----------
# *In the first game, why is* :math:`\mathbb{E}\, \Phi(0, x)` *over the agents not*
# :math:`\mathcal J`? *By how much do they differ?*
#
# **Answer.** :math:`\Phi` is what *one more* agent pays, with the derivatives of the common costs:
# :math:`\lambda (\log \rho + 1)` for the entropy and :math:`\beta (\log \rho - \log \rho_Y + 1)` at
# the end. Each has a :math:`+1` more than the integrand of :math:`\mathcal J`, so that
# :math:`\mathbb{E}\, \Phi(0, x) = \mathcal J + \lambda + \beta` for the solution.

expected = truth.value_function(0.0, fresh)[0].mean()
print(f"E Phi - J = {expected - truth.total:.4f}, lambda + beta = {entropy + beta}")
assert abs(expected - truth.total - entropy - beta) < 0.05
