"""Classify two spirals: a neural ODE bends the plane until a straight cut tells them apart."""

import numpy as np

import refode

x, y = refode.datasets.spiral(400, seed=0, noise=0.02)
test_x, test_y = refode.datasets.spiral(1000, seed=1, noise=0.02, spacing="random")

# Points of the plane get one zero appended: a flow of the plane alone cannot part every two sets.
field = refode.fields.Shallow(dim=3, width=16)
ode = refode.NeuralODE(field, scheme="rk4", n_steps=10)
problem = refode.Supervised(ode, loss="logistic", augment=1, tikhonov=1e-3)

result = refode.train(problem, x, y, max_iter=500, tolerance=1e-3, progress=False)
right = problem.predict_label(result.x, test_x) == test_y

# What a straight cut alone can do: the best of many directions, without a flow.
angles = np.linspace(0.0, 2.0 * np.pi, 360)
cuts = test_x @ np.stack([np.cos(angles), np.sin(angles)]) > 0.0
straight = (cuts == test_y[:, None]).mean(axis=0).max()

print(f"{result.message.split(':')[0]} after {result.nit} iterations")
print(
    f"points of training with the right label: "
    f"{(problem.predict_label(result.x, x) == y).mean():.1%}"
)
print(f"new points with the right label: {right.mean():.1%}")
print(f"by a straight cut through the middle: {straight:.1%}")
