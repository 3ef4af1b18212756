"""What the tests of random functions under transforms share."""

import numpy as np

import chainrule as cr
from chainrule.func import (
    vmap,
)

BATCH = 3


REFUSED = "called random operation while in randomness error mode"


SAME_BATCHED = "Vmap does not currently support same randomness with a batched tensor input"


UNBATCHED = "Cannot ask for different inplace randomness on an unbatched tensor"


# ---------------------------------------------------------------- distributions

N = 20_000


def of_rows(f, mapped):
    """f of each example, drawn for each, as float64."""
    return vmap(f, randomness="different")(cr.tensor(mapped)).numpy().astype(np.float64)
