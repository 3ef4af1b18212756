"""Nothing that a compiled function reads around itself is stale, and what it writes is written."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY

pytest.importorskip("llvmlite")

# Functions of an argument x, and of tensors from outside: t (floats), i (integers), n (an array).
READING = {
    "an operation": lambda x, t, i, n: x * (t * 2),
    "a number of it": lambda x, t, i, n: x * t.sum(),
    "comparison": lambda x, t, i, n: x * (t > t.mean()),
    "a view": lambda x, t, i, n: x * t.view(3, 1)[1:, 0].sum(),
    "joined": lambda x, t, i, n: x * cr.cat([t, t])[2:5] + cr.stack([t, t])[1],
    "reshaped and indexed": lambda x, t, i, n: x * t.reshape(3, 1)[i, 0],
    "clone": lambda x, t, i, n: x * t.clone(),
    "detach": lambda x, t, i, n: x * (t.detach() * 2) + t.data,
    "another dtype": lambda x, t, i, n: x * t.to(cr.float32),
    "sorted": lambda x, t, i, n: x * t.sort().values + t.max(0).values,
    "several outputs": lambda x, t, i, n: x * t.topk(2).values.sum() + t.argmax(),
    "a product": lambda x, t, i, n: cr.outer(t, t) @ x,
    "linear algebra": lambda x, t, i, n: cr.linalg.inv(cr.outer(t, t) + cr.eye(3).double()) @ x,
    "a copy of it": lambda x, t, i, n: x * cr.zeros(3).double().copy_(t),
    "written to what is made": lambda x, t, i, n: _filled(x, t),
    "in place on what is computed": lambda x, t, i, n: x * (t * 2).add_(1).mul_(x),
    "iterated": lambda x, t, i, n: sum((x * v for v in t), x),
    "returned": lambda x, t, i, n: (x * 2, t * 2, t),
    "item": lambda x, t, i, n: x * t.sum().item(),
    "float": lambda x, t, i, n: x * float(t[0]),
    "branch": lambda x, t, i, n: x * 2 if t[0] > 1.5 else x * 3,
    "contains": lambda x, t, i, n: x * 2 if 2.0 in t else x * 3,
    "compared as a whole": lambda x, t, i, n: x * 2 if cr.allclose(t, t.round()) else x * 3,
    "equal": lambda x, t, i, n: x * 2 if cr.equal(t, t.round()) else x * 3,
    "list": lambda x, t, i, n: x * cr.tensor(t.tolist(), dtype=cr.float64),
    "nested data": lambda x, t, i, n: x * cr.tensor([t[0], 1, 2.0]),
    "array": lambda x, t, i, n: x * (t.numpy() * 2),
    "NumPy's function": lambda x, t, i, n: x * np.sin(t),
    "NumPy on its array": lambda x, t, i, n: x * np.sin(np.asarray(t)),
    "deepcopy": lambda x, t, i, n: x * copy.deepcopy(t),
    "shape from values": lambda x, t, i, n: x.sum() * (t > 1.5).nonzero().sum(),
    "unique": lambda x, t, i, n: x * t.round().unique().sum(),
    "a mask on it": lambda x, t, i, n: x * t[t > 1.5].sum(),
    "a mask on the argument": lambda x, t, i, n: x[t > 1.5].sum(),
    "index": lambda x, t, i, n: x[i] + x.gather(0, i) + x.index_select(0, i) + x.take(i),
    "index of 32 bits": lambda x, t, i, n: x.index_add(0, i.int(), x) + x[i.int()],
    "one-hot": lambda x, t, i, n: cr.nn.functional.one_hot(i, 3).double() @ x,
    "counts": lambda x, t, i, n: x * cr.bincount(i, minlength=3),
    "slice": lambda x, t, i, n: x[: i[0] + 1].sum(),
    "int": lambda x, t, i, n: x.roll(int(i[0])),
    "repeated": lambda x, t, i, n: x.repeat_interleave(i).sum(),
    "operation on an array": lambda x, t, i, n: x * cr.sin(n),
    "tensor of an array": lambda x, t, i, n: x * (cr.tensor(n) * 2),
    "from_numpy": lambda x, t, i, n: x * (cr.from_numpy(n) * 2) + cr.as_tensor(n),
    "index array": lambda x, t, i, n: x[i.numpy()],
}


def _filled(x: Any, t: Any) -> Any:
    made = cr.zeros(3).double()
    made[1:] = t[1:] * 2
    made[0] = 7.0
    return x * made


def same(found: Any, wanted: Any) -> None:
    for a, b in zip(cr.tree.leaves(found), cr.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12)


@pytest.mark.parametrize("name", READING)
@pytest.mark.filterwarnings("ignore:.*runs eagerly.*:chainrule.JitWarning")
def test_what_is_read_is_read_in_every_call(name: str) -> None:
    f = READING[name]
    t, i = cr.tensor([1.0, 2.5, 1.25], dtype=cr.float64), cr.tensor([0, 2, 1])
    n = np.array([0.5, 1.5, 2.5])
    x = cr.tensor([1.0, 2.0, 3.0], dtype=cr.float64)
    compiled = cr.jit(lambda x: f(x, t, i, n))
    changes = [
        lambda: None,
        lambda: (t.mul_(0.75), n.__iadd__(1)),
        lambda: (i.copy_(cr.tensor([1, 0, 2])), t.add_(0.5)),
        lambda: (t.copy_(cr.tensor([2.0, 3.0, 2.0])), i.copy_(cr.tensor([2, 2, 0]))),
    ]
    for change in changes:
        change()
        same(compiled(x), f(x, t, i, n))
        same(compiled(x), f(x, t, i, n))


ELSEWHERE = {"rrelu", "dropout"}  # draw random numbers


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - ELSEWHERE))
@pytest.mark.filterwarnings("ignore:.*runs eagerly.*:chainrule.JitWarning")
def test_every_operation_on_tensors_from_outside(name: str) -> None:
    prim = REGISTRY[name]
    for sample in list(prim.samples() if prim.samples else ())[:2]:
        outside = [
            cr.tensor(a) if isinstance(a, np.ndarray) and a.dtype.kind in "fc" else a
            for a in sample.args
        ]
        compiled = cr.jit(lambda x: (x * 2, prim.apply(outside, sample.params)))  # noqa: B023
        x = cr.ones(2)
        compiled(x)
        for a in outside:
            if isinstance(a, cr.Tensor):
                a.array[...] = a.array * 0.875
        try:
            wanted = prim.apply(outside, sample.params)
        except Exception as error:  # such as a matrix that is no longer what it has to be
            with pytest.raises(type(error)):
                compiled(x)
            continue
        for a, b in zip(cr.tree.leaves(compiled(x)[1]), cr.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)


def test_a_table_held_elsewhere_is_an_input_and_one_made_inside_a_constant() -> None:
    table = cr.ones(3)
    f = cr.jit(lambda x: x * (table * 2) + cr.arange(3) * 2.0)
    f(cr.ones(3))
    (variant,) = f.signatures[0].variants
    assert len(variant.recording.captured) == 1
    assert not variant.recording.guards


def test_numbers_in_the_function_are_constants() -> None:
    """Also those that derivative rules compute with: the exponent here."""
    f = cr.jit(cr.func.grad(lambda x: 0.5 * ((1 - x) ** 2).sum()))
    assert f(cr.ones(3)).tolist() == [0.0] * 3
    recording = f.signatures[0].variants[0].recording
    assert not recording.captured
    assert "pow" not in str([n.prim for n in f.signatures[0].variants[0].compiled.graph.nodes])


def test_values_of_what_is_made_inside_may_be_used_without_a_guard() -> None:
    def f(x: Any) -> Any:
        steps = cr.linspace(0, 1, 1000)
        weights = np.hanning(1000) * steps.numpy()
        return x * float(weights.sum()) * len((steps > 0.5).nonzero())

    compiled = cr.jit(f)
    x = cr.ones(3)
    same(compiled(x), f(x))
    (variant,) = compiled.signatures[0].variants
    assert not variant.recording.guards


def test_many_values_from_outside_that_are_looked_at_run_eagerly() -> None:
    table = cr.ones(100_000)
    f = cr.jit(lambda x: x * float(table.numpy().sum()))
    with pytest.warns(cr.JitWarning, match="100000 values of a tensor from outside"):
        f(cr.ones(2))
    table.mul_(2)
    assert f(cr.ones(2)).tolist() == [200_000.0] * 2


def test_a_large_mask_from_outside_is_compiled() -> None:
    mask = cr.arange(1000) % 3 == 0
    f = cr.jit(lambda x: x[mask].sum())
    x = cr.arange(1000) * 1.0
    for _ in range(2):
        same(f(x), x[mask].sum())
        mask.logical_not_()
        same(f(x), x[mask].sum())


def test_other_threads_do_not_notice_a_recording() -> None:
    import threading

    table, found = cr.ones(3), []

    def other() -> None:
        found.append((table * 2).tolist())

    @cr.jit
    def f(x: Any) -> Any:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x * (table * 2)

    assert f(cr.ones(3)).tolist() == [2.0] * 3
    assert found == [[2.0] * 3]


# ---------------------------------------------------------------- writing

# What a function does to a tensor w from outside; whether w may be a leaf that requires grad.


def _no_grad_write(x: Any, w: Any) -> Any:
    with cr.no_grad():
        w.mul_(2)
    return x * w


def _no_grad_view_write(x: Any, w: Any) -> Any:
    y = x * w
    view = y[1:]
    with cr.no_grad():
        y[0].mul_(3)
        y.view(3, 1).add_(1)
    return y * view.sum()


def _detached_write(x: Any, w: Any) -> Any:
    w.detach().mul_(2)
    return x * w


def _read_detached(x: Any, w: Any) -> Any:
    d = w.detach()
    with cr.no_grad():
        w.mul_(2)
    return x * d * w


def _data_write(x: Any, w: Any) -> Any:
    w.data.add_(1)
    return x * w


def _data_rebound(x: Any, w: Any) -> Any:
    w.data = w.data * 2
    return x * w


def _computed_and_written(x: Any, w: Any) -> Any:
    t = w.detach() * 2
    t += x.detach()
    with cr.no_grad():
        w.copy_(t)
    return x * t


def _between(x: Any, w: Any) -> Any:
    a = w * 2
    with cr.no_grad():
        w.add_(1)
    return x * a.detach() + x * (w * 2)


def _argument_detached(x: Any, w: Any) -> Any:
    y = (x * 1).detach()
    y.mul_(2)
    return y * w * x


def _computed_detached(x: Any, w: Any) -> Any:
    a = x * 1
    y = a.detach()
    y.mul_(2)
    return a * w


def _behind_detach(x: Any, w: Any) -> Any:
    return (x * w).detach() * x


def _descent(x: Any, w: Any) -> Any:
    loss = ((x * w - 1) ** 2).sum()
    step = cr.func.grad(lambda w: ((x.detach() * w - 1) ** 2).sum())(w.detach())
    with cr.no_grad():
        w -= 0.1 * step
    return loss.detach() * x


WRITING = [
    _no_grad_write, _no_grad_view_write, _detached_write, _read_detached, _data_write,
    _data_rebound, _computed_and_written, _between, _argument_detached, _computed_detached,
    _behind_detach, _descent,
]  # fmt: skip


def _course(f: Any, requires_grad: bool, jit: bool) -> list[Any]:
    w = cr.tensor([1.0, 0.5, 2.0], dtype=cr.float64, requires_grad=requires_grad)

    def called(x: Any) -> Any:
        return f(x, w)

    run = cr.jit(called) if jit else called
    found: list[Any] = []
    for _ in range(3):
        x = cr.tensor([1.0, 2.0, 3.0], dtype=cr.float64, requires_grad=True)
        y = run(x)
        try:
            y.sum().backward()
        except RuntimeError as error:
            found.append(str(error)[:60])
            continue
        found += [
            y.tolist(),
            x.grad.tolist(),
            w.tolist(),
            None if w.grad is None else w.grad.tolist(),
        ]
    return found


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("f", WRITING, ids=lambda f: f.__name__[1:])
@pytest.mark.filterwarnings("ignore:.*runs eagerly.*:chainrule.JitWarning")
def test_writes_are_those_of_the_function(f: Any, requires_grad: bool) -> None:
    wanted, found = (_course(f, requires_grad, jit) for jit in (False, True))
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if b is not None and not isinstance(b, str):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_step_of_descent_is_compiled() -> None:
    w = cr.ones(3, requires_grad=True)
    f = cr.jit(lambda x: _descent(x, w))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(cr.ones(3))
        f(cr.ones(3))


def test_reading_grad_runs_eagerly() -> None:
    w = cr.ones(3, requires_grad=True)
    f = cr.jit(lambda x: x * w.grad)
    for scale in (1.0, 2.0):
        w.grad = None
        (w * scale).sum().backward()
        with pytest.warns(cr.JitWarning, match="reading .grad") if scale == 1 else _nothing():
            assert f(cr.ones(3)).tolist() == [scale] * 3


def _nothing() -> Any:
    return warnings.catch_warnings()


def test_a_tensor_kept_from_the_recording_has_values() -> None:
    table, kept = cr.ones(3), []

    @cr.jit
    def f(x: Any) -> Any:
        if not kept:
            kept.append(table * 3)
        return x * kept[0]

    assert f(cr.ones(3)).tolist() == [3.0] * 3
    assert kept[0].tolist() == [3.0] * 3
    assert f(cr.ones(3)).tolist() == [3.0] * 3
