"""Bad input to training is named, with what came and what was wanted."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from training_problems import Regression, Valley, X, Y

import refode
from refode import training

NAN = float("nan")


class Bare:
    """Nothing but an objective: no initial, no n_parameters, no products."""

    def value_and_gradient(self, theta, x, y):
        return Valley().value_and_gradient(theta, x, y)


class Answering(Valley):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def value_and_gradient(self, theta, x, y):
        return self.answer


class Starting(Valley):
    def __init__(self, start):
        super().__init__()
        self.start = start

    def initial(self, seed=0):
        return self.start


FLOW = refode.ContinuousNormalizingFlow(refode.NeuralODE(refode.fields.Shallow(2, 2)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"problem": object()}, TypeError, "problem: got object without a method value_and_grad"),
        ({"problem": None}, TypeError, "problem: got NoneType without a method value_and_gradient"),
        ({"problem": Bare()}, TypeError, "theta0: got None and Bare without a method initial"),
        (
            {"problem": Bare(), "theta0": np.ones(4), "method": "newton-cg"},
            TypeError,
            "problem: got Bare without a method hessian_vector, which training by method='newton",
        ),
        (
            {"problem": Bare(), "theta0": np.ones(4), "method": "trust-krylov"},
            TypeError,
            "problem: got Bare without a method hessian_vector",
        ),
        (
            {"problem": Bare(), "theta0": np.ones(4), "method": "gn-cg"},
            TypeError,
            "problem: got Bare without a method gauss_newton_vector, which training by method='gn-",
        ),
        (
            {"problem": FLOW, "theta0": np.ones(10), "method": "gn-cg"},
            TypeError,
            "problem: got ContinuousNormalizingFlow without a method gauss_newton_vector.*its log-",
        ),
        (
            {"problem": Answering((1.0, np.ones(3)))},
            ValueError,
            r"problem: got an answer of shape \(3,\), wanted \(4,\)",
        ),
        (
            {"problem": Answering((1.0, np.ones((4, 1))))},
            ValueError,
            r"problem: got an answer of shape \(4, 1\), wanted \(4,\)",
        ),
        ({"problem": Answering((1.0, np.ones(4) + 1j))}, TypeError, "problem: got a complex answ"),
        (
            {"problem": Starting(np.ones(5))},
            ValueError,
            r"problem.initial\(seed\): got an array of shape \(5,\), wanted \(4,\)",
        ),
        ({"problem": Starting(np.full(4, NAN))}, ValueError, r"problem.initial\(seed\): got nan"),
        ({"theta0": np.ones(3)}, ValueError, r"theta0: got an array of shape \(3,\), wanted \(4,"),
        ({"theta0": np.ones((4, 1))}, ValueError, r"theta0: got an array of shape \(4, 1\), want"),
        ({"theta0": [1, 2, NAN, 4]}, ValueError, "theta0: got nan at index 2"),
        ({"theta0": np.ones(4, complex)}, TypeError, "theta0: got an array of dtype complex128"),
        ({"problem": Bare(), "theta0": []}, ValueError, "theta0: got an empty array"),
        ({"problem": Bare(), "theta0": 1.0}, ValueError, r"theta0: got an array of shape \(\), w"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"seed": 1.5}, TypeError, "seed: got 1.5"),
        ({"max_iter": 0}, ValueError, "max_iter: got 0"),
        ({"max_iter": -3}, ValueError, "max_iter: got -3"),
        ({"max_iter": 10.0}, TypeError, "max_iter: got 10.0"),
        ({"max_iter": True}, TypeError, "max_iter: got True"),
        ({"progress": 1}, TypeError, "progress: got 1"),
        ({"callback": 3}, TypeError, "callback: got 3, wanted a callable or None"),
        (
            {"method": "sgd"},
            ValueError,
            "method: got 'sgd', wanted one of 'lbfgs', 'newton-cg', 'trust-krylov'",
        ),
        ({"method": None}, TypeError, "method: got None"),
        ({"tolerance": -1e-6}, ValueError, "tolerance: got -1e-06"),
        ({"tolerance": NAN}, ValueError, "tolerance: got nan"),
        ({"tolerance": "small"}, TypeError, "tolerance: got 'small'"),
        ({"memory": 0}, ValueError, "memory: got 0"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every: got 0"),
        ({"checkpoint_every": 2.0}, TypeError, "checkpoint_every: got 2.0"),
        ({"checkpoint": 3}, TypeError, "checkpoint: got 3, wanted a path"),
        ({"checkpoint": b"run.npz"}, TypeError, "checkpoint: got b'run.npz', wanted a path"),
        ({"checkpoint": ""}, TypeError, "checkpoint: got '', wanted a path of text"),
        ({"checkpoint": os.curdir}, ValueError, "checkpoint: got the folder '.', wanted a file"),
        (
            {"checkpoint": "no/such/folder/run.npz"},
            ValueError,
            "checkpoint: got 'no/such/folder/run.npz', wanted a name in a folder that can be writt",
        ),
        ({"checkpoint": os.devnull}, ValueError, "checkpoint: got the device '/dev/null', wanted"),
        (
            {"checkpoint": os.devnull, "resume": True},
            ValueError,
            "checkpoint: got the device '/dev/null', wanted a file's name",
        ),
        ({"resume": True}, ValueError, "resume: got True without a checkpoint"),
        ({"resume": 1}, TypeError, "resume: got 1"),
    ],
)
def test_bad_input_is_named(change, error, message):
    arguments = {"problem": Valley(), "x": X, "y": Y, "progress": False, **change}
    with pytest.raises(error, match=f"^{message}"):
        refode.train(**arguments)


@pytest.mark.parametrize("name", ["x", "y"])
def test_data_without_bytes_cannot_be_checkpointed(name, tmp_path):
    data = {"x": X, "y": Y, name: np.array([{}], dtype=object)}
    with pytest.raises(TypeError, match=f"^{name}: got an array of dtype object, wanted numbers"):
        refode.train(Valley(), **data, progress=False, checkpoint=tmp_path / "run.npz")
    assert os.listdir(tmp_path) == []


def test_read_checkpoint_wants_a_path():
    with pytest.raises(TypeError, match="^checkpoint: got 3, wanted a path"):
        training.read_checkpoint(3)


def test_theta0_may_be_a_list_of_integers():
    result = refode.train(Bare(), X, Y, theta0=[0, 0, 0, 0], progress=False)
    assert result.success


def test_errors_of_the_problem_s_own_door_come_through():
    ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=2), n_steps=1)
    with pytest.raises(ValueError, match="^x: got an array of shape"):
        refode.train(refode.Supervised(ode), np.ones((5, 3)), np.ones(5), progress=False)
    with pytest.raises(ValueError, match="^y: got 2.0 at index 0, wanted labels 0 or 1"):
        refode.train(refode.Supervised(ode), np.ones((5, 2)), np.full(5, 2.0), progress=False)


# --- numbers of NumPy -------------------------------------------------------------------------


def test_numbers_of_numpy_are_what_they_are(tmp_path):
    """Checkpoints are JSON, which knows none of them; a run goes on with either kind."""
    five = [("int64", np.int64(5)), ("uint8", np.uint8(5)), ("int32", np.int32(5))]
    for name, n in five:
        path = tmp_path / f"{name}.npz"
        options = {"memory": n, "seed": n, "checkpoint_every": n, "max_iter": n}
        flags = {"progress": np.False_, "terms": np.False_, "tolerance": np.float32(0.0)}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = refode.train(Valley(), X, Y, checkpoint=path, **options, **flags)
        assert result.nit == 5
        plain = {"memory": 5, "seed": 5, "progress": False, "max_iter": 7}
        assert refode.train(Valley(), X, Y, checkpoint=path, resume=np.True_, **plain).nit == 7


def test_numbers_of_numpy_in_the_other_two(tmp_path):
    n, file = np.int64(5), tmp_path / "run.npz"
    draw = Regression().draw
    options = {"n_samples": n, "every": n, "seed": n, "max_iter": n, "memory_pairs": n}
    flags = {"progress": np.False_, "terms": np.True_}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = training.train_resampled(
            Regression(), draw, validation_samples=n, checkpoint=file, **options, **flags
        )
        levels = refode.train_multilevel(
            [Regression()] * 2,
            draw(9, 0),
            seed=n,
            memory=n,
            max_iter=np.array([3, 4]),
            checkpoint=tmp_path / "levels.npz",
            **flags,
        )
    assert training.read_checkpoint(file).nit == result.nit == 5
    assert [level.nit for level in levels.levels] == [3, 4]
    assert training.read_checkpoint(tmp_path / "levels-level1.npz").settings["seed"] == 5


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([3], r"validation_samples: got an array of shape \(1,\), wanted \(N, 13\)"),
        (np.ones(5), r"validation_samples: got an array of shape \(5,\), wanted \(N, 13\)"),
        (np.ones((5, 12)), r"validation_samples: got an array of shape \(5, 12\), wanted \(N, 13"),
        (np.full((5, 13), NAN), r"validation_samples: got nan at index \(0, 0\)"),
        ([], r"validation_samples: got an array of shape \(0,\), wanted \(N, 13\)"),
        (0, "validation_samples: got 0, wanted an int >= 1"),
        ((), "choose: got 'best' without|validation_samples: "),
    ],
)
def test_validation_samples_are_refused_at_the_door(samples, message):
    problem = Regression()
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        training.train_resampled(
            problem, problem.draw, 20, validation_samples=samples, progress=False
        )
    assert problem.count["value"] <= 1


def test_validation_samples_that_the_problem_refuses_are_named():
    def draw(n, seed):
        x = np.random.default_rng(seed).standard_normal((n, 2))
        return x, (x[:, 0] > 0).astype(int)

    problem = refode.Supervised(refode.NeuralODE(refode.fields.Shallow(2, 2), n_steps=1))
    for y in (np.full(6, 2), np.ones(5)):
        with pytest.raises(ValueError, match="^validation_samples: the problem's value .*y: got"):
            training.train_resampled(
                problem, draw, 20, validation_samples=(draw(6, 1)[0], y), progress=False
            )


# --- scales -----------------------------------------------------------------------------------


def test_features_of_a_large_scale_are_pointed_out():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 2)), rng.integers(0, 2, 30)
    ode = refode.NeuralODE(refode.fields.Shallow(2, 2), n_steps=1)
    problem, flow = refode.Supervised(ode), refode.ContinuousNormalizingFlow(ode)
    options = {"max_iter": 1, "progress": False}
    message = r"x: got values up to \S*e\+0[34] in magnitude.*problem\.standardized\(x\)"
    with pytest.warns(RuntimeWarning, match=message) as seen:
        refode.train(problem, x * [1e4, 1e-2], y, **options)
    assert seen[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=message):
        refode.train(flow, -np.abs(x) * 1e4, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refode.train(problem, 1e2 * x, y, **options)
        refode.train(Valley(), 1e4 * X, Y, **options)  # what its data are nobody knows
