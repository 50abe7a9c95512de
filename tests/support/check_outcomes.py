"""Outcomes of every kind, made by hand, for tests of the reports."""

from __future__ import annotations

import math

from refode.check.outcome import INVALID, RIGHT, SKIPPED, WRONG, Finding, Outcome, Row

NASTY = "<script>alert('x')</script> & \"]]> [bold]b[/bold] \x1b[31m\x00 $a_b^$ \ud800 é"


def right(case, quantity, error=1e-15):
    return Row(case, quantity, RIGHT, error, 2.0, 1e-14, "float64", 6e-15)


def mixed(name="mine:adapter"):
    """Every verdict, and two findings of which one is certain."""
    rows = [
        right("ode-a", "trajectory"),
        right("ode-b", "trajectory", 4e-15),
        Row("ode-a", "slopes", WRONG, 2e-7, 2.0, 1e-14, "float32", 1e-7),
        Row("sup-a", "gradient/W0", WRONG, 1.0, 2.0, 1e-14, "", math.inf),
        Row("sup-a", "gradient/b0", WRONG, 0.5, 1.0, 1e-14, "", math.inf),
        Row("ode-b", "tangent", INVALID, reason="got nan at (0, 1)"),
        Row("ode-c", "", INVALID, reason="no answer within 60 s"),
        Row("ode-a", "trace", SKIPPED, reason="not offered"),
        Row("ode-b", "trace", SKIPPED, reason="not offered"),
    ]
    halved = (("sup-a", "gradient/W0"), ("sup-a", "gradient/b0"), ("ode-a", "trajectory"))
    findings = [
        Finding("factor", "1/2 times what is right: gradient", halved),
        Finding("single", "single precision inside", (("ode-a", "slopes"),), certain=False),
    ]
    return Outcome(name, "float64", rows, findings, 1.25)


def all_right():
    return Outcome("mine:adapter", "float64", [right("ode-a", "trajectory"), right("b", "total")])


def nasty():
    """Text of other people in every place that takes some."""
    made = mixed(NASTY)
    made.rows += [
        Row(NASTY, f"gradient/{NASTY}", WRONG, 1.0, 1.0, 1e-14),
        Row(NASTY, NASTY, INVALID, reason=NASTY),
        Row(NASTY, "total", SKIPPED, reason=NASTY),
    ]
    made.findings.append(Finding("odd", NASTY, ((NASTY, NASTY),)))
    made.shrunk = {"name": NASTY, "h": math.nan}
    return made


def malformed():
    """Rows as no check should make them."""
    bad = (math.nan, math.inf, 0.0, 1.0)
    rows = [
        Row(f"case-{i}", quantity, verdict, error, size, tolerance, "float16", tolerance)
        for verdict in (RIGHT, WRONG, INVALID, SKIPPED)
        for quantity in ("total", "own/block", "")
        for i, (error, size, tolerance) in enumerate(
            [(e, s, t) for e in bad for s in (math.nan, 0.0, 1.0) for t in bad]
        )
    ]
    return Outcome("", "float64", rows, [Finding("none", "", ())], math.nan)


def many(n=1000):
    rows = [right(f"random-{i:06d}", q) for i in range(n) for q in ("trajectory", "total")]
    rows[-1] = Row(f"random-{n - 1:06d}", "total", WRONG, 1.0, 1.0, 1e-14)
    return Outcome("mine:adapter", "float64", rows)


OUTCOMES = {
    "right": all_right,
    "mixed": mixed,
    "nasty": nasty,
    "malformed": malformed,
    "many": many,
    "one": lambda: Outcome("m:a", "bfloat16", [right("ode-a", "total")]),
    "skipped": lambda: Outcome("m:a", "float64", [Row("ode-a", "total", SKIPPED, reason="no")]),
    "empty": lambda: Outcome("m:a", "float64"),
}
