"""GradBench's evals as programs of each library: the same formula, differentiated by its tools."""
