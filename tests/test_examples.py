"""docs/examples: every script runs, prints the lines of docs/examples.md, and tells the truth.

So does the README's example; and the files that CONTRIBUTING.md names are there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
ADAPTERS = {"mymodel"}  # what own_implementation loads, and the page shows beside it
ELSEWHERE = {"train_mpi"}  # on ranks of MPI, by tests/distributed
EXAMPLES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ADAPTERS | ELSEWHERE)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")

# As "python FILE" does it, and what was trained by any name must have converged in the end.
RUN = """
import runpy, sys
from scipy.optimize import OptimizeResult
del sys.argv[0]
sys.path[0] = sys.argv[0].rpartition("/")[0]
for name, made in runpy.run_path(sys.argv[0], run_name="__main__").items():
    if isinstance(made, OptimizeResult) and not made.success:
        sys.exit(f"{name}: {made.message}")
"""


def run(name, folder):
    """What the example prints, as a user runs it; pictures go into the folder."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(FOLDER / f"{name}.py"), *[str(folder)] * pictured(name)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "REFODE_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pictured(name):
    return "sys.argv" in (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def printed(name):
    """What the page says that the example prints."""
    return re.search(rf"examples/{name}\.py\n.*?```text\n(.*?)```", PAGE, re.DOTALL)[1]


def words(text):
    """The text without its numbers and without its spacing."""
    return NUMBER.sub("#", re.sub(r"[\[\]]", " ", text)).split()


def numbers(text, *labels):
    """The first number after each label."""
    found = [float(NUMBER.search(text, text.index(label) + len(label))[0]) for label in labels]
    return found if len(found) > 1 else found[0]


# --- what is true of what they print ---------------------------------------------------------
def classify(text):
    assert text.startswith("converged")
    trained, new, straight = numbers(
        text, "of training with the right label:", "new points with the right label:", "the middle:"
    )
    assert trained == 100.0
    assert new >= 98.0
    assert straight <= 70.0  # arms of one turn each


def regress(text):
    scaling, error, same, score = text.splitlines()
    shift, scale = numbers(scaling, "shift=[", "scale=[")
    assert shift == pytest.approx(150.0, abs=2.0)
    assert scale == pytest.approx((40.0**2 / 9.0 + 16.0) ** 0.5, rel=0.1)
    assert 3.6 < numbers(error, "new points:") < 4.8
    assert same.endswith("True")
    assert numbers(score, "R^2 of new points:") > 0.88


def error_bars(text):
    assert numbers(text, "tikhonov 0.0001: log evidence") > numbers(text, "0.001: log evidence")
    assert numbers(text, "deviation of the noise:") == pytest.approx(0.1, abs=0.02)
    assert 5.0 < numbers(text, "that the data determine:") < 20.0
    sure, unsure = numbers(text, "of the fit:", "at the data,")
    assert 20.0 * sure < unsure
    assert numbers(text, "of the fit on") > 85.0
    fitted, left, new = numbers(text, "points of the fit:", "left out:", "new ones:")
    assert fitted < 0.1 < left < 0.12
    assert new == pytest.approx(0.1, abs=0.015)


def fit_trajectories(text):
    assert "gradient right: True" in text
    assert numbers(text, "an error of") < 1e-9
    assert numbers(text, "largest error of A:") < 1e-6
    a, b, c, d = (float(v) for v in NUMBER.findall(text.partition("A found:")[2])[:4])
    assert [a, b, c, d] == pytest.approx([-0.2, 1.5, -1.5, -0.2], abs=1e-5)


def density(text):
    """No model is below the entropy, but for the mean over 5000 points, known to about 0.015."""
    value, least = numbers(text, "of new points:", "the least possible:")
    assert least - 0.03 < value < least + 0.05
    assert abs(numbers(text, "integrates to") - 1.0) < 1e-3
    assert numbers(text, "off by") < 1e-3
    shares = [float(v) for v in NUMBER.findall(text.partition("in percent:")[2])[:8]]
    assert sum(shares) == pytest.approx(100.0)
    assert all(8.0 < share < 17.0 for share in shares)  # 12.5 each in the data


def transport(text):
    total, optimum = numbers(text, "L + G =", "closed form")
    assert numbers(text, "L =") + numbers(text, "G =") == pytest.approx(total, abs=1.1e-3)
    assert optimum == pytest.approx(2.4101, abs=1e-4)  # nothing random is in it
    assert -0.01 < total / optimum - 1.0 < 0.02  # a mean over 20000 agents
    assert numbers(text, "optimal one by") < 3.0
    assert 1.0 <= numbers(text, "straight:") < 1.01


def crowd(text):
    around, straight = text.splitlines()[:2]
    for line in (around, straight):
        terms = numbers(line, "motion", "entropy", "arrival")
        assert numbers(line, "together") == pytest.approx(sum(terms), abs=0.02)
    assert numbers(straight, "motion", "arrival") == [18.0, 0.0]  # 6^2/2, the target itself
    assert numbers(around, "motion") > 17.0
    assert numbers(around, "together") < numbers(straight, "together") - 4.0
    nearest, straight = numbers(text, "centre:", "average, straight")
    assert nearest > straight + 0.6


def own_gradient(text):
    right, wrong, adjoint, wrong_adjoint = text.splitlines()
    assert right.startswith("verdict: passed")
    assert numbers(right, "an error of") < 1e-12
    assert wrong.startswith("verdict: failed")
    assert "'second half'" in wrong
    assert "'first half'" not in wrong
    assert "verdict: passed" in adjoint
    assert "verdict: failed" in wrong_adjoint


def own_implementation(text):
    right, _, wrong = text.partition("three_eighths: ")
    assert right.startswith("adapter: passed")
    assert right.count("trajectory: right") == 3
    assert wrong.startswith("failed")
    assert wrong.count("trajectory: wrong") == 2  # dopri5 is not rk4
    assert "3/8 rule" in wrong


def weights_in_time(text):
    constant, *others = (float(line.split()[-1]) for line in text.splitlines()[1:6])
    assert len(others) == 4
    assert all(off < 0.6 * constant for off in others)
    levels = [numbers(line, "from", "to") for line in text.splitlines()[6:]]
    assert len(levels) == 4
    assert all(end < start for start, end in levels)
    for (_, end), (start, _) in zip(levels, levels[1:], strict=False):
        assert start == pytest.approx(end, abs=1.1e-6)  # the finer space holds the coarser


def test_every_example_has_its_truths_and_its_place_on_the_page():
    assert len(EXAMPLES) == 10
    for name in EXAMPLES:
        globals()[name](printed(name))  # what the page says is true as well
    for name in ADAPTERS:
        assert f"examples/{name}.py" in PAGE


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_prints_what_the_page_says(name, tmp_path):
    text = run(name, tmp_path)
    text, _, saved = text.partition("saved")
    assert words(text) == words(printed(name))
    globals()[name](text)
    if pictured(name):
        assert all(Path(file).stat().st_size > 10_000 for file in saved.split())
        assert len(saved.split()) == 2


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_is_short(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert 15 <= len(text.splitlines()) <= 60
    assert text.startswith('"""')


def test_the_ten_lines_of_the_readme_print_what_it_says(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Ten lines")[2].partition("\n## ")[0]
    found = {}
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], found)
    first, *_, last = capsys.readouterr().out.strip().splitlines()
    assert f"prints `{first}`" in section
    assert first == "True 1.0"
    assert last.startswith("verdict: passed")
    labels = ("relative error of the gradient", "could have seen")
    said = numbers(re.search(r"```text\n(.*?)```", section, re.DOTALL)[1], *labels)
    seen = numbers(str(found["report"]), *labels)
    for mine, here in zip(said, seen, strict=True):
        assert here < 100.0 * mine


def test_what_the_readme_puts_beside_others_prints_what_it_says(capsys, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", minversion="1.6")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Beside what you have")[2].partition("\n## ")[0]
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], {})
    score, right = capsys.readouterr().out.split()
    assert f"prints `{score}` and `{right}`" in section


def test_files_that_the_readme_names_are_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {n for n in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in n}
    quoted = set(re.findall(r"`((?:docs|refode|tests|validation)/[\w./]*\w)`", text))
    assert len(linked) > 10
    assert len(quoted) > 3
    made = {"docs/_build/index.html"}
    assert {n for n in linked | quoted - made if not (ROOT / n).exists()} == set()


def test_files_that_contributors_are_sent_to_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:docs|refode|tests|validation)/[\w./*-]*[\w/]", text))
    assert len(named) > 40
    made = {n for n in named if "NAME" in n or n == "docs/_build"}
    gone = {n for n in named - made if not list(ROOT.glob(n))}
    assert not gone
    for page in ROOT.glob("docs/adding_*.md"):
        assert f"(docs/{page.name})" in text
