"""Files of results, NAME.json or NAME.npz, read with distrust: docs/reference.md.

What is wrong with a file is said of that file, be it no file at all, an archive that is
encrypted or claims more than it holds, or a number that no double can be. Nothing is executed,
and nothing is allocated beyond what the file holds.
"""

from __future__ import annotations

import json
import math
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from refode._shown import short
from refode.check.protocol import BLOCKED, doubles
from refode.reference import files

GOLDEN = "got a golden file itself (it has inputs), wanted an implementation's results"
#: The largest file, and all that an archive may unpack to; golden ones have some kilobytes.
LARGEST = 2**26
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # what numpy.savez and savez_compressed write
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def results(path: Path, name: str) -> list[tuple[str, Any]]:
    """Names and stored arrays of a case's file; each is to be read by `array`.

    Raises
    ------
    ValueError, OSError
        It cannot be taken; the text says why.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("got a folder, a device or a pipe, wanted a file")
    if found.st_size > LARGEST:
        raise ValueError(f"got {found.st_size:,} bytes, wanted at most {LARGEST:,}")
    read = _from_npz if path.suffix == ".npz" else _from_json
    try:
        given = read(path, name)
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"got what cannot be held ({type(error).__name__})") from error
    names = [key for key, _ in given]
    twice = sorted({key for key in names if names.count(key) > 1})
    if twice:
        raise ValueError(f"got {', '.join(twice)} twice, wanted each array once")
    return given


# --- JSON ------------------------------------------------------------------------------------


def _from_json(path: Path, name: str) -> list[tuple[str, Any]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"got no JSON ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get("results"), dict):
        raise ValueError('got no object with "results", wanted {"name": ..., "results": {...}}')
    for key, wanted in (("format", files.FORMAT), ("version", files.VERSION), ("name", name)):
        if document.get(key, wanted) != wanted:
            raise ValueError(f"{key}: got {short(document[key])}, wanted {wanted!r}")
    if "inputs" in document:
        raise ValueError(GOLDEN)
    arrays: list[tuple[str, Any]] = []
    for quantity, value in document["results"].items():
        if quantity in BLOCKED and isinstance(value, dict):
            arrays += [(f"{quantity}/{block}", v) for block, v in value.items()]
        else:
            arrays.append((quantity, value))
    return arrays


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: of two alike the first would be lost in silence."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"got the key {short(twice)} twice in one object")
    return made


def array(value: Any) -> Any:
    """A stored array as doubles: an array of an archive, ``{"shape": ..., "data": ...}`` or lists.

    Raises
    ------
    TypeError, ValueError
        It is none, or holds what no double can be.
    """
    try:
        if isinstance(value, dict):
            return _stored(value)
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            return doubles(value)
        return doubles(_as_floats(value))
    except OverflowError as error:
        raise ValueError(f"got a number that no double can hold ({error})") from error
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"got what cannot be held ({type(error).__name__})") from error


def _as_floats(value: Any) -> Any:
    """Lists of numbers with integers of any length as doubles, if they are in range."""
    if isinstance(value, list):
        return [_as_floats(entry) for entry in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _stored(value: dict[str, Any]) -> Any:
    if set(value) != {"shape", "data"} or not isinstance(value["data"], list):
        raise ValueError('got an object, wanted {"shape": [...], "data": [...]}')
    shape, data = value["shape"], value["data"]
    sizes = shape if isinstance(shape, list) else [None]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in sizes):
        raise ValueError(f"shape: got {short(shape)}, wanted a list of sizes")
    if math.prod(sizes) != len(data):
        raise ValueError(f"shape: got {short(shape)} for {len(data)} numbers")
    return np.array([float(v) for v in data], dtype=np.float64).reshape(shape)


# --- NPZ -------------------------------------------------------------------------------------


def _from_npz(path: Path, name: str) -> list[tuple[str, Any]]:
    """Names and arrays; the golden archive itself is told by its inputs."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.filename.startswith("inputs/") for member in members):
                raise ValueError(GOLDEN)
            total = sum(member.file_size for member in members)
            if total > LARGEST:
                raise ValueError(f"got {total:,} bytes unpacked, wanted at most {LARGEST:,}")
            return [(_key(member), _member(archive, member)) for member in members]
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, struct.error) as error:
        raise ValueError(f"got no NPZ archive ({error})") from error
    except (NotImplementedError, RuntimeError) as error:  # an old kind of zip, or a new one
        raise ValueError(f"got an archive that cannot be read ({error})") from error


def _key(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy").removeprefix("results/")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    """An array of an archive, refused before it is unpacked where it is too much."""
    name = member.filename
    if member.flag_bits & 1:
        raise ValueError(f"{name}: got an encrypted array")
    if member.compress_type not in _METHODS:
        method = member.compress_type
        raise ValueError(f"{name}: got compression {method}, wanted what numpy.savez writes")
    with archive.open(member) as file:
        return _array_of(name, file, member.file_size)


def _array_of(name: str, file: IO[bytes], size: int) -> Any:
    """An array in NumPy's format, of the shape that its bytes can hold.

    Raises
    ------
    ValueError
        The header does not parse, or claims another size; objects are never unpickled.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = _HEADERS[version](file)
    except zipfile.BadZipFile:
        raise
    except Exception as error:  # the header is Python's syntax: whatever its parser raises
        raise ValueError(f"{name}: got no array of NumPy's format ({short(error)})") from error
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"{name}: got an array of type {dtype}, wanted real numbers")
    held = size - file.tell()
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != held:
        raise ValueError(f"{name}: got the shape {short(shape)} of {dtype} for {held:,} bytes")
    body = file.read()
    if len(body) != held:
        raise ValueError(f"{name}: got {len(body):,} bytes, wanted {held:,}")
    return np.frombuffer(body, dtype).reshape(shape, order="F" if fortran else "C")
