"""Infinities, nan, the largest and the smallest numbers: PyTorch's answers, silent gradients."""

import warnings

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.core.kinds import Elementwise
from chainrule.core.primitive import REGISTRY

VALUES = np.array(
    [0.0, -0.0, 1e-300, -1e-300, 1e300, -1e300, np.inf, -np.inf, np.nan, 1, -1, 750, -750, 0.5]
)
UNARY = [
    "relu", "sigmoid", "tanh", "silu", "softsign", "softplus", "logsigmoid", "gelu", "elu", "selu",
    "leaky_relu", "mish", "hardswish", "hardsigmoid", "hardtanh", "tanhshrink", "softshrink",
]  # fmt: skip
MATH = [
    "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos",
    "atan", "sinh", "cosh", "asinh", "atanh", "erf", "erfc", "lgamma", "abs", "sign", "square",
    "reciprocal", "special.entr", "special.i0", "special.sinc", "special.expit", "logit",
    "round", "floor", "frac",
]  # fmt: skip
BINARY = [
    "add", "sub", "mul", "div", "pow", "atan2", "hypot", "maximum", "minimum", "fmax", "fmin",
    "xlogy", "special.xlog1py", "logaddexp", "floor_divide",
]  # fmt: skip
NAMES = [f"nn.functional.{name}" for name in UNARY] + MATH + BINARY
INFINITE_IN_TORCH = {"nn.functional.gelu"}  # nan at inf there, x here


def named(root, name):
    for part in name.split("."):
        root = getattr(root, part)
    return root


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_values_agree_with_torch(name):
    torch = pytest.importorskip("torch")
    xs = [a.ravel() for a in np.meshgrid(VALUES, VALUES)] if name in BINARY else [VALUES]
    if name in INFINITE_IN_TORCH:
        xs = [VALUES[np.isfinite(VALUES)]]
    with np.errstate(all="ignore"):
        found = named(cr, name)(*map(cr.tensor, xs)).numpy()
    expected = named(torch, name)(*map(torch.tensor, xs)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("prim", [
    p for _, p in sorted(REGISTRY.items()) if isinstance(p, Elementwise) and p.differentiable
], ids=lambda p: p.name)  # fmt: skip
def test_backward_is_silent(prim):
    sample = prim.samples()[0]
    xs = [cr.tensor(VALUES, requires_grad=True) for _ in range(prim.arity)]
    with np.errstate(all="ignore"):
        y = prim(*xs, **sample.params)
    if y.node is None:
        return
    with warnings.catch_warnings(), np.errstate(all="warn"):
        warnings.simplefilter("error")
        try:
            y.backward(cr.ones(len(VALUES), dtype=y.dtype))
        except NotImplementedError as error:
            assert "derivative" in str(error)  # noqa: PT017


def test_particular_infinities():
    inf = float("inf")
    assert F.leaky_relu(cr.tensor([inf]), 0.0).tolist() == [inf]
    x = cr.tensor([-inf, inf], requires_grad=True)
    F.logsigmoid(x).sum().backward()
    assert x.grad.tolist() == [1, 0]
    assert cr.lgamma(cr.tensor([-inf, 0.0, inf])).tolist() == [inf, inf, inf]


@pytest.mark.parametrize("name", ["hinge_embedding_loss", "margin_ranking_loss"])
def test_gradient_at_the_margin_is_that_of_clamp(name):
    torch = pytest.importorskip("torch")
    grads = []
    for lib, function in ((cr, getattr(F, name)), (torch, getattr(torch.nn.functional, name))):
        x = lib.tensor([1.0, 1.0], requires_grad=True)
        y = lib.tensor([-1.0, 1.0])
        others = (lib.tensor([1.0, 1.0]),) if name == "margin_ranking_loss" else ()
        function(x, *others, y).backward()
        grads.append(x.grad.numpy())
    np.testing.assert_array_equal(*grads)


@pytest.mark.parametrize("name", ["exp_", "zero_", "neg_", "sqrt_"])
def test_in_place_on_empty_tensors(name):
    x = cr.zeros(0, 3)
    assert getattr(x, name)() is x
