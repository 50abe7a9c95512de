"""Problems of every kind that files can hold, what each computes, and objects from outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import refode
from refode import bases, fields, games, tableaus
from refode.costs.energies import BumpSpec
from refode.costs.losses import Loss, RegressionSpec
from refode.densities import Density, Empirical, Gaussian, GaussianMixture
from refode.fields.affine import AffineSpec
from refode.problems.scaling import Scaling

SAMPLES = 5
S = np.array([[1.0, 0.3], [0.3, 0.5]])


# --- from outside, by bodies that there are --------------------------------------------------
class Linear(fields.Field):
    """f = s (A z + c), with a scale s that its repr shows."""

    def __init__(self, dim, scale=1.0):
        super().__init__(dim, {"A": (dim, dim), "c": (dim,)})
        self.scale = scale

    def description(self):
        return AffineSpec(self.dim, 0)

    def rows(self, trace):
        return 0, 0

    def prepare(self, weights, trace):
        return self.scale * weights

    def prepare_adjoint(self, weights, trace, e_bar):
        return self.scale * e_bar


class Shifted(Loss):
    """|v - y - shift|^2 / 2 by the body of the regression."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def description(self, targets):
        return RegressionSpec(targets + self.shift)


class Hill(games.Energy):
    """A bump of one's own."""

    def __init__(self, height):
        self.height = height

    def description(self):
        return BumpSpec(self.height, np.zeros(2), np.eye(2))

    def __repr__(self):
        return f"Hill({self.height})"


class Ring(Density):
    """A normal density of one's own; another deviation shows in its repr."""

    def __init__(self, deviation):
        self.dim, self.deviation = 2, deviation

    def sample(self, n, seed=0):
        return self.deviation * np.random.default_rng(seed).standard_normal((n, 2))

    def log_density(self, x):
        s = self.deviation
        return -0.5 * np.sum((np.asarray(x) / s) ** 2, axis=1) - 2 * np.log(s) - np.log(2 * np.pi)

    def log_density_gradient(self, x):
        return -np.asarray(x) / self.deviation**2


def outside() -> dict[str, Any]:
    """What the cases have from outside, by name."""
    return {
        "Linear": Linear(2, 0.5),
        "Shifted": Shifted(0.25),
        "Hill": Hill(2.0),
        "Hill 2": Hill(3.0),
        "Ring": Ring(1.0),
        "Ring 2": Ring(1.5),
    }


# --- cases -----------------------------------------------------------------------------------
class Case(NamedTuple):
    """A problem, and the names of what it has from outside."""

    problem: Any
    outside: tuple[str, ...] = ()


def _ode(field: Any = None, **how: Any) -> refode.NeuralODE:
    made = fields.Shallow(2, 3) if field is None else field
    return refode.NeuralODE(made, **{"n_steps": 2, **how})


def _supervised(ode: Any, loss: Any = "regression", **how: Any) -> refode.Supervised:
    return refode.Supervised(ode, loss, **how)


def _fields() -> dict[str, Case]:
    made = {
        "affine": fields.Affine(2),
        "affine time": fields.Affine(2, time=True),
        "antisymmetric": fields.Antisymmetric(2, 0.25, "softplus"),
        "hamiltonian": fields.Hamiltonian(4, "sine", time=True),
        "leapfrog": fields.Leapfrog(4, 3, "tanh"),
        "mlp": fields.MLP(2, (3, 4), ("tanh", "softplus"), time=True),
        "mlp alone": fields.MLP(2, (), "tanh"),
        "parabolic": fields.Parabolic(2, 3, "identity"),
        "potential": fields.Potential(2, 3, 3, 2),
        "potential symmetric": fields.Potential(2, 3, quadratic="symmetric"),
        "shallow": fields.Shallow(2, 3, time=True),
    }
    return {name: Case(_supervised(_ode(field), readout=False)) for name, field in made.items()}


def _odes() -> dict[str, Case]:
    given = ["1/3", 0.1, "-2/7"]
    A = [["0", "0", "0"], [given[0], "0", "0"], [0.1, given[2], "0"]]
    own = tableaus.Tableau("mine", A, ["1/6", 0.5, "1/3"], [0, "1/3", 1], 1, 'of "mine"\n\u00e9')
    made: dict[str, Any] = {
        "constant": _ode(basis=bases.Constant()),
        "cells": _ode(basis=bases.PiecewiseConstant(3)),
        "linear": _ode(basis=bases.PiecewiseLinear(3), t_span=(1.0, 0.1)),
        "legendre": _ode(basis=bases.Legendre(3), memory="steps"),
        "bspline": _ode(basis=bases.BSpline(5), t_span=(-0.0, 1.0 / 3.0)),
        "grid": _ode(n_steps=None, grid=[0.0, 0.1, 1.0 / 3.0, 1.0]),
        "grid falling": _ode(n_steps=refode.steps.Given([2.0, 0.3, 0.1])),
        "equal": _ode(n_steps=refode.steps.Equal(3)),
        "own tableau": _ode(scheme=own),
        "own implicit tableau": _ode(
            scheme=tableaus.ImplicitTableau(
                "radau3", [["5/12", "-1/12"], [0.75, 0.25]], [0.75, 0.25], ["1/3", 1], 3, "Butcher"
            )
        ),
        "rosenbrock given": _ode(scheme=tableaus.get("ros2")),
        "dopri5 given": _ode(scheme=tableaus.get("dopri5")),
        "verlet": _ode(fields.Hamiltonian(2), scheme="verlet", memory="reverse"),
        "binomial": _ode(memory="binomial", slots=2, n_steps=5),
        "reversible": _ode(scheme="reversible(rk4, 0.99)", memory="reverse"),
        "free steps": _ode(steps="free", grid=[0.0, 0.1, 1.0], n_steps=None),
        "steps on the simplex": _ode(
            steps="simplex", n_steps=3, basis=bases.PiecewiseConstant(3), scheme="euler"
        ),
        "steps by the softmax": _ode(steps="softmax", n_steps=3),
        "stormer_verlet": _ode(fields.Leapfrog(2), scheme="stormer_verlet"),
    }
    made |= {f"scheme {name}": _ode(scheme=name) for name in tableaus.names()}
    return {f"ode {name}": Case(ode) for name, ode in made.items()}


def _problems() -> dict[str, Case]:
    rng = np.random.default_rng(7)
    x, y = 30.0 + 4.0 * rng.standard_normal((9, 2)), 5.0 * rng.standard_normal((9, 2))
    regression = _supervised(_ode(), n_outputs=2)
    flow = refode.ContinuousNormalizingFlow
    smooth = _ode(basis=bases.PiecewiseLinear(3))
    return {
        "logistic": Case(_supervised(_ode(), "logistic", augment=1)),
        "softmax": Case(_supervised(_ode(), "softmax", n_outputs=3, tikhonov=0.1)),
        "no readout": Case(_supervised(_ode(), readout=False)),
        "smooth": Case(_supervised(smooth, smoothness=0.3, tikhonov=1e-3)),
        "standardized": Case(regression.standardized(x, y)),
        "scaled": Case(_supervised(_ode(), x_scaling=Scaling([1.0, 0.1], [2.0, 1e-3]))),
        "flow": Case(flow(_ode(), transport=0.1, tikhonov=0.01)),
        "flow noise": Case(flow(smooth, trace="gaussian", noise_seed=2**70, smoothness=0.1)),
        "flow rademacher": Case(flow(_ode(), trace="rademacher")),
        "flow standardized": Case(flow(_ode()).standardized(x)),
        "trajectories": Case(
            refode.TrajectoryFitting(_ode(), [[1.0, 0.5]], readout=True, tikhonov=0.1)
        ),
        "trajectories shooting": Case(
            refode.TrajectoryFitting(
                _ode(), shooting=[0.45], n_samples=SAMPLES, multipliers=np.ones((SAMPLES, 1, 2))
            )
        ),
        "trajectories fitted": Case(
            refode.TrajectoryFitting(
                refode.NeuralODE(fields.Parabolic(2, 3), "dopri5"),
                initial="fitted",
                n_samples=SAMPLES,
                steps_between=2,
                smoothness=0.1,
            )
        ),
    }


def _game_cases() -> dict[str, Case]:
    start, tilted = Gaussian([0.1, 0.0], 1.0), Gaussian([1.0, 1.0], S)
    mixture = GaussianMixture([0.25, 0.75], [[1.0, 0.0], [0.0, 1.0]], np.array([S, S[::-1, ::-1]]))
    bump = games.GaussianBump(1.5, [0.5, 0.25], S)
    low, bowl, well = (
        games.GaussianBump(1.0, [0.5], 0.3),
        games.Quadratic(0.5),
        games.Quadratic(0.5, [0.5, 1.0]),
    )
    samples = Empirical(np.random.default_rng(3).standard_normal((7, 2)))
    made: dict[str, Any] = {
        "transport": games.optimal_transport(start, tilted, 2.0, 5.0),
        "mixture": games.optimal_transport(mixture, mixture),
        "bump": games.crowd_motion(start, tilted, obstacle=bump, entropy=0.1),
        "sum": games.crowd_motion(start, mixture, obstacle=bump + bowl + low),
        "sum within": games.crowd_motion(start, tilted, obstacle=low + (well + bump)),
        "likelihood": games.normalizing_flow(start, samples, terminal=2.0),
        "control": games.Game(start, games.TerminalEnergy(bump + bowl, 0.7), 1.2, low, 0.1),
        "likelihood alpha": games.normalizing_flow(start, tilted, alpha=1.0),
    }
    potential = fields.Potential(2, 3)

    def game(of: Any, **how: Any) -> Any:
        return refode.MeanFieldGame(potential, of, **how)

    cases = {f"game {name}": Case(game(of)) for name, of in made.items()}
    cases["game penalties"] = Case(
        game(
            made["bump"],
            hjb=1.0,
            hjb_terminal=0.5,
            hjb_norm="squared",
            scheme="heun",
            grid=[0.0, 0.1, 1.5],
            memory="steps",
        )
    )
    return cases


def _outside() -> dict[str, Case]:
    known = outside()
    hills = games.crowd_motion(
        known["Ring"], known["Ring 2"], obstacle=known["Hill"] + known["Hill 2"]
    )
    both = _supervised(_ode(known["Linear"]), known["Shifted"])
    return {
        "outside field": Case(_ode(known["Linear"]), ("Linear",)),
        "outside loss": Case(both, ("Linear", "Shifted")),
        "outside game": Case(
            refode.MeanFieldGame(fields.Potential(2, 3), hills),
            ("Ring", "Ring 2", "Hill", "Hill 2"),
        ),
    }


def cases() -> dict[str, Case]:
    """By name; made anew."""
    return {**_fields(), **_odes(), **_problems(), **_game_cases(), **_outside()}


# --- what they compute -----------------------------------------------------------------------
def data_of(problem: Any) -> list[np.ndarray]:
    """Samples for a problem, the same each time."""
    rng = np.random.default_rng(11)
    ode = problem if isinstance(problem, refode.NeuralODE) else problem.ode
    if isinstance(problem, refode.TrajectoryFitting):
        times, values = np.array([0.2, 0.7]), rng.standard_normal((SAMPLES, 2, problem.n_channels))
        x = None if problem.fitted else rng.standard_normal((SAMPLES, ode.dim))
        return [x, refode.Observations(times, values)]
    if not isinstance(problem, refode.Supervised):
        x = rng.standard_normal((SAMPLES, ode.dim))
        needs_y = isinstance(problem, refode.MeanFieldGame) and problem.game.alpha == 0.0
        return [x, rng.standard_normal((SAMPLES, ode.dim))] if needs_y else [x]
    x = rng.standard_normal((SAMPLES, ode.dim - problem.augment))
    if problem.loss in ("logistic", "softmax"):
        return [x, np.arange(SAMPLES) % 2]
    return [x, rng.standard_normal((SAMPLES, problem.n_outputs))]


def theta_of(problem: Any) -> np.ndarray:
    """No entry of it is 0."""
    return 0.5 * np.random.default_rng(5).standard_normal(problem.n_parameters)


def results(problem: Any, theta: np.ndarray, data: list[np.ndarray]) -> list[np.ndarray]:
    """What a problem computes: a value, a gradient, states."""
    if isinstance(problem, refode.NeuralODE):
        return [problem.solve(theta, *data), problem.adjoint(theta, data[0], data[0])[0]]
    value, gradient = problem.value_and_gradient(theta, *data)
    if isinstance(problem, refode.TrajectoryFitting):
        return [np.array(value), gradient, problem.predict(theta, data[0], data[1].times)]
    given: Callable[..., Any] = (
        problem.predict if isinstance(problem, refode.Supervised) else problem.generate
    )
    return [np.array(value), gradient, given(theta, data[0])]


def digests(of: dict[str, tuple[Any, np.ndarray]]) -> dict[str, list[str]]:
    """Bits of the results by name, and how the problem shows itself."""
    made = {}
    for name, (problem, theta) in of.items():
        computed = results(problem, theta, data_of(problem))
        made[name] = [*(np.asarray(r).tobytes().hex() for r in computed), repr(problem)]
    return made


def write_all(folder: str) -> None:
    """Save every case into a folder, and print what it computes."""
    made = cases()
    for name, case in made.items():
        refode.save(f"{folder}/{name}.npz", case.problem, theta_of(case.problem))
    of = {name: (case.problem, theta_of(case.problem)) for name, case in made.items()}
    json.dump(digests(of), sys.stdout)


def read_all(folder: str, names: list[str], needs: dict[str, list[str]]) -> None:
    """Load them, and print the same."""
    known, of = outside(), {}
    for name in names:
        model = refode.load(f"{folder}/{name}.npz", {n: known[n] for n in needs[name]})
        of[name] = model.problem, model.theta
    json.dump(digests(of), sys.stdout)


class Gpu:
    """A stand-in for a GPU, of which one asks whether it is there."""

    missing = False

    @classmethod
    def require(cls) -> None:
        if cls.missing:
            raise RuntimeError("no GPU")


#: Cases whose files are kept from version to version; every class of the table is in them.
GOLDEN = (
    "affine time",
    "antisymmetric",
    "hamiltonian",
    "leapfrog",
    "mlp",
    "parabolic",
    "potential symmetric",
    "shallow",
    "ode constant",
    "ode cells",
    "ode linear",
    "ode legendre",
    "ode bspline",
    "ode grid falling",
    "ode own tableau",
    "ode own implicit tableau",
    "ode rosenbrock given",
    "ode stormer_verlet",
    "ode scheme tsit5",
    "logistic",
    "softmax",
    "smooth",
    "standardized",
    "flow noise",
    "flow standardized",
    "game mixture",
    "game sum within",
    "game likelihood",
    "game penalties",
    "game control",
    "outside loss",
    "outside game",
)


def compute(folder: str) -> None:
    """Print what the models in a folder of golden files compute."""
    with open(f"{folder}/expected.json", encoding="ascii") as file:
        expected = json.load(file)
    known, found = outside(), {}
    for name, case in expected.items():
        model = refode.load(f"{folder}/{name}", {n: known[n] for n in case["outside"]})
        data = [np.array(array) for array in case["data"]]
        computed = results(model.problem, model.theta, data)
        found[name] = [np.asarray(result).tolist() for result in computed]
    json.dump(found, sys.stdout)
