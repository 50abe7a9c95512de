"""Views of arrays within kernels, without Numba's checks.

Slices and reshapes in Numba carry checks for negative ends and strides that kernels never
meet; a kernel makes dozens of views, and their code is much of what has to be compiled.
These are bare: the range must lie within the array, which the caller keeps alive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refode.machine.compile import JIT


def _view(context: Any, builder: Any, ty: Any, value: Any, out: Any, start: Any, shape: Any) -> Any:
    """An array of type ``out`` over the memory from element ``start`` on."""
    from numba.np.arrayobj import populate_array  # slow to import: when compiling only

    array = context.make_array(ty)(context, builder, value=value)
    view = context.make_array(out)(context, builder)
    itemsize = context.get_constant(types.intp, ty.dtype.bitwidth // 8)
    strides: list[Any] = []
    last = itemsize
    for extent in reversed(shape):
        strides.insert(0, last)
        last = builder.mul(last, extent)
    populate_array(
        view,
        data=builder.gep(array.data, [start]),
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=itemsize,
        meminfo=None,
    )
    return view._getvalue()


def _contiguous(name: str, ty: Any, ndim: int) -> None:
    if not (isinstance(ty, types.Array) and ty.ndim == ndim and ty.layout == "C"):
        raise TypeError(f"{name} wants a C-contiguous array of {ndim} axes, got {ty}")


if JIT:

    @intrinsic
    def matrix(typingctx: Any, flat: Any, start: Any, rows: Any, columns: Any) -> Any:
        """View of flat[start : start + rows*columns] as a matrix."""
        _contiguous("matrix", flat, 1)
        out = flat.copy(ndim=2)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value, start, rows, columns = args
            return _view(context, builder, flat, value, out, start, [rows, columns])

        return out(flat, types.intp, types.intp, types.intp), codegen

    @intrinsic
    def stack(typingctx: Any, flat: Any, start: Any, n: Any, rows: Any, columns: Any) -> Any:
        """View of flat[start : start + n*rows*columns] as n matrices."""
        _contiguous("stack", flat, 1)
        out = flat.copy(ndim=3)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value, start, *shape = args
            return _view(context, builder, flat, value, out, start, shape)

        return out(flat, *[types.intp] * 4), codegen

    @intrinsic
    def segment(typingctx: Any, flat: Any, start: Any, n: Any) -> Any:
        """View of flat[start : start + n]."""
        _contiguous("segment", flat, 1)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value, start, n = args
            return _view(context, builder, flat, value, flat, start, [n])

        return flat(flat, types.intp, types.intp), codegen

    @intrinsic
    def band(typingctx: Any, x: Any, start: Any, rows: Any) -> Any:
        """View of the rows x[start : start + rows]."""
        _contiguous("band", x, 2)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value, start, rows = args
            array = context.make_array(x)(context, builder, value=value)
            columns = cgutils.unpack_tuple(builder, array.shape)[1]
            first = builder.mul(start, columns)
            return _view(context, builder, x, value, x, first, [rows, columns])

        return x(x, types.intp, types.intp), codegen

    @intrinsic
    def row(typingctx: Any, x: Any, i: Any) -> Any:
        """View of x[i]."""
        _contiguous("row", x, 2)
        out = x.copy(ndim=1)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value, i = args
            array = context.make_array(x)(context, builder, value=value)
            columns = cgutils.unpack_tuple(builder, array.shape)[1]
            return _view(context, builder, x, value, out, builder.mul(i, columns), [columns])

        return out(x, types.intp), codegen

    @intrinsic
    def joined(typingctx: Any, x: Any, start: Any, rows: Any, columns: Any) -> Any:
        """View of the memory from x[start, 0] on as a matrix (rows, columns)."""
        _contiguous("joined", x, 2)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value, start, rows, columns = args
            array = context.make_array(x)(context, builder, value=value)
            first = builder.mul(start, cgutils.unpack_tuple(builder, array.shape)[1])
            return _view(context, builder, x, value, x, first, [rows, columns])

        return x(x, types.intp, types.intp, types.intp), codegen

else:

    def matrix(flat: np.ndarray, start: int, rows: int, columns: int) -> np.ndarray:
        """View of flat[start : start + rows*columns] as a matrix."""
        return flat[start : start + rows * columns].reshape((rows, columns))

    def stack(flat: np.ndarray, start: int, n: int, rows: int, columns: int) -> np.ndarray:
        """View of flat[start : start + n*rows*columns] as n matrices."""
        return flat[start : start + n * rows * columns].reshape((n, rows, columns))

    def segment(flat: np.ndarray, start: int, n: int) -> np.ndarray:
        """View of flat[start : start + n]."""
        return flat[start : start + n]

    def band(x: np.ndarray, start: int, rows: int) -> np.ndarray:
        """View of the rows x[start : start + rows]."""
        return x[start : start + rows]

    def row(x: np.ndarray, i: int) -> np.ndarray:
        """View of x[i]."""
        return x[i]

    def joined(x: np.ndarray, start: int, rows: int, columns: int) -> np.ndarray:
        """View of the memory from x[start, 0] on as a matrix (rows, columns)."""
        flat = x.reshape(-1)
        first = start * x.shape[1]
        return flat[first : first + rows * columns].reshape((rows, columns))
