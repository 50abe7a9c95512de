"""Code of somebody's own that has changed in this process: at a prompt, cells are run again.

Numba remembers what it compiled of a kernel or of a registered body by the types of its
arguments alone. Were it not made to forget, a root of the new sources would get the former
code within, and be kept on disk under the new sources' name.
"""

from __future__ import annotations

from typing import Any

from numba.core.typing.templates import builtin_registry

from refode.machine.sources import Reach


def forget(reach: Reach) -> None:
    """Drop what Numba remembers of kernels and bodies that are not what they were."""
    for kernel in reach.kernels:
        if _own(kernel.py_func) and _moved(kernel.__dict__, "_former", [kernel], reach.classes):
            kernel._reset_overloads()
    for dispatch in reach.generics:
        for cls in reach.classes & dispatch.bodies.keys():
            body = dispatch.bodies[cls]
            if _own(body) and _moved(dispatch.former, cls, [body], reach.classes):
                for memory in _memories(dispatch):
                    memory.clear()


def _own(function: Any) -> bool:
    """Whether a function is somebody's own: refode's do not change."""
    return not (getattr(function, "__module__", None) or "").startswith("refode.")


def _moved(known: dict[Any, str], key: Any, start: list[Any], classes: frozenset[type]) -> bool:
    """Whether sources differ from those last compiled."""
    now = Reach(start, classes).digest
    return known.setdefault(key, now) != now and known.update({key: now}) is None


def _memories(dispatch: Any) -> list[dict[Any, Any]]:
    """Where Numba keeps the bodies that a generic function chose."""
    return [
        template._impl_cache
        for value, ty in builtin_registry.globals
        if value is dispatch
        for template in ty.templates
    ]
