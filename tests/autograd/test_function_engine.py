"""autograd.Function in the engine: what is saved and freed, run once, and agrees with PyTorch."""

import gc

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import Function

from .own_functions import Cube, Sigmoid, leaf


def test_saved_values_are_freed_and_watched():
    x = leaf(2.0)
    y = Sigmoid.apply(x)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.grad_fn.saved_tensors
    u = x * 1
    z = Cube.apply(u)
    u.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_nothing_is_recorded_without_need():
    assert Sigmoid.apply(cr.ones(2)).grad_fn is None
    with cr.no_grad():
        assert not Sigmoid.apply(leaf(1.0)).requires_grad


def test_user_code_runs_once_even_if_a_nan_appears():
    calls = []

    class Counted(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            calls.append(g.numpy().copy())
            return g

    x = leaf([0.0, 4.0])
    y = Counted.apply(x)
    with np.errstate(invalid="ignore"):
        z = Counted.apply(cr.where(y > 0, y.sqrt(), 0.0) * 2)
    z.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0.5])
    np.testing.assert_array_equal(calls, [[1, 1], [0, 0.5]])


def test_output_saved_makes_no_cycle():
    gc.collect()
    gc.disable()
    try:
        x = leaf([1.0, 2.0])
        y = Sigmoid.apply(Sigmoid.apply(x))
        y.sum().backward(retain_graph=True)
        del x, y
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_forward_mode_uses_jvp():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_forward(x)
            return x * x

        @staticmethod
        def jvp(ctx, t):
            (x,) = ctx.saved_tensors
            return 2 * x * t

    from chainrule.core import engine

    x = leaf(3.0)
    y = Square.apply(x) * 5
    order, _ = engine.between([y.node], [x.node])
    assert engine.push(order, {x.node: np.ones(())}, False)[y.node] == 30


def test_agrees_with_torch():
    torch = pytest.importorskip("torch")

    def run(lib):
        class Poly(lib.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.save_for_backward(x, y)
                return x * x * y, x + y

            @staticmethod
            def backward(ctx, a, b):
                x, y = ctx.saved_tensors
                return a * 2 * x * y + b, a * x * x + b

        x = lib.tensor([0.5, 1.5], requires_grad=True)
        y = lib.tensor([2.5, -1.5], requires_grad=True)
        a, b = Poly.apply(x, y)
        gs = lib.autograd.grad((a * b).sum(), (x, y), create_graph=True)
        hs = lib.autograd.grad(gs[0].sum() + (gs[1] ** 2).sum(), (x, y))
        return [t.detach().numpy() for t in (*gs, *hs)]

    for a, b in zip(run(cr), run(torch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_a_gradient_that_would_have_to_be_repeated_is_refused(shape):
    class Wrong(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return cr.ones(shape)

    x = cr.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"expected shape compatible with \[2\]"):
        Wrong.apply(x).sum().backward()
