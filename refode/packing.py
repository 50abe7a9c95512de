"""Named arrays in one flat vector, and back, by views.

theta is one flat vector, so that any optimiser takes it as it is; the formulas want its
matrices by name. A `Layout` says where each lies: name by name in a fixed order, each array
contiguous and in C order. `Layout.unpack` gives views, so nothing is copied, and kernels
always meet the one array type that they were compiled for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from refode import _validate
from refode._fixed import Fixed

__all__ = ["Layout"]

Scalar = TypeVar("Scalar", np.float64, np.complex128)


class Layout(Fixed):
    """Where each named array lies in a flat vector.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The arrays' shapes, in the order in which they lie. ``()`` is a number.

    Attributes
    ----------
    names : tuple of str
    shapes : mapping of str to tuple of int
    sizes : mapping of str to int
        The number of entries of each array.
    slices : mapping of str to slice
        The part of the flat vector that each array fills.
    size : int
        The length of the flat vector.

    Raises
    ------
    TypeError, ValueError
        Names that are no str, shapes that are no tuples of ints >= 0.

    Examples
    --------
    >>> layout = Layout({"W": (2, 3), "b": (2,)})
    >>> layout.size, layout.slices["b"]
    (8, slice(6, 8, None))
    >>> theta = np.zeros(8)
    >>> layout.unpack(theta)["b"][1] = 5.0
    >>> theta[7]
    np.float64(5.0)
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        _validate.instance("shapes", shapes, Mapping)
        checked: dict[str, tuple[int, ...]] = {}
        sizes: dict[str, int] = {}
        slices: dict[str, slice] = {}
        end = 0
        for name, shape in shapes.items():
            _validate.instance("shapes", name, str)
            _validate.instance(f"shapes[{name!r}]", shape, tuple)
            lengths = tuple(_validate.nonnegative_int(f"shapes[{name!r}]", n) for n in shape)
            start, end = end, end + math.prod(lengths)
            checked[name] = lengths
            sizes[name] = end - start
            slices[name] = slice(start, end)
        self.shapes: Mapping[str, tuple[int, ...]] = MappingProxyType(checked)
        self.sizes: Mapping[str, int] = MappingProxyType(sizes)
        self.slices: Mapping[str, slice] = MappingProxyType(slices)
        self.names: tuple[str, ...] = tuple(checked)
        self.size: int = end
        self._places = tuple((n, self.slices[n], self.shapes[n]) for n in self.names)

    def unpack(self, theta: NDArray[Scalar]) -> dict[str, NDArray[Scalar]]:
        """Return `theta`'s arrays by name, as views: writing to one writes to `theta`.

        Parameters
        ----------
        theta : ndarray of float64 or complex128, (size,)
            Contiguous.

        Returns
        -------
        dict of str to ndarray
            C-contiguous views, in the layout's order.

        Raises
        ------
        TypeError
            `theta` is no such array (a copy would have to be made, and the views be of it).
        ValueError
            `theta` has another shape, or is strided.
        """
        if not isinstance(theta, np.ndarray) or isinstance(theta, np.ma.MaskedArray):
            raise TypeError(
                f"theta: got {_validate.shown(theta)}, wanted an array of shape ({self.size},)"
            )
        if theta.shape != (self.size,):
            raise ValueError(f"theta: got an array of shape {theta.shape}, wanted ({self.size},)")
        if theta.dtype.char not in "dD" or not theta.dtype.isnative:
            raise TypeError(
                f"theta: got an array of dtype {theta.dtype}, wanted float64 or complex128"
            )
        if not theta.flags.c_contiguous:
            raise ValueError(
                f"theta: got an array of strides {theta.strides}, wanted a contiguous one"
            )
        return {name: theta[place].reshape(shape) for name, place, shape in self._places}

    def pack(self, arrays: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return the flat vector of `arrays`, the inverse of `unpack`.

        Parameters
        ----------
        arrays : mapping of str to array_like
            One finite real array for each name, of its shape, in any order.

        Returns
        -------
        ndarray of float64, (size,)
            A new vector.

        Raises
        ------
        TypeError
            No mapping, or an array of a wrong kind; it is named.
        ValueError
            Missing or surplus names, a wrong shape, NaN or infinity; it is named.
        """
        return self._packed("arrays", arrays)

    def _packed(self, argument: str, arrays: Mapping[str, Any]) -> NDArray[np.float64]:
        """``pack``, for a caller whose argument has another name."""
        _validate.instance(argument, arrays, Mapping)
        missing = [name for name in self.names if name not in arrays]
        surplus = [name for name in arrays if name not in self.shapes]
        if missing or surplus:
            parts = [f"without {_listed(missing)}"] if missing else []
            parts += [f"with the unknown {_listed(surplus)}"] if surplus else []
            raise ValueError(
                f"{argument}: got a mapping {' and '.join(parts)}, wanted the names "
                f"{_listed(self.names) or '(none)'}"
            )
        theta = np.empty(self.size)
        for name, place, shape in self._places:
            array = _validate.real_array(
                f"{argument}[{name!r}]", arrays[name], shape, allow_empty=True
            )
            theta[place] = array.ravel()
        return theta

    def stacked(self, J: int) -> Layout:
        """Return the layout of J such sets, name by name: each shape ``s`` becomes ``(J, *s)``.

        The J basis coefficients of one name thus lie together.
        """
        count = _validate.positive_int("J", J)
        return Layout({name: (count, *shape) for name, shape in self.shapes.items()})

    def joined(self, other: Layout) -> Layout:
        """Return this layout with `other`'s names after its own; a shared name is an error."""
        _validate.instance("other", other, Layout)
        shared = [name for name in other.names if name in self.shapes]
        if shared:
            raise ValueError(
                f"other: got a layout with {_listed(shared)}, wanted names other than "
                f"{_listed(self.names)}"
            )
        return Layout({**self.shapes, **other.shapes})

    def __reduce__(self) -> Any:
        return Layout, (dict(self.shapes),)  # read-only mappings are not to be pickled

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layout):
            return NotImplemented
        return self._places == other._places  # the order counts, unlike between two dicts

    def __hash__(self) -> int:
        return hash(tuple(self.shapes.items()))

    def __repr__(self) -> str:
        return f"Layout({dict(self.shapes)!r})"


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names))
