"""What the specification of the dynamic graph promises, sentence by sentence, value by value.

`torch` below is chainrule: every program is written as a user of PyTorch writes it.  Where PyTorch
is installed, each program also runs with it, and both must print the same.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr


def libraries() -> list[Any]:
    found = [cr]
    with contextlib.suppress(ImportError):
        found.append(importlib.import_module("torch"))
    return found


def said(program: Callable[[Any], Any]) -> str:
    """What a program prints, after checking that PyTorch prints the same."""
    texts = [str(program(lib)).replace("torch.", "chainrule.") for lib in libraries()]
    assert len(set(texts)) == 1, texts
    return texts[0]


def near(program: Callable[[Any], Any], *expected: Any, rtol: float = 1e-6) -> None:
    """The numbers of a program are the expected ones, in both libraries."""
    for lib in libraries():
        found = program(lib)
        found = found if isinstance(found, (tuple, list)) else (found,)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            a = a.detach().numpy() if hasattr(a, "detach") else a
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-7)


# ---------------------------------------------------------------- creation, dtypes, printing


def test_constructors_and_default_dtype_float32() -> None:
    def program(torch: Any) -> Any:
        return [
            (t.dtype, tuple(t.shape), t.tolist())
            for t in (
                torch.tensor([1.0, 2.0]), torch.tensor([1, 2]), torch.arange(4), torch.arange(4.0),
                torch.zeros(2, 3), torch.ones(2), torch.full((2,), 7), torch.full((2,), 1.5),
                torch.eye(2), torch.linspace(0, 1, 5), torch.zeros_like(torch.arange(2)),
                torch.ones_like(torch.zeros(2), dtype=torch.int64),
                torch.full_like(torch.ones(2), 3),
                torch.as_tensor([True]), torch.as_tensor(2j),
            )
        ]  # fmt: skip

    said(program)
    for lib in libraries():
        for made in (lib.randn(2, 3), lib.rand(2, 3), lib.rand_like(lib.zeros(2, 3))):
            assert made.shape == (2, 3)
            assert made.dtype == lib.float32


def test_set_default_dtype() -> None:
    for lib in libraries():
        lib.set_default_dtype(lib.float64)
        try:
            assert lib.tensor(1.0).dtype == lib.float64
            assert lib.zeros(2).dtype == lib.float64
            assert lib.tensor(1j).dtype == lib.complex128
        finally:
            lib.set_default_dtype(lib.float32)


def test_numpy_arrays_keep_their_dtype_and_from_numpy_shares_memory() -> None:
    for lib in libraries():
        for dt in (np.float64, np.float32, np.int32, np.int64, np.bool_, np.complex128):
            a = np.ones(2, dt)
            assert str(lib.tensor(a).dtype).split(".")[1] == a.dtype.name
            assert lib.from_numpy(a).numpy().dtype == dt
        a = np.zeros(2)
        lib.from_numpy(a)[0] = 5.0
        assert a[0] == 5.0
        lib.as_tensor(a)[1] = 6.0
        assert a[1] == 6.0


def test_pytorch_s_type_promotion() -> None:
    names = ["bool", "uint8", "int32", "int64", "float32", "float64", "complex64"]

    def program(torch: Any) -> Any:
        kinds = [torch.ones(2, dtype=getattr(torch, n)) for n in names]
        kinds += [torch.ones((), dtype=getattr(torch, n)) for n in names]
        found = [(a + b).dtype for a in kinds for b in kinds]
        found += [(a * 2).dtype for a in kinds] + [(a * 2.5).dtype for a in kinds]
        return found + [(a / b).dtype for a in kinds for b in kinds] + [(kinds[3] + 1j).dtype]

    said(program)


@pytest.mark.parametrize(
    ("make", "printed"),
    [
        (lambda t: 4 * t.arange(4.0), "tensor([ 0.,  4.,  8., 12.])"),
        (
            lambda t: 2 * t.dot(t.arange(4.0, requires_grad=True), t.arange(4.0)),
            "tensor(28., grad_fn=<MulBackward0>)",
        ),
        (lambda t: t.tensor(0.8392, requires_grad=True), "tensor(0.8392, requires_grad=True)"),
        (lambda t: t.arange(4.0) == t.arange(4.0), "tensor([True, True, True, True])"),
        (lambda t: t.tensor([True, False]), "tensor([ True, False])"),
        (lambda t: t.eye(2), "tensor([[1., 0.],\n        [0., 1.]])"),
        (lambda t: t.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
        (lambda t: t.tensor([1e-10, 1.0]), "tensor([1.0000e-10, 1.0000e+00])"),
        (lambda t: t.tensor([1 + 2j]), "tensor([1.+2.j])"),
        (lambda t: t.zeros(0, 3), "tensor([], size=(0, 3))"),
        (lambda t: t.tensor(2.5, dtype=t.float64), "tensor(2.5000, dtype=chainrule.float64)"),
        (lambda t: t.tensor([float("nan"), float("-inf")]), "tensor([nan, -inf])"),
        (lambda t: t.zeros(2, 3).shape, "chainrule.Size([2, 3])"),
        (lambda t: repr(t.device("cpu")), "device(type='cpu')"),
        (lambda t: t.float32, "chainrule.float32"),
    ],
)
def test_printing_as_pytorch_prints(make: Callable[[Any], Any], printed: str) -> None:
    assert said(make) == printed


def test_set_printoptions() -> None:
    def program(torch: Any) -> Any:
        try:
            torch.set_printoptions(precision=2, sci_mode=True)
            first = str(torch.tensor([1.23456, 2.0]))
            torch.set_printoptions(edgeitems=1, threshold=5, linewidth=40, sci_mode=False)
            return first, str(torch.arange(20)), str(torch.arange(5.0) / 3)
        finally:
            torch.set_printoptions(profile="default")

    said(program)


def test_dtype_objects_size_device_to_generator_finfo() -> None:
    def program(torch: Any) -> Any:
        x = torch.zeros(2, 3)
        g = torch.Generator().manual_seed(3)
        again = torch.Generator().manual_seed(3)
        assert torch.equal(torch.rand(4, generator=g), torch.rand(4, generator=again))
        dtypes = [torch.float16, torch.float32, torch.float64, torch.int8, torch.int64,
                  torch.bool, torch.complex64, torch.complex128, torch.uint8, torch.long,
                  torch.double]  # fmt: skip
        return (
            dtypes, [d.itemsize for d in dtypes], [d.is_floating_point for d in dtypes],
            x.size(), x.size(1), x.shape.numel(), x.to(torch.float64).dtype, x.to("cpu").device,
            torch.finfo(torch.float32).eps, torch.finfo(torch.float64).max,
            torch.iinfo(torch.int32).max, x.double().dtype, x.type(), x.to(torch.int32) is x,
            x.to(torch.float32) is x,
        )  # fmt: skip

    said(program)


def test_bfloat16_where_numpy_s_extension_allows() -> None:
    pytest.importorskip("ml_dtypes")
    assert said(lambda t: (t.tensor([1.0, 2.5]).bfloat16() + 1).sum()) == (
        "tensor(5.5000, dtype=chainrule.bfloat16)"
    )


# ---------------------------------------------------------------- tensors on the tape


def test_grad_is_none_at_first_and_leaves_are_leaves() -> None:
    for lib in libraries():
        x = lib.arange(4.0)
        assert x.grad is None
        assert not x.requires_grad
        assert x.requires_grad_() is x
        y = x * x
        assert (x.is_leaf, y.is_leaf, y.detach().is_leaf) == (True, False, True)
        assert x.grad_fn is None
        y.retain_grad()
        y.sum().backward()
        assert y.grad.tolist() == [1, 1, 1, 1]


def test_grad_fn_is_named_and_has_next_functions_and_metadata() -> None:
    def program(torch: Any) -> Any:
        x = torch.ones(3, requires_grad=True)
        made = [x * 2, x**2, x.sum(), x + 1, x - 1, x / 2, x.exp(), x.mean(), -x, x.sin(),
                x.view(-1), x @ x, torch.stack([x, x]), torch.cat([x, x]), x[0], x.clone(),
                x.relu(), x.log(),
                x.unsqueeze(0).T, x.tanh(), x.sigmoid(), x.softmax(0), x.abs(), x.max(), x.min(),
                x.norm(), x.expand(2, 3), x.reshape(1, 3), torch.where(x > 0, x, x)]  # fmt: skip
        loss = torch.nn.functional.mse_loss(x, x.detach())
        made += [
            1 - x,
            x.clamp(0),
            x.clamp(0, 2),
            x.expand(2, 3).sum(0),
            x.expand(2, 3).mean(1),
            x.prod(),
            loss,
        ]
        made += [
            x.gather(0, torch.tensor([0])),
            x.masked_fill(x > 2, 0.0),
            *x.unbind(),
            *x.split(1),
        ]
        made += [made[-1].unsqueeze(0).t(), x.unsqueeze(0).transpose(0, 1), *x.unsqueeze(0)]
        y = (x * 2).sum()
        y.grad_fn.metadata["note"] = 3
        assert y.grad_fn.metadata == {"note": 3}
        inner = y.grad_fn.next_functions[0][0]
        leaf = inner.next_functions[0][0]
        assert leaf.variable is x
        return [t.grad_fn.name() for t in made], inner.name(), type(leaf).__name__

    said(program)


def test_detach_shares_memory_and_stops_gradients() -> None:
    for lib in libraries():
        x = lib.arange(4.0, requires_grad=True)
        y = x * x
        u = y.detach()
        z = u * x
        z.sum().backward()
        assert bool((x.grad == u).all())
        x.grad.zero_()
        y.sum().backward()
        assert bool((x.grad == 2 * x).all())
        x.detach()[0] = 9.0
        assert x[0].item() == 9.0
        x.data[0] = 7.0
        assert x.tolist()[0] == 7.0
        w = x * 1
        w.detach_()
        assert w.grad_fn is None
        assert x.detach().numpy()[0] == 7.0
        assert x.clone().requires_grad


# ---------------------------------------------------------------- backward and grad


def test_values_of_y_is_2_dot_x_x() -> None:
    def program(torch: Any) -> Any:
        x = torch.arange(4.0, requires_grad=True)
        y = 2 * torch.dot(x, x)
        y.backward()
        return y, x.grad, (x.grad == 4 * x).all().item()

    near(program, 28, [0, 4, 8, 12], True)


def test_values_of_sum_and_mean_of_squares() -> None:
    def program(torch: Any) -> Any:
        x = torch.arange(4.0, requires_grad=True)
        x.sum().backward()
        first = x.grad.clone()
        x.grad.zero_()
        (x * x).mean().backward()
        return first, x.grad

    near(program, [1, 1, 1, 1], [0, 0.5, 1, 1.5])


def test_an_integer_gradient_is_accepted() -> None:
    def program(torch: Any) -> Any:
        x = torch.arange(4.0, requires_grad=True)
        y = x * x
        y.backward(gradient=torch.tensor([3, 3, 3, 3]))
        return x.grad

    near(program, [0, 6, 12, 18])


def test_gradients_accumulate_in_leaves_only_unless_retained() -> None:
    for lib in libraries():
        x = lib.tensor(2.0, requires_grad=True)
        for _ in range(3):
            y = x * x
            y.backward()
        assert x.grad.item() == 12.0
        with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
            assert y.grad is None


def test_a_non_scalar_without_gradient_is_an_error() -> None:
    for lib in libraries():
        x = lib.ones(2, requires_grad=True)
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar"):
            (x * x).backward()


def test_a_second_backward_says_who_freed_the_graph_and_both_cures() -> None:
    x = cr.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()  # here
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second") as e:
        y.backward()
    text = str(e.value)
    assert "y.backward()  # here" in text
    assert "retain_graph=True" in text
    assert "compute the value again" in text


def test_backward_inputs_and_create_graph() -> None:
    for lib in libraries():
        x, w = lib.tensor(2.0, requires_grad=True), lib.tensor(3.0, requires_grad=True)
        (x * x * w).backward(inputs=[x], retain_graph=True)
        assert (x.grad.item(), w.grad) == (12.0, None)
        (g,) = lib.autograd.grad(x**3, x, create_graph=True)
        assert g.requires_grad


def test_autograd_grad_and_its_options() -> None:
    for lib in libraries():
        x, unused = lib.ones(2, requires_grad=True), lib.ones(3, requires_grad=True)
        grad = lib.autograd.grad
        assert grad((x * x).sum(), [x, unused], allow_unused=True)[1] is None
        assert grad((x * x).sum(), [x, unused], materialize_grads=True)[1].tolist() == [0, 0, 0]
        with pytest.raises(RuntimeError, match="differentiated Tensor at index 1 appears to not"):
            grad((x * x).sum(), [x, unused])
        rows = grad(x * x, x, grad_outputs=lib.eye(2), is_grads_batched=True)[0]
        assert rows.tolist() == [[2, 0], [0, 2]]
        lib.autograd.backward([x.sum(), (x * 3).sum()])
        assert x.grad.tolist() == [4, 4]


def test_values_of_sums_and_products_of_scalars() -> None:
    def product(torch: Any) -> Any:
        x, y, w = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0, 4.0))
        z = (x + y) * w
        z.backward()
        return z, x.grad, y.grad, w.grad

    def square(torch: Any) -> Any:
        x, y = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0))
        v = (x * y + x) ** 2
        v.backward()
        return v, x.grad, y.grad

    def mixed(torch: Any) -> Any:
        x, y = (torch.tensor(v, requires_grad=True) for v in (1.0, 2.0))
        (x**2 * y + x * y**2).backward()
        return x.grad, y.grad

    near(product, 20, 4, 4, 5)
    near(square, 64, 64, 32)
    near(mixed, 8, 5)


def test_values_of_outputs_written_into_zeros() -> None:
    def f(torch: Any) -> Any:
        def g(u: Any, v: Any) -> Any:
            y = torch.zeros(2)
            y[0] = u[0] ** 2 + u[1] * v[0]
            y[1] = u[1] * v[1] + v[0] * v[1] ** 2
            return y

        return g

    def program(torch: Any) -> Any:
        u = torch.tensor([1.0, 2.0], requires_grad=True)
        v = torch.tensor([3.0, 4.0], requires_grad=True)
        y = f(torch)(u, v)
        rows = [torch.cat(torch.autograd.grad(y[i], (u, v), retain_graph=True)) for i in range(2)]
        J = torch.autograd.functional.jacobian(f(torch), (u.detach(), v.detach()))
        return torch.stack(rows), torch.cat(J, 1)

    near(program, [[2, 3, 2, 0], [0, 4, 16, 26]], [[2, 3, 2, 0], [0, 4, 16, 26]])


def test_values_of_higher_orders() -> None:
    def program(torch: Any) -> Any:
        x = torch.tensor(2.0, requires_grad=True)
        found, y = [], x**3
        for _ in range(3):
            (y,) = torch.autograd.grad(y, x, create_graph=True)
            found.append(y)
        return found

    near(program, 12, 12, 6)


def test_values_of_force_and_stiffness() -> None:
    def program(torch: Any) -> Any:
        x = torch.tensor(3.0, requires_grad=True)
        V = 0.5 * 2 * x**2
        (slope,) = torch.autograd.grad(V, x, create_graph=True)
        (stiffness,) = torch.autograd.grad(slope, x)
        return -slope, stiffness

    near(program, -6, 2)


def test_values_of_jacobian_and_its_products() -> None:
    def program(torch: Any) -> Any:
        f = lambda x: torch.stack([x[0] * x[1], x[0] + x[1] ** 2])
        x, functional = torch.tensor([2.0, 3.0]), torch.autograd.functional
        return (
            functional.jacobian(f, x),
            functional.vjp(f, x, torch.ones(2))[1],
            functional.jvp(f, x, torch.tensor([1.0, 0.0]))[1],
            functional.hessian(lambda x: (x**3).sum(), x),
            functional.hvp(lambda x: (x**3).sum(), x, torch.ones(2))[1],
            functional.vhp(lambda x: (x**3).sum(), x, torch.ones(2))[1],
        )

    near(
        program, [[3, 2], [1, 6]], [4, 8], [3, 1], [[12, 0], [0, 18]], [12, 18], [12, 18]
    )  # fmt: skip


def test_functional_vjp_without_v_returns_a_function() -> None:
    f = lambda x: cr.stack([x[0] * x[1], x[0] + x[1] ** 2])
    output, vjp_fn = cr.autograd.functional.vjp(f, cr.tensor([2.0, 3.0]))
    assert output.tolist() == [6, 11]
    np.testing.assert_allclose(np.ravel(vjp_fn(cr.ones(2))), [4, 8])


def test_values_of_descent_in_a_double_well() -> None:
    def program(torch: Any) -> Any:
        x = torch.tensor(3.0, requires_grad=True)
        for _ in range(200):
            (x**4 - 10 * x**2 + 5).backward()
            with torch.no_grad():
                x -= 0.01 * x.grad
                x.grad.zero_()
        return x

    near(program, np.sqrt(5))


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


# ---------------------------------------------------------------- Function


def sigmoids(torch: Any) -> list[Any]:
    """A sigmoid as a `Function`, in both styles."""

    class Sigmoid(torch.autograd.Function):  # type: ignore[name-defined, misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            out = 1 / (1 + torch.exp(-x))
            ctx.save_for_backward(out)
            return out

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (out,) = ctx.saved_tensors
            return g * out * (1 - out)

    class Separate(torch.autograd.Function):  # type: ignore[name-defined, misc]
        @staticmethod
        def forward(x: Any) -> Any:
            return 1 / (1 + torch.exp(-x))

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(output)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            assert ctx.needs_input_grad == (True,)
            (out,) = ctx.saved_tensors
            return g * out * (1 - out)

    return [Sigmoid, Separate]


def test_a_sigmoid_written_as_a_function_equals_the_built_in_one() -> None:
    for lib in libraries():
        for own in sigmoids(lib):
            x = lib.linspace(-3, 3, 7, dtype=lib.float64).requires_grad_()
            assert lib.allclose(own.apply(x), lib.sigmoid(x))
            for f in (own.apply, lib.sigmoid):
                (g,) = lib.autograd.grad(f(x).sum(), x, create_graph=True)
                (h,) = lib.autograd.grad(g.sum(), x)
                s = lib.sigmoid(x)
                assert lib.allclose(g, s * (1 - s))
                assert lib.allclose(h, s * (1 - s) * (1 - 2 * s))
            assert lib.autograd.gradcheck(own.apply, (x,))
            assert lib.autograd.gradgradcheck(own.apply, (x,))


def test_function_marks_and_options() -> None:
    for lib in libraries():

        class SortPlus(lib.autograd.Function):  # type: ignore[name-defined, misc]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                values, order = x.sort()
                ctx.mark_non_differentiable(order)
                ctx.set_materialize_grads(False)
                ctx.save_for_backward(order)
                return values, order

            @staticmethod
            @lib.autograd.function.once_differentiable
            def backward(ctx: Any, g: Any, unused: Any, lib: Any = lib) -> Any:
                assert unused is None
                (order,) = ctx.saved_tensors
                return lib.zeros_like(g).index_copy(0, order, g)

        class AddOne(lib.autograd.Function):  # type: ignore[name-defined, misc]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.mark_dirty(x)
                return x.add_(1)

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g

        x = lib.tensor([3.0, 1.0, 2.0], requires_grad=True)
        values, order = SortPlus.apply(x)
        assert not order.requires_grad
        (values * lib.tensor([1.0, 2.0, 3.0])).sum().backward()
        assert x.grad.tolist() == [3, 1, 2]
        (g,) = lib.autograd.grad((SortPlus.apply(x)[0] ** 2).sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            g.sum().backward()
        y = x * 1
        assert AddOne.apply(y) is y
        assert y.tolist() == [4, 2, 3]


# ---------------------------------------------------------------- anomalies, control flow


def test_detect_anomaly_finds_the_operation_and_the_line() -> None:
    x = cr.tensor([0.0, 1.0], requires_grad=True)
    with cr.autograd.detect_anomaly():
        y = x.sqrt()  # the culprit
        with pytest.raises(RuntimeError, match="Sqrt") as e:
            y.sum().backward()
    assert "x.sqrt()  # the culprit" in str(e.value)
    with (
        np.errstate(divide="ignore"),
        cr.autograd.set_detect_anomaly(True),
        pytest.raises(RuntimeError, match="Log") as e,
    ):
        x.log()  # born forward
    assert "born forward" in str(e.value)


@pytest.mark.parametrize("start", [0.8392, -0.37, 1e-6, 900.0])
def test_python_control_flow_just_works(start: float) -> None:
    def f(a: Any) -> Any:
        b = a * 2
        while b.norm() < 1000:
            b = b * 2
        return b if b.sum() > 0 else 100 * b

    def recursive(x: Any, n: int) -> Any:
        return x if n == 0 else x * recursive(x, n - 1)

    def powers(x: Any) -> Any:
        y = x
        while True:
            y = y * x
            yield y

    for lib in libraries():
        a = lib.tensor(start, requires_grad=True)
        d = f(a)
        d.backward()
        assert bool(a.grad == d / a)
        x = lib.tensor(1.5, requires_grad=True)
        recursive(x, 3).backward()
        assert x.grad.item() == 4 * 1.5**3
        x.grad = None
        steps = powers(x)
        sum(next(steps) for _ in range(3)).backward()
        assert x.grad.item() == pytest.approx(2 * 1.5 + 3 * 1.5**2 + 4 * 1.5**3)


# ---------------------------------------------------------------- networks


def test_a_course_s_training_loop_runs_with_every_optimizer_and_a_schedule() -> None:
    """In double precision: a line search branches on differences of losses, and in single precision
    those near the minimum are rounding, which differs from one BLAS to the next."""
    from tests.tutorials.compare import Course, agree

    for name, options in {
        "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        "Adam": {"lr": 0.05},
        "AdamW": {"lr": 0.05, "weight_decay": 0.1},
        "LBFGS": {"lr": 0.5, "line_search_fn": "strong_wolfe"},
    }.items():

        def program(c: Course, name: str = name, options: Any = options) -> Any:
            torch, nn = c.torch, c.nn
            model = c.initialise(
                nn.Sequential(
                    nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.ReLU(),
                    nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3),
                )
            ).double()  # fmt: skip
            optimizer = getattr(c.optim, name)(model.parameters(), **options)
            scheduler = c.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
            x, y = c.normal(9, 1, 4, 4).double(), torch.arange(9) % 3
            losses = []
            for _ in range(4):

                def closure() -> Any:
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(model(x), y)
                    loss.backward()
                    return loss

                losses.append(optimizer.step(closure).item())
                scheduler.step()
            assert losses[-1] < losses[0]
            return losses if name == "LBFGS" else (losses, list(model.state_dict().values()))

        agree(program, rtol=1e-7, atol=1e-10)
