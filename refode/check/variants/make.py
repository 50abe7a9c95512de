"""What a variant is, and the four ways of making one."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode.check import plain
from refode.check.plain import adjoint as plain_adjoint
from refode.check.plain.adjoint import Walk
from refode.check.plain.mistakes import Mistakes

Array = NDArray[np.float64]
Document = dict[str, Any]
Results = dict[str, Array]
Edit = Callable[[Document], Document | None]
ALL = ("ode", "supervised", "flow", "game")
ODES = ("ode", "supervised", "flow")

#: Relative to an array's largest entry: numbers no further apart are the same; second
#: derivatives are differences of first ones.
SAME, SAME_HESSIAN = 1e-11, 1e-8
#: Right results kept, by the text of the case, and those of variants: who diagnoses many
#: implementations asks for the same ones again.
KEPT, KEPT_VARIANTS = 128, 4096

_right: OrderedDict[str, Results] = OrderedDict()
_wrong: OrderedDict[tuple[Any, bytes, bool], Results | None] = OrderedDict()
_terms: OrderedDict[str, dict[str, Results]] = OrderedDict()


@dataclass(frozen=True)
class Variant:
    """What an implementation with one mistake returns.

    Attributes
    ----------
    key : str
        A short name such as "three-eighths-rule".
    sentence : str
        For people: what is wrong, and what to look at.
    compute : callable
        ``compute(document, hessian)``: all results, or None where the mistake does not apply.
    kinds : tuple of str
        Kinds of cases that it is about.
    """

    key: str
    sentence: str
    compute: Callable[[Document, bool], Results | None]
    kinds: tuple[str, ...] = ALL

    def evaluate(self, document: Document, *, hessian: bool = False) -> Results | None:
        """The results of a case with this mistake.

        Parameters
        ----------
        document : dict
            As of `refode.reference.case`; its results are not read.
        hessian : bool, optional
            Whether Hessian-vector products are wanted, to about ten digits: derivatives of the
            gradient with this mistake.

        Returns
        -------
        dict of arrays, or None
            By full name, those with NaN or infinity left out. None where the mistake does not
            apply, or makes no difference.
        """
        if document["problem"]["type"] not in self.kinds:
            return None
        asked = self, hashlib.sha256(_text(document).encode()).digest(), hessian
        if asked not in _wrong:
            _wrong[asked] = self._evaluate(document, hessian)
            if len(_wrong) > KEPT_VARIANTS:
                _wrong.popitem(last=False)
        results = _wrong[asked]
        return None if results is None else dict(results)

    def _evaluate(self, document: Document, hessian: bool) -> Results | None:
        results = self.compute(document, hessian)
        if results is None:
            return None
        results = {k: v for k, v in results.items() if np.isfinite(v).all()}
        second = any(k.startswith("hessian_vector") for k in results)
        return results if differs(results, right(document, second)) else None


def _text(document: Document) -> str:
    """A case but for its results."""
    return json.dumps({k: v for k, v in document.items() if k not in ("results", "about")})


def right(document: Document, hessian: bool = False) -> Results:
    """The results without a mistake; the last ones are remembered."""
    text = f"{_text(document)} {hessian}"
    if text not in _right:
        _right[text] = plain.evaluate(document, hessian=hessian)
        if len(_right) > KEPT:
            _right.popitem(last=False)
    return dict(_right[text])


def by_term(document: Document) -> dict[str, Results]:
    """Values and derivatives of every term; the last ones are remembered."""
    text = _text(document)
    if text not in _terms:
        _terms[text] = plain.by_term(document)
        if len(_terms) > KEPT:
            _terms.popitem(last=False)
    return _terms[text]


def differs(a: Results, b: Results, rtol: float = SAME) -> bool:
    """Whether an array of both has another shape, or an entry that is off by more than rtol."""
    for name in a.keys() & b.keys():
        if a[name].shape != b[name].shape:
            return True
        if not a[name].size:
            continue
        size = max(float(np.abs(b[name]).max()), float(np.abs(a[name]).max()))
        least = max(rtol, SAME_HESSIAN) if name.startswith("hessian_vector") else rtol
        if float(np.abs(a[name] - b[name]).max()) > least * size:
            return True
    return False


def knobs(
    key: str,
    sentence: str,
    kinds: tuple[str, ...] = ALL,
    chosen: Callable[[Document], Mistakes | None] | None = None,
    **settings: Any,
) -> Variant:
    """A mistake that `Mistakes` has a knob for; ``chosen`` where it depends on the case."""
    fixed = Mistakes(**settings)

    def compute(document: Document, hessian: bool) -> Results | None:
        m = chosen(document) if chosen else fixed
        return None if m is None else plain.evaluate(document, m, hessian=hessian)

    return Variant(key, sentence, compute, kinds)


def edited(
    key: str,
    sentence: str,
    edit: Edit,
    kinds: tuple[str, ...] = ALL,
    **settings: Any,
) -> Variant:
    """Another case solved instead: ``edit`` gives what changes in the document, or None."""
    m = Mistakes(**settings)

    def compute(document: Document, hessian: bool) -> Results | None:
        changed = edit(document)
        if changed is None:
            return None
        return plain.evaluate({**document, **changed}, m, hessian=hessian)

    return Variant(key, sentence, compute, kinds)


def walked(
    key: str, sentence: str, kinds: tuple[str, ...] = ALL, edit: Edit | None = None, **how: Any
) -> Variant:
    """Right values, or those of another case, and gradients by another walk back."""
    walk = replace(plain_adjoint.RIGHT, **how)

    def compute(document: Document, hessian: bool) -> Results | None:
        changed = edit(document) if edit else {}
        if changed is None:
            return None
        solved = {**document, **changed}
        results = plain_adjoint.gradient(solved, walk, hessian=hessian)
        return None if results is None else right(solved) | results

    return Variant(key, sentence, compute, kinds)


def gradient_alone(
    key: str, sentence: str, kinds: tuple[str, ...] = ALL, **settings: Any
) -> Variant:
    """Right values, and the gradient of wrong ones."""
    m = Mistakes(**settings)

    def compute(document: Document, hessian: bool) -> Results | None:
        results = plain.evaluate(document, m, hessian=hessian)
        kept = ("gradient", "theta_bar", "x_bar", "hessian_vector")
        wrong = {k: v for k, v in results.items() if k.partition("/")[0] in kept}
        return right(document) | wrong

    return Variant(key, sentence, compute, kinds)


def weighed(
    key: str, sentence: str, term: str, factor: float, kinds: tuple[str, ...], total: bool = False
) -> Variant:
    """A term counted with another factor in the gradient, or in the total and its derivatives."""

    def compute(document: Document, hessian: bool) -> Results | None:
        results = right(document, hessian)
        parts = by_term(document)[term]
        names = parts if total else [name for name in parts if name != "total"]
        return results | {k: results[k] + (factor - 1.0) * parts[k] for k in names if k in results}

    return Variant(key, sentence, compute, kinds)


def altered(
    key: str,
    sentence: str,
    change: Callable[[Document, Results], Results | None],
    kinds: tuple[str, ...] = ALL,
) -> Variant:
    """Right results, some arrays made into others."""

    def compute(document: Document, hessian: bool) -> Results | None:
        results = right(document, hessian)
        changed = change(document, results)
        return None if changed is None else results | changed

    return Variant(key, sentence, compute, kinds)


__all__ = [
    "Edit",
    "Variant",
    "Walk",
    "altered",
    "differs",
    "edited",
    "gradient_alone",
    "knobs",
    "right",
    "walked",
    "weighed",
]
