"""The tests on every Python that setup.cfg names, with the newest and the oldest packages allowed.

For each interpreter found (``python3.11`` to ``python3.14`` on PATH, pyenv's, ``--python``) an
environment is made twice: with whatever the index has newest, and with every lower bound of
setup.cfg as an exact version. Where a bound is older than the first version for that Python, the
oldest one that has a wheel for it stands in its place, and the table says so. In each environment
refode is installed from this tree, and the tests run: by default kernels as plain Python (``-m
nojit``), the closed forms and the compiled sweeps' own tests, with ``--full`` all of them, with
``--quick`` nothing that compiles.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import which

from validation import common

ROOT = Path(__file__).resolve().parents[2]
MINORS = (11, 12, 13, 14)

#: The tests of a run that is not full: (arguments of pytest, whether the JIT is on).
PARTS = (
    (["-m", "nojit"], False),
    (["tests/closed_forms"], False),
    (["tests/sweeps", "tests/machine"], True),
)
ALL = (([], True),)

#: The first version with wheels for a Python, where that is above the lower bound.
FIRST = {
    13: {"numpy": "2.1.0", "scipy": "1.14.1", "numba": "0.61.0", "matplotlib": "3.9.2"},
    14: {"numpy": "2.3.2", "scipy": "1.16.1", "numba": "0.63.0", "matplotlib": "3.10.5"},
}
FIRST_OF_TESTS = {
    14: {"scikit-learn": "1.7.2", "python-flint": "0.8.0"},
}


def main(argv: list[str] | None = None) -> int:
    """Run; the exit status."""
    parser = common.arguments(__doc__ or "", "versions")
    parser.add_argument("--full", action="store_true", help="all tests: an hour or more in all")
    parser.add_argument(
        "--python", action="append", default=[], metavar="PATH", help="one more interpreter"
    )
    parser.add_argument("--only", choices=("newest", "oldest"), help="one end alone")
    parser.add_argument(
        "--bounds", action="store_true", help="print the oldest versions for this Python, and end"
    )
    args = parser.parse_args(argv)
    if args.bounds:
        print(*(f"{n}=={v}" for n, v in bounds(sys.version_info.minor).items()), sep="\n")
        return 0
    report, record = common.Report(args.out), []
    ends = (args.only,) if args.only else ("newest", "oldest")
    for minor, python in interpreters(args.python).items():
        for end in ends:
            parts = ALL if args.full else PARTS[:2] if args.quick else PARTS
            row = tried(python, minor, end, parts)
            record.append(row)
            report.at_most(f"3.{minor}, {end}: {described(row)}", row["failed"], 0, "failed")
            report.at_least(f"3.{minor}, {end}: tests that ran", row["passed"], 100, "passed")
    missing = [f"3.{minor}" for minor in MINORS if minor not in {row["minor"] for row in record}]
    if missing:
        print(f"no interpreter found for Python {', '.join(missing)}: not tried")
    report.json("versions.json", record)
    return report.finish()


def interpreters(more: list[str]) -> dict[int, str]:
    """One interpreter a minor version, by that; those asked for first."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found: dict[int, str] = {}
    named = [which(f"python3.{minor}") for minor in MINORS]
    kept = [str(path) for path in sorted(pyenv.glob("3.*/bin/python3"))]
    for candidate in (*more, sys.executable, *named, *kept):
        minor = _minor(candidate) if candidate else None
        if candidate and minor in MINORS:
            found.setdefault(minor, candidate)
    return dict(sorted(found.items()))


def _minor(python: str) -> int | None:
    asked = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        said = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = said.stdout.split()
    return int(minor) if major == "3" else None


def bounds(minor: int) -> dict[str, str]:
    """The oldest version of every package, as setup.cfg allows it on that Python."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = config["options"]["install_requires"] + config["options.extras_require"]["test"]
    oldest = {}
    for line in wanted.split("\n"):
        match = re.match(r"\s*([A-Za-z0-9_-]+)\s*>=\s*([0-9.]+)", line)
        if match:
            oldest[match[1]] = match[2]
    first = FIRST.get(minor, {}) | FIRST_OF_TESTS.get(minor, {})
    return {name: first.get(name, version) for name, version in oldest.items()}


def tried(python: str, minor: int, end: str, parts: tuple[tuple[list[str], bool], ...]) -> dict:
    """Make an environment and run the tests there; what came of it."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="refode-versions-") as folder:
        place = Path(folder)
        subprocess.run([python, "-m", "venv", place / "venv"], check=True)
        inside = place / "venv" / "bin" / "python"
        held = place / "held.txt"
        lines = [f"{name}=={version}" for name, version in bounds(minor).items()]
        held.write_text("\n".join(lines if end == "oldest" else []) + "\n")
        subprocess.run(
            [inside, "-m", "pip", "install", "-qq", "-c", held, f"{ROOT}[test]"], check=True
        )
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        for arguments, jit in parts:
            for what, number in _tested(inside, place, arguments, jit).items():
                counts[what] += number
        versions = _versions(inside)
    seconds = round(time.perf_counter() - began)
    return {"minor": minor, "end": end, "seconds": seconds, "versions": versions, **counts}


def _tested(python: Path, place: Path, arguments: list[str], jit: bool) -> dict[str, int]:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"}
    environment["REFODE_CACHE_DIR"] = str(place / "cache")
    if not jit:
        environment["NUMBA_DISABLE_JIT"] = "1"
    command = [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *arguments]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = run.stdout.strip().splitlines()
    print("\n".join(line for line in lines if line.startswith(("FAILED", "ERROR"))), flush=True)
    print(f"{' '.join(arguments) or 'all tests'}: {lines[-1] if lines else run.stderr}", flush=True)
    counts = {
        what: sum(int(n) for n in re.findall(rf"(\d+) {pattern}", lines[-1] if lines else ""))
        for what, pattern in (
            ("passed", "passed"),
            ("failed", "(?:failed|error)"),
            ("skipped", "skipped"),
        )
    }
    if run.returncode not in (0, 1):  # nothing was collected, or pytest itself broke
        counts["failed"] += 1
    return counts


def _versions(python: Path) -> dict[str, str]:
    asked = (
        "import json, platform; from importlib.metadata import version as v;"
        "names = ('numpy', 'scipy', 'numba', 'matplotlib', 'scikit-learn');"
        "print(json.dumps({'python': platform.python_version(), **{n: v(n) for n in names}}))"
    )
    said = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


def described(row: dict) -> str:
    """Versions in a few words."""
    held = row["versions"]
    return f"NumPy {held['numpy']}, SciPy {held['scipy']}, Numba {held['numba']}"


if __name__ == "__main__":
    raise SystemExit(main())
