"""What is checked: a folder of results in any language, an adapter by name, or an object."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from refode import _validate
from refode.check.outcome import EPS
from refode.check.process import Process
from refode.check.protocol import BLOCKED, QUANTITIES, Answer, adapter_of, doubles
from refode.check.worker import answered, load, precision_of
from refode.reference import files

Document = dict[str, Any]
_GOLDEN = "got a golden file itself (it has inputs), wanted an implementation's results"


class Target(Protocol):
    """Something that answers cases."""

    precision: str

    def answer(self, document: Document, wanted: tuple[str, ...]) -> Answer:
        """What it says of one case."""

    def close(self) -> Any:
        """End what runs beside."""


class Object:
    """An adapter in this process: no time limit, and a crash of it is one of ours."""

    def __init__(self, adapter: Any) -> None:
        self.adapter, self.precision = adapter_of(adapter, ""), precision_of(adapter)

    def answer(self, document: Document, wanted: tuple[str, ...]) -> Answer:
        """What it says of one case."""
        return answered(self.adapter, document, wanted)

    def close(self) -> None:
        """Nothing runs beside."""


class Folder:
    """Files NAME.json or NAME.npz, docs/reference.md ("Writing results").

    Raises
    ------
    ValueError
        The folder has no such file.
    """

    precision = "float64"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        known = set(files.names())
        paths = [p for p in sorted(folder.iterdir()) if p.suffix in (".json", ".npz")]
        self.files = {p.stem: p for p in paths if p.stem in known}
        self.unknown = [p.name for p in paths if p.stem not in known and p.name != "schema.json"]
        if not self.files:
            raise ValueError(
                f"target: got the folder {folder} without any file named as a golden case, "
                f"wanted some of {', '.join(sorted(known)[:3])}, ... as .json or .npz"
            )

    def answer(self, document: Document, wanted: tuple[str, ...]) -> Answer:
        """What the case's file holds."""
        path = self.files.get(document["name"])
        if path is None:
            return Answer(skipped=dict.fromkeys(wanted, "no file"))
        answer = Answer()
        try:
            read = _from_npz if path.suffix == ".npz" else _from_json
            given = read(path, document["name"])
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            return Answer(problems={"": f"{path.name}: {error}"})
        for name, value in given:
            quantity = name.partition("/")[0]
            if quantity not in QUANTITIES:
                answer.problems[name] = f"{path.name}: got the unknown quantity {name}"
                continue
            try:
                answer.values[name] = _array(value)
            except (TypeError, ValueError) as error:
                answer.problems[name] = f"{path.name}: {name}: {error}"
        there = {n.partition("/")[0] for n in (*answer.values, *answer.problems)}
        answer.skipped = {q: "not in the file" for q in wanted if q not in there}
        return answer

    def close(self) -> None:
        """Nothing runs beside."""


def _from_json(path: Path, name: str) -> list[tuple[str, Any]]:
    """Names and stored arrays of a file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"got no JSON ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get("results"), dict):
        raise ValueError('got no object with "results", wanted {"name": ..., "results": {...}}')
    for key, wanted in (("format", files.FORMAT), ("version", files.VERSION), ("name", name)):
        if document.get(key, wanted) != wanted:
            raise ValueError(f"{key}: got {_validate.short(document[key])}, wanted {wanted!r}")
    if "inputs" in document:
        raise ValueError(_GOLDEN)
    arrays: list[tuple[str, Any]] = []
    for quantity, value in document["results"].items():
        if quantity in BLOCKED and isinstance(value, dict):
            arrays += [(f"{quantity}/{block}", v) for block, v in value.items()]
        else:
            arrays.append((quantity, value))
    return arrays


def _from_npz(path: Path, name: str) -> list[tuple[str, Any]]:
    """Names and arrays; the golden archive itself is told by its inputs."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if any(key.startswith("inputs/") for key in archive.files):
                raise ValueError(_GOLDEN)
            return [(key.removeprefix("results/"), archive[key]) for key in archive.files]
    except (EOFError, KeyError) as error:
        raise ValueError(f"got no NPZ archive ({error})") from error


def _array(value: Any) -> Any:
    """A stored array, ``{"shape": ..., "data": ...}`` or nested lists of numbers."""
    if isinstance(value, dict):
        if set(value) != {"shape", "data"} or not isinstance(value["data"], list):
            raise ValueError('got an object, wanted {"shape": [...], "data": [...]}')
        flat = np.array([float(v) for v in value["data"]], dtype=np.float64)
        return flat.reshape(value["shape"])
    return doubles(value)


@contextmanager
def open_target(target: Any, timeout: float = 60.0, in_process: bool = False) -> Iterator[Target]:
    """Whatever `refode.check.check` takes, ready to answer, and ended afterwards.

    Parameters
    ----------
    target : str, path or object
        A folder, ``"module:adapter"``, an adapter itself, which runs in this process, or
        something that is opened already.
    timeout : float, optional
        Seconds a case may take where the adapter has a process of its own.
    in_process : bool, optional
        Run ``"module:adapter"`` in this process too: for debuggers.

    Raises
    ------
    ValueError, TypeError, ImportError
        There is no such folder or adapter.
    """
    timeout = _validate.positive("timeout", timeout)
    opened: Target
    if isinstance(target, str | Path):
        if Path(target).is_dir():
            opened = Folder(Path(target))
        elif ":" not in str(target):
            raise ValueError(f"target: got {str(target)!r}, wanted a folder or module:adapter")
        else:
            opened = Object(load(str(target))) if in_process else Process(str(target), timeout)
    else:
        opened = target if hasattr(target, "answer") else Object(target)
    try:
        if opened.precision not in EPS:
            raise ValueError(
                f"precision: got {_validate.short(opened.precision)}, wanted {', '.join(EPS)}"
            )
        yield opened
    finally:
        opened.close()
