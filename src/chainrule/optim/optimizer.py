"""What all optimizers share: parameter groups, state, saving and loading, and the step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from chainrule.core import modes
from chainrule.core.hooks import RemovableHandle, add_hook
from chainrule.core.mutation import note_write
from chainrule.core.tensor import Tensor, wrap
from chainrule.nn.module import zero_grads

# Bytes updated at once: a block of every array an update touches stays in the processor's cache
# between the passes over it.
BLOCK = 1 << 18


class Optimizer:
    """Base class: holds parameters in groups, each with its own options.

    Subclasses define `update(p, g, state, group)`, or override `step`.

    Args:
        params: an iterable of tensors, of (name, tensor) pairs, or of dicts with the key "params"
            and the options of that group.
        defaults: the options of groups that do not set them.

    Raises:
        TypeError: if `params` does not hold tensors.
        ValueError: if it is empty, or a tensor was computed or appears twice.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, str, bytes)) or not isinstance(params, Iterable):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}; wrap one tensor in a list"
            )
        self.defaults = defaults
        self.state: Any = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._step_pre_hooks: dict[int, Any] = {}
        self._step_post_hooks: dict[int, Any] = {}
        self._steps = 0
        self._scratch: dict[Any, Any] = {}
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a dict with the key "params" (tensors) and the options that differ from the defaults.

        Raises:
            TypeError: if it is not a dict or holds something else than tensors.
            ValueError: if a tensor was computed, or is already being optimized.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        given = [given] if isinstance(given, Tensor) else list(given)
        group = {**self.defaults, **param_group}
        if given and isinstance(given[0], tuple):
            group["param_names"] = [name for name, _ in given]
            given = [p for _, p in given]
        group["params"] = given
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for p in given:
            if not isinstance(p, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError(
                    "can't optimize a non-leaf Tensor: a parameter must not be the result of a "
                    "recorded operation; detach it and call requires_grad_()"
                )
            if id(p) in known:
                raise ValueError("some parameters appear in more than one parameter group")
            known.add(id(p))
        self.check_options(group)
        self.param_groups.append(group)

    def check_options(self, group: dict[str, Any]) -> None:
        """Raise ValueError if a group's options are out of range."""
        limits = [
            ("lr", "learning rate"), ("eps", "epsilon value"), ("momentum", "momentum value"),
            ("weight_decay", "weight_decay value"),
        ]  # fmt: skip
        for key, words in limits:
            if key in group and not number(group[key]) >= 0:
                raise ValueError(f"Invalid {words}: {group[key]}; it must not be negative")
        for i, beta in enumerate(group.get("betas", ())):
            if not 0 <= number(beta) < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")

    # Stepping -------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; returns what `closure` returned.

        Args:
            closure: evaluates the model again and returns the loss, called before the update.
        """
        modes.refuse_lifted("Optimizer.step")
        for hook in list(self._step_pre_hooks.values()):
            hook(self, (closure,), {})
        loss = evaluate(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    self._update_one(p, group)
        self._steps += 1
        for hook in list(self._step_post_hooks.values()):
            hook(self, (closure,), {})
        return loss

    def _update_one(self, p: Tensor, group: dict[str, Any]) -> None:
        assert p._grad is not None
        array, g = p.array, p._grad.array
        if g.shape != array.shape:
            raise RuntimeError(
                f"a parameter of shape {list(array.shape)} has a gradient of shape "
                f"{list(g.shape)}; call zero_grad() after changing a parameter's shape"
            )
        self.update(array, g, self.state[p], group)
        note_write(array)

    def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Write the new value of one parameter to its array `p`, given the gradient `g`."""
        raise NotImplementedError(f"{type(self).__name__} defines neither step nor update")

    def scratch(self, like: Any, index: int = 0) -> Any:
        """A reusable array of the shape and dtype of a block, for intermediate results."""
        key = (like.dtype, index)
        buffer = self._scratch.get(key)
        if buffer is None or buffer.size < like.size:
            buffer = self._scratch[key] = np.empty(like.size, like.dtype)
        if buffer.shape == like.shape:
            return buffer
        return buffer[: like.size].reshape(like.shape)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            zero_grads(group["params"], set_to_none)

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before every step."""
        return add_hook(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        return add_hook(self._step_post_hooks, hook)

    # Saving ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state of every parameter and the options of every group, parameters by number."""
        numbers = self._numbers()
        return {
            "state": {numbers[id(p)]: dict(s) for p, s in self.state.items() if id(p) in numbers},
            "param_groups": [
                {**group, "params": [numbers[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def _numbers(self) -> dict[int, int]:
        tensors = [p for group in self.param_groups for p in group["params"]]
        return {id(p): i for i, p in enumerate(tensors)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a copy of what `state_dict` returned for as many parameters in the same order.

        Raises:
            ValueError: if the numbers of groups or of their parameters differ.
        """
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(
            len(new["params"]) != len(old["params"])
            for new, old in zip(groups, self.param_groups, strict=True)
        ):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        tensors = [p for group in self.param_groups for p in group["params"]]
        numbers = [i for group in groups for i in group["params"]]
        by_number = dict(zip(numbers, tensors, strict=True))
        state: Any = defaultdict(dict)
        for i, values in state_dict["state"].items():
            p = by_number[i]
            state[p] = {key: _copied(value, p) for key, value in values.items()}
        self.state = state
        self.param_groups = [
            {**deepcopy({k: v for k, v in new.items() if k != "params"}), "params": old["params"]}
            for new, old in zip(groups, self.param_groups, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scratch": {}}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def number(x: Any) -> Any:
    """An option that may be a number or a tensor with one entry, as a number."""
    return x.array.item() if isinstance(x, Tensor) else x


def evaluate(closure: Callable[[], Any] | None) -> Any:
    """The closure's result, recorded even if recording is off outside."""
    if closure is None:
        return None
    token = modes.enter(modes.changed(grad=True))
    try:
        return closure()
    finally:
        modes.leave(token)


def zeros(p: Any) -> Tensor:
    """A state tensor shaped like a parameter's array."""
    return wrap(np.zeros_like(p))


def blocks(p: Any, g: Any, *states: Tensor) -> Iterator[tuple[Any, ...]]:
    """Matching pieces of a parameter, its gradient and its state, small enough for the cache.

    Complex arrays come as their real and imaginary parts: optimizers treat them as two parameters.
    """
    arrays = (p, g, *[s.array for s in states])
    if p.dtype.kind == "c":
        yield tuple(a.real for a in arrays)
        yield tuple(a.imag for a in arrays)
        return
    if p.nbytes <= 2 * BLOCK or not all(a.flags.c_contiguous for a in (p, *arrays[2:])):
        yield arrays
        return
    flat = [a.reshape(-1) for a in arrays]
    size = BLOCK // p.itemsize
    for start in range(0, p.size, size):
        yield tuple([a[start : start + size] for a in flat])


def with_decay(self: Optimizer, p: Any, g: Any, group: dict[str, Any]) -> Any:
    """The gradient to descend along: sign for `maximize`, plus weight decay, in a scratch array."""
    decay = group.get("weight_decay", 0)
    if not decay:
        return np.negative(g, out=self.scratch(g, 1)) if group.get("maximize") else g
    s = np.multiply(p, decay, out=self.scratch(g, 1))
    return np.subtract(s, g, out=s) if group.get("maximize") else np.add(s, g, out=s)


def _copied(value: Any, p: Tensor) -> Any:
    """A copy of a piece of state, tensors in the dtype of their parameter."""
    if isinstance(value, Tensor):
        floating = value.array.dtype.kind in "fc"
        return wrap(np.array(value.array, p.array.dtype if floating else None))
    return deepcopy(value)
