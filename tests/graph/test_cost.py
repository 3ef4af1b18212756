"""Costs are checked against what NumPy is asked to do, what it allocates, and what a tape holds."""

import gc
import io
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn  # declares primitives of its own
from chainrule.core.engine import reach
from chainrule.core.mutation import owner_of
from chainrule.core.node import Leaf
from chainrule.core.primitive import REGISTRY
from chainrule.graph import flops, trace
from chainrule.graph.flops import Work
from chainrule.graph.run import evaluate, plan_of


def words(text):
    return text.split()


TRANSCENDENTAL = set(
    words(
        "exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan arctan2 sinh cosh "
        "tanh arcsinh arccosh arctanh cbrt power logaddexp logaddexp2"
    )
)
FREE = {"conjugate"}


class Counting(np.ndarray):
    """An array that counts the entries that ufuncs compute."""

    flops = special = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        inputs = [np.asarray(a) for a in inputs]
        if out is not None:
            kwargs["out"] = tuple(np.asarray(o) for o in out)
        made = getattr(ufunc, method)(*inputs, **kwargs)
        first = made[0] if isinstance(made, tuple) else made
        n = np.size(first)
        if method == "reduce":
            n = np.size(inputs[0]) - n
        elif method == "accumulate":
            n -= n // inputs[0].shape[kwargs["axis"]]
        elif method == "at":
            n = np.size(inputs[2])
        elif ufunc is np.matmul:
            n *= 2 * inputs[0].shape[-1]
        if ufunc.__name__ in TRANSCENDENTAL:
            Counting.special += n
        elif ufunc.__name__ not in FREE:
            Counting.flops += n
        if made is None:
            return None
        if isinstance(made, tuple):
            return tuple(np.asarray(m).view(Counting) for m in made)
        return np.asarray(made).view(Counting)


def observed(prim, sample):
    """The arithmetic that NumPy's ufuncs are asked for."""
    Counting.flops = Counting.special = 0
    args = [np.array(a).view(Counting) if isinstance(a, np.ndarray) else a for a in sample.args]
    with np.errstate(all="ignore"):
        prim.eval(*args, **sample.params)
    return Work(Counting.flops, Counting.special)


def first_of(prim, sample):
    with np.errstate(all="ignore"):
        out = prim.eval(*sample.args, **sample.params)
    return out[0] if isinstance(out, tuple) else np.asarray(out)


# Elementwise operations whose evaluation leaves NumPy's ufuncs: SciPy's functions or their like,
# loops over chosen entries, functions of NumPy in C, multi-argument ufuncs counted as their parts.
NOT_UFUNCS = set(
    words(
        "bessel_j0 bessel_j1 bessel_y0 bessel_y1 digamma entr erf erfc erfcx erfinv gamma gammainc "
        "gammaincc hypot i0 i0e i1 i1e lgamma log_ndtr modified_bessel_k0 modified_bessel_k1 ndtr "
        "ndtri polygamma positions_in_range real_angle scaled_modified_bessel_k0 "
        "scaled_modified_bessel_k1 sinc xlog1py xlogy zeta"
    )
)
# And others that are made of ufuncs throughout.
COUNTED = words(
    "all amax amin any as_strided_transpose channel_affine col2im convolution "
    "count_nonzero cumprod cumsum log_softmax max_all mean min_all prod pull_product softmax sum "
    "unfold_transpose clone concat flip pad permute_dims reshape roll stack tile"
)


def test_every_primitive_has_a_count():
    missing = sorted(REGISTRY.keys() - flops.COUNTS.keys())
    assert not missing, f"declare how much arithmetic these do, in graph/flops.py: {missing}"
    assert flops.COUNTS.keys() - REGISTRY.keys() == {"input", "constant", "pick"}


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_counts_work_on_all_samples(name):
    prim = REGISTRY[name]
    for sample in prim.samples() if prim.samples else []:
        found = flops.work_of(name, sample.args, first_of(prim, sample), sample.params)
        assert found.flops >= 0
        assert found.transcendental >= 0


@pytest.mark.parametrize(
    "name",
    sorted(n for n, p in REGISTRY.items() if p.partials is not None and n not in NOT_UFUNCS)
    + COUNTED,
)
def test_counts_are_what_numpy_computes(name):
    prim = REGISTRY[name]
    for sample in prim.samples():
        arrays = [a for a in sample.args if isinstance(a, np.ndarray)]
        if any(np.iscomplexobj(a) for a in arrays):
            continue  # NumPy's ufuncs do not say how many real operations a complex one is
        out = first_of(prim, sample)
        if not out.size:
            continue
        found = flops.work_of(name, sample.args, out, sample.params)
        seen = observed(prim, sample)
        if prim.partials is not None and any(a.shape != out.shape for a in arrays):
            # what is composed of steps does some of them before broadcasting
            assert found.flops >= seen.flops
            assert found.transcendental >= seen.transcendental
            continue
        assert found == seen, sample


def work(f, *examples):
    cost = trace(f, *examples).cost()
    return cost.flops, cost.transcendental


def test_counts_of_sums_of_products_and_factorisations_follow_their_formulas():
    A, B, x = np.ones((5, 7)), np.ones((7, 3)), np.ones(7)
    S = np.eye(6)
    assert work(lambda A, B: A @ B, A, B) == (2 * 5 * 7 * 3, 0)
    assert work(lambda A, x: A @ x, A, x) == (2 * 5 * 7, 0)
    assert work(lambda A, B: A @ B, np.ones((4, 5, 7)), B) == (4 * 2 * 5 * 7 * 3, 0)
    assert work(lambda x: x.dot(x), x) == (14, 0)
    assert work(lambda A, B: cr.einsum("ij,jk->ki", A, B), A, B) == (2 * 5 * 7 * 3, 0)
    got, _ = work(
        lambda x, w: cr.nn.functional.conv1d(x, w), np.ones((2, 4, 10)), np.ones((6, 4, 3))
    )
    assert got == 2 * (2 * 6 * 8) * (4 * 3)
    args = (S,), S, {}
    assert flops.work_of("cholesky", *args).flops == 72
    assert flops.work_of("lu", *args).flops == 144
    assert flops.work_of("inv", *args).flops == 432
    assert flops.work_of("eigh", *args).flops == 9 * 216
    assert flops.work_of("solve", (S, np.ones((6, 2))), np.ones((6, 2)), {}).flops == 144 + 144
    stack = np.ones((3, 6, 6))
    assert flops.work_of("inv", (stack,), stack, {}).flops == 3 * 432
    R = np.ones((8, 4))
    assert flops.work_of("svd", (R,), R, {"full_matrices": False}).flops == 14 * 128 + 8 * 64
    assert flops.work_of("svd", (R.T,), R, {"full_matrices": False}).flops == 14 * 128 + 8 * 64


def test_counts_of_transforms_sorting_and_complex_numbers():
    z = np.ones((3, 64)) * 1j
    fft = {"dim": (1,), "norm": "backward", "inverse": False}
    assert flops.work_of("fft", (z,), z, fft).flops == 3 * 5 * 64 * 6
    real, fft["dim"] = np.ones(64), (0,)
    assert flops.work_of("rfft", (real,), z[0, :33], fft).flops == 5 * 64 * 6 // 2
    assert flops.work_of("argsort", (z.real,), z.real, {"axis": 1}).flops == 3 * 64 * 6
    assert work(lambda z: z * z, z) == (6 * z.size, 0)
    assert work(lambda z: z + z, z) == (2 * z.size, 0)
    A = np.ones((4, 4)) * 1j
    assert work(lambda A: A @ A, A) == (8 * 64, 0)


def test_powers_that_are_products_are_counted_as_such():
    x = np.ones(10)
    assert work(lambda x: x**2, x) == (10, 0)
    assert work(lambda x: x**3, x) == (20, 0)
    assert work(lambda x: x**0.5, x) == (10, 0)
    assert work(lambda x: x**1.7, x) == (0, 10)


def test_moving_data_is_no_arithmetic_and_views_move_nothing():
    cost = trace(lambda x: x.T.reshape(6, 4)[2:], np.ones((4, 6))).cost()
    assert cost.flops == cost.transcendental == 0
    cost = trace(lambda x: x.T[2:], np.ones((4, 6))).cost()
    assert (cost.read, cost.written, cost.peak) == (0, 0, 0)
    cost = trace(lambda x: cr.cat([x, x]), np.ones(8)).cost()
    assert (cost.read, cost.written, cost.flops) == (128, 128, 0)


def test_bytes_read_and_written():
    cost = trace(lambda A, x: cr.exp(A @ x), np.ones((50, 40)), np.ones(40)).cost()
    assert cost.read == 8 * (2000 + 40 + 50)
    assert cost.written == 8 * (50 + 50)
    spread = trace(lambda x: x.expand(1000, 5) * 2.0, np.ones(5)).cost()
    assert spread.read < 200  # five numbers are read, however often
    assert spread.written == 40_000


# ---------------------------------------------------------------- memory


def chain(x):
    h = x * 2.0
    k = h + 1.0
    m = k * h
    return (m - k).sum()


def with_views(x):
    y = (x * 3.0).T
    z = y.reshape(-1)  # of a transpose: a copy
    w = y[10:] + 1.0
    return w.sum() + (z * z).sum()


def split(x):
    a, b = cr.split(x * 2.0, [100, 200])
    return (a.sum() + b * b).sum()


def mixed(x):
    h = x @ x
    return (h.reshape(-1, 10) - h.reshape(-1, 10)[:, :1]) * 2.0


@pytest.mark.parametrize("f", [chain, with_views, split, mixed])
def test_the_peak_is_what_numpy_allocates(f):
    x = np.linspace(0, 1, 90_000).reshape(300, 300)
    graph = trace(f, x)
    plan = plan_of(graph)
    evaluate(plan, [x])
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        evaluate(plan, [x])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    buffer = 8192 * 8  # of NumPy, for sums over what is not contiguous
    assert graph.cost().peak == pytest.approx(most - before, rel=0.01, abs=1.1 * buffer)


def test_the_peak_of_a_gradient_is_what_numpy_allocates():
    x = np.linspace(0, 1, 90_000).reshape(300, 300)
    graph = trace(chain, x).value_and_grad()
    tracemalloc.start()
    try:
        evaluate(plan_of(graph), [x])
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        evaluate(plan_of(graph), [x])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert graph.cost().peak == pytest.approx(most - before, rel=0.01)


def network(x, w):
    h = cr.tanh(x @ w)
    k = cr.relu(h * 2.0 - 0.5)
    return (k.T.reshape(-1) ** 2).mean() + cr.logsumexp(h, 1).sum()


def attention(q, k):
    return (cr.softmax(q @ k.T, 1) @ k).square().sum()


@pytest.mark.parametrize("f", [network, attention])
def test_kept_bytes_are_what_a_live_tape_holds(f):
    a, b = (np.random.default_rng(i).normal(size=(120, 120)) for i in range(2))
    cost = trace(f, a, b).cost()
    x, y = cr.tensor(a, requires_grad=True), cr.tensor(b, requires_grad=True)
    out = f(x, y)
    held = {}
    for node in reach([out.node]):
        if isinstance(node, Leaf):
            continue
        outs = node.out if isinstance(node.out, tuple) else (node.out,)
        for array in (*node.args, *outs):
            if isinstance(array, np.ndarray) and array.size > 1:
                owner = owner_of(array)
                held[id(owner)] = owner
    inputs = {id(owner_of(x.array)), id(owner_of(y.array))}
    own = sum(array.nbytes for key, array in held.items() if key not in inputs)
    assert cost.kept == pytest.approx(own, rel=0.001)
    assert cost.kept_inputs == sum(array.nbytes for k, array in held.items() if k in inputs)


def test_kept_bytes_are_what_tracemalloc_sees():
    a = np.random.default_rng(0).normal(size=(300, 300))
    x = cr.tensor(a, requires_grad=True)
    network(x, x)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        out = network(x, x)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert out.requires_grad
    assert trace(lambda x: network(x, x), a).cost().kept == pytest.approx(after - before, rel=0.02)


# ---------------------------------------------------------------- gradients


def arithmetic(cost):
    """The arithmetic without comparisons, which the theory does not count."""
    total = 0
    for line in cost.lines:
        prim = REGISTRY[line.name]
        if getattr(prim, "result", "") == "bool" or line.name == "sign":
            continue
        total += Work(line.flops, line.transcendental).weighted
    return total


@pytest.mark.parametrize(
    "name", sorted(n for n, p in REGISTRY.items() if p.partials is not None and p.differentiable)
)
def test_a_gradient_is_at_most_five_values(name):
    """Baur and Strassen 1983; Griewank and Walther, Evaluating Derivatives, 2nd ed., §3.4.

    An argument that is broadcast gets a sum, one more addition for each entry of the result.
    """
    prim = REGISTRY[name]
    for sample in prim.samples():
        arrays = [np.asarray(a) for a in sample.args]
        if any(a.dtype.kind != "f" for a in arrays):
            continue
        graph = trace(lambda *a, p=sample.params: prim.apply(a, p), *arrays)
        cost = graph.cost()
        try:
            both = cost.gradient
        except NotImplementedError:
            continue  # derivatives by the first argument of the incomplete gamma function, ...
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
        broadcast = sum(a.shape != shape for a in arrays)
        assert arithmetic(both) - cost.weighted <= (5 + broadcast) * cost.weighted


def test_the_ratio_is_that_of_value_and_gradient_to_value():
    graph = trace(lambda x: cr.exp(x).sum(), np.ones(100))
    cost = graph.cost()
    assert cost.weighted == 100 * 8 + 99
    assert cost.gradient.operations == cost.operations + 3  # spread the seed, multiply by exp(x)
    assert cost.ratio == pytest.approx((899 + 100) / 899)
    assert trace(lambda n: n + 1, np.arange(3)).cost().gradient is None


def test_the_ratio_stays_bounded_however_long_the_program():
    def long(x):
        for _ in range(200):
            x = cr.sin(x) * x + 0.1
        return x.sum()

    cost = trace(long, np.ones(5)).cost()
    assert 2 < cost.ratio < 3
    assert cost.gradient.operations < 5 * cost.operations


def test_an_operation_without_a_derivative_rule_is_named():
    graph = trace(cr.special.gammainc, np.array(1.0), np.array(2.0))
    with pytest.raises(NotImplementedError):
        graph.cost().gradient
    assert "no gradient: the derivative for" in repr(graph.cost())


def test_operations_without_a_count_are_named(monkeypatch):
    monkeypatch.delitem(flops.COUNTS, "tanh")
    with pytest.raises(flops.UnknownCountError, match="tanh has no flop count"):
        flops.work_of("tanh", (np.ones(2),), np.ones(2), {})
    cost = trace(lambda x: cr.tanh(x) + 1, np.ones(3)).cost()
    assert cost.uncounted == ("tanh",)
    assert "arithmetic not known of: tanh" in repr(cost)


# ---------------------------------------------------------------- showing


@pytest.fixture
def shown():
    return trace(lambda W, x: cr.tanh(W @ x).sum(), np.ones((40, 30)), np.ones(30)).cost()


def test_text_has_every_number(shown):
    text = repr(shown)
    lines = text.splitlines()
    assert lines[0] == "cost of <lambda>"
    assert any(line.split()[:4] == ["mv", "1", "2,400", "0"] for line in lines)
    assert any(line.startswith("value and gradient") for line in lines)
    assert len({len(line) for line in lines if line.startswith("─")}) == 1


def test_markdown_and_html(shown):
    markdown = shown.markdown()
    assert "| mv | 1 | 2,400 | 0 |" in markdown
    page = shown._repr_html_()
    assert page.count("<tr>") == 1 + 3 + 3
    assert "&lt;lambda&gt;" in page
    assert "<lambda>" not in page


def test_in_a_terminal_with_rich(shown):
    rich = pytest.importorskip("rich.console")
    console = rich.Console(width=100, record=True, file=io.StringIO())
    console.print(shown)
    assert "tanh" in console.export_text()
