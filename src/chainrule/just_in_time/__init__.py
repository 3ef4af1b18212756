"""`jit`: functions are recorded, compiled, and called as machine code (`docs/jit.md`)."""

from __future__ import annotations

from chainrule.just_in_time.function import JitFunction, JitWarning, jit

__all__ = ["JitFunction", "JitWarning", "jit"]
