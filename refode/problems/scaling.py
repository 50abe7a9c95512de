"""Shift and scale: data in their own units outside a problem, of mean 0 and deviation 1 inside.

A problem applies a ``Scaling`` where data come in and undoes it where predictions go out; sweeps
and kernels know nothing of it. (D124) and (D125) say what becomes of values, densities and
gradients.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refode import _validate
from refode._fixed import Fixed
from refode._quiet import quietly
from refode._weights import weighing
from refode.ode.placement import Resident

__all__ = ["Scaling"]

Array = np.ndarray
_SHOWN = 6  # as many entries are shown by repr


class Scaling(Fixed):
    """z = (x - shift) / scale, column by column.

    Parameters
    ----------
    shift : array_like (k,)
        What becomes 0.
    scale : array_like (k,)
        What becomes a distance of 1; positive.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.

    Notes
    -----
    Both are read-only copies. ``Scaling.of`` takes them from data.
    """

    def __init__(self, shift: ArrayLike, scale: ArrayLike) -> None:
        self.shift = np.array(_validate.real_array("shift", shift, ("k",)))
        self.scale = np.array(_validate.real_vector("scale", scale, len(self.shift)))
        if not (self.scale > 0.0).all():
            raise ValueError(f"scale: got {self.scale.min()}, wanted numbers > 0")
        self.shift.flags.writeable = self.scale.flags.writeable = False

    @classmethod
    def of(cls, name: str, x: Array, sample_weight: Array | None = None) -> Scaling:
        """By the means and deviations (those of the data, divisor N) of the columns of x (N, k).

        With weights of samples they are weighed. A constant column is shifted alone: its scale is
        1. Columns are first divided by a power of two, so that no square overflows or vanishes.
        """
        x = _validate.real_array(name, x, ("N", "k"))
        by, keep = weighing(sample_weight, len(x))
        x = x if keep is None else x[keep]
        power = np.frexp(np.abs(x).max(axis=0))[1]
        with quietly():
            u = np.ldexp(x, -power)
            mean = by.mean(u)
            mean += by.mean(u - mean)  # by which that of equal numbers is that number
            deviation = np.sqrt(by.mean((u - mean) ** 2))
            shift, scale = np.ldexp(mean, power), np.ldexp(deviation, power)
        return cls(shift, np.where(scale == 0.0, 1.0, scale))

    @property
    def log_scale(self) -> float:
        """Sum of log scale: log|det| of ``undo``."""
        return math.fsum(np.log(self.scale).tolist())

    def apply(self, name: str, x: Array) -> Array:
        """(x - shift) / scale of x (..., k); ValueError where that overflows."""
        with quietly():
            z = (x - self.shift) / self.scale
        if not (math.isfinite(z.min()) and math.isfinite(z.max())):
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(z))[0])
            raise ValueError(
                f"{name}: got {x[index]} at index {index}, which is too many of the scale "
                f"{self.scale[index[-1]]} away from {self.shift[index[-1]]} for float64, "
                "wanted data like those that the problem was standardised by"
            )
        return z

    def undo(self, z: Array) -> Array:
        """shift + scale z of z (..., k)."""
        with quietly():
            return self.shift + self.scale * z

    @property
    def digest(self) -> str:
        """Equal for the same bits alone."""
        both = self.shift.tobytes() + self.scale.tobytes()
        return hashlib.blake2b(both, digest_size=16).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scaling) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Scaling(shift={_shown(self.shift)}, scale={_shown(self.scale)})"


def checked(name: str, scaling: Any, columns: int) -> Scaling | None:
    """A scaling of so many columns, or None."""
    if scaling is None:
        return None
    if len(_validate.instance(name, scaling, Scaling).shift) != columns:
        raise ValueError(f"{name}: got one of {len(scaling.shift)} columns, wanted {columns}")
    return scaling


def standardised(name: str, x: Any, scaling: Scaling | None) -> Any:
    """Checked data as a problem's sweeps take them; those on a device are so already.

    Raises
    ------
    ValueError
        Data on a device that this problem's ``to_device`` has not sent.
    """
    if not isinstance(x, Resident):
        return x if scaling is None else scaling.apply(name, x)
    if x.scaling != scaling:
        raise ValueError(
            f"{name}: got an array on a device with {_of(x.scaling)}, wanted one with "
            f"{_of(scaling)}: what this problem's to_device makes of {name}"
        )
    return x


def with_units(z: Array, scaling: Scaling | None) -> Array:
    """Results of sweeps in the data's units."""
    return z if scaling is None else scaling.undo(z)


def described(scalings: dict[str, Scaling]) -> str:
    """For the end of a problem's repr."""
    return "".join(f", {name}={scaling!r}" for name, scaling in scalings.items())


def _shown(numbers: Array) -> str:
    listed = numbers.tolist()
    if len(listed) <= _SHOWN:
        return repr(listed)
    return f"[{', '.join(map(repr, listed[: _SHOWN - 1]))}, ..., {listed[-1]!r}]"


def _of(scaling: Any) -> str:
    return "no scaling" if scaling is None else f"the scaling {scaling!r}"
