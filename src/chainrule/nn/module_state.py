"""`state_dict` and `load_state_dict`: a module's parameters and buffers as a flat dictionary."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from chainrule.core.mutation import note_write
from chainrule.core.tensor import Size, Tensor, wrap
from chainrule.nn.parameter import replace_array

_EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found missing in the dictionary, and left over in it."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class Stateful:
    """The part of `Module` that saves and restores."""

    def get_extra_state(self) -> Any:
        """Anything else to save; override together with `set_extra_state`."""
        raise RuntimeError(
            f"{type(self).__name__} saves no extra state: define get_extra_state to save some"
        )

    def set_extra_state(self, state: Any) -> None:
        """Restore what `get_extra_state` returned."""
        raise RuntimeError(
            f"{type(self).__name__} has no set_extra_state: define it to load the extra state "
            "found in the state_dict"
        )

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Any]:
        """All parameters and persistent buffers by dotted name.

        The tensors are detached but share memory with the module; `keep_vars` gives the
        parameters themselves.

        >>> import chainrule as cr
        >>> list(cr.nn.Linear(2, 1).state_dict())
        ['weight', 'bias']
        """
        found: OrderedDict[str, Any] = OrderedDict() if destination is None else destination
        for name, tensor in saved_tensors(self):
            found[prefix + name] = tensor if keep_vars else wrap(tensor.array)
        if has_extra_state(self):
            found[prefix + _EXTRA] = self.get_extra_state()
        for name, module in self.__dict__["_modules"].items():
            if module is not None:
                module.state_dict(destination=found, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return found

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the entries of `state_dict` into the parameters and buffers.

        With `strict`, names must match exactly.  With `assign`, the arrays are taken over, dtype
        included, instead of copied into the existing ones.  Nothing changes if an error is raised.

        Raises:
            TypeError: if `state_dict` is not a mapping.
            RuntimeError: for missing, unexpected, or wrongly shaped entries.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"Expected state_dict to be dict-like, got {type(state_dict)}; pass what "
                "state_dict() returned"
            )
        plan = _Plan()
        _compare(self, state_dict, "", plan)
        unexpected = [key for key in state_dict if key not in plan.known]
        errors = list(plan.errors)
        if strict:
            for word, keys in (("Unexpected", unexpected), ("Missing", plan.missing)):
                if keys:
                    names = ", ".join(f'"{key}"' for key in keys)
                    errors.insert(0, f"{word} key(s) in state_dict: {names}. ")
        if errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(errors)
            )
        for tensor, value in plan.copies:
            if assign:
                replace_array(tensor, value)
            else:
                np.copyto(tensor.array, value, casting="unsafe")
                note_write(tensor.array)
        for module, state in plan.extras:
            module.set_extra_state(state)
        return IncompatibleKeys(plan.missing, unexpected)


class _Plan:
    """What loading a dictionary would do, worked out before anything is written."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.missing: list[str] = []
        self.errors: list[str] = []
        self.copies: list[tuple[Tensor, Any]] = []
        self.extras: list[tuple[Any, Any]] = []


def _compare(module: Any, state: Mapping[str, Any], prefix: str, plan: _Plan) -> None:
    """Match the entries of `state` under `prefix` with the module's own."""
    for name, tensor in saved_tensors(module):
        key = prefix + name
        plan.known.add(key)
        if key not in state:
            plan.missing.append(key)
            continue
        value = state[key]
        if not isinstance(value, (Tensor, np.ndarray)):
            plan.errors.append(
                f'While copying the parameter named "{key}", expected chainrule.Tensor or '
                f"Tensor-like object from checkpoint but received {type(value)}"
            )
            continue
        array = value.array if isinstance(value, Tensor) else value
        if array.shape != tensor.array.shape:
            plan.errors.append(
                f"size mismatch for {key}: copying a param with shape {Size(array.shape)} from "
                f"checkpoint, the shape in current model is {tensor.shape}."
            )
        else:
            plan.copies.append((tensor, array))
    if has_extra_state(module):
        key = prefix + _EXTRA
        plan.known.add(key)
        if key in state:
            plan.extras.append((module, state[key]))
        else:
            plan.missing.append(key)
    for name, child in module._modules.items():
        if child is not None:
            _compare(child, state, f"{prefix}{name}.", plan)


def saved_tensors(module: Any) -> list[tuple[str, Tensor]]:
    """The module's own parameters and persistent buffers."""
    found = [(n, p) for n, p in module._parameters.items() if p is not None]
    passing = module._non_persistent_buffers_set
    found += [(n, b) for n, b in module._buffers.items() if b is not None and n not in passing]
    return found


def has_extra_state(module: Any) -> bool:
    """Whether the module's class saves more than tensors."""
    return type(module).get_extra_state is not Stateful.get_extra_state
