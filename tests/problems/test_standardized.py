"""Problems that shift and scale raw data, held to the plain problem fed with scaled data."""

from __future__ import annotations

import re
from pathlib import Path

import flow_cases
import numpy as np
import pytest
import supervised_cases
import tolerances as tol
from contract import close, same

import refode
from refode import fields, verify
from refode.problems.scaling import Scaling

SUPERVISED = [c for c in supervised_cases.CASES if c.field == "small"]
FLOWS = [
    flow_cases.FlowCase("small"),
    flow_cases.FlowCase("small", trace="gaussian", transport=0.0),
]


def over(cases):
    return pytest.mark.parametrize("case", cases, ids=str)


def raw(x, seed=0):
    """The same samples in other units, and what must become of the units, worked out here."""
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.uniform(-3, 5, x.shape[1])
    given = 1e3 * rng.standard_normal(x.shape[1]) + units * x
    mean = np.array([sum(column) / len(column) for column in given.T])
    deviation = np.array(
        [
            (sum((a - m) ** 2 for a in column) / len(column)) ** 0.5
            for column, m in zip(given.T, mean, strict=True)
        ]
    )
    return given, mean, np.where(deviation == 0.0, 1.0, deviation)


class Supervised:
    """A case with raw data, its standardised problem, and the plain one with scaled data."""

    def __init__(self, case):
        self.plain, (self.theta, x, y) = case.problem, case.draw()
        self.x, mean, deviation = raw(x)
        self.scaled, self.y = (self.x - mean) / deviation, y
        self.data = self.scaled, y
        self.mean_y, self.unit_y = 0.0, 1.0
        if case.loss == "regression":
            self.y, self.mean_y, self.unit_y = raw(y, 1)
            self.data = self.scaled, (self.y - self.mean_y) / self.unit_y
        self.problem = self.plain.standardized(self.x, self.y)


# --- supervised learning ---------------------------------------------------------------------
@pytest.mark.nojit
@over(SUPERVISED)
def test_supervised_is_the_plain_problem_of_scaled_data(case):
    of = Supervised(case)
    value, gradient = of.problem.value_and_gradient(of.theta, of.x, of.y)
    want, want_gradient = of.plain.value_and_gradient(of.theta, *of.data)
    close(value, want, tol.SUPERVISED_VALUE)
    close(gradient, want_gradient, tol.SUPERVISED_GRADIENT)
    close(of.problem.value(of.theta, of.x, of.y), want, tol.SUPERVISED_VALUE)
    for name, term in of.problem.costs(of.theta, of.x, of.y).items():
        close(term, of.plain.costs(of.theta, *of.data)[name], tol.SUPERVISED_VALUE)
    outputs = of.plain.predict(of.theta, of.scaled)
    close(of.problem.predict(of.theta, of.x), of.mean_y + of.unit_y * outputs, 1e-12)
    assert of.problem.predict(of.theta, of.x).shape == outputs.shape
    close(of.problem.features(of.theta, of.x), of.plain.features(of.theta, of.scaled), 1e-12)
    if case.loss == "regression":
        residuals = of.problem.residuals(of.theta, of.x, of.y)
        close(residuals, of.unit_y * of.plain.residuals(of.theta, *of.data), 1e-11)
        close(of.problem.score(of.theta, of.x, of.y), of.plain.score(of.theta, *of.data), 1e-12)
    else:
        close(
            of.problem.predict_proba(of.theta, of.x),
            of.plain.predict_proba(of.theta, of.scaled),
            1e-12,
        )


@over(SUPERVISED)
def test_supervised_second_order_and_steps(case):
    of = Supervised(case)
    v = np.random.default_rng(2).standard_normal(of.theta.size)
    for name in ("hessian_vector", "gauss_newton_vector"):
        product = getattr(of.problem, name)(of.theta, v, of.x, of.y)
        close(product, getattr(of.plain, name)(of.theta, v, *of.data), 1e-11)
    finer = of.problem.with_steps(5)
    assert finer.scalings == of.problem.scalings
    want = of.plain.with_steps(5).value(of.theta, *of.data)
    close(finer.value(of.theta, of.x, of.y), want, tol.SUPERVISED_VALUE)


@over([c for c in SUPERVISED if c.augment or not c.readout])
def test_the_transport_view_is_in_the_data_s_units(case):
    """u((x, 0), t0) = F(x), and u solves the transport equation: constant along raw paths."""
    of = Supervised(case)
    problem, (t0, T) = of.problem, of.plain.ode.t_span
    zeros = np.zeros((len(of.x), case.augment))
    padded = np.concatenate([of.x, zeros], axis=1)
    F = problem.predict(of.theta, of.x)
    close(problem.transported(of.theta, padded, t0), F, 1e-12)
    end = of.plain.features(of.theta, of.scaled)
    if problem.x_scaling is not None:
        end[:, : problem.n_inputs] = problem.x_scaling.undo(end[:, : problem.n_inputs])
    close(problem.transported(of.theta, end, T), F, 1e-12)


@over([SUPERVISED[0], SUPERVISED[3]])
def test_supervised_gradient_by_taylor_and_complex_step(case):
    of = Supervised(case)
    report = verify.check_gradient(
        lambda th: of.problem.value(th, of.x, of.y),
        lambda th: of.problem.value_and_gradient(th, of.x, of.y)[1],
        of.theta,
        hessian_vector=lambda th, v: of.problem.hessian_vector(th, v, of.x, of.y),
        n_directions=2,
        print_table=False,
    )
    assert report.passed, report


def test_targets_of_a_regression_alone_are_scaled():
    ode = refode.NeuralODE(fields.Shallow(2, 3))
    x, labels = np.random.default_rng(0).standard_normal((6, 2)), np.array([0, 1, 0, 1, 1, 0])
    for loss in ("logistic", "regression"):
        problem = refode.Supervised(ode, loss)
        assert list(problem.standardized(x).scalings) == ["x_scaling"]
    assert refode.Supervised(ode, "logistic").standardized(x, labels).y_scaling is None
    y = refode.Supervised(ode, "regression").standardized(x, 1.0 * labels).y_scaling
    assert y == Scaling.of("y", labels[:, None])
    with pytest.raises(ValueError, match=r"^y: got 7 at index 2, wanted labels 0 or 1"):
        refode.Supervised(ode, "logistic").standardized(x, [0, 1, 7, 0, 1, 0])


# --- flows -----------------------------------------------------------------------------------
class Flow:
    def __init__(self, case):
        self.plain, (self.theta, y, self.rng) = case.flow, case.draw()
        self.y, self.mean, self.unit = raw(y)
        self.scaled = (self.y - self.mean) / self.unit
        self.log = sum(np.log(self.unit))
        self.flow = self.plain.standardized(self.y)


@over(FLOWS)
def test_a_flow_is_the_plain_one_of_scaled_data_but_for_the_scale_s_determinant(case):
    of = Flow(case)
    value, gradient = of.flow.value_and_gradient(of.theta, of.y)
    want, want_gradient = of.plain.value_and_gradient(of.theta, of.scaled)
    close(value, want + of.log, 1e-12)
    close(of.flow.value(of.theta, of.y), want + of.log, 1e-12)
    close(gradient, want_gradient, 1e-12)
    costs, plain = of.flow.costs(of.theta, of.y), of.plain.costs(of.theta, of.scaled)
    close(costs["likelihood"], plain["likelihood"] + of.log, 1e-12)
    close(costs["transport"], plain["transport"], 1e-12)
    along = of.flow.transport_cost(of.theta, of.y)
    close(along, of.plain.transport_cost(of.theta, of.scaled), 1e-12)
    if case.trace == "exact":
        v = of.rng.standard_normal(of.theta.size)
        product = of.flow.hessian_vector(of.theta, v, of.y)
        close(product, of.plain.hessian_vector(of.theta, v, of.scaled), 1e-11)
    for other in (of.flow.with_steps(5), of.flow.with_noise(7)):
        assert other.scalings == of.flow.scalings
    assert of.flow.with_noise(7).noise_seed == 7


@over(FLOWS[:1])
@pytest.mark.parametrize("t", [None, 0.4, flow_cases.T_SPAN[0]])
def test_densities_and_maps_of_a_flow_are_in_the_data_s_units(case, t):
    of = Flow(case)
    density = of.flow.log_density(of.theta, of.y, t=t)
    close(density, of.plain.log_density(of.theta, of.scaled, t=t) - of.log, 1e-12)
    x, log_det = of.flow.inverse(of.theta, of.y)
    close(x, of.plain.inverse(of.theta, of.scaled)[0], 1e-12)
    close(log_det, of.plain.inverse(of.theta, of.scaled)[1] - of.log, 1e-12)
    exact = of.flow.log_det_exact(of.theta, of.y)
    close(exact, of.plain.log_det_exact(of.theta, of.scaled) - of.log, 1e-12)
    generated = of.flow.generate(of.theta, x)
    close(generated, of.mean + of.unit * of.plain.generate(of.theta, x), 1e-12)
    same(of.flow.sample(of.theta, 4, seed=3), of.flow.generate(of.theta, _normals(4, 3)))
    path = of.flow.trajectory(of.theta, x)
    same(path[-1], generated)
    close(path[0], of.mean + of.unit * x, 1e-12)
    back = of.flow.trajectory(of.theta, of.y, inverse=True)
    close(back[0], of.y, 1e-12)
    close(back[-1], of.mean + of.unit * x, 1e-12)


def _normals(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 2))


@over(FLOWS[:1])
def test_a_flow_s_density_on_a_grid_integrates_to_one_in_the_data_s_units(case):
    of = Flow(case)
    axes = [m + s * np.linspace(-12.0, 12.0, 161) for m, s in zip(of.mean, of.unit, strict=True)]
    density = of.flow.density_on_grid(0.3 * of.theta, *axes)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert abs(density.sum() * cell - 1.0) < 1e-3  # the scheme's three steps


@over(FLOWS[:1])
def test_a_flow_s_gradient_by_taylor_and_complex_step(case):
    of = Flow(case)
    report = verify.check_gradient(
        lambda th: of.flow.value(th, of.y),
        lambda th: of.flow.value_and_gradient(th, of.y)[1],
        of.theta,
        hessian_vector=lambda th, v: of.flow.hessian_vector(th, v, of.y),
        n_directions=2,
        print_table=False,
    )
    assert report.passed, report


@over(FLOWS[:1])
def test_second_derivatives_are_symmetric(case):
    """The dot test: <u, H v> = <H u, v>, for a flow and for Gauss-Newton's J^T J."""
    of = Flow(case)
    verify.dot_test(
        lambda v: of.flow.hessian_vector(of.theta, v, of.y),
        lambda u: of.flow.hessian_vector(of.theta, u, of.y),
        of.theta.size,
        of.theta.size,
    )


# --- the page -------------------------------------------------------------------------------------
def test_the_page_s_example_runs(capsys):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    found = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], found)
    success, score, mean = capsys.readouterr().out.split()
    assert success == "True"
    score, mean = float(score), float(mean)
    assert score > 0.95
    assert abs(mean - found["y"].mean()) < 3.0
    assert found["density"].shape == (200,)


@pytest.mark.parametrize("value", [0.1, 1.0 / 3.0, 7e299, -7.7e-300])
@pytest.mark.parametrize("weighed", [False, True])
def test_a_constant_column_is_shifted_to_zero_exactly(value, weighed):
    """Its mean by itself is often off by rounding, and the deviation then 1e-17 of it, not 0."""
    for n in range(2, 40):
        weights = np.random.default_rng(n).uniform(0.1, 5.0, n) if weighed else None
        made = Scaling.of("x", np.full((n, 1), value), weights)
        assert (made.shift[0], made.scale[0]) == (value, 1.0)
