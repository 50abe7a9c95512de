"""Mean field games on the device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import tolerances
from common import MODES, close, laid_out

import refode
from refode import reference
from refode.costs.energies import Energy
from refode.densities import Density, Empirical, Gaussian, GaussianMixture
from refode.fields import Potential
from refode.games import (
    CrossEntropy,
    Game,
    GaussianBump,
    KullbackLeibler,
    Quadratic,
    TerminalEnergy,
)
from refode.reference import kernels

SPD = np.array([[1.0, 0.3, 0.1], [0.3, 0.8, -0.2], [0.1, -0.2, 1.2]])


class ByMethods(Density):
    """A Gaussian that nobody knows for one: evaluated where the paths end."""

    dim = 3

    def __init__(self):
        self.known = Gaussian(np.array([0.3, 0.1, -0.2]), SPD)

    def log_density(self, x):
        return self.known.log_density(x)

    def log_density_gradient(self, x):
        return self.known.log_density_gradient(x)

    def sample(self, n, seed=0):
        return self.known.sample(n, seed)


INITIAL = Gaussian(np.zeros(3), np.eye(3))
DIAGONAL = Gaussian(np.array([1.0, 0.0, 0.5]), np.diag([0.5, 1.0, 2.0]))
DENSE = Gaussian(np.array([1.0, 0.0, 0.5]), SPD)
MIXTURE = GaussianMixture(
    [0.3, 0.7], np.array([[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]]), np.array([SPD, SPD])
)
BUMP = GaussianBump(2.0, [0.1, 0.2], [[0.5, 0.1], [0.1, 0.4]])
QUADRATIC = Quadratic(0.7, [0.1, 0.2, 0.3])
POINTS = Empirical(np.random.default_rng(5).standard_normal((7, 3)))
# game, hjb, hjb_terminal, norm
GAMES = {
    "kl-diagonal-sum": (
        Game(INITIAL, KullbackLeibler(DIAGONAL, 1.3), 1.2, BUMP + QUADRATIC, 0.4),
        0.4,
        0.3,
        "absolute",
    ),
    "kl-dense-nested": (
        Game(DENSE, KullbackLeibler(DENSE, 1.3), 0.8, (BUMP + Quadratic(0.7, 0.2)) + BUMP, 0.0),
        0.4,
        0.3,
        "squared",
    ),
    "kl-mixture": (
        Game(INITIAL, KullbackLeibler(MIXTURE, 1.3), 1.2, QUADRATIC, 0.4),
        0.0,
        0.3,
        "squared",
    ),
    "kl-methods": (Game(INITIAL, KullbackLeibler(ByMethods(), 1.1)), 0.4, 0.3, "absolute"),
    "kl-plain": (Game(INITIAL, KullbackLeibler(DIAGONAL, 1.1)), 0.0, 0.0, "absolute"),
    "energy-sum": (Game(INITIAL, BUMP + QUADRATIC, 1.2, BUMP, 0.2), 0.4, 0.3, "squared"),
    "energy-bump": (Game(MIXTURE, TerminalEnergy(BUMP, 0.7), 1.1), 0.4, 0.3, "absolute"),
    "energy-plain": (Game(INITIAL, TerminalEnergy(QUADRATIC, 1.3)), 0.0, 0.0, "absolute"),
    "cross-dense": (Game(MIXTURE, CrossEntropy(DENSE, 1.1), 1.2, BUMP, 0.2), 0.4, 0.3, "absolute"),
    "cross-squared": (Game(MIXTURE, CrossEntropy(DENSE, 1.1), 1.2, BUMP, 0.2), 0.4, 0.3, "squared"),
    "cross-methods": (
        Game(ByMethods(), CrossEntropy(ByMethods(), 1.1), 1.2, None, 0.2),
        0.4,
        0.3,
        "absolute",
    ),
    "cross-points": (
        Game(INITIAL, CrossEntropy(POINTS, 1.1), 1.2, Quadratic(0.7, 0.2), 0.0),
        0.4,
        0.0,
        "absolute",
    ),
    "cross-flow": (Game(INITIAL, CrossEntropy(DENSE, 1.1), 0.0), 0.0, 0.0, "absolute"),
}


def drawn(name, n=5, potential=None, **how):
    """The game on the CPU and on the device, theta, x, and y where it takes some."""
    game, hjb, hjb_terminal, norm = GAMES[name]
    rest = (potential or Potential(3, 4, rank=2), game, hjb, hjb_terminal, norm, "heun", 2)
    here, there = refode.MeanFieldGame(*rest), refode.MeanFieldGame(*rest, device="cuda", **how)
    rng = np.random.default_rng(n)
    theta, x = 0.5 * rng.standard_normal(here.n_parameters), rng.standard_normal((n, 3))
    crossed = name.startswith("cross") and name != "cross-points"
    return here, there, theta, ((x, rng.standard_normal((n + 2, 3))) if crossed else (x,))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", GAMES)
def test_parity(name, mode):
    here, there, theta, data = drawn(name)
    with laid_out(mode):
        close(there.value_and_gradient(theta, *data), here.value_and_gradient(theta, *data))
        close(there.value(theta, *data), here.value(theta, *data))


@pytest.mark.parametrize("mode", MODES)
def test_paths(mode):
    here, there, theta, (x, y) = drawn("cross-dense")
    with laid_out(mode):
        close(there.states(theta, x), here.states(theta, x))
        close(there.generate(theta, x), here.generate(theta, x))
        close(there.inverse(theta, y), here.inverse(theta, y))
        close(there.log_density(theta, y), here.log_density(theta, y))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [1, 4, 9])
def test_sizes(n, mode):
    here, there, theta, data = drawn("kl-methods", n)
    with laid_out(mode):
        close(there.value_and_gradient(theta, *data), here.value_and_gradient(theta, *data))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["kl-methods", "cross-methods", "cross-flow"])
def test_slices(name, mode):
    here, there, theta, data = drawn(name, 6)
    with laid_out(mode, slice=4):
        close(there.value_and_gradient(theta, *data), here.value_and_gradient(theta, *data))


@pytest.mark.parametrize("quadratic", ["lowrank", "symmetric"])
def test_deep_potentials(quadratic):
    here, there, theta, data = drawn(
        "kl-diagonal-sum", potential=Potential(3, 3, depth=3, quadratic=quadratic)
    )
    with laid_out():
        close(there.value_and_gradient(theta, *data), here.value_and_gradient(theta, *data))


@pytest.mark.parametrize("name", ["kl-dense-nested", "cross-dense"])
def test_float32(name):
    here, there, theta, data = drawn(name, dtype="float32")
    exact = here.value_and_gradient(theta, *data)
    with laid_out():
        got = there.value_and_gradient(theta, *data)
    close(got, exact, tolerances.CUDA_FLOAT32)
    assert np.abs(got[1] - exact[1]).max() > tolerances.CUDA * np.abs(exact[1]).max()


@pytest.mark.parametrize("name", ["kl-mixture", "cross-dense"])
def test_data_that_stay(name):
    here, there, theta, data = drawn(name)
    with laid_out():
        kept = there.to_device(*data)
        kept = kept if isinstance(kept, tuple) else (kept,)
        got = there.value_and_gradient(theta, *kept)
        close(got, here.value_and_gradient(theta, *data))
        assert np.array_equal(got[1], there.value_and_gradient(theta, *data)[1])
        close(there.value(theta, *kept), here.value(theta, *data))
        close(there.states(theta, kept[0]), here.states(theta, data[0]))


def test_same_bits():
    _, there, theta, data = drawn("cross-dense", 9)
    found = []
    for threads in (1, 2, 3):
        with laid_out(threads=threads):
            found.append(there.value_and_gradient(theta, *data))
    assert all(f[0] == found[0][0] and np.array_equal(f[1], found[0][1]) for f in found)


def golden():
    return [n for n in reference.names() if reference.case(n)["problem"]["type"] == "game"]


@pytest.mark.parametrize("name", golden())
def test_proven_digits(name):
    document = reference.case(name)
    given, proven = (reference.arrays(document, part) for part in ("inputs", "results"))
    here = kernels.game_of(document, given.get("y"))
    problem = refode.MeanFieldGame(
        here.potential,
        here.game,
        here.hjb,
        here.hjb_terminal,
        here.hjb_norm,
        here.ode._named_scheme,
        here.n_steps,
        here.t_span,
        device="cuda",
    )

    def packed(arrays, prefix):
        return problem.pack({b: arrays[f"{prefix}/{b}"] for b in problem.layout.shapes})

    data = (given["x"], given["y"]) if "y" in given else (given["x"],)
    with laid_out():
        got = problem.value_and_gradient(packed(given, "theta"), *data)
    close(got, (proven["total"], packed(proven, "gradient")))


def test_golden_cases_are_there():
    assert len(golden()) == 16


class WallSpec(NamedTuple):
    height: float


class Wall(Energy):
    """An energy of the user's."""

    def description(self):
        return WallSpec(1.0)


def test_bad_input():
    x = np.zeros((2, 3))
    _, there, theta, _ = drawn("kl-plain")
    walled = refode.MeanFieldGame(
        Potential(3, 4, rank=2),
        Game(INITIAL, KullbackLeibler(DIAGONAL), 1.0, BUMP + Wall()),
        device="cuda",
    )
    ending = refode.MeanFieldGame(
        Potential(3, 4, rank=2), Game(INITIAL, QUADRATIC + Wall()), device="cuda"
    )
    _, other, _, _ = drawn("kl-dense-nested")
    for error, words, call in [
        (
            ValueError,
            "no body for the energy WallSpec",
            lambda: walled.value_and_gradient(theta, x),
        ),
        (
            ValueError,
            "no body for the energy WallSpec",
            lambda: ending.value_and_gradient(theta, x),
        ),
        (ValueError, "device: got 'cpu'", lambda: drawn("kl-plain")[0].to_device(x)),
        (
            TypeError,
            "x: got an array on a device",
            lambda: drawn("kl-plain")[0].value(theta, there.to_device(x)),
        ),
        (ValueError, "y: got samples, wanted None", lambda: there.to_device(x, x)),
        (ValueError, "x: got", lambda: there.value(theta, other.to_device(x))),
        (
            ValueError,
            "dtype: got 'float16'",
            lambda: refode.MeanFieldGame(
                Potential(3, 4), GAMES["kl-plain"][0], device="cuda", dtype="float16"
            ),
        ),
    ]:
        with pytest.raises(error, match=words):
            call()


def test_device_stays_when_steps_change():
    _, there, _, _ = drawn("kl-plain", dtype="float32")
    assert there.with_steps(3).ode.placement == ("cuda", "float32")
