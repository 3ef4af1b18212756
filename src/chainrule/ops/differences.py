"""`gradient`: the derivative of a function from its samples on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.dtypes import default_dtype
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.inputs import as_input, axes_of


@export(method=False)
def gradient(
    input: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1
) -> tuple[Any, ...]:
    """The derivatives of sampled values along each dimension, by differences of second order.

    Args:
        spacing: the distance of neighbours (1 by default), one for each dimension, or coordinates.
        dim: the dimension or dimensions to differentiate along; all by default.
        edge_order: 1 or 2, the order at the ends.

    Raises:
        RuntimeError: if there are fewer than edge_order + 1 values along a dimension, or spacings
            and dimensions do not fit.

    >>> import chainrule as cr
    >>> cr.gradient(cr.tensor([1.0, 4.0, 9.0, 16.0]))
    (tensor([3., 4., 6., 7.]),)
    """
    x = as_input(input, "gradient")
    axes = axes_of(dim, len(x.shape))
    if edge_order not in (1, 2):
        raise RuntimeError("chainrule.gradient only supports edge_order=1 and edge_order=2.")
    if isinstance(spacing, (list, tuple)):
        spacings = list(spacing)
        if len(spacings) != len(axes):
            raise RuntimeError(
                f"chainrule.gradient expected spacing to be unspecified, a scalar, or a list of "
                f"length {len(axes)}, one for each dimension, but got a list of {len(spacings)}"
            )
    else:
        spacings = [1 if spacing is None else spacing] * len(axes)
    return tuple(
        _along(x, axis, step, edge_order) for axis, step in zip(axes, spacings, strict=True)
    )


def _along(x: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    """Second-order differences along one axis: weights of three neighbours from their distances."""
    n = x.shape[axis]
    if n < edge_order + 1:
        raise RuntimeError(
            "chainrule.gradient expected each dimension size to be at least edge_order+1, got "
            f"{n} for dimension {axis}"
        )
    recorded = isinstance(spacing, Tensor) and bool(spacing.node or spacing._box)
    given: Any = spacing if recorded else np.asarray(getattr(spacing, "array", spacing))
    if recorded and given.ndim == 0:
        steps = given.expand(n - 1)
    elif recorded and given.shape == (n,):
        steps = given[1:] - given[:-1]
    elif given.ndim == 0:
        steps = np.full(n - 1, float(given))
    elif given.shape == (n,):
        steps = np.diff(given.astype(np.float64))
    else:
        raise RuntimeError(
            f"chainrule.gradient expected the coordinates along dimension {axis} to have length "
            f"{n}, got shape {list(given.shape)}"
        )
    exact = x.is_floating_point() or x.is_complex()
    x = (x if exact else x.to(default_dtype())).movedim(axis, -1)
    h, k = steps[:-1], steps[1:]  # to the left and to the right of each inner point
    inner = _combined(
        x, (-k / (h * (h + k)), 0), ((k - h) / (h * k), 1), (h / (k * (h + k)), 2), width=n - 2
    )
    if edge_order == 1:
        first = _combined(x, (-1 / steps[:1], 0), (1 / steps[:1], 1))
        last = _combined(x, (-1 / steps[-1:], n - 2), (1 / steps[-1:], n - 1))
    else:
        first = _edge(x, steps[0], steps[1], (0, 1, 2))
        last = _edge(x, -steps[-1], -steps[-2], (n - 1, n - 2, n - 3))
    return FUNCTIONS["cat"]([first, inner, last], -1).movedim(-1, axis)


def _edge(x: Any, h: Any, k: Any, places: tuple[int, int, int]) -> Any:
    """The derivative at the end of three points, from the parabola through them."""
    weights = (-(2 * h + k) / (h * (h + k)), (h + k) / (h * k), -h / (k * (h + k)))
    terms = [(w.reshape(1), i) for w, i in zip(weights, places, strict=True)]
    return _combined(x, *terms)


def _combined(x: Any, *terms: tuple[Any, int], width: int = 1) -> Any:
    """The sum of slices of the last dimension, each with its weights and where it starts."""
    total: Any = 0
    for weights, start in terms:
        real = np.empty(0, x.array.dtype).real.dtype
        weights = weights.to(real) if isinstance(weights, Tensor) else wrap(weights.astype(real))
        total = total + x.narrow(-1, start, width) * weights
    return total
