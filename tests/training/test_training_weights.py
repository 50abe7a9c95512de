"""Weights of samples in training, and what is refused of weights and held-out samples."""

from __future__ import annotations

import numpy as np
import pytest
from held_out_runs import HELD_OUT, MANY, WEIGHTS, Weighted, X, same, train
from training_problems import METHODS, Regression, Valley

import refode


@pytest.mark.parametrize("method", METHODS)
def test_weights_go_to_every_method(method):
    problem = Weighted(bend=0.3)
    options = {"validation": (HELD_OUT, np.arange(300.0)), "method": method, "terms": True}
    train(problem, MANY, sample_weight=WEIGHTS, **options)
    for name, weight in problem.asked:
        assert np.array_equal(weight, np.arange(300.0) if name == "value" else WEIGHTS)
    names = {name for name, _ in problem.asked}
    assert names >= {"value", "value_and_gradient", "costs"}
    assert ("hessian_vector" in names) == (method != "lbfgs")


def test_integer_weights_are_repeated_samples():
    w = np.random.default_rng(0).integers(0, 4, 61)
    weighted = train(Weighted(), MANY, sample_weight=w)
    repeated = train(Weighted(), np.repeat(MANY, w, axis=0))
    assert np.allclose(weighted.x, repeated.x, rtol=1e-8)


def test_resumed_with_weights(tmp_path):
    path = tmp_path / "run.npz"
    whole = train(Weighted(), MANY, sample_weight=WEIGHTS)
    train(Weighted(), MANY, sample_weight=WEIGHTS, checkpoint=path, max_iter=5)
    go_on = {"sample_weight": WEIGHTS, "checkpoint": path, "resume": True}
    assert same(train(Weighted(), MANY, **go_on), whole)
    with pytest.raises(ValueError, match=r"differs in sample_weight \(there '<f8\(61,\)"):
        train(Weighted(), MANY, **{**go_on, "sample_weight": WEIGHTS[::-1]})


def test_levels_have_their_weights():
    problems = [Weighted(), Weighted()]
    options = {"sample_weight": [np.arange(18.0), WEIGHTS], "progress": False, "max_iter": 2}
    refode.train_multilevel(problems, [X, MANY], **options)
    for problem, weight in zip(problems, options["sample_weight"], strict=True):
        assert all(np.array_equal(w, weight) for _, w in problem.asked)
    with pytest.raises(ValueError, match="^sample_weight: got a list of 1, wanted one for 2 prob"):
        refode.train_multilevel(problems, [X, MANY], sample_weight=[WEIGHTS])


# --- bad input ---------------------------------------------------

ONE = np.ones(18)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience: got 0"),
        ({"patience": 2.0}, TypeError, "patience: got 2.0"),
        ({"patience": True}, TypeError, "patience: got True"),
        ({"patience": 3, "validation": None}, ValueError, "patience: got 3 without validation, wa"),
        ({"validation": ()}, ValueError, r"validation: got a tuple of 0, wanted x or \(x, sample_"),
        ({"validation": (X, ONE, ONE)}, ValueError, "validation: got a tuple of 3, wanted x or"),
        ({"validation": X[:, :5]}, ValueError, r"validation: got an array of shape \(18, 5\)"),
        ({"validation": X[:0]}, ValueError, r"validation: got an empty array of shape \(0, 13\)"),
        ({"validation": X * np.nan}, ValueError, "validation: got nan at index"),
        ({"validation": "text"}, (TypeError, ValueError), "validation: got an? "),
        (
            {"validation": (X, ONE[:9])},
            ValueError,
            r"validation\[1\]: got an array of shape \(9,\)",
        ),
        (
            {"validation": (X, -ONE)},
            ValueError,
            r"validation\[1\]: got -1.0 at index 0, wanted num",
        ),
        ({"sample_weight": ONE[:4]}, ValueError, r"sample_weight: got an array of shape \(4,\), w"),
        ({"sample_weight": -ONE}, ValueError, "sample_weight: got -1.0 at index 0, wanted numbers"),
        ({"sample_weight": 0 * ONE}, ValueError, "sample_weight: got zeros alone, wanted a number"),
        ({"sample_weight": ONE * np.inf}, ValueError, r"sample_weight: got inf at index 0, want"),
        ({"sample_weight": ["a"] * 18}, TypeError, "sample_weight: got an array of dtype"),
        ({"sample_weight": 3.0}, ValueError, r"sample_weight: got an array of shape \(\)"),
    ],
)
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=f"^{message}"):
        train(Weighted(), **change)


def test_problems_that_take_no_weights_say_so_at_the_door():
    class HalfWay(Weighted):
        def hessian_vector(self, theta, v, x):
            raise AssertionError

    for problem in (Regression(), HalfWay()):
        message = f"^sample_weight: got ndarray of shape .* with a {type(problem).__name__}, whose"
        with pytest.raises(TypeError, match=message):
            train(problem, sample_weight=ONE)
        with pytest.raises(TypeError, match=r"^validation\[1\]: got ndarray of shape"):
            train(problem, validation=(X, ONE))
        assert problem.count["value"] == 0


def test_pairs_are_tuples_and_what_the_problem_refuses_is_named():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 2)), rng.integers(0, 2, 30)
    problem = refode.Supervised(refode.NeuralODE(refode.fields.Affine(2), n_steps=2))
    for wrong, error, message in [
        (x, TypeError, r"validation: got .* wanted a tuple \(x, y\) or \(x, y, sample_weight\)"),
        ([x, y], TypeError, "validation: got "),
        ((x,), ValueError, "validation: got a tuple of 1, wanted"),
        ((x[:, :1], y), ValueError, r"validation\[0\]: got an array of shape \(30, 1\), wanted"),
        ((x, y + 1), ValueError, "validation: the problem's value refuses them .y: got 2 at"),
        ((x[:4], y), ValueError, "validation: the problem's value refuses them .y: got an array"),
    ]:
        with pytest.raises(error, match=f"^{message}"):
            refode.train(problem, x, y, validation=wrong, progress=False)


def test_an_object_s_methods_may_take_anything():
    class Any(Regression):
        def value(self, theta, x, **named):
            return super().value(theta, x)

        def value_and_gradient(self, theta, x, **named):
            return super().value_and_gradient(theta, x)

        costs = None

    assert train(Any(), sample_weight=ONE, max_iter=2).nit == 2
    with pytest.raises(TypeError, match="^sample_weight: .* with a Valley, whose"):
        refode.train(Valley(), np.ones(3), sample_weight=np.ones(3))
