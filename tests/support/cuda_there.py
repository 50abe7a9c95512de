"""Whether numba-cuda, or its simulator, can be imported here: what tests of the GPU path need.

Only others' modules are imported, in a process of their own: a mistake of refode's own never
looks like something that is missing. ``python tests/support/cuda_there.py`` ends with 1 where it
is.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys

SIMULATOR = """
from numba import cuda
from numba.cuda.simulator import kernel, kernelapi
"""
DEVICE = """
from numba import cuda
from numba.cuda import compiler, dispatcher
from refode.cuda.numpy_names import given_back
with given_back():
    from numba.cuda.np import arrayobj
"""


@functools.cache
def missing(simulator: bool, path: str = "") -> str:
    """What is missing, in the words of a skipped test; nothing if all is there.

    ``path`` is a folder that modules are looked for in first.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is missing: the extra cuda"
    env = dict(os.environ, NUMBA_ENABLE_CUDASIM=str(int(simulator)))
    if path:
        env["PYTHONPATH"] = os.pathsep.join([path, *filter(None, [env.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", SIMULATOR if simulator else DEVICE],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode == 0:
        return ""
    what = "numba-cuda's simulator" if simulator else "numba-cuda"
    reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    return f"{what} cannot be imported: {reason[0]}"


if __name__ == "__main__":
    found = [reason for simulator in (True, False) if (reason := missing(simulator))]
    print(*found or ["numba-cuda and its simulator can be imported"], sep="\n")
    sys.exit(bool(found))
