"""The density of a toy set by a continuous normalizing flow, and samples of it.

python density.py [FOLDER]     saves density.png and density.pdf there
"""

import sys

import numpy as np

import refode

y = refode.datasets.toy_density("8gaussians", 2000, seed=0)
test = refode.datasets.toy_density("8gaussians", 5000, seed=1)

field = refode.fields.Shallow(dim=2, width=32, time=True)
ode = refode.NeuralODE(field, scheme="rk4", n_steps=8)
flow = refode.ContinuousNormalizingFlow(ode, transport=0.03, tikhonov=2e-4)
result = refode.train(flow, y, max_iter=1000, tolerance=5e-3, progress=False)
fine = flow.with_steps(32)  # trained by 8 steps, used by 32

likelihood = -fine.log_density(result.x, test).mean()
print(f"negative log-likelihood of new points: {likelihood:.3f} nats, the least possible: 2.834")
axis = np.linspace(-6.0, 6.0, 241)
density = fine.density_on_grid(result.x, axis, axis)
print(f"the density integrates to {density.sum() * (axis[1] - axis[0]) ** 2:.5f}")
samples = fine.sample(result.x, 2000, seed=0)
there = fine.generate(result.x, fine.inverse(result.x, samples)[0])
print(f"samples to the Gaussian and back: off by {np.abs(there - samples).max():.0e} at most")
centres = 2.83 * np.exp(0.25j * np.pi * np.arange(8))
nearest = np.abs(samples @ [1.0, 1.0j] - centres[:, None]).argmin(axis=0)
print(f"samples by mode, in percent: {np.bincount(nearest, minlength=8) / 20.0}")

if len(sys.argv) > 1:
    from refode import plotting

    figure = plotting.figure(6.0, 2.1)
    for i, (title, points) in enumerate((("data", y), ("density", None), ("samples", samples))):
        axes = figure.add_subplot(1, 3, i + 1, aspect="equal", title=title)
        if points is None:
            axes.imshow(density.T, extent=(-6, 6, -6, 6), origin="lower", cmap="Blues")
        else:
            axes.scatter(*points.T, s=1.5, lw=0, color=plotting.BLUE, alpha=0.6, rasterized=True)
        axes.set(xlim=(-4.5, 4.5), ylim=(-4.5, 4.5), xlabel="$y_1$")
        if i == 0:
            axes.set_ylabel("$y_2$")
    figure.tight_layout()
    print("saved", *plotting.save(figure, sys.argv[1], "density"))
