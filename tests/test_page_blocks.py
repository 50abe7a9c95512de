"""Every block of Python in README.md and docs/*.md runs, in a namespace of its own.

A comment before a block says otherwise: ``<!-- continues: ... -->`` goes on with the names of the
blocks above, and says so to the reader in its text; ``<!-- not run: WHY -->`` is for what cannot
run alone, with the test that runs it or the reason why none can. What the blocks train has
converged. docs/adding_*.md have tests of their own.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scipy.optimize import OptimizeResult

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<kind>continues|not run): (?P<why>[^>]*?) -->\n\n?)?"
    r"^```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    page: str
    number: int
    kind: str  # "", "continues" or "not run"
    why: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks of Python, counted from 1."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page.stem, i, m["kind"] or "", m["why"] or "", m["code"])
        for i, m in enumerate(BLOCK.finditer(text), start=1)
    ]


BLOCKS = [b for page in PAGES if not page.stem.startswith("adding_") for b in blocks_of(page)]


def imported(code: str) -> set[str]:
    """Names of packages that the code imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def ran(block: Block) -> dict[str, Any]:
    """The names after the block, and after those above where it goes on with them."""
    names: dict[str, Any] = {}
    for other in BLOCKS:
        goes_on = block.kind == "continues" and other.page == block.page
        if other == block or (goes_on and other.number < block.number and not other.kind):
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(other.code, str(other), "exec"), names)
    return names


def test_all_blocks_are_found():
    fences = sum(page.read_text(encoding="utf-8").count("```python") for page in PAGES)
    adding = sum(len(blocks_of(page)) for page in PAGES if page.stem.startswith("adding_"))
    assert len(BLOCKS) + adding == fences
    assert len(BLOCKS) > 10


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_imports_what_it_uses_and_says_why_it_is_not_run(block):
    tree = ast.parse(block.code)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for package, name in (("refode", "refode"), ("numpy", "np")):
        if name in used:
            assert package in imported(block.code), f"{name} is used and not imported"
    if block.kind == "not run":
        (test,) = re.findall(r"tests/[\w/]+\.py", block.why) or [""]
        assert (ROOT / test).is_file() and test if "tests/" in block.why else len(block.why) > 20


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind != "not run"], ids=str)
def test_a_block_runs_and_what_it_trains_has_converged(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, result in ran(block).items():
        if isinstance(result, OptimizeResult):
            asked_for = result.message.startswith("stopped early")  # by the block's patience
            assert result.success or asked_for, f"{name}: {result.message}"
