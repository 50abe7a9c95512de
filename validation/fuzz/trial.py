"""One call with odd arguments, and the verdict on it."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from validation.fuzz import documented, values
from validation.fuzz.shared import Subject, subjects

LARGEST = 1e100  # finite numbers below are answered with finite ones
SECONDS = 10.0  # a call's, compiling aside
LONG = 100  # iterations
LONGEST = 1000  # characters of a message, without the names that it lists
FUNCTIONS = ("callback", "gradient", "hessian_vector", "progress", "sampler")
SAME, GOOD, TWO = 0.1, 0.05, 0.2  # shares: another form, all good, two odd arguments


@dataclass
class Trial:
    """What was called, and what came of it; ``fault`` is empty where the rule holds."""

    number: int
    name: str
    spoiled: dict[str, str]
    fault: str = ""
    error: str = ""
    text: str = ""

    def __str__(self) -> str:
        how = ", ".join(f"{k}: {v}" for k, v in self.spoiled.items()) or "nothing spoiled"
        return f"call {self.number}: {self.name} ({how}): {self.fault}: {self.error}"


@dataclass
class Tally:
    """Counts of a run."""

    calls: int = 0
    answered: int = 0
    refused: int = 0
    faults: list[Trial] = field(default_factory=list)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(t.fault.partition(":")[0] for t in self.faults)

    def add(self, trial: Trial) -> None:
        self.calls += 1
        if trial.fault:
            self.faults.append(trial)
        elif trial.error:
            self.refused += 1
        else:
            self.answered += 1


def trials(seed: int, numbers: range, only: str = "") -> Iterator[Trial]:
    """The calls with these numbers; each draws from a generator of its own."""
    known = [s for s in subjects() if only in s.name]
    weights = np.array([s.weight for s in known])
    pool = list({id(s.owner): s.owner for s in subjects() if s.owner is not None}.values())
    for number in numbers:
        rng = np.random.default_rng((seed, number))
        subject = known[rng.choice(len(known), p=weights / weights.sum())]
        yield trial(subject, number, pool, rng)


def trial(subject: Subject, number: int, pool: list[Any], rng: Any) -> Trial:
    """Spoil some arguments of a subject, call it, judge."""
    given, spoiled, again = dict(subject.good), {}, False
    names = list(subject.parameters)
    roll = rng.random()
    if names and roll < SAME:
        name = names[rng.integers(len(names))]
        found = values.same(given.get(name, subject.defaults.get(name)), rng)
        if found is not None:
            (spoiled[name], given[name]), again = found, True
    elif names and roll > SAME + GOOD:
        for _ in range(1 + (rng.random() < TWO)):
            name = names[rng.integers(len(names))]
            good = subject.good.get(name, subject.defaults.get(name))
            spoiled[name], given[name] = values.odd(good, pool, rng, name in FUNCTIONS)
    if _is_long(given.get("max_iter")):  # trained for as long as was asked for
        spoiled["max_iter"] = given["max_iter"] = subject.good["max_iter"]
    done = Trial(number, subject.name, spoiled)
    _judge(done, subject, given, again)
    return done


def _is_long(max_iter: Any) -> bool:
    """Whether so many iterations may be trained for, that nobody could wait for them."""
    try:
        return bool(np.max(np.asarray(max_iter)) > LONG)
    except Exception:  # no numbers: refused, or none
        return False


def _judge(done: Trial, subject: Subject, given: dict[str, Any], again: bool) -> None:
    seconds, answer, error = _called(subject, given)
    if seconds > SECONDS:
        seconds = min(seconds, _called(subject, given)[0])  # the first time it may compile
    if seconds > SECONDS:
        done.fault, done.error = "slow", f"{seconds:.1f} s"
    elif error is not None:
        done.error = f"{type(error).__name__}: {_text(error)[:300]}"
        done.text = _text(error)
        done.fault = _unclear(error, subject, done)
        if again and not done.fault and not documented.may_refuse(subject.name):
            good = _called(subject, subject.good)[2]
            if good is None or _text(good) != _text(error):
                done.fault = "refused: the same value in another form"
    elif again and not same_bits(answer, _called(subject, subject.good)[1]):
        done.fault = "taken for something else: the same value in another form"
    elif not documented.may_be_infinite(subject.name) and _tame(given) and not finite(answer):
        done.fault, done.error = "not finite", f"from {_short(given)}: {_short(answer)}"


def _called(subject: Subject, given: dict[str, Any]) -> tuple[float, Any, BaseException | None]:
    arguments = dict(given)
    start = time.perf_counter()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            answer, error = subject.call(arguments), None
    except Exception as raised:
        answer, error = None, raised
    return time.perf_counter() - start, answer, error


def _unclear(error: BaseException, subject: Subject, done: Trial) -> str:
    """Why an exception is none that a user can do something with; empty if it is."""
    if documented.raises(subject.name, error):
        return ""
    if not isinstance(error, TypeError | ValueError):
        return f"unclear: {type(error).__name__}"
    text = _text(error)
    named = re.match(r"([^\W\d]\w*)", text)
    if not named or named.group(1) not in {*subject.parameters, *subject.names}:
        return "unclear: names no argument"
    if len(documented.KNOWN.sub("", text)) > LONGEST:
        return "unclear: a long message"
    return ""


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as raised:
        return f"(cannot be shown: {raised})"


def numbers(value: Any, depth: int = 0) -> Iterator[np.ndarray]:
    """All floating-point numbers within arguments or answers."""
    if depth > 6 or isinstance(value, str | bytes):
        return
    if isinstance(value, values.Foreign):
        value = value.numbers
    if hasattr(value, "tocsr"):
        value = value.data
    if isinstance(value, np.ndarray | np.generic | float | complex | int):
        with contextlib.suppress(OverflowError):
            found = np.asarray(value)
            if found.dtype.kind in "fc":
                yield found
            elif found.dtype.kind in "iu":
                yield found.astype(float)
    elif isinstance(value, dict):
        for part in value.values():
            yield from numbers(part, depth + 1)
    elif isinstance(value, tuple | list):
        for part in itertools.islice(value, 10_000):
            yield from numbers(part, depth + 1)


def finite(answer: Any) -> bool:
    return all(np.isfinite(found).all() for found in numbers(answer))


def _tame(given: dict[str, Any]) -> bool:
    with np.errstate(all="ignore"):
        return all((np.abs(found) < LARGEST).all() for found in numbers(given))


def same_bits(a: Any, b: Any) -> bool:
    ours, theirs = list(numbers(a)), list(numbers(b))
    if len(ours) != len(theirs) or type(a) is not type(b):
        return False
    return all(
        np.array_equal(p, q, equal_nan=True) for p, q in zip(ours, theirs, strict=True)
    ) and (bool(ours) or documented.UNLIKE.sub("", repr(a)) == documented.UNLIKE.sub("", repr(b)))


def _short(value: Any) -> str:
    return " ".join(repr(value).split())[:250]
