"""Linear algebra: decompositions, solves, determinants, norms."""
