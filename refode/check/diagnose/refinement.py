"""Is a wrong gradient the one of another discretisation? Then its error falls with the step.

The adjoint of optimize-then-discretize is the gradient of nothing that was computed, but it
tends to the right one as h -> 0, at the scheme's order or near it. Nothing else that is wrong
does so: a factor or a missing term stays.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from refode.check.diagnose.cells import Candidate, Cell, Document
from refode.check.judge import Judge
from refode.check.sizes import largest
from refode.check.targets import Folder, Target
from refode.reference.files import without_results

STEPS = (1, 2, 4)
#: Rates that count as falling: orders 1 to 4, less what coarse steps spoil.
SLOWEST = 0.7


def discretised_later(
    cells: list[Cell], judge: Judge, target: Target, most: int = 3
) -> list[Candidate]:
    """Ask for cases again with finer steps; a finding where the gradients' errors vanish.

    Parameters
    ----------
    cells : list of Cell
        Wrong derivatives in cases whose values are right.
    judge : Judge
    target : Target
    most : int, optional
        Cases to be tried.
    """
    if isinstance(target, Folder):
        return []
    by_case: dict[str, list[Cell]] = {}
    for cell in cells:
        by_case.setdefault(cell.document["name"], []).append(cell)
    rates: list[float] = []
    small = sorted(by_case.values(), key=lambda group: len(str(group[0].document)))
    for group in small[:most]:
        case_rates = _rates(group[0].document, sorted({c.quantity for c in group}), judge, target)
        if not case_rates or min(case_rates) < SLOWEST:
            return []
        rates += case_rates
    if not rates:
        return []
    sentence = (
        "values are right and gradients off by the scheme's own error, which falls as "
        f"h^{np.median(rates):.1f}: an adjoint ODE solved by itself (optimize, then discretize), "
        "not the derivative of the steps that were taken. Differentiate the discrete scheme."
    )
    explained = {c.key for c in cells}
    return [Candidate("optimize-discretize", sentence, explained, rank=0.4, certain=False)]


def _rates(document: Document, quantities: list[str], judge: Judge, target: Target) -> list[float]:
    """Observed orders of the errors of some quantities, the smallest of two refinements each."""
    errors: dict[str, list[float]] = {q: [] for q in quantities}
    for times in STEPS:
        finer = refined(document, times)
        try:
            right = judge.values(finer)
        except RuntimeError:  # finer steps may blow up where coarse ones do not
            return []
        answer = target.answer(finer, tuple(dict.fromkeys(q.partition("/")[0] for q in right)))
        for q in quantities:
            got = answer.values.get(q)
            if got is None or got.shape != right[q].shape or not np.isfinite(got).all():
                return []
            errors[q].append(largest(got - right[q]))
            if errors[q][-1] == 0.0:
                return []
    return [math.log2(e[0] / e[-1]) / math.log2(STEPS[-1] / STEPS[0]) for e in errors.values()]


def refined(document: Document, times: int) -> dict[str, Any]:
    """The case with several times as many steps, without its results."""
    finer = copy.deepcopy(without_results(document))
    finer["n_steps"] = document["n_steps"] * times
    finer["name"] = f"{document['name']}-steps-{finer['n_steps']}"
    observed = finer["inputs"].get("path_bar")
    if observed is not None:  # nothing is observed at the new times
        steps, *shape = observed["shape"]
        size = math.prod(shape)
        rows = [observed["data"][i * size : (i + 1) * size] for i in range(steps)]
        between = ["0"] * (size * (times - 1))
        data = [d for row in rows[:-1] for d in (*row, *between)] + rows[-1]
        finer["inputs"]["path_bar"] = {"shape": [(steps - 1) * times + 1, *shape], "data": data}
    return finer
