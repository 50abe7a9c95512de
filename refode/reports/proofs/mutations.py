"""Planted bugs: all caught by `refode check`, most named, wrong gradients seen by verify alone.

Those that golden cases do not reach have to turn tests red.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from refode import _files
from refode.check import mutants
from refode.reports.section import Section, as_json, table, verdict

#: The share of mutants whose first finding has to name them.
NAMED = 0.8
#: Some of each kind that touch few cases.
QUICK = (
    "forward-time",
    "gradient-1.001",
    "labels-shifted",
    "density-constant",
    "Q-sign",
)
_VERIFY = {
    "caught": "fails",
    "missed": "PASSES",
    "another function": "passes: right for it",
    "rough": "fails: not smooth",
    "false alarm": "FAILS a right one",
    "no gradient": "-",
}


def run(folder: Path, quick: bool = False) -> Section:
    """Plant all bugs, print the table, write mutations.json and mutations.md.

    Parameters
    ----------
    folder : Path
    quick : bool, optional
        Five bugs alone.
    """
    section = Section("mutations")
    outcome, gradients = mutants.control()
    progress = _progress if sys.stdout.isatty() else None
    section.add(
        "the kernels without a bug pass",
        outcome.passed and not outcome.findings,
        f"{len(outcome.failing())} of {len(outcome.rows)} arrays wrong",
        "none",
    )
    section.add(
        "and so do their gradients",
        not any(g.failed or g.wrong for g in gradients),
        f"{sum(g.failed for g in gradients)} of {len(gradients)} fail",
        "none",
    )
    if quick:  # by one process, which knows from the first bug what the others are held to
        results = mutants.suite(QUICK, progress, workers=1, gradients=1)
    else:
        results = mutants.suite(progress=progress)
    judge(section, results)
    table(
        "Planted bugs",
        [
            "bug",
            "what is planted",
            "wrong arrays",
            "first finding",
            "named",
            "gradient off by",
            "visible",
            "refode.verify",
        ],
        [_entries(r) for r in results],
    )
    section.numbers = {"mutants": [record(r) for r in results]}
    reds = [] if quick else by_tests(section)
    section.numbers["by tests"] = [record_of_test(r) for r in reds]
    made = _files.writable_in("folder", folder)
    numbers, text = made / "mutations.json", made / "mutations.md"
    _files.write(numbers, json.dumps(as_json(section.numbers), indent=2) + "\n")
    _files.write(text, markdown(results) + (markdown_of_tests(reds) if reds else ""))
    section.files = [numbers, text]
    table(
        "Mutations",
        ["check", "measured", "wanted", "verdict"],
        [(c.name, c.measured, c.wanted, verdict(c.passed)) for c in section.checks],
    )
    return section


def by_tests(section: Section) -> list[Any]:
    """Plant the bugs that golden cases do not reach; every one's test has to turn red."""
    known = mutants.BY_TESTS
    passed, told = mutants.by_tests.control(known)
    section.add("the tests pass without a bug", passed, told, "all pass")
    reds = list(mutants.by_tests.examine(known))
    judge_tests(section, reds)
    table(
        "Bugs that tests are held to",
        ["bug", "what is planted", "what the test says"],
        [(r.mutant.name, r.mutant.about, r.told if r.caught else "SURVIVED") for r in reds],
    )
    return reds


def judge_tests(section: Section, reds: list[Any]) -> None:
    """Append the check on what came of them."""
    survived = [r.mutant.name for r in reds if not r.caught]
    n = len(reds)
    section.add(
        "each other bug turns its test red",
        n > 0 and not survived,
        f"{n - len(survived)} of {n}" + _listed(survived),
        "all",
    )


def judge(section: Section, results: list[Any]) -> None:
    """Append the checks on what came of the mutants."""
    n = len(results)
    survived = [r.mutant.name for r in results if not r.caught]
    section.add(
        "refode check catches every bug",
        not survived,
        f"{n - len(survived)} of {n}" + _listed(survived),
        "all",
    )
    naming = Counter(r.naming for r in results)
    section.add(
        "its first finding names them",
        naming["named"] >= NAMED * n,
        f"{naming['named']} of {n}, and {naming['localised']} by place",
        f">= {NAMED:.0%}",
    )
    wrong = [g for r in results for g in r.gradients if g.wrong]
    missed = [r.mutant.name for r in results if r.verify == "missed"]
    section.add(
        "refode.verify fails every wrong gradient",
        wrong and not missed,
        f"{sum(g.failed for g in wrong)} of {len(wrong)} gradients of "
        f"{sum(r.gradient_wrong for r in results)} bugs" + _listed(missed),
        "all",
    )
    right = [g for r in results for g in r.gradients if not g.wrong and not g.rough]
    alarms = [r.mutant.name for r in results if r.verify == "false alarm"]
    section.add(
        "and no gradient that is right for its value",
        not alarms,
        f"{sum(g.failed for g in right)} of {len(right)}" + _listed(alarms),
        "none",
    )


def record(result: Any) -> dict[str, Any]:
    """A result as JSON can hold it."""
    m = result.mutant
    return {
        "name": m.name,
        "about": m.about,
        "edits": [{"module": f"refode.{k}", "old": a, "new": b} for k, a, b in m.edits()],
        "caught": result.caught,
        "wrong arrays": result.n_wrong,
        "wrong cases": result.n_cases,
        "naming": result.naming,
        "verify": result.verify,
        "findings": [
            {
                "key": f.key,
                "sentence": f.sentence,
                "explained": len(f.explained),
                "certain": f.certain,
            }
            for f in result.findings
        ],
        "gradients": [vars(g) | {"wrong": g.wrong} for g in result.gradients],
        "seconds": result.seconds,
    }


def record_of_test(red: Any) -> dict[str, Any]:
    """A bug that a test is held to as JSON can hold it."""
    m = red.mutant
    edits = [{"module": f"refode.{k}", "old": a, "new": b} for k, a, b in m.edits()]
    about = {"name": m.name, "about": m.about, "edits": edits, "test": m.test}
    return about | {"caught": red.caught, "told": red.told}


def _listed(names: list[str]) -> str:
    return f" (not {', '.join(names)})" if names else ""


def _progress(name: str, done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done} of {total} bugs planted: {name:<30}", end=end, flush=True)


def _entries(result: Any) -> tuple[str, ...]:
    """A row of the table."""
    key = result.findings[0].key if result.findings else "-"
    naming = {"named": "yes", "localised": "place", "no": "no", "": "SURVIVED"}[result.naming]
    cases = f"{result.n_cases} case{'' if result.n_cases == 1 else 's'}"
    return (
        result.mutant.name,
        result.mutant.about,
        f"{result.n_wrong} in {cases}",
        key,
        naming,
        _largest([g.error for g in result.gradients if g.wrong]),
        _largest([g.power for g in result.gradients]),
        _VERIFY[result.verify],
    )


def _largest(values: list[float]) -> str:
    """The largest of some errors; infinite ones are those of what is not finite."""
    if not values:
        return "-"
    return f"{max(values):.0e}" if math.isfinite(max(values)) else "not finite"


def markdown(results: list[Any]) -> str:
    """The table as docs/mutations.md has it."""
    lines = [
        "| bug | what is planted | wrong arrays | first finding | named | gradient off by "
        "| `refode.verify` |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        name, about, wrong, key, naming, error, _, seen = _entries(result)
        about = about.replace("|", "\\|")
        lines.append(f"| {name} | {about} | {wrong} | `{key}` | {naming} | {error} | {seen} |")
    return "\n".join(lines) + "\n"


def markdown_of_tests(reds: list[Any]) -> str:
    """The table of bugs that tests are held to, as docs/mutations.md has it."""
    lines = ["", "| bug | what is planted | the test |", "|---|---|---|"]
    for red in reds:
        about = red.mutant.about.replace("|", "\\|")
        file, name = red.mutant.test.split("[")[0].split("::")
        lines.append(f"| {red.mutant.name} | {about} | `{Path(file).name}`: `{name}` |")
    return "\n".join(lines) + "\n"
