"""The named tuples that operations with several results return, as `torch.return_types`.

>>> import chainrule as cr
>>> isinstance(cr.max(cr.tensor([[1.0, 2.0]]), dim=1), cr.return_types.max)
True
"""

from __future__ import annotations

from chainrule.ops.results import RETURN_TYPES

globals().update(RETURN_TYPES)
