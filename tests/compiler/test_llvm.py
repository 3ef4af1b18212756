"""The back end: target, optimisation, code that can be called, and clear errors."""

import ctypes
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite")

from chainrule.compiler import llvm

TWICE = """
define double @twice(double %x) {
  %y = fadd double %x, %x
  ret double %y
}
"""


def test_code_can_be_called_and_looked_at():
    code = llvm.compile_module(TWICE)
    twice = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(code.address("twice"))
    assert twice(21.0) == 42.0
    assert "fadd" in code.optimised
    assert "twice" in code.assembly


def test_unknown_function():
    with pytest.raises(KeyError, match="no function 'thrice'"):
        llvm.compile_module(TWICE).address("thrice")


def test_invalid_module_gets_llvms_message():
    with pytest.raises(RuntimeError, match="expected"):
        llvm.compile_module("define double @f( {")


def test_host_is_described():
    host = llvm.host()
    assert host.cpu
    assert host.triple
    assert host.vector_bits in (128, 256, 512)


def test_missing_llvmlite_names_the_extra():
    program = (
        "import sys; sys.modules['llvmlite'] = None\n"
        "from chainrule.compiler import llvm, vecmath\n"
        "try: llvm.host()\n"
        "except ImportError as error: print(error)\n"
        "try: llvm.llvm_ir()\n"
        "except ImportError as error: print(error)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.count('pip install "chainrule[jit]"') == 2
