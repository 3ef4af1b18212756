"""autograd.Function: everything a subclass may do, and what is said when it does it wrongly."""

import gc

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import Function
from chainrule.autograd.function import once_differentiable


def leaf(value, dtype=cr.float64):
    return cr.tensor(value, dtype=dtype, requires_grad=True)


class Sigmoid(Function):
    @staticmethod
    def forward(ctx, x):
        y = 1 / (1 + (-x).exp())
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y * (1 - y)


class Cube(Function):
    """New style: forward knows nothing of the context."""

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


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
