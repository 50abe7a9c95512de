"""What the commands compute and show, one module a target, and reports on models of one's own.

A target of ``refode reproduce`` has ``run(out, progress) -> bool``: it writes its files
into the folder `out`, which exists, prints its own tables, shows its progress if `progress`
is true, and returns whether everything came out as it must.

``adjoint_gap`` says what another adjoint than the discrete one would cost, ``depth`` whether a
network is a differential equation.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refode.reports.depths import DepthReport as DepthReport
    from refode.reports.depths import depth as depth
    from refode.reports.gaps import adjoint_gap as adjoint_gap

_HOMES = {
    "DepthReport": "refode.reports.depths",
    "adjoint_gap": "refode.reports.gaps",
    "depth": "refode.reports.depths",
}

__all__ = ["DepthReport", "adjoint_gap", "depth"]


def __getattr__(name: str) -> Any:
    """Load a report on first use (PEP 562) and keep it: the command asks for few of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'refode.reports' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
