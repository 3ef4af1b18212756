"""Programs that once gave another result under `jit`, made small."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.just_in_time import jit


def filled(x):
    v = cr.zeros(2)
    v.fill_(2.0)
    return v + x.sum()


def copied(x):
    v = cr.zeros(2)
    v.copy_(cr.ones(2) * 3)
    v[0] = 5.0
    return v + x.sum()


def filled_through_a_view(x):
    v = cr.zeros(2, 2)
    v[1].fill_(2.0)
    row = v[0]
    v.add_(1.0)
    return v * x.sum() + row


@pytest.mark.parametrize("size", [1, 4])
def test_an_argument_that_is_mapped_over_is_written(size):
    def f(x):
        x.mul_(2)
        return x.sum()

    compiled, data = jit(f), cr.arange(3.0 * size).reshape(size, 3)
    for transform in (cr.func.vmap, lambda f: cr.func.vmap(cr.func.grad(lambda x: f(x.clone())))):
        for _ in range(2):
            expected = transform(f)(data.clone())
            assert transform(compiled)(data.clone()).tolist() == expected.tolist()


@pytest.mark.parametrize("f", [filled, copied, filled_through_a_view])
def test_numbers_written_into_a_fresh_tensor(f):
    """What is written depends on no argument, but what is written to is part of the recording."""
    x = cr.tensor([1.0, 2.0])
    compiled = jit(f)
    for _ in range(2):
        assert compiled(x).tolist() == f(x).tolist()
    mapped = cr.func.vmap(jit(f))(cr.stack([x, x + 1]))
    assert mapped.tolist() == [f(x).tolist(), f(x + 1).tolist()]


def test_numbers_written_into_a_tensor_from_outside():
    outside = cr.zeros(2)

    @jit
    def f(x):
        outside.fill_(7.0)
        return outside * x

    x = cr.tensor([1.0, 2.0])
    for _ in range(2):
        outside.zero_()
        assert f(x).tolist() == [7.0, 14.0]
        assert outside.tolist() == [7.0, 7.0]


def test_a_compiled_function_without_any_derivative() -> None:
    """The value that set_data gives is a path to the result, along which nothing comes back."""
    x = cr.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = cr.jit(lambda x: REGISTRY["set_data"](cr.zeros(3), x))(x)
    for create_graph in (False, True):
        (first,) = cr.autograd.grad((y * x).sum(), x, create_graph=create_graph, retain_graph=True)
        assert first.tolist() == [1.0, -2.0, 3.0]
