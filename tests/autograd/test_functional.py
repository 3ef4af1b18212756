"""autograd.functional against torch and by hand."""

import numpy as np
import pytest

import chainrule as cr

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
