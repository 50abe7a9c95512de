"""Weights of samples at a problem's door: who counts, and by how much."""

from __future__ import annotations

from typing import Any

import numpy as np

from refode._weights import NAME, Weighing, weighing
from refode.ode.placement import Placement, hosted, resident, send
from refode.ode.shares import weighing_of

Array = np.ndarray


def weighed(
    placement: Placement, sample_weight: Any, data: tuple[Any, ...]
) -> tuple[Weighing, tuple[Any, ...]]:
    """Checked weights of checked data, and the data without those of weight 0.

    Weights may be on the device, as data may. If any is 0 there, the others' data are sent anew:
    ``to_device`` leaves samples out before it sends them.

    Raises
    ------
    TypeError, ValueError
        Naming ``sample_weight``.
    """
    n = len(data[0])
    if sample_weight is None:
        return weighing_of("x", n) or weighing(None, n)[0], data
    there = resident(placement, NAME, sample_weight, (n,), placement.dtype)
    by, keep = weighing(sample_weight if there is None else there.host, n)
    if keep is not None:
        return by, tuple(hosted(array)[keep] for array in data)
    if there is not None and by.weights is not None:
        by = Weighing(there, float(there.host.sum()))
    return by, data


def sent(placement: Placement, by: Weighing, n: int) -> Any:
    """The weights on the device, those of equal samples too."""
    return send(placement, np.ones(n) if by.weights is None else hosted(by.weights))
