"""Library functions by pointer: BLAS as SciPy brings it, called from compiled code.

Compiled code finds the address of a function in the table of addresses that it is called with, so
that the code itself holds no address and can be kept. Functions are Fortran's: every argument is a
pointer, matrices are in column order with a leading dimension.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from chainrule.compiler.llvm import llvm_ir

MISSING = "matrix products by pointer need SciPy, which is not installed"


@functools.cache
def missing() -> str | None:
    """Why there is no BLAS to call; None if there is one.

    >>> from chainrule.compiler import library
    >>> library.missing() is None or "SciPy" in library.missing()
    True
    """
    try:
        capsules = _capsules()
    except ImportError:
        return MISSING
    for name in ("sgemm", "dgemm"):
        kinds = _signature(capsules[name]).split(",")
        if len(kinds) != 13 or any(kinds[i].strip() != "int *" for i in (2, 3, 4, 7, 9, 12)):
            return f"SciPy's {name} has other arguments than expected: {kinds}"
    return None


def _capsules() -> dict[str, Any]:
    from scipy.linalg import cython_blas

    found: dict[str, Any] = cython_blas.__pyx_capi__
    return found


def _signature(capsule: Any) -> str:
    """The arguments of a function in a capsule, in C's words."""
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    text: str = name(capsule).decode()
    return text[text.index("(") + 1 : text.rindex(")")]


@functools.cache
def address(name: str) -> int:
    """Where a function of BLAS begins.

    Args:
        name: such as "dgemm".

    Raises:
        ImportError: if SciPy is not installed.
        KeyError: if there is no such function.

    >>> from chainrule.compiler import library
    >>> library.missing() is not None or library.address("dgemm") > 0
    True
    """
    capsule = _capsules()[name]
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    found: int = pointer(capsule, get_name(capsule))
    return found


class Caller:
    """Writes calls of Fortran functions where a builder stands."""

    def __init__(self, builder: Any) -> None:
        self.ir = llvm_ir()
        self.builder = builder
        self.byte = self.ir.IntType(8).as_pointer()

    def constant(self, value: Any) -> Any:
        """A pointer to a number, or to a character, that does not change."""
        module = self.builder.module
        name = f"constant.{value.type}.{value.constant}"
        found = module.globals.get(name)
        if found is None:
            found = self.ir.GlobalVariable(module, value.type, name)
            found.linkage = "internal"
            found.global_constant = True
            found.initializer = value
        return self.builder.bitcast(found, self.byte)

    def whole(self, number: int) -> Any:
        return self.constant(self.ir.IntType(32)(number))

    def letter(self, letter: str) -> Any:
        return self.constant(self.ir.IntType(8)(ord(letter)))

    def real(self, number: float, bits: int) -> Any:
        return self.constant((self.ir.FloatType() if bits == 32 else self.ir.DoubleType())(number))

    def call(self, function: Any, *args: Any) -> None:
        """Call a function whose address is `function`."""
        type_ = self.ir.FunctionType(self.ir.VoidType(), [self.byte] * len(args))
        self.builder.call(self.builder.bitcast(function, type_.as_pointer()), args)
