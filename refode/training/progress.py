"""The progress line: live on a terminal, a plain line every so often elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from refode.machine import progress as compiler

SECONDS_BETWEEN_LINES = 10.0  # plain
SECONDS_BETWEEN_REFRESHES = 0.1  # live
#: Lines come so far apart that computing their terms takes no more of the time than this.
SHARE_OF_TERMS = 0.05

Terms = Callable[[], Mapping[str, float]]


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
        # the newest row and how to compute its terms, where it has not been shown
        self.waiting: tuple[dict[str, Any], Terms | None] | None = None
        self.seconds_of_terms, self.with_terms = 0.0, True

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

    def update(self, row: dict[str, Any], terms: Terms | None = None) -> None:
        """Show the row and its terms, unless another one was shown just now.

        `terms` is called only where the row is shown, at once or by `close`.
        """
        pause = SECONDS_BETWEEN_LINES if self.live is None else SECONDS_BETWEEN_REFRESHES
        pause = max(pause, self.seconds_of_terms / SHARE_OF_TERMS)
        self.waiting = row, terms
        if time.monotonic() - self.shown_at >= pause:
            self._show()

    def close(self) -> None:
        """Show what is waiting, and leave the line where it is."""
        with contextlib.suppress(KeyboardInterrupt):  # in the terms: the result matters more
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
        if self.stream is None:  # nobody sees it, so nothing is computed for it
            self.waiting = None
            return
        (row, terms), self.waiting = self.waiting, None
        line, further = self.label + self._line(row), self._terms(terms)
        self.shown_at = time.monotonic()
        if self.live is None:
            self._print("  ".join([line, *further]))
            return
        from rich.text import Text

        self.live.update(Text("\n".join([line, *further])), refresh=True)

    def _terms(self, terms: Terms | None) -> list[str]:
        """The terms in words, one entry or none."""
        if terms is None or not self.with_terms:
            return []
        began = time.monotonic() - compiler.seconds()
        try:
            words = [f"{name} {float(value):.4g}" for name, value in terms().items()]
        except Exception as error:  # no reason to stop training
            self.with_terms = False
            self.say(f"terms: none, as costs raised {type(error).__name__}: {error}")
            return []
        self.seconds_of_terms = time.monotonic() - compiler.seconds() - began
        return ["  ".join(words)]

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
        known = row.get("validation", float("nan"))
        validation = f"  validation {known:.4e}" if math.isfinite(known) else ""
        return (
            f"iteration {row['iteration']:{width}d}/{self.max_iter}  value {row['value']:.8e}  "
            f"|gradient| {row['gradient_norm']:.2e}  evaluations {row['evaluations']}{products}  "
            f"{row['seconds']:.1f} s{validation}"
        )
