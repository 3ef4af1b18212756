"""What functions do besides computing: write, leak, recurse, run in threads, meet nan.

As in `test_bad_input.py`, nothing may be left behind.
"""

import asyncio
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule import numerical
from chainrule.func import grad, jacfwd, jvp, taylor, vmap

from .programs import POINT, is_number, near, number
from .test_bad_input import ENTRIES, ONE, X, _nothing_is_left_running  # noqa: F401

# ---------------------------------------------------------------- mutation and escape


def writes(x):
    x.mul_(2.0)
    return cr.sum(x)


@pytest.mark.parametrize(
    "entry", ["grad", "grad_and_value", "vjp", "linearize", "jacrev", "hessian", "hvp"]
)
def test_a_function_that_writes_to_its_input_under_reverse_mode(entry):
    with pytest.raises(RuntimeError, match=r"writes in place to its input.*x\.clone\(\)"):
        ENTRIES[entry](writes, X)


def test_a_function_that_writes_to_its_input_under_other_modes():
    """It writes to its own box; the caller's tensor stays as it was (see the fixture)."""
    is_number(jvp(writes, (X,), (cr.ones_like(X),))[1], 6.0)
    near(vmap(writes)(X), 2 * POINT)
    near(jacfwd(writes)(X), np.full(3, 2.0))
    is_number(taylor(writes, X, order=1)[1], 6.0)


@pytest.mark.parametrize("entry", ["jvp", "vmap", "jacfwd", "taylor", "laplacian", "divergence"])
def test_a_box_that_escapes(entry):
    kept = []
    ENTRIES[entry](lambda x: (kept.append(x * 1.0), x)[1], X)
    with pytest.raises(RuntimeError, match=f"{entry} that has already returned"):
        kept[0] + 1.0
    with pytest.raises(RuntimeError, match=r"already returned.*test_bad_input\.py"):
        grad(lambda x: cr.sum(x * kept[0]))(X)


def test_a_box_written_into_an_outside_tensor_escapes():
    outside = cr.zeros(3, dtype=cr.float64)
    jvp(lambda x: outside.add_(x), (X,), (X,))
    with pytest.raises(RuntimeError, match="jvp that has already returned"):
        outside * 2


def test_an_aliased_input_that_escapes_is_an_ordinary_tensor():
    """What `grad` hands out has the caller's values; its run is over, so it is a constant."""
    kept = []
    grad(lambda x: (kept.append(x * x), cr.sum(x))[1])(X)
    near(kept[0], POINT**2)
    near(grad(lambda x: cr.sum(x * kept[0]))(X), POINT**2)


# ---------------------------------------------------------------- control flow


def test_recursion():
    power = lambda x, n: number(1.0) if n == 0 else x * power(x, n - 1)
    is_number(grad(lambda x: power(x, 200))(ONE), 200.0)
    derivative = lambda f, n: f if n == 0 else derivative(grad(f), n - 1)
    is_number(derivative(lambda x: power(x, 6), 6)(number(0.3)), 720.0)
    endless = lambda x: jvp(endless, (x,), (x,))[0]
    with pytest.raises(RecursionError):
        endless(ONE)


def test_generators():
    def powers(x):
        y = x
        while True:
            yield y
            y = y * x

    def f(x):
        source = powers(x)
        return sum(next(source) for _ in range(3))

    is_number(grad(f)(number(2.0)), 1 + 4 + 12)
    is_number(jvp(f, (number(2.0),), (ONE,))[1], 17.0)
    near(vmap(grad(f))(X), 1 + 2 * POINT + 3 * POINT**2, 1e-14)


def test_a_transform_around_a_generator_that_is_left_open():
    """The generator is inside a run when another begins and ends."""

    def steps():
        yield grad(lambda x: x**2)(number(3.0))
        yield jvp(lambda x: x**3, (number(2.0),), (ONE,))[1]

    open_one, open_two = steps(), steps()
    is_number(next(open_one), 6.0)
    is_number(grad(lambda x: x * next(open_two))(ONE), 6.0)
    is_number(next(open_one), 12.0)
    is_number(next(open_two), 12.0)


def test_async_tasks_do_not_see_each_other():
    async def derivative(a):
        def f(x):
            return grad(lambda y: a * x * y**2)(x)

        await asyncio.sleep(0)
        found = jvp(f, (ONE,), (ONE,))[1]
        await asyncio.sleep(0)
        return found.item()

    async def main():
        return await asyncio.gather(*[derivative(float(a)) for a in range(5)])

    assert asyncio.run(main()) == [4.0 * a for a in range(5)]


def test_an_async_function_is_not_transformed():
    async def f(x):
        return x

    coroutine = []
    with pytest.raises(RuntimeError, match="got coroutine"):
        grad(lambda x: coroutine.append(f(x)) or coroutine[0])(ONE)
    coroutine[0].close()


def test_threads():
    found = {}
    ready = threading.Barrier(8)

    def work(a):
        ready.wait()
        for _ in range(10):
            f = lambda x: cr.sum(vmap(lambda e: jvp(lambda u: a * u**3, (e,), (e,))[1])(x))
            gradient = grad(f)(X)
            series = taylor(grad(lambda x: a * cr.sum(x**4)), X, order=2)[2]
            found.setdefault(a, []).append((gradient.numpy(), series.numpy()))

    threads = [threading.Thread(target=work, args=(float(a),)) for a in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for a in range(8):
        assert len(found[a]) == 10
        for gradient, series in found[a]:
            np.testing.assert_allclose(gradient, 9 * a * POINT**2, rtol=1e-14)
            np.testing.assert_allclose(series, 12 * a * POINT, rtol=1e-13)


def test_a_thread_inside_a_transform_sees_its_boxes():
    """A box works in any thread while its transform runs."""

    def f(x):
        made = []
        t = threading.Thread(target=lambda: made.append(cr.sin(x) * x))
        t.start()
        t.join()
        return made[0]

    near(jvp(f, (X,), (cr.ones_like(X),))[1], np.cos(POINT) * POINT + np.sin(POINT), 1e-14)
    near(vmap(f)(X), np.sin(POINT) * POINT, 1e-14)


# ---------------------------------------------------------------- values that are not finite


def test_nan_goes_where_it_belongs():
    x = cr.tensor([1.0, float("nan"), 2.0], dtype=cr.float64)
    found = grad(lambda x: cr.sum(x * x))(x).numpy()
    np.testing.assert_array_equal(found, [2.0, np.nan, 4.0])
    found = vmap(grad(lambda x: x * x))(x).numpy()
    np.testing.assert_array_equal(found, [2.0, np.nan, 4.0])
    found = jvp(lambda x: x * x, (x,), (cr.ones_like(x),))[1].numpy()
    np.testing.assert_array_equal(found, [2.0, np.nan, 4.0])


@pytest.mark.parametrize("step", [float("nan"), 0.0, float("inf")])
def test_steps_of_differences(step):
    with pytest.raises(ValueError, match="step"):
        numerical.derivative(lambda x: x * x, 1.0, step=step)
