"""How operations reach users: as functions, as methods, in place, with `out=` and NumPy's keywords.

A declaration makes a primitive; `export` gives it, or a function of several primitives, its public
names.  `FUNCTIONS` is what `chainrule` exports at top level.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from chainrule.core import inplace
from chainrule.core.abstract import ShapeNeeded
from chainrule.core.boxes import take_over
from chainrule.core.mutation import note_write
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor
from chainrule.ops.examples import EXAMPLES
from chainrule.ops.explain import explain, guarded, postponed, postponing

FUNCTIONS: dict[str, Callable[..., Any]] = {}
SPECIAL: dict[str, Callable[..., Any]] = {}  # what only `chainrule.special` offers
_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "axes": "dims"}


def attach(name: str, method: Callable[..., Any]) -> None:
    """Make a function a method (or operator) of tensors."""
    if isinstance(method, FunctionType) and not hasattr(method, "prim") and name[:2] != "__":
        method = guarded(method, name)
    setattr(Tensor, name, method)


def export(
    *names: str, method: bool = True, function: bool = True, in_place: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # fmt: skip
    """Publish a function under `names` (its own by default).

    The public form also takes `out=` (written in place) and NumPy's `axis`/`keepdims` for
    `dim`/`keepdim`.  With `in_place`, the method `name_` writes the result back.
    """

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        public = with_keywords(f, (names or (f.__name__,))[0])
        for name in names or (f.__name__,):
            if function:
                FUNCTIONS[name] = public
            if method:
                setattr(Tensor, name, public)
            if in_place:
                setattr(Tensor, name + "_", in_place_method(f, name + "_"))
        public.__name__ = public.__qualname__ = (names or (f.__name__,))[0]
        return public

    return decorate


def with_keywords(f: Any, name: str | None = None) -> Any:
    """`f`, also taking `out=` and NumPy's names for the keywords it has."""
    name = name or f.__name__
    code = f.__wrapped__.__code__ if hasattr(f, "__wrapped__") else f.__code__
    has = frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    renames = {a: b for a, b in _NUMPY_NAMES.items() if b in has and a not in has}

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        out = None
        try:
            if not kwargs:
                return f(*args)
            for numpy_name, ours in renames.items():
                if numpy_name in kwargs:
                    if ours in kwargs:
                        raise TypeError(f"{name}() got both {ours!r} and {numpy_name!r}")
                    kwargs[ours] = kwargs.pop(numpy_name)
            out = kwargs.pop("out", None)
            result = f(*args, **kwargs)
            return result if out is None else write_out(out, result, name)
        except ShapeNeeded as needed:
            if out is not None:  # writes at once
                raise
            return postponed(needed, wrapper, args, kwargs)
        except Exception as error:
            explain(error, f, name, args, kwargs)
            raise

    public: Any = postponing(wrapper)
    if hasattr(f, "prim"):
        public.prim = f.prim
    return public


def write_out(out: Any, result: Any, name: str) -> Any:
    """Store a result in the tensor (or tuple of tensors) given as `out=` and return that."""
    if isinstance(result, tuple):
        return type(result)(*[write_out(o, r, name) for o, r in zip(out, result, strict=True)])
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if out.node is not None or (result.node is not None):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, "
            "but one of the arguments requires grad."
        )
    if out.array.shape != result.array.shape and (out._box or result._box):
        take_over(out, recorded.astype(result, dtype=out.array.dtype))
        return out
    if out.array.shape != result.array.shape:
        out.array = result.array.astype(out.array.dtype)
        note_write(out.array)
        return out
    return inplace.assign(out, result, name)


def in_place_method(f: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The method that does `f` in place."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        try:
            return inplace.apply(self, f, *args, **kwargs)
        except Exception as error:
            explain(error, f, name, (self, *args), kwargs)
            raise

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place version of `{name[:-1]}`."
    return method


def with_example(doc: str | None, name: str) -> str | None:
    """A docstring that ends with the example of the function `name`, if there is one."""
    if name not in EXAMPLES:
        return doc
    call, printed = EXAMPLES[name]
    return f"{doc}\n\n    >>> import chainrule as cr\n    >>> {call}\n    {printed}\n    "


def export_elementwise(
    op: Any, *names: str, in_place: bool = True, method: bool = True,
    namespace: dict[str, Callable[..., Any]] = FUNCTIONS,
) -> Any:  # fmt: skip
    """Publish an elementwise operation of one or two tensors; methods and operators stay direct."""
    name = names[0] if names else op.__name__
    if op.prim.arity == 1:

        def unary(input: Any, *, out: Any = None) -> Any:
            result = op(input)
            return result if out is None else write_out(out, result, name)

        public: Any = unary
    else:

        def binary(input: Any, other: Any, *, out: Any = None) -> Any:
            result = op(input, other)
            return result if out is None else write_out(out, result, name)

        public = binary
    public.__name__ = public.__qualname__ = name
    public.__doc__ = op.__doc__ = with_example(op.prim.doc, name)
    public.prim = op.prim
    for n in names or (op.__name__,):
        namespace[n] = public
        if method:
            setattr(Tensor, n, op)
        if in_place:
            setattr(Tensor, n + "_", in_place_method(op, n + "_"))
    return op
