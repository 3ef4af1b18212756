"""Checks that hold for every primitive, driven by its samples."""

import math

import numpy as np
import pytest

from chainrule import func
from chainrule.autograd.reverse import grad
from chainrule.core import engine
from chainrule.core.boxes import entered
from chainrule.core.dtypes import is_inexact
from chainrule.core.node import Aval
from chainrule.core.primitive import Primitive
from chainrule.core.samples import Sample
from chainrule.core.tensor import Tensor, set_requires_grad, wrap
from chainrule.transforms.batch import BatchTag, batched

from . import shapes

STEP = 1e-6


def is_variable(a):
    return isinstance(a, np.ndarray) and is_inexact(a.dtype)


def differentiable_args(prim: Primitive, sample: Sample):
    """Positions of the arguments with a derivative rule."""
    rules = getattr(prim, "partials", None)
    if rules is not None:
        has = [case != 4 for case, _ in rules]
    elif prim.vjps:
        has = [r is not None for r in prim.vjps]
    else:
        has = [True] * len(sample.args)
    return [i for i, a in enumerate(sample.args) if is_variable(a) and has[i]]


def flat(outs):
    outs = outs if isinstance(outs, tuple) else (outs,)
    return [
        o for o in outs if o is not None and is_inexact(np.asarray(getattr(o, "array", o)).dtype)
    ]


def random_like(a, rng):
    a = np.asarray(a)
    r = rng.standard_normal(a.shape)
    return (r + 1j * rng.standard_normal(a.shape) if a.dtype.kind == "c" else r).astype(a.dtype)


def inner(g, t):
    """Real inner product, under which a complex gradient is the direction of steepest ascent."""
    return float(np.real(np.vdot(g, t)))


def record_call(prim, sample, positions):
    leaves = []
    args = list(sample.args)
    for i in positions:
        args[i] = wrap(np.array(args[i]))
        set_requires_grad(args[i], True)
        leaves.append(args[i])
    outs = flat(prim(*args, **sample.params))
    return leaves, [o for o in outs if o.node is not None]


def numeric_jvp(prim, sample, positions, tangents):
    """Directional derivative by central differences with one Richardson step."""

    def shifted(h):
        args = list(sample.args)
        for i, t in zip(positions, tangents, strict=True):
            args[i] = np.asarray(args[i] + h * t)
        return [np.asarray(o) for o in flat(prim.eval(*args, **sample.params))]

    def central(h):
        return [(a - b) / (2 * h) for a, b in zip(shifted(h), shifted(-h), strict=True)]

    h = 1e-4
    return [(4 * b - a) / 3 for a, b in zip(central(h), central(h / 2), strict=True)]


def analytic_jvp(leaves, outs, tangents):
    order, _ = engine.between([o.node for o in outs], [x.node for x in leaves])
    pushed = engine.push(order, {x.node: t for x, t in zip(leaves, tangents, strict=True)}, False)
    return [pushed.get(o.node) for o in outs]


def close(a, b, tol):
    scale = max(1.0, np.max(np.abs(b), initial=0.0))
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol * scale)


def check_vjp(prim, sample, rng):
    """⟨g, J t⟩ with J t by finite differences equals ⟨Jᵀ g, t⟩."""
    positions = differentiable_args(prim, sample)
    leaves, outs = record_call(prim, sample, positions)
    assert outs, f"{prim.name} recorded nothing for {sample}"
    gs = [random_like(o.array, rng) for o in outs]
    pulled = grad(outs, leaves, gs, allow_unused=True, materialize_grads=True)
    for i, leaf in enumerate(leaves):
        assert pulled[i].array.shape == leaf.array.shape
        assert pulled[i].array.dtype == leaf.array.dtype
        tangents = [
            random_like(x.array, rng) if j == i else np.zeros_like(x.array)
            for j, x in enumerate(leaves)
        ]
        expected = sum(
            inner(g, t)
            for g, t in zip(gs, numeric_jvp(prim, sample, positions, tangents), strict=True)
        )
        close(inner(pulled[i].array, tangents[i]), expected, 2e-7)


def check_jvp(prim, sample, rng):
    positions = differentiable_args(prim, sample)
    leaves, outs = record_call(prim, sample, positions)
    for i in range(len(leaves)):
        tangents = [
            random_like(x.array, rng) if j == i else np.zeros_like(x.array)
            for j, x in enumerate(leaves)
        ]
        got = analytic_jvp(leaves[i : i + 1], outs, tangents[i : i + 1])
        for a, b in zip(got, numeric_jvp(prim, sample, positions, tangents), strict=True):
            close(np.zeros_like(b) if a is None else a, b, 2e-7)


def check_second_order(prim, sample, rng):
    """The recorded gradient has the right derivative, against differences of the gradient."""
    positions = differentiable_args(prim, sample)

    def gradient(args, create_graph):
        leaves, outs = record_call(prim, Sample(*args, **sample.params), positions)
        state = np.random.default_rng(7)
        gs = [random_like(o.array, state) for o in outs]
        return leaves, grad(
            outs, leaves, gs, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )

    leaves, gs = gradient(sample.args, True)
    cots = [random_like(g.array, rng) for g in gs]
    tangents = [random_like(x.array, rng) for x in leaves]
    live = [
        (g, c)
        for g, c in zip(gs, cots, strict=True)
        if isinstance(g, Tensor) and g.node is not None
    ]
    if live:
        second = grad(
            [g for g, _ in live],
            leaves,
            [c for _, c in live],
            allow_unused=True,
            materialize_grads=True,
        )
        got = sum(inner(s.array, t) for s, t in zip(second, tangents, strict=True))
    else:
        got = 0.0

    def along(h):
        args = list(sample.args)
        for i, t in zip(positions, tangents, strict=True):
            args[i] = args[i] + h * t
        return sum(inner(c, g.array) for c, g in zip(cots, gradient(args, False)[1], strict=True))

    def central(h):
        return (along(h) - along(-h)) / (2 * h)

    expected = (4 * central(5e-5) - central(1e-4)) / 3
    close(got, expected, 1e-6)


def check_aval(prim, sample, rng=None):
    """The shape rule, which sees no values, says what evaluation gives."""
    out = prim.eval(*sample.args, **sample.params)
    args = [Aval(a.shape, a.dtype) if isinstance(a, np.ndarray) else a for a in sample.args]
    if prim.name == "getitem" and any(a.dtype == bool for a in args[1:]):
        with pytest.raises(RuntimeError, match="depends on the values of the mask"):
            prim.aval(*args, **sample.params)
        return
    predicted = prim.aval(*args, **sample.params)
    for o, p in zip(
        *((x if isinstance(x, tuple) else (x,)) for x in (out, predicted)), strict=True
    ):
        assert type(p) is Aval
        assert type(p.shape) is tuple
        assert (p.shape, p.dtype) == (o.shape, o.dtype)


def check_float32(prim, sample, rng):
    """float32 in, float32 out and back; complex64 likewise."""
    small = shapes.in_single_precision(sample)
    leaves, outs = record_call(prim, small, differentiable_args(prim, small))
    for o in outs:
        assert o.array.dtype in (np.float32, np.complex64), o.array.dtype
    gs = [random_like(o.array, rng) for o in outs]
    for g, x in zip(
        grad(outs, leaves, gs, create_graph=True, allow_unused=True, materialize_grads=True),
        leaves,
        strict=True,
    ):
        assert g.array.dtype == x.array.dtype


def check_non_contiguous(prim, sample, rng=None):
    """The layout of the memory does not change the result."""

    def spread(a):
        if not isinstance(a, np.ndarray) or a.ndim == 0:
            return a
        wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]

    a = prim.eval(*sample.args, **sample.params)
    b = prim.eval(*map(spread, sample.args), **sample.params)
    for x, y in zip(flat(a), flat(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)


def examples_of(prim, sample, position, size):
    """Arguments like that at `position`, different for each example where that is allowed."""
    a = sample.args[position]
    if not isinstance(a, np.ndarray):
        return None
    if is_inexact(a.dtype):
        return [a * (1 + 0.004 * b) for b in range(size)]

    def accepted(candidate):
        args = list(sample.args)
        args[position] = candidate
        try:
            prim.eval(*args, **sample.params)
        except (ValueError, IndexError):
            return False
        return True

    rolled = [np.roll(a, b) for b in range(size)]
    return rolled if all(map(accepted, rolled)) else [a] * size


def check_batch(prim, sample, positions, rng=None, size=3):
    """One application to a batch gives what a loop over the examples gives."""
    rows = {i: examples_of(prim, sample, i, size) for i in positions}
    with entered(BatchTag("vmap", size)) as tag:
        args = [
            batched(tag, wrap(np.stack(rows[i]))) if i in rows else a
            for i, a in enumerate(sample.args)
        ]
        outs = prim(*args, **sample.params)
        outs = outs if isinstance(outs, tuple) else (outs,)
        found = [tag.inner(o).array for o in outs]
        logical = [o.shape for o in outs]
    for b in range(size):
        one = [rows[i][b] if i in rows else a for i, a in enumerate(sample.args)]
        expected = prim.eval(*one, **sample.params)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for got, shape, want in zip(found, logical, expected, strict=True):
            want = np.asarray(want)
            assert tuple(shape) == want.shape
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got[b], want, rtol=1e-12, atol=1e-12)


def check_jacobians(prim, sample, rng=None):
    """One sweep with many cotangents gives what one run with many tangents gives."""
    positions = tuple(differentiable_args(prim, sample))
    args = [wrap(np.array(a)) if isinstance(a, np.ndarray) else a for a in sample.args]

    def f(*xs):
        full = list(args)
        for i, x in zip(positions, xs, strict=True):
            full[i] = x
        return tuple(flat(prim(*full, **sample.params)))

    xs = [args[i] for i in positions]
    argnums = tuple(range(len(xs)))
    rev, fwd = func.jacrev(f, argnums)(*xs), func.jacfwd(f, argnums)(*xs)
    for a, b in zip(rev, fwd, strict=True):
        for x, y in zip(a, b, strict=True):
            close(x.array, y.array, 1e-9)


def along_line(prim, sample, rng):
    """The primitive as a function of one variable: t ↦ prim(x + t v), and v."""
    positions = differentiable_args(prim, sample)
    xs = [wrap(np.array(sample.args[i])) for i in positions]
    vs = [wrap(random_like(sample.args[i], rng)) for i in positions]

    def f(*xs):
        args = list(sample.args)
        for i, x in zip(positions, xs, strict=True):
            args[i] = x
        return tuple(flat(prim(*args, **sample.params)))

    return f, tuple(xs), tuple(vs)


def check_taylor(prim, sample, rng, order=4):
    """Taylor mode gives what forward mode inside forward mode gives, over k!."""
    f, xs, vs = along_line(prim, sample, rng)
    found = func.taylor(lambda xs: f(*xs), xs, vs, order)

    def derivative(g):
        return lambda *xs: func.jvp(g, xs, vs)[1]

    for k in range(order + 1):
        for c, d in zip(found[k], f(*xs), strict=True):
            expected = d.array / math.factorial(k)
            assert c.array.dtype == d.array.dtype
            close(c.array, expected, 1e-9)
        f = derivative(f)


# Their public functions refuse such shapes before the primitive sees them.
CHECKED_BY_PUBLIC_FUNCTION = {
    "as_strided", "channel_affine", "contract_single", "conv_transpose", "convolution", "dot",
    "expand_dims", "irfft", "matrix_exp", "median_all", "mm", "mv", "nanmedian_all",
    "pad_transpose", "qr", "softmax_nll", "solve_triangular", "spread_along", "svd",
    "unfold_transpose",
}  # fmt: skip
REFUSALS = (ValueError, IndexError, RuntimeError, TypeError, NotImplementedError, ZeroDivisionError)


def tensors_of(prim, sample, positions):
    """The primitive as a function of the arguments at these positions, and those, as tensors."""
    xs = [wrap(np.array(sample.args[i])) for i in positions]

    def f(*xs):
        args = list(sample.args)
        for i, x in zip(positions, xs, strict=True):
            args[i] = x
        return tuple(flat(prim(*args, **sample.params)))

    return f, tuple(xs)


def check_dual(prim, sample, rng):
    """Forward mode as users run it, along all arguments at once."""
    positions = differentiable_args(prim, sample)
    f, xs = tensors_of(prim, sample, positions)
    ts = tuple(wrap(random_like(x.array, rng)) for x in xs)
    _, got = func.jvp(f, xs, ts)
    expected = numeric_jvp(prim, sample, positions, [t.array for t in ts])
    for a, b in zip(got, expected, strict=True):
        close(a.array, b, 2e-7)


def check_adjoint(prim, sample, rng):
    """⟨g, J t⟩ by the jvp rule is ⟨Jᵀ g, t⟩ by the vjp rule, to the last digits."""
    positions = differentiable_args(prim, sample)
    f, xs = tensors_of(prim, sample, positions)
    ts = tuple(wrap(random_like(x.array, rng)) for x in xs)
    outs, pushed = func.jvp(f, xs, ts)
    gs = [random_like(y.array, rng) for y in outs]
    for x in (leaves := [wrap(np.array(x.array)) for x in xs]):
        set_requires_grad(x, True)
    live = [(y, g) for y, g in zip(f(*leaves), gs, strict=True) if y.node is not None]
    ys, cotangents = zip(*live, strict=True)
    pulled = grad(ys, leaves, cotangents, allow_unused=True, materialize_grads=True)
    left = sum(inner(g, t.array) for g, t in zip(gs, pushed, strict=True))
    right = sum(inner(p.array, t.array) for p, t in zip(pulled, ts, strict=True))
    size = sum(np.abs(g * t.array).sum() for g, t in zip(gs, pushed, strict=True))
    size += sum(np.abs(p.array * t.array).sum() for p, t in zip(pulled, ts, strict=True))
    assert abs(left - right) <= 1e-12 * max(1.0, size), (left, right)


def check_accepted(prim, sample, rng):
    """What evaluation accepts, all modes accept, with the right shapes and values."""
    try:
        with np.errstate(all="ignore"):
            out = prim.eval(*sample.args, **sample.params)
    except REFUSALS:
        return
    if not np.all([np.isfinite(o).all() for o in flat(out)]):
        return
    positions = differentiable_args(prim, sample) if prim.differentiable else []
    if prim.aval is not None:
        check_aval(prim, sample)
    if not positions or not record_call(prim, sample, positions)[1]:
        return
    try:
        check_derivatives(prim, sample, rng)
    except REFUSALS:
        if prim.name not in CHECKED_BY_PUBLIC_FUNCTION:
            raise


def check_derivatives(prim, sample, rng):
    check_vjp(prim, sample, rng)
    check_dual(prim, sample, rng)
    check_adjoint(prim, sample, rng)


def check_spread(prim, sample, rng):
    """Broadcasting arguments are as if they were spread out, and their gradients are summed."""
    arrays = [a for a in sample.args if isinstance(a, np.ndarray)]
    spread = iter(np.broadcast_arrays(*arrays))
    wide = [next(spread).copy() if isinstance(a, np.ndarray) else a for a in sample.args]
    got = prim.eval(*sample.args, **sample.params)
    np.testing.assert_array_equal(got, prim.eval(*wide, **sample.params))
    if prim.differentiable:
        check_derivatives(prim, sample, rng)


def check_complex(prim, sample, rng):
    """Complex arguments are refused in words, or have the right derivatives."""
    positions = differentiable_args(prim, sample)
    try:
        outs = record_call(prim, sample, positions)[1]
    except (NotImplementedError, TypeError, RuntimeError):
        return
    if outs:
        check_derivatives(prim, sample, rng)
