"""Switching recording on and off: `no_grad`, `enable_grad`, `inference_mode` and the like."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from chainrule.core import cuts, modes
from chainrule.core.modes import as_mode, changed, current, get_mode, is_recording
from chainrule.core.source import INTERNAL


class ModeContext:
    """A change of the recording mode: a context manager and a decorator for all kinds of function.

    The modes to return to are kept on a stack, so one object may be entered again while it is
    active, and by value, so that a generator may be resumed in another context than it started in.
    """

    def __init__(self) -> None:
        self._outer: list[bool | modes.Mode] = []

    def mode(self) -> bool | modes.Mode:
        """The mode inside, made from the current one."""
        raise NotImplementedError

    def note(self) -> None:
        """Note for `explain.why` that the user's program has switched recording off.

        What the library does inside, an optimizer's step for instance, cuts nothing of the user's.
        """
        filename = sys._getframe(2).f_code.co_filename
        if not is_recording() and (filename == __file__ or not INTERNAL[filename]):
            cuts.note(type(self).__name__, None)

    def clone(self) -> ModeContext:
        """A fresh context of the same meaning, for one call of a decorated function."""
        return type(self)()

    def __enter__(self) -> Any:
        self._outer.append(get_mode())
        current.set(self.mode())
        self.note()
        return None

    def __exit__(self, *exc: object) -> None:
        current.set(self._outer.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, run inside this context; a generator is inside whenever it is running."""
        if not callable(function):
            raise TypeError(
                f"{type(self).__name__} decorates functions, not {type(function).__name__}; "
                f"write `with {type(self).__name__}():` for a block"
            )
        if inspect.isgeneratorfunction(function):
            return _decorate_generator(self.clone, function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with self.clone():
                    return await function(*args, **kwargs)

            return coroutine

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapper


def _decorate_generator(
    context: Callable[[], ModeContext], function: Callable[..., Any]
) -> Callable[..., Any]:
    """A generator function that is inside the context whenever it runs, and outside at a yield."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with context():
                    value = resume()
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield value
            except GeneratorExit:
                with context():
                    generator.close()
                raise
            except BaseException as error:
                resume = functools.partial(generator.throw, error)
            else:
                resume = functools.partial(generator.send, sent)

    return wrapper


class _WithoutArguments(ModeContext):
    """A context that also decorates without parentheses: `@no_grad` means `@no_grad()`."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        if function is None:
            return super().__new__(cls)
        return cls()(function)

    def __init__(self, function: None = None) -> None:
        super().__init__()


class no_grad(_WithoutArguments):  # noqa: N801 - PyTorch's name
    """Do not record: as `with no_grad():`, `@no_grad()` or `@no_grad`.

    >>> import chainrule as cr
    >>> x = cr.tensor(1.0, requires_grad=True)
    >>> with cr.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def mode(self) -> bool | modes.Mode:
        return changed(grad=False)


class enable_grad(_WithoutArguments):  # noqa: N801 - PyTorch's name
    """Record again inside a `no_grad` block; in `inference_mode` nothing is recorded all the same.

    >>> import chainrule as cr
    >>> x = cr.tensor(1.0, requires_grad=True)
    >>> with cr.no_grad(), cr.enable_grad():
    ...     (x * 2).requires_grad
    True
    """

    def mode(self) -> bool | modes.Mode:
        modes.note_question()
        return changed(grad=True)


class set_grad_enabled(ModeContext):  # noqa: N801 - PyTorch's name
    """Switch recording on or off: from now on as a call, for a block as a context manager.

    >>> import chainrule as cr
    >>> with cr.set_grad_enabled(False):
    ...     cr.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.grad = bool(mode)
        self._before: list[bool | modes.Mode] = [get_mode()]
        current.set(self.mode())
        self.note()

    def mode(self) -> bool | modes.Mode:
        modes.note_question()
        return changed(grad=self.grad)

    def clone(self) -> ModeContext:
        made = set_grad_enabled.__new__(set_grad_enabled)
        ModeContext.__init__(made)
        made.grad, made._before = self.grad, []
        return made

    def __enter__(self) -> None:
        # The call has switched already: the block returns to the mode before it.
        self._outer.append(self._before.pop() if self._before else get_mode())
        current.set(self.mode())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._before:
            current.set(self._before.pop())
        return super().__call__(function)


class inference_mode(ModeContext):  # noqa: N801 - PyTorch's name
    """Record nothing, whatever `enable_grad` inside says: the strict form of `no_grad`.

    >>> import chainrule as cr
    >>> with cr.inference_mode():
    ...     cr.is_inference_mode_enabled(), cr.is_grad_enabled()
    (True, False)
    """

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        if isinstance(mode, bool):
            return super().__new__(cls)
        return cls()(mode)

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.inference = mode

    def mode(self) -> bool | modes.Mode:
        return changed(grad=not self.inference, inference=self.inference)

    def clone(self) -> ModeContext:
        return inference_mode(self.inference)


def is_grad_enabled() -> bool:
    """Whether recording is switched on.

    >>> import chainrule as cr
    >>> cr.is_grad_enabled()
    True
    """
    modes.note_question()
    return as_mode(get_mode()).grad


def is_inference_mode_enabled() -> bool:
    """Whether the code runs inside `inference_mode`.

    >>> import chainrule as cr
    >>> cr.is_inference_mode_enabled()
    False
    """
    modes.note_question()
    return as_mode(get_mode()).inference
