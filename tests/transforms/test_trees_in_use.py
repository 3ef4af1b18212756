"""Trees where people meet them: auxiliary results, arrays, ravel, errors, modules."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import func, nn, tree
from chainrule.func_modules import functional_call, stack_module_state

from .containers import A, B, Point, X, differences, near, scalar, tensors, vector_form


def test_auxiliary_trees():
    f = lambda d: (d["x"] ** 2, {"square": d["x"] ** 2, "name": "x", "none": None})
    d = {"x": cr.tensor(3.0)}
    for got, aux in (
        func.grad(f, has_aux=True)(d),
        func.jacrev(f, has_aux=True)(d),
        func.jacfwd(f, has_aux=True)(d),
    ):
        assert got["x"].item() == 6
        assert aux["square"].item() == 9
        assert not aux["square"].requires_grad
        assert aux["name"] == "x"
    _, tangent, aux = func.jvp(f, (d,), (d,), has_aux=True)
    assert (tangent.item(), aux["square"].item()) == (18, 9)


def test_arrays_in_arrays_out():
    d = {"a": A, "b": [B]}
    f = lambda d: (d["a"] ** 2).sum()
    g = func.grad(f)(d)
    np.testing.assert_allclose(g["a"], 2 * A)
    others = [func.jacrev(f)(d), func.jacfwd(f)(d), *func.vjp(f, d)[1](np.float64(1)), g]
    others += [func.vmap(lambda a, d: d, in_dims=(0, None))(A, d), func.jvp(f, (d,), (d,))]
    assert {type(x) for x in tree.leaves(others)} == {np.ndarray}


def test_agrees_with_jax():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def f(lib, d):
        u = lib.sin(d["w"] @ d["p"].x)
        return {"u": u * d["p"].y[0], "s": [lib.sum(u**2)]}

    d = {"w": B, "p": Point(A, [np.array(0.7)]), "unread": np.ones(2)}
    with jax.enable_x64(True):
        want = jax.jacrev(lambda d: f(jnp, d))(d)
        want_paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(want)]
        by_path = dict(
            zip(want_paths, map(np.asarray, jax.tree_util.tree_leaves(want)), strict=True)
        )
    for mode in (func.jacrev, func.jacfwd):
        got = dict(tree.paths(mode(lambda d: f(cr, d))(tree.map(cr.tensor, d))))
        assert got.keys() == by_path.keys()
        for path, block in got.items():
            near(block, by_path[path], 1e-12)


# One vector ---------------------------------------------------------------------------------------


def test_ravel_in_transforms():
    a, b = tensors()
    flat, unravel = tree.ravel({"a": a, "b": b})

    def f(x):
        t = unravel(x)
        return scalar(t["a"], t["b"])

    want = differences(vector_form(scalar), X)[0]
    near(func.grad(f)(flat), want)
    near(func.jacfwd(f)(flat), want)
    near(func.vmap(func.grad(f))(cr.stack([flat, flat]))[1], want)

    def entries(t):
        return tree.ravel(t)[0] * cr.arange(8, dtype=cr.float64)

    weights = np.diag(np.arange(8.0))
    for mode in (func.jacrev, func.jacfwd):
        got = mode(entries)({"a": a, "b": b})
        near(got["a"], weights[:, :2])
        near(got["b"], weights[:, 2:].reshape(8, 3, 2))
    rows = func.vmap(entries, in_dims=({"a": 0, "b": None},))({"a": cr.stack([a, a]), "b": b})
    near(rows[1], weights @ X)


# Mistakes -----------------------------------------------------------------------------------------


def test_mismatched_trees_name_the_path():
    t = {"w": [cr.ones(2), cr.ones(1)], "b": cr.ones(())}
    f = lambda t: {"y": (t["w"][0].sum(), t["b"])}
    wrong = {"w": [cr.ones(2)], "b": cr.ones(())}
    message = r"at \[0\]\['w'\] there is a list of length 2 in the primals, but a list of length 1"
    with pytest.raises(RuntimeError, match=message):
        func.jvp(f, (t,), (wrong,))
    with pytest.raises(RuntimeError, match=message):
        func.linearize(f, t)[1](wrong)
    _, pullback = func.vjp(f, t)
    with pytest.raises(
        RuntimeError, match=r"at \['y'\] there is a tuple of length 2 in the output"
    ):
        pullback({"y": cr.ones(())})
    with pytest.raises(RuntimeError, match="the key 'y' in the output, but only the keys"):
        pullback({"z": 1})
    with pytest.raises(ValueError, match=r"at \[0\]\[0\]\['w'\] there is a tuple of length 1"):
        func.vmap(f, in_dims=({"w": (0,), "b": None},))(t)
    with pytest.raises(ValueError, match=r"at \['y'\] there is a tuple of length 3 in out_dims"):
        func.vmap(f, in_dims=({"w": 0, "b": None},), out_dims={"y": (0, 0, 0)})(
            {"w": [cr.ones(2, 2), cr.ones(2, 1)], "b": cr.ones(())}
        )


def test_leaves_that_cannot_be_differentiated_are_named():
    with pytest.raises(TypeError, match=r"got str at \['name'\]"):
        func.grad(lambda d: d["x"])({"x": cr.tensor(1.0), "name": "x"})
    with pytest.raises(RuntimeError, match=r"at \['n'\]\[0\]"):
        func.grad(lambda d: d["x"])({"x": cr.tensor(1.0), "n": [cr.tensor(1)]})
    with pytest.raises(RuntimeError, match=r"unsupported type str at \['y'\]\[1\]"):
        func.jacrev(lambda x: {"y": [x, "text"]})(cr.ones(2))
    loop = [cr.ones(())]
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        func.grad(lambda t: t[0])(loop)


# Modules ------------------------------------------------------------------------------------------


def network():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    return net.double()


def test_a_module_as_a_function_of_its_parameters():
    net = network()
    x = cr.randn(4, 2, dtype=cr.float64)
    p = {name: w.detach() for name, w in net.named_parameters()}
    flat, unravel = tree.ravel(p)
    loss = lambda p: (functional_call(net, p, x) ** 2).mean()
    plain = lambda v: loss(unravel(cr.tensor(v))).numpy().reshape(1)
    want = differences(plain, flat.numpy())[0]
    near(tree.ravel(func.grad(loss)(p))[0], want)
    near(tree.ravel(func.jacfwd(loss)(p))[0], want)
    slopes = lambda v: tree.ravel(func.grad(loss)(unravel(cr.tensor(v))))[0].numpy()
    got = func.hessian(loss)(p)
    matrix = differences(slopes, flat.numpy())
    rows = [cr.cat([b.reshape(w.numel(), -1) for b in got[k].values()], 1) for k, w in p.items()]
    near(cr.cat(rows), matrix, 1e-6)
    assert all(w.grad is None for w in net.parameters())
    assert all(isinstance(w, nn.Parameter) for w in net.parameters())


def test_gradients_of_a_module_per_example():
    net = network()
    x, y = cr.randn(5, 2, dtype=cr.float64), cr.randn(5, 1, dtype=cr.float64)
    p = {name: w.detach() for name, w in net.named_parameters()}

    def loss(p, x, y):
        return ((functional_call(net, p, x) - y) ** 2).sum()

    got = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(p, x, y)
    for i in range(5):
        one = func.grad(loss)(p, x[i], y[i])
        for name in p:
            near(got[name][i], one[name].numpy())


def test_an_ensemble():
    nets = [network() for _ in range(3)]
    p, buffers = stack_module_state(nets)
    x = cr.randn(4, 2, dtype=cr.float64)
    run = lambda p, b, x: functional_call(nets[0], (p, b), x)
    got = func.vmap(run, in_dims=(0, 0, None))(p, buffers, x)
    for i, net in enumerate(nets):
        near(got[i].detach(), net(x).detach().numpy())
    got.sum().backward()
    nets[1](x).sum().backward()
    near(p["0.weight"].grad[1], nets[1][0].weight.grad.numpy())


def test_tied_weights_collect_both_gradients():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(cr.tensor(2.0))
            self.same = self.w

        def forward(self, x):
            return self.w * x + self.same**2

    module = Tied()
    g = func.grad(lambda p: functional_call(module, p, cr.tensor(3.0)))({"w": cr.tensor(5.0)})
    assert g["w"].item() == 3 + 10
