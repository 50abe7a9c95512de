"""What the gradient checks run on: every field with schemes, bases and losses in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refode import bases, fields, tableaus
from refode.fields import Field
from refode.ode.neural_ode import NeuralODE
from refode.ode.plan import SYMPLECTIC
from refode.problems.supervised import Supervised
from refode.reports.proofs import users_field
from refode.verify import DotReport, GradientReport

Array = np.ndarray

LOSSES = ("regression", "logistic", "softmax")
BASES: tuple[Callable[[], bases.Basis], ...] = (
    bases.Constant,
    lambda: bases.PiecewiseConstant(3),
    lambda: bases.PiecewiseLinear(3),
    lambda: bases.Legendre(3),
    lambda: bases.BSpline(5),
)
SMOOTH = (bases.Constant, bases.Legendre, bases.BSpline)
N_SAMPLES, N_STEPS = 9, 3

# one row a kind of field: variants that share its compiled code, or nearly
KINDS: dict[str, tuple[Callable[[], Field], ...]] = {
    "Affine": (lambda: fields.Affine(3), lambda: fields.Affine(3, time=True)),
    "Shallow": (
        lambda: fields.Shallow(3, 5),
        lambda: fields.Shallow(3, 5, time=True),
        lambda: fields.Shallow(6, 5),
    ),
    "MLP": (
        lambda: fields.MLP(3, (4, 5), "tanh"),
        lambda: fields.MLP(3, (4,), "softplus", time=True),
        lambda: fields.MLP(3, (5, 4, 3), ("sine", "tanh", "softplus")),
        lambda: fields.MLP(3, (4, 4), "identity"),
    ),
    "Antisymmetric": (
        lambda: fields.Antisymmetric(3, gamma=0.3),
        lambda: fields.Antisymmetric(3, gamma=0.3, activation="softplus", time=True),
        lambda: fields.Antisymmetric(3, gamma=0.2, activation="sine"),
    ),
    "Parabolic": (
        lambda: fields.Parabolic(3, 4),
        lambda: fields.Parabolic(3, 4, activation="softplus", time=True),
        lambda: fields.Parabolic(3, 2, activation="sine"),
    ),
    "Hamiltonian": (
        lambda: fields.Hamiltonian(4),
        lambda: fields.Hamiltonian(4, activation="softplus", time=True),
        lambda: fields.Hamiltonian(4, activation="sine"),
    ),
    "Leapfrog": (
        lambda: fields.Leapfrog(4),
        lambda: fields.Leapfrog(4, 3, activation="softplus", time=True),
        lambda: fields.Leapfrog(4, 3, activation="sine"),
    ),
    "Potential": (
        lambda: fields.Potential(5, 2, 2, 2),
        lambda: fields.Potential(3, 4, 3, quadratic="symmetric"),
    ),
    "User": (lambda: users_field.field(3),),
}


@dataclass(frozen=True)
class GradientCase:
    """A problem with weights, samples and targets.

    Attributes
    ----------
    kind : str
        Of field, a key of `KINDS`.
    name : str
        Field, scheme, basis and loss.
    problem : Supervised
    theta : (p,)
    x : (N, d - augment)
    y : array
    states : (N, d)
        Starts for the checks of the ode itself.
    """

    kind: str
    name: str
    problem: Supervised
    theta: Array
    x: Array
    y: Array
    states: Array

    @property
    def ode(self) -> NeuralODE:
        """The problem's ODE."""
        return self.problem.ode

    @property
    def theta_ode(self) -> Array:
        """Its part of theta."""
        return self.theta[: self.ode.n_parameters]


def schemes_of(field: Field) -> tuple[str, ...]:
    """All schemes that a field can be solved by and that solve nothing themselves."""
    return tableaus.names("explicit") + (tuple(SYMPLECTIC) if field.partitioned else ())


def make(
    kind: str, field: Field, scheme: Any, basis: bases.Basis, loss: str, seed: int
) -> GradientCase:
    """A case with theta, x and y drawn from `seed`; regularisers, one padded zero, a readout.

    A potential, whose weights have the readout's names, goes without.
    """
    named = isinstance(field, fields.Potential)
    ode = NeuralODE(field, scheme=scheme, n_steps=N_STEPS, basis=basis)
    m = field.dim if named else 1 if loss == "logistic" else 3
    problem = Supervised(
        ode,
        loss=loss,
        n_outputs=m,
        augment=min(1, field.dim - 1),
        readout=not named,
        tikhonov=0.1,
        smoothness=0.01,
    )
    rng = np.random.default_rng(seed)
    theta = 0.6 * rng.standard_normal(problem.n_parameters)
    x = rng.standard_normal((N_SAMPLES, problem.n_inputs))
    y: Array = {
        "regression": lambda: rng.standard_normal((N_SAMPLES, m)),
        "logistic": lambda: rng.integers(0, 2, N_SAMPLES),
        "softmax": lambda: rng.integers(0, m, N_SAMPLES),
    }[loss]()
    name = f"{field_name(field)}, {ode.scheme}, {basis!r}, {loss}"
    states = rng.standard_normal((N_SAMPLES, field.dim))
    return GradientCase(kind, name, problem, theta, x, y, states)


def field_name(field: Field) -> str:
    """Class, dimension, activation, and t where time is an input."""
    activation: Any = getattr(field, "activation", ())
    parts = [str(field.dim), *([activation] if isinstance(activation, str) else activation)]
    return f"{type(field).__name__}({' '.join([*parts, *(['t'] if field.time else [])])})"


# kind, variant, scheme, basis, loss
QUICK = (
    ("Affine", 1, "heun", 0, "regression"),
    ("Shallow", 0, "rk4", 1, "logistic"),
    ("Shallow", 1, "dopri5", 3, "softmax"),
    ("Shallow", 2, "rk4_38", 2, "softmax"),
    ("MLP", 2, "bogacki_shampine", 3, "regression"),
    ("Antisymmetric", 1, "tsit5", 4, "logistic"),
    ("Parabolic", 0, "fehlberg8", 1, "softmax"),
    ("Hamiltonian", 1, "verlet", 3, "regression"),
    ("Hamiltonian", 2, "butcher6", 0, "softmax"),
    ("Leapfrog", 0, "stormer_verlet", 2, "logistic"),
    ("Potential", 1, "kutta3", 3, "softmax"),
    ("User", 0, "rk4", 2, "regression"),
)


def cases(quick: bool) -> list[GradientCase]:
    """Quick: twelve; full: each kind of field with every basis and loss.

    Schemes and variants of the field take turns: in the full list every kind of field meets
    every one of its schemes, too.
    """
    if quick:
        return [
            make(kind, KINDS[kind][variant](), scheme, BASES[basis](), loss, seed)
            for seed, (kind, variant, scheme, basis, loss) in enumerate(QUICK)
        ]
    chosen = []
    for kind, variants in KINDS.items():
        pairs = [(basis, loss) for basis in BASES for loss in LOSSES]
        for turn, (basis, loss) in enumerate(pairs):
            field = variants[turn % len(variants)]()
            if kind == "Potential" and loss == "logistic":  # one output, and no readout
                field = fields.Potential(1, 4)
            schemes = schemes_of(field)
            scheme = schemes[turn % len(schemes)]
            chosen.append(make(kind, field, scheme, basis(), loss, seed=turn))
    return chosen


@dataclass(frozen=True)
class GradientRow:
    """All that was found about one case."""

    case: GradientCase
    dots: tuple[DotReport, ...]
    gradient: GradientReport
    ends: GradientReport | None

    @property
    def passed(self) -> bool:
        """Whether all checks were met and could have failed."""
        good = all(self.dots) and self.gradient.passed
        return good and (self.ends is None or self.ends.passed)

    @property
    def failures(self) -> list[str]:
        """Verdicts of what failed."""
        reports: list[Any] = [*self.dots, self.gradient, *([self.ends] if self.ends else [])]
        return [f"{r.name}: {r.verdict}" for r in reports if not r.passed]

    @property
    def dot_error(self) -> float:
        """Largest difference of the two sides, relative to them."""
        return max(
            off / abs(side)
            for dot in self.dots
            for off, side in zip(dot.difference, dot.left, strict=True)
        )

    @property
    def slopes(self) -> tuple[float, float]:
        """Smallest and largest of the slopes fitted to E1, NaN if none was."""
        fitted = [t.slope1 for t in self.gradient.taylor if t.kind1 == "power law"]
        return (min(fitted), max(fitted)) if fitted else (np.nan, np.nan)
