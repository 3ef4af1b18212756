"""Every transform on every container, against differences of the function of one long vector."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule import func, nn, tree
from chainrule.func_modules import functional_call, stack_module_state

Point = namedtuple("Point", "x y")


@dataclasses.dataclass
class Weights:
    a: object
    b: object
    name: str = dataclasses.field(default="w", metadata={"static": True})


@dataclasses.dataclass
class Rectangle:
    """The area follows from the sides: its derivative must not be lost."""

    width: object
    height: object
    area: object = dataclasses.field(init=False)

    def __post_init__(self):
        self.area = self.width * self.height


class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right


tree.register(Pair, lambda p: ((p.left, p.right), None), lambda c, _: Pair(*c))

# name: (container of two values, the two values of a container)
CONTAINERS = {
    "dict": (lambda a, b: {"a": a, "b": b}, lambda t: (t["a"], t["b"])),
    "dict of mixed keys": (lambda a, b: {1: a, ("x", 2): b}, lambda t: (t[1], t[("x", 2)])),
    "OrderedDict": (lambda a, b: OrderedDict(z=a, a=b), lambda t: (t["z"], t["a"])),
    "defaultdict": (lambda a, b: defaultdict(int, p=a, q=b), lambda t: (t["p"], t["q"])),
    "list": (lambda a, b: [a, b], tuple),
    "tuple": (lambda a, b: (a, b), tuple),
    "namedtuple": (Point, tuple),
    "dataclass": (Weights, lambda t: (t.a, t.b)),
    "registered": (Pair, lambda t: (t.left, t.right)),
    "with None": (lambda a, b: (None, [a, None], {"b": b}), lambda t: (t[1][0], t[2]["b"])),
    "nested": (
        lambda a, b: {"u": [Point(a, ()), Weights(b, None)], "v": {}},
        lambda t: (t["u"][0].x, t["u"][1].a),
    ),
}
every_container = pytest.mark.parametrize("kind", CONTAINERS)

A = np.array([0.3, -0.7])
B = np.array([[1.1, 0.4], [-0.2, 0.9], [0.5, -1.3]])
X = np.concatenate([A, B.reshape(-1)])


def tensors():
    return cr.tensor(A), cr.tensor(B)


def two_outputs(a, b):
    """Of shapes (3,) and (2, 2); both depend on both."""
    return (b @ a).sin() * a[0], a.exp() * b[:2] ** 2


def scalar(a, b):
    u, v = two_outputs(a, b)
    return (u**2).sum() + v.sum() * a[1]


def vector_form(f):
    """A function of two tensors as one of a NumPy vector, to take differences of."""

    def g(x):
        outs = f(cr.tensor(x[:2]), cr.tensor(x[2:].reshape(3, 2)))
        outs = outs if isinstance(outs, tuple) else (outs,)
        return np.concatenate([y.numpy().reshape(-1) for y in outs])

    return g


def differences(f, x, h=1e-6):
    """The Jacobian by central differences."""
    steps = np.eye(x.size) * h
    return np.stack([(f(x + s) - f(x - s)) / (2 * h) for s in steps], axis=-1)


def near(tensor, array, tol=1e-7):
    assert tensor.dtype == cr.float64
    np.testing.assert_allclose(tensor.numpy(), array, rtol=tol, atol=tol)


def boxed(kind):
    """The function from container to container, the inputs in their container, the reader."""
    make, read = CONTAINERS[kind]
    return (lambda t: make(*two_outputs(*read(t)))), make(*tensors()), make, read


J = differences(vector_form(two_outputs), X)
BLOCKS = {
    (i, j): J[rows, :][:, columns].reshape(out + into)
    for i, (rows, out) in enumerate([(slice(0, 3), (3,)), (slice(3, 7), (2, 2))])
    for j, (columns, into) in enumerate([(slice(0, 2), (2,)), (slice(2, 8), (3, 2))])
}


@every_container
def test_grad(kind):
    make, read = CONTAINERS[kind]
    want = differences(vector_form(scalar), X)[0]
    t = make(*tensors())
    got, value = func.grad_and_value(lambda t: scalar(*read(t)))(t)
    assert tree.structure(got) == tree.structure(t)
    near(value, scalar(*tensors()).numpy())
    ga, gb = read(got)
    near(ga, want[:2])
    near(gb, want[2:].reshape(3, 2))


@every_container
def test_vjp(kind):
    f, t, make, read = boxed(kind)
    out, pullback = func.vjp(f, t)
    assert tree.structure(out) == tree.structure(t)
    c = np.linspace(-1, 1, 7)
    (got,) = pullback(make(cr.tensor(c[:3]), cr.tensor(c[3:].reshape(2, 2))))
    assert tree.structure(got) == tree.structure(t)
    ga, gb = read(got)
    near(ga, (c @ J)[:2])
    near(gb, (c @ J)[2:].reshape(3, 2))


@every_container
def test_jvp(kind):
    f, t, make, read = boxed(kind)
    d = np.linspace(1, -1, 8)
    out, tangent = func.jvp(f, (t,), (make(cr.tensor(d[:2]), cr.tensor(d[2:].reshape(3, 2))),))
    assert tree.structure(out) == tree.structure(tangent) == tree.structure(t)
    du, dv = read(tangent)
    near(du, (J @ d)[:3])
    near(dv, (J @ d)[3:].reshape(2, 2))
    again, push = func.linearize(f, t)
    du, dv = read(push(make(cr.tensor(d[:2]), cr.tensor(d[2:].reshape(3, 2)))))
    near(du, (J @ d)[:3])
    near(dv, (J @ d)[3:].reshape(2, 2))
    assert tree.all(tree.map(cr.equal, out, again))


@every_container
@pytest.mark.parametrize("mode", [func.jacrev, func.jacfwd])
@pytest.mark.parametrize("chunk_size", [None, 3])
def test_jacobians_are_trees_of_trees(kind, mode, chunk_size):
    f, t, _, read = boxed(kind)
    got = mode(f, chunk_size=chunk_size)(t)
    rows = read(got)
    for i, row in enumerate(rows):
        assert tree.structure(row) == tree.structure(t)
        for j, block in enumerate(read(row)):
            near(block, BLOCKS[i, j])


@every_container
def test_hessian(kind):
    make, read = CONTAINERS[kind]
    t = make(*tensors())

    def slope(a, b):
        return func.grad(scalar, argnums=(0, 1))(a, b)

    want = differences(vector_form(slope), X)
    got = func.hessian(lambda t: scalar(*read(t)))(t)
    both = func.jacfwd(func.grad(lambda t: scalar(*read(t))))(t)
    for found in (got, both):
        (aa, ab), (ba, bb) = (read(row) for row in read(found))
        near(aa, want[:2, :2], 1e-6)
        near(ab, want[:2, 2:].reshape(2, 3, 2), 1e-6)
        near(ba, want[2:, :2].reshape(3, 2, 2), 1e-6)
        near(bb, want[2:, 2:].reshape(3, 2, 3, 2), 1e-6)


@every_container
def test_vmap(kind):
    f, _, make, read = boxed(kind)
    rng = np.random.default_rng(0)
    a, b = cr.tensor(rng.normal(size=(5, 2))), cr.tensor(rng.normal(size=(3, 5, 2)))
    got = func.vmap(f, in_dims=(make(0, 1),), out_dims=make(1, 0))(make(a, b))
    u, v = read(got)
    each = [two_outputs(a[i], b[:, i]) for i in range(5)]
    near(u, np.stack([y.numpy() for y, _ in each], axis=1))
    near(v, np.stack([y.numpy() for _, y in each]))
    same = func.vmap(f, in_dims=(make(0, None),))(make(a, b[:, 0]))
    near(read(same)[0][2], two_outputs(a[2], b[:, 0])[0].numpy())


@every_container
def test_gradients_per_example(kind):
    make, read = CONTAINERS[kind]
    rng = np.random.default_rng(1)
    a, b = cr.tensor(rng.normal(size=(4, 2))), cr.tensor(rng.normal(size=(4, 3, 2)))
    g = func.grad(lambda t: scalar(*read(t)))
    got = read(func.vmap(g)(make(a, b)))
    for i in range(4):
        for batch, one in zip(got, read(g(make(a[i], b[i]))), strict=True):
            near(batch[i], one.numpy())

    def total(t):
        return func.vmap(lambda t: scalar(*read(t)))(t).sum()

    for batch, whole in zip(got, read(func.grad(total)(make(a, b))), strict=True):
        near(whole, batch.numpy())


@every_container
def test_taylor(kind):
    f, t, make, read = boxed(kind)
    d = np.linspace(1, -1, 8)
    direction = make(cr.tensor(d[:2]), cr.tensor(d[2:].reshape(3, 2)))
    coefficients = func.taylor(f, t, direction, order=2)
    assert [tree.structure(c) for c in coefficients] == [tree.structure(t)] * 3
    along = vector_form(two_outputs)
    h = 1e-4
    second = (along(X + h * d) - 2 * along(X) + along(X - h * d)) / (2 * h * h)
    for c, want in zip(coefficients, (along(X), J @ d, second), strict=True):
        u, v = read(c)
        near(u, want[:3], 1e-6)
        near(v, want[3:].reshape(2, 2), 1e-6)


def test_series_of_a_system_of_named_variables():
    # x' = v, v' = -x from x = 1, v = 0: the cosine and minus the sine
    f = lambda y: {"v": -y["x"], "x": y["v"]}
    got = func.ode_series(f, {"x": cr.tensor(1.0), "v": cr.tensor(0.0)}, 4)
    assert [c["x"].item() for c in got] == pytest.approx([1, 0, -1 / 2, 0, 1 / 24])
    assert [c["v"].item() for c in got] == pytest.approx([0, -1, 0, 1 / 6, 0])


# Uses, and no uses --------------------------------------------------------------------------------


def test_keys_that_are_not_read_get_zeros():
    d = {"cat": cr.tensor(2.0), "dog": cr.tensor([3.0, 4.0]), "eel": [cr.ones(1), None]}

    def f(d):
        return {"y": d["cat"] ** 2 * cr.ones(3)}

    zeros = {"dog": [0, 0], "eel": [[0], None]}

    def listed(g):
        return tree.map(lambda x: x.tolist(), g)

    assert listed(func.grad(lambda d: f(d)["y"].sum())(d)) == {"cat": 12, **zeros}
    assert listed(func.vjp(f, d)[1]({"y": cr.ones(3)})[0]) == {"cat": 12, **zeros}
    for mode in (func.jacrev, func.jacfwd):
        rows = mode(f)(d)["y"]
        assert rows["cat"].tolist() == [4, 4, 4]
        assert rows["dog"].tolist() == [[0, 0]] * 3
        assert rows["eel"][0].tolist() == [[0]] * 3
    away = tree.map(cr.ones_like, d)
    away["cat"] = cr.tensor(0.0)
    assert func.jvp(f, (d,), (away,))[1]["y"].tolist() == [0, 0, 0]


def test_every_read_is_added_at_its_key():
    d = {"cat": cr.tensor(2.0), "dog": cr.tensor(3.0)}
    g = func.grad(lambda d: d["cat"] * d["dog"] + d["cat"] ** 2 + sum(d.values()))(d)
    assert g["cat"].item() == 3 + 4 + 1
    assert g["dog"].item() == 2 + 1


def test_one_tensor_at_two_places_has_two_gradients():
    x = cr.tensor(3.0)
    g = func.grad(lambda t: t[0] * t[1]["again"] ** 2)([x, {"again": x}])
    assert (g[0].item(), g[1]["again"].item()) == (9, 18)


def test_containers_inside_the_function():
    def f(x):
        state = {"v": [x, x**2], "n": 0}
        for i in range(3):
            state["v"].append(state["v"][-1] * x)
            state = {**state, "n": i}
        point = Point(*state["v"][-2:])
        return tree.reduce(lambda a, b: a + b, tree.map(lambda y: y * 2, point))

    x = cr.tensor(1.5, dtype=cr.float64)
    near(func.grad(f)(x), 2 * (4 * 1.5**3 + 5 * 1.5**4))
    near(func.jacfwd(f)(x), 2 * (4 * 1.5**3 + 5 * 1.5**4))
    near(
        func.vmap(func.grad(func.grad(f)))(cr.stack([x, x])), [2 * (12 * 1.5**2 + 20 * 1.5**3)] * 2
    )


@pytest.mark.parametrize("outer", [func.grad, func.jacrev, func.jacfwd])
@pytest.mark.parametrize("inner", [func.grad, func.jacrev, func.jacfwd])
def test_closures_over_containers_do_not_confuse_levels(outer, inner):
    # d/dx [ x · d/dy (x y + y³)|y=2 ] = d/dx (x² + 12 x) = 2 x + 12
    def f(t):
        return t["x"] * inner(lambda s: t["x"] * s[0] + s[0] ** 3)([cr.tensor(2.0)])[0]

    assert outer(f)({"x": cr.tensor(5.0)})["x"].item() == 22


def test_containers_written_in_the_function():
    def f(t):
        t["a"] = t["a"] * t["b"]
        t["new"] = t["a"] * 2
        return t["new"] + t["a"]

    d = {"a": cr.tensor(2.0), "b": cr.tensor(3.0)}
    g = func.grad(f)(d)
    assert (g["a"].item(), g["b"].item()) == (9, 6)
    assert set(d) == {"a", "b"}


def test_a_field_computed_from_others_is_differentiated():
    r = Rectangle(cr.tensor(2.0), cr.tensor(3.0))
    for g in (func.grad(lambda r: r.area)(r), func.jacfwd(lambda r: r.area)(r)):
        assert (g.width.item(), g.height.item()) == (3, 2)
    numbers = func.grad(lambda r: r.area)(Rectangle(2.0, 3.0))
    assert (numbers.width.item(), numbers.height.item()) == (3, 2)
    sides = Rectangle(cr.tensor([2.0, 4.0]), cr.tensor([[1.0, 3.0]]))
    assert func.vmap(lambda r: r.area, in_dims=(Rectangle(0, 1),))(sides).tolist() == [[2], [12]]


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
