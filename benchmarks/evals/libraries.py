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
        F: its functions of neural networks, under PyTorch's names.
        transforms: whether it has vmap, jvp, jacfwd and jacrev.
        ahead: whether `program` compiles at once, without running anything.
    """

    name: str
    np: Any
    F: Any = None
    transforms = True
    ahead = False

    def array(self, x: Any) -> Any:
        """An array of the library, made before anything is timed."""
        return x

    def program(self, f: Function, *args: Any, given_up: tuple[int, ...] = ()) -> Function:
        """What is called: f compiled for such arguments, where the library compiles.

        Args:
            given_up: arguments whose memory the results may take.
        """
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

    def value_and_grad(self, f: Function, argnums: Any = 0) -> Function:
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
        self.F = cr.nn.functional

    def program(self, f: Function, *args: Any, given_up: tuple[int, ...] = ()) -> Function:
        if not self.ahead:
            return self.np.jit(f)  # type: ignore[no-any-return]
        from chainrule.compiler.execute import compiled

        return compiled(self.np.graph.trace(f, *args).optimize())

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.np.logsumexp(x, axis)

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.func.grad(f, argnums=argnums)

    def value_and_grad(self, f: Function, argnums: Any = 0) -> Function:
        both = self.func.grad_and_value(f, argnums=argnums)
        return lambda *args: both(*args)[::-1]

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
        self.F = JaxFunctional(jax)

    def array(self, x: Any) -> Any:
        return self.np.asarray(x)

    def program(self, f: Function, *args: Any, given_up: tuple[int, ...] = ()) -> Function:
        made = self.jax.jit(f, donate_argnums=given_up)
        return made.lower(*args).compile() if self.ahead else made

    def ready(self, result: Any) -> Any:
        return self.jax.block_until_ready(result)

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.jax.nn.logsumexp(x, axis)

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.jax.grad(f, argnums)

    def value_and_grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.jax.value_and_grad(f, argnums)

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
        self.F = torch.nn.functional

    def array(self, x: Any) -> Any:
        return self.torch.tensor(np.asarray(x)) if isinstance(x, np.ndarray) else x

    def numpy(self, x: Any) -> np.ndarray:
        return x if isinstance(x, np.ndarray) else x.detach().numpy()

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.torch.logsumexp(x, axis)

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.func.grad(f, argnums)

    def value_and_grad(self, f: Function, argnums: Any = 0) -> Function:
        both = self.func.grad_and_value(f, argnums)
        return lambda *args: both(*args)[::-1]

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

    def __init__(self) -> None:
        super().__init__()
        # Every size and way of a case is compiled, not only the first eight of a function.
        self.torch._dynamo.config.recompile_limit = 1000

    def program(self, f: Function, *args: Any, given_up: tuple[int, ...] = ()) -> Function:
        return self.torch.compile(f, dynamic=False)  # type: ignore[no-any-return]


class Hips(Library):
    name = "autograd"
    transforms = False

    def __init__(self) -> None:
        import autograd.numpy as anp
        from autograd.scipy.special import logsumexp

        import autograd

        self.autograd = autograd
        self.np = anp
        self._logsumexp = logsumexp

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self._logsumexp(x, axis)

    def grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.autograd.grad(f, argnums)  # type: ignore[no-any-return]

    def value_and_grad(self, f: Function, argnums: Any = 0) -> Function:
        return self.autograd.value_and_grad(f, argnums)  # type: ignore[no-any-return]


class NumPy(Library):
    """Derivatives written by hand."""

    name = "NumPy by hand"
    transforms = False
    np = np


class JaxFunctional:
    """Functions of neural networks as a JAX user writes them, under PyTorch's names."""

    def __init__(self, jax: Any) -> None:
        self.jax = jax
        self.relu = jax.nn.relu

    def gelu(self, x: Any) -> Any:
        return self.jax.nn.gelu(x, approximate=False)

    def layer_norm(self, x: Any, shape: Any, weight: Any, bias: Any) -> Any:
        y = x - x.mean(-1, keepdims=True)
        scale = self.jax.lax.rsqrt((y * y).mean(-1, keepdims=True) + 1e-5)
        return y * scale * weight + bias

    def cross_entropy(self, x: Any, labels: Any) -> Any:
        hot = self.jax.nn.one_hot(labels, x.shape[1], dtype=x.dtype)
        return -(self.jax.nn.log_softmax(x, 1) * hot).sum() / x.shape[0]


def available() -> list[Library]:
    """The libraries that are installed."""
    found: list[Library] = []
    for library in (Chainrule, Jax, TorchCompile, Torch, Hips, NumPy):
        try:
            found.append(library())
        except ImportError as error:
            print(f"{library.name} is left out: {error}")
    return found
