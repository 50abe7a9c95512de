"""Attributes of public objects are set once: what was checked there stays so."""

from __future__ import annotations

import copy
import inspect
from fractions import Fraction

import numpy as np
import pytest
from copies import same_again
from scipy.sparse import issparse

import refode
from refode import bases, closed_forms, densities, fields, games, packing, steps, tableaus
from refode._fixed import Fixed
from refode.costs import losses
from refode.reports.proofs.users_field import f, vjp

NORMAL = densities.Gaussian([0.0, 0.0], 1.0)
BUMP = games.GaussianBump(1.0, [0.0, 0.0], 0.5)
GAME = games.crowd_motion(NORMAL, NORMAL, obstacle=BUMP + games.Quadratic(0.5, [1.0, 0.0]))
ODE = refode.NeuralODE(fields.Shallow(2, 3), grid=[0.0, 0.2, 1.0])
ODE.solve(ODE.initial(), np.ones((2, 2)))  # with a plan that is kept

#: One object of every public class.
MADE = {
    type(made): made
    for made in (
        ODE,
        refode.Supervised(ODE, tikhonov=0.1),
        refode.ContinuousNormalizingFlow(ODE),
        refode.MeanFieldGame(fields.Potential(2, 3), GAME),
        refode.TrajectoryFitting(ODE, np.eye(2)),
        refode.Observations([0.3], np.ones((5, 1, 2))),
        fields.Affine(2),
        fields.Antisymmetric(2),
        fields.Field(2, {"A": (2, 2)}),
        fields.Hamiltonian(4),
        fields.Leapfrog(4, 3),
        fields.MLP(2, (3,)),
        fields.Parabolic(2, 3),
        fields.Potential(2, 3),
        fields.Shallow(2, 3),
        fields.User(f, dim=2, n_parameters=6, vjp=vjp),
        bases.Constant(),
        bases.PiecewiseConstant(3),
        bases.PiecewiseLinear(2),
        bases.Legendre(2),
        bases.BSpline(4),
        steps.Equal(3),
        steps.Given([0.0, 0.2, 1.0]),
        tableaus.get("dopri5"),
        tableaus.get("sdirk2"),
        tableaus.get("ros2"),
        packing.Layout({"W": (2, 3), "b": ()}),
        losses.Regression(),
        losses.Logistic(),
        losses.Softmax(),
        NORMAL,
        densities.GaussianMixture([0.5, 0.5], np.eye(2), 1.0),
        densities.Empirical(np.eye(2)),
        BUMP,
        games.Quadratic(1.0, [0.0, 1.0]),
        games.Nothing(),
        BUMP + BUMP,
        GAME,
        GAME.running_cost,
        GAME.interaction,
        GAME.terminal_cost,
        games.CrossEntropy(NORMAL),
        games.TerminalEnergy(BUMP, 0.7),
        closed_forms.ShallowFlow.drawn(2, [-1.0]),
        closed_forms.ParabolicFlow.drawn(2, [-1.0]),
    )
}
MODULES = (refode, fields, bases, steps, tableaus, packing, densities, games, losses)
over_all = pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)


def arrays_of(value):
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays_of(part)
    elif isinstance(value, dict):
        yield from arrays_of(list(value.values()))
    elif issparse(value):
        yield value.data
        yield value.indices
    elif isinstance(value, Fixed):
        for name in public(value):
            yield from arrays_of(getattr(value, name))


def public(made):
    return [name for name in dir(made) if not name.startswith("_")]


def test_every_public_class_is_here():
    found = set()
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and not issubclass(value, tuple):
                found.add(value)
    abstract = {kind for kind in found if inspect.isabstract(kind)}
    assert abstract == {bases.Basis, steps.Steps, densities.Density, games.Energy, losses.Loss}
    assert found - abstract - set(MADE) == set()


@over_all
def test_attributes_are_set_once(kind):
    """Each one there is, methods and properties too, and a new one; by copies as well."""
    for made in same_again(MADE[kind]):
        assert type(made) is kind
        before = repr(made)
        for name in (*public(made), "another", "_hidden"):
            who = kind.__name__
            with pytest.raises(
                AttributeError, match=rf"^{name}: got 7 for a {who} that exists, wanted a new {who}"
            ):
                setattr(made, name, 7)
            with pytest.raises(
                AttributeError, match=rf"^{name}: got a deletion from a {who} that exists, wanted"
            ):
                delattr(made, name)
        assert not hasattr(made, "another")
        assert repr(made) == before


@over_all
def test_arrays_are_read_only(kind):
    for made in same_again(MADE[kind]):
        for array in arrays_of(made):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0


@over_all
def test_what_kernels_read_is_read_only(kind):
    """Descriptions and plans are kept: what is written there would count at the next call."""
    for made in same_again(MADE[kind]):
        kept = [made.description()] if isinstance(made, games.Energy) else []
        kept += [made.plan()] if isinstance(made, refode.NeuralODE) else []
        for array in (a for value in (*kept, vars(made)) for a in arrays_of(value)):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0


def test_there_are_arrays():
    """Else the test above would say little."""
    assert sum(1 for kind in MADE for _ in arrays_of(MADE[kind])) > 20


def test_the_names_of_a_layout_are_read_only():
    for layout in same_again(packing.Layout({"W": (2, 3), "b": ()})):
        for places in (layout.shapes, layout.sizes, layout.slices):
            with pytest.raises(TypeError, match="does not support item assignment"):
                places["W"] = (3, 2)


@over_all
def test_copies_are_the_same(kind):
    made = MADE[kind]
    for other in same_again(made):
        assert repr(other) == repr(made)
        if kind.__eq__ is not object.__eq__:
            assert other == made
            assert hash(other) == hash(made)


@over_all
def test_reprs_are_the_calls_that_make_them(kind):
    """Whatever was given is there: what is read again shows as the same."""
    names = {name: getattr(module, name) for module in MODULES for name in module.__all__}
    made = MADE[kind]
    names |= {"Fraction": Fraction, "f": f, "vjp": vjp, **vars(closed_forms)}
    assert repr(eval(repr(made), names)) == repr(made)
    assert "\n" not in repr(made)


@pytest.mark.parametrize(
    "given",
    [
        {"tikhonov": 0.5},
        {"smoothness": 0.25},
        {"augment": 1},
        {"loss": "softmax", "n_outputs": 3},
        {"readout": False, "n_outputs": 2, "loss": "regression"},
    ],
)
def test_reprs_show_what_was_given(given):
    problem = refode.Supervised(ODE, **given)
    for name, value in given.items():
        assert f", {name}={value!r}" in repr(problem)
    flow = refode.ContinuousNormalizingFlow(ODE, 0.1, 0.2, 0.3, "gaussian", 4)
    for part in ("transport=0.1", "tikhonov=0.2", "smoothness=0.3", "noise_seed=4"):
        assert part in repr(flow)
    game = refode.MeanFieldGame(fields.Potential(2, 3, rank=1), GAME, scheme="heun")
    assert "rank=1" in repr(game)
    assert "scheme='heun'" in repr(game)
    assert "memory='steps'" in repr(refode.NeuralODE(fields.Affine(2), memory="steps"))


def test_reprs_of_large_arrays_tell_them_apart():
    one = densities.Empirical(np.arange(200.0).reshape(100, 2))
    two = densities.Empirical(np.arange(1.0, 201.0).reshape(100, 2))
    assert len(repr(one)) < 80
    assert repr(one) != repr(two)


def test_copies_compute_the_same():
    x, y = np.random.default_rng(0).standard_normal((2, 5, 2))
    theta = ODE.initial()
    for ode in same_again(ODE):
        np.testing.assert_array_equal(ode.solve(theta, x), ODE.solve(theta, x))
    problem = MADE[refode.MeanFieldGame]
    weights = problem.initial()
    for other in same_again(problem):
        assert other.value(weights, x) == problem.value(weights, x)
    problem = MADE[refode.Supervised]
    for other in same_again(problem):
        for a, b in zip(
            other.value_and_gradient(problem.initial(), x, [0, 1, 1, 0, 1]),
            problem.value_and_gradient(problem.initial(), x, [0, 1, 1, 0, 1]),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_other_processes_get_them(tmp_path):
    joblib = pytest.importorskip("joblib")
    for made in MADE.values():
        file = tmp_path / "made"
        joblib.dump(made, file)
        found = joblib.load(file)
        assert repr(found) == repr(made)
        assert joblib.hash(found) == joblib.hash(copy.deepcopy(found))
        with pytest.raises(AttributeError, match=r"^another: got 1 for a "):
            found.another = 1


@pytest.mark.parametrize("mmap_mode", ["r", "r+", "c"])
def test_memory_maps_are_read_only_too(tmp_path, mmap_mode):
    joblib = pytest.importorskip("joblib")
    x = np.random.default_rng(0).standard_normal((5, 2))
    for kind, made in MADE.items():
        file = tmp_path / kind.__name__
        joblib.dump(made, file)
        found = joblib.load(file, mmap_mode=mmap_mode)
        for array in arrays_of(found):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0
        if hasattr(made, "value_and_gradient"):
            theta = made.initial()
            y = {refode.Supervised: [0, 1, 1, 0, 1]}
            y[refode.TrajectoryFitting] = MADE[refode.Observations]
            data = (x, y[kind]) if kind in y else (x,)
            one, other = (p.value_and_gradient(theta, *data) for p in (made, found))
            assert one[0] == other[0]
            np.testing.assert_array_equal(one[1], other[1])


def test_arrays_that_users_keep_are_theirs():
    """Written to after the density was made, and after the game: nothing moves."""
    mean, covariance, points = np.array([1.0, 0.0]), np.diag([2.0, 1.0]), np.eye(2)
    weights, q, grid = np.array([0.25, 0.75]), np.array([1.0, 2.0]), np.array([0.0, 0.2, 1.0])
    stacked = np.stack([covariance, covariance])
    game = games.crowd_motion(
        densities.GaussianMixture(weights, points, stacked),
        densities.Gaussian(mean, covariance),
        obstacle=games.GaussianBump(1.0, mean, covariance) + games.Quadratic(0.5, q),
    )
    problem = refode.MeanFieldGame(fields.Potential(2, 3), game, grid=grid)
    data = densities.Empirical(points)
    flow = refode.MeanFieldGame(fields.Potential(2, 3), games.normalizing_flow(NORMAL, data))
    solved = closed_forms.lq_game(1.0, 0.1, [1.0, 2.0], q, 1.0, mean, weights, mean, weights)
    theta, x = problem.initial(), np.random.default_rng(0).standard_normal((5, 2))

    def results():
        yield from problem.value_and_gradient(theta, x)
        yield flow.value(theta, x)
        yield data.sample(3)
        yield from solved.value_function(0.5, x)
        yield solved.log_density(0.25, x)

    before = list(results())
    for kept in (mean, covariance, points, weights, q, grid, stacked):
        kept[...] = 7.0
    for a, b in zip(before, results(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_density_stays_what_it_is_under_a_game():
    """game.target.mean = ... once gave a value of 4.540 and a value with gradient of 0.514."""
    game = games.optimal_transport(NORMAL, densities.Gaussian([1.0, 0.0], 1.0))
    problem = refode.MeanFieldGame(fields.Potential(2, 3), game)
    theta, x = problem.initial(), np.random.default_rng(0).standard_normal((5, 2))
    for other in same_again(problem):
        value = other.value(theta, x)
        with pytest.raises(AttributeError, match="^mean: got"):
            other.game.target.mean = np.array([5.0, 0.0])
        with pytest.raises(ValueError, match="read-only"):
            other.game.target.mean[0] = 5.0
        assert other.value(theta, x) == value
        assert other.value_and_gradient(theta, x)[0] == pytest.approx(value, rel=1e-14)


def test_a_solved_game_is_fixed():
    solved = closed_forms.lq_game(1.0, 0.1, 1.0, 0.5, 1.0, [0.0, 1.0], 1.0, 1.0, 0.5)
    for made in same_again(solved):
        with pytest.raises(AttributeError, match="^alpha: got 2.0 for a LinearQuadraticGame that"):
            made.alpha = 2.0
        for array in (*arrays_of(made), *arrays_of(vars(made))):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0
        assert made.total == solved.total


def test_what_an_ode_says_it_does():
    """Four steps, with the number eight assigned, went on as four that said they were eight."""
    ode = refode.NeuralODE(fields.Shallow(2, 3), n_steps=4)
    with pytest.raises(AttributeError, match="^n_steps: got 8 for a NeuralODE that exists"):
        ode.n_steps = 8
    assert "n_steps=4" in repr(ode)
    assert len(ode.trajectory(ode.initial(), np.ones((1, 2)))) == 5


def test_long_values_are_cut_short():
    with pytest.raises(AttributeError, match=r"^mean: got array\(\[.{50}\.\.\. for a Gaussian"):
        NORMAL.mean = np.linspace(0.0, 1.0, 99)


@pytest.mark.parametrize("name", ["tikhonov", "smoothness"])
def test_penalties_are_set_once(name):
    for kind in (refode.Supervised, refode.ContinuousNormalizingFlow):
        problem = kind(ODE, **{name: 0.5})
        assert getattr(problem, name) == 0.5
        with pytest.raises(AttributeError, match=rf"^{name}: got 0\.1 for a {kind.__name__} that"):
            setattr(problem, name, 0.1)
        with pytest.raises(ValueError, match=rf"^{name}: got -1"):
            kind(ODE, **{name: -1})


def test_another_draw_of_noise():
    flow = refode.ContinuousNormalizingFlow(ODE, 0.1, 0.2, 0.3, "gaussian", noise_seed=1)
    other, y = flow.with_noise(2), np.random.default_rng(0).standard_normal((5, 2))
    made = refode.ContinuousNormalizingFlow(ODE, 0.1, 0.2, 0.3, "gaussian", noise_seed=2)
    theta = flow.initial()
    assert other.value(theta, y) == made.value(theta, y) != flow.value(theta, y)
    assert flow.with_noise(1).value(theta, y) == flow.value(theta, y)
    with pytest.raises(ValueError, match=r"^noise_seed: got -1"):
        flow.with_noise(-1)
