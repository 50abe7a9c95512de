"""Draws that nobody gave a seed of their own share no numbers with data of the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import tolerances as tol

import refode
from refode import _seeds
from refode.densities import Empirical, Gaussian
from refode.training.resampled import Drawing

N = 200_000


def estimated(trace, noise_seed=0):
    """f(z) = tanh 3z in one Euler step from T = 1 to 0, so w = y - tanh 3y, l = -3 sech^2 3y."""
    ode = refode.NeuralODE(refode.fields.Shallow(1, 1), "euler", n_steps=1)
    theta = ode.pack({"W0": [[[3.0]]], "b0": [[0.0]], "W1": [[[1.0]]], "b1": [[0.0]]})
    return refode.ContinuousNormalizingFlow(ode, trace=trace, noise_seed=noise_seed), theta


@pytest.mark.parametrize("noise_seed", [0, 1])
@pytest.mark.parametrize("trace", ["exact", "rademacher", "gaussian"])
def test_noise_is_not_the_data(trace, noise_seed):
    """E[|w|^2/2 + log(2 pi)/2 + J] = 1.790, by quadrature; with the data's own numbers 1.089."""
    nodes = np.linspace(-12.0, 12.0, 4001)  # the trapezoidal rule has all digits here
    weights = np.exp(-0.5 * nodes**2)
    J = 3.0 / np.cosh(3.0 * nodes) ** 2
    base = 0.5 * (nodes - np.tanh(3.0 * nodes)) ** 2 + 0.5 * np.log(2 * np.pi)
    weights /= weights.sum()
    exact, bias = float(weights @ (base + J)), float(weights @ ((nodes**2 - 1.0) * J))
    # of base + eps^2 J, by E[eps^4] = 3 where eps is Gaussian, the largest of the three
    deviation = np.sqrt(weights @ (base**2 + 2.0 * base * J + 3.0 * J**2) - exact**2)
    assert exact == pytest.approx(1.790, abs=2e-3)
    assert bias == pytest.approx(-0.7031, abs=1e-4)
    flow, theta = estimated(trace, noise_seed)
    y = Gaussian([0.0], 1.0).sample(N)
    error = tol.DATASETS_MOMENT_SIGMAS * float(deviation) / np.sqrt(N)
    assert error < 0.05 * abs(bias)
    assert abs(flow.value(theta, y) - exact) <= error


def correlation(a, b):
    return abs(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]))


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_no_two_uses_draw_the_same_numbers(seed):
    n, normal = 4000, Gaussian([0.0], 1.0)
    flow, _ = estimated("gaussian", seed)
    data = normal.sample(n, seed)
    drawing = Drawing(flow, normal.sample, n, seed)
    draws = {
        "data": data,
        "noise": flow._start(data)[:, 1:],
        "period 0": drawing.period(0).arrays[0],
        "period 1": drawing.period(1).arrays[0],
        "validation": drawing.validation(n)[0],
        "initial": np.random.default_rng(seed).standard_normal((n, 1)),
    }
    names = list(draws)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if {one, other} != {"data", "initial"}:  # one seed of the user's is one seed
                assert correlation(draws[one], draws[other]) < 6 / np.sqrt(n), (one, other)


def test_samples_of_the_target_are_not_those_of_the_start():
    field = refode.fields.Potential(1, 3, 2)
    game = refode.games.normalizing_flow(Gaussian([0.0], 1.0), Gaussian([0.0], 1.0))
    problem = refode.MeanFieldGame(field, game, n_steps=1)
    x = game.initial.sample(4000)
    assert correlation(problem._drawn(len(x)), x) < 6 / np.sqrt(len(x))
    assert np.array_equal(problem._drawn(10), problem._drawn(10))
    own = refode.games.normalizing_flow(Gaussian([0.0], 1.0), Empirical(x))
    assert refode.MeanFieldGame(field, own, n_steps=1)._drawn(7) is own.target.samples


def test_keys_differ_by_use_and_by_number():
    keys = [(), (0,), (1,), (0, 1), (1, 0), (2**70,)]
    numbers = {_seeds.number(use, *key) for use in ("a", "b", "ab", "ba") for key in keys[1:]}
    assert len(numbers) == 4 * 5
    assert all(0 <= number < 2**32 for number in numbers)
    assert _seeds.number("a", 3) == _seeds.number("a", 3)
    one, other = (_seeds.generator("a", 3).standard_normal(5) for _ in range(2))
    assert np.array_equal(one, other)
