"""Error bars of a fitted curve: how sure it is at the data, and how little where there are none.

python error_bars.py [FOLDER]     saves error_bars.png and error_bars.pdf there
"""

import sys

import numpy as np

import refode


def curve(x):
    return np.sin(2.5 * x)


# A curve, measured on both sides of a gap with noise of deviation 0.1.
rng = np.random.default_rng(1)
x = np.concatenate([rng.uniform(-2.0, -0.6, 50), rng.uniform(0.8, 2.0, 50)])[:, None]
y = curve(x) + 0.1 * rng.standard_normal(x.shape)

ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=8), n_steps=6)
best, theta = None, None
for tikhonov in (1e-2, 1e-3, 1e-4):  # which of these priors? by the evidence
    problem = refode.Supervised(ode, "regression", augment=1, tikhonov=tikhonov)
    result = refode.train(  # a posterior is one around an optimum, where the gradient vanishes
        problem, x, y, theta, method="gn-cg", tolerance=1e-7, max_iter=3000, progress=False
    )
    theta = result.x
    posterior = problem.laplace(theta, x, y, curvature="gauss_newton")
    print(f"tikhonov {tikhonov:g}: log evidence {posterior.log_evidence:.1f}")
    if best is None or posterior.log_evidence > best.log_evidence:
        best = posterior

problem, theta = best.problem, best.theta
print(f"deviation of the noise: {np.sqrt(best.noise):.3f}, in truth 0.1")
print(f"parameters that the data determine: {best.p_eff:.1f} of {len(theta)}")
t = np.linspace(-2.0, 2.0, 161)[:, None]
mean, covariance = best.predictive(t)
deviation = np.sqrt(covariance[:, 0, 0])
gap = (t[:, 0] > -0.5) & (t[:, 0] < 0.7)
sure, unsure = deviation[~gap].mean(), deviation[gap].max()
print(f"deviation of the fit: {sure:.3f} at the data, {unsure:.2f} in the gap")
off = np.abs(mean - curve(t))[:, 0] / deviation
print(f"the curve is within two deviations of the fit on {np.mean(off < 2.0):.0%} of the line")

left = problem.leave_one_out(theta, x, y, curvature="gauss_newton")
fresh = curve(x) + 0.1 * rng.standard_normal(x.shape)  # new measurements at the same places
for what, F, of in (
    ("points of the fit", problem.predict(theta, x), y),
    ("each left out", left.predictions, y),
    ("new measurements", problem.predict(theta, x), fresh),
):
    print(f"error of {what}: {np.sqrt(np.mean((F - of) ** 2)):.4f}")

if len(sys.argv) > 1:
    from refode import plotting

    measured, figure = y, plotting.figure(4.6, 2.6)
    axes = figure.add_subplot(xlabel="$x$", ylabel="$F(x)$", ylim=(-3.2, 3.2))
    low, high = (mean[:, 0] + k * deviation for k in (-2.0, 2.0))
    axes.fill_between(t[:, 0], low, high, color=plotting.BLUE, alpha=0.2, lw=0)
    for i in range(6):  # what other noise would have made of the fit
        y = curve(x) + 0.1 * rng.standard_normal(x.shape)
        again = refode.train(problem, x, y, theta, max_iter=300, method="gn-cg", progress=False)
        label = "" if i else "fits to other noise"
        axes.plot(t, problem.predict(again.x, t), color=plotting.BLUE, lw=0.4, label=label)
    axes.plot(t, mean, color=plotting.BLUE, label="fit, two deviations")
    axes.plot(t, curve(t), "k--", lw=0.8, label="the curve")
    axes.plot(x, measured, "k.", ms=2.5, label="measured")
    axes.legend(loc="lower right", fontsize=7)
    figure.tight_layout()
    print("saved", *plotting.save(figure, sys.argv[1], "error_bars"))
