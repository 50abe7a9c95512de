"""How exact a grid has to be, checked."""

from __future__ import annotations

from typing import Any, NamedTuple

from refode import _validate
from refode.adaptation.course import PARTS

NORMS, CONTROLLERS = ("max", "rms"), ("pi", "i")
#: No smaller relative tolerance: rounding would be taken for an error of the scheme.
LEAST_RTOL = 1e-13
#: So many tried steps, where nobody says how many.
MAX_STEPS = 10_000


class Settings(NamedTuple):
    """See ``adapt``, which documents them."""

    rtol: float
    atol: float
    error_in: tuple[str, ...] = ("z",)
    norm: str = "max"
    stops: tuple[float, ...] = ()
    first_step: float | None = None
    controller: str = "pi"
    max_steps: int = MAX_STEPS
    interpolated: bool = False  # whether what is read between the grid's points counts too

    @classmethod
    def of(
        cls,
        rtol: Any,
        atol: Any,
        error_in: Any = ("z",),
        norm: Any = "max",
        stops: Any = None,
        first_step: Any = None,
        controller: Any = "pi",
        max_steps: Any = MAX_STEPS,
        interpolated: bool = False,
    ) -> Settings:
        """After checks that need no ode.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, what came and what was wanted.
        """
        rtol, atol = _validate.positive("rtol", rtol), _validate.positive("atol", atol)
        if rtol < LEAST_RTOL:
            raise ValueError(
                f"rtol: got {rtol}, wanted at least {LEAST_RTOL}: below it errors are rounding's"
            )
        if rtol >= 1.0:
            raise ValueError(f"rtol: got {rtol}, wanted a number below 1")
        if stops is not None:
            stops = _validate.real_array("stops", stops, ("n",), allow_empty=True)
        return cls(
            rtol,
            atol,
            _parts(error_in),
            _validate.choice("norm", norm, NORMS),
            () if stops is None else tuple(stops.tolist()),
            None if first_step is None else _validate.positive("first_step", first_step),
            _validate.choice("controller", controller, CONTROLLERS),
            _validate.positive_int("max_steps", max_steps),
            interpolated,
        )


def _parts(error_in: Any) -> tuple[str, ...]:
    if _validate.is_text(error_in):
        error_in = (error_in,)
    named = _validate.sequence("error_in", error_in, "names")
    parts = tuple(dict.fromkeys(_validate.choice("error_in", part, PARTS) for part in named))
    if "z" not in parts:
        raise ValueError(f"error_in: got {parts}, wanted 'z' among them (all else follows it)")
    return parts
