"""Special functions of mathematics, with the names of `torch.special`.

Those that NumPy lacks are computed by SciPy, which is imported when one is called.

>>> import chainrule as cr
>>> cr.special.expit(cr.tensor([0.0]))
tensor([0.5000])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.ops.api import FUNCTIONS, SPECIAL

# name here: name at top level
_SHARED = {
    "digamma": "digamma", "erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "exp2": "exp2",
    "expit": "sigmoid", "expm1": "expm1", "gammainc": "igamma", "gammaincc": "igammac",
    "gammaln": "lgamma", "i0": "i0", "log1p": "log1p", "log_softmax": "log_softmax",
    "logit": "logit", "logsumexp": "logsumexp", "multigammaln": "mvlgamma",
    "polygamma": "polygamma", "psi": "digamma", "round": "round", "sinc": "sinc",
    "softmax": "softmax", "xlogy": "xlogy",
}  # fmt: skip

_ALL: dict[str, Callable[..., Any]] = {
    **SPECIAL,
    **{name: FUNCTIONS[shared] for name, shared in _SHARED.items() if shared in FUNCTIONS},
}
globals().update(_ALL)
__all__ = sorted(_ALL)
