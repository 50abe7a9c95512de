"""What the device is and has: numba.cuda when it is asked for, memory, arrays."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from refode._shown import one_line
from refode.ode.placement import TooLarge

SIMULATED_PROCESSORS = 1
#: Bytes of shared memory that a block gets without asking, and what the simulator has.
ALWAYS_SHARED, SIMULATED_SHARED = 48 * 1024, 64 * 1024
_admitted: set[tuple[int, int]] = set()


@functools.cache  # of what is there, not of what is missing: a launch asks every time
def require() -> Any:
    """Return numba.cuda, with a device or the simulator behind it.

    Raises
    ------
    RuntimeError
        Saying what is missing: the package, what it imports, the driver or the device.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        raise RuntimeError(
            "cuda: the package numba-cuda is missing, wanted it installed: pip install refode[cuda]"
        )
    try:
        from numba import cuda
    except Exception as error:  # of a library that it looks for and does not find, say
        reason = one_line(error)
        raise RuntimeError(
            f"cuda: numba-cuda cannot be imported ({type(error).__name__}: {reason}), "
            "wanted an environment where `from numba import cuda` works: CUDA's runtime stands "
            "beside it after pip install 'numba-cuda[cu13]', or [cu12] for older drivers"
        ) from error
    if simulated():
        return cuda
    hint = "wanted a GPU, or the simulator by NUMBA_ENABLE_CUDASIM=1"
    try:
        devices = len(cuda.gpus)
    except Exception as error:  # the driver's own classes of errors differ between versions
        reason = one_line(error)
        raise RuntimeError(f"cuda: no NVIDIA driver that works ({reason}), {hint}") from error
    if devices == 0:
        raise RuntimeError(f"cuda: the driver is there, but no NVIDIA device, {hint}")
    return cuda


def simulated() -> bool:
    """Whether numba.cuda is its simulator, which is decided when Numba is imported."""
    from numba import config

    return bool(config.ENABLE_CUDASIM)


@functools.cache
def processors() -> int:
    """Multiprocessors of the device."""
    if simulated():
        return SIMULATED_PROCESSORS
    return int(require().get_current_device().MULTIPROCESSOR_COUNT)


@functools.cache
def name() -> str:
    """What the device calls itself."""
    if simulated():
        return "simulator"
    found = require().get_current_device().name
    return found.decode() if isinstance(found, bytes) else str(found)


@functools.cache
def shared_memory() -> int:
    """Bytes of shared memory that a block may have if it asks for them."""
    if simulated():
        return SIMULATED_SHARED
    return int(require().get_current_device().MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)


def admit(kernel: Any, arguments: tuple[Any, ...], size: int) -> None:
    """Let a kernel have ``size`` bytes of shared memory, more than it gets without asking.

    Raises
    ------
    RuntimeError
        The driver does not.
    """
    if simulated() or size <= ALWAYS_SHARED:
        return
    from cuda.bindings import driver

    compiled = kernel.compile(tuple(kernel.typeof_pyval(a) for a in arguments))
    key = id(compiled), size
    if key in _admitted:
        return
    function = compiled._codelibrary.get_cufunc().kernel
    asked = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    (error,) = driver.cuKernelSetAttribute(asked, size, function.handle, current_ordinal())
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(
            f"cuda: the driver does not give a block {size} bytes of shared memory "
            f"({error.name}), wanted them, or refode.cuda.settings(shared={ALWAYS_SHARED})"
        )
    _admitted.add(key)


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
        Another number type or shape (None is free), no entries, not C-contiguous, or on another
        device than the current one.
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
    if simulated():
        return value
    lies_on, current = ordinal(value), current_ordinal()
    if lies_on != current:
        raise ValueError(f"{name}: got an array on device {lies_on}, wanted device {current}")
    return require().as_cuda_array(value)


def current_ordinal() -> int:
    """The number of the device in use."""
    return int(require().get_current_device().id)


def ordinal(value: Any) -> int:
    """The number of the device that an array lies on, by its address."""
    from cuda.bindings import driver

    asked = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    error, found = driver.cuPointerGetAttribute(asked, value.__cuda_array_interface__["data"][0])
    if error != driver.CUresult.CUDA_SUCCESS:
        raise ValueError(f"got an address that the driver does not know ({error.name})")
    return int(found)


@contextlib.contextmanager
def allocating(needed: int) -> Iterator[None]:
    """What the driver says when memory runs out after all, as a TooLarge.

    Others may take memory between the comparison and the allocation, and free memory may lie in
    pieces. What was allocated within the block is given back as its names go. Few samples make
    few blocks: that a device is not filled by them is no news, and not said.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Grid size .* under-utilization")
            yield
    except Exception as error:  # the driver's own class differs between versions
        if "OUT_OF_MEMORY" not in str(error):
            raise
        raise TooLarge(
            f"memory: the device could not allocate {needed} bytes though they were free, wanted "
            "room for them: fewer samples a slice, or other programs off the device"
        ) from error


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
