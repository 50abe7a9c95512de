"""Steps of one's own in problems and in training: their values, gradients and fingerprints."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol
from contract import close
from graded_steps import GAME, GRADED, LINEAR, NORMAL, POTENTIAL, TIMED, drawn

import refode
from refode import bases, steps
from refode.training import checkpoint as files

# --- problems ------------------------------------------------------------------------------------


def game_on(grid=None, game=GAME, **how):
    return refode.MeanFieldGame(POTENTIAL, game, 0.7, 0.3, "squared", grid=grid, **how)


def test_a_supervised_problem_on_a_grid():
    ode = refode.NeuralODE(TIMED, basis=LINEAR, grid=GRADED)
    problem = refode.Supervised(ode, "regression", smoothness=0.1)
    theta, x, rng = drawn(problem.ode)
    theta = rng.standard_normal(problem.n_parameters)
    y, v = rng.standard_normal(4), rng.standard_normal(theta.shape)
    np.testing.assert_array_equal(problem.transported(theta, x, -0.2), problem.predict(theta, x))
    up, down = (problem.value(theta + h * v, x, y) for h in (1e-5, -1e-5))
    gradient = problem.value_and_gradient(theta, x, y)[1]
    close(gradient @ v, (up - down) / 2e-5, tol.STEPS_DIFFERENCE)


def test_a_game_on_a_grid():
    """Its objective by pieces that step the same way, its gradient by differences."""
    grid, x = [0.0, 0.15, 0.4, 1.0], np.random.default_rng(0).standard_normal((6, 2))
    crossed = refode.games.normalizing_flow(NORMAL, NORMAL, 1.0)
    for game in (GAME, crossed):
        problem = game_on(grid, game)
        assert (problem.n_steps, problem.t_span) == (3, (0.0, 1.0))
        assert "Given([0.0, 0.15, 0.4, 1.0])" in repr(problem)
        rng = np.random.default_rng(1)
        theta, v = (0.5 * rng.standard_normal(problem.n_parameters) for _ in range(2))
        value, gradient = problem.value_and_gradient(theta, x)
        close(value, problem.costs(theta, x)["total"], tol.STEPS_VALUE)
        up, down = (problem.value(theta + h * v, x) for h in (1e-5, -1e-5))
        close(gradient @ v, (up - down) / 2e-5, tol.STEPS_DIFFERENCE)
        equal = problem.with_steps(3)
        assert equal.ode.steps == steps.Equal(3)
        assert problem.costs(theta, x, n_steps=3) == equal.costs(theta, x)
        assert problem.costs(theta, x) != equal.costs(theta, x)
    ode = refode.NeuralODE(POTENTIAL, grid=grid)  # alpha = 1: z' = -grad Phi, the field itself
    close(problem.trajectory(theta, x), ode.trajectory(theta, x), tol.STEPS_VALUE)
    close(problem.inverse(theta, x)[0], ode.solve(theta, x, (1.0, 0.0)), tol.STEPS_VALUE)


def test_a_game_of_equally_spaced_times():
    problem, equal = game_on(np.linspace(0.0, 1.0, 3)), game_on()
    assert problem.ode.steps == equal.ode.steps == steps.Equal(2)
    assert repr(problem) == repr(equal)


def test_a_game_runs_forwards():
    with pytest.raises(ValueError, match=r"^grid: got times from 1\.0 to 0\.0, wanted .* rise"):
        game_on([1.0, 0.3, 0.0])


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda grid: refode.Supervised(refode.NeuralODE(TIMED, grid=grid)),
        lambda grid: refode.ContinuousNormalizingFlow(refode.NeuralODE(TIMED, grid=grid)),
        lambda grid: game_on(grid),
    ],
    ids=["supervised", "flow", "game"],
)
def test_checkpoints_know_the_grid(make):
    """Grids with the same ends and number of steps are other problems, long ones too."""
    for n in (3, 100):
        grid = np.linspace(0.0, 1.0, n + 1) ** 2
        moved = grid.copy()
        moved[n // 2] += 1e-12
        known = [
            files.settings_of(make(g), (np.zeros((2, 2)),), {})["problem"]
            for g in (grid, grid.copy(), moved, np.linspace(0.0, 1.0, n + 1))
        ]
        assert known[0] == known[1]
        assert len(set(known)) == 3


def test_levels_of_other_steps():
    """A grid below, equal steps above: theta is the same function of time."""
    coarse = refode.NeuralODE(TIMED, basis=LINEAR, grid=[0.0, 0.3, 1.0])
    fine = refode.NeuralODE(TIMED, n_steps=8, basis=bases.PiecewiseLinear(3))
    theta, x, rng = drawn(coarse)
    lifted = refode.training.prolong(theta, coarse, fine)
    same = refode.NeuralODE(TIMED, basis=bases.PiecewiseLinear(3), grid=[0.0, 0.3, 1.0])
    close(same.solve(lifted, x), coarse.solve(theta, x), tol.STEPS_VALUE)
    problems = [refode.Supervised(ode, "regression") for ode in (coarse, same, fine)]
    y = rng.standard_normal(4)
    result = refode.train_multilevel(problems, x, y, max_iter=2, progress=False)
    assert result.level == 2
