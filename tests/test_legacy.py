"""Old names that tutorials still use: typed constructors, storage, resizing, elementwise Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr


def libraries() -> list[Any]:
    try:
        import torch
    except ImportError:
        return [cr]
    return [cr, torch]


@pytest.mark.parametrize(
    "name", ["Float", "Double", "Half", "Long", "Int", "Short", "Char", "Byte", "Bool"]
)
def test_typed_constructors(name: str) -> None:
    made = [
        (str(cls([1, 0])), list(cls(2, 3).shape), list(cls().shape), isinstance(cls([1]), cls))
        for cls in (getattr(lib, f"{name}Tensor") for lib in libraries())
    ]
    assert len({str(m).replace("torch.", "chainrule.") for m in made}) == 1
    assert made[0][1:] == ([2, 3], [0], True)


def test_typed_constructors_are_types_for_isinstance_and_type() -> None:
    x = cr.tensor([1.5])
    assert isinstance(x, cr.FloatTensor)
    assert not isinstance(x, cr.LongTensor)
    assert not isinstance(3.0, cr.FloatTensor)
    assert x.type(cr.LongTensor).dtype is cr.int64
    assert x.type("chainrule.DoubleTensor").dtype is cr.float64
    assert cr.LongTensor(np.array([1.0, 2.0])).dtype is cr.int64


def test_set_default_tensor_type() -> None:
    try:
        cr.set_default_tensor_type(cr.DoubleTensor)
        assert cr.zeros(1).dtype is cr.float64
        cr.set_default_tensor_type("chainrule.FloatTensor")
        assert cr.zeros(1).dtype is cr.float32
        cr.set_default_tensor_type("torch.DoubleTensor")
        assert cr.zeros(1).dtype is cr.float64
        with pytest.raises(TypeError, match="only floating-point types are supported"):
            cr.set_default_tensor_type(cr.LongTensor)
        with pytest.raises(TypeError, match="invalid type object"):
            cr.set_default_tensor_type(cr.zeros(2))
    finally:
        cr.set_default_dtype(cr.float32)


def test_new_makes_a_tensor_of_the_same_dtype() -> None:
    x = cr.zeros(2, dtype=cr.float64)
    assert x.new([1, 2]).tolist() == [1.0, 2.0]
    assert x.new([1, 2]).dtype is cr.float64
    assert x.new(3, 4).shape == (3, 4)


def test_resize_keeps_the_entries_in_memory_order() -> None:
    for lib in libraries():
        x = lib.arange(6.0).view(2, 3)
        assert x.resize_(3, 2) is x
        assert x.tolist() == [[0, 1], [2, 3], [4, 5]]
        assert x.resize_((2, 2)).tolist() == [[0, 1], [2, 3]]
        grown = lib.arange(2.0).resize_(4)
        assert grown.shape == (4,)
        assert grown[:2].tolist() == [0, 1]
        assert lib.zeros(4).resize_as_(lib.ones(2, 2)).shape == (2, 2)
        with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
            lib.ones(2, requires_grad=True).resize_(1)


def test_apply_and_map_call_python_functions() -> None:
    for lib in libraries():
        assert lib.arange(3.0).apply_(lambda v: v * 2 + 1).tolist() == [1, 3, 5]
        assert lib.arange(3.0).map_(lib.ones(3), lambda a, b: a + b).tolist() == [1, 2, 3]
        with pytest.raises((RuntimeError, TypeError), match="require"):
            lib.ones(2, requires_grad=True).apply_(lambda v: v)


def test_storage_shows_shared_memory() -> None:
    for lib in libraries():
        t = lib.rand(4, 4)
        b = t.view(2, 8)
        assert t.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
        assert t[1:].untyped_storage().data_ptr() == t.untyped_storage().data_ptr()
        assert t.clone().untyped_storage().data_ptr() != t.untyped_storage().data_ptr()
        assert t.untyped_storage().nbytes() == 64


def test_questions_with_one_answer() -> None:
    for lib in libraries():
        x = lib.zeros(2)
        assert not x.is_conj()
        assert not x.is_neg()
        assert not x.is_pinned()
        assert x.to_dense().tolist() == [0, 0]
        assert x.dim_order() == (0,)


def test_small_functions() -> None:
    for lib in libraries():
        assert [int(i) for i in lib.unravel_index(lib.tensor(5), (2, 3))] == [1, 2]
        rows, columns = lib.unravel_index(lib.tensor([1, 5]), (2, 3))
        assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 2])
        assert [p.tolist() for p in lib.split_with_sizes(lib.arange(5), [2, 3])] == [
            [0, 1],
            [2, 3, 4],
        ]
        assert lib.fill(lib.zeros(2), 3.0).tolist() == [3, 3]
        assert not lib.is_anomaly_enabled()
        with lib.autograd.set_detect_anomaly(True):
            assert lib.is_anomaly_enabled()
        lib.use_deterministic_algorithms(True)
        assert lib.are_deterministic_algorithms_enabled()
        lib.use_deterministic_algorithms(False)
        lib.set_float32_matmul_precision("highest")
        assert lib.get_float32_matmul_precision() == "highest"


def test_range_includes_the_end() -> None:
    for lib in libraries():
        with pytest.warns(UserWarning, match="range"):
            assert lib.range(1, 4, 0.5).tolist() == [1, 1.5, 2, 2.5, 3, 3.5, 4]


def test_gradient_of_samples() -> None:
    for lib in libraries():
        y = lib.tensor([4.0, 1.0, 1.0, 16.0], requires_grad=True)
        (g,) = lib.gradient(y, spacing=(lib.tensor([-2.0, -1.0, 1.0, 4.0]),))
        np.testing.assert_allclose(g.detach().numpy(), [-3.0, -2.0, 2.0, 5.0], rtol=1e-6)
        g[1].backward()
        z = lib.arange(12.0).view(3, 4) ** 2
        rows, columns = lib.gradient(z)
        np.testing.assert_allclose(rows.numpy(), np.gradient(z.numpy(), axis=0), rtol=1e-6)
        np.testing.assert_allclose(columns.numpy(), np.gradient(z.numpy(), axis=1), rtol=1e-6)
        (second,) = lib.gradient(z, spacing=2.0, dim=1, edge_order=2)
        expected = np.gradient(z.numpy(), 2.0, axis=1, edge_order=2)
        np.testing.assert_allclose(second.numpy(), expected, rtol=1e-6)
    with pytest.raises(RuntimeError, match=r"edge_order"):
        cr.gradient(cr.ones(3), edge_order=3)
