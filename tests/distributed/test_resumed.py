"""A run resumed on another number of ranks, or on none, ends in the bits of one never stopped."""

from __future__ import annotations

import numpy as np
import pytest
from ranks_in_threads import together

import refode
from refode.ode.shares import Borders, Share

X = np.random.default_rng(0).standard_normal((3000, 2))
Y = (X[:, 0] > 0.3 * X[:, 1]).astype(int)
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2.0, len(X))
ODE = refode.NeuralODE(refode.fields.MLP(2, (3, 3)), n_steps=2)
PROBLEM = refode.Supervised(ODE, "logistic", tikhonov=0.1)
FLOW = refode.ContinuousNormalizingFlow(
    refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=2), trace="rademacher"
)
#: A number of ranks a stretch of iterations; None is refode.train, without ranks.
CHAINS = ((2, 4, 1), (4, 2, 4), (None, 3, None), (1, None, 4))
WAYS = {
    "l-bfgs": {},
    "newton-cg": {"method": "newton-cg"},
    "batches": {"batch": 1500, "every": 3},
    "weights": {"sample_weight": WEIGHTS},
    "validation": {"validation": (X[:900], Y[:900]), "patience": 50},
}


def stretch(problem, data, ranks, given=None, **options):
    """Train on so many ranks; what every rank has of the result."""
    options = {"progress": False, "tolerance": 0.0, **options}

    def work(of, *data):
        r = refode.train(of, *data, **options)
        return r.x.tobytes(), r.fun, r.nit, r.nfev, r.history["value"].tobytes()

    if ranks is None:
        return work(problem, *data)
    found = together(ranks, work, given or (lambda _: (problem, data, None)))
    for one in found:
        if isinstance(one, BaseException):
            raise one
        assert one == found[0]
    return found[0]


def resumed(file, problem, data, chain, given=lambda ranks: None, **options):
    """Four iterations on each number of ranks, and an uninterrupted run on none."""
    for i, ranks in enumerate(chain):
        options |= {"checkpoint": file, "resume": i > 0, "max_iter": 4 * (i + 1)}
        end = stretch(problem, data, ranks, given(ranks), **options)
        assert end[2] == 4 * (i + 1)
    del options["checkpoint"], options["resume"]
    return end, options


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("way", WAYS)
def test_runs_go_on_on_other_ranks(way, chain, tmp_path):
    assert len(Borders.of(len(X), PROBLEM.ode.field.block()).runs) >= 4
    end, options = resumed(tmp_path / "run.npz", PROBLEM, (X, Y), chain, **WAYS[way])
    assert end == stretch(PROBLEM, (X, Y), None, **options)


@pytest.mark.parametrize("chain", [(2, 4, 1), (None, 3, None)])
def test_noise_of_an_estimated_trace_goes_on_too(chain, tmp_path):
    end, options = resumed(tmp_path / "run.npz", FLOW, (X,), chain)
    assert end == stretch(FLOW, (X,), None, **options)


def test_ranks_that_bring_their_rows_go_on_on_other_ranks(tmp_path):
    """Their digests are the chunks', which are the same on any number of ranks."""

    def given(ranks):
        def rows(rank):
            of = Share.of(len(X), PROBLEM.ode.field.block(), rank, ranks).rows()
            return PROBLEM, (X[of], Y[of]), len(X)

        return rows

    end, options = resumed(tmp_path / "run.npz", PROBLEM, (X, Y), (2, 4, 1), given)
    assert end == stretch(PROBLEM, (X, Y), None, **options)


def test_other_data_are_refused_on_ranks_as_in_one_process(tmp_path):
    file = tmp_path / "run.npz"
    stretch(PROBLEM, (X, Y), 2, checkpoint=file, max_iter=2)
    for ranks in (None, 3):
        with pytest.raises(ValueError, match="the run of which differs in x "):
            stretch(PROBLEM, (X + 1, Y), ranks, checkpoint=file, resume=True, max_iter=4)
