"""Curvature and error bars against curvlinops and laplace-torch, at the same theta.

The same model is written in PyTorch: a shallow field of constant weights by RK4's steps, and a
readout. curvlinops multiplies by its Hessian and its Gauss-Newton matrix, by automatic
differentiation; laplace-torch makes the full posterior of them: covariance, predictions and
evidence. What these call loss and prior is in other units: the table says which.

Needs PyTorch, curvlinops-for-pytorch and laplace-torch; what is missing is left out, by name.
Usage: ``python -m validation.truth.second_order_peers``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

import refode
from validation.common import Report, arguments, machine, print_table

D, WIDTH, N, STEPS, TAU, NOISE = 3, 4, 20, 5, 0.05, 0.04
#: Relative, of products, covariances and predictions; absolute, of evidences' logarithms.
AGREE, EVIDENCE = 1e-10, 1e-8
PACKAGES = {"torch": "torch", "curvlinops": "curvlinops-for-pytorch", "laplace": "laplace-torch"}
Array = np.ndarray


def problem_of(loss: str) -> tuple[Any, Array, Array, Array]:
    """A problem, the optimum that training finds, and its data."""
    rng = np.random.default_rng(0)
    ode = refode.NeuralODE(refode.fields.Shallow(D, WIDTH), n_steps=STEPS)
    x = rng.normal(size=(N, D))
    y: Array = np.sin(x[:, :2]) + 0.2 * rng.normal(size=(N, 2))
    if loss == "softmax":
        y = np.argmax(x + 0.5 * rng.normal(size=x.shape), axis=1)
    n_outputs = 3 if loss == "softmax" else 2
    problem = refode.Supervised(ode, loss, n_outputs=n_outputs, tikhonov=TAU)
    found = refode.train(problem, x, y, method="newton-cg", tolerance=1e-10, progress=False)
    return problem, found.x, x, y


def twin(problem: Any, theta: Array) -> Any:
    """The model in PyTorch, its parameters in the order of theta."""
    import torch

    torch.set_default_dtype(torch.float64)  # laplace-torch multiplies by a unit matrix of it

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, place in problem.layout.slices.items():
                shape = problem.layout.shapes[name]
                value = torch.tensor(theta[place].reshape(shape[-2:] if len(shape) > 2 else shape))
                self.register_parameter(name, torch.nn.Parameter(value))

        def forward(self, z: Any) -> Any:
            b0, b1, h = self.b0.reshape(-1), self.b1.reshape(-1), 1.0 / STEPS

            def f(z: Any) -> Any:
                return torch.tanh(z @ self.W0.T + b0) @ self.W1.T + b1

            for _ in range(STEPS):
                k1 = f(z)
                k2 = f(z + 0.5 * h * k1)
                k3 = f(z + 0.5 * h * k2)
                k4 = f(z + h * k3)
                z = z + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
            return z @ self.W.T + self.b

    return Model().double()


def apart(found: Any, wanted: Any) -> float:
    """Largest difference, relative to the largest entry."""
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max())


def products(loss: str) -> dict[str, float]:
    """Hessian and Gauss-Newton matrix of the mean loss, without regularisers."""
    import torch
    from curvlinops import GGNLinearOperator, HessianLinearOperator

    problem, theta, x, y = problem_of(loss)
    model, p = twin(problem, theta), len(theta)
    data = [(torch.tensor(x), torch.tensor(y))]
    mean: Any = torch.nn.CrossEntropyLoss() if loss == "softmax" else torch.nn.MSELoss()
    units = 1.0 if loss == "softmax" else y.shape[1] / 2.0  # a mean over N m squares, without 1/2
    found = {}
    for name, kind, ours in (
        ("Hessian", HessianLinearOperator, problem.hessian_vector),
        ("Gauss-Newton", GGNLinearOperator, problem.gauss_newton_vector),
    ):
        operator = kind(model, mean, list(model.parameters()), data)
        theirs = units * (operator @ torch.eye(p, dtype=torch.float64)).detach().numpy()
        wanted = np.stack([ours(theta, e, x, y) for e in np.eye(p)], axis=1) - TAU * np.eye(p)
        found[f"curvlinops, {loss}: {name}"] = apart(theirs, wanted)
    return found


def posteriors(loss: str) -> dict[str, float]:
    """The posterior by the Gauss-Newton matrix; the last number is absolute."""
    import torch
    from laplace import FullLaplace
    from laplace.curvature import CurvlinopsGGN

    problem, theta, x, y = problem_of(loss)
    noise = 1.0 if loss == "softmax" else NOISE
    kind = "classification" if loss == "softmax" else "regression"
    theirs = FullLaplace(
        twin(problem, theta),
        kind,
        sigma_noise=float(np.sqrt(noise)),  # a deviation there, a variance here
        prior_precision=N * TAU / noise,  # of the posterior's own logarithm, not of the mean's
        backend=CurvlinopsGGN,
    )
    data = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
    theirs.fit(torch.utils.data.DataLoader(data, batch_size=N))
    given = {} if loss == "softmax" else {"noise": noise}
    ours = problem.laplace(theta, x, y, curvature="gauss_newton", **given)
    new = np.random.default_rng(1).normal(size=(4, D))
    mean, covariance = ours.predictive(new)
    their_mean, their_covariance = theirs._glm_predictive_distribution(torch.tensor(new))
    evidence = float(theirs.log_marginal_likelihood())
    return {
        f"laplace-torch, {loss}: covariance": apart(
            theirs.posterior_covariance.detach().numpy(), ours.covariance
        ),
        f"laplace-torch, {loss}: predicted mean": apart(their_mean.detach().numpy(), mean),
        f"laplace-torch, {loss}: predicted covariance": apart(
            their_covariance.detach().numpy(), covariance
        ),
        f"laplace-torch, {loss}: log evidence": abs(evidence - ours.log_evidence),
    }


def main(argv: list[str] | None = None) -> int:
    """Compare what is installed."""
    options = arguments(__doc__ or "", "second_order_peers").parse_args(argv)
    report = Report(options.out)
    missing = {m: p for m, p in PACKAGES.items() if importlib.util.find_spec(m) is None}
    parts: dict[str, Callable[[str], dict[str, float]]] = {}
    if not missing.keys() & {"torch", "curvlinops"}:
        parts["curvlinops"] = products
    if not missing:
        parts["laplace-torch"] = posteriors
    found = {
        what: off
        for compare in parts.values()
        for loss in ("regression", "softmax")
        for what, off in compare(loss).items()
    }
    for what, off in found.items():
        report.at_most(what, off, EVIDENCE if "evidence" in what else AGREE)
    versions = {p: metadata.version(p) for m, p in PACKAGES.items() if m not in missing}
    print_table("Largest differences", ("what", "off"), [(k, f"{v:.1e}") for k, v in found.items()])
    print("versions: " + ", ".join(f"{p} {v}" for p, v in versions.items()))
    if missing:
        print("not installed, left out: " + ", ".join(missing.values()))
    about = {"machine": machine(), "versions": versions, "apart": found}
    report.json("second_order_peers.json", about)
    return report.finish(check=bool(parts))


if __name__ == "__main__":
    sys.exit(main())
