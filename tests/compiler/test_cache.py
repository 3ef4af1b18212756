"""Compiled code on disk: found again, bounded, and never executed if it is not what was written."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.compiler import cache, execute, identity
from chainrule.compiler.fuse import KernelStep, fuse
from chainrule.compiler.kernel import Access, Instruction
from tests.compiler.disk import X, program, run_python, wanted
from tests.compiler.inputs import ordinary
from tests.compiler.programs import trace
from tests.compiler.test_programs import FUNCTIONS

OTHER_PROCESS = """
    import numpy as np
    import chainrule as cr
    from chainrule.compiler import cache, execute
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


def test_every_kernel_of_the_suite_has_a_key():
    """Nothing in a kernel that `key_of` does not know, which would turn the cache off silently."""
    for f in FUNCTIONS:
        for step in fuse(trace(f, X).value_and_grad()).steps:
            if isinstance(step, KernelStep):
                assert len(identity.key_of(step.kernel)) == 64
