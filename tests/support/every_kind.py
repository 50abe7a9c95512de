"""Small calls of every kind of problem, each giving bytes: for threads, processes and digests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import refode
from refode.densities import Gaussian, GaussianMixture

SAMPLES = 600  # several blocks, several chunks


def _bytes(*results: Any) -> bytes:
    return b"".join(np.asarray(r).tobytes() for r in results)


def _supervised() -> dict[str, tuple[Any, Callable[[Any], bytes]]]:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((SAMPLES, 2)), rng.integers(0, 2, SAMPLES)
    made: dict[str, tuple[Any, Callable[[Any], bytes]]] = {}
    for loss in ("regression", "logistic", "softmax"):
        basis = refode.bases.PiecewiseLinear(3)
        ode = refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=2, basis=basis)
        m = 2 if loss == "softmax" else 1
        problem = refode.Supervised(ode, loss, n_outputs=m, tikhonov=0.1, smoothness=0.1)
        y = labels.astype(float) if loss == "regression" else labels

        def work(of: Any, y: Any = y) -> bytes:
            theta = of.initial(seed=1)
            products = (
                of.hessian_vector(theta, theta, x, y),
                of.gauss_newton_vector(theta, theta, x, y),
            )
            return _bytes(*of.value_and_gradient(theta, x, y), *products, of.predict(theta, x))

        made[loss] = problem, work

    def paths(of: Any) -> bytes:
        theta = of.initial(seed=1)
        l = of.log_det(theta, x)  # noqa: E741
        return _bytes(*l, of.trajectory(theta, x), *of.adjoint(theta, x, x, times=True))

    made["ode"] = ode, paths
    return made


def _flows() -> dict[str, tuple[Any, Callable[[Any], bytes]]]:
    y = np.random.default_rng(1).standard_normal((SAMPLES, 2))

    def work(of: Any) -> bytes:
        theta = of.initial(seed=1)
        return _bytes(*of.value_and_gradient(theta, y), of.log_density(theta, y, n_steps=3))

    ode = refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=2)
    return {
        trace: (refode.ContinuousNormalizingFlow(ode, transport=0.1, trace=trace), work)
        for trace in ("exact", "rademacher")
    }


def _games() -> dict[str, tuple[Any, Callable[[Any], bytes]]]:
    start, S = Gaussian([0.0, 0.0], 1.0), np.array([[1.0, 0.3], [0.3, 0.5]])
    end = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]], np.array([S, S]))
    bump = refode.games.GaussianBump(1.0, [0.5, 0.5], S)
    games = {
        "transport": refode.games.optimal_transport(start, end),
        "crowd": refode.games.crowd_motion(start, end, obstacle=bump, entropy=0.1),
        "likelihood": refode.games.normalizing_flow(start, end, alpha=1.0),
    }

    def work(of: Any) -> bytes:
        theta, x = of.initial(seed=1), of.game.initial.sample(SAMPLES, seed=2)
        values = of.value_function(theta, 0.5, x)
        return _bytes(*of.value_and_gradient(theta, x), *values, of.log_density(theta, x, 3))

    potential = refode.fields.Potential(2, 3)
    return {n: (refode.MeanFieldGame(potential, g, hjb=1.0), work) for n, g in games.items()}


def every_kind() -> dict[str, tuple[Any, Callable[[Any], bytes]]]:
    """The object by name, and what computes with it."""
    return {**_supervised(), **_flows(), **_games()}


def results() -> dict[str, bytes]:
    """Of every kind, each object made anew."""
    return {name: work(of) for name, (of, work) in every_kind().items()}
