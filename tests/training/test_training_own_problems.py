"""refode's own problems trained with weights, held-out samples and batches."""

from __future__ import annotations

import numpy as np
import pytest
from held_out_runs import same

import refode

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((40, 2)), RNG.integers(0, 2, 40)
COUNTS = RNG.integers(0, 4, 40)
ODE = refode.NeuralODE(refode.fields.Affine(2), n_steps=2)
ENDS = [refode.densities.Gaussian(np.full(2, m), np.eye(2)) for m in (0.0, 1.0)]
PROBLEMS = {
    "Supervised": (refode.Supervised(ODE, tikhonov=0.1), (X, LABELS)),
    "flow": (refode.ContinuousNormalizingFlow(ODE, transport=0.1), (X,)),
    "game": (
        refode.MeanFieldGame(
            refode.fields.Potential(2, 4), refode.games.optimal_transport(*ENDS), n_steps=1
        ),
        (X,),
    ),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_integer_weights_are_repeated_samples(kind):
    problem, data = PROBLEMS[kind]
    repeated = tuple(np.repeat(array, COUNTS, axis=0) for array in data)
    options = {"max_iter": 4, "progress": False, "validation": data}
    weighted = refode.train(problem, *data, sample_weight=COUNTS, **options)
    plain = refode.train(problem, *repeated, **options)
    assert np.allclose(weighted.x, plain.x, rtol=1e-7, atol=1e-9)
    held = {**options, "validation": (*data, COUNTS)}
    with_weights = refode.train(problem, *data, **held)
    without = refode.train(problem, *data, **{**options, "validation": repeated})
    assert np.allclose(with_weights.history["validation"], without.history["validation"], rtol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", PROBLEMS)
def test_batches_resume_to_the_same_bits(kind, weighted, tmp_path):
    problem, data = PROBLEMS[kind]
    path = tmp_path / "run.npz"
    weight = COUNTS if weighted else None
    options = {"sample_weight": weight, "batch": 12, "every": 2, "progress": False}
    options |= {"validation": (*data, weight)}
    whole = refode.train(problem, *data, max_iter=9, **options)
    refode.train(problem, *data, max_iter=3, checkpoint=path, **options)
    again = refode.train(problem, *data, max_iter=9, checkpoint=path, resume=True, **options)
    assert whole.periods > 3
    assert whole.nit == 9
    assert same(again, whole)


def test_weights_are_sent_with_their_samples(monkeypatch):
    """Once for a batch, and once for what is held out."""
    problem, data = PROBLEMS["Supervised"]
    sent, send = [], type(problem).placed_with

    def placed_with(self, arrays, weight):
        sent.append((len(arrays[0]), weight))
        return send(self, arrays, weight)

    monkeypatch.setattr(type(problem), "placed_with", placed_with)
    held = (data[0][:9], data[1][:9], COUNTS[:9])
    options = {"batch": 20, "every": 2, "max_iter": 6, "progress": False}
    result = refode.train(problem, *data, sample_weight=COUNTS, validation=held, **options)
    assert result.periods == 3
    assert [n for n, _ in sent].count(9) == 1
    assert len(sent) == 4
    assert all(len(weight) == n for n, weight in sent)
