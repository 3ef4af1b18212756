"""Nodes, tensors, primitives and the walks over them: everything else stands on this package."""
