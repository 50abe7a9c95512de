"""What observations and their problem refuse, each by name."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import refode
from refode import bases, fields

VALUES = np.arange(12.0).reshape(2, 3, 2)
TIMES = [0.1, 0.4, 0.9]
OWN = [TIMES, [0.2, 0.3, 0.5]]
nan = np.nan


def changed(array, index, value):
    array = np.array(array, dtype=float)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"times": [0.1, 0.9, 0.4]}, "times: got 0.9 at index 1 and 0.4 at index 2, wanted times"),
        ({"times": [0.1, 0.1, 0.4]}, "and the same again at index 1, wanted .* the mean"),
        ({"times": [OWN[0], OWN[1][::-1]]}, "times: got 0.5 at index 0 of sample 1 and 0.3"),
        ({"times": [0.1, 0.4]}, r"times: got .* \(2,\), wanted \(3,\) or \(2, 3\)"),
        ({"times": [TIMES]}, r"times: got an array of shape \(1, 3\), wanted"),
        ({"times": [0.1, nan, 0.9]}, "times: got nan at index 1"),
        ({"times": changed(OWN, (1, 0), nan)}, r"times: got nan at index \(1, 0\)"),
        ({"times": changed(OWN, (1, 0), np.inf)}, "times: got inf"),
        ({"times": "now"}, "times: got"),
        ({"values": VALUES[0]}, r"values: got an array of shape \(3, 2\), wanted \(N, K, m\)"),
        ({"values": VALUES[:0]}, "values: got an array of shape"),
        ({"values": nan * VALUES}, "values: got nothing but missing ones"),
        ({"values": changed(VALUES, (0, 1, 0), np.inf)}, r"values: got inf at index \(0, 1, 0\)"),
        ({"values": VALUES + 1j}, "values: got an array of dtype complex128"),
        ({"values": np.ma.masked_array(VALUES)}, "values: got a masked array"),
        ({"mask": np.ones((2, 3), bool)}, r"mask: got .* \(2, 3\), wanted \(2, 3, 2\) as values"),
        ({"mask": np.ones((2, 3, 2))}, "mask: got an array of dtype float64, wanted bool"),
        ({"mask": np.zeros((2, 3, 2), bool)}, "values: got nothing but missing ones"),
        ({"weights": -1.0}, r"weights: got -1.0 at index \(0, 0, 0\), wanted finite numbers >= 0"),
        ({"weights": [1.0, nan]}, r"weights: got nan at index \(0, 0, 1\)"),
        (
            {"weights": np.ones(3)},
            r"weights: got .* \(3,\), wanted a number, \(2,\) or \(2, 3, 2\)",
        ),
        ({"weights": 0.0}, "values: got nothing but missing ones"),
        ({"weights": 1e308}, "weights: got a sum beyond float64"),
        ({"inputs": 3.0}, "inputs: got .*, wanted a pair"),
        ({"inputs": ([0.0], np.ones((2, 1, 1)))}, r"inputs\[0\]: got times that do not rise"),
        ({"inputs": ([0.0, 1.0], np.ones((3, 2, 1)))}, r"inputs\[1\]: got .*, wanted \(2, 2, q\)"),
    ],
)
def test_observations_that_are_none(given, text):
    with pytest.raises((TypeError, ValueError), match=text):
        refode.Observations(**{"times": TIMES, "values": VALUES, **given})


def test_observations_are_copies_and_values():
    values, times = VALUES.copy(), np.array(TIMES)
    y = refode.Observations(times, values, weights=[1.0, 4.0])
    values[...] = times[...] = 0.0
    assert y == refode.Observations(TIMES, VALUES, weights=[1.0, 4.0])
    assert y != refode.Observations(TIMES, VALUES)
    assert hash(y) == hash(copy.deepcopy(y))
    assert pickle.loads(pickle.dumps(y)) == y
    assert (y.n_samples, y.n_times, y.n_channels, y.n_observed, y.total) == (2, 3, 2, 12, 30.0)
    with pytest.raises(ValueError, match="read-only"):
        y.values[0, 0, 0] = 1.0
    with pytest.raises(AttributeError, match="times: got"):
        y.times = TIMES


def test_some_samples_of_observations():
    own = changed(OWN, (1, 2), nan)
    y = refode.Observations(own, changed(VALUES, (1, 2), nan), inputs=([0, 1], np.ones((2, 2, 1))))
    assert y[1:] == y[[1]] == y[np.array([1])]
    assert (len(y), len(y[1:]), y[1:].n_observed) == (2, 1, 4)
    np.testing.assert_array_equal(y[1:].times, own[1:])


ODE = refode.NeuralODE(fields.Shallow(2, 3), "dopri5", 4)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"ode": 3}, "ode: got"),
        ({"observed": np.ones((3, 3))}, r"observed: got .* \(3, 3\), wanted \(m, 2\)"),
        ({"initial": "free"}, "initial: got 'free'"),
        ({"initial": "fitted"}, "n_samples: got None with initial='fitted', wanted an int"),
        ({"n_samples": 3}, "n_samples: got 3 with initial='given', wanted None"),
        ({"shooting": [0.5]}, "n_samples: got None with shooting, wanted an int"),
        ({"shooting": [0.5, 0.2], "n_samples": 2}, "shooting: got .*, wanted times between 0.0"),
        ({"shooting": [1.0], "n_samples": 2}, "shooting: got .*, wanted times between 0.0 and 1.0"),
        ({"shooting": [0.5], "n_samples": 2, "penalty": 0.0}, "penalty: got 0.0"),
        ({"multipliers": np.ones((2, 1, 2))}, "shooting: got None, wanted times of nodes"),
        (
            {"shooting": [0.5], "n_samples": 2, "multipliers": np.ones((2, 2))},
            r"multipliers: got .*, wanted \(2, 1, 2\)",
        ),
        ({"shooting": [0.5], "n_samples": 2, "steps_between": 2}, "got 2 with shooting"),
        ({"steps_between": 0}, "steps_between: got 0"),
        ({"readout": 1}, "readout: got 1"),
        ({"tikhonov": -1.0}, "tikhonov: got -1.0"),
    ],
)
def test_problems_that_are_none(given, text):
    with pytest.raises((TypeError, ValueError), match=text):
        refode.TrajectoryFitting(**{"ode": ODE, **given})


@pytest.mark.parametrize(
    ("ode", "text"),
    [
        (refode.NeuralODE(fields.Shallow(2, 3, time=True)), "a Shallow that reads t"),
        (refode.NeuralODE(fields.Shallow(2, 3), basis=bases.Legendre(2)), r"basis=Legendre\(2\)"),
        (refode.NeuralODE(fields.Hamiltonian(2), "verlet"), "scheme='verlet'"),
    ],
)
def test_steps_of_samples_own_want_neither_time_nor_bases(ode, text):
    with pytest.raises(ValueError, match=f"steps_between: got 2 with .*{text}"):
        refode.TrajectoryFitting(ode, steps_between=2)


def test_names_that_the_field_has_already():
    ode = refode.NeuralODE(fields.Potential(2, 3))
    with pytest.raises(ValueError, match="readout: got True with a Potential, .* 'b'"):
        refode.TrajectoryFitting(ode, readout=True)


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        (np.ones((2, 2)), VALUES, "y: got .*, wanted an instance of Observations"),
        (np.ones((3, 2)), (TIMES, VALUES), "x: got 3 samples, wanted 2 as y has"),
        (np.ones((2, 3)), (TIMES, VALUES), r"x: got .* \(2, 3\)"),
        (None, (TIMES, VALUES), "x: got"),
        (np.ones((2, 2)), (TIMES, VALUES[:, :, :1]), "y: got values of 1 channels, wanted 2"),
        (np.ones((2, 2)), ([0.1, 0.4, 1.1], VALUES), r"times: got 1.1 at index 2, .* \[0.0, 1.0\]"),
        (
            np.ones((2, 2)),
            (changed(OWN, (1, 0), -0.1), VALUES),
            r"times: got -0.1 at index \(1, 0\)",
        ),
        (np.ones((2, 2)), (TIMES[::-1], VALUES), "times: got 0.9 at index 0 and no later one"),
        (
            np.ones((2, 2)),
            (np.array(OWN)[:, ::-1], VALUES),
            r"times: got 0.9 at index \(0, 0\) and no",
        ),
    ],
)
def test_data_that_do_not_fit(x, y, text):
    y = refode.Observations(*y) if isinstance(y, tuple) else y
    problem = refode.TrajectoryFitting(ODE)
    theta = problem.initial()
    for method in (problem.value_and_gradient, problem.value, problem.residuals, problem.gradients):
        with pytest.raises((TypeError, ValueError), match=text):
            method(theta, x, y)
    with pytest.raises((TypeError, ValueError), match=text):
        problem.hessian_vector(theta, theta, x, y)
    with pytest.raises((TypeError, ValueError), match=text):
        refode.train(problem, x, y, progress=False)


def test_inputs_of_a_field_that_reads_none():
    y = refode.Observations(TIMES, VALUES, inputs=([0.0, 1.0], np.ones((2, 2, 1))))
    with pytest.raises(ValueError, match="y: got inputs with a Shallow that reads none"):
        refode.TrajectoryFitting(ODE).value(
            refode.TrajectoryFitting(ODE).initial(), VALUES[:, 0], y
        )


def test_fitted_states_are_theta_s():
    problem = refode.TrajectoryFitting(ODE, initial="fitted", n_samples=2)
    y, theta = refode.Observations(TIMES, VALUES), problem.initial()
    assert problem.unpack(theta)["x0"].shape == (2, 2)
    with pytest.raises(ValueError, match="x: got .*, wanted None with initial='fitted'"):
        problem.value(theta, np.ones((2, 2)), y)
    other = refode.Observations(TIMES, np.ones((3, 3, 2)))
    with pytest.raises(ValueError, match="y: got observations of 3 samples, wanted n_samples=2"):
        problem.value(theta, None, other)


def test_own_times_want_an_interpolant():
    problem = refode.TrajectoryFitting(refode.NeuralODE(fields.Shallow(2, 3), "rk4"))
    y = refode.Observations(OWN, VALUES)
    with pytest.raises(ValueError, match="scheme: got 'rk4', which has no state within its steps"):
        problem.value(problem.initial(), np.ones((2, 2)), y)


def test_paths_that_leave_the_finite_range():
    """For optimisers values are not finite; predictions are errors."""
    problem = refode.TrajectoryFitting(refode.NeuralODE(fields.Affine(2), "dopri5"))
    theta, x = np.full(problem.n_parameters, 1e200), np.ones((2, 2))
    y = refode.Observations(OWN, VALUES)
    assert not np.isfinite(problem.value(theta, x, y))
    assert not np.isfinite(problem.value_and_gradient(theta, x, y)[0])
    for ask in (lambda: problem.residuals(theta, x, y), lambda: problem.predict(theta, x, TIMES)):
        with pytest.raises(ValueError, match="x: got sample 0"):
            ask()
    with pytest.raises(ValueError, match="times: got 1.5 at index 0"):
        problem.predict(problem.initial(), x, [1.5])
    with pytest.raises(ValueError, match="times: got 0.5 at index 0 and no later"):
        problem.predict(problem.initial(), x, [0.5, 0.1])


def test_samples_on_many_ranks_are_not_for_it():
    """Its mean is over what is observed, of which a rank knows its own share alone."""
    from refode.distributed.problem import checked

    with pytest.raises(TypeError, match="problem: got TrajectoryFitting.*, wanted a Supervised"):
        checked(refode.TrajectoryFitting(ODE))
