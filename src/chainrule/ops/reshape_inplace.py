"""`unsqueeze_`, `squeeze_`, `t_`, `transpose_`: another shape for the same tensor object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from chainrule.core import inplace
from chainrule.core.boxes import take_over
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import attach
from chainrule.ops.permute import t, transpose
from chainrule.ops.shape import squeeze, unsqueeze


def become_view(x: Tensor, take: Callable[[Tensor], Tensor]) -> Tensor:
    """Make `x` a view, taken by `take`, of what it was.

    What it was lives on as a tensor that nobody sees: views of `x` are views of that.

    Raises:
        RuntimeError: if `x` is a leaf that requires grad.
    """
    if x.is_leaf and x.requires_grad:
        inplace.refuse_leaf()
    was = wrap(x.array, x.node)
    take_over(was, x)
    take(was)  # if it is refused, nothing has changed
    was = wrap(x.array, x.node)
    take_over(was, x)
    was._view, was._views = x._view, x._views
    for view in inplace.living_views(was):
        view._view.parent = was  # type: ignore[union-attr]
    if was._view is not None:
        siblings = was._view.parent._views
        assert siblings is not None
        siblings[:] = [ref(was) if weak() is x else weak for weak in siblings]
    view = take(was)
    take_over(x, view)
    x._view, x._views = view._view, None
    if was._views is not None:
        was._views[:] = [ref(x) if weak() is view else weak for weak in was._views]
    return x


def _declare(take: Callable[..., Tensor]) -> None:
    name = take.__name__

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return become_view(self, lambda x: take(x, *args, **kwargs))

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place version of `{name}`: the same tensor, from now on in that shape."
    attach(name + "_", method)
    if name == "transpose":
        attach("swapaxes_", method)
        attach("swapdims_", method)


for _take in (unsqueeze, squeeze, t, transpose):
    _declare(_take)
