"""A training run in a file: the settings it was made with, and every answer of its problem.

The file is a plain ``.npz`` that is never unpickled and never half written. It grows by 8 p
bytes an evaluation or Hessian-vector product, p the number of parameters, since the whole
run is played back on resuming (see ``refode.training.records``). It has the problem's description
too, so that ``refode.load`` reads it as a model.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import refode
from refode import _files, _validate
from refode._numbers import as_array
from refode.ode.placement import hosted
from refode.ode.steps import Given
from refode.problems.contract import Problem
from refode.problems.observations import Observations
from refode.training.records import EVALUATION, HISTORY, PRODUCT, Call, Evaluation, Float64, norm

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

    from refode.saving.describe import Description

# What files of models need is imported where it is used: it knows every class there is.
FORMAT = "refode training 2"
#: Without a description; read as well, though a run of another version is never resumed.
FORMER = "refode training 1"

# member: (kind of dtype, number of axes)
_MEMBERS = {
    "format": ("U", 0),
    "settings": ("U", 0),
    "theta0": ("f", 1),
    "kinds": ("u", 1),
    "digests": ("u", 2),
    "values": ("f", 1),
    "vectors": ("f", 2),
    "history": ("V", 1),
    "elapsed": ("f", 0),
    "best_theta": ("f", 1),
    "best_value": ("f", 0),
    "best_gradient": ("f", 1),
}


class CheckpointNotFoundError(FileNotFoundError, ValueError):
    """There is no such file to resume from."""


class Refusal(ValueError):
    """A checkpoint of another run; the message names what differs."""


class Checkpoint(NamedTuple):
    """All that a file holds."""

    settings: dict[str, Any]
    theta0: Float64
    calls: list[Call]
    history: np.ndarray  # with HISTORY's columns
    elapsed: float
    best: Evaluation
    model: Description | None = None  # the problem's, where it has one
    plans: tuple[Float64, ...] = ()  # the grids of its periods, where they were planned


def name_of(checkpoint: Any) -> str:
    """Return `checkpoint` as a path of text; TypeError else."""
    name = os.fspath(checkpoint) if isinstance(checkpoint, str | os.PathLike) else None
    if name is None:
        raise TypeError(
            f"checkpoint: got {_validate.short(checkpoint)}, wanted a path (str or os.PathLike)"
        )
    if not isinstance(name, str) or not name:
        raise TypeError(f"checkpoint: got {_validate.short(checkpoint)}, wanted a path of text")
    return name


def path_of(checkpoint: Any, resume: bool) -> Path:
    """Return `checkpoint` as a path that can be written, or read where `resume`.

    Raises
    ------
    TypeError
        No path.
    ValueError
        No regular file, or in no folder that can be written, or, where `resume`, no file there
        (`CheckpointNotFoundError`).
    """
    name = name_of(checkpoint)
    if resume and not _files.readable("checkpoint", name).exists():
        raise CheckpointNotFoundError(
            f"checkpoint: got {name!r}, but there is no such file to resume"
        )
    return _files.writable("checkpoint", name)


def settings_of(problem: Problem, data: tuple[Any, ...], how: dict[str, Any]) -> dict[str, Any]:
    """What must agree between a run and its continuation, as JSON scalars by name."""
    named = dict(zip(("x", "y"), (*data, None), strict=False))
    return {
        **how,
        "problem": problem.fingerprint(),
        **{name: fingerprint(name, value) for name, value in named.items()},
        "refode": refode.__version__,
        **{package: _version(package) for package in ("numpy", "scipy", "numba")},
    }


def description_of(problem: Problem) -> Description | None:
    """What ``refode.load`` makes the problem of; None for those of classes of one's own."""
    from refode.saving.describe import described

    try:
        return described(problem)
    except (TypeError, ValueError):
        return None


def compare(path: Path, found: Checkpoint, settings: dict[str, Any], theta0: Float64) -> None:
    """Raise `Refusal`, naming what differs, unless the file is of this very run."""
    names = sorted({*found.settings, *settings})
    differing = [
        f"{name} (there {_short(found.settings.get(name))}, here {_short(settings.get(name))})"
        for name in names
        if found.settings.get(name) != settings.get(name)
    ]
    if found.theta0.tobytes() != theta0.tobytes():
        differing.append("theta0")
    if differing:
        raise Refusal(
            f"checkpoint: got {str(path)!r}, the run of which differs in {', '.join(differing)}; "
            "wanted the same run"
        )


def save(path: Path, state: Checkpoint) -> None:
    """Write the file anew, all of it or nothing; where `path` is a link, what it leads to."""
    calls = state.calls
    p = state.theta0.size
    members: dict[str, Any] = {
        "format": np.array(FORMAT),
        "settings": np.array(json.dumps(state.settings)),
        "theta0": state.theta0,
        "kinds": np.array([call.kind for call in calls], dtype=np.uint8),
        "digests": np.frombuffer(b"".join(c.digest for c in calls), np.uint8).reshape(-1, 16),
        "values": np.array([call.value for call in calls]),
        "vectors": np.array([call.vector for call in calls]).reshape(-1, p),
        "history": state.history,
        "elapsed": np.array(state.elapsed),
        "best_theta": state.best.theta,
        "best_value": np.array(state.best.value),
        "best_gradient": state.best.gradient,
        "description": np.array(""),
    }
    if state.plans:  # each one's length before it
        members["plans"] = np.concatenate([np.append(len(grid), grid) for grid in state.plans])
    if state.model is not None:
        members |= state.model.members()
    with _files.replacing(path, durable=True) as file:
        np.savez(file, **members)


def load(path: Path, members: dict[str, np.ndarray] | None = None) -> Checkpoint:
    """Read a file that `save` wrote; its `members` where somebody has read them already.

    Raises
    ------
    ValueError
        The file cannot be read, is damaged, or is none of these.
    """
    try:
        return _assembled(_checked(_members(path) if members is None else members))
    except Exception as error:  # what a damaged zip file raises is anyone's guess
        raise ValueError(
            f"checkpoint: got {str(path)!r}, which cannot be read as a checkpoint of "
            f"refode.train ({error})"
        ) from error


def read_checkpoint(checkpoint: str | os.PathLike[str]) -> OptimizeResult:
    """What a checkpoint knows, without the problem it is about.

    Parameters
    ----------
    checkpoint : path
        Written by ``train`` or, a level each, by ``train_multilevel``.

    Returns
    -------
    OptimizeResult
        ``x``, ``fun``, ``jac`` of the best evaluation so far; ``nit``, ``nfev``, ``nhev``;
        ``history`` as of ``train``; ``theta0``; and ``settings``, a dict of what a run must
        share with this one to continue it.

    Raises
    ------
    TypeError, ValueError
        No path, no such file, or not one of ``train``'s. Nothing is ever unpickled.
    """
    if not isinstance(checkpoint, str | os.PathLike):
        raise TypeError(
            f"checkpoint: got {_validate.short(checkpoint)}, wanted a path (str or os.PathLike)"
        )
    path = _files.readable("checkpoint", checkpoint)
    if not path.exists():
        raise CheckpointNotFoundError(f"checkpoint: got {str(path)!r}, but there is no such file")
    return summary(load(path))


def summary(stored: Checkpoint) -> OptimizeResult:
    """What ``read_checkpoint`` returns."""
    from scipy.optimize import OptimizeResult

    kinds = [call.kind for call in stored.calls]
    return OptimizeResult(
        x=stored.best.theta,
        fun=stored.best.value,
        jac=stored.best.gradient,
        gradient_norm=norm(stored.best.gradient),
        nit=int(stored.history["iteration"][-1]),
        nfev=kinds.count(EVALUATION),
        nhev=kinds.count(PRODUCT),
        history=stored.history,
        theta0=stored.theta0,
        settings=stored.settings,
    )


def _members(path: Path) -> dict[str, np.ndarray]:
    from refode.saving import archive

    with open(path, "rb") as file:
        return archive.read(file)


def _checked(members: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Members by which a file is a checkpoint."""
    former = str(members.get("format")) == FORMER
    wanted = _MEMBERS if former else {**_MEMBERS, "description": ("U", 0)}
    if "plans" in members and not former:
        wanted = {**wanted, "plans": ("f", 1)}
    if {name for name in members if former or not name.startswith("array")} != set(wanted):
        raise ValueError("it has other members")
    for name, (kind, ndim) in wanted.items():
        array = members[name]
        if array.dtype.kind != kind or array.ndim != ndim:
            raise ValueError(f"its {name} is an array of dtype {array.dtype}, shape {array.shape}")
    if str(members["format"]) not in (FORMAT, FORMER):
        raise ValueError(f"its format is {str(members['format'])!r}, not {FORMAT!r}")
    return members


def _assembled(members: dict[str, np.ndarray]) -> Checkpoint:
    kinds, values, vectors = members["kinds"], members["values"], members["vectors"]
    digests, history = members["digests"], members["history"]
    theta0, theta, gradient = (members[n] for n in ("theta0", "best_theta", "best_gradient"))
    n, p = len(kinds), len(theta0)
    shapes = (values.shape, digests.shape, vectors.shape, theta.shape, gradient.shape)
    if shapes != ((n,), (n, 16), (n, p), (p,), (p,)) or not n or not _is_history(history):
        raise ValueError("its arrays do not fit together")
    numbers = (values, vectors, theta0, theta, gradient, members["elapsed"], members["best_value"])
    if not all(array.dtype == np.float64 and np.isfinite(array).all() for array in numbers):
        raise ValueError("its numbers are not all finite float64")
    if kinds[0] != EVALUATION or not np.isin(kinds, (EVALUATION, PRODUCT)).all():
        raise ValueError("its calls are not a run's")
    settings = json.loads(str(members["settings"]))
    if not isinstance(settings, dict):
        raise ValueError("its settings are no mapping")
    calls = [
        Call(int(kind), digest.tobytes(), float(value), vector)
        for kind, digest, value, vector in zip(kinds, digests, values, vectors, strict=True)
    ]
    best = Evaluation(theta, float(members["best_value"]), gradient)
    elapsed, plans = float(members["elapsed"]), _grids(members.get("plans", np.empty(0)))
    return Checkpoint(settings, theta0, calls, history, elapsed, best, plans=plans)


def _grids(flat: np.ndarray) -> tuple[Float64, ...]:
    """Planned grids, each after its length."""
    grids, place = [], 0
    while place < len(flat):
        length = flat[place]
        if not 2 <= length <= len(flat) - place - 1 or length != int(length):
            raise ValueError("its plans are no grids")
        grids.append(Given(flat[place + 1 : place + 1 + int(length)]).times)
        place += 1 + int(length)
    return tuple(grids)


def _is_history(history: np.ndarray) -> bool:
    """Whether there are rows, of HISTORY's columns and no others but numbers."""
    dtype = history.dtype
    names = dtype.names or ()
    if not len(history):
        return False
    numbers = all(dtype[name] in (np.dtype(np.int64), np.dtype(np.float64)) for name in names)
    return numbers and all(n in names and dtype[n] == HISTORY[n] for n in HISTORY.names or ())


def fingerprint(name: str, value: Any) -> str | None:
    """Dtype, shape and a digest of the bytes; equal data, equal text."""
    if value is None:
        return None
    if isinstance(value, Observations):
        return value.fingerprint()
    array = as_array(name, hosted(value))
    if array.dtype.hasobject:
        raise TypeError(
            f"{name}: got an array of dtype {array.dtype}, wanted numbers, since a checkpoint "
            "knows its data by their bytes"
        )
    digest = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
    return f"{array.dtype.str}{array.shape} {digest}"


@functools.cache  # milliseconds each
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # vendored or renamed
        return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
