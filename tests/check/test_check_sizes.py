"""The sizes that rounding is relative to, (D120), by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refode.check.sizes import sizes

GAME = {
    "type": "game",
    "kind": "kl",
    "terminal": "2",
    "entropy": "1/2",
    "hjb_terminal": "3",
    "hjb_norm": "absolute",
}
VALUES = {
    "log_density_path": -7.0,
    "log_density": 5.0,
    "terms/L": 1.0,
    "terms/F": 0.25,
    "terms/G": 0.01,
    "terms/hjb_terminal": 12.0,
    "total": 0.5,
    "gradient/w": 2.0,
    "gradient/A": 0.125,
    "phi": 0.0,
}


def of(problem, values, **other):
    return sizes(problem | other, {k: np.array([v, 0.0]) for k, v in values.items()})


def test_of_a_game():
    found = of(GAME, VALUES)
    assert found["terms/L"] == 1.0
    assert found["terms/F"] == 3.5  # entropy 1/2, log-density 7
    assert found["terms/G"] == 14.0
    assert found["terms/hjb_terminal"] == 42.0  # 3 * 2 * 7
    assert found["total"] == 42.0
    assert found["gradient/w"] == found["gradient/A"] == 2.0
    assert found["phi"] == 1.0
    assert found["log_density"] == 5.0


def test_of_squared_residuals():
    """A residual of 2, 12 = 3 r^2, moves its square by 2 r times what it moves by itself."""
    found = of(GAME, VALUES, hjb_norm="squared")
    assert found["terms/hjb_terminal"] == 4.0 * 42.0


def test_of_exponentials():
    found = of(GAME, VALUES, kind="cross_entropy")
    assert found["terms/hjb_terminal"] == 7.0 * 12.0
    assert found["gradient/A"] == 7.0 * 2.0
    assert found["terms/G"] == 14.0
    alone = of(GAME, VALUES, kind="cross_entropy", hjb_terminal="0")
    assert alone["gradient/A"] == 2.0
    assert alone["terms/hjb_terminal"] == 12.0


def test_of_an_energy_at_the_end():
    """It reads no density; the entropy on the way does."""
    found = of(GAME, VALUES, kind="energy")
    assert found["terms/F"] == 3.5
    assert found["terms/G"] == 0.01
    assert found["terms/hjb_terminal"] == 12.0
    assert found["total"] == 12.0


def test_of_a_flow_and_of_losses():
    flow = of({"type": "flow"}, {"terms/likelihood": 0.5, "log_density": 4.0, "total": 0.25})
    assert flow == {"terms/likelihood": 4.0, "log_density": 4.0, "total": 4.0}
    loss = of({"type": "supervised"}, {"terms/loss": 0.002, "outputs": 7.0, "total": 3.0})
    assert loss == {"terms/loss": 7.0, "outputs": 7.0, "total": 7.0}


@pytest.mark.parametrize("kind", ["ode", "supervised", "flow"])
def test_what_is_not_there_is_not_asked_for(kind):
    assert of({"type": kind}, {"trace": 2.0}) == {"trace": 2.0}
