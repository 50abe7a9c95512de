"""All planted bugs, docs/mutations.md."""

from __future__ import annotations

from validation.mutants.fields import FIELD
from validation.mutants.games import GAMES
from validation.mutants.moments import MOMENTS
from validation.mutants.mutant import Mutant
from validation.mutants.problems import PROBLEMS
from validation.mutants.solvers import SOLVERS
from validation.mutants.times import TIME

MUTANTS: tuple[Mutant, ...] = (*SOLVERS, *TIME, *FIELD, *PROBLEMS, *GAMES)

#: Those that tests are held to, and no golden case.
BY_TESTS: tuple[Mutant, ...] = MOMENTS

#: No bug: the same numbers but for rounding, to show that a mutant can survive.
EQUIVALENT = Mutant(
    "equivalent",
    "k/2 (x - q) (x - q) multiplied in another order",
    "costs.energies",
    "            out[s] += 0.5 * Q.k * (Z[i, s] - q) * (Z[i, s] - q)\n",
    "            out[s] += (Z[i, s] - q) * (Z[i, s] - q) * Q.k * 0.5\n",
    (),
)


def catalogue() -> dict[str, Mutant]:
    """All mutants by name that golden cases are held to, and the one that is none, last.

    Raises
    ------
    ValueError
        Two have the same name.
    """
    known = (*MUTANTS, EQUIVALENT)
    found = {m.name: m for m in known}
    if len(found) < len(known):
        raise ValueError(f"names: got one twice among {[m.name for m in known]}")
    return found
