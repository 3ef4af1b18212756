"""What must hold for every public function with a differentiable result, whatever its arguments."""

import itertools
import math

import numpy as np

import chainrule as cr
from chainrule import func

SIZE = 3


def real(*shape, seed=0, low=-2.0, high=2.0):
    """Random entries without ties."""
    return np.random.default_rng(seed).uniform(low, high, shape)


def integers(*shape, high, seed=0, low=0):
    """Random classes or indices."""
    return np.random.default_rng(seed).integers(low, high, shape)


def outputs(result):
    """The tensors of a result, which may be one, a tuple or a list."""
    found = result if isinstance(result, (tuple, list)) else [result]
    return [y for y in found if isinstance(y, cr.Tensor)]


def flat(f):
    """`f` with its tensors as a tuple."""
    return lambda *xs: tuple(outputs(f(*xs)))


def is_variable(a):
    """Whether an argument has derivatives."""
    if isinstance(a, cr.Tensor):
        return a.is_floating_point() or a.is_complex()
    return np.asarray(a).dtype.kind in "fc"


def normals(rng, shape, dtype):
    made = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        made = made + 1j * rng.standard_normal(shape)
    return made.astype(dtype)


def examples(a, seed):
    """A batch of values near an argument, in its domain; integers and masks are rolled instead."""
    a = np.asarray(a)
    if not is_variable(a):
        return np.stack([np.roll(a, b) for b in range(SIZE)])
    rng = np.random.default_rng(seed)
    return np.stack(
        [a * (1 + 0.01 * b) + 0.003 * b * rng.random(a.shape) for b in range(SIZE)]
    ).astype(a.dtype)


def batches(args):
    return [examples(a, i) for i, a in enumerate(args)]


def close(got, want, rtol=1e-9, atol=1e-9):
    """Equal dtypes, shapes and numbers."""
    got, want = outputs(got), outputs(want)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=atol)


def looped(f, args, mapped):
    """What a loop over the examples gives."""
    rows = [
        outputs(f(*[a[i] if m else a for a, m in zip(args, mapped, strict=True)]))
        for i in range(SIZE)
    ]
    return [cr.stack(list(column)) for column in zip(*rows, strict=True)]


def variables(args):
    return [i for i, a in enumerate(args) if is_variable(a)]


def filled(args, xs):
    """The arguments, with `xs` in the places of those that have derivatives."""
    full = [a if isinstance(a, cr.Tensor) else cr.tensor(a) for a in args]
    for i, x in zip(variables(args), xs, strict=True):
        full[i] = x
    return full


def of_variables(f, args):
    """`f` as a function of its arguments with derivatives, with its results that have them."""

    def g(*xs):
        ys = outputs(f(*filled(args, xs)))
        return tuple(y for y in ys if y.is_floating_point() or y.is_complex())

    return g


def points(args):
    """The arguments with derivatives."""
    return [cr.tensor(args[i]) for i in variables(args)]


def points_nearby(args):
    """Examples near each of the arguments with derivatives."""
    return [cr.tensor(examples(args[i], i)) for i in variables(args)]


def scalar(g):
    """A real function without dimensions, of which every result of `g` is a part."""

    def total(*xs):
        return sum(((y.abs() ** 2) if y.is_complex() else y * y).sum() for y in g(*xs))

    return total


def tangents(xs):
    """A random direction for tensors or boxes."""
    rng = np.random.default_rng(7)
    return [cr.tensor(normals(rng, tuple(x.shape), x.array.dtype)) for x in xs]


def all_of(xs):
    return tuple(range(len(xs)))


def check_vmap(f, args):
    """One run over a batch is a loop, whether one argument is mapped or all are."""
    n = len(args)
    for mapped in itertools.product([False, True], repeat=n):
        if sum(mapped) not in (1, n):
            continue
        xs = [cr.tensor(b if m else a) for a, b, m in zip(args, batches(args), mapped, strict=True)]
        dims = tuple(0 if m else None for m in mapped)
        close(func.vmap(flat(f), dims)(*xs), looped(f, xs, mapped), rtol=1e-11, atol=1e-12)


def check_empty(f, args):
    """A batch without examples gives results of the right shapes and dtypes."""
    want = outputs(f(*map(cr.tensor, args)))
    empty = [cr.tensor(np.empty((0, *np.shape(a)), np.asarray(a).dtype)) for a in args]
    for dims in {(0,) * len(args), (0,) + (None,) * (len(args) - 1)}:
        xs = [x if d == 0 else cr.tensor(a) for x, a, d in zip(empty, args, dims, strict=True)]
        for got, one in zip(func.vmap(flat(f), dims)(*xs), want, strict=True):
            assert got.dtype == one.dtype
            assert tuple(got.shape) == (0, *one.shape)


def check_jvp(f, args, tol=1e-6):
    """Forward mode is a difference quotient (of fourth order)."""
    g, xs = of_variables(f, args), points(args)
    ts = tangents(xs)
    out, found = func.jvp(g, tuple(xs), tuple(ts))
    close(out, g(*xs), rtol=1e-12, atol=1e-12)

    def central(h):
        up, down = (g(*[x + s * h * t for x, t in zip(xs, ts, strict=True)]) for s in (1, -1))
        return [(a.numpy() - b.numpy()) / (2 * h) for a, b in zip(up, down, strict=True)]

    for got, one, half in zip(found, central(1e-4), central(5e-5), strict=True):
        want = (4 * half - one) / 3
        scale = max(1.0, np.max(np.abs(want), initial=0.0))
        np.testing.assert_allclose(got.numpy(), want, rtol=tol, atol=tol * scale)


def check_jacobians(f, args):
    """One sweep with many cotangents is one run with many tangents, also for every example."""
    g, xs = of_variables(f, args), points(args)
    if any(x.is_complex() for x in [*xs, *g(*xs)]):
        return
    rev, fwd = func.jacrev(g, all_of(xs)), func.jacfwd(g, all_of(xs))
    for a, b in zip(rev(*xs), fwd(*xs), strict=True):
        close(a, b)
    near = points_nearby(args)
    for jac in (rev, fwd):
        rows = lambda *xs, jac=jac: [y for row in jac(*xs) for y in row]
        close(func.vmap(rows)(*near), looped(rows, near, (True,) * len(near)))


def check_gradients(f, args):
    """Gradients and forward derivatives of every example are those of a loop."""
    g, xs = of_variables(f, args), points(args)
    near = points_nearby(args)
    gradient = func.grad(scalar(g), all_of(xs))
    one = (True,) * len(xs)
    close(func.vmap(gradient)(*near), looped(gradient, near, one))
    if len(xs) > 1:  # all but the first shared, as weights are
        dims = (0,) + (None,) * (len(xs) - 1)
        shared = [near[0], *xs[1:]]
        mapped = (True,) + (False,) * (len(xs) - 1)
        close(func.vmap(gradient, dims)(*shared), looped(gradient, shared, mapped))

    def forward(*xs):
        return func.jvp(g, xs, tuple(tangents(xs)))[1]

    close(func.vmap(forward)(*near), looped(forward, near, one))


def check_mapped_choices(f, args):
    """Gradients and forward derivatives of every example where integers are mapped, too."""
    if all(map(is_variable, args)):
        return
    batch = [cr.tensor(b) for b in batches(args)]

    def at(full):
        """The scalar function for these integers, and where to differentiate it."""
        return scalar(of_variables(f, full)), tuple(full[i] for i in variables(args))

    def gradient(*full):
        total, xs = at(full)
        return func.grad(total, all_of(xs))(*xs)

    def forward(*full):
        total, xs = at(full)
        return func.jvp(total, xs, tuple(tangents(xs)))[1]

    for derivative in (gradient, forward):
        close(func.vmap(derivative)(*batch), looped(derivative, batch, (True,) * len(batch)))


def check_nested(f, args):
    """A batch of batches is a loop of loops."""
    grids = [
        cr.tensor(np.stack([examples(x, 5 + i) for x in batch]))
        for i, batch in enumerate(batches(args))
    ]
    every = (True,) * len(args)
    rows = lambda *xs: looped(f, xs, every)
    close(func.vmap(func.vmap(flat(f)))(*grids), looped(rows, grids, every), 1e-11, 1e-12)


def check_second_order(f, args):
    """The Hessian is the same whichever modes it is made of, and per example that of a loop."""
    g, xs = of_variables(f, args), points(args)
    if any(x.is_complex() for x in xs):
        return
    total, argnums = scalar(g), all_of(xs)
    want = func.hessian(total, argnums)(*xs)
    for outer, inner in itertools.product([func.jacfwd, func.jacrev], repeat=2):
        for a, b in zip(outer(inner(total, argnums), argnums)(*xs), want, strict=True):
            close(a, b, 1e-8, 1e-8)
    rest = xs[1:]
    hessian = func.hessian(lambda x: total(x, *rest))
    batch = [cr.tensor(examples(args[variables(args)[0]], 0))]
    close(func.vmap(hessian)(*batch), looped(hessian, batch, (True,)), 1e-8, 1e-8)


def check_taylor(f, args):
    """A Taylor series of third order has the coefficients that nested forward modes have."""
    g, xs = of_variables(f, args), points(args)
    ts = tangents(xs)

    def derivative(h):
        return lambda s: func.jvp(h, (s,), (s * 0 + 1,))[1]

    along = lambda s: g(*[x + s * t for x, t in zip(xs, ts, strict=True)])
    zero = cr.zeros((), dtype=cr.float64)
    for k, coefficient in enumerate(func.taylor(lambda xs: g(*xs), tuple(xs), tuple(ts), 3)):
        close(coefficient, [y * (1 / math.factorial(k)) for y in along(zero)], 1e-8, 1e-8)
        along = derivative(along)


def check_inside(f, args):
    """Reverse and forward mode of a batch are those of the examples."""
    batch = [cr.tensor(b) for b in batches(args)]
    total = scalar(of_variables(func.vmap(flat(f)), batch))
    xs = tuple(batch[i] for i in variables(args))
    found = func.grad(total, all_of(xs))(*xs)

    def gradient(*full):
        ys = [full[i] for i in variables(args)]
        return func.grad(scalar(of_variables(f, full)), all_of(ys))(*ys)

    close(found, looped(gradient, batch, (True,) * len(batch)))
    ts = tangents(xs)
    along = func.jvp(total, xs, tuple(ts))[1]
    inner = sum((y.conj() * t).real.sum() if y.is_complex() else (y * t).sum()
                for y, t in zip(found, ts, strict=True))  # fmt: skip
    close(along, inner)


CHECKS = [
    check_vmap, check_empty, check_jvp, check_jacobians, check_gradients, check_mapped_choices,
    check_nested, check_second_order, check_taylor, check_inside,
]  # fmt: skip


def check(f, *args):
    """All of the above."""
    for one in CHECKS:
        one(f, args)
