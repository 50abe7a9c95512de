"""What somebody sees who mistypes a line of a kernel: the line, before the compiler's text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import refode
from refode.costs.contract import Cotangent, observe
from refode.fields.contract import Field, rhs
from refode.machine.blame import KernelError
from refode.machine.compile import JIT, kernel

compiled = pytest.mark.skipif(not JIT, reason="Python itself names the line")
X = np.ones((2, 3))


@kernel
def undefined(x):
    y = 1.0
    return y * xx[0, 0]  # noqa: F821  LINE undefined


@kernel
def attribute(x):
    return x.shap[0]  # LINE attribute


@kernel
def deep(x):
    return attribute(x) + 1


@kernel
def text(x):
    return x[0, 0] + "a"  # LINE text


@kernel
def one_too_many(x):
    return attribute(x, x)  # LINE one_too_many


def plain_python(x):
    return x


@kernel
def of_numpy(x):
    return np.coss(x[0, 0])  # LINE of_numpy


@kernel
def sorted_by_key(x):
    return sorted(x[0], key=None)[0]  # LINE sorted_by_key


@kernel
def unpacked(x):
    a, b, c = x.shape  # LINE unpacked
    return a + b + c


@kernel
def two_types(x):
    if x[0, 0] > 0.0:
        return 1.0
    return "no"


SAID = {
    undefined: ("undefined", "name 'xx' is not defined"),
    attribute: ("attribute", "Unknown attribute 'shap' of type array"),
    deep: ("attribute", "Unknown attribute 'shap' of type array"),
    text: ("text", "No implementation of function .*add"),
    one_too_many: ("one_too_many", "too many|missing|argument|positional"),
    of_numpy: ("of_numpy", "has no attribute 'coss'"),
    unpacked: ("unpacked", "."),
}


def line_of(mark: str) -> tuple[int, str]:
    lines = Path(__file__).read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if line.endswith(f"# LINE {mark}") or line.endswith(f"  LINE {mark}"):
            return number, line.strip()
    raise AssertionError(mark)


@compiled
@pytest.mark.parametrize("function", SAID, ids=lambda f: f.__name__)
def test_the_line_at_fault_comes_first(function: Any) -> None:
    mark, what = SAID[function]
    number, source = line_of(mark)
    with pytest.raises(KernelError) as caught:
        function(X)
    first, second, last = str(caught.value).split("\n")
    assert re.match(rf".*test_blame\.py:{number}: .*({what})", first), first
    assert second.strip() == source
    assert last == f"while compiling {function.__name__}"
    assert what in ("has no attribute 'coss'") or "nopython" in str(caught.value.__cause__)


@compiled
def test_an_error_without_a_line_is_told_all_the_same() -> None:
    with pytest.raises(KernelError, match="two_types"):
        two_types(X)


class TypoSpec(NamedTuple):
    d: int


class Typo(Field):
    """A field with a slip in its value."""

    def __init__(self, made_of: Any = (0, 0)) -> None:
        super().__init__(3, {"a": (3,)})
        self._rows = made_of

    def description(self) -> Any:
        return TypoSpec(3)

    def rows(self, trace: bool) -> Any:
        return self._rows


@rhs.register(TypoSpec)
def typo_rhs(field, e, t, Z, F, tr, tape):
    for i in range(field.d):
        F[i, 0] = e[i] * Zz[i, 0]  # noqa: F821  LINE field


@compiled
def test_a_slip_in_a_field_is_named() -> None:
    number, source = line_of("field")
    with pytest.raises(TypeError) as caught:
        refode.evaluate.value(Typo(), np.ones(3), X)
    first, second, last = str(caught.value).split("\n")
    assert first.endswith(f"test_blame.py:{number}: name 'Zz' is not defined")
    assert second.strip() == source
    assert last == "while compiling rhs of Typo"


@pytest.mark.parametrize("given", [3, (1,), (1, 2, 3), None, (1.0, 2), (-1, 0), "ab"])
def test_rows_are_two_ints(given: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^Typo\.rows: got .*, wanted"):
        refode.evaluate.value(Typo(given), np.ones(3), X)


def test_a_field_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^shapes: got no weights, wanted the name and shape"):
        Field(2, {})


@pytest.mark.parametrize("given", ["S", 3, None, int, dict, TypoSpec(1)])
def test_bodies_are_registered_for_classes_of_descriptions(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^rhs\.register: got .*, wanted the class of desc"):
        rhs.register(given)
    with pytest.raises(TypeError, match=r"^rhs\.register\(TypoSpec\): got 7 .*, wanted a function"):
        rhs.register(TypoSpec)(7)
    assert rhs.bodies[TypoSpec] is typo_rhs


class Charge(NamedTuple):
    work_rows: Any = 0
    everywhere: Any = False


@observe.register(Charge)
def charge(cost, at, Y, L, cost_bar, scratch):
    return Y[0, 0] * 0


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Charge("a"), r"cost\.work_rows: got 'a' \(str\), wanted an int >= 0"),
        (Charge(-1), r"cost\.work_rows: got -1, wanted an int >= 0"),
        (Charge(1.5), r"cost\.work_rows: got 1\.5 \(float\), wanted an int >= 0"),
        (Charge(0, "yes"), r"cost\.everywhere: got 'yes' \(str\), wanted a bool"),
    ],
)
def test_what_a_cost_says_of_itself_is_checked(given: Any, wanted: str) -> None:
    ode = refode.NeuralODE(refode.fields.Affine(3))
    with pytest.raises((TypeError, ValueError), match=f"^{wanted}"):
        ode.cost_and_gradient(ode.initial(), X, given)


def test_a_cost_of_other_samples_is_refused() -> None:
    """Its kernel would read beyond the end of what belongs to samples."""
    ode = refode.NeuralODE(refode.fields.Affine(3))
    cost = Cotangent(np.ones((1, 2, 3)))
    assert np.isfinite(ode.cost_and_gradient(ode.initial(), X, cost)[0])
    with pytest.raises(ValueError, match="^cost: got z_bar of 2 samples, wanted 3, as many as x"):
        ode.cost_and_gradient(ode.initial(), np.ones((3, 3)), cost)
