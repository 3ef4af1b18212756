"""L-BFGS: Newton's method with the curvature estimated from the last few steps."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, sqrt
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.mutation import note_write
from chainrule.core.tensor import Tensor, wrap
from chainrule.optim.optimizer import Optimizer, evaluate, number


class Point(NamedTuple):
    """A place on the search line: step length, loss, gradient, and slope along the line."""

    t: float
    f: float
    g: Any
    slope: float


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal 1980), one parameter group, with full (not stochastic) losses.

    Args:
        params: the tensors to optimize.
        lr: the step length, or the first one that the line search tries.
        max_iter: iterations per `step`.
        max_eval: evaluations of the closure per `step` (by default 1.25·max_iter).
        tolerance_grad: stop when no entry of the gradient is larger.
        tolerance_change: stop when neither the loss nor any parameter changes by more.
        history_size: how many past steps describe the curvature.
        line_search_fn: None for fixed steps, or "strong_wolfe".

    Raises:
        ValueError: for several parameter groups or a negative learning rate.
        RuntimeError: for another line search.

    >>> import chainrule as cr
    >>> x = cr.tensor([3.0], requires_grad=True)
    >>> optimizer = cr.optim.LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((x - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> x
    tensor([1.], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        options = {
            "lr": lr, "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, options)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported for line_search_fn")

    # The parameters as one vector -----------------------------------------------------------

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]  # type: ignore[no-any-return]

    def _gather(self) -> Any:
        """All gradients in one vector, zeros where there is none."""
        return np.concatenate(
            [_real(np.zeros_like(p.array) if p._grad is None else p._grad.array)
             for p in self._params]
        )  # fmt: skip

    def _write(self, values: list[Any], t: float, d: Any) -> None:
        """Set the parameters to `values` plus t·d."""
        start = 0
        for p, value in zip(self._params, values, strict=True):
            size = p.array.size * (2 if p.array.dtype.kind == "c" else 1)
            piece = d[start : start + size]
            if p.array.dtype.kind == "c":
                piece = piece.view(p.array.dtype)
            np.copyto(p.array, value + (t * piece).reshape(p.array.shape), casting="same_kind")
            note_write(p.array)
            start += size

    # The method -----------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Run up to `max_iter` iterations; returns the loss that the first evaluation gave.

        Args:
            closure: clears the gradients, computes the loss, calls backward, returns the loss.

        Raises:
            RuntimeError: if no closure is given.
        """
        if closure is None:
            raise RuntimeError("LBFGS evaluates the loss several times: call step(closure)")
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        first_loss = evaluate(closure)
        loss, g = _value(first_loss), self._gather()
        evaluations, iterations = 1, 0
        state.setdefault("n_iter", 0)
        state["func_evals"] = state.get("func_evals", 0) + 1
        flat = np.abs(g).max(initial=0) <= group["tolerance_grad"]
        while not flat and iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            d = _direction(state, g, group["history_size"])
            lr = number(group["lr"])
            t = min(1.0, 1.0 / float(np.abs(g).sum())) * lr if state["n_iter"] == 1 else lr
            state.update(d=wrap(d), t=t, prev_flat_grad=wrap(g), prev_loss=loss)
            slope = float(g @ d)
            if slope > -group["tolerance_change"]:
                break
            old_loss = loss
            values = [p.array.copy() for p in self._params]
            start = Point(0.0, loss, g, slope)
            if group["line_search_fn"] is not None:
                left = group["max_eval"] - evaluations
                at, used = _strong_wolfe(self._line(closure, values, d), start, t, d, left)
                self._write(values, at.t, d)
                loss, g, t = at.f, at.g, at.t
            else:
                self._write(values, t, d)
                used = 0
                if iterations != group["max_iter"]:
                    loss, g, used = _value(evaluate(closure)), self._gather(), 1
            state["t"] = t
            evaluations += used
            state["func_evals"] += used
            flat = np.abs(g).max(initial=0) <= group["tolerance_grad"]
            if (
                evaluations >= group["max_eval"]
                or np.abs(d * t).max(initial=0) <= group["tolerance_change"]
                or abs(loss - old_loss) < group["tolerance_change"]
            ):
                break
        self._steps += 1
        return first_loss

    def _line(self, closure: Any, values: list[Any], d: Any) -> Callable[[float], Point]:
        """The function that evaluates the loss at a step length; it restores the parameters."""

        def at(t: float) -> Point:
            self._write(values, t, d)
            try:
                f = _value(evaluate(closure))
                g = self._gather()
            finally:
                self._write(values, 0.0, d)
            return Point(t, f, g, float(g @ d))

        return at


def _real(a: Any) -> Any:
    """An array as a vector of real numbers."""
    a = np.ascontiguousarray(a).reshape(-1)
    return a.view(a.real.dtype) if a.dtype.kind == "c" else a


def _value(loss: Any) -> float:
    return float(loss.array if isinstance(loss, Tensor) else loss)


def _direction(state: dict[str, Any], g: Any, history_size: int) -> Any:
    """Minus the estimated inverse Hessian times the gradient (two-loop recursion)."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
        return -g
    dirs, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
    y = g - state["prev_flat_grad"].array
    s = state["d"].array * state["t"]
    curvature = float(y @ s)
    if curvature > 1e-10:
        if len(dirs) == history_size:
            for history in (dirs, steps, ro):
                history.pop(0)
        dirs.append(wrap(y))
        steps.append(wrap(s))
        ro.append(1.0 / curvature)
        state["H_diag"] = curvature / float(y @ y)
    q = -g
    weights = [0.0] * len(dirs)
    for i in reversed(range(len(dirs))):
        weights[i] = float(steps[i].array @ q) * ro[i]
        q -= weights[i] * dirs[i].array
    q *= state["H_diag"]
    for i, weight in enumerate(weights):
        q += (weight - float(dirs[i].array @ q) * ro[i]) * steps[i].array
    return q


def _strong_wolfe(
    at: Callable[[float], Point], start: Point, t: float, d: Any, limit: int, c1: float = 1e-4,
    c2: float = 0.9, tolerance: float = 1e-9,
) -> tuple[Point, int]:  # fmt: skip
    """A point with sufficient decrease and small slope, and how many evaluations it took.

    First the step grows until it brackets such a point, then the bracket shrinks (Nocedal and
    Wright, Numerical Optimization, algorithms 3.5 and 3.6, with Schmidt's safeguards).
    """
    new, previous, evaluations = at(t), start, 1
    steps = 0
    while steps < limit:
        if new.f > start.f + c1 * new.t * start.slope or (steps > 1 and new.f >= previous.f):
            break
        if abs(new.slope) <= -c2 * start.slope:
            return new, evaluations
        if new.slope >= 0:
            break
        bounds = (new.t + 0.01 * (new.t - previous.t), new.t * 10)
        t = _cubic_minimum(previous, new, bounds)
        previous, new = new, at(t)
        evaluations += 1
        steps += 1
    else:
        return (start if start.f <= new.f else new), evaluations
    found, used = _zoom(at, start, [previous, new], float(np.abs(d).max()), c1, c2, tolerance,
                        limit - steps)  # fmt: skip
    return found, evaluations + used


def _zoom(
    at: Callable[[float], Point], start: Point, ends: list[Point], scale: float, c1: float,
    c2: float, tolerance: float, limit: int,
) -> tuple[Point, int]:  # fmt: skip
    """Shrink the bracket `ends` around a point that satisfies the Wolfe conditions."""
    low = 0 if ends[0].f <= ends[1].f else 1
    stuck = False
    evaluations = 0
    while evaluations < limit and abs(ends[1].t - ends[0].t) * scale >= tolerance:
        left, right = sorted(p.t for p in ends)
        t = _cubic_minimum(ends[0], ends[1], (left, right))
        # Too close to an end twice in a row: move a tenth of the bracket inwards.
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = at(t)
        evaluations += 1
        high = 1 - low
        if new.f > start.f + c1 * t * start.slope or new.f >= ends[low].f:
            ends[high] = new
            low = 0 if ends[0].f <= ends[1].f else 1
            continue
        done = abs(new.slope) <= -c2 * start.slope
        if not done and new.slope * (ends[high].t - ends[low].t) >= 0:
            ends[high] = ends[low]
        ends[low] = new
        if done:
            break
    return ends[low], evaluations


def _cubic_minimum(a: Point, b: Point, bounds: tuple[float, float]) -> float:
    """Where the cubic through two points with their slopes is smallest, kept within bounds."""
    low, high = bounds
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0 or not isfinite(square):
        return (low + high) / 2
    d2 = sqrt(square)
    if a.t > b.t:
        a, b = b, a
    bend = b.slope - a.slope + 2 * d2
    if bend == 0:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / bend), low), high)
