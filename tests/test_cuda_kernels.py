"""The device's kernels in the CUDA simulator, against the CPU's and the proven digits.

tests/test_cuda.py runs this file with NUMBA_ENABLE_CUDASIM=1.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest
import tolerances

import refode
from refode import bases, fields, reference
from refode.reference import kernels

if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
    pytest.skip("tests/test_cuda.py runs these in the simulator", allow_module_level=True)
pytest.importorskip("numba_cuda")

from numba import cuda

from refode.cuda import CudaSupervised, device
from refode.cuda.sweeps import add_blocks

GRID = {"tile": 4, "blocks": 2, "threads": 2}
# loss, m, readout, augment, scheme, basis, N, time: every tile of 4 is cut short somewhere
CASES = [
    ("regression", 1, True, 0, "euler", bases.PiecewiseConstant(2), 1, False),
    ("regression", 3, False, 1, "heun", bases.PiecewiseLinear(3), 9, True),
    ("regression", 2, True, 2, "rk4", bases.Legendre(2), 6, True),
    ("regression", 2, True, 0, "dopri5", bases.Constant(), 5, False),
    ("logistic", 1, True, 1, "euler", bases.BSpline(4), 14, True),
    ("logistic", 1, True, 0, "heun", bases.Legendre(3), 4, False),
    ("logistic", 1, True, 2, "rk4", bases.PiecewiseConstant(3), 3, False),
    ("logistic", 1, True, 0, "dopri5", bases.PiecewiseLinear(2), 1, True),
    ("softmax", 2, True, 1, "euler", bases.Constant(), 13, False),
    ("softmax", 3, False, 0, "heun", bases.BSpline(4), 7, True),
    ("softmax", 4, True, 0, "rk4", bases.PiecewiseLinear(2), 5, False),
    ("softmax", 2, True, 2, "dopri5", bases.Legendre(2), 2, True),
]


def drawn(loss, m, readout, augment, scheme, basis, n, time):
    """A problem with both regularisers, theta, x and y."""
    ode = refode.NeuralODE(fields.Shallow(3, 4, time=time), scheme, 2, (0.3, -0.9), basis)
    problem = refode.Supervised(ode, loss, m, augment, readout, tikhonov=0.1, smoothness=0.2)
    rng = np.random.default_rng(n)
    theta = 0.7 * rng.standard_normal(problem.n_parameters)
    x = rng.standard_normal((n, problem.n_inputs))
    if loss == "regression":
        return problem, theta, x, rng.standard_normal((n, problem.n_outputs))
    return problem, theta, x, rng.integers(2 if loss == "logistic" else m, size=n)


def on_device(problem, theta, x, y, **how):
    there = CudaSupervised(problem, **(GRID | how))
    return there.value_and_gradient(theta, there.to_device(x, y))


def close(got, wanted, tolerance=tolerances.CUDA):
    for a, b in zip(got, wanted, strict=True):
        scale = np.abs(b).max()
        assert scale > 0
        assert np.shape(a) == np.shape(b)
        assert np.abs(a - b).max() <= tolerance * scale


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[4]}-{type(c[5]).__name__}-{c[6]}")
def test_parity(case):
    problem, theta, x, y = drawn(*case)
    wanted = problem.value_and_gradient(theta, x, y)
    close(on_device(problem, theta, x, y), wanted)


@pytest.mark.parametrize("case", [CASES[1], CASES[4], CASES[9]], ids=lambda c: c[0])
def test_float32(case):
    problem, theta, x, y = drawn(*case)
    value, gradient = on_device(problem, theta, x, y, dtype=np.float32)
    close((value, gradient), problem.value_and_gradient(theta, x, y), tolerances.CUDA_FLOAT32)
    assert gradient.dtype == np.float64
    exact = problem.value_and_gradient(theta, x, y)[1]
    assert np.abs(gradient - exact).max() > tolerances.CUDA * np.abs(exact).max()  # float32 it was


def golden():
    """Cases with a shallow field and a Runge-Kutta scheme."""
    documents = {name: reference.case(name) for name in reference.names()}
    return [
        name
        for name, c in documents.items()
        if c["problem"]["type"] == "supervised" and c["field"]["type"] == "Shallow"
    ]


@pytest.mark.parametrize("name", golden())
def test_proven_digits(name):
    document = reference.case(name)
    given, proven = (reference.arrays(document, part) for part in ("inputs", "results"))
    p = document["problem"]
    how = {k: p[k] for k in ("loss", "n_outputs", "augment", "readout")}
    terms = {k: float(p[k]) for k in ("tikhonov", "smoothness")}
    problem = refode.Supervised(kernels.ode_of(document), **how, **terms)
    y = given["y"] if p["loss"] == "regression" else given["y"].astype(np.int64)

    def packed(arrays, prefix):
        return problem.pack({b: arrays[f"{prefix}/{b}"] for b in problem.layout.shapes})

    wanted = proven["total"], packed(proven, "gradient")
    close(on_device(problem, packed(given, "theta"), given["x"], y), wanted)


def test_golden_cases_are_there():
    assert len(golden()) == 12


def test_same_bits():
    """From run to run, and for every number of threads; other grids agree to rounding."""
    problem, theta, x, y = drawn(*CASES[4])
    first = on_device(problem, theta, x, y, blocks=3)
    for threads in (2, 3, 1):
        again = on_device(problem, theta, x, y, blocks=3, threads=threads)
        assert again[0] == first[0]
        assert np.array_equal(again[1], first[1])
    for how in ({"blocks": 9}, {"tile": 1, "blocks": 5}):
        close(on_device(problem, theta, x, y, **how), first)


@pytest.mark.parametrize("rows", range(1, 10))
def test_tree(rows):
    """Integers add up exactly, in whatever order."""
    sums = np.random.default_rng(rows).integers(-99, 99, size=(rows, 5)).astype(float)
    there = cuda.to_device(sums)
    add_blocks[2, 2](there)
    assert np.array_equal(there.copy_to_host()[0], sums.sum(axis=0))


def test_data_are_kept_and_taken():
    """Sent once and used twice; arrays on the device are not copied."""
    problem, theta, x, y = drawn(*CASES[9])
    there = CudaSupervised(problem, **GRID)
    x_there, y_there = cuda.to_device(x), cuda.to_device(y)
    data = there.to_device(x_there, y_there)
    assert data.x is x_there
    assert data.labels is y_there
    wanted = problem.value_and_gradient(theta, x, y)
    close(there.value_and_gradient(theta, data), wanted)
    theta = theta / 2
    close(there.value_and_gradient(theta, data), problem.value_and_gradient(theta, x, y))


def test_far_from_the_boundary():
    """Logits of thousands: no overflow, no cancellation."""
    for case in (CASES[4], CASES[8]):
        problem, theta, x, y = drawn(*case)
        theta[-2 * problem.n_outputs :] *= 1e4
        close(on_device(problem, theta, x, y), problem.value_and_gradient(theta, x, y))


def test_memory(monkeypatch):
    problem, theta, x, y = drawn(*CASES[1])
    there = CudaSupervised(problem, tile=4, blocks=2, threads=2)
    # x 9*2, targets 9*3; states 9, F 6, zbar 6, Y 12, tapes 16, u 4, v 3, value 1 a sample of
    # 2*4; two rows of 3 slots of 35 and the value; 3*35 weights
    assert there.memory(9) == 8 * (9 * 5 + 8 * 57 + 2 * (3 * 35 + 1) + 3 * 35)
    data = there.to_device(x, y)
    monkeypatch.setattr(device, "free_memory", lambda: 1000.0)
    with pytest.raises(ValueError, match="memory: the device has 1000 bytes free, wanted 6"):
        there.to_device(x, y)
    with pytest.raises(ValueError, match="memory: the device has 1000 bytes free"):
        there.value_and_gradient(theta, data)


class Foreign:
    """An array of somebody else's on the device, as far as its description goes."""

    def __init__(self, shape, typestr="<f8", strides=None):
        self.shape = shape
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": typestr, "strides": strides, "data": (0, True), "version": 3,
        }  # fmt: skip


def test_bad_input():
    problem, theta, x, y = drawn(*CASES[9])
    there = CudaSupervised(problem, **GRID)
    for error, words, call in [
        (TypeError, "problem: got 3", lambda: CudaSupervised(3)),
        (TypeError, "dtype: got 'numbers'", lambda: CudaSupervised(problem, "numbers")),
        (ValueError, "dtype: got 'float16'", lambda: CudaSupervised(problem, "float16")),
        (ValueError, "dtype: got 'complex128'", lambda: CudaSupervised(problem, complex)),
        (ValueError, "tile: got 0", lambda: CudaSupervised(problem, tile=0)),
        (TypeError, "blocks: got 1.5", lambda: CudaSupervised(problem, blocks=1.5)),
        (ValueError, "threads: got -1", lambda: CudaSupervised(problem, threads=-1)),
        (ValueError, "x: got an array of shape", lambda: there.to_device(x[:, :1], y)),
        (ValueError, "y: got 5 at index 0", lambda: there.to_device(x, y * 0 + 5)),
        (ValueError, "y: got 5", lambda: there.to_device(x, cuda.to_device(y * 0 + 5))),
        (TypeError, "y: got a device array of dtype float64",
         lambda: there.to_device(x, Foreign((7,)))),
        (ValueError, "x: got a device array of shape", lambda: there.to_device(Foreign((7,)), y)),
        (ValueError, "x: got an empty", lambda: there.to_device(Foreign((0, 3)), y)),
        (ValueError, "x: got a device array with gaps",
         lambda: there.to_device(Foreign((7, 3), strides=(8, 56)), y)),
        (TypeError, "x: got a device array of dtype float32",
         lambda: there.to_device(Foreign((7, 3), "<f4"), y)),
        (TypeError, "data: got", lambda: there.value_and_gradient(theta, (x, y))),
        (ValueError, "theta: got an array of shape",
         lambda: there.value_and_gradient(theta[1:], there.to_device(x, y))),
    ]:  # fmt: skip
        with pytest.raises(error, match=words):
            call()


def test_problems_that_are_not_there_yet():
    affine = refode.Supervised(refode.NeuralODE(fields.Affine(2)))
    with pytest.raises(ValueError, match="problem: got a field Affine, wanted Shallow"):
        CudaSupervised(affine)

    class Own(fields.Shallow):
        """A subclass may have another formula."""

    with pytest.raises(ValueError, match="problem: got a field Own, wanted Shallow"):
        CudaSupervised(refode.Supervised(refode.NeuralODE(Own(2, 3))))


def test_numbers_of_a_foreign_description():
    """The rows' strides are what C order has."""
    dense = Foreign((7, 3), strides=(24, 8))
    assert device._described(dense) == ((7, 3), np.dtype(np.float64), True)
    assert device.on_device(dense)
    assert not device.on_device(SimpleNamespace())
