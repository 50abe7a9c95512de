"""How much of the golden cases a check has compared, and which features in none of them.

An implementation that skips most cases may be right in all others, and wrong in what these do
not have: that is said beside the verdict.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from refode.check.outcome import RIGHT, WRONG, Row
from refode.reference import files

#: Features, and values of one feature, that are told by name; the others are counted.
_TOLD, _VALUES = 12, 3


@dataclass(frozen=True)
class Coverage:
    """What was compared of one kind of golden cases.

    Attributes
    ----------
    kind : str
        "ode", "supervised", "flow" or "game".
    asked, compared : int
        Cases; those count as compared of which at least one array's numbers were judged.
    never : tuple of (str, tuple of str)
        Features of cases asked for and of none that was compared, each with its values.
    """

    kind: str
    asked: int
    compared: int
    never: tuple[tuple[str, tuple[str, ...]], ...] = ()


def coverage(rows: Iterable[Row]) -> list[Coverage]:
    """Of every kind of golden cases that were asked for, in the order of their names."""
    rows = list(rows)
    known = set(files.names())
    asked = sorted({row.case for row in rows} & known)
    came = {row.case for row in rows if row.verdict in (RIGHT, WRONG)}
    found = []
    for kind in dict.fromkeys(_kind(name) for name in asked):
        mine = [name for name in asked if _kind(name) == kind]
        compared = [name for name in mine if name in came]
        never = _never(mine, compared) if compared else ()
        found.append(Coverage(kind, len(mine), len(compared), never))
    return found


def _never(asked: list[str], compared: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    seen = set().union(*map(_features, compared))
    missing: dict[str, set[str]] = {}
    for words, value in set().union(*map(_features, asked)) - seen:
        missing.setdefault(words, set()).add(value)
    order = list(_named())
    return tuple((words, tuple(sorted(missing[words]))) for words in order if words in missing)


def _named() -> tuple[str, ...]:
    from refode.check.diagnose.patterns import FEATURES

    return (*FEATURES, _NO_READOUT)


_NO_READOUT = "there is no readout"


@functools.cache
def _features(name: str) -> frozenset[tuple[str, str]]:
    """What a golden case has, each as words and a value; "" where there is none to fill in."""
    from refode.check.diagnose.patterns import FEATURES

    document = files.case(name)
    found = set()
    for words, feature in FEATURES.items():
        value = feature(document)
        if "{}" in words and value is not None:
            found.add((words, str(value)))
        elif value is True:
            found.add((words, ""))
    if document["problem"].get("readout") is False:
        found.add((_NO_READOUT, ""))
    return frozenset(found)


@functools.cache
def _kind(name: str) -> str:
    return files.case(name)["problem"]["type"]


def told(rows: Iterable[Row]) -> str:
    """What was not compared, in a sentence; "" where all was."""
    partly = [c for c in coverage(rows) if c.compared < c.asked]
    if not partly:
        return ""
    counts = ", ".join(f"{c.compared} of {c.asked} {c.kind} cases" for c in partly)
    never: dict[str, dict[str, None]] = {}
    for c in partly:
        for words, values in c.never:
            never.setdefault(words, {}).update(dict.fromkeys(values))
    features = [words.format(_listed(list(values), _VALUES)) for words, values in never.items()]
    missing = f"; features never compared: {_listed(features, _TOLD)}" if features else ""
    return f"Compared {counts}{missing}."


def _listed(entries: list[str], most: int) -> str:
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return ", ".join(entries[:most]) + more
