"""A random case that an implementation gets wrong, and the smallest one like it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from refode import _validate
from refode.check.random_cases import KINDS, Document, Results, documents
from refode.reference import kernels

#: Cases judged at most while a failure is made smaller.
SHRINKS = 500


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes
    ----------
    tried : int
        Cases judged, up to the first wrong one and with it.
    first : dict or None
        The first wrong case, as it was judged; None where all were right.
    smallest : dict or None
        The smallest wrong case that shrinking it led to, named "random-smallest".
    shrinks : int
        Cases judged on the way.
    """

    tried: int
    first: Document | None = None
    smallest: Document | None = None
    shrinks: int = 0


class _Wrong(Exception):
    """Tells Hypothesis of a wrong case."""


class _Raised(BaseException):
    """Carries an exception past Hypothesis, which would take it for a wrong case."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def search(
    wrong: Callable[[Document], bool],
    n: int,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    results: Results = kernels.results,
    shrinks: int = SHRINKS,
) -> Found:
    """Judge up to n random cases, and make the first wrong one as small as it gets.

    The cases are named "random-000001" and so on in the order drawn, those tried while shrinking
    "random-smallest". The first one is always the simplest of all. The same seed gives the same
    cases with the same version of Hypothesis. Drawing takes 2 ms a case, the kernels as plain
    Python some 30 ms more; Hypothesis shrinks for at most five minutes.

    Parameters
    ----------
    wrong : callable
        Whether an implementation gets a document wrong. What it raises ends the search.
    n : int
        Cases, where none is wrong.
    seed : int, optional
    kinds : sequence of str, optional
        As of `documents`.
    results : callable, optional
        Right results of a document, as of `documents`.
    shrinks : int, optional
        Cases judged at most while shrinking.

    Returns
    -------
    Found

    Raises
    ------
    TypeError, ValueError
        n no positive int, seed or shrinks no int of at least 0; unknown kinds.
    ImportError
        Without Hypothesis.
    """
    n = _validate.positive_int("n", n)
    seed = _validate.nonnegative_int("seed", seed)
    judge = _Judge(wrong, _validate.nonnegative_int("shrinks", shrinks))
    drawn = documents(kinds, _carried(results))
    import hypothesis

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n,
        database=None,
        deadline=None,
        derandomize=False,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(drawn)
    def every_case_is_right(document: Document) -> None:
        if judge(document):
            raise _Wrong

    with _nothing_left_behind():
        try:
            every_case_is_right()
        except _Wrong:
            pass  # the last wrong case that was run is the smallest
        except _Raised as raised:
            raise raised.error from raised.error.__cause__
    return Found(judge.tried, judge.first, judge.smallest, judge.shrunk)


class _Judge:
    """Names the cases, counts them, and remembers what shrinking comes back to."""

    def __init__(self, wrong: Callable[[Document], bool], most: int) -> None:
        self.wrong, self.most = _carried(wrong), most
        self.tried = self.shrunk = 0
        self.first: Document | None = None
        self.smallest: Document | None = None
        self.verdicts: dict[str, bool] = {}

    def __call__(self, document: Document) -> bool:
        if self.first is None:
            self.tried += 1
            named = document | {"name": f"random-{self.tried:06d}"}
            if not self.wrong(named):
                return False
            self.first = named
            self.verdicts[_key(document)] = True
        verdict = self._again(document)
        if verdict:
            self.smallest = document | {"name": "random-smallest"}
        return verdict

    def _again(self, document: Document) -> bool:
        """While shrinking: what is known, or not wrong where that took too many cases."""
        key = _key(document)
        if key not in self.verdicts:
            allowed = self.shrunk < self.most
            self.shrunk += allowed
            name = {"name": "random-smallest"}
            self.verdicts[key] = allowed and bool(self.wrong(document | name))
        return self.verdicts[key]


def _key(document: Document) -> str:
    return json.dumps(document, sort_keys=True)


def _carried(call: Callable[[Document], Any]) -> Callable[[Document], Any]:
    def safe(document: Document) -> Any:
        try:
            return call(document)
        except BaseException as error:
            raise _Raised(error) from None

    return safe


@contextmanager
def _nothing_left_behind() -> Iterator[None]:
    """Hypothesis keeps files in the current folder, even without a database: not in ours."""
    from hypothesis import configuration

    before = getattr(configuration, "__hypothesis_home_directory", None)
    with tempfile.TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(before)
