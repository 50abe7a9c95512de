"""What a compiled function is made of: the sources that it reaches, and a digest of them.

A source is a function's byte code, so that comments, formatting and docstrings do not count,
and whatever its names stand for: kernels and the functions behind intrinsics in turn,
constants by their value. Of a generic function only the bodies count that the types at hand
choose. What stands beside a kernel in its file does not count.
"""

from __future__ import annotations

import hashlib
import types as python
from collections.abc import Iterable
from typing import Any

_OUTSIDE = ("numpy", "numba", "llvmlite", "math", "cmath", "builtins", "scipy", "operator")


class Source:
    """A function's own text and the objects that it names."""

    def __init__(self, function: Any) -> None:
        code = function.__code__
        self.text = _text(code, function.__doc__)
        self.names: list[Any] = []
        for cell in function.__closure__ or ():
            try:
                self.names.append(cell.cell_contents)
            except ValueError:  # not filled yet
                self.names.append(None)
        self.names += list(function.__defaults__ or ())
        space = function.__globals__
        for name in sorted(_names(code)):
            if name in space:
                self._add(space[name], code)

    def _add(self, value: Any, code: Any) -> None:
        if isinstance(value, python.ModuleType):
            if value.__name__.split(".")[0] not in _OUTSIDE:
                for name in sorted(_names(code)):
                    if hasattr(value, name):
                        self.names.append(getattr(value, name))
        else:
            self.names.append(value)


_known: dict[Any, Source] = {}


def source_of(function: Any) -> Source:
    """The source of a Python function, read once."""
    found = _known.get(function)
    if found is None:
        found = _known[function] = Source(function)
    return found


class Reach:
    """All that is compiled into a function for certain types, and what it calls by address."""

    def __init__(self, start: Iterable[Any], classes: frozenset[type]) -> None:
        self._hash = hashlib.sha256()
        self._seen: set[Any] = set()
        self._classes = classes
        self.generics: list[Any] = []
        for thing in start:
            self._visit(thing)

    @property
    def digest(self) -> str:
        """Hexadecimal digest of all sources."""
        return self._hash.hexdigest()

    def _visit(self, thing: Any) -> None:
        if isinstance(thing, tuple | list):
            self._hash.update(f"({len(thing)}".encode())
            for part in thing:
                self._visit(part)
            return
        function = _function_of(thing)
        if function is None:
            self._hash.update(_value(thing))
            return
        if hasattr(function, "bodies"):
            self._visit_generic(function)
            return
        key = function
        if key in self._seen:
            self._hash.update(f"again {function.__qualname__}".encode())
            return
        self._seen.add(key)
        source = source_of(function)
        self._hash.update(function.__qualname__.encode())
        self._hash.update(_value(getattr(thing, "targetoptions", None)))
        self._hash.update(source.text)
        for name in source.names:
            self._visit(name)

    def _visit_generic(self, generic: Any) -> None:
        self._hash.update(f"generic {generic.__qualname__}".encode())
        if generic in self._seen:
            return
        self._seen.add(generic)
        self.generics.append(generic)
        for cls in sorted(self._classes & generic.bodies.keys(), key=lambda c: c.__qualname__):
            self._hash.update(cls.__qualname__.encode())
            self._visit(generic.bodies[cls])


def _function_of(thing: Any) -> Any:
    """The Python function behind a kernel, an intrinsic or a function; None for a value."""
    for name in ("py_func", "_defn"):
        inside = thing.__dict__.get(name) if hasattr(thing, "__dict__") else None
        inside = inside or (getattr(thing, name, None) if name == "py_func" else None)
        if isinstance(inside, python.FunctionType):
            return inside
    if isinstance(thing, python.FunctionType):
        top = (thing.__module__ or "").split(".")[0]
        return None if top in _OUTSIDE else thing
    return None


def _names(code: Any) -> set[str]:
    """Names that a code object and those within it look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, python.CodeType):
            names |= _names(constant)
    return names


def _text(code: Any, doc: str | None) -> bytes:
    """A code object without its docstring, line numbers and file name."""
    constants: list[Any] = []
    for i, constant in enumerate(code.co_consts):
        if isinstance(constant, python.CodeType):
            first = constant.co_consts[0] if constant.co_consts else None
            constants.append(_text(constant, first if isinstance(first, str) else None))
        elif i == 0 and isinstance(constant, str) and constant == doc:
            constants.append(None)
        else:
            constants.append(_constant(constant))
    parts = (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars,
             code.co_argcount, code.co_flags)  # fmt: skip
    return repr(parts).encode()


def _constant(value: Any) -> str:
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(_constant, value))}"
    return f"{type(value).__name__} {value!r}"


def _value(value: Any) -> bytes:
    """A global's share of the digest: numbers and texts by value, the rest by name."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return f"{type(value).__name__} {value!r}".encode()
    if isinstance(value, dict):
        return b"".join(str(k).encode() + _value(v) for k, v in sorted(value.items()))
    if isinstance(value, set | frozenset):
        return b"".join(_value(item) for item in sorted(value, key=str))
    tobytes = getattr(value, "tobytes", None)
    if tobytes is not None:
        return f"{getattr(value, 'dtype', '')} {getattr(value, 'shape', '')}".encode() + tobytes()
    if isinstance(value, type):
        fields = getattr(value, "_fields", ())
        return f"class {value.__module__}.{value.__qualname__} {fields}".encode()
    name = getattr(value, "__qualname__", getattr(value, "__name__", type(value).__qualname__))
    return f"{getattr(value, '__module__', '')}.{name}".encode()
