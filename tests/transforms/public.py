"""What every public function must do inside transforms, checked against loops and differences."""

import numpy as np

from chainrule import func, tensor
from chainrule.core.tensor import Tensor

SIZE = 3


def rng(seed=0):
    return np.random.default_rng(seed)


def real(*shape, seed=0, low=-2.0, high=2.0):
    """Random entries without ties."""
    return rng(seed).uniform(low, high, shape)


def integers(*shape, high, seed=0, low=0):
    return rng(seed).integers(low, high, shape)


def parts(out):
    """The tensors of a result, which may be a tuple."""
    return list(out) if isinstance(out, tuple) else [out]


def floats(out):
    return [o for o in parts(out) if o.is_floating_point()]


def is_float(a):
    return a.dtype.kind == "f"


def examples(a, seed):
    """Examples of the kind of `a`: integers rolled, numbers moved a little."""
    if not is_float(a):
        return np.stack([np.roll(a, b) for b in range(SIZE)])
    return np.stack(
        [a * (1 + 0.01 * b) + 0.003 * b * rng(seed + b).random(a.shape) for b in range(SIZE)]
    )


def check_vmap(f, args):
    """Each argument mapped alone, and all together, gives what a loop gives."""
    batches = [examples(a, i) for i, a in enumerate(args)]
    choices = [(i,) for i in range(len(args))]
    if len(args) > 1:
        choices.append(tuple(range(len(args))))
    for mapped in choices:
        given = [tensor(batches[i] if i in mapped else a) for i, a in enumerate(args)]
        dims = tuple(0 if i in mapped else None for i in range(len(args)))
        found = parts(func.vmap(f, in_dims=dims)(*given))
        for b in range(SIZE):
            one = [tensor(batches[i][b] if i in mapped else a) for i, a in enumerate(args)]
            for got, want in zip(found, parts(f(*one)), strict=True):
                assert got.shape[1:] == want.shape
                assert got.dtype == want.dtype
                np.testing.assert_allclose(got.numpy()[b], want.numpy(), rtol=1e-11, atol=1e-12)


def of_floats(f, args):
    """The function of the float arguments alone that returns its float results, and them."""
    places = [i for i, a in enumerate(args) if is_float(a)]

    def g(*xs):
        full = [tensor(a) for a in args]
        for i, x in zip(places, xs, strict=True):
            full[i] = x
        return tuple(floats(f(*full)))

    return g, [tensor(args[i]) for i in places]


def check_jvp(f, args, tol=1e-6):
    """Forward mode against central differences."""
    g, xs = of_floats(f, args)
    ts = [tensor(rng(7 + i).standard_normal(x.shape)) for i, x in enumerate(xs)]
    _, found = func.jvp(g, tuple(xs), tuple(ts))

    def central(h):
        up, down = (g(*[x + s * h * t for x, t in zip(xs, ts, strict=True)]) for s in (1, -1))
        return [(a.numpy() - b.numpy()) / (2 * h) for a, b in zip(up, down, strict=True)]

    for got, one, half in zip(found, central(1e-4), central(5e-5), strict=True):
        want = (4 * half - one) / 3
        scale = max(1.0, np.max(np.abs(want), initial=0.0))
        np.testing.assert_allclose(got.numpy(), want, rtol=tol, atol=tol * scale)


def check_jacobians(f, args):
    """Reverse mode in one sweep is forward mode in one run, and a batch of both is a loop."""
    g, xs = of_floats(f, args)
    argnums = tuple(range(len(xs)))
    rev, fwd = func.jacrev(g, argnums)(*xs), func.jacfwd(g, argnums)(*xs)
    same(rev, fwd)
    places = [i for i, a in enumerate(args) if is_float(a)]
    batches = [tensor(examples(args[i], i)) for i in places]
    for jac in (func.jacrev, func.jacfwd):
        found = func.vmap(jac(g, argnums))(*batches)
        for b in range(SIZE):
            want = jac(g, argnums)(*[x[b] for x in batches])
            same([[y[b] for y in row] for row in found], want)


def check_mapped_choices(f, args):
    """Gradients for each example where integers and conditions are mapped too."""
    if all(map(is_float, args)):
        return
    places = [i for i, a in enumerate(args) if is_float(a)]

    def total(*full):
        return sum((y * y).sum() for y in floats(f(*full)))

    batches = [tensor(examples(a, i)) for i, a in enumerate(args)]
    grad = func.grad(total, tuple(places))
    found = func.vmap(grad)(*batches)
    for b in range(SIZE):
        want = grad(*[x[b] for x in batches])
        same([[y[b] for y in found]], [want])

    def tangents(*full):
        def g(*xs):
            given = list(full)
            for i, x in zip(places, xs, strict=True):
                given[i] = x
            return total(*given)

        xs = tuple(full[i] for i in places)
        return func.jvp(g, xs, tuple(x * 0 + 1 for x in xs))[1]

    want = sum(x.reshape(SIZE, -1).sum(1) for x in found)
    np.testing.assert_allclose(
        func.vmap(tangents)(*batches).numpy(), want.numpy(), rtol=1e-9, atol=1e-9
    )


def same(a, b, tol=1e-9):
    for row, other in zip(a, b, strict=True):
        for x, y in zip(row, other, strict=True):
            assert isinstance(x, Tensor)
            assert x.shape == y.shape
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=tol, atol=tol)


def check_nested(f, args):
    """A batch of batches is a loop of loops, and second derivatives agree in every order."""
    grids = [np.stack([examples(x, 5 + i) for x in examples(a, i)]) for i, a in enumerate(args)]
    found = parts(func.vmap(func.vmap(f))(*map(tensor, grids)))
    for b in range(SIZE):
        for c in range(SIZE):
            for got, want in zip(found, parts(f(*[tensor(g[b, c]) for g in grids])), strict=True):
                assert got.shape[2:] == want.shape
                np.testing.assert_allclose(got.numpy()[b, c], want.numpy(), rtol=1e-11, atol=1e-12)

    g, xs = of_floats(f, args)

    def total(*ys):
        return sum((y * y).sum() for y in g(*ys))

    argnums = tuple(range(len(xs)))
    one = func.jacfwd(func.jacrev(total, argnums), argnums)(*xs)
    two = func.jacrev(func.jacfwd(total, argnums), argnums)(*xs)
    three = func.jacrev(func.jacrev(total, argnums), argnums)(*xs)
    four = func.jacfwd(func.jacfwd(total, argnums), argnums)(*xs)
    for other in (two, three, four):
        same(one, other, 1e-8)


def check_empty(f, args):
    """No examples give no results, of the right shape and dtype."""
    found = parts(func.vmap(f)(*[tensor(np.empty((0, *a.shape), a.dtype)) for a in args]))
    for got, want in zip(found, parts(f(*map(tensor, args))), strict=True):
        assert got.shape == (0, *want.shape)
        assert got.dtype == want.dtype


def check_inside(f, args):
    """vmap inside reverse and forward mode, and third derivatives by Taylor series."""
    places = [i for i, a in enumerate(args) if is_float(a)]
    batches = [tensor(examples(a, i)) for i, a in enumerate(args)]

    def total(*xs):
        full = list(batches)
        for i, x in zip(places, xs, strict=True):
            full[i] = x
        return sum((y * y).sum() for y in floats(func.vmap(f)(*full)))

    xs = tuple(batches[i] for i in places)
    argnums = tuple(range(len(xs)))
    found = func.grad(total, argnums)(*xs)
    for b in range(SIZE):
        g, ys = of_floats(f, [x[b].numpy() for x in batches])
        want = func.grad(lambda *zs, g=g: sum((y * y).sum() for y in g(*zs)), argnums)(*ys)
        same([[y[b] for y in found]], [want])
    ts = tuple(tensor(rng(3 + i).standard_normal(x.shape)) for i, x in enumerate(xs))
    along = func.jvp(total, xs, ts)[1]
    np.testing.assert_allclose(
        along.item(),
        sum((y * t).sum() for y, t in zip(found, ts, strict=True)).item(),
        rtol=1e-9,
        atol=1e-12,
    )

    g, xs = of_floats(f, args)
    ts = [tensor(rng(3 + i).standard_normal(x.shape)) for i, x in enumerate(xs)]

    def line(s):
        return g(*[x + s * t for x, t in zip(xs, ts, strict=True)])

    def derivative(h):
        return lambda s: func.jvp(h, (s,), (s * 0 + 1,))[1]

    zero = tensor(np.array(0.0))
    same(
        [func.nth_derivative(line, 3)(zero)], [derivative(derivative(derivative(line)))(zero)], 1e-8
    )
