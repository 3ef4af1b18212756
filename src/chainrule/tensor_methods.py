"""What makes a tensor pleasant to hold: its gradient, its data, conversions, Python's protocols.

Operations attach themselves when they are declared; here is the rest of PyTorch's `Tensor`.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from chainrule.core import cuts
from chainrule.core.boxes import take_over
from chainrule.core.dtypes import category, is_inexact
from chainrule.core.modes import is_recording, lifting, lifts, looked_at, refuse_lifted
from chainrule.core.node import Leaf
from chainrule.core.tensor import Tensor, set_requires_grad, wrap
from chainrule.ops.api import FUNCTIONS, attach
from chainrule.ops.explain import guarded
from chainrule.printing import tensor_text

# PyTorch's words
_NUMPY = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."


# ---------------------------------------------------------------- gradient, data, the tape


def _get_grad(self: Tensor) -> Tensor | None:
    """The gradient that backward passes have accumulated here; None at first."""
    if lifts and self._box is None:
        refuse_lifted("reading .grad")
    found = self._grad
    node = self.node
    if found is None and node is not None and type(node) is not Leaf:
        retains = node.extra is not None and node.extra.retain is not None
        if not retains:
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its "
                ".grad attribute won't be populated during autograd.backward(). If you indeed want "
                "the .grad field to be populated for a non-leaf Tensor, use .retain_grad() on the "
                "non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you "
                "access the leaf Tensor instead.",
                UserWarning,
                stacklevel=2,
            )
    return found


def _set_grad(self: Tensor, value: Any) -> None:
    refuse_lifted("setting .grad")
    if value is not None:
        if not isinstance(value, Tensor):
            raise TypeError(
                "assigned grad expected to be a Tensor or None but got grad of type "
                f"{type(value).__name__}"
            )
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        if value.array.shape != self.array.shape:
            raise RuntimeError(
                f"attempting to assign a gradient of size '{list(value.array.shape)}' to a tensor "
                f"of size '{list(self.array.shape)}'. Please ensure that the gradient and the "
                "tensor are the same size"
            )
        if value.array.dtype != self.array.dtype:
            raise RuntimeError(
                f"attempting to assign a gradient with dtype '{value.dtype}' to a tensor with "
                f"dtype '{self.dtype}'. The gradient must match the tensor's dtype; convert it "
                f"with grad.to({self.dtype})"
            )
    self._grad = value


def _del_grad(self: Tensor) -> None:
    refuse_lifted("setting .grad")
    self._grad = None


def detach(self: Tensor) -> Tensor:
    """The same memory as a tensor that is not recorded: gradients stop here.

    >>> import chainrule as cr
    >>> cr.ones(2, requires_grad=True).detach().requires_grad
    False
    """
    if self._box is not None:  # a box detaches what is inside
        found: Tensor = self.detach()
        return found
    if self.node is not None:
        cuts.note("detach()", self.node, self.array)
    t: Tensor = wrap(self.array)
    lift = lifting() if lifts else None
    if lift is not None:
        lift.detached(self, t)
    return t


def detach_(self: Tensor) -> Tensor:
    """Take this tensor off the tape, in place.

    Raises:
        RuntimeError: for a view, whose base would keep its record.
    """
    if self._box is not None:
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        take_over(self, self.detach())
        return self
    if self._view is not None and self.node is not None:
        raise RuntimeError("Can't detach views in-place. Use detach() instead.")
    if self.node is not None:
        cuts.note("detach_()", self.node, self.array)
    self.node = None
    return self


def _set_data(self: Tensor, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
    array = value.array
    if array is self.array:
        return
    node = self.node
    lift = lifting() if lifts else None
    if lift is not None and node is not None and self._box is None:
        raise lift.refusal("setting the data of a tensor that requires grad")
    if value._box is not None or self._box is not None or lift is not None:
        if node is not None:
            raise RuntimeError(
                "the data of a tensor that requires grad cannot be replaced by a tensor that "
                "belongs to a running transform, which would outlive it"
            )
        take_over(self, value.detach())
        self._view = self._views = None
        return
    if node is not None:
        if not is_inexact(array.dtype):
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point or complex "
                f"dtype, not {value.dtype}"
            )
        if type(node) is Leaf:
            node.shape, node.dtype = array.shape, array.dtype
        elif array.shape != node.shape or array.dtype != node.dtype:
            raise RuntimeError(
                "data of a tensor that was computed can only be replaced by data of the same shape "
                f"and dtype: got {value.dtype} {list(array.shape)} for {self.dtype} "
                f"{list(self.array.shape)}. Use detach() to get a tensor without history"
            )
    self.array = array
    self._view = self._views = None


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Start (or stop) recording operations on this tensor; returns the tensor.

    Raises:
        RuntimeError: for an integer tensor, or to stop a tensor that was computed.

    >>> import chainrule as cr
    >>> cr.ones(2).requires_grad_()
    tensor([1., 1.], requires_grad=True)
    """
    set_requires_grad(self, requires_grad)
    return self


# ---------------------------------------------------------------- out of the tensor world


def item(self: Tensor) -> Any:
    """The only entry as a Python number.

    Raises:
        RuntimeError: if there is not exactly one entry.

    >>> import chainrule as cr
    >>> cr.tensor([2.5]).item()
    2.5
    """
    if self.array.size != 1:
        raise RuntimeError(
            f"a Tensor with {self.array.size} elements cannot be converted to Scalar"
        )
    if self.node is not None:
        cuts.note("item()", self.node)
    return _entry(looked_at(self))


def _entry(array: Any) -> Any:
    value = array.item()
    return value if isinstance(value, (bool, int, float, complex)) else float(value)


def tolist(self: Tensor) -> Any:
    """The entries as nested lists of Python numbers; of a 0-d tensor, the number."""
    if self.node is not None:
        cuts.note("tolist()", self.node)
    array = looked_at(self)
    return (array if array.dtype.kind != "V" else array.astype(np.float32)).tolist()


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """The entries as a NumPy array that shares this tensor's memory.

    Raises:
        RuntimeError: if the tensor requires grad and `force` is not set.

    >>> import chainrule as cr
    >>> cr.ones(2).numpy()
    array([1., 1.], dtype=float32)
    """
    if (self.node is not None or self._box is not None) and not force:
        if not getattr(self.array, "has_values", False):
            raise _not_an_array(self)
        self.array.converted()
    if self.node is not None:
        cuts.note("numpy(force=True)", self.node, self.array)
    array: np.ndarray = looked_at(self)
    return array if self._box is None else np.asarray(array)


_TO_WRITE = (
    " To fill an array with tensors (array[i] = tensor), make it with np.zeros_like(tensor), "
    "np.zeros(shape, like=tensor) or chainrule.zeros; chainrule.stack joins a list of tensors."
)


def _not_an_array(x: Tensor) -> RuntimeError:
    """Why a tensor cannot be an array: it requires grad, carries a derivative, or is mapped."""
    if x._box is None:
        return RuntimeError(_NUMPY)
    if not isinstance(x.array, np.ndarray):
        np.asarray(x.array)  # raises
    return RuntimeError(
        f"Can't convert a tensor that carries derivatives ({x.tag.title}) to a NumPy array or a "
        "number, which would silently drop them. Call the function of the same name in chainrule "
        "on the tensor (chainrule.sin for numpy.sin or math.sin), or use tensor.detach() or "
        "tensor.item() to say so." + _TO_WRITE
    )


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """NumPy's conversion protocol.

    Raises:
        RuntimeError: if the tensor requires grad, because the gradient would be lost silently.
    """
    if self._box is not None:
        if not getattr(self.array, "has_values", False):
            raise _not_an_array(self)
        self.array.converted()
    elif self.node is not None:
        raise RuntimeError(
            f"{_NUMPY} Or keep the gradient: call the function of the same name in chainrule "
            "(chainrule.sin for numpy.sin or math.sin) on the tensor itself." + _TO_WRITE
        )
    if dtype is not None and np.dtype(dtype) != self.array.dtype:
        if copy is False:
            raise ValueError(
                f"an array of dtype {np.dtype(dtype)} cannot share the memory of a tensor of dtype "
                f"{self.dtype}: leave copy=False out"
            )
        return np.array(looked_at(self), dtype)
    return np.array(looked_at(self)) if copy else np.asarray(looked_at(self))


def _scalar(self: Tensor, target: str) -> Any:
    """The only entry, for `float()`, `int()` and `complex()`.

    Raises:
        ValueError: if there is not exactly one entry.
        RuntimeError: if the tensor requires grad and operations are being recorded.
    """
    if self.array.size != 1:
        raise ValueError(
            f"only one element tensors can be converted to Python scalars, not {self.array.size} "
            "elements; reduce the tensor first, for example with .sum()"
        )
    if self._box is not None:
        if not getattr(self.array, "has_values", False):
            raise _not_an_array(self)
        self.array.converted()
        return _entry(self.array)
    if self.node is not None and is_recording():
        raise RuntimeError(
            f"{target}() of a tensor that requires grad would silently drop its gradient. Use "
            "tensor.item() (or tensor.detach()) to read the value; to differentiate, call the "
            "function of the same name in chainrule on the tensor (chainrule.sin for math.sin)."
            + _TO_WRITE
        )
    if self.node is not None:
        cuts.note(f"{target}()", self.node)
    return _entry(looked_at(self))


def _float(self: Tensor) -> float:
    return float(_real(self, "float"))


def _int(self: Tensor) -> int:
    return int(_real(self, "int"))


def _real(self: Tensor, target: str) -> Any:
    value = _scalar(self, target)
    if isinstance(value, complex):
        if value.imag:
            raise RuntimeError(
                f"value cannot be converted to type {target} without overflow: {value} is complex; "
                "take its real part (.real) or its size (.abs()) first"
            )
        return value.real
    return value


def _complex(self: Tensor) -> complex:
    return complex(_scalar(self, "complex"))


def _index(self: Tensor) -> int:
    if self.array.size != 1 or category(self.array.dtype) > 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(looked_at(self).item())


def _bool(self: Tensor) -> bool:
    array = looked_at(self)
    if array.size != 1:
        if array.size == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        raise RuntimeError(
            "Boolean value of Tensor with more than one value is ambiguous; use .any() or .all()"
        )
    return bool(array.item())


# ---------------------------------------------------------------- containers


def _len(self: Tensor) -> int:
    if self.array.ndim == 0:
        raise TypeError("len() of a 0-d tensor")
    length: int = self.array.shape[0]
    return length


def _contains(self: Tensor, element: Any) -> bool:
    if isinstance(element, Tensor):
        element = looked_at(element)
    elif not isinstance(element, (bool, int, float, complex, np.generic, np.ndarray)):
        raise RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        )
    return bool((looked_at(self) == element).any())


def _reversed(self: Tensor) -> Any:
    return self.flip(0) if self.array.ndim else self


def _format(self: Tensor, spec: str) -> str:
    if self.array.ndim == 0 and (type(self) is Tensor or (spec and self._box is not None)):
        return format(_entry(looked_at(self)), spec)
    return object.__format__(self, spec)


def _of_networks(name: str) -> Any:
    """A method that `chainrule.nn.functional` replaces with its own when it is first imported."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        from chainrule.nn import functional

        return getattr(functional, name)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"See `chainrule.nn.functional.{name}`."
    return method


# ---------------------------------------------------------------- copying


def _rebuild(cls: Any, array: Any, requires_grad: bool, attributes: dict[str, Any]) -> Any:
    """The inverse of pickling."""
    t = wrap(array, None, cls)
    if requires_grad:
        set_requires_grad(t, True)
    if attributes:
        t.__dict__.update(attributes)
    return t


def _reduce(self: Tensor, protocol: Any) -> Any:
    if self._box is not None:
        raise RuntimeError(
            "Cannot pickle (or copy.copy) a tensor that belongs to a running transform "
            f"({self.tag.title}): return it from the function, or pickle tensor.detach()"
        )
    return _rebuild, (type(self), looked_at(self), self.node is not None, dict(self.__dict__))


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Any:
    if id(self) in memo:
        return memo[id(self)]
    if self._box is not None:
        raise RuntimeError(
            f"Cannot deepcopy a tensor that belongs to a running transform ({self.tag.title}), "
            "which knows its derivatives. Use tensor.clone() to copy it."
        )
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment. Use tensor.clone() to copy within the graph, or "
            "tensor.detach().clone() without it."
        )
    made = _rebuild(type(self), looked_at(self).copy(), self.node is not None, {})
    memo[id(self)] = made
    if self._grad is not None:
        made._grad = copy.deepcopy(self._grad, memo)
    made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return made


def _dlpack(self: Tensor, **kwargs: Any) -> Any:
    if self.node is not None or self._box is not None:
        raise BufferError(
            "Can't export tensors that require gradient, use tensor.detach() to export a tensor "
            "without it."
        )
    return looked_at(self).__dlpack__(**kwargs)


_METHODS: dict[str, Any] = {
    "hardshrink": _of_networks("hardshrink"), "prelu": _of_networks("prelu"),
    "detach": detach, "detach_": detach_, "requires_grad_": requires_grad_, "item": item,
    "tolist": tolist, "numpy": numpy,
    "__len__": _len, "__bool__": _bool, "__float__": _float, "__int__": _int,
    "__index__": _index, "__complex__": _complex, "__contains__": _contains, "__array__": _array,
    "__reversed__": _reversed, "__format__": _format, "__repr__": tensor_text,
    "__deepcopy__": _deepcopy, "__reduce_ex__": _reduce, "__dlpack__": _dlpack,
    "__dlpack_device__": lambda self: self.array.__dlpack_device__(),
    "grad": property(_get_grad, _set_grad, _del_grad), "data": property(detach, _set_data),
}  # fmt: skip
for _name, _method in _METHODS.items():
    attach(_name, _method)
FUNCTIONS |= {"detach": guarded(detach), "detach_": guarded(detach_)}
