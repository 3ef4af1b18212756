"""Types of vectors: so many numbers in one register."""

from __future__ import annotations

import functools
from typing import Any

from chainrule.compiler.llvm import llvm_binding, llvm_ir


@functools.cache
def _lane_type() -> Any:
    """The class of vector types whose constants have one number in all lanes."""
    ir = llvm_ir()
    has_splat = llvm_binding().llvm_version_info[0] >= 19

    class LaneType(ir.VectorType):  # type: ignore[misc, name-defined]
        def wrap_constant_value(self, value: Any) -> Any:
            return value[0] if isinstance(value, tuple) else value

        def format_constant(self, value: Any) -> str:
            one = str(ir.Constant(self.element, value))
            if has_splat:
                return f"splat ({one})"
            return "<" + ", ".join([one] * self.count) + ">"

    return LaneType


@functools.cache
def lane_type(element: Any, lanes: int) -> Any:
    """The type of so many entries; of one, the element's itself."""
    return element if lanes == 1 else _lane_type()(element, lanes)


def suffix(type_: Any) -> str:
    """What the names of intrinsics call a type."""
    element = getattr(type_, "element", None)
    if element is not None:
        return f"v{type_.count}{suffix(element)}"
    return {"float": "f32", "double": "f64"}.get(str(type_), str(type_))
