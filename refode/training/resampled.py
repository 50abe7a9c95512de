"""``train_resampled``: samples are redrawn every so many iterations."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import _seeds, _validate
from refode.problems.contract import Problem, Sampler
from refode.training.ends import Stop
from refode.training.options import Callback, Options, start
from refode.training.periods import Periods, Plan
from refode.training.records import Evaluation
from refode.training.run import BROKEN_OFF
from refode.training.samples import Samples
from refode.training.validation import Validation, check_form

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

#: What ``choose`` may be.
CHOICES = ("last", "best")

Data = tuple[Any, ...]


def train_resampled(
    problem: Any,
    sampler: Sampler | None = None,
    n_samples: int = 2304,
    every: int = 25,
    theta0: Any = None,
    seed: int = 0,
    max_iter: int = 500,
    progress: bool = True,
    callback: Callback | None = None,
    *,
    memory: str = "kept",
    memory_pairs: int = 20,
    validation_samples: Any = None,
    choose: str = "last",
    patience: int | None = None,
    terms: bool = False,
    tolerance: float = 1e-6,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    resume: bool = False,
) -> OptimizeResult:
    """Minimise an expected value over theta, by L-BFGS on samples redrawn now and then, (25).

    Within a period of ``every`` iterations the samples are fixed, so that SciPy's L-BFGS-B
    sees a smooth function and its line search works. The next period has fresh samples.

    Parameters
    ----------
    problem : object
        As for ``train``.
    sampler : callable, optional
        ``sampler(n, seed)`` gives n samples x, or a tuple ``(x, y)``, the same for the same
        seed; ``problem.game.initial.sample`` by default.
    n_samples : int, optional
        How many a period.
    every : int, optional
        Iterations a period. A period ends before where it has converged.
    theta0, max_iter, progress, callback, terms, tolerance
        As in ``train``. ``max_iter`` is for all periods together. The callback's intermediate
        result has ``period`` and ``validation`` too.
    seed : int, optional
        For ``problem.initial`` and, with the period's number, for the samples.
    memory : {"kept", "reset"}, optional
        Whether a period starts from the curvature known so far, (D54), or from none.
    memory_pairs : int, optional
        Pairs that L-BFGS keeps, and that are carried over.
    validation_samples : int, array_like or tuple, optional
        Samples of their own, the same throughout: how many to draw, or x, or ``(x, y)``. The
        value on them is computed at the start of each period and at the end, without
        regularisers as for ``train``'s validation.
    choose : {"last", "best"}, optional
        Which theta comes back: the last one, or the best on the validation samples of those
        at which that was computed.
    patience : int, optional
        Enough after so many iterations without a better value on the validation samples; seen
        to where periods start.
    checkpoint, checkpoint_every, resume
        As in ``train``: one file for all periods.

    Returns
    -------
    OptimizeResult
        As of ``train``; ``fun`` and ``jac`` are on the samples of the period in which ``x`` was
        evaluated. ``history`` has a first column ``period``, and each period's first row is
        its start, the last iterate on fresh samples, with the same ``iteration``. A last
        column ``validation`` (before any terms) is NaN but in these rows and in the last one.
        Besides:

        periods : int
            How many there were.
        validation : float
            Of ``x``; NaN where not known.
        best_iteration : int or None
            Of the best value on the validation samples; None where none was finite.
        chosen : {"last", "best"}
            Whether ``x`` is the last iterate, or the best one: by ``choose``, or the best of
            the last period's evaluations where training was broken off.

        ``status`` is as of ``train``; 0 means that a period's start met the tolerance on fresh
        samples, or that there was no step that lessens the value there and the gradient promises
        none. With ``choose="best"`` x is that one however training ended.

    Raises
    ------
    TypeError, ValueError
        As ``train``.

    Notes
    -----
    Values of different periods differ by the samples' noise, O(N^(-1/2)). Too few samples for
    too many iterations are overfitted: the value falls within a period and jumps at the next
    start, which history shows.
    """
    options = Options(
        max_iter=max_iter,
        progress=progress,
        callback=callback,
        method="lbfgs",
        tolerance=tolerance,
        memory=_validate.positive_int("memory_pairs", memory_pairs),
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        terms=terms,
        patience=patience,
    )
    problem = options.admit(problem)
    seed = _validate.nonnegative_int("seed", seed)
    n_samples = _validate.positive_int("n_samples", n_samples)
    _validate.affordable("n_samples", n_samples, 16 * n_samples)
    drawing = Drawing(problem, _sampler(problem, sampler), n_samples, seed)
    plan = Plan(source=drawing, every=_validate.positive_int("every", every), memory=memory)
    validation = _validation(drawing, validation_samples, choose, options.patience)
    begin, origin = start(problem, theta0, seed), None if theta0 is not None else seed
    run = Resampled(problem, plan, begin, origin, options, validation, pairs_named="memory_pairs")
    if validation is not None:
        check_form(validation.name, validation.samples, run.samples)
    return run.run()


@dataclass(frozen=True)
class Drawing:
    """A `Source` that draws."""

    problem: Problem
    sampler: Sampler
    n_samples: int
    seed: int

    def period(self, period: int) -> Samples:
        """A period's samples."""
        with self.naming():
            return Samples(self.problem.data(self._draw(self.n_samples, "period", period)))

    @property
    def idle_periods(self) -> int:
        """The next period would be as good as this one."""
        return 1

    def identity(self, first: Samples) -> Samples:
        """What a checkpoint knows the samples by: the first ones."""
        return first

    def how(self) -> dict[str, Any]:
        """What else it knows the drawing by."""
        return {"n_samples": self.n_samples, "seed_of_samples": self.seed}

    def naming(self) -> contextlib.AbstractContextManager[None]:
        """Errors about x or y, which nobody gave, are the sampler's."""
        return _named_for_sampler()

    def validation(self, n: int) -> Data:
        """Samples that no period has."""
        return self._draw(n, "validation")

    def _draw(self, n: int, use: str, *numbers: int) -> Data:
        drawn = self.sampler(n, _seeds.number(f"samples of a {use}", self.seed, *numbers))
        return drawn if isinstance(drawn, tuple) else (drawn,)


class Resampled(Periods):
    """Periods whose samples are drawn, validated where they start, and at the end."""

    def _is_validated(self) -> bool:
        started = not self.rows or self._newest()["period"] < self.period
        return started and super()._is_validated()

    def _until_stopped(self) -> Stop:
        ended, held = super()._until_stopped(), self.validation
        if held is None or ended.status in BROKEN_OFF or held.known(self.iterate):
            return ended

        def finish() -> None:
            self._validate(self.iteration)
            raise ended

        return self._stopped_by(finish)

    def _more(self, chosen: Evaluation) -> dict[str, Any]:
        more = {"validation": float("nan"), "best_iteration": None} | super()._more(chosen)
        history = more["history"]
        end = None if self.validation is None else self.validation.known(self.iterate)
        if len(history) and end is not None:
            history["validation"][-1] = end.value
        last = np.array_equal(chosen.theta, self.iterate.theta)
        return more | {"chosen": "last" if last else "best"}


@contextlib.contextmanager
def _named_for_sampler() -> Iterator[None]:
    """Errors of a problem about x or y, which nobody gave, are the sampler's."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if str(error).startswith(("x: ", "y: ")):
            raise type(error)(f"sampler: returned data of the wrong kind, {error}") from error
        raise


def _sampler(problem: Problem, sampler: Any) -> Sampler:
    if sampler is None:
        sampler = problem.sampler
        if sampler is None:
            raise TypeError(
                f"sampler: got None and {problem.kind} without game.initial.sample, "
                "wanted a callable sampler(n, seed)"
            )
    if not callable(sampler):
        raise TypeError(
            f"sampler: got {_validate.shown(sampler)}, wanted a callable sampler(n, seed) or None"
        )
    return sampler


def _validation(drawing: Drawing, given: Any, choose: Any, patience: Any) -> Validation | None:
    choose = _validate.choice("choose", choose, CHOICES)
    if given is None:
        for name, value, needs in (
            ("choose", choose, choose == "best"),
            ("patience", patience, patience is not None),
        ):
            if needs:
                raise ValueError(
                    f"{name}: got {value!r} without validation_samples, wanted these too"
                )
        return None
    name = "validation_samples"
    samples = Samples(_given(drawing, name, given))
    return Validation(drawing.problem, samples, name, chooses=choose == "best", patience=patience)


def _given(drawing: Drawing, name: str, given: Any) -> Data:
    if not isinstance(given, tuple) and (_validate.n_axes(given) or isinstance(given, list)):
        given = (given,)
    if isinstance(given, tuple):
        try:
            return drawing.problem.data(given)
        except TypeError as error:  # too many, or too few
            raise TypeError(f"{name}: {error}") from None
    n = _validate.positive_int(name, given)
    _validate.affordable(name, given, 16 * n)
    return drawing.validation(n)
