"""One optimisation by SciPy, from its start to whatever ends it."""

from __future__ import annotations

import contextlib
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refode import _files
from refode._blas import Hold
from refode._quiet import quietly
from refode.machine import progress as compiler
from refode.problems.contract import Problem
from refode.problems.scales import warn_of_scales
from refode.training import checkpoint as files
from refode.training import records
from refode.training.ends import Promise, Stop, Unfit, given_up
from refode.training.minimising import minimise
from refode.training.options import Options
from refode.training.progress import Progress
from refode.training.records import Evaluation, Float64, Recorder
from refode.training.rows import Rows
from refode.training.samples import Samples
from refode.training.validation import Validation
from refode.training.variables import Unscaled, Variables

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.optimize import OptimizeResult

#: After these the optimiser's iterate need not be the best theta.
BROKEN_OFF = (records.INTERRUPTED, records.NON_FINITE, records.FAILED)


class Run(Rows):
    """A training run; ``train`` says what of what.

    Parameters
    ----------
    problem : Problem
    samples : Samples
        What the problem's methods take besides theta.
    theta0 : (p,)
    seed : int or None
        Where theta0 came from, if from a seed.
    options : Options
    label : str
        First on each progress line.
    validation : Validation, optional
        Held-out samples.
    """

    pairs_named = "memory"  # how the caller knows L-BFGS's pairs
    variables: Variables  # that SciPy sees

    def __init__(
        self,
        problem: Problem,
        samples: Samples,
        theta0: Float64,
        seed: int | None,
        options: Options,
        label: str = "",
        validation: Validation | None = None,
    ) -> None:
        self.problem, self.theta0, self.options = problem, theta0, options
        self.samples, self.validation = samples, validation
        if validation is not None and "validation" not in (self.columns.names or ()):
            self.columns = records.with_columns(self.columns, ["validation"])
        options.admit_size(self.pairs_named, theta0.size)
        self.dtype = self.columns
        self.progress = Progress(options.progress, options.max_iter, label)
        self.rows: list[tuple[Any, ...]] = []
        self.settings: dict[str, Any] = {}
        self.model: Any = None  # the problem's description, for the checkpoint
        self.plans: tuple[Float64, ...] = ()  # grids that were planned, for it too
        self.promise = Promise()
        self.enough = False  # for the callback
        self.saved, self.outdated = (0, 0), list[Path]()
        self.before, self.seen, calls = 0.0, np.empty(0, self.columns), []
        if options.path is not None:
            self.model = files.description_of(problem)
            known = self._identity()
            how = self._how(seed, known.weight)
            self.settings = files.settings_of(problem, known.arrays, how)
            if options.resume:
                stored = files.load(options.path)
                files.compare(options.path, stored, self.settings, theta0)
                self.before, self.seen, calls = stored.elapsed, stored.history, stored.calls
                self.plans = stored.plans
        keep = options.path is not None
        self.recorder = Recorder(problem, samples, calls, keep, options.gauss_newton)
        self.began = time.perf_counter() - compiler.seconds()

    def _how(self, seed: int | None, weight: Float64 | None) -> dict[str, Any]:
        """What the problem and its data do not say about this run, for the checkpoint."""
        pairs = self.options.memory if self.options.method == "lbfgs" else None
        how = {"method": self.options.method, "memory": pairs, "seed": seed}
        if self.options.terms:
            how["terms"] = True
        if weight is not None:
            how["sample_weight"] = files.fingerprint("sample_weight", weight)
        if self.validation is not None:
            how |= self.validation.samples.fingerprints(self.validation.name)
        return how

    def _identity(self) -> Samples:
        """What a checkpoint knows the samples by."""
        return self.samples

    def _naming(self) -> contextlib.AbstractContextManager[None]:
        """Within it errors of the first samples are said to be those of whoever gave them."""
        return contextlib.nullcontext()

    def run(self) -> OptimizeResult:
        """Train; see ``train`` for what comes back and what is raised."""
        shown = compiler.shown() if self.options.progress else contextlib.nullcontext()
        with shown, quietly():
            try:
                self.progress.open()
                with self._naming():
                    self.iterate = self.recorder.evaluate(self.theta0)
                self.recorder.forget_all_but(self.iterate)
                warn_of_scales(self.problem, self.recorder.samples.arrays[:1])
                self._name_terms()
                ended = Hold().around(self._until_stopped)  # SciPy's sums are BLAS's
            except records.NonFinite as error:  # later ones only end the training
                wanted = f"theta0: got a start where {error}, wanted finite numbers"
                raise ValueError(wanted) from None
            except records.Mismatch as error:
                raise self._refusal(error) from None
            finally:
                with contextlib.suppress(KeyboardInterrupt):  # an impatient second one
                    self._save()
                self.progress.close()
        return self._result(ended)

    # --- from the start to the end ------------------------------------------------------
    def _name_terms(self) -> None:
        if self.options.terms:
            self.dtype = records.with_columns(self.columns, self._terms_at(self.iterate))

    def _until_stopped(self) -> Stop:
        return self._stopped_by(self._work)

    def _work(self) -> None:
        self._add_row(self.iterate)
        self._save()
        self._minimise()

    def _stopped_by(self, work: Callable[[], None]) -> Stop:
        """Work until something ends it."""
        try:
            work()
        except Stop as stop:
            return stop
        except (records.Mismatch, Unfit):
            raise
        except KeyboardInterrupt as error:
            # the compiler's says so: terms, validation or products may have to be compiled while
            # there is no training yet that could be lost
            if error.args and not self.iteration:
                raise
            return Stop(records.INTERRUPTED, "interrupted by Ctrl-C")
        except records.NonFinite as error:
            return Stop(records.NON_FINITE, f"not finite: {error}")
        except Exception as error:  # hours of training are not thrown away for it
            return Stop(records.FAILED, f"{type(error).__name__}: {error}")
        raise AssertionError("work ends by an exception")

    def _minimise(self) -> None:
        self._check_converged()
        self._optimise(Unscaled(self.theta0))

    def _optimise(self, variables: Variables) -> None:
        """Run SciPy, which our own `Stop` ends unless it gives up before; then raise `Stop`.

        Where values fall right up to where they are no longer finite, a line search may find a
        lower one and yet no point that meets all its conditions. It begins anew from there.
        """
        while True:
            self.variables = variables
            try:
                end = minimise(self.recorder, variables, self.options, self._iterate)
            except records.Lost as error:  # trust-krylov, a few digits from the end
                raise Stop(records.STUCK, f"stuck: {error}") from None
            self.iterate = self.recorder.evaluate(variables.theta(end.x))
            best = self.recorder.best
            if not self.recorder.shortened or best is None or best.value >= self.iterate.value:
                raise given_up(end, self.iterate, self.promise, self.recorder.broken)
            variables = self.variables = Unscaled(best.theta)
            self._iterate(best.theta)

    def _iterate(self, xk: Float64) -> None:
        """After an iteration: history, checkpoint, callback, and our own reasons to stop."""
        # known, but for a rare line search's detour
        self._go_to(self.recorder.evaluate(self.variables.theta(xk)))
        self.recorder.forget_all_but(self.iterate)
        known = len(self.rows) < len(self.seen)  # before the interruption
        self._add_row(self.iterate, self.iteration + 1)
        if not known and self.iteration % self.options.checkpoint_every == 0:
            self._save()
        self.enough = not known and self._call_back()
        self._check_converged()
        self._check_enough()

    def _check_enough(self) -> None:
        if self.enough:
            raise Stop(records.STOPPED, "stopped by the callback")
        self._check_patience()
        if self.iteration >= self.options.max_iter:
            raise Stop(records.MAX_ITER, "max_iter reached")

    def _check_patience(self) -> None:
        if self.validation is not None:
            self.validation.check_patience()

    def _go_to(self, evaluation: Evaluation) -> None:
        self.promise.moved(self.iterate, evaluation)
        self.iterate = evaluation

    def _check_converged(self) -> None:
        largest = self._largest()
        if largest <= self.options.tolerance:
            raise Stop(records.CONVERGED, f"converged: no gradient entry above {largest:.2e}")

    def _largest(self) -> float:
        """The gradient's largest entry in magnitude."""
        return float(np.abs(self.iterate.gradient).max())

    # --- what happens each time -----------------------------------------------------------
    def _call_back(self) -> bool:
        """Whether the callback wants to stop."""
        if self.options.callback is None:
            return False
        from scipy.optimize import OptimizeResult

        current, row = self.iterate, self._newest()
        row["fun"] = row.pop("value")
        intermediate = OptimizeResult(x=current.theta.copy(), jac=current.gradient.copy(), **row)
        try:
            with np.errstate(**self.recorder.errors):
                answer = self.options.callback(intermediate)
        except StopIteration:
            return True
        return isinstance(answer, bool | np.bool_) and bool(answer)

    def _save(self) -> None:
        """Write the checkpoint, unless it is up to date or still being played back."""
        path, best = self.options.path, self._best()
        state = (len(self.recorder.calls), len(self.rows))
        if path is None or best is None or not self.rows:
            return
        if state == self.saved or self.recorder.replaying:
            return
        try:
            files.save(
                path,
                files.Checkpoint(
                    self.settings,
                    self.theta0,
                    self.recorder.calls,
                    self.history(),
                    self._elapsed(),
                    best,
                    self.model,
                    self.plans,
                ),
            )
            self.saved = state
            while self.outdated:
                _files.remove("checkpoint", self.outdated.pop())
        except OSError as error:  # a full disk: the training itself can go on
            warnings.warn(f"checkpoint: not saved ({error})", RuntimeWarning, stacklevel=2)

    # --- what there is in the end ---------------------------------------------------------
    def _refusal(self, error: Exception) -> files.Refusal:
        return files.Refusal(
            f"checkpoint: got {str(self.options.path)!r}, but {error}; wanted the same problem, "
            "data, machine and versions"
        )

    def _result(self, ended: Stop) -> OptimizeResult:
        from scipy.optimize import OptimizeResult

        chosen, which = self._chosen(ended)
        recorder, nit = self.recorder, self.iteration
        message = f"{ended.why}, at iteration {nit} (evaluation {recorder.evaluations}){which}"
        if ended.status == records.FAILED:
            warnings.warn(message, RuntimeWarning, stacklevel=4)
        self.progress.say(message)
        products = {"nhev": recorder.products} if self.options.with_products else {}
        return OptimizeResult(
            x=chosen.theta.copy(),
            fun=chosen.value,
            jac=chosen.gradient.copy(),
            nit=nit,
            nfev=recorder.evaluations,
            njev=recorder.evaluations,
            **products,
            success=ended.status == records.CONVERGED,
            status=ended.status,
            message=message,
            method=self.options.method,
            **self._more(chosen),
        )

    def _best(self) -> Evaluation | None:
        """The best one so far, by the validation samples where these choose."""
        chosen = None if self.validation is None else self.validation.chosen
        return self.recorder.best if chosen is None else chosen.evaluation

    def _chosen(self, ended: Stop) -> tuple[Evaluation, str]:
        """What is given back, and how the message says so where it is not the iterate."""
        chosen = None if self.validation is None else self.validation.chosen
        if chosen is not None:
            which = f"; x is the best on the validation samples, of iteration {chosen.iteration}"
            return chosen.evaluation, which
        if ended.status in BROKEN_OFF and self.recorder.best:
            return self.recorder.best, "; x is the best theta so far"
        return self.iterate, ""

    def _more(self, chosen: Evaluation) -> dict[str, Any]:
        """What the result has besides."""
        more = {} if self.validation is None else self.validation.more(chosen)
        return {"history": self.history(), **more}
