"""How sweeps are laid out: bits, slices, memory, shared memory, what is refused."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from common import MODES, close, laid_out
from numba import cuda
from supervised import CASES, drawn

import refode
from refode import bases, fields
from refode._weights import equal
from refode.cuda import buffers, device, launching, layout
from refode.cuda.sweeps import Placed
from refode.ode import placement


def test_same_bits():
    """From run to run, and for every number of threads; other grids agree to rounding."""
    _, there, theta, x, y = drawn(*CASES[3])
    with laid_out(blocks=3):
        first = there.value_and_gradient(theta, x, y)
    for threads in (2, 3, 1, 6):
        with laid_out(blocks=3, threads=threads):
            again = there.value_and_gradient(theta, x, y)
        assert again[0] == first[0]
        assert np.array_equal(again[1], first[1])
    for how in ({"blocks": 9}, {"tile": 1, "blocks": 5}, {"mode": "staged"}):
        with laid_out(**how):
            close(there.value_and_gradient(theta, x, y), first)


def test_same_bits_staged():
    _, there, theta, x, y = drawn(*CASES[3])
    with laid_out("staged"):
        one, two = (there.value_and_gradient(theta, x, y) for _ in range(2))
    assert one[0] == two[0]
    assert np.array_equal(one[1], two[1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("most", [1, 4, 5])
def test_slices(most, mode):
    """Samples that do not fit go one slice after another, whatever is asked for."""
    here, there, theta, x, y = drawn(*CASES[1])
    z_bar = np.random.default_rng(0).standard_normal((3, len(x), 3))
    padded = np.pad(x, ((0, 0), (0, 1)))
    weights = theta[: here.ode.n_parameters]
    with laid_out(mode, slice=most):
        close(there.value_and_gradient(theta, x, y), here.value_and_gradient(theta, x, y))
        data = there.to_device(x, y)
        close(there.value_and_gradient(theta, *data), here.value_and_gradient(theta, x, y))
        close(there.ode.trajectory(weights, padded), here.ode.trajectory(weights, padded))
        close(there.ode.adjoint(weights, padded, z_bar), here.ode.adjoint(weights, padded, z_bar))


def test_slices_by_memory(monkeypatch):
    """With little memory, the samples are halved until a slice fits."""
    here, there, theta, x, y = drawn(*CASES[5])
    seen = []
    run = launching._Run.gradient

    def noted(self, X, *rest):
        seen.append(X.shape[0])
        return run(self, X, *rest)

    monkeypatch.setattr(launching._Run, "gradient", noted)
    with laid_out("staged"):
        sweep, E, cost = swept(there, theta, x, y)
        n_cost = there.n_parameters - there.ode.n_parameters
        needed = layout.bytes_needed(sweep, 4, E.shape, 2 * x.shape[1] + 2, cost, n_cost)
        buffers.release()
        monkeypatch.setattr(buffers, "held", lambda: 0)
        monkeypatch.setattr(device, "free_memory", lambda: needed / layout.SHARE)
        close(there.value_and_gradient(theta, x, y), here.value_and_gradient(theta, x, y))
    assert sum(seen) == len(x)
    assert 1 < max(seen) <= 4


def swept(problem, theta, x, y):
    """Sweep, effective weights and cost of a problem's gradient."""
    ode, plan = problem.ode, problem.ode.plan()
    from refode.sweeps.dynamics import Plain

    E = ode.field.prepare(ode.stage_weights(theta[: ode.n_parameters], plan), False)
    return (
        ode.sweep(plan, Plain, E.dtype),
        E,
        problem._cost(theta, problem._targets(y, len(x)), equal(len(x))),
    )


def test_memory_by_hand():
    _, there, theta, x, y = drawn(*CASES[1])
    with laid_out():
        sweep, E, cost = swept(there, theta, x, y)
        # near: Y, L, W and two Z_bars of 3 rows, 4 of work; far: 2 steps of 2 stages of 3 + 3 + 4.
        # Two blocks with tiles of 4 samples and one number more, sums of 2 weights of 25, a cost's
        # 7 and the value, the weights, all sums once more, 9 samples of 5 numbers.
        for shared, rows in ((100, 15 + 4 + 40), (48 * 1024, 0)):
            wanted = 8 * (2 * (5 * rows + 58) + 50 + 58 + 9 * 5)
            with refode.cuda.settings(shared=shared):
                assert layout.bytes_needed(sweep, 9, (2, 25), 5, cost, 7) == wanted


def test_too_little_memory(monkeypatch):
    _, there, theta, x, y = drawn(*CASES[1])
    monkeypatch.setattr(device, "free_memory", lambda: 100.0)
    monkeypatch.setattr(buffers, "held", lambda: 0)
    for call in (lambda: there.value_and_gradient(theta, x, y), lambda: there.to_device(x, y)):
        with pytest.raises(ValueError, match="memory: the device has 100 bytes free, wanted"):
            call()


def test_memory_runs_out(monkeypatch):
    """Free when asked, taken when wanted: the driver's error by another name."""
    _, there, theta, x, y = drawn(*CASES[1])

    def full(*how):
        raise RuntimeError("Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr(launching._Run, "buffer", full)
    for call in (lambda: there.value_and_gradient(theta, x, y), lambda: there.predict(theta, x)):
        with pytest.raises(ValueError, match=r"memory: the device could not allocate \d+ bytes"):
            call()
    monkeypatch.setattr(launching._Run, "buffer", lambda *how: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        there.value_and_gradient(theta, x, y)


def test_bytes_beforehand(monkeypatch):
    """What is said is what the sweep compares with the free memory; nothing runs."""
    _, there, theta, x, y = drawn(*CASES[1])
    asked = []
    needed = layout.bytes_needed
    with laid_out():
        said = refode.cuda.bytes_of(there, len(x))
        monkeypatch.setattr(
            layout, "bytes_needed", lambda *a: asked.append(needed(*a)) or asked[-1]
        )
        there.value_and_gradient(theta, x, y)
    assert said == max(asked)
    assert refode.cuda.bytes_of(there, 10 * len(x)) > said
    with pytest.raises(ValueError, match="problem: got device='cpu'"):
        refode.cuda.bytes_of(drawn(*CASES[1])[0], 3)
    with pytest.raises(ValueError, match="n: got 0"):
        refode.cuda.bytes_of(there, 0)


def test_arrays_on_another_device(monkeypatch):
    _, there, theta, x, y = drawn(*CASES[7])
    monkeypatch.setattr(device, "simulated", lambda: False)
    monkeypatch.setattr(device, "current_ordinal", lambda: 0)
    monkeypatch.setattr(device, "ordinal", lambda value: 1)
    with pytest.raises(ValueError, match="x: got an array on device 1, wanted device 0"):
        there.predict(theta, Foreign((5, 3)))


@pytest.mark.parametrize("shared", [100, 6000, 14000, 60 * 1024])
def test_shared_memory(shared, monkeypatch):
    """The tableau alone, the rows of a stage, the weights too, or the tape as well."""
    here, there, theta, x, y = drawn(*CASES[1])
    placed = []
    kernel = launching.gradient_kernel
    monkeypatch.setattr(launching, "gradient_kernel", lambda *a: placed.append(a[-1]) or kernel(*a))
    with laid_out(shared=shared):
        close(there.value_and_gradient(theta, x, y), here.value_and_gradient(theta, x, y))
        close(there.predict(theta, x), here.predict(theta, x))
    assert placed[0][8:11] == (shared > 100, shared > 6000, shared > 14000)


def test_places_by_hand():
    """E, its cotangent, near, far: one after another, nothing twice, nothing left over."""
    for near, weights, far in ((1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 0)):
        p = Placed(4, 2, 2, 7, 11, 3, 5, 2, bool(near), bool(weights), bool(far), None, 255)
        # the tableau's 8; 15 weights, made even, twice; rows of 5
        assert p.shared() == 8 + 32 * weights + 35 * near + 55 * far
        assert p.global_numbers() == 35 * (not near) + 55 * (not far)
        E, E_bar, near_at, far_at = p.starts()
        assert (E, E_bar) == (8, 24)
        assert near_at == (8 + 32 * weights if near else 0)
        assert far_at == (75 if far else 0 if near else 35)


def test_tiles_for_few_samples(monkeypatch):
    """A device of many multiprocessors gives each a tile, be it small."""
    monkeypatch.setattr(device, "processors", lambda: 132)
    assert [layout._tile(n) for n in (10, 1000, 2000, 3168, 100_000)] == [8, 8, 16, 32, 32]


def test_slices_use_the_same_buffers():
    _, there, theta, x, y = drawn(*CASES[1])
    kept = []
    for most in (len(x), 1):
        buffers.release()
        with laid_out(slice=most):
            there.value_and_gradient(theta, x, y)
        kept.append(len(buffers._sent))
    assert kept[0] == kept[1]


def test_kept_memory():
    """What a call needs is there for the next one, until it is released."""
    _, there, theta, x, y = drawn(*CASES[1])
    buffers.release()
    with laid_out(shared=100):
        first = there.value_and_gradient(theta, x, y)
        held = buffers.held()
        assert held > 0
        again = there.value_and_gradient(theta, x, y)
        assert buffers.held() == held
        refode.cuda.release()
        assert buffers.held() == 0
        close(there.value_and_gradient(theta, x, y), first)
    close(again, first)


class Foreign:
    """An array of somebody else's on the device, as far as its description goes."""

    def __init__(self, shape, typestr="<f8", strides=None):
        self.shape = shape
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": typestr,
            "strides": strides,
            "data": (0, True),
            "version": 3,
        }


def test_bad_input():
    here, there, theta, x, y = drawn(*CASES[7])
    ode = here.ode
    for error, words, call in [
        (ValueError, "device: got 'gpu'", lambda: refode.NeuralODE(ode.field, device="gpu")),
        (ValueError, "dtype: got 'float16'", lambda: ode.on("cuda", "float16")),
        (TypeError, "dtype: got 'numbers'", lambda: ode.on("cuda", "numbers")),
        (ValueError, "dtype: got 'float32' with device='cpu'", lambda: ode.on("cpu", "float32")),
        (ValueError, "device: got 'cpu', wanted 'cuda'", lambda: here.to_device(x, y)),
        (
            TypeError,
            "x: got an array on a device, wanted device='cuda'",
            lambda: here.predict(theta, cuda.to_device(x)),
        ),
        (ValueError, "x: got an array of shape", lambda: there.to_device(x[:, :1], y)),
        (ValueError, "y: got 5 at index 0", lambda: there.to_device(x, y * 0 + 5)),
        (ValueError, "y: got 5", lambda: there.to_device(x, cuda.to_device(y * 0 + 5))),
        (
            TypeError,
            "y: got a device array of dtype float64",
            lambda: there.to_device(x, Foreign((5,))),
        ),
        (ValueError, "x: got a device array of shape", lambda: there.to_device(Foreign((7,)), y)),
        (ValueError, "x: got an empty", lambda: there.to_device(Foreign((0, 3)), y)),
        (
            ValueError,
            "x: got a device array with gaps",
            lambda: there.to_device(Foreign((7, 3), strides=(8, 56)), y),
        ),
        (
            TypeError,
            "x: got a device array of dtype float32",
            lambda: there.to_device(Foreign((7, 3), "<f4"), y),
        ),
        (
            ValueError,
            "theta: got an array of shape",
            lambda: there.value_and_gradient(theta[1:], x, y),
        ),
        (ValueError, "mode: got 'fast'", lambda: refode.cuda.settings(mode="fast").__enter__()),
        (ValueError, "tile: got 0", lambda: refode.cuda.settings(tile=0).__enter__()),
        (TypeError, "blocks: got 1.5", lambda: refode.cuda.settings(blocks=1.5).__enter__()),
        (ValueError, "slice: got -1", lambda: refode.cuda.settings(slice=-1).__enter__()),
    ]:
        with pytest.raises(error, match=words):
            call()


def test_what_the_device_does_not_have():
    x = np.ones((2, 2))
    affine = refode.NeuralODE(fields.Affine(2), device="cuda")
    with pytest.raises(ValueError, match="device: got 'cuda' with the field Affine"):
        affine.solve(affine.initial(), x)
    with pytest.raises(ValueError, match="scheme: got 'verlet' with device='cuda'"):
        refode.NeuralODE(fields.Hamiltonian(2), "verlet", device="cuda")


def test_settings_end_with_their_block():
    before = layout.current()
    with laid_out("staged", slice=3):
        assert layout.current().mode == "staged"
        with refode.cuda.settings(tile=7):
            assert layout.current()[:2] == ("staged", 7)
    assert layout.current() == before


def test_wide_nets_are_staged():
    narrow, wide = (refode.NeuralODE(fields.Shallow(64, k), device="cuda") for k in (256, 1024))
    assert [layout.is_staged(swept_plain(ode)) for ode in (narrow, wide)] == [False, True]


def swept_plain(ode):
    from refode.sweeps.dynamics import Plain

    return ode.sweep(ode.plan(), Plain, np.dtype(float))


def test_names_stay_when_steps_change():
    ode = refode.NeuralODE(
        fields.Shallow(2, 3), device="cuda", dtype="float32", basis=bases.Constant()
    )
    assert ode.with_steps(3).placement == placement.Placement("cuda", "float32")
    assert ode.on("cpu").placement == placement.CPU
    assert "device='cuda', dtype='float32'" in repr(ode)
    assert "device" not in repr(ode.on("cpu"))


def test_a_thread_that_misses_a_barrier_is_seen(monkeypatch):
    """Where a device would hang, the tests fail."""
    import simulator

    monkeypatch.setattr(simulator, "PATIENCE", 0.1)

    @cuda.jit
    def some_wait(a):
        if cuda.threadIdx.x > 0:
            cuda.syncthreads()
        a[cuda.threadIdx.x] = 1.0

    with pytest.raises(threading.BrokenBarrierError):
        some_wait[1, 3](np.zeros(3))


def test_few_samples_are_no_news():
    """The compiler's warning of an unfilled device is kept to itself; others pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with device.allocating(1):
            warnings.warn("Grid size 2 will result in GPU under-utilization", stacklevel=1)
        with pytest.raises(UserWarning, match="another"), device.allocating(1):
            warnings.warn("another", stacklevel=1)
