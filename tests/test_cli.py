"""The command line: verdicts become exit statuses, and nothing fails silently."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import program
import pytest

import refode
from refode import cli
from refode.machine import cache
from refode.reports import info

COMMANDS = ("info", "reproduce", "validate", "check", "export")


@pytest.fixture
def reports(monkeypatch):
    """Stand-ins for the report modules; each notes its calls and does what it is told."""
    calls: list[tuple] = []
    behaviour: dict[str, object] = {}

    def stand_in(name):
        def run(out, option, **more):
            calls.append((name, out, option, *more.values()))
            result = behaviour.get(name, True)
            if isinstance(result, BaseException):
                raise result
            return result

        return types.SimpleNamespace(run=run)

    for name in (*cli.TARGETS, "validate"):
        room = "refode.reports" if name == "validate" else "refode.reports.figures"
        monkeypatch.setitem(sys.modules, f"{room}.{name}", stand_in(name))
    return types.SimpleNamespace(calls=calls, behaviour=behaviour)


def row(text: str, target: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(f"│ {target} ")]
    return found


def test_reproduce_runs_each_target_once_in_order(reports, tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    assert cli.main(["reproduce", "realdata", "figure1", "realdata", "--out", str(out)]) == 0
    assert reports.calls == [("realdata", out, True), ("figure1", out, True)]
    assert out.is_dir()
    text = capsys.readouterr().out
    assert " ok " in row(text, "figure1")
    assert " ok " in row(text, "realdata")
    assert text.endswith(f"files are in {out}\n")


def test_reproduce_all_and_quiet(reports, tmp_path):
    assert cli.main(["reproduce", "all", "figure1", "--quiet", "--out", str(tmp_path)]) == 0
    assert reports.calls == [(name, tmp_path, False) for name in cli.TARGETS]


@pytest.mark.parametrize("extent", ["", "--quick", "--full"])
def test_validate(reports, tmp_path, extent):
    argv = ["validate", "--out", str(tmp_path)] + [extent] * bool(extent)
    assert cli.main(argv) == 0
    assert reports.calls == [("validate", tmp_path, extent == "--quick", extent == "--full")]
    reports.behaviour["validate"] = False
    assert cli.main(argv) == 1


def test_a_failed_verdict_fails_the_command(reports, tmp_path, capsys):
    reports.behaviour["figure1"] = False
    assert cli.main(["reproduce", "all", "--out", str(tmp_path)]) == 1
    assert [call[0] for call in reports.calls] == list(cli.TARGETS)
    text = capsys.readouterr().out
    assert " FAILED " in row(text, "figure1")
    assert " ok " in row(text, "realdata")


def test_a_crash_is_a_row_and_the_others_run(reports, tmp_path, capsys):
    reports.behaviour["figure1"] = RuntimeError("[bold]no[/bold] data")
    assert cli.main(["reproduce", "all", "--out", str(tmp_path)]) == 1
    assert [call[0] for call in reports.calls] == list(cli.TARGETS)
    shown = capsys.readouterr()
    assert "FAILED" in row(shown.out, "figure1")
    assert "RuntimeError: [bold]no[/bold] data" in row(shown.out, "figure1")
    assert " ok " in row(shown.out, "realdata")
    assert "Traceback" in shown.err


def test_ctrl_c_stops_without_a_traceback(reports, tmp_path, capsys):
    reports.behaviour["figure1"] = KeyboardInterrupt()
    assert cli.main(["reproduce", "all", "--out", str(tmp_path)]) == 130
    assert [call[0] for call in reports.calls] == ["figure1"]
    shown = capsys.readouterr()
    assert " interrupted " in row(shown.out, "figure1")
    assert " not run " in row(shown.out, "realdata")
    assert shown.err == "refode: interrupted\n"


def test_ctrl_c_anywhere_else(monkeypatch, capsys):
    def interrupted(console):
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "run", interrupted)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "refode: interrupted\n"


def test_lines_reach_a_file_as_they_are_printed(tmp_path):
    # the stand-in for a report reads what it has printed so far, where the output goes
    seen = program.run(
        """
import sys, types
from pathlib import Path
from refode import cli

def run(out, progress):
    print("the first line")
    return "the first line" in Path(sys.argv[1]).read_text()

sys.modules["refode.reports.figures.figure1"] = types.SimpleNamespace(run=run)
sys.stdout = open(sys.argv[1], "w")
sys.exit(cli.main(["reproduce", "figure1", "--out", sys.argv[2]]))
""",
        str(tmp_path / "output.txt"),
        str(tmp_path / "results"),
    )
    assert seen.returncode == 0, (tmp_path / "output.txt").read_text() + seen.stderr


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["reproduce", "figure9"], "'figure9' (choose from"),
        (["reproduce"], "the following arguments are required: TARGET"),
        (["cook"], "'cook' (choose from"),
        ([], "the following arguments are required: COMMAND"),
        (["validate", "figure1"], "unrecognized arguments: figure1"),
        (["validate", "--quick", "--full"], "not allowed with argument --quick"),
        (["check"], "the following arguments are required: TARGET"),
        (["check", "t", "--random", "-1"], "--random: got '-1', wanted an integer"),
        (["check", "t", "--seed", "1.5"], "--seed: got '1.5', wanted an integer"),
        (["check", "t", "--timeout", "0"], "--timeout: got '0', wanted a positive"),
        (["check", "t", "--timeout", "soon"], "--timeout: got 'soon', wanted a positive"),
        (["check", "t", "--precision", "half"], "'half' (choose from"),
    ],
)
def test_wrong_usage(argv, message, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_target_is_told_all_known(reports, capsys):
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "figure1", "nothing"])
    said = capsys.readouterr().err
    assert all(target in said.split("choose from")[1] for target in (*cli.TARGETS, "all"))
    assert reports.calls == []


def test_a_file_in_the_way_of_the_folder(reports, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        cli.main(["reproduce", "figure1", "--out", str(tmp_path / "file")])
    assert caught.value.code == 2
    assert "--out" in capsys.readouterr().err
    assert reports.calls == []


@pytest.mark.parametrize(
    ("argv", "inside"),
    [
        (["check", "t:a"], "junit.xml"),
        (["validate"], "validate.json"),
        (["reproduce", "all"], "figure3/figure3.npz"),
        (["reproduce", "all"], "games"),
        (["export"], "ode-line.npz"),
    ],
)
def test_outputs_are_looked_at_before_any_work(
    reports, tmp_path, monkeypatch, capsys, argv, inside
):
    from refode.check import run

    monkeypatch.setattr(run, "check", lambda *a, **k: pytest.fail("it ran"))
    odd = tmp_path / inside
    odd.parent.mkdir(exist_ok=True)
    odd.symlink_to(os.devnull)
    with pytest.raises(SystemExit) as caught:
        cli.main([*argv, *([] if argv == ["export"] else ["--out"]), str(tmp_path)])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert f"argument {'DIR: folder' if argv == ['export'] else '--out'}: got " in said
    assert str(odd) in said
    assert reports.calls == []
    assert odd.is_symlink()
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_help_and_version(capsys):
    for argv in (["--help"], *([c, "--help"] for c in COMMANDS)):
        with pytest.raises(SystemExit) as caught:
            cli.main(argv)
        assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(target in text for target in cli.TARGETS)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"refode {refode.__version__}\n"


def test_help_loads_nothing_heavy():
    """Asking for help must be quick, and so must the import of the package."""
    code = (
        "import sys, refode.cli, refode\n"
        "try: refode.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'scipy', 'numba', 'matplotlib', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


# --- refode info --------------------------------------------------------------------------


def test_info_shows_every_section(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    for word in ("versions", "threads", "BLAS", "kernel cache", "GPU", refode.__version__):
        assert word in text


def test_info_versions_are_the_running_ones():
    import numba
    import numpy

    rows = dict(info.collect()["versions"])
    assert rows["numpy"] == numpy.__version__
    assert rows["numba"] == numba.__version__
    assert rows["refode"].startswith(refode.__version__)


def test_info_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)

    rows = dict(info.collect()["kernel cache"])
    assert rows["folder"] == str(tmp_path)
    assert rows["holds"] == "0 roots, 0.0 MB"
    assert rows["of older versions"] == "none"

    (tmp_path / ("root-0" + cache.SUFFIX)).write_bytes(b"0" * 1_500_000)
    (tmp_path / "notes.txt").write_bytes(b"0" * 1_500_000)
    (tmp_path / ("0123456789abcdef")).mkdir()
    (tmp_path / "0123456789abcdef" / "kernel.nbc").write_bytes(b"0" * 2_000_000)
    rows = dict(info.collect()["kernel cache"])
    assert rows["holds"] == "1 root, 1.5 MB"
    assert rows["of older versions"].startswith("1 folder with 1 file, 2.0 MB")


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        (
            "echo 'GPU 0: Some Card (UUID: GPU-1)'; echo 'GPU 1: Other Card (UUID: GPU-2)'",
            [("found", "GPU 0: Some Card"), ("found", "GPU 1: Other Card")],
        ),
        ("exit 9", [("found", "none (nvidia-smi failed: CalledProcessError)")]),
        ("true", [("found", "none")]),
        (None, [("found", "none (no nvidia-smi)")]),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_info_gpu(monkeypatch, tmp_path, script, rows):
    if script is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert info.collect()["GPU"] == rows


def test_info_threads_are_what_refode_uses(monkeypatch):
    from refode.machine import threads as parallel

    monkeypatch.setenv("REFODE_NUM_THREADS", "7")
    for n, text in ((1, "1 thread"), (3, "3 threads")):
        monkeypatch.setattr(parallel, "get_num_threads", lambda n=n: n)
        rows = dict(info.collect()["threads"])
        assert rows["refode uses"] == text
        assert rows["REFODE_NUM_THREADS"] == "7"
    monkeypatch.delenv("REFODE_NUM_THREADS")
    assert dict(info.collect()["threads"])["REFODE_NUM_THREADS"] == "not set"


def test_a_wrong_setting_of_threads_fails_info(monkeypatch, capsys):
    from refode.machine import threads as parallel

    def refuse():
        raise ValueError("REFODE_NUM_THREADS: got 'two', wanted a positive integer")

    monkeypatch.setattr(parallel, "get_num_threads", refuse)
    assert cli.main(["info"]) == 1
    assert "got 'two'" in capsys.readouterr().out


def test_info_says_what_a_cache_folder_that_is_none_lacks(monkeypatch):
    monkeypatch.setenv("REFODE_CACHE_DIR", "~nobody_has_this_name/cache")
    cache.cache_folder.cache_clear()
    try:
        ((what, text),) = info.collect()["kernel cache"]
    finally:
        cache.cache_folder.cache_clear()
    assert what == "folder"
    assert text.startswith("FAILED: REFODE_CACHE_DIR: got '~nobody_has_this_name/cache', wanted")
