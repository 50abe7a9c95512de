"""Ctrl-C, and handlers that compute, in the middle of sweeps.

validation/truth/interrupts.py has more of the same.
"""

from __future__ import annotations

import signal

import program
import pytest

import refode
from refode import _blas
from refode.machine import threads as parallel
from validation.truth import interrupts

WORKS = interrupts.workloads()
main_thread_alone = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="there are no timers"
)


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    monkeypatch.setitem(parallel._state, "threads", 4)
    for work in WORKS.values():
        work()


def test_nothing_is_left_of_an_interruption_where_things_are_taken_and_given_back():
    files = {}
    interrupts.events(WORKS["gradient"], files=files)
    ours = (_blas.__file__, parallel.__file__)
    points = [k for k, file in files.items() if file in ours]
    assert len(points) >= 30
    assert not interrupts.at_each("gradient", WORKS["gradient"], points)


@pytest.mark.parametrize("name", WORKS)
def test_nothing_is_left_of_an_interruption_at_any_event(name):
    n = 6
    total, wrong = interrupts.at_points(name, WORKS[name], n)
    assert total >= 100
    assert not wrong


@main_thread_alone
@pytest.mark.parametrize("name", WORKS)
def test_nothing_is_left_of_an_interruption_at_any_time(name):
    assert not interrupts.at_times(name, WORKS[name], 6, seed=0)


@main_thread_alone
def test_a_handler_may_compute_while_a_sweep_runs():
    came, wrong = interrupts.handled(WORKS["gradient"], 20)
    assert came >= 20
    assert not wrong


HANDLER = """
import sys
import numpy as np
import refode
from refode import _blas
from refode.machine import threads as parallel

ode = refode.NeuralODE(refode.fields.Affine(2), n_steps=2)
theta, x = ode.initial(), np.ones((300, 2))
want = ode.solve(theta, x)
refode.set_num_threads(2)
seen, inside, right = 0, False, []

def profile(frame, event, argument):  # a handler at each place where one can be called
    global seen, inside
    if inside or event not in ("call", "c_return"):
        return
    seen += 1
    inside = True
    right.append(np.array_equal(ode.solve(theta, x), want))
    inside = False

sys.setprofile(profile)
result = ode.solve(theta, x)
sys.setprofile(None)
assert len(right) > 30 and all(right) and np.array_equal(result, want)
assert not (_blas._holders or _blas._before or _blas._restoring)
"""


def test_a_handler_may_compute_at_any_event():
    """In a process of its own, which would hang for ever where it must not."""
    done = program.run(HANDLER, timeout=120)
    assert done.returncode == 0, done.stderr


def test_an_address_is_read_without_python():
    """Machine code asks parts for it, and would not notice an exception."""
    assert issubclass(refode.machine.parts.Part, int)
    assert "__index__" not in vars(refode.machine.parts.Part)
