"""Calling a module, and the hooks around the call and around its part of a backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.core.avals import same
from chainrule.core.batching import all_mapped
from chainrule.core.boxes import bottom, is_box
from chainrule.core.hooks import RemovableHandle, add_hook
from chainrule.core.kinds import general
from chainrule.core.node import extra_of
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops.explain import explain

# The identity on several tensors at once: one node that all gradients entering or leaving a module
# pass together.  It copies, so that writing to the result in place does not reach the arguments.
boundary = general(
    "module_boundary",
    lambda *xs: tuple(x.copy() for x in xs),
    vjp=lambda g, need: tuple(gi if n else None for gi, n in zip(g, need, strict=True)),
    jvp=lambda t: tuple(t),
    samples=lambda: [Sample(uniform(2, 3), uniform(3, seed=1)), Sample(uniform())],
    grad_name="ModuleBoundary",
    batch=lambda prim, size, args, mapped, params: prim(*all_mapped(size, args, mapped)),
    aval=lambda *xs: tuple(map(same, xs)),
)


class HookTable:
    """The hooks of one module, by the moment they run."""

    def __init__(self) -> None:
        self.before: dict[int, Any] = {}
        self.after: dict[int, Any] = {}
        self.backward: dict[int, Any] = {}
        self.backward_pre: dict[int, Any] = {}
        self.with_kwargs: set[int] = set()
        self.always: set[int] = set()

    def add(self, hooks: dict[int, Any], hook: Any, prepend: bool) -> RemovableHandle:
        """Enter a hook in one of the tables, at its end or at its beginning."""
        handle = add_hook(hooks, hook)
        if prepend:
            others = [(key, h) for key, h in hooks.items() if key != handle.id]
            hooks.clear()
            hooks.update([(handle.id, hook), *others])
        return handle


class Hookable:
    """The part of `Module` that is called."""

    _hooks: HookTable | None = None
    forward: Callable[..., Any]

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[no-redef]
        """What the module computes; subclasses define it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._hooks is None:
                return self.forward(*args, **kwargs)
            return _call_with_hooks(self, self._hooks, args, kwargs)
        except Exception as error:
            explain(error, self.forward, type(self).__name__, args, kwargs)
            raise

    def _hook_table(self) -> HookTable:
        if self._hooks is None:
            self.__dict__["_hooks"] = HookTable()
        assert self._hooks is not None
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns replaces the arguments.

        With `with_kwargs` the call is `hook(module, args, kwargs)`, returning a pair or None.
        """
        table = self._hook_table()
        handle = table.add(table.before, hook, prepend)
        if with_kwargs:
            table.with_kwargs.add(handle.id)
        return handle

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:  # fmt: skip
        """Call `hook(module, args, output)` after `forward`; what it returns replaces the output.

        With `always_call` the hook also runs, with output None, when `forward` raised.
        """
        table = self._hook_table()
        handle = table.add(table.after, hook, prepend)
        if with_kwargs:
            table.with_kwargs.add(handle.id)
        if always_call:
            table.always.add(handle.id)
        return handle

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the module's inputs got gradients.

        What it returns replaces `grad_input`.
        """
        table = self._hook_table()
        return table.add(table.backward, hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's part of a backward pass.

        What it returns replaces `grad_output`.
        """
        table = self._hook_table()
        return table.add(table.backward_pre, hook, prepend)


def _call_with_hooks(module: Any, table: HookTable, args: Any, kwargs: Any) -> Any:
    ran: set[int] = set()
    try:
        args, kwargs = _run_pre_hooks(module, table, args, kwargs)
        watch = _BackwardWatch(module, table) if table.backward or table.backward_pre else None
        if watch is not None:
            args = watch.enter(args)
        output = module.forward(*args, **kwargs)
        for key, hook in list(table.after.items()):
            ran.add(key)
            extra = (kwargs,) if key in table.with_kwargs else ()
            result = hook(module, args, *extra, output)
            output = output if result is None else result
        return output if watch is None else watch.leave(output)
    except BaseException:
        for key, hook in list(table.after.items()):
            if key in table.always and key not in ran:
                extra = (kwargs,) if key in table.with_kwargs else ()
                hook(module, args, *extra, None)
        raise


def _run_pre_hooks(module: Any, table: HookTable, args: Any, kwargs: Any) -> tuple[Any, Any]:
    for key, hook in list(table.before.items()):
        if key in table.with_kwargs:
            result = hook(module, args, kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {result}."
                    )
                args, kwargs = result
        else:
            result = hook(module, args)
            if result is not None:
                args = result if isinstance(result, tuple) else (result,)
    return args, kwargs


class _BackwardWatch:
    """One call of a module with backward hooks: boundaries put on its inputs and outputs."""

    def __init__(self, module: Any, table: HookTable) -> None:
        self.module = module
        self.table = table
        self.inputs = 0
        self.has_input_node = False
        self.grad_output: tuple[Any, ...] = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments with a boundary on the tensors among them that require grad."""
        self.inputs = len(args)
        replaced, node, places = _put_boundary(args)
        if node is None:
            return args
        self.has_input_node = True

        def leaving(grads: Any, _: Any) -> Any:
            grad_input = _spread(grads, places, self.inputs)
            grad_input = self.run_hooks(grad_input)
            return tuple(grad_input[i] for i in places)

        add_hook(extra_of(node).post_hooks, leaving)
        return replaced

    def leave(self, output: Any) -> Any:
        """The output with a boundary on its tensors, if it is a tensor or a sequence of them."""
        several = isinstance(output, (tuple, list))
        outs = tuple(output) if several else (output,)
        replaced, node, places = _put_boundary(outs)
        if node is None:
            return output

        def arriving(grads: Any) -> Any:
            grad_output = _spread(grads, places, len(outs))
            for hook in list(self.table.backward_pre.values()):
                result = hook(self.module, grad_output)
                if result is not None:
                    grad_output = _as_grads(result, grad_output, "backward pre hook")
            self.grad_output = grad_output
            if not self.has_input_node:
                none = (None,) * self.inputs
                if any(g is not None for g in self.run_hooks(none)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
            return tuple(grad_output[i] for i in places)

        add_hook(extra_of(node).pre_hooks, arriving)
        if not several:
            return replaced[0]
        return type(output)(*replaced) if hasattr(output, "_fields") else type(output)(replaced)

    def run_hooks(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        """Run the user's hooks; each may replace the gradients of the inputs."""
        for hook in list(self.table.backward.values()):
            result = hook(self.module, grad_input, self.grad_output)
            if result is not None:
                grad_input = _as_grads(result, grad_input, "backward hook")
        return grad_input


def _put_boundary(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, list[int]]:
    """The values with recorded tensors passed through a boundary, its node, and their places."""
    tensors = [(i, v) for i, v in enumerate(values) if isinstance(v, Tensor)]
    places = [i for i, v in tensors if v.node is not None]
    for _, v in tensors:
        if is_box(v) and bottom(v).node is not None:
            raise RuntimeError(
                f"{v.tag.title}: a module with backward hooks was called, but inside {v.tag.title} "
                "a gradient is that of many examples or directions at once, which hooks do not "
                "understand; remove the hooks, or call the module outside"
            )
    if not places:
        return values, None, places
    passed = boundary(*[values[i] for i in places])
    replaced = list(values)
    for i, tensor in zip(places, passed, strict=True):
        replaced[i] = tensor
    if passed[0].node is None:
        return values, None, places
    return tuple(replaced), passed[0].node.parents[0], places


def _spread(grads: Any, places: list[int], size: int) -> tuple[Any, ...]:
    """Gradients at their places among `size` values, None elsewhere."""
    spread: list[Any] = [None] * size
    for place, g in zip(places, grads, strict=True):
        spread[place] = g
    return tuple(spread)


def _as_grads(result: Any, old: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """A hook's result as a tuple of as many gradients as before."""
    result = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    if len(result) != len(old):
        raise RuntimeError(
            f"{what} returned an invalid number of grad_input, got {len(result)}, but expected "
            f"{len(old)}"
        )
    return result
