"""Products of blocks of samples, by the BLAS that Numba itself links (SciPy's).

Blocks are feature-major, ``(rows, S)``. The accumulating form (beta = 1), which ``np.dot`` does
not offer, lets parameter gradients add into their buffers without a temporary. With the JIT off
the same names are plain NumPy. Twin: refode/cuda/linalg.py.
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

from refode import _blas
from refode.machine.compile import JIT

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


if JIT:
    _blas.loader[0] = load_blas


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
            [
                char(get_blas_kind(dtype)),
                char("t" if trans_b else "n"),
                char("t" if trans_a else "n"),
                columns,
                rows,
                inner,
                slot(1.0),
                data(b),
                b_shape[1],
                data(a),
                a_shape[1],
                slot(beta),
                data(c),
                columns,
            ],
        )
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
