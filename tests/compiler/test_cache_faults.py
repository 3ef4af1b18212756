"""Code on disk that is damaged, others' files, disks that fail, writers that die, many at once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
import warnings

import pytest

pytest.importorskip("llvmlite")

from chainrule.compiler import cache
from tests.compiler.disk import KEY, X, program, run_python, wanted

# ---------------------------------------------------------------- what cannot be trusted


def entry(folder):
    (found,) = folder.iterdir()
    return found


def damaged(content, how):
    kind, _, place = how.partition(" ")
    if kind == "cut":
        return content[: int(float(place) * len(content))]
    if kind == "longer":
        return content + b"\0"
    at = int(float(place) * (len(content) - 1))
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("how", ["cut 0", "cut 0.001", "cut 0.5", "cut 0.999", "longer",
                                 "flip 0", "flip 0.002", "flip 0.5", "flip 1"])  # fmt: skip
def test_damaged_entries_are_compiled_again(folder, how):
    program()
    path = entry(folder)
    good = path.read_bytes()
    path.write_bytes(damaged(good, how))
    path.chmod(0o600)
    assert program().run([X])[0] == pytest.approx(wanted())
    assert (cache.info().found, cache.info().stored) == (0, 2)
    assert entry(folder).read_bytes()[:17] == good[:17]
    program()
    assert cache.info().found == 1


def test_every_damaged_byte_is_noticed(tmp_path):
    found = cache.Cache(tmp_path, 1000)
    found.store(KEY, b"machine code")
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    for i in range(len(good)):
        for bit in range(8):
            path.write_bytes(good[:i] + bytes([good[i] ^ (1 << bit)]) + good[i + 1 :])
            assert found.load(KEY) is None
        path.write_bytes(good[:i])
        assert found.load(KEY) is None
    path.write_bytes(good)
    assert found.load(KEY) == b"machine code"


def test_an_entry_under_another_name_is_not_taken(folder):
    program(2.0)
    path = entry(folder)
    program(3.0)
    (other,) = {*folder.iterdir()} - {path}
    other.write_bytes(path.read_bytes())
    assert program(3.0).run([X])[0] == pytest.approx(wanted(3.0))


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps users' folders to themselves")
def test_what_others_may_have_written_is_not_executed(folder, monkeypatch, tmp_path):
    program()
    path = entry(folder)
    path.chmod(0o622)
    program()
    assert cache.info().found == 0
    assert entry(folder).stat().st_mode & 0o777 == 0o600
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    program()
    assert cache.info().found == 0
    assert not entry(folder).is_symlink()
    assert elsewhere.exists()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.warns(RuntimeWarning, match="belongs to another user, or others may write"):
        program()
    program()  # told once
    monkeypatch.setattr(cache, "_KNOWN", {})
    monkeypatch.setattr(os, "geteuid", lambda: user)
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="others may write"):
        assert program().run([X])[0] == pytest.approx(wanted())
    assert cache.info().found == 0


# ---------------------------------------------------------------- disks that fail


def test_a_folder_that_cannot_be_made(folder, monkeypatch, tmp_path):
    """It works without, and says so once."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="cannot be kept on disk: .*Not a directory"):
        assert program().run([X])[0] == pytest.approx(wanted())
    assert program(3.0).run([X])[0] == pytest.approx(wanted(3.0))
    assert "Not a directory" in repr(cache.info())


def test_a_warning_that_is_an_error_is_not_a_failed_kernel(folder, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "file"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="cannot be kept"):
            program()
        assert not program().steps.refused


FULL = """
    import resource, sys, warnings
    import chainrule as cr
    from chainrule.compiler import cache, execute
    warnings.simplefilter("ignore")
    for line in sys.argv[1:]:
        exec(line)
    x = cr.ones(5, dtype=cr.float64)
    for k in range(8):
        program = execute.compiled(cr.graph.trace(lambda x: (x.exp() * (k + 2)).sum(), x))
        assert abs(program(x).item() - 5 * 2.718281828459045 * (k + 2)) < 1e-9
    info = cache.info()
    print(info.stored, info.trouble)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of a process on files")
def test_a_disk_that_is_full(folder):
    """No file may be longer than 2 KiB: every write fails in the middle."""
    limit = 'exec("resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))")'
    out = run_python(FULL.replace("for line in sys.argv[1:]:\n        exec(line)", limit))
    assert out.startswith("0 the disk is full")
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system in memory")
def test_a_full_file_system(folder, tmp_path):
    """A file system of 32 KiB: some entries fit, then the disk is full, and nothing fails."""
    place = tmp_path / "small"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "none", str(place)], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if mount.returncode:
        pytest.skip(f"may not mount: {mount.stderr.strip()}")
    try:
        out = run_python(FULL, CHAINRULE_CACHE_DIR=str(place))
        left = sorted((place / "code").iterdir())
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert " the disk is full" in out
    assert 0 < int(out.split()[0]) == len(left) < 8
    assert all(path.suffix == ".code" for path in left)


def test_a_write_that_fails_in_the_middle(folder, monkeypatch):
    real = os.replace

    def refuse(a, b):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.warns(RuntimeWarning, match="the disk is full"):
        program()
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(os, "replace", real)
    program()  # the process does not try again
    assert cache.info().stored == 0


def test_a_folder_that_goes_away_is_made_again(folder):
    program()
    entry(folder).unlink()
    folder.rmdir()
    program(3.0)
    assert cache.info().entries == 1


# ---------------------------------------------------------------- many, and many at once


def test_what_was_not_used_for_longest_goes(tmp_path):
    found = cache.Cache(tmp_path, 10 * 1100)
    keys = [f"{i:02x}" * 32 for i in range(40)]
    for i, key in enumerate(keys[:9]):
        found.store(key, bytes(1000))
        os.utime(found._path(key), (i, i))
    assert found.load(keys[0]) == bytes(1000)  # used now
    for key in keys[9:12]:
        found.store(key, bytes(1000))
    assert found.load(keys[0]) is not None
    assert found.load(keys[1]) is None
    for key in keys[12:]:
        found.store(key, bytes(1000))
        assert sum(size for _, size, _ in found.entries()) <= found.limit
    assert found.load(keys[-1]) is not None
    found.store(keys[0], bytes(20_000))  # more than all may take
    assert found.load(keys[0]) != bytes(20_000)


def test_files_of_writers_that_died_go(tmp_path):
    found = cache.Cache(tmp_path, 10_000)
    old, new = tmp_path / "a.code.1.ff.part", tmp_path / "b.code.2.ff.part"
    for path in (old, new):
        path.write_bytes(b"half")
    foreign = tmp_path / "notes.txt"
    foreign.write_text("not ours")
    os.utime(old, (time.time() - 1000,) * 2)
    found.store(KEY, b"machine code")
    assert not old.exists()
    assert new.exists()
    assert found.clear() == 1
    assert {*tmp_path.iterdir()} == {foreign, new}


WRITER = """
    import os, random, sys
    from pathlib import Path
    from chainrule.compiler.cache import Cache
    seed = int(os.environ["SEED"])
    rng = random.Random(seed)
    cache = Cache(Path(os.environ["CHAINRULE_CACHE_DIR"]), 60_000)
    print("ready", flush=True)
    count = 0
    while count < 400 or seed < 0:
        key = f"{rng.randrange(40):02x}" * 32
        size = int(key[:2], 16) * 37 + 1000
        code = cache.load(key)
        assert code is None or code == key[:2].encode() * size
        if code is None or rng.random() < 0.3:
            cache.store(key, key[:2].encode() * size)
        if rng.random() < 0.01:
            cache.clear()
        count += 1
    assert cache.trouble is None, cache.trouble
    print("done")
"""


def start(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=os.environ | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_writers_at_the_same_time(tmp_path):
    place = str(tmp_path)
    writers = [start(WRITER, SEED=str(i), CHAINRULE_CACHE_DIR=place) for i in range(4)]
    for writer in writers:
        out, problems = writer.communicate(timeout=200)
        assert out == "ready\ndone\n", problems[-2000:]
    assert_all_whole(tmp_path)


def assert_all_whole(folder):
    found = cache.Cache(folder, 60_000)
    for path, _, _ in found.entries():
        code = found.load(path.stem)
        assert code is not None
        assert code == path.stem[:2].encode() * (len(code) // 2)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_writers_that_are_killed(tmp_path):
    """kill -9 at any moment leaves whole entries, and files that nobody takes for entries."""
    for i in range(6):
        writer = start(WRITER, SEED=str(-1 - i), CHAINRULE_CACHE_DIR=str(tmp_path))
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.01 + 0.013 * i)
        writer.kill()
        writer.communicate()
        assert_all_whole(tmp_path)


KILLED = """
    import os, signal
    from pathlib import Path
    from chainrule.core import files
    from chainrule.compiler import cache

    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    os.replace = die
    cache.Cache(Path(os.environ["CHAINRULE_CACHE_DIR"]), 10_000).store("ab" * 32, b"code")
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_between_writing_and_naming(tmp_path):
    writer = start(KILLED, CHAINRULE_CACHE_DIR=str(tmp_path))
    writer.communicate(timeout=60)
    assert writer.returncode == -9
    (part,) = tmp_path.iterdir()
    assert part.name.endswith(".part")
    found = cache.Cache(tmp_path, 10_000)
    assert found.load(KEY) is None
    assert found.entries() == []
    found.store(KEY, b"code")
    assert found.load(KEY) == b"code"
