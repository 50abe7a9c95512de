"""What is right for a case, and how far rounding may lead away from it.

The model of rounding: an implementation at a precision with distance eps from 1 to the next
number is as good as an exact one whose inputs, settings and coefficients are all off by up to a
few eps. So the case is evaluated anew with every number moved by eps, up or down at random, and
the largest change of a quantity, times a small factor, is what rounding explains. The factor
is `refode.check.judge.ROUNDINGS`; docs/check.md says what it was calibrated with.

At eps of double and single precision the change is linear in eps, and measured at one step where
neither curvature nor the oracle's own rounding counts.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode import _files
from refode.check.case import ARRAYS, NUMBERS, Case
from refode.check.outcome import EPS
from refode.check.sizes import largest
from refode.reference import files, kernels
from refode.reference.files import arrays

Array = NDArray[np.float64]
Document = dict[str, Any]

#: Steps of the perturbation: one for both fine precisions, its own for the coarse one.
FINE, COARSE = 2.0**-26, EPS["bfloat16"]
DRAWS = 8
#: The largest changes of the golden cases, so that they need no live oracle.
STORED = "changes.json"


def truth(document: Document) -> dict[str, Array]:
    """The results of a case: the proven ones where it has some, else those of the kernels."""
    if "results" in document:
        return arrays(document, "results")
    return kernels.results(document)


def changes(document: Document, step: float, draws: int = DRAWS) -> dict[str, float]:
    """Largest change of an entry, per eps, when all numbers of a case move by a relative step.

    Labels count as numbers too, see `labels_moved`.

    Parameters
    ----------
    document : dict
    step : float
    draws : int, optional

    Returns
    -------
    dict of float
        By quantity and block; to be multiplied by the eps of a precision.
    """
    rng = np.random.default_rng(0)
    given, base = arrays(document, "inputs"), kernels.results(document)
    most = dict.fromkeys(base, 0.0)
    for _ in range(draws):
        moved = moved_settings(document, rng, step)
        inputs = {name: _moved(name, a, document, rng, step) for name, a in given.items()}
        for name, value in kernels.results(moved, inputs).items():
            most[name] = max(most[name], largest(value - base[name]) / step)
    for name, change in labels_moved(document, rng, draws).items():
        most[name] += change
    return most


def labels_moved(document: Document, rng: Any, draws: int) -> dict[str, float]:
    """Largest change, per eps, when the 1 of each label moves in p - e_y, the loss's derivative.

    A class that is all but certain has p near 1: what p - 1 leaves was rounded with p, and so was
    what p' = p (F' - p . F') leaves of the outputs' derivative F'.
    """
    p = document["problem"]
    if p["type"] != "supervised" or p["loss"] == "regression":
        return {}
    y = arrays(document, "inputs")["y"].astype(int)
    one_hot = np.eye(p["n_outputs"])[y] if p["loss"] == "softmax" else y[:, None].astype(float)
    most: dict[str, float] = {}
    for _ in range(draws):
        F_bar = one_hot * rng.choice([-1.0, 1.0], (len(y), 1)) / len(y)
        sizes = {name: largest(v) for name, v in kernels.of_outputs(document, F_bar).items()}
        slope = sizes.pop("outputs_dot")
        for name, change in sizes.items():
            if name.startswith("hessian_vector/"):
                change += slope * sizes["gradient/" + name.partition("/")[2]]
            most[name] = max(most.get(name, 0.0), change)
    return most


def both_changes(document: Document) -> dict[str, dict[str, float]]:
    """`changes` at the step that stands for the fine precisions, and at that of bfloat16."""
    fine, coarse = changes(document, FINE), changes(document, COARSE)
    return {"float64": fine, "float32": fine, "bfloat16": coarse}


def _moved(name: str, a: Array, document: Document, rng: Any, step: float) -> Array:
    if name == "y" and document["problem"].get("loss") in ("logistic", "softmax"):
        return a
    return a * (1.0 + step * rng.choice([-1.0, 1.0], a.shape))


def moved_settings(document: Document, rng: Any, step: float) -> Document:
    """A copy of a case, its settings and its scheme's coefficients moved."""
    moved = {k: copy.deepcopy(v) for k, v in document.items() if k not in ("inputs", "results")}
    for owner, key in _places(moved):
        # nodes move inwards alone: outside the interval theta(t) is not defined
        owner[key] = _spoiled(owner[key], rng, step, (-1, 0) if key == "c" else (-1, 1))
    for rho in _densities(moved["problem"]):
        for S in rho["covariances"]:
            _symmetrise(S)
        total = sum(Fraction(w) for w in rho["weights"])
        rho["weights"] = [repr(float(Fraction(w) / total)) for w in rho["weights"]]
    for key in ("energy", "terminal_energy"):
        for part in moved["problem"].get(key, ()):
            if "covariance" in part:
                _symmetrise(part["covariance"])
    return moved | {"inputs": document["inputs"]}


def _places(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every (dict, key) under which a number or a list of numbers stands."""
    if isinstance(value, list):
        for entry in value:
            yield from _places(entry)
    if isinstance(value, dict):
        for key, entry in value.items():
            if key in (*NUMBERS, *ARRAYS, "A", "b", "c"):
                yield value, key
            else:
                yield from _places(entry)


def _spoiled(value: Any, rng: Any, step: float, signs: tuple[int, int]) -> Any:
    if isinstance(value, list):
        return [_spoiled(v, rng, step, signs) for v in value]
    sign = signs[int(rng.random() < 0.5)]
    return repr(float(Fraction(value)) * (1.0 + sign * step))


def _densities(problem: Mapping[str, Any]) -> list[Any]:
    return [problem[k] for k in ("initial", "target") if problem.get(k) is not None]


def _symmetrise(S: list[list[str]]) -> None:
    for i in range(len(S)):
        for j in range(i):
            S[i][j] = S[j][i]


class Oracle:
    """The live oracle as an adapter for the process that it runs in, see `refode.check.judge`.

    Its process runs the kernels as plain Python: on cases of this size that takes milliseconds,
    while compiling for every field would take minutes.
    """

    precision = "float64"

    def results(self, case: Case) -> Mapping[str, Any]:
        """The kernels' own, proven digits or not: they can be held to them as well."""
        return kernels.results(case.document)

    def values(self, document: Document) -> dict[str, Any]:
        """Right values alone."""
        return dict(truth(document))

    def judge(self, document: Document) -> dict[str, Any]:
        """Right values, and the largest change of each at every precision."""
        values: dict[str, Any] = dict(truth(document))
        for precision, by_name in both_changes(document).items():
            values |= {f"{precision}:{name}": value for name, value in by_name.items()}
        return values


oracle = Oracle()


def main() -> None:
    """Write the golden cases' changes anew, three digits each."""
    written: dict[str, Any] = {}
    for name in files.names():
        both = both_changes(files.case(name))
        pairs = zip(both["float64"].items(), both["bfloat16"].values(), strict=True)
        written[name] = {k: [float(f"{a:.3g}"), float(f"{b:.3g}")] for (k, a), b in pairs}
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in written.items()]
    _files.write(Path(__file__).parent / STORED, "{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
