"""What a program consists of, as a table to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.compiler import buffers as kinds
from chainrule.compiler.fuse import CallStep, KernelStep, LibraryStep, TileStep
from chainrule.compiler.kernel import Nest
from chainrule.core.node import Node

if TYPE_CHECKING:
    from chainrule.compiler.execute import Program


class Report:
    """The steps of a program: which nodes are computed together, and what is not compiled and why.

    Attributes:
        kernels: per kernel the nodes it computes.
        products: the matrix products, such as "gemm 128x256x784, float32".
        library: those of them that are calls of BLAS; the others are computed in tiles.
        calls: per node that is a call of NumPy, the reason.
        scratch: bytes of temporary memory that a run uses.
        moved: bytes that the kernels read and write, each array counted once per kernel.
        seconds: that compiling took.
    """

    def __init__(self, program: Program) -> None:
        steps = program.steps
        self.program = program
        self.kernels: dict[str, list[Node]] = {}
        self.products: list[str] = []
        self.library: list[str] = []
        self.calls: dict[Node, str] = {}
        self.moved = 0
        for step in steps.steps:
            if isinstance(step, KernelStep):
                self.kernels[step.kernel.name] = step.nodes
                self.moved += sum(b.nbytes for b in step.buffers)
            elif isinstance(step, LibraryStep):
                self.library.append(_product(step))
                self.products.append(_product(step))
            elif isinstance(step, TileStep):
                if not step.part.copies:
                    self.products.append(_product(step))
            else:
                self.calls[step.node] = step.reason
        self.scratch = steps.scratch
        self.seconds = program.seconds

    @property
    def ir(self) -> str:
        """The kernels in LLVM's intermediate representation, optimised."""
        return self.program.code.optimised if self.program.code else ""

    @property
    def assembly(self) -> str:
        """The kernels in assembly language."""
        return self.program.code.assembly if self.program.code else ""

    def __str__(self) -> str:
        graph = self.program.graph
        count = sum(len(nodes) for nodes in self.kernels.values())
        lines = [
            f"{graph.title}: {count} operations in {_many(len(self.kernels), 'kernel')}, "
            f"{_tiled(len(self.products) - len(self.library))}"
            f"{_many(len(self.library), 'call')} of BLAS, "
            f"{_many(len(self.calls), 'call')} of NumPy, {self.scratch:,} bytes of scratch memory, "
            f"compiled in {1e3 * self.seconds:.0f} ms"
        ]
        for step in self.program.steps.steps:
            if isinstance(step, KernelStep):
                lines.extend(_kernel(step, graph.names))
            elif isinstance(step, LibraryStep):
                lines.append(
                    f"  BLAS: {_product(step)}: {step.node.prim.name} at {step.node.where}"
                )
            elif isinstance(step, CallStep):
                lines.extend(_call(step))
            elif not step.part.copies:
                lines.append(
                    f"  tiles: {_product(step)}: {step.node.prim.name} at {step.node.where}"
                )
        return "\n".join(lines)

    __repr__ = __str__


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _kernel(step: KernelStep, names: dict[Node, str]) -> list[str]:
    written = sorted(step.kernel.written)
    read = sum(b.nbytes for i, b in enumerate(step.buffers) if i not in step.kernel.written)
    wrote = sum(step.buffers[i].nbytes for i in written)
    temporary = sum(step.buffers[i].kind == kinds.TEMPORARY for i in written)
    loops = " then ".join(_loops(nest) for nest in step.kernel.nests)
    made = ", ".join(f"{names.get(n, '?')} = {n.prim.name}" for n in step.nodes[:12])
    more = len(step.nodes) - 12
    return [
        f"  {step.kernel.name}: loops {loops}; reads {read:,} B, writes {wrote:,} B "
        f"({_many(temporary, 'temporary array')})",
        f"    {made}" + (f", and {more} more" if more > 0 else ""),
    ]


def _loops(nest: Nest) -> str:
    """The extents, a reduced one with Σ, whatever the reduction."""
    if not nest.extents:
        return "(one entry)"
    return "×".join(
        f"Σ{d}" if gone else str(d) for d, gone in zip(nest.extents, nest.reduced, strict=True)
    )


def _product(step: LibraryStep | TileStep) -> str:
    gemm = step.gemm if isinstance(step, LibraryStep) else step.part.blocking.asked
    return gemm.title(step.buffers[-1].dtype)


def _tiled(count: int) -> str:
    return f"{_many(count, 'product')} in tiles, " if count else ""


def _call(step: CallStep) -> list[str]:
    return [f"  NumPy: {step.node.prim.name} at {step.node.where}: {step.reason}"]
