"""The fast paths: recording an elementwise operation at a small multiple of NumPy's own cost.

Each function tests exact types, calls the ufunc, and builds tensor and node inline; anything else
(mixed dtypes, arrays, boxes, special modes) goes to the slow path it was given.  What the tape
keeps is decided here by flags computed once per operation, so that a step costs no lookups.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.cuts import note_comparison
from chainrule.core.modes import get_mode, lifting, lifts
from chainrule.core.node import Node, next_seq
from chainrule.core.source import UNKNOWN, user_frame
from chainrule.core.tensor import Parameter, Tensor, ndarray, new

_frame = sys._getframe
Slow = Callable[[Any, Any, Any], Any]
_NO_PARAMS: dict[str, Any] = {}
_NOTHING_1 = (None,)
_NOTHING_2 = (None, None)


class _Constants(dict[Any, Any]):
    """0-d arrays of one dtype for the Python numbers in use.

    NumPy takes twice as long for an array and a Python number as for two arrays, so numbers are
    converted once.  Zeros are not kept, because 0.0 and -0.0 are equal keys.
    """

    def __init__(self, dt: np.dtype[Any]) -> None:
        self.dt = dt

    def __missing__(self, number: Any) -> Any:
        made = np.asarray(number, self.dt)
        made.flags.writeable = False
        if number != 0:
            if len(self) > 1000:
                self.clear()
            self[number] = made
        return made


_F32 = np.dtype(np.float32)
_F64 = np.dtype(np.float64)
_INEXACT = frozenset(np.dtype(c) for c in "efdFD")
constants = {dt: _Constants(dt) for dt in _INEXACT}
_of_f32 = constants[_F32]
_REAL = frozenset(np.dtype(c) for c in "efd")


def function_of(prim: Any, slow: Slow) -> Callable[..., Any]:
    """The function that applies an elementwise primitive: the fastest that fits its kind."""
    maker: Callable[[Any, Slow], Any] | None = None
    if prim.has_params:
        pass
    elif prim.result == "bool":
        maker = _comparison if prim.arity == 2 else None
    elif prim.differentiable:
        maker = {1: _unary, 2: _binary if prim.result != "real" else None}.get(prim.arity)
    if maker is None:

        def function(*args: Any, **params: Any) -> Any:
            if len(args) != prim.arity:  # a ufunc would write its result into one more array
                raise TypeError(
                    f"{prim.name}() takes {prim.arity} tensor argument{'s'[: prim.arity > 1]}, but "
                    f"{len(args)} were given"
                )
            return slow(prim, args, params)
    else:
        function = maker(prim, slow)
    function.__name__ = function.__qualname__ = prim.name
    function.prim = prim  # type: ignore[attr-defined]
    return function


def place_of(frame: Any) -> tuple[Any, int]:
    """Code and instruction of the user's frame at or above `frame`."""
    found = user_frame(frame)
    return UNKNOWN if found is None else (found.f_code, found.f_lasti)


def _unary(prim: Any, slow: Slow) -> Callable[..., Any]:
    ev = prim.eval
    (keep_x,), keep_out = prim.kept((True,))
    same = prim.result != "real"
    fast = _REAL if prim.real else _INEXACT
    user_code = None

    def op(x: Any) -> Any:
        nonlocal user_code
        if type(x) is not Tensor and type(x) is not Parameter:
            return slow(prim, (x,), _NO_PARAMS)
        xv = x.array
        dt = xv.dtype
        if dt is not _F32 and dt is not _F64 and dt not in fast:
            return slow(prim, (x,), _NO_PARAMS)
        try:
            v = ev(xv)
        except TypeError:
            return slow(prim, (x,), _NO_PARAMS)
        if type(v) is not ndarray:
            v = v[...]
        node = None
        xn = x.node
        if xn is not None:
            mode = get_mode()
            if mode is True:
                node = Node()
                node.prim = prim
                node.args = (xv,) if keep_x else _NOTHING_1
                node.out = v if keep_out else None
                node.params = None
                node.parents = (xn,)
                node.seq = next_seq()
                node.shape = xn.shape  # the same tuple: nothing to build
                node.dtype = dt if same else v.dtype
                frame = _frame(1)
                code = frame.f_code
                if code is user_code:  # the code that called last time: known to be the user's
                    node.code = code
                    node.lasti = frame.f_lasti
                else:
                    node.code, node.lasti = place_of(frame)
                    user_code = node.code
                node.extra = None
            elif mode is not False:
                return slow(prim, (x,), _NO_PARAMS)
        elif lifts and lifting() is not None:
            return slow(prim, (x,), _NO_PARAMS)
        t = new(Tensor)
        t.array = v
        t.node = node
        return t

    return op


def _comparison(prim: Any, slow: Slow) -> Callable[..., Any]:
    """Two operands, a boolean result: nothing is ever recorded."""
    ev = prim.eval

    def op(input: Any, other: Any) -> Any:
        ty = type(other)
        if type(input) is not Tensor:
            return slow(prim, (input, other), _NO_PARAMS)
        xv = input.array
        dt = xv.dtype
        if ty is Tensor:
            yv = other.array
            if yv.dtype is not dt:
                return slow(prim, (input, other), _NO_PARAMS)
        elif (ty is float or ty is int) and (dt is _F32 or dt is _F64):
            yv = (_of_f32 if dt is _F32 else constants[dt])[other]
        else:
            return slow(prim, (input, other), _NO_PARAMS)
        try:
            v = ev(xv, yv)
        except (ValueError, TypeError):
            return slow(prim, (input, other), _NO_PARAMS)
        if lifts and lifting() is not None:
            return slow(prim, (input, other), _NO_PARAMS)
        t = new(Tensor)
        t.array = v if type(v) is ndarray else np.asarray(v)
        t.node = None
        if input.node is not None:
            note_comparison(prim, input.node, t.array, place_of(_frame(1)))
        elif ty is Tensor and other.node is not None:
            note_comparison(prim, other.node, t.array, place_of(_frame(1)))
        return t

    return op


def _binary(prim: Any, slow: Slow) -> Callable[..., Any]:
    ev = prim.eval
    kept = {w: prim.kept(w) for w in ((True, False), (False, True), (True, True))}
    keeps = kept[True, True] != ((False, False), False)
    cross = kept[True, False] == ((False, True), False) and kept[False, True] == (
        (True, False),
        False,
    )
    fast = _REAL if prim.real else _INEXACT
    user_code = None

    def op(input: Any, other: Any) -> Any:
        nonlocal user_code
        tx = type(input)
        ty = type(other)
        if tx is Tensor or tx is Parameter:
            xv = input.array
            xn = input.node
            dt = xv.dtype
            if ty is Tensor or ty is Parameter:
                yv = other.array
                yn = other.node
                if yv.dtype is not dt or (dt is not _F32 and dt is not _F64 and dt not in fast):
                    return slow(prim, (input, other), _NO_PARAMS)
            elif (ty is float or ty is int) and (dt is _F32 or dt is _F64 or dt in fast):
                yv = (_of_f32 if dt is _F32 else constants[dt])[other]
                yn = None
            else:
                return slow(prim, (input, other), _NO_PARAMS)
        elif (ty is Tensor or ty is Parameter) and (tx is float or tx is int):
            yv = other.array
            yn = other.node
            dt = yv.dtype
            if dt is not _F32 and dt is not _F64 and dt not in fast:
                return slow(prim, (input, other), _NO_PARAMS)
            xv = (_of_f32 if dt is _F32 else constants[dt])[input]
            xn = None
        else:
            return slow(prim, (input, other), _NO_PARAMS)
        try:
            v = ev(xv, yv)
        except (ValueError, TypeError):
            return slow(prim, (input, other), _NO_PARAMS)
        if type(v) is not ndarray:
            v = v[...]
        node = None
        if xn is not None or yn is not None:
            mode = get_mode()
            if mode is True:
                node = Node()
                node.prim = prim
                # A number among the operands stays even if no rule names it: so the equation can be
                # shown, and run again.
                if cross:
                    node.args = (None if yn is None else xv, None if xn is None else yv)
                    node.out = None
                elif keeps:
                    (keep_x, keep_y), keep_out = kept[xn is not None, yn is not None]
                    node.args = (
                        xv if keep_x or tx is float or tx is int else None,
                        yv if keep_y or ty is float or ty is int else None,
                    )
                    node.out = v if keep_out else None
                else:
                    node.out = None
                    if tx is ty:
                        node.args = _NOTHING_2
                    elif ty is float or ty is int:
                        node.args = (None, yv)
                    elif tx is float or tx is int:
                        node.args = (xv, None)
                    else:  # a parameter and a tensor
                        node.args = _NOTHING_2
                node.params = None
                node.parents = (xn, yn)
                node.seq = next_seq()
                node.shape = v.shape
                node.dtype = dt
                frame = _frame(1)
                code = frame.f_code
                if code is user_code:  # the code that called last time: known to be the user's
                    node.code = code
                    node.lasti = frame.f_lasti
                else:
                    node.code, node.lasti = place_of(frame)
                    user_code = node.code
                node.extra = None
            elif mode is not False:
                return slow(prim, (input, other), _NO_PARAMS)
        elif lifts and lifting() is not None:
            return slow(prim, (input, other), _NO_PARAMS)
        t = new(Tensor)
        t.array = v
        t.node = node
        return t

    return op
