"""Comparison, logic and selection: `==`, `<`, `logical_and`, `isnan`, `where`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.avals import broadcast, joint_dtype
from chainrule.core.batching import leading
from chainrule.core.kinds import elementwise, general, mismatch, promote
from chainrule.core.modes import note_look
from chainrule.core.namespaces import recorded
from chainrule.core.node import Aval
from chainrule.core.primitive import unbox
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import export, export_elementwise


def ordered(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    """A comparison that refuses complex numbers, which NumPy would order by their real parts."""

    def compared(x: Any, y: Any) -> Any:
        if x.dtype.kind == "c":
            raise NotImplementedError(
                f'"{ufunc.__name__}" not implemented for complex tensors, which have no order; '
                "compare their .abs() or .real"
            )
        return ufunc(x, y)

    compared.__name__ = ufunc.__name__
    return compared


COMPARISONS: dict[str, Any] = {}
_eval: Any
for _name, _short, _eval, _symbol, _doc in [
    ("equal", "eq", np.equal, "==", "Whether entries are equal."),
    ("not_equal", "ne", np.not_equal, "!=", "Whether entries differ."),
    ("less", "lt", ordered(np.less), "<", "Whether entries of the first are less."),
    ("less_equal", "le", ordered(np.less_equal), "<=", "Whether entries are at most equal."),
    ("greater", "gt", ordered(np.greater), ">", "Whether entries of the first are greater."),
    ("greater_equal", "ge", ordered(np.greater_equal), ">=", "Whether entries are at least equal."),
]:  # fmt: skip
    _op = COMPARISONS[_short] = elementwise(
        _name, _eval, None, None, result="bool", symbol=f"{{}} {_symbol} {{}}", doc=_doc
    )
    export_elementwise(_op, *([_short] if _name == "equal" else [_short, _name]))


# A selection rather than a product with the condition: an infinite cotangent of the entry that was
# not selected must not become nan.
where_prim = general(
    "where", np.where,
    vjps=(None, lambda xp, g, x: xp.where(x, g, 0), lambda xp, g, x: xp.where(x, 0, g)),
    jvp=lambda xp, t, x: xp.where(x, 0 if t[1] is None else t[1], 0 if t[2] is None else t[2]),
    symbol="where({}, {}, {})", batch=leading,
    aval=lambda condition, x, y: Aval(broadcast(condition, x, y).shape, joint_dtype(x, y)),
    samples=lambda: [
        Sample(uniform(2, 3) > 0, uniform(2, 3, seed=1), uniform(3, seed=2)),
        Sample(np.array(True), uniform(2), uniform()),
    ],
)  # fmt: skip


def select(condition: Any, input: Any, other: Any) -> Any:
    """`where` without its checks: what rules call."""
    plain = type(input) is Tensor and type(other) is Tensor
    if not plain or input.array.dtype != other.array.dtype:
        input, other = promote(input, other)
    try:
        return where_prim(condition, input, other)
    except ValueError as error:
        values = [unbox(x)[0] for x in (condition, input, other)]
        raise mismatch(where_prim.prim, values, error) from None


recorded.where = select

for _name, _eval, _doc in [
    ("logical_and", np.logical_and, "Whether both entries are true (not zero)."),
    ("logical_or", np.logical_or, "Whether at least one entry is true (not zero)."),
    ("logical_xor", np.logical_xor, "Whether exactly one entry is true (not zero)."),
]:
    export_elementwise(elementwise(_name, _eval, None, None, result="bool", doc=_doc))

for _name, _eval, _doc in [
    ("logical_not", np.logical_not, "Whether entries are false (zero)."),
    ("isnan", np.isnan, "Whether entries are not a number."),
    ("isinf", np.isinf, "Whether entries are infinite."),
    ("isfinite", np.isfinite, "Whether entries are neither infinite nor nan."),
    ("isposinf", np.isposinf, "Whether entries are plus infinity."),
    ("isneginf", np.isneginf, "Whether entries are minus infinity."),
    ("isreal", np.isreal, "Whether entries have no imaginary part."),
    ("signbit", np.signbit, "Whether the sign bit is set: negative entries and -0.0."),
]:
    export_elementwise(
        elementwise(_name, _eval, None, result="bool", doc=_doc), in_place=_name == "logical_not"
    )


def _numbers(*tensors: Any) -> list[np.ndarray]:
    for x in tensors:
        note_look(x)
    return [np.asarray(unbox(x)[0]) for x in tensors]


@export()
def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether |input - other| ≤ atol + rtol·|other|, entry by entry.

    Raises:
        RuntimeError: if the dtypes differ, or a tolerance is negative.

    >>> import chainrule as cr
    >>> cr.isclose(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    x, y = (
        v.array if isinstance(v, Tensor) and v._box else np.asarray(unbox(v)[0])
        for v in (input, other)
    )
    if x.dtype != y.dtype:
        raise RuntimeError(
            f"{x.dtype.name} did not match {y.dtype.name}; bring both to one dtype, for example "
            "with other.to(input.dtype)"
        )
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    if getattr(input, "_box", None) or getattr(other, "_box", None):
        return _isclose_boxes(input, other, rtol, atol, equal_nan)
    note_look(input)
    note_look(other)
    return wrap(np.isclose(x, y, rtol=float(rtol), atol=float(atol), equal_nan=bool(equal_nan)))


def _isclose_boxes(x: Any, y: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    xp = recorded
    bound = atol + rtol * xp.abs(y)
    near = xp.logical_and(xp.less_equal(xp.abs(x - y), bound), xp.isfinite(y))
    close = xp.logical_or(near, xp.equal(x, y))
    if equal_nan:
        close = xp.logical_or(close, xp.logical_and(xp.isnan(x), xp.isnan(y)))
    return close


@export()
def allclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all entries are close; see `isclose`.

    Raises:
        RuntimeError: if the dtypes differ, or a tolerance is negative.

    >>> import chainrule as cr
    >>> cr.allclose(cr.tensor([1.0]), cr.tensor([1.0 + 1e-7]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


@export()
def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and the same entries.

    >>> import chainrule as cr
    >>> cr.equal(cr.tensor([1, 2]), cr.tensor([1, 2]))
    True
    """
    x, y = _numbers(input, other)
    return bool(np.array_equal(x, y))
