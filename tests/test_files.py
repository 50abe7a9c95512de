"""Files are written where links lead, and over regular files alone."""

import os
import re
import stat
import threading
from pathlib import Path

import pytest

import refode
from refode import _files
from refode.reports import outputs

POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")


def test_a_link_stays_a_link_and_its_target_gets_the_data(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "file", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    (tmp_path / "again").symlink_to(link)
    _files.write(tmp_path / "again", "new")
    assert link.is_symlink()
    assert (tmp_path / "again").is_symlink()
    assert not target.is_symlink()
    assert target.read_text() == "new"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["again", "file", "link", "there"]


def test_a_link_to_nothing_is_filled(tmp_path):
    (tmp_path / "link").symlink_to("file")
    _files.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def _folder(path):
    path.mkdir()
    return "folder"


def _pipe(path):
    os.mkfifo(path)
    return "named pipe"


def _device(path):
    path.symlink_to(os.devnull)
    return "device"


def _circle(path):
    path.symlink_to(path.name)
    return "cannot be followed"


@POSIX
@pytest.mark.parametrize("make", [_folder, _pipe, _device, _circle])
@pytest.mark.parametrize("through", [False, True])
def test_what_is_no_regular_file_is_refused_and_left(tmp_path, make, through):
    path = tmp_path / "odd"
    kind = make(path)
    before = path.lstat()
    name = path
    if through:
        name = tmp_path / "link"
        name.symlink_to(path)
    wanted = f"^out: got .*{kind}"
    for check in (_files.readable, _files.writable, _files.remove):
        with pytest.raises(ValueError, match=wanted):
            check("out", name)
    with pytest.raises(ValueError, match=wanted):
        _files.writable_in("out", tmp_path, [name.name])
    with pytest.raises(ValueError, match=kind):
        _files.write(name, "new")
    assert path.lstat().st_ino == before.st_ino
    assert path.lstat().st_mode == before.st_mode
    assert {p.name for p in tmp_path.iterdir()} == {"odd", *(["link"] if through else [])}


def test_folders_are_made_or_refused(tmp_path):
    made = _files.writable_in("out", tmp_path / "a" / "b", ["file"])
    assert made.is_dir()
    assert not list(made.iterdir())
    (tmp_path / "file").write_text("")
    for name in ("file", "file/below", "nul\0l", "x" * 300):
        with pytest.raises(ValueError, match=r"^out: got .*, which is no folder to write to \("):
            _files.writable_in("out", tmp_path / name)
    for name in ("no/folder", "nul\0l", "x" * 300):
        with pytest.raises(ValueError, match="^out: got "):
            _files.writable("out", tmp_path / name)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write everywhere")
def test_what_may_not_be_changed_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o444)
    with pytest.raises(ValueError, match="^out: got .*, which may not be changed"):
        _files.writable("out", file)
    file.unlink()
    tmp_path.chmod(0o555)
    with pytest.raises(ValueError, match="folder that can"):
        _files.writable("out", file)
    with pytest.raises(ValueError, match="folder that can"):
        _files.writable_in("out", tmp_path)
    tmp_path.chmod(0o755)


def test_a_write_that_fails_leaves_the_former_file_and_no_draft(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")

    def interrupted():
        with _files.replacing(file, durable=True) as draft:
            draft.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@POSIX
def test_permissions_are_kept_and_new_ones_are_as_the_umask_says(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    plain = tmp_path / "plain"
    plain.write_text("")
    old.write_text("")
    old.chmod(0o640)
    for file in (new, old):
        _files.write(file, "x\ud800")
        assert file.read_bytes() == b"x\\ud800"
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert new.stat().st_mode == plain.stat().st_mode


def test_names_of_any_length_and_many_writers(tmp_path):
    file = tmp_path / ("x" * 255)
    bodies = [bytes([k]) * 100_000 for k in range(8)]

    def work(body):
        for _ in range(20):
            _files.write(file, body)
            assert file.read_bytes() in bodies

    threads = [threading.Thread(target=work, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.read_bytes() in bodies
    assert list(tmp_path.iterdir()) == [file]


ROOT = Path(refode.__file__).parent
#: Files by other ways: the cache has one of its own, into which nobody puts links.
OWN = ("_files.py", "_drafts.py", "machine/cache.py")


def test_nothing_else_in_the_package_writes():
    """A new report goes through here too."""
    writing = (
        r"\.(write_text|write_bytes|mkdir|unlink|touch|rename)\(|os\.replace\("
        r"|open\([^)]*[\"'][wax+]"
    )
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {line.strip()}"
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in OWN
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(writing, line)
    }
    assert found == set()


def test_every_picture_is_known_beforehand():
    named = r'plotting\.save\(.*, f?"([a-z0-9_{}]+)"\)'
    saved = {
        name.format(number=1)
        for path in (ROOT / "reports").rglob("*.py")
        for name in re.findall(named, path.read_text(encoding="utf-8"))
    }
    known = {name for names in outputs.FILES.values() for name in names}
    assert len(saved) > 10
    assert {f"{name}.{end}" for name in saved for end in ("png", "pdf")} <= known


def test_folders_on_the_way_to_one_that_cannot_be_made_are_taken_away(tmp_path):
    with pytest.raises(_files.RefusedError, match=r"^out: got .*, which is no folder to write to"):
        _files.writable_in("out", tmp_path / "new" / "one" / ("n" * 300))
    assert list(tmp_path.iterdir()) == []
