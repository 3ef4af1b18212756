"""Functions with a short way for plain tensors: what looks like one may be recorded inside.

A box has no node of its own, but the tensors inside it may have one.  Each function is
differentiated in nests where that is so, and compared with its derivatives by hand.
"""

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import grad, hessian, jvp, vmap

POINT = np.array([[0.5, 1.5, -1.0], [2.0, -0.3, 0.8]])
INDEX = cr.tensor([[2, 0, 1], [1, 1, 0]])

# The function, applied to x³; and which entries of x it sums up in the end, how often each.
SHORT_WAYS = {
    "sum": (lambda y: y.sum(), np.ones((2, 3))),
    "sum along": (lambda y: y.sum(1).sum(), np.ones((2, 3))),
    "mean": (lambda y: y.mean(), np.full((2, 3), 1 / 6)),
    "max": (lambda y: y.max(1).values.sum(), [[0, 1, 0], [1, 0, 0]]),
    "min": (lambda y: y.min(dim=0).values.sum(), [[1, 0, 1], [0, 1, 0]]),
    "gather": (lambda y: cr.gather(y, 1, INDEX).sum(), [[1, 1, 1], [1, 2, 0]]),
    "cat": (lambda y: cr.cat([y, y]).sum(), np.full((2, 3), 2)),
    "stack": (lambda y: cr.stack([y, y.detach()], 1).sum(), np.ones((2, 3))),
    "subscript": (lambda y: y[:, 1:].sum(), [[0, 1, 1], [0, 1, 1]]),
    "reshape": (lambda y: y.reshape(3, 2)[0].sum(), [[1, 1, 0], [0, 0, 0]]),
    "pow": (lambda y: (y**2.0).sum() / 2, None),
    "asarray": (lambda y: cr.asarray(y, requires_grad=True).sum(), np.ones((2, 3))),
}


@pytest.mark.parametrize("name", SHORT_WAYS)
def test_short_ways_in_nests(name):
    f, weights = SHORT_WAYS[name]
    x, v = cr.tensor(POINT), np.cos(POINT)
    g = lambda x: f(x**3)
    if weights is None:  # x⁶ / 2
        first, second = 3 * POINT**5, 15 * POINT**4
    else:
        first, second = np.array(weights) * 3 * POINT**2, np.array(weights) * 6 * POINT
    close = lambda found, expected: np.testing.assert_allclose(
        found.detach().numpy(), expected, rtol=1e-12, atol=1e-12
    )
    close(grad(g)(x), first)
    close(jvp(g, (x,), (cr.tensor(v),))[1], (first * v).sum())
    close(grad(lambda x: jvp(g, (x,), (cr.tensor(v),))[1])(x), second * v)
    close(jvp(grad(g), (x,), (cr.tensor(v),))[1], second * v)
    close(grad(lambda x: (grad(g)(x) * cr.tensor(v)).sum())(x), second * v)
    close(hessian(g)(x).reshape(6, 6), np.diag(second.reshape(-1)))
    close(vmap(grad(g))(cr.stack([x, x]))[1], first)
    leaf = cr.tensor(POINT, requires_grad=True)
    jvp(g, (leaf,), (cr.tensor(v),))[1].backward()  # recorded inside of the box
    close(leaf.grad, second * v)
    leaf = cr.tensor(POINT, requires_grad=True)
    vmap(g)(cr.stack([leaf, leaf]))[0].backward()
    close(leaf.grad, first)
