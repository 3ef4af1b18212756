"""`jit`: the compiled function gives what the function gives, whatever it does."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.just_in_time import JitWarning, jit

x = np.linspace(0.1, 1, 5)
w = np.linspace(1, 2, 5)


def loss(x, w):
    return (cr.tanh(x * w) * cr.exp(-x)).sum()


def close(a, b):
    assert type(a) is type(b)
    np.testing.assert_allclose(_array(a), _array(b), rtol=1e-12, atol=1e-14)


def _array(a):
    return a.detach().numpy() if isinstance(a, cr.Tensor) else np.asarray(a)


def no_calls(f):
    """Assert that all of a function is machine code."""
    assert f.variants()
    for variant in f.variants():
        assert not variant.compiled.program.report().calls


def test_arrays_give_arrays_and_tensors_tensors():
    f = jit(loss)
    assert type(f(x, w)) is np.ndarray
    assert type(f(cr.tensor(x), w)) is cr.Tensor
    close(f(cr.tensor(x), w), loss(cr.tensor(x), cr.tensor(w)))
    no_calls(f)


def test_trees_and_names():
    @jit
    def f(params, *, scale=1.0):
        return {"y": [params["a"] * scale, params["b"][0] + 1], "n": None, "s": "text"}

    got = f({"a": x, "b": (w,)}, scale=2.0)
    close(got["y"][0], x * 2)
    close(got["y"][1], w + 1)
    assert got["n"] is None
    assert got["s"] == "text"


def test_floats_are_numbers_and_integers_become_numbers_when_they_change():
    seen = []

    @jit
    def f(x, a, n):
        seen.append(n)
        return x * a + n

    for a in (1.0, 2.0, 3.5):
        close(f(x, a, 1), x * a + 1)
    assert len(seen) == 1
    for n in (2, 3, 4, 5):
        close(f(x, 1.0, n), x + n)
    assert len(seen) == 2


def test_float32_stays_float32_with_numbers():
    f = jit(lambda x, a: x * a)
    assert f(x.astype(np.float32), 2.5).dtype == np.float32


def test_derivatives_of_a_compiled_function():
    f = jit(loss)
    close(cr.func.grad(f, (0, 1))(x, w)[1], cr.func.grad(loss, (0, 1))(x, w)[1])
    close(cr.func.hessian(f)(x, w), cr.func.hessian(loss)(x, w))
    close(cr.func.jacfwd(f)(x, w), cr.func.jacfwd(loss)(x, w))
    close(cr.func.jvp(f, (x, w), (w, x))[1], cr.func.jvp(loss, (x, w), (w, x))[1])
    xs = np.stack([x, 2 * x, 3 * x])
    close(cr.func.vmap(f, (0, None))(xs, w), cr.func.vmap(loss, (0, None))(xs, w))
    each = cr.func.vmap(cr.func.grad(f), (0, None))
    close(each(xs, w), cr.func.vmap(cr.func.grad(loss), (0, None))(xs, w))


def test_compiled_derivatives():
    for transform in (cr.func.grad, cr.func.hessian, cr.func.jacfwd):
        f = jit(transform(loss))
        close(f(x, w), transform(loss)(x, w))
        no_calls(f)
    xs = np.stack([x, 2 * x, 3 * x])
    f = jit(cr.func.vmap(cr.func.grad(loss), (0, None)))
    close(f(xs, w), cr.func.vmap(cr.func.grad(loss), (0, None))(xs, w))
    f = jit(cr.func.grad(jit(loss)))
    close(f(x, w), cr.func.grad(loss)(x, w))


def test_backward_twice_through_a_compiled_call():
    f = jit(loss)
    a, b = cr.tensor(x, requires_grad=True), cr.tensor(w, requires_grad=True)
    for function in (f, loss):
        a.grad = None
        (g,) = cr.autograd.grad(function(a, b), a, create_graph=True)
        (g * g).sum().backward()
        if function is f:
            found = a.grad.clone()
    close(found, a.grad)


def test_branches_are_recorded_as_they_are_taken():
    seen = []

    @jit
    def f(x):
        seen.append(1)
        if x.sum() > 0:
            return x * 2
        return -x

    for _ in range(3):
        close(f(x), x * 2)
        close(f(-x), x)
    assert len(seen) == 2


def test_a_branch_in_a_gradient():
    @jit
    def f(x):
        return (x * x).sum() if x[0] > 0 else x.sum()

    close(cr.func.grad(f)(x), 2 * x)
    close(cr.func.grad(f)(-x), np.ones(5))
    close(jit(cr.func.grad(f))(-x), np.ones(5))


def test_numbers_taken_out_are_compared():
    f = jit(lambda x: x * x.max().item())
    close(f(x), x * x.max())
    close(f(2 * x), 2 * x * (2 * x).max())


def test_too_many_paths_run_eagerly():
    f = jit(lambda x: x * x.max().item(), max_variants=3)
    for i in (1, 2, 3, 2, 1):
        close(f(i * x), i * x * (i * x).max())
    with pytest.warns(JitWarning, match="3 different paths"):
        close(f(4 * x), 4 * x * (4 * x).max())
    close(f(x), x * x.max())


def test_float_of_what_requires_grad_is_an_error_as_without_jit():
    f = jit(lambda x: x.sum() * float(x[0]))
    close(f(x), np.asarray(x.sum() * x[0]))
    with pytest.raises(RuntimeError, match="would silently drop its gradient"):
        cr.func.grad(f)(x)


def test_shapes_that_depend_on_values_run_eagerly():
    f = jit(lambda x: x[x > 0.5].sum())
    with pytest.warns(JitWarning, match="depends on values"):
        close(f(x), np.asarray(x[x > 0.5].sum()))


def test_tensors_from_outside_are_read_in_every_call():
    weight = cr.tensor(w, requires_grad=True)
    table = np.ones(5)
    f = jit(lambda x: (x @ weight).tanh() + (weight * weight).sum() + (x * table).sum())
    for _ in range(2):
        f(cr.tensor(x)).backward()
        got, weight.grad = weight.grad, None
        (cr.tensor(x) @ weight).tanh().add((weight * weight).sum()).backward()
        close(got, weight.grad)
        weight.grad = None
        expected = np.tanh(x @ weight.detach().numpy()) + (weight.detach().numpy() ** 2).sum()
        close(f(cr.tensor(x)).detach().numpy(), np.asarray(expected + (x * table).sum()))
        with cr.no_grad():
            weight.mul_(1.5)
        table[0] = 7


def test_what_only_the_function_holds_is_constant():
    @jit
    def f(x):
        z = cr.zeros(5, dtype=cr.float64)
        z[1] = x[2]
        return z + x + cr.tensor([1.0, 2, 3, 4, 5], dtype=cr.float64)

    expected = x + np.arange(1.0, 6)
    expected[1] += x[2]
    close(f(x), expected)
    assert not f.variants()[0].recording.captured


def test_writes_reach_arguments_and_tensors_from_outside():
    count = cr.zeros(1)

    @jit
    def f(x):
        count.add_(1)
        x *= 2
        x[0] = 5.0
        return x + count

    mine, expected = x.copy(), x.copy()
    for i in range(1, 4):
        got = f(mine)
        expected *= 2
        expected[0] = 5.0
        close(mine, expected)
        close(got, expected + i)
    assert count.item() == 3


def test_random_numbers_stay_random_and_are_those_of_the_function():
    f = jit(lambda x: cr.nn.functional.dropout(x) + cr.rand(5))
    g = f.function
    cr.manual_seed(3)
    got = [f(cr.ones(5)) for _ in range(3)]
    cr.manual_seed(3)
    expected = [g(cr.ones(5)) for _ in range(3)]
    for a, b in zip(got, expected, strict=True):
        close(a, b)
    assert not np.array_equal(got[0].numpy(), got[1].numpy())


def test_batch_norm_keeps_its_statistics():
    nets = [cr.nn.BatchNorm1d(3) for _ in range(2)]
    f = jit(nets[0])
    data = cr.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    for _ in range(3):
        a, b = f(data), nets[1](data)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    for p, q in zip(nets[0].buffers(), nets[1].buffers(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5)
    f(data).square().sum().backward()
    nets[1](data).square().sum().backward()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5)
    for net in nets:
        net.eval()
    np.testing.assert_allclose(
        f(data).detach().numpy(), nets[1](data).detach().numpy(), rtol=1e-5, atol=1e-6
    )


def test_an_optimizer_inside_runs_eagerly():
    p = cr.tensor(x, requires_grad=True)
    opt = cr.optim.SGD([p], lr=0.1)
    p.grad = cr.ones_like(p)

    def step():
        opt.step()
        return p.sum()

    with pytest.warns(JitWarning, match=r"Optimizer\.step"):
        jit(step)()
    close(p.detach().numpy(), x - 0.1)


def test_statics():
    f = jit(lambda x, mode: x.sum() if mode == "sum" else x.prod(), static_argnums=1)
    close(f(x, "sum"), np.asarray(x.sum()))
    close(f(x, "prod"), np.asarray(x.prod()))

    class Odd:
        __hash__ = None

    with pytest.raises(TypeError, match=r"args\[1\] is a Odd, which is not hashable"):
        f(x, Odd())


FACTOR = 2.0


def scaled(x):
    return x * FACTOR


def test_numbers_around_the_function_are_read_in_every_call():
    global FACTOR
    offset = 1
    f = jit(lambda x: scaled(x) + offset)
    close(f(x), 2 * x + 1)
    offset = 3
    close(f(x), 2 * x + 3)
    FACTOR, before = 5.0, FACTOR
    close(f(x), 5 * x + 3)
    FACTOR = before
    close(f(x), 2 * x + 3)
    assert len(f.signatures) == 3


def test_methods_and_repr():
    class Model:
        scale = 2.0

        @jit
        def forward(self, x):
            return x * self.scale

    close(Model().forward(x), 2 * x)
    assert repr(jit(loss)) == "<jit loss: 0 signatures>"


def test_lowering_ahead_of_time():
    f = jit(lambda x, n: x * n if x[0] > 0 else x)
    made = f.lower(x, 2).compile()
    close(made(x, 2), 2 * x)
    with pytest.raises(TypeError, match="compiled for other arguments"):
        made(x[:3], 2)
    with pytest.raises(RuntimeError, match="another path"):
        made(-x, 2)
    assert not f.signatures


def test_the_report_says_what_there_is():
    f = jit(lambda x: (x * x).sum() if x[0] > 0 else x.sum())
    f(x)
    f(-x)
    cr.func.grad(f)(x)
    text = str(f.report())
    assert "signature 1: x float64[5]; 3 calls" in text
    assert "path 2" in text
    assert "holds while a value is True" in text
    assert "vjp of" in text
    assert "define" in f.report().ir
    assert f.report().assembly


def test_pickling_takes_the_function_and_the_options():
    import pickle

    made = pickle.loads(pickle.dumps(jit(scaled, max_variants=2)))
    close(made(x), 2 * x)
    assert made.function is scaled


@pytest.mark.parametrize("kind", [np.asarray, cr.tensor])
def test_calls_again_give_the_same_structure(kind):
    f = jit(lambda p, a: {"b": [(v * a, u) for u, v in p], "a": p[0][0]})
    for i in range(1, 5):
        u, v = kind(i * x), kind(x + i)
        got = f([(u, v)], 0.5)
        close(got["b"][0][0], v * 0.5)
        close(got["b"][0][1], u)
        close(got["a"], u)
    one = jit(lambda u: [u + 1])
    for _ in range(3):
        (found,) = one(kind(x))
        close(found, kind(x + 1))


def test_what_the_backward_half_does_not_take_may_be_written():
    a = cr.tensor(x, requires_grad=True)
    scale = cr.tensor(w)
    y = jit(lambda a, scale: (a + scale) * 2)(a, scale)
    scale.add_(1)
    y.mul_(3)
    y.sum().backward()
    close(a.grad, cr.full_like(a, 6.0).detach())
    y = jit(lambda a, scale: a * scale)(a, scale)
    scale.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize(
    "make",
    [
        lambda: cr.ones(5), lambda: np.ones(5), lambda: np.ones((3, 5))[0],
        lambda: cr.ones(3, 5)[1], lambda: cr.ones(3, 5)[1][None].expand(2, 5),
    ],
)  # fmt: skip
def test_arrays_made_inside_are_constants(make):
    f = jit(lambda x: x + make())
    close(f(x), np.asarray(x + np.asarray(make())))
    assert not f.variants()[0].recording.captured


def test_seeds_of_gradients_are_constants():
    f = jit(cr.func.grad(lambda x: cr.logsumexp(x, 0)))
    f(x)
    assert not f.variants()[0].recording.captured


@pytest.mark.parametrize("kind", [np.asarray, cr.tensor])
@pytest.mark.parametrize(
    "look", [lambda t: t, lambda t: t[0], lambda t: t.T[:, 1], lambda t: t[1:2].reshape(5)]
)
def test_arrays_from_outside_are_read_in_every_call(kind, look):
    table = kind(np.arange(25.0).reshape(5, 5))
    f = jit(lambda x: x + look(table))
    for _ in range(2):
        close(f(x), np.asarray(x + np.asarray(look(table))))
        table[0] += 1
        table[1] *= 2


def test_the_short_way_reads_what_is_outside():
    weight = cr.tensor(w)
    f = jit(lambda x: x * weight)
    for i in range(3):
        close(f(x), x * (w + i))
        weight += 1
    weight.requires_grad_()
    assert f(cr.tensor(x)).requires_grad
    with cr.no_grad():
        close(f(x), x * (w + 3))
    weight.data = cr.ones(2, 5, dtype=cr.float64)
    close(f(x).detach().numpy(), np.stack([x, x]))
    weight.data = cr.tensor(np.repeat(w, 2))[::2]
    close(f(x).detach().numpy(), x * w)


def test_views_of_one_array_made_inside_are_constants():
    @jit
    def f(x):
        seeds = np.eye(5)
        return sum(x * cr.tensor(1.0) * seeds[i] * seeds.T[:, i] for i in range(5))

    close(f(x), x)
    assert not f.variants()[0].recording.captured


def test_views_of_a_tensor_from_outside_are_taken_in_the_graph():
    table = cr.tensor(np.arange(25.0).reshape(5, 5))
    f = jit(lambda x: x @ table.T + x * table[1] * table.T[:, 2])
    for _ in range(2):
        close(f(x), np.asarray(x @ table.numpy().T + x * table.numpy()[1] * table.numpy()[2]))
        table.mul_(1.5)
    assert len(f.variants()[0].recording.captured) == 1


def test_a_view_made_without_recording_has_no_gradient():
    weight = cr.tensor(np.ones((2, 5)), requires_grad=True)
    with cr.no_grad():
        row = weight[0]
    a = cr.tensor(x, requires_grad=True)
    jit(lambda a: (a * row).sum())(a).backward()
    assert weight.grad is None
    close(a.grad, cr.ones(5, dtype=cr.float64))


def test_what_the_function_changes_itself_is_no_other_signature():
    log = []

    @jit
    def f(x):
        log.append(1)
        return x + 1

    for _ in range(3):
        close(f(x), x + 1)
    assert len(log) == 1
    assert len(f.signatures) == 1
