"""Discrete Fourier transforms, with the names of `torch.fft`.

>>> import chainrule as cr
>>> cr.fft.rfft(cr.tensor([1.0, 0.0, 0.0, 0.0])).real
tensor([1., 1., 1.])
"""

from chainrule.ops.api import with_keywords as _with_keywords
from chainrule.ops.fourier import FOURIER

_ALL = {name: _with_keywords(f, name) for name, f in FOURIER.items()}
globals().update(_ALL)
__all__ = sorted(_ALL)
