"""Grids that adapt to the paths: planned by embedded pairs, then frozen, docs/adaptive.md."""

from __future__ import annotations

from refode.adaptation.door import adapt as adapt
from refode.adaptation.report import Adaptation as Adaptation

__all__ = ["Adaptation", "adapt"]
