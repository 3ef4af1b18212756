"""backward and grad: values that courses teach, accumulation, freeing, and every error."""

import numpy as np
import pytest

import chainrule as cr


def leaf(value, dtype=cr.float64):
    return cr.tensor(value, dtype=dtype, requires_grad=True)


def test_twice_the_dot_product():
    x = cr.arange(4.0).requires_grad_(True)
    assert x.grad is None
    y = 2 * cr.dot(x, x)
    assert y.item() == 28
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 4 * x.detach().numpy())
    x.grad.zero_()
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1, 1, 1])


def test_mean_of_squares():
    x = leaf([0.0, 1.0, 2.0, 3.0])
    (x * x).mean().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0.5, 1, 1.5])


def test_detached_factor_is_a_constant():
    x = leaf([0.0, 1.0, 2.0, 3.0])
    y = x * x
    u = y.detach()
    (u * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), u.numpy())
    x.grad.zero_()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())


def test_three_orders_of_a_cube():
    x = leaf(2.0)
    y = x**3
    found = []
    for _ in range(3):
        (y,) = cr.autograd.grad(y, x, create_graph=True)
        found.append(y.item())
    assert found == [12, 12, 6]


def test_sum_times_factor():
    x, y, w = leaf(2.0), leaf(3.0), leaf(4.0)
    z = (x + y) * w
    z.backward()
    assert (z.item(), x.grad.item(), y.grad.item(), w.grad.item()) == (20, 4, 4, 5)


def test_reused_value():
    x, y = leaf(2.0), leaf(3.0)
    v = (x * y + x) ** 2
    v.backward()
    assert (v.item(), x.grad.item(), y.grad.item()) == (64, 64, 32)


def test_two_variables():
    x, y = leaf(1.0), leaf(2.0)
    (x**2 * y + x * y**2).backward()
    assert (x.grad.item(), y.grad.item()) == (8, 5)


def test_force_and_stiffness():
    x = leaf(3.0)
    energy = 0.5 * 2 * x**2
    (slope,) = cr.autograd.grad(energy, x, create_graph=True)
    (stiffness,) = cr.autograd.grad(slope, x)
    assert (-slope.item(), stiffness.item()) == (-6, 2)


def test_double_well():
    x = leaf(3.0)
    for _ in range(200):
        x.grad = None
        (x**4 - 10 * x**2 + 5).backward()
        with cr.no_grad():
            x -= 0.01 * x.grad
    assert x.item() == pytest.approx(5**0.5)


def test_written_into_zeros():
    u, v = leaf([1.0, 2.0]), leaf([3.0, 4.0])

    def f(u, v):
        y = cr.zeros(2, dtype=cr.float64)
        y[0] = u[0] ** 2 + u[1] * v[0]
        y[1] = u[1] * v[1] + v[0] * v[1] ** 2
        return y

    ju, jv = cr.autograd.functional.jacobian(f, (u, v))
    np.testing.assert_array_equal(
        np.hstack([ju.numpy(), jv.numpy()]), [[2, 3, 2, 0], [0, 4, 16, 26]]
    )


@pytest.mark.parametrize("start", [1.3, -0.7, 2000.0])
def test_doubling_function(start):
    def f(a):
        b = a * 2
        while b.norm() < 1000:
            b = b * 2
        return b if b.sum() > 0 else 100 * b

    a = leaf(start)
    d = f(a)
    d.backward()
    assert a.grad.item() == (d / a).item()


def test_integer_gradient():
    x = leaf([0.0, 1.0, 2.0, 3.0])
    (x * x).backward(gradient=cr.tensor([3, 3, 3, 3]))
    np.testing.assert_array_equal(x.grad.numpy(), [0, 6, 12, 18])
    assert x.grad.dtype == cr.float64


def test_gradients_accumulate():
    x = leaf([1.0, 2.0])
    for times in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), times * np.array([2.0, 4.0]))


def test_accumulation_keeps_the_buffer_and_aliases_nothing():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = cr.ones(2, dtype=cr.float64)
    (x + y).backward(seed)
    arrays = [x.grad.array, y.grad.array, seed.array]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[i + 1 :])
    kept = x.grad
    (x * y).backward(seed)
    assert x.grad is kept
    np.testing.assert_array_equal(kept.numpy(), [4, 5])
    np.testing.assert_array_equal(seed.numpy(), [1, 1])
    np.testing.assert_array_equal(y.detach().numpy(), [3, 4])


def test_grad_of_a_product_does_not_alias_the_other_factor():
    x = leaf(3.0)
    y = leaf(1.0)
    (x * y).backward()
    with cr.no_grad():
        x.mul_(10)
    assert y.grad.item() == 3


def test_retain_graph():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12


def test_second_backward_says_who_freed_and_both_cures():
    x = leaf(3.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time") as caught:
        y.backward()
    message = str(caught.value)
    assert "test_backward.py" in message
    assert "y.backward()" in message
    assert "retain_graph=True" in message
    assert "compute the value again" in message
    assert x.grad.item() == 6


def test_a_pass_frees_only_what_it_ran():
    x = leaf(3.0)
    m = x * x
    z = m * m
    assert cr.autograd.grad(z, m)[0].item() == 18
    assert cr.autograd.grad(m, x)[0].item() == 6
    z = m * m
    assert cr.autograd.grad(z, m)[0].item() == 18


def test_linear_graphs_are_never_used_up():
    x = leaf([1.0, 2.0])
    y = (x + x).sum()
    y.backward()
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4, 4])


def test_backward_with_create_graph():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    assert x.grad.requires_grad
    (second,) = cr.autograd.grad(x.grad, x)
    assert second.item() == 12


def test_backward_with_create_graph_of_a_linear_function():
    x = leaf([1.0, 2.0])
    x.sum().backward(create_graph=True)
    x.sum().backward(create_graph=True)
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3])
    x.grad = cr.ones(1, dtype=cr.float64).expand(2)
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 2])


def test_inputs_limit_where_gradients_go():
    x, y = leaf(2.0), leaf(3.0)
    m = x * y
    (m * m).backward(inputs=[x])
    assert x.grad.item() == 36
    assert y.grad is None
    m = x * y
    (m * m).backward(inputs=m)
    assert m.grad.item() == 12
    assert not m.retains_grad
    m.retain_grad()
    (m * m).backward(inputs=[m, y])
    assert m.grad.item() == 24
    assert y.grad.item() == 24


def test_retain_grad():
    x = leaf([1.0, 2.0])
    y = x * x
    y.retain_grad()
    y.retain_grad()
    x.retain_grad()
    assert y.retains_grad
    assert not x.retains_grad
    (3 * y).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), [3, 3])
    np.testing.assert_array_equal(x.grad.numpy(), [6, 12])
    with pytest.raises(RuntimeError, match="can't retain_grad"):
        cr.ones(2).retain_grad()


def test_grad_of_intermediate_values_and_several_outputs():
    x, y = leaf(2.0), leaf(5.0)
    m = x * y
    a, b = m * 3, m * x
    gm, gx, gy = cr.autograd.grad([a, b], [m, x, y], [cr.tensor(1.0), cr.tensor(2.0)])
    assert (gm.item(), gx.item(), gy.item()) == (3 + 2 * 2, 7 * 5 + 2 * 10, 7 * 2)
    assert x.grad is None


def test_unused_inputs():
    x, y = leaf(2.0), leaf(3.0)
    with pytest.raises(RuntimeError, match=r"appears to not have been used in the graph"):
        cr.autograd.grad(x * x, [x, y])
    gx, gy = cr.autograd.grad(x * x, [x, y], allow_unused=True)
    assert gy is None
    gx, gy = cr.autograd.grad(x * x, [x, y], materialize_grads=True)
    assert (gx.item(), gy.item()) == (4, 0)
    with pytest.raises(ValueError, match="allow_unused"):
        cr.autograd.grad(x * x, [x, y], allow_unused=False, materialize_grads=True)


def test_batched_gradients():
    x = leaf([1.0, 2.0, 3.0])
    y = x * x
    (rows,) = cr.autograd.grad(y, x, cr.eye(3, dtype=cr.float64), is_grads_batched=True)
    np.testing.assert_array_equal(rows.numpy(), np.diag([2.0, 4.0, 6.0]))
    with pytest.raises(RuntimeError, match="leading dimension"):
        cr.autograd.grad(x.sum(), x, cr.tensor(1.0), is_grads_batched=True)


def test_vector_jacobian_product():
    x = leaf([2.0, 3.0])
    y = cr.stack([x[0] * x[1], x[0] + x[1] ** 2])
    y.backward(cr.tensor([1.0, 1.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [4, 8])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda x: (x * x).backward(), "grad can be implicitly created only for scalar outputs"),
        (lambda x: (x * x).backward(cr.ones(3)), "Mismatch in shape: grad_output"),
        (lambda x: x.detach().sum().backward(), "does not have a grad_fn"),
        (lambda x: cr.autograd.grad(x.sum(), cr.ones(2)), "does not require grad"),
        (lambda x: cr.autograd.backward([x.sum(), x.sum()], [cr.tensor(1.0)]), "2 tensors and 1"),
        (lambda x: x.sum().backward(inputs=[]), "cannot be empty"),
        (lambda x: (x * 1j).sum().backward(), "only for real scalar outputs"),
        (lambda x: x.sum().backward(cr.tensor(1j)), "Mismatch in dtype"),
        (lambda x: cr.arange(3).requires_grad_(True), "only Tensors of floating point"),
        (lambda x: cr.tensor([1, 2], requires_grad=True), "only Tensors of floating point"),
        (lambda x: setattr(x * x, "requires_grad", False), "change requires_grad flags"),
    ],
)  # fmt: skip
def test_errors(run, message):
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=message):
        run(x)
    assert x.grad is None


def test_wrong_kinds_of_arguments():
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match="Tensor or a GradientEdge"):
        cr.autograd.grad(x.sum(), "x")
    with pytest.raises(TypeError, match="either Tensors or None"):
        x.sum().backward("one")


def test_zero_cotangent_wins():
    x = leaf([0.0, 4.0, -1.0])
    with np.errstate(invalid="ignore"):
        cr.where(x > 0, x.sqrt(), 0.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0.25, 0])


def test_nan_gradients_are_still_reported():
    x = leaf([0.0])
    (x * x).sum().backward(cr.tensor(np.nan))
    assert np.isnan(x.grad.numpy()).all()


def test_overwritten_saved_value_names_both_lines():
    x = leaf([1.0, 2.0])
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as caught:
        z.sum().backward()
    assert "z = y * y" in str(caught.value)
    assert "y.add_(1)" in str(caught.value)


def test_agrees_with_torch_on_complex_numbers():
    torch = pytest.importorskip("torch")
    data = np.array([0.3 + 0.4j, -1.2 + 0.5j])

    def run(lib):
        z = lib.tensor(data, requires_grad=True)
        w = (z * z.conj()).real + (z.exp() * (2 + 1j)).imag + (z**2).abs()
        w.sum().backward()
        return z.grad.numpy()

    np.testing.assert_allclose(run(cr), run(torch))


def test_agrees_with_torch_to_third_order():
    torch = pytest.importorskip("torch")
    data = np.array([[0.3, 0.9], [1.4, 0.7]])

    def run(lib):
        x = lib.tensor(data, requires_grad=True)
        y = ((x.sin() * x.exp()).log() * x.sum(0)).sum()
        found = []
        for _ in range(3):
            (g,) = lib.autograd.grad(y, x, create_graph=True)
            found.append(g.detach().numpy())
            y = (g * g).sum()
        return found

    for a, b in zip(run(cr), run(torch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_version_counts_writes():
    x = cr.zeros(3)
    assert x._version == 0
    x.add_(1)
    x[0] = 5
    assert x._version == 2
    assert x[1:]._version == 2


def test_a_graph_that_keeps_only_numbers_can_be_swept_again():
    x = cr.ones(2, requires_grad=True)
    y = 2 * x + 1
    y.sum().backward()
    y.sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]
    z = x * x
    z.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        z.sum().backward()
    w = x * cr.tensor(3.0, requires_grad=True)
    w.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        w.sum().backward()
