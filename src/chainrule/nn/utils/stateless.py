"""Calling a module with other parameters and buffers than its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock, RLock
from typing import Any
from weakref import WeakKeyDictionary

from chainrule.core.tensor import Tensor
from chainrule.nn.module import Module

__all__ = ["functional_call"]

_MISSING = object()
_locks: WeakKeyDictionary[Module, Any] = WeakKeyDictionary()
_locks_lock = Lock()


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Any],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """The module's result with these parameters and buffers in the place of its own.

    Afterwards the module is as it was, also if it raises.  Calls from several threads on one
    module take turns.

    Args:
        module: the module to call.
        parameters_and_buffers: tensors by dotted name; what is not named stays the module's own.
            If the module puts another tensor under one of the names, so does this dictionary.
        args: the positional arguments; anything but a tuple is one argument.
        kwargs: the keyword arguments.
        tie_weights: whether names that mean one tensor of the module also mean one here.
        strict: whether all parameters and buffers, and no others, must be given.

    Raises:
        TypeError: if `module` is not a module, or a value not a tensor.
        ValueError: if tied names have different values.
        RuntimeError: for missing or unexpected names, if `strict`.
        AttributeError: if a name leads to no submodule.

    >>> import chainrule as cr
    >>> layer = cr.nn.Linear(2, 1)
    >>> weights = {"weight": cr.ones(1, 2), "bias": cr.zeros(1)}
    >>> cr.nn.utils.stateless.functional_call(layer, weights, cr.tensor([3.0, 4.0]))
    tensor([7.])
    """
    if not isinstance(module, Module):
        raise TypeError(f"{module!r} is not an instance of chainrule.nn.Module")
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with replaced(module, parameters_and_buffers, tie_weights, strict):
        return module(*args, **({} if kwargs is None else kwargs))


@contextmanager
def replaced(
    module: Module, values: dict[str, Any], tie_weights: bool, strict: bool
) -> Iterator[None]:
    """The module with other tensors, until the end of the block.

    The tables of names are changed, not the attributes, so a tensor of any class will do.
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    with ExitStack() as held:
        for owner in sorted(set(modules.values()), key=id):  # one order for all threads
            held.enter_context(_lock_of(owner))
        wanted = _with_ties(modules, values) if tie_weights else dict(values)
        if strict:
            _check_names(module, modules, wanted)
        places = {name: _place(module, modules, name, value) for name, value in wanted.items()}
        before = [(entries, own, entries.get(own, _MISSING)) for entries, own in places.values()]
        try:
            for name, (entries, own) in places.items():
                entries[own] = wanted[name]
            yield
        finally:
            for name in values:
                entries, own = places[name]
                if own in entries:
                    values[name] = entries[own]
            for entries, own, tensor in before:
                if tensor is _MISSING:
                    entries.pop(own, None)
                else:
                    entries[own] = tensor


def _lock_of(module: Module) -> Any:
    with _locks_lock:
        return _locks.setdefault(module, RLock())


def _place(
    module: Module, modules: dict[str, Module], name: str, value: Any
) -> tuple[dict[str, Any], str]:
    """Where a tensor stands: a table of its module, or the attributes, and its name there."""
    if value is not None and not isinstance(value, Tensor):
        raise TypeError(
            f"the value for '{name}' is a {type(value).__name__}, not an instance of "
            "chainrule.Tensor"
        )
    path, _, own = name.rpartition(".")
    owner = modules[path] if path in modules else module.get_submodule(path)
    for table in ("_parameters", "_buffers"):
        if own in owner.__dict__[table]:
            return owner.__dict__[table], own
    existing = getattr(owner, own, None)
    if existing is not None and not isinstance(existing, Tensor):
        raise TypeError(
            f"attribute `{own}` of {type(owner).__name__} is a {type(existing).__name__}, not an "
            "instance of chainrule.Tensor, and cannot be replaced by one"
        )
    return owner.__dict__, own


def _named(modules: dict[str, Module]) -> dict[str, Tensor]:
    """All parameters and buffers, under every name that leads to them."""
    return {
        f"{path}.{own}" if path else own: tensor
        for path, owner in modules.items()
        for table in (owner._parameters, owner._buffers)
        for own, tensor in table.items()
        if tensor is not None
    }


def _with_ties(modules: dict[str, Module], values: dict[str, Any]) -> dict[str, Any]:
    """The values, also under the other names of the tensors they replace."""
    names_of: dict[int, list[str]] = {}
    own = _named(modules)
    for name, tensor in own.items():
        names_of.setdefault(id(tensor), []).append(name)
    found = dict(values)
    for names in names_of.values():
        given = [name for name in names if name in values]
        if len(names) == 1 or not given:
            continue
        if any(values[name] is not values[given[0]] for name in given):
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(names)}, which are tied. "
                "Consider using tie_weights=False"
            )
        found.update(dict.fromkeys(names, values[given[0]]))
    return found


def _check_names(module: Module, modules: dict[str, Module], values: dict[str, Any]) -> None:
    """Raise unless the names are exactly those of the module's parameters and buffers."""
    own = _named(modules)
    problems = [
        f"{word} key(s): {', '.join(map(repr, names))}."
        for word, names in (
            ("Unexpected", [name for name in values if name not in own]),
            ("Missing", [name for name in own if name not in values]),
        )
        if names
    ]
    if problems:
        raise RuntimeError(
            f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(problems)
        )
