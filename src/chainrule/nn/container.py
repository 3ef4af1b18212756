"""Modules made of modules (`Sequential`, `ModuleList`, `ModuleDict`), and of parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import index
from typing import Any

from chainrule.core.tensor import Parameter, Tensor
from chainrule.nn.module import Module


def _position(i: Any, size: int) -> int:
    """An index in 0..size-1.

    Raises:
        IndexError: if it is out of range.
    """
    i = index(i)
    if not -size <= i < size:
        raise IndexError(f"index {i} is out of range")
    return i % size


class _Numbered(Module):
    """Entries under the names "0", "1", ...: what lists of modules and of parameters share."""

    _table = "_modules"

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._set_all(() if values is None else values)

    @property
    def _entries(self) -> dict[str, Any]:
        return self.__dict__[self._table]

    def _set_all(self, values: Iterable[Any]) -> None:
        self._entries.clear()
        for value in values:
            self._add(value)

    def _add(self, value: Any) -> None:
        self.register_module(str(len(self._entries)), value)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._entries.values()))

    def __getitem__(self, i: Any) -> Any:
        values = list(self._entries.values())
        if isinstance(i, slice):
            return type(self)(values[i])
        return values[_position(i, len(values))]

    def __setitem__(self, i: Any, value: Any) -> None:
        setattr(self, list(self._entries)[_position(i, len(self))], value)

    def __delitem__(self, i: Any) -> None:
        values = list(self._entries.values())
        if not isinstance(i, slice):
            i = _position(i, len(values))
        del values[i]
        self._set_all(values)

    def append(self, value: Any) -> Any:
        """Add an entry at the end."""
        self._add(value)
        return self

    def extend(self, values: Iterable[Any]) -> Any:
        """Add several entries at the end."""
        for value in _iterable(values, type(self).__name__, "extend"):
            self._add(value)
        return self

    def insert(self, i: int, value: Any) -> Any:
        """Put an entry before position `i`."""
        values = list(self._entries.values())
        values.insert(i, value)
        self._set_all(values)
        return self

    def pop(self, i: int = -1) -> Any:
        """Take the entry at position `i` out and return it."""
        value = self[i]
        del self[i]
        return value

    def __iadd__(self, values: Iterable[Any]) -> Any:
        return self.extend(values)

    def __add__(self, other: Iterable[Any]) -> Any:
        return type(self)([*self, *other])

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]


def _iterable(values: Any, owner: str, method: str) -> Any:
    if not isinstance(values, Iterable):
        raise TypeError(
            f"{owner}.{method} should be called with an iterable, but got {type(values).__name__}"
        )
    return list(values)


class Sequential(_Numbered):
    """Modules applied one after the other.

    Args:
        args: the modules, or one dict of names and modules.

    >>> import chainrule as cr
    >>> cr.nn.Sequential(cr.nn.Linear(2, 3), cr.nn.Tanh())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.register_module(name, module)
        else:
            self._set_all(args)

    def forward(self, input: Any) -> Any:
        """The input passed through all modules in order."""
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(OrderedDict(list(self._modules.items())[i]))
        return super().__getitem__(i)

    def __delitem__(self, i: Any) -> None:
        names = list(self._modules)
        kept = [n for n in names if n not in (names[i] if isinstance(i, slice) else
                                              [names[_position(i, len(names))]])]  # fmt: skip
        values = [self._modules[n] for n in kept]
        if all(name.isdigit() for name in names):
            kept = [str(k) for k in range(len(values))]
        self._modules.clear()
        self._modules.update(zip(kept, values, strict=True))

    def insert(self, i: int, value: Module) -> Sequential:
        """Put a module before position `i`; the modules are numbered anew."""
        if not isinstance(value, Module):
            raise TypeError(f"module should be of type: {Module}")
        if not -len(self) <= i <= len(self):
            raise IndexError(f"Index out of range: {i}")
        super().insert(i, value)
        return self

    def __add__(self, other: Iterable[Module]) -> Sequential:
        return Sequential(*self, *other)


class ModuleList(_Numbered):
    """A list of modules, registered as submodules.

    >>> import chainrule as cr
    >>> layers = cr.nn.ModuleList([cr.nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__(modules)

    def _child_reprs(self) -> Iterable[tuple[str, Any]]:
        shown = [(name, repr(module)) for name, module in self._modules.items()]
        for text, group in groupby(shown, key=lambda pair: pair[1]):
            names = [name for name, _ in group]
            if len(names) == 1:
                yield names[0], _Text(text)
            else:
                yield f"{names[0]}-{names[-1]}", _Text(f"{len(names)} x {text}")


class _Text(str):
    """A string whose printed form is itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Named(Module):
    """Entries under names of the user's: what dicts of modules and of parameters share."""

    _table = "_modules"

    @property
    def _entries(self) -> dict[str, Any]:
        return self.__dict__[self._table]

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_module(key, value)

    def __delitem__(self, key: str) -> None:
        del self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._entries))

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()

    def pop(self, key: str) -> Any:
        """Take the entry of this name out and return it."""
        return self._entries.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The entry of this name, or `default`."""
        return self._entries.get(key, default)

    def keys(self) -> Any:
        """The names."""
        return self._entries.keys()

    def values(self) -> Any:
        """The entries."""
        return self._entries.values()

    def items(self) -> Any:
        """Pairs of name and entry."""
        return self._entries.items()

    def update(self, entries: Any) -> None:
        """Add entries from a mapping or from pairs.

        Raises:
            TypeError: if `entries` is neither.
        """
        if not isinstance(entries, Iterable):
            raise TypeError(
                f"{type(self).__name__}.update should be called with an iterable of key/value "
                f"pairs, but got {type(entries).__name__}"
            )
        items: Any = entries.items() if hasattr(entries, "items") else entries
        for key, value in items:
            self[key] = value


class ModuleDict(_Named):
    """A dictionary of modules, registered as submodules.

    >>> import chainrule as cr
    >>> parts = cr.nn.ModuleDict({"head": cr.nn.Linear(2, 1)})
    >>> [name for name, _ in parts.named_parameters()]
    ['head.weight', 'head.bias']
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)


def _as_parameter(value: Any) -> Any:
    return Parameter(value) if isinstance(value, Tensor) and type(value) is Tensor else value


def _describe(value: Any) -> str:
    kind = "Parameter" if isinstance(value, Parameter) else type(value).__name__
    if not isinstance(value, Tensor):
        return f"Object of type: {kind}"
    return f"{kind} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"


class ParameterList(_Numbered):
    """A list of parameters, registered with the module; tensors become parameters.

    >>> import chainrule as cr
    >>> weights = cr.nn.ParameterList([cr.zeros(2), cr.zeros(3)])
    >>> [tuple(p.shape) for p in weights.parameters()]
    [(2,), (3,)]
    """

    _table = "_parameters"

    def _add(self, value: Any) -> None:
        self.register_parameter(str(len(self._entries)), _as_parameter(value))

    def __setitem__(self, i: Any, value: Any) -> None:
        super().__setitem__(i, _as_parameter(value))

    def extra_repr(self) -> str:
        return "\n".join(f"({i}): {_describe(p)}" for i, p in enumerate(self))

    def __repr__(self) -> str:
        return _table_repr(self)


class ParameterDict(_Named):
    """A dictionary of parameters, registered with the module; tensors become parameters.

    >>> import chainrule as cr
    >>> weights = cr.nn.ParameterDict({"scale": cr.ones(2)})
    >>> weights["scale"].requires_grad
    True
    """

    _table = "_parameters"

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _as_parameter(value))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The parameter of this name, which becomes `default` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def extra_repr(self) -> str:
        return "\n".join(f"({key}): {_describe(p)}" for key, p in self.items())

    def __repr__(self) -> str:
        return _table_repr(self)


def _table_repr(module: Module) -> str:
    """The printed form of a container of parameters: one line for each."""
    lines = module.extra_repr().split("\n")
    body = "\n".join(f"    {line}" for line in lines if line)
    return f"{type(module).__name__}(\n{body}\n)" if body else f"{type(module).__name__}()"
