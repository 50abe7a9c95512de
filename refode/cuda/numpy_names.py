"""What numba-cuda reads from NumPy and newer versions of NumPy no longer have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def given_back() -> Iterator[None]:
    """NumPy with ``row_stack``, another name of ``vstack`` until NumPy 2.5, while it lasts.

    numba-cuda 0.30.4 reads it when it is imported, so that no kernel would compile.
    """
    if hasattr(np, "row_stack"):
        yield
        return
    name = "row_stack"
    setattr(np, name, np.vstack)
    try:
        yield
    finally:
        delattr(np, name)
