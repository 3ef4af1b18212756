"""custom_rule: from any one rule all modes follow, under any nesting."""

import itertools
import math
from collections import namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule import func

from .exp_rules import MAKERS, X, close, exp_by_jvp, real

# ---------------------------------------------------------------- every mode, from any one rule


@pytest.mark.parametrize("make", MAKERS)
def test_first_order(make):
    f, x, v = make(), real(*X), real(1, 2, 3)
    close(f(x), np.exp(X))
    close(func.grad(lambda x: f(x).sum())(x), np.exp(X))
    close(func.vjp(f, x)[1](v)[0], np.exp(X) * [1, 2, 3])
    close(func.jvp(f, (x,), (v,))[1], np.exp(X) * [1, 2, 3])
    close(func.linearize(f, x)[1](v), np.exp(X) * [1, 2, 3])
    close(func.jacrev(f)(x), np.diag(np.exp(X)))
    close(func.jacfwd(f)(x), np.diag(np.exp(X)))
    close(func.vmap(f)(x), np.exp(X))
    x.requires_grad_()
    f(x).sum().backward()
    close(x.grad, np.exp(X))


@pytest.mark.parametrize("make", MAKERS)
def test_third_order_in_every_nesting(make):
    f, x = make(), cr.tensor(0.75, dtype=cr.float64)
    want = math.exp(0.75)
    for a, b, c in itertools.product((func.grad, func.jacfwd), repeat=3):
        close(a(b(c(f)))(x), want)
        close(func.vmap(a(b(c(f))))(x.reshape(1)), [want])
        close(a(lambda x, b=b, c=c: func.vmap(b(c(f)))(x.reshape(1))[0])(x), want)


@pytest.mark.parametrize("make", MAKERS)
def test_taylor(make):
    f = make()
    for k, c in enumerate(func.taylor(f, real(*X), order=6)):
        close(c, np.exp(X) / math.factorial(k))
    for k, c in enumerate(func.taylor(func.grad(lambda x: f(x)), real(0.5)[0], order=3)):
        close(c, math.exp(0.5) / math.factorial(k))
    close(func.grad(lambda x: func.taylor(f, x, order=3)[3])(real(0.5)[0]), math.exp(0.5) / 6)
    close(func.vmap(lambda x: func.taylor(f, x, order=2)[2])(real(*X)), np.exp(X) / 2)


@pytest.mark.parametrize("make", MAKERS)
def test_taylor_where_coefficients_come_one_by_one(make):
    f = make()
    found = func.ode_series(lambda y: f(y), cr.tensor(0.0, dtype=cr.float64), 4)
    for k, c in enumerate(found[1:], 1):  # y' = exp(y), y(0) = 0: y = -log(1 - t)
        close(c, 1 / k)
    found = func.ode_series(lambda y: func.vmap(f)(y), cr.zeros(2, dtype=cr.float64), 3)
    close(found[3], [1 / 3, 1 / 3])
    outer = cr.custom_rule(lambda x: x * 1)
    outer.defjvp(lambda p, t: (outer(*p), t[0] * f(p[0])))
    for k, c in enumerate(func.taylor(outer, cr.tensor(0.0, dtype=cr.float64), order=4)[1:], 1):
        close(c, 1 / math.factorial(k))


@pytest.mark.parametrize("make", MAKERS)
def test_composed_with_ordinary_operations(make):
    f = make()
    got = lambda x: (f(x * x) * f(x)).sum() + f(f(x.sum() / 5))
    want = lambda x: ((x * x).exp() * x.exp()).sum() + (x.sum() / 5).exp().exp()
    x = real(*X)
    for transform in (func.grad, func.jacfwd, func.hessian, lambda f: func.jacfwd(func.jacfwd(f))):
        close(transform(got)(x), transform(want)(x), 1e-9)


@pytest.mark.parametrize("make", MAKERS)
def test_gradcheck(make):
    f, x = make(), real(*X).requires_grad_()
    assert cr.autograd.gradcheck(f, (x,), check_forward_ad=True)
    assert cr.autograd.gradgradcheck(f, (x,))


def test_wrong_rules_are_found_by_gradcheck():
    f = cr.custom_rule(lambda x: x.exp())
    f.defjvp(lambda primals, tangents: (f(*primals), 1.01 * tangents[0] * primals[0].exp()))
    with pytest.raises(cr.autograd.GradcheckError):
        cr.autograd.gradcheck(f, (real(*X).requires_grad_(),))
    g = cr.custom_rule(lambda x: x.exp())
    g.defvjp(lambda x: (g(x), x), lambda x, c: (c * x,))
    with pytest.raises(cr.autograd.GradcheckError):
        cr.autograd.gradcheck(g, (real(*X).requires_grad_(),))


# ---------------------------------------------------------------- several arguments, trees


Point = namedtuple("Point", "a b")


def product_by_jvp():
    @cr.custom_rule
    def f(p, scale=2.0):
        return {"sum": p.a + p.b, "product": [p.a * p.b.sum() * scale]}

    @f.defjvp
    def rule(primals, tangents):
        (p, scale), (t, _) = primals, tangents
        product = (t.a * p.b.sum() + p.a * t.b.sum()) * scale
        return f(p, scale), {"sum": t.a + t.b, "product": [product]}

    return f


def product_by_vjp():
    @cr.custom_rule
    def f(p, scale=2.0):
        return {"sum": p.a + p.b, "product": [p.a * p.b.sum() * scale]}

    def fwd(p, scale):
        return f(p, scale), {"p": p, "scale": scale}

    def bwd(res, g):
        p, scale, h = res["p"], res["scale"], g["product"][0]
        a = g["sum"] + h * p.b.sum() * scale
        b = g["sum"] + (h * p.a).sum() * scale
        return Point(a, b), None

    f.defvjp(fwd, bwd)
    return f


def plain_product(p, scale=2.0):
    return {"sum": p.a + p.b, "product": [p.a * p.b.sum() * scale]}


@pytest.mark.parametrize("make", [product_by_jvp, product_by_vjp])
def test_trees(make):
    f = make()
    p = Point(real(1, 2), real(3, -1))
    t = Point(real(-1, 0.5), real(2, 1))
    loss = lambda f: lambda p: (lambda o: (o["sum"] ** 2 * o["product"][0]).sum())(f(p))
    for transform in (func.grad, func.jacfwd, func.jacrev, func.hessian):
        got, want = transform(loss(f))(p), transform(loss(plain_product))(p)
        cr.tree.map(close, got, want)
    cr.tree.map(close, func.jvp(f, (p,), (t,)), func.jvp(plain_product, (p,), (t,)))
    many = Point(real(1, 2, 3, 4).reshape(2, 2), real(3, -1))
    axes = (Point(0, None),)
    got = func.vmap(func.grad(loss(f)), in_dims=axes)(many)
    cr.tree.map(close, got, func.vmap(func.grad(loss(plain_product)), in_dims=axes)(many))
    total = lambda f: lambda p: func.vmap(loss(f), in_dims=axes)(p).sum()
    cr.tree.map(close, func.grad(total(f))(many), func.grad(total(plain_product))(many))
    cr.tree.map(close, func.hessian(total(f))(many), func.hessian(total(plain_product))(many))
    cr.tree.map(close, f(p, scale=3.0), plain_product(p, 3.0))


def test_arguments_that_are_not_differentiated_come_first_in_rules():
    @cr.custom_rule(nondiff_argnums=(1,))
    def apply(x, f, y):
        return f(x) * y

    @apply.defjvp
    def rule(f, primals, tangents):
        (x, y), (t, s) = primals, tangents
        return apply(x, f, y), t * y * f(x) + f(x) * s

    x, y = real(*X), real(1, 2, 3)
    g = func.grad(lambda x, y: apply(x, cr.exp, y).sum(), (0, 1))(x, y)
    cr.tree.map(close, g, (y * x.exp(), x.exp()))

    @cr.custom_rule(nondiff_argnums=(0,))
    def power(n, x):
        return x**n

    power.defvjp(lambda n, x: (power(n, x), x), lambda n, x, g: (g * n * x ** (n - 1),))
    close(func.grad(lambda x: power(3, x).sum())(x), 3 * X**2)
    close(func.jacfwd(lambda x: power(3, x).sum())(x), 3 * X**2)
    with pytest.raises(RuntimeError, match="nondiff_argnums is a tensor that is being"):
        func.grad(lambda n: power(n, x).sum())(real(2.0)[0])


def test_integer_arguments_and_results():
    @cr.custom_rule
    def take(x, index):
        return x[index], index + 1

    def fwd(x, index):
        return take(x, index), (index, x.shape)

    def bwd(res, g):
        index, shape = res
        return cr.zeros(shape, dtype=g[0].dtype).index_put((index,), g[0], accumulate=True), None

    take.defvjp(fwd, bwd)
    x, index = real(*X), cr.tensor([2, 0, 2])
    close(func.grad(lambda x: (take(x, index)[0] * real(1, 2, 3)).sum())(x), [2, 0, 4])
    close(func.jacfwd(lambda x: take(x, index)[0])(x), np.eye(3)[[2, 0, 2]])
    out, tangent = func.jvp(lambda x: take(x, index), (x,), (x,))
    close(out[1], [3, 1, 3])
    close(tangent[0], X[[2, 0, 2]])


def test_arrays_give_arrays_and_methods_bind():
    f = exp_by_jvp()
    assert isinstance(f(X), np.ndarray)
    close(func.grad(lambda x: f(x).sum())(X), np.exp(X))

    class Model:
        @cr.custom_rule
        def scaled(self, x):
            return 2 * x

    Model.scaled._nondiff = (0,)
    Model.scaled.deflinear()
    close(func.grad(lambda x: Model().scaled(x).sum())(real(*X)), [2, 2, 2])


# ---------------------------------------------------------------- linear maps


def test_linear_map_with_its_transpose():
    a = np.arange(6.0).reshape(2, 3)

    @cr.custom_rule(vmap="loop")
    def mul(x):
        return cr.from_numpy(a @ x.detach().numpy())

    @cr.custom_rule(vmap="loop")
    def mul_t(y):
        return cr.from_numpy(a.T @ y.detach().numpy())

    mul.deflinear(lambda g: (mul_t(g),))
    mul_t.deflinear(lambda g: (mul(g),))
    x = real(*X)
    close(func.jacfwd(lambda x: cr.stack([mul(x), 2 * mul(x)]))(x), np.stack([a, 2 * a]))
    close(func.grad(lambda x: mul(x)[1])(x), a[1])
    close(func.hessian(lambda x: (mul(x) ** 2).sum())(x), 2 * a.T @ a)


def test_linear_map_whose_transpose_is_derived():
    @cr.custom_rule
    def f(x, y, n):
        return x.flip(0) * n - y[1:].sum()

    f.deflinear()
    x, y = real(*X), real(1, 2, 3)
    for jacobian in (func.jacrev, func.jacfwd):
        got = jacobian(lambda x, y: f(x, y, 3), (0, 1))(x, y)
        close(got[0], 3 * np.eye(3)[::-1])
        close(got[1], np.tile([0.0, -1, -1], (3, 1)))
    close(func.taylor(lambda x: f(x, y, 3), x, order=2)[1], [3, 3, 3])
