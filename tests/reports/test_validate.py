"""Every refusal names the argument, what came and what was wanted."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refode import _validate as door

SIZE = st.integers(1, 5)
SEED = st.integers(0, 2**16)


def refused(error: type[Exception], message: str):
    """Expect `error` with exactly `message`, so that a vague message is a failure too."""
    return pytest.raises(error, match="^" + re.escape(message) + "$")


@given(n=SIZE, d=SIZE, seed=SEED)
@settings(deadline=None)
def test_float64_in_order_comes_back_itself(n, d, seed):
    x = np.random.default_rng(seed).normal(size=(n, d))
    assert door.samples("x", x, d) is x
    assert door.real_array("x", x, ("N", None)) is x


@given(n=SIZE, d=SIZE, seed=SEED, dtype=st.sampled_from(["i1", "u4", "i8", "f4", "f2"]))
@settings(deadline=None)
def test_exact_casts_are_made(n, d, seed, dtype):
    x = np.random.default_rng(seed).integers(0, 100, size=(n, d)).astype(dtype)
    got = door.samples("x", x, d)
    assert got.dtype == np.float64
    assert got.flags.c_contiguous
    assert np.array_equal(got, x)
    assert np.array_equal(door.samples("x", x.tolist(), d), x)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [
        read_only(np.arange(6.0).reshape(2, 3)),
        np.frombuffer(b"." + np.arange(6.0).tobytes(), offset=1).reshape(2, 3),
        np.frombuffer(bytearray(b"." + np.arange(6.0).tobytes()), offset=1).reshape(2, 3),
    ],
    ids=["read-only", "both", "misaligned"],
)
def test_arrays_that_are_types_of_their_own_to_the_compiler_are_copied(array):
    got = door.real_array("x", array, (2, 3))
    assert got.flags.carray
    assert np.array_equal(got, array)
    labels = door.labels_integer("y", read_only(np.array([0, 2, 1])), 3, 3)
    assert labels.flags.carray
    assert labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    "view",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12.0).reshape(2, 6)[:, ::2],
        np.arange(6.0).reshape(3, 2).T,
        np.broadcast_to(np.arange(3.0), (2, 3)),
        np.arange(6.0).reshape(2, 3).astype(">f8"),
    ],
)
def test_other_layouts_become_c_order(view):
    got = door.real_array("x", view, (2, 3))
    assert got.flags.c_contiguous
    assert got.dtype == np.dtype("=f8")
    assert not np.shares_memory(got, view)
    assert np.array_equal(got, view)


@given(got=st.lists(SIZE, max_size=3).map(tuple), dim=SIZE)
@settings(deadline=None)
def test_every_wrong_shape_is_refused(got, dim):
    x = np.zeros(got)
    if len(got) == 2 and got[1] == dim:
        assert door.samples("x", x, dim) is x
    else:
        with refused(ValueError, f"x: got an array of shape {got}, wanted (N, {dim})"):
            door.samples("x", x, dim)


def test_shape_messages():
    with refused(ValueError, "x: got an array of shape (3,), wanted (N, 2)"):
        door.samples("x", np.zeros(3), 2)
    with refused(ValueError, "A: got an array of shape (2, 3), wanted (n, n)"):
        door.real_array("A", np.zeros((2, 3)), ("n", "n"))
    with refused(ValueError, "A: got an array of shape (2, 3), wanted (*,)"):
        door.real_array("A", np.zeros((2, 3)), (None,))
    with refused(ValueError, "theta: got an array of shape (4,), wanted (5,)"):
        door.real_vector("theta", np.zeros(4), 5)
    with refused(ValueError, "s: got an array of shape (1,), wanted ()"):
        door.real_array("s", [1.0], ())
    assert door.real_array("A", np.zeros((2, 2)), ("n", "n")).shape == (2, 2)


def test_empty():
    with refused(ValueError, "x: got an empty array of shape (0, 2), wanted (N, 2) with entries"):
        door.samples("x", np.zeros((0, 2)), 2)
    assert door.real_array("x", np.zeros((0, 2)), ("N", 2), allow_empty=True).shape == (0, 2)
    assert door.real_vector("theta", [], 0).shape == (0,)


@given(n=SIZE, d=SIZE, seed=SEED, bad=st.sampled_from(["nan", "inf", "-inf"]))
@settings(deadline=None)
def test_the_first_nonfinite_entry_is_named(n, d, seed, bad):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    first = int(rng.integers(n * d))
    x.flat[first] = float(bad)
    x.flat[int(rng.integers(first, n * d))] = float(bad)
    message = f"x: got {bad} at index {divmod(first, d)}, wanted finite numbers"
    with refused(ValueError, message):
        door.samples("x", x, d)
    with refused(ValueError, message):
        door.samples("x", x.astype(np.float32), d)
    with refused(ValueError, f"v: got {bad} at index {first}, wanted finite numbers"):
        door.real_vector("v", x.ravel(), n * d)


@pytest.mark.parametrize(
    "value",
    [
        np.array([1.0, None], dtype=object),
        np.array([1.0, 2.0j]),
        np.array([1.0 + 0j, 2.0]),
        np.array(["1.0", "2.0"]),
        np.array([b"1", b"2"]),
        np.array([True, False]),
        np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"),
        np.array([1, 2], dtype="timedelta64[s]"),
        np.array([(1.0,), (2.0,)], dtype=[("a", float)]),
        [True, False],
        ["a", "b"],
        [None, 1.0],
        "ab",
        None,
        {1: 2},
        lambda: None,
        [10**30, 1],
    ],
)
def test_wrong_kinds(value):
    with pytest.raises(TypeError, match=r"^x: got an array of dtype .*, wanted real numbers$"):
        door.real_array("x", value, (2,))


def test_ragged_and_masked():
    with pytest.raises(TypeError, match=r"^x: got \[\[1.0\], .* \(list\), wanted an array"):
        door.samples("x", [[1.0], [2.0, 3.0]], 2)
    masked = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    with refused(TypeError, "x: got a masked array, wanted an array without a mask"):
        door.real_vector("x", masked, 2)


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_that_float64_rounds(sign):
    edge = sign * 2**53
    assert door.real_vector("x", np.array([0, edge]), 2)[1] == edge
    with pytest.raises(TypeError, match=r"^x: got the integer -?\d+ at index 1, which float64"):
        door.real_vector("x", np.array([0, edge + sign]), 2)
    with pytest.raises(TypeError, match=r"^s: got the integer -?\d+, which float64"):
        door.real_number("s", edge + sign)
    assert door.real_number("s", edge) == edge
    with pytest.raises(TypeError, match="float64"):
        door.real_vector("x", np.array([np.iinfo(np.int64).min]), 1)
    with pytest.raises(TypeError, match="float64"):
        door.real_vector("x", np.array([2**64 - 1], dtype=np.uint64), 1)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
def test_long_doubles_pass_only_where_exact():
    assert door.real_vector("x", np.array([0.5], dtype=np.longdouble), 1)[0] == 0.5
    third = np.array([0.5, np.longdouble(1) / 3])
    with pytest.raises(TypeError, match=r"^x: got .* at index 1, which float64 rounds"):
        door.real_vector("x", third, 2)
    with refused(ValueError, "x: got nan at index 0, wanted finite numbers"):
        door.real_vector("x", np.array([np.nan], dtype=np.longdouble), 1)


@given(n=SIZE, seed=SEED, dtype=st.sampled_from([bool, "i1", "u8", "f4", "f8"]))
@settings(deadline=None)
def test_binary_labels(n, seed, dtype):
    y = np.random.default_rng(seed).integers(0, 2, size=n).astype(dtype)
    got = door.labels_binary("y", y, n)
    assert got.dtype == np.float64
    assert got.flags.c_contiguous
    assert np.array_equal(got, y.astype(float))


def test_binary_labels_refused():
    with refused(ValueError, "y: got 2 at index 1, wanted labels 0 or 1"):
        door.labels_binary("y", [1, 2, 3], 3)
    with refused(ValueError, "y: got -1.0 at index 0, wanted labels 0 or 1"):
        door.labels_binary("y", [-1.0, 1.0], 2)
    with refused(ValueError, "y: got nan at index 0, wanted labels 0 or 1"):
        door.labels_binary("y", [np.nan], 1)
    with refused(ValueError, "y: got 0.5 at index 0, wanted labels 0 or 1"):
        door.labels_binary("y", [0.5], 1)
    with refused(ValueError, "y: got an array of shape (2, 1), wanted (2,)"):
        door.labels_binary("y", [[0], [1]], 2)
    for bad in (["0", "1"], [0j, 1j], [None, 1]):
        with pytest.raises(TypeError, match=r"^y: got an array of dtype .*, wanted labels 0 or 1$"):
            door.labels_binary("y", bad, 2)


@given(n=SIZE, m=SIZE, seed=SEED, dtype=st.sampled_from(["i1", "u8", "i8"]))
@settings(deadline=None)
def test_integer_labels(n, m, seed, dtype):
    y = np.random.default_rng(seed).integers(0, m, size=n).astype(dtype)
    got = door.labels_integer("y", y, n, m)
    assert got.dtype == np.int64
    assert got.flags.c_contiguous
    assert np.array_equal(got, y)
    with refused(ValueError, f"y: got {m} at index 0, wanted integer labels in 0..{m - 1}"):
        door.labels_integer("y", np.full(n, m, dtype=dtype), n, m)


def test_integer_labels_refused():
    with refused(ValueError, "y: got -1 at index 2, wanted integer labels in 0..2"):
        door.labels_integer("y", [0, 1, -1], 3, 3)
    huge = np.array([2**64 - 1], dtype=np.uint64)
    with refused(ValueError, f"y: got {huge[0]} at index 0, wanted integer labels in 0..2"):
        door.labels_integer("y", huge, 1, 3)
    with refused(ValueError, "y: got an array of shape (2,), wanted (3,)"):
        door.labels_integer("y", [0, 1], 3, 2)
    with refused(ValueError, "y: got an array of shape (0,), wanted (3,)"):
        door.labels_integer("y", [], 3, 2)
    for bad in ([0.0, 1.0], [True, False], ["a", "b"], [0j, 1j]):
        with pytest.raises(TypeError, match=r"^y: got an array of dtype .*, wanted integer labels"):
            door.labels_integer("y", bad, 2, 2)


def test_numbers():
    for good in (2, 2.0, np.int8(2), np.float32(2), np.array(2), np.array(2.0), Fraction(4, 2)):
        got = door.real_number("h", good)
        assert type(got) is float
        assert got == 2.0
    assert door.nonnegative("alpha", 0) == 0.0
    with refused(ValueError, "alpha: got -0.5, wanted a number >= 0"):
        door.nonnegative("alpha", -0.5)
    for bad in ("nan", "inf", "-inf"):
        for f in (door.real_number, door.nonnegative):
            with refused(ValueError, f"h: got {bad}, wanted a finite number"):
                f("h", float(bad))
            with refused(ValueError, f"h: got {bad}, wanted a finite number"):
                f("h", np.float32(bad))
    for bad in (True, np.True_, 1j, "1", None, [1.0], np.array([1.0]), np.array(True)):
        with pytest.raises(TypeError, match=r"^h: got .*, wanted a real number$"):
            door.real_number("h", bad)
    with pytest.raises(ValueError, match=r"^h: got .*, wanted a finite number$"):
        door.real_number("h", Fraction(10**400))


@given(n=st.integers(1, 10**6))
def test_counts(n):
    assert door.positive_int("n_steps", n) == n
    assert type(door.positive_int("n_steps", np.int32(n))) is int
    assert door.nonnegative_int("augment", n - 1) == n - 1
    with refused(ValueError, f"n_steps: got {1 - n}, wanted an int >= 1"):
        door.positive_int("n_steps", 1 - n)
    with refused(ValueError, f"augment: got {-n}, wanted an int >= 0"):
        door.nonnegative_int("augment", -n)
    for bad in (float(n), n + 0.5, str(n), None, True, np.True_, np.float64(n), [n]):
        with pytest.raises(TypeError, match=r"^n_steps: got .*, wanted an int >= 1$"):
            door.positive_int("n_steps", bad)


def test_choice():
    known = ("euler", "rk4")
    assert door.choice("scheme", "rk4", known) == "rk4"
    assert door.choice("scheme", "rk4", dict.fromkeys(known)) == "rk4"
    with refused(ValueError, "scheme: got 'rk5', wanted one of 'euler', 'rk4'"):
        door.choice("scheme", "rk5", iter(known))
    with refused(TypeError, "scheme: got 4 (int), wanted a str"):
        door.choice("scheme", 4, known)


def test_interval():
    for good in ((0, 1), [1.0, 0.0], np.array([-1.0, 2.5]), (np.float32(0), Fraction(1, 2))):
        got = door.interval("t_span", good)
        assert type(got) is tuple
        assert got == tuple(float(t) for t in good)
        assert all(type(t) is float for t in got)
    with refused(ValueError, "t_span: got (1.0, 1.0), wanted two different times"):
        door.interval("t_span", (1, 1.0))
    with refused(ValueError, "t_span: got (-0.0, 0.0), wanted two different times"):
        door.interval("t_span", (-0.0, 0.0))
    with refused(ValueError, "t_span[1]: got nan, wanted a finite number"):
        door.interval("t_span", (0.0, float("nan")))
    with refused(ValueError, "t_span[0]: got inf, wanted a finite number"):
        door.interval("t_span", (float("inf"), 0.0))
    with refused(ValueError, "t_span: got (-1e+308, 1e+308), wanted times a finite length apart"):
        door.interval("t_span", (-1e308, 1e308))
    with refused(ValueError, "t_span: got (0, 1, 2) (tuple), wanted a pair (t0, T)"):
        door.interval("t_span", (0, 1, 2))
    with pytest.raises(ValueError, match="wanted a pair"):
        door.interval("t_span", np.zeros((2, 1)))
    for bad in ("01", b"01", 1.0, None, {0, 1}):
        with pytest.raises(TypeError, match=r"^t_span: got .*, wanted a pair \(t0, T\)$"):
            door.interval("t_span", bad)
    with refused(TypeError, "t_span[1]: got '1' (str), wanted a real number"):
        door.interval("t_span", (0, "1"))


def test_instance():
    assert door.instance("basis", 3, int) == 3
    with refused(TypeError, "basis: got 'J' (str), wanted an instance of int or float"):
        door.instance("basis", "J", (int, float))


def test_long_values_are_cut_in_messages():
    with pytest.raises(TypeError) as caught:
        door.instance("f", list(range(1000)), dict)
    assert len(str(caught.value)) < 120
    assert "..." in str(caught.value)
