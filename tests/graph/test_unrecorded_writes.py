"""Writes under no_grad in traced functions: other numbers, the same derivatives, as on the tape."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.func import grad, jvp, vmap


def _whole(x: Any, w: Any) -> Any:
    y = x * w
    with cr.no_grad():
        y.mul_(2)
    return (y * 1).exp().sum()


def _entry(x: Any, w: Any) -> Any:
    y = x * w
    with cr.no_grad():
        y[0] = 0.25
    return (y * 1).exp().sum()


def _through_views(x: Any, w: Any) -> Any:
    y = x * w
    row = y[1:]
    with cr.no_grad():
        y.view(3, 1).add_(w.sum())
        y[1].mul_(0.5)
    return (y * 1).exp().sum() + (row * 1).sin().sum()


def _view_then_use_of_it(x: Any, w: Any) -> Any:
    y = (x * w).view(3, 1)
    with cr.no_grad():
        y.zero_()
    return (y * 1).exp().sum()


def _both(x: Any, w: Any) -> Any:
    y = x * w
    y *= 3
    with cr.no_grad():
        y.add_(x)
    y += w
    return (y * 1).exp().sum()


FUNCTIONS = [_whole, _entry, _through_views, _view_then_use_of_it, _both]
X = np.array([0.5, -0.25, 1.0])
W = np.array([1.5, 0.5, 0.75])


def _on_the_tape(f: Any, x: Any, w: Any) -> tuple[Any, ...]:
    a, b = (cr.tensor(v, requires_grad=True) for v in (x, w))
    y = f(a, b)
    y.backward()
    return y.detach().numpy(), a.grad.numpy(), b.grad.numpy()


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__[1:])
def test_a_graph_has_the_derivatives_of_the_tape(f: Any) -> None:
    value, *slopes = _on_the_tape(f, X, W)
    graph = cr.graph.trace(f, X, W)
    for g in (graph, graph.optimize()):
        np.testing.assert_allclose(g(X, W), value, rtol=1e-14)
        for found, wanted in zip(g.grad()(X, W), slopes, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__[1:])
def test_mapped_traced_and_compiled(f: Any) -> None:
    xs = np.stack([X, X + 0.5])
    wanted = [_on_the_tape(f, x, W)[1] for x in xs]
    np.testing.assert_allclose(vmap(grad(f), (0, None))(xs, W), wanted, rtol=1e-14)
    np.testing.assert_allclose(
        grad(lambda xs: vmap(f, (0, None))(xs, W).sum())(xs), wanted, rtol=1e-14
    )
    mapped = cr.graph.trace(vmap(grad(cr.graph.trace(f, X, W)), (0, None)), xs, W)
    np.testing.assert_allclose(mapped(xs, W), wanted, rtol=1e-14)
    pytest.importorskip("llvmlite")
    np.testing.assert_allclose(cr.jit(grad(cr.jit(f)))(X, W), wanted[0], rtol=1e-14)


def test_set_data() -> None:
    prim = REGISTRY["set_data"]
    x, v = cr.tensor(X, requires_grad=True), cr.tensor(W, requires_grad=True)
    y = prim(x, v)
    assert y.tolist() == W.tolist()
    y.backward(cr.tensor([1.0, 2.0, 3.0], dtype=cr.float64))
    assert x.grad.tolist() == [1.0, 2.0, 3.0]
    assert v.grad is None
    out, t = jvp(lambda x: prim(x, W), (X,), (np.ones(3),))
    assert np.array_equal(out, W)
    assert not t.any()
    _, t = jvp(lambda v: prim(X, v), (W,), (np.ones(3),))
    assert t.all()
    mapped = vmap(lambda x, v: prim(x, v), (None, 0))(X, np.stack([W, W + 1]))
    assert mapped.tolist() == [W.tolist(), (W + 1).tolist()]
    mapped = vmap(lambda x: prim(x, W))(np.stack([X, X]))
    assert mapped.tolist() == [W.tolist()] * 2


def _forward(x: Any) -> Any:
    y = x * 3
    with cr.no_grad():
        y.mul_(x)
        z = x * x
    return y * 1, z * x, x.detach() * 7 + x


def test_forward_mode_does_not_know_no_grad_and_knows_detach() -> None:
    x, v = np.array([0.5, 2.0]), np.array([1.0, -1.0])
    wanted = [6 * x * v, 3 * x * x * v, v]
    graph = cr.graph.trace(_forward, x)
    functions = [_forward, graph, graph.optimize()]
    with contextlib.suppress(ImportError):  # llvmlite
        functions.append(cr.jit(_forward))
    for f in functions:
        for found, t in zip(jvp(f, (x,), (v,))[1], wanted, strict=True):
            np.testing.assert_allclose(found, t, rtol=1e-14)
    for f in functions:  # reverse mode knows both
        slopes = [grad(lambda x, k=k, f=f: f(x)[k].sum())(x) for k in range(3)]
        for found, slope in zip(slopes, [0 * x + 3, x * x, 0 * x + 1], strict=True):
            np.testing.assert_allclose(found, slope, rtol=1e-14)
