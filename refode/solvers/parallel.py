"""The former place of refode.machine.threads."""

from refode.machine.threads import (
    MOST_CHUNKS,
    block_size,
    chunks,
    get_num_threads,
    run,
    set_num_threads,
    single_threaded_blas,
    together,
)

__all__ = [
    "MOST_CHUNKS",
    "block_size",
    "chunks",
    "get_num_threads",
    "run",
    "set_num_threads",
    "single_threaded_blas",
    "together",
]
