"""Two ways to run the same formulas on a device: a tile a block, or a launch an operation.

The fields, schemes and costs of this package are written once, against an ``Ops``:

``tile(S, threads)``  a block of threads takes a tile of S samples through the whole trajectory;
                      every operation is a function on the device, shared by the block's threads.
``staged``            the trajectory is walked by Python, and every operation is a launch over all
                      samples of a slice: for wide nets, whose products fill the device alone.

Arrays belong to samples feature-major, (rows, samples); weights are flat vectors. Whoever writes
a formula uses three decorators. ``body`` marks functions that call others. The other two mark
what is done to one place, and make an operation of it that visits all places:

    @ops.entries
    def multiply(j, s, Y, X):         # at every row j of Y and every sample s
        Y[j, s] *= X[j, s]

    @ops.each
    def trace(s, tr, a): ...          # at every sample s; tr is a row, or any array of samples

    multiply(Y, X)

A place is written by one thread in fixed order, and operations end with a barrier: the same bits
from run to run and for every number of threads. What the first argument is decides the places.

A tile's rows may be longer than its S samples (sweeps.py says why), so that nobody but an
operation asks an array for its samples. Places are unsigned numbers there, as the compiler then
need not ask whether they count from the end, and S and threads are known to it: see docs/cuda.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import config, cuda

from refode.cuda import device

THREADS = 256
#: Blocks of a launch a multiprocessor.
OVERSUBSCRIBED = 8


class Ops(NamedTuple):
    """What formulas are written against; the products are in linalg.py."""

    name: str
    S: int  # samples of a tile, 0 for launches
    threads: int
    wide: bool  # whether a thread takes many places of a product
    body: Callable[[Callable], Any]
    entries: Callable[[Callable], Any]
    each: Callable[[Callable], Any]


def counted(number: int) -> Any:
    """A number known to the compiler, as a place in an array; the simulator has Python's."""
    return number if config.ENABLE_CUDASIM else np.uint64(number)


if config.ENABLE_CUDASIM:

    @cuda.jit(device=True)
    def place(number):
        """A number that is not negative, as a place in an array."""
        return number

    @cuda.jit(device=True)
    def signed(number):
        """A place as a number to count with, down below zero too."""
        return number

else:

    @cuda.jit(device=True)
    def place(number):
        """A number that is not negative, as a place in an array."""
        return np.uint64(number)

    @cuda.jit(device=True)
    def signed(number):
        """A place as a number to count with, down below zero too."""
        return np.int64(number)


def launched(registers: int) -> Callable[[Callable], Any]:
    """A kernel whose threads have so many registers at most; the simulator has none."""
    return cuda.jit if config.ENABLE_CUDASIM else cuda.jit(max_registers=registers)


def _device_function(function: Callable) -> Any:
    return cuda.jit(device=True)(function)


def split(S: int, threads: int) -> tuple[int, int]:
    """Of a block's threads: how many lie side by side along samples, and how many along rows."""
    lanes = min(S, threads)
    return lanes, threads // lanes


@functools.cache
def tile(S: int, threads: int, wide: bool = False) -> Ops:
    """A block of ``threads`` threads for S samples; threads beyond a multiple of S have no work."""
    lanes, abreast = (counted(n) for n in split(S, threads))
    samples, stride, used = counted(S), counted(threads), counted(int(lanes) * int(abreast))

    def entries(function: Callable) -> Any:
        at = cuda.jit(device=True)(function)

        @cuda.jit(device=True)
        def everywhere(U, *others):
            thread = place(cuda.threadIdx.x)
            rows = place(U.shape[0])
            j = thread // lanes
            if thread < used:
                while j < rows:
                    s = thread % lanes
                    while s < samples:
                        at(j, s, U, *others)
                        s += lanes
                    j += abreast
            cuda.syncthreads()

        return everywhere

    def each(function: Callable) -> Any:
        at = cuda.jit(device=True)(function)

        @cuda.jit(device=True)
        def everywhere(v, *others):
            s = place(cuda.threadIdx.x)
            while s < samples:
                at(s, v, *others)
                s += stride
            cuda.syncthreads()

        return everywhere

    return Ops("tile", S, threads, wide, _device_function, entries, each)


def _entries_staged(function: Callable) -> Callable:
    """An operation as a launch: rows of blocks for rows of entries."""
    at = cuda.jit(device=True)(function)

    @cuda.jit
    def everywhere(U, others):
        s0 = place(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        samples, stride = place(U.shape[1]), place(cuda.gridDim.x * cuda.blockDim.x)
        rows, abreast = place(U.shape[0]), place(cuda.gridDim.y)
        j = place(cuda.blockIdx.y)
        while j < rows:
            s = s0
            while s < samples:
                at(j, s, U, *others)
                s += stride
            j += abreast

    @functools.wraps(function)
    def launch(U: Any, *others: Any) -> None:
        along, threads = launch_shape(U.shape[1])
        down = min(U.shape[0], max(1, launch_shape()[0] // along))
        everywhere[(along, down), threads](U, others)

    return launch


def _each_staged(function: Callable) -> Callable:
    at = cuda.jit(device=True)(function)

    @cuda.jit
    def everywhere(v, others):
        s = place(cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
        samples, stride = place(v.shape[v.ndim - 1]), place(cuda.gridDim.x * cuda.blockDim.x)
        while s < samples:
            at(s, v, *others)
            s += stride

    @functools.wraps(function)
    def launch(v: Any, *others: Any) -> None:
        everywhere[launch_shape(v.shape[v.ndim - 1])](v, others)

    return launch


def launch_shape(n: int | None = None) -> tuple[int, int]:
    """Blocks and threads of a launch whose loops stride over the grid; no more than n need."""
    most, threads = OVERSUBSCRIBED * device.processors(), THREADS
    if device.simulated():
        most, threads = 2, 1
    return most if n is None else max(1, min(most, -(-n // threads))), threads


staged = Ops("staged", 0, 0, True, lambda f: f, _entries_staged, _each_staged)


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
