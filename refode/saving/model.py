"""``refode.save`` and ``refode.load``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import refode
from refode import _files, _validate
from refode._fixed import Fixed
from refode._shown import one_line, short
from refode.ode.placement import Placement
from refode.saving import archive
from refode.saving.build import LONGEST, built, check_whole
from refode.saving.describe import described, told
from refode.saving.kinds import Unreadable

Array = np.ndarray
#: What ``save`` writes, and ``load`` reads; docs/saving.md.
FORMAT = "refode model 1"
#: What ``train(checkpoint=)`` writes.
TRAINING = "refode training 2"
#: The same before checkpoints had a description of the problem.
FORMER_TRAINING = "refode training 1"
_MEMBERS = {FORMAT: ("theta",), TRAINING: ("best_theta",)}


class ModelNotFoundError(FileNotFoundError, ValueError):
    """There is no such file to load."""


class Model(Fixed):
    """What ``refode.load`` returns.

    Attributes
    ----------
    problem : Supervised, ContinuousNormalizingFlow, MeanFieldGame or NeuralODE
        As it was saved.
    theta : ndarray, (p,)
        Of a checkpoint the best of the run so far.
    version : str
        Of the refode that wrote the file.
    path : pathlib.Path
        The file.
    """

    def __init__(self, problem: Any, theta: Array, version: str, path: Path) -> None:
        self.problem, self.theta, self.version, self.path = problem, theta, version, path

    def __repr__(self) -> str:
        shape = f"theta of shape {self.theta.shape}"
        return f"Model({self.problem!r}, {shape}, refode {self.version})"


class Content(NamedTuple):
    """A file's content, checked as far as that goes without what is from outside."""

    format: str
    whole: dict[str, Any]  # the description
    theta: Array
    members: dict[str, Array]


def save(path: str | os.PathLike[str], problem: Any, theta: Array) -> None:
    """Write a problem and its theta to a file, for ``load`` in any process.

    Parameters
    ----------
    path : path
        The file; one that is there is replaced when all is written and on the disk.
    problem : Supervised, ContinuousNormalizingFlow, MeanFieldGame or NeuralODE
        What it is made of that is not refode's (a field, a loss, an energy, a density of a class
        of one's own) is named in the file, and asked for on loading.
    theta : array_like (p,)

    Raises
    ------
    TypeError
        A problem of another class, no path, no numbers.
    ValueError
        theta of another length or not finite, a path that cannot be written, a problem that no
        file can hold (docs/saving.md has the limits).
    OSError
        Writing failed; the former file is as it was.

    Examples
    --------
    >>> import refode
    >>> problem = refode.Supervised(refode.NeuralODE(refode.fields.Shallow(2, 8)))
    >>> refode.save("model.npz", problem, problem.initial())  # doctest: +SKIP
    >>> model = refode.load("model.npz")  # doctest: +SKIP
    >>> model.problem.value(model.theta, x, y)  # doctest: +SKIP
    """
    place = _files.writable("path", _validate.path("path", path))
    description = described(problem)
    theta = _validate.real_vector("theta", theta, problem.n_parameters)
    with _files.replacing(place, durable=True) as file:
        np.savez(
            file,
            format=np.array(FORMAT),
            theta=np.ascontiguousarray(theta, dtype="<f8"),
            **description.members(),  # type: ignore[arg-type]
        )


def load(
    path: str | os.PathLike[str],
    fields: Mapping[str, Any] | None = None,
    *,
    device: str | None = None,
    dtype: Any = "float64",
) -> Model:
    """The problem and theta that are in a file of ``save``'s, or in a checkpoint of ``train``'s.

    No code of the file's runs: it names classes of refode's and their arguments. On the same kind
    of processor, with the same versions, the problem computes the same bits as the one that was
    saved.

    Parameters
    ----------
    path : path
    fields : mapping, optional
        What the problem has from outside, by the name in the file: fields, and losses, energies,
        densities, bases or steps as well. Each is to be as it was, in class and ``repr``.
    device : {"cpu", "cuda"}, optional
        Where sweeps run; where they did by default.
    dtype : {"float64", "float32"}, optional
        Number type on the device given.

    Returns
    -------
    Model
        With ``problem`` and ``theta``.

    Raises
    ------
    ModelNotFoundError
        There is no such file.
    TypeError, ValueError
        A file that is damaged, or of another kind, or of a version that this one does not know;
        something from outside that is missing: the message lists all that is wanted.
    RuntimeError
        The problem ran on a GPU, and here is none: give ``device="cpu"``.
    """
    place = found(_validate.path("path", path))
    content = read(place)
    given = _given(place, content.whole["outside"], fields)
    where = None if device is None else Placement.of(device, dtype)
    try:
        problem = built(content.whole, content.members, content.theta.size, given, where)
    except Unreadable as error:
        raise refused(place, error) from error
    except RuntimeError as error:
        raise RuntimeError(f"{error}; load(..., device='cpu') runs it without") from error
    return Model(problem, content.theta, content.whole["refode"], place)


def found(path: Path) -> Path:
    """The regular file that a path leads to; `ModelNotFoundError` where there is none."""
    place = _files.readable("path", path)
    if not place.exists():
        raise ModelNotFoundError(f"path: got {str(path)!r}, but there is no such file")
    return place


def refused(path: Path, error: object) -> ValueError:
    """The error of a file that cannot be read."""
    return ValueError(
        f"path: got {str(path)!r}, which cannot be read as a model of refode ({one_line(error)})"
    )


def read(path: Path) -> Content:
    """A file's content.

    Raises
    ------
    ValueError
        The file cannot be read, is damaged, or is none of these.
    """
    try:
        with open(path, "rb") as file:
            members = archive.read(file)
        return _content(members)
    except Exception as error:  # what a damaged zip file raises is anyone's guess
        raise refused(path, error) from error


def text_of(members: Mapping[str, Array], name: str) -> str:
    """A member that is one text."""
    array = members.get(name)
    if array is None or array.dtype.kind != "U" or array.ndim:
        raise Unreadable(f"its {name} is missing, or no text")
    if array.dtype.itemsize > 4 * LONGEST:
        raise Unreadable(f"its {name} has more than {LONGEST} characters")
    return str(array)


def whole_of(members: Mapping[str, Array]) -> dict[str, Any]:
    """The description in an archive, whose outermost parts are there."""
    try:
        whole = json.loads(
            text_of(members, "description"),
            object_pairs_hook=_once,
            parse_constant=_not_finite,
        )
    except RecursionError:
        raise Unreadable("its description is too deep in itself") from None
    check_whole(whole)
    return whole


def _content(members: dict[str, Array]) -> Content:
    made = text_of(members, "format")
    if made == FORMER_TRAINING:
        raise Unreadable(
            "it is a checkpoint of a refode before 0.2.0, which did not write the problem into it; "
            "refode.training.read_checkpoint gives its theta"
        )
    if made not in _MEMBERS:
        raise Unreadable(
            f"its format is {short(made)}, and refode {refode.__version__} reads "
            f"{FORMAT!r} and {TRAINING!r}; a newer one may know it"
        )
    if made == TRAINING and not str(members.get("description", "-")):
        raise Unreadable(
            "it is a checkpoint of a problem of one's own, which nobody can write into a file; "
            "refode.training.read_checkpoint gives its theta"
        )
    (name,) = _MEMBERS[made]
    theta = members.get(name, np.empty((0, 0)))
    if theta.dtype != np.float64 or theta.ndim != 1 or not np.isfinite(theta).all():
        raise Unreadable(f"its {name} is no vector of finite float64 numbers")
    if made == FORMAT:
        names = {n for n in members if not n.startswith("array")}
        if names != {"format", "theta", "description"}:
            raise Unreadable("it has other members")
    return Content(made, whole_of(members), theta, members)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON's, in which no name comes twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Unreadable("its description says something twice")
    return made


def _not_finite(text: str) -> Any:
    raise Unreadable(f"its description has the number {text}")


def _given(path: Path, wanted: dict[str, Any], fields: Any) -> dict[str, Any]:
    """What is from outside, by name: all that is wanted, each as it was, and nothing else."""
    given = {} if fields is None else fields
    if not isinstance(given, Mapping):
        raise TypeError(
            f"fields: got {_validate.shown(fields)}, wanted a mapping such as {{'name': field}}"
        )
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ValueError(
            f"fields: got {_names(given)}, wanted what {str(path)!r} has from outside: "
            + "; ".join(_asked(name, wanted[name]) for name in missing)
        )
    for name in given:
        if name not in wanted:
            raise ValueError(
                f"fields: got {short(name)}, which {str(path)!r} has not from outside, wanted "
                f"{_names(wanted)}"
            )
    for name, about in wanted.items():
        here = told(given[name])
        if (here["class"], here["repr"]) != (about["class"], about["repr"]):
            raise ValueError(
                f"fields[{short(name)}]: got {_long(here['repr'])}, wanted one like the "
                f"{_long(about['class'])} that was saved, {_long(about['repr'])}"
            )
    return {name: given[name] for name in wanted}


def _asked(name: str, about: dict[str, str]) -> str:
    return f"{short(name)}, which was {_long(about['repr'])} ({_long(about['place'])})"


def _names(of: Mapping[str, Any]) -> str:
    return ", ".join(short(name) for name in of) or "nothing"


def _long(text: str) -> str:
    """Text of a file's in a message: on one line, of its printable characters."""
    line = "".join(c if c.isprintable() else "?" for c in one_line(text))
    return line if len(line) <= 200 else f"{line[:197]}..."
