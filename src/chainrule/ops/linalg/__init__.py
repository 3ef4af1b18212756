"""Linear algebra: solves, determinants, decompositions, norms, functions of matrices."""

from chainrule.ops.linalg import determinant as determinant
from chainrule.ops.linalg import factor as factor
from chainrule.ops.linalg import functions as functions
from chainrule.ops.linalg import householder as householder
from chainrule.ops.linalg import lu as lu
from chainrule.ops.linalg import norms as norms
from chainrule.ops.linalg import pinv as pinv
from chainrule.ops.linalg import solve as solve
from chainrule.ops.linalg import spectral as spectral
from chainrule.ops.linalg.common import LinAlgError as LinAlgError
from chainrule.ops.linalg.norms import matrix_norm as matrix_norm
