"""Every kind of problem comes back from its file in another process, to the same bits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import saved_models
from every_kind import every_kind
from program import run

import refode

SUPPORT = str(Path(saved_models.__file__).parent)
NEEDS = {name: list(case.outside) for name, case in saved_models.cases().items()}
LOADED = """
import sys; sys.path.insert(0, sys.argv[1])
import saved_models, json
saved_models.{call}
"""


def printed(call, *arguments):
    done = run(LOADED.format(call=call), SUPPORT, *arguments, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What one process computed with the problems, and another with what it loaded."""
    folder = str(tmp_path_factory.mktemp("models"))
    written = printed("write_all(sys.argv[2])", folder)
    names = json.dumps(list(NEEDS))
    call = "read_all(sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4]))"
    return written, printed(call, folder, names, json.dumps(NEEDS))


@pytest.mark.parametrize("name", NEEDS)
def test_another_process_has_the_same_bits(both, name):
    written, read = both
    assert read[name] == written[name]
    assert "nan" not in read[name][-1]


COMPILED = """
import sys; sys.path.insert(0, sys.argv[1])
import refode
from every_kind import every_kind
for name, (_, work) in every_kind().items():
    print(name, work(refode.load(f"{sys.argv[2]}/{name}.npz").problem).hex())
"""


def test_compiled_kernels_have_the_same_bits_in_another_process(tmp_path):
    kinds = every_kind()
    for name, (problem, _) in kinds.items():
        refode.save(tmp_path / f"{name}.npz", problem, problem.initial(seed=1))
    done = run(COMPILED, SUPPORT, str(tmp_path), **os.environ)
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found == {name: work(problem).hex() for name, (problem, work) in kinds.items()}
