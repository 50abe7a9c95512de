"""Objects whose attributes are set once, so that what was checked there stays so.

An object is open while it is being made: its class's and its bases' ``__init__`` set what they
like, in any order. From then on it is closed. Copies and pickles are closed too, and arrays that
were read-only are read-only in them, within tuples, dicts and sparse matrices too.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import numpy as np

T = TypeVar("T")
Path = tuple[int, ...]

_CLOSED, _READ_ONLY = "_closed", "_read_only"


class Kept(dict):
    """What an object keeps for the next call, which is no part of it.

    Copies begin with nothing, pickles and digests of pickles (``joblib.hash``) know nothing of it.
    """

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Kept, ()


def read_only(value: T) -> T:
    """The value, its own arrays read-only from now on."""
    for array, _ in _arrays(value):
        array.flags.writeable = False
    return value


def _arrays(value: Any, path: Path = ()) -> Iterator[tuple[np.ndarray, Path]]:
    """The arrays in a value, and how to get there: the number of the part, of its part, ..."""
    if isinstance(value, np.ndarray):
        yield value, path
    for i, part in enumerate(_parts_of(value)):
        yield from _arrays(part, (*path, i))


def _parts_of(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Kept):
        return ()
    if isinstance(value, tuple | list):
        return tuple(value)
    if isinstance(value, dict):
        return tuple(value.values())
    if type(value).__module__.startswith("scipy.sparse"):
        return tuple(vars(value).values())
    return ()


class FixedMeta(ABCMeta):
    """Closes an object once the outermost ``__init__`` has returned."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if isinstance(made, Fixed):
            made.__dict__[_CLOSED] = True
        return made

    @property
    def __signature__(cls) -> Any:
        """What the class is called with; without this the signature above would be shown."""
        import inspect

        if cls.__init__ is object.__init__:  # type: ignore[misc]
            return inspect.Signature()
        whole = inspect.signature(cls.__init__)  # type: ignore[misc]
        return whole.replace(
            parameters=list(whole.parameters.values())[1:],
            return_annotation=inspect.Signature.empty,
        )


class Fixed(metaclass=FixedMeta):
    """Base of all objects whose attributes are set while they are made, and never again."""

    def __setattr__(self, name: str, value: Any) -> None:
        if _CLOSED in self.__dict__:
            text = " ".join(repr(value).split())  # arrays print on several lines
            shown = text if len(text) <= 60 else f"{text[:57]}..."
            _refused(self, name, f"got {shown} for")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if _CLOSED in self.__dict__:
            _refused(self, name, "got a deletion from")
        super().__delattr__(name)

    def __getstate__(self) -> Any:
        """The attributes, and where in them are read-only arrays: NumPy's pickles forget it."""
        attributes, slots = _parts(super().__getstate__())
        found = [path for array, path in _arrays(attributes) if not array.flags.writeable]
        return {**attributes, _READ_ONLY: found}, slots

    def __setstate__(self, state: Any) -> None:
        attributes, slots = _parts(state)
        closed = set(attributes.pop(_READ_ONLY, ()))
        for array, path in _arrays(attributes):
            if path in closed:
                array.flags.writeable = False
        self.__dict__.update(attributes)
        for name, value in slots.items():
            object.__setattr__(self, name, value)
        self.__dict__[_CLOSED] = True


def _parts(state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes in ``__dict__`` and in ``__slots__``, in the forms that ``object`` gives them."""
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    return dict(attributes or {}), dict(slots or {})


def _refused(self: Fixed, name: str, what: str) -> NoReturn:
    kind = type(self).__name__
    raise AttributeError(
        f"{name}: {what} a {kind} that exists, wanted a new {kind} (attributes are set once, when "
        "it is made)",
        name=name,
        obj=self,
    )
