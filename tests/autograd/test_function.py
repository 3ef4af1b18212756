"""autograd.Function: everything a subclass may do, and what is said when it does it wrongly."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import Function
from chainrule.autograd.function import once_differentiable

from .own_functions import Cube, Sigmoid, leaf


def test_sigmoid_equals_the_built_in():
    data = np.linspace(-3, 3, 7)
    a, b = leaf(data), leaf(data)
    y, z = Sigmoid.apply(a), b.sigmoid()
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy())
    (ga,) = cr.autograd.grad(y.sum(), a, create_graph=True)
    (gb,) = cr.autograd.grad(z.sum(), b, create_graph=True)
    np.testing.assert_allclose(ga.detach().numpy(), gb.detach().numpy())
    (ha,) = cr.autograd.grad(ga.sum(), a)
    (hb,) = cr.autograd.grad(gb.sum(), b)
    np.testing.assert_allclose(ha.numpy(), hb.numpy(), atol=1e-15)
    assert cr.autograd.gradgradcheck(Sigmoid.apply, (a,))


def test_names_and_context_on_grad_fn():
    x = leaf([1.0])
    y = Sigmoid.apply(x)
    assert type(y.grad_fn).__name__ == y.grad_fn.name() == "SigmoidBackward"
    assert y.grad_fn.next_functions[0][0].variable is x
    np.testing.assert_array_equal(y.grad_fn.saved_tensors[0].detach().numpy(), y.detach().numpy())


def test_new_style_to_third_order():
    y = x = leaf(2.0)
    y = Cube.apply(x)
    found = []
    for _ in range(3):
        (y,) = cr.autograd.grad(y, x, create_graph=True)
        found.append(y.item())
    assert found == [12, 12, 6]


def test_several_outputs_arguments_and_attributes():
    class Mix(Function):
        @staticmethod
        def forward(ctx, x, k, y, name):
            ctx.k, ctx.name = k, name
            ctx.save_for_backward(x, y)
            assert ctx.needs_input_grad == (True, False, False, False)
            return x * k, x * y, "text"

        @staticmethod
        def backward(ctx, a, b, c):
            _, y = ctx.saved_tensors
            assert c is None
            return a * ctx.k + b * y, None, None, None

    x, y = leaf([1.0, 2.0]), cr.tensor([3.0, 4.0], dtype=cr.float64)
    a, b, c = Mix.apply(x, 10, y, "n")
    assert c == "text"
    assert (a.output_nr, b.output_nr) == (0, 1)
    (a + 2 * b).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [16, 18])


def test_missing_gradients_are_zeros_or_none():
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, a, b):
            seen.append(b)
            return a, None

    x = leaf([1.0, 2.0])
    Two.apply(x, True)[0].sum().backward()
    Two.apply(x, False)[0].sum().backward()
    np.testing.assert_array_equal(seen[0].numpy(), [0, 0])
    assert seen[1] is None


def test_mark_non_differentiable():
    class Sorted(Function):
        @staticmethod
        def forward(ctx, x):
            order = x.argsort()
            y = x[order]
            mask = y > 0
            half = y * 0.5
            ctx.mark_non_differentiable(order, mask, half)
            ctx.order = order
            return y, order, mask, half

        @staticmethod
        def backward(ctx, g, *rest):
            assert [r.numpy().tolist() for r in rest] == [[0, 0], [0, 0], [0, 0]]
            out = cr.zeros(2, dtype=cr.float64)
            out[ctx.order] = g
            return out

    x = leaf([2.0, -1.0])
    y, order, mask, half = Sorted.apply(x)
    assert [t.requires_grad for t in (y, order, mask, half)] == [True, False, False, False]
    (y * cr.tensor([1.0, 10.0], dtype=cr.float64)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [10, 1])


def test_mark_dirty():
    class InPlace(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = leaf([1.0, 2.0])
    y = x * 1
    z = InPlace.apply(y)
    assert z is y
    (z * z).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [8, 16])
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        InPlace.apply(leaf([1.0]))


def test_dirty_inputs_must_be_returned():
    class Forgetful(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 2

    with pytest.raises(RuntimeError, match="marked as dirty"):
        Forgetful.apply(leaf([1.0]) * 1)


def test_input_returned_as_it_is():
    class Reverse(Function):
        """The gradient reversal of domain-adversarial training."""

        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return -g

    x = leaf([1.0, 2.0])
    y = Reverse.apply(x)
    assert y is not x
    assert x.is_leaf
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [-1, -1])


def test_view_of_the_input_returned():
    class Flat(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.shape = x.shape
            return x.view(-1)

        @staticmethod
        def backward(ctx, g):
            return g.view(ctx.shape) * 10

    x = leaf([[1.0, 2.0]])
    y = Flat.apply(x)
    y.mul_(3)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[30, 30]])
    np.testing.assert_array_equal(x.detach().numpy(), [[1, 2]])


def test_summed_and_mixed_dtypes_of_gradients():
    class Sum(Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum()

        @staticmethod
        def backward(ctx, g):
            return g.double().expand(3, 2)  # the engine sums and casts

    x = leaf([1.0, 2.0], cr.float32)
    Sum.apply(x).backward()
    assert x.grad.dtype == cr.float32
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3])


def make(returned):
    class Bad(Function):
        @staticmethod
        def forward(ctx, x, k):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return returned(g)

    return Bad


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda g: g, RuntimeError, r"BadBackward returned an incorrect number.*expected 2, got 1"),
        (lambda g: (g, None, g), RuntimeError, r"BadBackward returned an incorrect number"),
        (lambda g: (g, g), RuntimeError, r"BadBackward returned a gradient different from None"),
        (lambda g: (g[:2], None), RuntimeError, r"BadBackward returned an invalid gradient at"),
        (lambda g: (1.5, None), TypeError, r"BadBackward returned a float at position 0"),
    ],
)
def test_wrong_returns_name_the_function(returned, error, message):
    x = leaf([1.0, 2.0, 3.0])
    with pytest.raises(error, match=message):
        make(returned).apply(x, 5).sum().backward()
    assert x.grad is None


def test_trailing_nones_are_forgiven():
    x = leaf([1.0])
    make(lambda g: (2 * g, None, None, None)).apply(x, 5).sum().backward()
    assert x.grad.item() == 2


def test_once_differentiable():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            assert not cr.is_grad_enabled()
            return g * 2 * x

    x = leaf(3.0)
    (g,) = cr.autograd.grad(Once.apply(x) ** 2, x, create_graph=True)
    assert g.item() == 108
    with pytest.raises(RuntimeError, match="once_differentiable"):
        cr.autograd.grad(g, x)


def test_not_implemented():
    class Nothing(Function):
        pass

    class NoBackward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with pytest.raises(NotImplementedError, match="forward function"):
        Nothing.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="backward or vjp"):
        NoBackward.apply(leaf(1.0)).backward()
    with pytest.raises(RuntimeError, match="static forward method"):
        NoBackward()(leaf(1.0))
    with pytest.raises(TypeError):
        NoBackward.apply(x=leaf(1.0))


def test_vjp_is_another_name_of_backward():
    class Triple(Function):
        @staticmethod
        def forward(ctx, x):
            return 3 * x

        @staticmethod
        def vjp(ctx, g):
            return 3 * g

    x = leaf(1.0)
    Triple.apply(x).backward()
    assert x.grad.item() == 3


def test_saving_something_else_than_a_tensor():
    class Saves(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x

    with pytest.raises(TypeError, match="argument 1 is of type int"):
        Saves.apply(leaf(1.0))
