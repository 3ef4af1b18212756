"""The Hypothesis strategy of programs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.fuzz.builder import Builder, Memory, Scope, Var
from tests.fuzz.nested import array, body
from tests.fuzz.program import Block, Program

INPUTS = [((3,),), ((2,), (2,)), ((2, 3),), ((3,), ()), ((2, 2), (2,)), ((3,), (2, 1))]
OUTERMOST = 6  # statements of the outermost body, at most


@st.composite
def programs(draw: Any) -> Program:
    """A program `f` of one flat vector."""
    b = Builder(draw)
    scope = Scope([], [], level=0, own=0)
    size = take_inputs(b, scope)
    body(b, scope, OUTERMOST)
    result = combined(b, scope)
    scope.line(f"return {result}")
    seed = b.below(1000)
    function = Block("def f(x):", scope.body)
    return Program(function, size, seed, tuple(sorted(b.features)), b.branches, b.detaches)


def take_inputs(b: Builder, scope: Scope) -> int:
    """The first statements: pieces of `x` in their shapes.  Returns the length of `x`."""
    start = 0
    for shape in b.pick(INPUTS):
        v = Var(b.name("v"), shape, False, Memory(scope.home, held=True))
        piece = f"x[{start}:{start + v.size}]"
        if shape == ():
            piece = f"x[{start}]"
        elif len(shape) > 1:
            piece = f"cr.reshape({piece}, {shape})"
        scope.line(f"{v.name} = {piece}")
        scope.variables.append(v)
        start += v.size
    return start


def combined(b: Builder, scope: Scope) -> str:
    """The result: one variable, and something of others, so that little of the program is dead."""
    result = array(b, scope, most=9)
    others = [v for v in scope.variables if v is not result and v.name.startswith("v")][-3:]
    return " + ".join([result.name, *(f"cr.mean(cr.tanh({v.name}))" for v in others)])
