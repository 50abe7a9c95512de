"""Classes of one's own that derive from public ones: attributes are set once there, too."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
from copies import same_again

import refode
from refode import densities, fields, games, tableaus


class Own(fields.Field):
    """A field that sets attributes before and after its base does, some of them twice."""

    def __init__(self, dim, scale=2.0):
        self.scale = 0.0
        self.before = [1, 2]
        super().__init__(dim, {"a": (dim,)})
        self.scale = scale
        self.after = np.ones(3)
        self.fixed = np.ones(3)
        self.fixed.flags.writeable = False
        self._shape()

    def _shape(self):
        self.later = self.dim + 1
        del self.before


class OwnAgain(Own):
    """The same once more above it."""

    def __init__(self, dim):
        self.first = True
        super().__init__(dim)
        self.last = True


@pytest.mark.parametrize("kind", [Own, OwnAgain])
def test_own_classes_are_open_while_they_are_made(kind):
    for made in same_again(kind(3)):
        assert (made.dim, made.scale, made.later) == (3, 2.0, 4)
        assert not hasattr(made, "before")
        for name in ("scale", "dim", "layout", "after", "another"):
            with pytest.raises(AttributeError, match=rf"^{name}: got 1 for a {kind.__name__} "):
                setattr(made, name, 1)
        made.after[0] = 5.0  # their own to decide
        with pytest.raises(ValueError, match="read-only"):
            made.fixed[0] = 5.0
        with pytest.raises(AttributeError, match="^(scale|first): got .* that exists"):
            made.__init__(4)
    assert hasattr(OwnAgain(3), "last")


class Slotted(games.Energy):
    __slots__ = ("level",)

    def __init__(self, level):
        self.level = level

    def description(self):
        return self.level


def test_slots_are_attributes_too():
    for made in same_again(Slotted(3)):
        assert made.level == 3
        with pytest.raises(AttributeError, match="^level: got 4 for a Slotted that exists"):
            made.level = 4


def test_classes_show_what_they_are_called_with():
    shown = ["dim", "width", "time", "inputs", "outputs"]
    assert list(inspect.signature(fields.Shallow).parameters) == shown
    assert str(inspect.signature(Own)) == "(dim, scale=2.0)"
    assert str(inspect.signature(games.Nothing)) == "()"
    assert re.match(r"\(field: .*\)$", str(inspect.signature(refode.NeuralODE)))
    assert "name" in inspect.signature(tableaus.Tableau).parameters


def test_a_class_that_fails_to_be_made_says_why():
    with pytest.raises(ValueError, match="^dim: got 0"):
        fields.Shallow(0, 3)
    with pytest.raises(TypeError, match="abstract"):
        densities.Density()
