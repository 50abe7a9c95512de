"""The inputs of the golden cases: plain data, the same in every language.

Every number is a multiple of 1/16 between -2 and 2, so that it is a short decimal and exactly a
double, a float32 and a bfloat16: no implementation starts from rounded inputs. The numbers come
from the generator of Park and Miller (CACM 31, 1988, multiplier 48271),

    s <- 48271 s mod (2^31 - 1),

started at 1000003 times the case's seed and run ten times first; a draw from {-k, ..., k}
without 0 is r = s mod 2k, then r - k where r < k and r - k + 1 elsewhere, in sixteenths.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from refode import tableaus

Document = dict[str, Any]
Shape = tuple[int, ...]

#: Largest weights, samples, cotangents and directions, in sixteenths.
WEIGHTS, SAMPLES, POTENTIAL = 14, 20, 8
SIXTEENTH = Fraction(1, 16)
#: Noise of Hutchinson's estimator: random signs, or sixteenths as everything else.
NOISE = {"signs": (1, Fraction(1)), "sixteenths": (SAMPLES, SIXTEENTH)}
SYMPLECTIC: dict[str, Document] = {
    "verlet": {"half": [1, 0], "b": ["1", "1"], "c": ["0", "1"]},
    "stormer_verlet": {"half": [1, 0, 1], "b": ["0.5", "1", "0.5"], "c": ["0", "0.5", "1"]},
}


class Draws:
    """The generator described above."""

    def __init__(self, seed: int) -> None:
        self.state = 1000003 * seed % (2**31 - 1)
        for _ in range(10):
            self._next()

    def _next(self) -> int:
        self.state = 48271 * self.state % (2**31 - 1)
        return self.state

    def array(self, shape: Shape, largest: int, unit: Fraction = SIXTEENTH) -> Document:
        """An array of decimals in C order."""
        draws = [self._next() % (2 * largest) - largest for _ in range(math.prod(shape))]
        return array(shape, [unit * (r if r < 0 else r + 1) for r in draws])

    def labels(self, n: int, classes: int) -> Document:
        """Integers from 0 to classes - 1."""
        return array((n,), [Fraction(self._next() // 7 % classes) for _ in range(n)])


def array(shape: Shape, values: list[Fraction]) -> Document:
    """Shape and decimals."""
    return {"shape": list(shape), "data": [decimal(v) for v in values]}


def decimal(value: Fraction) -> str:
    """An exact decimal; ValueError where there is none within 20 digits."""
    scaled = value * 10**20
    if scaled.denominator != 1:
        raise ValueError(f"value: got {value}, wanted a decimal of at most 20 digits")
    sign, digits = "-" if value < 0 else "", f"{abs(scaled.numerator):021d}"
    return f"{sign}{digits[:-20]}.{digits[-20:]}".rstrip("0").rstrip(".")


# --- fields ----------------------------------------------------------------------------------


def field(kind: str, dim: int, **settings: Any) -> Document:
    """A field's description; ``time`` and, where there is one, ``activation`` have defaults."""
    defaults: Document = {} if kind == "Potential" else {"time": False}
    if kind not in ("Potential", "Affine", "Shallow"):
        defaults["activation"] = "tanh"
    return {"type": kind, "dim": dim, **defaults, **settings}


def shapes(f: Document) -> dict[str, Shape]:
    """Names and shapes of one weight set, in the order of theta."""
    d, k = f["dim"], f.get("width", 0)
    columns = d + bool(f.get("time"))
    if f["type"] == "Affine":
        return {"A": (d, columns), "c": (d,)}
    if f["type"] == "Shallow":
        return {"W0": (k, columns), "b0": (k,), "W1": (d, k), "b1": (d,)}
    if f["type"] == "MLP":
        sizes = [columns, *f["widths"], d]
        layers: dict[str, Shape] = {}
        for i in range(len(sizes) - 1):
            layers |= {f"W{i}": (sizes[i + 1], sizes[i]), f"b{i}": (sizes[i + 1],)}
        return layers
    if f["type"] == "Parabolic":
        return {"K": (k, columns), "b0": (k,)}
    if f["type"] == "Potential":
        return _potential_shapes(f)
    n = {"Antisymmetric": (d, d), "Hamiltonian": (d // 2, d // 2), "Leapfrog": (k, d // 2)}[
        f["type"]
    ]
    return {"K": n, "b0": (n[0],)} | ({"tau": (n[0],)} if f["time"] else {})


def _potential_shapes(f: Document) -> dict[str, Shape]:
    m, D = f["width"], f["dim"] + 1
    blocks: dict[str, Shape] = {"K0": (m, D), "b0": (m,)}
    for i in range(1, f["depth"]):
        blocks |= {f"K{i}": (m, m), f"b{i}": (m,)}
    rows = D if f["quadratic"] == "symmetric" else f["rank"]
    return blocks | {"w": (m,), "A": (rows, D), "b": (D,), "c": ()}


def scheme(name: str) -> Document:
    """The coefficients, as fractions in text."""
    if name in SYMPLECTIC:
        return {"name": name, **SYMPLECTIC[name]}
    table = tableaus.get(name).propagating()
    return {
        "name": name,
        "A": [[str(a) for a in row] for row in table.A],
        "b": [str(b) for b in table.b],
        "c": [str(c) for c in table.c],
    }


def basis(text: str) -> Document:
    """``"Legendre 3"`` -> type and number of coefficients."""
    kind, _, J = text.partition(" ")
    return {"type": kind, "J": int(J or 1)}


# --- problems --------------------------------------------------------------------------------


def _case(
    name: str, about: str, seed: int, problem: Document, f: Document, how: Document
) -> Document:
    """What all cases have; ``how``: scheme, n_steps, t_span, along, basis."""
    span = [decimal(Fraction(t)) for t in how["t_span"]]
    along = [decimal(Fraction(t)) for t in how["along"]]
    return {
        "format": "refode-reference",
        "version": 1,
        "name": name,
        "about": about,
        "seed": seed,
        "problem": problem,
        "field": f,
        "scheme": scheme(how["scheme"]),
        "n_steps": how["n_steps"],
        "t_span": span,
        "along": along,
        "basis": basis(how["basis"]),
        "inputs": {},
    }


def _theta(draws: Draws, f: Document, J: int, largest: int) -> Document:
    return {
        name: draws.array((J, *shape) if J else shape, largest) for name, shape in shapes(f).items()
    }


def _how(how: Document, backward: bool = False) -> Document:
    full: Document = {"scheme": "rk4", "n_steps": 2, "t_span": (-0.25, 1.25), "basis": "Constant"}
    full |= how
    ends = tuple(full["t_span"])
    return {"along": ends[::-1] if backward else ends} | full


def ode(
    name: str,
    about: str,
    seed: int,
    f: Document,
    n: int = 2,
    observed: tuple[int, ...] = (),
    weights: dict[str, str] | None = None,
    **how: Any,
) -> Document:
    """States, log-determinants, their tangent and adjoint.

    Cotangents are of the end and the log-determinant, or of the states that are ``observed``.
    ``weights`` are given ones by name, text with spaces between the numbers; others are drawn.
    """
    case, draws = _case(name, about, seed, {"type": "ode"}, f, _how(how)), Draws(seed)
    J = case["basis"]["J"]
    case["inputs"] = {
        "theta": _theta(draws, f, J, WEIGHTS),
        "direction": _theta(draws, f, J, WEIGHTS),
        "x": draws.array((n, f["dim"]), SAMPLES),
        "x_direction": draws.array((n, f["dim"]), SAMPLES),
    }
    if observed:
        path_bar = draws.array((case["n_steps"] + 1, n, f["dim"]), SAMPLES)
        row = n * f["dim"]
        path_bar["data"] = [
            v if i // row in observed else "0" for i, v in enumerate(path_bar["data"])
        ]
        case["inputs"]["path_bar"] = path_bar
    else:
        case["inputs"]["z_bar"] = draws.array((n, f["dim"]), SAMPLES)
        case["inputs"]["l_bar"] = draws.array((n,), SAMPLES)
    for block, text in (weights or {}).items():
        given = [Fraction(w) for w in text.split()]
        case["inputs"]["theta"][block] = array((J, *shapes(f)[block]), given)
    return case


def supervised(
    name: str,
    about: str,
    seed: int,
    f: Document,
    loss: str,
    outputs: int = 1,
    n: int = 3,
    augment: int = 0,
    readout: bool = True,
    tikhonov: float = 0,
    smoothness: float = 0,
    **how: Any,
) -> Document:
    """Eq. (8): loss, regularisers, gradient, Hessian-vector product."""
    problem = {
        "type": "supervised",
        "loss": loss,
        "n_outputs": outputs,
        "augment": augment,
        "readout": readout,
        "tikhonov": decimal(Fraction(tikhonov)),
        "smoothness": decimal(Fraction(smoothness)),
    }
    case, draws, d = _case(name, about, seed, problem, f, _how(how)), Draws(seed), f["dim"]
    ends: dict[str, Shape] = {"W": (outputs, d), "b": (outputs,)} if readout else {}
    blocks = [
        _theta(draws, f, case["basis"]["J"], WEIGHTS)
        | {k: draws.array(shape, WEIGHTS) for k, shape in ends.items()}
        for _ in range(2)
    ]
    x = draws.array((n, d - augment), SAMPLES)
    if loss == "regression":
        y = draws.array((n, outputs), SAMPLES)
    else:
        y = draws.labels(n, 2 if loss == "logistic" else outputs)
    case["inputs"] = {"theta": blocks[0], "direction": blocks[1], "x": x, "y": y}
    return case


def flow(
    name: str,
    about: str,
    seed: int,
    f: Document,
    n: int = 2,
    transport: float = 0,
    tikhonov: float = 0,
    smoothness: float = 0,
    noise: str = "",
    **how: Any,
) -> Document:
    """Eqs. (13)-(15): likelihood, transport cost; x are data, carried from T to t0.

    With ``noise``, a key of `NOISE`, the trace is Hutchinson's estimate.
    """
    problem = {
        "type": "flow",
        "transport": decimal(Fraction(transport)),
        "tikhonov": decimal(Fraction(tikhonov)),
        "smoothness": decimal(Fraction(smoothness)),
    }
    if noise:
        problem["trace"] = "hutchinson"
    case = _case(name, about, seed, problem, f, _how(how, backward=True))
    draws, J = Draws(seed), case["basis"]["J"]
    case["inputs"] = {
        "theta": _theta(draws, f, J, WEIGHTS),
        "direction": _theta(draws, f, J, WEIGHTS),
        "x": draws.array((n, f["dim"]), SAMPLES),
    }
    if noise:
        case["inputs"]["noise"] = draws.array((n, f["dim"]), *NOISE[noise])
    return case


def game(
    name: str,
    about: str,
    seed: int,
    f: Document,
    rules: Document,
    n: int = 2,
    n_targets: int = 0,
    **how: Any,
) -> Document:
    """Eq. (25) of a game; ``rules`` are its costs and densities."""
    case = _case(name, about, seed, {"type": "game", **rules}, f, _how({"t_span": (0, 1)} | how))
    draws = Draws(seed)
    case["inputs"] = {
        "theta": _theta(draws, f, 0, POTENTIAL),
        "direction": _theta(draws, f, 0, POTENTIAL),
        "x": draws.array((n, f["dim"]), SAMPLES),
    }
    if n_targets:
        case["inputs"]["y"] = draws.array((n_targets, f["dim"]), SAMPLES)
    return case


def rules(
    kind: str,
    initial: Document,
    target: Document | None,
    alpha: float,
    terminal: float = 1,
    entropy: float = 0,
    energy: tuple[Document, ...] = (),
    hjb: float = 0,
    hjb_terminal: float = 0,
    hjb_norm: str = "absolute",
    terminal_energy: tuple[Document, ...] = (),
) -> Document:
    """A game's costs: ``kind`` is "kl", "cross_entropy" or "energy", which has no target."""
    numbers = {
        "alpha": alpha,
        "terminal": terminal,
        "entropy": entropy,
        "hjb": hjb,
        "hjb_terminal": hjb_terminal,
    }
    return {
        "kind": kind,
        **{k: decimal(Fraction(v)) for k, v in numbers.items()},
        "hjb_norm": hjb_norm,
        "energy": list(energy),
        "initial": initial,
        "target": target,
        **({"terminal_energy": list(terminal_energy)} if kind == "energy" else {}),
    }


def mixture(weights: str, means: list[str], covariances: list[list[str]]) -> Document:
    """A Gaussian mixture; vectors and rows are text with spaces between the numbers."""
    return {
        "weights": weights.split(),
        "means": [m.split() for m in means],
        "covariances": [[row.split() for row in S] for S in covariances],
    }
