"""What the rarer recording modes do to a freshly recorded node: anomaly checks and saved-tensor hooks."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.modes import Mode
from chainrule.core.node import Node, extra_of


class Packed:
    """What a pack hook made of a saved array, and the hook that undoes it."""

    __slots__ = ("array", "dtype", "shape", "unpack")

    def __init__(self, packed: Any, unpack: Any, array: Any) -> None:
        self.array = packed
        self.unpack = unpack
        self.shape = array.shape
        self.dtype = array.dtype


def after_record(node: Node, out: Any, mode: Mode) -> None:
    """Apply the mode to a node that was just recorded."""
    if mode.anomaly and mode.check_nan:
        check_finite(node, out)
    if mode.saving_forbidden is not None and node.prim.saves:
        raise RuntimeError(mode.saving_forbidden)
    if mode.pack is not None:
        node.args = tuple(map_saved(a, mode) for a in node.args)
        if isinstance(node.out, tuple):
            node.out = tuple(map_saved(o, mode) for o in node.out)
        else:
            node.out = map_saved(node.out, mode)
        extra_of(node)  # sends the sweep to the path that unpacks


def map_saved(value: Any, mode: Mode) -> Any:
    """A saved array in packed form; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    from chainrule.core.tensor import wrap

    assert mode.pack is not None
    return Packed(mode.pack(wrap(value)), mode.unpack, value)


def unpacked(value: Any) -> Any:
    """The array behind a packed value; anything else as it is."""
    if not isinstance(value, Packed):
        return value
    tensor = value.unpack(value.array)
    array = getattr(tensor, "array", None)
    if array is None:
        raise TypeError(
            f"the unpack hook must return a tensor, got {type(tensor).__name__}: it has to undo "
            "exactly what the pack hook did"
        )
    return array


def check_finite(node: Node, out: Any) -> None:
    """Raise if the operation gave birth to a nan or inf: finite arguments, non-finite result.

    Raises:
        RuntimeError: naming the operation, the user's line, and the values at the first bad entry.
    """
    if all(map(finite, node.args)):
        for array in out if isinstance(out, tuple) else (out,):
            if not finite(array):
                raise RuntimeError(birth(node, np.asarray(array)))


def finite(value: Any) -> bool:
    """Whether a value has no nan and no inf among its entries."""
    if (
        not hasattr(value, "dtype")
        or value.dtype.kind not in "fc"
        or not hasattr(value, "__array__")
    ):
        return True
    return bool(np.isfinite(value).all())


def birth(node: Node, array: np.ndarray) -> str:
    """The message for a value that became nan or inf in the operation of `node`."""
    bad = ~np.isfinite(array)
    first = tuple(int(i) for i in np.argwhere(bad)[0]) if array.ndim else ()
    kind = "nan" if np.isnan(array[first]) else "inf"
    operands = []
    for a in node.args:
        if isinstance(a, np.ndarray) and a.shape == array.shape:
            operands.append(f"{a[first]:.6g}")
        elif isinstance(a, np.ndarray) and a.ndim == 0:
            operands.append(f"{a[()]:.6g}")
    given = f" from operands ({', '.join(operands)})" if operands else ""
    return (
        f"Function '{node.prim.grad_name}' returned {kind} values in its forward pass: "
        f"{node.prim.name} at {node.where} made {int(bad.sum())} of {array.size} entries "
        f"non-finite, the first at index {list(first)}{given}"
    )
