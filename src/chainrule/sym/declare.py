"""Declaring variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.core.dtypes import as_numpy, default_dtype
from chainrule.core.source import caller
from chainrule.sym.deferred import deferred_variable
from chainrule.sym.expression import DeclaredArray, Expression, expression
from chainrule.transforms.tracing import input_node


def var(name: str, shape: Any = None, dtype: Any = None) -> Any:
    """A variable, from which expressions are made by operators, methods and functions.

    If the shape is declared, the expression's shapes are known at once and checked line by line.
    Otherwise they are found when data is bound, and one expression takes data of many shapes.

    Args:
        name: what it is called in formulas, and when data is bound.  One that is no identifier,
            such as "x[0]", is bound by a mapping: `c.bind({"x[0]": 1.0})`.
        shape: the shape, a tuple of integers or an integer; None if it is to be inferred.
        dtype: the dtype, to which data is converted.  By default that of the data, or, where the
            shape is declared, the default dtype.

    Raises:
        TypeError: if the name is no string or is empty, or the shape is no shape.

    >>> from chainrule import sym
    >>> a, b = sym.var("a", shape=(3,)), sym.var("b")
    >>> print(a * 2 + b)
    a*2 + b
    >>> (2 * a).shape
    chainrule.Size([3])
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a variable is a string, got {type(name).__name__}")
    if not name.strip():
        raise TypeError("the name of a variable is empty; formulas need one, such as 'x'")
    place = caller(1)
    numpy = None if dtype is None else as_numpy(dtype)
    if shape is None:
        return deferred_variable(name, numpy, place)
    node = input_node(_shape(name, shape), numpy or default_dtype(), name, place)
    node.out = DeclaredArray(node.shape or (), node.dtype)
    return expression(node)


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    found = (shape,) if isinstance(shape, int) else shape
    if (
        not isinstance(found, (tuple, list))
        or not all(hasattr(n, "__index__") for n in found)
        or any(n.__index__() < 0 for n in found)
    ):
        raise TypeError(
            f"the shape of {name!r} is a tuple of integers that are not negative, such as (3,) or "
            f"(), got {shape!r:.60}; leave it out to have it inferred from data"
        )
    return tuple([n.__index__() for n in found])


def variables(names: str | Sequence[str], shape: Any = None, dtype: Any = None) -> tuple[Any, ...]:
    """Several variables alike: `a, b, c = sym.vars("a b c")`.

    Args:
        names: their names, separated by spaces or commas, or a sequence of them.
        shape, dtype: as for `var`.

    Raises:
        TypeError: if there is no name, or one twice.

    >>> from chainrule import sym
    >>> a, b = sym.vars("a b", shape=(2,))
    >>> (a * b).shape
    chainrule.Size([2])
    """
    found = names.replace(",", " ").split() if isinstance(names, str) else list(names)
    if not found:
        raise TypeError("vars takes one or more names, such as 'a b c'")
    twice = [n for n in found if found.count(n) > 1]
    if twice:
        raise TypeError(f"vars: the name {twice[0]!r} is given twice")
    return tuple([var(n, shape, dtype) for n in found])


__all__ = ["Expression", "var", "variables"]
