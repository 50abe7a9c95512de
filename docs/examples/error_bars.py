"""Error bars of a fitted curve: how sure it is at the data, and how little where there are none.

python error_bars.py [FOLDER]     saves error_bars.png and error_bars.pdf there
"""

import sys

import numpy as np

import refode

# A curve, measured on both sides of a gap with noise of deviation 0.1.
rng = np.random.default_rng(1)
x = np.concatenate([rng.uniform(-2.0, -0.6, 50), rng.uniform(0.8, 2.0, 50)])[:, None]
curve = np.sin(2.5 * x)
y = curve + 0.1 * rng.standard_normal(x.shape)

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
sure, unsure = np.median(deviation), deviation.max()
print(f"deviation of the fit: {sure:.3f} at the data, {unsure:.2f} in the gap")
off = np.abs(mean - np.sin(2.5 * t))[:, 0] / deviation
print(f"the curve is within two deviations of the fit on {np.mean(off < 2.0):.0%} of the line")
left = problem.leave_one_out(theta, x, y, curvature="gauss_newton")
fresh = curve + 0.1 * rng.standard_normal(x.shape)  # new measurements at the same places
F = problem.predict(theta, x)
pairs = {"points of the fit": F - y, "each left out": left.predictions - y, "new ones": F - fresh}
for name, error in pairs.items():
    print(f"error of {name}: {np.sqrt(np.mean(error**2)):.4f}")

if len(sys.argv) > 1:
    from refode import plotting

    figure = plotting.figure(4.6, 2.6)
    axes = figure.add_subplot(xlabel="$x$", ylabel="$F(x)$", ylim=(-3.2, 3.2))
    ends = mean[:, 0] - 2.0 * deviation, mean[:, 0] + 2.0 * deviation
    axes.fill_between(t[:, 0], *ends, color=plotting.BLUE, alpha=0.2, lw=0)
    axes.plot(t, mean, color=plotting.BLUE, label="fit, two deviations")
    axes.plot(t, np.sin(2.5 * t), "k--", lw=0.8, label="the curve")
    axes.plot(x, y, "k.", ms=2.5, label="measured")
    axes.legend(loc="lower right", fontsize=7)
    figure.tight_layout()
    print("saved", *plotting.save(figure, sys.argv[1], "error_bars"))
