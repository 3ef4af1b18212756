"""The context of autograd.Function under transforms: what it says, keeps, and is told."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.autograd import Function
from chainrule.autograd.function import once_differentiable

from .own_functions import Scale, X, close, real
from .programs import Cube

# ---------------------------------------------------------------- the context


def test_needs_input_grad_under_transforms():
    seen = []

    class Spy(Scale):
        @staticmethod
        def setup_context(ctx, inputs, output):
            seen.append(ctx.needs_input_grad)
            Scale.setup_context(ctx, inputs, output)

    x, a = real(*X), cr.tensor(1.5, dtype=cr.float64)
    f = lambda x, a: Spy.apply(x, a, 2.0)[0].sum()
    func.grad(f)(x, a)
    func.grad(f, 1)(x, a)
    assert seen == [(True, False, False), (False, True, False)]
    seen.clear()
    func.vmap(func.grad(f), in_dims=(0, None))(x[None], a)
    assert set(seen) == {(True, False, False)}
    seen.clear()
    func.jvp(func.grad(f), (x, a), (x, a))
    assert set(seen) == {(True, False, False)}


def test_outputs_marked_as_not_differentiable_have_no_tangent():
    class Sorted(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            values, index = x.sort()
            return values, index, x.sign()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.mark_non_differentiable(output[1], output[2])
            ctx.save_for_backward(output[1])
            ctx.save_for_forward(output[1])

        @staticmethod
        def backward(ctx, g, _, __):
            (index,) = ctx.saved_tensors
            return cr.zeros_like(g).scatter(0, index, g)

        @staticmethod
        def jvp(ctx, t):
            (index,) = ctx.saved_tensors
            return t.gather(0, index), None, t

    f = lambda x: Sorted.apply(x)[0] * real(1, 2, 3)
    x = real(*X)
    want = np.zeros((3, 3))
    want[range(3), np.argsort(X)] = [1, 2, 3]
    close(func.jacfwd(f)(x), want)
    close(func.jacrev(f)(x), want)
    close(func.vmap(func.jacfwd(f))(x[None]), want[None])
    close(func.vmap(func.jacrev(f))(x[None]), want[None])
    sign = func.jvp(lambda x: Sorted.apply(x)[2], (x,), (x,))[1]
    close(sign, np.zeros(3))


def test_tangents_may_be_left_symbolic():
    seen = []

    class Pick(Function):
        @staticmethod
        def forward(x, y):
            return x * 1, y * 1

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.set_materialize_grads(False)

        @staticmethod
        def jvp(ctx, t, s):
            seen.append((t is None, s is None))
            return t, s

    y = real(1, 2, 3)
    out = func.jvp(lambda x: Pick.apply(x, y), (y,), (y,))
    assert seen == [(False, True)]
    close(out[1][1], np.zeros(3))


class Doubled(Function):
    """Doubles its argument in place."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.mul_(2)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_dirty(inputs[0])

    @staticmethod
    def backward(ctx, g):
        return 2 * g

    @staticmethod
    def jvp(ctx, t):
        return 2 * t


def test_writing_an_argument_in_place():
    def f(x):
        y = x * x
        z = Doubled.apply(y)
        assert z is y
        return (y * 1.0).sum()

    def with_view(x):
        y = x * x
        part = y[0]
        Doubled.apply(y)
        return part * 1.0

    x = real(*X)
    close(func.grad(f)(x), 4 * X)
    close(func.jvp(f, (x,), (cr.ones(3, dtype=cr.float64),))[1], 4 * X.sum())
    close(func.vmap(func.grad(f))(x[None]), 4 * X[None])
    close(func.vmap(lambda x: func.jvp(f, (x,), (x,))[1])(x[None]), [4 * (X**2).sum()])
    close(func.grad(lambda x: func.vmap(f)(x).sum())(x[None]), 4 * X[None])
    close(func.hessian(f)(x), 4 * np.eye(3))
    close(func.grad(with_view)(x), [4 * X[0], 0, 0])
    close(func.jvp(with_view, (x,), (x,))[1], 4 * X[0] ** 2)
    close(func.vmap(with_view)(x[None]), [2 * X[0] ** 2])


def test_backward_under_a_mapped_cotangent_runs_once():
    calls = []

    class Count(Cube):
        @staticmethod
        def backward(ctx, g):
            calls.append(tuple(g.shape))
            return Cube.backward(ctx, g)

    close(func.jacrev(Count.apply)(real(*X)), np.diag(3 * X**2))
    assert calls == [(3,)]


def test_once_differentiable_says_so_under_transforms():
    class Once(Cube):
        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x * x

    f = lambda x: Once.apply(x).sum()
    x = real(*X)
    close(func.grad(f)(x), 3 * X**2)
    close(func.jacrev(Once.apply)(x), np.diag(3 * X**2))
    close(func.vmap(func.grad(f))(x[None]), 3 * X[None] ** 2)
    for run in (
        lambda: func.grad(lambda x: func.grad(f)(x).sum())(x),
        lambda: func.jacrev(func.jacrev(Once.apply))(x),
        lambda: func.vmap(func.grad(lambda x: func.grad(f)(x).sum()))(x[None]),
    ):
        with pytest.raises(RuntimeError, match="trying to differentiate twice"):
            run()


def test_a_wrong_number_of_gradients_in_a_batch():
    class Wrong(Cube):
        @staticmethod
        def backward(ctx, g):
            return g, g

    with pytest.raises(RuntimeError, match=r"WrongBackward returned an incorrect .* 1, got 2"):
        func.vmap(func.grad(lambda x: Wrong.apply(x).sum()))(real(*X)[None])


def test_saved_outputs_carry_the_derivative_of_the_operation():
    class Exp(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.exp()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(output)
            ctx.save_for_forward(output)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

        @staticmethod
        def jvp(ctx, t):
            return t * ctx.saved_tensors[0]

    x = cr.tensor(0.75, dtype=cr.float64)
    f = Exp.apply
    for outer in (func.grad, func.jacfwd):
        for middle in (func.grad, func.jacfwd):
            for inner in (func.grad, func.jacfwd):
                close(outer(middle(inner(f)))(x), np.exp(0.75))
                close(func.vmap(outer(middle(inner(f))))(x[None]), [np.exp(0.75)])
    found = func.taylor(f, x, order=6)
    for k, c in enumerate(found):
        close(c, np.exp(0.75) / cr.tensor(float(k + 1), dtype=cr.float64).lgamma().exp())
