"""The compiler: recorded programs become machine code through LLVM (`pip install "chainrule[jit]"`)."""
