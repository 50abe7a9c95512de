"""refode's own problems trained with held-out samples and batches."""

from __future__ import annotations

import numpy as np
import pytest
from held_out_runs import same

import refode

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((40, 2)), RNG.integers(0, 2, 40)
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
def test_batches_resume_to_the_same_bits(kind, tmp_path):
    problem, data = PROBLEMS[kind]
    path = tmp_path / "run.npz"
    options = {"batch": 12, "every": 2, "progress": False}
    options |= {"validation": data}
    whole = refode.train(problem, *data, max_iter=9, **options)
    refode.train(problem, *data, max_iter=3, checkpoint=path, **options)
    again = refode.train(problem, *data, max_iter=9, checkpoint=path, resume=True, **options)
    assert whole.periods > 3
    assert whole.nit == 9
    assert same(again, whole)
