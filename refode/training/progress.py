"""The progress line: live on a terminal, a plain line every so often elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

SECONDS_BETWEEN_LINES = 10.0  # plain
SECONDS_BETWEEN_REFRESHES = 0.1  # live


class Progress:
    """Shows rows of the history on standard error, the first and the last one always.

    Parameters
    ----------
    shown : bool
    max_iter : int
        Shown beside the iteration.
    label : str
        What comes first on each line.
    """

    def __init__(self, shown: bool, max_iter: int, label: str = "") -> None:
        self.stream = sys.stderr if shown else None  # None too where there is no such stream
        self.max_iter, self.label = max_iter, label
        self.live: Any = None
        self.shown_at = float("-inf")
        self.waiting: dict[str, Any] | None = None  # the newest row, where it has not been shown

    def open(self) -> None:
        """Take over the terminal's last line, if this is a terminal."""
        if self.stream is None or not self.stream.isatty():
            return
        from rich.console import Console  # a tenth of a second, and only people need it
        from rich.live import Live

        console = Console(file=self.stream)
        if console.is_terminal and not console.is_dumb_terminal:
            self.live = Live(self.label + "first evaluation", console=console, auto_refresh=False)
            self.live.start(refresh=True)

    def update(self, row: dict[str, Any]) -> None:
        """Show the row, unless another one was shown just now."""
        pause = SECONDS_BETWEEN_LINES if self.live is None else SECONDS_BETWEEN_REFRESHES
        self.waiting = row
        if time.monotonic() - self.shown_at >= pause:
            self._show()

    def close(self) -> None:
        """Show what is waiting, and leave the line where it is."""
        self._show()
        live, self.live = self.live, None
        if live is not None:
            live.stop()

    def say(self, message: str) -> None:
        """Print a line of its own."""
        self._print(self.label + message)

    def _show(self) -> None:
        if self.waiting is None:
            return
        line = self.label + self._line(self.waiting)
        self.waiting, self.shown_at = None, time.monotonic()
        if self.live is None:
            self._print(line)
            return
        from rich.text import Text

        self.live.update(Text(line), refresh=True)

    def _print(self, line: str) -> None:
        if self.stream is None:
            return
        try:
            print(line, file=self.stream, flush=True)
        except (OSError, ValueError):  # closed by whoever reads it: no reason to stop training
            self.stream = None

    def _line(self, row: dict[str, Any]) -> str:
        width = len(str(self.max_iter))
        products = f"  products {row['products']}" if row["products"] else ""
        return (
            f"iteration {row['iteration']:{width}d}/{self.max_iter}  value {row['value']:.8e}  "
            f"|gradient| {row['gradient_norm']:.2e}  evaluations {row['evaluations']}{products}  "
            f"{row['seconds']:.1f} s"
        )
