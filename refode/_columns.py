"""Columns of other libraries that NumPy sees as objects, though they hold numbers.

pandas's nullable columns are such: ``Int64``, ``Float64``, ``boolean``. Without missing entries
they are numbers like any others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def numbers_of(name: str, value: Any, array: NDArray[Any]) -> NDArray[Any]:
    """The numbers of `value`, which NumPy made `array` of; that itself where it is no columns'.

    What the columns hold they say by ``dtype.kind``, one or one a column.

    Raises
    ------
    ValueError
        A missing entry; the first one is named.
    """
    several = getattr(value, "dtypes", None) if array.ndim == 2 else None
    dtypes = [getattr(value, "dtype", None)] if several is None else list(several)
    kinds = {getattr(dtype, "kind", "O") for dtype in dtypes}
    if not array.size or not hasattr(value, "isna") or not (kinds <= set("iuf") or kinds == {"b"}):
        return array
    missing = np.argwhere(np.asarray(value.isna(), dtype=bool))
    if len(missing):
        index = tuple(missing[0].tolist())
        where = index[0] if len(index) == 1 else index
        raise ValueError(f"{name}: got a missing value at index {where}, wanted finite numbers")
    if kinds == {"b"}:
        return array.astype(bool)
    return array.astype(np.float64 if "f" in kinds else np.int64)
