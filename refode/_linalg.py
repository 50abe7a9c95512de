"""Products and reductions over blocks of samples.

Blocks are feature-major, ``(rows, S)``. Products go to BLAS through the symbol
that Numba itself links (SciPy's), with the accumulating form (beta = 1) that
``np.dot`` does not offer: the parameter gradients add into their buffers without
a temporary. With the JIT off the same names are plain NumPy.

Twin on the device: refode/cuda/linalg.py.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refode._jit import JIT, kernel

_CHAR = ir.IntType(8)
_INTP = cgutils.intp_t
_PTR = cgutils.voidptr_t


def load_blas() -> None:
    """Import the BLAS that kernels call.

    It is one module of ``scipy.linalg``, whose others take longer to import than all else
    that a first gradient waits for. So that module is loaded by itself, Numba is made to
    remember where its functions are, and nobody else gets to see a package half imported.
    Where anything is not as expected, the import is the usual one.
    """
    name = "scipy.linalg.cython_blas"
    if not JIT or name in sys.modules:
        return
    try:
        import scipy

        folders = [os.path.join(path, "linalg") for path in scipy.__path__]
        spec = importlib.machinery.PathFinder.find_spec(name, folders)
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        sys.modules[name] = module
        try:
            _remember_gemm()
        finally:
            del sys.modules[name]
    except (ImportError, AttributeError, KeyError):
        importlib.import_module(name)


def _remember_gemm() -> None:
    """Multiply 1 x 1 matrices by the function of Numba's that kernels call for products."""
    from numba import _helperlib

    pointer, size, char = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_char
    sizes, tail = [size] * 3, [pointer, pointer, size, pointer, size, pointer, pointer, size]
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int, *[char] * 3, *sizes, *tail)
    gemm = prototype(_helperlib.c_helpers["xxgemm"])
    for kind, dtype in ((b"d", np.float64), (b"z", np.complex128)):
        x = np.ones(1, dtype).ctypes
        gemm(kind, b"n", b"n", 1, 1, 1, x.data, x.data, 1, x.data, 1, x.data, x.data, 1)


def _gemm_code(trans_a: bool, trans_b: bool, beta: float) -> Any:
    """Code generator for row-major C = op(A) op(B) + beta C."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        from numba.np.linalg import get_blas_kind, make_constant_slot  # slow: when compiling only

        a, b, c = (
            context.make_array(ty)(context, builder, value=v)
            for ty, v in zip(signature.args, args, strict=True)
        )
        dtype = signature.args[2].dtype
        rows, columns = cgutils.unpack_tuple(builder, c.shape)
        a_shape = cgutils.unpack_tuple(builder, a.shape)
        b_shape = cgutils.unpack_tuple(builder, b.shape)
        inner = a_shape[0] if trans_a else a_shape[1]

        def char(letter: str) -> ir.Constant:
            return ir.Constant(_CHAR, ord(letter))

        def data(array: Any) -> Any:
            return builder.bitcast(array.data, _PTR)

        def slot(number: float) -> Any:
            return builder.bitcast(make_constant_slot(context, builder, dtype, number), _PTR)

        chars, sizes = [_CHAR] * 3, [_INTP] * 3
        tail = [_PTR, _PTR, _INTP, _PTR, _INTP, _PTR, _PTR, _INTP]
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), chars + sizes + tail), "numba_xxgemm"
        )
        # BLAS is column-major: it computes C^T = op(B)^T op(A)^T
        builder.call(
            function,
            [char(get_blas_kind(dtype)), char("t" if trans_b else "n"),
             char("t" if trans_a else "n"), columns, rows, inner,
             slot(1.0), data(b), b_shape[1], data(a), a_shape[1],
             slot(beta), data(c), columns],
        )  # fmt: skip
        return context.get_dummy_value()

    return codegen


def _product(trans_a: bool, trans_b: bool, beta: float, name: str) -> Any:
    def in_numpy(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        product = np.dot(a.T if trans_a else a, b.T if trans_b else b)
        if beta:
            c += product
        else:
            c[...] = product

    if not JIT:
        return in_numpy

    def typing(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
        for ty in (a, b, c):
            if not (isinstance(ty, types.Array) and ty.ndim == 2 and ty.layout == "C"):
                raise TypeError(f"{name} wants C-contiguous matrices, got {ty}")
        if not a.dtype == b.dtype == c.dtype:
            raise TypeError(f"{name}: number types differ: {a}, {b}, {c}")
        return types.none(a, b, c), _gemm_code(trans_a, trans_b, beta)

    typing.__name__ = name
    return intrinsic(typing)


# C = A B;  C += A B;  C = A^T B;  C += A^T B;  C += A B^T
multiply = _product(False, False, 0.0, "multiply")
add_product = _product(False, False, 1.0, "add_product")
multiply_transposed = _product(True, False, 0.0, "multiply_transposed")
add_transposed_product = _product(True, False, 1.0, "add_transposed_product")
add_outer = _product(False, True, 1.0, "add_outer")


@kernel(cache=False)
def add_column(u, b):
    """u[j, :] += b[j]."""
    for j in range(u.shape[0]):
        bj = b[j]
        for s in range(u.shape[1]):
            u[j, s] += bj


@kernel(cache=False)
def axpy(y, a, x):
    """y += a x, over a whole block."""
    for j in range(y.shape[0]):
        for s in range(y.shape[1]):
            y[j, s] += a * x[j, s]


@kernel(cache=False)
def copy(y, x):
    """y = x, over a whole block."""
    for j in range(y.shape[0]):
        for s in range(y.shape[1]):
            y[j, s] = x[j, s]


@kernel(cache=False)
def fill(y, value):
    """y = value, over a whole block."""
    for j in range(y.shape[0]):
        for s in range(y.shape[1]):
            y[j, s] = value


@kernel(cache=False, reassociate=True)
def row_sum(x):
    """Sum of a vector over samples."""
    total = x[0] * 0
    for s in range(x.shape[0]):
        total += x[s]
    return total


@kernel(cache=False, reassociate=True)
def row_product(x, y):
    """Sum of x y over samples (no conjugate)."""
    total = x[0] * 0
    for s in range(x.shape[0]):
        total += x[s] * y[s]
    return total


@kernel(cache=False)
def sign(x):
    """The sign of the real part, 0 at 0: what |.| is multiplied by near the real axis."""
    return (1.0 if x.real > 0.0 else 0.0) - (1.0 if x.real < 0.0 else 0.0)


@kernel(cache=False)
def add_row_sums(b_bar, u_bar):
    """b_bar[j] += sum_s u_bar[j, s]."""
    for j in range(u_bar.shape[0]):
        b_bar[j] += row_sum(u_bar[j])


@kernel(cache=False, reassociate=True)
def inner(x, y):
    """Sum of x*y over a block (no conjugate)."""
    total = x[0, 0] * 0
    for j in range(x.shape[0]):
        for s in range(x.shape[1]):
            total += x[j, s] * y[j, s]
    return total


# --- views -----------------------------------------------------------------------------------
# Slices and reshapes in Numba carry checks for negative ends and strides that kernels never
# meet; a kernel makes dozens of views, and their code is much of what has to be compiled.
# These are bare: the range must lie within the array, which the caller keeps alive.
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
        view, data=builder.gep(array.data, [start]), shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides), itemsize=itemsize, meminfo=None,
    )  # fmt: skip
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
