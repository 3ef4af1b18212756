"""The short way of a call: tensors, arrays and floats alone, straight to machine code.

What a call usually costs, telling arguments apart and looking for guards, is for most calls in
vain. Here the key is the structure and the types of the leaves; the native entry of the program
compares shapes and dtypes. The only questions left are whether something is recorded on the tape,
and whether what the function reads around itself is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.modes import is_recording
from chainrule.core.tensor import Parameter, Tensor, ndarray, wrap
from chainrule.just_in_time.surroundings import State
from chainrule.just_in_time.variants import MISSED, Variant
from chainrule.transforms.inputs import as_given
from chainrule.tree.spec import Spec, flat_tuple, flatten

Key = tuple[Any, ...]
_TENSORS = (Tensor, Parameter)
_LEAVES = frozenset((ndarray, float, *_TENSORS))
_DEEPEST = 32  # containers in each other that are walked through, and built, the short way


def quick_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Key, Sequence[Any]] | None:
    """The structure of arguments with the types of their leaves, and the leaves.

    Of positional leaves alone, the key is the tuple of their types. None if the short way is not
    open: for what is neither tensor, array nor float.
    """
    key: list[Any] = []
    leaves: list[Any] = []
    try:
        _walk(args, key, leaves, _DEEPEST)
        if kwargs:
            key.append("keywords")
            _walk((kwargs,), key, leaves, _DEEPEST)
    except _Other:
        leaves, spec = flatten((args, kwargs))
        key = [spec, *map(type, leaves)]
        if not _LEAVES.issuperset(key[1:]):
            return None
    return tuple(key), leaves


def with_shapes(key: Key, leaves: Sequence[Any]) -> Key:
    """A key that tells apart the signatures of calls with the same structure and types."""
    arrays = [x.array if type(x) in _TENSORS else x for x in leaves if type(x) is not float]
    return (*key, *[(x.shape, x.dtype) for x in arrays])


class _Other(Exception):  # noqa: N818 - not a failure
    """There is something else than tensors, arrays, floats, and usual containers of them."""


def _walk(items: Sequence[Any], key: list[Any], leaves: list[Any], depth: int) -> None:
    """Add items to a key, and their leaves.

    A leaf adds its type; a container two entries, so that it is not taken for two leaves.

    Raises:
        _Other: if there is anything else, or too deep.
    """
    for x in items:
        kind = type(x)
        if kind in _LEAVES:
            key.append(kind)
            leaves.append(x)
        elif not depth:
            raise _Other
        elif kind is dict:
            key += (dict, tuple(x))
            _walk(x.values(), key, leaves, depth - 1)
        elif kind is list or kind is tuple:
            key += (kind, len(x))
            _walk(x, key, leaves, depth - 1)
        else:
            raise _Other


def builder(spec: Spec) -> Callable[[Sequence[Any]], Any] | None:
    """A function of a list of leaves that makes the tree; None if the tree is the leaf itself.

    For dicts, lists and tuples it is an expression of Python such as `{k0: x[0], k1: (x[1],)}`,
    several times as fast as going through the structure.
    """
    if spec.is_leaf():
        return None
    if spec == flat_tuple(spec.num_leaves):
        return tuple
    keys: dict[str, Any] = {}

    def write(kind: Any, data: Any, children: list[tuple[str, int]]) -> tuple[str, int]:
        """A container as text, and how many there are in each other."""
        parts = [text for text, _ in children]
        depth = 1 + max([depth for _, depth in children], default=0)
        if kind.cls is dict:
            for i, key in enumerate(data):
                name = f"k{len(keys)}"
                keys[name] = key
                parts[i] = f"{name}: {parts[i]}"
            return f"{{{', '.join(parts)}}}", depth
        if kind.cls is list:
            return f"[{', '.join(parts)}]", depth
        if kind.cls is tuple:
            return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})", depth
        return "", _DEEPEST + 1

    text, depth = spec.assemble([(f"x[{i}]", 0) for i in range(spec.num_leaves)], write)
    if depth > _DEEPEST:
        return spec.unflatten
    made: Callable[[Sequence[Any]], Any] = eval(f"lambda x: {text}", keys)
    return made


class Quick:
    """A call of one variant with tensors, arrays and floats.

    It returns `MISSED` if shapes or dtypes are others, or what the function reads from outside.

    Attributes:
        variant: whose machine code it is.
        state: the state of the function's surroundings for which it holds.
    """

    __slots__ = (
        "_arrays", "_avals", "_build", "_captured", "_compiled", "_direct", "_dtypes", "_fast",
        "_results", "state", "variant",
    )  # fmt: skip

    def __init__(self, variant: Variant, leaves: Sequence[Any], arrays: bool, state: State) -> None:
        self.variant = variant
        self.state = state
        made, self._compiled = variant.recording, variant.compiled
        self._fast = self._compiled.program.fast
        self._avals = [(n.shape, n.dtype) for n in self._compiled.graph.inputs]
        self._dtypes = [dt for _, dt in self._avals]  # for floats
        self._arrays = arrays
        self._captured = made.captured
        self._direct = not made.captured and all(type(x) is ndarray for x in leaves)
        places = [r for r in made.results if type(r) is int]
        self._results = None if places == list(range(len(places))) else places
        self._build = builder(made.spec)

    def __call__(self, leaves: Sequence[Any]) -> Any:
        if self._direct:
            outs: Any = self._fast(*leaves)
            if outs is None:
                outs = self._refused(leaves)
        else:
            outs = self._outputs(leaves)
        if outs is MISSED:
            return MISSED
        if self._results is not None:
            outs = [outs[i] for i in self._results]
        if not self._arrays:
            outs = [wrap(y) if type(y) is ndarray else y for y in outs]
        return outs[0] if self._build is None else self._build(outs)

    def _outputs(self, leaves: Sequence[Any]) -> Any:
        """The outputs, tensors if they are on the tape."""
        arrays: list[Any] = []
        taped = False
        for x, dt in zip(leaves, self._dtypes, strict=False):
            kind = type(x)
            if kind is ndarray:
                arrays.append(x)
            elif kind is float:
                arrays.append(np.asarray(x, dt))
            else:
                arrays.append(x.array)
                if x.node is not None:
                    taped = True
        for x in self._captured:
            if type(x) is not ndarray:
                if x._box is not None:
                    return MISSED
                if x.node is not None:
                    taped = True
                x = x.array
            arrays.append(x)
        if taped and is_recording():
            return self._taped(leaves, arrays)
        outs: Any = self._fast(*arrays)
        return self._refused(arrays) if outs is None else outs

    def _refused(self, arrays: Sequence[Any]) -> Any:
        """The outputs for arrays that the machine code does not take as they are, if it can."""
        return self._compiled.program.run(arrays) if self._fits(arrays) else MISSED

    def _fits(self, arrays: Sequence[Any]) -> bool:
        return all(
            x.shape == shape and x.dtype == dt
            for x, (shape, dt) in zip(arrays, self._avals, strict=True)
        )

    def _taped(self, leaves: Sequence[Any], arrays: Sequence[Any]) -> Any:
        """The outputs as tensors on the tape."""
        if self.variant.recording.converted or not self._fits(arrays):
            return MISSED
        nodes = [getattr(x, "node", None) for x in (*leaves, *self._captured)]
        outs = self._compiled.recorded(nodes).run(arrays, nodes)
        return [as_given(y, True) for y in outs] if self._arrays else outs
