"""What a traced tensor has for an array, and the equations between such arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.abstract import AbstractArray
from chainrule.core.kinds import mismatch
from chainrule.core.node import Node
from chainrule.core.primitive import PICK, Primitive, _Marker, make_node
from chainrule.core.source import caller, describe

# An input of a graph: nothing to compute, a value to be given.
INPUT = _Marker("input", lambda: None)
# A value that no input has a part in.
CONSTANT = _Marker("constant", lambda x: x)


class TracedArray(AbstractArray):
    """What a traced tensor shows instead of an array.

    What is computed from arrays of a subclass are arrays of that subclass.

    Attributes:
        box: the class of the tensors that show such arrays.
    """

    __slots__ = ()
    box: Any
    knows_node = False  # whether arrays have an attribute `node`: what computes them

    def refusal(self) -> Exception:
        return DataDependence(
            "trace: the graph would depend on data: at "
            f"{describe(*caller(2))} the values of a traced tensor ({self.dtype}"
            f"{list(self.shape)}) are looked at, by a branch (if x > 0, while, range(n)), by "
            ".item(), or by a conversion to a number or an array; a graph has one path for all "
            "data. Use where(condition, a, b) instead of a branch and operations on the tensor "
            "instead of its numbers; or record one run, with its path: Graph.of(f(x))."
        )

    def dynamic_shape(self, what: str, instead: str) -> Exception:
        return DataDependence(
            f"trace: the graph would depend on data: at {describe(*caller(2))} the shape of the "
            f"result of {what} depends on the values of a traced tensor ({self.dtype}"
            f"{list(self.shape)}), and a graph has one shape for all data: {instead}"
        )

    def tensor(self, node: Any) -> Any:
        return self.box.of(node, self)

    def output(self, node: Any, index: int) -> Any:
        return self.box.of(picked(node, index))

    def __repr__(self) -> str:
        return f"<traced {self.dtype}{list(self.shape)}>"


class DataDependence(RuntimeError):  # noqa: N818 - says what happened
    """The function's path depends on data, so it has no single graph."""

    __module__ = "chainrule.graph"


def equation(
    prim: Primitive, values: Sequence[Any], parents: Sequence[Node | None],
    params: dict[str, Any], place: Any,
) -> Node:  # fmt: skip
    """The node that applies a primitive to values of a trace and constants.

    Raises:
        NotImplementedError: if the primitive does not say what shape its result has.
        RuntimeError: if shapes do not fit.
    """
    if prim.aval is None:
        raise NotImplementedError(
            f"trace: {prim.name} does not declare the shape of its result (aval=...), so it cannot "
            "be part of a graph that is built without data; record a run instead: Graph.of(f(x))"
        )
    node = make_node(prim, tuple(values), None, params, tuple(parents), place)
    if prim.partials is not None and _alike(prim, values):
        first = values[0]
        alone = type(first).knows_node
        node.out = out = type(first)(first.shape, first.dtype) if alone else first
        node.shape, node.dtype = out.shape, out.dtype
        return node
    try:
        found = prim.aval(*values, **params)
    except ValueError as error:
        if prim.partials is None:
            raise
        raise mismatch(prim, values, error) from None
    array = TracedArray
    for v in values:
        if type(v) is not TracedArray and isinstance(v, TracedArray):
            array = type(v)
            break
    if type(found) is tuple:
        node.out = tuple([None if a is None else array(tuple(a.shape), a.dtype) for a in found])
        node.shape, node.dtype = None, found[0].dtype
    else:
        node.out = array(tuple(found.shape), found.dtype)
        node.shape, node.dtype = node.out.shape, node.out.dtype
    return node


def _alike(prim: Any, values: Sequence[Any]) -> bool:
    """Whether the result of an elementwise operation is like its operands, which are all alike."""
    first = values[0]
    kind = type(first)
    if (
        not issubclass(kind, TracedArray)
        or first.dtype.kind != "f"
        or prim.result in ("bool", "real")
    ):
        return False
    for v in values:
        if v is not first and (
            type(v) is not kind or v.shape != first.shape or v.dtype is not first.dtype
        ):
            return False
    return True


def picked(node: Node, index: int) -> Node:
    """The node of one output among several."""
    made = make_node(PICK, (None,), None, {"index": index}, (node,), (node.code, node.lasti))
    made.out = node.out[index]
    made.shape, made.dtype = made.out.shape, made.out.dtype
    return made
