"""Expressions of variables: computations that are declared first and given data later.

>>> from chainrule import sym
>>> a, b = sym.vars("a b")
>>> c = 2 * a + b
>>> c.bind(a=3.0, b=1.0)
tensor(7., dtype=chainrule.float64)
>>> c.grad("a").bind(a=3.0, b=1.0)
tensor(2., dtype=chainrule.float64)
"""

from chainrule.sym.declare import var
from chainrule.sym.declare import variables as vars
from chainrule.sym.expression import Expression

__all__ = ["Expression", "var", "vars"]
