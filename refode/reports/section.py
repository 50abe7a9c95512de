"""What a part of a report comes to: checks with what was measured, files, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refode.check.report import as_json as as_json


@dataclass(frozen=True)
class Check:
    """One thing that must hold, what was measured and what was wanted, in words."""

    name: str
    passed: bool
    measured: str
    wanted: str


@dataclass
class Section:
    """One part of a report.

    Attributes
    ----------
    title : str
    checks : list of Check
    numbers : dict
        All that was measured, for the JSON file.
    files : list of Path
        Pictures.
    """

    title: str
    checks: list[Check] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def add(self, name: str, passed: Any, measured: str, wanted: str) -> None:
        """Append a check."""
        self.checks.append(Check(name, bool(passed), measured, wanted))

    @property
    def passed(self) -> bool:
        """Whether all checks hold, and there are some."""
        return bool(self.checks) and all(check.passed for check in self.checks)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table, the first column to the left, the others, never cut, to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:  # a file has no width to keep to
        console = Console(width=150)
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        longest = max([len(column), *(len(str(row[i])) for row in rows)])
        made.add_column(
            column,
            justify="right" if i else "left",
            overflow="fold",
            min_width=min(longest, 12 if i else 30),
            max_width=60,
        )
    for row in rows:
        made.add_row(*(str(entry) for entry in row))
    console.print(made)


def verdict(passed: Any) -> str:
    """The word for a table, marked up so that a failure is red."""
    return "[green]ok[/green]" if passed else "[bold red]FAILED[/bold red]"
