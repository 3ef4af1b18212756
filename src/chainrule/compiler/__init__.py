"""The compiler: recorded programs become machine code (`pip install "chainrule[jit]"`)."""
