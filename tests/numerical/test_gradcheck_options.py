"""gradcheck's options: modes, dtypes, batched and missing cotangents; PyTorch's verdicts."""

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import Function, GradcheckError, gradcheck, gradgradcheck
from chainrule.core.boxes import is_box


def leaf(*shape, dtype=np.float64, seed=0, lib=cr):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 1.5, shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.uniform(0.5, 1.5, shape)
    return lib.tensor(x.astype(dtype), requires_grad=True)


class Exp(Function):
    """exp; subclasses spoil its derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.exp())
        return x.exp()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


def wrong_forward(x):
    """exp, but in forward mode with the tangent's sign flipped."""
    return (2 * x.detach() - x if is_box(x) else x).exp()


@pytest.mark.parametrize("fast_mode", [False, True])
def test_forward_mode(fast_mode):
    x = leaf(2, 3)
    assert gradcheck(lambda x: (x.sin() * x).sum(1), x, check_forward_ad=True, fast_mode=fast_mode)
    assert gradcheck(
        lambda x: x @ x.T, x, check_forward_ad=True, check_backward_ad=False, fast_mode=fast_mode
    )
    with pytest.raises(GradcheckError, match="Jacobian computed with forward mode mismatch") as e:
        gradcheck(wrong_forward, x, check_forward_ad=True, fast_mode=fast_mode)
    assert "sign is flipped" in e.value.cause
    assert gradcheck(wrong_forward, x, fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_complex_forward_mode(fast_mode):
    z = leaf(3, dtype=np.complex128)
    options = {"check_forward_ad": True, "fast_mode": fast_mode}
    assert gradcheck(lambda z: (z * z).exp(), z, **options)
    assert gradcheck(lambda z: z.conj() * z.abs(), z, **options)
    assert gradcheck(lambda x: x * (1 + 2j), leaf(2), **options)

    with pytest.raises(GradcheckError, match="imaginary part of complex inputs only"):
        gradcheck(wrong_forward, z, check_backward_ad=False, **options)


def test_forward_over_reverse():
    x, y = leaf(2, 3), leaf(3, seed=1)
    f = lambda x, y: ((x * y).exp().sum(1), x.sin() @ y)
    assert gradgradcheck(f, (x, y), check_fwd_over_rev=True)
    assert gradgradcheck(
        f, (x, y), check_fwd_over_rev=True, check_rev_over_rev=False, check_undefined_grad=False
    )
    assert gradgradcheck(f, (x, y), check_fwd_over_rev=True, fast_mode=True)


def test_batched_gradients():
    x = leaf(2, 3)
    assert gradcheck(lambda x: (x.sin() @ x.T, x.sum()), x, check_batched_grad=True)
    options = {"check_forward_ad": True, "check_batched_forward_grad": True}
    assert gradcheck(lambda x: (x.sin() @ x.T, x.sum()), x, **options)
    assert gradgradcheck(lambda x: x.sin() * x, x, check_batched_grad=True)


def test_a_wrong_batch_is_found(monkeypatch):
    from chainrule.autograd import gradcheck_support

    x = leaf(3)
    right = gradcheck_support.grad
    monkeypatch.setattr(
        gradcheck_support, "grad", lambda *a, **k: tuple(g + 1 for g in right(*a, **k))
    )
    with pytest.raises(GradcheckError, match="For output 0 and input 0: batched gradients differ"):
        gradcheck(lambda x: x.exp(), x, check_batched_grad=True)


class Two(Function):
    """Two outputs; backward does not expect that one of them has no gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, g, h):
        return 2 * g + 3 * h


def test_missing_cotangents():
    x = leaf(3)
    with pytest.raises(GradcheckError, match="handle undefined output grads: without a gradient"):
        gradcheck(lambda x: Two.apply(x), x)
    assert gradcheck(lambda x: Two.apply(x), x, check_undefined_grad=False) is True


def test_masked_allows_nearly_zero():
    class Noisy(Exp):
        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0] + 1e-12

    with pytest.raises(GradcheckError, match="not multiplied by grad_output"):
        gradcheck(Noisy.apply, leaf(3))
    assert gradcheck(Noisy.apply, leaf(3), masked=True)


def test_contradicting_options():
    x = leaf(2)
    for options in (
        {"check_backward_ad": False},
        {"check_backward_ad": False, "check_forward_ad": True, "check_batched_grad": True},
        {"check_batched_forward_grad": True},
    ):
        with pytest.raises(AssertionError, match="check_"):
            gradcheck(lambda x: x, x, **options)
    for options in (
        {"check_rev_over_rev": False},
        {"check_rev_over_rev": False, "check_fwd_over_rev": True},
    ):
        with pytest.raises(AssertionError, match="check_"):
            gradgradcheck(lambda x: x * x, x, **options)
    with pytest.raises(ValueError, match="eps, the step of the differences, must be positive"):
        gradcheck(lambda x: x, x, eps=0.0)
    with pytest.raises(TypeError, match="returned a float"):
        gradcheck(lambda x: 1.0, x)
    growing = iter(range(1, 9))
    with pytest.raises(AssertionError, match="outputs with the same shape when inputs are pert"):
        gradcheck(lambda x: x.sum().expand(next(growing)), x)


def test_inputs_reached_otherwise():
    """A module's parameters are checked though the function does not use its arguments."""
    layer = cr.nn.Linear(3, 2).double()
    x = leaf(4, 3)
    f = lambda x, *unused: layer(x).tanh()
    assert gradcheck(f, (x, *layer.parameters()))
    assert gradcheck(f, (x, *layer.parameters()), fast_mode=True)


def test_function_that_differentiates_inside():
    def f(x):
        (g,) = cr.autograd.grad((x**3).sum(), x, create_graph=True)
        return g * x

    assert gradcheck(f, leaf(3))
    assert gradcheck(f, leaf(3), fast_mode=True)
    asks = lambda x: x * 3 if x.requires_grad and cr.is_grad_enabled() else x.detach() * 2
    assert gradcheck(asks, leaf(3))


def test_layouts_and_shared_memory():
    base = leaf(3, 4)
    assert gradcheck(lambda x: x.exp(), base.detach().T.requires_grad_())
    assert gradcheck(lambda x: x.exp(), base.detach()[:, ::2].requires_grad_())
    assert gradcheck(lambda x: x.exp(), base.detach().flip(0).requires_grad_())
    assert gradcheck(lambda x, y: x * y, (base, base))
    assert gradcheck(lambda x: x.view(-1), base)  # the result is the input's memory
    assert gradcheck(lambda x: x, base)
    assert gradcheck(lambda x: x.exp(), base * 1.0)  # not a leaf
    assert gradcheck(lambda x: x.exp(), leaf())
    assert gradcheck(lambda x: x.exp(), leaf(0, 3))
    frozen = np.array([1.0, 2.0])
    frozen.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = cr.from_numpy(frozen).requires_grad_()
    assert gradcheck(lambda x: x.exp(), x)
    assert frozen.tolist() == [1.0, 2.0]


def test_a_second_pass_is_compared():
    state = iter(range(100))

    class Drifts(Exp):
        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0] * (1 + 1e-7 * next(state))

    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(Drifts.apply, leaf(2), fast_mode=True)
    assert not gradcheck(Drifts.apply, leaf(2), raise_exception=False)
    assert gradcheck(Drifts.apply, leaf(2), nondet_tol=1e-3)


CASES = {
    "right": (lambda x: (x.sin() * x).sum(0), True),
    "nothing depends on it": (lambda x: (x - x.detach()).abs(), True),
    "detached": (lambda x: x.detach() * 2, False),
    "cut factor": (lambda x: x.detach() * x, False),
    "one output without grad": (lambda x: (x * 2, x.detach()), True),
    "complex": (lambda x: (x * (1 + 1j)) ** 2, True),
    "integers too": (lambda x: (x * 2, x.argmax()), None),
}


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_same_verdict_as_pytorch(name, fast_mode):
    torch = pytest.importorskip("torch")
    f, verdict = CASES[name]
    ours = gradcheck(f, leaf(2, 3), raise_exception=False, fast_mode=fast_mode)
    if verdict is None:  # PyTorch stops at integer outputs
        assert ours
        return
    theirs = torch.autograd.gradcheck(
        f, leaf(2, 3, lib=torch), raise_exception=False, fast_mode=fast_mode
    )
    assert ours == theirs == verdict


def test_signature_is_pytorchs():
    import inspect

    torch = pytest.importorskip("torch")
    for name in ("gradcheck", "gradgradcheck"):
        ours = inspect.signature(getattr(cr.autograd, name)).parameters
        theirs = inspect.signature(getattr(torch.autograd, name)).parameters
        assert [(p.name, p.kind, p.default) for p in ours.values()] == [
            (p.name, p.kind, p.default) for p in theirs.values()
        ]


def test_in_place_inside():
    def f(x):
        v = x.clone()
        v[1:] *= 2
        v.mul_(x)
        return v

    x = leaf(3)
    options = {"check_batched_grad": True, "check_forward_ad": True}
    assert gradcheck(f, x, check_batched_forward_grad=True, **options)
    assert gradgradcheck(f, x, check_fwd_over_rev=True)


def test_networks_with_their_parameters():
    cr.manual_seed(0)
    net = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Tanh(), cr.nn.LayerNorm(4)).double()
    x = leaf(2, 3)
    f = lambda x, *parameters: net(x)
    assert gradcheck(f, (x, *net.parameters()), check_batched_grad=True)
    assert gradgradcheck(f, (x, *net.parameters()))


def test_outputs_and_cotangents_of_all_sorts():
    x, w = leaf(3), leaf(2, seed=1)
    for fast_mode in (False, True):
        assert gradcheck(lambda x: (x * 2, w * 3), x, fast_mode=fast_mode)
        assert gradcheck(lambda x: [x * 2, None, x.sum(), x.argmax()], [x], fast_mode=fast_mode)
        assert gradcheck(lambda x: w * 1, x, fast_mode=fast_mode)
    with cr.no_grad():
        assert gradcheck(lambda x: x * 2, x)
    constant = cr.ones(3, dtype=cr.float64)
    assert gradgradcheck(lambda x: (x**3, x.sin()), x, (constant, leaf(3, seed=2)))
    z = leaf(2, dtype=np.complex128)
    assert gradgradcheck(lambda z: z * z.abs(), z, check_fwd_over_rev=True)
    assert gradgradcheck(lambda z: (z * z.conj()).real, z, fast_mode=True)


def test_hooks_are_part_of_backward():
    x = leaf(3)
    x.register_hook(lambda g: 2 * g)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda x: x * 3, x)
    assert "2 times" in caught.value.cause
    assert caught.value.__context__ is None


class WithJvp(Function):
    """sin with every rule of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].cos()

    @staticmethod
    def jvp(ctx, t):
        return t * ctx.saved_tensors[0].cos()


class WithWrongJvp(WithJvp):
    @staticmethod
    def jvp(ctx, t):
        return -t * ctx.saved_tensors[0].cos()


@pytest.mark.parametrize("fast_mode", [False, True])
def test_custom_functions(fast_mode):
    x = leaf(2, 3)
    options = {"check_forward_ad": True, "fast_mode": fast_mode}
    assert gradcheck(WithJvp.apply, x, check_batched_grad=True, **options)
    assert gradgradcheck(WithJvp.apply, x, check_fwd_over_rev=True, fast_mode=fast_mode)
    with pytest.raises(GradcheckError, match="computed with forward mode mismatch") as caught:
        gradcheck(WithWrongJvp.apply, x, **options)
    assert "sign is flipped" in caught.value.cause
    assert gradcheck(WithWrongJvp.apply, x, fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_functions_whose_outputs_are_all_integers(fast_mode):
    """As PyTorch: nothing is differentiable, so nothing may depend smoothly on the inputs."""
    x = cr.tensor([1.0, -2.0, 3.0], dtype=cr.float64, requires_grad=True)
    assert gradcheck(lambda x: (x > 0).sum(), [x], fast_mode=fast_mode)
    assert gradcheck(lambda x: x.argmax(), [x], fast_mode=fast_mode, check_forward_ad=True)
