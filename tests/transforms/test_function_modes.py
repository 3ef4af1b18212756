"""autograd.Function under forward mode, vmap, Taylor mode, and their nestings."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from chainrule.autograd import Function
from chainrule.autograd.function import once_differentiable

from .programs import Cube


class NumpyCube(Function):
    """As Cube, but forward leaves the library, so that no mode can look inside."""

    generate_vmap_rule = False
    forward_calls = 0

    @staticmethod
    def forward(x):
        NumpyCube.forward_calls += 1
        return cr.from_numpy(np.asarray(x.detach().numpy() ** 3))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * Square3.apply(x)

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return Square3.apply(x) * t

    @staticmethod
    def vmap(info, in_dims, x):
        return NumpyCube.apply(x), in_dims[0]


class Square3(Function):
    """3x², in NumPy."""

    @staticmethod
    def forward(x):
        return cr.from_numpy(np.asarray(3 * x.detach().numpy() ** 2))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 6 * x

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return 6 * x * t

    @staticmethod
    def vmap(info, in_dims, x):
        return Square3.apply(x), in_dims[0]


class Scale(Function):
    """The two results x·a·k and sin(x) for a tensor x, a scalar tensor a and a number k."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, a, k):
        return x * a * k, x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, a, ctx.k = inputs
        ctx.save_for_backward(x, a)
        ctx.save_for_forward(x, a)

    @staticmethod
    def backward(ctx, g, h):
        x, a = ctx.saved_tensors
        return g * a * ctx.k + h * x.cos(), (g * x * ctx.k).sum(), None

    @staticmethod
    def jvp(ctx, t, s, _):
        x, a = ctx.saved_tensors
        return (t * a + x * s) * ctx.k, t * x.cos()


def scaled(x, a):
    y, z = Scale.apply(x, a, 2.0)
    return (y * z).sum() + (y * y).sum()


def plain_scaled(x, a):
    y, z = x * a * 2.0, x.sin()
    return (y * z).sum() + (y * y).sum()


def real(*values):
    return cr.tensor(list(values), dtype=cr.float64)


X = np.array([0.5, -1.25, 2.0])
CUBES = [Cube, NumpyCube]


def close(a, b):
    a = a.detach().numpy() if isinstance(a, cr.Tensor) else a
    b = b.detach().numpy() if isinstance(b, cr.Tensor) else b
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- one mode


@pytest.mark.parametrize("cube", CUBES)
def test_grad(cube):
    close(func.grad(lambda x: cube.apply(x).sum())(real(*X)), 3 * X**2)


@pytest.mark.parametrize("cube", CUBES)
def test_vjp_and_jvp(cube):
    out, pullback = func.vjp(cube.apply, real(*X))
    close(out, X**3)
    close(pullback(real(1, 2, 3))[0], 3 * X**2 * [1, 2, 3])
    out, tangent = func.jvp(cube.apply, (real(*X),), (real(1, 2, 3),))
    close(out, X**3)
    close(tangent, 3 * X**2 * [1, 2, 3])


@pytest.mark.parametrize("cube", CUBES)
def test_linearize(cube):
    out, push = func.linearize(cube.apply, real(*X))
    close(out, X**3)
    close(push(real(1, 2, 3)), 3 * X**2 * [1, 2, 3])


@pytest.mark.parametrize("cube", CUBES)
def test_vmap(cube):
    x = np.outer(X, [1.0, 2.0])
    close(func.vmap(cube.apply)(cr.from_numpy(x)), x**3)
    close(func.vmap(cube.apply, in_dims=1, out_dims=1)(cr.from_numpy(x)), x**3)


@pytest.mark.parametrize("jacobian", [func.jacrev, func.jacfwd])
@pytest.mark.parametrize("cube", CUBES)
def test_jacobians(cube, jacobian):
    close(jacobian(cube.apply)(real(*X)), np.diag(3 * X**2))


@pytest.mark.parametrize("cube", [Cube, NumpyCube])
def test_taylor(cube):
    found = func.taylor(cube.apply, real(*X), order=5)
    for k, want in enumerate([X**3, 3 * X**2, 3 * X, np.ones(3), 0 * X, 0 * X]):
        close(found[k], want)


def test_the_class_evaluates_outside_the_library_once():
    NumpyCube.forward_calls = 0
    func.vmap(func.grad(lambda x: NumpyCube.apply(x).sum()))(real(*X)[:, None])
    assert NumpyCube.forward_calls == 1


# ---------------------------------------------------------------- nestings


@pytest.mark.parametrize("cube", CUBES)
@pytest.mark.parametrize("outer", [func.jacrev, func.jacfwd])
@pytest.mark.parametrize("inner", [func.jacrev, func.jacfwd])
def test_second_derivatives(cube, outer, inner):
    found = outer(inner(cube.apply))(real(*X))
    want = np.zeros((3, 3, 3))
    np.einsum("iii->i", want)[:] = 6 * X
    close(found, want)


@pytest.mark.parametrize("outer", [func.grad, lambda f: func.jacfwd(f), func.jacrev])
@pytest.mark.parametrize("middle", [func.grad, func.jacfwd])
@pytest.mark.parametrize("inner", [func.grad, func.jacfwd])
def test_third_derivatives(outer, middle, inner):
    close(outer(middle(inner(Cube.apply)))(cr.tensor(2.0, dtype=cr.float64)), 6.0)


@pytest.mark.parametrize("cube", CUBES)
def test_vmap_of_derivatives(cube):
    one = lambda x: cube.apply(x)
    close(func.vmap(func.grad(one))(real(*X)), 3 * X**2)
    close(func.vmap(func.grad(func.grad(one)))(real(*X)), 6 * X)
    close(func.vmap(func.jacfwd(func.grad(one)))(real(*X)), 6 * X)
    close(func.vmap(func.jacrev(func.jacfwd(one)))(real(*X)), 6 * X)
    push = func.vmap(lambda x, t: func.jvp(one, (x,), (t,))[1])
    close(push(real(*X), real(1, 2, 3)), 3 * X**2 * [1, 2, 3])


@pytest.mark.parametrize("cube", CUBES)
def test_derivatives_of_vmap(cube):
    f = func.vmap(cube.apply)
    close(func.grad(lambda x: f(x).sum())(real(*X)), 3 * X**2)
    close(func.jvp(f, (real(*X),), (real(1, 2, 3),))[1], 3 * X**2 * [1, 2, 3])
    close(func.hessian(lambda x: f(x).sum())(real(*X)), np.diag(6 * X))
    close(func.vmap(f)(real(*X)[None]), X[None] ** 3)


@pytest.mark.parametrize("cube", CUBES)
def test_taylor_of_gradient_and_gradient_of_taylor(cube):
    x = cr.tensor(2.0, dtype=cr.float64)
    found = func.taylor(func.grad(cube.apply), x, order=3)
    for k, want in enumerate([12.0, 12.0, 3.0, 0.0]):
        close(found[k], want)
    close(func.grad(lambda x: func.taylor(cube.apply, x, order=2)[2])(x), 3.0)


def test_several_arguments_and_results():
    x, a = real(*X), cr.tensor(1.5, dtype=cr.float64)
    for argnums in (0, 1, (0, 1)):
        got = func.grad(scaled, argnums)(x, a)
        want = func.grad(plain_scaled, argnums)(x, a)
        cr.tree.map(close, got, want)
    for transform in (func.jacfwd, func.jacrev, func.hessian):
        got = transform(scaled, (0, 1))(x, a)
        want = transform(plain_scaled, (0, 1))(x, a)
        cr.tree.map(close, got, want)
    ts = (real(1, 2, 3), cr.tensor(-1.0, dtype=cr.float64))
    cr.tree.map(close, func.jvp(scaled, (x, a), ts), func.jvp(plain_scaled, (x, a), ts))


def test_an_unmapped_argument_gets_the_sum_of_the_gradients():
    x, a = cr.from_numpy(np.outer(X, [1.0, 2.0])), cr.tensor(1.5, dtype=cr.float64)
    total = lambda f: lambda x, a: func.vmap(f, in_dims=(0, None))(x, a).sum()
    got = func.grad(total(scaled), (0, 1))(x, a)
    want = func.grad(total(plain_scaled), (0, 1))(x, a)
    cr.tree.map(close, got, want)
    per_example = func.vmap(func.grad(scaled, 1), in_dims=(0, None))(x, a)
    close(per_example, func.vmap(func.grad(plain_scaled, 1), in_dims=(0, None))(x, a))
    got = func.hessian(total(scaled), 1)(x, a)
    close(got, func.hessian(total(plain_scaled), 1)(x, a))


def test_a_rule_may_differentiate_by_itself():
    """The tags of transforms around a rule do not reach into what it computes."""

    class Tanh(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.tanh()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * func.grad(lambda x: x.tanh().sum())(ctx.saved_tensors[0])

        @staticmethod
        def jvp(ctx, t):
            return func.jvp(cr.tanh, ctx.saved_tensors, (t,))[1]

    x = real(*X)
    want = 1 - np.tanh(X) ** 2
    close(func.grad(lambda x: Tanh.apply(x).sum())(x), want)
    close(func.vmap(func.grad(Tanh.apply))(x), want)
    close(func.grad(lambda x: func.vmap(Tanh.apply)(x).sum())(x), want)
    close(func.vmap(func.vmap(func.grad(Tanh.apply)))(x[None]), want[None])
    second = -2 * np.tanh(X) * want
    for outer, inner in [
        (a, b) for a in (func.grad, func.jacfwd) for b in (func.grad, func.jacfwd)
    ]:
        close(func.vmap(outer(inner(Tanh.apply)))(x), second)


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
