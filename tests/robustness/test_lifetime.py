"""Memory: no reference cycles, no recursion, nothing shared that a user may change unnoticed."""

import copy
import gc
import pickle
import sys

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F


def leaf(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def linear_and_sgd():
    torch = cr
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimizer = cr.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(cr.randn(5, 4)), cr.tensor([0, 1, 1, 0, 1])).backward()
        optimizer.step()


def convolution_and_adam():
    net = cr.nn.Sequential(
        cr.nn.Conv2d(1, 2, 3), cr.nn.BatchNorm2d(2), cr.nn.GELU(), cr.nn.MaxPool2d(2),
        cr.nn.Flatten(), cr.nn.Dropout(0.5), cr.nn.Linear(8, 3),
    )  # fmt: skip
    optimizer = cr.optim.AdamW(net.parameters())
    schedule = cr.optim.lr_scheduler.StepLR(optimizer, 1)
    for _ in range(3):
        optimizer.zero_grad()
        net(cr.randn(4, 1, 6, 6)).square().mean().backward()
        cr.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def recurrent_and_attention():
    lstm = cr.nn.LSTM(3, 4, num_layers=2)
    attention = cr.nn.MultiheadAttention(4, 2)
    out, _ = lstm(cr.randn(5, 2, 3))
    out, _ = attention(out, out, out)
    out.sum().backward()


def closure_with_lbfgs():
    x = leaf([1.0, 2.0])
    optimizer = cr.optim.LBFGS([x], max_iter=5)

    def closure():
        optimizer.zero_grad()
        loss = ((x - 3) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)


def hooks():
    x = leaf([1.0, 2.0])
    y = x * x
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    x.register_post_accumulate_grad_hook(lambda t: None)
    y.grad_fn.register_hook(lambda a, b: None)
    net = cr.nn.Linear(2, 2)
    net.register_forward_hook(lambda m, a, out: out * 2)
    net.register_full_backward_hook(lambda m, gi, go: None)
    (net(y.float()).sum() + y.sum()).backward()


def writes_and_views():
    x = leaf(np.ones((3, 3)))
    y = x * 2
    v = y[0]
    v.mul_(3)
    y[1] = v
    y.T[2] += 1
    y.sum().backward()


def higher_order():
    x = leaf([1.0, 2.0])
    (g,) = cr.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = cr.autograd.grad(g.sum(), x, create_graph=True)
    h.sum().backward()
    cr.autograd.functional.hessian(lambda x: (x**3).sum(), x.detach())


class Cube(cr.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x**3
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, _ = ctx.saved_tensors
        return 3 * x * x * g


def custom_function():
    for _ in range(3):
        Cube.apply(leaf([1.0, 2.0])).sum().backward()


def errors():
    x = leaf([1.0, 2.0])
    y = x * x
    y.sum().backward()
    for wrong in (lambda: y.sum().backward(), lambda: y.backward(), lambda: x + cr.ones(3),
                  lambda: x.sum(dim="a"), lambda: x.add_(1), lambda: F.dropout(x * x, p="a"),
                  lambda: cr.nn.Linear(2, 2)(x, x), lambda: (x * 1).clamp_(min="a")):  # fmt: skip
        with pytest.raises((RuntimeError, TypeError)):
            wrong()


def anomalies():
    x = leaf([-1.0])
    with cr.autograd.detect_anomaly(), pytest.raises(RuntimeError):
        cr.sqrt(x).backward()


OURS = "chainrule"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("loop", [
    linear_and_sgd, convolution_and_adam, recurrent_and_attention, closure_with_lbfgs, hooks,
    writes_and_views, higher_order, custom_function, errors, anomalies,
])  # fmt: skip
def test_reference_counting_frees_everything(loop):
    loop()  # what is imported or built on first use
    gc.collect()
    gc.disable()
    flags = gc.get_debug()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        loop()
        gc.collect()
        found = [
            x for x in gc.garbage
            if type(x).__module__.partition(".")[0] == OURS or isinstance(x, np.ndarray)
        ]  # fmt: skip
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        gc.enable()
    assert not found, sorted({type(x).__name__ for x in found})


def test_a_long_tape_is_freed_without_recursion():
    limit = sys.getrecursionlimit()
    x = leaf(1.0)
    y = x
    for _ in range(200_000):
        y = y + 1.0
    try:
        sys.setrecursionlimit(200)
        del y
    finally:
        sys.setrecursionlimit(limit)
    z = x
    for _ in range(1000):
        z = cr.stack([z, z]).sum(0) * 0.5
    z.backward()
    assert x.grad.item() == 1


def test_no_cycle_can_be_built():
    x = leaf([1.0, 2.0])
    y = x * 2
    y[0] = y[1]
    y[1] = y[0].clone() * y[0].clone()
    y += y
    y[1:] = y[:1]
    node = y.node
    seen = {node}
    stack = [node]
    while stack:
        child = stack.pop()
        for parent in child.parents:
            if parent is not None:
                assert parent.seq < child.seq  # so every path ends
                if parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 8])


PUBLIC = [
    cr.tensor([1.0, 2.0]), leaf([1.0]), cr.nn.Parameter(cr.ones(2)), cr.float32, cr.Size([1, 2]),
    cr.device("cpu"), cr.strided, cr.contiguous_format, cr.Generator().manual_seed(3),
    cr.nn.Sequential(cr.nn.Linear(2, 2), cr.nn.BatchNorm1d(2), cr.nn.LSTM(2, 2)),
    cr.max(cr.tensor([[1.0, 2.0]]), 1), cr.linalg.svd(cr.eye(2)), cr.no_grad(),
]  # fmt: skip


@pytest.mark.parametrize("value", PUBLIC, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("way", ["pickle", "deepcopy", "copy"])
def test_copies_of_everything_public(value, way):
    made = {
        "pickle": lambda v: pickle.loads(pickle.dumps(v)),
        "deepcopy": copy.deepcopy,
        "copy": copy.copy,
    }[way](value)
    assert type(made) is type(value)
    if isinstance(value, cr.Tensor):
        np.testing.assert_array_equal(made.detach().numpy(), value.detach().numpy())
        assert (made.requires_grad, made.dtype, made.is_leaf) == (
            value.requires_grad, value.dtype, value.is_leaf,
        )  # fmt: skip
        if way != "copy":
            assert not np.shares_memory(made.array, value.array)
    elif isinstance(value, cr.nn.Module):
        for (n, a), (m, b) in zip(
            made.state_dict().items(), value.state_dict().items(), strict=True
        ):
            assert n == m
            assert cr.equal(a, b)
    elif isinstance(value, (cr.dtype, cr.Size, cr.device)):
        assert made == value


def test_optimizers_survive_pickling():
    x = leaf([1.0, 2.0])
    for kind in (cr.optim.SGD, cr.optim.Adam, cr.optim.RMSprop, cr.optim.Adagrad):
        optimizer = kind([x], lr=0.1)
        (x * x).sum().backward()
        optimizer.step()
        again = pickle.loads(pickle.dumps(optimizer))
        assert again.param_groups[0]["lr"] == 0.1
        copied = copy.deepcopy(optimizer)
        y = copied.param_groups[0]["params"][0]
        assert y is not x
        before = x.detach().numpy().copy()
        y.grad = cr.ones(2, dtype=cr.float64)
        copied.step()
        np.testing.assert_array_equal(x.detach().numpy(), before)


def test_a_tensor_on_the_tape_says_that_it_cannot_be_copied():
    y = leaf([1.0]) * 2
    with pytest.raises(RuntimeError, match=r"deepcopy|graph leaves|detach"):
        copy.deepcopy(y)


# ------------------------------------------------------------------ aliasing


def refuses_or_right(x, y, expected):
    """Either backward says that a saved value was overwritten, or the gradient is right."""
    try:
        y.backward()
    except RuntimeError as error:
        assert "inplace operation" in str(error)  # noqa: PT017
        return
    np.testing.assert_allclose(x.grad.numpy(), expected)


@pytest.mark.parametrize("write", [
    lambda a: a.data.mul_(10),
    lambda a: a.detach().mul_(10),
    lambda a: a.detach()[0].fill_(7),
    lambda a: a.detach().view(1, 2).zero_(),
    lambda a: a.data.T.copy_(cr.tensor([5.0, 5.0])),
])  # fmt: skip
def test_writes_through_aliases_of_saved_values(write):
    x = leaf([1.0, 2.0])
    a = x * 3
    y = (a * a).sum()
    write(a)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_gradients_share_memory_with_nothing():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    g = cr.tensor([1.0, 1.0], dtype=cr.float64)
    (x + y).backward(g)
    assert not np.shares_memory(x.grad.array, y.grad.array)
    assert not np.shares_memory(x.grad.array, g.array)
    x.grad.zero_()
    np.testing.assert_array_equal(y.grad.numpy(), [1, 1])
    np.testing.assert_array_equal(g.numpy(), [1, 1])
    z = (x * y).sum()
    x.grad = None
    z.backward()
    assert not np.shares_memory(x.grad.array, y.array)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_optimizer_state_shares_memory_with_nothing(kind):
    options = {"momentum": 0.9} if kind == "SGD" else {}
    x = leaf([1.0, 2.0])
    optimizer = getattr(cr.optim, kind)([x], lr=0.1, **options)
    (x * x).sum().backward()
    optimizer.step()
    for value in optimizer.state[x].values():
        if isinstance(value, cr.Tensor):
            assert not np.shares_memory(value.array, x.array)
            assert not np.shares_memory(value.array, x.grad.array)
    saved = optimizer.state_dict()
    kept = copy.deepcopy(saved)
    other = getattr(cr.optim, kind)([leaf([1.0, 2.0])], lr=0.1, **options)
    other.load_state_dict(saved)
    for group in other.param_groups:
        for p in group["params"]:
            p.grad = cr.ones(2, dtype=cr.float64)
    other.step()
    for key, state in kept["state"].items():
        for name, value in state.items():
            now = optimizer.state_dict()["state"][key][name]
            if isinstance(value, cr.Tensor):
                np.testing.assert_array_equal(now.numpy(), value.numpy())


def test_loading_a_state_copies():
    net = cr.nn.Linear(2, 2)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    state["weight"].zero_()
    assert net.weight.detach().numpy().any()


def test_tensor_copies_and_from_numpy_shares():
    a = np.array([1.0, 2.0])
    t, s = cr.tensor(a), cr.from_numpy(a)
    a[0] = 9
    assert t[0].item() == 1
    assert s[0].item() == 9
