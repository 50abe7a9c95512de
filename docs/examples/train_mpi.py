"""Train on many ranks of MPI: mpiexec -n 4 python train_mpi.py. The bits are those of one."""

import numpy as np

import refode
import refode.distributed

x, y = refode.datasets.spiral(6000, seed=0, noise=0.02)

field = refode.fields.Shallow(dim=3, width=16)
ode = refode.NeuralODE(field, scheme="rk4", n_steps=10)
problem = refode.Supervised(ode, loss="logistic", augment=1, tikhonov=1e-3)

# Every rank calls it; rank 0 deals the samples out, and all get the same result.
result = refode.distributed.train(problem, x, y, max_iter=30, progress=False)


def compare(distributed):
    """On rank 0, while the others compute for it: products too, and training in one process."""
    alone = refode.train(problem, x, y, max_iter=30, progress=False)
    v = np.ones(problem.n_parameters)
    products = [of.hessian_vector(result.x, v, x, y) for of in (distributed, problem)]
    print(f"value after {result.nit} iterations: {result.fun:.6f}")
    print(f"theta, value and gradient are those of one process: {same(result, alone)}")
    print(f"a Hessian-vector product too: {products[0].tobytes() == products[1].tobytes()}")


def same(a, b):
    """Whether two results have the same bits."""
    return a.x.tobytes() == b.x.tobytes() and a.fun == b.fun and a.jac.tobytes() == b.jac.tobytes()


refode.distributed.lead(compare, problem)
