"""Multilevel training: coarse weights in time, few steps or few samples first, then finer ones."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import _validate
from refode.problems.contract import Problem
from refode.problems.wrapped import problem_of
from refode.training import records
from refode.training.checkpoint import Refusal, name_of, path_of
from refode.training.options import Callback, Options, start
from refode.training.records import Float64
from refode.training.run import Run
from refode.training.samples import Samples, samples_of
from refode.training.validation import validation_of

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

#: After these a finer level is not begun.
_FINAL = (records.STOPPED, records.INTERRUPTED, records.NON_FINITE, records.FAILED)


def prolong(theta: Any, coarse: Any, fine: Any) -> Float64:
    """Theta of the same function of time, in a finer basis.

    Parameters
    ----------
    theta : (p_coarse,)
        Of `coarse`. Where `fine` alone learns its steps, they begin as those it was made with.
    coarse, fine : problem or NeuralODE
        With the same field and t_span, `fine`'s basis at least as fine as `coarse`'s. Their
        schemes and numbers of steps are free. Problems without an ``ode`` must have the same
        ``layout``, or where they have none the same ``n_parameters``.

    Returns
    -------
    (p_fine,)
        The field's arrays by ``coarse.ode.basis.prolongation(fine.ode.basis)``, name by name;
        others, such as a readout's, as they are. The weights theta(t) are the same to
        rounding where the finer space contains the coarser; elsewhere they are interpolated.
        A copy of theta where the bases are equal, or there are none.

    Raises
    ------
    TypeError, ValueError
        Problems with other fields, names, shapes or t_span, or of which nothing says what
        their parameters are; a basis that is no finer; theta of a wrong shape.
    """
    coarse, fine = problem_of(coarse), problem_of(fine)
    _check_pair(coarse, fine)
    theta = _validate.real_vector("theta", theta, coarse.n_parameters)
    ode, finer = coarse.ode, fine.ode
    if ode is None or finer is None:
        return np.array(theta)
    if ode.basis == finer.basis and ode.step_rule == finer.step_rule:
        return np.array(theta)
    P = ode.basis.prolongation(finer.basis)
    J = ode.basis.n_coefficients
    arrays = {}
    for name, array in coarse.unpack(theta).items():
        if name in ode.field.layout.shapes:
            arrays[name] = (P @ array.reshape(J, -1)).reshape(-1, *array.shape[1:])
        else:
            arrays[name] = array
    return fine.pack({**finer._started(), **arrays})


def train_multilevel(
    problems: Sequence[Any],
    x: Any,
    y: Any = None,
    theta0: Any = None,
    seed: int = 0,
    max_iter: int | Sequence[int] = 200,
    progress: bool = True,
    callback: Callback | None = None,
    *,
    method: str = "lbfgs",
    tolerance: float = 1e-6,
    memory: int = 20,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    resume: bool = False,
    terms: bool = False,
    sample_weight: Any = None,
    validation: Any = None,
    patience: int | None = None,
) -> OptimizeResult:
    """Train one problem after another, each from the prolonged result of the one before.

    Parameters
    ----------
    problems : sequence of problems
        Of one field, with ever finer bases, more steps, or both, as for ``prolong``: such as
        ``[Supervised(NeuralODE(field, n_steps=J, basis=PiecewiseConstant(J))) for J in (2, 4)]``
        or ``[game.with_steps(n) for n in (2, 4, 8)]``.
    x : array_like, or list of arrays
        Samples for all levels, or a list of one array (N, d) a level, as a rule ever more.
    y : array_like, or list
        Targets for all levels, or where x is a list one a level.
    sample_weight : (N,) or list, optional
        Weights for all levels, or where x is a list one array a level.
    theta0 : (p,), optional
        Of the first problem.
    max_iter : int or sequence of int, optional
        For every level, or one for each.
    callback : callable, optional
        As in ``train``; the intermediate result has ``level`` (from 0) too. Ends all levels.
    checkpoint : path, optional
        ``"run.npz"`` stands for ``"run-level0.npz"``, ``"run-level1.npz"``, ...: one a level,
        those of an older run removed unless ``resume``.
    seed, progress, method, tolerance, memory, checkpoint_every, resume, terms
        As in ``train``.
    validation, patience
        As in ``train``, the same for every level, which begins with the theta that was the best
        one on the level before.

    Returns
    -------
    OptimizeResult
        Of the last level that was trained, as ``train`` returns it, and besides:

        level : int
            Which one that is. It is the last one unless training was broken off (by the
            callback, Ctrl-C, or statuses 12 and 13); ``x`` belongs to ``problems[level]``,
            and ``prolong`` takes it further.
        levels : list of OptimizeResult
            Each level's own.
        history : structured array
            All levels' rows, with a first column ``level``. ``seconds`` go on over the
            levels, the other columns count within a level.

    Raises
    ------
    TypeError, ValueError
        As ``train``, and for problems that do not follow one another, or lists of samples that
        do not fit them.

    Notes
    -----
    Values of levels with other samples, steps or weights are values of other functions: they
    need not fall from one level to the next.
    """
    options = Options(
        max_iter=1,
        progress=progress,
        callback=callback,
        method=method,
        tolerance=tolerance,
        memory=memory,
        checkpoint=None,
        checkpoint_every=checkpoint_every,
        resume=False,
        terms=terms,
        patience=patience,
    )
    problems = _checked(problems, options)
    options.admit_size("memory", max(problem.n_parameters or 0 for problem in problems))
    samples = _samples(problems, x, y, sample_weight)
    held = [
        validation_of(problem, validation, own, options.patience)
        for problem, own in zip(problems, samples, strict=True)
    ]
    limits = _limits(max_iter, len(problems))
    resume = _validate.boolean("resume", resume)
    files = _files_of(checkpoint, len(problems), resume)
    seed = _validate.nonnegative_int("seed", seed)
    theta = start(problems[0], theta0, seed)
    results: list[OptimizeResult] = []
    for level, problem in enumerate(problems):
        own = dataclasses.replace(
            options,
            max_iter=limits[level],
            callback=_with_level(callback, level),
            checkpoint=files[level],
            resume=resume and (level == 0 or files[level].exists()),
        )
        label = f"level {level + 1}/{len(problems)}  "
        origin = seed if theta0 is None else None
        run = Run(problem, samples[level], theta, origin, own, label, held[level])
        if level == 0 and not resume:  # an older run's, which this one's first level outdates
            run.outdated = [file for file in files[1:] if file is not None]
        broken_off = _level(run, results)
        if broken_off or results[-1].status in _FINAL:
            break
        if level + 1 < len(problems):
            theta = prolong(results[-1].x, problem, problems[level + 1])
    return _joined(results)


def _level(run: Run, results: list[OptimizeResult]) -> bool:
    """Train a level and append its result; whether it broke off before its first evaluation.

    The first level raises then, as ``train`` does. A later one leaves the result of the level
    before as the last one, with a message and a status that say so.
    """
    try:
        results.append(run.run())
        return False
    except Refusal:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if not results:
            raise
        interrupted = isinstance(error, KeyboardInterrupt)
        why = "interrupted by Ctrl-C" if interrupted else f"{type(error).__name__}: {error}"
        before = results[-1]
        before.message = f"{why}, at the start of level {len(results)}; x is of the level before"
        before.success, before.status = False, records.FAILED
        if interrupted:
            before.status = records.INTERRUPTED
        else:
            warnings.warn(before.message, RuntimeWarning, stacklevel=3)
        return True


def _joined(results: list[OptimizeResult]) -> OptimizeResult:
    from scipy.optimize import OptimizeResult

    columns = results[0].history.dtype  # HISTORY's, and perhaps validation and terms
    dtype = np.dtype([("level", np.int64), *((n, columns[n]) for n in columns.names or ())])
    parts, seconds = [], 0.0
    for level, result in enumerate(results):
        part = np.zeros(len(result.history), dtype)
        part["level"] = level
        for name in columns.names or ():
            part[name] = result.history[name]
        part["seconds"] += seconds
        seconds = part["seconds"][-1]
        parts.append(part)
    joined = OptimizeResult(results[-1])
    joined.history = np.concatenate(parts)
    joined.level, joined.levels = len(results) - 1, results
    return joined


# --- the door -------------------------------------------------------------------------------
def _checked(problems: Any, options: Options) -> list[Problem]:
    if isinstance(problems, str | bytes) or not isinstance(problems, Sequence):
        raise TypeError(f"problems: got {type(problems).__name__}, wanted a list of problems")
    if not problems:
        raise ValueError("problems: got an empty list, wanted at least one problem")
    problems = [_admitted(options, f"problems[{i}]", p) for i, p in enumerate(problems)]
    for i in range(len(problems) - 1):
        try:
            _check_pair(problems[i], problems[i + 1])
        except (TypeError, ValueError) as error:
            raise type(error)(f"problems[{i + 1}] after problems[{i}]: {error}") from None
    return problems


def _admitted(options: Options, name: str, problem: Any) -> Problem:
    try:
        return options.admit(problem)
    except TypeError as error:
        raise TypeError(str(error).replace("problem:", f"{name}:", 1)) from None


def _check_pair(coarse: Problem, fine: Problem) -> None:
    if coarse.scalings != fine.scalings:
        raise ValueError(f"fine: got {_scaled(fine)}, wanted the scalings of {_scaled(coarse)}")
    ode, finer = coarse.ode, fine.ode
    if ode is None or finer is None:
        _check_parameters(coarse, fine)
        return
    if type(ode.field) is not type(finer.field) or ode.field.layout != finer.field.layout:
        raise ValueError(f"fine: got the field {finer.field!r}, wanted {ode.field!r}")
    if ode.t_span != finer.t_span:
        raise ValueError(f"fine: got the t_span {finer.t_span}, wanted {ode.t_span}")
    if coarse.n_parameters - ode.n_parameters != fine.n_parameters - finer.n_parameters:
        raise ValueError(
            f"fine: got {_validate.short(fine)}, wanted the readout of {_validate.short(coarse)}"
        )
    rules = [(each.step_rule, each.n_steps) for each in (ode, finer)]
    if ode.step_rule != "fixed" and rules[0] != rules[1]:
        raise ValueError(f"fine: got the steps of {finer!r}, wanted those of {ode!r}")
    ode.basis.prolongation(finer.basis)


def _scaled(problem: Problem) -> str:
    named = [f"{name}={scaling!r}" for name, scaling in problem.scalings.items()]
    return f"a {problem.kind} with {', '.join(named) or 'data in their own units'}"


def _check_parameters(coarse: Problem, fine: Problem) -> None:
    """Of problems without a basis: whether one's theta can be the other's."""
    parametrisations = []
    for name, problem in (("coarse", coarse), ("fine", fine)):
        if problem.parametrisation is None:
            raise TypeError(
                f"{name}: got {problem.kind}, wanted a problem with a NeuralODE, or "
                "with n_parameters"
            )
        parametrisations.append(problem.parametrisation)
    if parametrisations[0] != parametrisations[1]:
        raise ValueError(
            f"fine: got the parameters {parametrisations[1]}, wanted {parametrisations[0]}"
        )


def _samples(problems: list[Problem], x: Any, y: Any, weight: Any) -> list[Samples]:
    """Each level's samples; x is by level where it is a list of matrices."""
    n = len(problems)
    if not (isinstance(x, list | tuple) and x and all(_validate.n_axes(e) >= 2 for e in x)):
        return [samples_of(problem, x, y, weight) for problem in problems]
    if len(x) != n:
        raise ValueError(f"x: got a list of {len(x)} arrays, wanted one for {n} problems")
    d = np.shape(x[0])[1]
    x = [_validate.real_array(f"x[{i}]", samples, ("N", d)) for i, samples in enumerate(x)]
    ys, weights = _by_level("y", y, n), _by_level("sample_weight", weight, n)
    return [samples_of(*of) for of in zip(problems, x, ys, weights, strict=True)]


def _by_level(name: str, given: Any, n: int) -> list[Any]:
    if not isinstance(given, list | tuple):
        return [given] * n
    if len(given) != n:
        raise ValueError(
            f"{name}: got a list of {len(given)}, wanted one for {n} problems, as x is"
        )
    return list(given)


def _limits(max_iter: Any, n: int) -> list[int]:
    if isinstance(max_iter, list | tuple) or _validate.n_axes(max_iter) == 1:
        if len(max_iter) != n:
            raise ValueError(f"max_iter: got {len(max_iter)} numbers, wanted one for {n} problems")
        return [_validate.positive_int(f"max_iter[{i}]", m) for i, m in enumerate(max_iter)]
    return [_validate.positive_int("max_iter", max_iter)] * n


def _files_of(checkpoint: Any, n: int, resume: bool) -> list[Any]:
    """Each level's file, all of them looked at before any work is done."""
    if checkpoint is None:
        if resume:
            raise ValueError("resume: got True without a checkpoint, wanted the file's name too")
        return [None] * n
    path = Path(name_of(checkpoint))
    if path.is_dir():
        raise ValueError(f"checkpoint: got the folder {str(path)!r}, wanted a file's name")
    suffix = path.suffix or ".npz"
    files = [path.with_name(f"{path.stem}-level{level}{suffix}") for level in range(n)]
    for i, file in enumerate(files):
        path_of(file, resume=resume and i == 0)
    return files


def _with_level(callback: Callable[..., Any] | None, level: int) -> Callable[..., Any] | None:
    if callback is None:
        return None

    def call(intermediate: OptimizeResult) -> Any:
        intermediate.level = level
        return callback(intermediate)

    return call
