"""What must hold for every public function with a differentiable result, whatever its arguments."""

import itertools

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


def check(f, *args, nested=True):
    """All of the above."""
    check_vmap(f, args)
    check_jvp(f, args)
    check_jacobians(f, args)
    if nested:
        check_nested(f, args)
