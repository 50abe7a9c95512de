"""The golden cases as tests of pytest: ``pytest --refode-target=module:adapter``.

pytest imports this module at every start, in whatever project: nothing heavy comes in before
the option is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

NODE = "refode check"
_OPEN = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("refode", "refode: golden cases of continuous-time deep learning")
    group.addoption(
        "--refode-target",
        metavar="TARGET",
        help="a folder of results or module:adapter; every golden case becomes a test",
    )
    group.addoption(
        "--refode-precision",
        metavar="PRECISION",
        choices=("float64", "float32", "bfloat16"),
        help="whose rounding is allowed (default: what the adapter says, float64 for folders)",
    )
    group.addoption(
        "--refode-timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="time for one case (default: 60)",
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what is checked."""
    target = config.getoption("refode_target")
    return f"refode target: {target}" if target else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse an unusable target before pytest-xdist starts workers: theirs say nothing of it."""
    config = session.config
    if config.getoption("refode_target") and config.pluginmanager.hasplugin("dsession"):
        with ExitStack() as stack:
            _entered(config, stack)


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among the cases too
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the cases to whatever was collected, be it nothing."""
    if config.getoption("refode_target"):
        node = Cases.from_parent(session, name=NODE, nodeid=NODE)
        cases = list(node.collect())
        items += cases
        # so that they are counted among the collected
        report = pytest.CollectReport(NODE, "passed", None, [*cases])
        config.hook.pytest_collectreport(report=report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the target's process."""
    opened = session.config.stash.get(_OPEN, None)
    if opened is not None:
        opened.close()


class Cases(pytest.Collector):
    """All golden cases of one target."""

    def collect(self) -> Iterator[CaseItem]:
        """The cases by name.

        Raises
        ------
        pytest.UsageError
            The target cannot be used.
        """
        from refode import reference

        target, judge, precision = None, None, ""
        if not self.config.getoption("collectonly"):
            target, judge, precision = self._opened()
        for name in reference.names():
            yield CaseItem.from_parent(
                self, name=name, target=target, judge=judge, precision=precision
            )

    def _opened(self) -> tuple[Any, Any, str]:
        from refode.check.judge import Judge

        stack = self.config.stash.setdefault(_OPEN, ExitStack())
        target = _entered(self.config, stack)
        judge = stack.enter_context(Judge())
        return target, judge, self.config.getoption("refode_precision") or target.precision


def _entered(config: pytest.Config, stack: ExitStack) -> Any:
    """The target, open until the stack is closed."""
    from refode.check.targets import open_target

    option = config.getoption
    try:
        return stack.enter_context(open_target(option("refode_target"), option("refode_timeout")))
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise pytest.UsageError(f"refode: {error}") from error


class Wrong(Exception):
    """A case with arrays that are wrong or invalid; its text is the report."""


class CaseItem(pytest.Item):
    """One golden case.

    Parameters
    ----------
    target : refode.check.targets.Target
    judge : refode.check.judge.Judge
    precision : str
    """

    def __init__(self, *, target: Any, judge: Any, precision: str, **more: Any) -> None:
        super().__init__(**more)
        self.target, self.judge, self.precision = target, judge, precision

    def runtest(self) -> None:
        """Ask for the case and judge what is said of it."""
        from refode import reference
        from refode.check.outcome import RIGHT
        from refode.check.run import judged_case

        document = reference.case(self.name)
        rows = judged_case(document, self.target, self.judge, self.precision).rows
        if any(row.failed for row in rows):
            raise Wrong(self._told(rows))
        if not any(row.verdict == RIGHT for row in rows):
            pytest.skip("; ".join(dict.fromkeys(row.reason for row in rows)) or "no results")

    def _told(self, rows: list[Any]) -> str:
        from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG
        from refode.check.wording import counted, said, short

        count = {v: sum(r.verdict == v for r in rows) for v in (RIGHT, WRONG, INVALID, SKIPPED)}
        compared = count[RIGHT] + count[WRONG] + count[INVALID]
        failing = [row for row in rows if row.failed]
        return "\n".join(
            [
                f"{self.name}: {count[RIGHT]} of {counted(compared, 'array')} right, "
                f"{count[WRONG]} wrong, {count[INVALID]} invalid, {count[SKIPPED]} skipped",
                *(
                    f"  {r.verdict:<7} {short(r.quantity, 40) or '(whole case)':<18} "
                    f"{said(r, self.precision)}"
                    for r in failing
                ),
                f"what is probably wrong: refode check {self.config.getoption('refode_target')}",
            ]
        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report alone, without a traceback through refode."""
        if isinstance(excinfo.value, Wrong):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where pytest says the case stands."""
        return self.path, None, f"{NODE}: {self.name}"
