"""What is saved of each class: the constructor's arguments, and where they are read from.

One line a class, and the only classes that a file can name. An argument that is new in a
constructor gets a default there and a line here: files that lack it mean the default. Names and
meanings of arguments that have been in a released version stay. tests/saving/test_saving_table.py
holds the table to the constructors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from refode import bases, fields, games
from refode.costs.energies import _Added
from refode.costs.losses import Logistic, Regression, Softmax
from refode.densities import Empirical, Gaussian, GaussianMixture
from refode.ode.neural_ode import NeuralODE
from refode.ode.steps import Equal, Given
from refode.problems.game import MeanFieldGame
from refode.problems.normalizing_flow import ContinuousNormalizingFlow
from refode.problems.scaling import Scaling
from refode.problems.supervised import Supervised
from refode.problems.trajectories import TrajectoryFitting
from refode.saving.kinds import (
    BOOL,
    FLOAT,
    INT,
    TEXT,
    Array,
    Count,
    Either,
    Exact,
    Kind,
    Many,
    Maybe,
    Part,
    Size,
)
from refode.tableaus import ImplicitTableau, RosenbrockTableau, Tableau

#: Equal steps of a saved model; a flow or a game lays them out when it is made.
STEPS = 10**6
#: Coefficients of a basis whose stiffness is a dense matrix.
DENSE = 4096


class Entry(NamedTuple):
    """A class as files have it.

    Attributes
    ----------
    name : str
        In files.
    make : class
    kinds : dict
        The arguments' kinds, by name.
    sources : dict
        How to read an argument of an object, where that is no attribute of its name.
    left_out : tuple
        Arguments that files lack, as others say the same.
    """

    name: str
    make: type
    kinds: dict[str, Kind]
    sources: dict[str, Callable[[Any], Any]]
    left_out: tuple[str, ...]

    def read_from(self, value: Any, argument: str) -> Any:
        """An argument by which `value` could have been made."""
        source = self.sources.get(argument)
        return getattr(value, argument) if source is None else source(value)


_ENTRIES: list[Entry] = []


def _add(
    make: type,
    kinds: dict[str, Kind] | None = None,
    sources: dict[str, Callable[[Any], Any]] | None = None,
    left_out: tuple[str, ...] = (),
    name: str = "",
) -> None:
    _ENTRIES.append(Entry(name or make.__name__, make, kinds or {}, sources or {}, left_out))


# --- problems --------------------------------------------------------------------------------
_PLACE: dict[str, Callable[[Any], Any]] = {
    "device": lambda ode: ode.placement.device,
    "dtype": lambda ode: ode.placement.dtype,
}
_SCHEME, _SPAN = Either(TEXT, Part()), Many(FLOAT)


def _scheme(ode: Any) -> Any:
    return ode._named_scheme if isinstance(ode._named_scheme, Tableau) else ode.scheme


_add(
    NeuralODE,
    {
        "field": Part(),
        "scheme": _SCHEME,
        "n_steps": Part(),
        "t_span": _SPAN,
        "basis": Part(),
        "memory": TEXT,
        "slots": Maybe(Size()),
        "steps": TEXT,
        "device": TEXT,
        "dtype": TEXT,
    },
    {
        "scheme": _scheme,
        "n_steps": lambda ode: ode.steps,
        "steps": lambda ode: ode.step_rule,
        **_PLACE,
    },
    left_out=("grid",),  # in n_steps
)
_add(
    Supervised,
    {
        "ode": Part(),
        "loss": Part(),
        "n_outputs": INT,
        "augment": INT,
        "readout": BOOL,
        "tikhonov": FLOAT,
        "smoothness": FLOAT,
        "x_scaling": Maybe(Part()),
        "y_scaling": Maybe(Part()),
    },
    {"loss": lambda problem: problem._loss},
    left_out=("device", "dtype"),  # the ode's
)
_add(
    ContinuousNormalizingFlow,
    {
        "ode": Part(),
        "transport": FLOAT,
        "tikhonov": FLOAT,
        "smoothness": FLOAT,
        "trace": TEXT,
        "noise_seed": INT,
        "y_scaling": Maybe(Part()),
    },
    left_out=("device", "dtype"),  # the ode's
)
_add(
    MeanFieldGame,
    {
        "potential": Part(),
        "game": Part(),
        "hjb": FLOAT,
        "hjb_terminal": FLOAT,
        "hjb_norm": TEXT,
        "scheme": _SCHEME,
        "n_steps": Part(),
        "t_span": _SPAN,
        "device": TEXT,
        "dtype": TEXT,
        "memory": TEXT,
        "slots": Maybe(Size()),
    },
    {
        "scheme": lambda problem: _scheme(problem.ode),
        "n_steps": lambda problem: problem.ode.steps,
        "device": lambda problem: problem.ode.placement.device,
        "dtype": lambda problem: problem.ode.placement.dtype,
        "memory": lambda problem: problem.ode.memory,
        "slots": lambda problem: problem.ode.slots,
    },
    left_out=("grid", "basis"),  # in n_steps; constant
)
_add(
    TrajectoryFitting,
    {
        "ode": Part(),
        "observed": Maybe(Array(2)),
        "readout": BOOL,
        "initial": TEXT,
        "shooting": Maybe(Array(1)),
        "n_samples": Maybe(Size()),
        "penalty": FLOAT,
        "multipliers": Maybe(Array(3)),
        "steps_between": Maybe(Count(STEPS)),
        "tikhonov": FLOAT,
        "smoothness": FLOAT,
    },
    {"initial": lambda problem: problem.initial_states},
)
_add(Scaling, {"shift": Array(1), "scale": Array(1)})

# --- fields ----------------------------------------------------------------------------------
_ROWS: dict[str, Kind] = {"inputs": Count(DENSE), "outputs": Maybe(Size())}
_ROWS_OF: dict[str, Callable[[Any], Any]] = {"outputs": lambda field: field._outputs}
_add(fields.Affine, {"dim": Size(), "time": BOOL})
_add(fields.Antisymmetric, {"dim": Size(), "gamma": FLOAT, "activation": TEXT, "time": BOOL})
_add(fields.Hamiltonian, {"dim": Size(), "activation": TEXT, "time": BOOL})
_add(fields.Leapfrog, {"dim": Size(), "width": Size(), "activation": TEXT, "time": BOOL})
_add(
    fields.MLP,
    {"dim": Size(), "widths": Many(Size()), "activation": Many(TEXT), "time": BOOL, **_ROWS},
    _ROWS_OF,
)
_add(fields.Parabolic, {"dim": Size(), "width": Size(), "activation": TEXT, "time": BOOL})
_add(
    fields.Potential,
    {"dim": Size(), "width": Size(), "depth": Size(), "rank": Maybe(Size()), "quadratic": TEXT},
    {"rank": lambda field: None if field.quadratic == "symmetric" else field.rank},
)
_add(fields.Shallow, {"dim": Size(), "width": Size(), "time": BOOL, **_ROWS}, _ROWS_OF)

# --- weights in time, steps, schemes ---------------------------------------------------------
_J: dict[str, Callable[[Any], Any]] = {"J": lambda basis: basis.n_coefficients}
_add(bases.Constant)
_add(bases.PiecewiseConstant, {"J": Size()}, _J)
_add(bases.PiecewiseLinear, {"J": Size()}, _J)
_add(bases.Legendre, {"J": Size(DENSE)}, _J)
_add(bases.BSpline, {"J": Size()}, _J)
_add(Equal, {"n_steps": Count(STEPS)})
_add(Given, {"grid": Array(1)}, {"grid": lambda steps: steps.times})
_TABLE: dict[str, Kind] = {
    "name": TEXT,
    "A": Many(Many(Exact())),
    "b": Many(Exact()),
    "c": Many(Exact()),
    "order": INT,
    "reference": TEXT,
    "b_embedded": Maybe(Many(Exact())),
    "embedded_order": Maybe(INT),
    "exact": BOOL,
    "digits": Maybe(INT),
}
_add(Tableau, _TABLE)
_add(ImplicitTableau, _TABLE)
_add(RosenbrockTableau, {**_TABLE, "G": Many(Many(Exact()))})

# --- losses, densities, games ----------------------------------------------------------------
_add(Regression)
_add(Logistic)
_add(Softmax)
_add(Gaussian, {"mean": Array(1), "covariance": Array(2)})
_add(GaussianMixture, {"weights": Array(1), "means": Array(2), "covariances": Array(3)})
_add(Empirical, {"samples": Array(2)})
_add(
    games.Game,
    {
        "initial": Part(),
        "terminal_cost": Part(),
        "alpha": FLOAT,
        "obstacle": Part(),
        "entropy": FLOAT,
    },
    {"obstacle": lambda game: game.energy},
)
_add(games.KullbackLeibler, {"target": Part(), "weight": FLOAT})
_add(games.CrossEntropy, {"target": Part(), "weight": FLOAT})
_add(games.TerminalEnergy, {"energy": Part(), "weight": FLOAT})
_add(games.Nothing)
_add(
    games.GaussianBump,
    {"height": FLOAT, "mean": Array(1), "covariance": Array(2)},
    {
        "mean": lambda bump: bump.density.mean,
        "covariance": lambda bump: bump.density.covariance,
    },
)
_add(
    games.Quadratic,
    {"k": FLOAT, "q": Either(FLOAT, Array(1))},
    {"q": lambda energy: float(energy.q[0]) if energy.everywhere else energy.q},
)
_add(_Added, {"first": Part(), "second": Part()}, name="Sum")

#: By class, of exactly which an object has to be: of a subclass nobody knows what it is made of.
BY_CLASS: dict[type, Entry] = {entry.make: entry for entry in _ENTRIES}
#: By the name in files.
BY_NAME: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
#: What may be saved as a whole.
PROBLEMS = (Supervised, ContinuousNormalizingFlow, MeanFieldGame, TrajectoryFitting, NeuralODE)
