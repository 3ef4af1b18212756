"""JAX under the names that fuzzed programs use: the same source runs on both libraries."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from tests.fuzz.program import Pair

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)  # every program runs once
jax.tree_util.register_dataclass(Pair, ["left", "right"], [])

float64 = jnp.float64


def tensor(data, dtype=None):
    """Indices and masks stay NumPy's: they are constants even while JAX traces."""
    return np.asarray(data) if dtype is None else jnp.asarray(data, dtype)


def zeros(*shape, dtype):
    return jnp.zeros(shape, dtype)


def vmap(f, in_dims=0, out_dims=0):
    return jax.vmap(f, in_axes=in_dims, out_axes=out_dims)


def grad_and_value(f, argnums=0):
    def both(*args):
        value, grad = jax.value_and_grad(f, argnums)(*args)
        return grad, value

    return both


def axis_of(dim):
    return tuple(dim) if isinstance(dim, list) else dim


def reduction(f):
    return lambda x, dim=None, keepdim=False: f(x, axis=axis_of(dim), keepdims=keepdim)


def along(f):
    return lambda x, dim: f(x, axis=dim)


def clamp(x, low, high):
    return jnp.minimum(jnp.maximum(x, low), high)


def var(x, dim, correction=1, keepdim=False):
    return jnp.var(x, axis=dim, ddof=correction, keepdims=keepdim)


def taylor(f, x, v, order):
    """Normalised Taylor coefficients by nested forward mode."""
    line = lambda t: f(x + t * v)
    coefficients, scale = [], 1.0
    for k in range(order + 1):
        coefficients.append(line(0.0) / scale)
        line, scale = derivative(line), scale * (k + 1)
    return coefficients


def sqrt(x):
    """The square root, with derivative 0 instead of nan where a program does not select it."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), jnp.nan)


def derivative(f):
    return lambda t: jax.jvp(f, (t,), (1.0,))[1]


NAMES = SimpleNamespace(
    float64=float64,
    tensor=tensor,
    zeros=zeros,
    eye=lambda n, dtype: jnp.eye(n, dtype=dtype),
    zeros_like=jnp.zeros_like,
    ones_like=jnp.ones_like,
    clone=lambda x: x,
    detach=jax.lax.stop_gradient,
    sin=jnp.sin,
    cos=jnp.cos,
    tanh=jnp.tanh,
    exp=jnp.exp,
    expm1=jnp.expm1,
    sqrt=sqrt,
    rsqrt=jax.lax.rsqrt,
    log=jnp.log,
    log1p=jnp.log1p,
    atan=jnp.arctan,
    asinh=jnp.arcsinh,
    erf=jax.scipy.special.erf,
    sigmoid=jax.nn.sigmoid,
    relu=jax.nn.relu,
    abs=jnp.abs,
    square=jnp.square,
    reciprocal=jnp.reciprocal,
    clamp=clamp,
    maximum=jnp.maximum,
    minimum=jnp.minimum,
    atan2=jnp.arctan2,
    hypot=jnp.hypot,
    logaddexp=jnp.logaddexp,
    pow=jnp.power,
    where=jnp.where,
    sum=reduction(jnp.sum),
    mean=reduction(jnp.mean),
    amax=reduction(jnp.max),
    amin=reduction(jnp.min),
    prod=reduction(jnp.prod),
    logsumexp=reduction(jax.scipy.special.logsumexp),
    var=var,
    cumsum=along(jnp.cumsum),
    cumprod=along(jnp.cumprod),
    softmax=along(jax.nn.softmax),
    log_softmax=along(jax.nn.log_softmax),
    sort=lambda x, dim: (jnp.sort(x, axis=dim), None),
    flip=lambda x, dims: jnp.flip(x, dims),
    roll=lambda x, shifts, dims: jnp.roll(x, shifts, dims),
    matmul=jnp.matmul,
    dot=jnp.dot,
    outer=jnp.outer,
    einsum=jnp.einsum,
    trace=jnp.trace,
    diagonal=jnp.diagonal,
    tril=jnp.tril,
    triu=jnp.triu,
    reshape=jnp.reshape,
    flatten=jnp.ravel,
    permute=jnp.transpose,
    movedim=jnp.moveaxis,
    unsqueeze=jnp.expand_dims,
    squeeze=jnp.squeeze,
    broadcast_to=jnp.broadcast_to,
    cat=lambda xs, dim=0: jnp.concatenate(xs, axis=dim),
    stack=lambda xs, dim=0: jnp.stack(xs, axis=dim),
    unbind=lambda x: tuple(x),
    tile=jnp.tile,
    take_along_dim=lambda x, index, dim: jnp.take_along_axis(x, index, axis=dim),
    index_select=lambda x, dim, index: jnp.take(x, index, axis=dim),
    taylor=taylor,
    linalg=jnp.linalg,
    func=SimpleNamespace(
        grad=jax.grad,
        grad_and_value=grad_and_value,
        vjp=jax.vjp,
        jvp=jax.jvp,
        linearize=jax.linearize,
        jacrev=lambda f, argnums=0: jax.jacrev(f, argnums),
        jacfwd=lambda f, argnums=0: jax.jacfwd(f, argnums),
        hessian=jax.hessian,
        vmap=vmap,
    ),
)


def examine(program, x, v, w):
    """Value, gradient and Hessian-vector product of a program's weighted outputs, in float64."""
    f = program.load(NAMESPACE, "jax")
    loss = lambda x: jnp.sum(f(x) * w)

    def everything(x, v):
        value, g = jax.value_and_grad(loss)(x)
        return value, g, jax.jvp(jax.grad(loss), (x,), (v,))[1]

    if program.branches:  # on values, which only a run without compilation has
        with jax.disable_jit():
            return everything(jnp.asarray(x), jnp.asarray(v))
    return jax.jit(everything)(x, v)


NAMESPACE = {"cr": NAMES, "Pair": Pair}
