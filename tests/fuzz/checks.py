"""Every mode of differentiation of one program, compared with every other and with JAX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from hypothesis import reject

import chainrule as cr
from chainrule import func, graph
from tests.fuzz import graph_checks
from tests.fuzz.program import Pair, Program

FIRST, SECOND, THIRD = 1e-9, 1e-7, 1e-5  # tolerances by the order of the derivative
LARGEST_VALUE = 1e4
BATCH = 3
Compared = tuple[str, Any, Any, float]


@cache
def mismatch(check: str) -> type[AssertionError]:
    """The exception of a check: its own type, so that shrinking does not wander to another."""
    return type(f"Mismatch_{check}", (AssertionError,), {})


def numbers(x: Any) -> np.ndarray:
    """The numbers of a tensor or of a JAX array."""
    return x.detach().numpy() if isinstance(x, cr.Tensor) else np.asarray(x)


class Case:
    """A program at a point, with directions and weights to contract its derivatives with."""

    def __init__(
        self, program: Program, oracle: bool = True, machine_code: Sequence[int] = ()
    ) -> None:
        self.program = program
        self.oracle = oracle
        self.machine_code = machine_code
        self.f = program.load({"cr": cr, "Pair": Pair})
        self.x = program.inputs()
        self.value = numbers(self.f(cr.tensor(self.x)))
        if not np.all(np.abs(self.value) < LARGEST_VALUE):
            reject()
        rng = np.random.default_rng(program.seed + 1)
        self.v, self.u = rng.standard_normal((2, program.size))
        self.w = rng.standard_normal(self.value.shape)
        self.points = program.inputs((BATCH,))
        self.notes: Counter[str] = Counter()

    def loss(self, x: cr.Tensor) -> cr.Tensor:
        """The scalar whose gradient is compared: the outputs, weighted."""
        return cr.sum(self.f(x) * cr.tensor(self.w))

    def at(self) -> cr.Tensor:
        return cr.tensor(self.x)

    def along(self) -> cr.Tensor:
        return cr.tensor(self.v)

    def gradient(self) -> np.ndarray:
        found = numbers(func.grad(self.loss)(self.at()))
        if not np.all(np.abs(found) < LARGEST_VALUE):
            reject()
        return found


def eager(c: Case) -> Iterator[Compared]:
    """The tape: backward, and backward through a backward that was itself recorded."""
    g = c.gradient()
    x = c.at().requires_grad_()
    loss = c.loss(x)
    if not loss.requires_grad:  # nothing depends on the input
        yield "gradient of a constant", g, np.zeros_like(g), FIRST
        return
    loss.backward()
    yield "backward", cr.zeros_like(x) if x.grad is None else x.grad, g, FIRST
    x = c.at().requires_grad_()
    (first,) = cr.autograd.grad(c.loss(x), x, create_graph=True, materialize_grads=True)
    second = cr.zeros_like(x)
    if first.requires_grad:
        (second,) = cr.autograd.grad(first, x, c.along(), materialize_grads=True)
    yield "autograd.grad", first, g, FIRST
    yield "double backward", second, over(c, "rr"), SECOND


def reverse(c: Case) -> Iterator[Compared]:
    g = c.gradient()
    again, value = func.grad_and_value(c.loss)(c.at())
    yield "grad_and_value", again, g, FIRST
    yield "value", value, np.sum(c.value * c.w), FIRST
    y, pull = func.vjp(c.f, c.at())
    yield "value of vjp", y, c.value, FIRST
    yield "vjp", pull(cr.tensor(c.w))[0], g, FIRST


def forward(c: Case) -> Iterator[Compared]:
    g = c.gradient()
    y, t = func.jvp(c.f, (c.at(),), (c.along(),))
    yield "value of jvp", y, c.value, FIRST
    yield "jvp and grad", np.sum(numbers(t) * c.w), g @ c.v, FIRST
    y, map_ = func.linearize(c.f, c.at())
    yield "value of linearize", y, c.value, FIRST
    yield "linearize and jvp", map_(c.along()), t, FIRST
    yield "linear map twice", map_(cr.tensor(c.v - 2 * c.u)), numbers(t) - 2 * pushed(c, c.u), FIRST


def pushed(c: Case, v: np.ndarray) -> np.ndarray:
    return numbers(func.jvp(c.f, (c.at(),), (cr.tensor(v),))[1])


def jacobians(c: Case) -> Iterator[Compared]:
    rev, fwd = numbers(func.jacrev(c.f)(c.at())), numbers(func.jacfwd(c.f)(c.at()))
    yield "jacrev and jacfwd", rev, fwd, FIRST
    yield "jacrev and jvp", rev @ c.v, pushed(c, c.v), FIRST
    yield "jacfwd and grad", np.tensordot(c.w, fwd, c.w.ndim), c.gradient(), FIRST


def over(c: Case, modes: str) -> np.ndarray:
    """H v for the loss: forward (f) or reverse (r) mode over another."""
    gradient = func.grad(c.loss)
    if modes == "fr":
        return numbers(func.jvp(gradient, (c.at(),), (c.along(),))[1])
    if modes == "rr":
        return numbers(func.grad(lambda x: cr.sum(gradient(x) * c.along()))(c.at()))
    return numbers(func.grad(lambda x: func.jvp(c.loss, (x,), (c.along(),))[1])(c.at()))


def second(c: Case) -> Iterator[Compared]:
    """Hessian-vector products every way, and the whole Hessian."""
    hv = bounded(over(c, "fr"))
    yield "reverse over reverse", over(c, "rr"), hv, SECOND
    yield "reverse over forward", over(c, "rf"), hv, SECOND
    h = numbers(func.hessian(c.loss)(c.at()))
    yield "hessian", h @ c.v, hv, SECOND
    yield "symmetry", h, h.T, SECOND
    inner = lambda x: func.jvp(c.loss, (x,), (c.along(),))[1]
    t = func.jvp(inner, (c.at(),), (cr.tensor(c.u),))[1]
    yield "forward over forward", t, c.u @ hv, SECOND


def bounded(a: np.ndarray) -> np.ndarray:
    """The numbers, or no verdict on this program where they are enormous."""
    if not np.all(np.abs(a) < LARGEST_VALUE**1.5):
        reject()
    return a


def taylor(c: Case) -> Iterator[Compared]:
    """Series against nested forward mode and the Hessian."""
    found = [bounded(numbers(a)) for a in cr.taylor(c.f, c.at(), c.along(), 3)]
    yield "taylor 0", found[0], c.value, FIRST
    yield "taylor 1", found[1], pushed(c, c.v), FIRST
    line = lambda t: c.f(c.at() + t * c.along())
    for k, tolerance in ((1, FIRST), (2, SECOND), (3, THIRD)):
        line = derivative(line)
        nested = numbers(line(cr.tensor(0.0, dtype=cr.float64)))
        yield f"taylor {k} and nested jvp", found[k] * (1, 1, 2, 6)[k], nested, tolerance


def derivative(f: Callable) -> Callable:
    return lambda t: func.jvp(f, (t,), (cr.ones_like(t),))[1]


def mapped(c: Case) -> Iterator[Compared]:
    """vmap against a Python loop, with derivatives inside and outside."""
    if c.program.branches:
        return
    points = cr.tensor(c.points)
    each = lambda f: bounded(np.stack([numbers(f(cr.tensor(p))) for p in c.points]))
    values, gradients = each(c.f), each(func.grad(c.loss))
    yield "vmap", func.vmap(c.f)(points), values, FIRST
    columns = func.vmap(c.f, in_dims=1, out_dims=-1)(points.T)
    yield "vmap of columns", columns, np.moveaxis(values, 0, -1), FIRST
    yield "vmap of grad", func.vmap(func.grad(c.loss))(points), gradients, FIRST
    total = lambda xs: cr.sum(func.vmap(c.loss)(xs))
    yield "grad of vmap", func.grad(total)(points), gradients, FIRST
    push = lambda p: func.jvp(c.f, (p,), (c.along(),))[1]
    yield "vmap of jvp", func.vmap(push)(points), each(push), FIRST
    direction = cr.tensor(np.stack([c.v] * BATCH))
    outside = func.jvp(func.vmap(c.f), (points,), (direction,))[1]
    yield "jvp of vmap", outside, each(push), FIRST
    product = lambda p: func.jvp(func.grad(c.loss), (p,), (c.along(),))[1]
    yield "vmap of hvp", func.vmap(product)(points), each(product), SECOND
    tangents = func.vmap(lambda v: func.jvp(c.f, (c.at(),), (v,))[1])(points)
    yield "many tangents", tangents, np.stack([pushed(c, v) for v in c.points]), FIRST


def trees(c: Case) -> Iterator[Compared]:
    """The input as a tree: the gradient is a tree of the same structure."""
    n = c.program.size - 1
    f = lambda t: c.loss(cr.cat([t["head"][0], cr.unsqueeze(t["tail"], 0)]))
    x = {"head": (cr.tensor(c.x[:n]),), "tail": cr.tensor(c.x[n])}
    v = {"head": (cr.tensor(c.v[:n]),), "tail": cr.tensor(c.v[n])}
    g = func.grad(f)(x)
    yield (
        "grad of a tree",
        np.append(numbers(g["head"][0]), numbers(g["tail"])),
        c.gradient(),
        FIRST,
    )
    yield "jvp of a tree", func.jvp(f, (x,), (v,))[1], c.gradient() @ c.v, FIRST


def differences(c: Case) -> Iterator[Compared]:
    """Central differences at two steps; no verdict where they disagree, as across a kink."""
    if c.program.detaches:
        return
    f = lambda h: float(numbers(c.loss(cr.tensor(c.x + h * c.v))))
    coarse, fine = ((f(h) - f(-h)) / (2 * h) for h in (2e-5, 1e-5))
    exact = c.gradient() @ c.v
    scale = 1 + np.abs(c.gradient()).max() + np.abs(c.value).max()
    if abs(coarse - fine) < 1e-6 * scale:
        yield "differences", fine / scale, exact / scale, 1e-5


def jax(c: Case) -> Iterator[Compared]:
    """The same program in JAX, in float64."""
    if not c.oracle:
        return
    from tests.fuzz.jax_dialect import examine

    value, g, hv = examine(c.program, c.x, c.v, c.w)
    yield "value in JAX", np.sum(c.value * c.w), value, FIRST
    yield "gradient in JAX", c.gradient(), g, FIRST
    yield "second derivative in JAX", bounded(over(c, "fr")), hv, SECOND


def graphs(c: Case) -> Iterator[Compared]:
    """The program as a graph, traced where its path does not depend on data, and off the tape."""
    c.gradient()
    try:
        made = graph.trace(c.loss, c.at())
    except RuntimeError as error:  # of which DataDependence is one
        if not isinstance(error, graph.DataDependence) and "values of the mask" not in str(error):
            raise
        c.notes["paths that depend on data"] += 1
    else:
        for name, found, expected in graph_checks.traced(c, made):
            yield name, found, expected, FIRST
        for name, found, expected in graph_checks.second(c, made, bounded(over(c, "fr"))):
            yield name, found, expected, SECOND
    for name, found, expected in graph_checks.recorded(c):
        yield name, found, expected, FIRST


def machine_code(c: Case) -> Iterator[Compared]:
    """The program through the compiler, where it is installed."""
    if not c.machine_code:
        return
    from tests.fuzz import compiled_checks

    bounded(c.gradient())
    bounded(over(c, "fr"))
    try:
        made = graph.trace(c.loss, c.at())
    except RuntimeError:  # its path depends on data; `graphs` looks at the error
        made = None
    if made is not None and 3 in c.machine_code:
        for name, found, expected in compiled_checks.of_graph(c, made):
            yield name, found, expected, SECOND if "second" in name else FIRST
    for name, found, expected in compiled_checks.of_function(c, c.machine_code):
        yield name, found, expected, SECOND if "second" in name or "double" in name else FIRST


CHECKS = [
    eager,
    reverse,
    forward,
    jacobians,
    second,
    taylor,
    mapped,
    trees,
    differences,
    graphs,
    machine_code,
    jax,
]


def compare(
    program: Program,
    oracle: bool = True,
    totals: Counter | None = None,
    machine_code: Sequence[int] = (),
) -> None:
    """Compare all modes on a program, with JAX as well, and with its machine code.

    `machine_code` says which groups of checks of the compiler are run, of 0, 1, 2, 3.

    Raises:
        AssertionError: of a type of its own for each comparison that failed.
    """
    totals = Counter() if totals is None else totals
    with np.errstate(all="ignore"):
        c = Case(program, oracle, machine_code)
        for check in CHECKS:
            for name, found, expected, tolerance in check(c):
                totals[f"by {check.__name__}"] += 1
                agree(name, numbers(found), numbers(expected), tolerance)
    totals["programs"] += 1
    totals.update(c.notes)
    totals.update(f"with {feature}" for feature in program.features)


def agree(name: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Raise if two results differ by more than `tolerance`, relative to their size."""
    if found.shape != expected.shape:
        raise mismatch(name)(f"{name}: shapes {found.shape} and {expected.shape}")
    scale = max(1.0, np.abs(found).max(initial=0), np.abs(expected).max(initial=0))
    error = np.abs(found - expected).max(initial=0)
    if not error <= tolerance * scale:
        raise mismatch(name)(f"{name}: {found} and {expected} differ by {error:.3g}")
