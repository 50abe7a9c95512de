"""All planted bugs, docs/mutations.md."""

from __future__ import annotations

from refode.check.mutants.fields import FIELD
from refode.check.mutants.games import GAMES
from refode.check.mutants.mutant import Mutant
from refode.check.mutants.problems import PROBLEMS
from refode.check.mutants.solvers import SOLVERS
from refode.check.mutants.times import TIME

MUTANTS: tuple[Mutant, ...] = (*SOLVERS, *TIME, *FIELD, *PROBLEMS, *GAMES)

#: No bug: the same numbers but for rounding, to show that a mutant can survive.
EQUIVALENT = Mutant(
    "equivalent", "k/2 (x - q) (x - q) multiplied in another order", "costs.energies",
    "            out[s] += 0.5 * Q.k * (Z[i, s] - q) * (Z[i, s] - q)\n",
    "            out[s] += (Z[i, s] - q) * (Z[i, s] - q) * Q.k * 0.5\n", (),
)  # fmt: skip
