"""autograd.functional against torch and by hand."""

import numpy as np
import pytest

import chainrule as cr

from .own_functions import OldCube

F = cr.autograd.functional


def pair(x):
    return cr.stack([x[0] * x[1], x[0] + x[1] ** 2])


def test_jacobian_and_products():
    x = cr.tensor([2.0, 3.0])
    np.testing.assert_array_equal(F.jacobian(pair, x).numpy(), [[3, 2], [1, 6]])
    np.testing.assert_array_equal(F.vjp(pair, x, cr.ones(2))[1].numpy(), [4, 8])
    np.testing.assert_array_equal(F.jvp(pair, x, cr.tensor([1.0, 0.0]))[1].numpy(), [3, 1])


def test_vjp_without_a_vector_returns_a_function():
    x = cr.tensor([2.0, 3.0])
    out, pull = F.vjp(pair, x)
    np.testing.assert_array_equal(out.numpy(), [6, 11])
    for v, expected in (([1.0, 0.0], [3, 2]), ([0.0, 1.0], [1, 6])):
        np.testing.assert_array_equal(pull(cr.tensor(v)).numpy(), expected)
    value, g = F.vjp(lambda x: (x**2).sum(), x)
    assert value.item() == 13
    np.testing.assert_array_equal(g.numpy(), [4, 6])


def test_results_are_off_the_tape_unless_asked():
    x = cr.tensor([2.0, 3.0], requires_grad=True)
    assert not F.jacobian(pair, x).requires_grad
    J = F.jacobian(pair, x, create_graph=True)
    J.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 3])
    out, t = F.jvp(pair, x, cr.ones(2), create_graph=True)
    assert out.requires_grad
    assert t.requires_grad


def torch_case(lib, data):
    x, w = lib.tensor(data[0]), lib.tensor(data[1])
    return (x, w), lambda x, w: (lib.sin(x) * w, (x * x).sum()), lambda x, w: (
        (lib.sin(x) * w) ** 2
    ).sum()  # fmt: skip


def flatten(x):
    several = isinstance(x, (tuple, list))
    return [a for y in x for a in flatten(y)] if several else [x.detach().numpy()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about itself
@pytest.mark.parametrize("name", ["jacobian", "forward", "vjp", "jvp", "hessian", "hvp", "vhp"])
def test_against_torch(name):
    torch = pytest.importorskip("torch")
    data = np.array([2.0, 3.0]), np.array([[1.0, 2.0], [3.0, 4.0]])

    def run(lib):
        inputs, f, s = torch_case(lib, data)
        G = lib.autograd.functional
        if name == "jacobian":
            return G.jacobian(f, inputs)
        if name == "forward":
            return G.jacobian(f, inputs, strategy="forward-mode", vectorize=True)
        if name == "vjp":
            return G.vjp(f, inputs, (inputs[1], inputs[0][0]))
        if name == "jvp":
            return G.jvp(f, inputs, inputs)
        if name == "hessian":
            return G.hessian(s, inputs)
        return getattr(G, name)(s, inputs, inputs)

    for a, b in zip(flatten(run(cr)), flatten(run(torch)), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_independent_outputs():
    x = cr.tensor([1.0, 2.0])
    f = lambda x: cr.ones(3)
    np.testing.assert_array_equal(F.jacobian(f, x).numpy(), np.zeros((3, 2)))
    np.testing.assert_array_equal(F.jvp(f, x, x)[1].numpy(), np.zeros(3))
    np.testing.assert_array_equal(F.vjp(f, x, cr.ones(3))[1].numpy(), np.zeros(2))
    for call in (
        lambda: F.jacobian(f, x, strict=True),
        lambda: F.jvp(f, x, x, strict=True),
        lambda: F.vjp(f, x, cr.ones(3), strict=True),
        lambda: F.hessian(lambda x: x.sum(), x, strict=True),
    ):
        with pytest.raises(RuntimeError, match="strict mode"):
            call()


def test_custom_function_without_jvp():
    class Square(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * g * x

    x = cr.tensor([1.0, 2.0])
    np.testing.assert_array_equal(F.jvp(Square.apply, x, cr.ones(2))[1].numpy(), [2, 4])


class NumpyCube(cr.autograd.Function):
    """Its rule leaves the library, so it works on one cotangent at a time only."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return cr.from_numpy(g.numpy() * 3 * x.detach().numpy() ** 2)


def test_rules_that_leave_the_library_are_called_row_by_row():
    x = cr.tensor([1.0, 2.0])
    np.testing.assert_array_equal(F.jacobian(NumpyCube.apply, x).numpy(), [[3, 0], [0, 12]])
    forward = F.jacobian(NumpyCube.apply, x, strategy="forward-mode")
    np.testing.assert_array_equal(forward.numpy(), [[3, 0], [0, 12]])
    with pytest.raises(RuntimeError, match="looks at the values"):
        F.jacobian(NumpyCube.apply, x, vectorize=True)


def test_second_order_products_with_a_function_without_jvp():
    f = lambda x: OldCube.apply(x).sum()
    x, v = cr.tensor([1.0, 2.0]), cr.tensor([1.0, -1.0])
    np.testing.assert_array_equal(F.hvp(f, x, v)[1].numpy(), [6, -12])
    np.testing.assert_array_equal(F.vhp(f, x, v)[1].numpy(), [6, -12])
    np.testing.assert_array_equal(F.hessian(f, x).numpy(), [[6, 0], [0, 12]])
    push = lambda x: F.jvp(OldCube.apply, x, v, create_graph=True)[1]
    np.testing.assert_array_equal(F.jacobian(push, x).numpy(), [[6, 0], [0, -12]])


OPTIONS = [
    {},
    {"vectorize": True},
    {"create_graph": True},
    {"create_graph": True, "vectorize": True},
    {"strict": True},
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
@pytest.mark.parametrize("name", ["jacobian", "hessian"])
def test_options_against_torch(name, strategy, options):
    torch = pytest.importorskip("torch")
    data = np.array([2.0, 3.0]), np.array([[1.0, 2.0], [3.0, 4.0]])

    def run(lib, options):
        inputs, f, s = torch_case(lib, data)
        G = lib.autograd.functional
        if options.get("create_graph"):
            inputs = tuple(x.requires_grad_() for x in inputs)
        if options.get("strict"):
            f = s
        which = {"strategy" if name == "jacobian" else "outer_jacobian_strategy": strategy}
        if lib is torch and strategy == "forward-mode":
            which = {}
        found = getattr(G, name)(f if name == "jacobian" else s, inputs, **which, **options)
        flat = flatten(found)
        if not options.get("create_graph"):
            return flat
        total = sum((y**2).sum() for y in tensors_in(found))
        return flat + flatten(lib.autograd.grad(total, inputs))

    for a, b in zip(run(cr, options), run(torch, options), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def tensors_in(x):
    return [a for y in x for a in tensors_in(y)] if isinstance(x, (tuple, list)) else [x]


def test_inside_transforms_and_each_other():
    f = lambda x: cr.stack([x[0] ** 2 * x[1], x[1] ** 3])
    xs = cr.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=cr.float64)
    want = np.stack([F.jacobian(f, x).numpy() for x in xs])
    for options in ({}, {"strategy": "forward-mode"}):
        got = cr.func.vmap(lambda x, o=options: F.jacobian(f, x, **o))(xs)
        np.testing.assert_allclose(got.numpy(), want)
    x, t = xs
    s = lambda x: f(x).sum()
    h = lambda x: F.hvp(s, x, t)[1]
    np.testing.assert_allclose(cr.func.vmap(h)(xs).numpy(), [h(x).numpy() for x in xs])
    tangent = cr.func.jvp(lambda x: F.jacobian(f, x), (x,), (t,))[1]
    np.testing.assert_allclose(tangent.numpy(), (cr.func.jacfwd(cr.func.jacrev(f))(x) @ t).numpy())
    nested = F.jacobian(lambda x: F.jacobian(f, x, create_graph=True), x)
    np.testing.assert_allclose(nested.numpy(), cr.func.jacfwd(cr.func.jacrev(f))(x).numpy())
    off = F.jacobian(lambda x: F.jacobian(f, x) + 0 * x, x)
    np.testing.assert_array_equal(off.numpy(), np.zeros((2, 2, 2)))


def test_parameters_from_outside_are_reached_with_create_graph():
    w = cr.tensor([2.0, 3.0], requires_grad=True)
    x = cr.tensor([1.0, -1.0])
    J = F.jacobian(lambda x: w * x**2, x, create_graph=True)
    (g,) = cr.autograd.grad(J.sum(), w)
    np.testing.assert_array_equal(g.numpy(), [2, -2])
    assert not F.jacobian(lambda x: w * x**2, x).requires_grad
    _, t = F.jvp(lambda x: w * x**2, x, x)
    assert not t.requires_grad
    _, t = F.jvp(lambda x: w * x**2, x, x, create_graph=True)
    np.testing.assert_array_equal(cr.autograd.grad(t.sum(), w)[0].numpy(), [2, 2])


def test_empty_and_scalar_shapes():
    assert F.jacobian(lambda x: x * 2, cr.zeros(0)).shape == (0, 0)
    assert F.jacobian(lambda x: x**2, cr.tensor(3.0)).item() == 6
    assert F.hessian(lambda x: x**3, cr.tensor(3.0)).item() == 18


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.jacobian(pair, 3.0), TypeError, "inputs given to jacobian must be"),
        (lambda x: F.jacobian(lambda x: 3, x), TypeError, "outputs of the function given to"),
        (lambda x: F.jvp(pair, x), RuntimeError, "can only be None"),
        (lambda x: F.jvp(pair, x, cr.ones(3)), RuntimeError, "v has invalid size"),
        (lambda x: F.vjp(pair, x, (x, x)), RuntimeError, "invalid length: should be 1 but got 2"),
        (lambda x: F.hessian(pair, x), RuntimeError, "single Tensor with a single element"),
        (lambda x: F.jacobian(pair, x, strategy="up"), ValueError, "forward-mode"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(cr.tensor([2.0, 3.0]))


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_outputs_that_are_integers_have_jacobians_of_zeros(strategy):
    """As PyTorch, whose documentation says so; `strict=True` refuses them."""
    x = cr.tensor([1.0, -2.0, 3.0])
    found = F.jacobian(lambda x: (x > 0).sum(), x, strategy=strategy)
    assert found.tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="independent of input 0"):
        F.jacobian(lambda x: (x > 0).sum(), x, strict=True, strategy=strategy)
