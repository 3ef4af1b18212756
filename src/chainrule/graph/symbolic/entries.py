"""A graph of tensors, entry by entry: every value becomes an array of expressions.

Elementwise operations act on each entry.  Linear and multilinear ones are found out by evaluating
the primitive itself: on distinct numbers, which shows where entries go, and where they are added,
on unit vectors.  What remains is defined in `reductions.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import PICK, REGISTRY
from chainrule.graph.ir import Graph
from chainrule.graph.run import constant
from chainrule.graph.symbolic.expressions import Builder, Expr, is_number
from chainrule.graph.symbolic.reductions import FORMULAS
from chainrule.transforms.tracing import CONSTANT, equation

ENTRIES = 100_000  # of one value
WORK = 20_000_000  # coefficients of a multilinear operation

# Not elementwise in the sense of having partial derivatives declared, but of acting entrywise.
ENTRYWISE = frozenset({"where", "astype", "detach", "conj", "real", "imag", "complex"})
# Operations that put entries elsewhere: how many arguments have values, before those of indices.
_MOVES = {"concat": 1 << 30, "stack": 1 << 30, "pad": 1, "getitem": 1, "index_put": 2}
# Multilinear in these arguments, plus linear in the rest.
_AFFINE = {"linear": 2, "linear_each": 2, "convolution": 2}
# Linear in the first argument, for given indices.
_LINEAR = frozenset({"select_along", "spread_along", "max_along", "min_along"})
_LARGEST = {"max_along": "argmax", "min_along": "argmin"}


class NoFormula(NotImplementedError):  # noqa: N818 - says what is missing
    """An operation has no formula in terms of single numbers."""

    __module__ = "chainrule.graph"


class _Unknown:
    """The value of an operation without a formula: an error only if it is used."""

    def __init__(self, node: Node, why: str = "") -> None:
        self.node = node
        self.why = why

    def error(self) -> NoFormula:
        name, where = self.node.prim.name, self.node.where
        why = self.why or "it has no formula in terms of single numbers"
        return NoFormula(
            f"{name} ({where}) cannot be written as a formula: {why}. Write it with elementary "
            "operations, take it out of the function and pass its result as an argument, or use "
            "graph.grad(), which needs no formulas"
        )


class Entries:
    """The values of a graph as arrays of expressions.

    Attributes:
        inputs: per input node its entries.
        outputs: the entries of the outputs.
        leaves: the expression of each entry of an input, with the input's name and its place.
    """

    def __init__(self, graph: Graph, builder: Builder) -> None:
        self.graph = graph
        self.builder = builder
        self.leaves: dict[Node, tuple[str, tuple[int, ...]]] = {}
        self._values: dict[Node, Any] = {}
        self.inputs = [self._input(n) for n in graph.inputs]
        for node in graph.nodes[len(graph.inputs) :]:
            builder.place = (node.code, node.lasti)
            self._values[node] = self._value(node)
        self.outputs = [self.of(n) for n in graph.outputs]

    def of(self, node: Node) -> np.ndarray:
        """The entries of a value.

        Raises:
            NoFormula: if it has no formula.
        """
        found = self._values[node]
        if isinstance(found, _Unknown):
            raise found.error()
        entries: np.ndarray = found
        return entries

    def _input(self, node: Node) -> np.ndarray:
        name = node.params["name"]  # type: ignore[index]
        _check_size(node)
        made = np.empty(node.shape or (), object)
        for place in np.ndindex(made.shape):
            entry = node
            if made.ndim:
                entry = equation(
                    REGISTRY["getitem"], (node.out,), (node,), {"index": place},
                    (node.code, node.lasti),
                )  # fmt: skip
            made[place] = entry
            self.leaves[entry] = (name, place)
        self._values[node] = made
        return made

    def _value(self, node: Node) -> Any:
        name = node.prim.name
        if node.shape is not None:
            _check_size(node)
        if node.prim is CONSTANT:
            return constants(node.args[0])
        if node.prim is PICK:
            several = self._values[node.parents[0]]  # type: ignore[index]
            return several if isinstance(several, _Unknown) else several[node.params["index"]]  # type: ignore[index]
        args: list[Any] = []
        for a, p in zip(node.args, node.parents, strict=True):
            found = self._values[p] if p is not None else constant(node, a)
            if isinstance(found, _Unknown) and not _is_extreme(node):
                return found
            args.append(found)
        if node.prim.partials is not None or name in ENTRYWISE:
            return self._entrywise(name, node, args)
        if name == "pull_product":
            return self._entrywise("multiply", node, args[:2])
        if name == "pull_selection":
            return self._selected(node, *args)
        formula = FORMULAS.get(name)
        if formula is not None and (name not in _LARGEST or _is_extreme(node)):
            made = formula(self.builder, node, *map(as_entries, args), **(node.params or {}))
            return _Unknown(node, made) if isinstance(made, str) else made
        return self._by_probing(node, args)

    def _selected(self, node: Node, g: Any, chosen: Any) -> np.ndarray:
        zero = node.dtype.type(0)
        if node.args[1].dtype.kind == "b":
            return self._entrywise("where", node, [chosen, g, zero])
        mask = self._entrywise("not_equal", node, [chosen, zero])
        shared = self._entrywise("multiply", node, [g, chosen])
        return self._entrywise("where", node, [mask, shared, zero])

    def _entrywise(self, name: str, node: Node, args: Sequence[Any]) -> np.ndarray:
        params = (node.params or {}) if name == node.prim.name else {}
        arrays = np.broadcast_arrays(*map(as_entries, args), subok=False)
        made = np.empty(node.shape or (), object)
        apply = self.builder.apply
        for place in np.ndindex(made.shape):
            made[place] = apply(name, *[a[place] for a in arrays], **params)
        return made

    # ------------------------------------------------------------ linear operations

    def _by_probing(self, node: Node, args: list[Any]) -> Any:
        """The result of a (multi)linear operation; of another, the note that it has no formula."""
        prim, params = node.prim, node.params or {}
        name = prim.name
        live = [i for i, p in enumerate(node.parents) if p is not None and p.dtype.kind != "i"]
        if node.dtype.kind == "c" or any(node.parents[i].dtype.kind == "c" for i in live):  # type: ignore[union-attr]
            return _Unknown(node, "complex numbers are mixed by it, which has no formula here")
        fixed = [i for i, p in enumerate(node.parents) if p is not None and i not in live]
        if fixed:
            return _Unknown(node, "where it looks depends on data")
        linear = [i for i, r in enumerate(getattr(prim, "jvps", None) or ()) if r == "linear"]
        if name in _MOVES:
            return _moved(node, args)
        if name in _AFFINE:
            return self._affine(node, args, _AFFINE[name])
        if name == "index_add":
            return self._sum_of_parts(node, args)
        if not set(live) <= ({0} if name in _LINEAR else set(linear)):
            return _Unknown(node)
        return _multilinear(
            self.builder,
            node.shape,
            lambda *xs: prim.eval(*xs, **params),
            args,
            live,
        )

    def _sum_of_parts(self, node: Node, args: list[Any]) -> np.ndarray:
        """An operation that is linear in its first two arguments together."""
        x, y, *rest = args
        params = node.params or {}
        nothing = np.zeros(np.shape(x)), np.zeros(np.shape(y))
        made = _multilinear(
            self.builder, node.shape,
            lambda a: node.prim.eval(a, nothing[1], *rest, **params), [x], [0],
        )  # fmt: skip
        added = _multilinear(
            self.builder, node.shape,
            lambda a: node.prim.eval(nothing[0], a, *rest, **params), [y], [0],
        )  # fmt: skip
        for place in np.ndindex(made.shape):
            if not is_number(added[place], 0):
                made[place] = self.builder.apply("add", made[place], added[place])
        return made

    def _affine(self, node: Node, args: list[Any], products: int) -> np.ndarray:
        """A product of the first arguments plus a term that is linear in the next."""
        params = node.params or {}
        eval = node.prim.eval
        factors, rest = args[:products], args[products:]
        nothing = [None if r is None else np.zeros(np.shape(r)) for r in rest]
        made = _multilinear(
            self.builder,
            node.shape,
            lambda *xs: eval(*xs, *nothing, **params),
            factors,
            list(range(products)),
        )
        zeros = [np.zeros(np.shape(f)) for f in factors]
        for i, r in enumerate(rest):
            if r is None:
                continue
            part = _multilinear(
                self.builder, node.shape, lambda *xs: eval(*zeros, *xs, **params), rest, [i]
            )
            for place in np.ndindex(made.shape):
                made[place] = self.builder.apply("add", made[place], part[place])
        return made


def _check_size(node: Node) -> None:
    if node.size > ENTRIES:
        raise NoFormula(
            f"{node.prim.name} ({node.where}) has {node.size:,} entries; formulas are written "
            f"entry by entry, for at most {ENTRIES:,}. Use a smaller example, or graph.grad(), "
            "which keeps tensors whole"
        )


def constants(value: Any) -> np.ndarray:
    """An array of constants as expressions."""
    array = np.asarray(value)
    made = np.empty(array.shape, object)
    for place in np.ndindex(made.shape):
        made[place] = array[place]
    return made


def as_entries(x: Any) -> Any:
    """An argument as an array of expressions; None stays."""
    if x is None or (type(x) is np.ndarray and x.dtype == object):
        return x
    return constants(x)


def _random(shape: Sequence[int], seed: int) -> np.ndarray:
    """Distinct numbers that no sum, product or rounding of each other gives."""
    return np.random.default_rng([731, seed]).uniform(1, 2, tuple(shape))


def _moved(node: Node, args: list[Any]) -> np.ndarray:
    """The result of an operation that puts entries elsewhere, and constants between them."""
    params = dict(node.params or {})
    filling = params.get("value", 0.0) if node.prim.name == "pad" else 0.0
    if node.prim.name == "pad" and "value" in params:
        params["value"] = 0.0
    numbers: list[Any] = []
    where: dict[float, Expr] = {}
    for i, a in enumerate(args):
        if i >= _MOVES[node.prim.name]:
            numbers.append(a)
            continue
        entries = as_entries(a)
        codes = _random(entries.shape, i)
        numbers.append(codes)
        where.update(zip(codes.ravel().tolist(), entries.ravel(), strict=True))
    out = np.asarray(node.prim.eval(*numbers, **params))
    made = np.empty(out.shape, object)
    for place in np.ndindex(out.shape):
        made[place] = where.get(float(out[place]), node.dtype.type(filling))
    return made


def _is_extreme(node: Node) -> bool:
    """Whether a node takes the largest (smallest) entries, where `argmax` (`argmin`) found them."""
    found = node.parents[1] if node.prim.name in _LARGEST else None
    return (
        found is not None and found.prim.name == _LARGEST[node.prim.name]
        and found.parents[0] is node.parents[0]
    )  # fmt: skip


def _multilinear(
    b: Builder, shape: Any, eval: Any, args: Sequence[Any], live: Sequence[int]
) -> np.ndarray:
    """Σ c·xᵢ·yⱼ·… with the coefficients c that evaluation on unit vectors shows.

    The last live argument is probed with distinct numbers at first: where every entry of the
    result is one of them (or 0), nothing is added and one evaluation tells all.
    """
    entries = {i: as_entries(args[i]) for i in live}
    terms: list[list[Expr]] = [[] for _ in range(int(np.prod(shape, dtype=np.int64)))]
    sizes = [entries[i].size for i in live]
    if np.prod(sizes[:-1], dtype=float) * max(len(terms), 1) > WORK:
        raise NoFormula("a product of tensors is too large to be written entry by entry")
    last = live[-1]
    for places in np.ndindex(*[s for i in live[:-1] for s in entries[i].shape]):
        given = list(args)
        factors, rest = [], list(places)
        for i in live[:-1]:
            n = entries[i].ndim
            given[i] = np.zeros(entries[i].shape)
            given[i][tuple(rest[:n])] = 1.0
            factors.append(entries[i][tuple(rest[:n])])
            rest = rest[n:]
        for o, c, x in _linear_terms(eval, given, last, entries[last]):
            parts = [*factors, x]
            if c != 1 and c != -1:
                parts.insert(0, c)
            made = b.product(parts)
            terms[o].append(b.minus(made) if c == -1 else made)
    made = np.empty(len(terms), object)
    for o, several in enumerate(terms):
        made[o] = b.total(several)
    return made.reshape(shape)


def _linear_terms(eval: Any, given: list[Any], at: int, entries: np.ndarray) -> list[Any]:
    """The coefficients of a linear map: (place in the result, coefficient, entry), flat."""
    codes = _random(entries.shape, 0)
    given[at] = codes
    out = np.asarray(eval(*given)).ravel()
    flat = entries.ravel()
    index = {float(c): k for k, c in enumerate(codes.ravel())}
    if all(v == 0 or float(v) in index for v in out):
        return [(o, 1.0, flat[index[float(v)]]) for o, v in enumerate(out) if v != 0]
    if flat.size * max(out.size, 1) > WORK:
        raise NoFormula("a linear operation is too large to be written entry by entry")
    found = []
    for k in range(flat.size):
        unit = np.zeros(flat.size)
        unit[k] = 1.0
        given[at] = unit.reshape(entries.shape)
        column = np.asarray(eval(*given)).ravel()
        found += [(int(o), float(column[o]), flat[k]) for o in np.flatnonzero(column)]
    return sorted(found, key=lambda t: t[0])
