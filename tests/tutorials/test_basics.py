"""The first lessons: gradients by hand, polynomial fits, regression, control flow, physics."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.tutorials.compare import Course, agree


def sine(c: Course) -> tuple[Any, Any]:
    x = c.torch.linspace(-math.pi, math.pi, 200)
    return x, c.torch.sin(x)


def test_blitz_autograd() -> None:
    def program(c: Course) -> Any:
        torch = c.torch
        a = torch.tensor([2.0, 3.0], requires_grad=True)
        b = torch.tensor([6.0, 4.0], requires_grad=True)
        q = 3 * a**3 - b**2
        q.backward(gradient=torch.tensor([1.0, 1.0]))
        assert bool((9 * a**2 == a.grad).all())
        assert bool((-2 * b == b.grad).all())
        return a.grad, b.grad

    assert agree(program) == [36.0, 81.0, -12.0, -8.0]


def test_blitz_one_training_step_with_a_frozen_part() -> None:
    def program(c: Course) -> Any:
        nn = c.nn
        model = c.initialise(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)))
        for p in model[0].parameters():
            p.requires_grad = False
        optimizer = c.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
        data, labels = c.normal(2, 4), c.uniform(2, 3)
        losses = []
        for _ in range(3):
            loss = (model(data) - labels).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert model[0].weight.grad is None
        return losses, model[2].weight

    agree(program)


def test_jacobian_product_as_in_the_autograd_tutorial() -> None:
    def program(c: Course) -> Any:
        torch = c.torch
        inp = torch.eye(4, 5, requires_grad=True)
        out = (inp + 1).pow(2).t()
        out.backward(torch.ones_like(out), retain_graph=True)
        first = inp.grad.clone()
        out.backward(torch.ones_like(out), retain_graph=True)
        second = inp.grad.clone()
        inp.grad.zero_()
        out.backward(torch.ones_like(out))
        assert torch.equal(inp.grad, first)
        return first, second

    agree(program)


def test_binary_cross_entropy_of_one_layer_as_in_the_autograd_tutorial() -> None:
    def program(c: Course) -> Any:
        torch = c.torch
        x, y = torch.ones(5), torch.zeros(3)
        w, b = c.normal(5, 3).requires_grad_(), c.normal(3).requires_grad_()
        z = torch.matmul(x, w) + b
        loss = c.F.binary_cross_entropy_with_logits(z, y)
        loss.backward()
        with torch.no_grad():
            assert not (torch.matmul(x, w) + b).requires_grad
        assert not z.detach().requires_grad
        return loss, w.grad, b.grad

    agree(program)


def test_polynomial_fit_by_hand() -> None:
    def program(c: Course) -> Any:
        x, y = sine(c)
        a, b, p, q = (c.normal() for _ in range(4))
        for _ in range(100):
            error = a + b * x + p * x**2 + q * x**3 - y
            g = 2.0 * error
            a -= 1e-5 * g.sum()
            b -= 1e-5 * (g * x).sum()
            p -= 1e-5 * (g * x**2).sum()
            q -= 1e-5 * (g * x**3).sum()
        return a, b, p, q, error.pow(2).sum().item()

    agree(program, rtol=1e-4)


def test_polynomial_fit_by_autograd() -> None:
    def program(c: Course) -> Any:
        torch = c.torch
        x, y = sine(c)
        weights = [c.normal().requires_grad_() for _ in range(4)]
        a, b, p, q = weights
        losses = []
        for t in range(100):
            loss = (a + b * x + p * x**2 + q * x**3 - y).pow(2).sum()
            if t % 20 == 19:
                losses.append(loss.item())
            loss.backward()
            with torch.no_grad():
                for w in weights:
                    w -= 1e-5 * w.grad
                    w.grad = None
        return losses, weights

    agree(program, rtol=1e-4)


def test_polynomial_fit_with_a_legendre_function() -> None:
    def program(c: Course) -> Any:
        torch = c.torch

        class LegendrePolynomial3(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, input: Any) -> Any:
                ctx.save_for_backward(input)
                return 0.5 * (5 * input**3 - 3 * input)

            @staticmethod
            def backward(ctx: Any, grad_output: Any) -> Any:
                (input,) = ctx.saved_tensors
                return grad_output * 1.5 * (5 * input**2 - 1)

        x, y = sine(c)
        a = torch.full((), 0.0, requires_grad=True)
        b = torch.full((), -1.0, requires_grad=True)
        p = torch.full((), 0.0, requires_grad=True)
        q = torch.full((), 0.3, requires_grad=True)
        for _ in range(100):
            loss = (a + b * LegendrePolynomial3.apply(p + q * x) - y).pow(2).sum()
            loss.backward()
            with torch.no_grad():
                for w in (a, b, p, q):
                    w -= 5e-5 * w.grad
                    w.grad = None
        return loss, b, q

    agree(program, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
def test_polynomial_fit_with_nn_and_optim(optimizer: str) -> None:
    def program(c: Course) -> Any:
        torch, nn = c.torch, c.nn
        x, y = sine(c)
        xx = x.unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
        model = c.initialise(nn.Sequential(nn.Linear(3, 1), nn.Flatten(0, 1)))
        rate = 1e-5 if optimizer == "SGD" else 1e-3
        opt = getattr(c.optim, optimizer)(model.parameters(), lr=rate)
        loss_fn = nn.MSELoss(reduction="sum")
        for _ in range(50):
            loss = loss_fn(model(xx), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        return loss, model[0].weight, model[0].bias

    agree(program, rtol=1e-4)


def test_polynomial_fit_with_a_module_and_weight_sharing() -> None:
    def program(c: Course) -> Any:
        torch, nn = c.torch, c.nn

        class DynamicNet(nn.Module):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__()
                self.a = nn.Parameter(torch.tensor(0.1))
                self.b = nn.Parameter(torch.tensor(-0.2))
                self.e = nn.Parameter(torch.tensor(0.01))

            def forward(self, x: Any, order: int) -> Any:
                y = self.a + self.b * x
                for exp in range(4, order):
                    y = y + self.e * x**exp
                return y

            def string(self) -> str:
                return f"y = {self.a.item():.3f} + {self.b.item():.3f} x + {self.e.item():.3f} ?"

        x, y = sine(c)
        model = DynamicNet()
        criterion = nn.MSELoss(reduction="sum")
        optimizer = c.optim.SGD(model.parameters(), lr=1e-8, momentum=0.9)
        for t in range(30):
            loss = criterion(model(x, 4 + t % 3), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert model.string().startswith("y = 0.1")
        return loss, list(model.parameters())

    agree(program, rtol=1e-4)


def test_linear_regression_from_scratch() -> None:
    def program(c: Course) -> Any:
        torch = c.torch
        true_w, true_b = torch.tensor([2, -3.4]), 4.2
        features = c.normal(100, 2)
        labels = torch.matmul(features, true_w) + true_b + c.normal(100, scale=0.01)
        w = c.normal(2, 1, scale=0.01).requires_grad_(True)
        b = torch.zeros(1, requires_grad=True)
        for _ in range(3):
            for i in range(0, 100, 10):
                batch = torch.arange(i, i + 10)
                X, y = features[batch], labels[batch]
                loss = (torch.matmul(X, w) + b - y.reshape(-1, 1)) ** 2 / 2
                loss.sum().backward()
                with torch.no_grad():
                    for param in (w, b):
                        param -= 0.03 * param.grad / 10
                        param.grad.zero_()
        return w, b, ((features @ w + b).squeeze() - labels).abs().mean()

    agree(program)


@pytest.mark.parametrize("start", [0.7, -0.7, 1e-3])
def test_gradient_of_a_while_loop(start: float) -> None:
    def program(c: Course) -> Any:
        torch = c.torch

        def f(a: Any) -> Any:
            b = a * 2
            while b.norm() < 1000:
                b = b * 2
            return b if b.sum() > 0 else 100 * b

        a = torch.tensor(start, requires_grad=True)
        d = f(a)
        d.backward()
        assert bool(a.grad == d / a)
        return d, a.grad

    agree(program)


def test_force_and_stiffness_of_a_spring_chain() -> None:
    def program(c: Course) -> Any:
        torch = c.torch

        def energy(u: Any) -> Any:
            stretch = torch.cat([u[:1], u[1:] - u[:-1]])
            return (0.5 * stretch**2 + 0.25 * stretch**4).sum()

        u = torch.linspace(0.1, 0.5, 5, dtype=torch.float64).requires_grad_()
        (force,) = torch.autograd.grad(-energy(u), u, create_graph=True)
        stiffness = [torch.autograd.grad(-f, u, retain_graph=True)[0] for f in force]
        whole = torch.autograd.functional.hessian(energy, u.detach())
        assert torch.allclose(torch.stack(stiffness), whole)
        return force, whole, torch.linalg.solve(whole, force)

    agree(program)


def test_double_pendulum_from_its_lagrangian() -> None:
    def program(c: Course) -> Any:
        torch = c.torch

        def lagrangian(q: Any, v: Any) -> Any:
            kinetic = v[0] ** 2 + 0.5 * v[1] ** 2 + v[0] * v[1] * torch.cos(q[0] - q[1])
            return kinetic + 9.81 * (2 * torch.cos(q[0]) + torch.cos(q[1]))

        def acceleration(q: Any, v: Any) -> Any:
            q, v = q.detach().requires_grad_(), v.detach().requires_grad_()
            dq, dv = torch.autograd.grad(lagrangian(q, v), (q, v), create_graph=True)
            rows = [torch.autograd.grad(p, (v, q), retain_graph=True) for p in dv]
            mass = torch.stack([r[0] for r in rows])
            mixed = torch.stack([r[1] for r in rows])
            return torch.linalg.solve(mass, dq - mixed @ v).detach()

        q = torch.tensor([1.0, 0.5], dtype=torch.float64)
        v = torch.zeros(2, dtype=torch.float64)
        path = []
        for _ in range(50):
            v = v + 0.01 * acceleration(q, v)
            q = q + 0.01 * v
            path.append(q.clone())
        return torch.stack(path)

    agree(program)
