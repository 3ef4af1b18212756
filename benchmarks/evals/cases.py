"""The cases of an eval with reference results, and the rule by which a result is right.

They come from the folder `shared/bench` beside the repository where it exists. Otherwise inputs
of the same shapes and distributions are generated, and PyTorch's derivatives are the reference.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "bench" / "cases"


def case(module: ModuleType, size: str) -> tuple[dict[str, Any], np.ndarray]:
    """Inputs by name, and the derivative as one vector.

    Raises:
        RuntimeError: if the folder is absent and PyTorch is not installed.
    """
    name = module.__name__.rpartition(".")[2]
    file = FOLDER / f"{name}__{size}.npz"
    if file.exists():
        with np.load(file) as data:
            found = {k: data[k] if data[k].ndim else data[k].item() for k in data.files}
        return {k: v for k, v in found.items() if not k.startswith("ref_")}, found["ref_grad"]
    given = module.generate(size, np.random.default_rng(0))
    return given, _reference(module, given)


def _reference(module: ModuleType, given: dict[str, Any]) -> np.ndarray:
    from evals.libraries import Torch

    try:
        torch = Torch()
    except ImportError as error:
        raise RuntimeError(f"without {FOLDER} the reference needs PyTorch") from error
    way = next(iter(module.programs(torch, given).values()))
    return module.flat(torch, way())  # type: ignore[no-any-return]


def error_of(module: ModuleType, found: np.ndarray, reference: np.ndarray) -> float:
    """The largest error over the largest entry of the reference.

    Repeated observations of `ba` have one block of reference, and each must be equal to it.
    """
    found, reference = np.asarray(found, float).ravel(), reference.ravel()
    if found.size != reference.size:
        assert module.__name__.endswith("ba"), (found.size, reference.size)
        blocks = found[: found.size // 31 * 30].reshape(-1, 30)
        weights = found[blocks.size :]
        least, largest = blocks.min(0), blocks.max(0)
        assert np.allclose(least, largest, rtol=1e-9, atol=1e-9)
        assert np.ptp(weights) == 0
        found = np.concatenate([blocks[0], weights[-1:]])
    return float(np.abs(found - reference).max() / max(np.abs(reference).max(), 1e-300))


def limit_of(module: ModuleType) -> float:
    return 1e-6 if module.__name__.endswith("lse") else 1e-9
