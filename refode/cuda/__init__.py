"""The GPU path: the sweeps of refode.sweeps in numba.cuda kernels, docs/cuda.md.

Asked for by ``device="cuda"``; the package numba-cuda is imported then and not before.
"""

import importlib
from typing import Any

from refode.cuda.registry import register as register
from refode.ode import placement

__all__ = ["bytes_of", "calibrate", "register", "release", "settings"]


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def settings(**how: Any) -> Any:
    """See `refode.cuda.layout.settings`."""
    from refode.cuda import layout

    return layout.settings(**how)


def bytes_of(problem: Any, n: int) -> int:
    """See `refode.cuda.launching.bytes_of`."""
    from refode.cuda import launching

    return launching.bytes_of(problem, n)


def calibrate(**how: Any) -> float:
    """See `refode.cuda.crossover.calibrate`."""
    from refode.cuda import crossover

    return crossover.calibrate(**how)


def release() -> None:
    """See `refode.cuda.buffers.release`."""
    from refode.cuda import buffers

    buffers.release()


def _module(name: str) -> Any:
    """A module of this package, imported when the first sweep asks for it."""
    return importlib.import_module(f"refode.cuda.{name}")


placement.register(_module)
