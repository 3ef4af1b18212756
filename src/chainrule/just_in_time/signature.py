"""Signatures: what two calls have in common that can run the same machine code.

Of tensors and arrays shape and dtype count, of everything else the value.  A float is a number that
may differ from call to call; an integer is part of the signature until a call comes with another
one in its place, from when on it is a number too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import tree
from chainrule.core.dtypes import dtype
from chainrule.core.tensor import Tensor, wrap
from chainrule.just_in_time.record import Argument
from chainrule.just_in_time.surroundings import Surroundings
from chainrule.nn.module import Module
from chainrule.transforms.inputs import as_tensor, gives_arrays, is_array, number_dtype


class Call(NamedTuple):
    """The arguments of one call.

    Attributes:
        key: what calls with the same machine code have in common.
        leaves: the leaves of the arguments, in the structure `spec`.
        places: which leaves are inputs.
        tensors: the inputs, tensors.
        arrays: whether results are to be arrays.
    """

    key: Any
    leaves: list[Any]
    spec: Any
    places: list[int]
    tensors: list[Any]
    arrays: bool

    def arguments(self, names: Sequence[str]) -> list[Argument]:
        """The inputs, for a recording; values of those that are not mapped over."""
        found = []
        for place, x in zip(self.places, self.tensors, strict=True):
            value = _value(x)
            found.append(Argument(names[place], tuple(x.array.shape), x.array.dtype, value))
        return found

    def rebuilt(self, tensors: Sequence[Any]) -> tuple[Any, Any]:
        """Positional and keyword arguments with these in place of the inputs."""
        leaves = list(self.leaves)
        for place, x in zip(self.places, tensors, strict=True):
            leaves[place] = x
        args, kwargs = self.spec.unflatten(leaves)
        return args, kwargs


_NUMBERS = (float, complex, int)
_I64 = np.iinfo(np.int64)
PLAIN = frozenset((bool, int, str, bytes, type(None), dtype))
MOST_ARGUMENTS = 64  # objects of which it is known what counts in them
_F64 = np.dtype(np.float64)


class Held:
    """An argument that is static although it may hold tensors: it counts as a whole."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Reader:
    """Makes signatures of calls of one function.

    Attributes:
        changing: places of integers that have differed between calls, by everything else.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings  # of the function
        self._around: OrderedDict[int, Surroundings] = OrderedDict()  # of arguments, by identity
        self.changing: dict[Any, frozenset[int]] = {}
        self._integers: dict[Any, tuple[int, ...]] = {}
        self._frozen: set[Any] = set()

    def freeze(self, call: Call) -> bool:
        """Let numbers be part of the signature in calls like this; False if they are, or none."""
        fixed = call.key[0]
        numbers = any(type(call.leaves[i]) in (float, complex, int) for i in call.places)
        if not numbers or fixed in self._frozen:
            return False
        self._frozen.add(fixed)
        return True

    def read(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Call:
        """The signature of a call.

        Raises:
            TypeError: if an argument is neither a tensor, an array, a number, nor hashable.
        """
        leaves, spec = tree.flatten((tuple(args), kwargs))
        kinds = [self._kind(x, spec, i) for i, x in enumerate(leaves)]
        fixed: Any = (spec, tuple(kinds))
        if fixed in self._frozen:
            held = [(k, leaves[i]) if k in _NUMBERS else k for i, k in enumerate(kinds)]
            places = [i for i, k in enumerate(held) if type(k) is tuple and k[0] is Tensor]
            tensors = [as_tensor(leaves[i]) for i in places]
            return Call((fixed, tuple(held)), leaves, spec, places, tensors, gives_arrays(leaves))
        integers = [i for i, k in enumerate(kinds) if k is int]
        values = tuple([leaves[i] for i in integers])
        moving = self.changing.get(fixed, frozenset())
        if integers:
            known = self._integers.setdefault(fixed, values)
            new = {i for i, a, b in zip(integers, known, values, strict=True) if a != b}
            if not new <= moving:
                moving = self.changing[fixed] = moving | new
        still = tuple([v for i, v in zip(integers, values, strict=True) if i not in moving])
        places, tensors = [], []
        numbers = any(k is float or k is complex for k in kinds)
        number = number_dtype(leaves) if numbers else _F64
        for i, (x, kind) in enumerate(zip(leaves, kinds, strict=True)):
            if kind is int and i not in moving:
                continue
            made = _input(x, kind, number)
            if made is not None:
                places.append(i)
                tensors.append(made)
        key: Any = (fixed, moving, still)
        return Call(key, leaves, spec, places, tensors, gives_arrays(leaves))

    def _kind(self, x: Any, spec: Any, i: int) -> Any:
        """What of a leaf is part of the signature."""
        kind = type(x)
        if kind is np.ndarray:
            return (Tensor, x.shape, x.dtype)
        if isinstance(x, Tensor):
            return (Tensor, tuple(x.array.shape), x.array.dtype)
        if is_array(x):
            return (Tensor, x.shape, x.dtype)
        if kind is float or kind is complex or (kind is int and _I64.min <= x <= _I64.max):
            return kind
        if isinstance(x, Held):
            x = x.value
            kind = type(x)
        if kind is float or kind is complex:
            return (kind, repr(x))
        if kind in PLAIN or isinstance(x, np.dtype):
            return (kind, x)
        if kind is slice:
            return (slice, x.start, x.stop, x.step)
        if isinstance(x, Iterator):
            raise TypeError(
                f"jit: the argument {_name(spec, i)} is a {kind.__name__}, which gives its values "
                "once only, so that no other call could have them: pass a list"
            )
        if isinstance(x, Module):
            return (Module, self._state_of(x))
        try:
            hash(x)
        except TypeError:
            raise TypeError(
                f"jit: the argument {_name(spec, i)} is a {kind.__name__}, which is not hashable. "
                "Arguments are tensors, arrays, numbers, lists, tuples and dicts of them; anything "
                "else is compared between calls and must be hashable (define __hash__ and __eq__, "
                "or use a frozen dataclass)"
            ) from None
        return (kind, x, self._state_of(x))

    def _state_of(self, x: Any) -> Any:
        """What counts of an object, function or module that is an argument."""
        found = self._around.get(id(x))
        if found is None or found.of is not x:
            found = self._around[id(x)] = Surroundings(x, self._surroundings)
            if len(self._around) > MOST_ARGUMENTS:
                self._around.popitem(last=False)
        return found.state()


def _name(spec: Any, i: int) -> str:
    """The place of a leaf among the arguments, in words."""
    path: str = spec.paths()[i]
    where, _, inside = path[1:].partition("]")
    return f"args{inside}" if where == "0" else f"kwargs{inside}"


def _input(x: Any, kind: Any, number: np.dtype[Any]) -> Any:
    """A leaf as the tensor that is an input; None if it is none."""
    if type(kind) is tuple:
        return as_tensor(x) if kind[0] is Tensor else None
    if kind is int:
        return wrap(np.asarray(x, np.int64))
    return wrap(np.asarray(x, np.result_type(number, np.complex64) if kind is complex else number))


def _value(x: Any) -> np.ndarray | None:
    """The values of an input, whatever transforms are around it; None if it is mapped over."""
    from chainrule.core.boxes import opened

    inner, mapping = opened(x) if x._box is not None else (x, [])
    array = inner.array
    return array if not mapping and type(array) is np.ndarray else None
