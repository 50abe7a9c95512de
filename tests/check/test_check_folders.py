"""``refode check`` of folders: results in files, right, malformed, or not results at all."""

from __future__ import annotations

import io
import json
import os
import zipfile

import check_adapters
import numpy as np
import pytest
from check_adapters import FEW, quick, rows

from refode import reference
from refode.check.outcome import INVALID, RIGHT, SKIPPED
from refode.check.run import check


def stored(a, text="{:.17g}"):
    return {"shape": list(a.shape), "data": [text.format(v) for v in a.ravel()]}


def nested(found):
    """Results as a file holds them."""
    made: dict = {}
    for name, a in found.items():
        quantity, _, block = name.partition("/")
        if block:
            made.setdefault(quantity, {})[block] = stored(a)
        else:
            made[quantity] = stored(a)
    return made


@pytest.fixture
def folder(tmp_path):
    """Right results of three cases: JSON, JSON with numbers and nested lists, NPZ."""
    first, second, third = FEW[:3]
    document = {"format": "refode-reference", "version": 1, "name": first}
    document["results"] = nested(check_adapters.DIGITS[first])
    (tmp_path / f"{first}.json").write_text(json.dumps(document))
    plain: dict = {}
    for name, a in check_adapters.DIGITS[second].items():
        quantity, _, block = name.partition("/")
        if block:
            plain.setdefault(quantity, {})[block] = a.tolist()
        else:
            plain[quantity] = a.tolist()
    (tmp_path / f"{second}.json").write_text(json.dumps({"name": second, "results": plain}))
    np.savez(
        tmp_path / f"{third}.npz",
        **{f"results/{k}": a for k, a in check_adapters.DIGITS[third].items()},
    )
    return tmp_path


def test_a_folder_of_right_results_passes(folder):
    outcome = quick(folder)
    assert outcome.passed
    assert {r.case for r in rows(outcome, verdict=RIGHT)} == set(FEW[:3])
    skipped = rows(outcome, verdict=SKIPPED)
    assert {(r.case, r.reason) for r in skipped} == {(FEW[3], "no file")}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda d: "{", "ode-line.json: got no JSON"),
        (lambda d: "[" * 100000, "ode-line.json: got no JSON"),
        (lambda d: json.dumps([1]), 'got no object with "results"'),
        (lambda d: json.dumps(d | {"version": 2}), "version: got 2, wanted 1"),
        (lambda d: json.dumps(d | {"format": "other"}), "format: got 'other'"),
        (lambda d: json.dumps(d | {"name": "ode-skew"}), "name: got 'ode-skew', wanted 'ode-line'"),
        (lambda d: json.dumps(d | {"inputs": {}}), "got a golden file itself"),
        (
            lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [9], "data": ["1"]}}}),
            "shape: got [9] for 1 numbers",
        ),
        (
            lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [-1], "data": ["1"]}}}),
            "shape: got [-1], wanted a list of sizes",
        ),
        (
            lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [10**400], "data": []}}}),
            "shape: got [1000",
        ),
        (
            lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [1], "data": [10**400]}}}),
            "x_bar: got a number that no double can hold",
        ),
        (
            lambda d: json.dumps(d | {"results": {"x_bar": [[10**400]]}}),
            "x_bar: got a number that no double can hold",
        ),
        (
            lambda d: '{"results": {"x_bar": [[' + "1" * 5000 + "]]}}",
            "ode-line.json: Exceeds the limit",
        ),
        (
            lambda d: '{"results": {"x_bar": [[1.0]], "x_bar": [[2.0]]}}',
            "got the key 'x_bar' twice",
        ),
        (
            lambda d: '{"results": {"theta_bar": {"W0": [1.0]}, "theta_bar/W0": [1.0]}}',
            "got theta_bar/W0 twice, wanted each array once",
        ),
        (
            lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [1], "data": ["one"]}}}),
            "could not convert string to float",
        ),
        (lambda d: json.dumps(d | {"results": {"x_bar": {"shape": [1]}}}), "got an object, wanted"),
        (lambda d: json.dumps(d | {"results": {"speed": [1.0]}}), "got the unknown quantity speed"),
        (lambda d: json.dumps(d | {"results": {"x_bar": stored(np.array([[np.nan]]))}}), "got nan"),
    ],
)
def test_malformed_files_are_named_and_the_others_go_on(folder, spoil, reason):
    path = folder / "ode-line.json"
    path.write_text(spoil(json.loads(path.read_text())))
    outcome = quick(folder)
    bad = rows(outcome, verdict=INVALID)
    assert {r.case for r in bad} == {"ode-line"}
    assert any(reason in r.reason for r in bad), bad
    assert rows(outcome, case="flow-one", verdict=RIGHT)
    assert not outcome.passed


def test_archives_are_read_without_executing_anything(folder, tmp_path):
    path = folder / "flow-one.npz"
    for content, reason in (
        (b"no archive", "flow-one.npz: "),
        (reference.files.npz(reference.case("flow-one")), "got a golden file itself"),
    ):
        path.write_bytes(content)
        (bad,) = rows(quick(folder), verdict=INVALID)
        assert reason in bad.reason
    np.savez(path, **{"results/inverse": np.array([print], dtype=object)})
    (bad,) = rows(quick(folder), verdict=INVALID)
    assert "got an array of type object" in bad.reason


def header(text, body=b""):
    """A file in NumPy's format with a header of one's own."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + body


def zipped(content, name="results/inverse.npy", **how):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **how) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def encrypted():
    """The flags that say so, in both of the archive's lists."""
    content = bytearray(zipped(b"secret"))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def lying():
    """An archive that says it unpacks to a terabyte."""
    content = bytearray(zipped(header("{}")))
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = b"\xff\xff\xff\xfe"
    return bytes(content)


SHAPE = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header(SHAPE % "1", bytes(8)), "got no NPZ archive (File is not a zip file)"),
        (encrypted(), "results/inverse.npy: got an encrypted array"),
        (zipped(b"", compression=zipfile.ZIP_BZIP2), "got compression 12, wanted what numpy"),
        (zipped(b"", compression=zipfile.ZIP_LZMA), "got compression 14, wanted what numpy"),
        (zipped(header("{" * 300)), "got no array of NumPy's format"),
        (zipped(header("(" * 9000)), "got no array of NumPy's format"),
        (zipped(header("print()")), "got no array of NumPy's format"),
        (zipped(b"text"), "got no array of NumPy's format"),
        (zipped(b""), "got no array of NumPy's format"),
        (zipped(header(SHAPE % "10**4")), "got no array of NumPy's format"),
        (zipped(header(SHAPE % "10000000000000", bytes(8))), "got the shape (10000000000000,) of"),
        (zipped(header(SHAPE % ("9" * 60), bytes(8))), "got the shape (999"),
        (zipped(header(SHAPE % "-1", bytes(8))), "got the shape (-1,) of float64 for 8 bytes"),
        (zipped(header(SHAPE % "2", bytes(8))), "got the shape (2,) of float64 for 8 bytes"),
        (lying(), "bytes unpacked, wanted at most"),
        (zipped(header(SHAPE % "1", bytes(8)))[:-30], "got no NPZ archive"),
        (zipped(header(SHAPE.replace("<f8", "<c16") % "1", bytes(16))), "type complex128, wanted"),
        (zipped(header(SHAPE.replace("<f8", "<U2") % "1", bytes(8))), "wanted real numbers"),
        (zipped(header(SHAPE.replace("<f8", "<U0") % "1")), "wanted real numbers"),
    ],
)
def test_odd_archives_cost_their_case_and_are_named(folder, content, reason):
    (folder / "flow-one.npz").write_bytes(content)
    outcome = quick(folder)
    (bad,) = rows(outcome, verdict=INVALID)
    assert (bad.case, bad.cause) == ("flow-one", "file")
    assert bad.reason.startswith("flow-one.npz: ")
    assert reason in bad.reason
    assert {r.case for r in rows(outcome, verdict=RIGHT)} == set(FEW[:2])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_refused(folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("inverse.npy", "results/inverse.npy"):
            archive.writestr(name, header(SHAPE % "1", bytes(8)))
    (folder / "flow-one.npz").write_bytes(file.getvalue())
    (bad,) = rows(quick(folder), verdict=INVALID)
    assert "got inverse twice" in bad.reason


def test_two_files_of_a_case_are_refused(folder):
    (folder / "flow-one.json").write_text(json.dumps({"name": "flow-one", "results": {}}))
    outcome = quick(folder)
    (bad,) = rows(outcome, verdict=INVALID)
    assert bad.case == "flow-one"
    assert bad.reason == "flow-one.json: got flow-one.npz beside it, wanted one file a case"
    assert rows(outcome, case="ode-line", verdict=RIGHT)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "nowhere", "large"])
def test_what_is_no_file_is_not_read(folder, kind):
    path = folder / "flow-one.npz"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        with open(path, "wb") as file:
            file.truncate(2**40)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "nothing")
    (bad,) = rows(quick(folder), verdict=INVALID)
    said = {"nowhere": "No such file", "large": "got 1,099,511,627,776 bytes, wanted at most"}
    assert said.get(kind, "got a folder, a device or a pipe, wanted a file") in bad.reason


def test_compressed_and_fortran_ordered_arrays_are_read(folder):
    found = {
        f"results/{k}": np.array(a, order="F") for k, a in check_adapters.DIGITS["flow-one"].items()
    }
    np.savez_compressed(folder / "flow-one.npz", **found)
    assert quick(folder).passed


def test_files_of_no_case_and_folders_without_files(folder, tmp_path):
    (folder / "my-case.json").write_text("{}")
    (folder / "schema.json").write_text("{}")
    (bad,) = rows(quick(folder), verdict=INVALID)
    assert (bad.case, bad.reason) == ("my-case.json", "my-case.json: no golden case has this name")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="without any file named as a golden case"):
        quick(folder / "empty")
    with pytest.raises(ValueError, match="n_random: got a folder of results"):
        quick(folder, n_random=3)


def test_the_exported_golden_files_are_no_results(tmp_path):
    reference.export(tmp_path)
    outcome = check(str(tmp_path), diagnose=False)
    assert not outcome.passed
    assert {r.verdict for r in outcome.rows} == {INVALID}
