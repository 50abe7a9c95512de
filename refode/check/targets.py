"""What is checked: a folder of results in any language, an adapter by name, or an object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from refode import _validate
from refode.check import results
from refode.check.outcome import EPS
from refode.check.process import Process
from refode.check.protocol import QUANTITIES, Answer, adapter_of
from refode.check.worker import answered, load, precision_of
from refode.reference import files

Document = dict[str, Any]


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
        self.files: dict[str, list[Path]] = {}
        for path in paths:
            if path.stem in known:
                self.files.setdefault(path.stem, []).append(path)
        self.unknown = [p.name for p in paths if p.stem not in known and p.name != "schema.json"]
        if not self.files:
            raise ValueError(
                f"target: got the folder {folder} without any file named as a golden case, "
                f"wanted some of {', '.join(sorted(known)[:3])}, ... as .json or .npz"
            )

    def answer(self, document: Document, wanted: tuple[str, ...]) -> Answer:
        """What the case's file holds."""
        paths = self.files.get(document["name"], [])
        if not paths:
            return Answer(skipped=dict.fromkeys(wanted, "no file"))
        answer, path = Answer(), paths[0]
        try:
            given = results.results(path, document["name"])
            if len(paths) > 1:
                raise ValueError(f"got {paths[1].name} beside it, wanted one file a case")
        except Exception as error:  # of a file that anyone may have made
            answer.refuse("", "file", f"{path.name}: {error}")
            return answer
        for name, value in given:
            quantity = name.partition("/")[0]
            if quantity not in QUANTITIES:
                answer.refuse(name, "file", f"{path.name}: got the unknown quantity {name}")
                continue
            try:
                answer.values[name] = results.array(value)
            except Exception as error:
                answer.refuse(name, "file", f"{path.name}: {name}: {error}")
        there = {n.partition("/")[0] for n in (*answer.values, *answer.problems)}
        answer.skipped = {q: "not in the file" for q in wanted if q not in there}
        return answer

    def close(self) -> None:
        """Nothing runs beside."""


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
