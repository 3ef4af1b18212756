"""custom_rule: from any one rule all modes follow, under any nesting."""

import gc
import itertools
import math
import weakref
from collections import namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule import func

X = np.array([0.5, -1.25, 2.0])


def real(*values):
    return cr.tensor(list(values), dtype=cr.float64)


def close(a, b, tol=1e-11):
    a, b = (v.detach().numpy() if isinstance(v, cr.Tensor) else np.asarray(v) for v in (a, b))
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


def numpy_exp(x):
    """In NumPy, where no mode can look inside."""
    return cr.from_numpy(np.array(np.exp(x.detach().numpy())))


def exp_by_jvp():
    @cr.custom_rule(vmap="leading")
    def exp(x):
        return numpy_exp(x)

    @exp.defjvp
    def rule(primals, tangents):
        out = exp(*primals)
        return out, tangents[0] * out

    return exp


def exp_by_vjp():
    @cr.custom_rule(vmap="loop")
    def exp(x):
        return numpy_exp(x)

    def fwd(x):
        out = exp(x)
        return out, out

    exp.defvjp(fwd, lambda out, g: (g * out,))
    return exp


def exp_by_both():
    exp = exp_by_jvp()
    exp.defvjp(lambda x: (exp(x), {"x": x}), lambda res, g: (g * exp(res["x"]),))
    return exp


MAKERS = [exp_by_jvp, exp_by_vjp, exp_by_both]


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


# ---------------------------------------------------------------- what is said


def test_covers_and_repr():
    f = exp_by_jvp()
    assert f.covers == {
        "jvp": "given",
        "vjp": "derived from jvp by transposition",
        "vmap": "the function itself, on leading axes",
        "taylor": "derived from jvp",
    }
    g = exp_by_vjp()
    assert g.covers["jvp"] == "derived from vjp by transposition"
    assert g.covers["vjp"] == "given"
    assert repr(f).startswith(
        "<custom_rule exp: jvp: given, vjp: derived from jvp by transposition"
    )
    h = cr.custom_rule(lambda x: x)
    assert "missing" in repr(h)
    with pytest.raises(RuntimeError, match=r"without a rule: .*defjvp"):
        h(cr.ones(1))
    with pytest.raises(ValueError, match="vmap is one of derived, leading, loop"):
        cr.custom_rule(lambda x: x, vmap="no")
    h.deflinear()
    assert h.covers["jvp"] == "the function itself"


@pytest.mark.parametrize(
    ("tangent", "message"),
    [
        (lambda x, t: x * t * t, "not linear: at the sum of two inputs"),
        (lambda x, t: x * t.abs(), "not linear: at the sum of two inputs"),
        (lambda x, t: cr.relu(t), "not linear: at the sum of two inputs"),
        (lambda x, t: x * t + 1, "does not map zero to zero"),
        (lambda x, t: t.exp(), "does not map zero to zero"),
    ],
)
def test_rules_that_are_not_linear_are_found_when_transposed(tangent, message):
    f = cr.custom_rule(lambda x: x * 1)
    f.defjvp(lambda primals, tangents: (f(*primals), tangent(*primals, *tangents)))
    with pytest.raises(RuntimeError, match=message):
        func.grad(lambda x: f(x).sum())(real(*X))
    with pytest.raises(RuntimeError, match=message):
        func.vmap(func.grad(f))(real(*X))
    g = cr.custom_rule(lambda x: x * 1)
    g.defvjp(lambda x: (g(x), x), lambda x, c: (tangent(x, c),))
    with pytest.raises(RuntimeError, match="the vjp rule of .* " + message):
        func.jvp(g, (real(*X),), (real(*X),))


def test_linear_rules_written_in_many_ways_pass():
    a = cr.from_numpy(np.random.default_rng(0).standard_normal((3, 3)))
    rules = [
        lambda x, t: cr.einsum("ij,j->i", a, t) * x,
        lambda x, t: a @ t,
        lambda x, t: cr.where(x > 0, t, -t) / x,
        lambda x, t: cr.linalg.solve(a, t),
        lambda x, t: t.cumsum(0)[[2, 0, 1]],
        lambda x, t: cr.fft.irfft(cr.fft.rfft(t), 3),
    ]
    for rule in rules:
        f = cr.custom_rule(lambda x: x * 1)
        f.defjvp(lambda p, t, rule=rule, f=f: (f(*p), rule(*p, *t)))
        want = func.jacfwd(f)(real(*X))
        close(func.vjp(f, real(*X))[1](real(1, 2, 3))[0], want.T @ real(1, 2, 3), 1e-9)


@pytest.mark.parametrize("make", [exp_by_jvp, exp_by_vjp])
def test_tensors_from_outside_are_refused(make):
    def closed(w):
        f = cr.custom_rule(lambda x: x * w)
        if make is exp_by_jvp:
            f.defjvp(lambda p, t: (f(*p), t[0] * w))
        else:
            f.defvjp(lambda x: (f(x), None), lambda _, g: (g * w,))
        return f

    x, w = real(*X), cr.tensor(2.0, dtype=cr.float64)
    for run in (
        lambda: func.grad(lambda w: closed(w)(x).sum())(w),
        lambda: func.jvp(lambda w: closed(w)(x), (w,), (w,)),
        lambda: func.vmap(lambda w: closed(w)(x))(x),
        lambda: closed(w.clone().requires_grad_())(x),
    ):
        with pytest.raises(RuntimeError, match="Pass it as an argument"):
            run()
    close(func.grad(lambda x: closed(w)(x).sum())(x), [2, 2, 2])


def test_wrong_results_of_rules():
    x = real(*X)

    def by_vjp(result):
        f = cr.custom_rule(lambda x: x * 1)
        f.defvjp(lambda x: (f(x), None), lambda _, g: result(g))
        return lambda: func.grad(lambda x: f(x).sum())(x)

    def by_jvp(result):
        f = cr.custom_rule(lambda x: x * 1)
        f.defjvp(lambda p, t: result(f(*p), *t))
        return lambda: func.jvp(f, (x,), (x,))

    for run, message in [
        (by_vjp(lambda g: g), "must return a tuple with one gradient"),
        (by_vjp(lambda g: (g, g)), "each of the 1 arguments, got 2 values"),
        (by_vjp(lambda g: (g[:1],)), r"has shape \[1\] instead of \[3\]"),
        (by_vjp(lambda g: ({"a": g},)), "has shape|leaf|structure|dict"),
        (by_jvp(lambda y, t: y), r"must return the pair \(output, tangent\)"),
        (by_jvp(lambda y, t: (y, (t,))), "the output|tuple"),
        (by_jvp(lambda y, t: (y, t[:1])), r"has shape \[1\] instead of \[3\]"),
    ]:
        with pytest.raises((RuntimeError, TypeError), match=message):
            run()


def test_a_tangent_or_gradient_may_be_none():
    f = cr.custom_rule(lambda x, y: (x * 1, y * 1))
    f.defjvp(lambda p, t: (f(*p), (t[0], None)))
    x, y = real(*X), real(1, 2, 3)
    close(func.grad(lambda x, y: sum(o.sum() for o in f(x, y)), 1)(x, y), [0, 0, 0])
    g = cr.custom_rule(lambda x, y: x + y)
    g.defvjp(lambda x, y: (g(x, y), None), lambda _, c: (c, None))
    close(func.jvp(g, (x, y), (x, y))[1], X)
    (gx, gy) = cr.autograd.grad(
        g(x.requires_grad_(), y.requires_grad_()).sum(), (x, y), allow_unused=True
    )
    close(gx, [1, 1, 1])
    assert gy is None


def test_gradient_reversal_returns_its_argument():
    f = cr.custom_rule(lambda x: x)
    f.defvjp(lambda x: (f(x), None), lambda _, g: (-g,))
    x = real(*X).requires_grad_()
    y = f(x)
    y.sum().backward()
    close(x.grad, [-1, -1, -1])
    close(func.jacfwd(f)(x.detach()), -np.eye(3))
    close(func.vmap(func.grad(lambda x: f(x) * x))(x.detach()), 0 * X)


def test_nothing_is_kept_alive():
    f = exp_by_vjp()
    x = real(*X).requires_grad_()
    y = x * 2
    alive = weakref.ref(y)
    out = f(y)
    del y
    gc.collect()
    assert alive() is None
    out.sum().backward()
    close(x.grad, 2 * np.exp(2 * X))


def test_complex():
    f = cr.custom_rule(lambda z: z * z)
    f.defjvp(lambda p, t: (f(*p), 2 * p[0] * t[0]))
    g = cr.custom_rule(lambda z: z * z)
    g.defvjp(lambda z: (g(z), z), lambda z, c: (c * 2 * z.conj(),))
    z = cr.tensor([1 + 2j, -0.5 + 1j])
    v = cr.tensor([1 - 1j, 2j])
    for h in (f, g):
        loss = lambda z, h=h: h(z).abs().sum()
        close(func.grad(loss)(z), func.grad(lambda z: (z * z).abs().sum())(z), 1e-5)
        close(func.jvp(h, (z,), (v,))[1], 2 * z * v, 1e-6)
