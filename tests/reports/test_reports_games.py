"""The games' part of ``refode validate``: passes on right code, fails where something is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from refode.problems.game import MeanFieldGame
from refode.reports.proofs import game_cases, games_checks, games_solutions
from refode.reports.proofs.examined import same_bits
from refode.reports.section import Section

grouped = pytest.mark.parametrize("group", ["x"], ids=["GameSpec-report"])


def case(kind="crowd"):
    return game_cases.make(kind, "lowrank", "squared")


def failed(section):
    return [c.name for c in section.checks if not c.passed]


def after(part, *arguments):
    section = Section("games")
    part(section, *arguments)
    return failed(section)


@grouped
def test_right_code_passes_and_is_drawn(group, tmp_path):
    section = games_checks.run(tmp_path, True, [case()], ["heun"], train=False)
    assert section.passed, failed(section)
    assert [f.name for f in section.files] == ["games_orders.png", "games_orders.pdf"]
    assert all(f.stat().st_size > 10_000 for f in section.files)
    assert section.numbers["derivatives"][0]["method"] == "complex step"


@grouped
def test_the_trained_game_is_judged_and_drawn(group, tmp_path):
    """A few iterations are too few, and say so."""
    section = Section("games")
    found = games_solutions.trained(section, 3)
    assert len(section.checks) == 5
    assert "trained game with entropy: cost" in failed(section)
    files = games_checks.draw([games_checks.study("euler")], found, tmp_path)
    assert [f.name for f in files][2:] == ["games_entropy.png", "games_entropy.pdf"]


@grouped
def test_every_case_differs_and_all_kinds_are_met(group):
    full = game_cases.cases(False)
    assert len({c.name for c in full}) == len(full)
    for word in ("transport", "crowd", "flow", "symmetric", "lowrank", "absolute", "squared"):
        assert any(word in c.name for c in full)
        assert any(word in c.name for c in game_cases.cases(True))


@grouped
@pytest.mark.parametrize("factor", [1.001, -1.0])
def test_a_scaled_gradient_fails(group, factor, monkeypatch):
    right = MeanFieldGame.value_and_gradient

    def wrong(self, *arguments):
        value, gradient = right(self, *arguments)
        return value, factor * gradient

    monkeypatch.setattr(MeanFieldGame, "value_and_gradient", wrong)
    row = games_checks.examine(case())
    assert not row.passed
    assert row.failures[0].startswith("gradient of the objective")


@grouped
@pytest.mark.parametrize("row", range(6), ids=["z1", "z2", "log rho", "L", "F", "R"])
def test_an_adjoint_without_one_of_the_rows_fails_the_dot_test(group, row, monkeypatch):
    right = games_checks.Cotangent

    def wrong(bars):
        bars[..., row] *= 1.001
        return right(bars)

    monkeypatch.setattr(games_checks, "Cotangent", wrong)
    assert not games_checks.dot_of_state(case())


@grouped
@pytest.mark.parametrize("kind", ["crowd", "flow"])
def test_the_second_opinion_notices_every_number(group, kind, monkeypatch):
    """A thousandth in any of the game's numbers is seen in the terms and in the slope."""
    problem = game_cases.make(kind, "symmetric", "squared", 2, 2, "dopri5", 24)
    given = game_cases.setting(problem)
    before = games_checks.opinion(problem)
    assert max(before.values()) < 1e-7
    numbers = ["alpha", "terminal", "hjb", "hjb_terminal"]
    for name in numbers + (["entropy"] if kind == "crowd" else []):
        wrong = given._replace(**{name: 1.001 * getattr(given, name)})
        monkeypatch.setattr(games_checks, "setting", lambda case, wrong=wrong: wrong)
        off = games_checks.opinion(problem)
        assert off["total"] > 1e-5, name
        assert off["slope"] > 1e-6, name


@grouped
def test_a_shifted_log_density_fails(group, monkeypatch):
    right = MeanFieldGame.log_density

    def wrong(self, *arguments, **named):
        return right(self, *arguments, **named) + 1e-4

    monkeypatch.setattr(MeanFieldGame, "log_density", wrong)
    assert "transport by translation, 2 steps" in after(games_solutions.closed_forms)
    missed = after(games_solutions.conservation)
    assert missed == [f"integral of the density, {q}" for q in ("lowrank", "symmetric")]


@grouped
def test_another_control_fails(group, monkeypatch):
    """Agents that are a thousandth too fast."""
    right = MeanFieldGame._sweep

    def wrong(self, plan, dtype):
        sweep = right(self, plan, dtype)
        dynamics = sweep.dynamics._replace(alpha=0.999 * sweep.dynamics.alpha)
        return sweep._replace(dynamics=dynamics)

    monkeypatch.setattr(MeanFieldGame, "_sweep", wrong)
    assert len(after(games_solutions.closed_forms)) == 4
    missed = after(games_solutions.conservation)
    assert missed == ["Hamiltonian along a path", "path into a bowl"]
    assert after(games_checks._opinions, True) == ["crowd: terms and slope of independent code"]


@grouped
def test_a_laplacian_a_thousandth_off_fails(group, monkeypatch):
    right = games_checks.evaluate.potential

    def wrong(*arguments):
        *others, laplacian = right(*arguments)
        return *others, 1.001 * laplacian

    monkeypatch.setattr(games_checks.evaluate, "potential", wrong)
    assert len(after(games_checks._laplacians)) == 1


@grouped
def test_a_wrong_order_fails(group):
    assert games_checks.study("heun").passed
    assert not games_checks.study("heun", order=3).passed


@grouped
def test_other_bits_fail(group, monkeypatch):
    rng = np.random.default_rng(0)
    right = MeanFieldGame.states
    monkeypatch.setattr(
        MeanFieldGame,
        "states",
        lambda self, *a, **b: right(self, *a, **b) * (1.0 + 1e-15 * rng.integers(1, 9)),
    )
    missed = after(same_bits, games_checks.everything, "a game")
    assert missed
    assert all("threads" in name for name in missed)
