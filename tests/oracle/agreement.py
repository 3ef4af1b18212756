"""Agreement with the reference derivatives: value, vjp, jvp and second order per operation.

python -m tests.oracle.agreement [REGEX]      # prints the table for the operations that match
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

# Operations where the record is not followed, and why.
DIFFERENCES: dict[str, str] = {
    "nn.functional.poisson_nll_loss": "the record differs from PyTorch, whose values ours are",
    "chalf": "NumPy has no complex numbers of half precision",
    "linalg.norm/subgradients_at_zero": "at the kink the record's second derivative is nan, ours 0",
}
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "oracle"
PACK = FOLDER / "opinfo_float64.npz"
SECONDS_PER_CASE = 20


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


def leaves_of(x):
    if isinstance(x, (tuple, list)):
        return [t for i in x for t in leaves_of(i)]
    return [t for i in x.values() for t in leaves_of(i)] if isinstance(x, dict) else [x]


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


def check_case(function, case):
    """{property: whether it agrees} for one case."""
    load = loader()
    args, kwargs, leaves = load.bind(case, make)
    outs = [
        o for o in leaves_of(function(*ours(list(args)), **ours(kwargs))) if hasattr(o, "shape")
    ]
    wanted = load.flat_outputs(case["outputs"])
    got = {
        "value": len(outs) == len(wanted)
        and all(close(array(o, w), w) for o, w in zip(outs, wanted, strict=True))
    }
    outs = [outs[i] for i in case["diff_outs"]]
    cotangents = [cr.tensor(c).requires_grad_() for c in case["cotangents"]]
    twice = case.get("grad2_in") is not None
    if case.get("jvp") is not None:
        got["jvp"] = forward_agrees(outs, leaves, case)
    grads = cr.autograd.grad(outs, leaves, cotangents, create_graph=twice, allow_unused=True)
    got["vjp"] = all(
        r is None or close(array(g, r), r) for g, r in zip(grads, case["grads"], strict=True)
    )
    if twice:
        got["second"] = second_agrees(grads, leaves, cotangents, case)
    return got


def forward_agrees(outs, leaves, case):
    recorded = [o for o in outs if o.node is not None]
    order, _ = engine.between([o.node for o in recorded], [x.node for x in leaves])
    seeds = {x.node: t for x, t in zip(leaves, case["tangents"], strict=True) if t is not None}
    pushed = engine.push(order, seeds, False)
    return all(
        close(array(pushed.get(o.node), o.array), r) for o, r in zip(outs, case["jvp"], strict=True)
    )


def second_agrees(grads, leaves, cotangents, case):
    live = [
        (g, t)
        for g, t in zip(grads, case["tangents"], strict=True)
        if g is not None and g.requires_grad
    ]
    if not live:
        return not any(x is not None and np.any(x) for x in case["grad2_in"])
    second = cr.autograd.grad(
        [g for g, _ in live],
        leaves + cotangents,
        [cr.tensor(t) for _, t in live],
        allow_unused=True,
    )
    expected = [*case["grad2_in"], *case["grad2_cot"]]
    return all(r is None or close(array(g, r), r) for g, r in zip(second, expected, strict=True))


class Slow(Exception):  # noqa: N818
    pass


def _alarm(*_):
    raise Slow(f"over {SECONDS_PER_CASE} s")


def check_operation(op, cases):
    """Counter of properties that disagree (or "error"), and the last error's text."""
    function = resolve(op)
    short, why = collections.Counter(), ""
    previous = signal.signal(signal.SIGALRM, _alarm)
    try:
        for case in cases:
            signal.alarm(SECONDS_PER_CASE)
            try:
                got = check_case(function, case)
            except Exception as error:
                got, why = {"error": False}, f"{type(error).__name__}: {str(error)[:110]}"
            finally:
                signal.alarm(0)
            short.update(name for name, agrees in got.items() if not agrees)
    finally:
        signal.signal(signal.SIGALRM, previous)
    return short, why


def main():
    whole, missing, short = 0, [], {}
    for key, op, cases in operations(sys.argv[1] if len(sys.argv) > 1 else ""):
        try:
            bad, why = check_operation(op, cases)
        except AttributeError:
            missing.append(key)
            continue
        if bad:
            short[key] = f"{dict(bad)} of {len(cases)} {why}"
        else:
            whole += 1
    for key, what in sorted(short.items()):
        print(f"{key}: {what}"[:220])
    print("missing:", " ".join(missing))
    print(f"{whole} whole, {len(short)} short, {len(missing)} missing")


if __name__ == "__main__":
    main()
