"""Mean field games: objective, gradient, paths and densities against the oracle."""

from __future__ import annotations

import dataclasses

import numpy as np
import oracle_games as og
import pytest
import tolerances as tol
from contract import close, same
from game_cases import CASES

import refode
from refode.sweeps.sweep import MEMORY

TERMS = ("L", "F", "G", "hjb", "hjb_terminal", "total")


def over(cases):
    ids = [f"GameSpec-{c.name}" for c in cases]
    return pytest.mark.parametrize("case", cases, ids=ids)


def named(name):
    return next(c for c in CASES if c.name == name)


@pytest.mark.nojit
@over(CASES)
def test_terms_against_the_oracle(case):
    problem, theta, x = case.problem(), case.theta(), case.samples()
    got, want = problem.costs(theta, x), case.oracle(theta, x)
    assert set(got) == set(TERMS)
    scale = max(abs(v) for v in want.values())
    for name in TERMS:
        assert abs(got[name] - want[name]) <= tol.GAME_VALUE * scale, name
    assert abs(problem.value(theta, x) - want["total"]) <= tol.GAME_VALUE * scale
    value = problem.value_and_gradient(theta, x)[0]
    assert abs(value - want["total"]) <= tol.GAME_VALUE * scale


@pytest.mark.nojit
@over(CASES)
def test_gradient_against_the_oracle(case):
    """Every named block to 1e-12, by complex steps through second-order jets."""
    problem, theta, x = case.problem(), case.theta(), case.samples()
    got = problem.unpack(problem.value_and_gradient(theta, x)[1])
    want = og.complex_gradient(lambda th: case.oracle(th, x)["total"], theta)
    for name, block in problem.unpack(want).items():
        close(got[name], block, tol.GAME_GRADIENT)
    assert np.abs(want).max() > 0.0


@over([c for c in CASES if c.how.get("hjb_terminal")])
@pytest.mark.parametrize("kept", [(), ("hjb",), ("hjb_terminal",)], ids=["none", "hjb", "end"])
def test_gradient_with_each_penalty_alone(case, kept):
    """Nothing can hide behind a larger term."""
    weights = {k: case.how[k] * (k in kept) for k in ("hjb", "hjb_terminal")}
    case = dataclasses.replace(case, how=case.how | weights)
    problem, theta, x = case.problem(), case.theta(), case.samples()
    got = problem.value_and_gradient(theta, x)[1]
    want = og.complex_gradient(lambda th: case.oracle(th, x)["total"], theta)
    for name, block in problem.unpack(want).items():
        close(problem.unpack(got)[name], block, tol.GAME_GRADIENT)


@over(CASES)
def test_taylor(case):
    """The kink of |r| stays out of reach of the steps, or the squared norm stands in."""
    how = case.how | ({"norm": "squared"} if "hjb" in case.how else {})
    case = dataclasses.replace(case, how=how)
    problem, theta, x = case.problem(), case.theta(), case.samples()
    report = refode.verify.check_gradient(
        lambda th: problem.value(th, x),
        lambda th: problem.value_and_gradient(th, x)[1],
        theta,
        print_table=False,
    )
    assert report, report


@over([c for c in CASES if c.name in ("crowd-squared", "transport", "flow-transport", "control")])
def test_hessian_vector_product(case):
    problem, theta, x = case.problem(), case.theta(), case.samples()
    rng = np.random.default_rng(3)
    v, w = rng.standard_normal((2, theta.size))
    Hv, Hw = problem.hessian_vector(theta, v, x), problem.hessian_vector(theta, w, x)
    size = np.linalg.norm(Hv) * np.linalg.norm(w)
    assert abs(Hv @ w - v @ Hw) <= tol.GAME_GRADIENT * size
    h = 1e-4

    def along(s):
        return problem.value_and_gradient(theta + s * v, x)[1]

    fourth = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    assert np.abs(fourth - Hv).max() <= tol.GAME_HESSIAN * np.abs(Hv).max()
    assert np.all(problem.hessian_vector(theta, 0 * v, x) == 0.0)


@over(CASES)
def test_paths_densities_and_inverse_against_the_oracle(case):
    problem, theta, x = case.problem(), case.theta(), case.samples()
    span, n = problem.t_span, problem.n_steps
    start = og.begin(x, case.twin.initial.log_density(x))
    norm = case.how.get("norm", "absolute")
    states = og.trajectory(theta, case.shape, case.twin, start, span, n, case.tableau(), norm)
    got = problem.states(theta, x)
    close(got[:, :, : problem.dim], [s.z for s in states], tol.GAME_VALUE)
    close(got[:, :, problem.dim], [s.log_rho for s in states], tol.GAME_VALUE)
    close(got[-1, :, problem.dim + 2], states[-1].F, tol.GAME_VALUE)
    if case.twin.alpha:
        close(got[-1, :, problem.dim + 1], states[-1].L, tol.GAME_VALUE)
        close(got[-1, :, problem.dim + 3], states[-1].R, tol.GAME_VALUE)
    same(problem.trajectory(theta, x), got[:, :, : problem.dim])
    same(problem.generate(theta, x), got[-1, :, : problem.dim])
    z, log_rho = og.inverse(theta, case.shape, case.twin, x, span, n, case.tableau())
    close(problem.inverse(theta, x)[0], z, tol.GAME_VALUE)
    close(problem.log_density(theta, x), log_rho, tol.GAME_VALUE)


@over([c for c in CASES if c.twin.target is not None or c.twin.goal])
def test_what_a_single_agent_pays(case):
    problem, theta, x = case.problem(), case.theta(), case.samples()
    t0, T = problem.t_span
    log_rho = case.twin.initial.log_density(x)
    want = og.single_agent_cost(
        theta, case.shape, case.twin, x, log_rho, (t0, T), problem.n_steps, case.tableau()
    )
    close(problem.single_agent_cost(theta, x), want, tol.GAME_VALUE)
    t = 0.3 * t0 + 0.7 * T
    log_rho = problem.log_density(theta, x, t=t)
    want = og.single_agent_cost(
        theta, case.shape, case.twin, x, log_rho, (t, T), problem.n_steps, case.tableau()
    )
    close(problem.single_agent_cost(theta, x, t), want, tol.GAME_VALUE)
    end = problem.single_agent_cost(theta, x, T)
    log_rho = problem.log_density(theta, x)
    want = og.terminal_derivative(case.twin, og.begin(x, log_rho))
    close(end, want, tol.GAME_VALUE)


@over([named("crowd")])
def test_value_function_and_laplacian(case):
    problem, theta, x = case.problem(), case.theta(), case.samples()
    want = og.potential(theta, case.shape, 0.4, x)
    phi, gradient, by_time = problem.value_function(theta, 0.4, x)
    for mine, theirs in (
        (phi, want.phi),
        (gradient, want.gradient),
        (by_time, want.time),
        (problem.laplacian(theta, 0.4, x), want.laplacian),
    ):
        close(mine, theirs, tol.GAME_VALUE)


@over([named("crowd"), named("flow-transport"), named("control")])
def test_same_bits_on_any_number_of_threads(case):
    problem, theta = case.problem(), case.theta()
    x = case.game.initial.sample(300, seed=4)
    before, results = refode.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            refode.set_num_threads(n)
            results.append(problem.value_and_gradient(theta, x)[1])
    finally:
        refode.set_num_threads(before)
    same(results[1], results[0])
    same(results[2], results[0])


@over([named("crowd-squared"), named("flow-density")])
def test_densities_known_by_their_methods_alone(case):
    """A user's own density gives the gradient that the kernels' own give."""

    class Own(refode.densities.Density):
        def __init__(self, inner):
            self.inner, self.dim = inner, inner.dim

        def sample(self, n, seed=0):
            return self.inner.sample(n, seed)

        def log_density(self, x):
            return self.inner.log_density(x)

        def log_density_gradient(self, x):
            return self.inner.log_density_gradient(x)

    game, theta, x = case.game, case.theta(), case.samples()
    if case.twin.kind == "kl":
        own = refode.games.crowd_motion(
            Own(game.initial),
            Own(game.target),
            alpha=game.alpha,
            obstacle=game.energy,
            entropy=game.entropy,
            terminal=game.terminal,
        )
    else:
        own = refode.games.normalizing_flow(
            Own(game.initial), Own(game.target), alpha=game.alpha, terminal=game.terminal
        )
    problem = dataclasses.replace(case, game=own).problem()
    value, gradient = problem.value_and_gradient(theta, x)
    want_value, want = case.problem().value_and_gradient(theta, x)
    assert abs(value - want_value) <= tol.GAME_VALUE * max(1.0, abs(want_value))
    close(gradient, want, tol.GAME_GRADIENT)
    with pytest.raises(ValueError, match="^game: got the density"):
        problem.hessian_vector(theta, theta, x)


@over(CASES)
def test_a_path_kept_and_one_computed_once_more_give_the_same_bits(case, monkeypatch):
    stored, theta, x = case.problem(), case.theta(), case.samples()
    steps = refode.MeanFieldGame(
        stored.potential,
        stored.game,
        stored.hjb,
        stored.hjb_terminal,
        stored.hjb_norm,
        stored.ode._named_scheme,
        stored.n_steps,
        stored.t_span,
        memory="steps",
    )
    assert "memory='steps'" in repr(steps)
    assert "memory" not in repr(stored)
    assert steps.with_steps(3).ode.memory == "steps"
    asked = []
    gradient = refode.ode.driver.gradient
    monkeypatch.setattr(
        refode.ode.driver,
        "gradient",
        lambda sweep, *rest, **named: asked.append(sweep.memory) or gradient(sweep, *rest, **named),
    )
    got, want = (p.value_and_gradient(theta, x) for p in (steps, stored))
    assert set(asked) == {MEMORY["steps"], MEMORY["store"]}
    assert got[0] == want[0]
    same(got[1], want[1])


def test_weights_of_a_game_do_not_move_in_time():
    problem = named("transport").problem()
    for basis in (None, refode.bases.Constant()):
        assert refode.MeanFieldGame(problem.potential, problem.game, basis=basis).ode.basis == (
            refode.bases.Constant()
        )
    with pytest.raises(ValueError, match=r"^basis: got Legendre.*, wanted None or Constant\(\) \("):
        refode.MeanFieldGame(problem.potential, problem.game, basis=refode.bases.Legendre(2))
    with pytest.raises(TypeError, match="^basis: got 3 "):
        refode.MeanFieldGame(problem.potential, problem.game, basis=3)
    with pytest.raises(ValueError, match="^memory: got 'reverse' with scheme"):
        refode.MeanFieldGame(problem.potential, problem.game, memory="reverse")


def test_more_steps_are_the_same_problem():
    case = named("transport")
    problem, theta, x = case.problem(), case.theta(), case.samples()
    finer = problem.with_steps(7)
    assert finer.costs(theta, x) == problem.costs(theta, x, n_steps=7)
    assert finer.with_steps(2).costs(theta, x) == problem.costs(theta, x)
