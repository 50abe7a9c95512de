"""Write the golden files of this version: ``python tests/saving/golden/write.py VERSION``.

Once a release, in a folder of its own beside the older ones, which stay as they are. VERSION has to
be refode's, and its folder must not be there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "support"), str(HERE.parents[2])]

import saved_models  # noqa: E402
import saved_runs  # noqa: E402

import refode  # noqa: E402


def main(version: str) -> None:
    """Models of every class, a checkpoint, and what they compute."""
    if version != refode.__version__:
        raise SystemExit(f"VERSION: got {version!r}, wanted {refode.__version__!r}")
    folder = HERE / version
    folder.mkdir()
    made, expected = saved_models.cases(), {}
    for name in saved_models.GOLDEN:
        problem, outside = made[name]
        theta, data = saved_models.theta_of(problem), saved_models.data_of(problem)
        file = folder / f"{name.replace(' ', '_')}.npz"
        refode.save(file, problem, theta)
        expected[file.name] = {
            "outside": list(outside),
            "data": [array.tolist() for array in data],
            "results": [r.tolist() for r in saved_models.results(problem, theta, data)],
        }
    run, x, y = saved_runs.supervised(), saved_runs.X, saved_runs.Y
    result = saved_runs.trained(folder / "checkpoint.npz", run, x, y)
    expected["checkpoint.npz"] = {
        "outside": [],
        "data": [x.tolist(), y.tolist()],
        "results": [r.tolist() for r in saved_models.results(run, result.x, [x, y])],
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
