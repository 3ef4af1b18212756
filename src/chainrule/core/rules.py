"""Rules name what they need.

A derivative rule is a function whose parameter names say what it uses:

    xp               the namespace to compute in
    g or t           the cotangent or the tangent
    x, y, z, w       the arguments, in order
    xs, rest, tail   all arguments, all but the first, all but the first two
    x_aval, ...      (xs_aval: all) shape and dtype of an argument only
    out              the result
    need             which arguments want a cotangent
    params           all keyword parameters; or any one of them by its name

What the rules name is exactly what the tape keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

ARGUMENTS = ("x", "y", "z", "w")
_FROM = {"xs": 0, "rest": 1, "tail": 2}


@cache
def _adapter(names: tuple[str, ...]) -> Callable[[Any], Callable[..., Any]]:
    """A function that turns a rule with these parameter names into one of a fixed signature."""
    sources = {
        "xp": "xp", "g": "g", "t": "g", "out": "out", "need": "need", "params": "params",
        "xs": "args", "xs_aval": "args", "rest": "args[1:]", "tail": "args[2:]",
    }  # fmt: skip
    for i, name in enumerate(ARGUMENTS):
        sources[name] = sources[f"{name}_aval"] = f"args[{i}]"
    call = ", ".join(sources.get(name, f"params[{name!r}]") for name in names)
    source = f"lambda rule: lambda xp, g, args, out, params, need=None: rule({call})"
    # Under this file's name, so that nobody takes the adapter for the user's code.
    adapt: Callable[[Any], Callable[..., Any]] = eval(compile(source, __file__, "eval"))
    return adapt


class Rule:
    """A rule behind the fixed signature `(xp, g, args, out, params, need)`, and what it keeps.

    Attributes:
        call: the rule with that signature, made when it is first called: most never are.
    """

    __slots__ = ("call", "function", "keeps_args", "keeps_from", "keeps_out", "names")

    call: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        code = function.__code__
        names = self.names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        self.function = function
        self.keeps_args = frozenset(i for i, name in enumerate(ARGUMENTS) if name in names)
        self.keeps_from = min((n for name, n in _FROM.items() if name in names), default=1 << 30)
        self.keeps_out = "out" in names

    def __getattr__(self, name: str) -> Any:
        if name != "call":
            raise AttributeError(name)
        self.call = _adapter(self.names)(self.function)
        return self.call

    def keeps(self, position: int) -> bool:
        """Whether the rule uses the value of the argument at `position`."""
        return position in self.keeps_args or position >= self.keeps_from
