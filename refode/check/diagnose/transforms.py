"""Mistakes that show in an array itself: a factor, a sign, axes exchanged, zeros, constants.

Each function looks at every wrong array by itself and then asks which one explanation covers the
most of them. A factor that fits one number always exists; it counts where it has a name (1/2, N,
...) or where the same number fits several arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from refode.check.diagnose import unusable
from refode.check.diagnose.cells import FIXED, Array, Candidate, Cell, constants, factors
from refode.reference.files import arrays

#: Quantities to which somebody may add a constant.
_SHIFTED = (
    "log_det",
    "log_density",
    "log_density_path",
    "transport_cost",
    "terms",
    "total",
    "phi",
    "phi_time",
    "outputs",
    "trace",
)


def candidates(cells: Iterable[Cell]) -> list[Candidate]:
    """All explanations of this kind, each with the cells that it explains."""
    cells = list(cells)
    return [
        *_zeros(cells),
        *_factors(cells),
        *_reordered(cells),
        *_shifted(cells),
        *_exchanged(cells),
    ]


# --- zeros -----------------------------------------------------------------------------------


def _zeros(cells: list[Cell]) -> list[Candidate]:
    whole = Candidate("detached", "", rank=0.0)
    for cell in cells:
        if not cell.got.any():
            whole.explained.add(cell.key)
    names = sorted({q for _, q in whole.explained})
    whole.sentence = (
        f"zero altogether: {', '.join(names)}. Something is detached from what is differentiated, "
        "or was never added up."
    )
    return [whole, *_missing_slices(cells)] if whole.explained else _missing_slices(cells)


def _missing_slices(cells: list[Cell]) -> list[Candidate]:
    """Right but for one index of one axis, where all is 0."""
    candidates: dict[str, Candidate] = {}
    for cell in cells:
        wrong = np.abs(cell.got - cell.right) > cell.tolerance
        if not cell.got.any() or wrong.all():
            continue
        for axis in range(wrong.ndim):
            others = tuple(i for i in range(wrong.ndim) if i != axis)
            hit = np.flatnonzero(wrong.any(axis=others))
            if len(hit) != 1 or wrong.shape[axis] < 2 or cell.got.take(hit[0], axis).any():
                continue
            where = _place(cell, axis - wrong.ndim, int(hit[0]))
            made = candidates.setdefault(where, Candidate("detached-slice", "", rank=0.5))
            made.explained.add(cell.key)
    for where, made in candidates.items():
        made.sentence = f"zero in {where}, right elsewhere: {_quantities(made)}. It is detached."
    return list(candidates.values())


def _place(cell: Cell, axis: int, index: int) -> str:
    """An index of an axis, counted from the last one, in words."""
    size = cell.right.shape[axis]
    if (
        axis == -1
        and index == size - 1
        and cell.document["field"].get("time")
        and (cell.quantity.partition("/")[2] in ("W0", "K", "A"))
    ):
        return "the last column, which belongs to t"
    place = {0: "first", size - 1: "last"}.get(index, f"{index + 1}th")
    return f"the {place} index of " + ("the last axis" if axis == -1 else f"axis {axis}")


# --- factors ---------------------------------------------------------------------------------


def _ratio(cell: Cell) -> float | None:
    """The factor that makes the right array the wrong one, where there is one."""
    square = float(np.vdot(cell.right, cell.right))
    if not square or not cell.got.any():
        return None
    ratio = float(np.vdot(cell.right, cell.got)) / square
    return ratio if cell.met_by(ratio * cell.right) else None


def _factors(cells: list[Cell]) -> list[Candidate]:
    fits = [(cell, r) for cell in cells if (r := _ratio(cell)) is not None]
    candidates: dict[str, Candidate] = {}
    for cell, _ in fits:
        for rank, (name, value) in enumerate(factors(cell.document).items()):
            if value == 1.0 or not cell.met_by(value * cell.right):
                continue
            key = "sign" if name == "-1" else "factor"
            made = candidates.setdefault(name, Candidate(key, "", rank=1.0 + 0.01 * rank))
            made.explained.add(cell.key)
    for name, made in candidates.items():
        what = _quantities(made)
        wrong = "the sign is wrong" if name == "-1" else f"{name} times what is right"
        made.sentence = f"{wrong}: {what}."
    told = [made.explained for name, made in candidates.items() if name in FIXED]
    # 1/2 by its name is 0.5 by its value: no second cause
    unnamed = [m for m in _same_number(fits) if not any(m.explained <= t for t in told)]
    return [*candidates.values(), *unnamed]


def _same_number(fits: list[tuple[Cell, float]]) -> list[Candidate]:
    """One unnamed factor that fits several arrays."""
    candidates = []
    for value in _clusters([(r, _spread(cell)) for cell, r in fits]):
        made = Candidate("factor", "", rank=2.0)
        sizes = 0
        for cell, _ in fits:
            if cell.met_by(value * cell.right):
                made.explained.add(cell.key)
                sizes += cell.right.size
        if len(made.explained) >= 2 and sizes > 2 and value != 1.0:
            made.sentence = f"{value:.6g} times what is right: {_quantities(made)}."
            candidates.append(made)
    return candidates


def _spread(cell: Cell) -> float:
    """How well a factor is known."""
    return 3.0 * cell.tolerance / float(np.abs(cell.right).max())


def _clusters(values: list[tuple[float, float]]) -> Iterator[float]:
    """Numbers that come several times, each known to its own accuracy; best known first."""
    left = sorted(values, key=lambda v: v[1])
    while left:
        centre, _ = left[0]
        near = [v for v in left if abs(v[0] - centre) <= v[1] + left[0][1]]
        if len(near) > 1:
            yield centre
        left = [v for v in left if v not in near]


# --- axes ------------------------------------------------------------------------------------


def _reorderings(a: Array, quantity: str) -> Iterator[tuple[str, str, Array]]:
    """Key, words and array for every order that the entries may have been put in."""
    if a.ndim >= 2 and a.shape[-1] == a.shape[-2]:
        yield "transposed", "transposed", np.swapaxes(a, -1, -2)
    for order, array in unusable.orders(a):
        if array.shape == a.shape:
            yield "exchanged-axes", unusable.words(quantity, order), array
    if a.ndim >= 2:
        words = "flattened first index fastest (Fortran order) and read last index fastest"
        yield "array-order", words, a.ravel(order="F").reshape(a.shape)
        words = "flattened last index fastest and read first index fastest (Fortran order)"
        yield "array-order", words, a.ravel().reshape(a.shape, order="F")
    for axis in range(a.ndim):
        if a.shape[axis] < 2:
            continue
        yield "reversed", f"backwards along axis {axis}", np.flip(a, axis)
        if a.shape[axis] > 2:
            for shift, side in ((1, "later"), (-1, "earlier")):
                words = f"one index too {side} along axis {axis}"
                yield "shifted-index", words, np.roll(a, shift, axis)
        if a.shape[axis] % 2 == 0 and a.shape[axis] > 2:
            words = f"the two halves of axis {axis} exchanged"
            yield "exchanged-halves", words, np.roll(a, a.shape[axis] // 2, axis)


def _reordered(cells: list[Cell]) -> list[Candidate]:
    candidates: dict[str, Candidate] = {}
    for cell in cells:
        for key, words, array in _reorderings(cell.right, cell.quantity):
            if cell.met_by(array):
                rank = {"transposed": 0.8, "exchanged-axes": 0.9}.get(key, 1.5)
                made = candidates.setdefault(words, Candidate(key, "", rank=rank))
                made.explained.add(cell.key)
    for words, made in candidates.items():
        named = made.key == "exchanged-axes"  # for its quantity
        made.sentence = f"{words}." if named else f"{words}: {_quantities(made)}."
    return list(candidates.values())


# --- constants -------------------------------------------------------------------------------


def _shifted(cells: list[Cell]) -> list[Candidate]:
    candidates: dict[str, Candidate] = {}
    loose: list[tuple[Cell, float]] = []
    for cell in cells:
        if cell.name not in _SHIFTED:
            continue
        shift = float(np.mean(cell.got - cell.right))
        if not cell.met_by(cell.right + shift):
            continue
        loose.append((cell, shift))
        for rank, (name, value) in enumerate(constants(cell.document).items()):
            if cell.met_by(cell.right + value):
                new = Candidate("constant", "", rank=1.2 + 0.01 * rank)
                made = candidates.setdefault(name, new)
                made.explained.add(cell.key)
    # a term that is wrong moves the total by the same number: one number of one case says nothing
    told = {name: made for name, made in candidates.items() if _telling(made, cells)}
    for name, made in told.items():
        made.sentence = f"off by a constant, {name}: {_quantities(made)}."
    return [*told.values(), *_same_shift(loose), *_own_shifts(loose)]


def _telling(made: Candidate, cells: list[Cell]) -> bool:
    """Whether more than the single numbers of one case are explained."""
    mine = [c for c in cells if c.key in made.explained]
    return len({c.key[0] for c in mine}) > 1 or any(c.right.size > 1 for c in mine)


def _same_shift(loose: list[tuple[Cell, float]]) -> list[Candidate]:
    """One unnamed constant in several cases."""
    candidates = []
    for value in _clusters([(s, 3.0 * cell.tolerance) for cell, s in loose]):
        mine = {c.key for c, _ in loose if c.met_by(c.right + value)}
        made = Candidate("constant", "", mine, rank=2.5)
        if len({case for case, _ in mine}) > 1:
            made.sentence = f"off by the constant {value:.6g}: {_quantities(made)}."
            candidates.append(made)
    return candidates


def _own_shifts(loose: list[tuple[Cell, float]]) -> list[Candidate]:
    """Arrays that are off by a constant in each case, by one of its own."""
    candidates = []
    for name in sorted({c.quantity for c, _ in loose}):
        mine = [(c, s) for c, s in loose if c.quantity == name and c.right.size > 1]
        if len(mine) > 1:
            shown = ", ".join(f"{s:.4g}" for _, s in mine[:3])
            sentence = f"off by a constant of its own in each case ({shown}, ...): {name}."
            candidates.append(Candidate("constant", sentence, {c.key for c, _ in mine}, rank=2.6))
    return candidates


# --- one quantity for another ----------------------------------------------------------------


def _exchanged(cells: list[Cell]) -> list[Candidate]:
    """A block, a term or a state that holds the right numbers of another."""
    candidates: dict[str, Candidate] = {}
    inputs: dict[str, dict[str, Array]] = {}
    for cell in cells:
        case = cell.document["name"]
        if case not in inputs:
            given = arrays(cell.document, "inputs")
            inputs[case] = {f"the input {name}": a for name, a in given.items()}
        for name, other in (cell.siblings | inputs[case]).items():
            if name != cell.quantity and other.any() and cell.met_by(other):
                words = f"{cell.quantity} holds what belongs to {name}"
                made = candidates.setdefault(words, Candidate("exchanged", f"{words}.", rank=0.9))
                made.explained.add(cell.key)
    return list(candidates.values())


def _quantities(made: Candidate) -> str:
    names: dict[str, None] = dict.fromkeys(q for _, q in sorted(made.explained))
    shown = list(names)[:6]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(shown) + more
