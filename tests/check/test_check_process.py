"""Adapters that fork, start processes, read what is not theirs, or run out of something."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from check_adapters import DIGITS, quick, rows

from refode import reference
from refode.check import check, frames
from refode.check.outcome import INVALID, RIGHT
from refode.check.process import Process

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to fork")

THREE = ["ode-line", "ode-longer", "ode-mlp"]


class Forks:
    """The copy goes on answering, as one does that has no os._exit."""

    def results(self, case):
        if case.name == "ode-line":
            if os.fork() == 0:
                return {k: 0 * v for k, v in DIGITS[case.name].items()}
            time.sleep(1.0)  # the copy's answer would come first
        return DIGITS[case.name]


class Children:
    """Starts a process that holds its standard output and error, and hangs or ends."""

    def results(self, case):
        if case.name == "ode-line":
            code = "import os, sys, time\nopen(sys.argv[1], 'w').write(str(os.getpid()))\n"
            code += "time.sleep(99)"
            subprocess.Popen([sys.executable, "-c", code, os.environ["REFODE_TEST_CHILD"]])
            while not Path(os.environ["REFODE_TEST_CHILD"]).exists():
                time.sleep(0.05)
            time.sleep(0.1)
            if os.environ["REFODE_TEST_HOW"] == "hangs":
                time.sleep(99)
            if os.environ["REFODE_TEST_HOW"] == "ends":
                os._exit(3)
            if os.environ["REFODE_TEST_HOW"] == "forks" and os.fork() == 0:
                time.sleep(99)
            if os.environ["REFODE_TEST_HOW"] == "forks":
                os._exit(3)
        return DIGITS[case.name]


class Reads:
    """Reads what it takes for its standard input."""

    def results(self, case):
        assert sys.stdin.read() == ""
        assert os.read(0, 1) == b""
        return DIGITS[case.name]


class Poor:
    """Says that there is no memory, as Python does."""

    def results(self, case):
        if case.name == "ode-line":
            raise MemoryError("no room")
        return DIGITS[case.name]

    def other(self):
        raise MemoryError


def test_a_copy_of_the_process_answers_nobody():
    outcome = quick("test_check_process:Forks", cases=THREE)
    assert {r.verdict for r in outcome.rows} == {RIGHT}


def test_an_answer_to_an_earlier_request_is_not_taken_for_this_one():
    process = Process("check_adapters:right", 60.0)
    wanted = ("trajectory",)
    late = {"values": {}, "skipped": {"trajectory": "late"}, "problems": {}, "seconds": 0.0}
    for name in THREE:
        document = reference.files.without_results(reference.case(name))
        process._frames.put({**late, "causes": {}, "number": process._number})
        answer = process.answer(document, wanted)
        assert answer.skipped == {}
        assert (answer.values["trajectory"] == DIGITS[name]["trajectory"]).all()
    process.close()


@pytest.mark.parametrize("how", ["hangs", "ends", "forks", "answers"])
def test_children_end_with_their_adapter_and_hold_nobody_up(tmp_path, how):
    """As a caller that captures the output waits for all who hold its pipes."""
    there = tmp_path / "child"
    began = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "refode", "check", "test_check_process:Children"),
            *("--cases", *THREE, "--timeout", "20" if how != "hangs" else "2", "--quiet"),
            *("--out", str(tmp_path / "out"), "--no-diagnosis"),
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
            "REFODE_TEST_CHILD": str(there),
            "REFODE_TEST_HOW": how,
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == (0 if how == "answers" else 1), done.stdout + done.stderr
    said = {"hangs": "no answer within 2 s", "answers": "right", "ends": "status 3"}
    assert said.get(how, "status 3") in done.stdout
    assert time.monotonic() - began < 60.0
    assert not is_there(int(there.read_text()))


def is_there(number):
    """Whether a process runs; one that has ended may wait for whoever reaps it."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_standard_input_is_nobody_s():
    assert quick("test_check_process:Reads", cases=THREE).passed


def test_memory_that_runs_out_is_told_as_such():
    outcome = check("test_check_process:Poor", cases=THREE)
    (row,) = rows(outcome, verdict=INVALID)
    assert (row.case, row.quantity, row.cause) == ("ode-line", "", "memory")
    assert row.reason.startswith("MemoryError: no room (")
    (finding,) = outcome.findings
    assert finding.key == "memory"
    assert "memory ran out" in finding.sentence
    assert "Look at" not in finding.sentence


def test_how_a_process_ended_is_told(monkeypatch):
    from refode.check.process import _ended

    assert _ended(3) == "the process ended with status 3"
    assert _ended(-9).startswith("the process was ended by SIGKILL, which systems send where")
    assert _ended(-11) == "the process was ended by SIGSEGV"
    assert _ended(-63) == "the process was ended by signal 63"
    assert "was ended" in _ended(None)


def test_a_process_that_cannot_start_again_costs_its_cases_alone(monkeypatch):
    process = Process("check_adapters:right", 60.0)
    process.close()
    process.target = "no_such_module:adapter"
    document = reference.files.without_results(reference.case("ode-line"))
    answer = process.answer(document, ("trajectory",))
    assert answer.problems[""].startswith("started again: target: importing no_such_module failed")
    process.target = "check_adapters:right"
    assert "trajectory" in process.answer(document, ("trajectory",)).values
    process.close()


@pytest.mark.parametrize("body", [b"\xff" * 8, b"\2" + bytes(7) + b"{]", b"\1" + bytes(7) + b"1"])
def test_what_is_no_frame_ends_the_reading(tmp_path, body):
    import queue

    from refode.check.process import _read_all

    (tmp_path / "pipe").write_bytes(body)
    found: queue.Queue = queue.Queue()
    _read_all((tmp_path / "pipe").open("rb"), found)
    assert found.get(timeout=1) is None
    assert found.empty()
    with open(tmp_path / "pipe", "wb") as file:
        frames.send(file, {"number": 1})
    _read_all((tmp_path / "pipe").open("rb"), found)
    assert [found.get(timeout=1), found.get(timeout=1)] == [{"number": 1}, None]
