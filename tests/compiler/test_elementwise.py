"""Every elementwise primitive that has a compiled form: compiled = evaluated."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.compiler.expand import EXPANSIONS
from chainrule.compiler.fuse import fuse
from chainrule.compiler.lowering import FUNCTIONS
from chainrule.core.primitive import REGISTRY
from tests.compiler.inputs import ALL_DTYPES, data
from tests.compiler.programs import both, functions_in, trace, ulps

# `positions_in_range` raises an error for most numbers; see `test_gathers.py`.
NAMES = sorted(
    n for n in EXPANSIONS.keys() - {"positions_in_range"}
    if n in REGISTRY and REGISTRY[n].kind == "elementwise"
)  # fmt: skip
# Whose formula subtracts numbers that are nearly equal: close against the argument.
CANCELLING = {"gelu_tanh", "silu", "mish", "softplus", "elu", "entr", "xlogy", "xlog1py", "logit",
              "log_sigmoid", "lgamma", "digamma", "logaddexp", "ndtr"}  # fmt: skip
# Evaluated by SciPy; how exact they are, `tests/compiler/vecmath` says.
SCIPYS = {"erf", "erfc", "erfcx", "lgamma", "gamma", "digamma", "ndtr"}
WITH_FUNCTIONS = CANCELLING | {*FUNCTIONS, "sinc"}
TOGETHER = 12  # primitives in one program, which share their loops
MAY_FAIL = {"floor_divide", "fmod", "pow", "remainder", "truncated_divide"}  # of integers
# Not compiled: of integers what NumPy widens.
WIDENED = {"heaviside", "hardshrink", "hardtanh", "nan_to_num", "threshold"}


def params_of(prim):
    return dict(next(iter(prim.samples())).params) if prim.has_params else {}


def groups(arity, dtype):
    """Groups of arguments: odd lengths, special values, broadcasting shapes."""
    shapes = [(), (7,), (65,)]
    found = [[data(s, dtype, 2 * i + k) for k in range(arity)] for i, s in enumerate(shapes)]
    if arity > 1:
        shapes = [(5, 1), (1, 9), ()][:arity]
        found.append([data(s, dtype, k + 31) for k, s in enumerate(shapes)])
        shapes = [(3, 1, 5), (4, 5), (1,)][:arity]
        found.append([data(s, dtype, k + 32) for k, s in enumerate(shapes)])
    return found


def accepts(prim, dtype):
    """Whether NumPy has the operation for this dtype, and cannot fail in it."""
    if np.dtype(dtype).kind in "iub" and prim.name in MAY_FAIL:
        return False
    arguments = [np.ones(2, dtype)] * prim.arity
    try:
        with np.errstate(all="ignore"):
            prim.apply([cr.tensor(x) for x in arguments], params_of(prim))
    except (TypeError, RuntimeError, NotImplementedError, ValueError):
        return False
    return True


def batches(slow):
    """Primitives of one arity, a few at a time; functions of most integers are slow tests only,
    because they are those of float32."""
    for dtype in ALL_DTYPES:
        for arity in (1, 2, 3):
            names = [n for n in NAMES if REGISTRY[n].arity == arity]
            if dtype not in ("float32", "float64", "int32"):
                names = [n for n in names if (n in WITH_FUNCTIONS) == slow]
            elif slow:
                names = []
            for i in range(0, len(names), TOGETHER):
                yield pytest.param(dtype, names[i : i + TOGETHER], id=f"{dtype}-{arity}-{names[i]}")


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "names"), [*batches(slow=True)])
def test_functions_of_integers(dtype, names):
    test_compiled_is_evaluated(dtype, names)


@pytest.mark.parametrize(("dtype", "names"), [*batches(slow=False)])
def test_compiled_is_evaluated(dtype, names):
    prims = [REGISTRY[n] for n in names if accepts(REGISTRY[n], dtype)]
    if not prims:
        pytest.skip(f"NumPy has none of these for {dtype}")
    given = groups(prims[0].arity, dtype)
    flat = [x for group in given for x in group]

    def f(*args):
        n = prims[0].arity
        return [
            [p.apply(args[i : i + n], params_of(p)) for i in range(0, len(args), n)] for p in prims
        ]

    program, found, wanted = both(trace(f, *flat), *flat)
    assert not any("could not be compiled" in r for r in program.steps.refused.values())
    refused = {node.prim.name for node in program.steps.refused}
    assert refused <= (set() if dtype.startswith("f") else WIDENED)
    for k, prim in enumerate(prims):
        exact = not functions_of(prim, dtype)
        for i, group in enumerate(given):
            a, b = found[k * len(given) + i], wanted[k * len(given) + i]
            b = b.astype(a.dtype)
            if exact:
                allowed = 2 if prim.name == "rad2deg" else 0
                assert ulps(a, b) <= allowed, (prim.name, group, a, b)
            else:
                assert_close(prim.name, group, a, b)


def functions_of(prim, dtype):
    """The elementary functions that a primitive is made of."""
    arguments = [np.ones(3, dtype)] * prim.arity
    return functions_in(fuse(trace(lambda *a: prim.apply(a, params_of(prim)), *arguments)))


def assert_close(name, group, a, b):
    """Within 2 ulp of ours and 2 of NumPy's; results that NumPy loses to underflow are exempt."""
    eps, tiny = np.finfo(a.dtype).eps, np.finfo(a.dtype).tiny
    if name in SCIPYS:  # less exact itself, and without results for denormal numbers
        small = np.broadcast_to(np.abs(group[0]) < tiny, a.shape)
        a, b, eps = np.where(small, 0, a), np.where(small, 0, b), 16 * eps
    x = np.abs(np.nan_to_num(np.broadcast_to(group[0], a.shape).astype(a.dtype)))
    scale = 8 * eps * np.maximum(x, 1) if name in CANCELLING else 0
    bad = np.isfinite(a) & np.isfinite(b)
    with np.errstate(all="ignore"):
        bad &= ~(np.abs(a - b) <= 4 * eps * np.abs(b) + tiny + scale)
    bad |= np.isnan(a) != np.isnan(b)
    bad |= ~np.isnan(a) & (np.isinf(a) | np.isinf(b)) & (a != b)
    shown = [(np.broadcast_to(g, a.shape)[bad], a[bad], b[bad]) for g in group]
    assert not bad.any(), (name, shown)


@pytest.mark.parametrize("source", ALL_DTYPES)
def test_casts(source):
    x = data((67,), source, 3)
    if np.dtype(source).kind == "f":
        x = np.nan_to_num(np.clip(x, -100, 100), nan=1.0)
        x = np.concatenate([x, np.linspace(0, 120, 61, dtype=source)])
    astype = REGISTRY["astype"]

    def f(x):
        return [astype(x, dtype=np.dtype(t)) for t in ALL_DTYPES]

    if np.dtype(source).kind == "f":  # a negative number as an unsigned one is undefined in C
        x = np.abs(x)
    program, found, wanted = both(trace(f, x), x)
    assert not program.steps.refused
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32"])
@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 10, 127, -1, -2, -3, -10])
def test_integer_division_by_a_constant(dtype, divisor):
    if divisor < 0 and dtype.startswith("u"):
        pytest.skip("unsigned")
    x = np.concatenate([data((65,), dtype, 2), data((10,), dtype, 1)])
    y = np.dtype(dtype).type(divisor)
    names = ["floor_divide", "remainder", "fmod", "truncated_divide"]
    if divisor == -1:
        x = x[x != np.iinfo(dtype).min]  # where NumPy warns of an overflow

    def f(x):
        return [REGISTRY[n].apply((x, np.asarray(y)), {}) for n in names]

    program, found, wanted = both(trace(f, x), x)
    assert not program.steps.refused
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint32"])
def test_shifts_by_any_count(dtype):
    x = np.tile(data((9,), dtype, 2), 12)
    count = np.repeat(np.array([0, 1, 3, 7, 8, 9, 31, 32, 63, 64, 100, 127]), 9).astype(dtype)

    def f(x, n):
        return [
            REGISTRY[p].apply((x, n), {}) for p in ("bitwise_left_shift", "bitwise_right_shift")
        ]

    program, found, wanted = both(trace(f, x, count), x, count)
    assert not program.steps.refused
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_zero_cotangent_wins(dtype):
    g = np.array([0.0, -0.0, 0.0, 1.0, 2.0, np.nan, 0.0, 0.0, np.inf], dtype)
    local = np.array([np.inf, np.nan, -np.inf, np.nan, np.inf, 0.0, -3.0, 3.0, 0.0], dtype)
    prim = REGISTRY["pull_product"]
    program, (found,), (wanted,) = both(trace(lambda g, x: prim(g, x), g, local), g, local)
    assert not program.steps.refused
    assert ulps(found, wanted) == 0
    guard = np.array([0, 1, 2, 0, 0, 1, 1, 0, 0], dtype)
    arrays = g, local, guard
    program, (found,), (wanted,) = both(trace(lambda *a: prim(*a), *arrays), *arrays)
    assert not program.steps.refused
    assert ulps(found, wanted) == 0
    chosen = REGISTRY["pull_selection"]
    for mask in (guard, guard > 0):
        program, (found,), (wanted,) = both(trace(lambda *a: chosen(*a), local, mask), local, mask)
        assert not program.steps.refused
        assert ulps(found, wanted) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_large_angles_anywhere(name, dtype):
    """Blocks with arguments that vectors do not reduce are computed again."""
    x = np.linspace(-3, 3, 2000).astype(dtype)
    x[[0, 511, 700, 1999]] = [1e22, -3e15, 2.0**50, 1e30]
    y = np.random.default_rng(0).normal(size=(40, 50)).astype(dtype)
    y[3, 49] = 1e20
    prim = REGISTRY[name]

    def f(x, y):
        total = prim(x).sum()
        return prim(x), total, prim(y).sum(0), prim(y).sum(1), prim(y.T)

    graph = trace(f, x, y)
    program, found, wanted = both(graph, x, y)
    assert not program.steps.refused
    if name == "tan":  # sums are as large as their largest terms
        found, wanted = [found[0], found[4]], [wanted[0], wanted[4]]
    eps = np.finfo(dtype).eps
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=4 * eps, atol=2000 * eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide", "truncated_divide"])
def test_remainders_are_exact(name, dtype):
    """Quotients near integers, large ones, denormal numbers: NumPy's bits."""
    rng = np.random.default_rng(0)
    n = 20_000
    y = (rng.normal(size=n) * 10.0 ** rng.integers(-30, 30, n)).astype(dtype)
    with np.errstate(all="ignore"):
        whole = (y * rng.integers(-(2**20), 2**20, n).astype(dtype)).astype(dtype)
        near = np.nextafter(whole, rng.normal(size=n).astype(dtype))
        x = np.choose(rng.integers(0, 4, n), [
            whole, near, rng.normal(size=n) * y * 50, y * 10.0 ** rng.integers(0, 30, n)
        ]).astype(dtype)  # fmt: skip
    tiny = np.finfo(dtype).smallest_subnormal
    x[:200], y[:200] = tiny * rng.integers(-90, 90, 200), tiny * rng.integers(1, 9, 200)
    prim = REGISTRY[name]
    program, (found,), (wanted,) = both(trace(lambda x, y: prim.apply((x, y), {}), x, y), x, y)
    assert not program.steps.refused
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))
