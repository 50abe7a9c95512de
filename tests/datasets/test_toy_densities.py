"""Densities to estimate: the toy ones are as published, the real ones parted without leakage."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special, stats
from tolerances import DATASETS_KS_CRITICAL, DATASETS_MOMENT_SIGMAS, DATASETS_ROUNDING

from refode import datasets
from refode.datasets import real, toy_densities
from refode.datasets import toy_density as draw

NAMES = datasets.TOY_DENSITIES
SIZE = st.integers(1, 60)
SEED = st.integers(0, 2**32)
MANY = 100_000


def refused(error: type[Exception], message: str):
    return pytest.raises(error, match="^" + re.escape(message))


def test_the_names():
    assert NAMES == (
        "8gaussians",
        "checkerboard",
        "swissroll",
        "circles",
        "moons",
        "pinwheel",
        "2spirals",
        "rings",
    )


@given(name=st.sampled_from(NAMES), n=SIZE, seed=SEED)
@settings(deadline=None)
def test_form_and_seed(name, n, seed):
    x = draw(name, n, seed)
    assert x.shape == (n, 2)
    assert x.dtype == np.float64
    assert x.flags.c_contiguous
    assert np.isfinite(x).all()
    assert np.array_equal(x, draw(name, n, seed=seed))
    assert not np.isin(draw(name, n, seed + 1), x).any()


@pytest.mark.parametrize("name", NAMES)
def test_seed_zero_is_the_default_and_globals_do_not_matter(name):
    x = draw(name, 30)
    np.random.seed(7)  # noqa: NPY002
    assert np.array_equal(x, draw(name, 30, seed=0))


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_independent_of_their_neighbours(name):
    x = draw(name, MANY, seed=2)
    x = np.c_[x, x**2, x[:, 0] * x[:, 1]]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    for shift in (1, 2, MANY // 8, MANY // 2):
        correlation = x[shift:].T @ x[:-shift] / (MANY - shift)
        assert np.abs(correlation).max() < DATASETS_MOMENT_SIGMAS / np.sqrt(MANY - shift)


# --- the curves, with noise that is known ------------------------------------------------


def let(monkeypatch: pytest.MonkeyPatch, noise: tuple[float, float] = (0.0, 0.0), **own) -> None:
    """Let every normal vector be `noise`, and replace other methods of the generator."""

    def start(n: int, seed: int) -> tuple[int, SimpleNamespace]:
        rng = np.random.default_rng(seed)
        methods = {name: getattr(rng, name) for name in ("choice", "integers", "random", "uniform")}
        normal = {"standard_normal": lambda shape: np.broadcast_to(noise, shape)}
        return n, SimpleNamespace(**methods | normal | own)

    monkeypatch.setattr(toy_densities, "start", start)


def is_close(got: np.ndarray, want: np.ndarray | float) -> None:
    assert_allclose(got, want, rtol=DATASETS_ROUNDING, atol=DATASETS_ROUNDING)


S = 1 / np.sqrt(2)
CENTRES = 4 * np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (S, S), (S, -S), (-S, S), (-S, -S)])
CENTRES /= 1.414


def test_centres_of_the_8gaussians(monkeypatch):
    let(monkeypatch)
    x = draw("8gaussians", 2000)
    distance = np.linalg.norm(x[:, None] - CENTRES, axis=2)
    is_close(distance.min(axis=1), 0.0)
    assert set(distance.argmin(axis=1)) == set(range(8))


@pytest.mark.parametrize(
    ("name", "radii"), [("circles", (1.5, 3.0)), ("rings", (0.75, 1.5, 2.25, 3.0))]
)
def test_radii(name, radii, monkeypatch):
    let(monkeypatch)
    r = np.hypot(*draw(name, 2000).T)
    nearest = np.abs(r[:, None] - radii).argmin(axis=1)
    is_close(r, np.array(radii)[nearest])
    assert set(nearest) == set(range(len(radii)))


def test_the_swissroll_is_one_spiral(monkeypatch):
    let(monkeypatch)
    x = draw("swissroll", 2000)
    t = 5 * np.hypot(*x.T)
    is_close(x, np.c_[t * np.cos(t), t * np.sin(t)] / 5)
    assert t.min() > 1.5 * np.pi - DATASETS_ROUNDING
    assert t.max() < 4.5 * np.pi + DATASETS_ROUNDING


def test_the_moons_are_half_circles(monkeypatch):
    let(monkeypatch)
    x = (draw("moons", 2000) + (1.0, 0.2)) / 2
    on_upper = np.abs(np.hypot(*x.T) - 1) < DATASETS_ROUNDING
    assert np.all(x[on_upper, 1] >= -DATASETS_ROUNDING)
    lower = x[~on_upper] - (1.0, 0.5)
    is_close(np.hypot(*lower.T), 1.0)
    assert np.all(lower[:, 1] <= DATASETS_ROUNDING)
    assert len(lower) > 0


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (1.0, -2.0), (-2.0, 1.0)])
def test_the_pinwheel_has_five_arms(a, b, monkeypatch):
    let(monkeypatch, (a, b))
    u, v = 1 + 0.3 * a, 0.1 * b
    t = 2 * np.pi * np.arange(5) / 5 + 0.25 * np.exp(u)
    arms = 2 * np.c_[u * np.cos(t) + v * np.sin(t), v * np.cos(t) - u * np.sin(t)]
    distance = np.linalg.norm(draw("pinwheel", 2000)[:, None] - arms, axis=2)
    is_close(distance.min(axis=1), 0.0)
    assert set(distance.argmin(axis=1)) == set(range(5))


def test_the_spirals_mirror_one_another(monkeypatch):
    def evenly(size: int | tuple[int, ...]) -> np.ndarray:
        return np.linspace(0.0, 1.0, int(np.prod(size))).reshape(size)

    let(monkeypatch, random=evenly)
    x = 3 * draw("2spirals", 2000)
    t = np.sqrt(evenly(2000)) * 540 * (2 * np.pi) / 360
    arm = np.c_[-np.cos(t) * t, np.sin(t) * t] + evenly((2000, 2)) * 0.5
    side = np.sign(np.sum(x * arm, axis=1))
    is_close(x, side[:, None] * arm)
    assert abs(np.sum(side)) < DATASETS_MOMENT_SIGMAS * np.sqrt(2000)


@pytest.mark.parametrize(
    ("name", "sigma"),
    [
        ("8gaussians", 0.5 / 1.414),
        ("swissroll", 1.0 / 5),
        ("circles", 0.08 * 3),
        ("moons", 0.1 * 2),
        ("2spirals", 0.1),
        ("rings", 0.08),
        ("checkerboard", 0.0),
    ],
)
def test_the_noise_has_its_size(name, sigma, monkeypatch):
    let(monkeypatch)
    clean = draw(name, 50)
    let(monkeypatch, (1.0, -2.0))
    is_close(draw(name, 50), clean + (sigma, -2 * sigma))


# --- every projection has the distribution that the definition implies ---------------------


def nodes(n: int) -> np.ndarray:
    """Midpoints of n cells of [0, 1]."""
    return (np.arange(n) + 0.5) / n


def circle(*radii: float) -> np.ndarray:
    t = 2 * np.pi * nodes(4000)
    return np.concatenate([np.c_[r * np.cos(t), r * np.sin(t)] for r in radii])


def swissroll() -> np.ndarray:
    t = 1.5 * np.pi * (1 + 2 * nodes(4000))
    return np.c_[t * np.cos(t), t * np.sin(t)] / 5


def moons() -> np.ndarray:
    t = np.pi * nodes(4000)
    upper, lower = np.c_[np.cos(t), np.sin(t)], np.c_[1 - np.cos(t), 0.5 - np.sin(t)]
    return 2 * np.concatenate((upper, lower)) + (-1, -0.2)


def spirals() -> np.ndarray:
    u, a, b = (v.ravel() for v in np.meshgrid(nodes(400), nodes(8), nodes(8)))
    t = np.sqrt(u) * 540 * (2 * np.pi) / 360
    arm = np.c_[-np.cos(t) * t + a * 0.5, np.sin(t) * t + b * 0.5]
    return np.concatenate((arm, -arm)) / 3


# the points that normal noise of this standard deviation is added to
NOISY: dict[str, tuple[Callable[[], np.ndarray], float]] = {
    "8gaussians": (lambda: CENTRES, 0.5 / 1.414),
    "swissroll": (swissroll, 0.2),
    "circles": (lambda: circle(3, 1.5), 0.24),
    "moons": (moons, 0.2),
    "2spirals": (spirals, 0.1),
    "rings": (lambda: circle(3, 2.25, 1.5, 0.75), 0.08),
}


def drawn_from(samples: np.ndarray, cdf: Callable) -> None:
    """Kolmogorov-Smirnov, with the distribution function taken from a fine grid."""
    grid = np.linspace(-6.0, 6.0, 601)
    values = np.array([cdf(s) for s in grid])
    distance = stats.ks_1samp(samples, lambda s: np.interp(s, grid, values)).statistic
    assert distance < DATASETS_KS_CRITICAL / np.sqrt(len(samples))


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.3, 2.2])
@pytest.mark.parametrize("name", NOISY)
def test_projections_of_noisy_curves(name, angle):
    curve, sigma = NOISY[name]
    direction = (np.cos(angle), np.sin(angle))
    centres = curve() @ direction
    drawn_from(
        draw(name, MANY, seed=3) @ direction, lambda s: special.ndtr((s - centres) / sigma).mean()
    )


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.3, 2.2])
def test_projections_of_the_pinwheel(angle):
    u, arm = (v.ravel() for v in np.meshgrid(1 + 0.3 * special.ndtri(nodes(2000)), np.arange(5)))
    t = 2 * np.pi * arm / 5 + 0.25 * np.exp(u) + angle
    mean, deviation = u * np.cos(t), 0.1 * np.abs(np.sin(t))
    direction = (np.cos(angle), np.sin(angle))
    drawn_from(
        draw("pinwheel", MANY, seed=4) @ direction,
        lambda s: special.ndtr((s / 2 - mean) / deviation).mean(),
    )


def test_the_checkerboard_is_uniform_on_its_squares():
    x = draw("checkerboard", MANY, seed=5)
    assert np.all((x >= -4) & (x < 4))
    cell = np.floor(x / 2).astype(int)
    # the square that touches the origin from the upper right is filled, as are its diagonals
    assert np.all(cell.sum(axis=1) % 2 == 0)
    _, counts = np.unique(cell, axis=0, return_counts=True)
    assert len(counts) == 8
    bound = DATASETS_MOMENT_SIGMAS * np.sqrt(MANY * (1 / 8) * (7 / 8))
    assert np.all(np.abs(counts - MANY / 8) < bound)
    inside = x / 2 - cell
    for coordinate in (*inside.T, inside.sum(axis=1) % 1.0):
        drawn_from(coordinate, lambda s: min(max(s, 0.0), 1.0))


@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), (-1, ValueError), (3.0, TypeError), (True, TypeError), (None, TypeError)],
)
def test_bad_n(n, error):
    for name in NAMES:
        with refused(error, "n: got "):
            draw(name, n)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError), (None, TypeError)])
def test_bad_seed(seed, error):
    for name in NAMES:
        with refused(error, "seed: got "):
            draw(name, 4, seed=seed)
    for load in (datasets.wine_density, datasets.breast_cancer_density):
        with refused(error, "seed: got "):
            load(seed)


def test_unknown_name_lists_the_known():
    known = ", ".join(map(repr, NAMES))
    with refused(ValueError, f"name: got 'swiss_roll', wanted one of {known}"):
        draw("swiss_roll", 3)
    with refused(TypeError, "name: got 8 (int), wanted a str"):
        draw(8, 3)


# --- real data ---------------------------------------------------------------------------

REAL = pytest.mark.parametrize(
    ("name", "sizes", "dim"),
    [
        ("wine", (106, 36, 36), 13),
        ("breast_cancer", (341, 114, 114), 30),
    ],
)


def load(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return getattr(datasets, f"{name}_density")(seed)


def raw(name: str) -> np.ndarray:
    return getattr(pytest.importorskip("sklearn.datasets"), f"load_{name}")().data


def rows(name: str, parts: tuple[np.ndarray, ...]) -> np.ndarray:
    """Which rows of the raw data the parts are, one after another: rising maps keep the order."""
    data, together = raw(name), np.concatenate(parts)
    index = np.empty(len(data), dtype=np.int64)
    index[np.lexsort(together.T)] = np.lexsort(data.T)
    return index


@REAL
@pytest.mark.parametrize("seed", [0, 3])
def test_parts_hold_each_sample_once_standardised_by_the_first(name, sizes, dim, seed):
    data, parts = raw(name), load(name, seed)
    assert tuple(map(len, parts)) == sizes
    index = rows(name, parts)
    train = data[index[: sizes[0]]]
    want = (data[index] - np.mean(train, axis=0)) / np.std(train, axis=0)
    assert want.shape == (len(data), dim)
    assert_allclose(np.concatenate(parts), want, rtol=DATASETS_ROUNDING, atol=DATASETS_ROUNDING)
    for x in parts:
        assert x.dtype == np.float64
        assert x.flags.c_contiguous


@REAL
def test_parts_are_seeded_and_shuffled(name, sizes, dim):
    parts = load(name, 1)
    for x, again in zip(parts, load(name, seed=1), strict=True):
        assert np.array_equal(x, again)
    for x, default in zip(load(name, 0), getattr(datasets, f"{name}_density")(), strict=True):
        assert np.array_equal(x, default)
    index, other = rows(name, parts), rows(name, load(name, 2))
    for part in np.split(np.arange(len(index)), np.cumsum(sizes)[:2]):
        assert set(index[part]) != set(other[part])
        # neither in the order of the file nor from one end of it
        assert np.any(np.diff(index[part]) < 0)
        assert index[part].min() < len(index) / 4 < len(index) * 3 / 4 < index[part].max()


@REAL
def test_held_out_parts_do_not_leak_into_training(name, sizes, dim, monkeypatch):
    data, before = raw(name), load(name, 5)
    data[rows(name, before)[sizes[0] :]] = -1e9
    monkeypatch.setattr(real, "_load", lambda _: SimpleNamespace(data=data))
    train, validation, test = load(name, 5)
    assert np.array_equal(before[0], train)
    assert not np.isclose(before[1], validation).any()
    assert not np.isclose(before[2], test).any()


@REAL
def test_missing_scikit_learn_says_what_to_install(name, sizes, dim, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=rf"{name}.*pip install refode\[data\]"):
        load(name)
