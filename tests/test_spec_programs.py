"""What the specification of the dynamic graph promises: Function, anomalies, networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr

from .both_libraries import libraries

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
