"""What the programs need of each library, under the same names.

`np` is a namespace with NumPy's names, to be used with positional arguments only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Function = Callable[..., Any]


class Library:
    """A library that differentiates.

    Attributes:
        name: for the table.
        np: its namespace with NumPy's names.
        transforms: whether it has vmap, jvp, jacfwd and jacrev.
    """

    name: str
    np: Any
    transforms = True

    def array(self, x: Any) -> Any:
        """An array of the library, made before anything is timed."""
        return x

    def program(self, f: Function, *args: Any) -> Function:
        """What is called: f compiled, where the library compiles. Nothing runs yet."""
        return f

    def ready(self, result: Any) -> Any:
        """The result, when it has been computed."""
        return result

    def numpy(self, x: Any) -> np.ndarray:
        return np.asarray(x)

    def logsumexp(self, x: Any, axis: int) -> Any:
        raise NotImplementedError

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        raise NotImplementedError

    def vmap(self, f: Function, axes: Any = 0) -> Function:
        raise NotImplementedError

    def jvp(self, f: Function, x: Any, t: Any) -> Any:
        raise NotImplementedError

    def jacfwd(self, f: Function, argnums: Any = 0) -> Function:
        raise NotImplementedError

    def jacrev(self, f: Function, argnums: Any = 0) -> Function:
        raise NotImplementedError

    def written(self, shape: Sequence[int], index: Any, values: Any) -> Any:
        """Zeros with values written at an index, in the library's way of writing."""
        raise NotImplementedError


class Chainrule(Library):
    name = "chainrule"

    def __init__(self) -> None:
        import chainrule as cr

        self.np = cr
        self.func = cr.func

    def program(self, f: Function, *args: Any) -> Function:
        return compiled_call(f, *args)

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.np.logsumexp(x, axis)

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.func.grad(f, argnums=argnums)

    def vmap(self, f: Function, axes: Any = 0) -> Function:
        return self.func.vmap(f, axes)

    def jvp(self, f: Function, x: Any, t: Any) -> Any:
        return self.func.jvp(f, (x,), (t,))

    def jacfwd(self, f: Function, argnums: Any = 0) -> Function:
        return self.func.jacfwd(f, argnums=argnums)

    def jacrev(self, f: Function, argnums: Any = 0) -> Function:
        return self.func.jacrev(f, argnums=argnums)

    def written(self, shape: Sequence[int], index: Any, values: Any) -> Any:
        made = self.np.zeros(tuple(shape), dtype=values.dtype)
        made[index] = values
        return made


class Jax(Library):
    name = "JAX"

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        self.jax = jax
        self.np = jnp

    def array(self, x: Any) -> Any:
        return self.np.asarray(x)

    def program(self, f: Function, *args: Any) -> Function:
        return self.jax.jit(f)

    def ready(self, result: Any) -> Any:
        return self.jax.block_until_ready(result)

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.jax.nn.logsumexp(x, axis)

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.jax.grad(f, argnums)

    def vmap(self, f: Function, axes: Any = 0) -> Function:
        return self.jax.vmap(f, axes)

    def jvp(self, f: Function, x: Any, t: Any) -> Any:
        return self.jax.jvp(f, (x,), (t,))

    def jacfwd(self, f: Function, argnums: Any = 0) -> Function:
        return self.jax.jacfwd(f, argnums)

    def jacrev(self, f: Function, argnums: Any = 0) -> Function:
        return self.jax.jacrev(f, argnums)

    def written(self, shape: Sequence[int], index: Any, values: Any) -> Any:
        zeros = self.np.zeros(shape, values.dtype)
        return zeros.at[index].set(values, unique_indices=True)


class Torch(Library):
    name = "PyTorch"

    def __init__(self) -> None:
        import torch

        self.np = self.torch = torch
        self.func = torch.func

    def array(self, x: Any) -> Any:
        return self.torch.tensor(np.asarray(x)) if isinstance(x, np.ndarray) else x

    def numpy(self, x: Any) -> np.ndarray:
        return x.detach().numpy()  # type: ignore[no-any-return]

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.torch.logsumexp(x, axis)

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.func.grad(f, argnums)

    def vmap(self, f: Function, axes: Any = 0) -> Function:
        return self.func.vmap(f, axes)

    def jvp(self, f: Function, x: Any, t: Any) -> Any:
        return self.func.jvp(f, (x,), (t,))

    def jacfwd(self, f: Function, argnums: Any = 0) -> Function:
        return self.func.jacfwd(f, argnums)

    def jacrev(self, f: Function, argnums: Any = 0) -> Function:
        return self.func.jacrev(f, argnums)

    def written(self, shape: Sequence[int], index: Any, values: Any) -> Any:
        return self.torch.zeros(tuple(shape), dtype=values.dtype).index_put(index, values)


class TorchCompile(Torch):
    name = "torch.compile"

    def program(self, f: Function, *args: Any) -> Function:
        return self.torch.compile(f, dynamic=False)  # type: ignore[no-any-return]


class Hips(Library):
    name = "autograd"
    transforms = False

    def __init__(self) -> None:
        import autograd
        import autograd.numpy as anp
        from autograd.scipy.special import logsumexp

        self.autograd = autograd
        self.np = anp
        self._logsumexp = logsumexp

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self._logsumexp(x, axis)

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.autograd.grad(f, argnums)  # type: ignore[no-any-return]


class NumPy(Library):
    """Derivatives written by hand."""

    name = "NumPy by hand"
    transforms = False
    np = np


def compiled_call(f: Function, *args: Any) -> Function:
    """f traced, optimised and compiled at the first call, called with arrays as f is."""
    import chainrule as cr
    from chainrule.jit.execute import compiled

    made: list[Function] = []

    def call(*given: Any) -> Any:
        if not made:
            made.append(compiled(cr.graph.trace(f, *args).optimize()))
        return made[0](*given)

    return call


def available() -> list[Library]:
    """The libraries that are installed."""
    found: list[Library] = []
    for library in (Chainrule, Jax, TorchCompile, Torch, Hips, NumPy):
        try:
            found.append(library())
        except ImportError as error:
            print(f"{library.name} is left out: {error}")
    return found
