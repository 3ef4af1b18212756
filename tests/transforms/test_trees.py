"""Every transform on every container, against differences of the function of one long vector."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import func, tree

from .containers import (
    BLOCKS,
    CONTAINERS,
    J,
    Point,
    Rectangle,
    X,
    boxed,
    differences,
    every_container,
    near,
    scalar,
    tensors,
    two_outputs,
    vector_form,
)


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
