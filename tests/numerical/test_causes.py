"""A failed gradcheck names the cause: each is provoked by a rule that is wrong in that way."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import Function, GradcheckError, gradcheck


def wrong(forward, backward):
    """An operation with a derivative rule of its own: backward(g, *inputs)."""

    class Wrong(Function):
        @staticmethod
        def forward(ctx, *xs):
            ctx.save_for_backward(*xs)
            return forward(*xs)

        @staticmethod
        def backward(ctx, g):
            return backward(g, *ctx.saved_tensors)

    return Wrong.apply


def leaf(*shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 1.5, shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.uniform(0.5, 1.5, shape)
    return cr.tensor(x.astype(dtype), requires_grad=True)


def error(f, *inputs, **options):
    with np.errstate(all="ignore"), pytest.raises(GradcheckError) as caught:
        gradcheck(f, inputs, **options)
    return caught.value


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (-1.0, "the sign is flipped"),
        (2.0, "the derivative is 2 times"),
        (0.5, "the derivative is 0.5 times"),
        (1 / 3, "= 1/3"),
        (-2.5, "the derivative is -2.5 times"),
        (np.pi, "3.1415"),
    ],
)
def test_constant_factor(factor, said, fast_mode):
    f = wrong(lambda x: x.exp(), lambda g, x: factor * g * x.exp())
    found = error(f, leaf(2, 3), fast_mode=fast_mode)
    assert said in found.cause
    assert found.analytical == pytest.approx(factor * found.numerical, rel=1e-5)
    right = wrong(lambda x: x.exp(), lambda g, x: g * x.exp())
    assert gradcheck(right, leaf(2, 3), fast_mode=fast_mode)


def test_transposed_operand():
    a, b = leaf(3, 3), leaf(3, 3, seed=1)
    f = wrong(lambda a, b: a @ b, lambda g, a, b: (g @ b.T, g.T @ a))
    found = error(f, a, b)
    assert found.input == 1
    assert "dimensions 0 and 1 of the gradient are exchanged" in found.cause
    f = wrong(lambda a, b: a @ b, lambda g, a, b: (g @ b.T, a.T @ g.T))
    assert "of the incoming gradient are exchanged" in error(f, a, b).cause
    f = wrong(lambda a, b: a @ b, lambda g, a, b: (a.T @ g * 0 + g @ b, a.T @ g))
    assert error(f, a, b).input == 0
    m = cr.tensor(np.random.default_rng(2).standard_normal((3, 3)))
    f = wrong(lambda x: m @ x, lambda g, x: m @ g)
    assert "J·g where it should compute Jᵀ·g" in error(f, leaf(3)).cause
    f = wrong(lambda a, b: a @ b, lambda g, a, b: (g @ b.T, a.T @ g))
    assert gradcheck(f, (a, b))


def test_missing_sum_over_a_broadcast_dimension():
    x, b = leaf(4, 3), leaf(3, seed=1)
    f = wrong(lambda x, b: x * b, lambda g, x, b: (g * b, (g * x)[1]))
    found = error(f, x, b)
    assert found.input == 1
    assert "a missing sum over a broadcast dimension: only index 1 of dimension 0" in found.cause
    f = wrong(lambda x, b: x + b, lambda g, x, b: (g, g.mean(0)))
    assert "0.25 times what it should be, everywhere. Is there a mean" in error(f, x, b).cause
    f = wrong(lambda x, b: x * b, lambda g, x, b: (g * b, (g * x).sum(0)))
    assert gradcheck(f, (x, b))


def test_a_sum_too_many():
    f = wrong(lambda x: x.exp(), lambda g, x: (g * x.exp()).sum(0, keepdim=True).expand(2, 3))
    assert "a sum too many: the gradient is the sum over dimension 0" in error(f, leaf(2, 3)).cause
    f = wrong(lambda x: x.exp(), lambda g, x: (g * x.exp()).mean(1, keepdim=True).expand(2, 3))
    assert "a mean too many" in error(f, leaf(2, 3)).cause


def test_missing_conjugate():
    x = leaf(3, dtype=np.complex128)
    f = wrong(lambda z: z * z, lambda g, z: g * 2 * z)
    found = error(f, x)
    assert "a missing conjugate" in found.cause
    assert str(found).startswith("While considering the imaginary part of complex outputs only, ")
    assert gradcheck(wrong(lambda z: z * z, lambda g, z: g * 2 * z.conj()), x)


def test_detached():
    f = wrong(lambda x: x.exp(), lambda g, x: 0 * g)
    assert "the gradient is cut: it is zero everywhere" in error(f, leaf(3)).cause
    f = wrong(lambda x: x.exp(), lambda g, x: None)
    assert "the gradient is cut" in error(f, leaf(3)).cause
    assert "expected to be zero" in str(error(lambda x: x.detach() * 2, leaf(3)))

    def partly(x):
        return cr.cat([x[:1].detach(), x[1:]]) ** 2 * 1.0

    found = error(partly, leaf(3))
    assert "the gradient is cut on some paths: it is zero in all 1 entries" in found.cause
    assert found.index == ((0,), (0,))


def test_gradient_where_there_is_none():
    f = wrong(lambda x: x[1:] * 2, lambda g, x: cr.cat([g[:1], 2 * g]))
    assert "flows where nothing depends on the input" in error(f, leaf(3)).cause


def test_backward_ignores_its_argument():
    f = wrong(lambda x: x.sum() * cr.ones(2, dtype=cr.float64), lambda g, x: cr.ones_like(x))
    found = error(f, leaf(3))
    assert "not multiplied by grad_output" in str(found)
    f = wrong(lambda x: x.exp(), lambda g, x: x.exp())
    assert "backward ignores the incoming gradient" in error(f, leaf(3)).cause


@pytest.mark.parametrize("at", [0.0, 3e-7, -3e-7])
def test_kink(at):
    x = cr.tensor([0.7, at], dtype=cr.float64, requires_grad=True)
    found = error(lambda x: x.relu() * 3, x)
    assert "a kink within eps of the input: the slope is 0 on the left and 3 on" in found.cause
    assert found.index == ((1,), (1,))


@pytest.mark.parametrize("at", [0.0, 4e-7])
def test_jump(at):
    x = cr.tensor([0.7, at], dtype=cr.float64, requires_grad=True)
    step = lambda x: x + cr.where(x > 1e-7, 1.0, 0.0).double()
    assert "the function jumps within eps of the input" in error(step, x).cause


def test_curvature_is_no_kink():
    f = wrong(lambda x: 1e4 * x * x, lambda g, x: g * (2e4 * x + 1))
    x = cr.tensor([1e-3], dtype=cr.float64, requires_grad=True)
    assert "kink" not in error(f, x).cause
    assert "jump" not in error(f, x).cause


def test_single_precision_inside():
    found = error(lambda x: x.float().exp().double(), leaf(3))
    assert "rounding, not the rule" in found.cause
    with pytest.warns(UserWarning, match="not a double precision"):
        assert "rounding, not the rule" in error(lambda x: x * x, leaf(2, dtype=np.float32)).cause
    found = error(lambda x: 1e12 + x * x, leaf(2))
    assert "rounding, not the rule" in found.cause
    # A wrong rule in single precision is not excused by rounding.
    f = wrong(lambda x: x.exp(), lambda g, x: 2 * g * x.exp())
    assert "rounding" not in error(lambda x: f(x.float()).double(), leaf(3), eps=1e-3).cause


def test_function_with_random_numbers():
    rng = np.random.default_rng(0)
    found = error(lambda x: x * rng.standard_normal(), leaf(3))
    assert "does not give the same result twice" in found.cause


def test_not_finite():
    f = wrong(lambda x: x.sqrt(), lambda g, x: g / (x - x))
    assert "divides by zero or overflows" in error(f, leaf(2)).cause
    x = cr.tensor([1.0, 0.0], dtype=cr.float64, requires_grad=True)
    found = error(lambda x: x.sqrt(), x)
    assert "not finite within eps of the input" in found.cause


def test_none_of_the_usual():
    f = wrong(lambda x: x.sin(), lambda g, x: g * (x.cos() + x))
    assert "a wrong derivative rule" in error(f, leaf(3)).cause


def test_message():
    spoil = cr.tensor([[1.0, 1.0], [1.0, 1.5]], dtype=cr.float64)
    f = wrong(lambda x: x.exp(), lambda g, x: g * x.exp() * spoil)
    x = cr.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=cr.float64, requires_grad=True)
    found = error(lambda k, x: (k * 1.0, f(x)), leaf(1), x)
    assert str(found).startswith(
        "Jacobian mismatch for output 1 with respect to input 1,\nnumerical:tensor([["
    )
    assert "1 of 16 entries are off. The worst is d output[1, 1] / d input[1, 1]:" in str(found)
    assert (found.output, found.input, found.index) == (1, 1, ((1, 1), (1, 1)))
    assert found.numerical == pytest.approx(np.exp(0.4))
    assert found.analytical == pytest.approx(1.5 * np.exp(0.4))
    found = error(f, x, fast_mode=True)
    assert "computed in fast mode" in str(found)
    assert found.index == ((1, 1), (1, 1))


def test_inputs_are_as_before_after_a_failure():
    x = leaf(3)
    before = x.array.copy()
    error(wrong(lambda x: x.exp(), lambda g, x: -g), x)
    assert x.array.tobytes() == before.tobytes()
    calls = []

    def interrupted(x):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return x * 2

    with pytest.raises(KeyboardInterrupt):
        gradcheck(interrupted, x)
    assert x.array.tobytes() == before.tobytes()
