"""A program of Python's in a process of its own, which imports this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import refode


def run(
    text: str, *arguments: str, cwd: Any = None, timeout: float | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program's text without warnings; what it printed, and its exit status."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(refode.__file__).parents[1]), **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
