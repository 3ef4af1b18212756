"""Contractions: what is compiled agrees with einsum in more digits, and is compiled as intended."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite")
pytest.importorskip("scipy")

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.compiler import library
from chainrule.compiler.execute import compiled
from chainrule.compiler.fuse import LibraryStep
from chainrule.core.primitive import REGISTRY
from chainrule.graph.run import evaluate, plan_of
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace

contract_pair = REGISTRY["contract_pair"]


def stored(x, layout, rng):
    """The same numbers as an array that is laid out in another way."""
    if not x.ndim:
        return x
    order = rng.permutation(x.ndim)
    if layout == "permuted":
        return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    if layout == "sliced":
        wide = np.zeros([d + 2 for d in x.shape], x.dtype)
        inside = tuple(slice(1, d + 1) for d in x.shape)
        wide[inside] = x
        return wide[inside]
    if layout == "flipped":
        return np.ascontiguousarray(x[::-1])[::-1]
    return x


def seen(x, layout, order):
    """A function of an array whose result has the numbers of x, and the array."""
    if layout == "plain" or not x.ndim:
        return lambda t: t, x
    if layout == "permuted":
        back = tuple(int(i) for i in np.argsort(order))
        return lambda t: cr.permute(t, back), np.ascontiguousarray(x.transpose(order))
    if layout == "sliced":
        wide = np.zeros([2 * d + 1 for d in x.shape], x.dtype)
        inside = tuple(slice(1, None, 2) for _ in x.shape)
        wide[inside] = x
        return lambda t: t[inside], wide
    if layout == "flipped":
        axes = tuple(range(x.ndim))
        return lambda t: cr.flip(t, axes), np.ascontiguousarray(np.flip(x, axes))
    if layout == "computed":
        return lambda t: t * 2.0, x / 2
    return lambda t: cr.broadcast_to(t, x.shape), np.ascontiguousarray(x[:1])


def assert_contracted(found, x, y, equation):
    """Within n·eps·Σ|x||y| of the exact result."""
    wide = np.float64 if found.dtype == np.float32 else np.longdouble
    left, right = x.astype(wide), y.astype(wide)
    exact = np.einsum(equation, left, right)
    size = np.einsum(equation, np.abs(left), np.abs(right))
    out = equation.split("->")[1]
    sizes = dict(zip(equation.split("->")[0].replace(",", ""), (*x.shape, *y.shape), strict=True))
    terms = int(np.prod([d for c, d in sizes.items() if c not in out]))
    bound = terms * np.finfo(found.dtype).eps * size
    assert found.shape == exact.shape
    assert (np.abs(found - exact) <= bound).all()


@st.composite
def contractions(draw):
    """An equation, sizes of its letters, and how each operand is laid out."""
    kinds = [draw(st.integers(0, 2)) for _ in range(4)]
    letters = iter("abcdefghij")
    batch, m, n, k = ([next(letters) for _ in range(count)] for count in kinds)
    sizes = {c: draw(st.sampled_from([1, 2, 3, 4, 9, 17])) for c in (*batch, *m, *n, *k)}
    left, right, out = (
        "".join(draw(st.permutations(found)))
        for found in (batch + m + k, batch + n + k, batch + m + n)
    )
    layouts = [draw(st.sampled_from(LAYOUTS)) for _ in range(2)]
    return f"{left},{right}->{out}", sizes, layouts, draw(st.sampled_from(["float32", "float64"]))


LAYOUTS = ["plain", "permuted", "sliced", "flipped", "computed", "spread"]


@settings(max_examples=150, deadline=None, derandomize=True, phases=[Phase.generate])
@given(contractions(), st.integers(0, 1000))
def test_any_contraction(case, seed):
    equation, sizes, layouts, dtype = case
    rng = np.random.default_rng(seed)
    inputs = equation.split("->")[0].split(",")
    makers, arrays, values = [], [], []
    for term, layout in zip(inputs, layouts, strict=True):
        x = rng.normal(size=[sizes[c] for c in term]).astype(dtype)
        if layout == "spread" and x.ndim:
            x[:] = x[:1]
        make, array = seen(x, layout, rng.permutation(x.ndim))
        makers.append(make)
        arrays.append(array)
        values.append(x)

    def f(a, b):
        return contract_pair(makers[0](a), makers[1](b), equation=equation)

    program = compiled(trace(f, *arrays))
    assert not program.steps.refused
    (found,) = program.run(arrays)
    assert_contracted(found, *values, equation)
    again = program.run([stored(x, layouts[0], rng) for x in arrays])[0]
    np.testing.assert_array_equal(found, again)


PRODUCTS = {
    "vectors": (lambda x, y: x @ y, (40,), (40,), 0),
    "long vectors": (lambda x, y: x @ y, (4001,), (4001,), 0),
    "matrix and vector": (lambda x, y: x @ y, (30, 50), (50,), 0),
    "vector and matrix": (lambda x, y: x @ y, (50,), (50, 30), 0),
    "matrices": (lambda x, y: x @ y, (20, 50), (50, 30), 1),
    "rows of a batch": (lambda x, y: x @ y, (3, 20, 50), (50, 30), 1),
    "batches": (lambda x, y: x @ y, (3, 20, 50), (3, 50, 30), 1),
    "broadcast batches": (lambda x, y: x @ y, (3, 1, 20, 50), (4, 50, 30), 1),
    "many small": (lambda x, y: x @ y, (100, 3, 3), (100, 3, 3), 0),
    "a layer": (lambda x, y: F.linear(x, y), (20, 50), (30, 50), 1),
    "tensordot": (lambda x, y: cr.tensordot(x, y, 2), (20, 5, 9), (5, 9, 30), 1),
    "outer": (lambda x, y: cr.outer(x, y), (20,), (30,), 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name, dtype):
    f, left, right, calls = PRODUCTS[name]
    x, y = ordinary(left, dtype, 0), ordinary(right, dtype, 1)
    try:
        graph = trace(f, x, y)
    except RuntimeError as error:
        pytest.skip(str(error))
    program, (found,), (wanted,) = both(graph, x, y)
    assert not program.steps.refused
    assert found.dtype == wanted.dtype
    if x.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
        return
    assert len(program.report().products) == calls
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found, wanted, rtol=1e3 * eps, atol=1e3 * eps)


def mlp(x, w, b, v):
    return cr.log_softmax(cr.relu(F.linear(x, w, b)) @ v, 1)[:, 0].mean()


def attention(q, k, v, w):
    return (cr.softmax(q @ k.transpose(1, 2) / 4, 2) @ v @ w).square().sum()


def mixture(x, mu, q):
    d = x[:, None, :] - mu[None]
    return cr.logsumexp(-cr.einsum("kij,nkj->nki", q, d).square().sum(2), 1).sum()


def small_layers(x, w, b, v):
    return cr.tanh(cr.func.vmap(lambda x: cr.relu(w @ x + b) @ v)(x)).sum()


MODELS = {
    mlp: ((40, 30), (20, 30), (20,), (20, 10)),
    attention: ((4, 12, 16), (4, 12, 16), (4, 12, 16), (16, 9)),
    mixture: ((50, 4), (3, 4), (3, 4, 4)),
    small_layers: ((33, 3), (5, 3), (5,), (5, 2)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f", MODELS, ids=lambda f: f.__name__)
def test_gradients(f, dtype):
    """Products in forward and backward, which NumPy computes nothing of."""
    arrays = [ordinary(s, dtype, i) / 4 for i, s in enumerate(MODELS[f])]
    program, found, wanted = both(trace(f, *arrays).value_and_grad().optimize(), *arrays)
    assert not program.steps.refused
    eps = np.finfo(dtype).eps
    for a, b in zip(found, wanted, strict=True):
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a, b, rtol=500 * eps, atol=500 * eps * scale)


@pytest.mark.parametrize("name", ["matrices", "matrix and vector", "many small"])
def test_special_numbers_propagate(name):
    f, left, right, _ = PRODUCTS[name]
    x, y = ordinary(left, "float64", 0), ordinary(right, "float64", 1)
    x[1] = 0
    x[3].flat[1] = np.inf
    x[5].flat[1] = np.nan
    y[-1, ...] = np.inf
    _program, (found,), (wanted,) = both(trace(f, x, y), x, y)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_array_equal(np.isposinf(found), np.isposinf(wanted))
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(wanted))


def test_one_operand():
    x = ordinary((5, 6, 5), "float64", 0)
    equations = ["iji->j", "iji->ij", "iji->", "abc->ca", "abc->"]

    def f(x):
        return [REGISTRY["contract_single"](x, equation=e) for e in equations]

    program, found, _ = both(trace(f, x), x)
    assert not program.steps.refused
    for a, e in zip(found, equations, strict=True):
        np.testing.assert_allclose(a, np.einsum(e, x), rtol=1e-12, atol=1e-12)


def test_a_shared_weight_is_one_product():
    """A batch of examples with one weight is one matrix; so is the sum of outer products."""
    x, w = ordinary((6, 20, 30), "float32", 0), ordinary((30, 40), "float32", 1)
    program = compiled(trace(lambda x, w: (x @ w).square().sum(), x, w).value_and_grad().optimize())
    assert program.report().products == [
        "gemm 120x40x30, float32", "gemm 120x30x40, float32", "gemm 30x40x120, float32",
    ]  # fmt: skip


@pytest.mark.parametrize(("equation", "left", "right", "calls"), [
    ("nij,njk->nik", (50, 4, 4), (50, 4, 4), 0),
    ("nj,jk->nk", (500, 16), (16, 16), 0),
    ("ik,jk->ij", (100, 16), (100, 16), 1),
    ("nj,nk->jk", (500, 40), (500, 2), 1),
    ("nj,kj->nk", (500, 40), (3, 40), 1),
    ("nj,kj->nk", (500, 140), (3, 140), 0),
    ("nj,jk->nk", (500, 140), (140, 3), 0),
    ("nj,kj->nk", (500, 140), (8, 140), 1),
    ("bi,bi->b", (30, 40), (30, 40), 0),
])  # fmt: skip
def test_small_ones_are_loops(equation, left, right, calls):
    x, y = ordinary(left, "float64", 0), ordinary(right, "float64", 1)
    program = compiled(trace(lambda x, y: cr.einsum(equation, x, y), x, y))
    assert not program.steps.refused
    assert len(program.report().products) == calls
    assert_contracted(program.run([x, y])[0], x, y, equation)


def test_few_columns_are_added_up_along_memory():
    """The small operand is turned so that the innermost loop is the sum, for both operands."""
    x, y = ordinary((500, 140), "float32", 0), ordinary((140, 3), "float32", 1)
    program = compiled(trace(lambda x, y: cr.relu(x @ y), x, y))
    nests = [s.kernel.nests[0] for s in program.steps.steps]
    assert [n.extents for n in nests][:2] == [(3, 140), (500, 3, 140)]
    assert nests[1].reduced == (False, False, True)


def test_batches_of_small_matrices_are_vectors():
    """They are one kernel, in vectors although each row is short."""
    x, y = ordinary((500, 3, 3), "float64", 0), ordinary((500, 3, 3), "float64", 1)
    report = compiled(trace(lambda x, y: x @ y, x, y)).report()
    assert any(f"<{w} x double>" in report.ir for w in (2, 4, 8, 16))
    assert len(report.kernels) == 1


def test_the_batch_is_outermost_in_memory():
    """Products of a batch that is in the middle read and write matrices in one piece."""

    def f(x, mu, q):
        away = x[:, None, :] - mu[None]
        return (cr.einsum("kij,nkj->nki", q, away) + away).square().sum()

    arrays = [ordinary(s, "float64", i) for i, s in enumerate([(50, 20), (6, 20), (6, 20, 20)])]
    program, found, wanted = both(trace(f, *arrays).value_and_grad().optimize(), *arrays)
    gemms = [s.gemm for s in program.steps.steps if isinstance(s, LibraryStep)]
    assert len(gemms) == 3
    for gemm in gemms:
        assert all(stride <= 20 for stride in (*gemm.left, *gemm.right, *gemm.out))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-8)


def test_denormal_numbers():
    """float64 numbers that are denormal count as 0 in BLAS; the processor's mode is put back."""
    x, y = ordinary((40, 40), "float64", 0), ordinary((40, 40), "float64", 1)
    x[0] = 5e-310
    program, (found, scaled), (wanted, _) = both(trace(lambda x, y: (x @ y, x * 2), x, y), x, y)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-300)
    assert program.report().products
    assert scaled[0, 0] == 2 * 5e-310 > 0
    assert x[0, 0] / 2 == 5e-310 / 2 > 0


def test_transposes_cost_nothing():
    x, y = ordinary((50, 20), "float64", 0), ordinary((30, 50), "float64", 1)
    program = compiled(trace(lambda x, y: x.T @ y.T, x, y))
    (step,) = program.steps.steps
    assert isinstance(step, LibraryStep)
    np.testing.assert_allclose(program.run([x, y])[0], x.T @ y.T, rtol=1e-12, atol=1e-12)


def test_the_report_names_products():
    x, w = ordinary((20, 30), "float32", 0), ordinary((30, 40), "float32", 1)
    text = str(compiled(trace(lambda x, w: cr.relu(x @ w), x, w)).report())
    assert "BLAS: gemm 20x40x30, float32: mm at" in text
    assert "1 call of BLAS, 0 calls of NumPy" in text


def test_without_scipy(monkeypatch):
    x, w = ordinary((20, 30), "float64", 0), ordinary((30, 40), "float64", 1)
    graph = trace(lambda x, w: cr.relu(x @ w) + 1, x, w)
    monkeypatch.setattr(library, "missing", lambda: library.MISSING)
    program = compiled(graph)
    assert not program.steps.refused
    assert program.report().products == ["gemm 20x40x30, float64"]
    assert not program.report().library
    np.testing.assert_allclose(
        program.run([x, w])[0], evaluate(plan_of(graph), [x, w])[0], rtol=1e-12
    )


def test_scipy_is_looked_for(monkeypatch):
    library.missing.cache_clear()
    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    try:
        assert library.missing() == library.MISSING
    finally:
        monkeypatch.undo()
        library.missing.cache_clear()
    assert library.missing() is None
