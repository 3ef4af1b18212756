"""The short way of a call: tensors and arrays alone, straight to machine code.

What a call usually costs, reading trees, looking for guards, is for most calls in vain. Here the
key is shapes and dtypes, and the only questions left are whether something records and whether the
numbers around the function are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.tensor import Tensor, ndarray, wrap
from chainrule.jit.variants import Variant
from chainrule.tree.spec import flat_tuple


def quick_key(args: Sequence[Any]) -> Any:
    """What calls of positional arguments have in common; None if the short way is not open."""
    key: list[Any] = []
    for x in args:
        kind = type(x)
        if kind is ndarray:
            key += (x.shape, x.dtype)
        elif kind is Tensor and x.node is None:
            array = x.array
            key += (array.shape, array.dtype, Tensor)
        else:
            return None
    return tuple(key)


class Quick:
    """A call of one variant with tensors and arrays that are not recorded.

    Attributes:
        state: of the surroundings of the function, for which it holds.
    """

    __slots__ = ("_arrays", "_fast", "_results", "_run", "_unflatten", "state")

    def __init__(self, variant: Variant, arrays: bool, state: tuple[Any, ...]) -> None:
        self.state = state
        made = variant.recording
        program = variant.compiled.program
        self._fast, self._run = program.fast, program.run
        self._arrays = arrays
        places = [r for r in made.results if type(r) is int]
        self._results = None if places == list(range(len(places))) else places
        spec = made.spec
        self._unflatten = None if spec.is_leaf else spec.unflatten
        if spec == flat_tuple(spec.num_leaves):
            self._unflatten = tuple

    def __call__(self, args: Sequence[Any]) -> Any:
        arrays = [x if type(x) is ndarray else x.array for x in args]
        outs: Any = self._fast(*arrays)
        if outs is None:  # a layout that the machine code does not take
            outs = self._run(arrays)
        if self._results is not None:
            outs = [outs[i] for i in self._results]
        if not self._arrays:
            outs = [wrap(y) for y in outs]
        return outs[0] if self._unflatten is None else self._unflatten(outs)
