"""Custom rules against PyTorch's `autograd.Function` and JAX's custom_jvp and custom_vjp."""

import functools

import numpy as np
import pytest

import chainrule as cr
from chainrule import func

X = np.array([[0.3, -1.2, 0.7], [1.5, 0.1, -0.4]])
A = np.array([0.5, 2.0])

NESTINGS = {
    "grad": lambda F, f: F.grad(f),
    "jacfwd": lambda F, f: F.jacfwd(f),
    "hessian": lambda F, f: F.jacfwd(F.grad(f)),
    "reverse over forward": lambda F, f: F.jacrev(F.jacfwd(f)),
    "reverse over reverse": lambda F, f: F.jacrev(F.grad(f)),
    "third": lambda F, f: F.jacfwd(F.jacrev(F.grad(f))),
}


def function_of(lib):
    """x·sin(a·x), and its rules, in a library with PyTorch's names."""

    class Op(lib.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, a):
            return x * lib.sin(a * x), 2 * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, a = inputs
            ctx.save_for_backward(x, a)
            ctx.save_for_forward(x, a)

        @staticmethod
        def backward(ctx, g, h):
            x, a = ctx.saved_tensors
            s, c = lib.sin(a * x), lib.cos(a * x)
            return g * (s + a * x * c) + 2 * h, (g * x * x * c).sum()

        @staticmethod
        def jvp(ctx, t, u):
            x, a = ctx.saved_tensors
            s, c = lib.sin(a * x), lib.cos(a * x)
            return t * (s + a * x * c) + u * x * x * c, 2 * t

    def f(x, a):
        y, z = Op.apply(x, a)
        return (y * z**2).sum()

    return f


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NESTINGS)
def test_functions_against_torch(name):
    torch = pytest.importorskip("torch")
    torch_func = pytest.importorskip("torch.func")
    make = NESTINGS[name]

    def run(lib, transforms):
        f = function_of(lib)
        x, a = lib.tensor(X), lib.tensor(A)
        one = make(transforms, f)(x[0], a[0])
        mapped = transforms.vmap(make(transforms, f))(x, a)
        shared = transforms.vmap(make(transforms, f), in_dims=(0, None))(x, a[0])
        total = lambda a: transforms.vmap(f, in_dims=(0, None))(x, a).sum()
        outside = make(transforms, total)(a[0])
        return [y.detach().numpy() for y in (one, mapped, shared, outside)]

    for got, want in zip(run(cr, func), run(torch, torch_func), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def jvp_rule(f, xp):
    def rule(primals, tangents):
        (x, a), (t, u) = primals, tangents
        s, c = xp.sin(a * x), xp.cos(a * x)
        return f(x, a), {"y": t * (s + a * x * c) + u * x * x * c, "s": t + u}

    return rule


def vjp_rule(f, xp):
    def fwd(x, a):
        return f(x, a), (x, a, xp.cos(a * x))

    def bwd(res, g):
        x, a, c = res
        return g["y"] * (xp.sin(a * x) + a * x * c) + g["s"], (g["y"] * x * x * c).sum() + g[
            "s"
        ].sum()

    return fwd, bwd


def custom(decorators, xp, mode):
    f = decorators[mode](lambda x, a: {"y": x * xp.sin(a * x), "s": x + a})
    if mode == "jvp":
        f.defjvp(jvp_rule(f, xp))
    else:
        f.defvjp(*vjp_rule(f, xp))
    return lambda x, a: (f(x, a)["y"] * x * f(x, a)["s"] ** 2).sum()


def results(f, transforms, make, x, a):
    """One example, a batch, and a derivative outside of a batch."""
    return [
        make(transforms, f)(x[0], a[0]),
        transforms.vmap(make(transforms, f))(x, a),
        make(transforms, lambda a: transforms.vmap(f, (0, None))(x, a).sum())(a[0]),
    ]


@functools.cache
def of_jax(name):
    """What JAX gives; it has no forward mode for custom_vjp, so custom_jvp stands in for it."""
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        f = custom({"jvp": jax.custom_jvp}, jax.numpy, "jvp")
        found = jax.jit(lambda x, a: results(f, jax, NESTINGS[name], x, a))(X, A)
        return [np.asarray(y) for y in found]


@pytest.mark.parametrize("mode", ["jvp", "vjp"])
@pytest.mark.parametrize("name", NESTINGS)
def test_custom_rules_against_jax(name, mode):
    want = of_jax(name)
    f = custom({"jvp": func.custom_jvp, "vjp": func.custom_vjp}, cr, mode)
    got = results(f, func, NESTINGS[name], cr.tensor(X), cr.tensor(A))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12)
