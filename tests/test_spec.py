"""What the specification of the dynamic graph promises, sentence by sentence, value by value.

`torch` below is chainrule: every program is written as a user of PyTorch writes it.  Where PyTorch
is installed, each program also runs with it, and both must print the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr

from .both_libraries import libraries, near, said

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
