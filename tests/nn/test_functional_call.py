"""Modules as functions of their parameters, against PyTorch where it is installed."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.core.tensor import Tensor
from chainrule.func_modules import functional_call, stack_module_state


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.second = nn.Sequential(nn.Tanh(), nn.Linear(3, 1))
        self.register_buffer("count", cr.zeros(()))

    def forward(self, x, scale=1.0):
        self.count = self.count + 1
        return self.second(self.first(x)) * scale


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.foo = nn.Parameter(cr.ones(()))
        self.tied = self.foo

    def forward(self, x):
        return x + self.foo + self.tied


class Failing(nn.Linear):
    def forward(self, x):
        raise KeyError("in forward")


class Marked(Tensor):
    """A tensor of another class, as the boxes of transforms are."""

    __slots__ = ()


def state(module):
    return {
        name: (id(table), {key: id(value) for key, value in table.items()})
        for name, owner in module.named_modules()
        for table in (owner._parameters, owner._buffers)
    }


def doubled(module):
    return {name: (2 * p).detach() for name, p in module.named_parameters()}


def test_replaces_and_restores():
    net = Net()
    before = state(net)
    x = cr.randn(4, 2)
    weights = doubled(net)
    expected = cr.tanh(x @ weights["first.weight"].T + weights["first.bias"])
    expected = expected @ weights["second.1.weight"].T + weights["second.1.bias"]
    got = functional_call(net, {**weights, "count": cr.zeros(())}, x, {"scale": 3.0})
    np.testing.assert_allclose(got.numpy(), 3 * expected.numpy(), rtol=1e-5)
    assert state(net) == before
    assert not got.requires_grad


def test_gradients_reach_the_given_tensors():
    net = Net()
    weights = {name: w.requires_grad_() for name, w in doubled(net).items()}
    functional_call(net, weights, (cr.randn(4, 2),)).sum().backward()
    assert all(w.grad is not None for w in weights.values())
    assert all(p.grad is None for p in net.parameters())


def test_one_argument_none_or_several():
    class Count(nn.Module):
        def forward(self, *args):
            return len(args)

    assert [functional_call(Count(), {}, a) for a in (None, (), cr.ones(1), (1, 2), [1, 2])] == [
        0, 0, 1, 2, 1,
    ]  # fmt: skip


def test_restored_when_forward_raises():
    module = Failing(2, 1)
    before = state(module)
    weights = doubled(module)
    with pytest.raises(KeyError, match="in forward"):
        functional_call(module, weights, cr.ones(2))
    assert state(module) == before


def test_assigned_buffers_land_in_the_dictionaries():
    net = Net()
    buffers = {"count": cr.tensor(5.0)}
    functional_call(net, (doubled(net), buffers), cr.ones(2))
    assert buffers["count"].item() == 6
    assert net.count.item() == 0


def test_tensors_of_other_classes():
    layer = nn.Linear(2, 2)
    weight = object.__new__(Marked)
    weight.array, weight.node = np.eye(2, dtype=np.float32), None

    class Look(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self):
            return type(self.layer.weight)

    assert functional_call(Look(), {"layer.weight": weight}) is Marked


def test_tied_weights():
    module = Tied()
    zero, one = cr.zeros(()), cr.ones(())
    x = cr.zeros(())
    assert module(x).item() == 2
    assert functional_call(module, {"foo": zero}, x).item() == 0
    assert functional_call(module, {"tied": zero}, x).item() == 0
    assert functional_call(module, {"foo": zero}, x, tie_weights=False).item() == 1
    assert functional_call(module, {"foo": zero, "tied": zero}, x).item() == 0
    assert functional_call(module, {"foo": zero, "tied": one}, x, tie_weights=False).item() == 1
    with pytest.raises(ValueError, match=r"multiple values for keys \['foo', 'tied'\]"):
        functional_call(module, {"foo": zero, "tied": one}, x)
    assert functional_call(module, {"foo": zero}, x, strict=True).item() == 0


def test_one_module_under_two_names():
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    net[1] = net[0]
    before = state(net)
    three = cr.full((1, 1), 3.0)
    assert functional_call(net, {"0.weight": three}, cr.ones(1)).item() == 9
    values = {"0.weight": cr.ones(1, 1), "1.weight": three}
    functional_call(net, values, cr.ones(1), tie_weights=False)
    assert state(net) == before


def test_a_name_the_module_does_not_have_is_an_attribute_meanwhile():
    class Extra(nn.Module):
        def forward(self):
            return self.extra + 1

    module = Extra()
    assert functional_call(module, {"extra": cr.ones(())}).item() == 2
    assert not hasattr(module, "extra")
    module.extra = cr.zeros(())
    assert functional_call(module, {"extra": cr.ones(())}).item() == 2
    assert module.extra.item() == 0
    functional_call(nn.Linear(1, 1, bias=False), {"bias": cr.ones(1)}, cr.ones(1))


@pytest.mark.parametrize(
    ("values", "options", "kind", "message"),
    [
        ({"weight": 1.0}, {}, TypeError, "'weight' is a float, not an instance of .*Tensor"),
        ({"training": cr.ones(1)}, {}, TypeError, "attribute `training` of Linear is a bool"),
        ({"no.weight": cr.ones(1)}, {}, AttributeError, "no attribute `no`"),
        ("weight", {}, ValueError, "Expected parameter_and_buffer_dicts to be a dict"),
        (3, {}, ValueError, "but got <class 'int'>"),
        ([{}, 3], {}, ValueError, "all elements of parameter_and_buffer_dicts"),
        (({"weight": 1}, {"weight": 2}), {}, ValueError, r"\['weight'\] appeared in multiple"),
        ({}, {"strict": True}, RuntimeError, r"Missing key\(s\): 'weight', 'bias'\."),
        ({"x": cr.ones(1)}, {"strict": True}, RuntimeError, r"Unexpected key\(s\): 'x'\."),
    ],
)
def test_errors(values, options, kind, message):
    layer = nn.Linear(2, 1)
    before = state(layer)
    with pytest.raises(kind, match=message):
        functional_call(layer, values, cr.ones(2), **options)
    assert state(layer) == before


def test_the_name_of_older_programs():
    weights = {"weight": cr.ones(1, 2), "bias": cr.zeros(1)}
    got = nn.utils.stateless.functional_call(nn.Linear(2, 1), weights, cr.ones(2))
    assert got.tolist() == [2]


def test_only_modules_can_be_called():
    with pytest.raises(TypeError, match=r"is not an instance of chainrule.nn.Module"):
        functional_call(lambda: 1, {}, None)


def test_threads_take_turns():
    layer = nn.Linear(1, 1, bias=False)
    before = state(layer)
    wrong = []

    def work(value):
        weight = {"weight": cr.full((1, 1), float(value))}
        for _ in range(200):
            if functional_call(layer, weight, cr.ones(1)).item() != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert state(layer) == before


def test_stacked_state():
    nets = [Net() for _ in range(3)]
    parameters, buffers = stack_module_state(nets)
    assert list(parameters) == [name for name, _ in nets[0].named_parameters()]
    assert all(p.is_leaf and p.requires_grad for p in parameters.values())
    assert list(buffers) == ["count"]
    assert not buffers["count"].requires_grad
    x = cr.randn(4, 2)
    for i, net in enumerate(nets):
        mine = {name: p[i] for name, p in parameters.items()}
        assert cr.equal(functional_call(net, mine, x), net(x))


def test_stacked_state_of_unlike_modules():
    with pytest.raises(RuntimeError, match="Expected at least one model, got 0"):
        stack_module_state([])
    with pytest.raises(RuntimeError, match="same training/eval mode"):
        stack_module_state([nn.Linear(1, 1), nn.Linear(1, 1).eval()])
    with pytest.raises(RuntimeError, match="of the same class"):
        stack_module_state([nn.Linear(1, 1), nn.Tanh()])
    with pytest.raises(RuntimeError, match="weight from each model to have the same shape"):
        stack_module_state([nn.Linear(1, 1), nn.Linear(2, 1)])
    with pytest.raises(RuntimeError, match="same names, but model 1 and model 0 differ in 'bias'"):
        stack_module_state([nn.Linear(1, 1), nn.Linear(1, 1, bias=False)])
    with pytest.raises(RuntimeError, match=r"weight from each model to have the same .requires_gr"):
        stack_module_state([nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False)])


def test_as_pytorch():
    torch = pytest.importorskip("torch")
    mine = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.normal(size=tuple(p.shape)).astype(np.float32)
        for name, p in mine.named_parameters()
    }
    x = rng.normal(size=(4, 2)).astype(np.float32)
    got = functional_call(mine, {k: cr.tensor(v) for k, v in arrays.items()}, cr.tensor(x))
    want = torch.func.functional_call(
        theirs, {k: torch.tensor(v) for k, v in arrays.items()}, torch.tensor(x)
    )
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5)
