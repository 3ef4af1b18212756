"""What a program under construction knows: its variables, their shapes and their memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.program import Block, Line

LONGEST = 12  # statements of a program, but for the first of each function
LARGEST = 36  # entries of a variable
RECENT = 7  # how far back an operand is looked for first


@dataclass
class Memory:
    """A buffer that variables share.

    It may be written only where it was made (`home`), and only until it is `held`: named by a
    rule, by a closure or by a container, so that a later write would be an error or would need
    another program in JAX.
    """

    home: object
    held: bool
    views: list[Var] = field(default_factory=list)


@dataclass
class View:
    """A variable as a view: how to take it from `parent`, and how to put it back there."""

    parent: Var
    take: str
    put: str


@dataclass
class Var:
    """A variable of a program; `mapped` if its values differ within an enclosing vmap."""

    name: str
    shape: tuple[int, ...]
    mapped: bool
    memory: Memory
    view: View | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass
class Scope:
    """The body under construction, and the variables visible in it."""

    variables: list[Var]
    body: list[Line | Block]
    level: int  # of nested functions
    own: int  # variables before this index belong to enclosing functions
    home: object = field(default_factory=object)
    in_vmap: bool = False
    loops: tuple[tuple[str, int], ...] = ()  # loop variables and their number of turns

    def function(self, in_vmap: bool) -> Scope:
        """The scope of a function defined here."""
        known = list(self.variables)
        return Scope(known, [], self.level + 1, len(known), in_vmap=self.in_vmap or in_vmap)

    def branch(self) -> Scope:
        """The scope of the body of an `if`."""
        known = list(self.variables)
        return Scope(known, [], self.level, self.own, self.home, self.in_vmap, self.loops)

    def loop(self, index: str, turns: int) -> Scope:
        """The scope of the body of a `for`, which must not write what was made outside."""
        known = list(self.variables)
        loops = (*self.loops, (index, turns))
        return Scope(known, [], self.level, self.own, in_vmap=self.in_vmap, loops=loops)

    def line(self, text: str, jax: Sequence[str] | None = None) -> None:
        self.body.append(Line(text, None if jax is None else tuple(jax)))


class Builder:
    """Draws a program; everything random comes from Hypothesis, so that failures shrink."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.names = 0
        self.left = LONGEST  # statements that may still be added
        self.features: set[str] = set()
        self.branches = False
        self.detaches = False

    # drawing

    def below(self, n: int) -> int:
        """An integer in 0..n-1 that shrinks to 0."""
        return self.draw(st.integers(0, n - 1)) if n > 1 else 0

    def pick(self, options: Sequence[Any]) -> Any:
        """One of the options; shrinks to the first."""
        return options[self.below(len(options))]

    def chance(self, one_in: int) -> bool:
        """True once in `one_in` times; shrinks to False."""
        return self.below(one_in) == one_in - 1

    def name(self, letter: str) -> str:
        self.names += 1
        return f"{letter}{self.names}"

    # variables

    def find(
        self, scope: Scope, fits: Callable[[Var], bool] = lambda v: True, avoid: Any = None
    ) -> Var | None:
        """A visible variable that fits; newer ones and those of this function come first."""
        found = [v for v in reversed(scope.variables) if fits(v) and v.memory is not avoid]
        if not found:
            return None
        if len(found) > RECENT and self.chance(4):
            return self.pick(found[RECENT:])
        return self.pick(found[:RECENT])

    def any(self, scope: Scope) -> Var:
        """Any visible variable: there is always the input."""
        found = self.find(scope)
        assert found is not None
        return found

    def read(self, scope: Scope, v: Var, linear: bool = False) -> str:
        """The name of `v`, read here; `linear` if no rule will keep its value."""
        own = any(v is known for known in scope.variables[scope.own :])
        if not (linear and own):
            v.memory.held = True
        return v.name

    def define(
        self,
        scope: Scope,
        text: str,
        shape: Sequence[int],
        operands: Sequence[Var] = (),
        *,
        writable: bool = False,
        view: View | None = None,
    ) -> Var:
        """A new variable `= text`; `writable` if its memory is fresh and no rule keeps it."""
        mapped = any(v.mapped for v in operands)
        memory = view.parent.memory if view else Memory(scope.home, held=not writable)
        made = Var(self.name("v"), tuple(shape), mapped, memory, view)
        memory.views.append(made)
        scope.line(f"{made.name} = {text}")
        scope.variables.append(made)
        return made

    # constants

    def number(self) -> float:
        return self.pick([0.5, -1.0, 0.3, 1.2, -0.7, 2.0])

    def literal(self, shape: Sequence[int]) -> str:
        """A constant array, written out."""
        return f"cr.tensor({self.nested(list(shape))}, dtype=cr.float64)"

    def nested(self, shape: list[int]) -> Any:
        if not shape:
            return round(0.1 * (self.below(25) - 8), 1)
        return [self.nested(shape[1:]) for _ in range(shape[0])]

    def like(self, scope: Scope, shape: tuple[int, ...], linear: bool = False) -> tuple[str, Any]:
        """An expression of exactly this shape, and the variables in it."""
        found = self.find(scope, lambda v: v.shape == shape)
        if found is None:
            return self.literal(shape), []
        return self.read(scope, found, linear), [found]

    def broadcastable(
        self, scope: Scope, shape: tuple[int, ...], linear: bool = False, avoid: Any = None
    ) -> tuple[str, list[Var]]:
        """An expression that broadcasts to this shape without enlarging it."""
        found = self.find(scope, lambda v: fits_into(v.shape, shape), avoid)
        if found is not None:
            return self.read(scope, found, linear), [found]
        other = self.find(scope, avoid=avoid)
        if other is not None and other.size <= 9 and self.chance(2):
            return f"cr.sum({self.read(scope, other, linear)})", [other]
        return self.literal(shape[-1:]), []


def fits_into(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether `small` broadcasts to `large`."""
    if len(small) > len(large):
        return False
    return all(a in (1, b) for a, b in zip(reversed(small), reversed(large), strict=False))


def broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The common shape, None if there is none or it is too large."""
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    if any(x != y and 1 not in (x, y) for x, y in zip(a, b, strict=True)):
        return None
    shape = tuple(max(x, y) for x, y in zip(a, b, strict=True))
    return shape if math.prod(shape) <= LARGEST else None
