"""`Module`: parameters, buffers and submodules by name, and what is done to all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from chainrule.core.dtypes import as_numpy, category, is_inexact
from chainrule.core.modes import refuse_lifted
from chainrule.core.mutation import note_write
from chainrule.core.tensor import Parameter, Tensor, set_requires_grad
from chainrule.nn.module_hooks import Hookable
from chainrule.nn.module_state import Stateful
from chainrule.nn.parameter import is_buffer, replace_array


class Module(Hookable, Stateful):
    """A function with parameters: the base class of layers, losses and networks.

    Subclasses call `super().__init__()`, assign parameters and submodules to attributes, and define
    `forward`; calling the module runs it.

    >>> import chainrule as cr
    >>> class Line(cr.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.slope = cr.nn.Parameter(cr.ones(1))
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> Line()(3.0)
    tensor([3.], grad_fn=<MulBackward0>)
    """

    _tree_leaf = True  # for `chainrule.tree`, also where a subclass is a dataclass
    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self) -> None:
        fields = self.__dict__
        fields["training"] = True
        fields["_parameters"] = {}
        fields["_buffers"] = {}
        fields["_non_persistent_buffers_set"] = set()
        fields["_modules"] = {}

    # Attributes -----------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        if "_modules" in fields:
            if name in (found := fields["_parameters"]):
                return found[name]
            if name in (found := fields["_modules"]):
                return found[name]
            if name in (found := fields["_buffers"]):
                return found[name]
        if name in ("_parameters", "_buffers", "_modules", "training"):
            raise AttributeError(
                f"{type(self).__name__} is used before Module.__init__() ran; call "
                "super().__init__() at the start of its __init__"
            )
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        kind = self._kind_of(value)
        if kind is not None:
            if kind not in fields:
                raise AttributeError(
                    f"cannot assign {_WORD[kind]}s before Module.__init__() call; call "
                    "super().__init__() first"
                )
            for table in ("_parameters", "_buffers", "_modules"):
                if table != kind:
                    fields[table].pop(name, None)
            fields.pop(name, None)
            _REGISTER[kind](self, name, value)
            return
        for table in ("_parameters", "_modules", "_buffers"):
            if table in fields and name in fields[table]:
                if value is not None and not (table == "_buffers" and isinstance(value, Tensor)):
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as {_WORD[table]} '{name}' "
                        f"({_EXPECTED[table]} or None expected)"
                    )
                fields[table][name] = value
                return
        object.__setattr__(self, name, value)

    @staticmethod
    def _kind_of(value: Any) -> str | None:
        """The table that a value registers itself in, or None for an ordinary attribute."""
        if isinstance(value, Parameter):
            return "_parameters"
        if isinstance(value, Module):
            return "_modules"
        return "_buffers" if is_buffer(value) else None

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]  # type: ignore[attr-defined]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*object.__dir__(self), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[:1].isdigit())

    # Registration ---------------------------------------------------------------------------

    def _check_name(self, name: Any, kind: str) -> None:
        """Raise if `name` cannot be the name of a new entry of this kind."""
        word = _WORD[kind]
        if kind not in self.__dict__:
            raise AttributeError(f"cannot assign {word} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{word} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{word} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{word} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[kind]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name.

        Raises:
            KeyError: if the name is taken, empty or has a dot.
            TypeError: if `param` is not a Parameter.
        """
        self._check_name(name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(chainrule.nn.Parameter or None required)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is not learned; a persistent one is part of the `state_dict`.

        Raises:
            KeyError: if the name is taken, empty or has a dot.
            TypeError: if `tensor` is not a tensor.
        """
        self._check_name(name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(chainrule.Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under `name`; None reserves the name.

        Raises:
            KeyError: if the name is taken, empty or has a dot.
            TypeError: if `module` is not a Module.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, "_modules")
        self._modules[name] = module

    add_module = register_module

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; the module itself for "".

        Raises:
            AttributeError: if a name on the path is missing or is not a module.
        """
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module  # type: ignore[no-any-return]

    def set_submodule(self, target: str, module: Module) -> None:
        """Put `module` in the place at a dotted path.

        Raises:
            AttributeError: if the path before the last name does not exist.
        """
        parent, _, name = target.rpartition(".")
        setattr(self.get_submodule(parent), name, module)

    def _get_tensor(self, target: str, table: str) -> Any:
        parent, _, name = target.rpartition(".")
        module = self.get_submodule(parent)
        if name not in module.__dict__[table]:
            if hasattr(module, name):
                raise AttributeError(f"`{name}` is not an nn.{_WORD[table].capitalize()}")
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        return module.__dict__[table][name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.

        Raises:
            AttributeError: if there is none.
        """
        return self._get_tensor(target, "_parameters")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path.

        Raises:
            AttributeError: if there is none.
        """
        return self._get_tensor(target, "_buffers")

    # Traversal ------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """All modules below and including this one, with their dotted paths."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """All modules below and including this one, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        return (module for _, module in self.named_children())

    def _named_tensors(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        pairs = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in pairs:
            for name, tensor in module.__dict__[table].items():
                if tensor is None or id(tensor) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(tensor))
                yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names, each once."""
        return self._named_tensors("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer takes."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names, each once."""
        return self._named_tensors("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    # Done to all ----------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Call `fn` on every module, children first, and return this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Any:
        """Set training mode, which dropout and batch normalisation look at.

        Raises:
            ValueError: if `mode` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Any:
        """Set evaluation mode: the same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Start or stop recording for all parameters; returns the module."""
        for p in self.parameters():
            set_requires_grad(p, requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        zero_grads(self.parameters(), set_to_none)

    def _convert(self, convert: Callable[[Any], Any]) -> Any:
        """Replace the array of every parameter, gradient and buffer; the tensors stay the same."""
        for tensor in [*self.parameters(), *self.buffers()]:
            array = convert(tensor.array)
            if array is not tensor.array:
                replace_array(tensor, array)
            if tensor._grad is not None:
                replace_array(tensor._grad, convert(tensor._grad.array))
        return self

    def type(self, dst_type: Any) -> Any:
        """Convert all parameters and buffers to a dtype."""
        dt = as_numpy(dst_type)
        return self._convert(lambda a: a.astype(dt, copy=False))

    def to(self, *args: Any, dtype: Any = None, device: Any = None, **_: Any) -> Any:
        """Convert parameters and buffers of floating point to a dtype; the only device is the CPU.

        Raises:
            TypeError: for a dtype that is neither floating point nor complex.
            RuntimeError: for a device other than the CPU.
        """
        for given in args:
            if isinstance(given, Tensor):
                dtype = given.array.dtype
            elif isinstance(given, (str, int)) or hasattr(given, "index"):
                device = given
            elif given is not None and not isinstance(given, bool):
                dtype = given
        if device is not None and str(getattr(device, "type", device)) != "cpu":
            raise RuntimeError(f"chainrule computes on the CPU; cannot move a module to {device!r}")
        if dtype is None:
            return self
        dt = as_numpy(dtype)
        if category(dt) < 2:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )
        return self._convert(lambda a: a.astype(dt, copy=False) if is_inexact(a.dtype) else a)

    def float(self) -> Any:
        """Convert parameters and buffers of floating point to float32."""
        return self.to(dtype=np.float32)

    def double(self) -> Any:
        """Convert parameters and buffers of floating point to float64."""
        return self.to(dtype=np.float64)

    def half(self) -> Any:
        """Convert parameters and buffers of floating point to float16."""
        return self.to(dtype=np.float16)

    def bfloat16(self) -> Any:
        """Convert parameters and buffers of floating point to bfloat16."""
        return self.to(dtype="bfloat16")

    def cpu(self) -> Any:
        """The module itself: everything is on the CPU."""
        return self

    # Printing -------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of a module's printed form."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({n}): {indented(repr(m))}" for n, m in self._child_reprs()]
        name = self._get_name()
        if len(lines) <= 1 and not children:
            return f"{name}({extra})"
        return "\n  ".join([f"{name}(", *lines, *children]) + "\n)"

    def _child_reprs(self) -> Iterable[tuple[str, Any]]:
        return self._modules.items()


def indented(text: str) -> str:
    """The text with all lines but the first moved right by two spaces."""
    return text.replace("\n", "\n  ")


def zero_grads(tensors: Iterable[Tensor], set_to_none: bool = True) -> None:
    """Drop the gradients of the tensors, or fill them with zeros in place."""
    refuse_lifted("zero_grad")
    for t in tensors:
        if set_to_none:
            t._grad = None
        elif t._grad is not None:
            t._grad.array[...] = 0
            t._grad.node = None
            note_write(t._grad.array)


def _register_buffer(module: Module, name: str, value: Tensor) -> None:
    module.register_buffer(name, value, value.__dict__["persistent"])


_WORD = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "module"}
_EXPECTED = {
    "_parameters": "chainrule.nn.Parameter",
    "_buffers": "chainrule.Tensor",
    "_modules": "chainrule.nn.Module",
}
_REGISTER: dict[str, Callable[[Module, str, Any], None]] = {
    "_parameters": Module.register_parameter,
    "_buffers": _register_buffer,
    "_modules": Module.register_module,
}
