"""A layout's views tile the flat vector in order, and pack is the inverse of unpack."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refode.packing import Layout

NAMES = st.text("abcWKθ_012", min_size=1, max_size=4)
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
LAYOUTS = st.dictionaries(NAMES, SHAPES, max_size=5).map(Layout)
SEEDS = st.integers(0, 2**16)

SMALL = Layout({"W": (2, 3), "b": (2,), "c": ()})


def refused(error: type[Exception], message: str):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def filled(layout: Layout, seed: int, dtype: type) -> np.ndarray:
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=layout.size).astype(dtype)
    if dtype is np.complex128:
        theta += 1j * rng.normal(size=layout.size)
    return theta


@given(layout=LAYOUTS, seed=SEEDS, dtype=st.sampled_from([np.float64, np.complex128]))
@settings(deadline=None)
def test_views_tile_theta_in_order(layout, seed, dtype):
    theta = filled(layout, seed, dtype)
    arrays = layout.unpack(theta)
    assert tuple(arrays) == layout.names
    assert {name: a.shape for name, a in arrays.items()} == layout.shapes
    assert {name: a.size for name, a in arrays.items()} == layout.sizes
    assert sum(layout.sizes.values()) == layout.size
    laid = [a.ravel() for a in arrays.values()]
    assert np.array_equal(np.concatenate([np.empty(0), *laid]), theta)
    for name, a in arrays.items():
        assert a.dtype == dtype
        assert a.flags.c_contiguous
        assert np.array_equal(theta[layout.slices[name]], a.ravel())


@given(layout=LAYOUTS, seed=SEEDS, dtype=st.sampled_from([np.float64, np.complex128]))
@settings(deadline=None)
def test_writing_to_a_view_writes_to_theta(layout, seed, dtype):
    theta = np.zeros(layout.size, dtype=dtype)
    new = filled(layout, seed, dtype)
    for name, view in layout.unpack(theta).items():
        view[...] = new[layout.slices[name]].reshape(view.shape)
    assert np.array_equal(theta, new)


@given(layout=LAYOUTS, seed=SEEDS)
@settings(deadline=None)
def test_pack_inverts_unpack_in_any_order(layout, seed):
    theta = filled(layout, seed, np.float64)
    arrays = layout.unpack(theta)
    shuffled = {name: np.array(arrays[name], order="F") for name in reversed(layout.names)}
    packed = layout.pack(shuffled)
    assert packed.dtype == np.float64
    assert np.array_equal(packed, theta)
    assert not np.shares_memory(packed, theta)


@given(layout=LAYOUTS, J=st.integers(1, 4), seed=SEEDS)
@settings(deadline=None)
def test_stacked_keeps_each_names_coefficients_together(layout, J, seed):
    stacked = layout.stacked(J)
    assert stacked.names == layout.names
    assert stacked.shapes == {name: (J, *s) for name, s in layout.shapes.items()}
    assert stacked.size == J * layout.size
    coefficients = [filled(layout, seed + j, np.float64) for j in range(J)]
    theta = stacked.pack(
        {n: np.stack([layout.unpack(c)[n] for c in coefficients]) for n in layout.names}
    )
    for name, view in stacked.unpack(theta).items():
        for j in range(J):
            assert np.array_equal(view[j], layout.unpack(coefficients[j])[name])


@given(first=LAYOUTS, second=LAYOUTS, seed=SEEDS)
@settings(deadline=None)
def test_joined_lies_end_to_end(first, second, seed):
    if set(first.names) & set(second.names):
        with pytest.raises(ValueError, match=r"^other: got a layout with .*, wanted names other"):
            first.joined(second)
        return
    both = first.joined(second)
    assert both.names == first.names + second.names
    a, b = filled(first, seed, np.float64), filled(second, seed + 1, np.float64)
    arrays = both.unpack(np.concatenate([a, b]))
    assert np.array_equal(first.pack({n: arrays[n] for n in first.names}), a)
    assert np.array_equal(second.pack({n: arrays[n] for n in second.names}), b)


def test_unpack_refuses():
    with refused(ValueError, "theta: got an array of shape (8,), wanted (9,)"):
        SMALL.unpack(np.zeros(8))
    with refused(ValueError, "theta: got an array of shape (1, 9), wanted (9,)"):
        SMALL.unpack(np.zeros((1, 9)))
    with refused(ValueError, "theta: got an array of strides (16,), wanted a contiguous one"):
        SMALL.unpack(np.zeros(18)[::2])
    with refused(
        TypeError,
        "theta: got [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, ...] (list), wanted an array of shape (9,)",
    ):
        SMALL.unpack([0.0] * 9)
    for dtype in (np.float32, np.int64, object, bool, np.complex64, np.longdouble, ">f8"):
        with pytest.raises(TypeError, match=r"^theta: got an array of dtype .*, wanted float64"):
            SMALL.unpack(np.zeros(9, dtype=dtype))


def test_pack_refuses():
    good = {"W": np.ones((2, 3)), "b": np.ones(2), "c": 1.0}
    assert np.array_equal(SMALL.pack(good), np.ones(9))
    message = "arrays: got a mapping {}, wanted the names 'W', 'b', 'c'"
    with refused(ValueError, message.format("without 'b', 'c'")):
        SMALL.pack({"W": good["W"]})
    with refused(ValueError, message.format("with the unknown 'd'")):
        SMALL.pack({**good, "d": 0.0})
    with refused(ValueError, message.format("without 'W' and with the unknown 'w'")):
        SMALL.pack({"w": good["W"], "b": good["b"], "c": 1.0})
    with refused(ValueError, "arrays['W']: got an array of shape (3, 2), wanted (2, 3)"):
        SMALL.pack({**good, "W": np.ones((3, 2))})
    with refused(ValueError, "arrays['c']: got an array of shape (1,), wanted ()"):
        SMALL.pack({**good, "c": [1.0]})
    with refused(ValueError, "arrays['b']: got nan at index 1, wanted finite numbers"):
        SMALL.pack({**good, "b": [0.0, np.nan]})
    with refused(TypeError, "arrays['b']: got an array of dtype complex128, wanted real numbers"):
        SMALL.pack({**good, "b": [0.0, 1j]})
    with pytest.raises(TypeError, match=r"^arrays: got .*, wanted an instance of Mapping$"):
        SMALL.pack([good["W"], good["b"], 1.0])


def test_layout_refuses():
    for bad in ({"W": (2, -1)}, {"W": (2.0,)}, {"W": [2]}, {"W": 2}, {1: (2,)}, [("W", (2,))]):
        with pytest.raises((TypeError, ValueError), match=r"^shapes"):
            Layout(bad)
    for bad in (0, -1, 1.0, True):
        with pytest.raises((TypeError, ValueError), match=r"^J: got"):
            SMALL.stacked(bad)
    with pytest.raises(TypeError, match=r"^other: got"):
        SMALL.joined({"d": ()})
    with refused(ValueError, "other: got a layout with 'b', wanted names other than 'W', 'b', 'c'"):
        SMALL.joined(Layout({"a": (), "b": ()}))


def test_equality_counts_the_order():
    same = Layout({"W": (2, 3), "b": (2,), "c": ()})
    assert same == SMALL
    assert hash(same) == hash(SMALL)
    assert Layout({"b": (2,), "W": (2, 3), "c": ()}) != SMALL
    assert dict(SMALL.shapes) != SMALL
    assert pickle.loads(pickle.dumps(SMALL)) == SMALL
    assert copy.deepcopy(SMALL) == SMALL
    assert repr(SMALL) == "Layout({'W': (2, 3), 'b': (2,), 'c': ()})"
