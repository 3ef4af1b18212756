"""autograd.Function under vmap by its staticmethod; old style; where a rule is missing."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.autograd import Function

from .own_functions import X, close, real
from .programs import Cube

# ---------------------------------------------------------------- the vmap staticmethod


def test_vmap_staticmethod_is_told_of_the_batch():
    seen = []

    class Plus(Function):
        @staticmethod
        def forward(x, y, k):
            return x + y + k

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return g, g, None

        @staticmethod
        def vmap(info, in_dims, x, y, k):
            seen.append((info.batch_size, info.randomness, in_dims, tuple(x.shape), tuple(y.shape)))
            return (x + y[:, None] + k).permute(1, 0), 1

    x, y = cr.ones(2), cr.tensor([1.0, 2.0, 3.0])
    out = func.vmap(lambda y: Plus.apply(x, y, 4), randomness="same")(y)
    assert seen == [(3, "same", (None, 0, None), (2,), (3,))]
    np.testing.assert_array_equal(out.numpy(), [[6, 6], [7, 7], [8, 8]])


def test_vmap_staticmethod_may_leave_outputs_unmapped():
    class Pair(Function):
        @staticmethod
        def forward(x, y):
            return x + y, y * 1

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def vmap(info, in_dims, x, y):
            return (x + y, y * 1), (0, None)

    y = cr.tensor(10.0)
    a, b = func.vmap(lambda x: Pair.apply(x, y))(cr.tensor([1.0, 2.0]))
    assert a.tolist() == [11, 12]
    assert b.tolist() == [10, 10]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: x, "Expected the vmap staticmethod to have two returns"),
        (lambda x: (x, 0, 0), "Got 3 returns"),
        (lambda x: (x, (0, 0)), "Got 1 outputs and 2 out_dims"),
        (lambda x: (x[:1], 0), "says that the batch of 2 is dimension 0"),
    ],
)
def test_wrong_returns_of_a_vmap_staticmethod(result, message):
    class Wrong(Function):
        @staticmethod
        def forward(x):
            return x

        @staticmethod
        def vmap(info, in_dims, x):
            return result(x)

    with pytest.raises(RuntimeError, match=message):
        func.vmap(Wrong.apply)(cr.ones(2))


def test_vmap_needs_a_rule_and_only_one():
    class Neither(Function):
        @staticmethod
        def forward(x):
            return x

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

    with pytest.raises(RuntimeError, match="Neither, but it does not have vmap support"):
        func.vmap(Neither.apply)(cr.ones(2))

    class Both(Neither):
        generate_vmap_rule = True

        @staticmethod
        def vmap(info, in_dims, x):
            return x, 0

    with pytest.raises(RuntimeError, match="both generate_vmap_rule=True and an overriden vmap"):
        func.vmap(Both.apply)(cr.ones(2))


# ---------------------------------------------------------------- old style, and what is missing


class OldCube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return 3 * x * x * t


def test_old_style_works_where_one_context_is_enough():
    close(func.grad(lambda x: OldCube.apply(x).sum())(real(*X)), 3 * X**2)
    close(func.jacrev(OldCube.apply)(real(*X)), np.diag(3 * X**2))
    close(func.jvp(OldCube.apply, (real(*X),), (real(1, 2, 3),))[1], 3 * X**2 * [1, 2, 3])
    close(func.grad(lambda x: func.jvp(OldCube.apply, (x,), (cr.ones(3),))[1].sum())(real(*X)),
          6 * X)  # fmt: skip
    close(func.hessian(lambda x: OldCube.apply(x).sum())(real(*X)), np.diag(6 * X))


def test_old_style_is_refused_where_every_level_saves_its_own():
    x = real(*X)

    class OldVmap(OldCube):
        generate_vmap_rule = True

    for run in (
        lambda: func.vmap(OldVmap.apply)(x),
        lambda: func.jvp(func.jacfwd(OldCube.apply), (x,), (x,)),
        lambda: func.taylor(OldCube.apply, x),
    ):
        with pytest.raises(RuntimeError, match="must override the setup_context staticmethod"):
            run()


def test_forward_mode_needs_a_jvp():
    class Square(Function):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    x = real(*X)
    for run in (
        lambda: func.jvp(Square.apply, (x,), (x,)),
        lambda: func.jacfwd(Square.apply)(x),
        lambda: func.taylor(Square.apply, x),
        lambda: func.linearize(Square.apply, x)[1](x),
    ):
        with pytest.raises(NotImplementedError, match=r"Square has none\. Add a staticmethod jvp"):
            run()


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda t: (t, t), RuntimeError, "returned 2 tangents, expected 1"),
        (lambda t: t[:1], RuntimeError, r"got \[1\] but expected the shape of the output, \[3\]"),
        (lambda t: 3.0, TypeError, "returned a float at position 0"),
    ],
)
def test_wrong_tangents(result, error, message):
    class Wrong(Cube):
        @staticmethod
        def jvp(ctx, t):
            return result(t)

    with pytest.raises(error, match=message):
        func.jvp(Wrong.apply, (real(*X),), (real(*X),))
