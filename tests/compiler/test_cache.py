"""Compiled code on disk: found again, bounded, and never executed if it is not what was written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.compiler import cache, execute, identity
from chainrule.compiler.fuse import KernelStep, fuse
from chainrule.compiler.kernel import Access, Instruction
from tests.compiler.inputs import ordinary
from tests.compiler.programs import trace
from tests.compiler.test_programs import FUNCTIONS

X = ordinary((7, 90), "float64", 0)
KEY = "ab" * 32


@pytest.fixture(autouse=True)
def _edited(monkeypatch):
    """Somebody may edit the compiler while its tests run."""
    monkeypatch.setattr(identity, "_IMPORTED", float("inf"))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A cache of the test's own, empty."""
    monkeypatch.setenv("CHAINRULE_CACHE", "1")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_KNOWN", {})
    return tmp_path / "code"


def program(scale=2.0):
    return execute.compiled(trace(lambda x: (x * scale + 1).sum(), X))


def wanted(scale=2.0):
    return (X * scale + 1).sum()


def run_python(code, **environment):
    """Another process; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True,
        env=os.environ | environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


OTHER_PROCESS = """
    import numpy as np
    import chainrule as cr
    from chainrule.compiler import cache, execute, llvm
    from tests.compiler.test_programs import FUNCTIONS
    from tests.compiler.inputs import ordinary
    x = ordinary((7, 90), "float64", 0)
    for f in FUNCTIONS[:4]:
        program = execute.compiled(cr.graph.trace(f, x).value_and_grad())
        print(*[y.tobytes().hex() for y in program.run([x])])
    info = cache.info()
    print(info.found, info.stored)
"""


def test_another_process_finds_what_was_compiled(folder):
    first = run_python(OTHER_PROCESS).splitlines()
    second = run_python(OTHER_PROCESS).splitlines()
    assert first[-1] == "0 4"
    assert second[-1] == "4 0"
    assert first[:-1] == second[:-1]
    assert len(list(folder.iterdir())) == 4


def test_texts_are_there_without_compiling(folder):
    first = program()
    again = program()
    assert cache.info().found == 1
    assert "run0" in again.report().ir
    assert again.report().ir == first.report().ir
    assert "run0" in again.report().assembly


def test_what_it_looks_like(folder, monkeypatch):
    program()
    info = cache.info()
    assert info.folder == folder
    assert info.entries == info.stored == 1
    shown = repr(info).splitlines()
    assert shown[0] == f"compiled code in {folder}"
    assert "1 entry" in shown[1]
    assert "256 MiB" in shown[1]
    assert shown[2] == "  this process: 0 read, 1 written"
    assert cache.clear() == 1
    assert cache.info().entries == 0
    assert program().run([X])[0] == pytest.approx(wanted())
    monkeypatch.setenv("CHAINRULE_CACHE", "off")
    assert "CHAINRULE_CACHE=off" in repr(cache.info())
    assert cache.clear() == 0


@pytest.mark.parametrize("how", ["0", "off", "False", "keep"])
def test_it_can_be_turned_off(folder, monkeypatch, how):
    if how != "keep":
        monkeypatch.setenv("CHAINRULE_CACHE", how)
    graph = trace(lambda x: x * 2, X)
    found = execute.compiled(graph, keep=False) if how == "keep" else execute.compiled(graph)
    np.testing.assert_array_equal(found.run([X])[0], X * 2)
    assert not folder.exists()


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.delenv("CHAINRULE_CACHE_DIR", raising=False)
    monkeypatch.delenv("CHAINRULE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.info().folder == tmp_path / "xdg" / "chainrule" / "code"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache.info().folder == tmp_path / ".cache" / "chainrule" / "code"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.info().folder == tmp_path / "Library" / "Caches" / "chainrule" / "code"
    monkeypatch.setattr(os.path, "expanduser", lambda p: p)
    assert "no home folder" in repr(cache.info())
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "given"))
    assert cache.info().folder == tmp_path / "given" / "code"
    monkeypatch.setenv("CHAINRULE_CACHE_SIZE", "many")
    with pytest.raises(ValueError, match="CHAINRULE_CACHE_SIZE is a number of bytes, not 'many'"):
        cache.info()


# ---------------------------------------------------------------- keys


def test_the_key_determines_the_module():
    """Kernels of one key have one text, and those of one text one key."""
    seen: dict[str, str] = {}
    for dtype in ("float32", "float64"):
        for shape in ((7, 90), (2, 12)):
            x = ordinary(shape, dtype, 0)
            for f in FUNCTIONS[:7]:
                graph = trace(f, x)
                for g in (graph, graph.value_and_grad(), graph.value_and_grad().optimize()):
                    for key, text in modules_of(g):
                        assert seen.setdefault(key, text) == text
    assert len(set(seen.values())) == len(seen)
    assert len(seen) > 60


def modules_of(graph):
    """Key and text of the machine code of a graph, without LLVM."""
    found = []

    def note(parts, write, keep=True):
        found.append((identity.key_of(*parts), str(write())))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "code_of", note)
        with pytest.raises(KeyboardInterrupt):
            execute.compiled(graph)
    return found


def test_keys_tell_all_numbers_apart():
    f64 = np.dtype("f8")
    codes = [
        Instruction("number", dt, number=n)
        for dt in (np.dtype("f4"), f64)
        for n in map(dt.type, (0.0, -0.0, 1.0, np.nan, np.inf, 5e-324, 1e-45))
    ]
    codes += [Instruction("number", f64, number=n) for n in (np.int64(1), 1, 1.0, True, np.True_)]
    codes += [Instruction("load", f64, access=Access(0, o, s)) for o in (0, 1) for s in ((), (1,))]
    codes += [Instruction("add", f64, (0, 1), f64), Instruction("add", f64, (1, 0), f64)]
    keys = [identity.key_of(c) for c in codes]
    assert len(set(keys)) == len(keys) - 1  # 1e-45 and 5e-324 are one number in float32, or 0
    assert identity.key_of([1, 2]) == identity.key_of((1, 2))
    assert identity.key_of({3, 1, 2}) == identity.key_of({2, 3, 1})
    assert identity.key_of((1, 2), 3) != identity.key_of(1, (2, 3))
    for x in (object(), lambda: 0, np.array([None]), 1j):
        with pytest.raises(identity.Unknown, match="cannot be part of the key"):
            identity.key_of(x)


def test_keys_depend_on_the_surroundings(monkeypatch):
    before = identity.environment()
    for change in (
        lambda: monkeypatch.setattr(cr, "__version__", "0.0.0"),
        lambda: monkeypatch.setattr(sys, "version", "4.0"),
        lambda: monkeypatch.setattr(identity, "_sources", lambda: [("a.py", b"x = 1")]),
    ):
        change()
        identity.environment.cache_clear()
        after = identity.environment()
        assert after != before
        before = after
    monkeypatch.undo()
    identity.environment.cache_clear()
    names = [name for name, _ in identity._sources()]
    assert {"llvm.py", "execute.py", "vecmath/registry.py"} <= {*names}


def test_code_of_a_compiler_that_was_edited_is_not_kept(folder, monkeypatch):
    """What runs is older than the files: its code must not be found by the new compiler."""
    identity.environment.cache_clear()
    monkeypatch.setattr(identity, "_IMPORTED", 0.0)
    assert program().run([X])[0] == pytest.approx(wanted())
    assert cache.info().entries == 0
    assert "was changed since it was imported" in repr(cache.info())
    monkeypatch.undo()
    identity.environment.cache_clear()


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


def test_every_kernel_of_the_suite_has_a_key():
    """Nothing in a kernel that `key_of` does not know, which would turn the cache off silently."""
    for f in FUNCTIONS:
        for step in fuse(trace(f, X).value_and_grad()).steps:
            if isinstance(step, KernelStep):
                assert len(identity.key_of(step.kernel)) == 64
