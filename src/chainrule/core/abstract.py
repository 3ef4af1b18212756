"""Arrays without values: what is mapped over, or only traced, or not even bound."""

from __future__ import annotations

from typing import Any, NoReturn


class AbstractArray:
    """What a tensor without values of its own shows instead of an array.

    Anything that asks for shape or dtype gets them; anything that looks at values gets the error
    that `refusal` makes.
    """

    __slots__ = ("dtype", "ndim", "shape")
    has_values = False  # whether numbers may be taken out all the same
    is_mapped = True  # for `chainrule.core.boxes.is_mapped`: no decision may rest on the values

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def itemsize(self) -> int:
        found: int = self.dtype.itemsize
        return found

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def refusal(self) -> Exception:
        """The error for a look at the values."""
        raise NotImplementedError

    def tensor(self, node: Any) -> Any:
        """The tensor of this array that a node computes."""
        raise NotImplementedError

    def output(self, node: Any, index: int) -> Any:
        """The tensor of this array that is one output of a node with several."""
        raise NotImplementedError

    def dynamic_shape(self, what: str, instead: str) -> Exception:
        """The error for a result whose shape would depend on the values."""
        return dynamic_shape(what, instead)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise self.refusal()

    __array__ = __bool__ = __int__ = __float__ = __complex__ = __index__ = _refuse
    __getitem__ = __setitem__ = __iter__ = __len__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __invert__ = __and__ = __or__ = _refuse
    __eq__ = __ne__ = _refuse  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "array":  # of protocols, and of tensors
            raise AttributeError(name)
        self._refuse()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.dtype}{list(self.shape)}>"


class ShapeNeeded(RuntimeError):  # noqa: N818 - says what happened
    """Shape or values were asked for that are not known before data is bound (`chainrule.sym`).

    A public function that meets it is called later, when they are known.
    """

    def postponed(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """What stands for the result of a call until then.

        Raises:
            ShapeNeeded: this error, if the call cannot wait.
        """
        raise self


def dynamic_shape(what: str, instead: str) -> RuntimeError:
    """The error for a result whose shape would depend on what is mapped over."""
    return RuntimeError(
        "vmap: We do not support batching operators that can output dynamic shape. Attempted "
        f"to vmap over {what}, whose result's shape depends on the values, and every example "
        f"has its own: {instead}"
    )
