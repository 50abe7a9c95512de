"""How far a check is: a bar on a terminal, a plain line every so often elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(shown: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """What `refode.check.run.check` takes as ``progress``; writes to standard error.

    Parameters
    ----------
    shown : bool
        False shows nothing and gives None.
    """
    if not shown or sys.stderr is None:
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _lines()
        return
    columns = (
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def move(case: str, done: int, total: int) -> None:
            bar.update(task, description=escape(case), completed=done, total=total)

        yield move


def _lines() -> Callable[[str, int, int], None]:
    last = time.monotonic()

    def move(case: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{done} of {total} cases, now {case}", file=sys.stderr, flush=True)

    return move
