"""Checking derivatives against differences: `gradcheck` and `gradgradcheck`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.grad_mode import enable_grad, no_grad
from chainrule.autograd.reverse import grad
from chainrule.core import engine
from chainrule.core.dtypes import is_inexact
from chainrule.core.tensor import Tensor, set_requires_grad, wrap


class GradcheckError(RuntimeError):
    """A derivative does not agree with differences."""


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _differentiable(items: Sequence[Any]) -> list[Tensor]:
    return [x for x in items if isinstance(x, Tensor) and x.node is not None]


def _outputs(func: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    """The differentiable outputs."""
    return [o for o in _tuple(func(*inputs)) if isinstance(o, Tensor) and is_inexact(o.array.dtype)]


def _check_inputs(inputs: Sequence[Any], eps: float) -> None:
    variables = _differentiable(inputs)
    if not variables:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.node is not None:
            if x.array.dtype.itemsize < (16 if x.array.dtype.kind == "c" else 8):
                raise ValueError(
                    f"Input #{i} requires gradient and is not a double precision floating point or "
                    f"complex ({x.array.dtype.name}): differences with a step of {eps:g} would "
                    "drown in rounding. Convert it, for example with x.double()."
                )
            if 0 in [s for s, d in zip(x.array.strides, x.array.shape, strict=True) if d > 1]:
                raise RuntimeError(
                    f"The {i}th input has a dimension with stride 0. gradcheck only supports "
                    "inputs that are non-overlapping; call contiguous() or clone() first."
                )


def numerical_jacobian(
    func: Callable[..., Any], inputs: Sequence[Any], x: Tensor, eps: float
) -> list[np.ndarray]:
    """Central differences of every output along every (real) direction of the entries of `x`.

    For each output, an array of shape (directions, entries); a complex input has twice as many
    directions as entries: real ones first, then imaginary ones.
    """
    directions = (1.0, 1j) if x.array.dtype.kind == "c" else (1.0,)
    rows: list[list[np.ndarray]] = []
    for direction in directions:
        for k in range(x.array.size):
            sides = []
            for sign in (1, -1):
                shifted = x.array.copy()
                shifted.flat[k] += sign * eps * direction
                with no_grad():
                    replaced = [wrap(shifted) if a is x else a for a in inputs]
                    sides.append([o.array.copy() for o in _outputs(func, replaced)])
            rows.append([(a - b).ravel() / (2 * eps) for a, b in zip(*sides, strict=True)])
    if not rows:
        return []
    return [np.array([row[i] for row in rows]) for i in range(len(rows[0]))]


def analytical_jacobian(out: Tensor, x: Tensor) -> np.ndarray:
    """The same directional derivatives from reverse mode: one pull for each entry of the output.

    With the convention g = conj(J)·v of complex gradients, the derivative of Re(out) along a real
    direction is Re(g), along an imaginary direction Im(g), and v = i tells about Im(out).
    """
    complex_in, complex_out = x.array.dtype.kind == "c", out.array.dtype.kind == "c"
    table = np.zeros((x.array.size * (2 if complex_in else 1), out.array.size), out.array.dtype)
    for k in range(out.array.size):
        for part in (1.0, 1j) if complex_out else (1.0,):
            v = np.zeros_like(out.array)
            v.flat[k] = part
            (g,) = grad(out, x, wrap(v), True, allow_unused=True, materialize_grads=True)
            flat = g.array.ravel()
            column = np.concatenate([flat.real, flat.imag]) if complex_in else flat
            table[:, k] += part * column
    return table


def forward_jacobian(out: Tensor, x: Tensor) -> np.ndarray:
    """The same directional derivatives from forward mode over the record."""
    complex_in = x.array.dtype.kind == "c"
    table = []
    order, live = engine.between([out.node], [x.node])  # type: ignore[list-item]
    for direction in (1.0, 1j) if complex_in else (1.0,):
        for k in range(x.array.size):
            t = np.zeros_like(x.array)
            t.flat[k] = direction
            assert x.node is not None
            found = engine.push(order, {x.node: t}, False) if out.node in live else {}
            pushed = found.get(out.node)  # type: ignore[arg-type]
            table.append(np.zeros(out.array.size) if pushed is None else np.ravel(pushed))
    return np.array(table).reshape(-1, out.array.size)


def _compare(
    got: np.ndarray, expected: np.ndarray, mode: str, where: tuple[int, int], atol: float,
    rtol: float, noise: float, shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:  # fmt: skip
    """Raise if two tables of derivatives disagree, naming the worst entry and a likely cause.

    Raises:
        GradcheckError: see above.
    """
    if np.allclose(got, expected, rtol, atol, equal_nan=True):
        return
    excess = np.abs(got - expected) - (atol + rtol * np.abs(expected))
    worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), got.shape)
    i, j = where
    in_shape, out_shape = shapes
    size = max(int(np.prod(in_shape)), 1)
    entry = [int(k) for k in np.unravel_index(int(worst[0]) % size, in_shape)]
    result = [int(k) for k in np.unravel_index(int(worst[1]), out_shape)]
    a, b = got[worst], expected[worst]
    raise GradcheckError(
        f"Jacobian mismatch for output {j} with respect to input {i}, in {mode} mode: the worst "
        f"entry is d output{result} / d input{entry}\nnumerical:  {b:.9g}\nanalytical: {a:.9g}\n"
        f"{int((excess > 0).sum() + np.isnan(excess).sum())} of {got.size} entries are off. Likely "
        f"cause: {_cause(got, expected, a, b, noise)}"
    )


def _cause(got: np.ndarray, expected: np.ndarray, a: Any, b: Any, noise: float) -> str:
    """What usually makes derivatives disagree in the way that these do."""
    if not np.isfinite(b):
        return "the function is not finite near the input; choose an input inside its domain."
    if not np.isfinite(a):
        return "the derivative rule divides by zero or overflows where the function is fine."
    if abs(a - b) <= noise:
        return "rounding in the differences; choose a larger eps or tolerance."
    if not np.any(got):
        return "the gradient is cut: a detach(), no_grad() or an operation without derivative."
    if np.allclose(got, np.conj(expected)):
        return "a missing conjugation in the derivative of a complex function."
    for factor in (-1.0, 2.0, 0.5):
        if np.allclose(got, factor * expected, 1e-3, 1e-6):
            return f"the derivative is {factor:g} times what it should be."
    return (
        "a wrong derivative rule, a kink or jump within eps of the input, or a function that does "
        "not give the same result twice."
    )


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5,
    rtol: float = 1e-3, raise_exception: bool = True, nondet_tol: float = 0.0,
    check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
    check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:  # fmt: skip
    """Compare the derivatives of `func` with central differences; True if they agree.

    Args:
        func: takes tensors, returns a tensor or a tuple of them.
        inputs: the arguments; those that require grad are checked, in double precision.
        eps: the step of the differences.
        atol, rtol: how far derivatives may differ.
        raise_exception: return False instead of raising.
        nondet_tol: how far two backward passes may differ.
        check_forward_ad, check_backward_ad: which modes to check.
        check_batched_grad: also compare `is_grads_batched` with one gradient after another.
        check_grad_dtypes: also check that gradients have the dtype of their tensors.
        fast_mode: one random direction instead of every entry.
        check_undefined_grad, check_batched_forward_grad, masked: accepted as PyTorch's.

    Raises:
        GradcheckError: naming the worst entry, both values and a likely cause.
        ValueError: if no input requires grad or one is not in double precision.

    >>> import chainrule as cr
    >>> x = cr.tensor([0.5, 1.5], dtype=cr.float64, requires_grad=True)
    >>> cr.autograd.gradcheck(lambda x: (x * x).exp(), (x,))
    True
    """
    args = _tuple(inputs)
    _check_inputs(args, eps)
    try:
        with enable_grad():
            outs = _outputs(func, args)
            if fast_mode:
                func, args, outs = _projected(func, args)
            for i, x in enumerate(_differentiable(args)):
                tables = numerical_jacobian(func, args, x, eps)
                for j, (out, expected) in enumerate(zip(outs, tables, strict=False)):
                    shapes = (tuple(x.array.shape), tuple(out.array.shape))
                    noise = 1e3 * np.finfo(float).eps * (1 + np.abs(out.array).max()) / eps
                    if out.node is None:
                        _compare(np.zeros_like(expected), expected, "reverse", (i, j), atol, rtol,
                                 noise, shapes)  # fmt: skip
                        continue
                    if check_backward_ad:
                        got = analytical_jacobian(out, x)
                        _compare(got, expected, "reverse", (i, j), atol, rtol, noise, shapes)
                        _check_repeatable(out, x, got, nondet_tol)
                    if check_forward_ad:
                        got = forward_jacobian(out, x)
                        _compare(got, expected, "forward", (i, j), atol, rtol, noise, shapes)
                    if check_grad_dtypes:
                        _check_dtype(out, x)
                    if check_batched_grad:
                        _check_batched(out, x)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _projected(func: Callable[..., Any], args: Sequence[Any]) -> tuple[Any, Any, list[Tensor]]:
    """The function along one random line in its inputs, as a function of one number."""
    rng = np.random.default_rng(0)
    lines = []
    for a in args:
        if isinstance(a, Tensor) and a.node is not None:
            d = rng.standard_normal(a.array.shape)
            lines.append((d / max(float(np.linalg.norm(d)), 1e-300)).astype(a.array.dtype))
        else:
            lines.append(None)

    def along(t: Tensor) -> Any:
        return func(*[
            a if d is None else wrap(a.array) + t * wrap(d)
            for a, d in zip(args, lines, strict=True)
        ])  # fmt: skip

    t = wrap(np.zeros(()))
    set_requires_grad(t, True)
    return along, (t,), _outputs(along, (t,))


def _check_repeatable(out: Tensor, x: Tensor, first: np.ndarray, tolerance: float) -> None:
    second = analytical_jacobian(out, x)
    if np.any(np.abs(second - first) > tolerance):
        raise GradcheckError(
            "Backward is not reentrant, i.e., running backward with the same input and grad_output "
            "multiple times gives different values, although analytical gradient matches numerical "
            f"gradient. The tolerance for nondeterminism was {tolerance}."
        )


def _check_dtype(out: Tensor, x: Tensor) -> None:
    seed = wrap(np.ones_like(out.array))
    (g,) = grad(out, x, seed, True, allow_unused=True, materialize_grads=True)
    if g.array.dtype != x.array.dtype:
        raise GradcheckError(f"The gradient has dtype {g.dtype}, its tensor {x.dtype}.")


def _check_batched(out: Tensor, x: Tensor) -> None:
    rng = np.random.default_rng(0)
    vs = rng.standard_normal((2, *out.array.shape)).astype(out.array.dtype)
    options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
    (batched,) = grad(out, x, wrap(vs), is_grads_batched=True, **options)  # type: ignore[arg-type]
    for v, row in zip(vs, batched.array, strict=True):
        (g,) = grad(out, x, wrap(v), **options)  # type: ignore[arg-type]
        if not np.allclose(g.array, row):
            raise GradcheckError("Batched gradients differ from those computed one by one.")


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6,
    atol: float = 1e-5, rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False,
    masked: bool = False,
) -> bool:  # fmt: skip
    """Compare the second derivatives of `func` with differences of its first.

    Args:
        grad_outputs: cotangents of the outputs; random ones if left out.
        gen_non_contig_grad_outputs: make the random ones non-contiguous.
        check_fwd_over_rev, check_rev_over_rev: which modes to check.

    The other arguments and errors are those of `gradcheck`.

    >>> import chainrule as cr
    >>> x = cr.tensor([0.5, 1.5], dtype=cr.float64, requires_grad=True)
    >>> cr.autograd.gradgradcheck(lambda x: (x * x).exp(), (x,))
    True
    """
    args = _tuple(inputs)
    _check_inputs(args, eps)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        gs = []
        for o in _outputs(func, args):
            shape = (*o.array.shape, 2) if gen_non_contig_grad_outputs else o.array.shape
            v = np.asarray(rng.standard_normal(shape))
            v = v[..., 0] if gen_non_contig_grad_outputs else v
            gs.append(wrap(v.astype(o.array.dtype)))
            set_requires_grad(gs[-1], True)
    else:
        gs = list(_tuple(grad_outputs))
    count = len(args)

    def first_derivative(*values: Any) -> tuple[Any, ...]:
        with enable_grad():
            xs = []
            for x, original in zip(values[:count], args, strict=True):
                if isinstance(x, Tensor) and x.node is None and original.node is not None:
                    x = wrap(x.array)
                    set_requires_grad(x, True)
                xs.append(x)
            outs = _outputs(func, xs)
            pairs = [
                (o, g) for o, g in zip(outs, values[count:], strict=True) if o.node is not None
            ]
            return grad(
                [o for o, _ in pairs], _differentiable(xs), [g for _, g in pairs],
                create_graph=True, allow_unused=True, materialize_grads=True,
            )  # fmt: skip

    return gradcheck(
        first_derivative, (*args, *gs), eps=eps, atol=atol, rtol=rtol,
        raise_exception=raise_exception, nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev, fast_mode=fast_mode, masked=masked,
    )  # fmt: skip
