"""Every public function, and arguments that mostly do not fit it."""

import dis
import inspect
import random
import zlib
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.ops.api import FUNCTIONS

ROOT = str(Path(cr.__file__).parent)
CALLER_OWNED = ("T.map_", "T.apply_", "cr.set_", "cr.manual_seed")  # user code, global state


def public_functions():
    """All functions and methods by a name that says where they live."""
    found = {f"cr.{name}": f for name, f in FUNCTIONS.items()}
    for space in ("linalg", "fft", "special", "nn.functional"):
        module = cr
        for part in space.split("."):
            module = getattr(module, part)
        found |= {f"{space}.{name}": getattr(module, name) for name in module.__all__}
    for name in dir(cr.Tensor):
        method = getattr(cr.Tensor, name)
        if not name.startswith("_") and inspect.isfunction(method):
            found[f"T.{name}"] = method
    return {
        name: f
        for name, f in sorted(found.items())
        if inspect.isfunction(f) and not name.startswith(CALLER_OWNED)
    }


def tensors():
    rng = np.random.default_rng(0)
    normal = rng.standard_normal
    return [
        cr.tensor(normal((2, 3))), cr.tensor(normal((3, 3)), requires_grad=True),
        cr.tensor(normal(3)), cr.tensor(normal(4)), cr.tensor(1.5), cr.tensor([]), cr.zeros(0, 3),
        cr.tensor([1, 2, 3]), cr.tensor([[0, 5], [7, -9]]), cr.tensor([True, False, True]),
        cr.tensor(2), cr.tensor([1 + 2j, 3j]),
        cr.tensor([float("nan"), float("inf"), -float("inf")]),
        cr.tensor(normal((2, 3, 4, 5))), cr.tensor(normal((2, 3, 4)).astype(np.float32)),
    ]  # fmt: skip


def nonsense():
    return [
        None, "a", "mean", [1.0, 2.0], [], (0, 1), (), [0, 0], 0, 1, -1, 2, 5, -7, 1.5,
        float("nan"), 1j, True, object(), {}, np.array([1.0, 2.0]), np.float32(2), int, cr.float32,
        slice(None), ..., [None], ["a"], (1.5,), (-3,), [cr.ones(2), cr.ones(3)],
        (cr.ones(2, 2), cr.ones(2, 2)), lambda x: x,
    ]  # fmt: skip


def calls(name, f, count):
    """`count` reproducible lists of arguments and keywords for a function."""
    rng = random.Random(zlib.crc32(name.encode()))
    parameters = list(inspect.signature(f).parameters.values())
    positions = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        positions = max(positions + 1, 3)
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "out"]
    for _ in range(count):
        good, bad = tensors(), tensors() + nonsense()
        number = positions + 1 if rng.random() < 0.05 else rng.randint(1, max(1, min(positions, 5)))
        args = [rng.choice(good if rng.random() < (0.45 if i else 0.9) else bad)
                for i in range(number)]  # fmt: skip
        if name.startswith("T.") and not isinstance(args[0], cr.Tensor):
            args[0] = rng.choice(good)
        kwargs = {}
        if keywords and rng.random() < 0.25:
            kwargs[rng.choice(keywords)] = rng.choice(bad)
        if rng.random() < 0.01:
            kwargs["no_such_keyword"] = 1
        yield args, kwargs


def on_purpose(error):
    """Whether an error comes from a `raise` statement of the library, or from the call itself."""
    tb = error.__traceback__
    if tb.tb_next is None:
        return True
    while tb.tb_next is not None:
        tb = tb.tb_next
    code = tb.tb_frame.f_code
    ours = code.co_filename.startswith(ROOT)
    return ours and code.co_code[tb.tb_lasti] == dis.opmap["RAISE_VARARGS"]
