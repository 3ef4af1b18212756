"""Traced tensors whose values can be looked at, while a function is recorded for the compiler.

A recording is a run with actual arguments that computes nothing until somebody looks: `bool(x)`,
`x.item()`, `float(x)`.  Then what the value needs is computed, and the value becomes a *guard*: the
recording holds for those arguments only that give the same value there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.core.source import caller, describe
from chainrule.core.tensor import as_array
from chainrule.graph.run import constant
from chainrule.graph.walk import needed
from chainrule.transforms.tracing import CONSTANT, DataDependence, TracedArray, recorder

LARGEST_GUARD = 64  # entries of a tensor that is compared in every call
LARGEST_GUARD_OUTSIDE = 1 << 16  # of one that does not depend on the arguments


class NotRecorded(DataDependence):
    """A call has to run eagerly.

    Attributes:
        reason: why.
        lasting: whether it holds for all calls with this signature.
        failed: whether the function raised an error while it was recorded.
    """

    def __init__(self, reason: str, lasting: bool = True, failed: bool = False) -> None:
        super().__init__(reason)
        running: Any = recorder.get()
        if hasattr(running, "refused"):
            running.refused = self  # whoever catches it, the recording is void
        self.reason = reason
        self.lasting = lasting
        self.failed = failed


class LiveArray(TracedArray):
    """What a traced tensor shows while a function is recorded: values too, at the price of a guard.

    Attributes:
        node: what computes the tensor.
    """

    __slots__ = ("node",)
    knows_node = True
    has_values = True

    def converted(self) -> None:
        """Told that values leave for Python, which would silently drop a gradient."""
        known: Any = recorder.get()
        if hasattr(known, "converted"):
            known.converted = True

    def look(self) -> np.ndarray:
        """The values.

        Raises:
            NotRecorded: if they are not known, or too many to be compared in every call.
        """
        known = recorder.get()
        look = getattr(known, "look", None)
        if look is None:
            raise self.refusal()
        found: np.ndarray = look(self)
        return found

    def dynamic_shape(self, what: str, instead: str) -> Exception:
        return NotRecorded(
            f"the shape of the result of {what} depends on values, at {describe(*caller(2))}"
        )

    def item(self) -> Any:
        """The only entry as a Python number."""
        return self.look().item()

    def tolist(self) -> Any:
        """The entries as nested lists of Python numbers."""
        return self.look().tolist()


def _looking(name: str) -> Any:
    """The method of an array of that name, applied to the values."""

    def method(self: LiveArray, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.look(), name)(*args, **kwargs)

    method.__name__ = name
    return method


for _name in (
    "array", "bool", "int", "float", "complex", "index", "getitem", "add", "radd", "sub", "rsub",
    "mul", "rmul", "truediv", "lt", "le", "gt", "ge", "neg", "invert", "and", "or", "eq", "ne",
):  # fmt: skip
    setattr(LiveArray, f"__{_name}__", _looking(f"__{_name}__"))


class Values:
    """The values of nodes in one run, computed when asked for."""

    def __init__(self) -> None:
        self.known: dict[Node, Any] = {}

    def of(self, target: Node) -> np.ndarray:
        """The value of a node.

        Raises:
            NotRecorded: if it depends on something that has no value of its own, such as an
                argument that is mapped over.
        """
        known = self.known
        with np.errstate(all="ignore"):
            for node in needed([target], known):
                if not node.parents and node.prim is not CONSTANT:
                    raise NotRecorded(f"values that are not known are looked at, at {node.where}")
                known[node] = _evaluated(node, known)
        found: np.ndarray = known[target]
        return found


def _evaluated(node: Node, known: dict[Node, Any]) -> Any:
    args: Sequence[Any] = [
        constant(node, a) if p is None else known[p]
        for a, p in zip(node.args, node.parents, strict=True)
    ]
    if node.prim is PICK:
        return args[0][node.params["index"]]  # type: ignore[index]
    out = node.prim.eval(*args, **(node.params or {}))
    return out if type(out) is tuple else as_array(out)
