"""The dimensions in another order: permutations, transposes, adjoints.  All are views."""

from __future__ import annotations

from typing import Any

from chainrule.core.namespaces import recorded
from chainrule.core.primitive import titled
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.axes import normalize_dim
from chainrule.ops.shape import integers, matrix_transpose, permute_dims, tensor_arg


@export()
def permute(input: Any, *sizes: Any, dims: Any = None) -> Any:
    """The dimensions in another order, as a view.

    Raises:
        RuntimeError: unless every dimension is named exactly once.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3, 4).permute(2, 0, 1).shape
    chainrule.Size([4, 2, 3])
    """
    ndim = len(tensor_arg(input, "permute").shape)
    wanted = integers(sizes if dims is None else (dims,), "permute")
    if len(wanted) != ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal "
            f"to len(dims) = {len(wanted)}"
        )
    axes = tuple(normalize_dim(d, ndim) for d in wanted)
    if len(set(axes)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permute_dims(input, axes=axes)


@export("transpose", "swapaxes", "swapdims")
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged, as a view.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3, 4).transpose(0, -1).shape
    chainrule.Size([4, 3, 2])
    """
    ndim = len(tensor_arg(input, "transpose").shape)
    a, b = normalize_dim(dim0, ndim), normalize_dim(dim1, ndim)
    axes = list(range(ndim))
    if ndim:
        axes[a], axes[b] = b, a
    return titled(permute_dims(input, axes=tuple(axes)), "TransposeBackward0")


@export()
def t(input: Any) -> Any:
    """The transpose of a matrix, as a view; vectors and 0-d tensors stay as they are.

    Raises:
        RuntimeError: for more than two dimensions.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).t().shape
    chainrule.Size([3, 2])
    """
    ndim = len(tensor_arg(input, "t").shape)
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return titled(permute_dims(input, axes=tuple(range(ndim))[::-1]), "TBackward0")


@export("movedim", "moveaxis")
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """The dimensions `source` moved to the places `destination`; the others keep their order.

    Raises:
        RuntimeError: if their numbers differ or one is repeated.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3, 4).movedim(0, -1).shape
    chainrule.Size([3, 4, 2])
    """
    ndim = len(tensor_arg(input, "movedim").shape)
    src = [normalize_dim(d, ndim) for d in integers((source,), "movedim")]
    dst = [normalize_dim(d, ndim) for d in integers((destination,), "movedim")]
    if len(src) != len(dst):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({src} dims) should contain the "
            f"same number of dims as destination ({dst} dims)"
        )
    for what, dims in (("source", src), ("destination", dst)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{what}` ({dims})")
    if ndim == 0:
        return permute_dims(input, axes=())
    axes = [d for d in range(ndim) if d not in src]
    for place, d in sorted(zip(dst, src, strict=True)):
        axes.insert(place, d)
    return permute_dims(input, axes=tuple(axes))


def _transposed(self: Tensor) -> Any:
    """The tensor with its dimensions in reverse order, as a view."""
    return permute_dims(self, axes=tuple(range(self.ndim))[::-1])


def _matrix_transposed(self: Tensor, name: str = "mT") -> Any:
    """The tensor with its last two dimensions exchanged, as a view."""
    if self.ndim < 2:
        raise RuntimeError(
            f"tensor.{name} is only supported on matrices or batches of matrices. Got "
            f"{self.ndim}-D tensor."
        )
    return matrix_transpose(self)


def _adjoint(self: Tensor) -> Any:
    """The conjugate transpose of a matrix or a batch of matrices."""
    turned = _matrix_transposed(self, "mH")
    return recorded.conj(turned) if self.dtype.is_complex else turned


def _matrix_adjoint(self: Tensor) -> Any:
    """The conjugate transpose of a matrix."""
    if self.ndim not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor."
        )
    return _adjoint(self) if self.ndim else _transposed(self)


for _name, _getter in [
    ("T", _transposed), ("mT", _matrix_transposed), ("H", _matrix_adjoint), ("mH", _adjoint),
]:  # fmt: skip
    setattr(Tensor, _name, property(_getter))


@export()
def adjoint(input: Any) -> Any:
    """The conjugate transpose of a matrix or a batch of matrices.

    >>> import chainrule as cr
    >>> cr.zeros(2, 3).adjoint().shape
    chainrule.Size([3, 2])
    """
    return _adjoint(input)
