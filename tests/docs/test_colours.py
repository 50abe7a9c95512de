"""Colours of pictures are told apart with every common colour vision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from refode import plotting

#: Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB.
VISIONS = {
    "all": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])
#: Differences in CIE Lab: 2.3 is just seen side by side, and lines lie apart.
APART = 15.0


def seen(colour, vision):
    """A colour in CIE Lab, as somebody sees it."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.asarray(VISIONS[vision]) @ linear, 0.0, 1.0)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours, vision):
    """How far the two colours that are most alike are from one another."""
    pairs = itertools.combinations([seen(c, vision) for c in colours], 2)
    return min(np.linalg.norm(a - b) for a, b in pairs)


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_are_told_apart(vision):
    assert nearest(plotting.CYCLE, vision) > APART
    assert nearest(plotting.CLASSES, vision) > 2 * APART
    assert nearest(plotting.PALE_CLASSES, vision) > APART


def test_red_and_green_of_the_same_light_are_not():
    alike = ("#dc5040", "#7a7a00")
    assert nearest(alike, "all") > 4 * APART
    assert nearest(alike, "no green") < APART
