"""no_grad and its relatives, as context managers and decorators."""

import asyncio
import threading

import pytest

import chainrule as cr


@pytest.fixture
def x():
    return cr.tensor([1.0, 2.0], requires_grad=True)


def test_contexts_nest_and_restore(x):
    with cr.no_grad():
        assert not (x * x).requires_grad
        with cr.enable_grad():
            assert (x * x).requires_grad
        assert not cr.is_grad_enabled()
    assert cr.is_grad_enabled()


def test_one_object_may_be_entered_twice():
    context = cr.no_grad()
    with context, cr.enable_grad(), context:
        assert not cr.is_grad_enabled()
    assert cr.is_grad_enabled()


def test_restored_after_an_exception():
    with pytest.raises(KeyError), cr.no_grad():
        raise KeyError
    assert cr.is_grad_enabled()


@pytest.mark.parametrize("decorator", [cr.no_grad, cr.no_grad(), cr.inference_mode,
                                       cr.inference_mode(), cr.set_grad_enabled])  # fmt: skip
def test_decorators(x, decorator):
    if decorator is cr.set_grad_enabled:
        decorator = cr.set_grad_enabled(False)

    @decorator
    def double(a):
        """Twice."""
        return a * 2

    assert not double(x).requires_grad
    assert (double.__name__, double.__doc__) == ("double", "Twice.")
    assert cr.is_grad_enabled()


def test_decorated_recursion(x):
    @cr.no_grad()
    def count(n):
        assert not cr.is_grad_enabled()
        return n if n == 0 else count(n - 1)

    assert count(3) == 0
    assert cr.is_grad_enabled()


def test_decorated_generator(x):
    log = []

    @cr.no_grad()
    def numbers():
        try:
            got = yield cr.is_grad_enabled()
            log.append((got, cr.is_grad_enabled()))
            yield cr.is_grad_enabled()
        except KeyError:
            log.append("key")
            yield "caught"
        finally:
            log.append(("closed", cr.is_grad_enabled()))

    g = numbers()
    assert next(g) is False
    assert cr.is_grad_enabled()
    assert g.send("hello") is False
    assert g.throw(KeyError) == "caught"
    assert cr.is_grad_enabled()
    g.close()
    assert log == [("hello", False), "key", ("closed", False)]


def test_generator_returns_its_value():
    @cr.no_grad
    def one():
        yield 1
        return "end"

    def outer():
        return (yield from one())

    g = outer()
    next(g)
    with pytest.raises(StopIteration) as stop:
        next(g)
    assert stop.value.value == "end"


def test_decorated_coroutine():
    @cr.no_grad()
    async def ask():
        await asyncio.sleep(0)
        return cr.is_grad_enabled()

    async def main():
        return await asyncio.gather(ask(), ask()), cr.is_grad_enabled()

    assert asyncio.run(main()) == ([False, False], True)


def test_set_grad_enabled_acts_at_once():
    cr.set_grad_enabled(False)
    assert not cr.is_grad_enabled()
    cr.set_grad_enabled(True)
    assert cr.is_grad_enabled()
    with cr.set_grad_enabled(False):
        assert not cr.is_grad_enabled()
    assert cr.is_grad_enabled()


def test_inference_mode_is_strict(x):
    with cr.inference_mode():
        assert cr.is_inference_mode_enabled()
        with cr.enable_grad():
            assert not (x * x).requires_grad
            assert not (x + 1.5).sum().requires_grad
        with cr.inference_mode(False):
            assert (x * x).requires_grad
    assert not cr.is_inference_mode_enabled()


def test_threads_do_not_see_each_others_mode():
    seen = []
    with cr.no_grad():
        thread = threading.Thread(target=lambda: seen.append(cr.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_decorating_something_else():
    with pytest.raises(TypeError, match="decorates functions"):
        cr.no_grad(3)
