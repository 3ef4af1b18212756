"""Statements that write in place, and what they are in JAX: the written array computed anew."""

from __future__ import annotations

from tests.fuzz.builder import Builder, Scope, Var, View
from tests.fuzz.program import Block
from tests.fuzz.statements import BINARY, index_of


def writable(b: Builder, scope: Scope) -> Var:
    """A variable that may be written here; a new buffer if there is none."""
    found = b.find(scope, lambda v: not v.memory.held and v.memory.home is scope.home)
    if found is not None and b.chance(2):
        return found
    return buffer(b, scope)


def buffer(b: Builder, scope: Scope) -> Var:
    """Fresh memory: zeros that nothing is mapped or traced in, or a copy."""
    model = b.any(scope)
    kind = b.pick(["zeros", "zeros_like", "clone"])
    if kind == "zeros":
        shape = model.shape or (2,)
        text = f"cr.zeros({', '.join(map(str, shape))}, dtype=cr.float64)"
        return b.define(scope, text, shape, writable=True)
    name = b.read(scope, model, linear=kind == "clone")
    return b.define(scope, f"cr.{kind}({name})", model.shape, [model], writable=True)


def write(b: Builder, scope: Scope) -> None:
    b.features.add("write")
    y = writable(b, scope)
    kind = b.pick(["item", "whole", "item", "view", "fill"])
    if kind == "fill" and y.ndim and y.view is None:
        return fill(b, scope, y)
    if kind == "view" and y.ndim:
        return transposed(b, scope, y)
    if kind == "item" and y.ndim:
        found = index_of(b, y.shape)
        if found is not None and found[0] != "None" and not repeated(found[0]):
            return item(b, scope, y, *found)
    whole(b, scope, y)


def repeated(index: str) -> bool:
    """Whether an index names an entry twice, so that the order of writing would matter."""
    if not index.startswith("cr.tensor(["):
        return False
    picks = index[len("cr.tensor([") : -2].split(", ")
    return "True" not in picks and "False" not in picks and len(set(picks)) < len(picks)


def item(b: Builder, scope: Scope, y: Var, index: str, shape: tuple[int, ...]) -> None:
    value, operands = b.broadcastable(scope, shape, linear=True, avoid=y.memory)
    op = b.pick(["", "+", "-"])
    method = {"": f"set({value})", "+": f"add({value})", "-": f"add(-({value}))"}[op]
    done(scope, y, f"{y.name}[{index}] {op}= {value}", f"{y.name}.at[{index}].{method}", operands)


def whole(b: Builder, scope: Scope, y: Var) -> None:
    """An operation in place on all of `y`."""
    n = y.name
    kind = b.pick(["+=", "-=", "*=", "copy_", "mul_", "fill_", "zero_", "sin_", "/="])
    if kind in ("fill_", "zero_", "sin_"):
        argument = str(b.number()) if kind == "fill_" else ""
        new = {"fill_": f"cr.zeros_like({n}) + {argument}", "zero_": f"cr.zeros_like({n})"}
        done(scope, y, f"{n}.{kind}({argument})", new.get(kind, f"cr.sin({n})"), [])
        return
    keeps = kind in ("*=", "mul_", "/=")
    v, operands = b.broadcastable(scope, y.shape, linear=not keeps, avoid=y.memory)
    if kind == "copy_":
        done(scope, y, f"{n}.copy_({v})", f"cr.zeros_like({n}) + {v}", operands)
    elif kind == "mul_":
        done(scope, y, f"{n}.mul_({v})", f"{n} * {v}", operands)
    elif kind == "/=":
        done(scope, y, f"{n} /= 1.5 + cr.cos({v})", f"{n} / (1.5 + cr.cos({v}))", operands)
    else:
        done(scope, y, f"{n} {kind} {v}", f"{n} {kind[0]} {v}", operands)


def transposed(b: Builder, scope: Scope, y: Var) -> None:
    """A view of `y` with its dimensions reversed, to be read or written later."""
    axes = tuple(reversed(range(y.ndim)))
    take = f"cr.permute({y.name}, {axes})"
    view = View(y, take, f"{y.name} = cr.permute({{}}, {axes})")
    made = b.define(scope, take, y.shape[::-1], [y], view=view)
    whole(b, scope, made)


def fill(b: Builder, scope: Scope, y: Var) -> None:
    """A loop that writes `y` entry by entry or row by row."""
    i = b.name("i")
    names: list[str] = []
    operands: list[Var] = []
    for _ in range(2):
        v = b.find(scope, lambda v: v.shape in (y.shape, y.shape[1:], ()), y.memory)
        if v is not None:
            row = f"[{i}]" if v.shape == y.shape else ""
            names.append(b.read(scope, v) + row)
            operands.append(v)
    text = b.pick(BINARY).format(*names) if len(names) == 2 else f"0.5 * {i} + {b.number()}"
    op = b.pick(["", "+"])
    method = "add" if op else "set"
    turns = y.shape[0]
    inner = scope.loop(i, turns)
    new = f"{y.name} = {y.name}.at[{i}].{method}({text})"
    inner.line(f"{y.name}[{i}] {op}= {text}", [new, *refresh(y)])
    scope.body.append(Block(f"for {i} in range({turns}):", inner.body))
    mark(y, operands)


def done(scope: Scope, y: Var, text: str, new: str, operands: list[Var]) -> None:
    """The write, and in JAX what it does to everything that shares memory with `y`."""
    scope.line(text, [f"{y.name} = {new}", *refresh(y)])
    mark(y, operands)


def mark(y: Var, operands: list[Var]) -> None:
    """What a write makes of the variables that share memory: mapped, if the value is."""
    mapped = any(v.mapped for v in operands)
    for v in y.memory.views:
        v.mapped = v.mapped or mapped


def refresh(y: Var) -> list[str]:
    """In JAX: put `y` back into what it is a view of, and take the other views again."""
    lines, above, v = [], {y.name}, y
    while v.view is not None:
        lines.append(v.view.put.format(v.name))
        v = v.view.parent
        above.add(v.name)
    for other in y.memory.views:
        if other.view is not None and other.name not in above:
            lines.append(f"{other.name} = {other.view.take}")
    return lines
