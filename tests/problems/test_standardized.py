"""Problems that shift and scale raw data, held to the plain problem fed with scaled data."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import flow_cases
import numpy as np
import pytest
import supervised_cases
import tolerances as tol
from contract import close, same

import refode
from refode import fields, games, verify
from refode.densities import Gaussian
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


# --- scalings --------------------------------------------------------------------------------
@pytest.mark.nojit
def test_means_and_deviations_are_those_of_the_data():
    x = np.array([[1.0, 0.1, 1e9 - 1, 1e200], [3.0, 0.1, 1e9 + 1, -1e200], [5.0, 0.1, 1e9, 1e200]])
    scaling = Scaling.of("x", x)
    close(scaling.shift, [3.0, 0.1, 1e9, 1e200 / 3], 1e-15)
    close(scaling.scale, [np.sqrt(8 / 3), 1.0, np.sqrt(2 / 3), 1e200 * np.sqrt(8) / 3], 1e-15)
    same(scaling.apply("x", x)[:, 1], np.zeros(3))  # 3 * 0.1 / 3 is not 0.1
    close(scaling.undo(scaling.apply("x", x)), x, 1e-15)
    tiny = Scaling.of("x", np.array([[5e-324, 1e-310], [0.0, -1e-310]]))
    assert (tiny.scale > 0.0).all()


@pytest.mark.nojit
def test_one_sample_is_shifted_alone():
    same(Scaling.of("x", np.array([[4.0, -2.0]])).scale, np.ones(2))


@pytest.mark.nojit
def test_a_scaling_cannot_be_changed_and_survives_copies():
    given = np.array([1.0, 2.0])
    scaling = Scaling(given, [3.0, 0.1])
    given[0] = 7.0
    assert repr(scaling) == "Scaling(shift=[1.0, 2.0], scale=[3.0, 0.1])"
    assert eval(repr(scaling)) == scaling
    for other in (scaling, pickle.loads(pickle.dumps(scaling)), copy.deepcopy(scaling)):
        assert other == scaling
        assert hash(other) == hash(scaling)
        with pytest.raises(ValueError, match="read-only"):
            other.shift[0] = 0.0
        with pytest.raises(AttributeError, match=r"^scale: got 1\.0 for a Scaling that exists"):
            other.scale = 1.0
    assert scaling != Scaling([1.0, 2.0], [3.0, np.nextafter(0.1, 1)])


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [0.0]), r"^scale: got 0\.0, wanted numbers > 0"),
        (([0.0], [-1.0]), r"^scale: got -1\.0, wanted numbers > 0"),
        (([0.0, 1.0], [1.0]), r"^scale: got an array of shape \(1,\), wanted \(2,\)"),
        (([np.nan], [1.0]), r"^shift: got nan"),
    ],
)
def test_scalings_that_there_are_not(arguments, message):
    with pytest.raises(ValueError, match=message):
        Scaling(*arguments)


# --- who a standardised problem is -------------------------------------------------------------
ODE = refode.NeuralODE(fields.Shallow(2, 3))
X = np.array([[1e4, 1e-2], [2e4, 3e-2], [4e4, -1e-2], [0.0, 2e-2]])
Y = np.array([150.0, 151.0, 152.0, 149.0])


@pytest.mark.nojit
def test_repr_fingerprint_and_pickles_have_the_scalings():
    plain = refode.Supervised(ODE, "regression")
    problem = plain.standardized(X, Y)
    assert repr(plain) in repr(problem).replace(
        f", x_scaling={problem.x_scaling!r}, y_scaling={problem.y_scaling!r}", ""
    )
    flow = refode.ContinuousNormalizingFlow(ODE).standardized(X)
    assert repr(flow).endswith(f", y_scaling={flow.y_scaling!r})")
    for made in (problem, flow):
        again = pickle.loads(pickle.dumps(made))
        assert again.scalings == made.scalings
        assert again.fingerprint() == made.fingerprint()
    other = plain.standardized(X, Y + 1.0)
    assert other.fingerprint() != problem.fingerprint() != plain.fingerprint()
    assert other.standardized(X, Y).fingerprint() == problem.fingerprint()  # in place of the old


@pytest.mark.nojit
def test_a_fingerprint_tells_what_a_long_repr_leaves_out():
    plain = refode.Supervised(refode.NeuralODE(fields.Shallow(9, 1)), "regression")
    x = np.random.default_rng(0).standard_normal((4, 9))
    other = x.copy()
    other[:, 6] *= 2.0
    one, two = plain.standardized(x), plain.standardized(other)
    assert repr(one) == repr(two)
    assert one.fingerprint() != two.fingerprint()


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.standardized(np.ma.masked_array(X, X > 3e4)), r"^x: got a masked array"),
        (lambda p: p.standardized(np.where(X > 3e4, np.nan, X)), r"^x: got nan at index \(2, 0\)"),
        (lambda p: p.standardized(X[:, :1]), r"^x: got an array of shape \(4, 1\)"),
        (lambda p: p.standardized(X, Y[:3]), r"^y: got an array of shape \(3,\)"),
        (lambda p: p.standardized(X, [np.nan, 1, 2, 3]), r"^y: got nan at index 0"),
        (
            lambda p: p.standardized(X).predict(p.initial(), 1e308 * np.ones((1, 2))),
            r"^x: got 1e\+308 at index \(0, 1\), which is too many of the scale",
        ),
        (
            lambda p: refode.Supervised(ODE, "regression", x_scaling=Scaling([0.0], [1.0])),
            r"^x_scaling: got one of 1 columns, wanted 2",
        ),
        (
            lambda p: refode.Supervised(ODE, y_scaling=Scaling([0.0], [1.0])),
            r"^y_scaling: got one with loss='logistic', wanted 'regression'",
        ),
        (
            lambda p: refode.ContinuousNormalizingFlow(ODE, y_scaling=1.0),
            r"^y_scaling: got 1\.0 \(float\), wanted an instance of Scaling",
        ),
        (lambda p: _game().standardized(X), r"^problem: got a MeanFieldGame, whose densities and"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(refode.Supervised(ODE, "regression"))


def _game():
    normal = Gaussian([0.0, 0.0], 1.0)
    game = games.optimal_transport(normal, normal, alpha=1.0, terminal=1.0)
    return refode.MeanFieldGame(fields.Potential(2, 4), game)


# --- training ----------------------------------------------------------------------------------
def test_features_of_scales_1e4_and_1e_minus_2_train():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((300, 2))
    x, y = 1e5 + z * [1e4, 1e-2], (z[:, 0] * z[:, 1] > 0.0).astype(int)
    problem = refode.Supervised(refode.NeuralODE(fields.Shallow(2, 8))).standardized(x, y)
    result = refode.train(problem, x, y, max_iter=60, progress=False)
    assert result.status in (0, 1), result.message
    assert result.fun < 0.2
    assert (problem.predict_label(result.x, x) == y).mean() > 0.93


def test_a_target_of_mean_150_is_learned():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 2)) * [1e4, 1e-2] + [3e4, 0.0]
    y = 150.0 + 30.0 * np.sin(x[:, 0] / 1e4) + 20.0 * rng.standard_normal(300)
    problem = refode.Supervised(refode.NeuralODE(fields.Shallow(2, 8)), "regression")
    problem = problem.standardized(x, y)
    result = refode.train(problem, x, y, max_iter=60, progress=False)
    assert problem.score(result.x, x, y) > 0.3  # half of the variance is noise
    assert abs(problem.residuals(result.x, x, y).mean()) < 5.0


def test_the_diabetes_data_are_learned():
    """Raw: R^2 0.04, as the mean of 152 is all that is learned."""
    sets = pytest.importorskip("sklearn.datasets")
    x, y = sets.load_diabetes(return_X_y=True, scaled=False)
    ode = refode.NeuralODE(fields.Shallow(10, 8))
    problem = refode.Supervised(ode, "regression", tikhonov=0.01).standardized(x, y)
    result = refode.train(problem, x[::2], y[::2], max_iter=60, progress=False)
    assert problem.score(result.x, x[1::2], y[1::2]) > 0.3


def test_checkpoints_know_the_scaling(tmp_path):
    plain, file = refode.Supervised(ODE, "regression"), tmp_path / "run.npz"
    problem = plain.standardized(X, Y)
    first = refode.train(problem, X, Y, max_iter=2, progress=False, checkpoint=file)
    assert first.nit == 2
    whole = refode.train(problem, X, Y, max_iter=6, progress=False)
    resumed = refode.train(
        pickle.loads(pickle.dumps(problem)),
        X,
        Y,
        max_iter=6,
        progress=False,
        checkpoint=file,
        resume=True,
    )
    same(resumed.x, whole.x)
    for other in (plain, plain.standardized(X, Y + 1.0)):
        with pytest.raises(ValueError, match="the run of which differs in problem"):
            refode.train(other, X, Y, progress=False, checkpoint=file, resume=True)


def test_levels_and_redrawn_samples():
    plain = refode.Supervised(ODE, "regression")
    problem = plain.standardized(X, Y)
    scaled = (X - X.mean(axis=0)) / X.std(axis=0), (Y - Y.mean()) / Y.std()
    levels = [problem.with_steps(2), problem.with_steps(4)]
    result = refode.train_multilevel(levels, X, Y, max_iter=3, progress=False)
    wanted = refode.train_multilevel(
        [plain.with_steps(2), plain.with_steps(4)], *scaled, max_iter=3, progress=False
    )
    close(result.x, wanted.x, 1e-9)
    with pytest.raises(ValueError, match=r"^problems\[1\] after problems\[0\]: fine: got a Sup"):
        refode.train_multilevel([problem.with_steps(2), plain], X, Y, progress=False)
    again = refode.train_resampled(
        problem,
        lambda n, seed: (X[:n], Y[:n]),
        n_samples=4,
        every=2,
        max_iter=4,
        progress=False,
        validation_samples=(X, Y),
    )
    close(again.validation, problem.value(again.x, X, Y), 1e-13)


# --- predictions in one shape --------------------------------------------------------------------
@pytest.mark.parametrize("made", [lambda p: p, lambda p: p.standardized(X, Y)], ids=["raw", "std"])
def test_residuals_and_score_take_targets_of_one_axis_or_two(made):
    problem = made(refode.Supervised(ODE, "regression"))
    theta = 0.1 * problem.initial(1)
    F = problem.predict(theta, X)
    assert F.shape == (4, 1)
    same(problem.residuals(theta, X, Y), F[:, 0] - Y)
    same(problem.residuals(theta, X, Y[:, None]), F - Y[:, None])
    assert problem.residuals(theta, X, Y.tolist()).shape == (4,)
    want = 1.0 - ((F[:, 0] - Y) ** 2).sum() / ((Y - Y.mean()) ** 2).sum()
    for y in (Y, Y[:, None], Y.tolist()):
        close(problem.score(theta, X, y), want, 1e-12)


def test_a_standardised_loss_is_half_the_variance_that_is_not_explained():
    rng = np.random.default_rng(0)
    x, y = 1e4 * rng.standard_normal((9, 2)), 150.0 + rng.standard_normal((9, 3)) * [1.0, 30.0, 0.1]
    problem = refode.Supervised(ODE, "regression", n_outputs=3).standardized(x, y)
    theta = problem.initial()
    close(problem.value(theta, x, y), 1.5 * (1.0 - problem.score(theta, x, y)), 1e-13)


def test_the_score_of_several_outputs_is_the_mean_of_theirs():
    metrics = pytest.importorskip("sklearn.metrics")
    problem = refode.Supervised(ODE, "regression", n_outputs=3)
    rng = np.random.default_rng(0)
    x, y, theta = rng.standard_normal((9, 2)), rng.standard_normal((9, 3)), problem.initial()
    close(problem.score(theta, x, y), metrics.r2_score(y, problem.predict(theta, x)), 1e-13)
    with pytest.raises(ValueError, match=r"^y: got 2\.0 in all of output 1, wanted targets that"):
        problem.score(theta, x, np.column_stack([y[:, 0], np.full(9, 2.0), y[:, 2]]))


def test_labels_have_no_residuals():
    problem = refode.Supervised(ODE, "logistic")
    for method in (problem.residuals, problem.score):
        with pytest.raises(ValueError, match=r"^loss: got 'logistic', wanted 'regression'"):
            method(problem.initial(), X, [0, 1, 0, 1])
    regression = refode.Supervised(ODE, "regression")
    with pytest.raises(ValueError, match=r"^y: got an array of shape \(3,\), wanted \(4,\)"):
        regression.score(regression.initial(), X, Y[:3])


def test_the_page_s_example_runs(capsys):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    found = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], found)
    score, mean = map(float, capsys.readouterr().out.split())
    assert score > 0.95
    assert abs(mean - found["y"].mean()) < 3.0
    assert found["density"].shape == (200,)
