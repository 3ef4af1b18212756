"""The statements of fuzzed programs that are not transforms: each adds lines to a scope.

Domains are safe: whatever the operands, the expression is smooth or has a kink whose derivative
is a documented convention, and it grows at most like a product.
"""

from __future__ import annotations

from tests.fuzz.builder import LARGEST, Builder, Scope, Var, View, broadcast

LINEAR_UNARY = ["-{0}", "0.5 * {0}", "{0} - 0.3", "cr.clone({0})", "{0} / 1.7"]
UNARY = [
    "cr.sin({0})",
    "cr.tanh({0})",
    "{0} * {0}",
    "cr.cos({0})",
    "cr.exp(cr.tanh({0}))",
    "cr.sqrt(1.0 + {0} * {0})",
    "cr.log1p({0} * {0})",
    "cr.sigmoid({0})",
    "cr.atan({0})",
    "cr.abs({0})",
    "cr.relu({0})",
    "cr.clamp({0}, -0.7, 0.9)",
    "1.0 / (1.5 + cr.cos({0}))",
    "cr.rsqrt(1.2 + {0} ** 2)",
    "cr.tanh({0}) ** 3",
    "cr.expm1(cr.sin({0}))",
    "cr.log(1.1 + {0} * {0})",
    "cr.asinh({0})",
    "cr.erf({0})",
    "cr.reciprocal(2.0 + cr.tanh({0}))",
    "cr.square(cr.sin({0}))",
    "cr.where({0} > 0.1, {0} * {0}, cr.sin({0}))",
    "cr.where({0} > 0, cr.sqrt({0}), 0.0)",
]
LINEAR_BINARY = ["{0} + {1}", "{0} - {1}", "{0} + 0.5 * {1}"]
BINARY = [
    "{0} * {1}",
    "{0} * cr.tanh({1})",
    "{0} / (2.0 + cr.cos({1}))",
    "cr.maximum({0}, {1})",
    "cr.minimum({0}, {1})",
    "cr.where({0} > {1}, {0}, cr.sin({1}))",
    "cr.atan2({0}, 2.0 + cr.sin({1}))",
    "cr.hypot(1.0 + {0}, 1.5 + cr.sin({1}))",
    "cr.logaddexp({0}, {1})",
    "cr.pow(1.5 + cr.sin({0}), cr.tanh({1}))",
    "cr.sin({0} * {1})",
]
REDUCTIONS = ["sum", "mean", "amax", "logsumexp", "prod", "amin"]
ALONG = ["cumsum", "softmax", "log_softmax", "cumprod"]


def unary(b: Builder, scope: Scope) -> None:
    v = b.any(scope)
    if b.chance(4):
        text = b.pick(LINEAR_UNARY).format(b.read(scope, v, linear=True))
        b.define(scope, text, v.shape, [v], writable=True)
    elif b.chance(30):
        b.detaches = True
        b.define(scope, f"cr.detach({b.read(scope, v)})", v.shape, [v])
    else:
        b.define(scope, b.pick(UNARY).format(b.read(scope, v)), v.shape, [v])


def binary(b: Builder, scope: Scope) -> None:
    v = b.any(scope)
    other = b.find(scope, lambda w: broadcast(v.shape, w.shape) is not None)
    if other is None:
        return unary(b, scope)
    shape = broadcast(v.shape, other.shape)
    assert shape is not None
    linear = b.chance(4)
    text = b.pick(LINEAR_BINARY if linear else BINARY)
    first, second = b.read(scope, v, linear), b.read(scope, other, linear)
    if b.chance(2):
        first, second = second, first
    b.define(scope, text.format(first, second), shape, [v, other], writable=linear)


def reduction(b: Builder, scope: Scope) -> None:
    v = b.find(scope, lambda v: v.ndim > 0)
    if v is None:
        return unary(b, scope)
    dim = b.below(v.ndim)
    if b.chance(4):
        name = b.pick(ALONG)
        text = f"cr.{name}({b.read(scope, v)}, dim={signed(b, dim, v.ndim)})"
        b.define(scope, text, v.shape, [v])
        return
    name = b.pick(REDUCTIONS)
    if b.chance(3) and v.ndim < 3:
        b.define(scope, f"cr.{name}({b.read(scope, v)}{whole(name, v)})", (), [v])
        return
    keep = b.chance(3)
    shape = v.shape[:dim] + ((1,) if keep else ()) + v.shape[dim + 1 :]
    options = f", dim={signed(b, dim, v.ndim)}" + (", keepdim=True" if keep else "")
    if v.shape[dim] > 1 and b.chance(8):
        text = f"cr.var({b.read(scope, v)}{options}, correction={b.below(2)})"
    else:
        text = f"cr.{name}({b.read(scope, v, linear=name == 'sum')}{options})"
    b.define(scope, text, shape, [v])


def signed(b: Builder, dim: int, ndim: int) -> int:
    """The dimension as it is or counted from the end."""
    return dim - ndim if b.chance(3) else dim


def whole(name: str, v: Var) -> str:
    """The arguments that make a reduction total."""
    return f", dim={tuple(range(v.ndim))}" if name == "logsumexp" else ""


def product(b: Builder, scope: Scope) -> None:
    v = b.find(scope, lambda v: v.ndim in (1, 2))
    if v is None:
        return binary(b, scope)
    if v.ndim == 2 and v.shape[0] == v.shape[1] > 1 and b.chance(4):
        return square_matrix(b, scope, v)
    shape, n = v.shape, v.shape[-1]
    other = b.find(scope, lambda w: w.ndim in (1, 2) and w.shape[0] == n)
    if other is None:
        rows = [n] if b.chance(2) else [n, 2]
        text, size, operands = b.literal(rows), tuple(rows), [v]
    else:
        text, size, operands = b.read(scope, other), other.shape, [v, other]
    result = shape[:-1] + size[1:]
    if v.ndim == 1 and len(size) == 1 and v.size * size[0] <= LARGEST and b.chance(2):
        b.define(scope, f"cr.outer({b.read(scope, v)}, {text})", (n, n), operands)
    elif v.ndim == 2 and len(size) == 2 and b.chance(3):
        spec = b.pick(["ij,jk->ik", "ij,jk->ki", "ij,jk->k"])
        axes = {"i": shape[0], "j": n, "k": size[1]}
        shape = tuple(axes[c] for c in spec.split("->")[1])
        b.define(scope, f'cr.einsum("{spec}", {b.read(scope, v)}, {text})', shape, operands)
    else:
        form = b.pick(["{0} @ {1}", "cr.matmul({0}, {1})"])
        b.define(scope, form.format(b.read(scope, v), text), result, operands)


def square_matrix(b: Builder, scope: Scope, v: Var) -> None:
    """Linear algebra on a well-conditioned matrix made from `v`."""
    n = v.shape[0]
    m = f"(2.5 * cr.eye({n}, dtype=cr.float64) + cr.tanh({b.read(scope, v)}))"
    kind = b.pick(["inv", "det", "solve", "trace", "tril", "diagonal", "triu", "cholesky"])
    if kind == "solve":
        text, operands = b.like(scope, (n,))
        b.define(scope, f"cr.linalg.solve({m}, {text})", (n,), [v, *operands])
    elif kind == "cholesky":
        b.define(scope, f"cr.linalg.cholesky({m} @ cr.permute({m}, (1, 0)))", (n, n), [v])
    elif kind in ("inv", "det"):
        b.define(scope, f"cr.linalg.{kind}({m})", (n, n) if kind == "inv" else (), [v])
    else:
        shape = {"trace": (), "diagonal": (n,)}.get(kind, (n, n))
        b.define(scope, f"cr.{kind}({v.name})", shape, [v])


def shape_change(b: Builder, scope: Scope) -> None:
    v = b.any(scope)
    kind = b.pick(["join", "permute", "reshape", "unsqueeze", "expand", "flip", "roll", "sort"])
    if kind == "join":
        return join(b, scope, v)
    if kind in ("flip", "roll", "sort", "permute") and v.ndim == 0:
        kind = "unsqueeze"
    if kind in ("unsqueeze", "expand") and v.ndim == 3:
        kind = "reshape"
    name = b.read(scope, v, linear=kind in ("flip", "roll"))
    if kind == "permute":
        axes = tuple(reversed(range(v.ndim))) if b.chance(2) or v.ndim < 2 else rotated(v.ndim)
        b.define(scope, f"cr.permute({name}, {axes})", [v.shape[a] for a in axes], [v])
    elif kind == "reshape":
        shape = (v.size,) if v.ndim != 1 else split(v.size)
        b.define(scope, f"cr.reshape({name}, {shape})", shape, [v])
    elif kind == "unsqueeze":
        dim = b.below(v.ndim + 1)
        shape = (*v.shape[:dim], 1, *v.shape[dim:])
        b.define(scope, f"cr.unsqueeze({name}, {dim})", shape, [v])
    elif kind == "expand":
        shape = (2, *v.shape)
        if v.size * 2 > LARGEST:
            return unary(b, scope)
        b.define(scope, f"cr.broadcast_to({name}, {shape})", shape, [v])
    else:
        dim = b.below(v.ndim)
        form = {
            "flip": f"cr.flip({name}, ({dim},))",
            "roll": f"cr.roll({name}, 1, {dim})",
            "sort": f"cr.sort({name}, dim={dim})[0]",
        }[kind]
        b.define(scope, form, v.shape, [v])


def rotated(ndim: int) -> tuple[int, ...]:
    return (*range(1, ndim), 0)


def split(n: int) -> tuple[int, ...]:
    """`n` entries in two dimensions."""
    for d in (2, 3):
        if n % d == 0 and n > d:
            return (d, n // d)
    return (1, n)


def join(b: Builder, scope: Scope, v: Var) -> None:
    name = b.read(scope, v, linear=True)
    other, operands = b.like(scope, v.shape, linear=True)
    if v.size * 2 > LARGEST or v.ndim > 2:
        return unary(b, scope)
    if v.ndim == 0 or b.chance(2):
        dim = b.below(v.ndim + 1)
        shape = (*v.shape[:dim], 2, *v.shape[dim:])
        b.define(scope, f"cr.stack([{name}, {other}], dim={dim})", shape, [v, *operands])
    else:
        dim = b.below(v.ndim)
        shape = (*v.shape[:dim], 2 * v.shape[dim], *v.shape[dim + 1 :])
        b.define(scope, f"cr.cat([{name}, {other}], dim={dim})", shape, [v, *operands])


def index_of(b: Builder, shape: tuple[int, ...], basic: bool = False) -> tuple[str, tuple] | None:
    """An index into a shape with at least one dimension, and the shape it selects."""
    n = shape[0]
    kinds = ["int", "slice", "last", "step"] + ([] if basic else ["array", "mask", "new"])
    kind = b.pick(kinds)
    if kind == "int":
        return str(b.below(n)), shape[1:]
    if kind == "slice":
        start = b.below(n)
        return f"{start}:", (n - start, *shape[1:])
    if kind == "last":
        return f"..., {b.below(shape[-1])}", shape[:-1]
    if kind == "step":
        return "::2", ((n + 1) // 2, *shape[1:])
    if kind == "array":
        picks = [b.below(n) for _ in range(1 + b.below(3))]
        return f"cr.tensor({picks})", (len(picks), *shape[1:])
    if kind == "mask":
        mask = [b.below(2) == 0 for _ in range(n)]
        return (f"cr.tensor({mask})", (sum(mask), *shape[1:])) if any(mask) else None
    return "None", (1, *shape)


def index(b: Builder, scope: Scope) -> None:
    v = b.find(scope, lambda v: v.ndim > 0)
    if v is None:
        return unary(b, scope)
    loops = [i for i, turns in scope.loops if turns <= v.shape[0]]
    if loops:
        name = b.read(scope, v, linear=True)
        b.define(scope, f"{name}[{b.pick(loops)}]", v.shape[1:], [v])
        return
    if b.chance(6):
        picks = [[b.below(v.shape[-1]) for _ in range(2)]]
        if v.ndim == 1:
            name = b.read(scope, v)
            text = f"cr.take_along_dim({name}, cr.tensor({picks[0]}), dim=0)"
            b.define(scope, text, (2,), [v])
            return
    own = any(v is known for known in scope.variables[scope.own :])
    found = index_of(b, v.shape, basic=own and not v.memory.held)
    if found is None:
        return unary(b, scope)
    text, shape = found
    if own and not v.memory.held:  # surely a view, and later writes reach it
        name = v.name
        view = View(v, f"{name}[{text}]", f"{name} = {name}.at[{text}].set({{}})")
        b.define(scope, view.take, shape, [v], view=view)
    else:
        b.define(scope, f"{b.read(scope, v, linear=True)}[{text}]", shape, [v])


SIMPLE = [unary, binary, index, reduction, product, shape_change, unary, binary, index]
