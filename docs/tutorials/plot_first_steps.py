"""
A field, solved
===============

A neural ODE is a field, weights in time and a scheme. Here a small field carries the points of a
grid along.
"""

import matplotlib.pyplot as plt
import numpy as np

import refode

field = refode.fields.Shallow(dim=2, width=8)
ode = refode.NeuralODE(field, scheme="rk4", n_steps=10)
theta = 3.0 * ode.initial(seed=0)

# %%
# A trajectory has one point more than there are steps.

x = np.stack(np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7)), axis=-1).reshape(-1, 2)
paths = ode.trajectory(theta, x)
print(paths.shape)

# %%
# Each line is the way of a point.

figure, axes = plt.subplots(figsize=(4, 4))
axes.plot(*paths.transpose(2, 0, 1), color="C0", linewidth=1)
axes.set_aspect("equal")
