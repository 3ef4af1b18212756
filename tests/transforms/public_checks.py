"""What must hold for every public function with a differentiable result, whatever its arguments."""

import itertools
import math

import numpy as np

import chainrule as cr
from chainrule import func

SIZE = 3
STEP = 1e-6


def outputs(result):
    """The tensors of a result, which may be one, a tuple or a list."""
    found = result if isinstance(result, (tuple, list)) else [result]
    return [y for y in found if isinstance(y, cr.Tensor)]


def examples(args, position):
    """A batch of values near an argument; integers and masks are rolled instead."""
    a = np.asarray(args[position])
    rng = np.random.default_rng(position)
    if a.dtype.kind in "fc":
        move = rng.standard_normal((SIZE, *a.shape))
        if a.dtype.kind == "c":
            move = move + 1j * rng.standard_normal((SIZE, *a.shape))
        return (a + 0.05 * move).astype(a.dtype)
    return np.stack([np.roll(a, i) for i in range(SIZE)])


def close(got, want, rtol=1e-9, atol=1e-9):
    got, want = outputs(got), outputs(want)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=atol)


def looped(f, args, mapped):
    rows = [
        outputs(f(*[a[i] if m else a for a, m in zip(args, mapped, strict=True)]))
        for i in range(SIZE)
    ]
    return [cr.stack(list(column)) for column in zip(*rows, strict=True)]


def check_vmap(f, args):
    """One run over a batch is a loop, whichever arguments are mapped."""
    n = len(args)
    for mapped in itertools.product([False, True], repeat=n):
        if sum(mapped) not in (1, n):
            continue
        xs = [
            cr.tensor(examples(args, i) if m else a)
            for i, (a, m) in enumerate(zip(args, mapped, strict=True))
        ]
        dims = tuple(0 if m else None for m in mapped)
        close(func.vmap(lambda *xs: tuple(outputs(f(*xs))), dims)(*xs), looped(f, xs, mapped))


def check_empty_batch(f, args):
    """A batch without examples gives results of the right shapes."""
    empty = [np.empty((0, *np.shape(a)), np.asarray(a).dtype) for a in args]
    got = func.vmap(lambda *xs: tuple(outputs(f(*xs))))(*map(cr.tensor, empty))
    want = outputs(f(*map(cr.tensor, args)))
    assert [y.shape for y in got] == [(0, *y.shape) for y in want]


def check_no_examples(f, args):
    """A batch without examples gives results of the right shapes."""
    first, *rest = [cr.tensor(a) for a in args]
    empty = cr.zeros(0, *first.shape, dtype=first.dtype)
    got = func.vmap(lambda x: tuple(outputs(f(x, *rest))))(empty)
    for y, one in zip(got, outputs(f(first, *rest)), strict=True):
        assert y.dtype == one.dtype
        assert tuple(y.shape) == (0, *one.shape)


def variables(args):
    return [i for i, a in enumerate(args) if np.asarray(a).dtype.kind in "fc"]


def filled(args, positions, xs):
    full = [cr.tensor(a) for a in args]
    for i, x in zip(positions, xs, strict=True):
        full[i] = x
    return full


def differentiable(f, args):
    """`f` as a function of its floating-point arguments, with its floating-point results."""
    positions = variables(args)

    def g(*xs):
        ys = outputs(f(*filled(args, positions, xs)))
        return tuple(y for y in ys if y.is_floating_point() or y.is_complex())

    return g, [cr.tensor(args[i]) for i in positions]


def tangents(xs):
    rng = np.random.default_rng(7)
    made = []
    for x in xs:
        t = rng.standard_normal(x.shape)
        if x.is_complex():
            t = t + 1j * rng.standard_normal(x.shape)
        made.append(cr.tensor(t).to(x.dtype))
    return made


def check_jvp(f, args, rtol=1e-5, atol=1e-6):
    """Forward mode is a difference quotient."""
    g, xs = differentiable(f, args)
    ts = tangents(xs)
    out, t = func.jvp(g, tuple(xs), tuple(ts))
    close(out, g(*xs), rtol=1e-12, atol=1e-12)
    up = g(*[x + STEP * t for x, t in zip(xs, ts, strict=True)])
    down = g(*[x - STEP * t for x, t in zip(xs, ts, strict=True)])
    for got, a, b in zip(t, up, down, strict=True):
        want = (a.numpy() - b.numpy()) / (2 * STEP)
        np.testing.assert_allclose(got.numpy(), want, rtol=rtol, atol=atol)


def check_jacobians(f, args):
    """One sweep with many cotangents is one run with many tangents."""
    g, xs = differentiable(f, args)
    if any(x.is_complex() for x in [*xs, *g(*xs)]):
        return
    argnums = tuple(range(len(xs)))
    rev, fwd = func.jacrev(g, argnums)(*xs), func.jacfwd(g, argnums)(*xs)
    for a, b in zip(rev, fwd, strict=True):
        close(a, b)


def check_nested(f, args):
    """Gradients and forward derivatives of every example are those of a loop."""
    g, xs = differentiable(f, args)
    batch = [cr.tensor(examples(args, i)) for i in variables(args)]

    def scalar(*xs):
        total = 0.0
        for y in g(*xs):
            total = total + ((y.abs() ** 2) if y.is_complex() else y * y).sum()
        return total

    argnums = tuple(range(len(xs)))
    grads = func.grad(scalar, argnums)
    one = (True,) * len(xs)
    close(func.vmap(grads)(*batch), looped(grads, batch, one), rtol=1e-7, atol=1e-7)
    if len(xs) > 1:  # all but the first shared, as weights are
        dims = (0,) + (None,) * (len(xs) - 1)
        shared = [batch[0], *xs[1:]]
        mapped = (True,) + (False,) * (len(xs) - 1)
        close(func.vmap(grads, dims)(*shared), looped(grads, shared, mapped), rtol=1e-7, atol=1e-7)

    def forward(*xs):
        return func.jvp(g, xs, tuple(tangents(xs)))[1]

    close(func.vmap(forward)(*batch), looped(forward, batch, one), rtol=1e-7, atol=1e-7)


def check_second_order(f, args):
    """The Hessian is the same whichever modes it is made of, and per example that of a loop."""
    g, (x, *rest) = differentiable(f, args)
    if x.is_complex():
        return

    def scalar(x):
        total = 0.0
        for y in g(x, *rest):
            total = total + ((y.abs() ** 2) if y.is_complex() else y * y).sum()
        return total

    hessian = func.hessian(scalar)
    want = func.jacrev(func.jacrev(scalar))(x)
    close(hessian(x), want, rtol=1e-6, atol=1e-6)
    close(func.jacfwd(func.jacfwd(scalar))(x), want, rtol=1e-6, atol=1e-6)
    batch = cr.tensor(examples(args, variables(args)[0]))
    close(func.vmap(hessian)(batch), looped(hessian, [batch], (True,)), rtol=1e-6, atol=1e-6)


def check_taylor(f, args):
    """A Taylor series of third order has the coefficients that nested forward modes have."""
    g, xs = differentiable(f, args)
    ts = tangents(xs)
    one = cr.ones((), dtype=cr.float64)

    def line(s):
        return g(*[x + s * t for x, t in zip(xs, ts, strict=True)])

    derivative = line
    for k, coefficient in enumerate(func.taylor(lambda xs: g(*xs), tuple(xs), tuple(ts), 3)):
        want = [y * (1 / math.factorial(k)) for y in derivative(0 * one)]
        close(coefficient, want, rtol=1e-6, atol=1e-6)
        derivative = forward_of(derivative, one)


def forward_of(f, one):
    return lambda s: func.jvp(f, (s,), (one,))[1]


def check(f, *args):
    """All of the above."""
    check_vmap(f, args)
    check_no_examples(f, args)
    check_jvp(f, args)
    check_jacobians(f, args)
    check_nested(f, args)
    check_second_order(f, args)
    check_taylor(f, args)
