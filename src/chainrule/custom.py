"""`custom_rule`: a function whose derivative the user states.  See `docs/custom_rules.md`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from chainrule import tree
from chainrule.autograd.custom_primitive import Leaves, Rules, custom_function
from chainrule.core.boxes import Box
from chainrule.core.dtypes import is_inexact
from chainrule.core.node import Aval
from chainrule.core.tensor import Tensor
from chainrule.transforms.inputs import as_given, as_tensor, fitting, gives_arrays, outputs
from chainrule.tree import Spec

Function = Callable[..., Any]
MAPPINGS = {
    "derived": "derived",
    "leading": "the function itself, on leading axes",
    "loop": "a loop over the examples",
}


class CustomRule:
    """A function with a derivative of the user's; made by `custom_rule`.

    Attributes:
        covers: for each mode of differentiation, where its rule comes from.
    """

    def __init__(self, fun: Function, nondiff_argnums: Sequence[int], vmap: str) -> None:
        if not callable(fun):
            raise TypeError(f"custom_rule takes a function, got {type(fun).__name__}")
        if vmap not in MAPPINGS:
            raise ValueError(f"custom_rule: vmap is one of {', '.join(MAPPINGS)}, got {vmap!r}")
        functools.update_wrapper(self, fun)
        self._name: str = getattr(fun, "__name__", type(fun).__name__)
        self._fun = fun
        self._signature = _signature(fun)
        self._arity = None if self._signature is None else len(self._signature.parameters)
        self._nondiff = tuple(nondiff_argnums)
        self._vmap = vmap
        self._jvp: Function | None = None
        self._fwd: Function | None = None
        self._bwd: Function | None = None
        self._linear = False
        self._transpose: Function | None = None
        self._function = custom_function(self._name)

    # ------------------------------------------------------------ the rules

    def defjvp(self, rule: Function) -> Function:
        """State the derivative along a direction; may be used as a decorator.

        Args:
            rule: `rule(primals, tangents)`, two tuples with one entry per argument, returns the
                output and its tangent, which is linear in the tangents.  Arguments that are not
                differentiated come first.

        >>> import chainrule as cr
        >>> @cr.custom_rule
        ... def cube(x):
        ...     return x**3
        >>> @cube.defjvp
        ... def cube_jvp(primals, tangents):
        ...     (x,), (t,) = primals, tangents
        ...     return cube(x), 3 * x * x * t
        >>> cr.func.grad(cube)(cr.tensor(2.0))
        tensor(12.)
        """
        self._jvp = _callable(rule, "defjvp")
        return rule

    def defjvps(self, *rules: Function | None) -> None:
        """State the derivative argument by argument: `rule(tangent, output, *primals)`.

        The tangents are added up; None stands for an argument with derivative zero.

        >>> import chainrule as cr
        >>> @cr.custom_rule
        ... def times(x, y):
        ...     return x * y
        >>> times.defjvps(lambda t, out, x, y: t * y, lambda t, out, x, y: x * t)
        >>> cr.func.grad(times, 1)(cr.tensor(2.0), cr.tensor(3.0))
        tensor(2.)
        """

        def rule(*given: Any) -> Any:
            *static, primals, tangents = given
            out = self(*self._merged(static, primals))
            terms = [
                r(t, out, *static, *primals)
                for r, t in zip(rules, tangents, strict=True)
                if r is not None
            ]
            if not terms:
                return out, tree.map(lambda y: None, out)
            return out, functools.reduce(lambda a, b: tree.map(lambda x, y: x + y, a, b), terms)

        self._jvp = rule

    def defvjp(self, fwd: Function, bwd: Function) -> None:
        """State the derivative backwards.

        Args:
            fwd: `fwd(*args)` returns the output, and residuals: any tree, kept for `bwd`.
            bwd: `bwd(residuals, g)`, with a cotangent of the output's structure, returns a tuple
                with one gradient per argument, None for zero; it is linear in g.  Arguments that
                are not differentiated come first, and get no gradient.

        >>> import chainrule as cr
        >>> @cr.custom_rule
        ... def cube(x):
        ...     return x**3
        >>> cube.defvjp(lambda x: (cube(x), x), lambda x, g: (g * 3 * x * x,))
        >>> cr.func.jvp(cube, (cr.tensor(2.0),), (cr.tensor(1.0),))
        (tensor(8.), tensor(12.))
        """
        self._fwd, self._bwd = _callable(fwd, "defvjp"), _callable(bwd, "defvjp")

    def deflinear(self, transpose: Function | None = None) -> None:
        """State that the function is linear in its differentiated arguments together.

        Args:
            transpose: `transpose(g)` returns a tuple with one entry per argument; arguments that
                are not differentiated come first.  None: derived by transposing a record of the
                function, which then has to consist of recorded operations.

        >>> import chainrule as cr
        >>> @cr.custom_rule
        ... def reverse(x):
        ...     return cr.from_numpy(x.numpy()[::-1].copy())
        >>> reverse.deflinear(lambda g: (reverse(g),))
        >>> cr.func.grad(lambda x: reverse(x)[0])(cr.tensor([1.0, 2.0]))
        tensor([0., 1.])
        """
        self._linear = True
        self._transpose = None if transpose is None else _callable(transpose, "deflinear")

    @property
    def covers(self) -> dict[str, str]:
        """For each mode where its rule comes from: `jvp`, `vjp`, `vmap`, `taylor`."""
        given_vjp = self._bwd is not None or self._transpose is not None
        if not (self._jvp or given_vjp or self._linear):
            return dict.fromkeys(("jvp", "vjp", "vmap", "taylor"), "missing: state a rule")
        if self._jvp is not None:
            jvp = "given"
        else:
            jvp = "the function itself" if self._linear else "derived from vjp by transposition"
        vjp = "given" if given_vjp else "derived from jvp by transposition"
        return {"jvp": jvp, "vjp": vjp, "vmap": MAPPINGS[self._vmap], "taylor": "derived from jvp"}

    def __repr__(self) -> str:
        modes = ", ".join(f"{mode}: {how}" for mode, how in self.covers.items())
        return f"<custom_rule {self._name}: {modes}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    # ------------------------------------------------------------ a call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value of the function.

        Raises:
            RuntimeError: if no rule was stated, or outputs are not tensors.
        """
        if not (self._jvp or self._bwd or self._linear):
            raise RuntimeError(
                f"{self._name} is a custom_rule without a rule: state its derivative with "
                f"{self._name}.defjvp(rule), {self._name}.defvjp(fwd, bwd) or "
                f"{self._name}.deflinear()"
            )
        call = Call(self, self._positional(args, kwargs))
        tensors = call.take_tensors()
        rules = call.rules()
        outs = self._function.apply(rules, *tensors)
        used = call if rules.twin is None else rules.twin.owner
        return used.out_spec.unflatten([as_given(y, call.arrays) for y in outs])

    def _positional(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, defaults filled in."""
        if self._signature is None and kwargs:
            raise TypeError(f"{self._name}: pass arguments by position")
        if self._signature is None or (len(args) == self._arity and not kwargs):
            return tuple(args)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(
                f"{self._name}: keyword-only arguments ({', '.join(bound.kwargs)}) have no place in"
                " a custom rule; make them positional"
            )
        return bound.args

    def _merged(self, static: Sequence[Any], primals: Sequence[Any]) -> list[Any]:
        """All arguments from those that are not differentiated and those that are."""
        merged = list(primals)
        n = len(static) + len(primals)
        for i, x in sorted(zip([j % n for j in self._nondiff], static, strict=True)):
            merged.insert(i, x)
        return merged


class Call:
    """One call: the structure of its arguments, and the rules on their leaves."""

    def __init__(self, custom: CustomRule, args: tuple[Any, ...]) -> None:
        self.custom = custom
        self.name = custom._name
        self.count = len(args)
        places = _places(custom._nondiff, len(args), self.name)
        self.static = [args[i] for i in places]
        self._check_static()
        self.values, self.spec = tree.flatten(
            tuple([x for i, x in enumerate(args) if i not in places])
        )
        self.like: list[Any] = []
        self.arrays = gives_arrays(self.values)
        self.values = [as_tensor(x) for x in self.values]
        self.positions = [i for i, x in enumerate(self.values) if isinstance(x, Tensor)]
        self.out_spec: Spec

    def take_tensors(self) -> list[Any]:
        """The tensors among the arguments, of which only shapes and dtypes are kept."""
        found = [self.values[i] for i in self.positions]
        for i, x in zip(self.positions, found, strict=True):
            self.values[i] = None
            self.like.append(SimpleNamespace(array=Aval(tuple(x.array.shape), x.array.dtype)))
        return found

    def _check_static(self) -> None:
        for x in tree.leaves(self.static):
            if isinstance(x, Box) or (isinstance(x, Tensor) and x.node is not None):
                raise RuntimeError(
                    f"{self.name}: an argument in nondiff_argnums is a tensor that is being "
                    "differentiated or mapped over; make it an ordinary argument (its gradient may "
                    "be None), or detach() it"
                )

    def rules(self) -> Rules:
        """The rules on leaves."""
        custom = self.custom
        linear = custom._linear
        vjp = custom._bwd is not None
        return Rules(
            self.name,
            self.value,
            self.jvp if custom._jvp else self.linear_jvp if linear else None,
            self.fwd if vjp else self.linear_fwd if custom._transpose else None,
            self.bwd if vjp or custom._transpose else None,
            custom._vmap,
            owner=self,
            key=self._key,
        )

    def _key(self) -> Any:
        """What two calls with the same tensors have in common; None if that has no hash."""
        fixed = (*self.values, *self.static)
        key = (self.spec, tuple(self.positions), fixed, tuple(map(type, fixed)))
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def arguments(self, xs: Leaves) -> Any:
        """The differentiated arguments, with these tensors in them."""
        values = list(self.values)
        for i, x in zip(self.positions, xs, strict=True):
            values[i] = x
        return self.spec.unflatten(values)

    def everything(self, xs: Leaves) -> list[Any]:
        """All arguments."""
        return self.custom._merged(self.static, self.arguments(xs))

    def value(self, xs: Leaves) -> list[Any]:
        """The function."""
        return self._outputs(self.custom._fun(*self.everything(xs)))

    def _outputs(self, result: Any) -> list[Any]:
        outs, self.out_spec = outputs(result, self.name)
        return outs

    def jvp(self, xs: Leaves, ts: Leaves) -> tuple[list[Any], list[Any]]:
        """The jvp rule."""
        zeros: list[Any] = [
            type(v)() if isinstance(v, (bool, int, float, complex)) else None for v in self.values
        ]
        for i, t in zip(self.positions, ts, strict=True):
            zeros[i] = t
        tangents = self.spec.unflatten(zeros)
        rule: Any = self.custom._jvp
        outs, found = self._pair(
            rule(*self.static, self.arguments(xs), tangents), "defjvp", "(output, tangent)"
        )
        ys = self._outputs(outs)
        return ys, self._like(ys, self.out_spec, found, "tangents", "the output")

    def linear_jvp(self, xs: Leaves, ts: Leaves) -> tuple[list[Any], list[Any]]:
        """The function is its own derivative."""
        custom = self.custom
        mixed = [t if is_inexact(x.array.dtype) else x for x, t in zip(xs, ts, strict=True)]
        f = custom._fun if custom._transpose is None else custom
        outs = self._outputs(f(*self.everything(xs)))
        tangents = outputs(f(*self.everything(mixed)), self.name)[0]
        return outs, tangents

    def fwd(self, xs: Leaves) -> tuple[list[Any], Any]:
        """The first half of the vjp rule."""
        rule: Any = self.custom._fwd
        out, residuals = self._pair(rule(*self.everything(xs)), "fwd", "(output, residuals)")
        return self._outputs(out), residuals

    def linear_fwd(self, xs: Leaves) -> tuple[list[Any], Any]:
        """A linear function has no residuals."""
        return self._outputs(self.custom(*self.everything(xs))), ()

    def bwd(self, residuals: Any, gs: Leaves) -> list[Any]:
        """The second half of the vjp rule."""
        custom = self.custom
        g = self.out_spec.unflatten(list(gs))
        rule: Any = custom._bwd or custom._transpose
        found = rule(*self.static, residuals, g) if custom._bwd else rule(*self.static, g)
        parts = self.spec.children()
        if not isinstance(found, (tuple, list)) or len(found) != len(parts):
            got = f"{len(found)} values" if isinstance(found, (tuple, list)) else repr(type(found))
            raise RuntimeError(
                f"{self.name}: the vjp rule must return a tuple with one gradient (or None) for "
                f"each of the {len(parts)} arguments, got {got}"
            )
        grads: list[Any] = []
        for i, (spec, part) in enumerate(zip(parts, found, strict=True)):
            if part is None:
                grads += [None] * spec.num_leaves
                continue
            grads += self._subtrees(spec, part, f"the gradient of argument {i}", "the argument")
        chosen = [grads[i] for i in self.positions]
        return self._fitted(chosen, self.like, "gradients", "the arguments")

    # ------------------------------------------------------------ checks

    def _pair(self, result: Any, what: str, form: str) -> tuple[Any, Any]:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError(
                f"{self.name}: the {what} rule must return the pair {form}, got "
                f"{type(result).__name__}"
            )
        return result

    def _subtrees(self, spec: Spec, value: Any, what: str, than: str) -> list[Any]:
        try:
            return tree.subtrees(spec, value, than, what)
        except ValueError as error:
            raise RuntimeError(f"{self.name}: {error}") from None

    def _like(
        self, ys: Sequence[Tensor], spec: Spec, value: Any, what: str, than: str
    ) -> list[Any]:
        if value is None:
            return [None] * len(ys)
        return self._fitted(self._subtrees(spec, value, f"the {what}", than), ys, what, than)

    def _fitted(
        self, values: Sequence[Any], like: Sequence[Tensor], what: str, than: str
    ) -> list[Any]:
        """Values of the dtypes of what they belong to; None stays."""
        found: list[Any] = [None] * len(like)
        for i, (v, x) in enumerate(zip(values, like, strict=True)):
            if v is not None and is_inexact(x.array.dtype):
                (found[i],) = fitting([v], [x], what, than, self.name)
        return found


def _places(nondiff: Sequence[int], n: int, name: str) -> list[int]:
    for i in nondiff:
        if not -n <= i < n:
            raise ValueError(f"{name}: nondiff_argnums has {i}, but there are {n} arguments")
    return [i % n for i in nondiff]


def _signature(fun: Function) -> inspect.Signature | None:
    try:
        return inspect.signature(fun)
    except (ValueError, TypeError):  # some functions written in C do not tell
        return None


def _callable(rule: Any, where: str) -> Any:
    if not callable(rule):
        raise TypeError(f"{where} takes functions, got {type(rule).__name__}")
    return rule


def custom_rule(
    fun: Function | None = None, *, nondiff_argnums: Sequence[int] = (), vmap: str = "derived"
) -> Any:
    """A function whose derivative is stated by a rule rather than found by recording it.

    Any one rule is enough: `defjvp`, `defvjp` or `deflinear` on the result.  Everything else
    (forward and reverse mode, vmap, Taylor mode, and any nesting of them) is derived; `covers`
    says how.

    Args:
        fun: takes and returns trees of tensors.  It may leave the library, for example to NumPy.
        nondiff_argnums: positions of arguments that are no tensors to differentiate, such as
            functions or shapes.  Rules get them first.
        vmap: how the function runs on a batch: "derived" maps its operations; "leading" calls it
            with the mapped axis in front, for functions that map over leading axes by themselves;
            "loop" calls it for each example.  The last two are for functions that leave the
            library.

    Raises:
        RuntimeError: on a call, if there is no rule, or the function uses a tensor that is being
            differentiated and is not an argument.

    Source: Radul et al., You Only Linearize Once: Tangents Transpose to Gradients, POPL 2023; the
    interface is that of JAX's `custom_jvp` and `custom_vjp`.

    >>> import chainrule as cr
    >>> @cr.custom_rule
    ... def log1pexp(x):
    ...     return (1 + x.exp()).log()
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), (1 - 1 / (1 + x.exp())) * t
    >>> cr.func.grad(log1pexp)(cr.tensor(0.0))
    tensor(0.5000)
    >>> log1pexp.covers["vjp"]
    'derived from jvp by transposition'
    """
    if fun is None:
        return functools.partial(custom_rule, nondiff_argnums=nondiff_argnums, vmap=vmap)
    return CustomRule(fun, nondiff_argnums, vmap)


custom_jvp = custom_vjp = custom_rule

__all__ = ["CustomRule", "custom_jvp", "custom_rule", "custom_vjp"]
