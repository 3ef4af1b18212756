"""Which functions there are, and how one comes to stand in a module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..llvm import Host, host, llvm_ir
from .emitter import Emitter, Value

Writer = Callable[..., Value]


@dataclass(frozen=True)
class Elementary:
    """One function: what writes it, of how many arguments, and its arithmetic for float32."""

    name: str
    emit: Writer
    arguments: int
    float32_kind: str


FUNCTIONS: dict[str, Elementary] = {}


def elementary(name: str, arguments: int = 1, *, wide: bool = False) -> Callable[[Writer], Writer]:
    """Register `emit(e, *values)`; `wide` has float64 arithmetic serve float32."""

    def register(emit: Writer) -> Writer:
        kind = "wide" if wide else "float32"
        FUNCTIONS[name] = Elementary(name, emit, arguments, kind)
        return emit

    return register


def entry_of(name: str, type_: Any) -> tuple[Elementary, str]:
    """The function of that name, and "float32" or "float64"."""
    ir = llvm_ir()
    try:
        entry = FUNCTIONS[name]
    except KeyError:
        known = ", ".join(sorted(FUNCTIONS))
        raise KeyError(f"no function {name!r} to compile; there are {known}") from None
    element = getattr(type_, "element", type_)
    if isinstance(element, ir.FloatType):
        return entry, "float32"
    if isinstance(element, ir.DoubleType):
        return entry, "float64"
    raise TypeError(f"{name} is compiled for float and double only, not for {type_}")


def write_function(
    module: Any,
    name: str,
    types: tuple[Any, list[Any]],
    target: Host | None,
    write: Writer,
    kind: str,
) -> Any:
    """A function of that name in the module: `write(e, *arguments)`, unless it is there already.

    Arithmetic of another type than the arguments' (wide) converts them, and the result.
    """
    ir = llvm_ir()
    lanes = getattr(types[0], "count", 1)
    if lanes > 1:
        name = f"{name}.x{lanes}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(*types), name)
    function.linkage = "internal"
    for attribute in ("alwaysinline", "nounwind", "readnone"):
        function.attributes.add(attribute)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emitter = Emitter(builder, kind, target or host(), lanes)
    arguments = [
        a if a.type == emitter.real else builder.fpext(a, emitter.real) for a in function.args
    ]
    result = write(emitter, *[Value(emitter, a) for a in arguments]).raw
    builder.ret(result if result.type == types[0] else builder.fptrunc(result, types[0]))
    return function


def add_function(module: Any, name: str, type_: Any, target: Host | None) -> Any:
    """The branch-free function of that name and type in the module."""
    entry, dtype = entry_of(name, type_)
    kind = "float64" if dtype == "float64" else entry.float32_kind
    types = (type_, [type_] * entry.arguments)
    return write_function(module, f"chainrule.{name}.{dtype}", types, target, entry.emit, kind)
