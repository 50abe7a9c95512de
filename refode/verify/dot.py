"""The dot test: is this the adjoint of that tangent?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refode._quiet import quietly
from refode._scaling import length
from refode._validate import boolean, nonnegative, nonnegative_int, positive_int, short, shown, text
from refode.verify._calls import callable_argument, readable

CONSTANT = 8.0  # C of the bound

_TYPES = ("float32", "float64", "complex64", "complex128")

Shape = tuple[int, ...]
Arrays = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class DotReport:
    """What `dot_test` found.

    Attributes
    ----------
    name : str
        Title.
    passed : bool
        Whether both sides agreed in every trial and none was empty.
    verdict : str
        Begins with "passed", "failed" or "inconclusive" and says why.
    left, right : tuple of float or complex
        <w, Jv> and <J'w, v>, one a trial.
    difference, bound : tuple of float
        ``|left - right|`` and what rounding explains of it, one a trial.
    smallest_detectable : float
        Had the adjoint been scaled by 1 plus or minus this, or more, the test would have failed.
    warnings : tuple of str
        What else was seen.
    """

    name: str
    passed: bool
    verdict: str
    left: tuple[Any, ...]
    right: tuple[Any, ...]
    difference: tuple[float, ...]
    bound: tuple[float, ...]
    smallest_detectable: float
    warnings: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        wide = 28 if any(isinstance(a, complex) for a in self.left) else 15
        lines = [
            self.name,
            f"{'trial':>5} {'<w, Jv>':>{wide}} {'<J^T w, v>':>{wide}} "
            f"{'difference':>11} {'bound':>9}",
        ]
        for k, (a, b, off, bound) in enumerate(
            zip(self.left, self.right, self.difference, self.bound, strict=True)
        ):
            flag = "ok" if off <= bound else "FAILED"
            lines.append(f"{k + 1:5d} {a:{wide}.8g} {b:{wide}.8g} {off:11.2e} {bound:9.2e}  {flag}")
        lines += [f"warning: {text}" for text in self.warnings]
        return "\n".join([*lines, f"verdict: {self.verdict}"])


@quietly()
def dot_test(
    tangent: Callable[..., Any],
    adjoint: Callable[..., Any],
    x_shape: int | Shape | Sequence[Shape],
    y_shape: int | Shape | Sequence[Shape],
    *,
    seed: int = 0,
    n_trials: int = 3,
    dtype: Any = float,
    conjugate: bool = True,
    constant: float = CONSTANT,
    name: str = "dot test",
) -> DotReport:
    r"""Test <w, Jv> = <Jᵀw, v> for random v and w, to rounding.

    The difference must be within
    :math:`C \varepsilon \sqrt n\,(|w||Jv| + |J^T w||v|)`, n the larger of the two sizes.
    It fails for what is not the adjoint of the tangent. **It is blind to an error that both
    share**: a wrong J with its exact transpose passes. So hold each against a truth of its own
    as well (`complex_step`, `check_gradient`).

    Parameters
    ----------
    tangent : callable
        v -> Jv. Takes one array for each shape in `x_shape`, returns one for each in `y_shape`
        (a tuple where there are several).
    adjoint : callable
        w -> Jᵀw, the other way round.
    x_shape, y_shape : int, tuple of int, or list of tuples
        Shape of the input and the output of J; a list for several arrays.
    seed : int
        Draws v and w.
    n_trials : int
        Pairs (v, w).
    dtype : dtype
        float32, float64, complex64 or complex128, of v and w; rounding is that of this type.
    conjugate : bool
        For complex dtypes: whether <a, b> conjugates a, so that `adjoint` is the conjugate
        transpose; False for plain transposes.
    constant : float
        C.
    name : str
        Title of the report.

    Returns
    -------
    DotReport
        True where both sides agreed and no part of either was empty. Where the test fails and
        there are several arrays, the verdict names the pairs that disagree.

    Raises
    ------
    TypeError
        Something that is not callable; a dtype that is no float; results that are no numbers.
    ValueError
        Shapes without entries; results of another shape or number.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.random.default_rng(0).normal(size=(3, 2))
    >>> report = dot_test(lambda v: A @ v, lambda w: A.T @ w, 2, 3)
    >>> report.passed
    True
    """
    callable_argument("tangent", tangent)
    callable_argument("adjoint", adjoint)
    x_shapes, y_shapes = _shapes("x_shape", x_shape), _shapes("y_shape", y_shape)
    n_trials, seed = positive_int("n_trials", n_trials), nonnegative_int("seed", seed)
    conjugate, name = boolean("conjugate", conjugate), text("name", name)
    kind, constant = _dtype(dtype), nonnegative("constant", constant)
    test = _Test(
        tangent, adjoint, x_shapes, y_shapes, kind, conjugate, constant, np.random.default_rng(seed)
    )
    return test.report(name, n_trials)


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except Exception:  # NumPy asks what it is given, and that may raise anything
        kind = None
    if kind is None or kind.name not in _TYPES:
        got = shown(dtype) if kind is None else short(kind.name).strip("'")
        raise TypeError(f"dtype: got {got}, wanted one of {', '.join(_TYPES)}")
    return kind


class _Test:
    def __init__(
        self,
        tangent: Callable[..., Any],
        adjoint: Callable[..., Any],
        x_shapes: list[Shape],
        y_shapes: list[Shape],
        dtype: np.dtype[Any],
        conjugate: bool,
        constant: float,
        rng: np.random.Generator,
    ) -> None:
        self.tangent, self.adjoint = tangent, adjoint
        self.x_shapes, self.y_shapes = x_shapes, y_shapes
        self.dtype, self.conjugate, self.rng = dtype, conjugate, rng
        n = max(sum(map(math.prod, x_shapes)), sum(map(math.prod, y_shapes)))
        self.factor = constant * float(np.finfo(dtype).eps) * math.sqrt(n)
        self.failures: list[str] = []
        self.warnings: list[str] = []

    def report(self, name: str, n_trials: int) -> DotReport:
        trials, empty = [], {("tangent", i): True for i in range(len(self.y_shapes))}
        empty |= {("adjoint", j): True for j in range(len(self.x_shapes))}
        for k in range(n_trials):
            v, w = self.draw(self.x_shapes), self.draw(self.y_shapes)
            jv, jw = self.apply("tangent", v), self.apply("adjoint", w)
            if k == 0:
                self.call_again(v, w, jv, jw)
            trials.append(self.sides(v, w, jv, jw))
            for who, parts in (("tangent", jv), ("adjoint", jw)):
                for i, part in enumerate(parts):
                    empty[who, i] = empty[who, i] and not part.any()
        left, right, off, bound = zip(*trials, strict=True)
        if not np.isfinite((off, bound)).all():
            self.failures.append("a result is not finite")
        elif any(a > b for a, b in zip(off, bound, strict=True)):
            worst = max(range(n_trials), key=lambda k: off[k] / (abs(left[k]) + bound[k]))
            self.failures.append(
                f"the sides differ by {off[worst]:.1e}, {bound[worst]:.1e} is "
                "explained by rounding" + self.culprits()
            )
        seen = min(
            math.inf if a == 0 or not math.isfinite(b) else 3.0 * b / abs(a)
            for a, b in zip(left, bound, strict=True)
        )
        silent = [
            f"{who} returns zeros" + (f" as its array {i}" if several > 1 else "")
            for (who, i), is_empty in empty.items()
            if is_empty
            for several in [len(self.y_shapes if who == "tangent" else self.x_shapes)]
        ]
        if self.failures:
            verdict = "failed: " + "; ".join(self.failures)
        elif silent:
            verdict = "inconclusive: " + "; ".join(silent) + ": nothing was checked there"
        else:
            verdict = f"passed: a scaling by 1 + {seen:.1e} would have been seen"
        return DotReport(
            name,
            not self.failures and not silent,
            verdict,
            left,
            right,
            off,
            bound,
            seen,
            tuple(self.warnings),
        )

    def sides(self, v: Arrays, w: Arrays, jv: Arrays, jw: Arrays) -> tuple[Any, Any, float, float]:
        left, right = self.inner(w, jv), self.inner(jw, v)
        bound = self.factor * (_norm(w) * _norm(jv) + _norm(jw) * _norm(v))
        return left, right, abs(left - right), bound

    def inner(self, a: Arrays, b: Arrays) -> Any:
        # summed in double precision, whatever the type under test
        wide = np.complex128 if self.dtype.kind == "c" else np.float64
        with np.errstate(invalid="ignore"):
            total = sum(
                np.sum((p.conj() if self.conjugate else p).astype(wide) * q.astype(wide))
                for p, q in zip(a, b, strict=True)
            )
        return complex(total) if self.dtype.kind == "c" else float(total)

    def draw(self, shapes: list[Shape]) -> Arrays:
        parts = []
        for shape in shapes:
            part = self.rng.standard_normal(shape)
            if self.dtype.kind == "c":
                part = part + 1j * self.rng.standard_normal(shape)
            parts.append(np.asarray(part, dtype=self.dtype))
        return tuple(parts)

    def apply(self, who: str, given: Arrays) -> Arrays:
        fun = self.tangent if who == "tangent" else self.adjoint
        shapes = self.y_shapes if who == "tangent" else self.x_shapes
        copies = tuple(part.copy() for part in given)
        out = fun(*copies)
        if any(not np.array_equal(a, b) for a, b in zip(copies, given, strict=True)):
            self.fail(f"{who} changes its argument in place")
        if len(shapes) == 1 and not isinstance(out, tuple | list):
            out = (out,)
        if not isinstance(out, tuple | list) or len(out) != len(shapes):
            came = f"{len(out)} arrays" if isinstance(out, tuple | list) else type(out).__name__
            raise ValueError(f"{who}: returned {came}, wanted {len(shapes)} of shapes {shapes}")
        return tuple(
            self.part(who, i, one, shape)
            for i, (one, shape) in enumerate(zip(out, shapes, strict=True))
        )

    def part(self, who: str, i: int, out: Any, shape: Shape) -> NDArray[Any]:
        array = np.array(readable(who, out))
        label = (
            f"{who}"
            if len(self.y_shapes if who == "tangent" else self.x_shapes) == 1
            else f"{who}, array {i}"
        )
        if array.dtype.kind not in ("iufc" if self.dtype.kind == "c" else "iuf"):
            raise TypeError(f"{label}: returned dtype {array.dtype}, wanted {self.dtype}")
        if array.shape != shape:
            raise ValueError(f"{label}: returned an array of shape {array.shape}, wanted {shape}")
        return array

    def call_again(self, v: Arrays, w: Arrays, jv: Arrays, jw: Arrays) -> None:
        # a routine that adds into a buffer it never clears gives another answer now
        for who, given, before in (("tangent", v, jv), ("adjoint", w, jw)):
            size = _norm(before)
            with np.errstate(invalid="ignore"):  # what is not finite is reported as that
                again = zip(self.apply(who, given), before, strict=True)
                change = math.hypot(*(length(a - b) for a, b in again))
            if change > self.factor * size:
                self.fail(f"{who} called again with the same input returns something else")
            elif change > 0.0:
                self.warnings.append(f"{who} called again differs by rounding")

    def culprits(self) -> str:
        """Name the pairs of arrays whose block of J and of its adjoint disagree."""
        if len(self.x_shapes) == len(self.y_shapes) == 1:
            return ""
        names = []
        for i in range(len(self.y_shapes)):
            for j in range(len(self.x_shapes)):
                v = _only(j, self.draw(self.x_shapes))
                w = _only(i, self.draw(self.y_shapes))
                _, _, off, bound = self.sides(
                    v, w, self.apply("tangent", v), self.apply("adjoint", w)
                )
                if not off <= bound:
                    names.append(f"output {i} by input {j}")
        return f" (in {', '.join(names)})" if names else ""

    def fail(self, text: str) -> None:
        if text not in self.failures:
            self.failures.append(text)


def _only(i: int, parts: Arrays) -> Arrays:
    return tuple(part if k == i else np.zeros_like(part) for k, part in enumerate(parts))


def _norm(parts: Arrays) -> float:
    return math.hypot(*map(length, parts))


def _shapes(name: str, value: Any) -> list[Shape]:
    if isinstance(value, list):
        if not value:
            raise ValueError(f"{name}: got an empty list, wanted at least one shape")
        return [_shape(f"{name}[{i}]", one) for i, one in enumerate(value)]
    return [_shape(name, value)]


def _shape(name: str, value: Any) -> Shape:
    lengths = value if isinstance(value, tuple) else (value,)
    return tuple(positive_int(name, length) for length in lengths)
