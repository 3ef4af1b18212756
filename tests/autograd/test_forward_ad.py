"""forward_ad: dual tensors while the program runs, as in PyTorch."""

import gc
import weakref

import numpy as np
import pytest

import chainrule as cr
import chainrule.autograd.forward_ad as fwAD
from chainrule import func


def real(*values):
    return cr.tensor(list(values), dtype=cr.float64)


X, T = [0.5, -1.25, 2.0], [1.0, 2.0, -1.0]


def test_tangents_flow_through_a_program():
    x, t = real(*X), real(*T)
    with fwAD.dual_level():
        d = fwAD.make_dual(x, t)
        y = (d.sin() * d).sum() + d[0]
        primal, tangent = fwAD.unpack_dual(y)
        assert fwAD.unpack_dual(x).tangent is None
        assert fwAD.unpack_dual(d.detach()).tangent is None
    want = func.jvp(lambda x: (x.sin() * x).sum() + x[0], (x,), (t,))
    assert primal.item() == want[0].item()
    assert tangent.item() == want[1].item()


def test_the_names_of_the_pair():
    with fwAD.dual_level():
        found = fwAD.unpack_dual(fwAD.make_dual(real(1), real(2)))
    assert found._fields == ("primal", "tangent")
    assert isinstance(found, fwAD.UnpackedDualTensor)
    assert isinstance(found, tuple)


def test_after_the_level_dual_tensors_are_their_primals():
    x, t = real(*X), real(*T)
    with fwAD.dual_level():
        d = fwAD.make_dual(x, t)
        y = d * d
        view = d[1:]
        buffer = real(0, 0, 0)
        buffer[1] = y[1]
        assert fwAD.unpack_dual(buffer).tangent is not None
    assert fwAD.unpack_dual(y) == (y, None)
    for a in (d, y, view, buffer):
        assert type(a) is cr.Tensor
    np.testing.assert_array_equal((y + 1).numpy(), np.square(X) + 1)
    np.testing.assert_array_equal(view.numpy(), X[1:])
    np.testing.assert_array_equal(buffer.numpy(), [0, 1.5625, 0])
    with fwAD.dual_level():
        assert fwAD.unpack_dual(y).tangent is None


def test_nothing_is_kept_while_the_program_runs():
    with fwAD.dual_level():
        d = fwAD.make_dual(real(*X), real(*T))
        y = d * 2
        alive = weakref.ref(y)
        y = y + 1
        gc.collect()
        assert alive() is None


def test_levels_may_be_nested_and_do_not_mix():
    x = cr.tensor(3.0, dtype=cr.float64)
    one = cr.ones((), dtype=cr.float64)
    with fwAD.dual_level() as outer:
        a = fwAD.make_dual(x, one)
        with fwAD.dual_level() as inner:
            assert (outer, inner) == (0, 1)
            b = fwAD.make_dual(a**2, one)
            first = fwAD.unpack_dual(b * a).tangent  # d(b a)/db = a, which still depends on a
            assert fwAD.unpack_dual(first, level=outer).tangent.item() == 1
            y = fwAD.unpack_dual(a * b, level=outer)
            assert y.tangent.tag is b.tag
        assert fwAD.unpack_dual(y.tangent).primal.item() == 27  # a b' + a' b = 3·6 + 9
        dx = fwAD.unpack_dual(first)
        assert dx.tangent.item() == 1


def test_forward_over_reverse():
    f = lambda x: (x**3).sum() * x[0]
    x, t = real(*X), real(*T)
    want = func.hvp(f, x, t)
    hv = want[1] if isinstance(want, tuple) else want
    with fwAD.dual_level():
        d = fwAD.make_dual(x.clone().requires_grad_(), t)
        (g,) = cr.autograd.grad(f(d), d)
        gradient, product = fwAD.unpack_dual(g)
    np.testing.assert_allclose(gradient.numpy(), func.grad(f)(x).numpy())
    np.testing.assert_allclose(product.numpy(), hv.numpy())
    with fwAD.dual_level():
        leaf = x.clone().requires_grad_()
        f(fwAD.make_dual(leaf, t)).backward()
        np.testing.assert_allclose(fwAD.unpack_dual(leaf.grad).tangent.numpy(), hv.numpy())
    assert type(leaf.grad) is cr.Tensor
    np.testing.assert_allclose(leaf.grad.numpy(), func.grad(f)(x).numpy())


def test_reverse_over_forward():
    w = real(*X).requires_grad_()
    with fwAD.dual_level():
        d = fwAD.make_dual(w, real(*T))
        tangent = fwAD.unpack_dual((d**3).sum()).tangent
        assert tangent.requires_grad
    (g,) = cr.autograd.grad(tangent, w)
    np.testing.assert_allclose(g.numpy(), 6 * np.array(X) * T)


def test_parameters_of_a_module():
    """As in PyTorch's tutorial: parameters are exchanged for dual tensors."""
    cr.manual_seed(0)
    model = cr.nn.Sequential(cr.nn.Linear(3, 2), cr.nn.Tanh()).double()
    x = real(*X)
    params = dict(model.named_parameters())
    tangents = {name: cr.rand_like(p) for name, p in params.items()}
    values = {name: p.detach().clone() for name, p in params.items()}
    with fwAD.dual_level():
        for name, p in params.items():
            owner, _, leaf = name.rpartition(".")
            module = model.get_submodule(owner)
            delattr(module, leaf)
            setattr(module, leaf, fwAD.make_dual(p, tangents[name]))
        out = model(x)
        primal, tangent = fwAD.unpack_dual(out)

    def plain(weight, bias):
        return (weight @ x + bias).tanh()

    want = func.jvp(
        plain,
        (values["0.weight"], values["0.bias"]),
        (tangents["0.weight"], tangents["0.bias"]),
    )
    np.testing.assert_allclose(primal.detach().numpy(), want[0].numpy())
    np.testing.assert_allclose(tangent.detach().numpy(), want[1].numpy())


def test_inside_transforms():
    x, t = real(*X), real(*T)

    def tangent(x, t):
        with fwAD.dual_level():
            return fwAD.unpack_dual((fwAD.make_dual(x, t) ** 3).sum()).tangent

    np.testing.assert_allclose(func.grad(tangent)(x, t).numpy(), 6 * np.array(X) * T)
    np.testing.assert_allclose(func.vmap(tangent)(x, t).numpy(), 3 * np.square(X) * T)
    np.testing.assert_allclose(
        func.jvp(lambda x: tangent(x, t), (x,), (t,))[1].item(), np.sum(6 * np.array(X) * T * T)
    )
    with fwAD.dual_level():  # and transforms inside a level
        d = fwAD.make_dual(x, t)
        g = fwAD.unpack_dual(func.grad(lambda x: (x**3).sum())(d)).tangent
        v = fwAD.unpack_dual(func.vmap(lambda x: x**3)(d)).tangent
        inside = func.vmap(lambda x: fwAD.unpack_dual(x**3).tangent)(d)
    np.testing.assert_allclose(g.numpy(), 6 * np.array(X) * T)
    np.testing.assert_allclose(v.numpy(), 3 * np.square(X) * T)
    np.testing.assert_allclose(inside.numpy(), 3 * np.square(X) * T)


def test_a_function_with_a_jvp():
    class Cube(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_forward(x)
            return x**3

        @staticmethod
        def jvp(ctx, t):
            return 3 * ctx.saved_tensors[0] ** 2 * t

    with fwAD.dual_level():
        y = Cube.apply(fwAD.make_dual(real(*X), real(*T)))
        np.testing.assert_allclose(fwAD.unpack_dual(y).tangent.numpy(), 3 * np.square(X) * T)


def dual_in_level(*args):
    with fwAD.dual_level():
        return fwAD.make_dual(*args)


def twice():
    with fwAD.dual_level():
        d = fwAD.make_dual(real(1), real(1))
        fwAD.make_dual(d, real(1))


def wrong_exit():
    with fwAD.dual_level():
        fwAD.exit_dual_level(level=5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fwAD.make_dual(real(1), real(1)), RuntimeError, "no level exists, make sure"),
        (fwAD.exit_dual_level, RuntimeError, "Dual level must be a positive number"),
        (wrong_exit, RuntimeError, "not the last one that was created"),
        (lambda: dual_in_level(real(1), real(1, 2)), RuntimeError, r"of size \[1\] while .* \[2\]"),
        (lambda: dual_in_level(cr.tensor([1]), real(1)), ValueError, "Expected primal to be floa"),
        (lambda: dual_in_level(real(1), cr.tensor([1])), ValueError, "Expected tangent to be fl"),
        (lambda: dual_in_level(1.0, real(1)), TypeError, "primal must be a Tensor, got float"),
        (twice, RuntimeError, "already has a forward gradient at the same level 0"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert fwAD._levels.get() == ()


# ---------------------------------------------------------------- grad and backward on boxes


def test_grad_inside_a_function_that_is_pushed_forward():
    w = real(1, 2, 3).requires_grad_()

    def f(x):
        return cr.autograd.grad((w**2 * x).sum(), w)[0]

    out, tangent = func.jvp(f, (real(*X),), (real(*T),))
    np.testing.assert_allclose(out.numpy(), 2 * np.array([1, 2, 3]) * X)
    np.testing.assert_allclose(tangent.numpy(), 2 * np.array([1, 2, 3]) * T)
    assert not tangent.requires_grad
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        func.jvp(lambda x: cr.autograd.grad(x.sum() + (w * x).sum(), real(1).requires_grad_()),
                 (real(*X),), (real(*T),))  # fmt: skip


def test_backward_inside_a_function_transform_is_refused():
    def f(x):
        y = (x * w).sum()
        y.backward()
        return y

    w = real(*X).requires_grad_()
    message = r"backward\(\) called inside a function given to"
    with pytest.raises(RuntimeError, match=message):
        func.jvp(f, (real(*X),), (real(*T),))
    with pytest.raises(RuntimeError, match=message):
        func.vmap(f)(real(*X)[None])
    assert w.grad is None


def test_batched_gradients_are_one_sweep():
    calls = []

    class Count(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            calls.append(tuple(g.shape))
            return g * 3 * ctx.saved_tensors[0] ** 2

    x = real(*X).requires_grad_()
    unused = real(1).requires_grad_()
    y = Count.apply(x).sin()
    rows = cr.eye(3, dtype=cr.float64)
    (got,) = cr.autograd.grad(y, x, rows, is_grads_batched=True, create_graph=True)
    want = np.diag(3 * np.square(X) * np.cos(np.power(X, 3)))
    np.testing.assert_allclose(got.detach().numpy(), want, atol=1e-14)
    assert calls == [(3,)]
    (second,) = cr.autograd.grad(got.sum(), x, retain_graph=True)
    np.testing.assert_allclose(
        second.numpy(),
        6 * np.array(X) * np.cos(np.power(X, 3)) - 9 * np.power(X, 4) * np.sin(np.power(X, 3)),
    )
    found = cr.autograd.grad(
        y, (x, unused), rows, is_grads_batched=True, retain_graph=True, allow_unused=True
    )
    assert found[1] is None
    found = cr.autograd.grad(y, (x, unused), rows, is_grads_batched=True, materialize_grads=True)
    assert found[1].shape == (3, 1)
    with pytest.raises(RuntimeError, match="second time"):
        cr.autograd.grad(y, x, rows, is_grads_batched=True)
