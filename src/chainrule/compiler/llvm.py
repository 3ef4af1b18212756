"""LLVM as the back end: the machine to compile for, optimisation, and code that can be called.

A module of intermediate representation (`llvmlite.ir.Module`) goes through `compile_module`: it
is parsed, checked, optimised for the processor at hand (loops become vectors) and made
executable. The result holds the machine code alive.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def llvm_ir() -> Any:
    """The module `llvmlite.ir`.

    Raises:
        ImportError: if llvmlite is not installed; the message names the extra.
    """
    try:
        from llvmlite import ir
    except ImportError as error:
        raise ImportError(MISSING) from error
    return ir


def llvm_binding() -> Any:
    """The module `llvmlite.binding`, with the native target ready.

    Raises:
        ImportError: if llvmlite is not installed; the message names the extra.
    """
    try:
        from llvmlite import binding
    except ImportError as error:
        raise ImportError(MISSING) from error
    _start_target()
    return binding


MISSING = (
    "compiling needs llvmlite, which is not installed; "
    'install it with: pip install "chainrule[jit]"'
)
INLINED = 3  # places in a module where a function is repeated


@functools.cache
def _start_target() -> None:
    """Make LLVM ready; several threads may do so at once."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    # Threads of a program call LLVM one at a time, under llvmlite's lock. A process that is forked
    # while another thread holds it would find it locked for ever, so a fork waits for the lock.
    lock = getattr(binding.ffi.lib, "_lock", None)
    if lock is not None and hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.__enter__, after_in_parent=lock.__exit__, after_in_child=lock.__exit__
        )


@dataclass(frozen=True)
class Host:
    """A processor to compile for, in LLVM's words."""

    triple: str
    cpu: str
    features: str

    def has(self, feature: str) -> bool:
        """Whether the processor has a feature, by LLVM's name: "fma", "avx2", "neon"."""
        return f"+{feature}" in self.features.split(",")

    @property
    def has_fma(self) -> bool:
        """Whether a*b + c with one rounding is an instruction, in vectors too."""
        return self.triple.startswith(("aarch64", "arm64", "powerpc64")) or self.has("fma")

    @property
    def has_scaling(self) -> bool:
        """Whether x * 2^k is an instruction that LLVM uses in vectors (since LLVM 22)."""
        return self.has("avx512f") and llvm_binding().llvm_version_info[0] >= 22

    @property
    def has_permutations(self) -> bool:
        """Whether any of 16 or 32 numbers for each lane is an instruction."""
        return self.has("avx512f")

    @property
    def vector_bits(self) -> int:
        """The widest vector registers of floating-point numbers."""
        if self.has("avx512f"):
            return 512
        return 256 if self.has("avx") else 128

    @property
    def vector_registers(self) -> int:
        """How many of them there are."""
        many = self.triple.startswith(("aarch64", "arm64", "powerpc64"))
        return 32 if many or self.has("avx512f") else 16


@functools.cache
def host() -> Host:
    """The processor that runs this program.

    >>> from chainrule.compiler import llvm
    >>> llvm.host().vector_bits >= 128
    True
    """
    binding = llvm_binding()
    found = binding.get_host_cpu_features()
    features = found.flatten().split(",") if found else []
    if "+avx512f" in features:
        # LLVM takes 256 bits on most processors with AVX-512, out of caution about programs that
        # use few vectors; loops of nothing but vector arithmetic are faster with all 512.
        features.append("-prefer-256-bit")
    return Host(
        triple=binding.get_process_triple(),
        cpu=binding.get_host_cpu_name(),
        features=",".join(features),
    )


def target_machine(target: Host | None = None) -> Any:
    """LLVM's code generator for a processor, the one at hand unless told."""
    binding = llvm_binding()
    target = target or host()
    return binding.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=3,
        reloc="pic",
        codemodel="jitdefault",
        jit=True,
    )


def optimise(module: Any, machine: Any) -> None:
    """Run LLVM's passes on a parsed module, in place.

    Kernels are written in vectors, with what loops do not change outside them: left to do are
    inlining and memory that can be registers. The code generator folds constants, finds common
    expressions and schedules.
    """
    binding = llvm_binding()
    with binding.create_pipeline_tuning_options(speed_level=1) as options:
        builder = binding.create_pass_builder(machine, options)
        with builder, binding.create_new_module_pass_manager() as passes:
            passes.add_always_inliner_pass()
            passes.add_global_dead_code_eliminate_pass()
            passes.add_sroa_pass()
            passes.run(module, builder)


def call_often_used(module: Any) -> None:
    """Leave functions that are used more than a few times, or by scalar code, to be called.

    Inlining makes loops faster, as constants stay in registers and other work goes on meanwhile;
    but the time that compiling takes is that of the instructions.
    """
    ir = llvm_ir()
    uses: dict[Any, int] = {}
    for function in module.functions:
        for block in function.blocks:
            for instruction in block.instructions:
                callee = getattr(instruction, "callee", None)
                if callee is not None and callee.name.startswith("chainrule."):
                    uses[callee] = uses.get(callee, 0) + 1
    for function, count in uses.items():
        if "alwaysinline" not in function.attributes or len(function.blocks[0].instructions) < 8:
            continue
        if count > INLINED or not isinstance(function.function_type.return_type, ir.VectorType):
            function.attributes.discard("alwaysinline")
            function.attributes.add("noinline")


class Code:
    """Machine code in memory: functions by name. It lives as long as this object.

    Args:
        binary: an object file, of `object_code`.
        write: makes the module again, for the texts that reports and tests ask for.
    """

    def __init__(self, binary: bytes, write: Callable[[], Any]) -> None:
        binding = llvm_binding()
        self._write = write
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
        self._engine.add_object_file(binding.object_file.ObjectFileRef.from_data(binary))
        self._engine.finalize_object()

    @functools.cached_property
    def optimised(self) -> str:
        """The module in LLVM's intermediate representation, after its passes."""
        return str(_optimised(self._write())[0])

    @functools.cached_property
    def assembly(self) -> str:
        """The machine code as assembly language."""
        return target_machine().emit_assembly(llvm_binding().parse_assembly(self.optimised))

    def address(self, name: str) -> int:
        """Where a function begins, to be called through `ctypes`.

        Raises:
            KeyError: if the module defines no function of that name.
        """
        address = self._engine.get_function_address(name)
        if not address:
            raise KeyError(f"the compiled module has no function {name!r}")
        return int(address)

    def variable(self, name: str) -> int:
        """Where a global variable of the module stands."""
        return int(self._engine.get_global_value_address(name))


def object_code(module: Any) -> bytes:
    """Check, optimise and compile a module for the processor at hand: an object file.

    It has no addresses in it, so it can be kept and loaded by another process.

    Args:
        module: an `llvmlite.ir.Module`, or the text of one.

    Raises:
        RuntimeError: if LLVM does not accept the module; the message is LLVM's.
    """
    parsed, machine = _optimised(module)
    return bytes(machine.emit_object(parsed))


def _optimised(module: Any) -> tuple[Any, Any]:
    """A module checked and optimised, and the code generator for it."""
    if not isinstance(module, str):
        call_often_used(module)
    parsed = llvm_binding().parse_assembly(str(module))
    parsed.triple = host().triple
    parsed.verify()
    machine = target_machine()
    optimise(parsed, machine)
    return parsed, machine


def compile_module(module: Any) -> Code:
    """Check, optimise and compile a module for the processor at hand.

    Args and errors as for `object_code`.

    >>> import ctypes
    >>> from chainrule.compiler import llvm
    >>> code = llvm.compile_module("define double @twice(double %x) {\\n"
    ...                            "  %y = fadd double %x, %x\\n  ret double %y\\n}")
    >>> ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(code.address("twice"))(3.0)
    6.0
    """
    return Code(object_code(module), lambda: module)
