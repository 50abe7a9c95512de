"""How tests are dealt to workers (pytest -n 2).

Compilation is what the kernel tests spend their time on, once for each kernel description
(``ShallowSpec``, ``MLPSpec``, ...) and worker. So tests whose parameters name a description
go to one worker, across files; every other file goes to one worker as a whole.
"""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest

pytest_plugins = ["pytester"]

DESCRIPTION = re.compile(r"\[(?:.*-)?([A-Z][A-Za-z]*Spec)-")


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C be heard, by children too, where whoever started the tests ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may be missing
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "load":  # somebody asked for another way
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByDescription(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            named = DESCRIPTION.search(nodeid)
            return named.group(1) if named else nodeid.split("::")[0]

    return ByDescription(config, log)
