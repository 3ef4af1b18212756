"""Special functions of mathematics, from SciPy."""
