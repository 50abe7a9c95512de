"""The former place of refode.machine.blocks, refode.machine.blas and refode.machine.views."""

from refode.machine.blas import (
    add_outer,
    add_product,
    add_transposed_product,
    load_blas,
    multiply,
    multiply_transposed,
)
from refode.machine.blocks import (
    add_column,
    add_row_sums,
    axpy,
    copy,
    fill,
    inner,
    row_product,
    row_sum,
    sign,
)
from refode.machine.views import band, joined, matrix, row, segment, stack

__all__ = [
    "add_column",
    "add_outer",
    "add_product",
    "add_row_sums",
    "add_transposed_product",
    "axpy",
    "band",
    "copy",
    "fill",
    "inner",
    "joined",
    "load_blas",
    "matrix",
    "multiply",
    "multiply_transposed",
    "row",
    "row_product",
    "row_sum",
    "segment",
    "sign",
    "stack",
]
