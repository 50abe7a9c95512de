"""The same bits from any thread, whatever number of threads BLAS has been given."""

from __future__ import annotations

import os

import program
import pytest

pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="BLAS has one thread anyway")

SCRIPT = """
import hashlib, os, sys, threading
import numpy as np
import refode

def digest(*results):
    return hashlib.sha256(b"".join(np.asarray(r).tobytes() for r in results)).hexdigest()[:16]

rng = np.random.default_rng(0)
x, y = rng.standard_normal((24, 2)), rng.integers(0, 2, 24)
ode = refode.NeuralODE(
    refode.fields.Shallow(dim=2, width=700), n_steps=2, basis=refode.bases.Legendre(3)
)
problem = refode.Supervised(ode, loss="logistic", tikhonov=0.01, smoothness=0.01)
assert problem.n_parameters > 10_000  # from there on dot products are shared
v = rng.standard_normal(problem.n_parameters)
small = refode.Supervised(refode.NeuralODE(refode.fields.Shallow(dim=2, width=3)))
small.value_and_gradient(small.initial(), x, y)  # the main thread is the first that computes
cloud = refode.densities.Gaussian(np.zeros(30), np.eye(30) + 0.5)
found = {}

def train(**options):
    return refode.train(problem, x, y, progress=False, **options)

def work():
    result = train(max_iter=8)
    rows = [result.history[name] for name in ("value", "gradient_norm")]
    found["train"] = digest(result.x, *rows)
    found["hessian"] = digest(problem.hessian_vector(result.x, v, x, y))
    found["gauss-newton"] = digest(problem.gauss_newton_vector(result.x, v, x, y))
    found["predict"] = digest(problem.predict(result.x, x))
    weights = result.x[: ode.n_parameters]
    found["adjoint"] = digest(*ode.adjoint(weights, x, x, times=True))
    z = cloud.sample(3000)
    found["density"] = digest(z, cloud.log_density(z), cloud.log_density_gradient(z))

def elsewhere(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

def resume():
    found["resumed"] = digest(train(max_iter=8, checkpoint="run.npz", resume=True).x)

if sys.argv[1] == "main":
    work()
    found["resumed"] = digest(train(max_iter=8).x)
else:
    train(max_iter=4, checkpoint="run.npz")  # in the main thread
    elsewhere(work)
    elsewhere(resume)
print(sorted(found.items()))
"""


def test_a_thread_s_bits_are_the_main_thread_s(tmp_path):
    """Training, products, adjoints and densities; and a checkpoint goes from one to the other."""

    def bits(where: str, blas_threads: int) -> str:
        threads = str(blas_threads)
        done = program.run(SCRIPT, where, cwd=tmp_path, OPENBLAS_NUM_THREADS=threads)
        assert done.returncode == 0, done.stderr
        return done.stdout

    alone = bits("main", 1)
    assert "resumed" in alone
    assert bits("thread", 2) == alone
    assert bits("main", 2) == alone
