"""What the rarer recording modes do: anomaly detection and saved-tensor hooks."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.modes import Mode
from chainrule.core.node import Node, extra_of
from chainrule.core.source import INTERNAL
from chainrule.core.tensor import Tensor, wrap

STACK = "chainrule.stack"


class AnomalyError(RuntimeError):
    """A nan or inf was born; see `chainrule.autograd.detect_anomaly`."""

    __module__ = "chainrule.autograd"


class Packed:
    """What a pack hook made of a saved array, and the hook that undoes it."""

    __slots__ = ("array", "dtype", "shape", "unpack")

    def __init__(self, packed: Any, unpack: Any, array: Any) -> None:
        self.array = packed
        self.unpack = unpack
        self.shape = array.shape
        self.dtype = array.dtype


def after_record(node: Node, out: Any, mode: Mode, values: Sequence[Any]) -> None:
    """Apply the mode to a node that was just recorded for an operation on `values`."""
    if mode.anomaly:
        extra_of(node).metadata[STACK] = user_stack()
        if mode.check_nan:
            check_finite(node, out, values)
    if mode.pack is not None or mode.allow_mutation:
        # Python numbers reach an operation as 0-d arrays without a node: they are not packed.
        node.args = tuple(
            [
                a if p is None and getattr(a, "ndim", None) == 0 else map_saved(a, mode)
                for a, p in zip(node.args, parents_of_args(node), strict=True)
            ]
        )
        if isinstance(node.out, tuple):
            node.out = tuple([map_saved(o, mode) for o in node.out])
        else:
            node.out = map_saved(node.out, mode)
        if mode.pack is not None:
            extra_of(node)  # sends the sweep to the path that unpacks


def parents_of_args(node: Node) -> Sequence[Any]:
    """The node behind each kept argument; those of a custom function stand for themselves."""
    return node.args if node.prim.side_effects else node.parents


def map_saved(value: Any, mode: Mode) -> Any:
    """A saved array in packed form; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if mode.pack is None:
        return value.copy()
    return Packed(mode.pack(wrap(value)), mode.unpack, value)


def unpacked(value: Any) -> Any:
    """The array behind a packed value; anything else as it is."""
    if not isinstance(value, Packed):
        return value
    tensor = value.unpack(value.array)
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"the unpack hook must return a tensor, got {type(tensor).__name__}: it has to undo "
            "exactly what the pack hook did"
        )
    return tensor.array


def user_stack() -> traceback.StackSummary:
    """The user's frames of the call in progress, innermost last; text is read when printed."""
    frames = [
        (frame, line)
        for frame, line in traceback.walk_stack(sys._getframe(2))
        if not INTERNAL[frame.f_code.co_filename]
    ]
    stack = traceback.StackSummary.extract(iter(frames), lookup_lines=False)
    stack.reverse()
    return stack


def check_finite(node: Node, out: Any, values: Sequence[Any]) -> None:
    """Raise if an operation gave birth to a nan or inf: finite operands, non-finite result.

    Raises:
        AnomalyError: naming the operation, the line, and the operands of the first bad entry.
    """
    if all(map(finite, values)):
        for array in out if isinstance(out, tuple) else (out,):
            if not finite(array):
                array = np.asarray(array)
                kind, count, first = first_bad(array)
                raise AnomalyError(
                    f"Function '{node.prim.grad_name}' returned {kind} values in its forward pass: "
                    f"{node.prim.name} at {node.where} made {count} of {array.size} entries "
                    f"non-finite, the first at index {list(first)}"
                    f"{operands(values, array.shape, first)}"
                )


def check_pull(node: Node, g: Any, pulled: Sequence[Any]) -> None:
    """Raise if a derivative rule gave birth to a nan or inf: finite cotangent, non-finite result.

    Raises:
        AnomalyError: naming the operation, the line that recorded it, and the values involved.
    """
    arrived = g if isinstance(g, list) else [g]
    if not all(finite(array_of(a)) for a in arrived):
        return
    for i, x in enumerate(pulled):
        array = array_of(x)
        if finite(array):
            continue
        array = np.asarray(array)
        kind, count, first = first_bad(array)
        name = node.prim.grad_name
        name = name if node.prim.side_effects else f"{name}Backward0"
        stack = None if node.extra is None else node.extra.metadata.get(STACK)
        trace = "".join(stack.format()) if stack else f"  {node.where}\n"
        shown = [array_of(a) for a in arrived]
        kept = (*node.args, *([] if isinstance(node.out, tuple) else [node.out]))
        given = operands(kept, array.shape, first, " from the saved values")
        raise AnomalyError(
            f"Function '{name}' returned {kind} values in its {i}th output: the derivative of "
            f"{node.prim.name} at {node.where} made {count} of {array.size} entries non-finite, "
            f"the first at index {list(first)}{given}"
            f"{operands(shown, array.shape, first, ' with incoming gradient')}"
            f".\nTraceback of the forward call that caused it:\n{trace.rstrip()}"
        )


def array_of(x: Any) -> Any:
    """The array to look at in a cotangent of any form."""
    if isinstance(x, Tensor):
        return x.array
    return getattr(x, "value", x)


def finite(value: Any) -> bool:
    """Whether a value has no nan and no inf among its entries."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    return not isinstance(value, (np.floating, np.complexfloating)) or bool(np.isfinite(value))


def first_bad(array: np.ndarray) -> tuple[str, int, tuple[int, ...]]:
    """What the first non-finite entry is, how many there are, and its index."""
    bad = ~np.isfinite(array)
    first = tuple(int(i) for i in np.argwhere(bad)[0]) if array.ndim else ()
    return ("nan" if np.isnan(array[first]) else "inf"), int(bad.sum()), first


def operands(
    values: Sequence[Any],
    shape: tuple[int, ...],
    first: tuple[int, ...],
    what: str = " from operands",
) -> str:
    """The entries of the values that stand at an index of the (broadcast) result, in words."""
    found = []
    for a in values:
        if isinstance(a, (int, float, complex, np.generic)):
            found.append(f"{a:.6g}")
        elif isinstance(a, np.ndarray) and a.dtype.kind in "iufc":
            try:
                found.append(f"{np.broadcast_to(a, shape)[first]:.6g}")
            except ValueError:
                continue
    return f"{what} ({', '.join(found)})" if found else ""
