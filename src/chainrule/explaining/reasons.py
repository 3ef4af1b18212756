"""why: the reason for a gradient that is None, zero, nan, infinite, or what it is."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from chainrule.core import cuts
from chainrule.core.boxes import Box
from chainrule.core.dtypes import is_inexact
from chainrule.core.source import user_frame
from chainrule.core.tensor import Tensor, set_requires_grad, wrap
from chainrule.explaining import why_none, why_numbers
from chainrule.explaining.why_walk import Walk, is_freed, place
from chainrule.graph.numerals import numeral
from chainrule.graph.tape import keep_everything
from chainrule.transforms.inputs import as_tensor


class Why:
    """The reason for a gradient.

    Attributes:
        verdict: "none", "zero", "nan", "inf", "regular", or "freed" where a backward pass has
            released what the reason would be found in, "changed" where a write in place has.
        headline: the reason in one line.
        lines: what else is known.
        gradient: the gradient, for a result with several entries that of their sum; None where
            there is none.

    It prints as text and shows in notebooks.
    """

    def __init__(
        self, verdict: str, headline: str, lines: Sequence[str] = (), gradient: Any = None
    ) -> None:
        self.verdict = verdict
        self.headline = headline
        self.lines = list(lines)
        self.gradient: Tensor | None = None if gradient is None else wrap(np.array(gradient))

    def __repr__(self) -> str:
        return "\n".join([self.headline, *("  · " + line for line in self.lines)])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(line)}</li>" for line in self.lines)
        rest = f"<ul>{items}</ul>" if items else ""
        return f"<div><b>{escape(self.headline)}</b>{rest}</div>"


class Several(tuple[Why, ...]):
    """The reasons for the gradients by several inputs."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        return "".join(w._repr_html_() for w in self)


def why(y: Any, *inputs: Any) -> Why | Several:
    """Why is the gradient of `y` with respect to `x` what it is: None, zero, nan, or a number?

    Nothing is changed: no gradient is written, the tape stays, and hooks are not run.

    Args:
        y: a tensor, with the tensor `x` as the second argument; or a function, which is called
            with the inputs on a tape that keeps everything.  A function without parameters is
            called as it is, and the inputs are tensors that it uses.
        inputs: `x`, or the inputs of the function: one reason is given for each of them that is no
            integer.

    Raises:
        TypeError: if `y` is no tensor or function, or `x` is no tensor.
        RuntimeError: if a tensor belongs to a running transform.

    >>> import chainrule as cr
    >>> x = cr.tensor([-1.0, 2.0], requires_grad=True)
    >>> cr.why(cr.relu(x).sum(), x).verdict
    'regular'
    >>> cr.why(lambda x: (x.detach() * 3.0).sum(), 2.0).verdict
    'none'
    """
    if isinstance(y, Tensor) or not callable(y):
        if len(inputs) != 1:
            raise TypeError(f"why(y, x) takes one tensor x, got {len(inputs)}")
        _check("y", y)
        _check("x", inputs[0])
        names = _names(y, inputs[0])
        with np.errstate(all="ignore"):  # what is not finite is what is asked about
            return reason(y, inputs[0], names, cuts.recent())
    with np.errstate(all="ignore"):
        return _of_function(y, inputs)


def _check(name: str, t: Any) -> None:
    if not isinstance(t, Tensor):
        raise TypeError(
            f"why: {name} is a {type(t).__name__}; it explains the gradient of a tensor y with "
            "respect to a tensor x: why(y, x), or of a function: why(f, *inputs)"
        )
    if isinstance(t, Box):
        raise RuntimeError(
            f"why: {name} belongs to a running {t.tag.title}, whose derivatives are not on the "
            "tape. Explain the function that is transformed, outside of the transform: "
            "why(f, *inputs)"
        )


def _names(y: Any, x: Any) -> tuple[str, str]:
    """What the caller calls the two."""
    frame = user_frame(sys._getframe(2))
    found = {}
    if frame is not None:
        for name, value in [*frame.f_globals.items(), *frame.f_locals.items()]:
            if isinstance(value, Tensor):
                found[id(value)] = name
    return found.get(id(y), "y"), found.get(id(x), "x")


def _of_function(f: Callable[..., Any], inputs: Sequence[Any]) -> Why | Several:
    title = getattr(f, "__name__", type(f).__name__)
    parameters = _parameters(f, len(inputs))
    if parameters == []:
        variables = list(inputs)
        for i, x in enumerate(inputs):
            _check(f"input {i}", x)
    else:
        variables = [_variable(x) for x in inputs]
    with cuts.collected() as found, keep_everything():
        y = f() if parameters == [] else f(*variables)
    if not isinstance(y, Tensor):
        raise TypeError(
            f"why: {title} returned {type(y).__name__}; to have a gradient it must return a tensor"
        )
    _check(f"the result of {title}", y)
    given = parameters or [f"x{i + 1}" if len(inputs) > 1 else "x" for i in range(len(inputs))]
    found_reasons = [
        reason(y, x, (title if title.isidentifier() else "y", name), found)
        for name, x in zip(given, variables, strict=True)
        if isinstance(x, Tensor) and is_inexact(x.array.dtype)
    ]
    if not found_reasons:
        raise TypeError(f"why: {title} has no input that is a float, an array or a tensor of them")
    return found_reasons[0] if len(found_reasons) == 1 else Several(found_reasons)


def _parameters(f: Callable[..., Any], count: int) -> list[str] | None:
    """The names of the arguments that a function is called with; None where they are unknown."""
    try:
        found = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # built-in functions have none
        return None
    named = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in found) or len(named) < count:
        return None if found else []
    return named[:count]


def _variable(x: Any) -> Any:
    """An input that requires grad: the tensor itself if it does."""
    if isinstance(x, Box):
        _check("an input", x)
    if isinstance(x, Tensor) and x.node is not None:
        return x
    if isinstance(x, (float, complex)):
        x = wrap(np.asarray(x))
    t = as_tensor(x)
    if isinstance(t, Tensor) and is_inexact(t.array.dtype):
        t = wrap(t.array)
        set_requires_grad(t, True)
    return t


def reason(y: Tensor, x: Tensor, names: tuple[str, str], found: Sequence[cuts.Cut]) -> Why:
    """The reason for the gradient of one tensor with respect to another."""
    if y.node is None or x.node is None:
        return Why("none", *why_none.without_record(y, x, names, found))
    try:
        walk = Walk(y.node, x.node)
    except RuntimeError as error:
        return _unknown(y, x, names, error)
    if not walk.connected:
        return Why("none", *why_none.disconnected(y, x, names, found))
    g = walk.gradient
    if g is None:
        return Why("none", *why_none.without_adjoint(walk, names))
    lines = []
    if x.node.parents:
        lines.append(
            f"{names[1]} was computed, at {place(x.node.code, x.node.lasti)}: its .grad stays None "
            f"unless {names[1]}.retain_grad() is called before backward()"
        )
    lines += _hooks(walk)
    size = "" if y.node.size == 1 else f" (of the sum of the {y.node.size} entries of {names[0]})"
    if not np.isfinite(g).all():
        verdict = "nan" if np.isnan(g).any() else "inf"
        headline, more = why_numbers.birth(walk, verdict, names)
        return Why(verdict, headline, [*more, *lines], g)
    headline, more = why_numbers.zeros(walk, names)
    if headline and not g.any():
        return Why("zero", headline, [*more, *why_numbers.suppressed(walk), *lines], g)
    value = f"d{names[0]}/d{names[1]} = {numeral(g)}{size}"
    if headline:
        value += f": {headline}"
    more = [*why_numbers.contributions(walk, names), *more, *why_numbers.suppressed(walk)]
    return Why("regular", value, [*more, *lines], g)


def _unknown(y: Tensor, x: Tensor, names: tuple[str, str], error: RuntimeError) -> Why:
    """The gradient cannot be had: the tape was freed, or what it keeps was overwritten.

    Raises:
        RuntimeError: the error itself, if it is neither.
    """
    from chainrule.core import engine

    order, _ = engine.between([y.node], [x.node])  # type: ignore[list-item]
    freed = next((n for n in order if is_freed(n) and n is not x.node), None)
    if freed is not None:
        line = place(freed.args.code, freed.args.lasti)
        return Why(
            "freed",
            f"unknown: the tape was freed by backward() at {line}; keep it "
            "with retain_graph=True, or let why run the function: why(lambda: ..., "
            f"{names[1]})",
        )
    if "modified by an inplace operation" in str(error):
        return Why("changed", f"unknown: {error}")
    raise error


def _hooks(walk: Walk) -> list[str]:
    """What hooks would change."""
    hooked = [
        n for n in walk.order
        if n.extra is not None and (n.extra.hooks or n.extra.pre_hooks or n.extra.post_hooks)
    ]  # fmt: skip
    if not hooked:
        return []
    where = ", ".join(dict.fromkeys(place(n.code, n.lasti) for n in hooked))
    return [f"hooks on values made at {where} may change gradients; they were not run here"]


__all__ = ["Several", "Why", "reason", "why"]
