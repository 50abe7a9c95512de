"""Laplace's approximation: exact numbers, brute force by differences, evidence by quadrature."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import optima
import pytest
import tolerances as tol
from optima import FLOWS, NAMES, RIDGE, RIDGE_A, RIDGE_THETA, RIDGE_X, RIDGE_Y, dense, fitted

import refode
from refode.costs.losses import Regression

CURVATURES = ("hessian", "gauss_newton")


def near(got, wanted, bound):
    """Entries to within `bound` of the largest one."""
    wanted = np.asarray(wanted, dtype=float)
    assert np.shape(got) == wanted.shape
    assert np.abs(got - wanted).max() <= bound * max(np.abs(wanted).max(), 1e-300)


def richardson(function, theta):
    """The derivative of a function of theta, by central differences of two steps."""
    columns = []
    for unit in np.eye(len(theta)):
        halves = [
            (function(theta + h * unit) - function(theta - h * unit)) / (2.0 * h)
            for h in (1e-3, 5e-4)
        ]
        columns.append((4.0 * halves[1] - halves[0]) / 3.0)
    return np.stack(columns, axis=-1)


# --- where everything is exact ----------------------------------------------------------------
@pytest.mark.nojit
@pytest.mark.parametrize("curvature", CURVATURES)
def test_ridge_regression(curvature):
    """Rational numbers, worked out by hand: 945 is 8 det(X^T X + I/2) 5/3."""
    post = RIDGE.laplace(RIDGE_THETA, RIDGE_X, RIDGE_Y, noise=0.04, curvature=curvature)
    assert RIDGE.value(RIDGE_THETA, RIDGE_X, RIDGE_Y) == pytest.approx(
        0.118232804232804233, abs=tol.LAPLACE_RIDGE
    )
    assert post.std("A").shape == (1, 2, 2)
    assert post.std("A")[0, 0, 0] ** 2 == pytest.approx(0.0182010582010582011, abs=1e-15)
    mean, covariance = post.predictive([[0.5, -1.0]])
    near(
        mean,
        [
            [
                0.5 + RIDGE_A[0] @ [0.5, -1.0] + 1.0 / 9.0,
                -1.0 + RIDGE_A[1] @ [0.5, -1.0] - 1.0 / 45.0,
            ]
        ],
        tol.LAPLACE_RIDGE,
    )
    near(covariance, 0.0528042328042328042 * np.eye(2)[None], tol.LAPLACE_RIDGE)
    assert post.log_evidence == pytest.approx(-14.2144660405340048, abs=tol.LAPLACE_RIDGE)
    # -2 log det of the 3 x 3 matrix, of which there are two
    near(np.linalg.slogdet(post.covariance / 0.04 * 5.0)[1], 1.13479195050876996, 1e-12)
    assert post.away < 1e-13
    assert (post.curvature, post.noise, post.total) == (curvature, 0.04, 5.0)


def test_evidence_is_that_of_the_marginal_gaussian():
    """Linear in theta: y - x ~ N(0, sigma^2 I + X X^T sigma^2/(N tau)), each column."""
    post = RIDGE.laplace(RIDGE_THETA, RIDGE_X, RIDGE_Y, noise=0.04)
    X = np.column_stack([RIDGE_X, np.ones(5)])
    covariance = 0.04 * np.eye(5) + X @ X.T * (0.04 / (5 * 0.1))
    t = RIDGE_Y - RIDGE_X
    exact = -0.5 * np.trace(t.T @ np.linalg.solve(covariance, t))
    exact -= np.linalg.slogdet(2.0 * np.pi * covariance)[1]
    assert post.log_evidence == pytest.approx(exact, abs=1e-12)


def test_degrees_of_freedom_are_the_trace_of_the_hat_matrix():
    X = np.column_stack([RIDGE_X, np.ones(5)])
    hat = X @ np.linalg.solve(X.T @ X + 0.5 * np.eye(3), X.T)
    post = RIDGE.laplace(RIDGE_THETA, RIDGE_X, RIDGE_Y)
    assert post.p_eff == pytest.approx(2.0 * np.trace(hat), abs=1e-13)
    squares = (RIDGE.residuals(RIDGE_THETA, RIDGE_X, RIDGE_Y) ** 2).sum()
    assert post.noise == pytest.approx(squares / (10.0 - 2.0 * np.trace(hat)), abs=1e-14)


def test_directions_of_negative_curvature_determine_nothing():
    """Measured 7.6 and 5.9; the trace alone, whose negative terms have no bound, is 1.6."""
    of = fitted("standardised")
    H = dense(lambda v: of.problem.hessian_vector(of.theta, v, *of.data), of.theta)
    assert np.linalg.eigvalsh(H)[0] < 0.01 < of.problem.tikhonov
    assert np.trace(np.linalg.solve(H, H - 0.02 * np.eye(len(H)))) < 2.0
    hessian, gauss_newton = (
        of.problem.laplace(of.theta, *of.data, curvature=curvature) for curvature in CURVATURES
    )
    assert 5.0 < gauss_newton.p_eff < hessian.p_eff < 9.0


def test_the_estimated_noise_is_that_of_the_data():
    """Without a prior to speak of, the expectation of |r|^2/(n - p) is sigma^2."""
    rng, found = np.random.default_rng(0), []
    x = rng.normal(size=(8, 2))
    ode = refode.NeuralODE(refode.fields.Affine(2), scheme="euler", n_steps=1)
    problem = refode.Supervised(ode, "regression", 2, readout=False, tikhonov=1e-9)
    for _ in range(200):
        y = x + 0.3 * rng.normal(size=x.shape)
        X = np.column_stack([x, np.ones(8)])
        coefficients = np.linalg.solve(X.T @ X + 8e-9 * np.eye(3), X.T @ (y - x))
        theta = problem.pack({"A": coefficients[:2].T[None].copy(), "c": coefficients[2:].copy()})
        found.append(problem.laplace(theta, x, y, curvature="gauss_newton").noise)
    # 10 degrees of freedom: the mean of 200 estimates is off by sqrt(2/2000) = 3 %
    assert np.mean(found) == pytest.approx(0.09, rel=5 * 0.0316)


# --- against brute force ----------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES + FLOWS)
def test_covariance_by_differences_of_gradients(name):
    of = fitted(name)
    post = of.problem.laplace(of.theta, *of.data, **of.named)
    H = richardson(of.gradient, of.theta)
    scale = post.noise / post.total
    near(post.covariance, scale * np.linalg.inv(H), tol.LAPLACE_DIFFERENCES)
    assert post.least_eigenvalue == pytest.approx(np.linalg.eigvalsh(H)[0], rel=1e-6)
    prior = of.problem.tikhonov * np.eye(len(of.theta))
    if name == "smooth":
        J = np.array([[1.0, -1.0], [-1.0, 1.0]])  # |theta_2 - theta_1|^2/2, on [0, 1]
        for place in of.problem.ode.layout.slices.values():
            prior[place, place] += 0.3 * np.kron(J, np.eye((place.stop - place.start) // 2))
    parts = np.linalg.eigvals(np.linalg.solve(H, H - prior)).real
    assert post.p_eff == pytest.approx(parts[parts > 0.0].sum(), abs=1e-6)
    wanted = of.problem.unpack(np.sqrt(np.diagonal(post.covariance)))
    for block, array in wanted.items():
        assert np.array_equal(post.std(block), array)


@pytest.mark.parametrize("name", NAMES + FLOWS)
@pytest.mark.parametrize("curvature", CURVATURES)
def test_predictive_by_differences_of_predictions(name, curvature):
    of = fitted(name)
    if name in FLOWS and curvature == "gauss_newton":
        pytest.skip("a flow has none")
    post = of.problem.laplace(of.theta, *of.data, **of.named, curvature=curvature)
    x = np.random.default_rng(1).normal(size=(4, 2))
    outputs = of.problem.generate if name in FLOWS else of.problem.predict
    mean, covariance = post.predictive(x)
    near(mean, outputs(of.theta, x), 1e-14)
    J = richardson(lambda theta: outputs(theta, x), of.theta)
    near(covariance, np.einsum("nip,pq,njq->nij", J, post.covariance, J), tol.LAPLACE_SPREAD)
    assert np.array_equal(covariance, np.swapaxes(covariance, 1, 2))


@pytest.mark.parametrize("name", ["regression", "weighted", "logistic", "softmax", "standardised"])
def test_gauss_newton_is_the_outputs_jacobians_and_the_loss_s_hessian(name):
    of = fitted(name)
    post = of.problem.laplace(of.theta, *of.data, **of.named, curvature="gauss_newton")
    x = of.data[0]
    scale = of.problem.y_scaling.scale if name == "standardised" else 1.0
    J = richardson(lambda theta: of.problem.predict(theta, x) / scale, of.theta)
    w = of.named.get("sample_weight", np.ones(len(x)))
    p = np.empty((len(x), 0)) if isinstance(of.problem._loss, Regression) else None
    m = J.shape[1]
    if p is not None:
        inner = np.tile(np.eye(m), (len(x), 1, 1))
    elif name == "logistic":
        p = of.problem.predict_proba(of.theta, x)
        inner = (p[:, 0] * p[:, 1])[:, None, None]
    else:
        p = of.problem.predict_proba(of.theta, x)
        inner = p[:, :, None] * np.eye(m) - p[:, :, None] * p[:, None, :]
    G = np.einsum("n,nip,nij,njq->pq", w / w.sum(), J, inner, J) + 0.02 * np.eye(len(of.theta))
    near(post.covariance, post.noise / w.sum() * np.linalg.inv(G), tol.LAPLACE_DIFFERENCES)


def test_draws_have_the_posterior_s_moments():
    post = fitted("regression").problem.laplace(
        fitted("regression").theta, *fitted("regression").data
    )
    draws = post.sample(20000, seed=4)
    assert np.array_equal(draws, post.sample(20000, seed=4))
    assert not np.array_equal(draws, post.sample(20000, seed=5))
    white = np.linalg.solve(np.linalg.cholesky(post.covariance), (draws - post.theta).T)
    assert np.abs(white.mean(axis=1)).max() < 5 / np.sqrt(20000)
    assert np.abs(white @ white.T / 20000 - np.eye(len(white))).max() < 5 * np.sqrt(2 / 20000)
    assert post.sample(1).shape == (1, len(post.theta))


# --- evidence by quadrature -------------------------------------------------------------------
def scalar_model(theta, x):
    """F of z' = a z + c by four steps of RK4, for thetas (..., 2) and x (N,)."""
    a, c = theta[..., :1], theta[..., 1:]
    z, h = np.broadcast_to(x, (*theta.shape[:-1], len(x))), 0.25
    for _ in range(4):
        k1 = a * z + c
        k2 = a * (z + h / 2 * k1) + c
        k3 = a * (z + h / 2 * k2) + c
        k4 = a * (z + h * k3) + c
        z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return z


def log_integral(post, log_density):
    """log of the integral over the plane, by the trapezoidal rule around the posterior."""
    t = np.linspace(-9.0, 9.0, 181)
    axes = np.linalg.cholesky(post.covariance)
    grid = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1)
    values = log_density(post.theta + grid @ axes.T)
    top = values.max()
    area = (t[1] - t[0]) ** 2 * np.abs(np.linalg.det(axes))
    return top + np.log(np.exp(values - top).sum() * area)


def log_prior(theta, precision):
    return np.log(precision / (2 * np.pi)) - 0.5 * precision * (theta**2).sum(axis=-1)


SCALAR = refode.NeuralODE(refode.fields.Affine(1), n_steps=4)


@pytest.mark.parametrize("loss", ["regression", "logistic"])
def test_evidence_by_quadrature(loss):
    """M enters by weights: with ten times as much data Laplace's error is a tenth."""
    x = np.linspace(-1.2, 1.0, 12)
    noise = np.random.default_rng(2).normal(size=12)
    y = np.exp(0.4) * x + 0.2 + 0.5 * noise
    y = (y > 0.0).astype(int) if loss == "logistic" else y
    y[3] = 1 if loss == "logistic" else y[3]
    problem = refode.Supervised(SCALAR, loss, 1, readout=False, tikhonov=0.2)
    errors = []
    for repeated in (1, 10):
        many = np.repeat(x, repeated)[:, None], np.repeat(y, repeated)
        theta = optima.optimum(problem, *many)
        given = 0.3 if loss == "regression" else None
        post = problem.laplace(theta, *many, noise=given)
        M = 12 * repeated

        def log_density(theta, M=M, noise=post.noise):
            F = scalar_model(theta, x)
            if loss == "regression":
                fit = -0.5 * ((F - y) ** 2 / noise + np.log(2 * np.pi * noise)).sum(axis=-1)
            else:
                fit = (y * F - np.logaddexp(0.0, F)).sum(axis=-1)
            return fit * (M / 12) + log_prior(theta, M * 0.2 / noise)

        errors.append(post.log_evidence - log_integral(post, log_density))
    assert 1e-6 < abs(errors[1]) < 0.05
    assert tol.LAPLACE_TENTH[0] < errors[0] / errors[1] < tol.LAPLACE_TENTH[1]


def test_evidence_of_a_flow_by_quadrature():
    y = np.random.default_rng(5).normal(size=20) * 1.7 + 0.4
    flow = refode.ContinuousNormalizingFlow(SCALAR, tikhonov=0.2)
    errors = []
    for repeated in (1, 10):
        many = np.repeat(y, repeated)[:, None]
        post = flow.laplace(optima.optimum(flow, many), many)

        def log_density(theta, repeated=repeated):
            # backwards in time z' = a z + c has -a, -c, and the trace's integral is a in all
            w = scalar_model(-theta, y)
            l = -theta[..., 0]  # noqa: E741
            fit = (-0.5 * w**2 - 0.5 * np.log(2 * np.pi)).sum(axis=-1) + 20 * l
            return fit * repeated + log_prior(theta, 20 * repeated * 0.2)

        errors.append(post.log_evidence - log_integral(post, log_density))
    assert 1e-6 < abs(errors[1]) < 0.05
    assert tol.LAPLACE_TENTH[0] < errors[0] / errors[1] < tol.LAPLACE_TENTH[1]


def test_units_change_densities_and_nothing_else():
    """A standardised problem's posterior is that of scaled data; p(y) is in y's own units."""
    of = fitted("standardised")
    x, y = of.data
    plain = refode.Supervised(of.problem.ode, "regression", 2, tikhonov=0.02)
    scaled = of.problem.x_scaling.apply("x", x), of.problem.y_scaling.apply("y", y)
    here, there = of.problem.laplace(of.theta, x, y), plain.laplace(of.theta, *scaled)
    near(here.covariance, there.covariance, 1e-14)
    scale = of.problem.y_scaling.scale
    near(here.predictive(x)[1], there.predictive(scaled[0])[1] * np.outer(scale, scale), 1e-12)
    wanted = there.log_evidence - len(x) * np.log(scale).sum()
    assert here.log_evidence == pytest.approx(wanted, abs=1e-10)


# --- weights ----------------------------------------------------------------------------------
def test_integer_weights_are_repeated_samples():
    of = fitted("logistic")
    w = np.random.default_rng(0).integers(0, 4, len(of.data[0]))
    theta = optima.optimum(of.problem, *of.data, sample_weight=w)
    one = of.problem.laplace(theta, *of.data, sample_weight=w)
    other = of.problem.laplace(theta, *(np.repeat(a, w, axis=0) for a in of.data))
    near(one.covariance, other.covariance, tol.LAPLACE_ROUNDING)
    assert one.total == other.total == w.sum()
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-9)


def test_a_weight_of_a_regression_is_a_precision():
    """Variance sigma^2/w: a factor of all weights goes into sigma^2, and p(y) stays."""
    of = fitted("weighted")
    w = of.named["sample_weight"]
    one = of.problem.laplace(of.theta, *of.data, sample_weight=w)
    other = of.problem.laplace(of.theta, *of.data, sample_weight=5.0 * w)
    near(other.covariance, one.covariance, tol.LAPLACE_ROUNDING)
    assert other.noise == pytest.approx(5.0 * one.noise, rel=1e-12)
    assert other.log_evidence == pytest.approx(one.log_evidence, abs=1e-10)
    # weight 0 is absence
    keep = w > 0.0
    third = of.problem.laplace(of.theta, *(a[keep] for a in of.data), sample_weight=w[keep])
    assert third.log_evidence == pytest.approx(one.log_evidence, abs=1e-12)
    # equal weights are no weights, but for the unit of sigma^2
    theta = fitted("regression").theta
    data = fitted("regression").data
    plain = of.problem.laplace(theta, *data)
    equal = of.problem.laplace(theta, *data, sample_weight=np.full(40, 4.0))
    near(equal.covariance, plain.covariance, 1e-14)
    assert equal.log_evidence == pytest.approx(plain.log_evidence, abs=1e-11)


# --- the object -------------------------------------------------------------------------------
def test_it_is_fixed_and_copies_are_equal():
    post = RIDGE.laplace(RIDGE_THETA, RIDGE_X, RIDGE_Y)
    assert "p_eff=4.42328" in repr(post)
    with pytest.raises(AttributeError, match="^noise: got"):
        post.noise = 2.0
    for array in (post.theta, post.covariance):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    for other in (copy.deepcopy(post), pickle.loads(pickle.dumps(post))):
        assert np.array_equal(other.sample(3), post.sample(3))
        assert np.array_equal(other.predictive(RIDGE_X)[1], post.predictive(RIDGE_X)[1])


def test_away_is_the_distance_in_standard_deviations():
    """Exact for a quadratic objective; beyond a tenth it is said."""
    post = RIDGE.laplace(RIDGE_THETA, RIDGE_X, RIDGE_Y, noise=0.04)
    step = np.linalg.cholesky(post.covariance)[:, 0]  # one standard deviation
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        near_by = RIDGE.laplace(RIDGE_THETA + 0.09 * step, RIDGE_X, RIDGE_Y, noise=0.04)
    assert near_by.away == pytest.approx(0.09, rel=1e-9)
    with pytest.warns(RuntimeWarning, match=r"^theta: got one that is 2 standard dev") as caught:
        RIDGE.laplace(RIDGE_THETA + 2.0 * step, RIDGE_X, RIDGE_Y, noise=0.04)
    assert caught[0].filename == __file__


# --- bad input --------------------------------------------------------------------------------
def test_a_saddle_is_refused_with_its_least_eigenvalue():
    of = fitted("regression")
    theta = of.problem.initial(1)
    H = dense(lambda v: of.problem.hessian_vector(theta, v, *of.data), theta)
    least = np.linalg.eigvalsh(H)[0]
    assert least < 0.0
    with pytest.raises(
        ValueError, match=rf"^theta: .*Hessian's least eigenvalue is {least:.3g} .*gauss_newton"
    ):
        of.problem.laplace(theta, *of.data)
    with pytest.warns(RuntimeWarning, match="^theta: got one that is"):
        of.problem.laplace(theta, *of.data, curvature="gauss_newton")


def test_flat_directions_are_refused():
    of = fitted("regression")
    problem = refode.Supervised(of.problem.ode, "regression", 2)
    with pytest.raises(
        ValueError, match=r"^theta: .*Gauss-Newton matrix's least .*larger tikhonov"
    ):
        problem.laplace(of.theta, *of.data, curvature="gauss_newton")


def test_no_evidence_without_a_proper_prior():
    ode = refode.NeuralODE(refode.fields.Affine(2), scheme="euler", n_steps=1)
    problem = refode.Supervised(ode, "regression", 2, readout=False)
    post = problem.laplace(
        optima.optimum(problem, RIDGE_X, RIDGE_Y, theta0=RIDGE_THETA), RIDGE_X, RIDGE_Y
    )
    assert post.p_eff == pytest.approx(6.0, abs=1e-12)
    with pytest.raises(
        ValueError, match=r"^log_evidence: got tikhonov=0\.0, whose prior has no nor"
    ):
        _ = post.log_evidence
    y = fitted("flow").data[0]
    flow = refode.ContinuousNormalizingFlow(fitted("flow").problem.ode, 0.3, tikhonov=0.1)
    post = flow.laplace(optima.optimum(flow, y), y)
    with pytest.raises(ValueError, match=r"^log_evidence: got transport=0\.3, a prior of unknown"):
        _ = post.log_evidence


HERE = (RIDGE_THETA, RIDGE_X, RIDGE_Y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: RIDGE.laplace(*HERE, noise=0.0), ValueError, "noise: got 0.0, wanted"),
        (lambda: RIDGE.laplace(*HERE, noise="big"), TypeError, "noise: got 'big'"),
        (
            lambda: RIDGE.laplace(*HERE, curvature="fisher"),
            ValueError,
            "curvature: got 'fisher', w",
        ),
        (lambda: RIDGE.laplace(HERE[0][1:], *HERE[1:]), ValueError, "theta: got an array of shape"),
        (lambda: RIDGE.laplace(*HERE[:2], RIDGE_Y[1:]), ValueError, "y: got an array of shape"),
        (
            lambda: RIDGE.laplace(*HERE, sample_weight=-np.ones(5)),
            ValueError,
            "sample_weight: got -1.0 at index 0",
        ),
        (
            lambda: RIDGE.laplace(RIDGE_THETA, RIDGE_X, RIDGE.predict(RIDGE_THETA, RIDGE_X)),
            ValueError,
            r"noise: got None with 10 observed numbers for 4.42 parameters .* sum to 0:",
        ),
        (
            lambda: fitted("logistic").problem.laplace(
                fitted("logistic").theta, *fitted("logistic").data, noise=0.5
            ),
            ValueError,
            "noise: got 0.5 for a Supervised whose losses are minus the logarithm",
        ),
        (
            lambda: fitted("flow").problem.laplace(
                fitted("flow").theta, *fitted("flow").data, curvature="gauss_newton"
            ),
            ValueError,
            r"curvature: got 'gauss_newton' for ContinuousNormalizingFlow, wanted 'hessian' \(its",
        ),
        (
            lambda: refode.ContinuousNormalizingFlow(
                fitted("flow").problem.ode, trace="gaussian"
            ).laplace(fitted("flow").theta, *fitted("flow").data),
            ValueError,
            "trace: got 'gaussian', wanted 'exact' for second derivatives",
        ),
        (
            lambda: RIDGE.laplace(*HERE).std("B"),
            ValueError,
            "name: got 'B', wanted one of 'A', 'c'",
        ),
        (lambda: RIDGE.laplace(*HERE).std(3), TypeError, "name: got 3"),
        (lambda: RIDGE.laplace(*HERE).sample(0), ValueError, "n: got 0"),
        (lambda: RIDGE.laplace(*HERE).sample(2, seed=-1), ValueError, "seed: got -1"),
        (
            lambda: RIDGE.laplace(*HERE).sample(10**12),
            ValueError,
            r"n: got 1000000000000 \(int\), which wan",
        ),
        (lambda: RIDGE.laplace(*HERE).predictive([[1.0]]), ValueError, "x: got an array of shape"),
        (
            lambda: RIDGE.laplace(*HERE).predictive(None),
            TypeError,
            "x: got an array of dtype object",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
