"""Statements with bodies: control flow, and transforms of functions defined on the spot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.builder import LARGEST, Builder, Memory, Scope, Var
from tests.fuzz.containers import CONTAINERS, ONE, Packing
from tests.fuzz.program import Block
from tests.fuzz.statements import BINARY, SIMPLE, UNARY
from tests.fuzz.writes import write

DEEPEST = 3  # nested functions


def simple(b: Builder, scope: Scope) -> None:
    """A statement that may stand in the body of a `for`."""
    b.pick(SIMPLE)(b, scope)


def flat(b: Builder, scope: Scope) -> None:
    """A statement that defines no function."""
    b.pick([*SIMPLE, write, write, write])(b, scope)


def statement(b: Builder, scope: Scope) -> None:
    """Any statement."""
    b.left -= 1
    kinds = [flat] * 5
    if scope.level < DEEPEST and b.left > 0:
        kinds += [transform] * 4
    kinds += [branch, loop, container]
    b.pick(kinds)(b, scope)


def container(b: Builder, scope: Scope) -> None:
    """A tree as an intermediate value: made, and read in part."""
    b.features.add("tree")
    first, second = b.any(scope), b.any(scope)
    packing = b.pick(CONTAINERS[2])
    t = b.name("t")
    scope.line(f"{t} = {packing.pack([b.read(scope, first), b.read(scope, second)])}")
    take = b.below(2)
    v = (first, second)[take]
    b.define(scope, f"cr.sin({t}{packing.take[take]})", v.shape, [v])


def branch(b: Builder, scope: Scope) -> None:
    """An `if` on a value that no enclosing vmap maps."""
    b.features.add("if")
    seen = b.find(scope, lambda v: not v.mapped and v.size <= 9)
    if seen is None or not b.chance(3):
        condition = f"{b.number()} > {b.number()}"
    else:
        b.branches = True
        condition = f"cr.sum({b.read(scope, seen)}) > {b.number()}"
    model = b.any(scope)
    name, parts, mapped = b.name("v"), [], model.mapped
    for header in (f"if {condition}:", "else:"):
        inner = scope.branch()
        flat(b, inner)
        text, operands = b.like(inner, model.shape)
        inner.line(f"{name} = {b.pick(UNARY).format(text)}")
        mapped = mapped or any(v.mapped for v in operands)
        parts.append(Block(header, inner.body))
    scope.body += parts
    scope.variables.append(Var(name, model.shape, mapped, Memory(scope.home, held=True)))


def loop(b: Builder, scope: Scope) -> None:
    """A `for` with a variable carried along, left early on some values."""
    b.features.add("for")
    start = b.any(scope)
    turns = 2 + b.below(2)
    i = b.name("i")
    carried = b.define(scope, f"0.5 * {b.read(scope, start)}", start.shape, [start])
    inner = scope.loop(i, turns)
    first = len(inner.variables)
    if not (scope.in_vmap or carried.mapped) and carried.size <= 9 and b.chance(6):
        b.branches = True
        inner.line(f"if cr.sum({carried.name} * {carried.name}) > 2.0: break")
    simple(b, inner)
    if b.chance(2):
        simple(b, inner)
    text, operands = b.broadcastable(inner, carried.shape)
    inner.line(f"{carried.name} = {b.pick(BINARY).format(carried.name, text)}")
    mapped = any(v.mapped for v in [*operands, *inner.variables[first:]])
    carried.mapped = carried.mapped or mapped
    scope.body.append(Block(f"for {i} in range({turns}):", inner.body))


@dataclass
class Inner:
    """A function defined in the program: its name and what it is applied to."""

    name: str
    parts: list[Var]  # the arguments, in the order of the packing or as positional ones
    arguments: list[str]  # as they are passed
    packing: Packing | None  # None: positional


def parts_of(b: Builder, scope: Scope, fits: Callable[[Var], bool]) -> list[Var] | None:
    """One or two variables to differentiate with respect to."""
    found = b.find(scope, fits)
    if found is None:
        return None
    second = b.find(scope, fits) if b.chance(3) else None
    return [found] if second is None else [found, second]


def define_inner(
    b: Builder,
    scope: Scope,
    parts: list[Var],
    shapes: list[tuple[int, ...]],
    result: Callable[[Scope], str],
    mapped: list[bool],
    positional: bool = False,
) -> Inner:
    """A function of `parts`, whose body is drawn, and `result` the expression it returns."""
    vmap = any(mapped)
    inner = scope.function(vmap)
    packing = None
    if not positional and b.chance(3):
        b.features.add("tree")
        packing = b.pick(CONTAINERS[len(parts)])
    name, argument = b.name("g"), b.name("t")
    names = [b.name("u") for _ in parts]
    for n, v, shape, is_mapped in zip(names, parts, shapes, mapped, strict=True):
        made = Var(n, shape, v.mapped or is_mapped, Memory(scope.home, held=True))
        inner.variables.append(made)
    if packing is None:
        header = f"def {name}({', '.join(names)}):"
        passed = [b.read(scope, v) for v in parts]
    else:
        header = f"def {name}({argument}):"
        for n, take in zip(names, packing.take, strict=True):
            inner.line(f"{n} = {argument}{take}")
        passed = [packing.pack([b.read(scope, v) for v in parts])]
    for v in parts:
        v.memory.held = True
    body(b, inner, 3)
    inner.line(f"return {result(inner)}")
    scope.body.append(Block(header, inner.body))
    return Inner(name, parts, passed, packing)


def body(b: Builder, scope: Scope, longest: int) -> None:
    """A few statements."""
    statement(b, scope)
    for _ in range(longest - 1):
        if b.below(longest) == 0 or b.left <= 0:
            return
        statement(b, scope)


def scalar(b: Builder, scope: Scope) -> str:
    """An expression of shape () made from the newest variables."""
    own = scope.variables[scope.own :]
    text = b.pick(["cr.sum({0})", "cr.mean(cr.sin({0}))", "cr.sum({0} * {0})"])
    text = text.format(b.read(scope, own[-1]))
    if len(own) > 1 and b.chance(2):
        text += f" + cr.sum(cr.tanh({b.read(scope, b.pick(own[-2::-1]))}))"
    return text


def array(b: Builder, scope: Scope, most: int = LARGEST) -> Var:
    """A variable of at most `most` entries, of the function itself where there is one."""
    own = scope.variables[scope.own :]
    found = b.find(scope, lambda v: v.size <= most and any(v is known for known in own))
    if found is None:
        found = b.define(scope, f"cr.sum({own[-1].name})", (), [own[-1]])
    found.memory.held = True
    return found


def outputs(b: Builder, scope: Scope, inner: Inner, result: str) -> None:
    """New variables for what a transform returned, in the structure of the arguments."""
    takes = inner.packing.take if inner.packing is not None else None
    if takes is None:
        takes = [""] if len(inner.parts) == 1 else [f"[{i}]" for i in range(len(inner.parts))]
    for v, take in zip(inner.parts, takes, strict=True):
        made = b.define(scope, f"{result}{take}", v.shape, [v])
        made.mapped = made.mapped or scope.in_vmap


def transform(b: Builder, scope: Scope) -> None:
    """A function defined on the spot, and a transform of it applied at once."""
    b.pick([gradient, forward, mapping, pullback, jacobian, linear, mapping, second, series])(
        b, scope
    )


def gradient(b: Builder, scope: Scope) -> None:
    """grad or grad_and_value, of one or two arguments, positional or in a container."""
    b.features.add("grad")
    parts = parts_of(b, scope, lambda v: True)
    assert parts is not None
    inner = define_inner(b, scope, parts, shapes(parts), lambda s: scalar(b, s), unmapped(parts))
    both = len(parts) == 2 and inner.packing is None
    argnums = ", argnums=(0, 1)" if both else ""
    passed = ", ".join(inner.arguments)
    r = b.name("r")
    if b.chance(4):
        value = b.name("v")
        scope.line(f"{r}, {value} = cr.func.grad_and_value({inner.name}{argnums})({passed})")
        known(scope, value, ())
    else:
        scope.line(f"{r} = cr.func.grad({inner.name}{argnums})({passed})")
    outputs(b, scope, inner, r)


def known(scope: Scope, name: str, shape: tuple[int, ...]) -> Var:
    """A variable that a statement with several results defined."""
    made = Var(name, shape, scope.in_vmap, Memory(scope.home, held=True))
    scope.variables.append(made)
    return made


def shapes(parts: list[Var]) -> list[tuple[int, ...]]:
    return [v.shape for v in parts]


def unmapped(parts: list[Var]) -> list[bool]:
    return [False] * len(parts)


def tangents(b: Builder, scope: Scope, inner: Inner) -> list[str]:
    """Directions in the structure of the arguments."""
    names = [b.like(scope, v.shape)[0] for v in inner.parts]
    return names if inner.packing is None else [inner.packing.pack(names)]


@dataclass
class Returned:
    """What an inner function returns: variables, and the container they are in."""

    packing: Packing
    shapes: list[tuple[int, ...]]


def returning(b: Builder, scope: Scope, most: int = LARGEST) -> tuple[Callable, Returned]:
    """A result of an inner function: an array or a container of arrays."""
    returned = Returned(ONE, [])

    def result(inner: Scope) -> str:
        first = array(b, inner, most)
        found = [first]
        if b.chance(4):
            b.features.add("tree")
            if b.chance(2):
                found.append(array(b, inner, most))
            returned.packing = b.pick(CONTAINERS[len(found)])
        returned.shapes = [v.shape for v in found]
        return returned.packing.pack([v.name for v in found])

    return result, returned


def unpack(b: Builder, scope: Scope, result: str, returned: Returned) -> None:
    """New variables for the entries of a returned container."""
    for take, shape in zip(returned.packing.take, returned.shapes, strict=True):
        made = b.define(scope, f"{result}{take}", shape)
        made.mapped = scope.in_vmap


def inner_with_result(b: Builder, scope: Scope) -> tuple[list[Var], Returned, Inner]:
    """A new inner function of some variables: these, what it returns, and the function."""
    parts = parts_of(b, scope, lambda v: True)
    assert parts is not None
    result, returned = returning(b, scope)
    inner = define_inner(b, scope, parts, shapes(parts), result, unmapped(parts))
    return parts, returned, inner


def forward(b: Builder, scope: Scope) -> None:
    """jvp: values and tangents."""
    b.features.add("jvp")
    _, returned, inner = inner_with_result(b, scope)
    y, t = b.name("r"), b.name("r")
    primals = ", ".join(inner.arguments)
    directions = ", ".join(tangents(b, scope, inner))
    scope.line(f"{y}, {t} = cr.func.jvp({inner.name}, ({primals},), ({directions},))")
    if b.chance(2):
        unpack(b, scope, y, returned)
    unpack(b, scope, t, returned)


def linear(b: Builder, scope: Scope) -> None:
    """linearize: the tangent map as a function, applied once or twice."""
    b.features.add("linearize")
    _, returned, inner = inner_with_result(b, scope)
    y, map_, t = b.name("r"), b.name("l"), b.name("r")
    scope.line(f"{y}, {map_} = cr.func.linearize({inner.name}, {', '.join(inner.arguments)})")
    scope.line(f"{t} = {map_}({', '.join(tangents(b, scope, inner))})")
    unpack(b, scope, t, returned)


def pullback(b: Builder, scope: Scope) -> None:
    """vjp: the value and the function that takes cotangents back."""
    b.features.add("vjp")
    parts, returned, inner = inner_with_result(b, scope)
    y, pull, r = b.name("r"), b.name("pull"), b.name("r")
    scope.line(f"{y}, {pull} = cr.func.vjp({inner.name}, {', '.join(inner.arguments)})")
    names = [b.like(scope, shape)[0] for shape in returned.shapes]
    scope.line(f"{r} = {pull}({returned.packing.pack(names)})")
    if inner.packing is not None:
        outputs(b, scope, inner, f"{r}[0]")
    else:
        for i, v in enumerate(parts):
            b.define(scope, f"{r}[{i}]", v.shape, [v]).mapped |= scope.in_vmap


def mapping(b: Builder, scope: Scope) -> None:
    """vmap over one or two arguments, of a function, its gradient or its Jacobian."""
    first = b.find(scope, lambda v: v.ndim > 0)
    if first is None:
        return flat(b, scope)
    b.features.add("vmap")
    dims: list[int | None] = [b.below(first.ndim)]
    n = first.shape[dims[0] or 0]
    parts = [first]
    if b.chance(2):
        second = b.any(scope)
        parts.append(second)
        dims.append(0 if second.ndim and second.shape[0] == n and b.chance(2) else None)
    per_example = [without(v.shape, d) for v, d in zip(parts, dims, strict=True)]
    mapped = [d is not None for d in dims]
    if b.chance(3):
        return mapped_gradient(b, scope, parts, per_example, dims, n)
    shape: tuple[int, ...] = ()

    def result(inner: Scope) -> str:
        nonlocal shape
        v = array(b, inner, LARGEST // n)
        shape = v.shape
        return v.name

    inner = define_inner(b, scope, parts, per_example, result, mapped)
    out = b.below(len(shape) + 1) if b.chance(3) else 0
    options = in_dims(inner, dims) + (f", out_dims={out}" if out else "")
    text = f"cr.func.vmap({inner.name}{options})({', '.join(inner.arguments)})"
    v = b.define(scope, text, (*shape[:out], n, *shape[out:]))
    v.mapped = scope.in_vmap


def without(shape: tuple[int, ...], dim: int | None) -> tuple[int, ...]:
    return shape if dim is None else shape[:dim] + shape[dim + 1 :]


def in_dims(inner: Inner, dims: list[int | None]) -> str:
    """The argument `in_dims` for these dimensions, left out where it may be."""
    if all(d == 0 for d in dims):
        return ""
    if inner.packing is None:
        return f", in_dims=({', '.join(map(str, dims))},)"
    return f", in_dims=({inner.packing.pack([str(d) for d in dims])},)"


def mapped_gradient(
    b: Builder,
    scope: Scope,
    parts: list[Var],
    per_example: list[tuple[int, ...]],
    dims: list[int | None],
    n: int,
) -> None:
    """vmap of grad: one gradient per example."""
    b.features.add("grad")
    mapped = [d is not None for d in dims]
    inner = define_inner(
        b, scope, parts, per_example, lambda s: scalar(b, s), mapped, positional=True
    )
    text = f"cr.func.vmap(cr.func.grad({inner.name}){in_dims(inner, dims)})"
    v = b.define(scope, f"{text}({', '.join(inner.arguments)})", (n, *per_example[0]))
    v.mapped = scope.in_vmap


def jacobian(b: Builder, scope: Scope) -> None:
    """jacrev or jacfwd of an array by an array."""
    b.features.add("jacobian")
    v = b.find(scope, lambda v: v.size <= 9 and v.ndim < 3)
    if v is None:
        return flat(b, scope)
    shape: tuple[int, ...] = ()

    def result(inner: Scope) -> str:
        nonlocal shape
        out = array(b, inner, LARGEST // v.size)
        shape = out.shape
        return out.name

    mode = b.pick(["jacrev", "jacfwd"])
    # jacfwd maps tangents only, but a reverse transform inside it maps its input.
    inner = define_inner(b, scope, [v], [v.shape], result, [mode == "jacfwd"])
    take = inner.packing.take[0] if inner.packing is not None else ""
    text = f"cr.func.{mode}({inner.name})({inner.arguments[0]}){take}"
    reduced(b, scope, text, shape + v.shape, v)


def second(b: Builder, scope: Scope) -> None:
    """Second derivatives: hessian, and Jacobians of gradients and Jacobians."""
    b.features.add("hessian")
    v = b.find(scope, lambda v: v.size <= 6 and v.ndim < 3)
    if v is None:
        return flat(b, scope)
    inner = define_inner(b, scope, [v], [v.shape], lambda s: scalar(b, s), [True], positional=True)
    form = b.pick(
        [
            "cr.func.hessian({0})",
            "cr.func.jacrev(cr.func.grad({0}))",
            "cr.func.jacfwd(cr.func.grad({0}))",
            "cr.func.jacrev(cr.func.jacfwd({0}))",
        ]
    )
    reduced(b, scope, f"{form.format(inner.name)}({inner.arguments[0]})", v.shape + v.shape, v)


def reduced(b: Builder, scope: Scope, text: str, shape: tuple[int, ...], v: Var) -> None:
    """A result of many dimensions, summed over the first until there are at most three."""
    while len(shape) > 3:
        text, shape = f"cr.sum({text}, dim=0)", shape[1:]
    b.define(scope, text, shape, [v]).mapped |= scope.in_vmap


def series(b: Builder, scope: Scope) -> None:
    """A Taylor coefficient."""
    b.features.add("taylor")
    v = b.any(scope)
    shape: tuple[int, ...] = ()

    def result(inner: Scope) -> str:
        nonlocal shape
        out = array(b, inner)
        shape = out.shape
        return out.name

    inner = define_inner(b, scope, [v], [v.shape], result, [False], positional=True)
    direction = b.like(scope, v.shape)[0]
    k = 1 + b.below(3)
    text = f"cr.taylor({inner.name}, {inner.arguments[0]}, {direction}, {k})[{k}]"
    b.define(scope, text, shape, [v]).mapped |= scope.in_vmap
