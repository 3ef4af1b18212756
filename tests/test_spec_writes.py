"""What the specification of the dynamic graph promises: modes, in place and views, hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

from .both_libraries import libraries, near

# ---------------------------------------------------------------- modes


def test_grad_modes_are_context_managers_and_decorators() -> None:
    for lib in libraries():
        x = lib.ones(2, requires_grad=True)
        for off in (lib.no_grad, lib.inference_mode, lambda: lib.set_grad_enabled(False)):  # noqa: B023
            with off():
                assert not lib.is_grad_enabled()
                assert not (x * 2).requires_grad
            assert lib.is_grad_enabled()
        with lib.no_grad(), lib.enable_grad():
            assert (x * 2).requires_grad

        @lib.no_grad()
        def f(x: Any, lib: Any = lib) -> Any:
            return (x * 2).requires_grad

        @lib.inference_mode()
        def g(x: Any, lib: Any = lib) -> Any:
            return (x * 2).requires_grad

        assert (f(x), g(x)) == (False, False)
        lib.set_grad_enabled(False)
        assert not lib.is_grad_enabled()
        lib.set_grad_enabled(True)


# ---------------------------------------------------------------- in place and views


def test_in_place_operators_and_every_kind_of_index() -> None:
    def program(torch: Any) -> Any:
        x = torch.arange(12.0).view(3, 4).requires_grad_()
        y = x * 1
        y += 1
        y *= 2
        y[0] = 5.0
        y[1:, ::2] = torch.tensor([7.0, 8.0])
        y[torch.tensor([2, 0]), torch.tensor([1, 3])] = x[0, 0] * 3
        y[y > 15] = -1.0
        y[..., -1] += x[:, 1]
        y[None, 1, 1] = x[2, 2]
        y[[True, False, True], 0] *= 3
        y.add_(1).mul_(2).sub_(0.5).div_(2)
        (y * y).sum().backward()
        return y, x.grad

    near(program, *[t.detach().numpy() for t in program(cr)])


def test_out_argument() -> None:
    for lib in libraries():
        out = lib.empty(3)
        assert lib.exp(lib.zeros(3), out=out) is out
        assert out.tolist() == [1, 1, 1]
        lib.add(lib.ones(3), 2, out=out)
        assert out.tolist() == [3, 3, 3]


def test_views_share_memory_and_in_place_reaches_base_and_gradient() -> None:
    takers: list[Callable[[Any], Any]] = [
        lambda t: t.view(-1)[0:2], lambda t: t.reshape(4)[1:3], lambda t: t[0], lambda t: t.T[0],
        lambda t: t.diagonal(), lambda t: t.permute(1, 0)[1],
        lambda t: t.flatten()[:2], lambda t: t.narrow(0, 1, 1), lambda t: t.unsqueeze(0)[0, 1],
        lambda t: t.transpose(0, 1).select(0, 1), lambda t: t.view_as(t), lambda t: t.expand(2, 2),
        lambda t: t.swapaxes(0, 1), lambda t: t[...], lambda t: t.squeeze(0), lambda t: t.mT,
        lambda t: t.squeeze(), lambda t: t.movedim(0, 1)[0],
        lambda t: t.unfold(0, 1, 1)[0],
    ]  # fmt: skip
    for take in takers:

        def program(torch: Any, take: Callable[[Any], Any] = take) -> Any:
            x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
            base = x * x
            part = take(base)
            part.mul_(10.0)
            part += x.sum()
            (base * base).sum().backward()
            return base, x.grad

        near(program, *[t.detach().numpy() for t in program(cr)])


def test_unbind_and_split_are_views_that_can_be_written() -> None:
    for take in (lambda t: t.unbind(1)[0], lambda t: t.split(1, 1)[0], lambda t: t.chunk(2, 1)[0]):
        x = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        base = x * x
        take(base).mul_(10.0)
        base.sum().backward()
        assert base.tolist() == [[10, 4], [90, 16]]
        assert x.grad.tolist() == [[20, 4], [60, 8]]


def test_version_counts_writes() -> None:
    for lib in libraries():
        x = lib.zeros(3)
        assert x._version == 0
        x.add_(1)
        x[0] = 2.0
        x[1:].zero_()
        assert x._version == 3


def test_a_leaf_may_not_be_written_outside_no_grad() -> None:
    for lib in libraries():
        x = lib.zeros(3, requires_grad=True)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            x += 1
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            x[0] = 1.0
        with lib.no_grad():
            x += 1
        assert x.tolist() == [1, 1, 1]


def test_a_saved_value_that_was_overwritten_is_an_error_naming_both_lines() -> None:
    x = cr.ones(2, requires_grad=True)
    y = x.exp()  # made
    y.add_(1)  # overwritten
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as e:
        y.sum().backward()
    assert "y = x.exp()  # made" in str(e.value)
    assert "y.add_(1)  # overwritten" in str(e.value)


# ---------------------------------------------------------------- hooks


def test_hooks_of_tensors() -> None:
    for lib in libraries():
        x = lib.ones(2, requires_grad=True)
        doubled = x.register_hook(lambda g: 2 * g)
        (3 * x).sum().backward()
        assert x.grad.tolist() == [6, 6]
        doubled.remove()
        seen: list[Any] = []
        x.register_post_accumulate_grad_hook(lambda t, seen=seen: seen.append(t.grad.tolist()))
        y = x * 2
        y.register_hook(lambda g, seen=seen: seen.append(g.tolist()))
        y.sum().backward()
        assert seen == [[1, 1], [8, 8]]


def test_hooks_of_nodes() -> None:
    for lib in libraries():
        x = lib.ones(2, requires_grad=True)
        y = x * 3
        seen: list[Any] = []
        y.grad_fn.register_prehook(lambda go: (go[0] * 2,))
        y.grad_fn.register_hook(
            lambda gi, go, seen=seen: seen.append((gi[0].tolist(), go[0].tolist()))
        )
        y.sum().backward()
        assert seen == [([6, 6], [2, 2])]
        assert x.grad.tolist() == [6, 6]


def test_hooks_on_saved_tensors() -> None:
    for lib in libraries():
        graph = lib.autograd.graph
        x, packed = lib.ones(2, requires_grad=True), []
        with graph.saved_tensors_hooks(
            lambda t, packed=packed: packed.append(1) or t.detach().numpy(), lib.from_numpy
        ):
            y = x.exp() * x.sin()
        with graph.save_on_cpu():
            z = y * y
        z.sum().backward()
        assert len(packed) >= 3
        expected = 2 * np.exp(2) * np.sin(1) * (np.sin(1) + np.cos(1))
        np.testing.assert_allclose(x.grad, [expected] * 2, rtol=1e-6)
        with (
            graph.disable_saved_tensors_hooks("not here"),
            pytest.raises(RuntimeError, match="not here"),
            graph.saved_tensors_hooks(lambda t: t, lambda t: t),
        ):
            pass


def test_allow_mutation_on_saved_tensors() -> None:
    for lib in libraries():
        with lib.autograd.graph.allow_mutation_on_saved_tensors():
            a = lib.ones(2, requires_grad=True)
            b = a.clone()
            c = (b**2).sum()
            b.sin_()
            c.backward()
        assert a.grad.tolist() == [2, 2]


def test_multi_grad_hook_and_gradient_edge() -> None:
    for lib in libraries():
        a, b = lib.ones(2, requires_grad=True), lib.full((2,), 3.0, requires_grad=True)
        seen: list[Any] = []
        handle = lib.autograd.graph.register_multi_grad_hook(
            (a, b), lambda gs, seen=seen: seen.extend(g.tolist() for g in gs)
        )
        y = a * b
        edge = lib.autograd.graph.get_gradient_edge(y)
        assert edge.node is y.grad_fn
        assert edge.output_nr == 0
        (y * y).sum().backward()
        assert seen == [[18, 18], [6, 6]]
        handle.remove()
        (g,) = lib.autograd.grad((a * b).sum(), lib.autograd.graph.get_gradient_edge(a))
        assert g.tolist() == [3, 3]
