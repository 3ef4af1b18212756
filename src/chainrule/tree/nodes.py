"""The containers a tree is made of: how each kind is taken apart and put together again.

Which values are containers is decided by their exact type, as in PyTorch and JAX: a subclass of
dict, list or tuple is a leaf until it is registered.  Named tuples and dataclasses are recognised.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor


class Kind:
    """One type of container.

    Attributes:
        cls: the type.
        flatten: the container's children (with a length) and the data that is not differentiated.
        unflatten: the container of a list of children and those data.
        keys: the names of the children for paths, such as `['a']`, `[0]` or `.weight`.
        show: the written form of a container with these written children.
        keyed: whether children are found by key, in any order.
    """

    __slots__ = ("cls", "flatten", "keyed", "keys", "show", "unflatten")

    def __init__(
        self,
        cls: type,
        flatten: Callable[[Any], tuple[Any, Any]],
        unflatten: Callable[[Sequence[Any], Any], Any],
        *,
        keys: Callable[[Any, int], list[str]] | None = None,
        show: Callable[[Any, list[str]], str] | None = None,
        keyed: bool = False,
    ) -> None:
        self.cls = cls
        self.flatten = flatten
        self.unflatten = unflatten
        self.keys = keys or _positions
        self.show = show or partial(_call_form, cls.__name__)
        self.keyed = keyed

    def __repr__(self) -> str:
        return f"<tree node {self.cls.__qualname__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return kind_of, (self.cls,)


class _Kinds(dict[type, Any]):
    """The kind of every type met so far; None for the types of leaves."""

    limit = 4096  # types: classes made in a loop are not kept alive for ever

    def __missing__(self, cls: type) -> Kind | None:
        if len(self) >= self.limit:
            self.clear()
            self.update(REGISTERED)
        found = self[cls] = _recognise(cls)
        return found


KINDS = _Kinds()
REGISTERED: dict[type, Kind] = {}


def kind_of(cls: type) -> Kind | None:
    """The kind of a type, None for leaves."""
    found: Kind | None = KINDS[cls]
    return found


def _recognise(cls: type) -> Kind | None:
    """The kind of a type that nobody registered."""
    if issubclass(cls, (Tensor, np.ndarray)) or getattr(cls, "_tree_leaf", False):
        return None
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _named_tuple(cls)
    return _dataclass(cls) if dataclasses.is_dataclass(cls) else None


def _enter(kind: Kind) -> Kind:
    REGISTERED[kind.cls] = KINDS[kind.cls] = kind
    return kind


def _positions(data: Any, n: int) -> list[str]:
    return [f"[{i}]" for i in range(n)]


def _call_form(name: str, data: Any, children: list[str]) -> str:
    fixed = "" if data is None else repr(data)
    shown = [*children, fixed] if fixed else children
    return f"{name}({', '.join(shown)})"


# Built-in containers ----------------------------------------------------------------------------


def _dict_keys(data: Any, n: int) -> list[str]:
    return [f"[{key!r}]" for key in data]


def _dict_form(data: Any, children: list[str]) -> str:
    return f"{{{', '.join(f'{k!r}: {c}' for k, c in zip(data, children, strict=True))}}}"


def _ordered_form(data: Any, children: list[str]) -> str:
    return f"OrderedDict({_dict_form(data, children)})"


def _default_form(data: Any, children: list[str]) -> str:
    name = getattr(data.factory, "__name__", repr(data.factory))
    return f"defaultdict({name}, {_dict_form(data, children)})"


class DefaultKeys(tuple[Any, ...]):
    """The keys of a defaultdict, and what makes its missing values."""

    factory: Any

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DefaultKeys)
            and tuple.__eq__(self, other)
            and self.factory == other.factory
        )

    __hash__ = tuple.__hash__


def _flatten_default(x: Any) -> tuple[Any, DefaultKeys]:
    keys = DefaultKeys(x)
    keys.factory = x.default_factory
    return x.values(), keys


def _tuple_form(data: Any, children: list[str]) -> str:
    return f"({', '.join(children)}{',' if len(children) == 1 else ''})"


def _flatten_deque(x: Any) -> tuple[Any, Static | None]:
    return x, None if x.maxlen is None else Static(("maxlen",), (x.maxlen,))


def _make_deque(children: Sequence[Any], data: Static | None) -> deque[Any]:
    return deque(children, maxlen=None if data is None else data.values[0])


def _deque_form(data: Any, children: list[str]) -> str:
    return _call_form("deque", data, [f"[{', '.join(children)}]"])


_enter(Kind(type(None), lambda x: ((), None), lambda c, data: None, show=lambda d, c: "None"))
_enter(
    Kind(
        list,
        lambda x: (x, None),
        lambda c, data: list(c),
        show=lambda data, c: f"[{', '.join(c)}]",
    )
)
TUPLE = _enter(Kind(tuple, lambda x: (x, None), lambda c, data: tuple(c), show=_tuple_form))
_enter(
    Kind(
        dict,
        lambda x: (x.values(), tuple(x)),
        lambda c, data: dict(zip(data, c, strict=True)),
        keys=_dict_keys,
        show=_dict_form,
        keyed=True,
    )
)
_enter(
    Kind(
        OrderedDict,
        lambda x: (x.values(), tuple(x)),
        lambda c, data: OrderedDict(zip(data, c, strict=True)),
        keys=_dict_keys,
        show=_ordered_form,
        keyed=True,
    )
)
_enter(
    Kind(
        defaultdict,
        _flatten_default,
        lambda c, data: defaultdict(data.factory, zip(data, c, strict=True)),
        keys=_dict_keys,
        show=_default_form,
        keyed=True,
    )
)
_enter(Kind(deque, _flatten_deque, _make_deque, show=_deque_form))


def _named_tuple(cls: Any) -> Kind:
    names = list(cls._fields)
    return Kind(
        cls,
        lambda x: (x, None),
        lambda c, data: cls(*c),
        keys=lambda data, n: [f".{name}" for name in names],
        show=lambda data, c: _call_form(
            cls.__name__, None, [f"{n}={s}" for n, s in zip(names, c, strict=True)]
        ),
    )


# Data that are part of the structure ------------------------------------------------------------


class Static:
    """Named values that belong to the structure: compared and hashed, not differentiated.

    What is `carried` is passed on to the objects that are made, and not compared.
    """

    __slots__ = ("carried", "names", "values")

    def __init__(
        self, names: tuple[str, ...], values: tuple[Any, ...], carried: tuple[Any, ...] = ()
    ) -> None:
        self.names = names
        self.values = values
        self.carried = carried

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.differs(other) is None

    def differs(self, other: Static) -> str | None:
        """The first name whose values differ, None if all agree."""
        for name, a, b in zip(self.names, self.values, other.values, strict=False):
            if not same_value(a, b):
                return name
        odd = set(self.names) ^ set(other.names)
        return min(odd) if odd else None

    def __hash__(self) -> int:  # values may be unhashable; their types are not
        return hash((self.names, *map(type, self.values)))

    def __repr__(self) -> str:
        return ", ".join(f"{n}={v!r}" for n, v in zip(self.names, self.values, strict=True))


def same_value(a: Any, b: Any) -> bool:
    """Whether two values are the same as parts of a structure: type and value agree."""
    if a is b:
        return True
    if type(a) is not type(b) or isinstance(a, Tensor):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


# Dataclasses ------------------------------------------------------------------------------------


class _Dataclass:
    """How instances of one dataclass are taken apart.

    The fields of `__init__` are children unless declared `metadata={"static": True}`; static
    fields are structure.  The other fields come with the structure.  What `__post_init__` computes
    (area = width * height) follows from the children, so it is computed again and not compared:
    as a constant it would silently cut the derivative.
    """

    def __init__(self, cls: Any) -> None:
        self.cls = cls
        fields = dataclasses.fields(cls)
        static = [bool(f.metadata.get("static", False)) for f in fields]
        pairs = list(zip(fields, static, strict=True))
        self.children = tuple(f.name for f, fixed in pairs if f.init and not fixed)
        self.static = tuple(f.name for f, fixed in pairs if fixed)
        self.others = tuple(f.name for f, fixed in pairs if not f.init and not fixed)
        every = cls.__dataclass_fields__.values()
        needs_more = any(f._field_type is dataclasses._FIELD_INITVAR for f in every)  # type: ignore[attr-defined]
        self.finish = None if needs_more else getattr(cls, "__post_init__", None)
        self.defaults = {f.name: f.default for f in fields}
        self.factories: dict[str, Any] = {f.name: f.default_factory for f in fields}

    def flatten(self, x: Any) -> tuple[list[Any], Static | None]:
        children = [getattr(x, name) for name in self.children]
        if not self.static and not self.others:
            return children, None
        fixed = [(name, getattr(x, name)) for name in self.static]
        others = [(name, getattr(x, name)) for name in self.others if hasattr(x, name)]
        if self.finish is not None:
            carried = tuple(pair for pair in others if not _holds_numbers(pair[1]))
            return children, Static(*_columns(fixed), self._initial(carried))
        for name, value in others:
            if value is not self.defaults[name] and _holds_numbers(value):
                raise TypeError(
                    f"the field {name!r} of {self.cls.__name__} holds a tensor or number, but is "
                    "not a field of __init__, and no __post_init__ (without InitVar) computes it "
                    'again; declare it with init=True, or with metadata={"static": True} if it is '
                    "a constant"
                )
        return children, Static(*_columns(fixed + others))

    def _initial(self, carried: tuple[Any, ...]) -> tuple[Any, ...]:
        """What stands in the other fields when `__post_init__` begins."""
        names = set(self.others) - {name for name, _ in carried}
        missing = dataclasses.MISSING
        plain = [(n, self.defaults[n]) for n in names if self.defaults[n] is not missing]
        made = [(n, self.factories[n]()) for n in names if self.factories[n] is not missing]
        return (*plain, *made, *carried)

    def unflatten(self, children: Sequence[Any], data: Static | None) -> Any:
        made = object.__new__(self.cls)
        put = object.__setattr__  # also where the class is frozen
        for name, value in zip(self.children, children, strict=True):
            put(made, name, value)
        if data is not None:
            for name, value in zip(data.names, data.values, strict=True):
                put(made, name, value)
            for name, value in data.carried:
                put(made, name, value)
        if self.finish is not None:
            self.finish(made)
        return made

    def show(self, data: Any, children: list[str]) -> str:
        shown = [f"{n}={s}" for n, s in zip(self.children, children, strict=True)]
        return _call_form(self.cls.__name__, data, shown)


def _dataclass(cls: Any) -> Kind:
    how = _Dataclass(cls)
    return Kind(
        cls,
        how.flatten,
        how.unflatten,
        keys=lambda data, n: [f".{name}" for name in how.children],
        show=how.show,
    )


def _columns(pairs: list[tuple[str, Any]]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    return tuple(name for name, _ in pairs), tuple(value for _, value in pairs)


def _holds_numbers(value: Any) -> bool:
    """Whether a value may have been computed from the children: it has tensors or reals in it."""
    from chainrule.tree.spec import flatten

    return any(isinstance(leaf, _NUMBERS) for leaf in flatten(value)[0])


_NUMBERS = (Tensor, np.ndarray, np.inexact, float, complex)


# Registered types -------------------------------------------------------------------------------


def register(
    cls: type,
    flatten: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten: Callable[[list[Any], Any], Any],
    *,
    names: Callable[[Any], Iterable[str]] | None = None,
    **torch_only: Any,
) -> None:
    """Make instances of `cls` nodes of trees, as PyTorch's `register_pytree_node`.

    Args:
        cls: the type; its subclasses stay what they are.
        flatten: `flatten(obj)` gives the children and data that belong to the structure.
        unflatten: `unflatten(children, data)` makes an object again (PyTorch's order).
        names: `names(data)` gives the name of each child, for paths in messages.
        torch_only: PyTorch's `serialized_type_name` and the like, which have no meaning here.

    Raises:
        TypeError: if `cls` is not a type, or the others are not functions.
        ValueError: if `cls` is registered already.

    >>> import chainrule as cr
    >>> class Pair:
    ...     def __init__(self, left, right):
    ...         self.left, self.right = left, right
    >>> cr.tree.register(Pair, lambda p: ((p.left, p.right), None), lambda c, _: Pair(*c))
    >>> cr.tree.leaves([Pair(1.0, {"a": 2.0})])
    [1.0, 2.0]
    """
    if not isinstance(cls, type):
        raise TypeError(f"register() takes a class first, got {type(cls).__name__}")
    for role, function in (("flatten", flatten), ("unflatten", unflatten)):
        if not callable(function):
            raise TypeError(f"register(): {role} must be a function, got {function!r}")
    for word in torch_only:
        if word not in _TORCH_ONLY:
            raise TypeError(f"register() got an unexpected keyword argument '{word}'")
    if cls in REGISTERED:
        raise ValueError(f"{cls} is already registered as a node of trees")
    if issubclass(cls, (Tensor, np.ndarray)):
        raise ValueError(f"{cls} is a tensor, which is always a leaf, and cannot be registered")

    def take_apart(x: Any) -> tuple[list[Any], Any]:
        found = flatten(x)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                f"the function registered to flatten {cls.__name__} must return "
                f"(children, data), got {type(found).__name__}"
            )
        children, data = found
        return list(children), None if data is None else Static(("data",), (data,))

    def put_together(children: Sequence[Any], data: Static | None) -> Any:
        return unflatten(list(children), None if data is None else data.values[0])

    def keys(data: Static | None, n: int) -> list[str]:
        if names is None:
            return _positions(data, n)
        found = [f".{name}" for name in names(None if data is None else data.values[0])]
        if len(found) != n:
            raise ValueError(
                f"the function registered to name the children of {cls.__name__} gave "
                f"{len(found)} names for {n} children"
            )
        return found

    _enter(Kind(cls, take_apart, put_together, keys=keys))


_TORCH_ONLY = (
    "serialized_type_name", "to_dumpable_context", "from_dumpable_context",
    "flatten_with_keys_fn", "flatten_up_to_fn",
)  # fmt: skip
