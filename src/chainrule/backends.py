"""Questions that portable programs ask about PyTorch's back ends; chainrule has none of them."""

from __future__ import annotations


class _Missing:
    """A back end that is not there; what programs set on it is kept and has no effect."""

    deterministic = True
    benchmark = False
    enabled = False

    def is_available(self) -> bool:
        """False: chainrule computes with NumPy."""
        return False

    def is_built(self) -> bool:
        """False: chainrule computes with NumPy."""
        return False


cuda, cudnn, mkl, mps = _Missing(), _Missing(), _Missing(), _Missing()
