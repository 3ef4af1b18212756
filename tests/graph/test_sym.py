"""Expressions of variables: against the same program run eagerly, and all that can go wrong."""

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import sym
from chainrule.graph import DataDependence, Graph, GraphError

F = cr.nn.functional
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))
Y = RNG.normal(size=(3, 4))
V = RNG.normal(size=4)
S = X[:, :3] @ X[:, :3].T + 3 * np.eye(3)

PROGRAMS = {
    "arithmetic": (lambda a, b: 2 * a - b / (a * a + 1) + 3 % (a + 10), X, Y),
    "powers": (lambda a, b: a**2 + abs(a) ** 0.5 + 2**b - (-a) // 1, X, Y),
    "reflected": (lambda a, b: 1 - a + (2 / (b * b + 1)) - np.ones(4) * a, X, Y),
    "arrays": (lambda a, b: np.full(4, 2.0) / (a * a + 1) + b @ np.eye(4), X, Y),
    "comparison": (lambda a, b: cr.where((a > b) & ~(a < 0), a, b * 2), X, Y),
    "matmul": (lambda a, b: a @ b.T @ a, X, Y),
    "index": (lambda a, b: a[0] + b[..., 1:2].sum() + a[:, None, 1].mT.sum(), X, Y),
    "index by integers": (lambda a, i: a[i].sum(dim=0), X, np.array([0, 2, 2])),
    "attributes": (lambda a, b: a.T.mT + b.real.T.T, X, Y),
    "methods": (lambda a, b: a.exp().sum(dim=1).log().reshape(3, 1) * b.clamp(min=0), X, Y),
    "reductions": (lambda a, b: a.mean() + b.std(dim=0) + a.norm() + b.logsumexp(1).sum(), X, Y),
    "softmax": (lambda a, b: cr.softmax(a, dim=0) * F.log_softmax(b, 1), X, Y),
    "named result": (lambda a, b: a.max(dim=0).values + b.sort(dim=0)[0][1], X, Y),
    "integer result": (lambda a, b: a.argmax(dim=1) + b.max(dim=1).indices, X, Y),
    "several results": (lambda a, b: a.max(dim=1), X, None),
    "a size as a number": (lambda a, b: a / a.size(0) + b * a.dim() + a.numel(), X, Y),
    "lists": (lambda a, b: cr.stack([a, b, a * 2]).sum(0) + cr.cat((a, b), dim=0)[:3], X, Y),
    "einsum": (lambda a, b: cr.einsum("ij,kj->ik", a, b), X, Y),
    "keyword": (lambda a, b: cr.sum(input=a, axis=1, keepdims=True) + b, X, Y),
    "numpy": (lambda a, b: np.sin(a) + np.sum(a * b, axis=0) + np.maximum(a, b), X, Y),
    "numpy reduce": (lambda a, b: np.add.reduce(a) + np.concatenate([a, b])[0], X, Y),
    "linalg": (lambda a, b: cr.linalg.solve(a, b) + cr.linalg.inv(a) @ b, S, X),
    "svd": (lambda a, b: cr.linalg.svd(a).S, X, None),
    "eigh": (lambda a, b: cr.linalg.eigh(a)[0] + cr.linalg.eigh(a).eigenvalues, S, None),
    "fft": (lambda a, b: cr.fft.rfft(a).abs() + cr.fft.ifft(cr.fft.fft(a)).real[:, :3], X, None),
    "networks": (lambda a, b: F.mse_loss(F.gelu(a), b) + F.layer_norm(a, (4,)).sum(), X, Y),
    "conversion": (lambda a, b: a.float().double() + b.to(cr.float64).contiguous(), X, Y),
    "detach": (lambda a, b: a.detach() * b, X, Y),
    "like": (lambda a, b: cr.zeros_like(a) + cr.ones_like(b) * a, X, Y),
    "special": (lambda a, b: cr.special.erf(a) + cr.sigmoid(b) * cr.tanh(a) + F.relu(a), X, Y),
    "in place inside": (lambda a, b: cr.index_add(a, 0, cr.tensor([0, 1, 2]), b), X, Y),
    "cumulative": (lambda a, b: cr.cumsum(a, 0) * cr.cumprod(b, 1) + cr.diff(a, dim=0).sum(), X, Y),
    "taken apart": (lambda a, b: sum([a[i] * V for i in range(3)], b * 0), X, Y),
    "chunks": (lambda a, b: cr.chunk(a, 2, dim=1)[0] + cr.split(b, 2, dim=1)[1], X, Y),
    "transposed": (lambda a, b: a.permute(1, 0).flatten() + b[None].squeeze(0).T.ravel(), X, Y),
}  # fmt: skip


def given(*arrays):
    return {name: x for name, x in zip("ab", arrays, strict=True) if x is not None}


def leaves(result):
    return [np.asarray(x) for x in cr.tree.leaves(result)]


def same(found, want):
    assert cr.tree.structure(found) == cr.tree.structure(want)
    for x, y in zip(leaves(found), leaves(want), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_deferred_program(name):
    f, *arrays = PROGRAMS[name]
    data = given(*arrays)
    c = f(sym.var("a"), sym.var("b"))
    want = f(*[None if x is None else cr.tensor(x) for x in arrays])
    same(c.bind(data), want)
    same(c.bind({k: cr.tensor(v) for k, v in data.items()}), want)
    assert str(c)
    assert [v._variables()[0].name for v in c.variables] == list(data)
    shapes = c.infer({k: cr.tensor(v) for k, v in data.items()})
    assert [tuple(s.shape) for s in cr.tree.leaves(shapes)] == [y.shape for y in leaves(want)]
    c.graph({k: cr.tensor(v) for k, v in data.items()}).verify()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_declared_program(name):
    f, *arrays = PROGRAMS[name]
    data = given(*arrays)
    variables = [
        None if x is None else sym.var(n, shape=x.shape, dtype=x.dtype)
        for n, x in zip("ab", arrays, strict=True)
    ]
    c = f(*variables)
    want = f(*[None if x is None else cr.tensor(x) for x in arrays])
    if isinstance(c, tuple):
        assert all(isinstance(x, sym.Expression) for x in c)
        c, want = c[0], want[0]
    assert isinstance(c, sym.Expression)
    assert tuple(c.shape) == tuple(want.shape)
    same(c.bind({k: v for k, v in data.items() if k in {v.name for v in c._variables()}}), want)
    assert str(c)
    c.graph().verify()


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: (a * a * b).sum(),
        lambda a, b: (cr.softmax(a, dim=0) * b).sum().abs().log(),
        lambda a, b: cr.logsumexp(a @ b.T, dim=(0, 1)),
        lambda a, b: (a.max(dim=0).values * b.sort(dim=1)[0]).sum(),
        lambda a, b: F.mse_loss(cr.tanh(a), b) + a[0, 0] ** 3,
    ],
)
def test_derivatives(f, declared):
    kind = {"shape": (3, 4), "dtype": cr.float64} if declared else {}
    a, b = sym.var("a", **kind), sym.var("b", **kind)
    c = f(a, b)
    want = cr.func.grad(f, argnums=(0, 1))(X, Y)
    same(c.grad("a").bind(a=X, b=Y), cr.tensor(want[0]))
    same(c.grad(b).bind(a=X, b=Y), cr.tensor(want[1]))
    both = c.grad(["a", b])
    assert isinstance(both, tuple)
    same([g.bind(a=X, b=Y) for g in both], [cr.tensor(w) for w in want])
    same([g.bind(a=X, b=Y) for g in c.grad()], [cr.tensor(w) for w in want])
    # the second derivative along a direction: of (∂c/∂a · v)
    v = cr.tensor(RNG.normal(size=(3, 4)))
    second = (c.grad("a") * v).sum().grad("b").bind(a=X, b=Y)
    eager = cr.func.grad(lambda y: (cr.func.grad(f)(cr.tensor(X), y) * v).sum())(cr.tensor(Y))
    np.testing.assert_allclose(second, eager, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("declared", [False, True])
def test_pullback_and_pushforward(declared):
    kind = {"shape": (3, 4), "dtype": cr.float64} if declared else {}
    a, b = sym.var("a", **kind), sym.var("b", **kind)
    f = lambda a, b: cr.softmax(a * b, dim=1) @ b.T
    ct = RNG.normal(size=(3, 3))
    want = cr.func.vjp(f, cr.tensor(X), cr.tensor(Y))[1](cr.tensor(ct))
    same(f(a, b).vjp("a").bind(a=X, b=Y, ct=ct), want[0])
    same([g.bind(a=X, b=Y, ct=ct) for g in f(a, b).vjp()], list(want))
    tans = RNG.normal(size=(2, 3, 4))
    want = cr.func.jvp(f, (cr.tensor(X), cr.tensor(Y)), tuple(map(cr.tensor, tans)))[1]
    found = f(a, b).jvp(["a", "b"]).bind(a=X, b=Y, tan_a=tans[0], tan_b=tans[1])
    np.testing.assert_allclose(found, want, rtol=1e-12)
    # reverse over forward
    one = f(a, b).jvp("a").sum().grad("b").bind(a=X, b=Y, tan_a=tans[0])
    want = cr.func.grad(lambda y: cr.func.jvp(lambda x: f(x, y), (cr.tensor(X),),
                        (cr.tensor(tans[0]),))[1].sum())(cr.tensor(Y))  # fmt: skip
    np.testing.assert_allclose(one, want, rtol=1e-10, atol=1e-12)


def test_to_any_order():
    x = sym.var("x")
    c = x**5
    for n, factor in enumerate([5, 20, 60, 120, 120, 0], 1):
        c = c.grad("x")
        assert float(c.bind(x=2.0)) == factor * 2.0 ** max(5 - n, 0)


def test_declared_and_deferred_together():
    a, b = sym.var("a", shape=(3,), dtype=cr.float64), sym.var("b")
    c = (a * b + a.exp()).sum()
    x = np.array([1.0, 2.0, 3.0])
    same(c.bind(a=x, b=2.0), cr.tensor((x * 2 + np.exp(x)).sum()))
    same(c.grad("a").bind(a=x, b=2.0), cr.tensor(2 + np.exp(x)))
    assert [str(v) for v in c.variables] == ["a", "b"]
    assert str(c) == "sum(a*b + exp(a))"
    with pytest.raises(RuntimeError, match=r"'a' has shape \[2\]"):
        c.bind(a=np.ones(2), b=1.0)
    assert c.graph(b=()).input_names == ["a", "b"]


def test_the_graph_is_made_once_for_each_shape():
    runs = []

    @cr.custom_rule
    def noted(x):
        runs.append(1)
        return x * 2

    a = sym.var("a")
    c = a.sum() + 1.0
    graphs = {id(c._graph_for({"a": np.ones(3)})) for _ in range(3)}
    assert len(graphs) == 1
    assert c._graph_for({"a": np.ones(4)}) is not c._graph_for({"a": np.ones(3)})
    assert c._graph_for({"a": np.ones(3, np.float32)}) is not c._graph_for({"a": np.ones(3)})


def test_recorded_and_boxed_data():
    a, b = sym.vars("a b")
    c = (a * a * b).sum()
    t = cr.tensor(X, requires_grad=True)
    c.bind(a=t, b=Y).backward()
    np.testing.assert_allclose(t.grad, 2 * X * Y)
    np.testing.assert_allclose(cr.func.grad(lambda q: c.bind(a=q, b=Y))(X), 2 * X * Y)
    found = cr.func.vmap(lambda q: c.bind(a=q, b=1.0))(cr.tensor(X))
    np.testing.assert_allclose(found, (X * X).sum(1))
    graph = cr.graph.trace(lambda q: c.bind(a=q, b=2.0), X)
    np.testing.assert_allclose(graph(X), 2 * (X * X).sum())


def test_dtypes_of_data():
    a, b = sym.vars("a b")
    assert (a * 2).bind(a=3.0).dtype is cr.float64
    assert (a * 2).bind(a=3).dtype is cr.int64
    assert (a * b).bind(a=3.0, b=cr.ones(2)).dtype is cr.float32
    assert (a * b).bind(a=3j, b=cr.ones(2)).dtype is cr.complex64
    assert (a * 2).bind(a=True).dtype is cr.int64
    assert (a * 2).bind(a=[1, 2]).dtype is cr.int64
    single = sym.var("s", dtype=cr.float32)
    assert (single * 2).bind(s=np.ones(3)).dtype is cr.float32
    assert (single * 2).bind(s=[1, 2]).dtype is cr.float32
    assert sym.var("s", shape=()).dtype is cr.float32


def test_values_that_are_not_finite_are_data():
    a = sym.var("a")
    found = (a * 2).bind(a=[np.nan, np.inf, -np.inf])
    assert str(found.tolist()) == "[nan, inf, -inf]"


# ---------------------------------------------------------------- formulas


@pytest.mark.parametrize("declared", [False, True])
def test_formulas(declared):
    kind = {"shape": ()} if declared else {}
    a, b = sym.vars("a b", **kind)
    for written, c in {
        "a*2 + b": a * 2 + b,
        "(a - (b - 1))/(a*b)": (a - (b - 1)) / (a * b),
        "-a**2": -(a**2),
        "(a + b)*a": (a + b) * a,
        "exp(a) + b": a.exp() + b,
    }.items():
        assert str(c) == written
        assert repr(c) == written
        assert f"{c}" == written
    e = (a - b).exp()
    assert str(e * e + e) == "v1*v1 + v1  where v1 = exp(a - b)"


def test_formulas_of_calls():
    a, b = sym.vars("a b")
    for written, c in {
        "softmax(a, dim=0)": cr.softmax(a, dim=0),
        "max(a, dim=0).values": a.max(dim=0).values,
        "max(a, dim=0)[0] + b": a.max(dim=0)[0] + b,
        "a[0, 1:, ::2]": a[0, 1:, ::2],
        "a[..., None]": a[..., None],
        "a[b]": a[b],
        "a.T @ b": a.T @ b,
        "(a + b).T": (a + b).T,
        "where(a > 0, a, b)": cr.where(a > 0, a, b),
        "np.sum(a*b) + np.sin(a)": np.sum(a * b) + np.sin(a),
        "sum(stack([a, b]), dim=0)": cr.stack([a, b]).sum(dim=0),
        "(a & b) | ~a": (a & b) | ~a,
        "<float64[2]>*a": np.ones(2) * a,
        "(2*a).grad('a')": (2 * a).grad("a"),
    }.items():
        assert repr(c) == written


def test_a_derivative_is_written_for_scalars_and_says_so():
    a, b = sym.vars("a b")
    assert str((a.sin() * b).grad("a")).endswith("(for scalars)")
    assert "cos(a)" in str((a.sin() * b).grad("a"))
    assert str((a @ b).sum().grad("a")) == "sum(a @ b).grad('a')"  # no matrices of numbers


def test_long_expressions():
    a, d = sym.var("a"), sym.var("a", shape=())
    c, e = a, d
    for _ in range(20_000):
        c, e = c + 1.0, e + 1.0
    assert float(c.bind(a=1.0)) == 20_001.0
    assert float(e.bind(a=1.0)) == 20_001.0
    assert float(c.grad("a").bind(a=1.0)) == 1.0
    for x in (c, e):
        assert str(x).startswith("<expression of a: ")
        assert repr(x) == "<expression of a>"
    with pytest.raises(RuntimeError, match="shape of <expression of a> is not known"):
        c.shape
    y = a
    for _ in range(60):  # a formula without sharing would have 2^60 terms
        y = y * y
    assert str(y).startswith("<expression") or "where" in str(y)
    assert float(y.bind(a=1.0)) == 1.0


# ---------------------------------------------------------------- what is not known yet


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.shape, lambda c: c.ndim, lambda c: c.dtype, len, list, lambda c: [*c],
        lambda c: reversed(c), lambda c: c.add_(1), lambda c: c.nbytes,
    ],
)  # fmt: skip
def test_the_shape_is_not_known(ask):
    a, b = sym.vars("a b")
    with pytest.raises(
        RuntimeError, match=r"shape of .* is not known before data is bound: declar"
    ):
        ask(2 * a + b)


@pytest.mark.parametrize("ask", [bool, float, int, complex, np.asarray, lambda c: 1.0 in c])
def test_the_value_is_not_known(ask):
    with pytest.raises(
        RuntimeError, match=r"value of a > 0 is not known before data is bound: use"
    ):
        ask(sym.var("a") > 0)
    with pytest.raises(DataDependence):
        ask(sym.var("a", shape=()) > 0)


def test_branches():
    a = sym.var("a")
    with pytest.raises(RuntimeError, match="use where"):
        bool((a > 0).all())
    with pytest.raises(RuntimeError, match="use where"):
        range(a.size(0))


def test_no_writing():
    a = sym.var("a")
    with pytest.raises(RuntimeError, match="written in place"):
        a[0] = 1.0
    with pytest.raises(RuntimeError, match="written in place"):
        a += 1
    out = cr.zeros(3)
    with pytest.raises(RuntimeError, match="is not known"):
        cr.sum(a, dim=0, out=out)
    assert out.tolist() == [0, 0, 0]


def test_declared_expressions_may_be_written():
    a = sym.var("a", shape=(3,))
    b = a * 1
    b[0] = 7.0
    b += a
    assert b.bind(a=[1, 2, 3]).tolist() == [8, 4, 6]
    assert b.sum().grad("a").bind(a=[1, 2, 3]).tolist() == [1, 2, 2]


def test_recorded_tensors_are_refused():
    w = cr.ones(3, requires_grad=True)
    for a in (sym.var("a"), sym.var("a", shape=(3,))):
        with pytest.raises(RuntimeError, match="cannot hold a tensor that requires grad"):
            a * w
        with pytest.raises(RuntimeError, match="cannot hold a tensor that requires grad"):
            cr.stack([a, w])
        assert (a * w.detach()).bind(a=[1, 2, 3]).tolist() == [1, 2, 3]


def test_random_numbers_are_refused():
    a = sym.var("a")
    with pytest.raises(RuntimeError, match="random numbers") as caught:
        F.dropout(a, 0.5, True).bind(a=np.ones(3))
    assert "in the expression at " in caught.value.__notes__[0]


def test_errors_at_bind_name_the_line():
    a, b = sym.vars("a b")
    c = (a @ b).sum()  # here
    with pytest.raises(RuntimeError, match="size mismatch") as caught:
        c.bind(a=np.ones((2, 3)), b=np.ones(4))
    assert caught.value.__notes__[0].endswith("(c = (a @ b).sum()  # here)")
    d = a + b
    with pytest.raises(RuntimeError, match="must match the size of tensor b"):
        d.bind(a=np.ones(3), b=np.ones(4))
    graph = c.graph(a=(2,), b=(2,))
    assert all("# here" in n.where for n in graph if n.parents)


def test_wrong_shapes_of_declared_variables_raise_at_once():
    a, b = sym.var("a", shape=(3,)), sym.var("b", shape=(4,))
    with pytest.raises(RuntimeError, match="must match the size of tensor b"):
        a + b
    with pytest.raises(RuntimeError):
        a @ b


# ---------------------------------------------------------------- bad input


def test_names():
    for name in ("", "  "):
        with pytest.raises(TypeError, match="is empty"):
            sym.var(name)
    with pytest.raises(TypeError, match="is a string, got int"):
        sym.var(3)
    with pytest.raises(TypeError, match="the name 'a' is given twice"):
        sym.vars("a b a")
    with pytest.raises(TypeError, match="one or more names"):
        sym.vars("")
    assert [str(v) for v in sym.vars("a, b c")] == ["a", "b", "c"]
    u = sym.var("x[0]")
    assert float((u * 2).bind({"x[0]": 3.0})) == 6.0
    assert str(u * 2) == "x[0]*2"
    with pytest.raises(TypeError, match=r"bind\({'x\[0\]': ...}\)"):
        (u * 2).bind()


@pytest.mark.parametrize("shape", ["x", 2.5, (1.5,), (-1,), {"a": 1}, -3])
def test_shapes_that_are_none(shape):
    with pytest.raises(TypeError, match="the shape of 'a' is a tuple of integers"):
        sym.var("a", shape=shape)


def test_two_variables_of_one_name():
    for kind in ({}, {"shape": ()}):
        a, other = sym.var("a", **kind), sym.var("a", **kind)
        with pytest.raises(GraphError, match="two different variables have the name 'a'"):
            (a + other).bind(a=1.0)
        with pytest.raises(GraphError, match="two different variables"):
            (a + other).graph(a=())
        assert float((a + a).bind(a=1.0)) == 2.0


@pytest.mark.parametrize("kind", [{}, {"shape": ()}, {"shape": (2,)}])
def test_bad_data(kind):
    a, b = sym.vars("a b", **kind)
    c = a + b
    ok = np.ones(kind.get("shape", ()))
    with pytest.raises(TypeError, match=r"'b' is unbound: .* bind\(a=..., b=...\)"):
        c.bind(a=ok)
    with pytest.raises(TypeError, match="'a', 'b' are unbound"):
        c.bind()
    with pytest.raises(TypeError, match="'a' is given twice, in the mapping and by keyword"):
        c.bind({"a": ok}, a=ok, b=ok)
    with pytest.raises(TypeError, match=r"'bb' is no variable .* did you mean 'b'"):
        c.bind(a=ok, b=ok, bb=ok)
    with pytest.raises(TypeError, match="no variable"):
        c.bind({3: ok}, a=ok, b=ok)
    with pytest.raises(TypeError, match="by name"):
        c.bind(3.0)
    for wrong in (None, "x", {1}, object(), [1, "x"], [[1], [1, 2]], [None]):
        with pytest.raises(TypeError, match="the value of 'a' is a"):
            c.bind(a=wrong, b=ok)
    if kind != {"shape": ()}:
        with pytest.raises(TypeError, match=r"masked|matrix"):
            c.bind(a=np.ma.masked_array([1.0, 2.0]), b=ok)


def test_bad_shapes_and_dtypes_of_data():
    a = sym.var("a", shape=(2,))
    with pytest.raises(RuntimeError, match=r"'a' has shape \[3\]"):
        (a * 2).bind(a=np.ones(3))
    with pytest.raises(RuntimeError, match=r"'a' has shape \[3\]"):
        (a * 2).bind(a=[1.0, 2.0, 3.0])
    with pytest.raises(RuntimeError, match=r"'a' is complex128, .* cannot hold it"):
        (a * 2).bind(a=[1j, 2.0])
    i = sym.var("i", dtype=cr.int64)
    with pytest.raises(RuntimeError, match=r"'i' is float64, .* int64, which cannot hold it"):
        (i * 2).bind(i=1.5)
    assert (a * 2).bind(a=[1, 2]).tolist() == [2, 4]
    with pytest.raises(RuntimeError, match="only floating point"):
        (i * 2.0).grad("i").bind(i=1)


def test_bad_derivatives():
    for kind in ({}, {"shape": ()}):
        a, b = sym.vars("alpha beta", **kind)
        c = a * b
        with pytest.raises(TypeError, match=r"'alpa' is no variable .* did you mean 'alpha'"):
            c.grad("alpa")
        with pytest.raises(TypeError, match="variable of the expression"):
            c.grad(c)
        with pytest.raises(TypeError, match="variable of the expression"):
            c.grad(sym.var("alpha"))
        with pytest.raises(TypeError, match="variable of the expression"):
            c.grad(3)
        with pytest.raises(RuntimeError, match="has no numbers"):
            c.backward()
    v = sym.var("v", shape=(3,))
    with pytest.raises(RuntimeError, match="implicitly created only for scalar outputs"):
        (v * v).grad("v")
    w = sym.var("w")
    with pytest.raises(RuntimeError, match="implicitly created only for scalar outputs"):
        (w * w).grad("w").bind(w=[1.0, 2.0])
    with pytest.raises(RuntimeError, match="take one of its parts"):
        w.max(dim=0).grad("w").bind(w=[1.0, 2.0])


def test_bad_shapes_to_infer():
    a, b = sym.vars("a b")
    c = a + b
    for wrong in ("x", None, (1.5,), (-1,)):
        with pytest.raises(TypeError, match="the shape of 'a'"):
            c.infer(a=wrong, b=())
    with pytest.raises(TypeError, match="'b' is unbound"):
        c.infer(a=(3,))
    assert repr(c.infer(a=(3,), b=(2, 1))) == "float32[2,3]"
    assert repr(c.infer(a=np.ones(3), b=1.0)) == "float64[3]"
    assert isinstance(c.graph(a=(3,), b=()), Graph)


def test_a_gradient_keeps_its_variables():
    for kind in ({}, {"shape": ()}):
        a, b = sym.vars("a b", **kind)
        g = (2 * a + b).grad("a")
        assert [str(v) for v in g.variables] == ["a", "b"]
        assert float(g.bind(a=1.0, b=1.0)) == 2.0
        assert float(g.grad("b").bind(a=1.0, b=1.0)) == 0.0


def test_copies_and_pickles():
    for a in (sym.var("a"), sym.var("a", shape=())):
        assert copy.copy(a) is a
        assert copy.deepcopy([a])[0] is a
        with pytest.raises(RuntimeError, match="its graph can"):
            pickle.dumps(a)
        graph = pickle.loads(pickle.dumps((a * 2).graph(a=())))
        assert float(graph(3.0)) == 6.0


def test_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'foo'"):
        sym.var("a").foo


def test_transforms_of_deferred_expressions_say_what_to_do():
    a = sym.var("a")
    for use in (lambda: cr.func.vmap(lambda x: x * 2)(a), lambda: cr.func.jvp(cr.sin, (a,), (a,))):
        with pytest.raises(RuntimeError, match="declare"):
            use()


def test_transforms_of_declared_expressions():
    a = sym.var("a", shape=(3,), dtype=cr.float64)
    x = np.array([0.1, 0.2, 0.3])
    g = cr.func.grad(lambda t: (t.sin() * t).sum())(a)
    assert isinstance(g, sym.Expression)
    same(g.bind(a=x), cr.tensor(np.cos(x) * x + np.sin(x)))
    h = cr.func.hessian(lambda t: (t**3).sum())(a)
    same(h.bind(a=x), cr.tensor(np.diag(6 * x)))
    v = cr.func.vmap(lambda t: t.exp())(a)
    same(v.bind(a=x), cr.tensor(np.exp(x)))
