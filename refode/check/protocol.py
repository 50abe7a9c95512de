"""What an adapter is, and how what it returns is taken.

An adapter is any object with methods named as the quantities of docs/reference.md,

    class Mine:
        precision = "float64"                    # what it computes in; this is the default

        def trajectory(self, case): ...          # an array (n_steps+1, N, d)
        def gradient(self, case): ...            # a dict of arrays, block by block

each of which takes a `refode.check.Case`. What it has no method for is skipped, and so is what
a method returns None for or refuses with `Skip` or NotImplementedError, and the report says
so. One method ``results(case)`` may give several quantities at once, as a dict. An object that
can be called is taken as its own ``results``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from refode.check.case import Case

Array = NDArray[np.float64]

#: The quantities, upstream first: where an early one is wrong, later ones cannot be right.
QUANTITIES = (
    "stages",
    "slopes",
    "trace",
    "phi",
    "phi_gradient",
    "phi_time",
    "phi_laplacian",
    "trajectory",
    "log_det",
    "log_density_path",
    "outputs",
    "inverse",
    "log_density",
    "transport_cost",
    "terms",
    "total",
    "tangent",
    "x_bar",
    "theta_bar",
    "gradient",
    "hessian_vector",
)
#: Those that come in blocks, as dicts.
BLOCKED = ("terms", "theta_bar", "gradient", "hessian_vector")


class Skip(Exception):
    """Raised by an adapter for what it does not have; the text is the reason."""


@runtime_checkable
class Adapter(Protocol):
    """Anything with ``results``; methods by quantity do as well, see the module's text."""

    def results(self, case: Case) -> Mapping[str, Any]:
        """Quantities by name: arrays, dicts of arrays, or None."""


@dataclass
class Answer:
    """What an implementation says of one case.

    Attributes
    ----------
    values : dict of arrays
        By full name, such as "gradient/W0". Not checked for shape or NaN.
    skipped : dict of str
        Reasons, by quantity.
    problems : dict of str
        What went wrong, by quantity; "" stands for the case as a whole.
    causes : dict of str
        Of what kind each problem is, one of `refode.check.outcome.CAUSES`.
    seconds : float
    """

    values: dict[str, Array] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    causes: dict[str, str] = field(default_factory=dict)

    def refuse(self, name: str, cause: str, text: str) -> None:
        """Note a problem."""
        self.problems[name], self.causes[name] = text, cause

    def raised(self, name: str, error: BaseException) -> None:
        """Note an exception."""
        cause = "memory" if isinstance(error, MemoryError) else "exception"
        self.refuse(name, cause, described(error))


def adapter_of(found: Any, place: str) -> Any:
    """What may be asked, as it came.

    Raises
    ------
    TypeError
        It offers nothing that could be called: a number, an array, a class without such methods.
    """
    offers = [found, *(getattr(found, name, None) for name in ("results", *QUANTITIES))]
    # arrays have a method "trace" that is none of an adapter's
    if hasattr(found, "__array__") or not any(callable(offer) for offer in offers):
        raise TypeError(
            f"target: got {type(found).__name__}{place}, wanted an adapter: an object with a "
            "method named as a quantity (trajectory, gradient, ...) or results, or a function "
            "of a case"
        )
    return found


def ask(adapter: Any, case: Case, wanted: tuple[str, ...]) -> Answer:
    """Ask an adapter for the quantities of a case, one after the other.

    Parameters
    ----------
    adapter : object
    case : Case
    wanted : tuple of str
        Quantities without blocks.

    Returns
    -------
    Answer
        An exception in one quantity is a problem of that quantity alone.
    """
    answer = Answer()
    whole = getattr(adapter, "results", None)
    if whole is None and not any(hasattr(adapter, q) for q in QUANTITIES):
        whole = adapter
    given = _together(whole, case, answer) if whole is not None else {}
    for quantity in wanted:
        method = getattr(adapter, quantity, None)
        if quantity in given:
            _take(answer, quantity, given[quantity])
        elif callable(method):
            try:
                _take(answer, quantity, method(case))
            except (Skip, NotImplementedError) as reason:
                answer.skipped[quantity] = str(reason) or "not implemented"
            except Exception as error:
                answer.raised(quantity, error)
        elif not answer.problems:
            answer.skipped.setdefault(quantity, answer.skipped.get("", "not offered"))
    answer.skipped.pop("", None)
    return answer


def _together(whole: Any, case: Case, answer: Answer) -> Mapping[str, Any]:
    try:
        given = whole(case)
    except (Skip, NotImplementedError) as reason:
        answer.skipped[""] = str(reason) or "not implemented"
        return {}
    except Exception as error:
        answer.raised("", error)
        return {}
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        answer.refuse("", "kind", f"results: got {kind}, wanted a dict by quantity")
        return {}
    unknown = sorted(str(k) for k in given if str(k).partition("/")[0] not in QUANTITIES)
    if unknown:
        text = (
            f"results: got the unknown quantities {', '.join(unknown)}, "
            f"wanted some of {', '.join(QUANTITIES)}"
        )
        answer.refuse("", "kind", text)
    return _nested(given, answer)


def _nested(given: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """Names such as "gradient/W0" gathered into dicts."""
    whole = {str(key): value for key, value in given.items() if "/" not in str(key)}
    nested: dict[str, Any] = {}
    for key, value in given.items():
        name, _, block = str(key).partition("/")
        if block:
            nested.setdefault(name, {})[block] = value
    for name in {*whole} & {*nested}:
        text = f"{name}: got it both as a whole and by blocks such as {name}/{min(nested[name])}"
        answer.refuse(name, "kind", text)
    taken = {**whole, **nested}
    return {name: value for name, value in taken.items() if name not in answer.problems}


def _take(answer: Answer, quantity: str, value: Any) -> None:
    """Put a returned value where it belongs."""
    if value is None:
        answer.skipped[quantity] = "None"
        return
    if (quantity in BLOCKED) != isinstance(value, Mapping):
        wanted = "a dict of arrays by block" if quantity in BLOCKED else "an array"
        text = f"{quantity}: got {type(value).__name__}, wanted {wanted}"
        answer.refuse(quantity, "kind", text)
        return
    blocks = value if isinstance(value, Mapping) else {"": value}
    for block, entry in blocks.items():
        name = f"{quantity}/{block}" if block else quantity
        try:
            if entry is not None:
                answer.values[name] = doubles(entry)
        except (TypeError, ValueError, OverflowError) as error:
            answer.refuse(name, "kind", f"{name}: {error}")
        except Exception as error:  # of the other library's
            answer.raised(name, error)


def doubles(value: Any) -> Array:
    """An array of NumPy, PyTorch, JAX or the like, or numbers, as doubles.

    Raises
    ------
    TypeError
        Complex numbers, text, objects.
    """
    if hasattr(value, "detach"):  # PyTorch: NumPy knows neither its graph nor bfloat16
        value = value.detach().cpu().double()
    array = np.asarray(value)
    if array.dtype.kind in "OSUcMmV" and array.dtype.name != "bfloat16":
        raise TypeError(f"got an array of type {array.dtype}, wanted real numbers")
    return array.astype(np.float64)


def described(error: BaseException) -> str:
    """An exception in one line, with the place in the code that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{where}"
