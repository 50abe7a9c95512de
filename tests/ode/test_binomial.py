"""memory="binomial": the bits of "store", in the fewest steps that slots allow, (D165), (D166)."""

from __future__ import annotations

import functools
import json
from math import comb

import numpy as np
import pytest
from program import run

import refode
from refode.sweeps.binomial import extra_steps, split

#: steps, slots: extra steps, as published.
KNOWN = {
    **{(10, c + 1): t for c, t in enumerate((45, 20, 15, 14, 13))},
    (64, 3): 258,
    (100, 5): 316,
    (1000, 5): 6284,
    (1000, 10): 3636,
}


def fewest(most_steps, most_slots):
    """By dynamic programming over where the next start is kept, {(steps, slots): extra steps}."""
    t = {(1, c): 0 for c in range(1, most_slots + 1)}
    for n in range(2, most_steps + 1):
        t[n, 1] = n * (n - 1) // 2
        for c in range(2, most_slots + 1):
            t[n, c] = min(m + t[n - m, c - 1] + t[m, c] for m in range(1, n))
    return t


def walked(steps, slots):
    """What the kernel's choice of starts comes to."""
    if steps == 1:
        return 0
    if slots == 1:
        return steps * (steps - 1) // 2
    m = split(steps, slots)
    assert 1 <= m < steps
    return m + walked(steps - m, slots - 1) + walked(m, slots)


@pytest.mark.parametrize(("sizes", "extra"), KNOWN.items())
def test_the_published_numbers_of_extra_steps(sizes, extra):
    assert extra_steps(*sizes) == extra


def test_no_choice_of_starts_takes_fewer_steps():
    for (steps, slots), extra in fewest(60, 7).items():
        assert extra_steps(steps, slots) == walked(steps, slots) == extra


def test_the_formula():
    for steps in range(1, 200):
        for slots in range(1, 12):
            r = next(r for r in range(steps) if comb(slots + r, slots) >= steps)
            wanted = r * steps - (comb(slots + r, r - 1) if r else 0)
            assert extra_steps(steps, slots) == wanted


def solver(n_steps, memory, field=None, scheme="rk4", **kept):
    field = refode.fields.Shallow(2, 3) if field is None else field
    return refode.NeuralODE(
        field, scheme, n_steps, basis=refode.bases.Legendre(3), memory=memory, **kept
    )


X = np.random.default_rng(0).standard_normal((70, 2))


def path(n_steps, memory, **kept):
    ode = solver(n_steps, memory, **kept)
    z_bar = np.random.default_rng(1).standard_normal((n_steps + 1, *X.shape))
    return ode.adjoint(ode.initial(1), X, z_bar, times=True)


def implicit(n_steps, memory, **kept):
    ode = solver(n_steps, memory, scheme="sdirk2", **kept)
    return ode.adjoint(ode.initial(1), X, np.ones_like(X), times=True)


def partitioned(n_steps, memory, **kept):
    ode = solver(n_steps, memory, refode.fields.Hamiltonian(2), "verlet", **kept)
    return ode.adjoint(ode.initial(1), X, np.ones_like(X), times=True)


def flow(n_steps, memory, **kept):
    problem = refode.ContinuousNormalizingFlow(solver(n_steps, memory, **kept))
    theta = problem.initial(1)
    return *problem.value_and_gradient(theta, X), problem.hessian_vector(theta, theta, X)


def game(n_steps, memory, **kept):
    ends = [refode.densities.Gaussian(mean, 0.5) for mean in ([0.0, 0.0], [1.0, 0.0])]
    problem = refode.MeanFieldGame(
        refode.fields.Potential(2, 3),
        refode.games.optimal_transport(*ends),
        hjb=1.0,
        n_steps=n_steps,
        memory=memory,
        **kept,
    )
    return problem.value_and_gradient(problem.initial(1), X)


def fitted(n_steps, memory, own=False, **kept):
    """Costs that read states: at common times, and within the steps by dense output."""
    ode = refode.NeuralODE(refode.fields.Shallow(2, 3), "dopri5", n_steps, memory=memory, **kept)
    times = np.linspace(0.0, 1.0, 13)[1:]
    x, later = X[:9], 0.01 * np.arange(12)[::-1]
    times = np.tile(times + later, (len(x), 1)) if own else times
    values = np.random.default_rng(2).standard_normal((len(x), 12, 2))
    problem = refode.TrajectoryFitting(ode)
    theta = problem.initial(1)
    return problem.value_and_gradient(theta, x, refode.Observations(times, values))


@pytest.mark.parametrize(
    "kind", [path, implicit, partitioned, flow, game, fitted, functools.partial(fitted, own=True)]
)
def test_the_bits_are_those_of_what_is_stored(kind):
    for n_steps in (1, 2, 5, 12):
        stored = [np.asarray(a).tobytes() for a in kind(n_steps, "store")]
        for slots in (1, 2, 3, 100):
            found = kind(n_steps, "binomial", slots=slots)
            assert [np.asarray(a).tobytes() for a in found] == stored


PROGRAM = """
import json, tracemalloc
import numpy as np
import refode
from refode.sweeps import binomial, sweep

taken = [0]
def counted(*arguments, step=binomial.step):
    taken[0] += 1
    return step(*arguments)
binomial.step = sweep.step = counted

x, found, field = np.ones((40, 64)), {}, refode.fields.Shallow(64, 1)
for steps, slots in ((1, 1), (10, 1), (10, 3), (40, 4), (40, 64), (100, 5)):
    ode = refode.NeuralODE(field, "euler", steps, memory="binomial", slots=slots)
    theta = ode.initial()
    ode.adjoint(theta, x, x)  # what is kept for the next call
    taken[0] = 0
    tracemalloc.start()
    ode.adjoint(theta, x, x)
    found[f"{steps} {slots}"] = taken[0], tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
print(json.dumps(found))
"""


def test_so_many_steps_are_taken_and_no_more_slots():
    done = run(PROGRAM, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    block = 40 * 64 * 8  # bytes of a state: 40 samples are one block
    for sizes, (taken, _) in found.items():
        steps, slots = map(int, sizes.split())
        assert taken == steps + extra_steps(steps, slots)
    used = {sizes: peak for sizes, (_, peak) in found.items()}
    more = used["40 64"] - used["40 4"]  # 40 slots in place of 4
    assert 34 * block <= more <= 38 * block
    assert used["100 5"] - used["10 3"] <= 8 * block


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"memory": "binomial"}, "slots: got None"),
        ({"memory": "binomial", "slots": 0}, "slots: got 0"),
        ({"memory": "binomial", "slots": 2.5}, "slots: got 2.5"),
        ({"slots": 3}, "slots: got 3 with memory='store'"),
        ({"memory": "binomial", "slots": 3, "device": "cuda"}, "memory: got 'binomial'"),
    ],
)
def test_bad_slots_are_named(given, named):
    with pytest.raises((TypeError, ValueError), match=named):
        refode.NeuralODE(refode.fields.Shallow(2, 3), **given)


def test_it_is_said_and_carried_along():
    ode = solver(4, "binomial", slots=2)
    assert "memory='binomial', slots=2" in repr(ode)
    assert ode.with_steps(7).slots == 2
