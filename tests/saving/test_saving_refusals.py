"""Files that are damaged, foreign or made to do harm are ValueErrors that say why."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from saved_models import S

import refode
from refode import densities, fields, games
from refode.saving import ModelNotFoundError

#: Bytes that reading any of these small files may take.
LITTLE = 2**24


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Members of a file that is in order, with its description read."""
    path = tmp_path_factory.mktemp("good") / "a.npz"
    start, end = densities.Gaussian([0.0, 0.0], 1.0), densities.Gaussian([1.0, 0.0], S)
    game = games.crowd_motion(start, end, obstacle=games.Quadratic(1.0) + games.Quadratic(2.0))
    problem = refode.MeanFieldGame(fields.Potential(2, 3), game)
    refode.save(path, problem, problem.initial())
    with np.load(path) as archive:
        return dict(archive), path.read_bytes()


def refused(path, *reasons):
    """It is refused by name and with these words, at little cost."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=re.escape(f"path: got {str(path)!r}, which")) as info:
            refode.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LITTLE
    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 1000
    for reason in reasons:
        assert reason in str(info.value).removeprefix(f"path: got {str(path)!r}, which")


@pytest.fixture
def changed(good, tmp_path):
    """Writes the file with other members, or with a description that an edit has changed."""

    def write(edit=None, **members):
        made = {**good[0], **members}
        if edit is not None:
            whole = json.loads(str(made["description"]))
            made["description"] = np.array(json.dumps(edit(whole) or whole))
        path = tmp_path / "changed.npz"
        with open(path, "wb") as file:
            np.savez(file, **{name: array for name, array in made.items() if array is not None})
        return path

    return write


def described(changed, text):
    return changed(description=np.array(text))


# --- archives --------------------------------------------------------------------------------
def test_the_file_itself_is_read(changed):
    assert refode.load(changed(lambda whole: None)).problem.dim == 2


def test_a_missing_file_is_said_to_be(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"^path: got '.*none\.npz', but there is no"):
        refode.load(tmp_path / "none.npz")
    assert issubclass(ModelNotFoundError, FileNotFoundError)
    with pytest.raises(ValueError, match="^path: got the folder"):
        refode.load(tmp_path)
    with pytest.raises(TypeError, match="^path: got 3 "):
        refode.load(3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="^path: got the named pipe"):
        refode.load(tmp_path / "pipe")


def test_foreign_files(tmp_path):
    path = tmp_path / "other"
    for content in (b"", b"text", pickle.dumps({"theta": 1}), b"PK\x05\x06" + bytes(18)):
        path.write_bytes(content)
        refused(path)
    np.savez(tmp_path / "arrays.npz", x=np.ones(3))
    refused(tmp_path / "arrays.npz", "its format is missing")
    with zipfile.ZipFile(tmp_path / "texts.npz", "w") as archive:
        archive.writestr("format.txt", "refode model 1")
    refused(tmp_path / "texts.npz", "no arrays")


def test_every_end_is_missed(good, tmp_path):
    path = tmp_path / "cut.npz"
    for end in range(0, len(good[1]), 97):
        path.write_bytes(good[1][:end])
        refused(path)
    path.write_bytes(good[1] + b"\0")
    refused(path, "or its end is missing")


def loaded(path):
    """The model, or the message of what refuses it."""
    try:
        return refode.load(path)
    except ValueError as error:
        return str(error)


def test_flipped_bits_are_refused_or_harmless(good, tmp_path):
    path = tmp_path / "flipped.npz"
    path.write_bytes(good[1])
    whole = refode.load(path)
    harmless = 0
    rng = np.random.default_rng(0)
    for place in rng.choice(len(good[1]), 400, replace=False):
        flipped = bytearray(good[1])
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        found = loaded(path)
        if isinstance(found, str):
            assert found.startswith(f"path: got {str(path)!r}, which cannot be read")
        else:
            harmless += 1
            assert found.theta.tobytes() == whole.theta.tobytes()
            assert repr(found.problem) == repr(whole.problem)
    assert harmless < 100


def test_packed_members(good, tmp_path):
    path = tmp_path / "packed.npz"
    np.savez_compressed(path, **good[0])
    refused(path, "it has packed members")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:  # 64 MB of zeros
        archive.writestr("theta.npy", bytes(2**26))
    refused(path, "it has packed members")


def test_two_members_of_one_name(good, tmp_path):
    path = tmp_path / "twice.npz"
    path.write_bytes(good[1])
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("theta.npy", archive.read("theta.npy"))
    refused(path, "two members of one name")


def npy(shape, descr="<f8", data=b""):
    """The bytes of an array with a header that may lie."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    "member",
    [
        npy((10**12,)),
        npy((10**12, 10**12), data=bytes(8)),
        npy((-1,), data=bytes(8)),
        npy((2**63,), "<V8"),
        npy((10**9,), "<U4000"),
        npy((1,), "|O", pickle.dumps(os.getcwd)),
        npy((1,), [("a", "|O")], pickle.dumps(os.getcwd)),
        npy((3,), data=bytes(8)),
        npy((1,), data=bytes(16)),
        npy((1,), "('f8', (1000000000,))", bytes(8)),
        npy("__import__('os').getcwd()", data=bytes(8)),
        npy((1,) * 40, data=bytes(8)),
        b"\x93NUMPY\x03\x00" + bytes(40),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 70_000,
        b"",
    ],
)
def test_headers_that_lie(good, tmp_path, member):
    path = tmp_path / "lies.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("theta.npy", member)
    refused(path)


@pytest.mark.parametrize("descr", ["|O", [("a", "|O")], ("<f8", (1,))])
def test_arrays_of_objects_are_not_looked_into(tmp_path, descr):
    path = tmp_path / "objects.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("theta.npy", npy((1,), descr, bytes(8)))
    refused(path, "it has an array of dtype ")


@pytest.mark.parametrize("method", [8, 12, 14])
def test_members_that_say_they_are_packed(good, tmp_path, method):
    """Unpacking may take memory whatever the sizes are."""
    path, changed = tmp_path / "packed.npz", bytearray(good[1])
    at = changed.index(b"PK\x01\x02") + 10
    assert changed[at : at + 2] == b"\0\0"
    changed[at] = method
    path.write_bytes(changed)
    refused(path, "it has packed members")


def test_members_that_share_their_bytes(good, tmp_path):
    """Lists that name one large member a hundred times read it once at most."""
    raw, at = io.BytesIO(), 0
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("array0.npy", npy((2**17,), data=bytes(2**20)))
        for i in range(1, 40):
            info = copy.copy(archive.filelist[0])
            info.filename = f"array{i}.npy"
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
        at = len(archive.filelist)
    assert at == 40
    path = tmp_path / "shared.npz"
    path.write_bytes(raw.getvalue())
    refused(path, "larger than it is")


def test_too_many_members(tmp_path):
    path = tmp_path / "many.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(10_001):
            archive.writestr(f"array{i}.npy", b"")
    refused(path, "10001 members")


# --- members ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"format": np.array("refode model 2")}, "'refode model 2', and refode "),
        ({"format": np.array("x" * 5000)}, "a newer one may know it"),
        ({"format": np.array(1.0)}, "its format is missing, or no text"),
        ({"format": None}, "its format is missing"),
        ({"description": None}, "its description is missing"),
        ({"theta": None}, "its theta is no vector"),
        ({"theta": np.array([np.nan])}, "finite"),
        ({"theta": np.ones(3, np.float32)}, "float64"),
        ({"theta": np.ones((1, 3))}, "vector"),
        ({"theta": np.ones(3)}, "problem.potential"),
        ({"theta": np.ones(0)}, "problem.potential"),
        ({"theta": np.ones(10_000)}, "its theta has 10000 entries, its problem"),
        ({"more": np.ones(1)}, "other members"),
        ({"array9": np.ones(1)}, "arrays that belong to nothing"),
        ({"array0": None}, "not an array of the file's"),
        ({"array0": np.ones(2, np.float32)}, "problem.game.initial.mean is an array of dtype"),
        ({"array0": np.ones((2, 2))}, "not float64 with 1 axes"),
        ({"array0": np.array([np.inf, 0.0])}, "problem.game.initial: mean: "),
        ({"array1": -np.eye(2)}, "covariance: "),
    ],
)
def test_members_that_do_not_fit(changed, members, reason):
    refused(changed(**members), reason)


# --- descriptions ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ""),
        ("{", ""),
        ("3", "its description is none"),
        ("[]", "its description is none"),
        ('{"refode": 1, "refode": 2}', "twice"),
        ('{"refode": NaN}', "NaN"),
        ("[" * 100_000, ""),
        ("[" * 900 + "]" * 900, "too deep"),
        ('{"a":' * 300 + "1" + "}" * 300, "too deep"),
        ("1" * 10_000, ""),
        (" " * (2**22 + 1), "more than 4194304 characters"),
    ],
    ids=range(11),
)
def test_texts_that_are_no_description(changed, text, reason):
    path = described(changed, text)
    if len(text) > 2**22:  # of 4 bytes each
        with pytest.raises(ValueError, match=reason):
            refode.load(path)
    else:
        refused(path, reason)


def at(*names, to):
    """An edit that sets one thing in a description."""

    def edit(whole):
        inside = whole["problem"]["with"]
        for name in names[:-1]:
            inside = inside[name]["with"]
        inside[names[-1]] = to

    return edit


def energies(depth):
    one = {"class": "Nothing", "with": {}}
    for _ in range(depth):
        one = {"class": "Sum", "with": {"first": one, "second": {"class": "Nothing", "with": {}}}}
    return one


SHALLOW = {"class": "Shallow", "with": {"dim": 2, "width": 3, "time": False}}


def ode(**how):
    """A NeuralODE's description in the place of the whole problem."""
    given = {"field": SHALLOW, **how}
    return lambda whole: whole | {"problem": {"class": "NeuralODE", "with": given}}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (at("potential", to={"class": "os.system", "with": {"dim": 2}}), "none of refode's"),
        (at("potential", to={"class": "__import__", "with": {}}), "'__import__', which is none"),
        (at("potential", to={"class": "Field", "with": {"dim": 2}}), "'Field', which is none"),
        (at("potential", to={"class": ["Affine"], "with": {}}), "none of refode's"),
        (at("potential", to={"class": "Affine"}), "not the description of an object"),
        (at("potential", to={"class": "Affine", "with": []}), "not the description"),
        (at("potential", to=SHALLOW), "problem: potential: got"),
        (at("potential", to=3), "not the description of an object"),
        (at("potential", to={"outside": "mine"}), "does not say what it is"),
        (at("potential", "dim", to="2"), "problem.potential.dim is '2', not an int"),
        (at("potential", "dim", to=True), "not an int"),
        (at("potential", "dim", to=2.0), "not an int"),
        (at("potential", "dim", to=-1), "dim: got -1"),
        (at("potential", "dim", to=10**9), "the most for this file"),
        (at("potential", "depth", to=10**9), "the most for this file"),
        (at("potential", "width", to=40), "weights, and theta"),
        (at("potential", "widths", to=[3]), "problem.potential has 'widths', which is none"),
        (at("potential", "__class__", to="x"), "has '__class__'"),
        (at("potential", "quadratic", to="cubic"), "quadratic: got 'cubic'"),
        (at("hjb", to=1e999), "Infinity"),
        (at("hjb", to=1), "problem.hjb is 1, not a float"),
        (at("hjb", to="1"), "not a float"),
        (at("hjb", to=None), "not a float"),
        (at("scheme", to="rk5"), "scheme: got 'rk5'"),
        (at("scheme", to=[]), "problem.scheme is [], not the description of an object"),
        (at("t_span", to=[0.0]), "t_span"),
        (at("t_span", to=[0.0, 1.0, 2.0]), "t_span"),
        (at("t_span", to="ab"), "not a list"),
        (at("t_span", to={"0": 0.0, "1": 1.0}), "not a list"),
        (at("n_steps", "n_steps", to=10**9), "more than 1000000"),
        (at("n_steps", to=5), "not the description of an object"),
        (at("game", "initial", to={"class": "Empirical", "with": {"samples": 1}}), "an array"),
        (at("game", "initial", "mean", to={"array": "0"}), "not an array of the file's"),
        (at("game", "initial", "mean", to={"array": -1}), "not an array of the file's"),
        (at("game", "initial", "mean", to={"array": True}), "not an array of the file's"),
        (at("game", "initial", "covariance", to=1.0), "not an array of the file's"),
        (at("game", "obstacle", to=energies(100)), "too deep"),
        (at("game", "obstacle", to=energies(63)), "in more than 64 others"),
        (lambda whole: whole | {"problem": SHALLOW}, "a Shallow, which is no problem"),
        (lambda whole: whole | {"more": 1}, "its description is none"),
        (lambda whole: whole | {"refode": 3}, "its description is none"),
        (lambda whole: whole | {"layout": []}, "lacks a layout"),
        (lambda whole: whole | {"layout": {"K0": [3, 3]}}, "is laid out as"),
        (lambda whole: whole | {"outside": {"a": {}}}, "what is from outside"),
        (lambda whole: whole | {"outside": {"a": {"class": 1, "repr": 2, "place": 3}}}, "outside"),
        (ode(basis={"class": "Legendre", "with": {"J": 10**7}}), "the most for this file"),
        (ode(basis={"class": "BSpline", "with": {"J": 40}}), "weights, and theta"),
        (ode(basis={"class": "BSpline", "with": {}}), "J"),
        (ode(device="tpu"), "device: got 'tpu'"),
        (ode(scheme={"class": "Tableau", "with": {"A": [["1e999999999"]]}}), "not a fraction"),
        (ode(scheme={"class": "Tableau", "with": {"b": ["1/0"]}}), "not a fraction"),
        (ode(scheme={"class": "Tableau", "with": {"b": ["9" * 2000]}}), "not a fraction"),
        (ode(scheme={"class": "Tableau", "with": {"b": [1]}}), "not a fraction"),
    ],
)
def test_descriptions_that_nothing_is_made_of(changed, edit, reason):
    refused(changed(edit), reason)


def test_numbers_beyond_float64_are_seen(changed, good):
    text = str(good[0]["description"])
    assert text.count('"hjb": 0.0') == 1
    path = described(changed, text.replace('"hjb": 0.0', '"hjb": 1e999'))
    refused(path, "problem.hjb is inf, not a finite number")


def test_a_newer_file_says_so(changed):
    def newer(whole):
        at("potential", "spin", to=1)(whole)
        whole["refode"] = "9.1.0"

    refused(changed(newer), f"refode {refode.__version__} does not know; '9.1.0' wrote the file")


def test_arguments_that_are_new_have_defaults(changed):
    """What an older file lacks is as the constructor has it."""

    def older(whole):
        for name in ("memory", "hjb_norm", "device", "dtype"):
            del whole["problem"]["with"][name]

    made = refode.load(changed(older)).problem
    assert (made.ode.memory, made.hjb_norm, made.ode.placement.device) == (
        "store",
        "absolute",
        "cpu",
    )


def test_control_characters_stay_out_of_messages(changed):
    path = changed(at("potential", to={"class": "\x1b[2J\nnew line", "with": {}}))
    with pytest.raises(ValueError, match="none of refode's") as info:
        refode.load(path)
    assert str(info.value).isprintable()


def test_memory_is_in_proportion_to_the_file(tmp_path):
    path = tmp_path / "large.npz"
    start = densities.Gaussian([0.0] * 4, 1.0)
    samples = densities.Empirical(np.ones((2**18, 4)))
    game = games.normalizing_flow(start, samples)
    problem = refode.MeanFieldGame(fields.Potential(4, 3), game)
    refode.save(path, problem, problem.initial())
    size = path.stat().st_size
    assert size > 2**23
    tracemalloc.start()
    refode.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * size
