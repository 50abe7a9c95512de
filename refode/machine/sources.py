"""What a compiled function is made of: the sources that it reaches, and a digest of them.

A source is a function's byte code, so that comments, formatting and docstrings do not count,
and whatever its names stand for: kernels, the functions behind intrinsics and overloads in
turn, constants by their value. Of a generic function only the bodies count that the types at
hand choose, and how it is called by address. What stands beside a kernel in its file does not
count.

Numba reads names when it compiles; so does a ``Reach``, each time anew. Only byte code is
remembered.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import sys
import sysconfig
import types as python
from collections.abc import Iterable
from typing import Any

from numba.core.typing.templates import builtin_registry

_OUTSIDE = frozenset(("numpy", "numba", "llvmlite", "scipy"))  # besides Python's own library
_HAS_DOCSTRING = 0x4000000  # a flag of code objects, from Python 3.14 on


class Reach:
    """All that is compiled into a function for certain types, and what it calls by address.

    Parameters
    ----------
    start : iterable
        Functions, kernels, or constants.
    classes : frozenset of type
        The descriptions for which generic functions choose a body.
    """

    def __init__(self, start: Iterable[Any], classes: frozenset[type]) -> None:
        self._hash = hashlib.sha256()
        self._seen: set[Any] = set()
        self.classes = classes
        self.generics: list[Any] = []
        self.codes: list[Any] = []
        self.kernels: list[Any] = []
        for thing in start:
            self._visit(thing)

    @property
    def digest(self) -> str:
        """Hexadecimal digest of all sources."""
        return self._hash.hexdigest()

    def _add(self, text: str) -> None:
        self._hash.update(text.encode() + b"\n")

    def _visit(self, thing: Any) -> None:
        if isinstance(thing, tuple | list):
            self._add(f"{type(thing).__qualname__} {len(thing)}")
            for part in thing:
                self._visit(part)
        elif isinstance(thing, dict):
            self._add(f"dict {len(thing)}")
            for key in sorted(thing, key=repr):
                self._add(_value(key))
                self._visit(thing[key])
        else:
            self._visit_one(thing)

    def _visit_one(self, thing: Any) -> None:
        function = _function_of(thing)
        if function is None:
            if isinstance(thing, type) and not _outside(thing):
                self._visit_class(thing)
            else:
                self._add(_value(thing))
        elif hasattr(function, "bodies"):
            self._visit_generic(function)
        else:
            self._visit_function(function, thing)
        for overload, settings in _overloads().get(id(thing), ()):
            if not hasattr(thing, "bodies"):
                self._visit(settings)
                self._visit(overload)

    def _visit_function(self, function: Any, thing: Any) -> None:
        if self._met(function):
            return
        if hasattr(thing, "_reset_overloads"):
            self.kernels.append(thing)
        code, space = function.__code__, function.__globals__
        self._add(f"function {function.__qualname__}")
        self._visit(getattr(thing, "targetoptions", None))
        self._visit_code(code)
        self._visit(function.__defaults__)
        self._visit(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self._visit(cell.cell_contents)
            except ValueError:  # not filled yet
                self._add("empty")
        for name in _names(code)[0]:
            if name in space:
                self._visit_named(space[name], _names(code)[1])

    def _visit_code(self, code: Any) -> None:
        self.codes.append(code)
        self._add(code_text(code))

    def _visit_named(self, value: Any, names: tuple[str, ...]) -> None:
        """A global: of a module what a function with these attributes may use of it."""
        if not isinstance(value, python.ModuleType):
            self._visit(value)
        elif not _is_outside(value.__name__) and not self._met((value, names)):
            for name in names:
                if hasattr(value, name):
                    self._visit_named(getattr(value, name), names)

    def _visit_generic(self, generic: Any) -> None:
        if self._met(generic):
            return
        self.generics.append(generic)
        self._add(f"generic {generic.__qualname__} {getattr(generic, 'described', '')}")
        chosen = self.classes & generic.bodies.keys()
        for cls in sorted(chosen, key=lambda c: (c.__module__, c.__qualname__)):
            self._add(cls.__qualname__)
            self._visit(generic.bodies[cls])
        self._visit(getattr(generic, "by_address", None))

    def _visit_class(self, cls: Any) -> None:
        """A class: the fields of a named tuple, members of an enumeration, methods of others."""
        self._add(f"class {cls.__module__}.{cls.__qualname__}")
        if self._met(cls):
            return
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            self._visit((cls._fields, cls._field_defaults))
        elif issubclass(cls, enum.Enum):
            self._visit({name: member.value for name, member in cls.__members__.items()})
        elif not cls.__module__.startswith("refode.machine."):  # the host's side
            for name in sorted(vars(cls)):
                function = _function_of(vars(cls)[name])
                if function is not None:
                    self._visit(function)

    def _met(self, thing: Any) -> bool:
        """Whether this is not the first time; that it was met counts too."""
        if thing in self._seen:
            self._add(f"again {getattr(thing, '__qualname__', '')}")
            return True
        self._seen.add(thing)
        return False


def _outside(thing: Any) -> bool:
    """Whether it is of a library that does not change but by another version."""
    return _is_outside(getattr(thing, "__module__", None) or "")


@functools.cache
def _is_outside(module: str) -> bool:
    top = module.partition(".")[0]
    if top in _OUTSIDE:
        return True
    if top not in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(top), "__file__", None)  # somebody's own queue.py counts
    return file is None or file.startswith(_LIBRARY) and "site-packages" not in file


_LIBRARY = sysconfig.get_paths()["stdlib"]


def _function_of(thing: Any) -> Any:
    """The Python function behind a kernel, an intrinsic or a function; None for a value."""
    if isinstance(thing, python.FunctionType):
        return None if _outside(thing) else thing
    if isinstance(thing, python.ModuleType | type):
        return None
    for name in ("py_func", "_defn", "func", "__func__", "fget", "__wrapped__"):
        inside = getattr(thing, name, None)
        if isinstance(inside, python.FunctionType):
            return None if name in ("func", "__wrapped__") and _outside(inside) else inside
    return None


_known_overloads: tuple[int, dict[int, list[Any]]] = (0, {})


def _overloads() -> dict[int, list[Any]]:
    """What stands in for Python functions in compiled code, with its options, by their id."""
    global _known_overloads
    registered = builtin_registry.globals
    if len(registered) != _known_overloads[0]:
        found: dict[int, list[Any]] = {}
        for value, ty in registered:
            for template in getattr(ty, "templates", ()):
                overload = getattr(template, "_overload_func", None)
                if overload is not None and not _outside(overload):
                    settings = {
                        name: option
                        for name, option in template._jit_options.items()
                        if not isinstance(option, type)
                    }
                    found.setdefault(id(value), []).append((overload, settings))
        _known_overloads = len(registered), found
    return _known_overloads[1]


# --- byte code -------------------------------------------------------------------------------
@functools.cache
def _names(code: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names that a code object and those within it look up among globals, and all of them."""
    found, names = set(), set(code.co_names)
    raw, wide = code.co_code, 0
    for i in range(0, len(raw), 2):
        argument = raw[i + 1] | wide
        wide = argument << 8 if raw[i] == dis.EXTENDED_ARG else 0
        if raw[i] == _LOAD_GLOBAL:
            found.add(code.co_names[argument >> 1])
    for constant in code.co_consts:
        if isinstance(constant, python.CodeType):
            found.update(_names(constant)[0])
            names.update(_names(constant)[1])
    return tuple(sorted(found)), tuple(sorted(names))


_LOAD_GLOBAL = dis.opmap["LOAD_GLOBAL"]
_LOAD, _STORE = dis.opmap["LOAD_FAST"], dis.opmap["STORE_FAST"]
#: From Python 3.13 on two moves of locals that stand in one line are one instruction: its halves.
_PAIRS = {
    dis.opmap[name]: halves
    for name, halves in {
        "LOAD_FAST_LOAD_FAST": (_LOAD, _LOAD),
        "LOAD_FAST_BORROW_LOAD_FAST_BORROW": (_LOAD, _LOAD),
        "STORE_FAST_LOAD_FAST": (_STORE, _LOAD),
        "STORE_FAST_STORE_FAST": (_STORE, _STORE),
    }.items()
    if name in dis.opmap
}
#: Whether a local is borrowed, from Python 3.14 on, hangs on what it is paired with.
_BORROW = dis.opmap.get("LOAD_FAST_BORROW")


def _instructions(code: Any) -> Any:
    """Byte code that does not tell where lines were broken.

    Pairs are taken apart, what only marks a line is left out, and jumps say how many instructions
    they pass.
    """
    raw = code.co_code
    if not _PAIRS:
        return raw
    found: list[Any] = []  # operations and their arguments
    index = {}  # how many of them stand before an offset
    jumps = []
    wide, start = 0, None
    for i in range(0, len(raw), 2):
        operation, argument = raw[i], raw[i + 1] | wide
        if operation == _CACHE:
            continue
        index[i] = len(found)
        if start is None:
            start = i
        if operation == dis.EXTENDED_ARG:
            wide = argument << 8
            continue
        index[start] = len(found)
        wide, start = 0, None
        if operation in _PAIRS:
            first, second = _PAIRS[operation]
            found += [(first, argument >> 4), (second, argument & 15)]
        elif operation in _JUMPS:
            jumps.append((len(found), i, _JUMPS[operation] * argument))
            found.append((operation, argument))
        elif operation != _NOP:
            found.append((_LOAD if operation == _BORROW else operation, argument))
    index[len(raw)] = len(found)
    for place, i, words in jumps:
        after = i + 2
        while after < len(raw) and raw[after] == _CACHE:
            after += 2
        found[place] = found[place][0], index[after + 2 * words] - place
    return found


_CACHE, _NOP = dis.opmap.get("CACHE", -1), dis.opmap["NOP"]
_JUMPS = {o: -1 if "BACKWARD" in dis.opname[o] else 1 for o in (*dis.hasjrel, *dis.hasjabs)}


@functools.cache
def code_text(code: Any) -> str:
    """A code object without its docstring, line numbers and file name."""
    constants = [_constant(constant) for constant in code.co_consts]
    if _has_docstring(code):
        constants[0] = _constant(None)
    return repr(
        (
            _instructions(code),
            constants,
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_flags & ~_HAS_DOCSTRING,
            code.co_exceptiontable,
        )
    )


def _has_docstring(code: Any) -> bool:
    """Whether the first constant is one: in functions, before Python 3.14, a text there always."""
    if not code.co_consts or not isinstance(code.co_consts[0], str):
        return False
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & _HAS_DOCSTRING)
    return not code.co_name.startswith("<")


def _constant(value: Any) -> str:
    if isinstance(value, python.CodeType):
        return code_text(value)
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(_constant, value))}"
    if isinstance(value, tuple):
        return f"tuple {[_constant(part) for part in value]}"
    return f"{type(value).__name__} {value!r}"


# --- values ----------------------------------------------------------------------------------
def _value(value: Any) -> str:
    """A global's share of the digest: numbers, texts and arrays by value, the rest by name."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, set | frozenset):
        return f"{kind} {sorted(map(_value, value))}"
    tobytes = getattr(value, "tobytes", None)
    if tobytes is not None and not isinstance(value, type):
        return f"{kind} {value.dtype} {value.shape} {hashlib.sha256(tobytes()).hexdigest()}"
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return f"{kind} {getattr(value, '__module__', '')}.{name}"
    shown = repr(value)
    return kind if " at 0x" in shown else f"{kind} {shown}"
