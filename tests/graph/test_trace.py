"""Tracing: every kind of program becomes a graph that computes what the program computes."""

from typing import NamedTuple

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph import DataDependence, Graph, trace

F = cr.nn.functional
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))
Y = RNG.normal(size=(3, 4))
V = RNG.normal(size=3)
S = X[:, :3] @ X[:, :3].T + 3 * np.eye(3)


class Pair(NamedTuple):
    first: object
    second: object


def arrays(result):
    leaves = cr.tree.leaves(result)
    return [np.asarray(x.detach() if isinstance(x, cr.Tensor) else x) for x in leaves]


def check(f, *args, exact=False, **kwargs):
    """The graph of `f` verifies, prints, and gives what `f` gives; its gradients are the same."""
    graph = trace(f, *args, **kwargs)
    graph.verify()
    assert str(graph)
    assert repr(graph)
    want, found = f(*args, **kwargs), graph(*args, **kwargs)
    assert cr.tree.structure(found) == cr.tree.structure(want)
    for x, y in zip(arrays(found), arrays(want), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x, y, rtol=0 if exact else 1e-13, atol=0 if exact else 1e-14)
    return graph


def tensors(*xs):
    return [cr.tensor(x) for x in xs]


def write(x):
    y = x.clone()
    y[0] = 0.0
    y[:, 1] *= 2
    y[1:].add_(x[1:])
    return y


def write_through_view(x):
    y = x * 1
    row = y[1]
    row += 5
    column = y.T[2]
    column.mul_(3)
    return y * row.sum()


def partly_stopped(x):
    with cr.no_grad():
        scale = x.abs().max()
    return (x / scale).sum() + (x.detach() * x).sum()


def recursive(x, depth=4):
    return x if depth == 0 else recursive(x.sin() * x, depth - 1)


PROGRAMS = {
    "elementwise": lambda x, y: x.exp() * y - x / (y * y + 1),
    "reductions": lambda x, y: x.sum(dim=1) * y.mean(dim=1, keepdim=True),
    "matmul": lambda x, y: x @ y.T,
    "numpy functions": lambda x, y: np.sin(x) + np.sum(x * y, axis=0) + np.where(x > 0, x, y),
    "numpy reductions": lambda x, y: np.linalg.norm(x) * np.concatenate([x, y]).max(),
    "constants": lambda x, y: x * np.arange(4.0) + cr.tensor(Y) * 2 + y,
    "writes": lambda x, y: write(x) + y,
    "writes through views": lambda x, y: write_through_view(x) * y,
    "written buffers": lambda x, y: _filled(x, y),
    "no_grad and detach": lambda x, y: partly_stopped(x) * y,
    "several outputs": lambda x, y: (x.max(dim=0)[0], y.sort(dim=1)[0], x.topk(2)[0]),
    "integer outputs": lambda x, y: (x.argmax(), y.argsort(dim=1), x > y, (x > 0).sum()),
    "indices": lambda x, y: x[[0, 2], 1:] + y[None, ..., 0:1].squeeze(0)[:2],
    "svd": lambda x, y: cr.linalg.svd(x @ y.T).S,
    "slogdet": lambda x, y: cr.linalg.slogdet(x @ x.T + cr.eye(3)).logabsdet,
    "frexp": lambda x, y: cr.frexp(x).mantissa * y,
    "unbind": lambda x, y: sum(x.unbind(0)) + cr.stack(list(y)).sum(),
    "recursion": lambda x, y: recursive(x) + y,
    "a loop": lambda x, y: [x := x * y + 1 for _ in range(5)][-1],
    "closures": lambda x, y: (lambda z: z * x)(y),
    "inner grad": lambda x, y: cr.func.grad(lambda z: (z.sin() * y).sum())(x),
    "inner grad of a constant": lambda x, y: cr.func.grad(lambda z: (z * x).sum())(cr.ones(3, 4)),
    "inner vjp": lambda x, y: cr.func.vjp(lambda z: z * z, x)[1](y)[0],
    "inner jvp": lambda x, y: cr.func.jvp(lambda z: z.exp() * x, (x,), (y,)),
    "inner vmap": lambda x, y: cr.func.vmap(lambda a, b: cr.dot(a, b) * a)(x, y),
    "inner hessian": lambda x, y: cr.func.hessian(lambda z: (z**3).sum())(x[0]) @ y[0],
    "inner jacrev": lambda x, y: cr.func.jacrev(lambda z: z * z.sum())(x[0]) + y[0],
    "inner jacfwd": lambda x, y: cr.func.jacfwd(lambda z: z * z.sum())(x[0]) + y[0],
    "inner taylor": lambda x, y: cr.taylor(lambda z: z.sin() * z, x, y, 3),
    "per-example gradients": lambda x, y: cr.func.vmap(
        cr.func.grad(lambda a, b: (a * b * a).sum())
    )(x, y),
    "grad of grad": lambda x, y: cr.func.grad(
        lambda z: (cr.func.grad(lambda w: (w**3 * y).sum())(z) ** 2).sum()
    )(x),
    "networks": lambda x, y: F.cross_entropy(F.gelu(x), cr.tensor([0, 1, 2])) * F.softplus(y),
    "convolution": lambda x, y: F.conv1d(x[None], y[:, None, :2], groups=3),
    "fft": lambda x, y: cr.fft.irfft(cr.fft.rfft(x) * cr.fft.rfft(y)),
    "complex": lambda x, y: (cr.complex(x, y) ** 2).abs() + cr.complex(x, y).angle(),
    "casts": lambda x, y: x.float().double() + (x > 0) * y + x.int(),
    "views": lambda x, y: x.view(4, 3).T.reshape(-1)[::2] + y.flatten()[:6],
    "einsum": lambda x, y: cr.einsum("ij,kj->ik", x, y),
}  # fmt: skip


def _filled(x, y):
    out = cr.zeros(3, 4, dtype=x.dtype)
    for i in range(3):
        out[i] = x[i] * y[i]
    return out


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    f = PROGRAMS[name]
    graph = check(f, *tensors(X, Y))
    outs = [n for n in graph.outputs if n.dtype.kind == "f"]
    if not outs:
        return

    def loss(x, y):
        return sum(
            (z * cr.cos(z)).sum() for z in cr.tree.leaves(f(x, y)) if z.dtype.is_floating_point
        )

    x, y = tensors(X, Y)
    want = cr.func.grad(loss, argnums=(0, 1))(x, y)
    summed = check(loss, x, y)
    for found in (summed.grad(), _by_backward(summed), lambda *a: cr.func.grad(summed, (0, 1))(*a)):
        for a, b in zip(found(x, y), want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    tangents = tensors(Y, X)
    if name == "no_grad and detach":  # no_grad stops tangents in graphs only
        return
    _, want = cr.func.jvp(loss, (x, y), tuple(tangents))
    np.testing.assert_allclose(summed.jvp()(x, y, *tangents)[1], want, rtol=1e-10)


def _by_backward(graph):
    def gradients(x, y):
        x, y = (t.detach().clone().requires_grad_() for t in (x, y))
        graph(x, y).backward()
        return [cr.zeros_like(t) if t.grad is None else t.grad for t in (x, y)]

    return gradients


def test_graphs_of_tapes_compute_the_same():
    for name, f in PROGRAMS.items():
        x, y = tensors(X, Y)
        leaves = [t.requires_grad_() for t in (x, y)]
        with cr.graph.keep_everything():
            outs = [z for z in cr.tree.leaves(f(*leaves)) if z.requires_grad]
        if not outs or name == "inner grad of a constant":  # which the tape does not know
            continue
        graph = Graph.of(*outs, names={"x": x, "y": y}).verify()
        data = {n: v for n, v in (("x", X + 0), ("y", Y + 0)) if n in graph.input_names}
        found = graph.bind(data)
        for a, b in zip(arrays(found), arrays(outs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13, err_msg=name)


# ---------------------------------------------------------------- arguments and results


def test_trees_in_and_out():
    def f(p, *rest, scale, more):
        return {"a": p["w"] @ p["b"][0], "b": [rest[0] * scale, Pair(rest[1], more.second)]}

    args = {"w": X, "b": (V[:0].sum() + Y[0], None)}, np.ones(2), 3.0
    kwargs = {"scale": 2.0, "more": Pair("text", 7)}
    graph = trace(f, *args, **kwargs)
    assert set(graph.input_names) == {"p['w']", "p['b'][0]", "rest1", "rest2", "scale"}
    found = graph(*args, **kwargs)
    assert isinstance(found["b"][1], Pair)
    np.testing.assert_allclose(found["a"], X @ Y[0])
    with pytest.raises(TypeError, match="do not have the structure"):
        graph({"w": X}, np.ones(2), 3.0, **kwargs)


def test_names_are_never_used_twice():
    graph = trace(lambda x1, *x: x1 + x[0] + x[1], 1.0, 2.0, 3.0)
    assert len(set(graph.input_names)) == 3
    graph.verify()
    w = cr.ones((), requires_grad=True)
    graph = trace(lambda captured0: captured0 * w, 1.0).verify()
    assert len(set(graph.input_names)) == 2
    assert graph(3.0).item() == 3.0


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x: x, (X,)),
        (lambda x: 3.0, (X,)),
        (lambda x: None, (X,)),
        (lambda x: (x, None, 2, np.ones(2)), (X,)),
        (lambda x: cr.ones(2), (X,)),
        (lambda: cr.ones(2) * 3, ()),
        (lambda x: [], (X,)),
        (lambda x: x.shape[0], (X,)),
        (lambda x: (x, x), (X,)),
    ],
)
def test_odd_results(f, args):
    graph = trace(f, *args).verify()
    found, want = graph(*args), f(*args)
    assert cr.tree.structure(found) == cr.tree.structure(want)
    for a, b in zip(arrays(found), arrays(want), strict=True):
        np.testing.assert_array_equal(a, b)
    assert str(graph)


def test_results_that_are_nothing():
    with pytest.raises(TypeError, match="returned str"):
        trace(lambda x: "text", 1.0)


def test_kinds_of_arguments_and_results():
    f = lambda x: x * 2
    assert isinstance(trace(f, X)(X), np.ndarray)
    assert isinstance(trace(f, X)(cr.tensor(X)), cr.Tensor)
    assert isinstance(trace(f, cr.tensor(X))(X), cr.Tensor)
    assert trace(f, cr.tensor(X)).inputs[0].dtype == np.float64
    assert trace(f, 2).inputs == ()
    assert trace(f, 2.0).inputs[0].dtype == np.float64
    assert trace(f, 2j).inputs[0].dtype == np.complex128


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_dtypes(dtype):
    x = (X + 0.5).astype(dtype)
    check(lambda x: (x * 2 + x * x).sum(dim=0), cr.tensor(x), exact=True)
    check(lambda x: x[:0].sum() + x.reshape(-1)[:0].prod(), cr.tensor(x), exact=True)


def test_bfloat16():
    pytest.importorskip("ml_dtypes")
    x = cr.tensor(X).to(cr.bfloat16)
    graph = trace(lambda x: (x * 2 + x.exp()).sum(dim=0), x).verify()
    found, want = graph(x), (x * 2 + x.exp()).sum(dim=0)
    assert found.dtype is cr.bfloat16
    np.testing.assert_array_equal(found.float(), want.float())


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1, 0, 2)])
def test_empty_tensors(shape):
    x = cr.zeros(*shape, dtype=cr.float64)
    check(lambda x: (x.exp().sum(), x.reshape(-1) * 2, x.T if x.ndim == 2 else x), x)
    assert trace(lambda x: x.sum(), x).grad("x")(x).shape == x.shape


def test_complex_gradients_are_conjugate():
    z = cr.tensor(X + 1j * Y)
    f = lambda z: (z * z.conj() * cr.exp(z)).abs().sum()
    np.testing.assert_allclose(trace(f, z).grad("z")(z), cr.func.grad(f)(z), rtol=1e-12)


# ---------------------------------------------------------------- functions of the user's


class Cube(cr.autograd.Function):
    @staticmethod
    def forward(x):
        return x * x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 30 * g * x * x  # ten times too large: so that it is seen which rule was used

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return 30 * t * x * x


class OldCube(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * x * x * factor

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 30 * g * x * x * ctx.factor, None


class Both(cr.autograd.Function):
    @staticmethod
    def forward(x, y):
        return x * y, x + y

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        return g * y * 10 + h, g * x * 10 + h


@cr.custom_rule
def by_jvp(x):
    return cr.sin(x)


@by_jvp.defjvp
def _(primals, tangents):
    return cr.sin(primals[0]), 10 * cr.cos(primals[0]) * tangents[0]


@cr.custom_rule
def by_vjp(x, y):
    return cr.sin(x) * y


by_vjp.defvjp(
    lambda x, y: (cr.sin(x) * y, (x, y)),
    lambda kept, g: (10 * g * cr.cos(kept[0]) * kept[1], g * cr.sin(kept[0])),
)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: Cube.apply(x).sum(),
        lambda x: (lambda p, q: (p * q).sum())(*Both.apply(x, x * 2)),
        lambda x: Both.apply(x, x * 2)[0].sum(),
        lambda x: by_jvp(x).sum(),
        lambda x: by_vjp(x * 2, x * x).sum(),
        lambda x: cr.func.vmap(by_jvp)(x).sum(),
    ],
)
def test_functions_of_the_user(f):
    x = cr.tensor(X)
    graph = check(f, x)
    want = cr.func.grad(f)(x)
    np.testing.assert_allclose(graph.grad("x")(x), want, rtol=1e-12)
    np.testing.assert_allclose(cr.func.grad(graph)(x), want, rtol=1e-12)
    leaf = x.clone().requires_grad_()
    graph(leaf).backward()
    np.testing.assert_allclose(leaf.grad, want, rtol=1e-12)
    inner = trace(lambda x: (cr.func.grad(f)(x) ** 2).sum(), x)
    eager = cr.func.grad(lambda x: (cr.func.grad(f)(x) ** 2).sum())(x)
    np.testing.assert_allclose(inner.grad("x")(x), eager, rtol=1e-12)
    tape = Graph.of(f(leaf), names={"x": leaf}).verify()
    np.testing.assert_allclose(tape.grad("x")(x), want, rtol=1e-12)


def test_a_function_that_saves_as_it_computes():
    f = lambda x: OldCube.apply(x, 2.0).sum()
    x = cr.tensor(X)
    graph = check(f, x)
    np.testing.assert_allclose(graph.grad("x")(x), 60 * X * X)
    leaf = x.clone().requires_grad_()
    tape = Graph.of(f(leaf))
    assert "OldCube" in str(tape)
    with pytest.raises(RuntimeError, match="did not keep"):
        tape(x)


def test_tangents_of_functions_of_the_user():
    x, t = tensors(X, Y)
    for f in (Cube.apply, by_jvp, lambda x: by_vjp(x, x)):
        want = cr.func.jvp(f, (x,), (t,))[1]
        np.testing.assert_allclose(trace(f, x).jvp()(x, t)[1], want, rtol=1e-12)


def test_functions_that_write_or_look():
    class Write(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    class Look(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return cr.tensor(np.asarray(x))

    with pytest.raises(NotImplementedError, match=r"Write returns one of its arguments.*clone"):
        trace(lambda x: Write.apply(x * 1), X)
    with pytest.raises(DataDependence, match=r"np.asarray\(x\)"):
        trace(Look.apply, X)


# ---------------------------------------------------------------- what is captured


def test_modules():
    model = cr.nn.Sequential(cr.nn.Linear(4, 5), cr.nn.Tanh(), cr.nn.Linear(5, 1))
    x = cr.tensor(X).float()
    graph = trace(lambda x: model(x).pow(2).mean(), x).verify()
    assert len(graph.captured) == 4
    assert {id(t) for t in graph.captured.values()} == {id(p) for p in model.parameters()}
    loss = model(x).pow(2).mean()
    loss.backward()
    want = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    graph(x).backward()
    for p, g in zip(model.parameters(), want, strict=True):
        np.testing.assert_allclose(p.grad, g, rtol=1e-5, atol=1e-7)
    with cr.no_grad():  # the graph reads the parameters when it runs
        next(model.parameters()).mul_(0)
    np.testing.assert_allclose(graph(x).detach(), model(x).pow(2).mean().detach(), rtol=1e-6)


def test_captured_tensors_keep_their_history():
    w = cr.tensor(V, requires_grad=True)
    doubled = w * 2
    graph = trace(lambda x: (x * doubled).sum(), V)
    graph(V).backward()
    np.testing.assert_allclose(w.grad, 2 * V)
    again = trace(lambda x: (x * doubled).sum() + (w * w).sum(), V)
    assert len(again.captured) == 2
    np.testing.assert_allclose(again.grad("x")(V).detach(), 2 * V)


def test_captured_by_name():
    w = cr.tensor(V, requires_grad=True)
    graph = trace(lambda x: (x * w).sum(), V)
    assert float(graph.bind(x=V, captured0=np.zeros(3))) == 0.0
    np.testing.assert_allclose(float(graph.bind(x=V).detach()), V @ V)
    np.testing.assert_allclose(graph.grad("captured0")(V), V)


def test_a_value_of_a_running_transform_is_refused():
    with pytest.raises(RuntimeError, match="jvp"):
        cr.func.jvp(lambda t: trace(lambda x: x * t, 1.0)(2.0), (cr.ones(()),), (cr.ones(()),))


def test_a_trace_inside_a_traced_function():
    def f(x, y):
        inner = trace(lambda z: z * x + z * z, y)
        return inner(y) + inner.grad("z")(x)

    with_graph = trace(f, 2.0, 3.0).verify()
    assert float(with_graph(2.0, 3.0)) == 3 * 2 + 9 + (2 + 2 * 2)
    np.testing.assert_allclose(float(with_graph.grad("x")(2.0, 3.0)), 3 + 3)
    np.testing.assert_allclose(float(with_graph.grad("y")(2.0, 3.0)), 2 + 2 * 3)


def test_a_tensor_that_left_its_trace_is_refused():
    kept = []
    trace(lambda x: kept.append(x) or x, 1.0)
    graph = trace(lambda y: y * 2, 1.0)
    assert float(graph(2.0)) == 4.0
    with pytest.raises(RuntimeError):
        trace(lambda y: y * kept[0], 1.0)(2.0).item()


def test_graphs_inside_transforms():
    graph = trace(lambda x, y: (x.sin() * y).sum(), X, Y)
    x, y = tensors(X, Y)
    f = lambda x, y: (x.sin() * y).sum()
    np.testing.assert_allclose(cr.func.grad(graph)(x, y), cr.func.grad(f)(x, y))
    np.testing.assert_allclose(
        cr.func.jvp(graph, (x, y), (y, x))[1], cr.func.jvp(f, (x, y), (y, x))[1]
    )
    xs = cr.stack([x, x * 2])
    np.testing.assert_allclose(
        cr.func.vmap(graph, (0, None))(xs, y), cr.func.vmap(f, (0, None))(xs, y)
    )
    np.testing.assert_allclose(
        cr.func.hessian(graph)(x, y), cr.func.hessian(f)(x, y), rtol=1e-12, atol=1e-12
    )
    derivative = graph.grad("x")
    np.testing.assert_allclose(
        cr.func.vmap(derivative, (0, None))(xs, y), cr.func.vmap(cr.func.grad(f), (0, None))(xs, y)
    )
    again = trace(lambda x, y: graph(x, y) * 2, X, Y)
    np.testing.assert_allclose(again.grad("y")(X, Y), 2 * np.sin(X))


def test_recorded_inputs():
    graph = trace(lambda x: x * x, V)
    t = cr.tensor(V, requires_grad=True)
    y = graph(t * 3)
    y.sum().backward()
    np.testing.assert_allclose(t.grad, 18 * V)
    (first,) = cr.autograd.grad(graph(t).sum(), t, create_graph=True)
    (second,) = cr.autograd.grad(first.sum(), t)
    np.testing.assert_allclose(second, np.full(3, 2.0))


# ---------------------------------------------------------------- what has no graph


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x if x.sum() > 0 else -x,  # branch
        lambda x: x * float(x.sum()),
        lambda x: x * x.sum().item(),
        lambda x: x * np.asarray(x),
        lambda x: [x for _ in range(x.sum().int())],
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x.tolist(),
        lambda x: bool(x.isnan().any()),
    ],
)
def test_data_dependence(f):
    with pytest.raises(RuntimeError, match=r"values|data|not known"):
        trace(f, X)


def test_the_line_of_the_branch_is_named():
    def f(x):
        y = x * 2
        if y.sum() > 3:  # the branch
            return y
        return x

    with pytest.raises(DataDependence, match=r"test_trace\.py:\d+ \(if y\.sum\(\) > 3:  # the br"):
        trace(f, X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x + cr.randn(3, 4),
        lambda x: F.dropout(x, 0.5),
        lambda x: x + cr.rand_like(x),
        lambda x: x.clone().normal_(),
        lambda x: x * cr.bernoulli(x.sigmoid()),
        lambda x: x[cr.randperm(3)],
    ],
)
def test_random_numbers_are_refused(f):
    with pytest.raises(RuntimeError, match="random numbers, which would become constants"):
        trace(f, X)


def test_wrong_shapes_raise_as_in_eager_code():
    with pytest.raises(
        RuntimeError, match=r"The size of tensor a \(4\) must match the size of ten"
    ):
        trace(lambda x: x + np.ones(3), X)
    with pytest.raises(RuntimeError):
        trace(lambda x: x @ x, X)


def test_backward_inside_is_refused():
    def f(x):
        y = (x * x).sum()
        y.backward()
        return x.grad

    with pytest.raises(RuntimeError):
        trace(f, X)


def test_tracing_leaves_no_trace():
    def f(x):
        raise ValueError("mine")

    for _ in range(2):
        with pytest.raises(ValueError, match="mine"):
            trace(f, X)
    assert cr.randn(2).shape == (2,)
    t = cr.ones(2, requires_grad=True)
    (t * t).sum().backward()
    assert t.grad.tolist() == [2, 2]
