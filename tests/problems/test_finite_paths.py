"""Paths that leave the finite range: an error that names them, or said in the docstring.

z' = 1e40 z from x = 1 is beyond float64 within one step of "rk4", and NaN in two.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import refode
from refode import fields, games

X = np.array([[0.0, 0.0], [1.0, -1.0], [0.0, 0.0]])  # the second moves
Y = np.array([0, 1, 1])
LEAVES = r"^{}: got sample 1, whose path leaves the finite range \(1 of 3 do\); wanted paths that"
ODE = refode.NeuralODE(fields.Affine(2), n_steps=3)
COUPLED = refode.NeuralODE(fields.Affine(2), "reversible(rk4)", 3, memory="reverse")
LEARNED = ODE.with_learned_steps()
FEW = refode.NeuralODE(fields.Affine(2), n_steps=3, memory="binomial", slots=2)
THETA = ODE.pack({"A": 1e200 * np.eye(2)[None], "c": np.zeros((1, 2))})
WITH_STEPS = np.concatenate([THETA, np.ones(3) / 3])
BAR = np.ones((3, 2))
NORMAL = refode.densities.Gaussian([0.0, 0.0], 1.0)
FLOW = refode.ContinuousNormalizingFlow(ODE)
POTENTIAL = fields.Potential(2, 3)
GAME = refode.MeanFieldGame(
    POTENTIAL, games.optimal_transport(NORMAL, NORMAL), hjb=1.0, hjb_terminal=1.0, n_steps=3
)
STEEP = 1e200 * np.abs(np.random.default_rng(0).standard_normal(GAME.n_parameters))


def classifier(loss):
    problem = refode.Supervised(ODE, loss, 2 if loss == "softmax" else 1)
    rest = np.ones(problem.n_parameters - len(THETA))
    return problem, np.concatenate([THETA, rest])


SOFTMAX, WEIGHTS = classifier("softmax")
LOGISTIC, OTHERS = classifier("logistic")
REGRESSION, THIRD = classifier("regression")
DENSE = refode.NeuralODE(ODE.field, "dopri5", 3)
FITTED = refode.TrajectoryFitting(DENSE)
DRIVEN = refode.TrajectoryFitting(refode.NeuralODE(fields.MLP(2, (), inputs=1), n_steps=3))
DRIVEN_THETA = DRIVEN.pack({"W0": 1e200 * np.eye(2, 3)[None], "b0": np.zeros((1, 2))})
INPUTS = [0.0, 1.0], np.zeros((3, 2, 1))
NAMED = {
    "interpolate": ("x", lambda: DENSE.interpolate(THETA, X, [0.5])),
    "interpolate_adjoint": ("x", lambda: DENSE.interpolate_adjoint(THETA, X, [0.5], BAR[None])),
    "trajectories: predict": ("x", lambda: FITTED.predict(THETA, X, [0.5])),
    "driven: predict": ("x", lambda: DRIVEN.predict(DRIVEN_THETA, X, [0.5], INPUTS)),
    "solve": ("x", lambda: ODE.solve(THETA, X)),
    "solve coupled": ("x", lambda: COUPLED.solve(THETA, X)),
    "adjoint coupled": ("x", lambda: COUPLED.adjoint(THETA, X, BAR)),
    "adjoint in few slots": ("x", lambda: FEW.adjoint(THETA, X, BAR)),
    "solve with learned steps": ("x", lambda: LEARNED.solve(WITH_STEPS, X)),
    "adjoint of learned steps": ("x", lambda: LEARNED.adjoint(WITH_STEPS, X, BAR)),
    "solve backwards": ("x", lambda: ODE.solve(-THETA, X, (1.0, 0.0))),
    "trajectory": ("x", lambda: ODE.trajectory(THETA, X)),
    "log_det": ("x", lambda: ODE.log_det(THETA, X)),
    "tangent": ("x", lambda: ODE.tangent(THETA, X, 0.0 * THETA, BAR)),
    "adjoint": ("x", lambda: ODE.adjoint(THETA, X, BAR)),
    "adjoint of a path": ("x", lambda: ODE.adjoint(THETA, X, np.ones((4, 3, 2)))),
    "log_det_adjoint": ("x", lambda: ODE.log_det_adjoint(THETA, X, BAR, BAR[:, 0])),
    "predict": ("x", lambda: SOFTMAX.predict(WEIGHTS, X)),
    "predict_proba": ("x", lambda: SOFTMAX.predict_proba(WEIGHTS, X)),
    "predict_label": ("x", lambda: SOFTMAX.predict_label(WEIGHTS, X)),
    "predict_label of two": ("x", lambda: LOGISTIC.predict_label(OTHERS, X)),
    "features": ("x", lambda: SOFTMAX.features(WEIGHTS, X)),
    "transported": ("x", lambda: SOFTMAX.transported(WEIGHTS, X, 0.0)),
    "gauss_newton_vector": ("x", lambda: SOFTMAX.gauss_newton_vector(WEIGHTS, WEIGHTS, X, Y)),
    "residuals": ("x", lambda: REGRESSION.residuals(THIRD, X, Y)),
    "score": ("x", lambda: REGRESSION.score(THIRD, X, Y)),
    "flow: log_density": ("y", lambda: FLOW.log_density(-THETA, X)),
    "flow: density_on_grid": ("axes", lambda: FLOW.density_on_grid(-THETA, [0.0, 1.0], [0.0])),
    "flow: inverse": ("y", lambda: FLOW.inverse(-THETA, X)),
    "flow: transport_cost": ("y", lambda: FLOW.transport_cost(-THETA, X)),
    "flow: generate": ("x", lambda: FLOW.generate(THETA, X)),
    "flow: sample": ("x", lambda: FLOW.sample(THETA, 3)),
    "flow: trajectory": ("x", lambda: FLOW.trajectory(THETA, X)),
    "flow: trajectory back": ("x", lambda: FLOW.trajectory(-THETA, X, inverse=True)),
    "flow: log_det_exact": ("y", lambda: FLOW.log_det_exact(-THETA, X)),
    "game: generate": ("x", lambda: GAME.generate(STEEP, X)),
    "game: trajectory": ("x", lambda: GAME.trajectory(STEEP, X)),
    "game: states": ("x", lambda: GAME.states(STEEP, X)),
    "game: inverse": ("y", lambda: GAME.inverse(STEEP, X)),
    "game: log_density": ("y", lambda: GAME.log_density(STEEP, X)),
    "game: costs": ("x", lambda: GAME.costs(STEEP, X)),
    "game: single_agent_cost": ("x", lambda: GAME.single_agent_cost(STEEP, X)),
}
#: What optimisers ask: their docstrings say that numbers may not be finite.
SAID = {
    ODE: ("cost_and_gradient",),
    SOFTMAX: ("value", "value_and_gradient", "hessian_vector", "costs"),
    FLOW: ("value", "value_and_gradient", "hessian_vector", "costs"),
    GAME: ("value", "value_and_gradient", "hessian_vector"),
    FITTED: ("value", "value_and_gradient", "hessian_vector", "costs", "gradients", "gaps"),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.filterwarnings("error")
def test_paths_that_leave_are_named(name):
    argument, call = NAMED[name]
    with pytest.raises(ValueError, match=f"^{argument}: got sample .*leaves the finite range"):
        call()


@pytest.mark.parametrize("name", ["solve", "trajectory", "log_det", "adjoint", "predict"])
def test_the_first_of_them_is_named(name):
    with pytest.raises(ValueError, match=LEAVES.format("x")):
        NAMED[name][1]()


@pytest.mark.parametrize("made", SAID, ids=lambda made: type(made).__name__)
def test_the_others_say_what_they_return(made):
    """Own docstring, or that of the class above."""
    for name in SAID[made]:
        assert "not finite" in inspect.getdoc(getattr(type(made), name)).lower(), name


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_and_return_it():
    for problem, theta, data in (
        (SOFTMAX, WEIGHTS, (X, Y)),
        (FLOW, -THETA, (X,)),
        (GAME, STEEP, (X,)),
    ):
        assert not np.isfinite(problem.value(theta, *data))
        assert not np.isfinite(problem.value_and_gradient(theta, *data)[0])
        problem.hessian_vector(theta, theta, *data)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["laplace", "leave_one_out", "sensitivity"])
def test_second_derivatives_that_are_not_finite_are_named(name):
    for problem, theta, data, dot in (
        (SOFTMAX, WEIGHTS, (X, Y), {"x_dot": X}),
        (FLOW, -THETA, (X,), {"y_dot": X}),
    ):
        with pytest.raises(ValueError, match=r"^theta: got .* not finite, wanted paths that stay"):
            getattr(problem, name)(theta, *data, **(dot if name == "sensitivity" else {}))


def test_nothing_else_is_public():
    """A method that is new has to say on which side it stands."""
    known = {name.split(" ")[-1] if ":" in name else name.split(" ")[0] for name in NAMED}
    known |= {"density_on_grid", "trajectory"} | {n for names in SAID.values() for n in names}
    aside = {
        *("adjoint", "constant_in_time", "data", "fingerprint", "initial", "on", "pack", "placed"),
        *("plan", "stage_weights", "stage_weights_adjoint", "sweep", "to_device", "unpack"),
        *("step_sizes", "stepped", "with_learned_steps", "pruned"),  # no path is walked
        *("standardized", "with_noise", "with_steps", "value_function", "laplacian"),
        *("check", "held_out", "placed_with", "weighted", "dense_plan", "raised"),
        *("covariance", "laplace", "leave_one_out", "sensitivity"),  # theta is named, below
        "adapt",  # shortens steps where a path leaves: tests/adaptation/test_adapt_input.py
    }
    for made in SAID:
        for name, _ in inspect.getmembers(type(made), inspect.isfunction):
            assert name.startswith("_") or name in known | aside, name


def test_values_beyond_float64_are_named():
    for call in (GAME.value_function, GAME.laplacian):
        with pytest.raises(ValueError, match=r"^x: got sample 0, whose value leaves"):
            call(STEEP, 0.5, X)


@pytest.mark.filterwarnings("error")
def test_outputs_beyond_float64_are_named():
    """Paths that stay finite, but not what is read from them."""
    problem = refode.Supervised(ODE, "regression", readout=True)
    arrays = {k: np.zeros(v.shape) for k, v in problem.unpack(problem.initial()).items()}
    arrays["W"][...] = 1e300
    theta, x = problem.pack(arrays), 1e300 * np.abs(X)
    with pytest.raises(ValueError, match="^x: got sample 1, "):
        problem.predict(theta, x)
    assert not np.isfinite(problem.value(theta, x, np.zeros(3)))


def test_a_finite_path_with_large_cotangents_is_none_of_these():
    """<z_bar, z> overflows, but neither path nor cotangents do."""
    still = ODE.pack({"A": np.zeros((1, 2, 2)), "c": np.zeros((1, 2))})
    theta_bar, x_bar = ODE.adjoint(still, 1e250 * X, 1e85 * BAR)
    np.testing.assert_array_equal(x_bar, 1e85 * BAR)
    assert not np.isfinite(theta_bar).all()  # 1e335: it is what it is
