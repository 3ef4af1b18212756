"""The short way of a call: tensors, arrays and floats alone, straight to machine code.

What a call usually costs, telling arguments apart and looking for guards, is for most calls in
vain. Here the key is structure, shapes and dtypes, and the only questions left are whether
something records and whether the numbers around the function are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.core.modes import is_recording
from chainrule.core.tensor import Tensor, ndarray, wrap
from chainrule.just_in_time.surroundings import State
from chainrule.just_in_time.variants import MISSED, Variant
from chainrule.tree.spec import flat_tuple, flatten


def quick_key(args: tuple[Any, ...]) -> tuple[Any, Sequence[Any]] | None:
    """What calls of positional arguments have in common, and the leaves of the arguments.

    None if the short way is not open: for what is recorded, boxed, or neither tensor nor float.
    """
    leaves: Sequence[Any] = args
    key: list[Any] = []
    for x in args:
        kind = type(x)
        if kind is not ndarray and kind is not Tensor and kind is not float:
            leaves, spec = flatten(args)
            key.append(spec)
            break
    for x in leaves:
        kind = type(x)
        if kind is ndarray:
            key += (x.shape, x.dtype)
        elif kind is Tensor and x.node is None:
            array = x.array
            key += (array.shape, array.dtype, Tensor)
        elif kind is float:
            key.append(float)
        else:
            return None
    return tuple(key), leaves


class Quick:
    """A call of one variant with tensors, arrays and floats that are not recorded.

    It returns `MISSED` if what the function reads from outside is not as it was.

    Attributes:
        state: the state of the function's surroundings for which it holds.
    """

    __slots__ = (
        "_arrays", "_captured", "_dtypes", "_fast", "_results", "_run", "_unflatten", "state",
    )  # fmt: skip

    def __init__(self, variant: Variant, arrays: bool, state: State) -> None:
        self.state = state
        made, program = variant.recording, variant.compiled.program
        self._fast, self._run = program.fast, program.run
        self._dtypes = [n.dtype for n in variant.compiled.graph.inputs]  # for floats
        self._arrays = arrays
        self._captured = made.captured
        places = [r for r in made.results if type(r) is int]
        self._results = None if places == list(range(len(places))) else places
        spec = made.spec
        self._unflatten = None if spec.is_leaf() else spec.unflatten
        if spec == flat_tuple(spec.num_leaves):
            self._unflatten = tuple

    def __call__(self, leaves: Sequence[Any]) -> Any:
        arrays = [
            x if type(x) is ndarray else np.asarray(x, dt) if type(x) is float else x.array
            for x, dt in zip(leaves, self._dtypes, strict=False)
        ]
        if self._captured and not self._add_captured(arrays):
            return MISSED
        outs: Any = self._fast(*arrays)
        if outs is None:  # a layout that the machine code does not take, or another shape outside
            if self._captured:
                return MISSED
            outs = self._run(arrays)
        if self._results is not None:
            outs = [outs[i] for i in self._results]
        if not self._arrays:
            outs = [wrap(y) for y in outs]
        return outs[0] if self._unflatten is None else self._unflatten(outs)

    def _add_captured(self, arrays: list[Any]) -> bool:
        """Add what the function reads from outside; False if that is recorded or boxed now."""
        for x in self._captured:
            if type(x) is not ndarray:
                if x._box is not None or (x.node is not None and is_recording()):
                    return False
                x = x.array
            arrays.append(x)
        return True
