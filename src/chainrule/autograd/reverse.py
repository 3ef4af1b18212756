"""`backward` and `grad`: reverse mode with PyTorch's signatures."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import ref

import numpy as np

from chainrule.autograd.cotangents import seed, unused
from chainrule.autograd.graph import GradientEdge, node_of
from chainrule.core import engine
from chainrule.core.boxes import any_box
from chainrule.core.hooks import as_tensor
from chainrule.core.node import Leaf, Node, extra_of
from chainrule.core.ownership import held_once
from chainrule.core.tensor import Tensor, wrap

_accumulating = threading.Lock()
_NOBODY: dict[Any, Tensor] = {}


def _as_tuple(x: Any) -> tuple[Any, ...]:
    if type(x) is Tensor or isinstance(x, (Tensor, GradientEdge, str)):
        return (x,)
    if isinstance(x, (tuple, list)):
        return tuple(x)
    return tuple(x) if isinstance(x, Iterable) and not hasattr(x, "shape") else (x,)


def _any_box(outputs: Any, grads: Any) -> bool:
    if type(outputs) is Tensor and (grads is None or type(grads) is Tensor):
        return False
    return any_box((*_as_tuple(outputs), *(() if grads is None else _as_tuple(grads))))


def _seed(node: Node | None, g: Any, create_graph: bool, i: int) -> Any:
    """The cotangent of output `i` to start from: the given one, or 1 for a scalar."""
    if node is None:
        raise RuntimeError(
            f"element {i} of tensors does not require grad and does not have a grad_fn: nothing "
            "that it was computed from requires grad, or it was computed under no_grad or detached."
            " Call requires_grad_() on an input before computing."
        )
    raw = seed(node.shape or (), node.dtype, g, i)
    if create_graph:
        return g if isinstance(g, Tensor) else wrap(raw)
    return raw


def _seeds(outputs: Any, grads: Any, create_graph: bool) -> list[tuple[Any, Any]]:
    if type(outputs) is Tensor and (grads is None or type(grads) is Tensor):
        return [(outputs.node, _seed(outputs.node, grads, create_graph, 0))]
    outs = _as_tuple(outputs)
    gs = (None,) * len(outs) if grads is None else _as_tuple(grads)
    if len(gs) != len(outs):
        raise RuntimeError(f"got {len(outs)} tensors and {len(gs)} gradients")
    nodes = [o.node if isinstance(o, Tensor) else node_of(o) for o in outs]
    return [
        (n, _seed(n, g, create_graph, i)) for i, (n, g) in enumerate(zip(nodes, gs, strict=True))
    ]


def _accumulate(tensor: Tensor, g: Any) -> None:
    """Add an arrived gradient to `tensor.grad`, as a buffer of its own."""
    known = tensor._grad
    if isinstance(g, Tensor):
        tensor._grad = g if known is None else known + g
    elif known is None:
        tensor._grad = wrap(g)
    elif known.node is None and known.array.flags.writeable:
        np.add(known.array, g, out=known.array)
    else:
        tensor._grad = wrap(known.array + g)


def owner_of(node: Node) -> Tensor | None:
    """The living tensor whose `.grad` a node's gradient goes to."""
    if isinstance(node, Leaf):
        return node.tensor()
    retain = None if node.extra is None else node.extra.retain
    return None if retain is None else retain()


def _deposit(
    found: dict[Node, Any], create_graph: bool, owners: dict[Any, Tensor] = _NOBODY
) -> None:
    """Put gradients into `.grad` of the tensors they belong to, or of the given `owners`."""
    ready = []
    while found:
        node, g = found.popitem()
        tensor = owner_of(node) if node not in owners else owners[node]
        if tensor is None:
            continue
        if create_graph and g.node is None:
            g = np.array(g.array)
        elif not create_graph and tensor._grad is None and not held_once(g):
            g = np.array(g)
        ready.append((node, tensor, g))
    with _accumulating:  # NumPy lets other threads run in the middle of an addition
        for _, tensor, g in ready:
            _accumulate(tensor, g)
    for node, tensor, g in ready:
        if node.extra is not None and type(node) is Leaf:
            for hook in list(node.extra.post_accumulate.values()):
                hook(tensor)
            for hook in list(node.extra.post_hooks.values()):
                hook((), (wrap(as_tensor(g).array.copy()),))


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Differentiate `tensors` with respect to the leaves and add the results to their `.grad`.

    Args:
        tensors: a tensor or a sequence of them.
        grad_tensors: a cotangent of each tensor's shape; may be None for scalars.
        retain_graph: keep what the graph saved, so that it can be differentiated again.
        create_graph: record the derivative itself, so that it can be differentiated.
        inputs: accumulate into these leaves only.

    Raises:
        RuntimeError: if a tensor does not require grad, is not a scalar and has no cotangent, or
            its graph was freed or overwritten.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> cr.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    if _any_box(tensors, grad_tensors):
        from chainrule.autograd.reverse_boxes import backward_of_boxes

        gs = None if grad_tensors is None else _as_tuple(grad_tensors)
        backward_of_boxes(_as_tuple(tensors), gs, None if inputs is None else _as_tuple(inputs))
        return
    seeds = _seeds(tensors, grad_tensors, create_graph)
    roots = [node for node, _ in seeds]
    if inputs is None:
        order, live, wanted = engine.reach(roots), None, None
    else:
        leaves = _as_tuple(inputs)
        if not leaves:
            raise RuntimeError("'inputs' argument to backward() cannot be empty.")
        wanted = set(_nodes_of(leaves))
        order, live = engine.between(roots, wanted)
    found, retained = engine.pull(order, seeds, live, wanted, create_graph)
    owners: dict[Any, Tensor] = {}
    if inputs is not None:  # those that are not leaves get theirs too, this once
        owners = {x.node: x for x in leaves if isinstance(x, Tensor)}
        for node in retained:
            found.pop(node, None)
    del seeds
    _deposit(found, create_graph, owners)
    _deposit(retained, create_graph)
    if not (create_graph if retain_graph is None else retain_graph):
        engine.free(order, engine.ends_of(wanted, live))


def retain(x: Tensor) -> None:
    """Make `x`, which is not a leaf, keep its gradient in `.grad`."""
    assert x.node is not None
    extra_of(x.node).retain = ref(x)


def _nodes_of(inputs: Sequence[Any]) -> list[Node]:
    nodes = []
    for i, x in enumerate(inputs):
        node = x.node if isinstance(x, Tensor) else node_of(x)
        if node is None:
            raise RuntimeError(
                f"One of the differentiated Tensors does not require grad: input {i} has no "
                "record; call requires_grad_() on it before computing the outputs"
            )
        nodes.append(node)
    return nodes


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`, as a tuple; `.grad` is left alone.

    Args:
        outputs: a tensor or a sequence of them.
        inputs: the tensors to differentiate with respect to; they need not be leaves.
        grad_outputs: a cotangent of each output's shape; may be None for scalars.
        retain_graph: keep what the graph saved; by default, the value of `create_graph`.
        create_graph: record the derivative itself, so that it can be differentiated.
        allow_unused: return None for an input that the outputs do not depend on.
        is_grads_batched: the cotangents have a leading dimension over which to map.
        materialize_grads: return zeros instead of None.

    Raises:
        RuntimeError: as `backward`, and for an unused input unless that was allowed.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> cr.autograd.grad(x**2, x)
    (tensor(6.),)
    """
    if is_grads_batched:
        return _batched(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused,
                        materialize_grads)  # fmt: skip
    if allow_unused is False and materialize_grads:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, "
            "but got: False."
        )
    several = _as_tuple(inputs)
    if any_box(several) or _any_box(outputs, grad_outputs):
        from chainrule.autograd.reverse_boxes import grad_of_boxes

        gs = None if grad_outputs is None else _as_tuple(grad_outputs)
        return grad_of_boxes(_as_tuple(outputs), several, gs, create_graph, allow_unused,
                             materialize_grads)  # fmt: skip
    nodes = _nodes_of(several)
    seeds = _seeds(outputs, grad_outputs, create_graph)
    wanted = set(nodes)
    order, live = engine.between([node for node, _ in seeds], wanted)
    seeds = [(n, g) for n, g in seeds if n in live]
    found, retained = engine.pull(order, seeds, live, wanted, create_graph)
    missing = [i for i, n in enumerate(nodes) if n not in found]
    if missing and not (allow_unused or materialize_grads):
        raise unused(missing[0])
    _deposit(retained, create_graph)
    if not (create_graph if retain_graph is None else retain_graph):
        engine.free(order, engine.ends_of(wanted, live))
    return tuple([_result(found.get(n), n, materialize_grads) for n in nodes])


def _result(g: Any, node: Node, materialize: bool) -> Any:
    if g is None:
        return wrap(np.zeros(node.shape or (), node.dtype)) if materialize else None
    return g if isinstance(g, Tensor) else wrap(g)


def _batched(outputs: Any, inputs: Any, grad_outputs: Any, retain_graph: Any, create_graph: bool,
             allow_unused: Any, materialize: bool) -> tuple[Any, ...]:  # fmt: skip
    """One sweep for all leading indices of the cotangents."""
    from chainrule.autograd.reverse_boxes import batched_grads

    gs = _as_tuple(grad_outputs)
    sizes = {g.array.shape[0] if isinstance(g, Tensor) and g.array.ndim else -1 for g in gs}
    if len(sizes) != 1 or -1 in sizes:
        raise RuntimeError(
            "is_grads_batched=True needs grad_outputs with a common leading dimension, got shapes "
            f"{[list(getattr(g, 'shape', ())) for g in gs]}"
        )
    (size,) = sizes
    outs = _as_tuple(outputs)
    if len(outs) != len(gs):
        raise RuntimeError(f"got {len(outs)} tensors and {len(gs)} gradients")
    roots: list[Any] = []
    for i, (y, g) in enumerate(zip(outs, gs, strict=True)):
        root = y.node if isinstance(y, Tensor) else node_of(y)
        _seed(root, wrap(np.empty(g.array.shape[1:], g.array.dtype)), False, i)
        roots.append(root)
    nodes = _nodes_of(_as_tuple(inputs))
    retain_graph = create_graph if retain_graph is None else retain_graph
    found = batched_grads(roots, nodes, gs, size, retain_graph, create_graph)
    for i, g in enumerate(found):
        if g is None and not (allow_unused or materialize):
            raise unused(i)
        if g is None and materialize:
            found[i] = wrap(np.zeros((size, *(nodes[i].shape or ())), nodes[i].dtype))
    return tuple(found)
