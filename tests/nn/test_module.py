"""Modules: registration, traversal, hooks, saving, conversion, containers."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.second = nn.Linear(3, 1, bias=False)
        self.scale = nn.Parameter(cr.ones(1))
        self.register_buffer("seen", cr.zeros(2))
        self.register_buffer("scratch", cr.zeros(1), persistent=False)

    def forward(self, x):
        return self.second(self.first(x).tanh()) * self.scale


NAMES = ["scale", "first.weight", "first.bias", "second.weight"]


def test_names_and_traversal():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert [name for name, _ in net.named_buffers()] == ["seen", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "second"]
    assert [type(m).__name__ for m in net.children()] == ["Linear", "Linear"]
    assert net.get_submodule("first") is net.first
    assert net.get_parameter("first.weight") is net.first.weight
    assert net.get_buffer("seen") is net.seen
    assert "first" in dir(net)
    with pytest.raises(AttributeError, match="Net has no attribute `third`"):
        net.get_submodule("third.weight")
    with pytest.raises(AttributeError, match=r"`seen` is not an nn\.Module"):
        net.get_submodule("seen")
    with pytest.raises(AttributeError, match=r"`seen` is not an nn\.Parameter"):
        net.get_parameter("seen")
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'third'"):
        _ = net.third


def test_shared_modules_and_parameters_count_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    net.append(net[0])
    assert len(list(net.parameters())) == 3
    assert len(list(net.named_parameters(remove_duplicate=False))) == 6
    assert len(list(net.modules())) == 3


def test_assignment_registers_and_replaces():
    net = Net()
    net.first = nn.Linear(2, 3, bias=False)
    assert "first.bias" not in net.state_dict()
    net.extra = nn.Buffer(cr.ones(2))
    assert isinstance(net.extra, nn.Buffer)
    assert "extra" in net.state_dict()
    net.seen = cr.ones(2)
    assert net.state_dict()["seen"].tolist() == [1, 1]
    net.scale = None
    assert "scale" not in net.state_dict()
    del net.second
    assert [name for name, _ in net.named_children()] == ["first"]
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'scale'"):
        net.scale = cr.ones(1)
    with pytest.raises(TypeError, match="cannot assign 'int' as module 'first'"):
        net.first = 3
    with pytest.raises(TypeError, match="cannot assign 'str' as buffer 'seen'"):
        net.seen = "no"


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda m: m.register_parameter("a.b", None), KeyError, 'contain "."'),
        (lambda m: m.register_parameter("", None), KeyError, "be empty string"),
        (lambda m: m.register_parameter("forward", None), KeyError, "already exists"),
        (lambda m: m.register_parameter("w", cr.ones(1)), TypeError, "Parameter or None required"),
        (lambda m: m.register_parameter(3, None), TypeError, "should be a string"),
        (lambda m: m.register_buffer("b", [1]), TypeError, "Tensor or None required"),
        (lambda m: m.add_module("m", cr.relu), TypeError, "is not a Module subclass"),
        (lambda m: m.train("yes"), ValueError, "expected to be boolean"),
        (lambda m: m.to(cr.int64), TypeError, "floating point or complex"),
        (lambda m: m.to("cuda"), RuntimeError, "CPU"),
        (lambda m: m(1), NotImplementedError, 'missing the required "forward" function'),
    ],
)
def test_mistakes(act, error, words):
    with pytest.raises(error, match=words):
        act(nn.Module())


def test_init_must_come_first():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"cannot assign modules before Module\.__init__"):
        Forgetful()


def test_state_dict_round_trip():
    net, other = Net(), Net()
    state = net.state_dict()
    assert list(state) == ["scale", "seen", "first.weight", "first.bias", "second.weight"]
    assert not any(t.requires_grad for t in state.values())
    assert repr(other.load_state_dict(state)) == "<All keys matched successfully>"
    x = cr.ones(4, 2)
    assert cr.equal(net(x), other(x))
    state["scale"][0] = 5.0  # shares memory
    assert net.scale.item() == 5
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    restored = pickle.loads(pickle.dumps(net))
    assert cr.equal(restored(x), net(x))


def test_state_dict_mistakes_are_pytorchs_and_change_nothing():
    torch = pytest.importorskip("torch")
    mine, theirs = nn.Linear(2, 3), torch.nn.Linear(2, 3)
    before = mine.weight.array.copy()
    with pytest.raises(RuntimeError) as ours:
        mine.load_state_dict({"weight": cr.ones(3, 3), "w": cr.ones(1)})
    with pytest.raises(RuntimeError) as right:
        theirs.load_state_dict({"weight": torch.ones(3, 3), "w": torch.ones(1)})
    assert str(ours.value) == str(right.value).replace("torch.Size", "chainrule.Size")
    np.testing.assert_array_equal(mine.weight.array, before)
    found = mine.load_state_dict({"weight": cr.ones(3, 2), "w": cr.ones(1)}, strict=False)
    assert found.missing_keys == ["bias"]
    assert found.unexpected_keys == ["w"]
    assert (mine.weight.array == 1).all()
    with pytest.raises(TypeError, match="dict-like"):
        mine.load_state_dict([1])
    with pytest.raises(RuntimeError, match=r"expected chainrule\.Tensor or Tensor-like"):
        mine.load_state_dict({"weight": 1, "bias": cr.ones(3)})


def test_loading_keeps_or_takes_the_dtype():
    net = nn.Linear(2, 1)
    state = {k: v.double() for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    assert net.weight.dtype == cr.float32
    net.load_state_dict(state, assign=True)
    assert net.weight.dtype == cr.float64
    net(cr.ones(1, 2, dtype=cr.float64)).sum().backward()
    assert net.weight.grad.dtype == cr.float64


def test_extra_state():
    class Counting(nn.Linear):
        calls = 0

        def get_extra_state(self):
            return {"calls": self.calls}

        def set_extra_state(self, state):
            self.calls = state["calls"]

    net = nn.Sequential(Counting(1, 1))
    net[0].calls = 7
    other = nn.Sequential(Counting(1, 1))
    other.load_state_dict(net.state_dict())
    assert other[0].calls == 7
    del (state := net.state_dict())["0._extra_state"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"0._extra_state"'):
        other.load_state_dict(state)


def test_modes_gradients_conversion():
    net = Net()
    assert not net.eval().first.training
    assert net.train().first.training
    net(cr.ones(1, 2)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all((p.grad.array == 0).all() for p in net.parameters())
    weight = net.first.weight
    net.double()
    assert net.first.weight is weight
    assert {t.dtype for t in [*net.parameters(), *net.buffers()]} == {cr.float64}
    assert weight.grad.dtype == cr.float64
    net.zero_grad()
    net(cr.ones(1, 2, dtype=cr.float64)).sum().backward()
    assert weight.grad.dtype == cr.float64
    assert net.to(cr.zeros(1)).scale.dtype == cr.float32
    net.requires_grad_(False)
    assert not net(cr.ones(1, 2)).requires_grad
    visited = []
    net.apply(lambda m: visited.append(type(m).__name__))
    assert visited == ["Linear", "Linear", "Net"]


def test_copies_are_independent():
    net = Net()
    twin = copy.deepcopy(net)
    with cr.no_grad():
        net.scale += 1
    assert twin.scale.item() == 1
    assert isinstance(twin.scale, nn.Parameter)
    assert twin.scale.requires_grad


def test_forward_hooks():
    net, seen = nn.Linear(2, 2), []
    x = cr.ones(1, 2)
    before = net.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    after = net.register_forward_hook(lambda m, args, out: seen.append(args[0].tolist()) or out + 1)
    doubled = net(x)
    assert seen == [[[2.0, 2.0]]]
    before.remove()
    after.remove()
    assert cr.allclose(doubled, net(x * 2) + 1)

    order = []
    net.register_forward_hook(lambda *_: order.append("first"))
    net.register_forward_hook(lambda *_: order.append("second"), prepend=True)
    net.register_forward_pre_hook(lambda m, a, k: order.append(k), with_kwargs=True)
    net(input=x)
    assert order == [{"input": x}, "second", "first"]


def test_hooks_that_always_run():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    net, ran = Broken(), []
    net.register_forward_hook(lambda m, args, out: ran.append(out), always_call=True)
    with pytest.raises(ValueError, match="broken"):
        net(1)
    assert ran == [None]


def test_backward_hooks_match_pytorch():
    torch = pytest.importorskip("torch")
    results = []
    for library in (cr, torch):
        net = library.nn.Linear(2, 3)
        with library.no_grad():
            net.weight.copy_(library.arange(6.0).reshape(3, 2))
            net.bias.copy_(library.zeros(3))
        seen = []

        def hook(module, grad_input, grad_output, seen=seen):
            seen.extend([grad_input[0].tolist(), grad_output[0].tolist()])
            return (grad_input[0] * 10,)

        net.register_full_backward_hook(hook)
        net.register_full_backward_pre_hook(lambda m, g: (g[0] * 2,))
        x = library.ones((1, 2), requires_grad=True)
        (net(x) ** 2).sum().backward()
        results.append([seen, x.grad.tolist(), net.weight.grad.tolist()])
    assert results[0] == results[1]


def test_backward_hook_without_input_gradient():
    net, seen = nn.Linear(2, 1), []
    net.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    net(cr.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]
    net.register_full_backward_hook(lambda m, gi, go: (cr.ones(1, 2),))
    with pytest.raises(RuntimeError, match="no input requires gradient"):
        net(cr.ones(1, 2)).sum().backward()


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)
    net = nn.Sequential(a, b, c)
    x = cr.ones(4, 2)
    assert cr.equal(net(x), c(b(a(x))))
    assert net[0] is a
    assert net[-1] is c
    assert list(net[:2]) == [a, b]
    assert isinstance(net[1:], nn.Sequential)
    named = nn.Sequential(OrderedDict(inner=a, outer=c))
    assert named.inner is a
    assert list(named[:1].state_dict()) == ["inner.weight", "inner.bias"]
    net[1] = nn.ReLU()
    net.append(nn.Sigmoid()).insert(0, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Identity", "Linear", "ReLU", "Linear", "Sigmoid"]
    del net[0]
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    assert isinstance(net.pop(-1), nn.Sigmoid)
    assert len(net + nn.Sequential(b)) == 4
    with pytest.raises(IndexError, match="index 9 is out of range"):
        net[9]
    with pytest.raises(TypeError, match="is not a Module subclass"):
        nn.Sequential(cr.tanh)


def test_module_list_and_dict():
    torch = pytest.importorskip("torch")
    layers = nn.ModuleList([nn.Linear(1, 1) for _ in range(3)])
    layers.append(nn.ReLU())
    layers.extend([nn.Tanh()])
    layers.insert(1, nn.Identity())
    assert [type(m).__name__[:2] for m in layers] == ["Li", "Id", "Li", "Li", "Re", "Ta"]
    assert isinstance(layers[1:3], nn.ModuleList)
    assert [n for n, _ in nn.ModuleList([layers[2]]).named_parameters()] == ["0.weight", "0.bias"]
    del layers[1]
    t = torch.nn
    right = t.ModuleList([*[t.Linear(1, 1) for _ in range(3)], t.ReLU(), t.Tanh()])
    assert repr(layers) == repr(right)
    with pytest.raises(TypeError, match="should be called with an iterable"):
        layers.extend(nn.ReLU)

    parts = nn.ModuleDict({"head": nn.Linear(1, 1), "tail": nn.ReLU()})
    assert list(parts) == ["head", "tail"]
    assert "head" in parts
    parts.update([("middle", nn.Tanh())])
    assert parts.pop("tail") is not None
    assert repr(parts) == repr(t.ModuleDict({"head": t.Linear(1, 1), "middle": t.Tanh()}))


def test_parameter_list_and_dict():
    weights = nn.ParameterList([cr.ones(2), nn.Parameter(cr.zeros(3))])
    weights.append(cr.ones(1))
    assert [n for n, _ in weights.named_parameters()] == ["0", "1", "2"]
    assert all(isinstance(w, nn.Parameter) for w in weights)
    weights[0] = cr.zeros(5)
    assert weights[0].shape == (5,)
    assert "Parameter containing" in repr(weights)
    table = nn.ParameterDict({"a": cr.ones(2)})
    table["b"] = cr.zeros(1)
    assert list(table.state_dict()) == ["a", "b"]
    assert table.setdefault("a").tolist() == [1, 1]


def test_printed_form():
    torch = pytest.importorskip("torch")

    def build(n):
        return n.Sequential(
            OrderedDict(
                stem=n.Sequential(n.Conv2d(1, 8, 3, padding=1), n.BatchNorm2d(8), n.ReLU(True)),
                pool=n.MaxPool2d(2),
                head=n.Sequential(n.Flatten(), n.Dropout(0.1), n.Linear(128, 10, bias=False)),
            )
        )

    assert repr(build(nn)) == repr(build(torch.nn))


def test_a_course_example_trains():
    """The loop every PyTorch course shows, unchanged."""
    cr.manual_seed(0)
    x = cr.linspace(-1, 1, 64).unsqueeze(1)
    y = x**3
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = cr.optim.Adam(net.parameters(), lr=0.02)
    criterion = nn.MSELoss()
    for _ in range(300):
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3


def test_gradient_clipping():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    grads = [rng.normal(size=(3, 2)), rng.normal(size=4)]
    for norm_type in (1.0, 2.0, 3.0, float("inf")):
        norms, clipped = [], []
        for library in (cr, torch):
            params = []
            for g in grads:
                p = library.zeros(g.shape, dtype=library.float64, requires_grad=True)
                p.grad = library.tensor(g)
                params.append(p)
            total = library.nn.utils.clip_grad_norm_(params, 0.5, norm_type)
            norms.append(total.item())
            library.nn.utils.clip_grad_value_(params, 0.1)
            clipped.append(np.concatenate([np.asarray(p.grad.numpy()).ravel() for p in params]))
        np.testing.assert_allclose(*norms, rtol=1e-12)
        np.testing.assert_allclose(*clipped, rtol=1e-12)
    p = cr.zeros(1, requires_grad=True)
    p.grad = cr.tensor([float("nan")])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)


def test_parameters_as_a_vector():
    net = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,)
    assert vector.requires_grad
    nn.utils.vector_to_parameters(cr.arange(9.0), net.parameters())
    assert net.bias.tolist() == [6, 7, 8]
    with pytest.raises(ValueError, match="9 entries"):
        nn.utils.vector_to_parameters(cr.arange(8.0), net.parameters())
