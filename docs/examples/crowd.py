"""A crowd walks around an obstacle, and pays less than by walking straight.

python crowd.py [FOLDER]     saves crowd.png and crowd.pdf there
"""

import sys

import numpy as np

import refode

initial = refode.densities.Gaussian([0.0, 3.0], 0.3)
target = refode.densities.Gaussian([0.0, -3.0], 0.3)
obstacle, entropy = refode.games.GaussianBump(150.0, [-0.5, 0.0], [0.5, 0.5]), 0.01
weights = {"alpha": 1.0, "obstacle": obstacle, "entropy": entropy, "terminal": 5.0}
game = refode.games.crowd_motion(initial, target, **weights)
potential = refode.fields.Potential(dim=2, width=16, quadratic="symmetric")
penalties = {"hjb": 0.01, "hjb_terminal": 0.01, "hjb_norm": "squared"}
problem = refode.MeanFieldGame(potential, game, **penalties, n_steps=8)
result = refode.train(problem, initial.sample(1024), max_iter=500, tolerance=5e-2, progress=False)

x = initial.sample(2000, seed=99)
costs = problem.costs(result.x, x, n_steps=64)
paths = problem.trajectory(result.x, x, n_steps=64)

# Straight at constant speed arrives exactly: the two Gaussians have the same shape.
way = target.mean - initial.mean
times = np.linspace(0.0, 1.0, 65)
straight = x + times[:, None, None] * way
paid = {
    "L": 0.5 * way @ way,
    "G": 0.0,
    "F": entropy * initial.log_density(x).mean()
    + np.trapezoid([obstacle.value(z).mean() for z in straight], times),
}

for name, c in (("around", costs), ("straight", paid)):
    terms = f"motion {c['L']:.2f}, obstacle and entropy {c['F']:.2f}, arrival {c['G']:.2f}"
    print(f"{name}: {terms}, together {c['L'] + c['F'] + c['G']:.2f}")
nearest = np.linalg.norm(paths - obstacle.density.mean, axis=2).min(axis=0)
before = np.abs(x[:, 0] + 0.5)
print(f"distance to its centre: {nearest.mean():.2f} on average, straight {before.mean():.2f}")

if len(sys.argv) > 1:
    from refode import plotting

    figure = plotting.figure(4.0, 3.0)
    a, b = np.linspace(-3.0, 4.0, 161), np.linspace(-5.0, 5.0, 201)
    Q = obstacle.value(np.stack(np.meshgrid(a, b), axis=2).reshape(-1, 2)).reshape(201, 161)
    for i, (name, walks) in enumerate((("straight", straight), ("around", paths))):
        axes = figure.add_subplot(1, 2, i + 1, aspect="equal", title=name)
        axes.contourf(a, b, Q, np.linspace(1.0, Q.max(), 9), cmap="Greys", alpha=0.6)
        axes.plot(*walks[:, :80].transpose(2, 0, 1), color=plotting.BLUE, lw=0.4, alpha=0.7)
        dots = {"s": 5, "lw": 0, "zorder": 3}
        axes.scatter(*walks[0, :80].T, color=plotting.GREEN, label="start", **dots)
        axes.scatter(*walks[-1, :80].T, color=plotting.VERMILION, label="end", **dots)
        axes.set(xlim=(-3, 4), ylim=(-5, 5), xlabel="$x_1$", ylabel="$x_2$")
        axes.legend(loc="lower right", handletextpad=0.0, borderaxespad=0.0)
    figure.tight_layout()
    print("saved", *plotting.save(figure, sys.argv[1], "crowd"))
