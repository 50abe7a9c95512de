"""All planted bugs, docs/mutations.md."""

from __future__ import annotations

from refode.check.mutants import Mutant
from refode.check.mutants_fields import FIELD
from refode.check.mutants_games import GAMES
from refode.check.mutants_problems import PROBLEMS
from refode.check.mutants_solvers import SOLVERS
from refode.check.mutants_time import TIME

MUTANTS: tuple[Mutant, ...] = (*SOLVERS, *TIME, *FIELD, *PROBLEMS, *GAMES)
