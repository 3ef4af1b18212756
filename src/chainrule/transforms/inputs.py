"""What transforms do with arguments and results: trees of tensors, arrays or numbers.

Functions always see tensors.  Results are tensors if a tensor was given; otherwise, for arrays and
Python's numbers, they are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.boxes import Box
from chainrule.core.dtypes import as_numpy, is_inexact
from chainrule.core.mutation import owner_of
from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.data import check_kind
from chainrule.tree import Spec


def is_array(x: Any) -> bool:
    """Whether a leaf is an array of NumPy's."""
    return isinstance(x, (np.ndarray, np.generic))


def gives_arrays(leaves: Sequence[Any]) -> bool:
    """Whether results are to be arrays: arrays were given, and no tensors."""
    found = False
    for x in leaves:
        if isinstance(x, Tensor):
            return False
        found = found or is_array(x)
    return found


def as_tensor(x: Any) -> Any:
    """An array as a tensor that shares its memory; anything else as it is.

    Raises:
        TypeError: for a masked array or a `numpy.matrix`, whose operations mean something else.
    """
    if isinstance(x, Tensor) or not is_array(x):
        return x
    check_kind(x)
    array = np.asarray(x)
    return wrap(array.astype(as_numpy(array.dtype), copy=False))


def number_dtype(leaves: Sequence[Any]) -> np.dtype[Any]:
    """The dtype for Python's floats among the arguments: the widest real one of the tensors and
    arrays beside them; if there are only numbers, float64, which is what a Python float is.
    """
    kinds = {getattr(x, "array", x).dtype for x in leaves if isinstance(x, Tensor) or is_array(x)}
    reals = [np.finfo(dt).dtype for dt in map(as_numpy, kinds) if dt.kind in "fc"]
    return np.result_type(*reals) if reals else np.dtype(np.float64)


def variable(
    x: Any, title: str, kind: np.dtype[Any], spec: Spec | None = None, position: int = 0
) -> Tensor:
    """A leaf to differentiate with respect to: a tensor, array or number.

    `kind` is the dtype that Python's floats take; `spec` and `position` say where the leaf stands,
    for messages.

    Raises:
        TypeError: for anything else.
        RuntimeError: for integers, which have no derivative.
    """
    if isinstance(x, (float, complex)) and not is_array(x):
        dt = np.result_type(kind, np.complex64) if isinstance(x, complex) else kind
        made: Tensor = wrap(np.asarray(x, dt))
        return made
    t = as_tensor(x)
    if isinstance(t, Tensor) and is_inexact(t.array.dtype):
        return t
    path = spec.paths()[position] if spec is not None else ""
    where = f" at {path}" if path else ""
    if not isinstance(t, Tensor):
        if isinstance(x, int):
            raise RuntimeError(
                f"{title}: cannot differentiate with respect to an integer, got {x!r}{where}; pass "
                "a float"
            )
        raise TypeError(
            f"{title}: inputs to differentiate with respect to are tensors, arrays and floats, got "
            f"{type(x).__name__}{where}; choose other arguments with argnums, or leave it out of "
            "the tree"
        )
    raise RuntimeError(
        f"{title}: only Tensors of floating point and complex dtype can be differentiated with "
        f"respect to, but the input{where} is {t.dtype}; convert it, for example with x.double()"
    )


class Arguments:
    """The positional arguments of a call, and which of them are differentiated.

    Attributes:
        leaves: the leaves to differentiate with respect to, tensors.
        spec: their structure: that of the one argument, or of the tuple of them.
        arrays: whether results are to be arrays.
    """

    def __init__(
        self, args: Sequence[Any], kwargs: dict[str, Any], argnums: Any, title: str
    ) -> None:
        self.argnums = chosen(argnums, len(args), title)
        self.single = isinstance(argnums, int)
        everything, spec = tree.flatten((tuple(args), kwargs))
        self.arrays = not any(isinstance(x, Tensor) for x in everything)
        self.args: Any = args
        self.kwargs = kwargs
        if any(map(is_array, everything)):
            self.args, self.kwargs = spec.unflatten([as_tensor(x) for x in everything])
        picked: Any = tuple(args[i] for i in self.argnums)
        leaves, self.spec = tree.flatten(picked[0] if self.single else picked)
        kind = number_dtype(everything)
        self.leaves = [variable(x, title, kind, self.spec, i) for i, x in enumerate(leaves)]

    def call(self, f: Callable[..., Any], leaves: Sequence[Any]) -> Any:
        """`f` of the arguments, with these leaves in place of those differentiated."""
        picked = self.spec.unflatten(leaves)
        args = list(self.args)
        for i, x in zip(self.argnums, (picked,) if self.single else picked, strict=True):
            args[i] = x
        return f(*args, **self.kwargs)

    def result(self, leaves: Sequence[Any]) -> Any:
        """Leaves, one for each differentiated, as the caller expects them."""
        return self.spec.unflatten([self.given(x) for x in leaves])

    def given(self, x: Any) -> Any:
        """One result, as an array where arrays were given."""
        return as_given(x, self.arrays)


def as_given(x: Any, arrays: bool) -> Any:
    """A tensor as an array, where arrays were given and nothing hangs on it.

    The caller may write to the array, so one number spread over a shape gets memory for it.
    """
    if arrays and isinstance(x, Tensor) and x.node is None and not isinstance(x, Box):
        return x.array if x.array.flags.writeable else x.array.copy()
    return x


def apart(results: Sequence[Any], held: Sequence[Any]) -> list[Any]:
    """Results in memory of their own, which the caller may write to.

    A function may return its argument or a view of it, and a derivative may be the cotangent as it
    came: then a write to the result would change what the caller passed in (`held`), or another
    result.  What is recorded, or inside another transform, stays as it is: writes to that are seen.
    """
    taken = {id(owner_of(x.array)) for x in held if x._box is None}
    made = []
    for x in results:
        if type(x) is Tensor and x.node is None and x.array.flags.writeable:
            if id(owner_of(x.array)) in taken:
                x = wrap(x.array.copy())
            taken.add(id(owner_of(x.array)))
        made.append(x)
    return made


def all_given(result: Any, arrays: bool) -> Any:
    """A tree of results with its tensors as arrays, where arrays were given."""
    return tree.map(lambda x: as_given(x, True), result) if arrays else result


def chosen(argnums: Any, n: int, title: str) -> tuple[int, ...]:
    """The positions of the arguments to differentiate.

    Raises:
        RuntimeError: if one is out of range, not an integer, or given twice.
    """
    several = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    found = []
    for i in several:
        if isinstance(i, bool) or not isinstance(i, int):
            raise RuntimeError(f"{title}: argnums must be int or Tuple[int, ...], got: {argnums!r}")
        if not -n <= i < n:
            raise RuntimeError(f"{title}: Got argnum={i}, but only {n} positional inputs")
        found.append(i % n)
    if len(set(found)) != len(found):
        raise RuntimeError(f"{title}: argnums elements must be unique, got {argnums!r}")
    if not found:
        raise RuntimeError(f"{title}: argnums must be non-empty, got {argnums!r}")
    return tuple(found)


def outputs(result: Any, title: str) -> tuple[list[Tensor], Spec]:
    """The leaves of what a function returned, and their structure.

    Raises:
        RuntimeError: if one is not a tensor, or there is none.
    """
    leaves, spec = tree.flatten(result)
    found = []
    for i, y in enumerate(leaves):
        t = as_tensor(y)
        if not isinstance(t, Tensor):
            path = spec.paths()[i]
            raise RuntimeError(
                f"{title}: Expected f(*args) to return Tensors, got unsupported type "
                f"{type(y).__name__}{' at ' + path if path else ''}; values that are not to be "
                "differentiated go into aux (has_aux=True)"
            )
        found.append(t)
    if not found:
        raise RuntimeError(f"{title}: Expected f to be a function that has non-empty output")
    return found, spec


def check_inexact(
    outs: Sequence[Tensor], spec: Spec, title: str, every: bool = False, aux: bool = False
) -> None:
    """Raise if no output has a derivative, or, with `every`, if one has none.

    What counts, compares or gives an index changes by jumps: where it has a derivative, that is
    zero, and a result of zeros would say nothing but hide a mistake.  Beside others such outputs do
    no harm.  `aux` says whether the transform takes `has_aux`.

    Raises:
        RuntimeError: naming the first output without a derivative.
    """
    bad = [i for i, y in enumerate(outs) if not is_inexact(y.array.dtype)]
    if not bad or (len(bad) < len(outs) and not every):
        return
    path = spec.paths()[bad[0]]
    if every or len(outs) == 1:
        expected = "All outputs of f must be floating-point or complex Tensors"
    else:
        expected = "At least one output of f must be a floating-point or complex Tensor"
    raise RuntimeError(
        f"{title}: {expected}, got Tensor with dtype {outs[bad[0]].dtype}"
        f"{' at ' + path if path else ''}, which has no derivative: it changes by jumps. Return a "
        "smooth function instead, such as sigmoid(x) for x > 0"
        f"{'; what is only to be passed on goes into aux (has_aux=True)' if aux else ''}"
    )


def check_real(tensors: Sequence[Tensor], what: str, title: str) -> None:
    """Raise if a tensor is complex, for transforms whose result is a matrix of real derivatives.

    Raises:
        RuntimeError: in PyTorch's words.
    """
    for i, x in enumerate(tensors):
        if x.array.dtype.kind == "c":
            raise RuntimeError(
                f"{title}: Expected all {what} to be real but received complex tensor at flattened "
                f"input idx: {i}. Differentiate with respect to, or return, .real and .imag "
                "(view_as_real), or use vjp or jvp"
            )


def with_aux(result: Any, title: str) -> tuple[Any, Any]:
    """Output and auxiliary output of a function called with `has_aux`.

    Raises:
        RuntimeError: if it did not return two values.
    """
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(
            f"{title}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result


def matching(like: Spec, values: Any, what: str, than: str, title: str) -> list[Any]:
    """The leaves of `values`, which must have the structure `like`.

    Raises:
        RuntimeError: naming the path at which the structures differ.
    """
    try:
        return tree.flatten_as(like, values, than, what)
    except ValueError as error:
        raise RuntimeError(f"{title}: {error}") from None


def fitting(
    values: Sequence[Any], like: Sequence[Tensor], what: str, than: str, title: str
) -> list[Tensor]:
    """Tangents or cotangents as tensors of the dtypes of what they belong to.

    Raises:
        RuntimeError: if one is not a tensor or number, if a shape differs, or if one is complex
            and what it belongs to is real.
    """
    made = []
    for i, (v, x) in enumerate(zip(values, like, strict=True)):
        t = as_tensor(v)
        if not isinstance(t, Tensor):
            if not isinstance(t, (bool, int, float, complex)):
                raise RuntimeError(
                    f"{title}: Expected {what} to only contain Tensors, got {type(v).__name__}"
                )
            t = wrap(np.asarray(t))
        if t.array.dtype.kind == "c" and x.array.dtype.kind != "c":
            raise RuntimeError(
                f"{title}: Mismatch in dtype: number {i} of {what} is {t.dtype}, but {than} "
                f"are {x.dtype} there, and its imaginary part would be lost; pass its .real"
            )
        if tuple(t.array.shape) != tuple(x.array.shape):
            raise RuntimeError(
                f"{title}: expected {what} to have the shapes of {than}, but number {i} has shape "
                f"{list(t.array.shape)} instead of {list(x.array.shape)}"
            )
        made.append(t if t.array.dtype == x.array.dtype else t.to(x.array.dtype))
    return made
