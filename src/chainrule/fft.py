"""Discrete Fourier transforms, with the names of `torch.fft`.

>>> import chainrule as cr
>>> cr.fft.rfft(cr.tensor([1.0, 0.0, 0.0, 0.0])).real
tensor([1., 1., 1.])
"""

from chainrule.ops.fourier import FOURIER

globals().update(FOURIER)
__all__ = sorted(FOURIER)
