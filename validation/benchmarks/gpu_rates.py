"""What a device does at best, for gpu.py: products in float64 and copies in its memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from refode.cuda import device, gemm
from validation.benchmarks import gpu_peers, peers


def measured(n: int) -> dict[str, Any]:
    """Best rates: of n x n float64 products by every code there is, and of a copy."""
    products = {"refode staged": _refode_product(n)}
    for name, make in (("jax", _jax_product), ("torch", _torch_product), ("cupy", _cupy_product)):
        try:
            call = make(n)
            if call is not None:
                products[name] = 2.0 * n**3 / _best(call)
        except Exception as error:  # a package without this device is no reason to stop
            print(f"float64 product, {name}: {type(error).__name__}: {str(error)[:100]}")
            continue
        if name not in products:
            print(f"float64 product, {name}: not installed, or sees no GPU")
    return {
        "n": n,
        "products": products,
        "flops_per_second": max(products.values()),
        "bytes_per_second": _copy_rate(),
    }


def _best(call: Callable[[], Any], repeats: int = 5) -> float:
    """Seconds of a call that waits for the device."""
    call()
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def _refode_product(n: int) -> float:
    product = gemm.sums()[0]
    rng = np.random.default_rng(0)
    A = cuda.to_device(rng.standard_normal(n * n))
    X, Y = cuda.to_device(rng.standard_normal((n, n))), cuda.device_array((n, n))

    def call() -> None:
        product(A, 0, 1, X, Y, False)
        cuda.synchronize()

    return 2.0 * n**3 / _best(call)


def _jax_product(n: int) -> Callable[[], Any] | None:
    if gpu_peers.gpu_of_jax():
        return None
    import jax

    A, B = (jax.random.normal(jax.random.key(i), (n, n), dtype="float64") for i in (0, 1))
    product = jax.jit(lambda a, b: a @ b)
    return lambda: jax.block_until_ready(product(A, B))


def _torch_product(n: int) -> Callable[[], Any] | None:
    if gpu_peers.gpu_of_torch():
        return None
    import torch

    A, B = (torch.randn(n, n, dtype=torch.float64, device="cuda") for _ in range(2))
    return lambda: (A @ B, torch.cuda.synchronize())


def _cupy_product(n: int) -> Callable[[], Any] | None:
    if not peers.have("cupy"):
        return None
    import cupy

    A, B = (cupy.random.standard_normal((n, n)) for _ in range(2))
    return lambda: (A @ B, cupy.cuda.Device().synchronize())


@cuda.jit
def _copy(y, x):
    for i in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
        y[i] = x[i]


def _copy_rate() -> float:
    """Bytes a second of a kernel that copies: each read once and written once."""
    n = int(min(2**27, device.free_memory() // 64))
    x, y = cuda.to_device(np.ones(n)), cuda.device_array(n)

    def call() -> None:
        for _ in range(10):
            _copy[16 * device.processors(), 256](y, x)
        cuda.synchronize()

    return 10 * 2 * 8.0 * n / _best(call)
