"""The same bits on any number of ranks as in one process, for every kind of problem."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from ranks_in_threads import together

import refode
from refode.densities import Density, Empirical, Gaussian
from refode.distributed import share as share_of_comm  # noqa: F401  the doors need no MPI to import
from refode.ode.shares import Borders, Share

pytestmark = pytest.mark.filterwarnings("error")


class Own(Density):
    """A Gaussian that kernels do not know: it is asked by its methods."""

    def __init__(self, dim):
        self.dim = dim
        self.known = Gaussian(np.full(dim, 0.2), np.eye(dim) + 0.1)

    def sample(self, n, seed=0):
        return self.known.sample(n, seed)

    def log_density(self, x):
        return self.known.log_density(x)

    def log_density_gradient(self, x):
        return self.known.log_density_gradient(x)


def _rng(n):
    return np.random.default_rng(n)


def supervised(loss, dim=2, n=1300):
    ode = refode.NeuralODE(refode.fields.MLP(dim, (3, 3)), n_steps=2)
    m = 3 if loss == "softmax" else 1
    problem = refode.Supervised(ode, loss, n_outputs=m, tikhonov=0.1)
    x = _rng(0).standard_normal((n, dim))
    y = {"regression": x.sum(axis=1), "logistic": x[:, 0] > 0, "softmax": _rng(1).integers(0, 3, n)}
    problem = problem.standardized(x)
    return problem, (x, y[loss].astype(float if loss == "regression" else int))


def flow(trace):
    ode = refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=2)
    problem = refode.ContinuousNormalizingFlow(ode, transport=0.1, trace=trace, smoothness=0.1)
    return problem, (_rng(2).standard_normal((4100, 2)),)


def game(kind):
    start = Own(2) if kind == "own" else Gaussian(np.zeros(2), 1.0)
    target = Own(2) if kind == "own" else Gaussian(np.ones(2), 0.5)
    if kind == "samples":
        target = Empirical(_rng(3).standard_normal((700, 2)))
    if kind == "energy":
        of = refode.games.Game(start, refode.games.Quadratic(2.0, np.ones(2)), 2.0, entropy=0.1)
    elif kind in ("transport", "own"):
        of = refode.games.optimal_transport(start, target, alpha=2.0, terminal=5.0)
    else:
        of = refode.games.normalizing_flow(start, target, alpha=1.0, terminal=1.0)
    penalties = {"hjb": 1.0} if kind == "samples" else {"hjb": 1.0, "hjb_terminal": 1.0}
    potential = refode.fields.Potential(2, 4, 2)
    return refode.MeanFieldGame(potential, of, **penalties), (start.sample(600, seed=1),)


KINDS = {
    "regression": lambda: supervised("regression"),
    "logistic": lambda: supervised("logistic"),
    "softmax": lambda: supervised("softmax"),
    "flow": lambda: flow("exact"),
    "rademacher": lambda: flow("rademacher"),
    "gaussian": lambda: flow("gaussian"),
    "transport": lambda: game("transport"),
    "energy": lambda: game("energy"),
    "own densities": lambda: game("own"),
    "cross-entropy": lambda: game("drawn"),
    "cross-entropy of samples": lambda: game("samples"),
}


def answers(problem, *data, weights=None):
    """Everything that is a sum over samples, as bytes."""
    theta = 0.3 * _rng(4).standard_normal(problem.n_parameters)
    data, weights = problem.placed_with(data, weights)
    named = {} if weights is None else {"sample_weight": weights}
    value, gradient = problem.value_and_gradient(theta, *data, **named)
    found = [np.float64(value), gradient, np.float64(problem.value(theta, *data, **named))]
    found += [np.float64(v) for v in problem.costs(theta, *data, **named).values()]
    inner = getattr(problem, "problem", problem)
    if getattr(inner, "trace", "exact") == "exact" and "Own" not in repr(inner):
        found.append(problem.hessian_vector(theta, gradient, *data, **named))
    return [np.asarray(a).tobytes() for a in found]


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_give_the_bits_of_one_process(kind):
    problem, data = KINDS[kind]()
    wanted = answers(problem, *data)
    assert len(Borders.of(len(data[0]), problem.ode.field.block()).runs) > 2
    for size in (1, 2, 3, 4):
        if kind == "cross-entropy of samples" and size > 3:
            continue
        found = together(size, answers, lambda rank: (problem, data if rank == 0 else (), None))
        for one in found:
            if isinstance(one, BaseException):
                raise one
            assert one == wanted


@pytest.mark.parametrize("kind", ["softmax", "flow", "rademacher", "transport", "energy"])
@pytest.mark.parametrize("zeros", [False, True])
def test_weights_of_samples(kind, zeros):
    problem, data = KINDS[kind]()
    weights = _rng(5).uniform(1.0, 3.0, len(data[0]))
    if zeros:
        weights[::3] = 0.0
    work = functools.partial(answers, weights=weights)
    wanted = work(problem, *data)
    assert wanted != answers(problem, *data)
    for size in (1, 3):
        assert together(size, work, lambda rank: (problem, data, None)) == [wanted] * size


def test_weights_that_are_zero_or_all_alike():
    problem, data = supervised("logistic")
    weights = np.zeros(len(data[0]))
    weights[:900] = 5.0
    work = functools.partial(answers, weights=weights)
    wanted = work(problem, *data)
    assert wanted == answers(problem, *(array[:900] for array in data))
    assert together(2, work, lambda rank: (problem, data, None)) == [wanted] * 2


def test_training_by_all_that_train_can_do():
    """Batches, validation, weights and redrawn samples: the bits of one process."""
    problem, (x, y) = supervised("logistic", n=4000)
    weights = _rng(6).uniform(0.5, 2.0, 2000)
    ways = (
        {"sample_weight": weights, "validation": (x[2000:], y[2000:], weights), "patience": 3},
        {"batch": 800, "every": 3, "validation": (x[2000:], y[2000:])},
        {"method": "newton-cg", "terms": True},
    )

    def work(of, *_):
        found = []
        for way in ways:
            r = refode.train(of, x[:2000], y[:2000], max_iter=7, progress=False, **way)
            found.append((r.message, r.x.tobytes(), r.fun, r.history["value"].tobytes()))
        return found

    wanted = work(problem)
    assert together(3, work, lambda rank: (problem, (), None)) == [wanted] * 3


def test_redrawn_samples():
    problem, _ = game("transport")

    def work(of, *_):
        r = refode.training.train_resampled(
            of, n_samples=512, every=3, max_iter=7, progress=False, validation_samples=256
        )
        return r.x.tobytes(), r.message, r.validation

    assert together(2, work, lambda rank: (problem, (), None)) == [work(problem)] * 2


def test_sixteen_ranks_give_the_bits_of_one_process():
    problem, data = supervised("regression", n=6000)
    wanted = answers(problem, *data)
    assert together(16, answers, lambda rank: (problem, data, None)) == [wanted] * 16


def test_ranks_may_bring_their_own_rows():
    problem, (x, y) = supervised("softmax")
    wanted = answers(problem, x, y)
    block = problem.ode.field.block()

    def given(rank):
        rows = Share.of(len(x), block, rank, 3).rows()
        return problem, (x[rows].copy(), y[rows].copy()), len(x)

    assert together(3, answers, given) == [wanted] * 3


@pytest.mark.parametrize("n", [1, 8, 9, 300, 1300, 6000, 100_000])
def test_shares_are_chunks_and_all_of_them(n):
    for block in (64, 192):
        borders = Borders.of(n, block)
        for holders in range(1, len(borders.runs) + 1):
            shares = [Share.of(n, block, i, holders) for i in range(holders)]
            ends = [0, *(s.rows().stop for s in shares)]
            assert ends[-1] == n
            assert [s.rows().start for s in shares] == ends[:-1]
            for s in shares:
                pieces, rows = s.pieces(), s.rows()
                assert pieces[0].start == 0
                assert pieces[-1].stop == rows.stop - rows.start > 0
                assert rows.start % borders.S == 0
