"""Rows of a block, and numbers, as tuples whose length the compiler knows.

A loop over samples that does something with every row of a narrow state is fast only if
the rows are unrolled within it, their weights and sums staying in registers. The length of
a tuple is part of its type; a field carries it to the kernels as a tuple of its axes. With
the JIT off the same names are plain Python.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refode.machine.compile import JIT
from refode.machine.views import _contiguous, _view

if JIT:

    def _parts(builder: Any, values: Any, n: int) -> list[Any]:
        return [builder.extract_value(values, i) for i in range(n)]

    def _places(context: Any, builder: Any, ty: Any, rows: Any, s: Any) -> list[Any]:
        """Addresses of entry s of every row."""
        arrays = [
            context.make_array(ty.dtype)(context, builder, value=part)
            for part in _parts(builder, rows, len(ty))
        ]
        return [builder.gep(array.data, [s]) for array in arrays]

    def _arithmetic(context: Any, ty: Any) -> tuple[Any, Any]:
        """Code generators of a + b and a b."""
        binary = ty(ty, ty)
        add = context.get_function(operator.add, binary)
        mul = context.get_function(operator.mul, binary)
        return (lambda b, x, y: add(b, (x, y))), (lambda b, x, y: mul(b, (x, y)))

    @intrinsic
    def disjoint(typingctx: Any) -> Any:
        """Promise that no array this function writes to overlaps another of its arguments.

        Without it the compiler compares all rows before each loop, and keeps the loop
        scalar where there are too many to compare.
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            for argument in context.call_conv.get_arguments(builder.function):
                if isinstance(argument.type, ir.PointerType):
                    argument.add_attribute("noalias")
            return context.get_dummy_value()

        return types.none(), codegen

    @intrinsic
    def rows_of(typingctx: Any, X: Any, axes: Any) -> Any:
        """The first rows of X, one for each axis."""
        _contiguous("rows_of", X, 2)
        one = X.copy(ndim=1)
        out = types.UniTuple(one, len(axes))

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(X)(context, builder, value=args[0])
            columns = cgutils.unpack_tuple(builder, array.shape)[1]
            parts, first = [], context.get_constant(types.intp, 0)
            for _ in axes:
                parts.append(_view(context, builder, X, args[0], one, first, [columns]))
                first = builder.add(first, columns)
            return context.make_tuple(builder, out, parts)

        return out(X, axes), codegen

    @intrinsic
    def entries(typingctx: Any, x: Any, start: Any, stride: Any, axes: Any) -> Any:
        """The numbers x[start + i stride], one for each axis."""
        _contiguous("entries", x, 1)
        out = types.UniTuple(x.dtype, len(axes))

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(x)(context, builder, value=args[0])
            place, parts = args[1], []
            for _ in axes:
                pointer = builder.gep(array.data, [place])
                parts.append(context.unpack_value(builder, x.dtype, pointer))
                place = builder.add(place, args[2])
            return context.make_tuple(builder, out, parts)

        return out(x, types.intp, types.intp, axes), codegen

    @intrinsic
    def at(typingctx: Any, rows: Any, s: Any) -> Any:
        """Entry s of every row."""
        ty = rows.dtype.dtype
        out = types.UniTuple(ty, len(rows))

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            places = _places(context, builder, rows, *args)
            parts = [context.unpack_value(builder, ty, place) for place in places]
            return context.make_tuple(builder, out, parts)

        return out(rows, types.intp), codegen

    @intrinsic
    def put(typingctx: Any, rows: Any, s: Any, values: Any) -> Any:
        """Make these numbers entry s of the rows."""
        ty = rows.dtype.dtype

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            parts = _parts(builder, args[2], len(rows))
            for place, part in zip(_places(context, builder, rows, *args[:2]), parts, strict=True):
                context.pack_value(builder, ty, part, place)
            return context.get_dummy_value()

        return types.none(rows, types.intp, values), codegen

    @intrinsic
    def dot(typingctx: Any, a: Any, b: Any) -> Any:
        """sum_i a_i b_i."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            add, mul = _arithmetic(context, a.dtype)
            pairs = zip(*(_parts(builder, arg, len(a)) for arg in args), strict=True)
            total, *rest = [mul(builder, x, y) for x, y in pairs]
            for product in rest:
                total = add(builder, total, product)
            return total

        return a.dtype(a, b), codegen

    @intrinsic
    def plus(typingctx: Any, p: Any, a: Any, x: Any) -> Any:
        """p_i + a x_i."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            add, mul = _arithmetic(context, p.dtype)
            pairs = zip(*(_parts(builder, args[i], len(p)) for i in (0, 2)), strict=True)
            parts = [add(builder, y, mul(builder, args[1], z)) for y, z in pairs]
            return context.make_tuple(builder, p, parts)

        return p(p, p.dtype, x), codegen

    @intrinsic
    def zeros(typingctx: Any, p: Any) -> Any:
        """As many zeros, of the same kind."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant_null(p)

        return p(p), codegen

else:

    def disjoint() -> None:
        """The interpreter needs no promises."""

    def rows_of(X: Any, axes: tuple) -> tuple:
        """The first rows of X, one for each axis."""
        return tuple(X[i] for i in range(len(axes)))

    def entries(x: Any, start: int, stride: int, axes: tuple) -> tuple:
        """The numbers x[start + i stride], one for each axis."""
        return tuple(x[start + i * stride] for i in range(len(axes)))

    def at(rows: tuple, s: int) -> tuple:
        """Entry s of every row."""
        return tuple(x[s] for x in rows)

    def put(rows: tuple, s: int, values: tuple) -> None:
        """Make these numbers entry s of the rows."""
        for x, value in zip(rows, values, strict=True):
            x[s] = value

    def dot(a: tuple, b: tuple) -> Any:
        """sum_i a_i b_i."""
        return sum(x * y for x, y in zip(a, b, strict=True))

    def plus(p: tuple, a: Any, x: tuple) -> tuple:
        """p_i + a x_i."""
        return tuple(y + a * z for y, z in zip(p, x, strict=True))

    def zeros(p: tuple) -> tuple:
        """As many zeros, of the same kind."""
        return tuple(x * 0 for x in p)
