"""Regression on raw data: features of any scale, a target of any mean, predictions in its units."""

import numpy as np

import refode

# Raw data: the feature's scales are nine powers of ten apart, the target lies about 150.
rng = np.random.default_rng(0)
z = rng.uniform(-1.0, 1.0, (600, 2))
x = [3e5, 0.02] + z * [1e4, 1e-5]
y = 150.0 + 40.0 * z[:, 0] * z[:, 1] + 4.0 * rng.standard_normal(600)  # (N,)
train, new = slice(0, 400), slice(400, 600)

field = refode.fields.Shallow(dim=2, width=16)
problem = refode.Supervised(refode.NeuralODE(field, n_steps=4), "regression", tikhonov=2e-4)
problem = problem.standardized(x[train], y[train])  # which takes x and y as they are
print(problem.y_scaling)

result = refode.train(problem, x[train], y[train], max_iter=1000, tolerance=1e-3, progress=False)
F = problem.predict(result.x, x[new])  # (N, m) for any number m of outputs, here (N, 1)
error = F[:, 0] - y[new]  # F - y would be (N, N)
print(f"root mean square error of new points: {np.sqrt(np.mean(error**2)):.2f}, of the noise: 4.00")
residuals = problem.residuals(result.x, x[new], y[new])
print(f"the residuals are these errors: {np.array_equal(error, residuals)}")
print(f"R^2 of new points: {problem.score(result.x, x[new], y[new]):.3f}")
