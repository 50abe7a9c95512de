"""``refode info``: what this installation runs with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

__all__ = ["collect", "run"]

Rows = list[tuple[str, str]]

_PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "threadpoolctl")


def collect() -> dict[str, Rows]:
    """Return sections of (what, value) rows; each section looks at the machine anew."""
    return {
        "versions": _versions(),
        "threads": _threads(),
        "BLAS": _blas(),
        "kernel cache": _cache(),
        "GPU": _gpu(),
    }


def run(console: Console) -> bool:
    """Print the table and return whether all is in order; what is only missing is."""
    sections = collect()
    table = Table(title="refode info", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for section, rows in sections.items():
        for i, (what, value) in enumerate(rows):
            table.add_row("" if i else section, what, value)
        table.add_section()
    console.print(table)
    return not any(value.startswith("FAILED") for rows in sections.values() for _, value in rows)


def _versions() -> Rows:
    import refode

    rows = [
        ("refode", f"{refode.__version__} in {Path(refode.__file__).parent}"),
        ("Python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"),
    ]
    for package in _PACKAGES:
        try:
            rows.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((package, "not found"))
    return rows


def _threads() -> Rows:
    from refode.machine import threads as parallel

    setting = os.environ.get("REFODE_NUM_THREADS")
    try:
        used = _counted(parallel.get_num_threads(), "thread")
    except ValueError as error:
        used = f"FAILED: {error}"
    return [
        ("cores", f"{_usable_cores()} usable of {os.cpu_count()}"),
        ("refode uses", used),
        ("REFODE_NUM_THREADS", "not set" if setting is None else setting),
        ("threading layer", "Python threads over nogil kernels"),
    ]


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _blas() -> Rows:
    import numpy as np  # noqa: F401  loaded so that threadpoolctl sees its BLAS
    import scipy.linalg  # noqa: F401  and this one's, which the kernels call
    from threadpoolctl import threadpool_info

    libraries = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    if not libraries:
        return [("library", "none that threadpoolctl knows")]
    return [
        (
            _owner(lib["filepath"]),
            f"{lib['internal_api']} {lib['version'] or 'of unknown version'}, "
            f"{_counted(lib['num_threads'], 'thread')} outside refode's kernels, "
            f"{lib.get('architecture', 'unknown architecture')}",
        )
        for lib in libraries
    ]


def _owner(library: str) -> str:
    """The package that ships a BLAS library, as far as its path tells."""
    parts = Path(library).parts
    for package in ("numpy", "scipy"):
        if f"{package}.libs" in parts or package in parts:
            return f"{package}'s"
    return Path(library).name


def _cache() -> Rows:
    from refode.machine import cache

    try:
        folder = cache.cache_folder()
    except ValueError as error:  # a REFODE_CACHE_DIR that names none
        return [("folder", f"FAILED: {error}")]
    roots = [f for f in folder.iterdir() if f.suffix == cache.SUFFIX]
    size = sum(f.stat().st_size for f in roots)
    former = [f for f in folder.iterdir() if cache.is_former(f)]
    former_files, former_size = _contents(former)
    return [
        ("folder", str(folder)),
        ("holds", f"{_counted(len(roots), 'root')}, {_megabytes(size)}"),
        ("each", f"named by its sources; deleted {cache.DAYS_KEPT} days after its last use"),
        (
            "of older versions",
            f"{_counted(len(former), 'folder')} with {_counted(former_files, 'file')}, "
            f"{_megabytes(former_size)}; safe to delete"
            if former
            else "none",
        ),
    ]


def _contents(folders: Iterable[Path]) -> tuple[int, int]:
    """Number of files below `folders` and their size in bytes; files may vanish meanwhile."""
    files = size = 0
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                if path.is_file():
                    size += path.stat().st_size
                    files += 1
            except OSError:
                continue
    return files, size


def _gpu() -> Rows:
    try:
        found = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except FileNotFoundError:
        return [("found", "none (no nvidia-smi)")]
    except (OSError, subprocess.SubprocessError) as error:
        return [("found", f"none (nvidia-smi failed: {type(error).__name__})")]
    devices = [line.split(" (UUID")[0].strip() for line in found.splitlines() if line.strip()]
    return [("found", device) for device in devices] or [("found", "none")]


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
