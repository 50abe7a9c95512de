"""The crossover between the two ways: measured, kept, taken; times are made up here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from common import laid_out

import refode
import refode.cuda
from refode import fields
from refode.cuda import crossover, device, layout, widths
from refode.ode.placement import TooLarge
from refode.sweeps.dynamics import Plain


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(widths, "cache_root", lambda: tmp_path / "deep")
    widths._known.cache_clear()
    yield tmp_path / "deep" / "devices.json"
    widths._known.cache_clear()


def timed(monkeypatch, tile, staged):
    """Seconds by the entries of the largest matrix."""
    monkeypatch.setattr(crossover, "_both", lambda d, w, *rest: (tile(d * w), staged(d * w)))


def staged_at(width, dtype="float64"):
    ode = refode.NeuralODE(fields.Shallow(2, width), device="cuda", dtype=dtype)
    return layout.is_staged(ode.sweep(ode.plan(), Plain, np.dtype(float)))


def test_measured_kept_taken(monkeypatch, folder):
    timed(monkeypatch, lambda n: n / 1e6, lambda n: 1e-3)
    assert not staged_at(600)
    seen = []
    found = refode.cuda.calibrate(
        widths=[(2, w) for w in (100, 400, 600, 900)], callback=seen.append
    )
    assert found == 1200
    assert [p.entries for p in seen] == [200, 800, 1200, 1800]
    widths._known.cache_clear()  # another process
    assert staged_at(600)
    assert not staged_at(599)
    assert not staged_at(600, "float32")
    with refode.cuda.settings(mode="tile"):
        assert not staged_at(900)
    monkeypatch.setattr(device, "name", lambda: "another")
    assert not staged_at(900)
    timed(monkeypatch, lambda n: 1.0, lambda n: 2.0)
    assert refode.cuda.calibrate(widths=[(2, 5)]) == math.inf
    monkeypatch.undo()
    monkeypatch.setattr(widths, "cache_root", lambda: folder.parent)
    assert staged_at(600)  # the other device's number is still there


def test_what_does_not_fit_does_not_count(monkeypatch):
    timed(monkeypatch, lambda n: math.nan if n > 500 else n, lambda n: 100.0)
    assert refode.cuda.calibrate(widths=[(2, w) for w in (20, 60, 300)]) == 120
    timed(monkeypatch, lambda n: math.nan, lambda n: 1.0)
    with pytest.raises(ValueError, match="widths: got .*wanted some at which both ways run"):
        refode.cuda.calibrate(widths=[(2, 20)])


def test_excess_by_hand():
    points = [crossover.Point(1, 1.0, 2.0), crossover.Point(2, 8.0, 2.0)]
    assert crossover.excess(points, 1) == pytest.approx(math.sqrt(2.0))
    assert crossover.excess(points, math.inf) == pytest.approx(2.0)
    assert crossover.excess(points, 2) == 1.0
    assert crossover.best(points) == 2


def test_both_ways_run(folder):
    """For real, small: the clock says something positive, and the file is there."""
    with laid_out():
        found = refode.cuda.calibrate(n=5, widths=[(2, 3)], repeats=1)
    assert found > 0
    assert folder.exists()


def test_too_large(monkeypatch):
    """One way that does not fit is NaN, the other's time stands."""

    def full():
        raise TooLarge("memory: none")

    monkeypatch.setattr(crossover, "_calls", lambda *how: {"tile": full, "staged": lambda: None})
    tile, staged = crossover._both(2, 3, 5, "float64", 1)
    assert math.isnan(tile)
    assert 0 < staged < 60


@pytest.mark.parametrize("text", ["{", "[]", '{"simulator": 3}', '{"simulator": {"float64": -1}}'])
def test_a_spoilt_file(text, folder):
    folder.parent.mkdir()
    folder.write_text(text)
    with pytest.raises(
        ValueError, match=r"devices: got a file that cannot be read, .*devices\.json"
    ):
        staged_at(3)


def test_bad_input():
    for error, words, how in [
        (ValueError, "n: got 0", {"n": 0}),
        (ValueError, "dtype: got 'float16'", {"dtype": "float16"}),
        (TypeError, "widths: got 1.5", {"widths": [(2, 1.5)]}),
        (ValueError, "repeats: got -1", {"repeats": -1}),
    ]:
        with pytest.raises(error, match=words):
            refode.cuda.calibrate(**how)
