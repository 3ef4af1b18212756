"""Graphs as SymPy expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.graph.ir import Graph
from chainrule.graph.symbolic.counts import tree_operations
from chainrule.graph.symbolic.entries import Entries, NoFormula
from chainrule.graph.symbolic.expressions import Builder, Expr, TooLarge, is_leaf, postorder
from chainrule.graph.symbolic.sympy_forms import FORMS, number

LIMIT = 50_000  # operations of an expression written out: SymPy treats it as a tree


def sympy_module() -> Any:
    """SymPy.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        import sympy
    except ImportError as error:
        raise ImportError(
            'SymPy is not installed, which this conversion needs: pip install "chainrule[explain]"'
        ) from error
    return sympy


def to_sympy(graph: Graph, symbols: Mapping[str, Any] | None = None) -> Any:
    """The outputs of a graph as SymPy expressions.

    An input without dimensions is a symbol of its name, declared real if it is a float; the entries
    of an input `x` with dimensions are x[0], x[1], ... of an IndexedBase.  An output with two
    dimensions is an ImmutableMatrix, one with another number of them an ImmutableDenseNDimArray.

    Args:
        graph: any graph.
        symbols: symbols (or IndexedBases, MatrixSymbols, arrays) to take for inputs, by name.

    Returns:
        An expression, matrix or array; a tuple of them for several outputs.

    Raises:
        ImportError: if SymPy is not installed.
        chainrule.graph.NoFormula: if an operation has no formula, naming it and its line.
        chainrule.graph.TooLarge: if the expressions are too large, as trees.

    >>> import chainrule as cr
    >>> cr.graph.trace(lambda x, y: cr.log(x) + x * y, 2.0, 5.0).to_sympy()
    x*y + log(x)
    """
    entries = Entries(graph, Builder())
    found = expressions_to_sympy(graph, entries.leaves, entries.outputs, dict(symbols or {}))
    return found[0] if len(found) == 1 else tuple(found)


def expressions_to_sympy(
    graph: Graph, leaves: Mapping[Node, tuple[str, tuple[int, ...]]],
    arrays: Sequence[np.ndarray], symbols: dict[str, Any], simplify: bool = False,
) -> list[Any]:  # fmt: skip
    """Arrays of expressions in SymPy."""
    S = sympy_module()
    roots = [e for a in arrays for e in a.ravel()]
    size = tree_operations(roots).total
    if size > LIMIT:
        from chainrule.graph.symbolic.result import count_text

        raise TooLarge(
            f"{graph.title} has {count_text(size)} operations as a formula without shared parts, "
            f"as which SymPy treats it; the limit is {LIMIT:,}"
        )
    known = {n: _leaf(S, graph, symbols, *at) for n, at in leaves.items()}
    try:
        for node in postorder(roots):
            if not is_leaf(node):
                known[node] = _converted(S, node, known)
        made = [_shaped(S, a, known, simplify) for a in arrays]
    except RecursionError as error:
        raise TooLarge(
            f"{graph.title} has operations nested too deeply for SymPy, which works recursively"
        ) from error
    return made


def _leaf(S: Any, graph: Graph, symbols: dict[str, Any], name: str, place: Any) -> Any:
    found = symbols.get(name)
    if found is None:
        node = next(n for n in graph.inputs if n.params["name"] == name)  # type: ignore[index]
        assumed = {"f": {"real": True}, "i": {"integer": True}}.get(node.dtype.kind, {})
        if place or node.shape:
            found = S.IndexedBase(name, shape=node.shape, **assumed)
        else:
            found = S.Symbol(name, **assumed)
        symbols[name] = found
    return found[place if len(place) > 1 else place[0]] if place else found


def _converted(S: Any, node: Node, known: Mapping[Node, Any]) -> Any:
    form = FORMS.get(node.prim.name)
    args = [
        number(S, a) if p is None else known[p]
        for a, p in zip(node.args, node.parents, strict=True)
    ]
    made = None if form is None else form(S, *args, **(node.params or {}))
    if made is None:
        raise NoFormula(
            f"{node.prim.name} ({node.where}) has no form in SymPy. Write it with operations that "
            "have one, or take it out of the function and pass its result as an argument"
        )
    return S.sympify(made)


def _shaped(S: Any, a: np.ndarray, known: Mapping[Node, Any], simplify: bool) -> Any:
    def convert(e: Expr) -> Any:
        made = known[e] if type(e) is Node else number(S, e)
        return S.simplify(made) if simplify else made

    flat = [convert(e) for e in a.ravel()]
    if a.ndim == 0:
        return flat[0]
    if a.ndim == 2:
        return S.ImmutableMatrix(*a.shape, flat)
    return S.ImmutableDenseNDimArray(flat, a.shape)
