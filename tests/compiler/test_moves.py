"""Joins, margins, indices and writes: compiled = evaluated, and nothing is left to NumPy."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
import chainrule.nn.functional as F
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace


def check(f, *arrays, exact=True, grad=True):
    """Compiled = evaluated, of the function and of the gradient of its weighted sum."""
    graph = trace(f, *arrays)
    programs = []
    for g in (graph, graph.optimize()):
        program, found, wanted = both(g, *arrays)
        assert not program.steps.refused, program.report()
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == b.dtype
            if exact:
                np.testing.assert_array_equal(a, b)
            else:
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
        programs.append(program)
    if grad:
        check_gradient(f, *arrays)
    return programs[0]


def check_gradient(f, *arrays):
    def loss(*xs):
        outs = f(*xs)
        outs = outs if isinstance(outs, (list, tuple)) else [outs]
        return sum(((k + 1) * y * y * cr.arange(y.numel()).reshape(y.shape).to(y.dtype)).sum()
                   for k, y in enumerate(outs))  # fmt: skip

    graph = trace(loss, *arrays)
    names = [n for n, x in zip(graph.input_names, arrays, strict=True) if x.dtype.kind == "f"]
    graph = graph.grad(names).optimize()
    program, found, wanted = both(graph, *arrays)
    assert not program.steps.refused, program.report()
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


MOVES = {
    "cat rows": lambda x: cr.cat([x, x * 2, x[:1]], 0),
    "cat columns": lambda x: cr.cat([x.exp(), x[:, 1:3]], 1),
    "cat of one": lambda x: cr.cat([x.exp()], 1) + 1,
    "cat and use": lambda x: cr.cat([x, x.exp()], 1) * 2 - 1,
    "cat of sums": lambda x: cr.cat([x.sum(0), x.amax(1)]),
    "cat twice": lambda x: cr.cat([cr.cat([x, x + 1]), cr.cat([x, x * 3])], 1).tanh(),
    "part of cat": lambda x: cr.cat([x.exp(), x])[: len(x)] + 1,
    "across cat": lambda x: cr.cat([x.exp(), x])[2 : 2 + len(x)] + x,
    "same part twice": lambda x: cr.cat([x, x]),
    "stack": lambda x: cr.stack([x, x.exp()], 1),
    "stack last": lambda x: cr.stack([x[:, 0] * x[:, 1], x[:, 1].sin(), x[:, 2]], -1),
    "stack of stacks": lambda x: cr.stack(
        [cr.stack([x[0], x[1] * 2], 1), cr.stack([x[2], x[0]], 1)]
    ),
    "stack of numbers": lambda x: cr.stack([x.sum(), x[0, 0], x.amax()]),
    "unstacked": lambda x: sum(cr.stack([x, x.exp(), x * 2], 1).unbind(1)),
    "split": lambda x: cr.mul(*x.exp().chunk(2, 1)) if x.shape[1] % 2 == 0 else x.exp(),
    "pad": lambda x: F.pad(x.exp(), (1, 2, 3, 0), value=1.5) * 2,
    "pad reflect": lambda x: F.pad(x[None, None], (2, 1, 1, 2), mode="reflect")[0, 0] * x.sum(),
    "pad replicate": lambda x: F.pad(x[None], (2, 1), mode="replicate")[0] + 1,
    "pad circular": lambda x: F.pad(x[None], (3, 1), mode="circular")[0] + 1,
    "roll": lambda x: x.exp().roll(2, 1) + x,
    "roll both": lambda x: x.roll((1, -2), (0, 1)) * x,
    "slices": lambda x: x.exp()[:, 1:] - x.exp()[:, :-1],
    "columns": lambda x: x.exp()[:, 0] * x.exp()[:, 2] + x.exp()[:, -1],
    "every second": lambda x: x.exp()[::2, ::-2],
    "reversed rows": lambda x: (x * 2)[::-1] + x,
    "diagonal": lambda x: x.exp().diagonal() * 2,
    "off diagonal": lambda x: x.diagonal(1) + 1,
    "triangles": lambda x: x.tril(-1) + x.triu(1) * 2,
    "diag": lambda x: cr.diag(x[0].exp()) + 1,
    "repeat": lambda x: x.repeat(2, 3) * 2,
    "meshed": lambda x: cr.outer(x[0], x[1]).reshape(-1)[: x.shape[1]] + x[2],
}


@pytest.mark.parametrize("shape", [(4, 6), (17, 3), (3, 70), (200, 5)])
@pytest.mark.parametrize("name", MOVES)
def test_moves(name, shape):
    check(MOVES[name], ordinary(shape, "float64", 0), exact=False)


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_moves_of_other_dtypes(dtype):
    x = ordinary((5, 6), dtype, 0)
    for f in (
        lambda x: cr.cat([x, x[:1]]),
        lambda x: cr.stack([x, x], 2),
        lambda x: F.pad(x, (1, 1)),
        lambda x: x.roll(1, 0),
    ):
        check(f, x, grad=False)


WRITES = {
    "entry": lambda x, y: _put(x, (2, 1), y[0, 0]),
    "row": lambda x, y: _put(x, 3, y[0]),
    "column": lambda x, y: _put(x, (slice(None), 2), y[:, 0]),
    "slice": lambda x, y: _put(x, (slice(1, 4), slice(None, None, 2)), y[:3, ::2]),
    "number": lambda x, y: _put(x, slice(1, 3), 0.5) * y,
    "backwards": lambda x, y: _put(x, slice(None, None, -1), y),
    "of a result": lambda x, y: _put(x.exp(), slice(1, 3), (x * y)[:2]),
    "used after": lambda x, y: _put(x.exp(), 1, y[0]) * y + x.exp(),
    "added": lambda x, y: _add(x.exp(), slice(1, 3), y[:2]),
    "chain": lambda x, y: _chain(x, y),
    "own past": lambda x, y: _own_past(x),
    "own slice": lambda x, y: _put(x * 2, slice(1, None), (x * 2)[:-1] + y[1:]),
}


def _put(x, index, y):
    z = x.clone()
    z[index] = y
    return z


def _add(x, index, y):
    z = x.clone()
    z[index] += y
    return z


def _chain(x, y):
    z = x * 1
    for i in range(len(x)):
        z[i] = y[i] * (i + 1)
    return z + 1


def _own_past(x):
    z = x * 1
    for i in range(1, len(x)):
        z[i] = z[i - 1] * 0.5 + x[i]
    return z


@pytest.mark.parametrize("shape", [(6, 6), (30, 5)])
@pytest.mark.parametrize("name", WRITES)
def test_writes(name, shape):
    check(WRITES[name], ordinary(shape, "float64", 0), ordinary(shape, "float64", 1), exact=False)


def test_a_chain_of_writes_has_one_memory():
    """Every write goes to the memory of the one before; nothing is copied in between."""

    def f(x, y):
        z = x * 1
        for i in range(40):
            z[i] = y[i]
        return z

    x, y = ordinary((200, 90), "float64", 0), ordinary((200, 90), "float64", 1)
    program = check(f, x, y, grad=False)
    whole = [b for b in program.steps.buffers if b.size == x.size and b.kind != "given"]
    assert len({b.root for b in whole}) == 1


def test_columns_are_one_kernel():
    """Vectors that are stacked along the last axis are computed and stored in one loop."""

    def f(x):
        a, b = x[:, 0], x[:, 1]
        made = [a * b + k for k in range(15)], [a.sin() - b * k for k in range(15)]
        return cr.stack([cr.stack(m, 1) for m in made], 1)

    x = ordinary((1000, 2), "float64", 0)
    program = check(f, x, exact=False, grad=False)
    (step,) = program.steps.steps
    (nest,) = step.kernel.nests
    assert nest.extents == (1000,)
    assert len(nest.stores) == 30
    assert program.steps.scratch == 0
    assert "x double>" in program.report().ir


def test_a_jacobian_of_points_is_one_kernel():
    """vmap of a Jacobian over short vectors: joins, products of three, one-hot cotangents."""

    def point(v):
        w = v[:3] / (v[:3] * v[:3]).sum().sqrt()
        turned = cr.stack([w[1] * v[5] - w[2] * v[4], w[2] * v[3] - w[0] * v[5]])
        return turned * (1 + (turned * turned).sum() * v[6])

    def f(v):
        return cr.func.vmap(cr.func.jacrev(point))(v)

    v = ordinary((300, 7), "float64", 0)
    program = check(f, v, exact=False, grad=False)
    (step,) = trace_steps(f, v)
    (nest,) = step.kernel.nests
    assert nest.extents == (300,)
    assert len(nest.stores) == 14
    assert program.steps.refused == {}


def trace_steps(f, *arrays):
    from chainrule.compiler.execute import compiled

    return compiled(trace(f, *arrays).optimize()).steps.steps
