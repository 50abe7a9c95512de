"""What bridges ask of what they are given, and how they say that something is missing."""

from __future__ import annotations

import importlib
from typing import Any

from refode import _validate
from refode.ode.neural_ode import NeuralODE


def package(name: str, for_: str) -> Any:
    """A package that refode itself does not need; ImportError that names the extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{for_}: needs the package {name}, wanted pip install 'refode[{name}]'"
        ) from error


def is_ode(computed: Any, data: tuple[Any, ...]) -> bool:
    """Whether a ``NeuralODE`` was given, and not a problem; TypeError where it is neither."""
    if isinstance(computed, NeuralODE):
        if data:
            raise TypeError(
                f"data: got {len(data)} with a NeuralODE, wanted none (x is an argument of the "
                "function)"
            )
        return True
    if not callable(getattr(computed, "value_and_gradient", None)):
        raise TypeError(
            f"computed: got {_validate.shown(computed)}, wanted a NeuralODE or a problem"
        )
    return False


def check_dtype(name: str, value: Any, wanted: Any) -> None:
    """TypeError unless an array has the one number type that refode computes in."""
    got = getattr(value, "dtype", None)
    if got != wanted:
        what = _validate.shown(value) if got is None else f"dtype {got}"
        text = getattr(wanted, "__name__", wanted)
        raise TypeError(f"{name}: got {what}, wanted {text}")
