"""PyTorch's peers: a hand-written RK4 in eager mode, and torchdiffeq."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from validation.benchmarks.peers import Named, Peer, PeerCase

NAMES = ("W0", "b0", "W1", "b1")


class _Model:
    """Parameters, data and the loss; ``solve`` is what the two peers differ in."""

    def __init__(self, c: PeerCase) -> None:
        self.workload = c.workload
        self.p = {k: torch.tensor(a, requires_grad=True) for k, a in c.weights.items()}
        self.x, self.y = torch.tensor(c.x), torch.tensor(c.y, dtype=torch.float64)

    def loss(self, z: Any) -> Any:
        if self.workload.loss == "logistic":
            v = z @ self.p["W"][0] + self.p["b"][0]
            return torch.nn.functional.binary_cross_entropy_with_logits(v, self.y)
        return 0.5 * ((z - self.y) ** 2).sum() / self.workload.n_samples

    def sets(self) -> list[list[Any]]:
        """[W0, b0, W1, b1] of every step."""
        bound = [self.p[name].unbind(0) for name in NAMES]
        cells = range(self.workload.n_steps) if self.workload.piecewise else [0]
        chosen = [[a[n] for a in bound] for n in cells]
        return chosen if self.workload.piecewise else chosen * self.workload.n_steps

    def gradient(self, z: Any) -> tuple[Any, Any]:
        value = self.loss(z)
        return value.detach(), torch.autograd.grad(value, list(self.p.values()))

    def read(self, result: Any) -> tuple[float, Named]:
        arrays = [np.asarray(g) for g in result[1]]
        return float(result[0]), dict(zip(self.p, arrays, strict=True))


def _f(z: Any, W0: Any, b0: Any, W1: Any, b1: Any) -> Any:
    hidden = torch.tanh(torch.nn.functional.linear(z, W0, b0))
    return torch.nn.functional.linear(hidden, W1, b1)


def eager_peer(c: PeerCase) -> Peer:
    """Classical RK4 by hand, eager mode, autograd."""
    model, h = _Model(c), 1.0 / c.workload.n_steps

    def call() -> Any:
        z = model.x
        for weights in model.sets():
            k1 = _f(z, *weights)
            k2 = _f(z + 0.5 * h * k1, *weights)
            k3 = _f(z + 0.5 * h * k2, *weights)
            k4 = _f(z + h * k3, *weights)
            z = z + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return model.gradient(z)

    return Peer("torch eager", call, model.read)


def torchdiffeq_peer(c: PeerCase) -> Peer:
    """torchdiffeq's ``rk4``, which is Kutta's 3/8 rule, and backpropagation through it.

    Time counts steps, so that the grid is exact; ``perturb`` moves the first and the last
    stage just inside the step, whose weights are those of cell floor(t).
    """
    from torchdiffeq import odeint

    model, n_steps = _Model(c), c.workload.n_steps
    times = torch.tensor([0.0, float(n_steps)], dtype=torch.float64)
    options = {"step_size": 1.0, "perturb": True}

    def call() -> Any:
        sets = [[W0, b0, W1 / n_steps, b1 / n_steps] for W0, b0, W1, b1 in model.sets()]

        def f(t: Any, z: Any) -> Any:
            return _f(z, *sets[int(t)])

        return model.gradient(odeint(f, model.x, times, method="rk4", options=options)[-1])

    return Peer("torchdiffeq rk4", call, model.read, scheme="rk4_38")
