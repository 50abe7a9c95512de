"""What the device is and has: numba.cuda when it is asked for, memory, arrays."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from refode import _validate
from refode.solvers.placement import TooLarge

DTYPES = ("float64", "float32")
SIMULATED_PROCESSORS = 1


def require() -> Any:
    """Return numba.cuda, with a device or the simulator behind it.

    Raises
    ------
    RuntimeError
        Saying what is missing: the package, the driver or the device.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        raise RuntimeError(
            "cuda: the package numba-cuda is missing, wanted it installed: pip install refode[cuda]"
        )
    from numba import cuda

    if simulated():
        return cuda
    hint = "wanted a GPU, or the simulator by NUMBA_ENABLE_CUDASIM=1"
    try:
        devices = len(cuda.gpus)
    except Exception as error:  # the driver's own classes of errors differ between versions
        reason = " ".join(str(error).split())
        raise RuntimeError(f"cuda: no NVIDIA driver that works ({reason}), {hint}") from error
    if devices == 0:
        raise RuntimeError(f"cuda: the driver is there, but no NVIDIA device, {hint}")
    return cuda


def simulated() -> bool:
    """Whether numba.cuda is its simulator, which is decided when Numba is imported."""
    from numba import config

    return bool(config.ENABLE_CUDASIM)


def number_type(dtype: Any) -> np.dtype:
    """``dtype`` as float64 or float32.

    Raises
    ------
    TypeError, ValueError
        No number type at all, or another one.
    """
    try:
        name = np.dtype(dtype).name
    except TypeError:
        raise TypeError(f"dtype: got {dtype!r}, wanted 'float64' or 'float32'") from None
    return np.dtype(_validate.choice("dtype", name, DTYPES))


def processors() -> int:
    """Multiprocessors of the device."""
    if simulated():
        return SIMULATED_PROCESSORS
    return int(require().get_current_device().MULTIPROCESSOR_COUNT)


def free_memory() -> float:
    """Bytes free on the device; infinite in the simulator."""
    return float(require().current_context().get_memory_info().free)


def check_memory(needed: int) -> None:
    """TooLarge, a ValueError, if fewer than ``needed`` bytes are free."""
    free = free_memory()
    if needed > free:
        raise TooLarge(
            f"memory: the device has {free:.0f} bytes free, wanted {needed}: fewer samples, "
            "a smaller tile, fewer blocks or steps"
        )


def on_device(value: Any) -> bool:
    """Whether an object says that it lies on a device."""
    return hasattr(value, "__cuda_array_interface__") or hasattr(value, "__cuda_ndarray__")


def taken(name: str, value: Any, dtype: np.dtype, shape: tuple[Any, ...]) -> Any:
    """An array that is on the device already, as it is.

    Raises
    ------
    TypeError, ValueError
        Another number type or shape (None is free), no entries, or not C-contiguous.
    """
    got, kind, dense = _described(value)
    if kind != dtype:
        raise TypeError(f"{name}: got a device array of dtype {kind}, wanted {dtype}")
    if len(got) != len(shape) or any(w not in (None, g) for g, w in zip(got, shape, strict=True)):
        wanted = ", ".join("N" if w is None else str(w) for w in shape)
        raise ValueError(f"{name}: got a device array of shape {got}, wanted ({wanted})")
    if 0 in got:
        raise ValueError(f"{name}: got an empty device array of shape {got}, wanted entries")
    if not dense:
        raise ValueError(f"{name}: got a device array with gaps or another order, wanted C order")
    return value if simulated() else require().as_cuda_array(value)


def _described(value: Any) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, number type, and whether the entries lie in C order without gaps."""
    if not hasattr(value, "__cuda_array_interface__"):  # the simulator's own arrays
        return tuple(value.shape), value.dtype, True
    about = value.__cuda_array_interface__
    shape, kind = tuple(about["shape"]), np.dtype(about["typestr"])
    dense, stride = True, kind.itemsize
    for n, given in zip(shape[::-1], (about.get("strides") or ())[::-1], strict=False):
        dense, stride = dense and given == stride, stride * n
    return shape, kind, dense
