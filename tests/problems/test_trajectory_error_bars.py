"""Error bars of fitted trajectories: closed forms, brute force, fits made anew."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from contract import close

import refode
from refode import fields
from refode.problems.left_out import LeftOut

A, Z0 = -0.7, 1.3
TIMES = np.linspace(0.2, 2.0, 10)


def decay(fitted, **options):
    """z' = a z by steps so fine that they are exact, observed without noise."""
    ode = refode.NeuralODE(fields.Affine(1), "fehlberg8", 20, t_span=(0.0, 2.0))
    how = {"initial": "fitted", "n_samples": 1} if fitted else {}
    problem = refode.TrajectoryFitting(ode, **how, **options)
    theta = np.zeros(problem.n_parameters)
    problem.unpack(theta)["A"][...] = A
    if fitted:
        problem.unpack(theta)["x0"][...] = 1.0
    return problem, theta, None if fitted else np.ones((1, 1))


@pytest.mark.parametrize(
    ("fitted", "variance"), [(False, 0.487001729313936789), (True, 1.48859229500718678)]
)
def test_the_variance_of_a_rate(fitted, variance):
    """z = z0 e^{at}, z0 known and fitted; the constant c of the field is left out by hand."""
    problem, theta, x = decay(fitted)
    y = refode.Observations(TIMES, np.exp(A * TIMES)[None, :, None], weights=1.0)
    names = [name for name in ("A", "x0") if name in problem.layout.slices]
    kept = np.concatenate(
        [np.arange(problem.n_parameters)[problem.layout.slices[n]] for n in names]
    )
    posterior = problem.laplace(theta, x, y, curvature="gauss_newton")
    assert posterior.noise == 1.0
    H = np.linalg.inv(posterior.covariance)[np.ix_(kept, kept)]
    close(np.linalg.inv(H)[0, 0], variance, tol.LAPLACE_ROUNDING)


class Fit:
    """Noisy curves of a small net with gaps, fitted to the optimum."""

    def __init__(self, own, weights=None, readout=False):
        rng = self.rng = np.random.default_rng(5)
        times = np.sort(rng.uniform(0.1, 1.0, (5, 6)), axis=1) if own else np.linspace(0.1, 1, 6)
        values = rng.standard_normal((5, 6, 2)) * 0.1 + 0.5
        values[1, 2], values[3, 4, 0] = np.nan, np.nan
        self.y = refode.Observations(times, values, weights=weights)
        ode = refode.NeuralODE(fields.Affine(2), "dopri5", 4)
        self.problem = refode.TrajectoryFitting(ode, readout=readout, tikhonov=0.05)
        self.x = rng.standard_normal((5, 2)) * 0.3 + 0.5
        self.theta = self.fitted(self.x, self.y)

    def fitted(self, x, y, theta=None):
        """By Newton's method, to rounding."""
        theta = self.problem.initial(3) if theta is None else theta
        theta = refode.train(self.problem, x, y, theta0=theta, progress=False, max_iter=500).x
        for _ in range(4):
            g = self.problem.value_and_gradient(theta, x, y)[1]
            unit = np.eye(len(theta))
            H = np.array([self.problem.hessian_vector(theta, v, x, y) for v in unit])
            theta = theta - np.linalg.solve(H, g)
        return theta


@pytest.fixture(scope="module", params=["stops", "own", "weights", "readout"])
def fit(request):
    weights = np.random.default_rng(1).uniform(10.0, 40.0, (5, 6, 2))
    return Fit(
        request.param != "stops",
        weights if request.param == "weights" else None,
        request.param == "readout",
    )


def test_covariance_is_the_inverse_of_all_curvature(fit):
    """Differences of gradients, and the residuals summed by hand."""
    h, theta, size = 1e-4, fit.theta, len(fit.theta)
    gradient = lambda at: fit.problem.value_and_gradient(at, fit.x, fit.y)[1]  # noqa: E731
    H = np.array(
        [(gradient(theta + h * e) - gradient(theta - h * e)) / (2 * h) for e in np.eye(size)]
    )
    posterior = fit.problem.laplace(theta, fit.x, fit.y)
    r = fit.problem.residuals(theta, fit.x, fit.y)
    squares = np.nansum(fit.y.weights * np.nan_to_num(r) ** 2)
    found = fit.problem._observed(theta, fit.x, fit.y).squares
    close(found, squares, tol.LAPLACE_ROUNDING)
    prior = 0.05 * np.eye(size)
    parts = 1.0 - np.linalg.eigvals(np.linalg.solve(H, prior)).real  # of every direction
    p_eff = parts[parts > 0.0].sum()
    noise = 1.0 if fit.y.weighted else squares / (fit.y.n_observed - p_eff)
    close(posterior.noise, noise, tol.LAPLACE_DIFFERENCES)
    want = noise / fit.y.total * np.linalg.inv(H)
    close(posterior.covariance, want, tol.LAPLACE_DIFFERENCES)
    close(fit.problem.covariance(theta, fit.x, fit.y), posterior.covariance, 0.0)
    w = fit.y.weights[fit.y.there]
    evidence = -fit.y.total * fit.problem.value(theta, fit.x, fit.y) / noise
    evidence -= 0.5 * np.log(2 * np.pi * noise / w).sum()
    evidence += 0.5 * np.linalg.slogdet(fit.y.total / noise * prior)[1]
    evidence -= 0.5 * np.linalg.slogdet(fit.y.total / noise * H)[1]
    close(posterior.log_evidence, evidence, tol.LAPLACE_DIFFERENCES)


def test_predictions_have_the_spread_of_their_derivatives(fit):
    times = np.array([0.05, 0.33, 0.9])
    posterior = fit.problem.laplace(fit.theta, fit.x, fit.y)
    mean, covariance = posterior.predictive(fit.x, times)
    close(mean, fit.problem.predict(fit.theta, fit.x, times), tol.LAPLACE_ROUNDING)
    h = 1e-5
    J = np.stack(
        [
            (
                fit.problem.predict(fit.theta + h * e, fit.x, times)
                - fit.problem.predict(fit.theta - h * e, fit.x, times)
            )
            / (2 * h)
            for e in np.eye(len(fit.theta))
        ],
        axis=-1,
    )
    want = J @ posterior.covariance @ np.swapaxes(J, -1, -2)
    close(covariance, want, tol.LAPLACE_DIFFERENCES)


@pytest.mark.parametrize("what", ["x", "y"])
def test_sensitivity_is_that_of_fits_made_anew(fit, what):
    x, y, h = fit.x, fit.y, 1e-4
    dot = fit.rng.standard_normal(x.shape if what == "x" else y.values.shape)

    def anew(step):
        moved_x = x + step * dot if what == "x" else x
        values = np.where(y.there, y.values + (step * dot if what == "y" else 0.0), np.nan)
        weights = np.where(y.there, y.weights, 1.0) if y.weighted else None
        return fit.fitted(moved_x, refode.Observations(y.times, values, weights=weights), fit.theta)

    got = fit.problem.sensitivity(fit.theta, x, y, **{f"{what}_dot": dot})
    close(got, (anew(h) - anew(-h)) / (2 * h), tol.LAPLACE_DIFFERENCES)


def test_missing_values_have_no_direction(fit):
    dot = fit.rng.standard_normal(fit.y.values.shape)
    got = fit.problem.sensitivity(fit.theta, fit.x, fit.y, y_dot=dot)
    spoiled = np.where(fit.y.there, dot, np.nan)
    assert (got == fit.problem.sensitivity(fit.theta, fit.x, fit.y, y_dot=spoiled)).all()


def test_leaving_out_is_one_step_of_newtons_from_the_optimum(fit):
    """By hand, from differences of what is observed."""
    found = fit.problem.leave_one_out(fit.theta, fit.x, fit.y)
    assert isinstance(found, LeftOut)
    theta, y, h, i = fit.theta, fit.y, 1e-5, 1
    H = np.array([fit.problem.hessian_vector(theta, e, fit.x, y) for e in np.eye(len(theta))])
    r = lambda at: np.nan_to_num(fit.problem.residuals(at, fit.x, y)[i]).ravel()  # noqa: E731
    J = np.stack([(r(theta + h * e) - r(theta - h * e)) / (2 * h) for e in np.eye(len(theta))], 1)
    w = y.weights[i].ravel()
    left = H - J.T @ (w[:, None] * J) / y.total
    step = np.linalg.solve(left, J.T @ (w * r(theta)) / y.total)
    close(found.theta[i] - theta, step, tol.LAPLACE_DIFFERENCES)
    seen = np.where(y.there, fit.problem.residuals(found.theta[i], fit.x, y), 0.0)[i]
    close(found.losses[i], 0.5 * np.sum(y.weights[i] * seen**2), tol.LAPLACE_ROUNDING)
    assert found.predictions.shape == y.values.shape


def test_slices_know_whether_weights_were_given():
    y = refode.Observations([0.1, 0.2], np.array([[[1.0], [np.nan]], [[2.0], [3.0]]]))
    assert not y.weighted
    assert not y[:1].weighted
    assert (y[:1].there == y.there[:1]).all()
    assert refode.Observations([0.1, 0.2], y.values, weights=2.0)[:1].weighted


def test_gauss_newton_trains_and_bears_error_bars(fit):
    """The same optimum, and its curvature by products with unit vectors."""
    start = fit.problem.initial(3)
    result = refode.train(
        fit.problem, fit.x, fit.y, theta0=start, method="gn-cg", tolerance=1e-9, progress=False
    )
    assert result.success
    posterior = fit.problem.laplace(result.x, fit.x, fit.y, curvature="gauss_newton", noise=1.0)
    G = [fit.problem.gauss_newton_vector(result.x, v, fit.x, fit.y) for v in np.eye(len(result.x))]
    close(posterior.covariance, np.linalg.inv(G) / fit.y.total, tol.LAPLACE_ROUNDING)


def test_bad_input_is_named():
    fit = Fit(False)
    problem, theta, x, y = fit.problem, fit.theta, fit.x, fit.y
    for dot in ({}, {"x_dot": None, "y_dot": None}):
        with pytest.raises(TypeError, match="^x_dot, y_dot: got None for all"):
            problem.sensitivity(theta, x, y, **dot)
    with pytest.raises(ValueError, match=r"^y_dot: got shape \(5, 6\), wanted \(5, 6, 2\)"):
        problem.sensitivity(theta, x, y, y_dot=np.zeros((5, 6)))
    with pytest.raises(ValueError, match="^x_dot"):
        problem.sensitivity(theta, x, y, x_dot=np.zeros((4, 2)))
    with pytest.raises(TypeError, match="^times: got 0 arguments after x"):
        problem.laplace(theta, x, y).predictive(x)
    loose = refode.TrajectoryFitting(problem.ode, observed=[[1.0, 0.0]])
    one = refode.Observations([0.2], np.ones((5, 1, 1)))
    with pytest.raises(ValueError, match="^theta: got one where the Hessian's least eigenvalue is"):
        loose.laplace(loose.initial(), x, one)
    shooting = refode.TrajectoryFitting(problem.ode, shooting=[0.5], n_samples=5)
    for method in ("laplace", "covariance", "leave_one_out"):
        with pytest.raises(ValueError, match=f"^shooting: got times with {method}"):
            getattr(shooting, method)(shooting.initial(), x, y)
