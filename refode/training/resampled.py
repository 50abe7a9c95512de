"""``train_resampled``: samples are redrawn every so many iterations."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from refode import _seeds, _validate
from refode.ode.placement import hosted
from refode.problems.contract import Problem, Sampler
from refode.training import checkpoint as files
from refode.training import records
from refode.training.ends import Stop, Unfit
from refode.training.options import Callback, Options, start
from refode.training.records import RESAMPLED, Evaluation, Float64
from refode.training.run import BROKEN_OFF, Run
from refode.training.variables import Pair, Preconditioned, ProductForm, Unscaled, curved

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

#: What ``memory`` may be.
MEMORIES = ("kept", "reset")
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
        value on them is computed at the start of each period and at the end.
    choose : {"last", "best"}, optional
        Which theta comes back: the last one, or the best on the validation samples of those
        at which that was computed.
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
    )
    problem = options.admit(problem)
    seed = _validate.nonnegative_int("seed", seed)
    n_samples = _validate.positive_int("n_samples", n_samples)
    _validate.affordable("n_samples", n_samples, 16 * n_samples)
    drawing = Drawing(_sampler(problem, sampler), n_samples, seed)
    plan = Plan(
        drawing=drawing,
        every=_validate.positive_int("every", every),
        memory=memory,
        choose=choose,
        validation=_validation(problem, drawing, validation_samples),
    )
    begin = start(problem, theta0, seed)
    return Periods(problem, plan, begin, None if theta0 is not None else seed, options).run()


@dataclass(frozen=True)
class Drawing:
    """Where samples come from."""

    sampler: Sampler
    n_samples: int
    seed: int

    def period(self, period: int) -> Data:
        """A period's samples."""
        return self._draw(self.n_samples, "period", period)

    def validation(self, n: int) -> Data:
        """Samples that no period has."""
        return self._draw(n, "validation")

    def _draw(self, n: int, use: str, *numbers: int) -> Data:
        drawn = self.sampler(n, _seeds.number(f"samples of a {use}", self.seed, *numbers))
        return drawn if isinstance(drawn, tuple) else (drawn,)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """See ``train_resampled``, which documents and defaults these."""

    drawing: Drawing
    every: int
    memory: str
    choose: str
    validation: Data | None

    def __post_init__(self) -> None:
        _validate.choice("memory", self.memory, MEMORIES)
        _validate.choice("choose", self.choose, CHOICES)
        if self.choose == "best" and self.validation is None:
            raise ValueError("choose: got 'best' without validation_samples, wanted these too")


class PeriodOver(Exception):
    """As many iterations as a period has."""


class Validated(NamedTuple):
    """A theta with its value on the validation samples."""

    value: float
    evaluation: Evaluation
    iteration: int


class Periods(Run):
    """Runs of L-BFGS one after another, each on its own samples; one history, one checkpoint."""

    columns = RESAMPLED
    pairs_named = "memory_pairs"

    def __init__(
        self, problem: Problem, plan: Plan, theta0: Float64, seed: int | None, options: Options
    ) -> None:
        self.plan = plan
        self.period = self.began_at = 0
        self.pairs: deque[Pair] = deque(maxlen=options.memory)
        self.validated: list[Validated] = []  # the best one and the last one
        with _named_for_sampler():
            first = problem.data(plan.drawing.period(0))
        _check_validation(plan.validation, first)
        super().__init__(problem, first, theta0, seed, options, "period 0  ")

    def _naming(self) -> contextlib.AbstractContextManager[None]:
        return _named_for_sampler()

    def _how(self, seed: int | None) -> dict[str, Any]:
        plan = self.plan
        how = {"n_samples": plan.drawing.n_samples, "every": plan.every, "curvature": plan.memory}
        how |= {"seed_of_samples": plan.drawing.seed}
        for i, array in enumerate(plan.validation or ()):
            how[f"validation_samples[{i}]"] = files.fingerprint("validation_samples", array)
        return super()._how(seed) | how

    # --- periods -------------------------------------------------------------------------
    def _minimise(self) -> None:
        while True:
            try:
                self._optimise(self._variables())
            except PeriodOver:
                pass
            except Stop as stop:
                if stop.status not in (records.CONVERGED, records.LINE_SEARCH, records.STUCK):
                    raise
                if self.iteration <= self.began_at + 1:  # not one step, or one that gained nothing
                    if not self.pairs:
                        raise
                    self.pairs.clear()
            self._begin_period()

    def _variables(self) -> Unscaled | Preconditioned:
        if not self.pairs:
            return Unscaled(self.iterate.theta)
        return Preconditioned.at(self.iterate.theta, self.iterate.gradient, ProductForm(self.pairs))

    def _begin_period(self) -> None:
        self._check_enough()  # where the period has converged in its very last iteration
        with np.errstate(**self.recorder.errors):
            data = self.plan.drawing.period(self.period + 1)
        self.iterate = self.recorder.redraw(data, self.iterate.theta)
        self.period, self.began_at = self.period + 1, self.iteration
        self.progress.label = f"period {self.period}  "
        self._add_row(self.iterate, self.iteration)
        self._check_converged()

    def _iterate(self, xk: Float64) -> None:
        super()._iterate(xk)
        if self.iteration >= self.began_at + self.plan.every:
            raise PeriodOver

    def _go_to(self, evaluation: Evaluation) -> None:
        before = self.iterate
        super()._go_to(evaluation)
        s, y = evaluation.theta - before.theta, evaluation.gradient - before.gradient
        if self.plan.memory == "kept" and curved(s, y):
            self.pairs.append((s, y))

    # --- validation ------------------------------------------------------------------------
    def _besides(self, evaluation: Evaluation, known: Any) -> dict[str, Any]:
        value = float("nan")
        if not self.rows or self._newest()["period"] < self.period:
            value = self._validate(None if known is None else float(known["validation"]))
        row = {"period": self.period, "validation": value}
        return row | super()._besides(evaluation, known)

    def _validate(self, known: float | None = None) -> float:
        """The iterate's value on the validation samples, NaN where there are none."""
        if self.plan.validation is None:
            return float("nan")
        if known is None:
            known = self._value_there(self.plan.validation)
        iteration = self.iteration if self.rows else 0
        newest = Validated(known, self.iterate, iteration)
        best = self.validated[0] if self.validated else newest
        better = newest.value < best.value or not np.isfinite(best.value)
        self.validated = [newest if better else best, newest]
        return known

    def _value_there(self, samples: Data) -> float:
        try:
            with np.errstate(**self.recorder.errors):
                return float(self.problem.value(self.iterate.theta.copy(), *samples))
        except Exception as error:
            if self.rows:
                raise
            why = f"validation_samples: the problem's value refuses them ({error})"
            raise Unfit(why) from error

    def _until_stopped(self) -> Stop:
        ended = super()._until_stopped()
        if ended.status in BROKEN_OFF or self._known(self.iterate):
            return ended

        def finish() -> None:
            self._validate()
            raise ended

        return self._stopped_by(finish)

    # --- what there is in the end ----------------------------------------------------------
    def _show(self, row: dict[str, Any], evaluation: Evaluation) -> None:
        last = self.validated[-1].value if self.validated else float("nan")
        super()._show(row | {"validation": last}, evaluation)

    def _chosen(self, ended: Stop) -> tuple[Evaluation, str]:
        if self.plan.choose == "last" or not self.validated:
            return super()._chosen(ended)
        best = self.validated[0]
        which = f"; x is the best on the validation samples, of iteration {best.iteration}"
        return best.evaluation, which

    def _known(self, evaluation: Evaluation) -> Validated | None:
        """The evaluation's value on the validation samples, if it is at hand."""
        for found in self.validated:
            if np.array_equal(found.evaluation.theta, evaluation.theta):
                return found
        return None

    def _more(self, chosen: Evaluation) -> dict[str, Any]:
        history, last, known = self.history(), self._known(self.iterate), self._known(chosen)
        if len(history) and last is not None:
            history["validation"][-1] = last.value
        return {
            "history": history,
            "periods": self.period + 1,
            "validation": float("nan") if known is None else known.value,
            "chosen": "last" if np.array_equal(chosen.theta, self.iterate.theta) else "best",
        }


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


def _validation(problem: Problem, drawing: Drawing, given: Any) -> Data | None:
    if given is None:
        return None
    if isinstance(given, tuple):
        return problem.data(given)
    if _validate.n_axes(given) or isinstance(given, list):
        return problem.data((given,))
    n = _validate.positive_int("validation_samples", given)
    _validate.affordable("validation_samples", given, 16 * n)
    return drawing.validation(n)


def _check_validation(given: Data | None, drawn: Data) -> None:
    """See that each array has the form of the drawn ones; how many samples there are is free."""
    for i, (array, like) in enumerate(zip(given or (), drawn, strict=False)):
        if isinstance(like, np.ndarray) and like.dtype.kind == "f" and like.ndim > 1:
            name = f"validation_samples[{i}]" if len(drawn) > 1 else "validation_samples"
            _validate.real_array(name, hosted(array), ("N", *like.shape[1:]))
