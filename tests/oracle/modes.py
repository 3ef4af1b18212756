"""Every mode of differentiation on a sample, each against something that does not share its code.

Forward mode and forward over reverse against the recorded derivatives; vmap against a loop; Taylor
mode against forward mode nested three deep; the two ways to a Jacobian against each other.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

import chainrule as cr
from chainrule import func

SIZE = 3
SMALL = 40  # entries up to which Jacobians are compared
ORDER = 3
STEP = 1e-6


class Sample:
    """One recorded call as a function of its differentiable arguments.

    Attributes:
        xs: the differentiable arguments.
        constants: the other tensors among the arguments.
        refusal: words of the error with which some calls under vmap must be refused; None if none.
        refused: how many were.
    """

    def __init__(self, function, args, kwargs, leaves, chosen, refusal=None):
        self.function, self.args, self.kwargs = function, args, kwargs
        self.leaves, self.chosen = leaves, chosen
        self.xs = [x.detach() for x in leaves]
        found = {id(t): t for t in leaves_of([list(args), kwargs]) if isinstance(t, cr.Tensor)}
        self.constants = [t for i, t in found.items() if all(i != id(x) for x in leaves)]
        self.refusal, self.refused = refusal, 0

    def call(self, xs, constants=None):
        """The differentiable results for other values of the arguments."""
        fresh = [c.clone() for c in self.constants] if constants is None else constants
        given = {id(t): x for t, x in zip(self.leaves, xs, strict=True)}
        given |= {id(t): x for t, x in zip(self.constants, fresh, strict=True)}
        result = self.function(*filled(list(self.args), given), **filled(self.kwargs, given))
        outs = [y for y in leaves_of(result) if hasattr(y, "shape")]
        return tuple(outs[i] for i in self.chosen)

    def __call__(self, *xs):
        return self.call(xs)


def leaves_of(x):
    if isinstance(x, (tuple, list)):
        return [t for i in x for t in leaves_of(i)]
    return [t for i in x.values() for t in leaves_of(i)] if isinstance(x, dict) else [x]


def filled(x, given):
    if isinstance(x, cr.Tensor):
        return given.get(id(x), x)
    if isinstance(x, (tuple, list)):
        return type(x)(filled(i, given) for i in x)
    if isinstance(x, slice):
        return slice(*[filled(i, given) for i in (x.start, x.stop, x.step)])
    return {k: filled(v, given) for k, v in x.items()} if isinstance(x, dict) else x


def close(x, y, rtol=1e-6):
    x, y = np.asarray(x), np.asarray(y)
    scale = max(1.0, np.max(np.abs(y[np.isfinite(y)]), initial=0.0))
    return x.shape == y.shape and np.allclose(
        x, y, rtol=rtol, atol=rtol / 100 * scale, equal_nan=True
    )


def require(what, got, want, rtol=1e-6):
    """Raise AssertionError unless all results agree; None among those wanted is not compared."""
    got, want = tuple(got), tuple(want)
    assert len(got) == len(want), f"{what}: {len(got)} results, not {len(want)}"
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        if b is not None:
            a, b = (y.detach().numpy() if isinstance(y, cr.Tensor) else y for y in (a, b))
            assert close(a, b, rtol), f"{what}: result {i} differs by {distance(a, b)}"


def distance(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return f"shape {a.shape}, not {b.shape}"
    return f"{np.nanmax(np.abs(a - b)):.1e}" if a.size else "nothing"


def forward(sample, case):
    """Forward mode gives the recorded directional derivative."""
    ts = tuple(cr.tensor(t) for t in case["tangents"])
    ys, along = func.jvp(sample, tuple(sample.xs), ts)
    require("value of jvp", ys, sample(*sample.xs), 1e-12)
    require("jvp", along, case["jvp"])


def forward_over_reverse(sample, case):
    """The derivative of the gradient along the tangents is the gradient of the one along them."""
    ts = tuple(cr.tensor(t) for t in case["tangents"])
    cs = tuple(cr.tensor(c) for c in case["cotangents"])
    grads, along = func.jvp(gradient(sample, cs), tuple(sample.xs), ts)
    require("vjp", grads, case["grads"])
    require("jvp of vjp", along, case["grad2_in"])
    back = func.vjp(derivative(sample, ts), *sample.xs)[1](cs)
    require("vjp of jvp", back, case["grad2_in"])


def gradient(f, cs):
    return lambda *xs: func.vjp(f, *xs)[1](cs)


def derivative(f, ts):
    return lambda *xs: func.jvp(f, xs, ts)[1]


def examples(x, seed, size=SIZE):
    """Values near those of a tensor; integers and conditions stay."""
    a = x.detach().numpy()
    rng = np.random.default_rng(seed)
    factor = 1 + 0.01 * rng.standard_normal((size, *a.shape)) if a.dtype.kind in "fc" else 1
    return cr.tensor((np.broadcast_to(a, (size, *a.shape)) * factor).astype(a.dtype))


def mapped(sample, case):
    """One run over a batch is a loop: of each argument, of all, and of the constants as well."""
    n, m = len(sample.xs), len(sample.constants)
    choices = [tuple(i == j for j in range(n)) + (False,) * m for i in range(n if n > 1 else 0)]
    choices.append((True,) * n + (False,) * m)
    if m:
        choices += [(True,) * (n + m), (False,) * n + (True,) * m]
    values = [*sample.xs, *sample.constants]
    for choice in choices:
        batch = [
            examples(x, i) if c else x for i, (x, c) in enumerate(zip(values, choice, strict=True))
        ]
        compare_with_loop(sample, "vmap", of_all(sample, n), batch, choice, (0, -1))


def of_all(sample, n):
    """The sample as a function of the constants, too (copies: some are written to)."""
    return lambda *values: sample.call(values[:n], [c.clone() for c in values[n:]])


def compare_with_loop(sample, what, f, batch, choice, dims=(0,)):
    what = f"{what}{tuple(map(int, choice))}"
    rows = [  # of copies: a view of the batch has another storage offset
        f(*[x[i].clone() if c else x for x, c in zip(batch, choice, strict=True)])
        for i in range(SIZE)
    ]
    want = [np.stack([y.detach().numpy() for y in column]) for column in zip(*rows, strict=True)]
    for dim in dims:
        given = [moved(x) if c and dim else x for x, c in zip(batch, choice, strict=True)]
        in_dims = tuple(dim if c else None for c in choice)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message=".*batching rule")
                got = func.vmap(f, in_dims, randomness="different")(*given)
        except RuntimeError as error:
            if sample.refusal is None or sample.refusal not in str(error):
                raise
            sample.refused += 1
        else:
            require(what, got, want, 1e-7)


def moved(x):
    """A tensor with its first axis last, in memory, too."""
    return x.movedim(0, -1).contiguous()


def mapped_derivatives(sample, case):
    """Gradients and derivatives of every example are those of a loop; so is a sum's gradient."""
    every = (True,) * len(sample.xs)
    ts = tuple(cr.tensor(t) for t in case["tangents"])
    cs = tuple(cr.tensor(c) for c in case["cotangents"])
    batch = [examples(x, i) for i, x in enumerate(sample.xs)]
    compare_with_loop(sample, "vmap of vjp", gradient(sample, cs), batch, every)
    compare_with_loop(sample, "vmap of jvp", derivative(sample, ts), batch, every)
    twice = derivative(gradient(sample, cs), ts)
    compare_with_loop(sample, "vmap of jvp of vjp", twice, batch, every)
    if sample.refused:
        return
    run = func.vmap(sample, randomness="different")
    more = tuple(c.expand(SIZE, *c.shape) for c in cs)
    want = [gradient(sample, cs)(*[x[i].clone() for x in batch]) for i in range(SIZE)]
    want = [np.stack([y.numpy() for y in column]) for column in zip(*want, strict=True)]
    require("vjp of vmap", func.vjp(run, *batch)[1](more), want)
    for i in range(len(batch) if len(batch) > 1 else 0):  # the others are the same for all
        dims = tuple(0 if j == i else None for j in range(len(batch)))
        given = [batch[j] if j == i else x for j, x in enumerate(sample.xs)]
        rows = [
            gradient(sample, cs)(
                *[x[k].clone() if d == 0 else x for x, d in zip(given, dims, strict=True)]
            )
            for k in range(SIZE)
        ]
        run = func.vmap(sample, dims, randomness="different")
        want = [
            np.stack([y.numpy() for y in column]) if d == 0 else sum(y.numpy() for y in column)
            for column, d in zip(zip(*rows, strict=True), dims, strict=True)
        ]
        require(f"vjp of vmap{dims}", func.vjp(run, *given)[1](more), want)


def taylor(sample, case):
    """Three orders along the tangents are forward mode, nested; and two of the gradient."""
    ts = tuple(cr.tensor(t) for t in case["tangents"])
    cs = tuple(cr.tensor(c) for c in case["cotangents"])
    compare_with_nested("taylor", sample, sample.xs, ts, ORDER)
    compare_with_nested("taylor of vjp", gradient(sample, cs), sample.xs, ts, ORDER - 1)


def compare_with_nested(what, f, xs, ts, order):
    series = func.taylor(lambda xs: f(*xs), tuple(xs), ts, order)
    for k, coefficients in enumerate(series):
        found = [c * math.factorial(k) for c in coefficients]
        require(f"{what}, coefficient {k}", found, f(*xs))
        f = derivative(f, ts)


def jacobian(sample, case):
    """All rows in one sweep are all columns in one run."""
    xs = tuple(sample.xs)
    outputs = sum(c.size for c in case["cotangents"])
    if max(sum(x.numel() for x in xs), outputs) > SMALL or any(
        x.is_complex() for x in (*xs, *map(cr.tensor, case["cotangents"]))
    ):
        return
    argnums = tuple(range(len(xs)))
    cr.manual_seed(1)
    rows = func.jacrev(sample, argnums)(*xs)
    cr.manual_seed(1)
    columns = func.jacfwd(sample, argnums, randomness="same")(*xs)
    require("jacrev against jacfwd", leaves_of(rows), leaves_of(columns))


def complex_sample(sample, case):
    """The sample and its record with complex numbers in place of real ones, consistent by itself.

    None if the operation takes no complex numbers, or rounds them to fewer digits.
    """
    rng = np.random.default_rng(0)

    def turned(a):
        return a if a.dtype.kind == "c" else a + 0.5j * rng.standard_normal(a.shape)

    leaves = [cr.tensor(turned(x.numpy())) for x in sample.xs]
    given = {id(t): x for t, x in zip(sample.leaves, leaves, strict=True)}
    made = Sample(
        sample.function, filled(sample.args, given), filled(sample.kwargs, given), leaves,
        sample.chosen, sample.refusal,
    )  # fmt: skip
    try:
        ys = made(*leaves)
    except (TypeError, RuntimeError, ValueError):
        return None
    if not all(y.dtype in (cr.float64, cr.complex128) for y in ys):
        return None
    ts = [turned(t) for t in case["tangents"]]
    cs = [rng.standard_normal(y.shape) * (1 + 0.5j if y.is_complex() else 1) for y in ys]
    return made, {"tangents": ts, "cotangents": cs}


def complex_numbers(sample, case):
    """All modes on complex numbers, against differences, each other, and loops.

    The derivative along the tangents is compared with differences, the gradients with it by
    ⟨g, J t⟩ = ⟨Jᴴ g, t⟩, real parts.
    """
    found = complex_sample(sample, case)
    if found is None:
        return
    made, case = found
    xs = tuple(made.xs)
    ts, cs = (tuple(map(cr.tensor, case[k])) for k in ("tangents", "cotangents"))
    along = func.jvp(made, xs, ts)[1]
    up, down = (made(*[x + h * t for x, t in zip(xs, ts, strict=True)]) for h in (STEP, -STEP))
    slopes = [(a.numpy() - b.numpy()) / (2 * STEP) for a, b in zip(up, down, strict=True)]
    require("jvp against differences", along, slopes, 1e-4)
    grads = func.vjp(made, *xs)[1](cs)
    require("vjp against jvp", [inner(grads, ts)], [inner(cs, along)])
    twice = func.jvp(gradient(made, cs), xs, ts)[1]
    require("vjp of jvp", func.vjp(derivative(made, ts), *xs)[1](cs), twice)
    mapped(made, case)
    mapped_derivatives(made, case)
    taylor(made, case)


def inner(xs, ys):
    return sum((np.conj(x.numpy()) * y.numpy()).real.sum() for x, y in zip(xs, ys, strict=True))
