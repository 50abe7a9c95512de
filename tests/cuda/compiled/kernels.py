"""The kernels' types on a real device: every launch is compiled to LLVM, none is run.

The simulator runs kernels as Python, where a variable may change its type and None may be
anything. Here each launch goes through Numba's typing and lowering for CUDA instead, which
needs neither a GPU nor NVIDIA's libraries. tests/cuda/test_cuda.py runs this in a process of its
own.
"""

from __future__ import annotations

import gc
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    pytest.skip("these are compiled for a real device", allow_module_level=True)
pytest.importorskip("numba_cuda")

from numba import types
from numba.core.errors import TypingError
from numba.cuda import compiler, dispatcher
from numba.cuda.typing.typeof import Purpose, typeof

import refode
from refode import bases, fields
from refode.cuda import buffers, device, launching
from refode.densities import Gaussian
from refode.games import CrossEntropy, Game, GaussianBump, KullbackLeibler, Quadratic

compiled: set = set()  # once for all tests: the same function for the same types
launches: list = []  # of one test
gc.set_threshold(50_000)  # the compiler makes many objects, few of them garbage


def numbers(first, *others):
    """Both number types of one of a kind: the others share all of its kernels but the costs'."""
    return [(first, "float64"), (first, "float32"), *((name, "float64") for name in others)]


class Array(np.ndarray):
    """A host's array in a device's place."""

    def copy_to_device(self, other):
        self[...] = other

    def copy_to_host(self):
        return np.asarray(self)


def _array(a):
    return np.array(a).view(Array)


def _plain(value):
    if isinstance(value, Array):
        return np.asarray(value)
    if isinstance(value, tuple):
        parts = [_plain(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


class Launch:
    """``kernel[grid, block]`` that compiles for the arguments it is called with."""

    def __init__(self, kernel):
        self.function = kernel.py_func

    def __call__(self, *arguments):
        signature = tuple(typeof(_plain(a), Purpose.argument) for a in arguments)
        key = (self.function, signature)
        launches.append(key)
        if key not in compiled:
            compiler.compile_cuda(self.function, types.void, signature, cc=(9, 0))
            compiled.add(key)


@pytest.fixture(autouse=True)
def no_device(monkeypatch):
    stand_in = SimpleNamespace(
        to_device=_array, device_array=lambda shape, dtype: _array(np.zeros(shape, dtype))
    )
    capability = SimpleNamespace(compute_capability=(9, 0))
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: capability)
    monkeypatch.setattr(dispatcher.CUDADispatcher, "__getitem__", lambda self, how: Launch(self))
    monkeypatch.setattr(device, "require", lambda: stand_in)
    monkeypatch.setattr(device, "processors", lambda: 132)
    monkeypatch.setattr(device, "shared_memory", lambda: 227 * 1024)
    monkeypatch.setattr(device, "admit", lambda *how: None)
    monkeypatch.setattr(device, "free_memory", lambda: 1e12)
    monkeypatch.setattr(device, "on_device", lambda a: isinstance(a, Array))
    launches.clear()
    buffers.release()
    launching._kept_bytes.cache_clear()


def ran(mode, problem, *arguments):
    with refode.cuda.settings(mode=mode):
        problem.value_and_gradient(*arguments)
    assert launches


def drawn(n=40, d=2):
    return np.random.default_rng(0).standard_normal((n, d))


@pytest.mark.parametrize("mode", ["tile", "staged"])
@pytest.mark.parametrize("loss, dtype", numbers("regression", "logistic", "softmax"))
def test_supervised(loss, mode, dtype):
    ode = refode.NeuralODE(fields.Shallow(2, 4, time=True), "heun", 2, memory="steps")
    y = drawn() if loss == "regression" else np.arange(40) % 2
    m = 1 if loss == "logistic" else 2
    ran(
        mode,
        refode.Supervised(ode, loss, m, device="cuda", dtype=dtype),
        *(np.zeros(ode.n_parameters + 3 * m), drawn(), y),
    )


FIELDS = {
    "shallow": lambda: fields.Shallow(2, 4),
    "mlp": lambda: fields.MLP(2, (3, 4), ("tanh", "softplus"), time=True),
    "mlp-0": lambda: fields.MLP(2, ()),
    "potential": lambda: fields.Potential(2, 3),
    "potential-3": lambda: fields.Potential(2, 3, depth=3, quadratic="symmetric"),
}


@pytest.mark.parametrize("mode", ["tile", "staged"])
@pytest.mark.parametrize("name", FIELDS)
def test_flows(name, mode):
    ode = refode.NeuralODE(FIELDS[name](), "heun", 2, basis=bases.PiecewiseLinear(2))
    ran(mode, refode.ContinuousNormalizingFlow(ode, 0.1, device="cuda"), ode.initial(), drawn())


@pytest.mark.parametrize("mode", ["tile", "staged"])
@pytest.mark.parametrize("name", ["shallow", "mlp"])
def test_estimated_traces(name, mode):
    ode = refode.NeuralODE(FIELDS[name](), "euler", 2)
    flow = refode.ContinuousNormalizingFlow(ode, 0.1, trace="rademacher", device="cuda")
    ran(mode, flow, ode.initial(), drawn())


@pytest.mark.parametrize("mode", ["tile", "staged"])
@pytest.mark.parametrize("kind, dtype", numbers("kl", "cross_entropy", "energy"))
def test_games(kind, mode, dtype):
    one, two = Gaussian(np.zeros(2), np.eye(2)), Gaussian(np.ones(2), [[1.0, 0.5], [0.5, 1.0]])
    energy = GaussianBump(1.0, [0.0, 0.0], 0.5) + Quadratic(1.0)
    cost = {"kl": KullbackLeibler(two), "cross_entropy": CrossEntropy(two)}.get(kind, energy)
    game = Game(one, cost, 1.0, energy, 0.1)
    problem = refode.MeanFieldGame(
        fields.Potential(2, 3), game, 0.1, 0.1, scheme="euler", device="cuda", dtype=dtype
    )
    ran(mode, problem, problem.initial(), drawn())


@pytest.mark.parametrize("mode", ["tile", "staged"])
def test_paths(mode):
    ode = refode.NeuralODE(fields.Shallow(2, 4), "rk4", 2, device="cuda")
    theta, x = ode.initial(), drawn()
    with refode.cuda.settings(mode=mode):
        ode.trajectory(theta, x)
        ode.log_det(theta, x)
        ode.adjoint(theta, x, np.zeros((3, *x.shape)))
    assert launches


def test_a_wrong_type_is_seen():
    """That compiling can fail at all."""
    from numba import cuda

    @cuda.jit
    def changes_its_type(a):
        b = a[0]
        b = a
        a[0] = b

    with pytest.raises(TypingError, match="setitem"):
        Launch(changes_its_type)(np.zeros(3))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
