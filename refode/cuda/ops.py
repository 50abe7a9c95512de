"""Two ways to run the same formulas on a device: a tile a block, or a launch an operation.

The fields, schemes and costs of this room are written once, against an ``Ops``:

``tile``    a block of threads takes a tile of S samples through the whole trajectory; every
            operation is a function on the device, shared by the block's threads.
``staged``  the trajectory is walked by Python, and every operation is a launch over all
            samples of a slice: for wide nets, whose products fill the device by themselves.

Whoever writes a formula uses three decorators. ``body`` marks functions that call others.
``loop`` marks those that visit entries of arrays:

    for q in range(first(), U.size, stride()):
        ...                       # entry q
    barrier()

Arrays belong to samples feature-major, ``(rows, S)``; weights are flat vectors. A loop writes
every entry by one thread in fixed order, and ends with a barrier: the same bits from run to run
and for every number of threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from numba import cuda

from refode.cuda import device

THREADS = 256
#: Blocks of a launch a multiprocessor.
OVERSUBSCRIBED = 8


class Ops(NamedTuple):
    """What formulas are written against; the products are in linalg.py."""

    name: str
    body: Callable[[Callable], Any]
    loop: Callable[[Callable], Any]
    first: Any
    stride: Any
    barrier: Any


@cuda.jit(device=True)
def _thread():
    return cuda.threadIdx.x


@cuda.jit(device=True)
def _threads():
    return cuda.blockDim.x


@cuda.jit(device=True)
def _wait():
    cuda.syncthreads()


@cuda.jit(device=True)
def _thread_of_all():
    return cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x


@cuda.jit(device=True)
def _threads_of_all():
    return cuda.gridDim.x * cuda.blockDim.x


@cuda.jit(device=True)
def _go_on():
    """The end of a launch is its barrier."""


def _device_function(function: Callable) -> Any:
    return cuda.jit(device=True)(function)


def _launched(function: Callable) -> Callable:
    """A loop as a launch over as many threads as the device likes."""
    compiled = cuda.jit(function)

    @functools.wraps(function)
    def launch(*args: Any) -> None:
        compiled[launch_shape()](*args)

    return launch


def launch_shape() -> tuple[int, int]:
    """Blocks and threads of a launch whose loops stride over the whole grid."""
    if device.simulated():
        return 2, 1
    return OVERSUBSCRIBED * device.processors(), THREADS


tile = Ops("tile", _device_function, _device_function, _thread, _threads, _wait)
staged = Ops("staged", lambda f: f, _launched, _thread_of_all, _threads_of_all, _go_on)


# --- functions of one number -------------------------------------------------------------
@cuda.jit(device=True)
def log_cosh(v):
    """log(2 cosh v), without overflow."""
    a = abs(v)
    return a + math.log1p(math.exp(-2.0 * a))


@cuda.jit(device=True)
def softplus(v):
    """log(1 + e^v), without overflow."""
    return max(v, 0.0) + math.log1p(math.exp(-abs(v)))


@cuda.jit(device=True)
def sigmoid(v):
    """1/(1 + e^-v), without overflow."""
    small = math.exp(-abs(v))
    return 1.0 / (1.0 + small) if v >= 0.0 else small / (1.0 + small)


@cuda.jit(device=True)
def sign(v):
    """-1, 0 or 1."""
    if v > 0.0:
        return 1.0
    return -1.0 if v < 0.0 else 0.0
