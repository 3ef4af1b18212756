"""chainrule: automatic differentiation on NumPy arrays, with PyTorch's names."""

from chainrule import ops as ops
from chainrule.ops.api import FUNCTIONS

globals().update(FUNCTIONS)
