"""Training on many machines: samples spread over the ranks of MPI, to the same bits.

Needs the extra ``mpi`` (mpi4py) and an MPI; ``mpiexec -n 4 python script.py`` runs a script on four
ranks. ``train`` is ``refode.train`` there; ``lead`` is for everything else that takes a problem;
``share`` says which samples are a rank's own. docs/distributed.md says why bits do not depend on
the number of ranks.

As this package is imported on more than one rank, a rank that ends by an exception ends all of
them, with its number before the traceback.
"""

from __future__ import annotations

import contextlib

from refode.distributed.door import lead, share, train
from refode.distributed.post import RankError
from refode.distributed.problem import Distributed

with contextlib.suppress(ImportError):  # the doors say so
    from refode.distributed import mpi as mpi

__all__ = ["Distributed", "RankError", "lead", "share", "train"]
