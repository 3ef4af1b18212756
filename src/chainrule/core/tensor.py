"""The tensor: an array, and the node that produced it.

Only storage lives here.  Operations attach themselves as methods when they are declared
(`chainrule.ops`), and the PyTorch-shaped conveniences come from `chainrule.tensor_methods`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from chainrule.core.dtypes import OF_NUMPY, as_dtype, as_numpy, dtype, is_inexact
from chainrule.core.node import Leaf, Node, next_seq
from chainrule.core.source import caller

ndarray = np.ndarray
new = object.__new__


class ViewOf:
    """How a view was made from its parent tensor: `prim` applied with `params`."""

    __slots__ = ("params", "parent", "prim")

    parent: Tensor
    prim: Any
    params: dict[str, Any]


class Tensor:
    """A multi-dimensional array whose operations are recorded and differentiated.

    Attributes:
        array: the entries, a `numpy.ndarray` (or another array with NumPy's protocols).
        node: the tape entry that produced the tensor; None if nothing is recorded for it.
    """

    # Boxes alone fill `tag` and `inner`; a tensor may become a box by a write, so all have room.
    __slots__ = (
        "__dict__", "__weakref__", "_grad", "_view", "_views", "array", "inner", "node", "tag",
    )  # fmt: skip

    array: Any
    node: Node | None
    _grad: Tensor | None
    _view: ViewOf | None
    _views: list[Any] | None

    # The class itself in boxes, which stand outside the tape (`chainrule.core.boxes`).
    _box: Any = None
    __array_priority__ = 1000.0

    if TYPE_CHECKING:  # what `chainrule.ops` attaches

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Any: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __neg__(self) -> Any: ...
        def __add__(self, other: Any) -> Any: ...
        def __radd__(self, other: Any) -> Any: ...
        def __sub__(self, other: Any) -> Any: ...
        def __rsub__(self, other: Any) -> Any: ...
        def __mul__(self, other: Any) -> Any: ...
        def __rmul__(self, other: Any) -> Any: ...
        def __truediv__(self, other: Any) -> Any: ...
        def __rtruediv__(self, other: Any) -> Any: ...
        def __pow__(self, other: Any) -> Any: ...
        def __matmul__(self, other: Any) -> Any: ...

    __hash__ = object.__hash__

    @property
    def shape(self) -> Size:
        """The extent of each dimension."""
        return size_of(Size, self.array.shape)

    @property
    def dtype(self) -> dtype:
        """The type of the entries."""
        numpy = self.array.dtype
        found = OF_NUMPY.get(numpy)
        return as_dtype(numpy) if found is None else found

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        ndim: int = self.array.ndim
        return ndim

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded for differentiation."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        set_requires_grad(self, value)

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user rather than by a recorded operation."""
        return self.node is None or type(self.node) is Leaf


put_view = Tensor.__dict__["_view"].__set__  # puts a ViewOf into the slot of a tensor


def note_view(view: Tensor, parent: Tensor, prim: Any, params: dict[str, Any]) -> None:
    """Remember that `view` shares the memory of `parent`, so that writes to either reach both."""
    made = ViewOf()
    made.parent = parent
    made.prim = prim
    made.params = params
    put_view(view, made)
    views = parent._views
    if views is None:
        parent._views = [ref(view)]
        return
    views.append(ref(view))
    if len(views) & (len(views) - 1) == 0:  # at every power of two: amortised constant
        views[:] = [weak for weak in views if weak() is not None]


def _none_until_set(name: str) -> None:
    """Let a slot read as None before anything is stored in it.

    The fast paths leave these slots empty: setting them would cost more than all readers together.
    """
    slot = Tensor.__dict__[name]

    def read(self: Tensor) -> Any:
        try:
            return slot.__get__(self)
        except AttributeError:
            slot.__set__(self, None)
            return None

    setattr(Tensor, name, property(read, slot.__set__))


for _name in ("_grad", "_view", "_views"):
    _none_until_set(_name)


class Parameter(Tensor):
    """A tensor that a module learns: it requires grad and registers itself on assignment.

    >>> import chainrule as cr
    >>> cr.nn.Parameter(cr.zeros(2)).requires_grad
    True
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = wrap(np.empty(0, np.float32))
        array = data.array if isinstance(data, Tensor) else np.asarray(data)
        if not isinstance(data, Tensor):
            array = array.astype(as_numpy(array.dtype), copy=False)  # numbers, in native order
        made: Parameter = wrap(array, None, cls)
        if requires_grad:
            set_requires_grad(made, True)
        return made


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple of integers that knows its number of entries."""

    __slots__ = ()

    def __new__(cls, sizes: Any = ()) -> Size:
        found = []
        for i, d in enumerate(sizes):
            if not hasattr(d, "__index__"):
                raise TypeError(
                    "chainrule.Size() takes an iterable of 'int' "
                    f"(item {i} is '{type(d).__name__}')"
                )
            found.append(d.__index__())
        return size_of(cls, found)

    def numel(self) -> int:
        """The number of entries of a tensor of this size."""
        return math.prod(self)

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return size_of(Size, found) if isinstance(key, slice) else found

    def __add__(self, other: tuple[int, ...]) -> Size:  # type: ignore[override]
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: tuple[int, ...]) -> Size:
        return Size(other + tuple(self))

    def __mul__(self, times: Any) -> Size:
        return size_of(Size, tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"chainrule.Size([{', '.join(map(str, self))}])"


size_of = tuple.__new__  # makes a Size of integers without looking at them


def wrap(array: Any, node: Node | None = None, cls: Any = Tensor) -> Any:
    """A tensor of exactly this array (not copied) and node."""
    t = new(cls)
    t.array = array if type(array) is ndarray else as_array(array)
    t.node = node
    return t


def as_array(value: Any) -> Any:
    """The value as a real array: NumPy's scalars, which cannot be written, become 0-d arrays."""
    if isinstance(value, (np.generic, bool, int, float, complex)):
        return np.asarray(value)
    return value


def new_leaf(t: Tensor) -> Leaf:
    """A fresh leaf node for `t`, recorded at the user's line."""
    leaf: Leaf = new(Leaf)
    leaf.args = leaf.out = leaf.params = leaf.extra = None
    leaf.parents = ()
    leaf.seq = next_seq()
    leaf.shape = t.array.shape
    leaf.dtype = t.array.dtype
    leaf.code, leaf.lasti = caller(2)
    leaf.tensor = ref(t)
    return leaf


def set_requires_grad(t: Tensor, value: bool) -> None:
    """Make `t` a leaf that requires grad, or stop recording for a leaf."""
    if t._box is not None:
        raise RuntimeError(
            "You are attempting to call Tensor.requires_grad_() (or perhaps using "
            "chainrule.autograd.functional.* APIs) inside of a function being transformed. This is "
            "unsupported, please attempt to use the transforms (e.g. func.grad, vjp, jacrev, "
            "jacfwd, hessian) or call requires_grad_() outside of the function instead."
        )
    if value:
        if t.node is None:
            if not is_inexact(t.array.dtype):
                raise RuntimeError(
                    "only Tensors of floating point and complex dtype can require gradients, got "
                    f"{t.dtype}; convert the tensor first, for example with x.double()"
                )
            t.node = new_leaf(t)
    elif type(t.node) is Leaf:
        t.node = None
    elif t.node is not None:
        raise RuntimeError(
            "you can only change requires_grad flags of leaf variables. If you want to use a "
            "computed variable in a subgraph that doesn't require differentiation use "
            "var_no_grad = var.detach()."
        )
