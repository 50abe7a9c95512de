"""The nodes of Gauss and Lobatto, which linear-quadratic games are solved on: (D73)'s integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tolerances import CLOSED_FORM

from refode.closed_forms.games import NODES, _lobatto, lq_game

SEVEN = math.sqrt(7.0)
# On [-1, 1], by degree: nodes from the middle on with their weights, as tables print them.
KNOWN = {
    2: {0.0: 4 / 3, 1.0: 1 / 3},
    3: {math.sqrt(1 / 5): 5 / 6, 1.0: 1 / 6},
    4: {0.0: 32 / 45, math.sqrt(3 / 7): 49 / 90, 1.0: 1 / 10},
    5: {
        math.sqrt((7 - 2 * SEVEN) / 21): (14 + SEVEN) / 30,
        math.sqrt((7 + 2 * SEVEN) / 21): (14 - SEVEN) / 30,
        1.0: 1 / 15,
    },
}
REAL = {np.dtype(np.float64)}


def close(got, want, scale: float = 1.0) -> None:
    assert np.shape(got) == np.shape(want)
    assert np.abs(np.asarray(got) - want).max() <= CLOSED_FORM * scale


@pytest.mark.parametrize("n", KNOWN)
def test_the_known_nodes_and_weights(n):
    nodes, weights, _, _ = _lobatto(n)
    assert {nodes.dtype, weights.dtype} == REAL
    assert len(nodes) == len(weights) == n + 1
    half = len(KNOWN[n])
    close(nodes[-half:], [*KNOWN[n]])
    close(weights[-half:], [*KNOWN[n].values()])
    close(nodes, -nodes[::-1])
    close(weights, weights[::-1])


@pytest.mark.parametrize("n", NODES)
def test_they_integrate_differentiate_and_expand(n):
    """Powers of x up to 2 n - 1, the slope of a cube, the series of Legendre polynomials."""
    nodes, weights, D, to_series = _lobatto(n)
    assert {nodes.dtype, weights.dtype, D.dtype, to_series.dtype} == REAL
    assert len(nodes) == n + 1
    assert np.all(np.diff(nodes) > 0.0)
    for power in (0, 1, 2, 9, n, 2 * n - 2, 2 * n - 1):
        close(weights @ nodes**power, 2.0 / (power + 1) if power % 2 == 0 else 0.0)
    close(D @ nodes**3, 3.0 * nodes**2, n * n)  # D's entries grow like n (n + 1)/4
    for degree in (0, 3, n - 1, n):
        unit = np.eye(n + 1)[degree]
        close(to_series @ np.polynomial.legendre.legval(nodes, unit), unit, n)


def test_a_game_is_real():
    game = lq_game(2.0, 0.3, [1.5, 0.0], 0.3, 5.0, 1.0, [0.6, 1.0], -2.0, 0.4, 1.4)
    x = np.ones((3, 2))
    assert {game.deviation(0.7).dtype, game.deviation(0.7, 1).dtype, game.mean(0.7).dtype} == REAL
    assert {game.L.dtype, game.F.dtype, game.G.dtype, game.positions(0.7, x).dtype} == REAL
    assert {a.dtype for a in game.value_function(0.7, x)} == REAL
    assert game.log_density(0.7, x).dtype == np.float64
