"""Reductions, views and the programs made of them: compiled = evaluated."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.compiler.expand import EXPANSIONS
from chainrule.compiler.reductions import REDUCTIONS
from chainrule.core.primitive import REGISTRY
from tests.compiler.inputs import DTYPES, data, ordinary
from tests.compiler.programs import both, trace, ulps

OVER_AXES = ["sum", "prod", "amax", "amin", "all", "any", "mean", "logsumexp", "count_nonzero"]
SHAPES = [(7,), (1,), (600,), (3, 5), (5, 1), (40, 130), (130, 40), (2, 3, 4), (3, 33, 5)]


def axes_of(ndim):
    return [axis for k in range(1, ndim + 1) for axis in combinations(range(ndim), k)]


def close(a, b, x, dtype):
    """Sums may differ by the rounding of NumPy's: eps log2(n) times the sum of |x|."""
    assert a.shape == b.shape
    if a.dtype.kind != "f":
        np.testing.assert_array_equal(a, b)
        return
    eps = np.finfo(a.dtype).eps
    np.testing.assert_allclose(a, b, rtol=40 * eps, atol=40 * eps * max(1.0, np.abs(x).sum()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OVER_AXES)
def test_over_any_axes(name, dtype):
    prim = REGISTRY[name]
    if name in ("mean", "logsumexp") and np.dtype(dtype).kind != "f":
        pytest.skip(f"{name} is of floating-point numbers")
    xs = [ordinary(s, dtype, i) for i, s in enumerate(SHAPES)]

    def f(*xs):
        found = []
        for x in xs:
            for axis in axes_of(x.ndim):
                if name == "count_nonzero":
                    found.append(prim.apply((x,), {"axis": axis}))
                else:
                    found += [prim.apply((x,), {"axis": axis, "keepdims": k}) for k in (0, 1)]
        return found

    program, found, wanted = both(trace(f, *xs), *xs)
    assert not program.steps.refused
    assert all(a.dtype == b.dtype for a, b in zip(found, wanted, strict=True))
    for a, b in zip(found, wanted, strict=True):
        if name == "prod" and a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-4 if dtype == "float32" else 1e-12)
        else:
            close(a, b, np.float64(8.0 * 5200), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "argmin", "sum", "logsumexp"])
def test_nan_and_infinities(name, dtype):
    prim = REGISTRY[name]
    x = ordinary((12, 40), dtype, 0)
    x[1, 3], x[2, 4], x[3, 5:7], x[4] = np.nan, np.inf, (np.inf, -np.inf), -np.inf
    x[5, 0], x[6, [3, 9]], x[7] = np.nan, np.nan, np.inf
    axis = 1 if name.startswith("arg") else (1,)

    def f(x):
        return prim.apply((x,), {"axis": axis, "keepdims": False})

    program, (found,), (wanted,) = both(trace(f, x), x)
    assert not program.steps.refused
    np.testing.assert_allclose(found, wanted, rtol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_of_equal_extremes(dtype):
    x = ordinary((9, 35), dtype, 1)
    x[:, 20:] = x[:, :15]

    def f(x):
        return [REGISTRY[n].apply((x,), {"axis": a, "keepdims": k})
                for n in ("argmax", "argmin") for a in (0, 1) for k in (False, True)]  # fmt: skip

    program, found, wanted = both(trace(f, x), x)
    assert not program.steps.refused
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", sorted(set(REDUCTIONS) - {"argmax", "argmin"}))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples_of_the_registry(name, dtype):
    prim = REGISTRY[name]
    for sample in prim.samples():
        args = [np.asarray(a, dtype) if np.asarray(a).dtype.kind == "f" else a for a in sample.args]
        graph = trace(lambda *a, s=sample: prim.apply(a, dict(s.params)), *args)
        _, found, wanted = both(graph, *args)
        for a, b in zip(found, wanted, strict=True):
            close(a, b, np.float64(10), dtype)


MOVES = [
    "reshape", "broadcast_to", "permute_dims", "expand_dims", "squeeze", "getitem", "flip",
    "astype", "clone", "where", "pull_product", "pull_selection", "detach",
]  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_moves(name):
    prim = REGISTRY.get(name, None)
    assert name in EXPANSIONS
    if prim is None:
        return
    for sample in prim.samples():
        args = [np.asarray(a) for a in sample.args]
        if any(a.dtype.kind in "iub" for a in args[1:]) and name == "getitem":
            continue
        graph = trace(lambda *a, s=sample: prim.apply(a, dict(s.params)) * 2, *args)
        _, found, wanted = both(graph, *args)
        for a, b in zip(found, wanted, strict=True):
            assert ulps(a, b) == 0


VIEWS = {
    "transposed": lambda x: x.transpose(0, 1),
    "sliced": lambda x: x[1:7:2, ::-1][:, 3:],
    "flipped": lambda x: x.flip(0),
    "repeated": lambda x: x[:, :1].expand(12, 20) + x[0],
    "split": lambda x: x.reshape(3, 4, 2, 10).sum(1),
    "merged": lambda x: x.reshape(-1).exp(),
    "transposed and merged": lambda x: x.transpose(0, 1).reshape(-1),
    "computed and merged": lambda x: (x * 2).reshape(6, 40) + 1,
    "computed, transposed": lambda x: (x * 2).exp().transpose(0, 1) + x.transpose(0, 1),
    "new axes": lambda x: x[:, None, :, None] * x[None, :, :, None],
    "row and column": lambda x: x.sum(0) * x[3] + x.sum(1)[:, None],
    "one entry": lambda x: x[2, 3] * x[-1, -1],
    "triangles": lambda x: x.tril(1) + x.triu(-2) * 3,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", VIEWS)
def test_views_cost_no_copy(name, dtype):
    x = ordinary((12, 20), dtype, 0)
    program, found, wanted = both(trace(VIEWS[name], x), x)
    assert not program.steps.refused
    close(found[0], wanted[0], np.float64(60), dtype)
    for strided in (x[::-1], np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        again = program.run([strided])
        assert ulps(again[0], program.run([np.ascontiguousarray(strided)])[0]) == 0


def test_results_are_fresh():
    x = ordinary((3, 4), "float64", 0)

    def f(x):
        y = x * 2
        return x, x.transpose(0, 1), y, y, y.reshape(12), y.transpose(0, 1), cr.ones(2)

    graph = trace(f, x)
    program, found, wanted = both(graph, x)
    for a, b in zip(found, wanted, strict=True):
        assert np.array_equal(a, b)
    arrays = [x, *found, *program.run([x])]
    for a, b in combinations(arrays, 2):
        assert not np.may_share_memory(a, b)
    assert all(a.flags.writeable for a in found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((10**6,), (0,)),
        ((5000, 40), (0,)),
        ((40, 5000), (1,)),
        ((300, 7, 90), (0, 2)),
        ((200, 300), (0, 1)),
    ],
)
def test_sums_are_as_accurate_as_pairwise_ones(dtype, shape, axis):
    x = np.random.default_rng(0).random(shape).astype(dtype)
    prim = REGISTRY["sum"]
    graph = trace(lambda x: prim.apply((x,), {"axis": axis, "keepdims": False}), x)
    _, (found,), _ = both(graph, x)
    kept = np.moveaxis(x, axis, range(len(axis))).reshape(math.prod(shape[a] for a in axis), -1)
    exact = np.array([math.fsum(column.tolist()) for column in kept.T]).reshape(found.shape)
    error = np.abs(found.astype(np.float64) - exact) / exact
    assert error.max() <= 12 * np.finfo(dtype).eps  # numpy's bound for 10^6: 18 + log2(10^6/128)


def test_a_long_sum_keeps_small_terms():
    """10^7 terms beside a large one: block sums are added with compensation."""
    x = np.full(10**7, 0.1)
    x[0] = 1e9
    graph = trace(lambda x: x.sum(), x)
    _, (found,), _ = both(graph, x)
    exact = math.fsum(x.tolist())
    assert abs(found - exact) <= 4 * np.spacing(exact)


def test_reductions_without_entries_are_numpys():
    x = np.zeros((0, 3))
    graph = trace(lambda x: (x.sum(0), x.sum(), x.exp()), x)
    program, found, wanted = both(graph, x)
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert np.array_equal(a, b)
    assert set(program.steps.refused.values()) == {
        "an array without entries has nothing to compute"
    }


def test_special_values_survive_sums():
    x = data((2000,), "float64", 1)
    x = np.where(np.isfinite(x), np.clip(x, -1e9, 1e9), 1.0)
    graph = trace(lambda x: x.sum(), x)
    program = both(graph, x)[0]
    for value in (np.inf, -np.inf, np.nan):
        y = x.copy()
        y[777] = value
        np.testing.assert_equal(program.run([y])[0], np.float64(value))
    y[778], y[777] = np.inf, -np.inf
    assert np.isnan(program.run([y])[0])


INDICES = {
    "row": lambda x: x[2],
    "column": lambda x: x[:, -1],
    "entry": lambda x: x[1, 2],
    "flipped": lambda x: x[::-1, 3],
    "new axis": lambda x: x[None, 4],
    "all": lambda x: x[::-1],
    "part": lambda x: x[1:3],
}


@pytest.mark.parametrize("name", INDICES)
def test_gradients_of_indexing(name):
    x = ordinary((6, 5), "float64", 0)
    graph = trace(lambda x: (INDICES[name](x) ** 2).sum() + (x * x).sum(), x).grad().optimize()
    program, (found,), (wanted,) = both(graph, x)
    np.testing.assert_array_equal(found, wanted)
    assert not program.steps.refused
