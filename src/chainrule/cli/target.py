"""What a command is about: an expression, or a function of a module; and values for it."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.cli.failures import Failed, Refused
from chainrule.explaining.expression_errors import ExpressionError, suggestion
from chainrule.explaining.expressions import parse, parse_value

_FUNCTION = re.compile(r"([^\[\]():\s]*):([^\[\]():\s]*)")  # the colon of x[1:3] is in brackets
_SHOWN = 12  # names that a message lists


def read(text: str, assignments: Sequence[str]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function that `text` names or spells, and its arguments by name.

    Raises:
        Refused: if there is no such thing, or the values do not fit.
        Failed: if the module fails while it is imported.
    """
    try:
        values = assigned(assignments)
        if match := _FUNCTION.fullmatch(text):
            function = found(*match.groups())
            return function, fitting(function, values)
        expression = parse(text)
        expression.assigned((), values)
    except ExpressionError as error:
        raise Refused(str(error)) from None
    return expression, {name: as_input(values[name]) for name in expression.variables}


def assigned(assignments: Iterable[str]) -> dict[str, Any]:
    """Values by name from words such as `x=2`.

    Raises:
        Refused: if a word has another form, or a name comes twice.
        ExpressionError: if what stands after `=` is no value.
    """
    values: dict[str, Any] = {}
    for word in assignments:
        left, equals, right = word.partition("=")
        name = unicodedata.normalize("NFKC", left.strip())
        if not equals or not name.isidentifier():
            hint = "no blanks around =, and quotes around lists, as in 'x=[1, 2]'"
            raise Refused(f"'{word}' is not of the form name=value ({hint})")
        if name in values:
            raise Refused(f"'{name}' has two values")
        try:
            values[name] = parse_value(right)
        except ExpressionError as error:
            raise error.within(word, len(left) + 1) from None
    return values


def as_input(value: Any) -> Any:
    """A value as a tensor of float64 or complex128."""
    array = np.asarray(value)
    return cr.tensor(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64))


@contextmanager
def current_directory_importable() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:  # unless what was imported has removed it
            sys.path.remove(here)


def found(module_name: str, path: str) -> Callable[..., Any]:
    """The function `path`, which may have dots, of a module."""
    if module_name.endswith(".py") or "/" in module_name:
        dotted = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise Refused(f"'{module_name}' is a file: write the module, {dotted}:{path or 'function'}")
    if not all(name.isidentifier() for name in f"{module_name}.{path}".split(".")):
        raise Refused(f"'{module_name}:{path}' is not of the form module:function")
    module = imported(module_name)
    value: Any = module
    for i, name in enumerate(path.split(".")):
        if not hasattr(value, name):
            raise Refused(_no_such_name(module, value, ".".join(path.split(".")[:i]), name))
        value = getattr(value, name)
    if not callable(value):
        raise Refused(f"'{module_name}:{path}' is of type {type(value).__name__}, not a function")
    return value


def imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise Failed.because(error, f"while importing '{name}': ") from None
        raise Refused(_no_such_module(error.name)) from None
    except (Exception, SystemExit) as error:
        raise Failed.because(error, f"while importing '{name}': ") from None


def _no_such_module(name: str) -> str:
    """What to write instead, from the modules beside where it was looked for."""
    package, _, last = name.rpartition(".")
    folder = Path.cwd().joinpath(*package.split(".")) if package else Path.cwd()
    names = sorted(m.name for m in pkgutil.iter_modules([str(folder)]))
    hint = suggestion(last, names)
    if not hint:
        hint = f": those in this folder are {_listed(names)}" if names else ""
    return f"there is no module '{name}'{hint}"


def _no_such_name(module: ModuleType, value: Any, path: str, name: str) -> str:
    held = {n: inspect.getattr_static(value, n, None) for n in dir(value) if n[0] != "_"}
    public = [n for n, f in held.items() if callable(f)]
    own = [n for n in public if getattr(held[n], "__module__", "") == module.__name__]
    owner = f"'{module.__name__}:{path}'" if path else f"module '{module.__name__}'"
    hint = suggestion(name, public)
    if not hint:
        hint = f": its functions are {_listed(own or public)}" if public else ""
    return f"{owner} has no '{name}'{hint}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def fitting(function: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values as arguments; all are float64, but those of integer parameters stay integers.

    Raises:
        Refused: if a parameter has no value, or a value no parameter.
    """
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # functions written in C need not have a signature
        return {name: as_input(value) for name, value in values.items()}
    named = {
        name: p
        for name, p in parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in values:
        if name not in named and not open_ended:
            has = f"its parameters are {', '.join(named)}" if named else "it has no parameters"
            raise Refused(f"there is no parameter '{name}'{suggestion(name, named) or ': ' + has}")
    for name, p in parameters.items():
        if p.kind is p.POSITIONAL_ONLY:
            raise Refused(f"the parameter '{name}' is positional only, and cannot be given by name")
        if name in named and p.default is p.empty and name not in values:
            raise Refused(f"'{name}' has no value: give one with {name}=…")
    return {n: v if _whole(named.get(n), v) else as_input(v) for n, v in values.items()}


def _whole(parameter: inspect.Parameter | None, value: Any) -> bool:
    """Whether an integer is meant as one: a count of steps, not a variable."""
    if parameter is None or not isinstance(value, int):
        return False
    return parameter.annotation in (int, "int") or type(parameter.default) is int
