"""Small objects of every class, and good arguments for every public call."""

from __future__ import annotations

import atexit
import functools
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import refode
from refode import bases, closed_forms, densities, fields, games, packing, steps, tableaus
from refode._weights import equal
from refode.costs import losses
from refode.problems.scaling import Scaling
from refode.reports.proofs.users_field import f, vjp
from validation.fuzz.surface import Public, surface

#: Methods that the package asks, with arguments it has checked, and subclasses supply.
INSIDE = {
    "fields.*": "answer block check_times description initial named prepare prepare_adjoint rows",
    "NeuralODE": "dense_plan stage_weights stage_weights_adjoint stepped sweep",
    "losses": "check_outputs description targets",
    "games": "check_dim description",
    "problems": "check data fingerprint held_out placed placed_with weighted",
}
#: What is refused whatever comes, by class.
REFUSED = {refode.TrajectoryFitting: ("to_device",)}
_INSIDE = frozenset(" ".join(INSIDE.values()).split())
#: Records that calls answer with: nothing is asked of who makes one by hand.
RECORDS = [
    "StageTable",
    "DirectionReport",
    "DotReport",
    "Change",
    "DepthReport",
    "GapReport",
    "GradientReport",
    "HessianReport",
    "OrderReport",
    "TaylorReport",
    "Split",
    "Synthetic",
    "Error",
    "Case",
    "Scheme",
    "Outcome",
    "Row",
    "Finding",
    "Resident",
    "Model",
    "LinearQuadraticGame",
    "Adaptation",
    "Laplace",
    "LeftOut",
    "Pruned",
]
#: What needs a GPU to do anything at all; the door stands before it in ``device``.
ON_A_GPU = ("refode.cuda.crossover.calibrate", "refode.cuda.buffers.release")
#: Relative shares: calls that take long come seldom.
WEIGHTS = {
    "refode.check.run.check": 0.05,
    "refode.reference.errors": 0.1,
    "refode.reference.export": 0.05,
    "refode.training.train_multilevel": 0.6,
}


@dataclass(frozen=True)
class Subject:
    """A call with good arguments; ``names`` are others that a message may begin with."""

    name: str
    function: Callable[..., Any]
    good: dict[str, Any]
    owner: Any = None
    names: tuple[str, ...] = ()
    weight: float = 1.0

    @functools.cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        found = inspect.signature(self.function).parameters
        return {n: p for n, p in found.items() if p.kind is not p.VAR_KEYWORD}

    @property
    def defaults(self) -> dict[str, Any]:
        return {n: p.default for n, p in self.parameters.items() if p.default is not p.empty}

    def call(self, given: dict[str, Any]) -> Any:
        """The answer; of a ``with`` statement and of a ``*`` argument too."""
        star = [n for n, p in self.parameters.items() if p.kind is p.VAR_POSITIONAL]
        if star:
            before = list(self.parameters)[: list(self.parameters).index(star[0])]
            rest = {k: v for k, v in given.items() if k not in (*before, star[0])}
            many = given.get(star[0], ())
            many = many if isinstance(many, tuple) else (many,)
            return self.function(*(given[n] for n in before), *many, **rest)
        answer = self.function(**given)
        if hasattr(answer, "__enter__") and hasattr(answer, "gen"):
            with answer:
                return None
        return answer


RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, 3, 2))
LABELS = np.array([0, 1, 1])
NORMAL = densities.Gaussian([0.0, 0.5], [[1.0, 0.2], [0.2, 0.7]])
TARGET = densities.Gaussian([1.0, 0.0], 0.5)
MIXTURE = densities.GaussianMixture([0.4, 0.6], np.eye(2), 0.5)
LINE, LINES = densities.Gaussian([0.5], 2.0), densities.GaussianMixture([1.0], [[0.0]], 1.0)
BUMP = games.GaussianBump(1.0, [0.0, 0.5], 0.5)
FIELD = fields.Shallow(2, 3, time=True)
POTENTIAL = fields.Potential(2, 3)
ODE = refode.NeuralODE(FIELD, "dopri5", n_steps=2, basis=bases.PiecewiseLinear(2))
COUPLED = refode.NeuralODE(FIELD, "reversible(euler)", 2, None, ODE.basis, "reverse")
LEARNED = refode.NeuralODE(FIELD, "euler", 2, basis=bases.PiecewiseConstant(2), steps="simplex")
GAME = games.crowd_motion(NORMAL, TARGET, obstacle=BUMP, entropy=0.01)
SUPERVISED = {
    loss: refode.Supervised(ODE, loss, 1 if loss == "logistic" else 2, augment=1, tikhonov=9.0)
    for loss in ("regression", "logistic", "softmax")
}
# tikhonov so large that second derivatives are positive definite everywhere near
FLOW = refode.ContinuousNormalizingFlow(ODE, transport=0.1, tikhonov=20.0, smoothness=0.1)
SEEN = refode.Observations([0.1, 0.6], np.ones((3, 2, 2)))
TRAJECTORIES = refode.TrajectoryFitting(refode.NeuralODE(FIELD, "dopri5", n_steps=2), tikhonov=0.1)
MFG = refode.MeanFieldGame(POTENTIAL, GAME, hjb=1.0, hjb_terminal=1.0, scheme="bogacki_shampine")
FORCING = np.array([0.0, 0.5, 1.0]), np.ones((3, 3, 1))
FORCED = refode.Observations([0.1, 0.6], np.ones((3, 2, 2)), inputs=FORCING)
DRIVEN = refode.TrajectoryFitting(
    refode.NeuralODE(fields.MLP(2, (3,), inputs=1), "dopri5", n_steps=2), tikhonov=0.1
)
LAYERS = refode.NeuralODE(fields.Shallow(2, 3), "euler", 4, basis=bases.PiecewiseConstant(4))
LQ = closed_forms.lq_game(1.0, 0.1, 0.5, 0.0, 1.0, [0.0, 0.5], 1.0, [1.0, 0.0], 0.8)
RIDGE = refode.Supervised(
    refode.NeuralODE(fields.Affine(2), "euler", 1), "regression", readout=False, tikhonov=0.1
)
POSTERIOR = RIDGE.laplace(
    refode.train(RIDGE, X, Y, method="gn-cg", tolerance=1e-9, progress=False).x, X, Y, noise=0.1
)
#: Records with methods, which are called.
WITH_METHODS = (type(LQ), type(POSTERIOR))
SDIRK2, ROS2 = tableaus.get("sdirk2"), tableaus.get("ros2")
T = tableaus.get("heun2") if "heun2" in tableaus.names() else tableaus.get("rk4")


#: Tolerances of planned grids.
EXACT = {"rtol": 1e-3, "atol": 1e-5}


def _bowl(theta: Any, *data: Any) -> float:
    return float(np.sum(np.cos(theta)))


def _slope(theta: Any, *data: Any) -> Any:
    return -np.sin(theta)


def _times_two(a: Any) -> Any:
    return 2.0 * a


class Bowl:
    """A problem of a user's, which training wraps."""

    n_parameters = 3

    def initial(self, seed: int = 0) -> Any:
        return np.random.default_rng(seed).standard_normal(3)

    def value_and_gradient(self, theta: Any, x: Any = None, y: Any = None) -> Any:
        return 0.5 * float(theta @ theta), theta

    def __repr__(self) -> str:
        return "Bowl()"


def _adapter(case: Any) -> dict[str, Any]:
    return {}


def _objects() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Label -> object, and good arguments of its methods by name."""
    theta, p = ODE.initial(), ODE.n_parameters
    solving = {
        **{"theta": theta, "x": X, "z_bar": Y, "l_bar": np.ones(3), "theta_dot": np.ones(p)},
        **{"x_dot": Y, "device": "cpu", "weights": FIELD.initial(RNG), "n_steps": 3},
        **{"arrays": dict(ODE.unpack(theta)), "cost": _cost()},
        **EXACT,
        **{"times": np.array([0.1, 0.6])},
    }
    found = {"ode": (ODE, solving), "coupled ode": (COUPLED, solving)}
    at = LEARNED.initial()
    learning = {"theta": at, "theta_dot": at, "arrays": dict(LEARNED.unpack(at)), "steps": "free"}
    found["ode with learned steps"] = (LEARNED, {**solving, **learning})
    targets = {"regression": Y, "logistic": LABELS, "softmax": LABELS}
    for loss, problem in SUPERVISED.items():
        at = problem.initial()
        found[loss] = (
            problem,
            {"theta": at, "v": np.ones_like(at), "x": X[:, :1].copy(), "y": targets[loss]}
            | {"n_steps": 3, "t": 0.5, "arrays": dict(problem.unpack(at)), "transported": X}
            | EXACT
            | {"x_dot": np.ones((3, 1)), "y_dot": Y if loss == "regression" else None},
        )
    learning = refode.Supervised(LEARNED, "softmax", 2, augment=1, tikhonov=9.0)
    at, good = learning.initial(), found["softmax"][1]
    arrays = {"arrays": dict(learning.unpack(at)), "steps": "softmax"}
    found["softmax with learned steps"] = (
        learning,
        {**good, **arrays, "theta": at, "v": np.ones_like(at)},
    )
    ways = {"v": np.ones(p), "n": 3, "noise_seed": 1, "axes": (np.array([0.0, 1.0]),) * 2}
    found["flow"] = (FLOW, {**solving, **ways, "y": X, "y_dot": Y})
    fitted = ("trajectories", TRAJECTORIES, SEEN), ("driven", DRIVEN, FORCED)
    for name, problem, seen in fitted:
        at = problem.initial()
        found[name] = (
            problem,
            {"theta": at, "v": np.ones_like(at), "x": X, "y": seen, "times": np.array([0.1, 0.6])}
            | {"n_steps": 3, **EXACT, "arrays": dict(problem.unpack(at)), "inputs": seen.inputs}
            | {"x_dot": X, "y_dot": np.ones((3, 2, 2))},
        )
    at = MFG.initial()
    playing = {"theta": at, "v": np.ones_like(at), "x": X, "y": X + 0.1, "t": 0.5, "n_steps": 2}
    playing |= EXACT
    found["game"] = (MFG, {**playing, "arrays": dict(MFG.unpack(at))})
    for basis in (bases.Constant(), *(b(4) for b in (bases.Legendre, bases.BSpline))):
        found[type(basis).__name__] = (basis, {})
    for basis in (bases.PiecewiseConstant(4), bases.PiecewiseLinear(4)):
        found[type(basis).__name__] = (basis, {})
    for basis, good in list(found.values())[-5:]:
        ends = {"s_start": np.array([0.0, 0.5]), "s_end": np.array([0.5, 1.0])}
        good |= {**ends, "c": np.array([0.0, 0.5, 1.0]), "s": np.array([0.0, 0.3])}
        good |= {
            "finer": bases.Legendre(7) if isinstance(basis, bases.Constant) else type(basis)(7)
        }
    for made in (steps.Equal(3), steps.Given([0.0, 0.2, 1.0])):
        found[type(made).__name__] = (made, {"t_span": (0.0, 1.0), "origin": 0.5})
    for label, table in (("tableau", T), ("implicit tableau", SDIRK2), ("Rosenbrock's", ROS2)):
        found[label] = (table, {"z": -1.0})
    outputs = {"regression": (Y, Y), "logistic": (X[:, :1].copy(), LABELS), "softmax": (Y, LABELS)}
    for loss in (losses.Regression(), losses.Logistic(), losses.Softmax()):
        v, y = outputs[loss.name]
        found["the loss " + loss.name] = (loss, {"outputs": v, "y": y, "v": np.ones_like(v)})
    for density in (NORMAL, MIXTURE, densities.Empirical(X)):
        found[type(density).__name__] = (density, {"x": X, "n": 3})
    costs = {"x": X, "y": X, "log_rho": np.ones(3)}
    ends = games.KullbackLeibler(TARGET), games.CrossEntropy(TARGET), games.TerminalEnergy(BUMP)
    for cost in (*ends, games.Entropy(0.1)):
        found[type(cost).__name__] = (cost, costs)
    for energy in (BUMP, games.Quadratic(0.5, 1.0), games.Nothing()):
        found[type(energy).__name__] = (energy, {"x": X})
    found["running"] = (GAME.running_cost, {"x": X, "p": Y, "v": Y})
    found["observations"] = (SEEN, {})
    found["lq"] = (LQ, {"t": 0.5, "x": X})
    exact = {"x": X, "times": np.array([0.3, 1.0]), "z_bar": Y, "log_det_bar": np.ones(3)}
    for flow in (
        closed_forms.ShallowFlow.drawn(2, [-1.0]),
        closed_forms.ParabolicFlow.drawn(2, [-1.0, 0.0]),
    ):
        found[type(flow).__name__] = (flow, exact)
    found["posterior"] = (POSTERIOR, {"name": "A", "x": X, "n": 3, "more": ()})
    layout = packing.Layout({"W": (2, 3), "b": ()})
    arrays = {"W": np.ones((2, 3)), "b": np.array(1.0)}
    other = packing.Layout({"c": (2,)})
    found["layout"] = (layout, {"arrays": arrays, "other": other, "J": 2, "theta": np.ones(7)})
    return found


def _cost() -> Any:
    """A cost as one gives it by hand: the mean of |z|^2/2, by the losses' own class."""
    problem = refode.Supervised(ODE, "regression", readout=False)
    return problem._cost(problem.initial(), Y, equal(len(Y)))


def _file(name: str) -> str:
    """Where to write a file, in a folder that goes with the process."""
    folder = tempfile.mkdtemp(prefix="refode-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return os.path.join(folder, name)


def _model() -> str:
    """A file that a model was saved in."""
    file = _file("model.npz")
    refode.save(file, MFG, MFG.initial())
    return file


def _checkpoint() -> str:
    """A file that training has saved."""
    file = _file("run.npz")
    refode.train(Bowl(), [0.0], max_iter=1, progress=False, checkpoint=file)
    return file


def _functions() -> dict[str, dict[str, Any]]:
    """Good arguments of functions and constructors, by their names without ``refode.``."""
    w = FIELD.layout.pack(FIELD.initial(RNG))
    at = {"field": FIELD, "weights": w, "z": X}
    u = POTENTIAL.layout.pack(POTENTIAL.initial(RNG))
    there = {"field": POTENTIAL, "weights": u, "x": X}
    pair = {"initial": NORMAL, "target": TARGET}
    quiet = {"progress": False, "max_iter": 2}
    fitted = SUPERVISED["logistic"]
    data = {"x": X[:, :1].copy(), "y": LABELS}
    bowl = {"fun": _bowl, "gradient": _slope, "x0": np.ones(3)}
    dim = {"dim": 2}
    found: dict[str, dict[str, Any]] = {
        "NeuralODE": {"field": FIELD, "memory": "binomial", "slots": 2},
        "set_num_threads": {"n": 1},
        "get_num_threads": {},
        **{
            f"fields.{n}": dim
            for n in ["MLP", "Affine", "Antisymmetric", "Hamiltonian", "Parabolic"]
        },
        "fields.Leapfrog": dim,
        "fields.Field": {**dim, "shapes": {"W": (2, 2)}},
        "fields.Potential": {**dim, "width": 3},
        "fields.Shallow": {**dim, "width": 3},
        "fields.User": {**dim, "f": f, "vjp": vjp, "n_parameters": 6},
        **{f"ode.evaluate.{n}": at for n in ("value", "trace", "jacobian")},
        "ode.evaluate.tangent": {**at, "weights_dot": w, "z_dot": Y},
        "ode.evaluate.adjoint": {**at, "f_bar": Y, "trace_bar": np.ones(3)},
        "ode.evaluate.potential": there,
        "ode.evaluate.potential_tangent": {**there, "weights_dot": u, "x_dot": Y},
        "ode.evaluate.potential_adjoint": {
            **there,
            **{f"{n}_bar": np.ones(3) for n in ("phi", "time", "laplacian")},
            "gradient_bar": Y,
        },
        **{f"bases.{n}": {"J": 4} for n in ["BSpline", "Legendre", "PiecewiseConstant"]},
        "bases.PiecewiseLinear": {"J": 4},
        "bases.Constant": {},
        "ode.steps.Equal": {"n_steps": 3},
        "ode.steps.Given": {"grid": np.array([0.0, 0.2, 1.0])},
        "tableaus.get": {"name": "rk4"},
        "tableaus.names": {},
        "tableaus.ImplicitTableau": {
            **{"name": "theta", "A": (("1/2",),), "b": ("1",), "c": ("1/2",)},
            **{"order": 2, "reference": "here"},
        },
        "tableaus.ImplicitTableau.from_text": {
            **{"name": "mine", "order": 1, "reference": "here", "text": "1 | 1\n--\n  | 1"},
        },
        "tableaus.RosenbrockTableau.from_text": {
            **{"name": "mine", "order": 1, "reference": "here", "text": "0 |\n--\n  | 1"},
            "G": (("1/2",),),
        },
        "tableaus.RosenbrockTableau": {
            **{"name": ROS2.name, "A": ROS2.A, "b": ROS2.b, "c": ROS2.c},
            **{"order": 2, "reference": "here", "G": ROS2.G},
        },
        "tableaus.Tableau": {
            **{"name": T.name, "A": T.A, "b": T.b, "c": T.c},
            **{"order": T.order, "reference": "here"},
        },
        "tableaus.Tableau.from_text": {
            **{"name": "mine", "order": 1, "reference": "here", "text": "0 |\n--\n  | 1"},
        },
        "Supervised": {"ode": ODE},
        **{f"costs.losses.{n}": {} for n in ("Regression", "Logistic", "Softmax")},
        "ContinuousNormalizingFlow": {"ode": ODE},
        "MeanFieldGame": {"potential": POTENTIAL, "game": GAME},
        "TrajectoryFitting": {"ode": ODE},
        "Observations": {
            **{"times": np.array([0.1, 0.6]), "values": np.ones((3, 2, 2))},
            "inputs": FORCING,
        },
        "problems.scaling.Scaling": {"shift": np.zeros(2), "scale": np.ones(2)},
        "games.CrossEntropy": {"target": TARGET},
        "games.KullbackLeibler": {"target": TARGET},
        "games.TerminalEnergy": {"energy": BUMP},
        "games.Entropy": {"weight": 0.1},
        "games.Game": {"initial": NORMAL, "terminal_cost": GAME.terminal_cost},
        "games.GaussianBump": {"height": 1.0, "mean": np.zeros(2), "covariance": 0.5},
        "games.Nothing": {},
        "games.Quadratic": {"k": 0.5},
        "games.RunningCost": {"alpha": 1.0},
        **{f"games.{n}": pair for n in ["crowd_motion", "normalizing_flow", "optimal_transport"]},
        "adaptation.adapt": {
            **{"ode": ODE, "theta": ODE.initial(), "x": X, "rtol": 1e-3, "atol": 1e-5},
        },
        "saving.load": {"path": _model()},
        "saving.save": {"path": "model.npz", "problem": FLOW, "theta": FLOW.initial()},
        "training.prolong": {"theta": ODE.initial(), "coarse": ODE, "fine": ODE.with_steps(4)},
        "training.read_checkpoint": {"checkpoint": _checkpoint()},
        "training.train": {"problem": fitted, **data, **quiet},
        "training.train_msa": {
            **{"problem": refode.Supervised(LAYERS), "x": X, "y": np.array([0.0, 1.0, 1.0])},
            **{"max_iter": 2, "inner": 2, "progress": False},
        },
        "training.train_multilevel": {"problems": [fitted, fitted.with_steps(3)], **data, **quiet},
        "training.train_resampled": {"problem": MFG, "n_samples": 4, "every": 1, **quiet},
        "densities.Empirical": {"samples": X},
        "densities.Gaussian": {"mean": np.zeros(2), "covariance": np.eye(2)},
        "densities.GaussianMixture": {
            "weights": np.array([0.5, 0.5]),
            "means": np.eye(2),
            "covariances": np.array([1.0, 2.0]),
        },
        "closed_forms.ShallowFlow": {"W0": np.eye(2), "b0": np.zeros(2), "W1": np.eye(2)},
        "closed_forms.ShallowFlow.drawn": {"dim": 3, "rates": np.array([0.5, -1.0])},
        "closed_forms.ParabolicFlow": {"K": np.eye(2), "b0": np.zeros(2)},
        "closed_forms.ParabolicFlow.drawn": {"dim": 3, "rates": np.array([-0.5, -1.0])},
        "closed_forms.bures_distance2": {"source": NORMAL, "target": TARGET},
        "closed_forms.bures_map": {"source": NORMAL, "target": TARGET},
        "closed_forms.hopf_lax": {
            **{"terminal": lambda y: y[:, 0] ** 2, "alpha": 1.0, "t": 0.5, "x": X[:, :1].copy()},
            "candidates": np.linspace(-3.0, 3.0, 7),
        },
        "closed_forms.lq_game": {
            **{"alpha": 1.0, "entropy": 0.1, "stiffness": 0.5, "centre": 0.0, "terminal": 1.0},
            **{"mean0": np.array([0.0, 0.5]), "deviation0": 1.0},
            **{"target_mean": np.array([1.0, 0.0]), "target_deviation": 0.8},
        },
        "closed_forms.lq_value_function": {"alpha": 1.0, "kappa": 0.5, "S": 1.0, "t": 0.5, "x": X},
        "closed_forms.monotone_distance2": {"source": LINE, "target": LINES},
        "closed_forms.monotone_map": {"source": LINE, "target": LINES, "x": X[:, :1].copy()},
        "closed_forms.relaxed_transport": {
            **{"source": NORMAL, "target": TARGET, "alpha": 1.0, "beta": 2.0}
        },
        "bridges.jax_function": {"computed": ODE},
        "bridges.torch_function": {"computed": ODE},
        "verify.adjoint_gap": {
            **{"f": lambda t, z: z, "vjp": lambda t, z, w: (w, np.sum(w * z)), "x": X, "z_bar": Y},
            "tableau": (np.zeros((1, 1)), np.ones(1), np.zeros(1)),
        },
        "reports.adjoint_gap": {"ode": ODE, "theta": ODE.initial(), "x": X, "z_bar": Y},
        "reports.depth": {"problem": LAYERS, "theta": LAYERS.initial(), "x": X},
        "verify.check_gradient": {**bowl, "n_directions": 1},
        "verify.taylor_test": bowl,
        "verify.complex_step": {"fun": lambda z: np.sum(z**2), "x": np.ones(3), "v": np.ones(3)},
        "verify.dot_test": {
            **{"tangent": _times_two, "adjoint": _times_two, "x_shape": 3, "y_shape": 3}
        },
        "verify.observed_order": {
            **{"errors": np.array([1.0, 0.26, 0.063, 0.0157]), "steps": np.array([1, 2, 4, 8])}
        },
        **{f"datasets.{n}": {} for n in ["anode_1d", "breast_cancer", "breast_cancer_density"]},
        **{f"datasets.{n}": {} for n in ["digits", "names", "wine_density"]},
        **{
            f"datasets.{n}": {"n": 6}
            for n in ["annuli", "donut1d", "donut2d", "ellipses", "spiral"]
        },
        **{f"datasets.{n}": {"n": 6} for n in ["squares", "swiss_roll", "two_moons"]},
        "datasets.g": {"x": X},
        "datasets.get": {"name": "spiral"},
        "datasets.toy_density": {"name": "moons", "n": 4},
        "packing.Layout": {"shapes": {"W": (2, 3), "b": ()}},
        "cuda.layout.settings": {},
        "cuda.launching.bytes_of": {"problem": fitted, "n": 3},
        "reference.arrays": {"document": refode.reference.case("affine-euler"), "part": "inputs"}
        if "affine-euler" in refode.reference.names()
        else {"document": refode.reference.case(refode.reference.names()[0]), "part": "inputs"},
        "reference.case": {"name": refode.reference.names()[0]},
        "reference.errors": {"name": refode.reference.names()[0]},
        "reference.export": {"folder": "cases"},
        "reference.names": {},
        "reference.schema": {},
        "check.run.check": {
            "target": _adapter,
            "cases": [refode.reference.names()[0]],
            "diagnose": False,
        },
    }
    found["datasets.toy_density"]["name"] = refode.datasets.TOY_DENSITIES[0]
    return found


def left_out(public: Public) -> str:
    """Why a public name is not called; empty where it is."""
    last, owner = public.method, public.owner
    kind = owner or (public.function if inspect.isclass(public.function) else None)
    if public.name in ON_A_GPU:
        return "needs a GPU"
    if public.name.startswith("refode.distributed."):
        return "needs ranks that take part"  # tests/distributed give it bad input
    if public.name.startswith("refode.estimators."):
        return "answers as scikit-learn asks"  # by check_estimator in tests/estimators
    if kind is not None and kind.__name__ in RECORDS and kind not in WITH_METHODS:
        return "a record"
    if kind in WITH_METHODS and owner is None:
        return "a record"
    if owner is not None and inspect.isabstract(owner):
        return "abstract"
    if owner is not None and issubclass(owner, fields.Field) and last in _INSIDE:
        return "inside"
    if last in REFUSED.get(owner, ()):
        return "refused whatever comes"
    if owner is Scaling:  # problems ask it, with data that they have checked
        return "inside"
    if owner is not None and not issubclass(owner, fields.Field):
        inside = _INSIDE - {"initial"}
        return "inside" if last in inside else ""
    return ""


@functools.cache
def subjects() -> tuple[Subject, ...]:
    """Every public call that is not left out, with good arguments."""
    known, functions, objects = surface(), _functions(), _objects()
    found = []
    for public in known.values():
        short = public.name.removeprefix("refode.")
        weight = WEIGHTS.get(public.name, 1.0)
        if left_out(public):
            continue
        if public.owner is None or short in functions:
            if short not in functions:
                raise KeyError(f"{public.name}: has no good arguments in validation/fuzz/shared.py")
            found.append(Subject(public.name, public.function, functions[short], None, (), weight))
            continue
        for label, (made, named) in objects.items():
            if type(made) is not public.owner:
                continue
            method = getattr(made, public.method)
            wanted = inspect.signature(method).parameters
            good = {n: named[n] for n, p in wanted.items() if n in named and _needed(p)}
            if public.method in named:  # samples of its own
                good["x"] = named[public.method]
            shapes = getattr(getattr(made, "layout", made), "shapes", {})
            asked = ("loss", "n_outputs") if isinstance(made, losses.Loss) else ()
            asked += ("problem",) if public.method == "standardized" else ()
            names = (*shapes, *asked, *inspect.signature(type(made)).parameters, public.method)
            found.append(Subject(f"{public.name} of {label}", method, good, made, names, weight))
    return tuple(found)


def _needed(p: inspect.Parameter) -> bool:
    return p.default is p.empty
