"""Which descriptions have bodies on the device: refode's, and those of anyone who adds some.

Nothing here needs a device or its package, so that a file may register bodies beside its CPU
kernels; what makes them runs when a sweep on a device asks for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from refode import _validate

#: Makers of bodies by kind and class of description.
TABLES: dict[str, dict[type, Callable[..., Any]]] = {
    kind: {} for kind in ("field", "dynamics", "cost", "energy", "target", "loss")
}
#: Arrays that have an entry for every sample, and the axis that counts them.
BY_SAMPLE: dict[tuple[type, str], int] = {}


def register(
    kind: str, description: type, by_sample: Mapping[str, int] | None = None
) -> Callable[[Callable], Callable]:
    """Decorate what makes the bodies of a class of descriptions on the device.

    Parameters
    ----------
    kind : {"field", "dynamics", "cost", "energy", "target", "loss"}
    description : type
        The NamedTuple whose class the CPU's bodies are registered for.
    by_sample : mapping of str to int, optional
        Names of the description's arrays that have an entry for every sample, and the axis that
        counts them; the others are the same for all samples.

    Returns
    -------
    decorator
        For ``make(ops)``, which is called once for each way to run and returns what
        docs/cuda.md says for the kind; ``make(ops, field)`` for dynamics.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was wanted.
    """
    table = TABLES[_validate.choice("kind", kind, tuple(TABLES))]
    names = getattr(description, "_fields", None)
    if not isinstance(description, type) or names is None:
        raise TypeError(
            f"description: got {_validate.shown(description)}, wanted a class of NamedTuples"
        )
    for name, axis in (by_sample or {}).items():
        if name not in names:
            raise ValueError(
                f"by_sample: got {name!r}, wanted one of {', '.join(map(repr, names))}"
            )
        _validate.nonnegative_int(f"by_sample[{name!r}]", axis)

    def add(make: Callable) -> Callable:
        made = table[description] = functools.cache(make)
        for name, axis in (by_sample or {}).items():
            BY_SAMPLE[description, name] = axis
        return made

    return add


def found(kind: str, description: Any) -> Callable[..., Any]:
    """What makes the bodies of a description; ValueError where the device has none."""
    table = TABLES[kind]
    if type(description) not in table:
        wanted = ", ".join(sorted({class_name(known) for known in table}))
        raise ValueError(
            f"device: got 'cuda' with the {kind} {type(description).__name__}, wanted one of "
            f"{wanted}, or device='cpu'"
        )
    return table[type(description)]


def class_name(cls: type) -> str:
    """The name of a class of descriptions as messages have it."""
    return cls.__name__.removesuffix("Spec")
