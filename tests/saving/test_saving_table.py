"""The table names every class that a problem can be made of, and every argument of each."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import refode
from refode import bases, densities, fields, games, tableaus
from refode._fixed import Fixed
from refode.costs import energies, losses
from refode.ode import steps
from refode.ode.neural_ode import NeuralODE
from refode.problems import contract, scaling
from refode.saving.table import _ENTRIES, BY_CLASS, BY_NAME

#: Whose subclasses a problem is made of, itself among them.
ROOTS = (
    bases.Basis,
    contract.Problem,
    densities.Density,
    energies.Energy,
    fields.Field,
    games.Game,
    games.KullbackLeibler,
    games.CrossEntropy,
    losses.Loss,
    NeuralODE,
    scaling.Scaling,
    steps.Steps,
    tableaus.Tableau,
)
#: Those that are made within others, or of a function of the user's, which no file can hold.
NEVER = {
    "Driven": "made by a TrajectoryFitting, of the data",
    "Padded": "made by refode.evaluate",
    "Wrapped": "any object as a problem",
    "RunningCost": "made by a Game",
    "Entropy": "made by a Game",
    "User": "holds functions: from outside",
}
MODULES = [bases, densities, fields, games, losses, steps, tableaus]


#: Where such classes are defined: what else the process has imported is of no account.
PACKAGES = ("costs", "fields", "games", "ode", "problems")
HOMES = tuple(f"refode.{name}" for name in (*PACKAGES, "bases", "densities", "_tableau"))


def imported():
    """Every module of refode's that defines such classes."""
    for package in PACKAGES:
        home = importlib.import_module(f"refode.{package}")
        for module in pkgutil.walk_packages(home.__path__, f"{home.__name__}."):
            importlib.import_module(module.name)


def below(kind):
    yield kind
    for sub in kind.__subclasses__():
        yield from below(sub)


def concrete():
    imported()
    found = {kind for root in ROOTS for kind in below(root)}
    for module in MODULES:  # all that is public besides
        found |= {
            made
            for made in (getattr(module, name) for name in module.__all__)
            if inspect.isclass(made) and issubclass(made, Fixed)
        }
    ours = {k for k in found if k.__module__.startswith(HOMES)}
    return sorted((k for k in ours if not inspect.isabstract(k)), key=lambda k: k.__name__)


def test_every_class_is_in_the_table():
    bare = {fields.Field, losses.Loss, steps.Steps}  # bases of others, abstract or as good as
    missing = [
        kind.__name__
        for kind in concrete()
        if kind not in BY_CLASS and kind not in bare and kind.__name__ not in NEVER
    ]
    assert missing == []
    assert set(BY_CLASS) <= set(concrete())


def test_names_are_there_once():
    assert len(BY_NAME) == len(BY_CLASS) == len(_ENTRIES)


@pytest.mark.parametrize("entry", _ENTRIES, ids=lambda entry: entry.name)
def test_every_argument_is_in_the_table(entry):
    parameters = inspect.signature(entry.make).parameters
    assert {*entry.kinds, *entry.left_out} == set(parameters)
    assert not {*entry.kinds} & {*entry.left_out}
    assert {*entry.sources} <= {*entry.kinds}
    for name in entry.left_out:  # files lack it: the default has to do
        assert parameters[name].default is not inspect.Parameter.empty


def test_arguments_that_files_may_lack_have_defaults():
    """Arguments of version 0.2.0: whatever is new since then has a default."""
    first = {
        "Affine": "dim",
        "Antisymmetric": "dim",
        "BSpline": "J",
        "ContinuousNormalizingFlow": "ode",
        "CrossEntropy": "target",
        "Empirical": "samples",
        "Equal": "n_steps",
        "Game": "initial terminal_cost",
        "Gaussian": "mean covariance",
        "GaussianBump": "height mean covariance",
        "GaussianMixture": "weights means covariances",
        "Given": "grid",
        "Hamiltonian": "dim",
        "KullbackLeibler": "target",
        "ImplicitTableau": "name A b c order reference",
        "Leapfrog": "dim",
        "Legendre": "J",
        "MLP": "dim",
        "MeanFieldGame": "potential game",
        "NeuralODE": "field",
        "Parabolic": "dim",
        "PiecewiseConstant": "J",
        "PiecewiseLinear": "J",
        "Potential": "dim width",
        "Quadratic": "k",
        "RosenbrockTableau": "name A b c order reference",
        "Scaling": "shift scale",
        "Shallow": "dim width",
        "Sum": "first second",
        "Supervised": "ode",
        "Tableau": "name A b c order reference",
        "TerminalEnergy": "energy",
        "TrajectoryFitting": "ode",
    }
    for name, entry in BY_NAME.items():
        parameters = inspect.signature(entry.make).parameters.values()
        needed = [p.name for p in parameters if p.default is inspect.Parameter.empty]
        assert " ".join(needed) == first.get(name, ""), name


def test_the_version_is_in_the_description(tmp_path):
    ode = NeuralODE(fields.Affine(1))
    refode.save(tmp_path / "a.npz", ode, ode.initial())
    assert refode.load(tmp_path / "a.npz").version == refode.__version__
