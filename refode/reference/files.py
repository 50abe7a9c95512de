"""Reading and writing golden files: JSON with decimals, NPZ with doubles."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode import _files, _validate

FORMAT, VERSION = "refode-reference", 1
#: Zip archives begin in 1980: one date for all, so that the bytes do not depend on the day.
EPOCH = (1980, 1, 1, 0, 0, 0)


def names() -> tuple[str, ...]:
    """Names of the golden cases, sorted."""
    files = (f.name for f in _folder().iterdir())
    return tuple(sorted(name[:-5] for name in files if name.endswith(".json")))


def case(name: str) -> dict[str, Any]:
    """One golden case as it is stored, docs/reference.md.

    Raises
    ------
    ValueError
        No such case; the known ones are listed.
    """
    name = _validate.choice("name", name, names())
    return json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))


def without_results(document: dict[str, Any]) -> dict[str, Any]:
    """A case as an implementation gets it: all but what is right."""
    return {k: v for k, v in document.items() if k != "results"}


def schema() -> dict[str, Any]:
    """The JSON Schema of a golden file."""
    return json.loads((resources.files("refode.reference") / "schema.json").read_text("utf-8"))


def _folder() -> Any:
    return resources.files("refode.reference") / "data"


def text(document: dict[str, Any]) -> str:
    """A golden file's text: an array a line, keys in their order."""
    return _text(document, "") + "\n"


def _text(value: Any, indent: str) -> str:
    if not isinstance(value, dict) or set(value) == {"shape", "data"}:
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    lines = [f"{deeper}{json.dumps(k)}: {_text(v, deeper)}" for k, v in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}" if lines else "{}"


def arrays(document: dict[str, Any], part: str) -> dict[str, NDArray[np.float64]]:
    """Arrays of a case's ``inputs`` or ``results`` as doubles, by name.

    Parameters
    ----------
    document : dict
        A golden case.
    part : {"inputs", "results"}

    Returns
    -------
    dict
        A block of theta has the name ``"theta/W0"``, one of the gradient ``"gradient/W0"``.
    """
    part = _validate.choice("part", part, ("inputs", "results"))
    return {
        name: np.array([float(d) for d in a["data"]], dtype=np.float64).reshape(a["shape"])
        for name, a in stored(document[part])
    }


def stored(part: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Stored arrays with their names, blocks as ``name/block``."""
    for name, value in part.items():
        if set(value) == {"shape", "data"}:
            if len(value["data"]) != math.prod(value["shape"]):
                raise ValueError(
                    f"{prefix}{name}: got {len(value['data'])} numbers, wanted the product of "
                    f"the shape {value['shape']}"
                )
            yield prefix + name, value
        else:
            yield from stored(value, f"{prefix}{name}/")


def npz(document: dict[str, Any]) -> bytes:
    """The case's inputs and results as an NPZ archive of doubles, the same bytes every time."""
    members = {f"{p}/{k}": a for p in ("inputs", "results") for k, a in arrays(document, p).items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, value in members.items():
            body = io.BytesIO()
            np.lib.format.write_array(body, value, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), body.getvalue())
    return buffer.getvalue()


def export(folder: str | Path) -> list[Path]:
    """Write every golden case as NAME.json and NAME.npz, and schema.json, to a folder.

    Parameters
    ----------
    folder : path
        Made where missing; files of the same names are replaced.

    Returns
    -------
    list of Path
        What was written. Writing again gives the same bytes.

    Raises
    ------
    ValueError, OSError
        The folder cannot be written to, or a device, a pipe or a folder has one of the names;
        then nothing is written.
    """
    known = names()
    written = [f"{name}.{suffix}" for name in known for suffix in ("json", "npz")]
    made = _files.writable_in("folder", folder, [*written, "schema.json"])
    for name in known:
        document = case(name)
        _files.write(made / f"{name}.json", text(document))
        _files.write(made / f"{name}.npz", npz(document))
    _files.write(made / "schema.json", json.dumps(schema(), indent=2) + "\n")
    return [made / file for file in (*written, "schema.json")]
