"""Ordinary NumPy and SciPy calls on tensors: recorded, never silently detached."""

from chainrule.interop import functions as functions
from chainrule.interop import ufuncs as ufuncs
