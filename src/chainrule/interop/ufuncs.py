"""NumPy's and SciPy's ufuncs on tensors: `np.sin(t)`, `ndarray * t`, `np.add.reduce(t)`.

The table is read off the registry: a primitive that evaluates a ufunc is what that ufunc means on
tensors.  Types are promoted by chainrule's rules, not NumPy's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from chainrule.core.modes import looked_at
from chainrule.core.namespaces import recorded
from chainrule.core.primitive import REGISTRY
from chainrule.core.tensor import Parameter, Tensor, wrap
from chainrule.ops.api import FUNCTIONS, SPECIAL, attach, write_out

Operation = Callable[..., Any]


def _divmod(x: Any, y: Any) -> Any:
    return recorded.floor_divide(x, y), recorded.remainder(x, y)


def _modf(x: Any) -> Any:
    return recorded.frac(x), recorded.trunc(x)


def _vecdot(x: Any, y: Any) -> Any:
    return FUNCTIONS["sum"](recorded.conj(x) * y, -1)


def _matvec(a: Any, x: Any) -> Any:
    return FUNCTIONS["matmul"](a, x[..., None])[..., 0]


def _vecmat(x: Any, a: Any) -> Any:
    return FUNCTIONS["matmul"](recorded.conj(x)[..., None, :], a)[..., 0, :]


@cache
def numpy_table() -> dict[np.ufunc, Operation]:
    """NumPy's ufuncs and the operations that stand for them."""
    table = {
        prim.eval: getattr(recorded, name)
        for name, prim in REGISTRY.items()
        if isinstance(prim.eval, np.ufunc)
    }
    same_name = (
        "ceil floor fmod ldexp less less_equal greater greater_equal maximum minimum remainder "
        "trunc floor_divide logaddexp heaviside"
    )
    table |= {getattr(np, name): getattr(recorded, name) for name in same_name.split()}
    renamed = {
        "power": "pow", "sign": "sgn", "conjugate": "conj", "degrees": "rad2deg",
        "radians": "deg2rad", "fabs": "abs",
    }  # fmt: skip
    table |= {getattr(np, theirs): getattr(recorded, ours) for theirs, ours in renamed.items()}
    public = {"rint": "round", "float_power": "float_power", "frexp": "frexp", "matmul": "matmul"}
    table |= {getattr(np, t): FUNCTIONS[ours] for t, ours in public.items() if ours in FUNCTIONS}
    table |= {np.divmod: _divmod, np.modf: _modf}
    newer = {"vecdot": _vecdot, "matvec": _matvec, "vecmat": _vecmat}
    table |= {getattr(np, name): f for name, f in newer.items() if hasattr(np, name)}
    return table


@cache
def scipy_table() -> dict[str, Operation]:
    """Names of SciPy's ufuncs and the operations that stand for them."""
    table = {
        prim.eval.scipy_name: getattr(recorded, name)
        for name, prim in REGISTRY.items()
        if hasattr(prim.eval, "scipy_name")
    }
    shared = ("expm1", "log1p", "exp2", "logit", "xlogy", "xlog1py", "entr", "cbrt")
    table |= {name: getattr(recorded, name) for name in shared}
    return table | {
        "expit": recorded.sigmoid,
        "betaln": SPECIAL["betaln"],
        "_zeta": SPECIAL["zeta"],
        "gammainc": FUNCTIONS["igamma"],
        "gammaincc": FUNCTIONS["igammac"],
    }


def operation_for(ufunc: np.ufunc) -> Operation | None:
    """The operation on tensors that a NumPy or SciPy ufunc stands for, or None."""
    found = numpy_table().get(ufunc)
    if found is not None:
        return found
    name = ufunc.__name__
    for module in ("scipy.special", "scipy.special._ufuncs"):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            return scipy_table().get(name)
    return None


_REDUCTIONS: dict[np.ufunc, str] = {
    np.add: "sum", np.multiply: "prod", np.maximum: "amax", np.minimum: "amin",
    np.logical_and: "all", np.logical_or: "any",
}  # fmt: skip
_ACCUMULATIONS: dict[np.ufunc, str] = {np.add: "cumsum", np.multiply: "cumprod"}


def _name(ufunc: np.ufunc) -> str:
    module = "np" if getattr(np, ufunc.__name__, None) is ufunc else "scipy.special"
    return f"{module}.{ufunc.__name__}"


def _refuse(name: str, keyword: str) -> TypeError:
    cure = {
        "where": "compute everywhere and select with chainrule.where(condition, a, b)",
        "dtype": "convert the tensor first, for example with x.to(dtype)",
        "initial": "add or compare with the initial value afterwards",
    }.get(keyword, "call it without, or use chainrule's function of that name")
    return TypeError(f"{name} on a chainrule tensor does not take {keyword}=; {cure}")


def _call(ufunc: np.ufunc, *inputs: Any) -> Any:
    operation = operation_for(ufunc)
    if operation is not None:
        return operation(*inputs)
    if any(isinstance(x, Tensor) and (x.requires_grad or x._box) for x in inputs):
        raise TypeError(
            f"{_name(ufunc)} has no derivative rule in chainrule; call it on x.detach() if it "
            "needs none, or give it one with chainrule.autograd.Function"
        )
    arrays = [looked_at(x) if isinstance(x, Tensor) else x for x in inputs]
    result = ufunc(*arrays)
    return tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)


def _over_dim(
    table: dict[np.ufunc, str], ufunc: np.ufunc, method: str, x: Any, axis: Any = 0, **params: Any
) -> Any:
    """A reduction or accumulation; NumPy's default is the first dimension, and None means all."""
    if ufunc not in table:
        raise TypeError(
            f"{_name(ufunc)}.{method} is not available on chainrule tensors, only that of "
            f"{', '.join(sorted(u.__name__ for u in table))}"
        )
    return FUNCTIONS[table[ufunc]](x, dim=axis, **params)


def _reduce(ufunc: np.ufunc, x: Any, axis: Any = 0, keepdims: bool = False) -> Any:
    """Over several dimensions one after the other, the last first, so that the others stay put."""
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for a in sorted((a % max(x.ndim, 1) for a in axes), reverse=True):
        x = _over_dim(_REDUCTIONS, ufunc, "reduce", x, a, keepdim=keepdims)
    return x


def _accumulate(ufunc: np.ufunc, x: Any, axis: int = 0) -> Any:
    return _over_dim(_ACCUMULATIONS, ufunc, "accumulate", x, axis)


def _outer(ufunc: np.ufunc, x: Any, y: Any) -> Any:
    x, y = (v if isinstance(v, Tensor) else wrap(np.asarray(v)) for v in (x, y))
    return _call(ufunc, recorded.reshape(x, shape=tuple(x.shape) + (1,) * y.ndim), y)


_PLAIN = frozenset({Tensor, Parameter, np.ndarray, bool, int, float, complex})
_METHODS: dict[str, Operation] = {
    "__call__": _call, "reduce": _reduce, "accumulate": _accumulate, "outer": _outer,
}  # fmt: skip


def _operand(x: Any) -> Any:
    """Lists become arrays, as for NumPy; anything else stays."""
    return np.asarray(x) if isinstance(x, (list, tuple)) else x


def _store(out: tuple[Any, ...], result: Any, name: str) -> Any:
    """Put the result where `out=` says: in a tensor, or in an array if nothing is recorded."""
    results = result if isinstance(result, tuple) else (result,)
    for target, value in zip(out, results, strict=True):
        if isinstance(target, Tensor):  # NumPy spreads the result; PyTorch would resize the target
            write_out(target, recorded.broadcast_to(value, shape=tuple(target.shape)), name)
        elif target is not None:
            if value.requires_grad or value._box is not None:
                raise TypeError(
                    f"{name} cannot write a tensor that requires grad into a NumPy array (out=, or "
                    "an operator such as array += tensor), where its gradient would be lost; write "
                    "array = array + tensor, or use tensor.detach()"
                )
            np.copyto(target, value.array, casting="same_kind")
    return out if isinstance(result, tuple) else out[0]


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's protocol: how a ufunc acts when one of its operands is a tensor.

    Raises:
        TypeError: for `where=`, `dtype=` and other keywords that tensors do not take, and for
            ufuncs without a derivative rule on tensors that require grad.
    """
    if method == "__call__" and not kwargs and all(type(x) in _PLAIN for x in inputs):
        return _call(ufunc, *inputs)
    out = kwargs.pop("out", None)
    for x in (*inputs, *(out or ())):
        theirs = getattr(type(x), "__array_ufunc__", array_ufunc)
        if theirs not in (array_ufunc, np.ndarray.__array_ufunc__):
            return NotImplemented
    name = _name(ufunc) + ("" if method == "__call__" else f".{method}")
    if method not in _METHODS:
        raise TypeError(
            f"{name} is not available on chainrule tensors; use index_add, scatter_reduce or an "
            "indexed assignment instead"
        )
    allowed = {"reduce": ("axis", "keepdims"), "accumulate": ("axis",)}.get(method, ())
    for keyword, value in list(kwargs.items()):
        if keyword not in allowed:
            if value is not None and value is not True:
                raise _refuse(name, keyword)
            del kwargs[keyword]
    result = _METHODS[method](ufunc, *map(_operand, inputs), **kwargs)
    return result if out is None else _store(out, result, name)


attach("__array_ufunc__", array_ufunc)
