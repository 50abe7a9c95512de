"""Optimal transport between two Gaussians, learned as a game, beside its closed form."""

import numpy as np

import refode
from refode.closed_forms import bures_distance2, bures_map, relaxed_transport

alpha, beta = 1.0, 10.0
source = refode.densities.Gaussian([0.0, 0.0], 1.0)
target = refode.densities.Gaussian([2.0, 1.0], [[0.8, 0.3], [0.3, 0.4]])

game = refode.games.optimal_transport(source, target, alpha=alpha, terminal=beta)
potential = refode.fields.Potential(dim=2, width=8, quadratic="symmetric")
problem = refode.MeanFieldGame(
    potential, game, hjb=0.1, hjb_terminal=0.1, hjb_norm="squared", n_steps=4
)
x = source.sample(2048)
result = refode.train(problem, x, max_iter=500, tolerance=2e-2, progress=False)

# Arriving is rewarded, not demanded: the optimum ends in `end`, a little short of the target.
end = relaxed_transport(source, target, alpha, beta)
ratio, off = np.linalg.solve(target.covariance, end.covariance), target.mean - end.mean
kl = 0.5 * (
    np.trace(ratio)
    - 2.0
    - np.linalg.slogdet(ratio)[1]
    + off @ np.linalg.solve(target.covariance, off)
)
optimum = 0.5 * alpha * bures_distance2(source, end) + beta * kl

x = source.sample(20000, seed=99)
costs = problem.costs(result.x, x, n_steps=16)
print(f"transport L = {costs['L']:.3f}, arrival G = {costs['G']:.3f}")
print(f"L + G = {costs['L'] + costs['G']:.4f}, the optimum in closed form {optimum:.4f}")
moved = problem.generate(result.x, x)
best = end.mean + (x - source.mean) @ bures_map(source, end).T
error = np.sqrt(np.mean((moved - best) ** 2) / np.mean((best - x) ** 2))
print(f"the learned map is off the optimal one by {error:.1%} of the way")
path = problem.trajectory(result.x, x)
length = np.linalg.norm(np.diff(path, axis=0), axis=2).sum(axis=0)
bent = (length / np.linalg.norm(path[-1] - path[0], axis=1)).mean()
print(f"paths are straight: {bent:.4f} times their chords")
