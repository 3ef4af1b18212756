"""custom_rule: what is said of wrong rules, and what is allowed."""

import gc
import weakref

import numpy as np
import pytest

import chainrule as cr
from chainrule import func

from .exp_rules import X, close, exp_by_jvp, exp_by_vjp, real

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
