"""Which line of a kernel the compiler could not take, told before all that the compiler says."""

from __future__ import annotations

import dis
import linecache
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import errors

_HERE = re.compile(r"During: typing of .* at (.+) \((\d+)\)$")
_LOCATED = re.compile(r'File "(.+)", line (\d+):$')
_UNDEFINED = re.compile(r"NameError: (?:global )?name '(\w+)' is not defined")
#: Lines of the compiler's that say where it was, and not what was wrong.
_FRAME = re.compile(
    r"Failed in nopython mode|Rejected as|Overload |With argument|TypingError: Failed|There are|"
    r"- Of which|raised from|No match|During: |File |>>> |\* |\^$|$"
)
_DEEPER = ("raised a specific error:", "Failed in nopython mode pipeline")


class KernelError(TypeError):
    """A kernel that the compiler cannot take. Its ``__cause__`` is what the compiler said."""


@contextmanager
def named(label: str, codes: list[Any]) -> Iterator[None]:
    """Within it Numba's errors become a `KernelError` that begins with the line at fault.

    Parameters
    ----------
    label : str
        What was compiled.
    codes : list of code objects
        Of the functions that it reaches.
    """
    try:
        yield
    except AttributeError as error:  # of a module, which Numba looks up as it is
        where = _reader_of(str(error.name), codes, ("LOAD_ATTR", "LOAD_METHOD"))
        if where is None:
            raise
        raise KernelError(_told(where, str(error), label)) from error
    except errors.NumbaError as error:
        where, what = _found(str(error), codes)
        if where is None:
            location = getattr(error, "loc", None)
            where = None if location is None else _place(location.filename, location.line, codes)
        raise KernelError(_told(where, what, label)) from error


def _told(where: tuple[str, int] | None, what: str, label: str) -> str:
    if where is None:
        return f"{label}: {what}"
    file, line = where
    source = linecache.getline(file, line).strip()
    shown = os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file
    return f"{shown}:{line}: {what}\n    {source}\nwhile compiling {label}"


def _found(text: str, codes: list[Any]) -> tuple[tuple[str, int] | None, str]:
    """File and line, and what was wrong there: in the text the innermost comes first."""
    undefined = _UNDEFINED.search(text)
    if undefined:
        return _reader_of(undefined.group(1), codes), f"name {undefined.group(1)!r} is not defined"
    lines = [line.strip() for line in text.splitlines()]
    for i, line in enumerate(lines):
        found = _HERE.match(line) or _LOCATED.match(line)
        where = found and _place(found.group(1), int(found.group(2)), codes)
        if where:
            return where, _what(lines[:i])
    return None, _what(lines)


def _what(lines: list[str]) -> str:
    """The sentence of the innermost block of lines, with the call that it is about."""
    starts = [i + 1 for i, line in enumerate(lines) if line.endswith(_DEEPER)]
    block = lines[max(starts, default=0) :]
    block = [line.removeprefix("TypingError: ") for line in block]
    told = [line for line in block if not _FRAME.match(line)]
    if not told:
        return "the compiler cannot take this"
    calls = [line.removeprefix(">>> ") for line in block if line.startswith(">>> ")]
    about = f" {calls[0]}" if told[0].endswith(":") and calls else ""
    return told[0] + about


def _place(file: str, line: int, codes: list[Any]) -> tuple[str, int] | None:
    """The file as one of the kernels' own knows it; None for the compiler's and for text."""
    for code in codes:
        known = code.co_filename
        if known.startswith("<"):
            continue
        if file == known or os.path.abspath(file) == os.path.abspath(known):
            return known, line
    return None


def _reader_of(
    name: str, codes: list[Any], by: tuple[str, ...] = ("LOAD_GLOBAL", "LOAD_NAME")
) -> tuple[str, int] | None:
    """Where a function reads a name that there is not."""
    for code in codes:
        line = code.co_firstlineno
        for step in dis.get_instructions(code):
            line = step.positions.lineno or line if step.positions else line
            if step.argval == name and step.opname.startswith(by):
                return code.co_filename, line
    return None
