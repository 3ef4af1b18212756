"""Activations against PyTorch: values, gradients at ordinary points and at kinks, in place."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F

from .oracle import compare, compare_errors, compare_float32, normal, torch

X = normal(3, 4) * 2
KINKS = np.array([-6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0])
WIDE = np.array([-1000.0, -100.0, -30.0, 30.0, 100.0, 1000.0])
CASES = [
    ("relu", {}), ("relu6", {}), ("leaky_relu", {}), ("leaky_relu", {"negative_slope": 2.0}),
    ("elu", {}), ("elu", {"alpha": 0.3}), ("selu", {}), ("celu", {"alpha": 2.0}), ("gelu", {}),
    ("gelu", {"approximate": "tanh"}), ("silu", {}), ("mish", {}), ("softplus", {}),
    ("softplus", {"beta": 3.0, "threshold": 1.0}), ("softsign", {}), ("tanhshrink", {}),
    ("hardtanh", {}), ("hardtanh", {"min_val": -0.5, "max_val": 2.0}), ("hardsigmoid", {}),
    ("hardswish", {}), ("logsigmoid", {}), ("softshrink", {}), ("hardshrink", {}), ("sigmoid", {}),
    ("threshold", {"threshold": 0.5, "value": -2.0}), ("tanh", {}), ("rrelu", {}),
    ("softmax", {"dim": -1}), ("softmin", {"dim": 0}), ("log_softmax", {"dim": 0}),
]  # fmt: skip


# In hardsigmoid's derivative PyTorch rounds 1/6 to single precision.
TOLERANCE = {"hardsigmoid": 1e-7}


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_values_and_gradients(name, kwargs):
    compare(name, X, tol=TOLERANCE.get(name, 1e-10), **kwargs)
    compare_float32(name, X, **kwargs)


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_kinks(name, kwargs):
    tol = TOLERANCE.get(name, 1e-10)
    compare(name, KINKS, tol=tol, **({**kwargs, "dim": 0} if "dim" in kwargs else kwargs))


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_large_numbers_do_not_overflow(name, kwargs):
    compare(name, WIDE, **({**kwargs, "dim": 0} if "dim" in kwargs else kwargs))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_glu(dim):
    compare("glu", normal(4, 6), dim=dim)
    compare_errors("glu", normal(3, 3), dim=dim)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3), (3,), ()])
def test_prelu(shape):
    compare("prelu", normal(*shape), np.array([0.25]))
    if len(shape) > 1:
        compare("prelu", normal(*shape), np.array([0.25, 0.5, -1.0]))
    compare_errors("prelu", normal(3, 3), normal(2))


def test_softmax_family_of_extreme_logits():
    x = np.array([[1.0, -np.inf, 2.0], [1e4, 0.0, -1e4]])
    compare("softmax", x, dim=1)
    compare("log_softmax", np.array([[1e4, 0.0, -1e4]]), dim=1)
    np.testing.assert_array_equal(
        F.log_softmax(cr.tensor([0.0, -np.inf]), dim=0).numpy(), [0, -np.inf]
    )


def test_softmax_of_nothing_and_of_one_number():
    compare("softmax", np.zeros((0, 3)), dim=0)
    compare("softmax", np.array(2.0), dim=0)
    compare("log_softmax", np.array(2.0), dim=0)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_dtype_and_errors(name):
    ours = getattr(F, name)(cr.tensor([1, 2]), dim=0, dtype=cr.float64)
    theirs = getattr(torch.nn.functional, name)(torch.tensor([1, 2]), dim=0, dtype=torch.float64)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy())
    compare_errors(name, X, dim=2)
    with pytest.raises(NotImplementedError, match="not implemented for"):
        getattr(F, name)(cr.tensor([1, 2]), dim=0)


@pytest.mark.parametrize("name", ["relu", "elu", "selu", "celu", "leaky_relu", "hardtanh"])
def test_in_place(name):
    x = cr.tensor(X, requires_grad=True)
    y = x * 1
    z = getattr(F, name)(y, inplace=True)
    assert z is y
    z.sum().backward()
    w = torch.tensor(X, requires_grad=True)
    getattr(torch.nn.functional, name)(w * 1, inplace=True).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), w.grad.numpy())


def test_methods_and_top_level():
    x = cr.tensor([-1.0, 2.0])
    assert x.relu().tolist() == [0.0, 2.0]
    assert x.clone().relu_().tolist() == [0.0, 2.0]
    assert x.softmax(0).sum().item() == pytest.approx(1.0)
    assert x.log_softmax(0).exp().sum().item() == pytest.approx(1.0)
    assert cr.relu(x).tolist() == cr.nn.functional.relu(x).tolist()


def test_rrelu_in_training_draws_slopes_in_the_interval():
    cr.manual_seed(0)
    x = -cr.ones(1000)
    y = F.rrelu(x, 0.1, 0.3, training=True)
    slopes = -y.numpy()
    assert 0.1 <= slopes.min() < 0.12
    assert 0.28 < slopes.max() <= 0.3
    assert (F.rrelu(-x, 0.1, 0.3, training=True).numpy() == 1).all()


def test_gumbel_softmax():
    cr.manual_seed(0)
    logits = cr.tensor(np.log([[0.7, 0.2, 0.1]] * 2000), requires_grad=True)
    soft = F.gumbel_softmax(logits)
    np.testing.assert_allclose(soft.detach().numpy().sum(1), 1)
    hard = F.gumbel_softmax(logits, hard=True)
    np.testing.assert_allclose(hard.detach().numpy().mean(0), [0.7, 0.2, 0.1], atol=0.04)
    hard[:, 0].sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
