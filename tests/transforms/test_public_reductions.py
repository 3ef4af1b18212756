"""Reductions, sorting, gathering and scattering inside transforms."""

import numpy as np
import pytest

import chainrule as cr
from tests.transforms import public_checks as checks
from tests.transforms.public_checks import integers, real

A, B, LINE = real(2, 3), real(2, 3, seed=1), real(4, seed=2)
CUBE, NUMBER = real(2, 3, 2, seed=3), real(seed=4)
POSITIVE = real(2, 3, low=0.3, high=2.0, seed=5)
WITH_NAN = np.array([[1.0, np.nan, 2.0], [3.0, 0.5, np.nan]])
COLUMNS = integers(2, 2, high=3, seed=1)

CASES = {}


def case(name, f, *args):
    assert name not in CASES
    CASES[name] = (f, args)


REDUCTIONS = """sum mean prod amax amin std var logsumexp nansum nanmean median nanmedian max min
    norm aminmax"""
for _name in REDUCTIONS.split():
    _f = getattr(cr, _name)
    if _name != "logsumexp":
        case(f"{_name}", _f, A)
    if _name not in ("std", "var", "logsumexp"):
        case(f"{_name} of a number", _f, NUMBER)
    if _name in ("aminmax", "norm"):
        case(f"{_name} along", lambda x, f=_f: f(x, dim=-1, keepdim=True), CUBE)
    else:
        case(f"{_name} along", lambda x, f=_f: f(x, -1), CUBE)
        case(f"{_name} kept", lambda x, f=_f: f(x, 0, keepdim=True), A)
    if _name not in ("median", "nanmedian", "max", "min", "aminmax"):
        case(f"{_name} of several", lambda x, f=_f: f(x, dim=(0, -1)), CUBE)
case("sum method", lambda x: x.sum(1), A)
case("mean method", lambda x: x.mean(), A)
case("sum of a number along", lambda x: cr.sum(x, 0), NUMBER)
case("prod with zeros", lambda x: cr.prod(x, 1), np.array([[1.5, 0.0, 2.0], [0.0, 3.0, 0.0]]))
case("max and argmax", lambda x: cr.max(x, 1).values * (1 + cr.argmax(x, 1)), A)
case("max of a number along", lambda x: cr.max(x, 0).values, NUMBER)
case("max of two", cr.max, A, B)
case("argmax of all", lambda x: cr.argmax(x) * x.sum(), A)
case("argmin kept", lambda x: cr.argmin(x, 0, keepdim=True) * x, A)
case("argmax of a number", lambda x: cr.argmax(x) + x, NUMBER)
case("var uncorrected", lambda x: cr.var(x, 1, correction=0), A)
case("var_mean", lambda x: cr.var_mean(x, 0), A)
case("std_mean", cr.std_mean, A)
case("cov", cr.cov, A)
case("cov of a line", cr.cov, LINE)
case("cov weighted", lambda x, w: cr.cov(x, aweights=w), A, real(3, low=0.5, seed=6))
case("corrcoef", cr.corrcoef, real(3, 4))
case("nansum of nan", lambda x: cr.nansum(x, 1), WITH_NAN)
case("nanmean of nan", lambda x: cr.nanmean(x, 1), WITH_NAN)
case("nanmedian of nan", lambda x: cr.nanmedian(x, 1), WITH_NAN)
case("nanquantile of nan", lambda x: cr.nanquantile(x, 0.3, 1), WITH_NAN)
for _how in ("linear", "lower", "higher", "midpoint", "nearest"):
    case(f"quantile {_how}", lambda x, h=_how: cr.quantile(x, 0.37, 1, interpolation=h), CUBE)
case("quantile of all", lambda x: cr.quantile(x, 0.5, keepdim=True), A)
case("quantiles", lambda x, q: cr.quantile(x, q, -1), A, np.array([0.2, 0.7]))
case("logsumexp of -inf", lambda x: cr.logsumexp(x, 1), np.array([[-np.inf, 1.0], [0.0, 2.0]]))
case("all", lambda x: cr.where(cr.all(x > 0, 1), x.sum(1), 0.0), A)
case("any", lambda x: cr.where(cr.any(x > 0), x.sum(), 0.0), A)
case("count_nonzero", lambda x: cr.count_nonzero(x, -1) * x.sum(-1), A)
for _p in (1, 2, 3, 0.5, float("inf"), -float("inf"), 0):
    case(f"norm {_p}", lambda x, p=_p: cr.norm(x, p, dim=-1), A)
case("dist", lambda x, y: cr.dist(x, y, 3), A, B)
case("cdist", cr.cdist, A, real(4, 3, seed=8))
case("cdist 1", lambda x, y: cr.cdist(x, y, 1.0), A, real(4, 3, seed=8))
case("renorm", lambda x: cr.renorm(x, 2, 0, 1.0), A)

for _name in ("cumsum", "cumprod", "logcumsumexp"):
    _f = getattr(cr, _name)
    case(_name, lambda x, f=_f: f(x, 0), A)
    case(f"{_name} last", lambda x, f=_f: f(x, -1), CUBE)
    case(f"{_name} of a number", lambda x, f=_f: f(x, 0), NUMBER)
case("cumprod with zeros", lambda x: cr.cumprod(x, 0), np.array([1.5, 0.0, 2.0, 0.0, 3.0]))
case("cummax", lambda x: cr.cummax(x, 1), A)
case("cummin", lambda x: cr.cummin(x, -1), CUBE)
case("diff", lambda x: cr.diff(x, 2, 1), real(2, 4))
case("diff with ends", lambda x, y: cr.diff(x, prepend=y), A, real(2, 1, seed=9))
case("trapezoid", cr.trapezoid, A)
case("trapezoid over points", lambda y, x: cr.trapezoid(y, x, dim=1), A, real(3, seed=10))
case("cumulative_trapezoid", lambda y: cr.cumulative_trapezoid(y, dx=0.5, dim=0), A)

case("sort", cr.sort, A)
case("sort down", lambda x: cr.sort(x, 0, descending=True), CUBE)
case("sort of a number", lambda x: cr.sort(x, 0), NUMBER)
case("argsort", lambda x: cr.argsort(x, 1) * x, A)
case("msort", cr.msort, CUBE)
case("topk", lambda x: cr.topk(x, 2, 1), A)
case("topk of many", lambda x: cr.topk(x, 1, largest=False), real(40))
case("topk of a number", lambda x: cr.topk(x, 1), NUMBER)
case("kthvalue", lambda x: cr.kthvalue(x, 2, -1), A)
case("kthvalue kept", lambda x: cr.kthvalue(x, 1, 0, keepdim=True), CUBE)
case("mode", lambda x: cr.mode(x, 1), np.array([[1.0, 2.0, 1.0], [3.0, 4.0, 3.0]]))
case("searchsorted", lambda x, y: cr.searchsorted(x, y) + y, np.sort(LINE), A)
case("searchsorted lines", lambda x, y: cr.searchsorted(x, y, right=True) * y,
     np.sort(real(2, 5, seed=11)), A)  # fmt: skip
case("searchsorted unsorted", lambda x, y: cr.searchsorted(x, y, sorter=cr.argsort(x)) + y, LINE, A)
case("bucketize", lambda x, y: cr.bucketize(x, y, out_int32=True) * x, A, np.sort(LINE))
case("isin", lambda x, y: cr.where(cr.isin(y, cr.tensor([1, 2])), x, -x), A,
     integers(2, 3, high=3))  # fmt: skip

case("gather", lambda x, i: cr.gather(x, 1, i), A, COLUMNS)
case("gather rows", lambda x, i: cr.gather(x, -2, i), A, integers(1, 3, high=2))
case("gather of a number", lambda x, i: cr.gather(x, 0, i), NUMBER, np.array([0, 0]))
case("gather by a number", lambda x, i: cr.gather(x, 0, i), LINE, np.array(2))
case("gather method", lambda x, i: x.gather(2, i), CUBE, integers(2, 3, 4, high=2))
case("index_select", lambda x, i: cr.index_select(x, 1, i), A, np.array([2, 0, 2]))
case("index_select number", lambda x, i: cr.index_select(x, -1, i), LINE, np.array(1))
case("take", cr.take, A, np.array([[5, -1], [0, 2]]))
case("take_along_dim", lambda x, i: cr.take_along_dim(x, i, 1), A, np.array([[1, -1, 0]]))
case("take_along_dim of all", cr.take_along_dim, A, np.array([1, 4]))
case("scatter", lambda x, i, y: x.scatter(1, i, y), A, np.array([[0, 2], [0, 1]]), B)
case("scatter number", lambda x, i: cr.scatter(x, 1, i, 1.5), A, COLUMNS)
case("scatter multiply", lambda x, i, y: x.scatter(1, i, y, reduce="multiply"), A, COLUMNS, B)
case("scatter add", lambda x, i, y: x.scatter(1, i, y, reduce="add"), A, COLUMNS, B)
case("scatter_add", lambda x, i, y: cr.scatter_add(x, 0, i, y), A, integers(2, 2, high=2), B)
for _how in ("sum", "prod", "mean", "amax", "amin"):
    for _keep in (True, False):
        case(
            f"scatter_reduce {_how} {_keep}",
            lambda x, i, y, h=_how, k=_keep: cr.scatter_reduce(x, 1, i, y, h, include_self=k),
            A, np.array([[0, 2, 0], [1, 1, 1]]), B,
        )  # fmt: skip
case("scatter_reduce prod of zeros", lambda x, i, y: cr.scatter_reduce(x, 0, i, y, "prod"),
     np.array([0.0, 0.5, 2.0, 1.5]), np.array([0, 1, 1, 0, 1]),
     np.array([0.5, 0.0, 3.0, 0.0, 2.0]))  # fmt: skip
case("index_add", lambda x, i, y: cr.index_add(x, 1, i, y, alpha=2), A, np.array([1, 0, 1]), B)
case("index_copy", lambda x, i, y: cr.index_copy(x, -1, i, y), A, np.array([1, 0, 2]), B)
case("index_fill", lambda x, i, y: cr.index_fill(x, 1, i, y), A, np.array([2, 0]), NUMBER)
case("index_put", lambda x, i, y: cr.index_put(x, (i,), y), real(4, 2), np.array([3, 0]), real(2))
case("index_put accumulate", lambda x, i, y: cr.index_put(x, (i,), y, accumulate=True),
     real(4, 2), np.array([3, 3]), real(2, 2, seed=5))  # fmt: skip
case("put", lambda x, i, y: cr.put(x, i, y), A, np.array([5, -2, 0]), real(3, seed=5))
case("put accumulate", lambda x, i, y: cr.put(x, i, y, accumulate=True), A,
     np.array([5, 5, 0]), real(3, seed=5))  # fmt: skip

for _name in ("softmax", "log_softmax"):
    _f = getattr(cr, _name)
    case(_name, lambda x, f=_f: f(x, 1), A)
    case(f"{_name} first", lambda x, f=_f: f(x, dim=0), CUBE)
    case(f"{_name} of a number", lambda x, f=_f: f(x, 0), NUMBER)
case("clamp", lambda x, y: cr.clamp(x, y, 1.0), A, B - 1)
case("maximum", cr.maximum, A, B)
case("fmin", cr.fmin, A, B)
case("heaviside", lambda x, y: cr.heaviside(x, y) * x, A, B)
case("nan_to_num", cr.nan_to_num, A)
case("round", lambda x: x - cr.round(x, decimals=1), A)
case("floor", lambda x: x * cr.floor(x), A)
case("abs", cr.abs, A)

# Entries that are equal, or close to a kink, have no differences.
NOT_FOR = {name: {checks.check_jvp} for name in ("mode", "round", "logsumexp of -inf")}


@pytest.mark.parametrize("check", checks.CHECKS)
@pytest.mark.parametrize("name", CASES)
def test_in_transforms(name, check):
    if check not in NOT_FOR.get(name, ()):
        check(*CASES[name])
