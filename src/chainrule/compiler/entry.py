"""The native entry of a program: a builtin function whose arguments are NumPy arrays.

`entry(x, y, ...)` looks into the array objects themselves: whether each has the type, dtype, shape
and layout of its variable, and where its memory is. It allocates the results, runs the kernels,
and returns a list; or None, if an argument does not fit. What it knows of Python and NumPy is their
stable binary interface, compared once with what Python says; where it differs there is no entry.

`entry(x, y, ..., driver)` does the same up to running anything, which it leaves to the driver, a
Python function: threads share large kernels then, or NumPy is called between two of them.
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

HEADER = object.__basicsize__  # bytes before the fields of an array; the type stands last in it
DATA, NDIM, DIMS, DESCR, FLAGS = (HEADER + k for k in (0, 8, 16, 40, 48))
PLAIN = 0x0001 | 0x0100  # C order and aligned, among the flags
ON_STACK = 1 << 15  # bytes of scratch memory that the entry has of its own
FASTCALL = 0x0080  # a method's arguments come as a C array
DTYPES = COMPILED_DTYPES | {np.dtype(c) for c in "eFD"}  # which arrays of an entry may have
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
        flagged: whether the last of the outputs is the flag, which is 0 to begin with.
        whole: whether native code runs everything, if there is no driver.
        driven: whether there may be a driver.
    """

    slots: int
    inputs: tuple[tuple[int, tuple[int, ...], np.dtype[Any]], ...]
    outputs: tuple[tuple[int, tuple[int, ...], np.dtype[Any]], ...]
    known: tuple[int, ...]
    scratch: int
    releases: bool
    flagged: bool = False
    whole: bool = True
    driven: bool = False

    @property
    def on_stack(self) -> bool:
        """Whether scratch memory is the entry's own.

        A driver that is interrupted leaves threads that still write to it.
        """
        return self.scratch <= ON_STACK and not self.driven


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
            "PyList_GetItem",
            "PyList_Size",
            "PyList_SetSlice",
            "PyList_Append",
            "PyTuple_New",
            "PyTuple_SetItem",
            "PyBytes_FromStringAndSize",
            "PyObject_CallObject",
            "Py_IncRef",
            "Py_DecRef",
            "PyEval_SaveThread",
            "PyEval_RestoreThread",
        )
    }
    symbols |= {"array_type": id(np.ndarray), "new_array": table[_NEW], "none": id(None)}
    symbols |= {f"dtype_{dt.str[1:]}": id(dt) for dt in DTYPES}
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
    """Add the function `entry` to a module, around `run(table of addresses)`, if that is all."""
    _Writer(module, signature).write(run)


def entry_of(
    code: Code, signature: Signature, known: Sequence[int], free: list[Any], held: Sequence[Any]
) -> Callable[..., Any]:
    """The entry of a compiled module as a Python function, which keeps the code alive.

    Args:
        known: the addresses of constants and of BLAS's functions, as in the signature.
        free: scratch memory that no call uses; pieces are taken from it and put back.
        held: what must live as long.
    """
    if known:
        (ctypes.c_void_p * len(known)).from_address(code.variable("known"))[:] = [*known]
    if signature.scratch and not signature.on_stack:
        ctypes.c_void_p.from_address(code.variable("free")).value = id(free)
    method = _Method(b"entry", code.address("entry"), FASTCALL, None)
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.POINTER(_Method), ctypes.py_object, ctypes.c_void_p
    )(("PyCFunction_NewEx", ctypes.pythonapi))
    made: Callable[..., Any] = make(
        ctypes.pointer(method), _Holder(code, method, free, *held), None
    )
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
        count, given = self.function.args[2], self.size(len(signature.inputs))
        fits = b.icmp_signed("==", count, given)
        if signature.driven:
            drives = b.icmp_signed("==", count, self.size(given.constant + 1))
            fits = b.or_(fits, drives) if signature.whole else drives
        self._demand(fits)
        objects = [
            b.load(b.gep(self.function.args[1], [self.size(i)])) for i in range(given.constant)
        ]
        for x, (slot, shape, dtype) in zip(objects, signature.inputs, strict=True):
            self._check(x, shape, dtype)
            self._put(table, slot, self._field(x, DATA, self.byte))
        self._known(table)
        made = self._results(table)
        scratch = self._scratch(table, made) if signature.scratch else None
        if signature.driven:
            with b.if_then(drives):
                self._drive(objects, table, made, scratch)
        if signature.whole:
            self._run(run, table)
            self._keep(scratch, made)
            b.ret(made)
        else:
            b.unreachable()
        b.position_at_end(self.refused)
        b.ret(self._owned(self._object("none")))

    def _run(self, run: Any, table: Any) -> None:
        """Run the native code."""
        b = self.b
        if self.signature.releases:
            thread = b.call(self._symbol("PyEval_SaveThread", self.byte, []), [])
        b.call(run, [table])
        if self.signature.releases:
            b.call(self._symbol("PyEval_RestoreThread", None, [self.byte]), [thread])

    def _drive(self, objects: Sequence[Any], table: Any, made: Any, scratch: Any) -> None:
        """Return what the driver, the last argument, makes of everything.

        It is called with the table as bytes, the list of results, the scratch memory, and the
        arguments: if it is interrupted, other threads go on with memory that it holds.
        """
        b, byte, size = self.b, self.byte, self.size
        new = self._symbol("PyBytes_FromStringAndSize", byte, [byte, size])
        addresses = b.call(new, [b.bitcast(table, byte), size(8 * self.signature.slots)])
        self._return_unless(addresses, made, scratch)
        new = self._symbol("PyTuple_New", byte, [size])
        given = b.call(new, [size(3 + len(objects))])
        self._return_unless(given, made, scratch, addresses)
        put = self._symbol("PyTuple_SetItem", self.int, [byte, size, byte])
        held = [made, self._object("none") if scratch is None else scratch, *objects]
        for k, x in enumerate([addresses, *map(self._owned, held)]):
            b.call(put, [given, size(k), x])
        driver = b.load(b.gep(self.function.args[1], [size(len(objects))]))
        found = b.call(self._symbol("PyObject_CallObject", byte, [byte, byte]), [driver, given])
        self._drop(given)
        self._return_unless(found, made, scratch)
        self._keep(scratch, made)
        self._drop(made)
        b.ret(found)

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

    def _owned(self, x: Any) -> Any:
        """An object with one more reference."""
        self.b.call(self._symbol("Py_IncRef", None, [self.byte]), [x])
        return x

    def _drop(self, x: Any) -> None:
        self.b.call(self._symbol("Py_DecRef", None, [self.byte]), [x])

    def _array(self, shape: Sequence[int], dtype: np.dtype[Any], dropped: Any) -> Any:
        """A fresh array; where there is no memory, the function drops a list and returns."""
        b, byte, nothing = self.b, self.byte, self.byte(None)
        kinds = [byte, byte, self.int, byte, byte, byte, self.int, byte]
        described = self._object(f"dtype_{dtype.str[1:]}")
        self._owned(described)
        given = [self._object("array_type"), described, self.int(len(shape)), self._dims(shape)]
        new = self._symbol("new_array", byte, kinds)
        x = b.call(new, [*given, nothing, nothing, self.int(0), nothing])
        self._return_unless(x, dropped)
        return x

    def _scratch(self, table: Any, made: Any) -> Any:
        """Scratch memory: an array that no other call uses; None if it is on the stack."""
        b, byte, size = self.b, self.byte, self.size
        if self.signature.on_stack:
            with b.goto_entry_block():
                scratch = b.alloca(self.ir.IntType(8), size(self.signature.scratch))
            scratch.align = ALIGNMENT
            self._put(table, 0, scratch)
            return None
        free = b.load(self._free())
        count = b.call(self._symbol("PyList_Size", size, [byte]), [free])
        with b.if_else(b.icmp_signed(">", count, size(0))) as (kept, none):
            with kept:
                last = b.sub(count, size(1))
                get = self._symbol("PyList_GetItem", byte, [byte, size])
                old = self._owned(b.call(get, [free, last]))
                cut = self._symbol("PyList_SetSlice", self.int, [byte, size, size, byte])
                b.call(cut, [free, last, count, byte(None)])
                after_old = b.block
            with none:
                new = self._array((self.signature.scratch,), np.dtype(np.uint8), made)
                after_new = b.block
        x = b.phi(byte)
        x.add_incoming(old, after_old)
        x.add_incoming(new, after_new)
        self._put(table, 0, self._field(x, DATA, byte))
        return x

    def _keep(self, scratch: Any, made: Any) -> None:
        """Put scratch memory back, for other calls."""
        if scratch is None:
            return
        b = self.b
        append = self._symbol("PyList_Append", self.int, [self.byte, self.byte])
        failed = b.call(append, [b.load(self._free()), scratch])
        self._drop(scratch)
        with b.if_then(b.icmp_signed("!=", failed, self.int(0)), likely=False):
            self._drop(made)
            b.ret(self.byte(None))

    def _free(self) -> Any:
        """The variable that is the list of scratch memory."""
        held = self.module.globals.get("free")
        if held is None:
            held = self.ir.GlobalVariable(self.module, self.byte, "free")
            held.initializer = self.byte(None)
        return held

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
        if self.signature.flagged:
            flag = self._field(x, DATA, size.as_pointer())
            b.store(size(0), flag)
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

    def _return_unless(self, x: Any, *dropped: Any) -> None:
        """Return Python's error if an object could not be made, and drop others."""
        b = self.b
        with b.if_then(b.icmp_unsigned("==", x, self.byte(None)), likely=False):
            for other in dropped:
                if other is not None:
                    self._drop(other)
            b.ret(self.byte(None))
