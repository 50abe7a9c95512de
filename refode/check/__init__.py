"""Another implementation held to refode's golden cases: verdicts, and what is probably wrong.

docs/check.md says how to write an adapter and how to read the report. The names are loaded
when first used: pytest imports the plugin here at every start, in whatever project.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refode.check.case import Case as Case
    from refode.check.case import Scheme as Scheme
    from refode.check.outcome import Finding as Finding
    from refode.check.outcome import Outcome as Outcome
    from refode.check.outcome import Row as Row
    from refode.check.protocol import Adapter as Adapter
    from refode.check.protocol import Skip as Skip
    from refode.check.run import check as check

_HOMES = {
    "Adapter": "protocol",
    "Case": "case",
    "Finding": "outcome",
    "Outcome": "outcome",
    "Row": "outcome",
    "Scheme": "case",
    "Skip": "protocol",
    "check": "run",
}

__all__ = ["Adapter", "Case", "Finding", "Outcome", "Row", "Scheme", "Skip", "check"]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562) and keep it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'refode.check' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"refode.check.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
