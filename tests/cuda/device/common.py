"""What the device's tests share; tests/cuda/test_cuda.py runs them in the CUDA simulator."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))

import tolerances

if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
    pytest.skip("tests/cuda/test_cuda.py runs these in the simulator", allow_module_level=True)
pytest.importorskip("numba_cuda")

import simulator

import refode.cuda

simulator.quicken()
GRID = {"tile": 4, "blocks": 2, "threads": 3}
MODES = ("tile", "staged")


def laid_out(mode: str = "tile", **how):
    """Small tiles, so that some are cut short."""
    return refode.cuda.settings(mode=mode, **(GRID | how))


def close(got, wanted, tolerance=tolerances.CUDA):
    """Every array to ``tolerance`` of its largest entry, which is not 0."""
    got, wanted = (v if isinstance(v, tuple) else (v,) for v in (got, wanted))
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        scale = np.abs(b).max()
        assert scale > 0
        assert np.shape(a) == np.shape(b)
        assert np.abs(a - b).max() <= tolerance * scale
