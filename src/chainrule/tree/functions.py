"""What is done with trees: mapping, reducing, comparing, transposing, one vector of all leaves."""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor
from chainrule.tree.nodes import KINDS
from chainrule.tree.spec import IsLeaf, Spec, flatten, mismatch, order

_MISSING = object()


def unflatten(spec: Spec, leaves: Iterable[Any]) -> Any:
    """The tree of a structure and its leaves: the inverse of `flatten`.

    Raises:
        TypeError: if `spec` is not a structure.
        ValueError: if the number of leaves is not the structure's.

    >>> import chainrule as cr
    >>> leaves, spec = cr.tree.flatten({"a": 1.0, "b": (2.0, 3.0)})
    >>> cr.tree.unflatten(spec, [10 * x for x in leaves])
    {'a': 10.0, 'b': (20.0, 30.0)}
    """
    return _spec(spec, "unflatten").unflatten(leaves)


def tree_unflatten(leaves: Iterable[Any], treespec: Spec) -> Any:
    """`unflatten` with PyTorch's name and order of arguments.

    >>> import chainrule as cr
    >>> cr.tree.tree_unflatten([1, 2], cr.tree.structure([0, 0]))
    [1, 2]
    """
    return _spec(treespec, "tree_unflatten").unflatten(leaves)


def _spec(value: Any, name: str) -> Spec:
    if not isinstance(value, Spec):
        other = "unflatten(spec, leaves)", "tree_unflatten(leaves, spec)"
        raise TypeError(
            f"{name}() expects a structure from tree.flatten() or tree.structure(), got "
            f"{type(value).__name__}; the arguments are {' or '.join(other)}"
        )
    return value


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree in order.

    >>> import chainrule as cr
    >>> cr.tree.leaves({"a": 1.0, "b": (2.0, None)})
    [1.0, 2.0]
    """
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf = None) -> Spec:
    """The structure of a tree.

    >>> import chainrule as cr
    >>> cr.tree.structure([1.0, (2.0, 3.0)])
    [*, (*, *)]
    """
    return flatten(tree, is_leaf)[1]


def structure_of(tree_or_spec: Any) -> Spec:
    """The structure itself, or that of a tree.

    >>> import chainrule as cr
    >>> cr.tree.structure_of(cr.tree.structure([1.0, 2.0])), cr.tree.structure_of([1.0, 2.0])
    ([*, *], [*, *])
    """
    return tree_or_spec if isinstance(tree_or_spec, Spec) else flatten(tree_or_spec)[1]


def paths(tree: Any, is_leaf: IsLeaf = None) -> list[tuple[str, Any]]:
    """Every leaf with its path: how to reach it from the tree, as Python writes it.

    >>> import chainrule as cr
    >>> cr.tree.paths({"a": [1.0, 2.0], "b": 3.0})
    [("['a'][0]", 1.0), ("['a'][1]", 2.0), ("['b']", 3.0)]
    """
    found, spec = flatten(tree, is_leaf)
    return list(zip(spec.paths(), found, strict=True))


def subtrees(
    spec: Spec, tree: Any, what: str = "the first tree", what_tree: str = "the other"
) -> list[Any]:
    """What `tree` has where the structure has its leaves: leaves, or whole subtrees.

    The keys of dicts may come in another order; the result is in the structure's.

    Raises:
        ValueError: if the tree lacks the structure, naming the first path where they differ.

    >>> import chainrule as cr
    >>> cr.tree.subtrees(cr.tree.structure({"a": 0, "b": 0}), {"b": [1, 2], "a": 3})
    [3, [1, 2]]
    """
    found = []
    pending = [tree]
    for i, entry in enumerate(spec.nodes):
        x = pending.pop()
        if entry is None:
            found.append(x)
            continue
        kind = KINDS[type(x)]
        got = None
        children: list[Any] = []
        if kind is not None:
            inner, data = kind.flatten(x)
            children = list(inner)
            got = (kind, data, len(children))
        positions = order(entry, got)
        if positions is None:
            raise mismatch(spec, i, got, what, what_tree)
        pending += [children[p] for p in reversed(positions)]
    return found


def flatten_as(
    spec: Spec, tree: Any, what: str = "the first tree", what_tree: str = "the other"
) -> list[Any]:
    """The leaves of a tree that has this structure, in the structure's order.

    Raises:
        ValueError: if it has another structure, naming the first path where they differ.

    >>> import chainrule as cr
    >>> cr.tree.flatten_as(cr.tree.structure({"a": 0, "b": 0}), {"b": 2, "a": 1})
    [1, 2]
    """
    found = subtrees(spec, tree, what, what_tree)
    if builtins.any(KINDS[type(x)] is not None for x in found):
        check_same(spec, tree, what, what_tree)
    return found


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """The tree of `f(leaf, *others)`, the others being what `rest` has at the same place.

    Raises:
        ValueError: if a tree in `rest` lacks the structure of `tree`, naming the path.

    >>> import chainrule as cr
    >>> cr.tree.map(lambda x, y: x + y, {"a": 1, "b": [2]}, {"b": [20], "a": 10})
    {'a': 11, 'b': [22]}
    """
    first, spec = flatten(tree, is_leaf)
    if not rest:
        return spec.unflatten([f(x) for x in first])
    columns = [
        subtrees(spec, other, "the first tree", f"tree {i}") for i, other in enumerate(rest, 2)
    ]
    return spec.unflatten([f(*xs) for xs in zip(first, *columns, strict=True)])


def reduce(
    function: Callable[[Any, Any], Any],
    tree: Any,
    initializer: Any = _MISSING,
    is_leaf: IsLeaf = None,
) -> Any:
    """The leaves combined two at a time from the left, as `functools.reduce`.

    Raises:
        TypeError: if there are no leaves and no `initializer`.

    >>> import chainrule as cr
    >>> cr.tree.reduce(lambda a, b: a + b, {"a": 1, "b": [2, 3]})
    6
    """
    found = leaves(tree, is_leaf)
    if initializer is not _MISSING:
        return functools.reduce(function, found, initializer)
    if not found:
        raise TypeError("reduce() of a tree without leaves; pass an initializer")
    return functools.reduce(function, found)


def all(tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Whether all leaves are true.

    >>> import chainrule as cr
    >>> cr.tree.all({"a": True, "b": [1, 0]})
    False
    """
    return builtins.all(leaves(tree, is_leaf))


def any(tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Whether some leaf is true.

    >>> import chainrule as cr
    >>> cr.tree.any({"a": False, "b": [1, 0]})
    True
    """
    return builtins.any(leaves(tree, is_leaf))


def check_same(a: Any, b: Any, what_a: str = "the first tree", what_b: str = "the second") -> None:
    """Raise unless two trees (or structures) have the same structure; keys in any order.

    Raises:
        ValueError: naming the first path at which they differ, and how.

    >>> import chainrule as cr
    >>> cr.tree.check_same({"w": [1, 2]}, {"w": [1]}, "the primals", "the tangents")
    Traceback (most recent call last):
    ValueError: the primals and the tangents do not have the same structure: at ['w'] there is
    a list of length 2 in the primals, but a list of length 1 in the tangents
    """
    first, second = structure_of(a), structure_of(b)
    if first == second:
        return
    first_ends, second_ends = first.ends(), second.ends()
    pending = [(0, 0)]
    while pending:
        i, j = pending.pop()
        positions = order(first.nodes[i], second.nodes[j])
        if positions is None:
            raise mismatch(first, i, second.nodes[j], what_a, what_b)
        theirs = second.starts(j, second_ends)
        pairs = zip(first.starts(i, first_ends), positions, strict=True)
        pending += [(start, theirs[p]) for start, p in reversed(list(pairs))]


def broadcast_prefix(
    prefix: Any,
    full: Any,
    is_leaf: IsLeaf = None,
    what_prefix: str = "the prefix",
    what_full: str = "the tree",
) -> list[Any]:
    """One leaf of `prefix` for every leaf of `full`: a leaf stands for the whole tree below it.

    None in `prefix` is a leaf, as in `in_dims`.

    Args:
        prefix: a tree that ends earlier than `full` does.
        full: a tree or a structure.
        is_leaf: says of a container in `prefix` whether to take it as a leaf.

    Raises:
        ValueError: if they differ otherwise, naming the path.

    >>> import chainrule as cr
    >>> cr.tree.broadcast_prefix((0, {"a": None}), (1.0, {"a": [2.0, 3.0]}))
    [0, None, None]
    """
    values, spec = flatten(prefix, lambda x: x is None or (is_leaf is not None and is_leaf(x)))
    whole = structure_of(full)
    ends, prefix_ends = whole.ends(), spec.ends()
    before = [0, *np.cumsum([entry is None for entry in spec.nodes]).tolist()]
    found: list[Any] = []
    pending = [(0, 0)]
    while pending:
        i, j = pending.pop()
        if spec.nodes[j] is None:
            found += [values[before[j]]] * whole.nodes[i : ends[i]].count(None)
            continue
        positions = order(whole.nodes[i], spec.nodes[j])
        if positions is None:
            raise mismatch(spec, j, whole.nodes[i], what_prefix, what_full)
        theirs = spec.starts(j, prefix_ends)
        pairs = zip(whole.starts(i, ends), positions, strict=True)
        pending += [(start, theirs[p]) for start, p in reversed(list(pairs))]
    return found


def transpose(outer: Any, inner: Any, tree: Any) -> Any:
    """A tree of trees turned inside out: a list of dicts into a dict of lists.

    Args:
        outer: the outer structure, or a tree that has it.
        inner: the inner structure, or a tree that has it; None takes it from the first one found.
        tree: a tree of structure `outer` whose leaves are trees of structure `inner`.

    Raises:
        ValueError: if `tree` is not of that form, naming the path.

    >>> import chainrule as cr
    >>> cr.tree.transpose([0, 0], {"a": 0, "b": 0}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    {'a': [1, 3], 'b': [2, 4]}
    """
    outside = structure_of(outer)
    parts = subtrees(outside, tree, "the outer structure", "the tree")
    if inner is None:
        inside = structure(parts[0]) if parts else structure(None)
    else:
        inside = structure_of(inner)
    where = outside.paths()
    rows = [
        flatten_as(inside, part, "the inner structure", f"the part of the tree at {path}")
        for path, part in zip(where, parts, strict=True)
    ]
    columns = zip(*rows, strict=True) if rows else [()] * inside.num_leaves
    return inside.unflatten([outside.unflatten(list(column)) for column in columns])


def ravel(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All entries of all leaves as one vector, and the function that undoes it.

    Both ways are recorded and differentiable.  The vector has the leaves' common dtype; the
    leaves that come back have their own.

    Args:
        tree: a tree of tensors, arrays and numbers.

    Returns:
        The 1-d tensor, and `unravel(vector)`, which raises ValueError for a vector of another size.

    Raises:
        TypeError: if a leaf is not a number or made of numbers, naming its path.

    >>> import chainrule as cr
    >>> flat, unravel = cr.tree.ravel({"w": cr.ones(2, 2), "b": cr.zeros(1)})
    >>> flat
    tensor([1., 1., 1., 1., 0.])
    >>> unravel(2 * flat)["w"]
    tensor([[2., 2.],
            [2., 2.]])
    """
    from chainrule.ops.api import FUNCTIONS

    found, spec = flatten(tree)
    tensors = [_numbers(x, path) for x, path in zip(found, spec.paths(), strict=True)]
    shapes = [tuple(x.shape) for x in tensors]
    dtypes = [x.dtype for x in tensors]
    if tensors:
        flat = FUNCTIONS["cat"]([x.reshape((-1,)) for x in tensors])
    else:
        flat = FUNCTIONS["zeros"]((0,))
    sizes = [math.prod(shape) for shape in shapes]
    common = flat.dtype

    def unravel(vector: Any) -> Any:
        vector = _numbers(vector, "")
        if tuple(vector.shape) != (builtins.sum(sizes),):
            raise ValueError(
                f"unravel() expects a vector of {builtins.sum(sizes)} entries, got a tensor of "
                f"shape {list(vector.shape)}"
            )
        parts = []
        start = 0
        for shape, size, dtype in zip(shapes, sizes, dtypes, strict=True):
            part = vector[start : start + size].reshape(shape)
            parts.append(part if dtype == common else _converted(part, dtype))
            start += size
        return spec.unflatten(parts)

    return flat, unravel


def _numbers(leaf: Any, path: str) -> Any:
    """A leaf as a tensor."""
    if isinstance(leaf, Tensor):
        return leaf
    from chainrule.ops.api import FUNCTIONS

    if isinstance(leaf, (np.ndarray, np.generic, bool, int, float, complex)):
        return FUNCTIONS["as_tensor"](leaf)
    where = f"at {path}" if path else "that is the whole tree"
    raise TypeError(
        f"ravel() expects tensors, arrays and numbers, but the leaf {where} is a "
        f"{type(leaf).__name__}"
    )


def _converted(part: Any, dtype: Any) -> Any:
    """The tensor in another dtype; the real part where a complex one goes into a real one."""
    if part.dtype.is_complex and not dtype.is_complex:
        part = part.real
    return part.to(dtype)
