"""docs/coming_from.md is true of the libraries that are installed, in the versions it names."""

from __future__ import annotations

import inspect
import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import refode

PAGE = (Path(__file__).parents[1] / "docs" / "coming_from.md").read_text(encoding="utf-8")


def named(package, version):
    """The package, where it is there; its version is the page's, to as many digits."""
    module = pytest.importorskip(package)
    there = metadata.version({"sklearn": "scikit-learn"}.get(package, package))
    if not re.match(rf"{re.escape(version)}\b", there):
        pytest.skip(f"the page speaks of {package} {version}, here is {there}")
    return module


def test_names_of_refode_on_the_page_are_there():
    for name in ("Shallow", "Potential"):
        assert hasattr(refode.fields, name)
    for cls, methods in {
        refode.NeuralODE: ["unpack", "solve", "trajectory", "adjoint", "tangent", "log_det"],
        refode.Supervised: ["predict", "predict_label", "predict_proba", "standardized"],
        refode.ContinuousNormalizingFlow: ["log_density", "inverse", "generate"],
        refode.MeanFieldGame: ["laplacian", "inverse", "generate"],
    }.items():
        assert [m for m in methods if not hasattr(cls, m)] == []
    assert "rk4_38" in refode.tableaus.names()
    assert hasattr(refode.games, "normalizing_flow")


def test_what_is_said_of_torchdiffeq(capsys):
    torch, torchdiffeq = named("torch", "2.13"), named("torchdiffeq", "0.2.5")
    assert torch.get_default_dtype() == torch.float32
    defaults = inspect.signature(torchdiffeq.odeint).parameters
    assert (defaults["rtol"].default, defaults["atol"].default) == (1e-7, 1e-9)
    start, times = torch.tensor([1.0]), torch.tensor([0.0, 1.0])
    one = torchdiffeq.odeint(lambda t, y: -y, start, times, method="rk4")[-1]
    assert float(one[0]) == pytest.approx(1 - 1 + 1 / 2 - 1 / 6 + 1 / 24)  # one step of order 4
    four = torchdiffeq.odeint(
        lambda t, y: -y, start, times, method="rk4", options={"step_size": 0.25}
    )
    assert float(four[-1][0]) == pytest.approx(np.exp(-1.0), abs=1e-4)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    try:
        names: dict = {}
        exec(code, names)
    finally:
        torch.set_default_dtype(torch.float32)
    assert names["off"] < 1e-14
    classical = refode.NeuralODE(names["ode"].field, scheme="rk4", n_steps=10)
    z = classical.solve(names["theta"], names["x"])
    assert np.abs(z - names["theirs"].detach().numpy()).max() > 1e-12  # it can be told apart


def test_what_is_said_of_diffrax():
    diffrax, jax = named("diffrax", "0.7.2"), named("jax", "0.10")
    defaults = inspect.signature(diffrax.diffeqsolve).parameters
    assert isinstance(defaults["stepsize_controller"].default, diffrax.ConstantStepSize)
    assert isinstance(defaults["adjoint"].default, diffrax.RecursiveCheckpointAdjoint)
    assert defaults["max_steps"].default == 4096
    term = diffrax.ODETerm(lambda t, y, args: -y)
    start = jax.numpy.array([1.0])
    back = diffrax.diffeqsolve(term, diffrax.Tsit5(), 1.0, 0.0, -0.1, start)
    assert float(back.ys[-1][0]) == pytest.approx(np.e, rel=1e-5)
    if not jax.config.jax_enable_x64:
        assert back.ys.dtype == jax.numpy.float32


def test_what_is_said_of_scikit_learn():
    named("sklearn", "1.9")
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier()
    assert (model.solver, model.max_iter, model.hidden_layer_sizes) == ("adam", 200, (100,))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 2)), rng.integers(0, 2, 60)
    model = MLPClassifier((3,), alpha=0.7, max_iter=1, solver="lbfgs", random_state=0)
    with pytest.warns(UserWarning, match="onverge"):  # it has not converged, as it was told
        model.fit(x, y)
    probability = np.clip(model.predict_proba(x)[np.arange(60), y], 1e-12, None)
    squares = sum(np.sum(w**2) for w in model.coefs_)  # without the biases, over N
    expected = -np.log(probability).mean() + 0.7 / 2.0 / 60 * squares
    assert model.loss_ == pytest.approx(expected, rel=0.05)
