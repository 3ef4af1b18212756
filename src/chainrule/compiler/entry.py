"""The native entry of a program: a builtin function whose arguments are NumPy arrays.

`entry(x, y, ...)` looks into the array objects themselves: whether each has the type, dtype, shape
and layout of its variable, and where its memory is. It allocates the results, runs the kernels,
and returns a list; or None, if an argument does not fit. What it knows of Python and NumPy is their
stable binary interface, compared once with what Python says; where it differs there is no entry.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.compiler.buffers import ALIGNMENT
from chainrule.compiler.llvm import Code, llvm_binding, llvm_ir
from chainrule.compiler.lowering import COMPILED_DTYPES
from chainrule.graph.ir import Graph
from chainrule.graph.run import evaluate, plan_of

HEADER = object.__basicsize__  # bytes before the fields of an array; the type stands last in it
DATA, NDIM, DIMS, DESCR, FLAGS = (HEADER + k for k in (0, 8, 16, 40, 48))
PLAIN = 0x0001 | 0x0100  # C order and aligned, among the flags
ON_STACK = 1 << 15  # bytes of scratch memory that the entry has of its own
FASTCALL = 0x0080  # a method's arguments come as a C array
_TYPE, _NEW = 2, 94  # places in NumPy's table of functions: PyArray_Type, PyArray_NewFromDescr


@dataclass(frozen=True)
class Signature:
    """What an entry takes and makes.

    Attributes:
        slots: how many places the table of addresses has.
        inputs, outputs: per array its place in the table, shape and dtype.
        known: the places of addresses that do not change, in the order of the variable `known`.
        scratch: bytes of scratch memory, whose place is 0.
        releases: whether other Python threads may run meanwhile.
    """

    slots: int
    inputs: tuple[tuple[int, tuple[int, ...], np.dtype[Any]], ...]
    outputs: tuple[tuple[int, tuple[int, ...], np.dtype[Any]], ...]
    known: tuple[int, ...]
    scratch: int
    releases: bool


class _Method(ctypes.Structure):
    """Python's `PyMethodDef`."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class _Holder:
    """What has to live as long as an entry: its `self`."""

    def __init__(self, *things: Any) -> None:
        self.things = things


@functools.cache
def is_known() -> bool:
    """Whether arrays are laid out as expected here; the entry's symbols are then known to LLVM."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    table = _numpy_functions()
    if table is None or table[_TYPE] != id(np.ndarray) or not _layout_holds():
        return False
    symbols = {
        name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        for name in (
            "PyList_New",
            "PyList_SetItem",
            "Py_IncRef",
            "Py_DecRef",
            "PyEval_SaveThread",
            "PyEval_RestoreThread",
        )
    }
    symbols |= {"array_type": id(np.ndarray), "new_array": table[_NEW], "none": id(None)}
    symbols |= {f"dtype_{dt.str[1:]}": id(dt) for dt in COMPILED_DTYPES}
    for name, address in symbols.items():
        llvm_binding().add_symbol(f"chainrule.{name}", address)
    return True


def _numpy_functions() -> Any:
    """NumPy's table of C functions, None if there is none."""
    core = getattr(np, "_core", None) or np.core
    capsule = getattr(core._multiarray_umath, "_ARRAY_API", None)
    if capsule is None:
        return None
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    return ctypes.cast(get(capsule, None), ctypes.POINTER(ctypes.c_void_p))


def _layout_holds() -> bool:
    """Whether what stands in array objects is what Python says of them."""
    whole = np.zeros((3, 5), np.float32)
    for x in (whole, whole[1:, ::2], np.zeros((), np.int64), whole.view(np.uint8)[:, 1:5]):
        address = id(x)

        def field(kind: Any, offset: int, start: int = address) -> Any:
            return kind.from_address(start + offset).value

        dims = field(ctypes.c_void_p, DIMS)
        plain = x.flags.c_contiguous * 0x0001 | x.flags.aligned * 0x0100
        if (
            field(ctypes.c_void_p, HEADER - 8) != id(np.ndarray)
            or field(ctypes.c_void_p, DATA) != x.__array_interface__["data"][0]
            or field(ctypes.c_int, NDIM) != x.ndim
            or field(ctypes.c_void_p, DESCR) != id(x.dtype)
            or field(ctypes.c_int, FLAGS) & PLAIN != plain
            or any(field(ctypes.c_int64, 8 * k, dims) != d for k, d in enumerate(x.shape))
        ):
            return False
    return True


def write_entry(module: Any, run: Any, signature: Signature) -> None:
    """Add the function `entry` to a module, around `run(table of addresses)`."""
    _Writer(module, signature).write(run)


def entry_of(code: Code, known: Sequence[int], held: Sequence[Any]) -> Callable[..., Any]:
    """The entry of a compiled module as a Python function, which keeps the code alive.

    Args:
        known: the addresses of constants and of BLAS's functions, as in the signature.
        held: what must live as long.
    """
    if known:
        (ctypes.c_void_p * len(known)).from_address(code.variable("known"))[:] = [*known]
    method = _Method(b"entry", code.address("entry"), FASTCALL, None)
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.POINTER(_Method), ctypes.py_object, ctypes.c_void_p
    )(("PyCFunction_NewEx", ctypes.pythonapi))
    made: Callable[..., Any] = make(ctypes.pointer(method), _Holder(code, method, *held), None)
    return made


class _Writer:
    """The function `entry` under construction."""

    def __init__(self, module: Any, signature: Signature) -> None:
        ir = self.ir = llvm_ir()
        self.module = module
        self.signature = signature
        self.byte = ir.IntType(8).as_pointer()
        self.int, self.size = ir.IntType(32), ir.IntType(64)
        kind = ir.FunctionType(self.byte, [self.byte, self.byte.as_pointer(), self.size])
        self.function = ir.Function(module, kind, "entry")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.refused = self.function.append_basic_block("refused")

    def write(self, run: Any) -> None:
        """The whole function."""
        b, signature = self.b, self.signature
        table = b.alloca(self.byte, signature.slots)
        if 0 < signature.scratch <= ON_STACK:
            scratch = b.alloca(self.ir.IntType(8), self.size(signature.scratch))
            scratch.align = ALIGNMENT
            self._put(table, 0, scratch)
        self._demand(b.icmp_signed("==", self.function.args[2], self.size(len(signature.inputs))))
        for i, (slot, shape, dtype) in enumerate(signature.inputs):
            x = b.load(b.gep(self.function.args[1], [self.size(i)]))
            self._check(x, shape, dtype)
            self._put(table, slot, self._field(x, DATA, self.byte))
        self._known(table)
        made = self._results(table)
        large = self._scratch(table, made) if signature.scratch > ON_STACK else None
        if signature.releases:
            thread = b.call(self._symbol("PyEval_SaveThread", self.byte, []), [])
        b.call(run, [table])
        if signature.releases:
            b.call(self._symbol("PyEval_RestoreThread", None, [self.byte]), [thread])
        if large is not None:
            b.call(self._symbol("Py_DecRef", None, [self.byte]), [large])
        b.ret(made)
        b.position_at_end(self.refused)
        none = self._object("none")
        b.call(self._symbol("Py_IncRef", None, [self.byte]), [none])
        b.ret(none)

    def _symbol(self, name: str, result: Any, args: Sequence[Any]) -> Any:
        """A function of Python's or NumPy's."""
        full = f"chainrule.{name}"
        kind = self.ir.FunctionType(result or self.ir.VoidType(), args)
        return self.module.globals.get(full) or self.ir.Function(self.module, kind, full)

    def _object(self, name: str) -> Any:
        """The address of an object that lives as long as the process."""
        full = f"chainrule.{name}"
        found = self.module.globals.get(full)
        return found or self.ir.GlobalVariable(self.module, self.ir.IntType(8), full)

    def _field(self, x: Any, offset: int, kind: Any) -> Any:
        place = self.b.gep(x, [self.size(offset)])
        return self.b.load(self.b.bitcast(place, kind.as_pointer()))

    def _put(self, table: Any, slot: int, address: Any) -> None:
        self.b.store(address, self.b.gep(table, [self.size(slot)]))

    def _demand(self, condition: Any) -> None:
        """Go on if the condition holds."""
        going = self.function.append_basic_block("fits")
        self.b.cbranch(condition, going, self.refused)
        self.b.position_at_end(going)

    def _check(self, x: Any, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        """Go on if x is a plain array of this shape and dtype."""
        b = self.b
        kind = self._field(x, HEADER - 8, self.byte)
        self._demand(b.icmp_unsigned("==", kind, self._object("array_type")))
        flags = b.and_(self._field(x, FLAGS, self.int), self.int(PLAIN))
        fits = b.icmp_signed("==", flags, self.int(PLAIN))
        described = self._field(x, DESCR, self.byte)
        same = b.icmp_unsigned("==", described, self._object(f"dtype_{dtype.str[1:]}"))
        ndim = b.icmp_signed("==", self._field(x, NDIM, self.int), self.int(len(shape)))
        self._demand(b.and_(b.and_(fits, same), ndim))
        if shape:
            dims = self._field(x, DIMS, self.size.as_pointer())
            for k, d in enumerate(shape):
                found = b.load(b.gep(dims, [self.size(k)]))
                self._demand(b.icmp_signed("==", found, self.size(d)))

    def _known(self, table: Any) -> None:
        slots = self.signature.known
        if not slots:
            return
        kind = self.ir.ArrayType(self.byte, len(slots))
        held = self.ir.GlobalVariable(self.module, kind, "known")
        held.initializer = kind(None)
        for k, slot in enumerate(slots):
            self._put(table, slot, self.b.load(self.b.gep(held, [self.size(0), self.size(k)])))

    def _array(self, shape: Sequence[int], dtype: np.dtype[Any], dropped: Any) -> Any:
        """A fresh array; where there is no memory, the function drops a list and returns."""
        b, byte, nothing = self.b, self.byte, self.byte(None)
        kinds = [byte, byte, self.int, byte, byte, byte, self.int, byte]
        described = self._object(f"dtype_{dtype.str[1:]}")
        b.call(self._symbol("Py_IncRef", None, [byte]), [described])
        given = [self._object("array_type"), described, self.int(len(shape)), self._dims(shape)]
        new = self._symbol("new_array", byte, kinds)
        x = b.call(new, [*given, nothing, nothing, self.int(0), nothing])
        self._return_unless(x, dropped)
        return x

    def _scratch(self, table: Any, made: Any) -> Any:
        """Scratch memory as an array."""
        x = self._array((self.signature.scratch,), np.dtype(np.uint8), made)
        self._put(table, 0, self._field(x, DATA, self.byte))
        return x

    def _results(self, table: Any) -> Any:
        """The list of the results, allocated."""
        b, byte, size, outputs = self.b, self.byte, self.size, self.signature.outputs
        made = b.call(self._symbol("PyList_New", byte, [size]), [size(len(outputs))])
        self._return_unless(made)
        put = self._symbol("PyList_SetItem", self.int, [byte, size, byte])
        for k, (slot, shape, dtype) in enumerate(outputs):
            x = self._array(shape, dtype, made)
            b.call(put, [made, size(k), x])
            self._put(table, slot, self._field(x, DATA, byte))
        return made

    def _dims(self, shape: Sequence[int]) -> Any:
        """The address of a shape."""
        kind = self.ir.ArrayType(self.size, len(shape))
        name = "shape" + "".join(f"_{d}" for d in shape)
        held = self.module.globals.get(name)
        if held is None:
            held = self.ir.GlobalVariable(self.module, kind, name)
            held.linkage, held.global_constant = "internal", True
            held.initializer = kind(list(shape))
        return self.b.bitcast(held, self.byte)

    def _return_unless(self, x: Any, dropped: Any = None) -> None:
        """Return Python's error if an object could not be made."""
        b = self.b
        with b.if_then(b.icmp_unsigned("==", x, self.byte(None)), likely=False):
            if dropped is not None:
                b.call(self._symbol("Py_DecRef", None, [self.byte]), [dropped])
            b.ret(self.byte(None))


def watched(entry: Callable[..., Any], graph: Graph) -> Callable[..., Any]:
    """An entry of a graph's program, whose last result says if an index was out of bounds."""

    def run(*arrays: np.ndarray) -> Any:
        found = entry(*arrays)
        if found is not None and found.pop()[0]:
            return evaluate(plan_of(graph), list(arrays))  # raises, with its message
        return found

    return run
