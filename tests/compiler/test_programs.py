"""Real functions and their gradients, and random graphs: compiled = run."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite")

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.compiler.execute import compiled
from chainrule.compiler.fuse import KernelStep
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace


def chain(x):
    return (cr.sin(x) * cr.exp(-x * x) + cr.tanh(x)).sum()


def cross_entropy(x):
    return -cr.log_softmax(x, 1)[:, 0].mean()


def softmax_entropy(x):
    p = cr.softmax(x, 1)
    return (p * p).sum() + cr.softmax(x, 0)[1].sum()


def layer_norm(x):
    return (F.layer_norm(x, (x.shape[1],)) ** 2 * x).sum()


def batch_norm(x):
    y = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    return (y * y * y).mean()


def logistic(x):
    t = x[:, 0] > 0
    z = x.sum(1)
    return (cr.where(t, F.softplus(-z), F.softplus(z))).mean()


def gelu_block(x):
    return (F.gelu(x, approximate="tanh") * F.silu(x)).sum()


def mlp(x):
    w = x[:10].transpose(0, 1)
    return cr.relu(cr.tanh(x[:, : w.shape[0]] @ w) + x[:, :1]).sum()


def distances(x):
    d = x[:, None, :4] - x[None, :, :4]
    return cr.logsumexp(-(d * d).sum(2), 1).sum()


def extremes(x):
    return x.amax(1).sum() + x.max(0).values.sum() + x.clamp(-1, 1).norm() + x.std()


FUNCTIONS = [chain, cross_entropy, softmax_entropy, layer_norm, batch_norm, logistic, gelu_block,
             mlp, distances, extremes]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_value_and_gradient(f, dtype):
    x = ordinary((37, 90), dtype, 0)
    graph = trace(f, x).value_and_grad()
    eps = np.finfo(dtype).eps
    for g in (graph, graph.optimize()):
        program, found, wanted = both(g, x)
        assert not any("could not be compiled" in r for r in program.steps.refused.values())
        for a, b in zip(found, wanted, strict=True):
            scale = max(1.0, float(np.abs(b).max()))
            np.testing.assert_allclose(a, b, rtol=500 * eps, atol=500 * eps * scale)


def test_second_derivatives():
    x = ordinary((9,), "float64", 0)
    graph = trace(chain, x).jvp("x").optimize()
    names = [*graph.input_names]
    assert len(names) == 2
    _program, found, wanted = both(graph, x, x + 1)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_rows_share_a_loop():
    """Softmax over rows is one kernel: a row stays in the cache between its three passes."""
    x = ordinary((50, 100), "float32", 0)
    program = compiled(trace(lambda x: cr.softmax(x, 1), x))
    (step,) = program.steps.steps
    assert len(step.kernel.nests) == 3
    assert step.kernel.trip == 50


def test_a_gradient_is_one_pass():
    """Value and gradient of an elementwise loss: one loop reads x once and writes the gradient."""
    x = ordinary((1000,), "float64", 0)
    program = compiled(trace(chain, x).value_and_grad().optimize())
    (step,) = program.steps.steps
    (nest,) = step.kernel.nests
    assert [c.op for c in nest.code].count("load") == 1
    assert program.steps.scratch == 0


def test_begin_and_end_share_the_work():
    """A kernel run in pieces gives the bits of the whole."""
    x = ordinary((10**5,), "float32", 0)
    for f in (
        chain,
        lambda x: cr.softmax(x.reshape(100, 1000), 1),
        lambda x: x.reshape(500, 200).sum(0),
    ):
        program = compiled(trace(f, x).value_and_grad() if f is chain else trace(f, x))
        whole = program.run([x])
        for a, b in zip(whole, in_pieces(program, x), strict=True):
            np.testing.assert_array_equal(a, b)


def in_pieces(program, x):
    """The results with every kernel's outermost loop split in three."""
    import ctypes

    from chainrule.compiler.llvm import compile_module, llvm_ir
    from chainrule.compiler.loops import write_kernel
    from chainrule.compiler.reduce import write_finish

    memory = {}
    for b in program.steps.buffers:
        memory[b.index] = np.full(max(b.size, 1), 77, b.dtype)
    memory[program.steps.inputs[0].index] = x
    for step in program.steps.steps:
        assert isinstance(step, KernelStep)
        module = llvm_ir().Module()
        write_kernel(module, step.kernel)
        finish = write_finish(module, step.kernel)
        code = compile_module(module)
        types = [ctypes.c_void_p] * len(step.buffers) + [ctypes.c_int64] * 2
        pointers = [memory[b.index].ctypes.data for b in step.buffers]
        call = ctypes.CFUNCTYPE(None, *types)(code.address(step.kernel.name))
        n = step.kernel.trip
        for begin, end in ((2 * n // 3, n), (0, n // 3), (n // 3, 2 * n // 3)):
            call(*pointers, begin, end)
        if finish is not None:
            ctypes.CFUNCTYPE(None, *types)(code.address(finish.name))(*pointers, 0, 0)
    return [memory[w.buffer.index][: int(np.prod(w.shape))].reshape(w.shape)
            for w in program.steps.outputs]  # fmt: skip


UNARY = [cr.exp, cr.tanh, cr.relu, cr.sigmoid, abs, lambda x: -x, lambda x: x * x, cr.sin,
         lambda x: x + 1, lambda x: cr.where(x > 0, x, 0.5)]  # fmt: skip
BINARY = [lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x - y, cr.maximum, cr.minimum,
          lambda x, y: x / (y * y + 1), lambda x, y: cr.where(x < y, x, y)]  # fmt: skip


@st.composite
def programs(draw):
    """A function of x (6, 10) and y (10,) that makes a graph of many small steps."""
    steps = draw(st.lists(st.tuples(
        st.integers(0, 7), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)
    ), min_size=3, max_size=25))  # fmt: skip

    def f(x, y):
        values = [x, y]
        for kind, op, i, j in steps:
            a, b = values[i % len(values)], values[j % len(values)]
            values.append(_grown(kind, op, a, b))
        return values[-3:], values[len(values) // 2]

    f.steps = steps
    return f


def _grown(kind, op, a, b):
    """One more value from two others."""
    if kind < 2:
        return cr.tanh(UNARY[op % len(UNARY)](a))
    if kind < 4:
        if a.ndim == 2 and b.ndim == 2 and a.shape != b.shape:
            b = b.transpose(0, 1)
        if a.ndim + b.ndim == 3 and 6 in (a.shape[-1], b.shape[-1]):
            return a * 0.5
        return BINARY[op % len(BINARY)](a, b)
    if kind == 4 and a.ndim == 2:
        return a.transpose(0, 1)
    if kind == 5 and a.ndim == 2:
        return [
            a.flip(1),
            a[:, ::-1] * 2,
            a.reshape(-1).reshape(a.shape),
            a.reshape(60).flip(0).reshape(a.shape),
        ][op % 4]
    if kind == 6 and a.ndim:
        return [a.sum(), a.mean(), a.amax(), a.sum(-1, keepdim=True) * a, a.amax(0) + a][op % 5]
    if kind == 7 and a.ndim == 2:
        return [cr.softmax(a, 1), cr.softmax(a, 0), a - a.mean(0), a.sum(1)[:, None] * a][op % 4]
    return a + 1


@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.generate])
@given(programs())
def test_random_graphs(f):
    x, y = ordinary((6, 10), "float64", 0), ordinary((10,), "float64", 1)
    graph = trace(f, x, y)
    program, found, wanted = both(graph, x, y)
    assert not any("could not be compiled" in r for r in program.steps.refused.values())
    again = program.run([x, y])
    for a, b, c in zip(found, wanted, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
        np.testing.assert_array_equal(a, c)


def test_arguments_and_results_are_as_the_graphs():
    x = cr.tensor([1.0, 2.0])
    graph = cr.graph.trace(lambda d: {"y": d["a"] * 2, "z": [d["b"].sum()]}, {"a": x, "b": x})
    program = compiled(graph)
    found = program({"a": x, "b": x})
    assert found["y"].tolist() == [2.0, 4.0]
    assert found["z"][0].item() == 3.0
    with pytest.raises(RuntimeError, match="shape"):
        program({"a": cr.ones(3), "b": x})
    with pytest.raises(TypeError):
        program(x, x, x)


def test_what_cannot_be_compiled_runs_in_numpy(monkeypatch):
    x = ordinary((4, 4), "float64", 0) + 8 * np.eye(4)

    def f(x):
        return (cr.linalg.inv(x) * 2).exp().sum() + cr.linalg.det(x)

    program, found, wanted = both(trace(f, x), x)
    np.testing.assert_allclose(found, wanted)
    text = str(program.report())
    assert "inv has no compiled form" in text
    assert "det has no compiled form" in text
    assert "test_programs.py" in text

    from chainrule.compiler import lowering

    def broken(s, dt, x):
        raise ValueError("out of order")

    monkeypatch.setitem(lowering.OPERATIONS, "floor", broken)
    program, found, wanted = both(trace(lambda x: cr.floor(x).sum() + cr.ceil(x.exp()), x), x)
    np.testing.assert_allclose(found[0], wanted[0])
    assert "out of order" in str(program.report())


def test_complex_numbers_run_in_numpy():
    x = ordinary((5,), "complex128", 0)
    _program, found, wanted = both(trace(lambda x: (x * x).real + x.abs(), x), x)
    np.testing.assert_allclose(found[0], wanted[0])


def test_without_llvmlite(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    with pytest.raises(ImportError, match=r'pip install "chainrule\[jit\]"'):
        compiled(trace(lambda x: x * 2, np.ones(3)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loops_become_vectors(dtype):
    x = ordinary((64, 256), dtype, 0)
    for f in (
        chain,
        layer_norm,
        lambda x: cr.softmax(x, 1),
        lambda x: (x * 2).sum(0),
        lambda x: x.transpose(0, 1) + 1,
    ):
        graph = trace(f, x)
        report = compiled(graph.value_and_grad() if f in (chain, layer_norm) else graph).report()
        name = "float" if dtype == "float32" else "double"
        assert re.search(rf"<\d+ x {name}>", report.ir), f


def test_programs_run_in_threads():
    from concurrent.futures import ThreadPoolExecutor

    x = ordinary((200, 90), "float64", 0)
    program = compiled(trace(layer_norm, x).value_and_grad())
    wanted = program.run([x])
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: program.run([x]), range(40)):
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)


def test_many_nodes_take_linear_time():
    def f(x):
        for i in range(1000):
            x = x * 1.0001 + 0.5 if i % 3 else cr.maximum(x, 0.1)
        return x

    x = ordinary((20,), "float64", 0)
    program, found, wanted = both(trace(f, x), x)
    np.testing.assert_array_equal(found[0], wanted[0])
    assert len(program.steps.steps) <= 3


def test_results_take_the_place_of_operands_that_end():
    """An intermediate array is written into the memory of the result that replaces it."""

    def f(x):
        y = cr.exp(x)
        return y * (y.sum() + y.sum(0))  # y is stored, then needed entry by entry

    x = ordinary((300, 40), "float64", 0)
    program, found, wanted = both(trace(f, x), x)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
    large = [b for b in program.steps.buffers if b.size == x.size and b.kind != "given"]
    assert len(large) == 2
    assert len({b.root for b in large}) == 1
    assert program.steps.scratch < x.nbytes
    assert np.array_equal(x, ordinary((300, 40), "float64", 0))
