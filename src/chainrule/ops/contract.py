"""Contractions: matrix products, einsum, tensordot."""
