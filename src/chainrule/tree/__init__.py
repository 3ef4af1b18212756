"""Trees: dicts, lists, tuples, named tuples, dataclasses and registered types, nested.

Every transform takes and returns trees.  See `docs/trees.md`.

>>> import chainrule as cr
>>> cr.tree.map(lambda x: 2 * x, {"w": cr.ones(2), "b": [cr.tensor(3.0)]})
{'w': tensor([2., 2.]), 'b': [tensor(6.)]}
"""

from __future__ import annotations

from chainrule.tree.functions import (
    all,
    any,
    broadcast_prefix,
    check_same,
    flatten_as,
    leaves,
    map,
    paths,
    ravel,
    reduce,
    structure,
    structure_of,
    subtrees,
    transpose,
    tree_unflatten,
    unflatten,
)
from chainrule.tree.nodes import register
from chainrule.tree.spec import Spec, flatten

# PyTorch's names (torch.utils._pytree) and JAX's
TreeSpec = Spec
register_pytree_node = register
tree_flatten = flatten
tree_map = map
tree_leaves = leaves
tree_structure = structure

__all__ = [
    "Spec",
    "TreeSpec",
    "all",
    "any",
    "broadcast_prefix",
    "check_same",
    "flatten",
    "flatten_as",
    "leaves",
    "map",
    "paths",
    "ravel",
    "reduce",
    "register",
    "register_pytree_node",
    "structure",
    "structure_of",
    "subtrees",
    "transpose",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_structure",
    "tree_unflatten",
    "unflatten",
]
