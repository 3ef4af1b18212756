"""grad_fn, edges, hooks on tensors, nodes and saved values."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autograd import graph

from .own_functions import OldCube


def leaf(value, dtype=cr.float64):
    return cr.tensor(value, dtype=dtype, requires_grad=True)


def test_names_and_neighbours():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = (x * y).sum()
    assert x.grad_fn is None
    f = z.grad_fn
    assert f.name() == type(f).__name__ == "SumBackward0"
    assert repr(f).startswith("<SumBackward0 object at 0x")
    ((mul, number),) = f.next_functions
    assert (mul.name(), number) == ("MulBackward0", 0)
    assert [g.name() for g, _ in mul.next_functions] == ["AccumulateGrad"] * 2
    assert mul.next_functions[0][0].variable is x
    assert isinstance(f, graph.Node)
    assert f == z.grad_fn
    assert len({f, z.grad_fn}) == 1
    assert f != mul


def test_constants_have_no_function():
    x = leaf([1.0])
    f = (x * cr.ones(1, dtype=cr.float64)).grad_fn
    assert f.next_functions[1] == (None, 0)
    assert (x**2).grad_fn.name() == "PowBackward0"


def test_outputs_are_numbered():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    values, indices = x.max(dim=1)
    assert (values.output_nr, indices.grad_fn) == (0, None)


def test_saved_values():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = x * y
    f = z.grad_fn
    np.testing.assert_array_equal(f._saved_self.detach().numpy(), [1, 2])
    np.testing.assert_array_equal(f._saved_other.detach().numpy(), [3, 4])
    assert f._saved_self.grad_fn is None
    assert len(f.saved_tensors) == 2
    assert "_saved_self" in dir(f)
    e = x.exp()
    np.testing.assert_array_equal(e.grad_fn._saved_result.detach().numpy(), e.detach().numpy())
    with pytest.raises(AttributeError, match="_saved_result"):
        f._saved_result
    with pytest.raises(AttributeError, match="nonsense"):
        f.nonsense
    z.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        f._saved_self


def test_metadata_lives_with_the_node():
    x = leaf(1.0)
    y = x * 2
    y.grad_fn.metadata["note"] = 7
    assert y.grad_fn.metadata == {"note": 7}
    y.backward()
    assert x.grad.item() == 2


def test_tensor_hooks_change_gradients_in_order():
    x = leaf([1.0, 2.0])
    y = x * x
    seen = []
    first = y.register_hook(lambda g: seen.append(g.numpy().copy()) or g * 2)
    y.register_hook(lambda g: seen.append(g.numpy().copy()))
    x.register_hook(lambda g: g + 1)
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    np.testing.assert_array_equal(seen, [[1, 1], [2, 2]])
    np.testing.assert_array_equal(y.grad.numpy(), [2, 2])
    np.testing.assert_array_equal(x.grad.numpy(), [5, 9])
    first.remove()
    first.remove()
    x.grad = None
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 5])


def test_a_leaf_hook_sees_the_whole_gradient_once():
    x = leaf(2.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * x + x * 3 + x).backward()
    assert seen == [8]


def test_hooks_act_on_grad_and_on_higher_orders():
    x = leaf(2.0)
    x.register_hook(lambda g: g * 10)
    (g,) = cr.autograd.grad(x**3, x, create_graph=True)
    assert g.item() == 120
    (h,) = cr.autograd.grad(g, x)
    assert h.item() == 1200


@pytest.mark.parametrize(
    ("hook", "error", "message"),
    [
        (lambda g: "nonsense", TypeError, "must return None or a Tensor, got str"),
        (lambda g: g[:1], RuntimeError, "changed the size of the gradient"),
        (lambda g: 1 / 0, ZeroDivisionError, "division by zero"),
    ],
)
def test_bad_hooks_leave_everything_as_it_was(hook, error, message):
    x, y = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    m = x * y
    handle = m.register_hook(hook)
    z = (m * m + y).sum()
    with pytest.raises(error, match=message):
        z.backward()
    assert x.grad is None
    assert y.grad is None
    assert cr.is_grad_enabled()
    handle.remove()
    z.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4])


def test_registering_nonsense():
    with pytest.raises(TypeError, match="must be callable"):
        leaf(1.0).register_hook(3)
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        cr.ones(2).register_hook(print)
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        cr.ones(2).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="non-leaf"):
        (leaf(1.0) * 2).register_post_accumulate_grad_hook(print)


def test_node_hooks():
    x = leaf([1.0, 2.0])
    y = x * 3
    seen = []
    y.grad_fn.register_prehook(lambda gs: (gs[0] * 2,))
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append((inputs, outputs)))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6, 6])
    (inputs, outputs) = seen[0]
    assert inputs[1] is None
    np.testing.assert_array_equal(inputs[0].numpy(), [6, 6])
    np.testing.assert_array_equal(outputs[0].numpy(), [2, 2])


def test_post_hook_replaces_gradients():
    x, i = leaf([1.0, 2.0, 3.0]), 1
    y = x[i]
    y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0] + 10,))
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [10, 11, 10])
    z = x * 2
    z.grad_fn.register_hook(lambda inputs, outputs: (None,) * 5)
    with pytest.raises(RuntimeError, match="returned 5 gradients"):
        z.sum().backward()


def test_prehook_of_an_operation_with_several_outputs():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    values, _ = x.max(dim=1)
    values.grad_fn.register_prehook(lambda gs: (gs[0] * 5, *gs[1:]))
    values.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 5], [0, 5]])


def test_accumulation_hooks():
    x = leaf([1.0, 2.0])
    log = []
    x.register_post_accumulate_grad_hook(lambda p: log.append(p.grad.numpy().copy()))
    accumulate = (x * 1).grad_fn.next_functions[0][0]
    accumulate.register_hook(lambda inputs, outputs: log.append((inputs, outputs[0].numpy())))
    (x * x).sum().backward()
    (x * x).sum().backward()
    np.testing.assert_array_equal(log[0], [2, 4])
    assert log[1][0] == ()
    np.testing.assert_array_equal(log[1][1], [2, 4])
    np.testing.assert_array_equal(log[2], [4, 8])


def test_multi_grad_hook_all():
    x, y, z = leaf(2.0), leaf(3.0), leaf(4.0)
    m = x * y
    seen = []
    handle = graph.register_multi_grad_hook([x, m, z], seen.append)
    (m * 5).backward(retain_graph=True)
    assert [None if g is None else g.item() for g in seen[0]] == [15, 5, None]
    handle.remove()
    (m * 5).backward()
    assert len(seen) == 1


def test_multi_grad_hook_any():
    x, y = leaf(2.0), leaf(3.0)
    seen = []
    with graph.register_multi_grad_hook([x, y], seen.append, mode="any"):
        (x * y).backward()
        (x * y).backward()
    assert len(seen) == 2
    with pytest.raises(ValueError, match="'all', 'any'"):
        graph.register_multi_grad_hook([x], print, mode="some")
    with pytest.raises(RuntimeError, match="tensor 0"):
        graph.register_multi_grad_hook([cr.ones(1)], print)


def test_gradient_edges():
    x = leaf([2.0, 3.0])
    y = x * x
    edge = graph.get_gradient_edge(y)
    z = (y * 5).sum()
    del y
    assert edge.node.name() == "MulBackward0"
    (g,) = cr.autograd.grad(z, edge, retain_graph=True)
    np.testing.assert_array_equal(g.numpy(), [5, 5])
    cr.autograd.backward(edge, cr.ones(2), retain_graph=True)
    np.testing.assert_array_equal(x.grad.numpy(), [4, 6])
    x.grad = None
    by_hand = graph.GradientEdge(z.grad_fn, 0)
    (g,) = cr.autograd.grad(by_hand, graph.get_gradient_edge(x), cr.tensor(2.0), True)
    np.testing.assert_array_equal(g.numpy(), [40, 60])
    with pytest.raises(RuntimeError, match="does not require gradients"):
        graph.get_gradient_edge(cr.ones(1))


def test_edge_of_one_output_among_several():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    values, _ = x.max(dim=1)
    edge = graph.GradientEdge(values.grad_fn, 0)
    (g,) = cr.autograd.grad(edge, x, cr.ones(2))
    np.testing.assert_array_equal(g.numpy(), [[0, 1], [0, 1]])


def test_saved_tensor_hooks():
    packed, unpacked = [], []

    def pack(t):
        packed.append(t)
        return t.numpy().astype(np.float32)

    def unpack(a):
        unpacked.append(a)
        return cr.tensor(a, dtype=cr.float64)

    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    with graph.saved_tensors_hooks(pack, unpack):
        z = (x * y).exp()
        w = z + 1.0
    (w * 2).sum().backward()
    assert len(packed) == len(unpacked) == 3
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([3, 8.0]) * [3, 4], rtol=1e-6)


def test_saved_tensor_hooks_under_higher_order_and_functions():
    x = leaf(2.0)
    with graph.saved_tensors_hooks(lambda t: t.numpy() * 1, lambda a: cr.tensor(a)):
        y = OldCube.apply(x) * x
    (g,) = cr.autograd.grad(y, x, create_graph=True)
    (h,) = cr.autograd.grad(g, x)
    assert (g.item(), h.item()) == (32, 48)


def test_unpack_must_return_a_tensor():
    x = leaf(2.0)
    with graph.saved_tensors_hooks(lambda t: 1, lambda a: a):
        y = x * x
    with pytest.raises(TypeError, match="unpack hook must return a tensor, got int"):
        y.backward()
    assert x.grad is None
    with pytest.raises(TypeError, match="must be callable"):
        graph.saved_tensors_hooks(1, 2)


def test_save_on_cpu():
    x = leaf([1.0, 2.0])
    with graph.save_on_cpu(pin_memory=True):
        y = x * 2
        z = y * y
        y.zero_()
    z.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [8, 16])


def test_disable_saved_tensors_hooks():
    with (
        graph.disable_saved_tensors_hooks("not here"),
        pytest.raises(RuntimeError, match="not here"),
        graph.saved_tensors_hooks(lambda t: t, lambda t: t),
    ):
        pass
    with (
        graph.saved_tensors_hooks(lambda t: t, lambda t: t),
        pytest.raises(RuntimeError, match="not there"),
        graph.disable_saved_tensors_hooks("not there"),
    ):
        pass
    assert (leaf(1.0) * 2).requires_grad


def test_allow_mutation_on_saved_tensors():
    x = leaf([1.0, 2.0])
    with graph.allow_mutation_on_saved_tensors():
        y = x * 2
        z = y * y
        y.zero_()
        z.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [8, 16])


def test_increment_version():
    x = leaf([1.0, 2.0])
    y = x * 2
    z = y * y
    graph.increment_version([y])
    assert y._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
