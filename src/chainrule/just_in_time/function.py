"""`jit`: a function runs once, is recorded, and from then on calls machine code."""

from __future__ import annotations

import functools
import inspect
import os
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chainrule import tree
from chainrule.core.boxes import running
from chainrule.graph.trace import argument_names
from chainrule.just_in_time.ahead import Lowered
from chainrule.just_in_time.foreign import Sources
from chainrule.just_in_time.live import NotRecorded
from chainrule.just_in_time.overview import Overview
from chainrule.just_in_time.quick import Quick, quick_key, with_shapes
from chainrule.just_in_time.record import Recording, record
from chainrule.just_in_time.signature import Call, Held, Reader
from chainrule.just_in_time.surroundings import Surroundings
from chainrule.just_in_time.variants import MISSED, Signature, Variant
from chainrule.transforms.inputs import all_given, as_tensor, gives_arrays
from chainrule.transforms.tracing import DataDependence, Traced, recorder

MOST_SIGNATURES = 64
MOST_VARIANTS = 8


class JitWarning(UserWarning):
    """A compiled function runs eagerly, or is compiled too often."""

    __module__ = "chainrule"


def jit(
    f: Callable[..., Any] | None = None, *, static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (), max_signatures: int = MOST_SIGNATURES,
    max_variants: int = MOST_VARIANTS,
) -> Any:  # fmt: skip
    """A function as machine code: recorded on the first call, compiled, and called from then on.

    Arguments are tensors, arrays, numbers, and trees of them; results are tensors, or arrays where
    arrays were given. There is machine code for each *signature*: shapes, dtypes, and the values
    of all other arguments. Floats are numbers that may differ from call to call.

    What the function does with values in Python (`if x > 0`, `x.item()`) is compared in each call;
    where it would take another path, that is recorded too. Derivatives of all modes and orders go
    through compiled functions, and are compiled. What a call prints, it prints when it is recorded.

    Args:
        f: a function; without it, a decorator is returned.
        static_argnums, static_argnames: arguments whose values are part of the signature.
        max_signatures: for how many signatures machine code is kept, the least recently used goes.
        max_variants: how many paths are compiled for one signature; with more, it runs eagerly.

    Raises:
        ImportError: if llvmlite is not installed.
        TypeError: if `f` cannot be called, or is a class, or a function that is run in pieces (a
            coroutine or generator).

    >>> import chainrule as cr
    >>> @cr.jit
    ... def f(x):
    ...     return (x.sin() * x).sum()
    >>> f(cr.ones(4))
    tensor(3.3659)
    >>> cr.func.grad(f)(cr.ones(2))
    tensor([1.3818, 1.3818])
    """
    if f is None:
        return functools.partial(
            jit, static_argnums=static_argnums, static_argnames=static_argnames,
            max_signatures=max_signatures, max_variants=max_variants,
        )  # fmt: skip
    if not callable(f):
        raise TypeError(f"jit takes a function, got {type(f).__name__}")
    if isinstance(f, type):
        raise TypeError(f"jit takes a function, got the class {f.__name__}: jit one of its methods")
    if runs_in_pieces(f):
        raise TypeError(
            f"jit takes a function that returns, got the coroutine or generator function "
            f"{getattr(f, '__name__', f)}: jit the functions that it calls"
        )
    return JitFunction(f, static_argnums, static_argnames, max_signatures, max_variants)


def runs_in_pieces(f: Any) -> bool:
    """Whether a function is a coroutine or generator, or calling it makes one."""
    f = getattr(f, "__call__", f) if not inspect.isroutine(f) else f  # noqa: B004
    kinds = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(kind(f) for kind in kinds)


class JitFunction:
    """What `jit` returns: called as the function is.

    Attributes:
        function: the function itself.
    """

    def __init__(
        self, function: Callable[..., Any], static_argnums: int | Iterable[int] = (),
        static_argnames: str | Iterable[str] = (), max_signatures: int = MOST_SIGNATURES,
        max_variants: int = MOST_VARIANTS,
    ) -> None:  # fmt: skip
        from chainrule.compiler.llvm import llvm_binding

        llvm_binding()
        self.function = function
        nums = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
        names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
        self._options = (nums, names, max_signatures, max_variants)
        self._nums = nums
        self._names = names
        functools.update_wrapper(self, function, updated=())
        self._title = getattr(function, "__name__", type(function).__name__)
        self.clear()
        _ALL.add(self)

    def clear(self) -> None:
        """Forget all machine code."""
        self._surroundings = Surroundings(self.function)
        self._reader = Reader(self._surroundings)
        self._signatures: OrderedDict[Any, Signature] = OrderedDict()
        self._lock = threading.RLock()
        self._said: set[str] = set()
        self._quick: dict[Any, Quick] = {}  # by types and shapes
        self._latest: dict[Any, Quick] = {}  # by types alone, that of the latest call

    # ------------------------------------------------ calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the machine code for these arguments, which is made when it is first needed."""
        if recorder.get() is not None:
            return self.function(*args, **kwargs)  # part of another recording
        quick = None if kwargs else self._latest.get(tuple(map(type, args)))
        if quick is not None and self._holds(quick):
            found = quick(args)
            if found is not MISSED:
                return found
        short = quick_key(args, kwargs)
        if short is not None:
            found = self._again(*short)
            if found is not MISSED:
                return found
        call = self._read(args, kwargs)
        if any(isinstance(x, Traced) for x in call.tensors):
            return self.function(*args, **kwargs)
        signature = self._signature(call)
        try:
            found = signature.run(
                call.tensors, call.arrays, lambda: self._recorded(call, signature)
            )
            whole = len(call.places) == len(call.leaves)
            if short is not None and whole and signature.variants[0].is_plain:
                self._quicken(*short, signature.variants[0], call.arrays)
            return found
        except NotRecorded as error:
            refused = error
        if refused.failed and self._reader.freeze(call):
            return self(*args, **kwargs)  # perhaps a number has to be one of Python's
        found = self._eager(args, kwargs)  # raises what is the function's own error
        if refused.lasting:
            signature.reason = refused.reason
        self._say(refused.reason, f"jit: {self._title} runs eagerly: {refused.reason}")
        return found

    def _again(self, key: Any, leaves: Sequence[Any]) -> Any:
        """A call of what was called before with such arguments; `MISSED` if nothing was."""
        latest = self._latest.get(key)
        if latest is None:
            return MISSED
        if self._holds(latest):
            found = latest(leaves)
            if found is not MISSED:
                return found
        quick = self._quick.get(with_shapes(key, leaves))
        if quick is None or quick is latest or not self._holds(quick):
            return MISSED
        self._latest[key] = quick
        return quick(leaves)

    def _holds(self, quick: Quick) -> bool:
        """Whether what is around the function is as it was."""
        state = self._surroundings.state()
        return quick.state is state or quick.state == state

    def _quicken(self, key: Any, leaves: Sequence[Any], variant: Variant, arrays: bool) -> None:
        """Let the next such call go the short way."""
        full = with_shapes(key, leaves)
        quick = self._quick.get(full)
        if quick is None or quick.variant is not variant or not self._holds(quick):
            if len(self._quick) >= self._options[2]:
                self._quick.clear()
                self._latest.clear()
            quick = Quick(variant, leaves, arrays, self._surroundings.state())
            self._quick[full] = quick
        self._latest[key] = quick

    def _read(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Call:
        if self._nums or self._names:
            held = [Held(x) if i in self._nums or i - len(args) in self._nums else x
                    for i, x in enumerate(args)]  # fmt: skip
            kwargs = {k: Held(x) if k in self._names else x for k, x in kwargs.items()}
            return self._reader.read(held, kwargs)
        return self._reader.read(args, kwargs)

    def _signature(self, call: Call) -> Signature:
        with self._lock:
            key = (call.key, self._surroundings.state())
            found = self._signatures.get(key)
            if found is None:
                self._surroundings.look()  # variables may have been defined since
                key = (call.key, self._surroundings.state())
                found = self._signatures.get(key)
            if found is not None:
                self._signatures.move_to_end(key)
                return found
            found = self._signatures[key] = Signature(self._options[3])
            if len(self._signatures) > self._options[2]:
                self._signatures.popitem(last=False)
                self._say(
                    "signatures",
                    f"jit: {self._title} was called with more than {self._options[2]} different "
                    "signatures (shapes, dtypes and values of arguments that are not tensors), and "
                    "is compiled anew for each. Pad arguments to fewer shapes, or pass what "
                    "changes as tensors; print(f.report()) shows the signatures",
                )
            return found

    def _recorded(self, call: Call, signature: Signature) -> Recording:
        """A recording; the signature is known by what the function has left unchanged, too."""
        made = self._record(call)
        with self._lock:
            for key in [k for k, s in self._signatures.items() if s is signature]:
                del self._signatures[key]
            self._signatures[(call.key, self._surroundings.state())] = signature
        return made

    def _record(self, call: Call) -> Recording:
        """Run the function and keep what it does.

        Raises:
            NotRecorded: if that is not possible.
        """
        names = argument_names(self.function, call.spec.unflatten(call.leaves)[0], call.spec)

        def run(tensors: list[Any]) -> Any:
            args, kwargs = call.rebuilt(tensors)
            return self.function(*map(_given, args), **{k: _given(x) for k, x in kwargs.items()})

        token = running.set(())
        before = self._surroundings.state()
        sources = Sources([*call.leaves, *self._surroundings.others()])
        try:
            made = record(call.arguments(names), run, self._title)
            if sources.drawn_from():
                raise NotRecorded(
                    "it draws random numbers from NumPy or Python, which would be the same in "
                    "every call; the functions of chainrule.random draw anew"
                )
            return made
        except NotRecorded:
            raise
        except DataDependence as error:
            raise NotRecorded(str(error)) from error
        except Exception as error:  # the function's own, or something that only eager code can do
            reason = f"recording it failed: {type(error).__name__}: {error}"
            raise NotRecorded(reason, failed=True) from error
        finally:
            sources.drawn_from()
            running.reset(token)
            self._surroundings.forget_changed(before)

    def _eager(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The function itself, which sees tensors and gives arrays for arrays, as when compiled."""
        leaves, spec = tree.flatten((tuple(args), kwargs))
        args, kwargs = spec.unflatten([as_tensor(x) for x in leaves])
        return all_given(self.function(*args, **kwargs), gives_arrays(leaves))

    def _say(self, what: str, message: str) -> None:
        """Warn, once about each matter."""
        if what not in self._said:
            self._said.add(what)
            warnings.warn(message, JitWarning, stacklevel=3)

    # ------------------------------------------------ methods, copies

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self) -> Any:
        return JitFunction, (self.function, *self._options)

    # ------------------------------------------------ looking

    @property
    def signatures(self) -> list[Signature]:
        """What is known of each signature, the most recently used last."""
        with self._lock:
            return list(self._signatures.values())

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Record the function for arguments like these, without compiling or keeping anything.

        Raises:
            RuntimeError: if it cannot be recorded for them.
        """
        call = self._read(args, kwargs)
        return Lowered(self._title, call, self._record(call), self._read)

    def report(self) -> Overview:
        """What has been compiled, how, and what runs eagerly and why; print it.

        Its `ir` and `assembly` are the machine code as text.
        """
        return Overview(self._title, self.signatures)

    def variants(self) -> list[Variant]:
        """The machine code of all signatures and paths."""
        return [v for s in self.signatures for v in s.variants]

    def __repr__(self) -> str:
        n = len(self._signatures)
        many = f"{n} signature" + ("" if n == 1 else "s")
        return f"<jit {self._title}: {many}>"


def _given(x: Any) -> Any:
    return x.value if isinstance(x, Held) else x


_ALL: weakref.WeakSet[JitFunction] = weakref.WeakSet()


def _renew_locks() -> None:
    """After a fork, locks that other threads held are held by nobody."""
    for f in list(_ALL):
        f._lock = threading.RLock()
        for s in f._signatures.values():
            s.lock = threading.RLock()
            for v in s.variants:
                v.compiled.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
