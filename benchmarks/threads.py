"""How many processors a process may use: to be called before NumPy, PyTorch or JAX is imported.

XLA counts the processors that the process may run on and has no other setting that holds for all
of its loops, so the process is bound to as many.
"""

from __future__ import annotations

import os


def limit(count: int) -> None:
    """Bind this process to `count` processors, and every library to as many threads."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(count)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[-count:])
