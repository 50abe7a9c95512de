"""Fit a field to trajectories: a loss at every time of the grid, and what it recovers."""

import numpy as np
from scipy.linalg import expm

import refode

# Observations: a damped oscillation z' = A z, seen at eleven times, exactly.
A = np.array([[-0.2, 1.5], [-1.5, -0.2]])
times = np.linspace(0.0, 2.0, 11)
x = np.random.default_rng(0).standard_normal((20, 2))
observed = np.array([x @ expm(A * t).T for t in times])  # (n_steps + 1, N, d)

ode = refode.NeuralODE(
    refode.fields.Affine(dim=2), scheme="fehlberg8", n_steps=10, t_span=(0.0, 2.0)
)


class Trajectories:
    """Half the mean square of z(t_n) - observed, over all times; training takes no more."""

    def value_and_gradient(self, theta, x, observed):
        r = ode.trajectory(theta, x) - observed
        z_bar = r / r.size  # the cotangent of every state: the adjoint jumps at every time
        theta_bar, _ = ode.adjoint(theta, x, z_bar)
        return 0.5 * np.mean(r**2), theta_bar


problem, start = Trajectories(), ode.initial(seed=0)
report = refode.verify.check_gradient(
    lambda theta: problem.value_and_gradient(theta, x, observed)[0],
    lambda theta: problem.value_and_gradient(theta, x, observed)[1],
    start,
    print_table=False,
)
print(f"gradient right: {report.passed}, an error of {report.smallest_detectable:.0e} would show")

result = refode.train(problem, x, observed, theta0=start, tolerance=1e-10, progress=False)
found = ode.unpack(result.x)["A"][0]
print(f"value {result.fun:.1e} after {result.nit} iterations")
print("A found:", np.array2string(found, precision=6, suppress_small=True).replace("\n", ""))
print(f"largest error of A: {np.abs(found - A).max():.1e}")
