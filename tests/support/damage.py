"""Checkpoints damaged by one bit or by an end, and what becomes of a run that goes on from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from training_problems import Valley, X, Y, same_result

import refode
from refode import training

REFUSED = "which cannot be read as a checkpoint of refode.train"


def run(path: Path | None, **options: Any) -> Any:
    """A short training, of which a checkpoint holds the first half."""
    return refode.train(Valley(), X, Y, progress=False, seed=48, checkpoint=path, **options)


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """The same but for one bit."""
    broken = bytearray(content)
    broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    """The same without its end."""
    return content[: rng.integers(len(content))]


def outcome(path: Path, content: bytes, whole: Any) -> str:
    """What resuming does: "refused" by name with the file left alone, "harmless", or what else."""
    path.write_bytes(content)
    named = f"checkpoint: got {str(path)!r}"
    try:
        training.read_checkpoint(path)
    except ValueError as error:
        if not str(error).startswith(named) or REFUSED not in str(error):
            return f"read: {error}"
    except BaseException as error:
        return f"read: {type(error).__name__}: {error}"
    try:
        result = run(path, resume=True)
    except ValueError as error:
        told = str(error).startswith(named) and path.read_bytes() == content
        return "refused" if told else f"resumed: {error}"
    except BaseException as error:
        return f"resumed: {type(error).__name__}: {error}"
    return "harmless" if same_result(result, whole) else "other bits"
