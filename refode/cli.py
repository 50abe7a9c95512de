"""The command ``refode``: info, reproduce, validate, check, export.

Every command ends in a table, names the folder it wrote to, and exits with 0 where all
went well, 1 where something failed, 2 where it was called wrongly, 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import refode
from refode import _files
from refode.machine import progress as compiler

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["TARGETS", "main"]

TARGETS = {
    "figure1": "train the two networks of the survey's Figure 1 and draw it",
    "figure2": "fit flows to eight toy densities, with and without transport cost (Figure 2)",
    "figure3": "play transport and crowd motion on the line, to one target (Figure 3)",
    "games": "solve two published mean field games in the plane, and draw them",
    "densities": "estimate densities of wine and breast cancer (needs refode[data])",
    "paradigms": "measure what other adjoints than the discrete one cost",
    "depth": "measure whether residual networks are differential equations",
    "trajectories": "fit fields to measured curves, with error bars (sunspots: refode[data])",
    "realdata": "classify scikit-learn's digits and breast cancer (needs refode[data])",
}

OK, FAILED, INTERRUPTED = 0, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's) and return the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name.

    Returns
    -------
    int
        0, 1 or 130.

    Raises
    ------
    SystemExit
        With 2 on wrong usage, with 0 after ``--help`` and ``--version``.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        with _lines_at_once(), compiler.shown(not getattr(args, "quiet", False)):
            return _run(parser, args)
    except KeyboardInterrupt as error:
        return _interrupted(error)


@contextlib.contextmanager
def _lines_at_once() -> Iterator[None]:
    """Within it every line that is printed leaves at once, into a file or a pipe too."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper) or out.line_buffering:
        yield
        return
    out.reconfigure(line_buffering=True)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # closed meanwhile
            out.reconfigure(line_buffering=False)


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.command == "info":
        return _info(args.file)
    if args.command == "export":
        return _export(parser, args.folder)
    new = _files.absent(args.out)
    try:
        _look_at_outputs(args)
    except ValueError as error:
        parser.error(f"argument --{error}")
    if args.command == "check":
        return _check(parser, args, new)
    if args.command == "validate":
        jobs = {"validate": _validation(args.quick, args.full)}
    else:
        jobs = {target: _reproduction(target, not args.quiet) for target in _expanded(args.target)}
    return _run_all(jobs, args.out)


def _look_at_outputs(args: argparse.Namespace) -> None:
    """Make the folder, and see before any work that every file can be written.

    Raises
    ------
    ValueError
        One cannot; the text begins with "out".
    """
    from refode.reports import outputs

    if args.command == "check":
        from refode.check.report import FILES

        _files.writable_in("out", args.out, FILES)
        return
    _files.writable_in("out", args.out)
    for report in ["validate"] if args.command == "validate" else _expanded(args.target):
        outputs.folder(report, args.out)


def _interrupted(error: KeyboardInterrupt) -> int:
    """Say it in one line, with what was going on where that is known."""
    print(" ".join(["refode: interrupted", *map(str, error.args)]), file=sys.stderr)
    return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refode",
        description="Ground truth for continuous-time deep learning.",
        epilog="Exit status: 0 all went well, 1 something failed, 2 wrong usage, 130 Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"refode {refode.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    info = commands.add_parser(
        "info",
        help="show versions, threads, BLAS, kernel cache and GPU; or what is in a saved model",
        description="Show what this installation runs with: versions, cores and threads, BLAS "
        "libraries, the cache of compiled kernels and whether it is current, and GPUs. With a "
        "FILE: what is in a model that refode.save wrote, or in a checkpoint of refode.train.",
    )
    info.add_argument("file", nargs="?", metavar="FILE", help="a saved model or a checkpoint")

    known = "\n".join(f"  {name:<10} {text}" for name, text in _known_targets().items())
    reproduce = commands.add_parser(
        "reproduce",
        help="compute figures and tables of the documentation anew",
        description="Compute figures and tables of the documentation anew.",
        epilog=f"targets:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reproduce.add_argument(
        "target",
        nargs="+",
        choices=list(_known_targets()),
        metavar="TARGET",
        help="one or more of: %(choices)s",
    )
    _add_out(reproduce, "results")
    reproduce.add_argument("--quiet", action="store_true", help="show no progress, only results")

    validate = commands.add_parser(
        "validate",
        help="measure every derivative and every scheme's order",
        description="Measure every derivative and every scheme's order against independent "
        "truth, and say the smallest error that each check could have seen.",
    )
    extent = validate.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    extent.add_argument(
        "--full",
        action="store_true",
        help="plant bugs as well, and see that each is caught: about ten minutes more",
    )
    _add_out(validate, "results/validation")
    _add_check(commands)

    export = commands.add_parser(
        "export",
        help="write the golden cases for other implementations",
        description="Write the golden cases, inputs and results to 25 proven digits, as JSON "
        "and NPZ files with a JSON Schema; docs/reference.md says what they hold.",
    )
    export.add_argument("folder", type=Path, metavar="DIR", help="folder, made where missing")
    return parser


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = commands.add_parser(
        "check",
        help="hold another implementation to the golden cases, and say what is wrong with it",
        description="Hold another implementation to the golden cases: which of its arrays are "
        "right, to how many digits, and what is probably wrong with the others. docs/check.md "
        "says how to write results and adapters.",
        epilog="Exit status: 0 all that was compared is right, 1 something is not or nothing was "
        "compared, 2 wrong usage or no such target, 130 Ctrl-C.",
    )
    check.add_argument(
        "target", metavar="TARGET", help="a folder of results, or module:adapter of Python"
    )
    check.add_argument(
        "--precision",
        choices=("float64", "float32", "bfloat16"),
        help="whose rounding is allowed (default: what the adapter says, float64 for folders)",
    )
    check.add_argument(
        "--cases",
        nargs="+",
        action="extend",
        metavar="PATTERN",
        help="golden cases by name, such as 'game-*' (default: all)",
    )
    check.add_argument(
        "--random",
        type=_whole,
        default=0,
        metavar="N",
        help="N random cases as well; one that fails is made as small as it gets",
    )
    check.add_argument(
        "--seed",
        type=_whole,
        default=0,
        metavar="S",
        help="of the random cases (default: %(default)s)",
    )
    check.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="time for one case (default: %(default)g)",
    )
    check.add_argument(
        "--no-diagnosis", action="store_true", help="only compare, do not look for what is wrong"
    )
    check.add_argument("--quiet", action="store_true", help="show no progress, only results")
    _add_out(check, "results/check")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted an integer from 0 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a positive number of seconds")
    return value


def _add_out(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help="folder for everything that is written, made where missing (default: %(default)s)",
    )


def _known_targets() -> dict[str, str]:
    return {**TARGETS, "all": "all of the above"}


def _expanded(targets: Sequence[str]) -> list[str]:
    """The targets in the order asked for, ``all`` spelled out."""
    return [t for target in targets for t in (TARGETS if target == "all" else [target])]


def _info(file: str | None) -> int:
    from rich.console import Console

    if file is None:
        from refode.reports import info

        return OK if info.run(Console()) else FAILED
    from refode.reports import saved

    try:
        saved.run(Console(), file)
    except (ValueError, OSError) as error:
        print(f"refode: {error}", file=sys.stderr)
        return FAILED
    return OK


def _export(parser: argparse.ArgumentParser, folder: Path) -> int:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from refode import reference

    try:
        written = reference.export(folder)
    except (ValueError, OSError) as error:
        parser.error(f"argument DIR: {error}")
    table, problems = Table("problem", "cases"), [n.partition("-")[0] for n in reference.names()]
    for problem in sorted(set(problems)):
        table.add_row(problem, str(problems.count(problem)))
    console = Console()
    console.print(table)
    console.print(
        Text(f"{len(problems)} cases, {len(written)} files in {folder.resolve()}"), soft_wrap=True
    )
    return OK


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace, new: list[Path]) -> int:
    from rich.console import Console
    from rich.text import Text

    from refode.check import report, run
    from refode.check.progress import progress as shown

    try:
        with shown(not args.quiet) as progress:
            outcome = run.check(
                args.target,
                precision=args.precision,
                cases=args.cases,
                n_random=args.random,
                seed=args.seed,
                timeout=args.timeout,
                progress=progress,
                diagnose=not args.no_diagnosis,
            )
    except (ValueError, TypeError, ImportError, OSError) as error:
        _files.remove_folders(new)
        parser.error(str(error))
    report.show(outcome)
    files = report.write(outcome, args.out)
    names = ", ".join(path.name for path in files)
    Console().print(Text(f"{names} are in {args.out.resolve()}"), soft_wrap=True)
    return OK if outcome.passed else FAILED


# --- jobs: each gets the folder and says whether all came out as it must ------------------

Job = Callable[[Path], bool]


def _reproduction(target: str, progress: bool) -> Job:
    module = f"refode.reports.figures.{target}"
    return lambda out: importlib.import_module(module).run(out, progress)


def _validation(quick: bool, full: bool) -> Job:
    return lambda out: importlib.import_module("refode.reports.validate").run(out, quick, full=full)


@dataclass
class _Outcome:
    verdict: str
    seconds: float | None = None
    remark: str = ""


def _run_all(jobs: dict[str, Job], out: Path) -> int:
    """Run every job, also after one has failed, and end in a table."""
    from rich.console import Console

    console = Console()
    outcomes = {name: _Outcome("not run") for name in jobs}
    status = OK
    for name, job in jobs.items():
        start = time.perf_counter()
        outcome = outcomes[name] = _Outcome("interrupted")
        try:
            passed = job(out)
            outcome.verdict = "ok" if passed else "FAILED"
            status = status if passed else FAILED
        except KeyboardInterrupt as error:
            status = _interrupted(error)
            break
        except Exception as error:  # a crash of one target is a row, the others still run
            traceback.print_exc(file=sys.stderr)
            outcome.verdict, outcome.remark = "FAILED", f"{type(error).__name__}: {error}"
            status = FAILED
        finally:
            outcome.seconds = time.perf_counter() - start
    _print_outcomes(console, outcomes, out)
    return status


def _print_outcomes(console: Console, outcomes: dict[str, _Outcome], out: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("target", "verdict", "seconds", "remark")
    for name, outcome in outcomes.items():
        seconds = "" if outcome.seconds is None else f"{outcome.seconds:.1f}"
        style = "green" if outcome.verdict == "ok" else "bold red"
        table.add_row(name, Text(outcome.verdict, style=style), seconds, Text(outcome.remark))
    console.print(table)
    console.print(Text(f"files are in {out.resolve()}"), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
