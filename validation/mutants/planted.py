"""Run tests of pytest in a process that has a bug: ``planted.py`` TESTS, texts on the input.

The input is a JSON object of texts by module. As a script of its own it imports nothing of refode
before they are in place. The exit status is pytest's, or 70 where a text was not imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

UNUSED = 70


def main(tests: list[str]) -> int:
    """See above."""
    here = str(Path(__file__).resolve().parent)
    sys.path.insert(0, here)
    from finder import Finder  # type: ignore[import-not-found]

    sys.path.remove(here)  # whose names are not those of the tests
    finder = Finder(json.load(sys.stdin))
    sys.meta_path.insert(0, finder)
    import pytest

    class First:
        """Before pytest's own finder, which rewrites what a plugin of pytest comes with."""

        def pytest_configure(self) -> None:
            sys.meta_path.remove(finder)
            sys.meta_path.insert(0, finder)

    asked = ["-x", "-q", "-p", "no:cacheprovider", "--tb=line", *tests]
    status = int(pytest.main(asked, plugins=[First()]))
    ran = status in (0, 1)
    return UNUSED if ran and finder.used != set(finder.texts) else status


if __name__ == "__main__":
    sys.path.pop(0)
    sys.exit(main(sys.argv[1:]))
