"""Functions of vectors are vector instructions only, and call nothing that is not ours."""

import ctypes
import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from llvmlite import ir

from chainrule.compiler import llvm, vecmath
from chainrule.compiler.vecmath.registry import FUNCTIONS
from chainrule.compiler.vectors import lane_type

from .loops import TYPES, add_loop, compiled, native, vector_width


def foreign_calls(text):
    """Functions called in optimised IR, other than LLVM's intrinsics and those beside them."""
    called = re.findall(r'call [^\n]*@"?([\w.]+)"?\(', text)
    return [n for n in called if not n.startswith(("llvm.", "chainrule."))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_loop_is_vectorised(name, dtype):
    code = compiled(name, dtype)
    assert foreign_calls(code.optimised) == []
    called = re.findall(r"\bcall[ql]?\s+\*?\"?([\w.]+)", code.assembly)
    assert all(name.startswith("chainrule.") or name[0] == "r" for name in called)
    full = llvm.host().vector_bits // (32 if dtype == "float32" else 64)
    wide = FUNCTIONS[name].float32_kind == "wide" and dtype == "float32"
    assert vector_width(code.optimised) >= (full // 2 if wide else full)


@pytest.mark.parametrize("name", ["exp", "pow"])
def test_without_fma_nothing_is_called_either(name):
    code = compiled(name, "float64", target="plain")
    assert foreign_calls(code.optimised) == []
    assert "llvm.fma" not in code.optimised


@pytest.mark.skipif(not llvm.host().has_permutations, reason="tables in registers need AVX-512")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["exp", "tanh", "sin", "cos"])
def test_tables_are_read_in_registers(name, dtype):
    """And vectors of any length, numbers too, have the bits of whole registers."""
    code = compiled(name, dtype)
    assert re.search(r"vperm[it]?2?p[sd]", code.assembly)
    assert "gather" not in code.assembly
    x = np.random.default_rng(0).normal(size=64).astype(dtype) * 5
    wanted = native(name, dtype)(x)
    for lanes in (1, 2, 4, 8, 16, 32, 64):
        module = ir.Module()
        f = vecmath.define(module, name, lane_type(TYPES[dtype], lanes))
        add_loop(module, "loop", f, lanes)
        code = llvm.compile_module(module)
        call = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
        found = np.empty_like(x)
        call(code.address("loop"))(x.size, found.ctypes.data, x.ctypes.data)
        np.testing.assert_array_equal(found, wanted)


def test_defined_once():
    module = ir.Module()
    first = vecmath.define(module, "exp", TYPES["float64"])
    assert vecmath.define(module, "exp", TYPES["float64"]) is first
    assert vecmath.define(module, "exp", TYPES["float32"]) is not first


def test_wrong_requests_are_explained():
    with pytest.raises(KeyError, match="no function 'expo' to compile; there are acos"):
        vecmath.define(ir.Module(), "expo", TYPES["float64"])
    with pytest.raises(TypeError, match="float and double only, not for i64"):
        vecmath.define(ir.Module(), "exp", ir.IntType(64))


def test_only_angles_have_rare_arguments():
    module = ir.Module()
    rare = {n for n in vecmath.names() if vecmath.rare(module, n, TYPES["float64"]) is not None}
    assert rare == {"sin", "cos", "tan"}
