"""Threads, interrupts and nested passes: state is as before, or the answer is right."""

import threading

import numpy as np
import pytest

import chainrule as cr


def leaf(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def in_threads(work, count=2):
    """Run `work(i)` in several threads at once; raises what they raised."""
    barrier = threading.Barrier(count)
    errors = []

    def run(i):
        try:
            barrier.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def test_separate_graphs_in_two_threads():
    results = {}

    def work(i):
        for _ in range(20):
            x = leaf(np.full(50, i + 1.0))
            y = x
            for _ in range(20):
                y = y * 1.01 + x.sin()
            y.sum().backward()
            results.setdefault(i, []).append(x.grad.numpy())

    in_threads(work)
    for i, found in results.items():
        x = leaf(np.full(50, i + 1.0))
        y = x
        for _ in range(20):
            y = y * 1.01 + x.sin()
        y.sum().backward()
        for g in found:
            np.testing.assert_array_equal(g, x.grad.numpy())


def test_a_shared_graph_in_two_threads():
    x = leaf(np.ones(100_000))
    y = (x * 2).exp()
    z = (y * y).sum()
    in_threads(lambda i: [z.backward(retain_graph=True) for _ in range(25)])
    np.testing.assert_allclose(x.grad.numpy(), 50 * 4 * np.exp(4.0), rtol=1e-12)


def test_shared_leaves_in_two_threads():
    w = leaf(np.ones(200_000))
    in_threads(lambda i: [(w * (i + 1)).sum().backward() for _ in range(25)])
    np.testing.assert_array_equal(w.grad.numpy(), 75)


def test_freed_by_another_thread_in_the_middle():
    x = leaf([1.0, 2.0])
    y = x * x
    z = y * y

    def free_it(g):
        thread = threading.Thread(target=lambda: y.sum().backward())
        thread.start()
        thread.join()

    z.register_hook(free_it)
    with pytest.raises(RuntimeError, match="a second time"):
        z.sum().backward()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_interrupted_in_the_middle(error):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y.grad = cr.ones(2, dtype=cr.float64)
    before = y.grad.numpy().copy()
    m = x * y
    k = m.exp()

    def interrupt(g):
        raise error

    handle = m.register_hook(interrupt)
    z = (k * y).sum()
    with pytest.raises(error):
        z.backward()
    assert x.grad is None
    np.testing.assert_array_equal(y.grad.numpy(), before)
    assert cr.is_grad_enabled()
    assert np.geterr() == {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    handle.remove()
    z.backward()
    e = np.exp([3.0, 8.0])
    np.testing.assert_allclose(x.grad.numpy(), e * [9, 16])
    np.testing.assert_allclose(y.grad.numpy(), 1 + e * ([1 * 3 + 1, 2 * 4 + 1]))


def test_interrupted_in_a_custom_function():
    class Stops(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise KeyboardInterrupt

    x, y = leaf(1.0), leaf(2.0)
    z = Stops.apply(x) * y
    with pytest.raises(KeyboardInterrupt):
        z.backward()
    assert x.grad is None
    assert y.grad is None
    assert cr.autograd.grad(z, y)[0].item() == 1


def test_a_hook_that_runs_backward_itself():
    x, w = leaf(2.0), leaf(5.0)
    y = x * x

    def hook(g):
        with cr.enable_grad():
            (w * w).backward()

    y.register_hook(hook)
    y.backward()
    assert (x.grad.item(), w.grad.item()) == (4, 10)


def test_backward_inside_a_custom_backward():
    class Inner(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            with cr.enable_grad():
                ctx.x = x.detach().requires_grad_()
                ctx.y = ctx.x**3
            return ctx.y.detach()

        @staticmethod
        def backward(ctx, g):
            with cr.enable_grad():
                return cr.autograd.grad(ctx.y, ctx.x, g)

    x = leaf(2.0)
    Inner.apply(x * 1).backward()
    assert x.grad.item() == 12


def test_backward_under_no_grad():
    x = leaf(3.0)
    y = x * x
    with cr.no_grad():
        y.backward()
    assert x.grad.item() == 6


def test_a_leaf_that_died_is_skipped():
    y = leaf(3.0)
    z = leaf(2.0) * y
    z.backward()
    assert y.grad.item() == 2


def test_grad_may_be_set_by_hand():
    x = leaf([1.0, 2.0])
    x.grad = cr.tensor([10.0, 20.0], dtype=cr.float64)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [12, 24])
    x.grad = None
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4])
