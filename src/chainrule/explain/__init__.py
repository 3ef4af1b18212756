"""Computations explained: what every step computes, and where every derivative comes from."""
