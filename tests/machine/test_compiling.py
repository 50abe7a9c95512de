"""Whoever waits for the compiler: what they see, what they may end, and what they are charged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import users_energy

from refode.machine import compile as machine
from refode.machine import progress

pytestmark = pytest.mark.skipif(not machine.JIT, reason="nothing is compiled")
LINE = "refode: compiling "

WAITING = """
import contextlib, sys
from refode.machine import progress
progress.PATIENCE = 0.05
with progress.shown() if "shown" in sys.argv else contextlib.nullcontext():
    import numpy as np, mine
    print(mine.Mine().value({x}))
    try:
        mine.Mine().gradient({x})  # another root to compile, but for its body
    except TypeError:
        print("no gradient")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a user's energy."""
    folder = tmp_path_factory.mktemp("waiting")
    users_energy.write(folder)
    return folder


def lines(folder, *args, terminal, **more):
    """Lines on stderr of a process, which is a terminal or a pipe."""
    command = [sys.executable, "-c", WAITING.format(x=users_energy.X), *args]
    how = {"env": users_energy.environment(folder, **more), "cwd": folder}
    if not terminal:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, **how
        ).stderr.splitlines()
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, **how)
    os.close(theirs)
    found = b""
    while True:
        try:
            read = os.read(ours, 1000)
        except OSError:  # Linux's way to say that the other end is closed
            read = b""
        if not read:
            break
        found += read
    os.close(ours)
    assert b"no gradient" in process.communicate()[0]
    return found.decode().splitlines()


def cold(folder):
    for file in (folder / "cache").glob("*"):
        file.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_the_line_on_a_terminal(folder):
    assert [line[: len(LINE)] for line in lines(folder, terminal=True)] == [LINE]
    assert lines(folder, terminal=True) == []  # warm
    cold(folder)
    assert lines(folder, terminal=True, REFODE_QUIET="1") == []


def test_the_line_in_a_pipe(folder):
    cold(folder)
    assert lines(folder, terminal=False) == []
    cold(folder)
    (line,) = lines(folder, "shown", terminal=False)
    assert line.startswith(LINE)
    assert "once" in line


class Terminal:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.fixture
def waiter(monkeypatch):
    """Puts a stderr in its place, in a process that has not compiled yet."""
    fresh = {"seconds": 0.0, "depth": 0, "told": False, "interrupts": None}
    monkeypatch.setattr(progress, "_state", fresh)
    monkeypatch.setattr(progress, "PATIENCE", 0.02)
    monkeypatch.delenv("REFODE_QUIET", raising=False)

    def watch(stderr):  # within a test: pytest has its own ideas before
        monkeypatch.setattr(sys, "stderr", stderr)
        return stderr

    return watch


def test_who_does_not_wait_is_told_nothing(waiter):
    terminal = waiter(Terminal())
    with progress.compiling("a"):
        pass
    time.sleep(0.05)
    assert terminal.text == ""


def test_many_short_waits_are_a_long_one(waiter):
    terminal = waiter(Terminal())
    for _ in range(20):
        with progress.compiling("a"):
            time.sleep(0.005)
    assert terminal.text.startswith(LINE + "a ")
    assert terminal.text.count("\n") == 1


def test_who_asks_for_no_progress_is_told_nothing(waiter):
    terminal = waiter(Terminal())
    with progress.shown(), progress.shown(False), progress.compiling("a"):
        time.sleep(0.1)
    assert terminal.text == ""


def test_seconds_within_seconds_are_counted_once(waiter):
    with progress.compiling("a"):
        time.sleep(0.02)
        with progress.compiling("b"):
            time.sleep(0.02)
    assert 0.04 <= progress.seconds() < 0.06


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_no_stderr(waiter, tmp_path, stderr):
    if stderr == "closed":
        stderr = (tmp_path / "closed").open("w")
        stderr.close()
    waiter(stderr)
    with progress.compiling("a"):
        time.sleep(0.05)
    assert not progress._state["told"]


# --- what training is charged, and a Ctrl-C in a process ------------------------------------
TRAINING = """
import gc, json, os, signal, sys, threading, time, traceback
import numpy as np
import refode
from numba.core.compiler_lock import global_compiler_lock
from refode.machine import compile as machine, progress

ode = refode.NeuralODE(refode.fields.Shallow(2, 3), n_steps=2)
problem = refode.Supervised(ode, "regression", n_outputs=2)
x = np.arange(8.0).reshape(4, 2) / 8
theta = problem.initial()
checks, check, sent = [0], progress.check, []

def counting():
    checks[0] += 1
    check()

progress.check = counting

def send(n):
    while checks[0] < n:
        time.sleep(0.001)
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

found = []
for n in json.loads(sys.argv[1]):
    checks[0] = 0
    threading.Thread(target=send, args=(n,), daemon=True).start()
    try:
        problem.value_and_gradient(theta, x, x)
        found.append("through")
    except KeyboardInterrupt as error:
        found.append(dict(
            seconds=time.process_time() - sent[-1], text=traceback.format_exc(), said=str(error),
            collects=gc.isenabled(), free=not global_compiler_lock.is_locked(),
            normal="_library_class" not in machine.cpu_target.target_context.codegen().__dict__,
            handler=signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        ))
before = progress.seconds()
result = refode.train(problem, x, x, theta0=theta, max_iter=2, progress=False)
value, gradient = problem.value_and_gradient(theta, x, x)
print(json.dumps(dict(
    interrupts=found, history=result.history["seconds"].tolist(),
    compiled=progress.seconds() - before, value=value, gradient=gradient.tolist(),
)))
"""


def training(folder, *moments):
    command = [sys.executable, "-c", TRAINING, json.dumps(moments)]
    done = subprocess.run(
        command, env=users_energy.environment(folder), cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_ctrl_c_and_once_more(tmp_path):
    """On an empty cache: caught at once, without the compiler's frames, and nothing is left."""
    found = training(tmp_path, 1, 60)
    for interrupt in found["interrupts"]:
        assert interrupt["seconds"] < 2.0
        assert interrupt["said"].startswith("while compiling ")
        assert "KeyboardInterrupt: while compiling" in interrupt["text"]
        for name in ("numba", "llvmlite", "During handling"):
            assert name not in interrupt["text"]
        for what in ("collects", "free", "normal", "handler"):
            assert interrupt[what], what
    assert len(found["interrupts"]) == 2
    warm = training(tmp_path)
    assert (warm["value"], warm["gradient"]) == (found["value"], found["gradient"])
    assert warm["compiled"] == 0.0
    # and the time: the first iteration waited for the compiler, which is not the training's
    assert found["compiled"] > 1.0
    assert found["history"][-1] < 0.5 * found["compiled"]
    assert found["history"][0] < 1.0


@contextmanager
def started(folder, *command):
    process = subprocess.Popen(
        [sys.executable, *command],
        env=users_energy.environment(folder),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def processor_time(pid):
    """Seconds of computing that a process has had: others may be at work beside it."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def time_of_children():
    """The same of all processes of ours that have ended."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc")
@pytest.mark.parametrize("roots", [1, 4])
def test_ctrl_c_on_the_command_line(tmp_path, roots):
    (tmp_path / "cache").mkdir()
    with started(tmp_path, "-m", "refode", "reproduce", "figure1", "--out", "out") as process:
        while len(list((tmp_path / "cache").iterdir())) < roots:
            assert process.poll() is None
            time.sleep(0.01)
        until_then, before = processor_time(process.pid), time_of_children()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert time_of_children() - before - until_then < 2.0
    assert process.returncode == 130
    said = [line for line in err.splitlines() if not line.startswith(LINE)]
    assert len(said) == 1
    assert said[0].startswith("refode: interrupted")
    assert not [name for name in os.listdir(tmp_path / "cache") if name.startswith("draft")]


def test_ctrl_c_that_somebody_else_takes_is_theirs():
    met = []
    before = signal.signal(signal.SIGINT, lambda *_: met.append("theirs"))
    try:
        with progress.interruptible("a"):
            os.kill(os.getpid(), signal.SIGINT)
            progress.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert met == ["theirs"]


def test_ctrl_c_in_the_last_moment_is_not_lost():
    with pytest.raises(KeyboardInterrupt, match="while compiling a"), progress.interruptible("a"):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait():
    reached = []

    def work():
        with progress.interruptible("a"):
            for i in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                reached.append(i)

    with pytest.raises(KeyboardInterrupt, match="while compiling a"):
        work()
    assert reached == [0]


def test_other_threads_leave_ctrl_c_alone():
    before, within = signal.getsignal(signal.SIGINT), []

    def work():
        with progress.interruptible("a"):
            within.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert within == [before]
