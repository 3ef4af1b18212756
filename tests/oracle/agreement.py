"""Every mode of differentiation on every operation of the reference file.

python -m tests.oracle.agreement [REGEX]      # prints the table for the operations that match

Value, vjp, jvp and second order are compared with the recorded ones, twice each: by the walks over
the record, and by the transforms (forward mode, forward over reverse).  vmap, Taylor mode and
Jacobians are compared as `tests/oracle/modes.py` says.
"""

from __future__ import annotations

import collections
import importlib
import re
import signal
import sys
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.core import engine

from . import modes
from .modes import leaves_of

COLUMNS = ("value", "vjp", "jvp", "second", "vmap", "taylor", "jacobian", "complex")
# Where the record is not followed: in which columns, and why.
DIFFERENCES: dict[str, tuple[tuple[str, ...], str]] = {
    "nn.functional.poisson_nll_loss": (
        ("value", "vjp", "jvp", "second"),
        "the record differs from PyTorch, whose values ours are",
    ),
    "nn.functional.fractional_max_pool2d": (
        ("value", "vjp", "jvp", "second"),
        "the record's windows are drawn at random",
    ),
    "chalf": (COLUMNS, "NumPy has no complex numbers of half precision"),
    "linalg.norm/subgradients_at_zero": (
        ("second",),
        "at the kink the record's second derivative is nan, ours 0",
    ),
}
# What must be refused under vmap: words of the error, and why.
REFUSED: dict[str, tuple[str, str]] = {
    "as_strided": ("not contiguous", "strides are those of memory; mapped last, it has others"),
    "as_strided_copy": ("not contiguous", "as as_strided"),
    "as_strided/partial_views": ("not contiguous", "as as_strided"),
    "masked_select": ("dynamic shape", "a mapped mask selects another number of entries each"),
    "repeat_interleave": ("dynamic shape", "mapped counts give results of other lengths each"),
    "tensor_split": ("looks at the values", "mapped places of cuts give other pieces each"),
    "nn.functional.batch_norm": ("were not batched", "running statistics written, one for all"),
    "nn.functional.instance_norm": ("were not batched", "running statistics written, one for all"),
}
# Integers that have no meaning in another order.
ORDERED = ("tensor_split", "nn.functional.embedding_bag")
# What we do not have, and why.
ABSENT: dict[str, str] = {
    "masked.sum": "a prototype, for masked tensors",
    "masked.prod": "a prototype, for masked tensors",
    "_segment_reduce/lengths": "undocumented; scatter_reduce does as much",
    "_segment_reduce/offsets": "undocumented; scatter_reduce does as much",
    **dict.fromkeys(
        (
            "_batch_norm_with_update",
            "_native_batch_norm_legit",
            "_softmax_backward_data",
            "_unsafe_masked_index",
            "_unsafe_masked_index_put_accumulate",
            "_upsample_bilinear2d_aa",
            "max_pool2d_with_indices_backward",
            "native_batch_norm",
            "native_dropout_backward",
            "native_group_norm",
            "native_layer_norm",
            "slice",
            "torch.ops.aten._safe_softmax.default",
        ),
        "what public functions of PyTorch call inside",
    ),
}
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "oracle"
PACK = FOLDER / "opinfo_float64.npz"
SECONDS_PER_CASE = 120  # many threads on few cores wait for each other


def loader():
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("oracle_load")
    finally:
        sys.path.remove(str(FOLDER))


def operations(pattern=""):
    """(key, record, usable cases) of every operation whose name matches."""
    for op in loader().load(PACK)["ops"]:
        key = op["name"] + ("/" + op["variant"] if op["variant"] else "")
        cases = [
            c
            for c in op["cases"]
            if not op["wrapper"]
            and (c.get("selfcheck") or 0) < 1e-8
            and c.get("finite", True)
            and not c.get("postproc")
        ]
        if cases and re.search(pattern, key):
            yield key, op, cases


def resolve(op):
    """Our function for a record; raises AttributeError if we have none."""
    source = op["callable"]
    found = re.search(r"op=(lambda [^\n]*?),?\s*$", source.split("\n")[0])
    if source.startswith("source:") and found and not found.group(1).rstrip().endswith(":"):
        return eval(found.group(1), {"torch": cr})
    if op["name"].startswith("__"):
        return lambda x, *rest, **kw: getattr(x, op["name"])(*rest, **kw)
    owner = cr
    for part in op["name"].split("."):
        if not hasattr(owner, part) or isinstance(getattr(owner, part), cr.dtype):
            if owner is cr and hasattr(cr.Tensor, part):
                return lambda x, *rest, **kw: getattr(x, part)(*rest, **kw)
            raise AttributeError(op["name"])
        owner = getattr(owner, part)
    return owner


def ours(x):
    """A recorded constant (dtype, device, ...) as chainrule's."""
    kind = getattr(x, "kind", None)
    if kind == "dtype":
        return getattr(cr, str(x).split(".")[-1])
    if kind == "device":
        return "cpu"
    if kind is not None:
        return getattr(cr, str(x).split(".")[-1], str(x))
    if isinstance(x, (tuple, list)):
        return type(x)(ours(i) for i in x)
    return {k: ours(v) for k, v in x.items()} if isinstance(x, dict) else x


def array(x, like):
    if x is None:
        return np.zeros(like.shape, like.dtype)
    return np.asarray(x.detach().numpy() if isinstance(x, cr.Tensor) else x)


def close(x, y):
    x, y = np.asarray(x), np.asarray(y)
    scale = max(1.0, np.max(np.abs(y[np.isfinite(y)]), initial=0.0))
    return x.shape == y.shape and np.allclose(x, y, rtol=1e-6, atol=1e-8 * scale, equal_nan=True)


def make(x, requires_grad):
    t = cr.tensor(x)
    return t.requires_grad_() if requires_grad else t


def check_case(function, case, refusal=None, moving=True):
    """{column: why it is short} for one case, and how many calls were refused."""
    load = loader()
    args, kwargs, leaves = load.bind(case, make)
    args, kwargs = ours(list(args)), ours(kwargs)
    sample = modes.Sample(function, args, kwargs, leaves, case["diff_outs"], refusal, moving)
    forward, twice = case.get("jvp") is not None, case.get("grad2_in") is not None
    checks = [
        ("value", recorded_value, True),
        ("vjp", recorded_gradient, True),
        ("jvp", recorded_push, forward),
        ("jvp", modes.forward, forward),
        ("second", recorded_twice, twice),
        ("second", modes.forward_over_reverse, twice),
        ("vmap", modes.mapped, True),
        ("vmap", modes.mapped_derivatives, True),
        ("taylor", modes.taylor, True),
        ("jacobian", modes.jacobian, True),
        ("complex", modes.complex_numbers, True),
    ]
    short = {}
    for column, check, wanted in checks:
        if wanted and column not in short:
            try:
                check(sample, case)
            except Slow:
                raise
            except Exception as error:
                short[column] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return short, sample.refused


def run(sample):
    """All results with a shape, recorded."""
    fresh = {id(t): t.clone() for t in sample.constants}
    args, kwargs = modes.filled(sample.args, fresh), modes.filled(sample.kwargs, fresh)
    return [y for y in leaves_of(sample.function(*args, **kwargs)) if hasattr(y, "shape")]


def recorded_value(sample, case):
    outs = [y.detach() if isinstance(y, cr.Tensor) else y for y in run(sample)]
    modes.require("value", outs, loader().flat_outputs(case["outputs"]))


def recorded_gradient(sample, case, create_graph=False):
    outs = [run(sample)[i] for i in case["diff_outs"]]
    cotangents = [cr.tensor(c).requires_grad_() for c in case["cotangents"]]
    grads = cr.autograd.grad(
        outs, sample.leaves, cotangents, create_graph=create_graph, allow_unused=True
    )
    made = [array(g, x) for g, x in zip(grads, sample.xs, strict=True)]
    modes.require("vjp", made, case["grads"])
    return grads, cotangents


def recorded_push(sample, case):
    outs = [run(sample)[i] for i in case["diff_outs"]]
    recorded = [o for o in outs if o.node is not None]
    order, _ = engine.between([o.node for o in recorded], [x.node for x in sample.leaves])
    seeds = {x.node: t for x, t in zip(sample.leaves, case["tangents"], strict=True)}
    pushed = engine.push(order, seeds, False)
    modes.require("push", [array(pushed.get(o.node), o.array) for o in outs], case["jvp"])


def recorded_twice(sample, case):
    grads, cotangents = recorded_gradient(sample, case, create_graph=True)
    live = [
        (g, t)
        for g, t in zip(grads, case["tangents"], strict=True)
        if g is not None and g.requires_grad
    ]
    if not live:
        assert not any(x is not None and np.any(x) for x in case["grad2_in"])
        return
    inputs = sample.leaves + cotangents
    second = cr.autograd.grad(
        [g for g, _ in live], inputs, [cr.tensor(t) for _, t in live], allow_unused=True
    )
    made = [array(g, x.detach().numpy()) for g, x in zip(second, inputs, strict=True)]
    modes.require("vjp of vjp", made, [*case["grad2_in"], *case["grad2_cot"]])


class Slow(Exception):  # noqa: N818
    pass


def _alarm(*_):
    raise Slow(f"over {SECONDS_PER_CASE} s of processor time")


def check_operation(key, op, cases):
    """{column: [why each case is short]} of an operation, and how many calls were refused."""
    function = resolve(op)
    short = collections.defaultdict(list)
    refusal, _ = REFUSED.get(key, (None, ""))
    refused = 0
    previous = signal.signal(signal.SIGPROF, _alarm)
    try:
        for case in cases:
            signal.setitimer(signal.ITIMER_PROF, SECONDS_PER_CASE)
            try:
                found, count = check_case(function, case, refusal, key not in ORDERED)
                refused += count
                for column, why in found.items():
                    short[column].append(why)
            except Slow as error:
                short["value"].append(str(error))
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.signal(signal.SIGPROF, previous)
    return dict(short), refused


def main():
    missing, refused = [], 0
    counts = {column: collections.Counter() for column in COLUMNS}
    for key, op, cases in operations(sys.argv[1] if len(sys.argv) > 1 else ""):
        try:
            short, count = check_operation(key, op, cases)
        except AttributeError:
            missing.append(key)
            continue
        refused += count > 0
        known, reason = DIFFERENCES.get(key, ((), ""))
        for column in COLUMNS:
            kind = "whole" if column not in short else "known" if column in known else "short"
            counts[column][kind] += 1
            if kind == "known":
                print(f"{key}: {column} differs: {reason}")
            elif kind == "short":
                why = short[column]
                print(f"{key}: {column} {len(why)} of {len(cases)}: {why[0]}"[:230])
    print(f"{len(missing)} missing:", " ".join(missing))
    for column, count in counts.items():
        print(
            f"{column:9} {count['whole']:4} whole {count['short']:4} short {len(missing):4} missing"
        )


if __name__ == "__main__":
    main()
