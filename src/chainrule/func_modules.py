"""Modules as functions of their parameters: `functional_call` and `stack_module_state`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chainrule.core.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.nn.normalization import _BatchNorm
from chainrule.nn.utils import stateless
from chainrule.ops.api import FUNCTIONS

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: dict[str, Any] | Sequence[dict[str, Any]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """The module's result with these parameters and buffers in the place of its own.

    So a module is a function of its parameters, to be differentiated or mapped over.  Afterwards
    it is as it was, also if it raises.  Calls from several threads on one module take turns.

    Args:
        module: the module to call.
        parameter_and_buffer_dicts: tensors by dotted name, in one dictionary or several; what is
            not named stays the module's own.  If the module puts another tensor under one of the
            names (a running mean), so does the dictionary.
        args: the positional arguments; anything but a tuple is one argument.
        kwargs: the keyword arguments.
        tie_weights: whether names that mean one tensor of the module also mean one here.
        strict: whether all parameters and buffers, and no others, must be given.

    Raises:
        TypeError: if `module` is not a module, or a value not a tensor.
        ValueError: if there are no dictionaries, if a name is in several of them, or if tied names
            have different values.
        RuntimeError: for missing or unexpected names, if `strict`.
        AttributeError: if a name leads to no submodule.

    >>> import chainrule as cr
    >>> from chainrule.func_modules import functional_call
    >>> layer = cr.nn.Linear(2, 1)
    >>> weights = {"weight": cr.ones(1, 2), "bias": cr.zeros(1)}
    >>> functional_call(layer, weights, cr.tensor([3.0, 4.0]))
    tensor([7.])
    """
    given = parameter_and_buffer_dicts
    if isinstance(given, dict):
        given = [given]
    elif not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(given)}"
        )
    if not all(isinstance(d, dict) for d in given):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    values: dict[str, Any] = {}
    repeated = []
    for d in given:
        repeated += [name for name in d if name in values]
        values.update(d)
    if repeated:
        raise ValueError(
            f"{repeated} appeared in multiple dictionaries; behavior of functional call is "
            "ambiguous"
        )
    try:
        return stateless.functional_call(
            module, values, args, kwargs, tie_weights=tie_weights, strict=strict
        )
    finally:
        for d in given:
            for name in d:
                d[name] = values[name]


def stack_module_state(
    models: Iterable[Module],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of several modules of one class, stacked by name.

    With `functional_call` under `vmap` they make an ensemble.  The stacked parameters are new
    leaves, which an optimizer can take.

    Args:
        models: modules of one class, all in training mode or all in evaluation mode.

    Returns:
        The dictionaries of parameters and of buffers; the models are the first dimension.

    Raises:
        RuntimeError: if there are no models, or they differ in class, mode, names, shapes, or in
            what requires grad.

    >>> import chainrule as cr
    >>> from chainrule.func_modules import stack_module_state
    >>> parameters, buffers = stack_module_state([cr.nn.Linear(2, 3) for _ in range(5)])
    >>> parameters["weight"].shape, buffers
    (chainrule.Size([5, 3, 2]), {})
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    return (
        _stacked([dict(m.named_parameters()) for m in models]),
        _stacked([dict(m.named_buffers()) for m in models]),
    )


def _stacked(tables: list[dict[str, Any]]) -> dict[str, Tensor]:
    """The tensors of all models under each name as one, a leaf where they require grad."""
    for i, table in enumerate(tables):
        odd = sorted(table.keys() ^ tables[0].keys())
        if odd:
            raise RuntimeError(
                f"stack_module_state: Expected all models to have the same names, but model {i} "
                f"and model 0 differ in '{odd[0]}'."
            )
    return {name: _stacked_leaf(name, [table[name] for table in tables]) for name in tables[0]}


def _stacked_leaf(name: str, tensors: list[Any]) -> Tensor:
    recorded = {t.requires_grad for t in tensors}
    if len(recorded) > 1:
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    shapes = {tuple(t.shape) for t in tensors}
    if len(shapes) > 1:
        raise RuntimeError(
            f"stack_module_state: Expected {name} from each model to have the same shape, got "
            f"{' and '.join(str(list(shape)) for shape in sorted(shapes))}."
        )
    stacked = FUNCTIONS["stack"](tensors)
    return stacked.detach().requires_grad_() if recorded == {True} else stacked


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Let all batch norms of a network forget their running statistics, in place.

    They then always use the statistics of the batch at hand.  Running ones are updated in place,
    which examples that have batches of their own but share the network cannot do.

    Args:
        root: the network, which is returned.

    >>> import chainrule as cr
    >>> from chainrule.func_modules import replace_all_batch_norm_modules_
    >>> net = replace_all_batch_norm_modules_(cr.nn.BatchNorm1d(3))
    >>> cr.func.vmap(net)(cr.ones(5, 2, 3)).shape
    chainrule.Size([5, 2, 3])
    """
    for module in root.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
