"""``refode.save`` and ``refode.load``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from refode import _files, _validate
from refode._fixed import Fixed
from refode._shown import short
from refode.ode.placement import Placement
from refode.saving.build import built
from refode.saving.content import FORMAT, content, found, printable, read, refused
from refode.saving.describe import described, told
from refode.saving.kinds import Unreadable

Array = np.ndarray


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
    whole, theta, members = content(place, *read(place))
    given = _given(place, whole["outside"], fields)
    where = None if device is None else Placement.of(device, dtype)
    try:
        problem = built(whole, members, theta.size, given, where)
    except Unreadable as error:
        raise refused(place, error) from error
    except RuntimeError as error:
        raise RuntimeError(f"{error}; load(..., device='cpu') runs it without") from error
    return Model(problem, theta, whole["refode"], place)


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
            f"fields: got {_names(given)}, wanted what {_files.shown(path)} has from outside: "
            + "; ".join(_asked(name, wanted[name]) for name in missing)
        )
    for name in given:
        if name not in wanted:
            raise ValueError(
                f"fields: got {short(name)}, which {_files.shown(path)} has not from outside, "
                f"wanted {_names(wanted)}"
            )
    for name, about in wanted.items():
        here = told(given[name])
        if (here["class"], here["repr"]) != (about["class"], about["repr"]):
            raise ValueError(
                f"fields[{short(name)}]: got {printable(here['repr'])}, wanted one like the "
                f"{printable(about['class'])} that was saved, {printable(about['repr'])}"
            )
    return {name: given[name] for name in wanted}


def _asked(name: str, about: dict[str, str]) -> str:
    return f"{short(name)}, which was {printable(about['repr'])} ({printable(about['place'])})"


def _names(of: Mapping[str, Any]) -> str:
    return ", ".join(short(name) for name in of) or "nothing"
