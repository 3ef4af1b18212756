"""What the specification of the dynamic graph promises: creation, dtypes, printing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .both_libraries import libraries, said

# ---------------------------------------------------------------- creation, dtypes, printing


def test_constructors_and_default_dtype_float32() -> None:
    def program(torch: Any) -> Any:
        return [
            (t.dtype, tuple(t.shape), t.tolist())
            for t in (
                torch.tensor([1.0, 2.0]), torch.tensor([1, 2]), torch.arange(4), torch.arange(4.0),
                torch.zeros(2, 3), torch.ones(2), torch.full((2,), 7), torch.full((2,), 1.5),
                torch.eye(2), torch.linspace(0, 1, 5), torch.zeros_like(torch.arange(2)),
                torch.ones_like(torch.zeros(2), dtype=torch.int64),
                torch.full_like(torch.ones(2), 3),
                torch.as_tensor([True]), torch.as_tensor(2j),
            )
        ]  # fmt: skip

    said(program)
    for lib in libraries():
        for made in (lib.randn(2, 3), lib.rand(2, 3), lib.rand_like(lib.zeros(2, 3))):
            assert made.shape == (2, 3)
            assert made.dtype == lib.float32


def test_set_default_dtype() -> None:
    for lib in libraries():
        lib.set_default_dtype(lib.float64)
        try:
            assert lib.tensor(1.0).dtype == lib.float64
            assert lib.zeros(2).dtype == lib.float64
            assert lib.tensor(1j).dtype == lib.complex128
        finally:
            lib.set_default_dtype(lib.float32)


def test_numpy_arrays_keep_their_dtype_and_from_numpy_shares_memory() -> None:
    for lib in libraries():
        for dt in (np.float64, np.float32, np.int32, np.int64, np.bool_, np.complex128):
            a = np.ones(2, dt)
            assert str(lib.tensor(a).dtype).split(".")[1] == a.dtype.name
            assert lib.from_numpy(a).numpy().dtype == dt
        a = np.zeros(2)
        lib.from_numpy(a)[0] = 5.0
        assert a[0] == 5.0
        lib.as_tensor(a)[1] = 6.0
        assert a[1] == 6.0


def test_pytorch_s_type_promotion() -> None:
    names = ["bool", "uint8", "int32", "int64", "float32", "float64", "complex64"]

    def program(torch: Any) -> Any:
        kinds = [torch.ones(2, dtype=getattr(torch, n)) for n in names]
        kinds += [torch.ones((), dtype=getattr(torch, n)) for n in names]
        found = [(a + b).dtype for a in kinds for b in kinds]
        found += [(a * 2).dtype for a in kinds] + [(a * 2.5).dtype for a in kinds]
        return found + [(a / b).dtype for a in kinds for b in kinds] + [(kinds[3] + 1j).dtype]

    said(program)


@pytest.mark.parametrize(
    ("make", "printed"),
    [
        (lambda t: 4 * t.arange(4.0), "tensor([ 0.,  4.,  8., 12.])"),
        (
            lambda t: 2 * t.dot(t.arange(4.0, requires_grad=True), t.arange(4.0)),
            "tensor(28., grad_fn=<MulBackward0>)",
        ),
        (lambda t: t.tensor(0.8392, requires_grad=True), "tensor(0.8392, requires_grad=True)"),
        (lambda t: t.arange(4.0) == t.arange(4.0), "tensor([True, True, True, True])"),
        (lambda t: t.tensor([True, False]), "tensor([ True, False])"),
        (lambda t: t.eye(2), "tensor([[1., 0.],\n        [0., 1.]])"),
        (lambda t: t.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
        (lambda t: t.tensor([1e-10, 1.0]), "tensor([1.0000e-10, 1.0000e+00])"),
        (lambda t: t.tensor([1 + 2j]), "tensor([1.+2.j])"),
        (lambda t: t.zeros(0, 3), "tensor([], size=(0, 3))"),
        (lambda t: t.tensor(2.5, dtype=t.float64), "tensor(2.5000, dtype=chainrule.float64)"),
        (lambda t: t.tensor([float("nan"), float("-inf")]), "tensor([nan, -inf])"),
        (lambda t: t.zeros(2, 3).shape, "chainrule.Size([2, 3])"),
        (lambda t: repr(t.device("cpu")), "device(type='cpu')"),
        (lambda t: t.float32, "chainrule.float32"),
    ],
)
def test_printing_as_pytorch_prints(make: Callable[[Any], Any], printed: str) -> None:
    assert said(make) == printed


def test_set_printoptions() -> None:
    def program(torch: Any) -> Any:
        try:
            torch.set_printoptions(precision=2, sci_mode=True)
            first = str(torch.tensor([1.23456, 2.0]))
            torch.set_printoptions(edgeitems=1, threshold=5, linewidth=40, sci_mode=False)
            return first, str(torch.arange(20)), str(torch.arange(5.0) / 3)
        finally:
            torch.set_printoptions(profile="default")

    said(program)


def test_dtype_objects_size_device_to_generator_finfo() -> None:
    def program(torch: Any) -> Any:
        x = torch.zeros(2, 3)
        g = torch.Generator().manual_seed(3)
        again = torch.Generator().manual_seed(3)
        assert torch.equal(torch.rand(4, generator=g), torch.rand(4, generator=again))
        dtypes = [torch.float16, torch.float32, torch.float64, torch.int8, torch.int64,
                  torch.bool, torch.complex64, torch.complex128, torch.uint8, torch.long,
                  torch.double]  # fmt: skip
        return (
            dtypes, [d.itemsize for d in dtypes], [d.is_floating_point for d in dtypes],
            x.size(), x.size(1), x.shape.numel(), x.to(torch.float64).dtype, x.to("cpu").device,
            torch.finfo(torch.float32).eps, torch.finfo(torch.float64).max,
            torch.iinfo(torch.int32).max, x.double().dtype, x.type(), x.to(torch.int32) is x,
            x.to(torch.float32) is x,
        )  # fmt: skip

    said(program)


def test_bfloat16_where_numpy_s_extension_allows() -> None:
    pytest.importorskip("ml_dtypes")
    assert said(lambda t: (t.tensor([1.0, 2.5]).bfloat16() + 1).sum()) == (
        "tensor(5.5000, dtype=chainrule.bfloat16)"
    )
