"""Models as files: a problem and its theta, written and read without running anybody's code.

``save`` and ``load`` are ``refode.save`` and ``refode.load``. What is written of a class, and what
may be read, is one table (``table.py``); docs/saving.md says what the files hold.
"""

from __future__ import annotations

from refode.saving.content import ModelNotFoundError
from refode.saving.model import Model, load, save

__all__ = ["Model", "ModelNotFoundError", "load", "save"]
