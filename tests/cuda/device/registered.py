"""Bodies that somebody registers: the ones of docs/cuda.md, and a cost, beside the CPU's."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tolerances
from common import MODES, close, laid_out

import refode
from refode import bases, fields
from refode.costs.contract import Cotangent, observe
from refode.cuda import registry
from refode.fields import Potential
from refode.games import Game, KullbackLeibler, Quadratic

DOCS = Path(__file__).resolve().parents[3] / "docs"
ODE = refode.NeuralODE(
    fields.Shallow(3, 4, time=True), "heun", 2, (0.3, -0.9), bases.PiecewiseLinear(2)
)


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page's modules, imported: huber and wall, and device with bodies for both."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "huber.py").write_text(blocks("adding_a_loss.md")[0])
    (folder / "wall.py").write_text(blocks("adding_an_energy.md")[0])
    (code,) = [text for text in blocks("cuda.md") if "cuda.register" in text]
    (folder / "device.py").write_text(code)
    sys.path.insert(0, str(folder))
    try:
        import huber
        import wall

        yield huber, wall
    finally:
        sys.path.remove(str(folder))


def supervised(huber, **how):
    here, there = (
        refode.Supervised(ODE, huber.Huber(0.7), 2, 1, True, 0.1, 0.2, *where, **more)
        for where, more in (((), {}), (("cuda",), how))
    )
    rng = np.random.default_rng(2)
    theta = 0.7 * rng.standard_normal(here.n_parameters)
    return here, there, theta, rng.standard_normal((9, 2)), rng.standard_normal((9, 2))


def test_a_loss_without_a_body_is_refused_by_name(pages):
    """Before the page's bodies are registered; what runs on the CPU runs still."""
    here, there, theta, x, y = supervised(pages[0])
    with laid_out():
        with pytest.raises(
            ValueError,
            match="^device: got 'cuda' with the loss HuberSpec, wanted "
            "one of Logistic, Regression, Softmax",
        ):
            there.value_and_gradient(theta, x, y)
        close(there.value(theta, x, y), here.value(theta, x, y))


@pytest.fixture(scope="module")
def registered(pages):
    import device  # noqa: F401  registers bodies

    return pages


@pytest.mark.parametrize("mode", MODES)
def test_the_loss_of_the_page(registered, mode):
    here, there, theta, x, y = supervised(registered[0])
    wanted = here.value_and_gradient(theta, x, y)
    with laid_out(mode):
        close(there.value_and_gradient(theta, x, y), wanted)
        data = there.to_device(x, y)
        close(there.value_and_gradient(theta, *data), wanted)
        v = np.ones_like(theta)
        close(there.hessian_vector(theta, v, *data), here.hessian_vector(theta, v, x, y))
        close(there.gauss_newton_vector(theta, v, *data), here.gauss_newton_vector(theta, v, x, y))
        close(there.features(theta, data[0]), here.features(theta, x))
    with laid_out(mode, slice=4):  # each slice with its own targets
        close(there.value_and_gradient(theta, x, y), wanted)
    assert refode.cuda.bytes_of(there, 9) > 0


def test_the_loss_of_the_page_in_float32(registered):
    here, there, theta, x, y = supervised(registered[0], dtype="float32")
    with laid_out():
        close(
            there.value_and_gradient(theta, x, y),
            here.value_and_gradient(theta, x, y),
            tolerances.CUDA_FLOAT32,
        )


@pytest.mark.parametrize("mode", MODES)
def test_the_energy_of_the_page(registered, mode):
    normal, target = (refode.densities.Gaussian(mean, 1.0) for mean in ([0.0] * 3, [0.3] * 3))
    wall = registered[1].Wall(2.0, 0.1, 0.8)
    game = Game(normal, KullbackLeibler(target, 1.1), 1.2, wall + Quadratic(0.3, 0.1))
    rest = (Potential(3, 4, rank=2), game, 0.4, 0.3, "squared", "heun", 2)
    here, there = refode.MeanFieldGame(*rest), refode.MeanFieldGame(*rest, device="cuda")
    rng = np.random.default_rng(4)
    theta, x = 0.5 * rng.standard_normal(here.n_parameters), rng.standard_normal((5, 3))
    with laid_out(mode):
        close(there.value_and_gradient(theta, x), here.value_and_gradient(theta, x))


# --- a cost -----------------------------------------------------------------------------------
class FarSpec(NamedTuple):
    """|z(T) - y|^4/4, y (N, d)."""

    targets: np.ndarray


@observe.register(FarSpec)
def far_observe(cost, at, Y, L, cost_bar, scratch):
    value = Y[0, 0] * 0
    for s in range(at.m):
        square = Y[0, 0] * 0
        for i in range(Y.shape[0]):
            r = Y[i, s] - cost.targets[at.first + s, i]
            square += r * r
        for i in range(Y.shape[0]):
            L[i, s] += square * (Y[i, s] - cost.targets[at.first + s, i])
        value += 0.25 * square * square
    return value


def far_on_device(ops):
    from refode.cuda.contract import CostBodies
    from refode.cuda.costs import nothing
    from refode.cuda.linalg import linalg

    total = linalg(ops).total

    @ops.body
    def terminal(cost, Y, first, m, L, cost_bar, value_at, scratch):
        charge(L, cost.targets, Y, first, m, scratch[0])
        total(cost_bar, value_at, scratch[0], 1.0)

    @ops.each
    def charge(s, L, targets, Y, first, m, values):
        square = 0.0
        for i in range(L.shape[0]):
            r = Y[i, s] - targets[first + s, i] if s < m else 0.0
            L[i, s] = r
            square += r * r
        for i in range(L.shape[0]):
            L[i, s] *= square
        values[s] = 0.25 * square * square

    return CostBodies(terminal, nothing(ops), lambda cost: 1)


@pytest.mark.parametrize("mode", MODES)
def test_a_cost_of_ones_own(mode):
    rng = np.random.default_rng(6)
    there = ODE.on("cuda")
    theta, x = 0.5 * rng.standard_normal(ODE.n_parameters), rng.standard_normal((9, 3))
    cost = FarSpec(rng.standard_normal((9, 3)))
    if FarSpec not in registry.TABLES["cost"]:
        with laid_out(mode), pytest.raises(ValueError, match="^device: .*the cost FarSpec, wanted"):
            there.cost_and_gradient(theta, x, cost)
        refode.cuda.register("cost", FarSpec, by_sample={"targets": 0})(far_on_device)
    wanted = ODE.cost_and_gradient(theta, x, cost)
    for how in ({}, {"slice": 4}):
        with laid_out(mode, **how):
            close(there.cost_and_gradient(theta, x, cost), wanted)
    path = Cotangent(rng.standard_normal((3, 9, 3)))
    with pytest.raises(ValueError, match="^cost: got a Cotangent, which reads the whole path"):
        there.cost_and_gradient(theta, x, path)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        (("losses", FarSpec), ValueError, "^kind: got 'losses', wanted one of 'field'"),
        (("loss", FarSpec(None)), TypeError, "^description: got FarSpec.* wanted a class"),
        (
            ("loss", dict),
            TypeError,
            r"^description: got <class 'dict'> \(type\), wanted a class of NamedTuples",
        ),
        (
            ("loss", FarSpec, {"labels": 0}),
            ValueError,
            "^by_sample: got 'labels', wanted .*'targets'",
        ),
        (("loss", FarSpec, {"targets": -1}), ValueError, r"^by_sample\['targets'\]: got -1"),
    ],
)
def test_bad_input_is_refused_by_name(how, error, message):
    with pytest.raises(error, match=message):
        refode.cuda.register(*how)
