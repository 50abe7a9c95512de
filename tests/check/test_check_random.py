"""Random cases: what is drawn, that it can be asked of others, and what a failure shrinks to."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tolerances as tol

from tests.reference.test_reference import conforms

pytest.importorskip("hypothesis")

from refode import reference  # noqa: E402
from refode.check import random_cases as rc  # noqa: E402
from refode.check.kinks import near_kink  # noqa: E402
from refode.check.random_search import search  # noqa: E402
from refode.reference import files  # noqa: E402

ROOT = Path(__file__).parents[2]
DRAWN, EVALUATED, COMPARED = 600, 300, 20

# The kernels as plain Python, in a folder that must stay empty.
IN_PLAIN_PYTHON = """
import json, sys
from fractions import Fraction
import numpy as np
from refode.check import kinks, random_cases
from refode.check.random_search import search
from refode.reference import kernels

n, compared = int(sys.argv[1]), int(sys.argv[2])
answers, cases = {}, []

def results(document):
    found = kernels.results(document)
    answers[json.dumps(document["inputs"])] = found
    return found

def sums(document, found):
    p, b = document["problem"], [float(Fraction(b)) for b in document["scheme"]["b"]]
    h = (float(document["along"][1]) - float(document["along"][0])) / document["n_steps"]
    weights = {name: float(p[name]) for name in ("hjb", "hjb_terminal")}
    wanted, got = [], []
    size = abs if p["hjb_norm"] == "absolute" else np.square
    if weights["hjb"]:
        r = size(kinks.residual(document, found).sum(axis=0))
        got.append(weights["hjb"] * h * np.einsum("i,nik->k", b, r).mean())
        wanted.append(found["terms/hjb"])
    if weights["hjb_terminal"]:
        gap = size(kinks.terminal_gap(document, found).sum(axis=0))
        got.append(weights["hjb_terminal"] * gap.mean())
        wanted.append(found["terms/hjb_terminal"])
    return [[float(a), float(b)] for a, b in zip(got, wanted)]

def keep(document):
    found = answers.pop(json.dumps(document["inputs"]))
    row = {"document": document, "kink": kinks.near_kink(document, found)}
    row["largest"] = max(float(np.abs(a).max(initial=0.0)) for a in found.values())
    row["finite"] = all(bool(np.isfinite(a).all()) for a in found.values())
    row["sums"] = sums(document, found) if document["problem"]["type"] == "game" else []
    if len(cases) % (n // compared) == 1:
        row["results"] = {k: np.ravel(a).tolist() for k, a in found.items()}
    cases.append(row)
    return False

found = search(keep, n, seed=1, results=results)
print(json.dumps({"tried": found.tried, "cases": cases}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Cases with what the kernels say of them."""
    folder = tmp_path_factory.mktemp("empty")
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", IN_PLAIN_PYTHON, str(EVALUATED), str(COMPARED)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir())
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def drawn():
    """Cases of all kinds without kernels, tame or not."""
    found = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rc, "tame", lambda document, results: True)
        search(lambda d: found.append(d) or False, DRAWN, seed=1)
    return found


# --- what is drawn -----------------------------------------------------------------------------


def test_as_many_as_asked_for_in_order(run, drawn):
    for documents in (drawn, [row["document"] for row in run["cases"]]):
        names = [d["name"] for d in documents]
        assert names == [f"random-{i:06d}" for i in range(1, len(documents) + 1)]
    assert len(drawn) == DRAWN
    assert len(run["cases"]) == run["tried"] == EVALUATED
    bare = {json.dumps(d | {"name": ""}) for d in drawn}
    assert len(bare) > 0.95 * DRAWN


def test_documents_meet_the_schema_but_for_results(drawn):
    schema = reference.schema()
    without = schema | {"required": [k for k in schema["required"] if k != "results"]}
    for document in drawn:
        assert "results" not in document
        assert conforms(document, without, schema), document["name"]
        assert not conforms(document, schema, schema)


def test_numbers_are_exact_in_any_precision(drawn):
    for document in drawn:
        inputs = [t for _, a in files.stored(document["inputs"]) for t in a["data"]]
        for text in [*inputs, *numbers(document["problem"]), *document["t_span"]]:
            value = Fraction(text)
            assert (16 * value).denominator == 1, document["name"]
            assert len(text.lstrip("-").partition(".")[2]) <= 4
        labels = document["problem"].get("loss") in ("logistic", "softmax")
        for name, a in files.stored(document["inputs"]):
            largest = 4 if labels and name == "y" else 1.25
            assert all(abs(Fraction(t)) <= largest for t in a["data"]), document["name"]
        theta = [a for k, a in files.stored(document["inputs"]["theta"])]
        largest = 8 if document["problem"]["type"] == "game" else 14
        assert all(abs(16 * Fraction(t)) <= largest for a in theta for t in a["data"])


def numbers(value):
    """Texts of numbers in a problem's settings."""
    if isinstance(value, dict):
        for v in value.values():
            yield from numbers(v)
    elif isinstance(value, list):
        for v in value:
            yield from numbers(v)
    elif isinstance(value, str) and value.lstrip("-")[:1].isdigit():
        yield value


def test_everything_is_met(drawn):
    met = {
        "kind": Counter(d["problem"]["type"] for d in drawn),
        "field": Counter(d["field"]["type"] for d in drawn),
        "scheme": Counter(d["scheme"]["name"] for d in drawn),
        "basis": Counter((d["basis"]["type"], d["basis"]["J"]) for d in drawn),
        "span": Counter(tuple(map(float, d["t_span"])) for d in drawn),
    }
    assert set(met["kind"]) == set(rc.KINDS)
    assert set(met["field"]) == set(rc.FIELDS)
    assert set(met["scheme"]) == {*rc.SCHEMES, *rc.SYMPLECTIC}
    assert len(met["scheme"]) == 15
    assert set(met["basis"]) == {(name, J) for name, Js in rc.BASES.items() for J in Js}
    assert set(met["span"]) == set(rc.SPANS)
    expected = {
        "loss": {"regression", "logistic", "softmax"},
        "kind": {"kl", "cross_entropy", "energy"},
        "hjb_norm": {"absolute", "squared"},
        "readout": {False, True},
        "transport": {"0", "0.25", "0.5"},
        "tikhonov": {"0", "0.25", "0.5"},
        "smoothness": {"0", "0.25", "0.5"},
        "alpha": {"0", "0.75", "1", "2"},
        "entropy": {"0", "0.25", "0.5"},
        "augment": {0, 1, 2, 3, 4},
        "n_outputs": {1, 2, 3, 4, 5},
    }
    for key, values in expected.items():
        assert {d["problem"][key] for d in drawn if key in d["problem"]} == values, key
    assert {d["n_steps"] for d in drawn} == {1, 2, 3, 4}
    assert {d["inputs"]["x"]["shape"][0] for d in drawn} == {1, 2, 3}
    assert {d["field"]["dim"] for d in drawn} == {1, 2, 3, 4, 5}
    assert {len(d["field"]["widths"]) for d in drawn if "widths" in d["field"]} == {0, 1, 2, 3}
    assert {d["field"].get("activation") for d in drawn} > {"tanh", "softplus", "sine", "identity"}
    backward = [d["along"] != d["t_span"] for d in drawn if d["problem"]["type"] == "ode"]
    assert 0.2 < np.mean(backward) < 0.8


def test_games_of_every_sort_are_met(drawn):
    games = [d for d in drawn if d["problem"]["type"] == "game"]
    assert {d["field"]["quadratic"] for d in games} == {"symmetric", "lowrank"}
    energies = {tuple(q["type"] for q in d["problem"]["energy"]) for d in games}
    assert len(energies) == 4
    densities = [d["problem"][k] for d in games for k in ("initial", "target")]
    assert None in densities
    assert {len(rho["means"]) for rho in densities if rho} == {1, 2}
    covariances = [S for rho in densities if rho for S in rho["covariances"]]
    bumps = [q["covariance"] for d in games for q in d["problem"]["energy"] if "covariance" in q]
    for S in covariances + bumps:
        assert np.linalg.eigvalsh(np.array(S, dtype=float))[0] > 0.2
    assert all(Fraction(d["t_span"][0]) < Fraction(d["t_span"][1]) for d in games)
    kinks = [d for d in games if d["problem"]["hjb_norm"] == "absolute"]
    assert any(Fraction(d["problem"]["hjb"]) for d in kinks)
    assert any(Fraction(d["problem"]["hjb_terminal"]) for d in kinks)


def test_no_step_has_its_middle_on_the_border_of_cells():
    for J in rc.BASES["PiecewiseConstant"]:
        offered = rc.steps("PiecewiseConstant", J)
        assert offered
        for n in offered:
            middles = [Fraction(2 * i + 1, 2 * n) for i in range(n)]
            assert not any((m * J).denominator == 1 for m in middles), (J, n)
    assert rc.steps("Legendre", 2) == (1, 2, 3)


# --- what the kernels say of it ----------------------------------------------------------------


def test_results_are_finite_small_and_away_from_kinks(run):
    assert all(row["finite"] for row in run["cases"])
    assert max(row["largest"] for row in run["cases"]) < 1e3
    distances = [row["kink"] for row in run["cases"] if math.isfinite(row["kink"])]
    assert len(distances) > 9
    assert min(distances) >= 1e-2
    assert all(
        row["document"]["problem"]["hjb_norm"] == "absolute"
        for row in run["cases"]
        if math.isfinite(row["kink"])
    )


def test_distances_to_kinks_are_of_the_objectives_own_residuals(run):
    pairs = np.array([pair for row in run["cases"] for pair in row["sums"]])
    assert len(pairs) > 20
    np.testing.assert_allclose(pairs[:, 0], pairs[:, 1], rtol=tol.RANDOM_CASES, atol=0)


def test_cases_near_a_kink_and_large_ones_are_not_tame():
    drawn_ = next(d for d in map(_game, range(1, 99)) if d["field"]["dim"] == 1)
    given = _flat_game(drawn_)
    assert near_kink(drawn_, given) == pytest.approx(0.5)
    assert rc.tame(drawn_, lambda d: given)
    given["phi_time"][0, 0, 0] = 0.505
    assert near_kink(drawn_, given) < 1e-2
    assert not rc.tame(drawn_, lambda d: given)
    squared = drawn_ | {"problem": drawn_["problem"] | {"hjb_norm": "squared"}}
    assert near_kink(squared, given) == math.inf
    for value, good in ((999.0, True), (1001.0, False), (math.nan, False), (-math.inf, False)):
        assert rc.tame(squared, lambda d, v=value: given | {"total": np.array(v)}) is good


def _game(seed):
    rules = {
        "kind": "kl",
        "alpha": 1,
        "hjb": 1,
        "hjb_norm": "absolute",
        "initial": (1, "identity"),
        "target": (1, "identity"),
        "energy": (),
    }
    f = rc.cases.field("Potential", 1, width=1, depth=1, quadratic="symmetric")
    return rc.cases.game(
        "kink", "", seed, f, rc._rules(1, seed, **rules), n=1, scheme="euler", n_steps=1
    )


def _flat_game(document):
    """Results with r = 1 - 1/2 at the only stage."""
    one = np.ones((1, 1, 1))
    return {
        "stages": one[..., None],
        "phi_gradient": one[..., None],
        "phi_time": one.copy(),
        "phi_laplacian": one,
        "log_density_path": np.zeros((2, 1)),
        "trajectory": np.zeros((2, 1, 1)),
    }


def test_ball_arithmetic_agrees(run):
    flint = pytest.importorskip("flint")
    from refode.reference import balls
    from refode.reference.paths import leaves

    def flat(found, prefix=""):
        for key, value in found.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}/")
            else:
                yield prefix + key, [float(flint.arb(v)) for v in leaves(value)]

    rows = [row for row in run["cases"] if "results" in row]
    assert len(rows) == COMPARED
    assert len({row["document"]["problem"]["type"] for row in rows}) == 4
    for row in rows:
        proven = dict(flat(balls.evaluate(row["document"])))
        assert proven.keys() == row["results"].keys()
        for name, values in proven.items():
            scale = max(1.0, *map(abs, values))
            np.testing.assert_allclose(
                row["results"][name],
                values,
                rtol=0,
                atol=tol.RANDOM_CASES * scale,
                err_msg=f"{row['document']['name']} {name}",
            )
