"""A fork while a thread compiles: the child has the locks and not the thread."""

from __future__ import annotations

import os

import program
import pytest

from refode.machine import compile as machine

pytestmark = [
    pytest.mark.skipif(not machine.JIT, reason="there is no machine code"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks"),
]

SCRIPT = """
import os, signal, threading, time
from typing import NamedTuple

import numpy as np

import refode
from refode.costs.energies import Energy, energy
from refode.machine import cache

class WallSpec(NamedTuple):
    height: float

class Wall(Energy):
    def description(self):
        return WallSpec(1.0)

@energy.register(WallSpec)
def wall(Q, Z, out):
    for s in range(out.shape[0]):
        out[s] += np.exp(Z[0, s])

busy = threading.Event()
load = cache.load

def slow(name):  # called with the compiler's lock held
    busy.set()
    time.sleep(0.5)
    return load(name)

cache.load = slow
value = lambda: Wall().value(np.zeros((1, 2)))[0]
thread = threading.Thread(target=value)
thread.start()
busy.wait()
child = os.fork()
if child == 0:
    os._exit(int(value()) + 40)
deadline = time.time() + 30
while (done := os.waitpid(child, os.WNOHANG))[0] == 0 and time.time() < deadline:
    time.sleep(0.05)
if done[0] == 0:
    os.kill(child, signal.SIGKILL)
thread.join()
print(os.waitstatus_to_exitcode(done[1]) if done[0] else "the child hangs")
"""


def test_a_fork_while_a_thread_compiles_can_compile(tmp_path):
    done = program.run(SCRIPT, REFODE_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["41"], done.stdout
