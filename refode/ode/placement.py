"""Where sweeps run and their arrays lie: on the CPU, or on a GPU where one is asked for.

The GPU path is a package of its own (refode/cuda), imported when the first sweep asks for it;
it registers itself here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refode import _validate

Array = np.ndarray
DEVICES, DTYPES = ("cpu", "cuda"), ("float64", "float32")


class TooLarge(ValueError):
    """What was asked for does not fit into the device's memory."""


class Placement(NamedTuple):
    """A device, and the number type of what lies there."""

    device: str = "cpu"
    dtype: str = "float64"

    @classmethod
    def of(cls, device: Any, dtype: Any) -> Placement:
        """After checks; RuntimeError where the device is missing."""
        device = _validate.choice("device", device, DEVICES)
        try:
            name = np.dtype(dtype).name
        except Exception:  # NumPy asks what it is given, and that may raise anything
            raise TypeError(
                f"dtype: got {_validate.shown(dtype)}, wanted 'float64' or 'float32'"
            ) from None
        placement = cls(device, _validate.choice("dtype", name, DTYPES))
        if device == "cpu" and placement.dtype != "float64":
            raise ValueError(f"dtype: got {name!r} with device='cpu', wanted 'float64'")
        if device != "cpu":
            gpu_module("device").require()
        return placement


_paths: list[Callable[[str], Any]] = []  # the GPU path, once it has been imported


def register(modules: Callable[[str], Any]) -> None:
    """Let a GPU path say how its modules are found; it does so where it is imported."""
    _paths[:] = [modules]


def gpu_module(module: str) -> Any:
    """A module of the GPU path."""
    if not _paths:
        importlib.import_module("refode.cuda")
    return _paths[0](module)


CPU = Placement()


class Resident:
    """An array that is on the device already, C order, samples first.

    Parameters
    ----------
    there : array on the device
    host : ndarray, optional
        The same numbers; fetched when somebody asks, if not given.
    scaling : object, optional
        By what a problem had standardised the numbers before it sent them.
    """

    where = "on a device, wanted device='cuda'"

    def __init__(self, there: Any, host: Array | None = None, scaling: Any = None) -> None:
        self.there, self._host, self.scaling = there, host, scaling

    @property
    def host(self) -> Array:
        """The array in the host's memory, float64 or integers."""
        if self._host is None:
            fetched = self.there.copy_to_host()
            self._host = fetched.astype(float) if fetched.dtype.kind == "f" else fetched
        return self._host

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.there.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, samples: slice) -> Resident:
        return Resident(self.there[samples], scaling=self.scaling)

    def __repr__(self) -> str:
        return f"Resident(shape={self.shape}, dtype={self.there.dtype})"


def hosted(value: Any) -> Any:
    """What was on the device in the host's memory, within descriptions too."""
    if isinstance(value, Resident):
        return value.host
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(hosted(part) for part in value))
    return value


def samples(placement: Placement, name: str, x: Any, columns: int) -> Any:
    """Samples (N, columns), checked: an ndarray, or a ``Resident`` if they are on the device."""
    there = resident(placement, name, x, (None, columns), placement.dtype)
    return _validate.samples(name, x, columns) if there is None else there


def resident(placement: Placement, name: str, x: Any, shape: tuple[Any, ...], dtype: Any) -> Any:
    """``x`` if it is on the device, None if it is an array of the host's.

    Raises
    ------
    TypeError, ValueError
        An array on a device with device='cpu'; another number type or shape, or not C order.
    """
    foreign = hasattr(x, "__cuda_array_interface__") or hasattr(x, "__cuda_ndarray__")
    if not foreign and not isinstance(x, Resident):
        return None
    if placement.device == "cpu":
        raise TypeError(f"{name}: got an array {getattr(x, 'where', Resident.where)} for it")
    if isinstance(x, Resident):
        gpu_module("device").taken(name, x.there, np.dtype(dtype), shape)
        return x
    return Resident(gpu_module("device").taken(name, x, np.dtype(dtype), shape))


def moved(ode: Any, device: str | None, dtype: Any) -> Any:
    """A problem's ode on the device asked for, itself where none is."""
    if device is None:
        return ode
    place = Placement.of(device, dtype)
    return ode if place == ode.placement else ode.on(*place)


def send(placement: Placement, array: Array, scaling: Any = None) -> Resident:
    """A copy on the device; real numbers in the placement's number type."""
    if placement.device == "cpu":
        raise ValueError("device: got 'cpu', wanted 'cuda' to send samples to")
    kind = placement.dtype if array.dtype.kind == "f" else np.int64
    device = gpu_module("device")
    sent = np.ascontiguousarray(array, dtype=kind)
    device.check_memory(sent.nbytes)
    return Resident(device.require().to_device(sent), array, scaling)
