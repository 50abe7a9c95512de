"""Ctrl-C while the compiler works for a training that has not begun is an interrupt."""

from __future__ import annotations

import pytest
from training_problems import METHODS, Regression, Valley, X, Y

import refode
from refode import training

SAMPLES = Regression().draw(40, 9)
COMPILING = KeyboardInterrupt("while compiling a kernel")


class Compiled(Regression):
    """Of which one method must be compiled at its k-th call."""

    def __init__(self, what, k=1, error=COMPILING):
        super().__init__(bend=0.3)
        self.what, self.left, self.error = what, k, error

    def _compile(self, what):
        self.left -= what == self.what
        if self.left == 0:
            raise self.error

    def costs(self, theta, x):
        self._compile("costs")
        return super().costs(theta, x)

    def value(self, theta, x):
        self._compile("value")
        return super().value(theta, x)

    def value_and_gradient(self, theta, x):
        self._compile("value_and_gradient")
        return super().value_and_gradient(theta, x)


@pytest.mark.parametrize("terms", [False, True])
def test_terms(terms, capfd):
    """For the first line, or as columns of the history."""
    for k in (1, 2) if terms else (1,):
        with pytest.raises(KeyboardInterrupt, match="while compiling a kernel"):
            refode.train(Compiled("costs", k), SAMPLES, terms=terms, progress=True)


def test_validation():
    options = {"validation_samples": SAMPLES, "progress": False}
    with pytest.raises(KeyboardInterrupt, match="while compiling"):
        training.train_resampled(Compiled("value"), Regression().draw, 20, **options)


@pytest.mark.parametrize("method", METHODS[1:])
def test_the_first_product(method):
    problem = Valley({("product", 1): COMPILING})
    with pytest.raises(KeyboardInterrupt, match="while compiling"):
        refode.train(problem, X, Y, method=method, progress=False)


def test_once_there_is_something_to_lose_it_comes_back(monkeypatch, capfd):
    from refode.training import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress, "SHARE_OF_TERMS", 1e9)
    problem = Compiled("costs", 3)
    result = refode.train(problem, SAMPLES, progress=True)
    assert result.status == training.INTERRUPTED
    assert result.nit == 2
    plain = refode.train(Compiled("costs", 1, KeyboardInterrupt()), SAMPLES, progress=True)
    assert plain.status == training.INTERRUPTED  # somebody's own, while nothing compiled
