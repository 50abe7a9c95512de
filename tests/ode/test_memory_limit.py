"""Stages that would take too much memory are computed once more, to the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import refode
from refode.densities import Gaussian
from refode.ode import driver
from refode.sweeps.dynamics import Plain
from refode.sweeps.sweep import REVERSE, STEPS, STORE

FIELD = refode.fields.Shallow(2, 3)


def supervised(memory, n_steps=50):
    ode = refode.NeuralODE(FIELD, n_steps=n_steps, memory=memory)
    problem = refode.Supervised(ode, "regression", n_outputs=2)
    x = np.random.default_rng(0).standard_normal((300, 2))
    return problem, (x, np.sin(x))


def flow(memory):
    problem = refode.ContinuousNormalizingFlow(refode.NeuralODE(FIELD, n_steps=20, memory=memory))
    return problem, (np.random.default_rng(0).standard_normal((70, 2)),)


def game(memory):
    of = refode.games.optimal_transport(Gaussian([0.0, 0.0], 1.0), Gaussian([1.0, 0.0], 0.3))
    field = refode.fields.Potential(2, 3, 2)
    problem = refode.MeanFieldGame(field, of, hjb=1.0, n_steps=4, memory=memory)
    return problem, (of.initial.sample(70),)


@pytest.mark.parametrize("kind", [supervised, flow, game])
def test_too_long_a_path_goes_the_other_way_to_the_same_bits(kind, monkeypatch):
    chosen, memory = [], driver._memory

    def seen(*arguments):
        chosen.append(memory(*arguments))
        return chosen[-1]

    monkeypatch.setattr(driver, "_memory", seen)
    found = {}
    for name, limit in (("store", 2**29), ("store", 1000), ("steps", 2**29)):
        monkeypatch.setattr(driver, "STORED_AT_MOST", limit)
        problem, data = kind(name)
        value, gradient = problem.value_and_gradient(problem.initial(1), *data)
        found[name, limit] = value, gradient.tobytes()
    assert len(set(found.values())) == 1
    assert chosen == [STORE, STEPS, STEPS]


def test_what_is_stored_by_default():
    """n_steps = 1e5 and 300 samples took 7.6 GB."""
    for n_steps, wanted in ((100, STORE), (2000, STORE), (100_000, STEPS)):
        problem, (x, _) = supervised("store", n_steps)
        sweep = problem.ode.sweep(problem.ode.plan(), Plain, np.float64)
        S = driver._blocks(sweep, len(x))[0]
        assert driver._memory(sweep, S, 8) == wanted
        reverse = sweep._replace(memory=REVERSE)
        assert driver._memory(reverse, S, 8) == REVERSE
