"""The transforms by differences alone: slow, and independent of everything they are compared with.

Each has the signature of its namesake in `chainrule.func` and works on functions of NumPy arrays.
A stencil of order 8 with a large step loses so few digits that three levels of it, one inside the
other, still leave ten.

Source of the weights: Fornberg, Generation of finite difference formulas on arbitrarily spaced
grids, Mathematics of Computation 51 (1988).
"""

from math import factorial

import numpy as np

STEP = 0.012
WEIGHTS = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}


def slope(f, h=STEP):
    """f'(0) for a function of one number that gives an array."""
    total = 0.0
    for k, w in WEIGHTS.items():
        total = total + (w / h) * (f(k * h) - f(-k * h))
    return total


def jvp(f, xs, vs):
    along = lambda t: np.asarray(f(*[x + t * v for x, v in zip(xs, vs, strict=True)]))
    return f(*xs), slope(along)


def basis(x):
    return np.eye(x.size).reshape(x.size, *x.shape)


def jacfwd(f):
    def jacobian(x):
        columns = [jvp(f, (x,), (e,))[1] for e in basis(x)]
        return np.stack(columns, axis=-1).reshape(columns[0].shape + x.shape)

    return jacobian


jacrev = grad = jacfwd


def hessian(f):
    return jacfwd(jacfwd(f))


def hvp(f, x, v):
    return jvp(jacfwd(f), (x,), (v,))[1]


def laplacian(f):
    return lambda x: np.trace(hessian(f)(x), axis1=-2, axis2=-1)


def hessian_diagonal(f):
    return lambda x: np.diagonal(hessian(f)(x), axis1=-2, axis2=-1)


def divergence(f):
    return lambda x: np.trace(jacfwd(f)(x))


def vjp(f, x):
    y = np.asarray(f(x))
    return y, lambda c: (np.tensordot(c, jacfwd(f)(x), y.ndim),)


def linearize(f, x):
    return f(x), lambda v: jvp(f, (x,), (v,))[1]


def vmap(f, in_dims=0):
    def mapped(*args):
        dims = (in_dims,) * len(args) if isinstance(in_dims, int) else in_dims
        size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
        rows = [
            f(*[x if d is None else np.take(x, i, d) for x, d in zip(args, dims, strict=True)])
            for i in range(size)
        ]
        return np.stack(rows)

    return mapped


def taylor(f, x, v, order):
    found = []
    for k in range(order + 1):
        found.append(np.asarray(f(x)) / factorial(k))
        f = lambda u, f=f: jvp(f, (u,), (v,))[1]
    return tuple(found)


def nth_derivative(f, n):
    return lambda x: factorial(n) * taylor(f, x, np.ones_like(x), n)[n]
