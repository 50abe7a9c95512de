"""The three problems on the device against plain NumPy oracles that share no code with refode."""

from __future__ import annotations

import flow_cases
import game_cases
import numpy as np
import oracle
import oracle_games
import pytest
import supervised_cases
from common import MODES, close, laid_out

import refode
from refode import fields

DEVICE = (fields.Shallow, fields.MLP)


def on_device(p):
    """The same problem with its sweeps on the device."""
    ode, weights = p.ode.on("cuda"), (p._regulariser.tikhonov, p._regulariser.smoothness)
    if isinstance(p, refode.Supervised):
        return refode.Supervised(ode, p.loss, p.n_outputs, p.augment, p.readout, *weights)
    return refode.ContinuousNormalizingFlow(ode, p.transport, *weights, p.trace)


SUPERVISED = [
    c
    for c in supervised_cases.CASES
    if isinstance(supervised_cases.FIELDS[c.field][0], DEVICE) and c.memory != "reverse"
]
FLOWS = [
    c
    for c in flow_cases.cases()
    if isinstance(flow_cases.FIELDS[c.field][0], DEVICE)
    and c.trace == "exact"
    and c.memory != "reverse"
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", SUPERVISED, ids=str)
def test_supervised(case, mode):
    theta, x, y = case.draw()
    want = oracle.complex_gradient(lambda th: case.objective(th, x, y), theta)
    with laid_out(mode):
        got = on_device(case.problem).value_and_gradient(theta, x, y)
    close(got, (np.real(case.objective(theta, x, y)), want))


@pytest.mark.parametrize("case", FLOWS, ids=str)
def test_flows(case):
    theta, y, _ = case.draw()
    want = oracle.complex_gradient(lambda th: case.objective(th, y), theta)
    with laid_out():
        got = on_device(case.flow).value_and_gradient(theta, y)
    close(got, (np.real(case.objective(theta, y)), want))


@pytest.mark.parametrize("case", game_cases.cases(), ids=lambda c: c.name)
def test_games(case):
    p, theta, x = case.problem(), case.theta(), case.samples()
    there = refode.MeanFieldGame(
        p.potential,
        p.game,
        p.hjb,
        p.hjb_terminal,
        p.hjb_norm,
        p.ode._named_scheme,
        p.n_steps,
        p.t_span,
        device="cuda",
    )
    want = oracle_games.complex_gradient(lambda th: case.oracle(th, x)["total"], theta)
    data = (x,) if case.y is None else (x, case.y)
    with laid_out():
        got = there.value_and_gradient(theta, *data)
    close(got, (np.real(case.oracle(theta, x)["total"]), want))


def test_cases_are_there():
    assert len(SUPERVISED) >= 8
    assert len(FLOWS) >= 8
    assert len(game_cases.cases()) >= 8
