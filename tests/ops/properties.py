"""What must hold for every primitive: the properties, and for each the cases to check it on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import chainrule  # noqa: F401 - declares the primitives
from chainrule.core.partials import RULE, SELECTION
from chainrule.core.primitive import REGISTRY, Primitive
from chainrule.core.samples import Sample

from . import checks, shapes

COVERED_ELSEWHERE = {
    "write_view", "overwrite",  # tests/core/test_inplace.py
    "set_data",  # tests/graph/test_unrecorded_writes.py: its derivative is not that of its value
    "scaled_gradient",  # tests/transforms/test_module_uses.py: its vjp is no transpose of its jvp
}  # fmt: skip


class Property(NamedTuple):
    """A property: which primitives must have it, its cases, and the check of one case."""

    title: str
    concerns: Callable[[Primitive], bool]
    cases: Callable[[Primitive], Iterator[tuple[str, tuple[Any, ...]]]]
    check: Callable[..., None]

    def cases_of(self, prim: Primitive) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The cases of one primitive that are not excused."""
        if prim.name not in HOLES.get(self.title, {}):
            yield from self.cases(prim)

    def run(self, prim: Primitive, name: str, case: tuple[Any, ...]) -> None:
        """Check one case, with random numbers of its own."""
        rng = np.random.default_rng(zlib.crc32(f"{self.title} {prim.name} {name}".encode()))
        self.check(prim, *case, rng)


def primitives() -> list[Primitive]:
    """All primitives, by name."""
    return [p for name, p in sorted(REGISTRY.items()) if name not in COVERED_ELSEWHERE]


def reason(names: str, why: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


# Primitives that a property concerns but cannot be checked on, and why.
HOLES: dict[str, dict[str, str]] = {
    "jacrev is jacfwd": reason(
        "angle astype complex complex_sign eig eigvals fft imag irfft real rfft view_as_complex "
        "view_as_real",
        "complex on one side: a Jacobian is of real numbers, adjointness is checked instead",
    ),
    "float32 stays float32": reason("astype", "its parameter is the dtype of the result"),
    "empty inputs": reason("nll_spread", "the mean over no targets is 0/0"),
    "broadcasting": reason(
        "gammainc gammaincc zeta", "the first argument has no derivative, and is a number"
    ),
    "complex inputs": reason(
        "eig eigh svd", "vectors are determined up to a phase: tests/ops/test_linalg.py"
    ),
}


def samples(prim: Primitive) -> list[Sample]:
    return list(prim.samples()) if prim.samples else []


def per_sample(prim: Primitive) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for i, sample in enumerate(samples(prim)):
        yield str(i), (sample,)


def with_aval(prim: Primitive) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Samples of primitives with a shape rule, and the same in single precision."""
    for name, (sample,) in per_sample(prim) if prim.aval is not None else ():
        yield name, (sample,)
        yield f"{name}-single", (shapes.in_single_precision(sample),)


def in_double_precision(prim: Primitive) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Samples that become float32 ones."""
    for name, (sample,) in per_sample(prim):
        dtypes = [a.dtype for a in sample.args if isinstance(a, np.ndarray)]
        if {np.dtype(np.float64), np.dtype(np.complex128)} & {*dtypes} and (
            "dtype" not in sample.params
        ):
            yield name, (sample,)


def real(prim: Primitive) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Samples without complex numbers, for which Jacobians are defined."""
    for name, (sample,) in per_sample(prim):
        outs = checks.flat(prim.eval(*sample.args, **sample.params))
        if not any(np.iscomplexobj(a) for a in [*sample.args, *outs]):
            yield name, (sample,)


def strict_check(*case: Any) -> None:
    """`strict.check_strict`, whose module needs `array_api_strict`."""
    from . import strict

    strict.check_strict(*case)


def differentiable(prim: Primitive) -> bool:
    return prim.differentiable


def everything(prim: Primitive) -> bool:
    return True


def several_arguments(prim: Primitive) -> bool:
    return prim.partials is not None and len(prim.partials) > 1


def has_rule(prim: Primitive) -> bool:
    """Whether an elementwise primitive states a partial derivative as code."""
    return any(case in (RULE, SELECTION) for case, _ in prim.partials or ())


def takes_complex(prim: Primitive) -> bool:
    return prim.differentiable and not prim.real


def per_batch(prim: Primitive) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Each array argument mapped by itself, and all of them together."""
    for i, sample in enumerate(samples(prim)):
        arrays = [
            k for k, a in enumerate(sample.args)
            # x[mask] with a mask for each example has no shape; tests/transforms/test_indexing.py
            if isinstance(a, np.ndarray) and not (prim.name == "getitem" and a.dtype == bool)
        ]  # fmt: skip
        for chosen in [(k,) for k in arrays] + ([tuple(arrays)] if len(arrays) > 1 else []):
            yield f"{i}-{''.join(map(str, chosen))}", (sample, chosen)


def remade(make: Callable[..., Iterator[Sample]]) -> Callable[..., Any]:
    """Cases that are made of the samples."""

    def cases(prim: Primitive) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for i, sample in enumerate(samples(prim)):
            for j, changed in enumerate(make(prim, sample)):
                yield f"{i}-{j}", (changed,)

    return cases


PROPERTIES = [
    Property("vjp against differences", differentiable, per_sample, checks.check_vjp),
    Property("jvp rule against differences", differentiable, per_sample, checks.check_jvp),
    Property("forward mode against differences", differentiable, per_sample, checks.check_dual),
    Property("adjointness of jvp and vjp", differentiable, per_sample, checks.check_adjoint),
    Property("second order", differentiable, per_sample, checks.check_second_order),
    Property("jacrev is jacfwd", differentiable, real, checks.check_jacobians),
    Property("Taylor mode is nested forward mode", differentiable, per_sample, checks.check_taylor),
    Property("a batch is a loop", everything, per_batch, checks.check_batch),
    Property("aval predicts evaluation", everything, with_aval, checks.check_aval),
    Property("float32 stays float32", differentiable, in_double_precision, checks.check_float32),
    Property("memory layout is irrelevant", everything, per_sample, checks.check_non_contiguous),
    Property("rule under array_api_strict", has_rule, per_sample, strict_check),
    Property("empty inputs", everything, remade(shapes.emptied), checks.check_accepted),
    Property("0-d inputs", everything, remade(shapes.zero_dimensional), checks.check_accepted),
    Property("broadcasting", several_arguments, remade(shapes.broadcasting), checks.check_spread),
    Property("complex inputs", takes_complex, remade(shapes.complexified), checks.check_complex),
]  # fmt: skip
