"""Every optimizer follows PyTorch's, option by option, in float64."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import optim
from chainrule.core.tensor import wrap

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _torch_in_float64():
    """PyTorch keeps some scalar state (NAdam's) in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


CASES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("Adamax", {"lr": 0.05, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.05, "maximize": True}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.9, "momentum": 0.5, "centered": True}),
    ("RMSprop", {"lr": 0.05, "centered": True, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.05, "momentum": 0.9}),
    ("Adagrad", {"lr": 0.05}),
    ("Adagrad", {"lr": 0.05, "lr_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.05, "initial_accumulator_value": 0.3, "eps": 1e-3}),
    ("Adadelta", {"lr": 0.5}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
]
SHAPES = [(3, 4), (), (5,)]


def start(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=s)) for s in SHAPES]


def gradients(values: list[np.ndarray], step: int) -> list[np.ndarray]:
    """Gradients that depend on the parameters, so that differences would grow."""
    return [np.asarray(np.sin(3 * v.real + step) + v) for v in values]


def follow(make, params, array, set_grad, steps: int = 12) -> list[list[np.ndarray]]:
    optimizer = make(params)
    path = []
    for step in range(steps):
        grads = gradients([array(p) for p in params], step)
        for p, g in zip(params, grads, strict=True):
            set_grad(p, g)
        optimizer.step()
        path.append([array(p).copy() for p in params])
    return path


def ours(make, values):
    params = [wrap(v.copy()) for v in values]
    for p in params:
        p.requires_grad = True

    def set_grad(p, g):
        p._grad = wrap(g)

    return follow(make, params, lambda p: p.array, set_grad)


def theirs(make, values):
    params = [torch.tensor(v, requires_grad=True) for v in values]

    def set_grad(p, g):
        p.grad = torch.tensor(g)

    return follow(make, params, lambda p: p.detach().numpy(), set_grad)


def assert_same(a, b, **tolerance):
    for x, y in zip(a, b, strict=True):
        for u, v in zip(x, y, strict=True):
            np.testing.assert_allclose(u, v, **({"rtol": 1e-12, "atol": 1e-13} | tolerance))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_trajectory(name, options):
    values = start()
    assert_same(
        ours(lambda ps: getattr(optim, name)(ps, **options), values),
        theirs(lambda ps: getattr(torch.optim, name)(ps, **options), values),
    )


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "Adadelta"])
def test_complex_parameters(name):
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))]
    assert_same(
        ours(lambda ps: getattr(optim, name)(ps, lr=0.1), values),
        theirs(lambda ps: getattr(torch.optim, name)(ps, lr=0.1), values),
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_parameters_go_block_by_block(order):
    """Blocks, a remainder, another memory layout, and a gradient of another layout."""
    rng = np.random.default_rng(2)
    value, grad = rng.normal(size=(257, 301)), rng.normal(size=(257, 301))
    p = wrap(np.asarray(value, order=order))
    p.requires_grad = True
    q = torch.tensor(value, requires_grad=True)
    mine = optim.Adam([p], lr=0.1, weight_decay=0.1)
    reference = torch.optim.Adam([q], lr=0.1, weight_decay=0.1)
    for g in (grad, grad.T.copy().T, -grad):
        p._grad = wrap(g)
        q.grad = torch.tensor(np.ascontiguousarray(g))
        mine.step()
        reference.step()
    np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-12, atol=1e-11)


def test_float32_stays_float32():
    for name, options in CASES:
        p = wrap(np.ones((2, 2), np.float32))
        p.requires_grad = True
        optimizer = getattr(optim, name)([p], **options)
        p._grad = wrap(np.ones((2, 2), np.float32))
        optimizer.step()
        state = optimizer.state_dict()["state"].get(0, {})
        arrays = [v.array for v in state.values() if hasattr(v, "array")]
        assert {a.dtype for a in [p.array, *arrays]} == {np.dtype(np.float32)}, name


def test_groups_have_their_own_options():
    values = start()[:2]

    def make(library):
        return lambda ps: library.SGD(
            [{"params": [ps[0]]}, {"params": ps[1], "lr": 0.5, "momentum": 0.5}], lr=0.1
        )

    assert_same(ours(make(optim), values), theirs(make(torch.optim), values))
    p, q = (wrap(v) for v in values)
    optimizer = optim.SGD([("first", p)], lr=0.1)
    optimizer.add_param_group({"params": [("second", q)], "lr": 1.0})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 1.0]
    assert [g["param_names"] for g in optimizer.param_groups] == [["first"], ["second"]]


@pytest.mark.parametrize(("name", "options"), [CASES[3], CASES[6], CASES[17]])
def test_saved_state_continues(name, options):
    def run(p, optimizer, steps):
        for step in steps:
            p._grad = wrap(gradients([p.array], step)[0])
            optimizer.step()

    def make():
        p = wrap(start()[0])
        p.requires_grad = True
        return p, getattr(optim, name)([p], **options)

    p, optimizer = make()
    run(p, optimizer, range(3))
    saved = pickle.loads(pickle.dumps(copy.deepcopy(optimizer.state_dict())))
    q, other = make()
    q.array[...] = p.array
    other.load_state_dict(saved)
    run(p, optimizer, range(3, 6))
    run(q, other, range(3, 6))
    np.testing.assert_array_equal(p.array, q.array)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        other.load_state_dict({"state": {}, "param_groups": []})
    saved["param_groups"][0]["params"] = [0, 1]
    with pytest.raises(ValueError, match="doesn't match the size"):
        other.load_state_dict(saved)


def rosenbrock(x, y):
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


LBFGS_CASES = [
    {"lr": 1e-3},
    {"lr": 0.1, "max_iter": 7, "history_size": 3},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 2, "max_eval": 9},
]


@pytest.mark.parametrize("options", LBFGS_CASES)
@pytest.mark.parametrize("begin", [(-1.2, 1.0), (0.3, 2.5)])
def test_lbfgs_trajectory(options, begin):
    x, y = (wrap(np.array(v)) for v in begin)
    for p in (x, y):
        p.requires_grad = True
    u, v = (torch.tensor(b, dtype=torch.float64, requires_grad=True) for b in begin)
    mine = optim.LBFGS([x, y], **options)
    reference = torch.optim.LBFGS([u, v], **options)

    def closure():
        mine.zero_grad()
        loss = rosenbrock(x, y)
        cr.autograd.backward(loss)
        return loss

    def their_closure():
        reference.zero_grad()
        loss = rosenbrock(u, v)
        loss.backward()
        return loss

    for _ in range(4):
        loss = mine.step(closure)
        expected = reference.step(their_closure)
        np.testing.assert_allclose(float(loss.array), expected.item(), rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(x.array, u.detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose(y.array, v.detach().numpy(), rtol=1e-6)
    if options == {"line_search_fn": "strong_wolfe"}:
        np.testing.assert_allclose([x.array, y.array], [1, 1], atol=1e-4)


def test_lbfgs_asks_for_what_it_needs():
    p = wrap(np.ones(2))
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [p]}, {"params": [wrap(np.ones(1))]}])
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        optim.LBFGS([p], line_search_fn="armijo")
    with pytest.raises(RuntimeError, match="closure"):
        optim.LBFGS([p]).step()


def test_closure_is_recorded_and_returned():
    p = wrap(np.array(2.0))
    p.requires_grad = True
    optimizer = optim.SGD([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = p * p
        cr.autograd.backward(loss)
        return loss

    assert float(optimizer.step(closure).array) == 4.0
    np.testing.assert_allclose(p.array, 1.6)


def test_hooks_and_zero_grad():
    p = wrap(np.ones(2))
    p.requires_grad = True
    optimizer = optim.SGD([p], lr=1.0)
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    handle = optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == ["before", "after", "before"]
    p._grad = wrap(np.ones(2))
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(p._grad.array, 0)
    optimizer.zero_grad()
    assert p._grad is None


def test_a_step_is_a_noted_write():
    p = wrap(np.array([2.0]))
    p.requires_grad = True
    loss = p * p
    p._grad = wrap(np.ones(1))
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        cr.autograd.backward(loss)


def leaf(value=1.0):
    p = wrap(np.array([value]))
    p.requires_grad = True
    return p


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: optim.SGD([], lr=1), ValueError, "empty parameter list"),
        (lambda: optim.SGD(leaf(), lr=1), TypeError, "iterable of Tensors"),
        (lambda: optim.SGD([1.0], lr=1), TypeError, "can only optimize Tensors.* float"),
        (lambda: optim.SGD([leaf() * 2], lr=1), ValueError, "non-leaf"),
        (lambda: optim.SGD([leaf()], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda: optim.SGD([leaf()], momentum=-1), ValueError, "Invalid momentum value"),
        (lambda: optim.SGD([leaf()], weight_decay=-1), ValueError, "Invalid weight_decay"),
        (lambda: optim.SGD([leaf()], nesterov=True), ValueError, "Nesterov momentum requires"),
        (lambda: optim.Adam([leaf()], betas=(1.0, 0.9)), ValueError, "beta parameter at index 0"),
        (lambda: optim.Adam([leaf()], eps=-1), ValueError, "Invalid epsilon value"),
        (lambda: optim.RMSprop([leaf()], alpha=-1), ValueError, "Invalid alpha"),
        (lambda: optim.Adadelta([leaf()], rho=2), ValueError, "Invalid rho"),
        (lambda: optim.Adagrad([leaf()], lr_decay=-1), ValueError, "Invalid lr_decay"),
        (lambda: optim.SGD([leaf()], lr=float("nan")), ValueError, "Invalid learning rate: nan"),
        (lambda: optim.SGD([{"params": {leaf()}}]), TypeError, "ordered collections"),
        (lambda: optim.Adam([leaf()], differentiable=True), NotImplementedError, "create_graph"),
    ],
)
def test_bad_options(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_tensor_belongs_to_one_group():
    p = leaf()
    optimizer = optim.SGD([p], lr=1)
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [p]})
    with pytest.raises(TypeError, match="must be a dict"):
        optimizer.add_param_group([p])


def test_a_gradient_of_the_wrong_shape_is_refused():
    p = leaf()
    p._grad = wrap(np.ones((2, 2)))
    with pytest.raises(RuntimeError, match="shape"):
        optim.SGD([p], lr=1).step()


def test_printed_form():
    text = repr(optim.SGD([leaf()], lr=0.1))
    expected = repr(torch.optim.SGD([torch.zeros(1)], lr=0.1))
    ignored = ("foreach", "differentiable", "fused")
    assert text == "\n".join(
        line for line in expected.split("\n") if not line.strip().startswith(ignored)
    )
