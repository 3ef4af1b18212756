"""What `numpy.linalg` means on tensors."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from chainrule.interop.functions_numpy import F, floating, tensor


class _Linalg:
    """`chainrule.linalg`, found when something in it is called."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("chainrule.linalg"), name)


L: Any = _Linalg()


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = floating(x)
    if axis is None:
        if ord is None or x.ndim == 1:
            return F.norm(x, 2 if ord is None else ord, None, keepdims)
        axis = tuple(range(x.ndim))
    if isinstance(axis, int):
        return F.norm(x, 2 if ord is None else ord, axis, keepdims)
    if len(axis) == 1 or ord is None:
        return F.norm(x, 2 if ord is None else ord, axis, keepdims)
    return L.matrix_norm(x, ord, axis, keepdims)


def _vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    return F.norm(floating(x), ord, axis, keepdims)


def _matrix_norm(x: Any, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return L.matrix_norm(floating(x), ord, (-2, -1), keepdims)


def _svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    a = floating(a)
    return L.svd(a, full_matrices) if compute_uv else L.svdvals(a)


def _qr(a: Any, mode: str = "reduced") -> Any:
    found = L.qr(floating(a), mode)
    return found[1] if mode == "r" else found


def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    return tuple(L.lstsq(floating(tensor(a)), floating(tensor(b)), rcond=rcond))


def _solve(a: Any, b: Any) -> Any:
    a, b = floating(tensor(a)), floating(tensor(b))
    # NumPy takes only one-dimensional right-hand sides for vectors; otherwise they are matrices.
    if b.ndim > 1 and b.ndim == a.ndim - 1:
        return L.solve(a, F.broadcast_to(b, (*a.shape[:-2], *b.shape[-2:])))
    return L.solve(a, b)


def _same(name: str) -> Callable[..., Any]:
    return lambda a: getattr(L, name)(floating(a))


LINALG: dict[str, Callable[..., Any]] = {
    "linalg.norm": _norm, "linalg.vector_norm": _vector_norm, "linalg.matrix_norm": _matrix_norm,
    "linalg.solve": _solve, "linalg.lstsq": _lstsq,
    **{f"linalg.{name}": _same(name) for name in ("inv", "det", "slogdet", "eig", "eigvals")},
    "linalg.eigh": lambda a, UPLO="L": L.eigh(floating(a), UPLO),
    "linalg.eigvalsh": lambda a, UPLO="L": L.eigvalsh(floating(a), UPLO),
    "linalg.cholesky": lambda a, /, *, upper=False: L.cholesky(floating(a), upper=upper),
    "linalg.svd": _svd, "linalg.svdvals": lambda x, /: L.svdvals(floating(x)), "linalg.qr": _qr,
    "linalg.pinv": lambda a, rcond=None: L.pinv(
        floating(a), **({} if rcond is None else {"rtol": rcond})
    ),
    "linalg.matrix_rank": lambda A, tol=None: L.matrix_rank(
        floating(A), **({} if tol is None else {"atol": tol, "rtol": 0.0})
    ),
    "linalg.matrix_power": lambda a, n: L.matrix_power(a, n),
    "linalg.multi_dot": lambda arrays: L.multi_dot([tensor(a) for a in arrays]),
    "linalg.cond": lambda x, p=None: L.cond(floating(x), p),
    "linalg.outer": lambda x1, x2, /: F.outer(tensor(x1), tensor(x2)),
    "linalg.cross": lambda x1, x2, /, *, axis=-1: F.cross(tensor(x1), tensor(x2), axis),
    "linalg.matmul": lambda x1, x2, /: F.matmul(tensor(x1), tensor(x2)),
    "linalg.tensordot": lambda x1, x2, /, *, axes=2: F.tensordot(tensor(x1), tensor(x2), axes),
    "linalg.matrix_transpose": lambda x, /: F.transpose(x, -1, -2),
    "linalg.diagonal": lambda x, /, *, offset=0: F.diagonal(x, offset, -2, -1),
    "linalg.trace": lambda x, /, *, offset=0: F.sum(F.diagonal(x, offset, -2, -1), -1),
    "linalg.vecdot": lambda x1, x2, /, *, axis=-1: F.sum(
        (tensor(x1).conj() if np.iscomplexobj(x1.array) else tensor(x1)) * tensor(x2), axis
    ),
}  # fmt: skip
