"""What the documentation allows besides TypeError and ValueError, and infinite answers."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

#: Names that a message may list in full, however many there are.
KNOWN = re.compile(r"wanted one of .*", re.DOTALL)
#: Parts of a repr that differ between equal objects.
UNLIKE = re.compile(r" at 0x[0-9a-f]+|\d+\.\d+ s\b|seconds=[\d.e-]+")

#: Exceptions by the name of what is called, with the place that says so.
RAISES: dict[str, tuple[tuple[str, str], ...]] = {
    "*": (("RuntimeError", "device|CUDA|cuda"),),  # docs of device="cuda": no package or driver
    "refode.bridges.*": (("ImportError", "needs the package"),),  # "PyTorch is missing"
}
#: Answers that may be infinite or NaN for finite numbers below 1e100.
INFINITE: tuple[str, ...] = (
    # "not finite where a path is not", of each problem's values and derivatives
    *(
        f"refode.{kind}.{method} of *"
        for kind in ("Supervised", "ContinuousNormalizingFlow", "MeanFieldGame")
        for method in ("value", "value_and_gradient", "hessian_vector", "costs")
    ),
    "refode.ode.evaluate.*",  # "what is beyond float64 comes back as inf or NaN"
    "refode.Supervised.score of *",  # "down to -inf where that is beyond float64"
    "refode.datasets.g",  # NaN where g is not defined
    "refode.training.train_resampled",  # the validation's value, where there is none
)
#: Other forms of the right value that are refused: ``unpack`` gives views of what it gets.
REFUSED: tuple[str, ...] = ("refode.*.unpack*",)


def raises(name: str, error: BaseException) -> bool:
    """Whether the documentation of a call names this exception."""
    for pattern, allowed in RAISES.items():
        if fnmatchcase(name, pattern):
            for kind, text in allowed:
                if type(error).__name__ == kind and re.search(text, str(error)):
                    return True
    return False


def may_refuse(name: str) -> bool:
    """Whether the documentation of a call says that it does not convert."""
    return any(fnmatchcase(name, pattern) for pattern in REFUSED)


def may_be_infinite(name: str) -> bool:
    """Whether the documentation of a call says that its answer need not be finite."""
    return any(fnmatchcase(name, pattern) for pattern in INFINITE)
