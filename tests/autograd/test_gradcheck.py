"""gradcheck finds wrong derivatives, and says where and why."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import Function, gradcheck, gradgradcheck


def leaf(value, dtype=cr.float64):
    return cr.tensor(value, dtype=dtype, requires_grad=True)


def scaled(factor):
    class Scaled(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.exp()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return factor(g * x.exp())

    return Scaled.apply


@pytest.mark.parametrize("fast_mode", [False, True])
def test_right_derivatives(fast_mode):
    x, y = leaf([0.5, 1.5]), leaf([[0.2], [0.7]])
    k = cr.tensor([3.0, 4.0], dtype=cr.float64)
    f = lambda x, y, k: ((x * y).exp() * k, x.sum())
    assert gradcheck(f, (x, y, k), fast_mode=fast_mode, check_grad_dtypes=True)
    assert gradgradcheck(f, (x, y, k), fast_mode=fast_mode)
    assert gradcheck(f, (x, y, k), check_forward_ad=True, check_batched_grad=not fast_mode)
    assert gradgradcheck(f, (x, y, k), gen_non_contig_grad_outputs=True, check_fwd_over_rev=True)


def test_complex():
    z = leaf([0.5 + 1j, 1.5 - 0.3j], cr.complex128)
    assert gradcheck(lambda z: (z * z).exp(), (z,), check_forward_ad=True)
    assert gradcheck(lambda z: z.abs(), (z,))
    assert gradgradcheck(lambda z: (z * z).exp(), (z,))
    x = leaf([0.5, 1.5])
    assert gradcheck(lambda x: x * (1 + 2j), (x,))


@pytest.mark.parametrize(
    ("factor", "cause"),
    [
        (lambda g: -g, "-1 times"),
        (lambda g: 2 * g, "2 times"),
        (lambda g: 0 * g, "gradient is cut"),
        (lambda g: g / 0.0, "divides by zero"),
        (lambda g: g + 1, "wrong derivative rule"),
    ],
)
def test_wrong_derivatives(factor, cause):
    x = leaf([[0.5, 1.5]])
    with np.errstate(all="ignore"), pytest.raises(cr.autograd.GradcheckError) as caught:
        gradcheck(scaled(factor), x)
    message = str(caught.value)
    assert "output 0 with respect to input 0" in message
    assert "numerical:" in message
    assert "analytical:" in message
    assert cause in message
    with np.errstate(all="ignore"):
        assert not gradcheck(scaled(factor), x, raise_exception=False)


def test_the_worst_entry_is_named():
    spoil = cr.tensor([[1.0, 1.0], [1.0, 1.5]], dtype=cr.float64)
    x = leaf([[0.1, 0.2], [0.3, 0.4]])
    with pytest.raises(RuntimeError, match=r"d output\[1, 1\] / d input\[1, 1\]"):
        gradcheck(scaled(lambda g: g * spoil), x)


def test_wrong_second_derivative():
    x = leaf([0.5, 1.5])
    f = scaled(lambda g: g.detach() * 1 if g.requires_grad else g)
    assert gradcheck(f, x)
    with pytest.raises(RuntimeError, match=r"expected to be zero.*the gradient is cut"):
        gradgradcheck(f, x)


def test_irreproducible_backward():
    rng = np.random.default_rng(0)
    f = scaled(lambda g: g * (1 + 1e-8 * rng.standard_normal()))
    with pytest.raises(RuntimeError, match="not reentrant"):
        gradcheck(f, leaf([0.5]))
    assert gradcheck(f, leaf([0.5]), nondet_tol=1e-5)


def test_arguments():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(lambda x: x, cr.ones(2))
    with pytest.warns(UserWarning, match=r"Input #0 .* not a double precision"):
        assert not gradcheck(lambda x: x * x, leaf([1.0], cr.float32), raise_exception=False)
    wide = cr.ones(1, dtype=cr.float64).expand(3).requires_grad_(True)
    with pytest.raises(RuntimeError, match="stride 0"):
        gradcheck(lambda x: x, wide)
