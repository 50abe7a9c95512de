"""Planted bugs, which are with the sources, in validation/mutants: a wheel carries none.

The names of that package are found here where the sources are at hand.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MISSING = "the planted bugs are with the sources, in validation/mutants, and these are not here"


def there() -> bool:
    """Whether the sources, and so the planted bugs, are at hand."""
    return (ROOT / "validation" / "mutants" / "__init__.py").is_file()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'refode.check.mutants' has no attribute {name!r}")
    if not there():
        raise ImportError(MISSING)
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return getattr(importlib.import_module("validation.mutants"), name)
