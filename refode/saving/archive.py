"""Archives of arrays (.npz), read as if whoever wrote them meant ill.

Members are stored as they are, never packed, so that all that is read together is not larger than
the file; a file that says otherwise is refused before memory is taken. Nothing is unpickled.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

#: Members of an archive, and bytes of the list of them.
MEMBERS, LISTED = 10_000, 2**21
#: Characters of a member's header: its dtype and shape, as a history's columns need.
HEADER = 10_000

_END, _END64, _AT64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"


class Damaged(ValueError):
    """No archive that refode wrote; the message says why."""


def read(file: IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays of an archive by name, writable.

    Raises
    ------
    Damaged
        It is none, or not whole, or of another kind: packed members, objects, two of one name.
    Exception
        What ``zipfile`` raises at a damaged archive is anyone's guess.
    """
    _check_list(file)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        if len(set(names)) != len(names):
            raise Damaged("it has two members of one name")
        for info in infos:
            packed = info.compress_type != zipfile.ZIP_STORED
            if packed or info.file_size != info.compress_size or not info.filename.isascii():
                raise Damaged("it has packed members")
            if not info.filename.endswith(".npy"):
                raise Damaged("it has members that are no arrays")
        if sum(info.file_size for info in infos) > _length(file):
            raise Damaged("its members are larger than it is")
        return {info.filename[: -len(".npy")]: _array(archive, info) for info in infos}


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """A member's array; of its data no more is read than there is, whatever its header says."""
    with archive.open(info) as member:
        version = npy.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise Damaged("it has arrays of another version of NumPy's format")
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(member, max_header_size=HEADER)
        if dtype.hasobject or dtype.subdtype is not None:
            raise Damaged(f"it has an array of dtype {dtype}")
        data = bytearray(member.read())  # to its end, where its checksum is compared
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise Damaged("it has an array of another size than it says")
    if not data:
        return np.empty(shape, dtype)
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False) if dtype.names is None else array


def _check_list(file: IO[bytes]) -> None:
    """Look at the archive's end, which says how many members it lists and in how many bytes.

    ``zipfile`` makes an object of each, whatever their number.
    """
    length = _length(file)
    end = _at(file, length - 22, 22)
    if end[:4] != _END:
        raise Damaged("it is no .npz archive, or its end is missing")
    _, disk, _, _, count, size, _, comment = struct.unpack("<4s4H2LH", end)
    locator = _at(file, length - 42, 20)
    if locator[:4] == _AT64:  # of large archives: the same in longer numbers, right before it
        end = _at(file, length - 98, 56)
        if end[:4] != _END64 or struct.unpack("<4sLQL", locator)[2] != length - 98:
            raise Damaged("it is no .npz archive, or its end is damaged")
        fields: tuple[Any, ...] = struct.unpack("<4sQ2H2L4Q", end)
        disk, count, size = fields[4], fields[7], fields[8]
    if disk or comment or count > MEMBERS or size > LISTED:
        raise Damaged(f"it lists {count} members in {size} bytes, which no file of refode's does")


def _at(file: IO[bytes], start: int, n: int) -> bytes:
    if start < 0:
        return b"\0" * n
    file.seek(start)
    return file.read(n).ljust(n, b"\0")


def _length(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size
