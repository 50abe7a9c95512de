"""What games refuse: hypothesis draws the call, the argument and how it is spoiled."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bad_input import NOT_LABELS, SPOILERS

import refode
from refode import games
from refode.densities import Empirical, Gaussian, GaussianMixture

GAUSSIAN = Gaussian([0.2, -0.1], 0.8)
MIXTURE = GaussianMixture([0.4, 0.6], [[1.0, 0.5], [-1.0, 0.0]], 0.5)
DATA = MIXTURE.sample(5, seed=3)
FIELD = refode.fields.Potential(2, 3)
GAME = games.optimal_transport(GAUSSIAN, MIXTURE, alpha=1.5, terminal=2.0)
PROBLEM = refode.MeanFieldGame(FIELD, GAME, 0.7, 0.3, n_steps=2)
FLOW = refode.MeanFieldGame(FIELD, games.normalizing_flow(GAUSSIAN, MIXTURE, 1.0), n_steps=2)
BY_DATA = refode.MeanFieldGame(
    FIELD, games.normalizing_flow(GAUSSIAN, Empirical(DATA), 1.0), n_steps=2
)
ESTIMATE = games.normalizing_flow(GAUSSIAN, Empirical(DATA))  # alpha = 0
THETA, X = 0.3 * np.cos(np.arange(FIELD.n_weights)), GAUSSIAN.sample(4, seed=1)
grouped = pytest.mark.parametrize("group", ["x"], ids=["GameSpec-game-input"])
REFUSED = (TypeError, ValueError)

Call = tuple[Callable[..., Any], dict[str, Any]]


def calls() -> dict[str, Call]:
    at, back = {"theta": THETA, "x": X}, {"theta": THETA, "y": X}
    made: dict[str, Call] = {}
    for name in ("value", "value_and_gradient", "costs"):
        made[name] = (getattr(PROBLEM, name), at)
        made[f"flow.{name}"] = (getattr(FLOW, name), {**at, "y": DATA})
    made["hessian_vector"] = (PROBLEM.hessian_vector, {**at, "v": THETA})
    made["flow.hessian_vector"] = (FLOW.hessian_vector, {**at, "v": THETA, "y": DATA})
    for name in ("generate", "trajectory", "states"):
        made[name] = (getattr(PROBLEM, name), at)
    for name in ("inverse", "log_density"):
        made[name] = (getattr(PROBLEM, name), {**back, "t": 0.5})
    for name in ("value_function", "laplacian", "single_agent_cost"):
        made[name] = (getattr(PROBLEM, name), {**at, "t": 0.5})
    return made


CALLS = calls()
TIMED = [name for name, call in CALLS.items() if "t" in call[1]]
STEPPED = [
    "costs",
    "flow.costs",
    "generate",
    "trajectory",
    "states",
    "inverse",
    "log_density",
    "single_agent_cost",
]


@grouped
def test_unspoiled_calls_pass(group):
    """Else the refusals below would mean nothing."""
    for function, arguments in CALLS.values():
        function(**arguments)


@given(data=st.data(), name=st.sampled_from(sorted(CALLS)), seed=st.integers(0, 2**16))
@settings(max_examples=200, deadline=None)
def test_spoiled_arrays_are_refused_by_name(data, name, seed):
    function, arguments = CALLS[name]
    arrays = [k for k, v in arguments.items() if isinstance(v, np.ndarray)]
    argument = data.draw(st.sampled_from(arrays))
    spoilers = SPOILERS | NOT_LABELS
    allowed = {"nothing"} if argument == "y" and name.startswith("flow") else set()
    if argument in ("x", "y"):  # N is free
        allowed |= {"one row less", "one row more"}
    how = data.draw(st.sampled_from(sorted(set(spoilers) - allowed)))
    spoiled = spoilers[how](arguments[argument], np.random.default_rng(seed))
    with pytest.raises(REFUSED) as caught:
        function(**{**arguments, argument: spoiled})
    text = str(caught.value)
    assert re.match(rf"{argument}(\[[^\]]*\])?: got .*, wanted ", text, re.DOTALL), f"{how}: {text}"


@given(name=st.sampled_from(TIMED), t=st.floats() | st.sampled_from(["0.5", 1j, True, [0.5]]))
@settings(max_examples=60, deadline=None)
def test_times_outside_are_refused(name, t):
    function, arguments = CALLS[name]
    if isinstance(t, float) and 0.0 <= t <= 1.0:
        return
    with pytest.raises(REFUSED, match=r"^t: got .*, wanted a .*(time in \[0\.0, 1\.0\]|number)"):
        function(**{**arguments, "t": t})


@given(name=st.sampled_from(STEPPED), n=st.integers(-9, 0) | st.sampled_from([2.0, "3", True]))
@settings(max_examples=30, deadline=None)
def test_counts_of_steps_are_refused(name, n):
    """Also where the path has no length: what is wrong there is wrong everywhere."""
    function, arguments = CALLS[name]
    moments = [{}] if "t" not in arguments else [{}, {"t": 0.0}, {"t": 1.0}]
    for moment in moments:
        with pytest.raises(REFUSED, match=r"^n_steps: got .*, wanted an int >= 1"):
            function(**{**arguments, **moment, "n_steps": n})
    with pytest.raises(REFUSED, match=r"^n_steps: got .*, wanted an int >= 1"):
        PROBLEM.with_steps(n)


# --- settings ------------------------------------------------------------------------------------
NUMBERS = [-1e-9, -1, np.nan, np.inf, "1", 1j, None, True, [0.1]]
SPANS = [(1.0, 0.0), (0.0, 0.0), (np.nan, 1.0), (0.0, np.inf), (0.0,), 1.0, "01", ("0", "1")]
# "verlet" moves halves of the state, which a potential has none of
SCHEMES = ["verlet", "stormer_verlet", "rk5", "RK4", None, 4]
CONSTRUCTIONS = {
    "potential": ["Potential", None, refode.fields.Potential, refode.fields.Shallow(2, 3)],
    "game": ["transport", None, games.optimal_transport, GAUSSIAN],
    "hjb": NUMBERS,
    "hjb_terminal": NUMBERS,
    "hjb_norm": ["l2", "Squared", "", None, 2],
    "scheme": SCHEMES,
    "n_steps": [0, -1, 2.5, 3.0, "3", True, np.nan],
    "t_span": SPANS,
}


@pytest.mark.parametrize("argument", CONSTRUCTIONS)
def test_settings_are_refused_by_name(argument):
    for value in CONSTRUCTIONS[argument]:
        with pytest.raises(REFUSED) as caught:
            refode.MeanFieldGame(**{"potential": FIELD, "game": GAME, argument: value})
        text = str(caught.value)
        assert re.match(rf"{argument}(\[\d\])?: got .*, wanted ", text), f"{value!r}: {text}"


@pytest.mark.parametrize("argument", ["dim", "width", "depth", "rank"])
def test_sizes_of_potentials_are_refused_by_name(argument):
    for value in (0, -2, 1.5, 2.0, "3", True, np.nan, [2]):
        with pytest.raises(REFUSED, match=rf"^{argument}: got .*, wanted an int >= 1"):
            refode.fields.Potential(**{"dim": 2, "width": 3, argument: value})
    for value in ("full", "LowRank", None, 1):
        with pytest.raises(REFUSED, match=r"^quadratic: got .*, wanted "):
            refode.fields.Potential(2, 3, quadratic=value)


def test_known_names_are_listed():
    for argument, name, known in (
        ("scheme", "verlet", refode.tableaus.names()),
        ("hjb_norm", "l2", ("absolute", "squared")),
    ):
        with pytest.raises(ValueError, match=f"^{argument}: got '{name}'") as caught:
            refode.MeanFieldGame(FIELD, GAME, **{argument: name})
        assert all(repr(one) in str(caught.value) for one in known)


@given(d=st.integers(1, 4), e=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_dimensions_that_disagree(d, e):
    potential, rho = refode.fields.Potential(d, 2), Gaussian(np.zeros(e), 1.0)
    game = games.optimal_transport(rho, rho)
    if d == e:
        assert refode.MeanFieldGame(potential, game).dim == d
    else:
        message = rf"^potential: got dim {d}, wanted the game's dim {e}"
        with pytest.raises(ValueError, match=message):
            refode.MeanFieldGame(potential, game)


@pytest.mark.parametrize("argument", ["hjb", "hjb_terminal"])
def test_penalties_need_a_running_cost(argument):
    message = rf"^{argument}: got 0\.5 with a game of alpha=0, wanted 0"
    with pytest.raises(ValueError, match=message):
        refode.MeanFieldGame(FIELD, ESTIMATE, **{argument: 0.5})
    assert refode.MeanFieldGame(FIELD, ESTIMATE, hjb=0, hjb_terminal=0.0).hjb == 0.0


def test_what_reads_the_targets_density_needs_one():
    with pytest.raises(ValueError, match=r"^hjb_terminal: got 0\.5 with an Empirical target"):
        refode.MeanFieldGame(FIELD, BY_DATA.game, hjb=1.0, hjb_terminal=0.5)
    with pytest.raises(ValueError, match=r"^game: got an Empirical target, wanted one with"):
        BY_DATA.single_agent_cost(THETA, X)


def test_samples_of_the_target_are_for_the_cross_entropy_alone():
    for name in ("value", "value_and_gradient", "costs"):
        with pytest.raises(ValueError, match=r"^y: got samples, wanted None"):
            getattr(PROBLEM, name)(THETA, X, DATA)
    with pytest.raises(ValueError, match=r"^y: got samples, wanted None"):
        PROBLEM.hessian_vector(THETA, THETA, X, DATA)


def test_a_problem_stays_as_it_was_checked():
    """Else the objective would follow some of what is set, and the paths the rest."""
    for name in ("potential", "game", "hjb", "hjb_terminal", "hjb_norm", "n_steps", "t_span"):
        with pytest.raises(AttributeError, match=rf"^{name}: got 7 for a MeanFieldGame"):
            setattr(PROBLEM, name, 7)


def test_weights_by_name():
    weights = PROBLEM.unpack(THETA)
    without = {name: w for name, w in weights.items() if name != "A"}
    with pytest.raises(ValueError, match=r"^arrays: got a mapping without 'A', wanted "):
        PROBLEM.pack(without)
    with pytest.raises(ValueError, match=r"^arrays: got a mapping with the unknown 'K9', wanted "):
        PROBLEM.pack({**weights, "K9": 0.0})
    with pytest.raises(ValueError, match=r"^arrays\['K1'\]: got an array of shape \(3, 2\)"):
        PROBLEM.pack({**weights, "K1": np.ones((3, 2))})
    with pytest.raises(ValueError, match=r"^theta: got an array of shape"):
        PROBLEM.unpack(THETA[1:])
    for seed in (-1, 0.5, "0", None):
        with pytest.raises(REFUSED, match=r"^seed: got .*, wanted an int >= 0"):
            PROBLEM.initial(seed)


# --- paths that blow up --------------------------------------------------------------------------
LONG = {"hjb_norm": "squared", "n_steps": 20, "t_span": (0.0, 1e5)}
STEEP = refode.fields.Potential(2, 3, quadratic="symmetric")
RUNAWAY = refode.MeanFieldGame(STEEP, GAME, 0.7, 0.3, **LONG)


def steep() -> np.ndarray:
    """Phi = -5e4 |x|^2/2: every agent runs away but the one at rest, by RK4 in either direction."""
    weights = {name: np.zeros(shape) for name, shape in STEEP.layout.shapes.items()}
    return RUNAWAY.pack(weights | {"A": np.diag([-5e4, -5e4, 0.0]), "K0": np.ones((3, 3))})


def blown(argument, first, how_many, n=4):
    message = f"{argument}: got sample {first}, whose path leaves the finite range "
    return pytest.raises(ValueError, match=f"^{message}\\({how_many} of {n} do\\); wanted paths")


AT_REST = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, -1.0], [2.0, 0.0]])
NAMED = {
    "costs": "x",
    "generate": "x",
    "trajectory": "x",
    "states": "x",
    "inverse": "y",
    "log_density": "y",
    "single_agent_cost": "x",
}


@grouped
@pytest.mark.parametrize("name", NAMED)
def test_a_path_that_blows_up_is_named(group, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no noise besides
        for moment in [{}, {"t": 1e5}] if name == "single_agent_cost" else [{}]:
            with blown(NAMED[name], 2, 2):
                getattr(RUNAWAY, name)(steep(), AT_REST, **moment)


@grouped
def test_blown_up_paths_to_the_data_are_named(group):
    """The paths from x stay at rest, those that end at y do not come back."""
    flow = refode.MeanFieldGame(STEEP, FLOW.game, 0.7, **LONG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with blown("y", 2, 2):
            flow.costs(steep(), AT_REST[:2], AT_REST)
        assert not np.isfinite(flow.value(steep(), AT_REST[:2], AT_REST))
        assert np.isfinite(flow.value(steep(), AT_REST[:2], AT_REST[:2]))


@grouped
def test_a_terminal_condition_beyond_range_is_named(group):
    """Phi(z, T) where the paths are short: c alone is large, and its square is too."""
    problem = refode.MeanFieldGame(FIELD, GAME, 0.7, 0.3, "squared")
    theta = THETA.copy()
    theta[-1] = 1e200
    with blown("x", 0, 4):
        problem.costs(theta, X)


@grouped
@pytest.mark.parametrize("size", [1e160, 1e200, 1e308])
def test_weights_beyond_range(group, size):
    """Objectives say so by a value that is not finite, all else by an error, none by a warning."""
    wide = games.optimal_transport(Gaussian(np.zeros(7), 1.0), Gaussian(np.ones(7), 1.0))
    narrow = refode.MeanFieldGame(refode.fields.Potential(7, 2), wide, 0.7, 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for problem in (PROBLEM, FLOW, narrow):
            theta, x = size * np.ones(problem.n_parameters), problem.game.initial.sample(4, seed=0)
            before = problem.value_and_gradient(0.0 * theta + 0.1, x)
            assert not np.isfinite(problem.value(theta, x))
            value, gradient = problem.value_and_gradient(theta, x)
            assert not np.isfinite(value)
            assert gradient.shape == theta.shape
            for name, argument in NAMED.items():
                with blown(argument, 0, 4):
                    getattr(problem, name)(theta, x, **({"t": 1.0} if "single" in name else {}))
            after = problem.value_and_gradient(0.0 * theta + 0.1, x)
            assert before[0] == after[0]  # nothing half-done is left
            assert np.array_equal(before[1], after[1])


@grouped
def test_nothing_is_left_behind(group):
    """After each refusal the problem is as new, and holds no array of the caller's."""
    problem = refode.MeanFieldGame(FIELD, GAME, 0.7, 0.3)
    x = X.copy()
    before = problem.value_and_gradient(THETA, x)
    for bad in (x[:, :1], np.where(x > 0, np.nan, x), 1e200 * x):
        with pytest.raises(ValueError, match=r"^x: got "):
            problem.costs(THETA, bad)
    x *= 2.0  # the caller's own
    assert problem.value_and_gradient(THETA, X)[0] == before[0]
    assert problem.value_and_gradient(THETA, x)[0] != before[0]
    back, _ = problem.inverse(THETA, x, t=0.0)
    back[:] = 7.0
    assert np.array_equal(x, 2.0 * X)
    paths = problem.trajectory(THETA, x)
    paths[:] = 7.0
    assert np.array_equal(problem.trajectory(THETA, x)[0], x)


@grouped
def test_training_survives_a_step_too_far(group):
    """A value that is not finite ends the training with the best theta, and says so."""

    class Once:
        n_parameters = PROBLEM.n_parameters
        calls = 0

        def value_and_gradient(self, theta, x):
            self.calls += 1
            return PROBLEM.value_and_gradient(theta if self.calls < 4 else 1e200 * theta, x)

    result = refode.train(Once(), X, theta0=THETA, progress=False)
    assert result.status == refode.training.NON_FINITE
    assert np.isfinite(result.fun)
    assert "best theta" in result.message


def test_a_readout_beside_a_potential_is_refused():
    """Both have a weight called b; without a readout a potential is a field like any other."""
    ode = refode.NeuralODE(FIELD, "rk4", 2)
    message = r"^readout: got True with a Potential, whose weights take the readout's 'b', wanted F"
    for loss, m in (("regression", 1), ("logistic", 1), ("softmax", 3)):
        with pytest.raises(ValueError, match=message):
            refode.Supervised(ode, loss, m)
    assert refode.Supervised(ode, "regression", readout=False).n_parameters == FIELD.n_weights
