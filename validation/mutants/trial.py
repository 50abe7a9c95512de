"""One planted bug: what the check finds, what it names, and what `refode.verify` sees."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from refode.check.outcome import Finding, Outcome
from refode.check.process import Process
from refode.check.run import check
from refode.reference import files
from validation.mutants.mutant import VARIABLE, Mutant

#: Seconds that a case, or one gradient check, may take as plain Python.
TIMEOUT = 180.0
#: Doubt about differences, relative, that no rounding of smooth functions in double precision
#: leaves; 1e-11 is usual.
ROUGH = 1e-7


@dataclass(frozen=True)
class GradientCheck:
    """`refode.verify` on one case of a mutant, without any golden number.

    Attributes
    ----------
    case : str
    error : float
        Of the gradient, relative to the derivative of what the mutant computes, by differences
        in every parameter; of the Hessian-vector product where only that is wrong.
    doubt : float
        What the differences may be off by, relative.
    power : float
        The smallest relative error, of any shape, that `check_gradient` said it would see.
    failed : bool
        Whether `check_gradient` said "failed".
    """

    case: str
    error: float
    doubt: float
    power: float
    failed: bool

    @property
    def wrong(self) -> bool:
        """Whether the gradient is not that of the value, beyond doubt and above the power."""
        return not math.isfinite(self.error) or self.error - self.doubt > self.power

    @property
    def rough(self) -> bool:
        """Whether the value is no smooth function, so that it has no gradient to speak of."""
        return not self.wrong and self.doubt > ROUGH


@dataclass
class Result:
    """What came of a mutant.

    Attributes
    ----------
    mutant : Mutant
    n_wrong, n_cases : int
        Arrays that `refode check` found wrong or invalid, and cases with any.
    caught : bool
    findings : list of Finding
    naming : {"named", "localised", "no", ""}
        What the first finding says; "" where nothing was caught.
    gradients : list of GradientCheck
    seconds : float
    """

    mutant: Mutant
    n_wrong: int = 0
    n_cases: int = 0
    caught: bool = False
    findings: list[Finding] = field(default_factory=list)
    naming: str = ""
    gradients: list[GradientCheck] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def gradient_wrong(self) -> bool:
        """Whether value and gradient are not of one function in some case."""
        return any(g.wrong for g in self.gradients)

    @property
    def verify(self) -> str:
        """What `refode.verify` alone makes of it."""
        wrong = [g for g in self.gradients if g.wrong]
        if wrong:
            return "caught" if all(g.failed for g in wrong) else "missed"
        if any(g.failed for g in self.gradients):
            alarms = [g for g in self.gradients if g.failed and not g.rough]
            return "false alarm" if alarms else "rough"
        return "another function" if self.gradients else "no gradient"


def started(name: str = "") -> Process:
    """A process with the mutant of that name planted, or none where it is empty."""
    environment = {
        VARIABLE: name,
        "NUMBA_DISABLE_JIT": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return Process("refode.check.mutants:adapter", TIMEOUT, environment)


def control(
    cases: Sequence[str] = ("ode-line", "supervised-states", "flow-one", "game-entropy"),
) -> tuple[Outcome, list[GradientCheck]]:
    """The kernels as they are: the check of all golden cases, and gradients of some."""
    process = started()
    try:
        outcome = _checked(process)
        return outcome, [_gradient(process, name, False) for name in cases]
    finally:
        process.close()


def examine(mutant: Mutant, gradients: int = 4) -> Result:
    """Check one mutant in a process of its own; so many of its gradients at most."""
    began = time.perf_counter()
    process = started(mutant.name)
    try:
        outcome = _checked(process)
        failing = outcome.failing()
        result = Result(
            mutant,
            len(failing),
            len({row.case for row in failing}),
            bool(failing),
            outcome.findings,
            named(mutant, outcome),
        )
        result.gradients = list(_gradients(process, outcome, gradients))
    finally:
        process.close()
    result.seconds = time.perf_counter() - began
    return result


def _checked(process: Any) -> Outcome:
    try:
        return check(process)
    except Exception as error:  # a diagnosis that fails names nothing, and says why
        outcome = check(process, diagnose=False)
        told = f"the diagnosis failed with {type(error).__name__}: {error}"
        outcome.findings = [Finding("diagnosis-failed", told, (), False)]
        return outcome


def named(mutant: Mutant, outcome: Outcome) -> str:
    """Whether the first finding names the mutant, or points to the place, or neither."""
    if not outcome.failing():
        return ""
    if not outcome.findings:
        return "no"
    first = outcome.findings[0]
    if any(first.key == key and words in first.sentence for key, words in mutant.expected):
        return "named"
    if first.key == "first-wrong" and first.sentence.startswith(f"{mutant.quantity} is the first"):
        return "localised"
    return "no"


# --- without golden numbers ------------------------------------------------------------------

#: Cases on which a mutant's gradients are checked: one of each kind, and so many in all.
LEAST = 2


def _gradients(process: Process, outcome: Outcome, most: int) -> Iterator[GradientCheck]:
    """The smallest cases of every kind that the mutant changes, by `refode.verify` alone."""
    for name, hessian in list(_affected(outcome))[:most]:
        yield _gradient(process, name, hessian)


def _gradient(process: Process, name: str, hessian: bool) -> GradientCheck:
    found = {k: float(v) for k, v in process.call("gradient_check", name, hessian).items()}
    failed = bool(found.pop("failed"))
    return GradientCheck(name, failed=failed, **found)


def _affected(outcome: Outcome) -> Iterable[tuple[str, bool]]:
    """Names of cases, and whether only second derivatives are wrong in it."""
    wrong: dict[str, set[str]] = {}
    for row in outcome.rows:
        if row.failed:
            wrong.setdefault(row.case, set()).add(row.name)
    derivatives = {"gradient", "hessian_vector", "theta_bar", "x_bar"}
    documents = {name: files.case(name) for name in wrong}

    def order(name: str) -> tuple[bool, int]:
        return not wrong[name] & derivatives, len(str(documents[name]["inputs"]))

    ordered = sorted(wrong, key=order)
    kinds = {name: documents[name]["problem"]["type"] for name in ordered}
    firsts = [next(n for n in ordered if kinds[n] == k) for k in dict.fromkeys(kinds.values())]
    others = [name for name in ordered if name not in firsts]
    for name in [*firsts, *others[: max(0, LEAST - len(firsts))]]:
        yield name, wrong[name] == {"hessian_vector"}
