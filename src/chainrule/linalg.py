"""Linear algebra, with the names of `torch.linalg`; every function takes `out=`.

>>> import chainrule as cr
>>> cr.linalg.det(cr.tensor([[2.0, 0.0], [0.0, 3.0]]))
tensor(6.)
"""

from chainrule.ops import contract, norms
from chainrule.ops.api import with_keywords as _with_keywords
from chainrule.ops.linalg import (
    determinant,
    factor,
    functions,
    householder,
    lu,
    pinv,
    solve,
    spectral,
)
from chainrule.ops.linalg import norms as matrices
from chainrule.ops.linalg.common import LinAlgError as LinAlgError

_ALL = {
    f.__name__: _with_keywords(f)
    for f in (
        determinant.det, determinant.slogdet,
        factor.cholesky, factor.cholesky_ex, factor.qr,
        functions.cross, functions.diagonal, functions.matrix_exp, functions.matrix_power,
        functions.multi_dot, functions.tensorinv, functions.tensorsolve, functions.vander,
        functions.vecdot,
        householder.householder_product, lu.lu, lu.lu_factor, lu.lu_factor_ex, lu.lu_solve,
        matrices.cond, matrices.matrix_norm, matrices.matrix_rank, matrices.norm,
        solve.inv, solve.inv_ex, pinv.lstsq, pinv.pinv, solve.solve, solve.solve_ex,
        solve.solve_triangular,
        spectral.eig, spectral.eigh, spectral.eigvals, spectral.eigvalsh, spectral.svd,
        spectral.svdvals, contract.matmul, norms.vector_norm,
    )
}  # fmt: skip
globals().update(_ALL)
__all__ = sorted([*_ALL, "LinAlgError"])
