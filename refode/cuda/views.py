"""Two-dimensional views of flat arrays in kernels.

``reshape`` is a call of a library there, and hides from the compiler which memory an array lies
in; a view is an address and two sizes.
"""

from __future__ import annotations

from typing import Any

from numba import config, types

from refode.cuda.numpy_names import given_back

if config.ENABLE_CUDASIM:

    def view(flat: Any, at: Any, rows: Any, columns: Any) -> Any:
        """``flat``'s numbers from ``at`` on as (rows, columns)."""
        return flat[at : at + rows * columns].reshape(rows, columns)

else:
    from numba.cuda.extending import intrinsic

    with given_back():
        from numba.cuda.np import arrayobj

    @intrinsic
    def view(typing_context: Any, flat: Any, at: Any, rows: Any, columns: Any) -> Any:
        """``flat``'s numbers from ``at`` on as (rows, columns)."""
        signature = types.Array(flat.dtype, 2, "C")(flat, at, rows, columns)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            flat_type, *integer_types = signature.args
            source = arrayobj.make_array(flat_type)(context, builder, arguments[0])
            made = arrayobj.make_array(signature.return_type)(context, builder)
            start, *shape = (
                context.cast(builder, argument, kind, types.intp)
                for argument, kind in zip(arguments[1:], integer_types, strict=True)
            )
            bytes_each = context.get_abi_sizeof(context.get_data_type(flat_type.dtype))
            itemsize = context.get_constant(types.intp, bytes_each)
            arrayobj.populate_array(
                made,
                data=builder.gep(source.data, [start]),
                shape=shape,
                strides=[builder.mul(shape[1], itemsize), itemsize],
                itemsize=itemsize,
                meminfo=None,
                parent=None,
            )
            return made._getvalue()

        return signature, generate
