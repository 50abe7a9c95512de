"""The files of the cache: damaged, vanished, unwritable, old; two who write at once."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time

import pytest
import users_energy
from users_energy import VALUE, probe, roots

from refode.machine import cache, progress
from refode.machine import compile as machine

pytestmark = pytest.mark.skipif(not machine.JIT, reason="there is no machine code")


def half_cubed(x):
    """Something small to compile."""
    return 0.5 * x * x * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("REFODE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    forget()
    yield tmp_path / "cache"
    forget()


def forget():
    cache.cache_folder.cache_clear()
    cache._private.cache_clear()
    cache._clear_old.cache_clear()


@pytest.fixture
def compiled(monkeypatch):
    """Names of the roots that are compiled and not loaded."""
    names, make = [], machine.Root._compiled
    monkeypatch.setattr(
        machine.Root, "_compiled", lambda root: names.append(root.name) or make(root)
    )
    return names


def call(x=2.0):
    """What a process that has not met the function before does."""
    machine._made_here.clear()
    return machine.kernel(half_cubed)(x)


def files(folder):
    return sorted(folder.iterdir())


# --- what cannot be read --------------------------------------------------------------------
DAMAGE = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "the digest alone": lambda content: content[:32],
    "less than a digest": lambda content: content[:7],
    "a bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "another digest": lambda content: bytes(32) + content[32:],
    "more": lambda content: content + b"0",
    "a text": lambda content: b"once upon a time" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_compiled_anew_and_replaced(folder, compiled, damage):
    assert call() == 4.0
    (file,) = files(folder)
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert call() == 4.0
    assert len(compiled) == 2
    assert files(folder) == [file]
    assert cache._read(file) is not None
    assert call() == 4.0
    assert len(compiled) == 2


def test_a_file_of_another_name_is_not_taken(folder, compiled):
    assert call() == 4.0
    assert call(2) == 4.0  # of an integer
    one, two = files(folder)
    shutil.copy(one, two)
    shutil.copy(two, one)
    assert call(2) == call(2.0) == 4.0
    assert len(compiled) == 3
    assert {cache._read(f)[0]["name"] + cache.SUFFIX for f in (one, two)} == {one.name, two.name}


def test_code_without_the_function_is_compiled_anew(folder, compiled):
    assert call() == 4.0
    facts, code = cache.load(compiled[0])
    cache.store(compiled[0], {**facts, "symbol": "nowhere"}, code)
    assert call() == 4.0
    assert len(compiled) == 2


def test_symbols_have_the_root_s_own_name(folder, compiled):
    """Numba's own may be those of another root, compiled in another process."""
    assert call() == 4.0
    facts, _ = cache.load(compiled[0])
    for name in ("symbol", "wrapper", "environment"):
        assert compiled[0].rpartition("-")[2] in facts[name]


# --- where nothing can be written -----------------------------------------------------------
def test_a_folder_that_cannot_be_made(folder, compiled, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REFODE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    forget()
    assert call() == call() == 4.0
    assert len(compiled) == 1  # found again below the temporary folder
    assert cache.cache_folder().parent == tmp_path
    assert len(files(cache.cache_folder())) == 1
    assert cache.cache_folder().stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners")
def test_a_temporary_folder_that_others_may_write_to_is_not_trusted(
    folder, compiled, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REFODE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    forget()
    assert call() == 4.0
    cache.cache_folder().chmod(0o777)
    assert call() == 4.0
    assert len(compiled) == 2
    shutil.rmtree(cache.cache_folder())
    (tmp_path / "theirs").mkdir(mode=0o700)
    cache.cache_folder().symlink_to(tmp_path / "theirs")
    assert call() == 4.0
    assert files(tmp_path / "theirs") == []


def test_a_read_only_folder_that_is_warm_is_used_as_it_is(folder, compiled, monkeypatch):
    def refused(*args, **kwargs):
        if str(kwargs.get("dir")).startswith(str(folder)):
            raise PermissionError(errno.EACCES, "read-only")
        return real(*args, **kwargs)

    assert call() == 4.0
    long_ago = time.time() - 10 * 86400
    os.utime(files(folder)[0], (long_ago, long_ago))
    real = tempfile.mkstemp
    monkeypatch.setattr(tempfile, "mkstemp", refused)
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(os, "utime", refused_utime)
    forget()
    assert call() == 4.0
    assert len(compiled) == 1
    assert call(2) == call(2) == 4.0  # what it lacks goes elsewhere
    assert len(compiled) == 2
    assert len(files(folder)) == 1


def refused_utime(path):
    raise PermissionError(errno.EACCES, "read-only")


@pytest.mark.parametrize("what", ["replace", "fdopen"])
def test_a_full_disk(folder, compiled, monkeypatch, what):
    def full(handle, *args):
        if what == "fdopen":
            os.close(handle)
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, what, full)
        assert call() == 4.0
    assert files(folder) == []  # no drafts either
    assert call() == 4.0
    assert len(compiled) == 2
    assert len(files(folder)) == 1


def test_ctrl_c_while_storing_leaves_no_draft(folder, compiled, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt, match="while compiling"):
            call()
    assert files(folder) == []
    assert call() == 4.0


def test_a_folder_that_vanishes_is_made_anew(folder, compiled):
    assert call() == 4.0
    shutil.rmtree(folder)
    assert call() == 4.0
    assert call() == 4.0
    assert len(compiled) == 2
    assert len(files(folder)) == 1


def test_a_relative_folder_stays_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFODE_CACHE_DIR", "here")
    assert cache.cache_root() == tmp_path / "here"
    monkeypatch.delenv("REFODE_CACHE_DIR")
    assert cache.cache_root().name == "refode"


# --- which folder it is ---------------------------------------------------------------------
@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """Neither a variable nor an entry among the users, and an empty temporary folder."""

    def unknown(user):
        raise KeyError(f"getpwuid(): uid not found: {user}")

    pwd = pytest.importorskip("pwd")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("HOME", "REFODE_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    forget()
    yield tmp_path
    forget()


def test_without_a_home_code_is_kept_in_a_private_folder(homeless, compiled):
    assert call() == call() == 4.0
    assert len(compiled) == 1
    (made,) = homeless.iterdir()
    assert made == cache.cache_root() == cache.cache_folder()
    assert made.stat().st_mode & 0o777 == 0o700
    forget()  # another process takes the same one
    assert call() == 4.0
    assert len(compiled) == 1
    assert list(homeless.iterdir()) == [made]


def test_without_a_home_the_package_computes(homeless):
    code = "import pwd\ndef no(u): raise KeyError(u)\npwd.getpwuid = no\nimport refode\n"
    code += "print(refode.NeuralODE(refode.fields.Affine(1), n_steps=1).n_parameters)"
    environment = {k: v for k, v in os.environ.items() if k != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "TMPDIR": str(homeless), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_xdg_s_folder_is_taken_where_it_is_absolute(homeless, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(homeless / "xdg"))
    assert cache.cache_root() == homeless / "xdg" / "refode"
    monkeypatch.setenv("HOME", str(homeless / "home"))
    for ignored in ("", "relative", "./refode"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache.cache_root() == homeless / "home" / ".cache" / "refode"
    monkeypatch.delenv("XDG_CACHE_HOME")
    for ignored in ("", "relative"):
        monkeypatch.setenv("HOME", ignored)
        assert cache.cache_root().parent == homeless


def test_a_home_that_is_none_is_named(homeless, monkeypatch):
    monkeypatch.setenv("REFODE_CACHE_DIR", "~/cache")
    with pytest.raises(ValueError, match="^REFODE_CACHE_DIR: got '~/cache', wanted a folder"):
        cache.cache_root()


@pytest.mark.parametrize("odd", ["open", "readable", "link", "file", "theirs"])
def test_a_folder_of_others_is_left_and_a_new_one_made(homeless, monkeypatch, compiled, odd):
    name = homeless / f"refode-{os.geteuid()}-0"
    if odd == "link":
        (homeless / "elsewhere").mkdir(mode=0o700)
        name.symlink_to(homeless / "elsewhere")
    elif odd == "file":
        name.write_text("")
        name.chmod(0o600)
    else:
        name.mkdir()
        name.chmod({"open": 0o777, "readable": 0o755, "theirs": 0o700}[odd])
    if odd == "theirs":
        real = os.lstat
        who = os.geteuid() + 1
        monkeypatch.setattr(
            cache.Path, "lstat", lambda p: owned(real(p), who) if p == name else real(p)
        )
    assert call() == call() == 4.0
    assert len(compiled) == 1
    assert cache.cache_folder() != name
    assert cache.cache_folder().parent == homeless
    assert len(files(cache.cache_folder())) == 1
    assert odd == "file" or files(name) == []


def owned(found, user):
    values = list(found)
    values[4] = user
    return os.stat_result(values)


def test_without_any_folder_nothing_is_kept(homeless, monkeypatch, compiled):
    def none():
        raise FileNotFoundError(errno.ENOENT, "no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert call() == call() == 4.0
    assert len(compiled) == 2


# --- what is old ----------------------------------------------------------------------------
def test_what_nobody_has_used_for_long_is_cleared(folder, compiled):
    def aged(path, days, text="0"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for inside in [path, *path.parents]:
            if inside == folder:
                break
            os.utime(inside, (time.time() - days * 86400,) * 2)
        return path

    old = [
        aged(folder / f"old{cache.SUFFIX}", 91),
        aged(folder / "draft-1", 2),
        aged(folder / "0123456789abcdef" / "fields_1" / "rhs.nbi", 91),
        aged(folder / "0123456789abcdef" / "fields_1" / "rhs.nbc", 91),
    ]
    kept = [
        aged(folder / f"used{cache.SUFFIX}", 89),
        aged(folder / "draft-2", 0.5),
        aged(folder / "crossover.json", 1000),
        aged(folder / "notes" / "rhs.nbc", 1000),
        aged(folder / "0123456789abcdeg" / "rhs.nbc", 1000),
        aged(folder / "0123456789abcde" / "rhs.nbc", 1000),
        aged(folder / "1111111111111111" / "young" / "rhs.nbc", 89),
        aged(folder / "2222222222222222" / "mine.txt", 1000),
        aged(folder / "old.o2", 1000),
    ]
    aged(folder / "1111111111111111" / "rhs.nbc", 1000)
    assert call() == 4.0
    assert [p for p in old if p.exists()] == []
    assert not (folder / "0123456789abcdef").exists()
    assert [p for p in kept if not p.exists()] == []


def test_a_file_that_is_used_stays_young(folder, compiled):
    assert call() == 4.0
    (file,) = files(folder)
    os.utime(file, (time.time() - 50 * 86400,) * 2)
    assert call() == 4.0
    assert len(compiled) == 1
    assert time.time() - file.stat().st_mtime < 60
    touched = time.time() - 3600
    os.utime(file, (touched, touched))
    assert call() == 4.0
    assert abs(file.stat().st_mtime - touched) < 1  # noted once a day


# --- processes ------------------------------------------------------------------------------
def test_two_who_compile_the_same_at_once(tmp_path):
    users_energy.write(tmp_path)
    code = users_energy.PROBE.format(x=users_energy.X, before="")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=users_energy.environment(tmp_path),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert f'"value": {VALUE}' in out
    names = roots(tmp_path)
    assert len(names) == 2
    assert all(name.endswith(cache.SUFFIX) for name in names)
    assert probe(tmp_path) | {"refode": ""} == {
        "value": VALUE,
        "compiled": [],
        "imported": 0,
        "refode": "",
    }


def test_seconds_count_what_is_compiled_and_not_what_is_loaded(folder, compiled):
    before = progress.seconds()
    assert call() == 4.0
    once = progress.seconds()
    assert once > before
    assert call() == 4.0
    assert progress.seconds() == once
