"""Weights of samples on the device: as on the CPU, in slices too, and where they are resident."""

from __future__ import annotations

import numpy as np
import pytest
from common import MODES, close, laid_out
from flows import FIELDS
from flows import drawn as flow
from games import GAMES
from games import drawn as game
from supervised import CASES
from supervised import drawn as supervised

import refode

WEIGHTS = np.array([0.5, 0.0, 3.0, 1.0, 2.0, 0.25, 1.5, 0.0, 4.0, 1.0, 1.0, 2.5, 0.75, 0.1])


def compared(here, there, theta, *data, products=True):
    """CPU and device: from arrays, from what is there already, and in slices."""
    w = WEIGHTS[: len(data[0])]
    wanted = here.value_and_gradient(theta, *data, sample_weight=w)
    plain = here.value_and_gradient(theta, *data)
    assert abs(plain[0] - wanted[0]) > 1e-6 * abs(plain[0])
    close(there.value_and_gradient(theta, *data, sample_weight=w), wanted)
    close(there.value(theta, *data, sample_weight=w), wanted[0])
    sent, weights = there.placed_with(data, w)
    assert len(weights) == len(sent[0]) == np.count_nonzero(w)
    close(there.value_and_gradient(theta, *sent, sample_weight=weights), wanted)
    with laid_out("tile", slice=3):
        close(there.value_and_gradient(theta, *sent, sample_weight=weights), wanted)
    everybody = there.placed(data)
    close(there.value_and_gradient(theta, *everybody, sample_weight=w), wanted)
    if products:
        v = np.cos(np.arange(len(theta)))
        close(
            there.hessian_vector(theta, v, *sent, sample_weight=weights),
            here.hessian_vector(theta, v, *data, sample_weight=w),
        )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", [CASES[1], CASES[3], CASES[6]], ids=lambda c: c[0])
def test_supervised(case, mode):
    here, there, theta, x, y = supervised(*case)
    with laid_out(mode):
        compared(here, there, theta, x, y)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("trace", ["exact", "rademacher"])
def test_flow(trace, mode):
    here, there, theta, y = flow(FIELDS["shallow"](), 7, trace)
    with laid_out(mode):
        compared(here, there, theta, y, products=trace == "exact")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [name for name in GAMES if name != "cross-flow"])
def test_game(name, mode):
    here, there, theta, data = game(name)
    with laid_out(mode):
        compared(here, there, theta, *data, products="methods" not in name)


@pytest.mark.parametrize("kind", ["supervised", "flow"])
def test_equal_weights_are_none(kind):
    _, there, theta, *data = (
        supervised(*CASES[1]) if kind == "supervised" else flow(FIELDS["mlp"]())
    )
    with laid_out():
        plain = there.value_and_gradient(theta, *data)
        sent, weights = there.placed_with(tuple(data), np.full(len(data[0]), 3.0))
        both = there.value_and_gradient(theta, *sent, sample_weight=weights)
    assert both[0] == plain[0]
    assert np.array_equal(both[1], plain[1])


def test_training_sends_them_once():
    here, there, theta, x, y = supervised(*CASES[1])
    how = {"sample_weight": WEIGHTS[: len(x)], "theta0": theta, "max_iter": 2, "progress": False}
    wanted = refode.train(here, x, y, **how)
    with laid_out():
        got = refode.train(there, x, y, **how)
    close((got.fun, got.x), (wanted.fun, wanted.x))


def test_weights_of_others_are_refused():
    _, there, theta, x, y = supervised(*CASES[1])
    _, weights = there.placed_with((x, y), WEIGHTS[: len(x)])
    with pytest.raises(ValueError, match="^sample_weight: "):
        there.value_and_gradient(theta, x, y, sample_weight=weights)
