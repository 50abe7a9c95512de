"""Random cases: documents as the golden ones, drawn setting by setting so that they shrink.

Every setting is one draw from a short list that begins with the simplest, so Hypothesis makes
each smaller by itself. The numbers come from a seed, as those of the golden cases do: multiples of
1/16, exact at any precision. What is drawn is valid by construction; drawn anew are only cases
that no implementation could be held to at low precision, see `tame`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from refode import tableaus
from refode.check.kinks import near_kink
from refode.reference import cases, kernels
from refode.reference.cases import Draws

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Document = dict[str, Any]
Results = Callable[[Document], dict[str, Any]]
T = TypeVar("T")
One = Callable[[Sequence[T]], T]

KINDS = ("ode", "supervised", "flow", "game")
FIELDS = (
    "Affine",
    "Shallow",
    "MLP",
    "Antisymmetric",
    "Parabolic",
    "Hamiltonian",
    "Leapfrog",
    "Potential",
)
#: Fields of two halves, which symplectic schemes move in turn.
PAIRED = ("Hamiltonian", "Leapfrog")
#: From the fewest stages to the most.
SCHEMES = tuple(
    sorted(tableaus.names("explicit"), key=lambda n: tableaus.get(n).propagating().n_stages)
)
SYMPLECTIC = tuple(cases.SYMPLECTIC)
#: Bases with the numbers of coefficients that are drawn.
BASES = {
    "Constant": (1,),
    "PiecewiseConstant": (1, 2, 3, 4),
    "PiecewiseLinear": (2, 3, 4),
    "Legendre": (1, 2, 3, 4),
    "BSpline": (4, 5),
}
FORWARD = ((0, 1), (0, 0.5), (-0.25, 1.25), (0.5, 2), (0, 2))
SPANS = (*FORWARD, (1, 0), (1.25, -0.25))

#: Results up to this size, and absolute values this far from their kink, are asked of others.
LARGEST, NEAREST = 1e3, 1e-2
ENERGIES = (("Quadratic",), ("GaussianBump",), ("GaussianBump", "Quadratic"))
#: Seeds of the densities' and energies' numbers start here, beyond those of the inputs.
DENSITIES = 10**6


def documents(
    kinds: Sequence[str] = KINDS, results: Results = kernels.results
) -> SearchStrategy[Document]:
    """Random cases without results, as `refode.reference.cases` makes the golden ones.

    They shrink towards an ODE with an affine field on the line, one Euler step, weights constant
    in time and one sample.

    Parameters
    ----------
    kinds : sequence of str, optional
        Some of "ode", "supervised", "flow", "game", the simplest first.
    results : callable, optional
        Right results of a document, asked once for each that is drawn.

    Raises
    ------
    ValueError
        Unknown kinds, or none.
    ImportError
        Without Hypothesis.
    """
    kinds = tuple(kinds)
    if not kinds or set(kinds) - set(KINDS):
        raise ValueError(f"kinds: got {kinds}, wanted some of {', '.join(KINDS)}")
    from hypothesis import assume
    from hypothesis import strategies as st

    def drawn(draw: Callable[[Any], Any]) -> Document:
        document = _document(lambda options: draw(st.sampled_from(options)), kinds)
        assume(tame(document, results))
        return document

    return st.composite(drawn)()


def tame(document: Document, results: Results = kernels.results) -> bool:
    """Whether a case can be asked of an implementation at low precision.

    All results are finite and below 1e3, and no absolute value is within a hundredth of its kink,
    where rounding would decide on the sign of what follows.
    """
    values = results(document)
    if not all(np.all(np.abs(value) < LARGEST) for value in values.values()):  # nor NaN
        return False
    return near_kink(document, values) >= NEAREST


def _document(one: One, kinds: Sequence[str]) -> Document:
    """One case.

    Settings that all kinds and fields have are drawn before those of a few, so that a simpler
    kind or field keeps them; the seed comes last, as settings should become simple before numbers.
    """
    kind = one(kinds)
    name = one(("Potential",) if kind == "game" else FIELDS)
    dim = one((2, 4) if name in PAIRED else (1, 2, 3, 4, 5))
    n, how = one((1, 2, 3)), _how(one, kind, name)
    f = cases.field(name, dim, **_sizes(one, name))
    settings = _SETTINGS[kind](one, f)
    seed = 1 + one(range(100)) + 100 * one(range(100))
    about = f"{name}, {how['scheme']}"
    if kind == "ode":
        along = how["t_span"][:: -1 if settings["backward"] else 1]
        return cases.ode("random", about, seed, f, n, **how, along=along)
    if kind == "game":
        settings["rules"] = _rules(dim, seed, **settings["rules"])
    make: Any = {"supervised": cases.supervised, "flow": cases.flow, "game": cases.game}[kind]
    return make("random", about, seed, f, n=n, **how, **settings)


# --- fields, schemes, weights in time --------------------------------------------------------


def _how(one: One, kind: str, name: str) -> Document:
    """Scheme, basis, steps and times for a field of some name."""
    basis = one(("Constant",) if kind == "game" else tuple(BASES))
    J = one(BASES[basis])
    split = name in PAIRED and kind in ("ode", "supervised")
    return {
        "basis": f"{basis} {J}",
        "n_steps": one(steps(basis, J)),
        "scheme": one(SCHEMES + 4 * SYMPLECTIC if split else SCHEMES),
        "t_span": one(FORWARD if kind == "game" else SPANS),
    }


def _sizes(one: One, name: str) -> Document:
    """What a field of some name has beside its dimension."""
    if name == "Potential":
        shape = {"width": one((1, 2, 3, 4)), "depth": one((1, 2, 3))}
        if one(("symmetric", "lowrank")) == "symmetric":  # first, having less to draw
            return {**shape, "quadratic": "symmetric"}
        return {**shape, "rank": one((1, 2, 3)), "quadratic": "lowrank"}
    settings: Document = {"time": one((False, True))}
    if name not in ("Affine", "Shallow"):
        settings["activation"] = one(("identity", "tanh", "softplus", "sine"))
    if name in ("Shallow", "Parabolic", "Leapfrog"):
        settings["width"] = one((1, 2, 3, 4))
    if name == "MLP":
        settings["widths"] = [one((1, 2, 3, 4)) for _ in range(one((0, 1, 2, 3)))]
    if name == "Antisymmetric":
        settings["gamma"] = one(("0", "0.25", "0.5", "1"))
    return settings


def steps(basis: str, J: int) -> tuple[int, ...]:
    """Numbers of steps at which no step's middle is the border of two cells.

    There the earlier cell's weights count, which rounding of the time could turn around.
    """
    if basis != "PiecewiseConstant":
        return (1, 2, 3)
    fits = [n for n in (1, 2, 3, 4) if all((2 * i + 1) * J % (2 * n) for i in range(n))]
    return tuple(n for n in fits if n < 4 or len(fits) == 1)  # four cells need four steps


# --- problems --------------------------------------------------------------------------------


def _ode(one: One, f: Document) -> Document:
    return {"backward": one((False, True))}


def _supervised(one: One, f: Document) -> Document:
    d, bare = f["dim"], f["type"] == "Potential"  # its b is where the readout's would be
    losses = {"regression": True, "logistic": d == 1, "softmax": d > 1}  # of the states
    loss = one([name for name, of_states in losses.items() if of_states or not bare])
    options = ([False] if losses[loss] else []) + ([] if bare else [True])
    readout = one(options)
    outputs = {"regression": (1, 2, 3), "logistic": (1,), "softmax": (2, 3, 4)}[loss]
    return {
        "loss": loss,
        "readout": readout,
        "outputs": one(outputs) if readout else d,
        "augment": one(range(d)),
        "tikhonov": one((0, 0.25, 0.5)),
        "smoothness": one((0, 0.25, 0.5)),
    }


def _flow(one: One, f: Document) -> Document:
    return {
        "transport": one((0, 0.5, 0.25)),
        "tikhonov": one((0, 0.25, 0.5)),
        "smoothness": one((0, 0.25, 0.5)),
    }


def _game(one: One, f: Document) -> Document:
    """Settings of a game; alpha = 0, a normalizing flow, has no Hamiltonian."""
    kind = one(("kl", "energy", "cross_entropy"))
    crossed = kind == "cross_entropy"
    alpha = one((0, 1, 0.75, 2) if crossed else (1, 0.75, 2))
    known = not crossed or one((False, True))  # the target: by its density, or by samples
    ends = kind == "energy"
    rules = {
        "kind": kind,
        "alpha": alpha,
        "terminal": one((1, 2, 0.5, 5)),
        "hjb": one((0, 1, 1.75) if alpha else (0,)),
        "hjb_terminal": one((0, 1, 0.625) if alpha and known else (0,)),
        "hjb_norm": one(("squared", "absolute")),
        "entropy": one((0, 0.25, 0.5)),
        "energy": one(((), *ENERGIES)),
        "initial": _shape(one),
        "target": _shape(one) if known and not ends else None,
        **({"terminal_energy": one(ENERGIES)} if ends else {}),
    }
    return {"rules": rules, "n_targets": one((1, 2, 3)) if crossed else 0}


_SETTINGS: dict[str, Callable[[One, Document], Document]] = {
    "ode": _ode,
    "supervised": _supervised,
    "flow": _flow,
    "game": _game,
}


def _shape(one: One) -> tuple[int, str]:
    """Components of a mixture, and what its covariances look like."""
    return one((1, 2)), one(("identity", "diagonal", "full"))


def _rules(
    d: int,
    seed: int,
    initial: Any,
    target: Any,
    energy: Any,
    terminal_energy: Any = (),
    **rules: Any,
) -> Document:
    draws = Draws(DENSITIES + seed)
    start = _mixture(draws, d, *initial)
    end = None if target is None else _mixture(draws, d, *target)
    return cases.rules(
        initial=start,
        target=end,
        energy=tuple(_energy(draws, d, name) for name in energy),
        terminal_energy=tuple(_energy(draws, d, name) for name in terminal_energy),
        **rules,
    )


def _mixture(draws: Draws, d: int, components: int, covariance: str) -> Document:
    share = Fraction(_pick(draws, 3) + 1, 4)
    weights = ["1"] if components == 1 else [cases.decimal(w) for w in (share, 1 - share)]
    return {
        "weights": weights,
        "means": [draws.array((d,), 16)["data"] for _ in weights],
        "covariances": [_covariance(draws, d, covariance) for _ in weights],
    }


def _covariance(draws: Draws, d: int, kind: str) -> list[list[str]]:
    """Positive definite: 3/4 or more on the diagonal, at most 1/8 in four places beside it."""
    S = [[Fraction(int(i == j)) for j in range(d)] for i in range(d)]
    for i in range(d if kind != "identity" else 0):
        S[i][i] = Fraction(3 + _pick(draws, 3), 4)
        for j in range(i if kind == "full" else 0):
            S[i][j] = S[j][i] = Fraction(_pick(draws, 3) - 1, 8)
    return [[cases.decimal(s) for s in row] for row in S]


def _energy(draws: Draws, d: int, name: str) -> Document:
    """A bump of one or two leading coordinates, or a bowl."""
    size = ("0.75", "1.5", "3")[_pick(draws, 3)]
    if name == "Quadratic":
        return {"type": name, "stiffness": size, "centre": draws.array((d,), 16)["data"]}
    k = min(d, 2)
    return {
        "type": name,
        "height": size,
        "mean": draws.array((k,), 16)["data"],
        "covariance": _covariance(draws, k, "full"),
    }


def _pick(draws: Draws, n: int) -> int:
    return int(draws.labels(1, n)["data"][0])
