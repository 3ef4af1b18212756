"""What turns a function into its derivative, its batched form or its Taylor series."""
