"""What a compiled function has become: signatures, paths, programs, and what runs eagerly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.compiler.report import Report
    from chainrule.just_in_time.variants import Signature, Variant


class Overview:
    """All that a function that `jit` returned has compiled.

    Attributes:
        title: the function's name.
        signatures: what is known of each signature.
        programs: the reports of all machine code, that of derivatives included.

    >>> import chainrule as cr
    >>> f = cr.jit(lambda x: (x.sin() * 1).sum())
    >>> _ = f(cr.ones(100))
    >>> print(f.report())
    <lambda>: 1 signature
    signature 1: x float32[100]; 1 call
      recorded 3 operations, 2 after optimising: 99 flops
      <lambda>: 2 operations in 1 kernel, ...
    """

    def __init__(self, title: str, signatures: list[Signature]) -> None:
        self.title = title
        self.signatures = signatures

    @property
    def programs(self) -> list[Report]:
        return [
            program.report()
            for s in self.signatures
            for v in s.variants
            for program in v.compiled.programs()
        ]

    @property
    def ir(self) -> str:
        """All machine code in LLVM's intermediate representation, optimised."""
        return "\n".join(p.ir for p in self.programs)

    @property
    def assembly(self) -> str:
        """All machine code in assembly language."""
        return "\n".join(p.assembly for p in self.programs)

    def __str__(self) -> str:
        n = len(self.signatures)
        lines = [f"{self.title}: {n} signature" + ("" if n == 1 else "s")]
        for i, s in enumerate(self.signatures, 1):
            lines += _signature(i, s)
        return "\n".join(lines)

    __repr__ = __str__


def _signature(i: int, s: Signature) -> Iterator[str]:
    given = s.variants[0].recording.described if s.variants else "not recorded"
    yield f"signature {i}: {given}; {s.calls} call" + ("" if s.calls == 1 else "s")
    if s.reason:
        yield f"  runs eagerly: {s.reason}"
    for k, v in enumerate(s.variants, 1):
        if len(s.variants) > 1:
            yield f"  path {k}"
        yield from _variant(v)


def _variant(v: Variant) -> Iterator[str]:
    made = v.recording
    cost = v.compiled.graph.cost()
    yield (
        f"  recorded {made.graph.operations} operations, {v.compiled.graph.operations} after "
        f"optimising: {_amount(cost.flops)} flops"
    )
    for guard in made.guards:
        yield f"  holds while a value is {guard.value.tolist()!r}: {guard.where}"
    for what, found in (
        ("tensors from outside", made.captured), ("random draws", made.draws),
        ("tensors written in place", [*made.written, *made.written_arguments]),
    ):  # fmt: skip
        if found:
            yield f"  {what}: {len(found)}"
    for program in v.compiled.programs():
        yield from ("  " + line for line in str(program.report()).splitlines())


def _amount(n: Any) -> str:
    return f"{n:,}"
