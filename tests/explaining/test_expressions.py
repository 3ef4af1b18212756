"""Expressions read from text: what they mean, where they are refused, and that any text is safe."""

import ast
import math
import pickle
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.explaining.expression_functions import FUNCTIONS
from chainrule.explaining.expressions import ExpressionError, parse, parse_value
from tests.explaining.grammar import NUMPY, Strict, conditions, evaluated, numbers, values

fuzz = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def close(found, wanted):
    np.testing.assert_allclose(np.asarray(found.detach()), wanted, rtol=1e-11, atol=1e-13)


def test_textbook_example():
    f = parse("log(x1) + x1*x2 - sin(x2)")
    assert f.variables == ("x1", "x2")
    assert repr(f) == "Expression('log(x1) + x1*x2 - sin(x2)')"
    x1 = cr.tensor(2.0, dtype=cr.float64, requires_grad=True)
    x2 = cr.tensor(5.0, dtype=cr.float64, requires_grad=True)
    y = f(x1=x1, x2=x2)
    y.backward()
    close(y, math.log(2) + 10 - math.sin(5))
    close(x1.grad, 5.5)
    close(x2.grad, 2 - math.cos(5))


@pytest.mark.parametrize(
    ("text", "ascii_"),
    [
        ("x^2", "x**2"),
        ("x²·y", "x**2*y"),
        ("x⁻¹²", "x**-12"),
        ("xⁿ", "x**n"),
        ("Aᵀ@A", "A.T @ A"),
        ("√x×√(2−y)", "sqrt(x)*sqrt(2 - y)"),
        ("√2", "sqrt(2)"),
        ("x₁₀÷π", "x10/pi"),
        ("a≤b", "a <= b"),
        ("θ+ϕ", "θ + φ"),
        ("v̄+变量", "v̄ + 变量"),
        ("ｓｉｎ（x，）".replace("，", ""), "sin(x)"),
        ("∞", "inf"),
        ("007 + 0.50", "7 + 0.50"),
        ("x[0 ,1:3][-1].T", "x[0, 1:3][-1].T"),
        ("-x--y", "-x - -y"),
        ("not x<1 or(y>2)", "not x < 1 or (y > 2)"),
        ("2if(x>0)else-3", "2 if (x > 0) else -3"),
        ("[1,[x][0]]", "[1, [x][0]]"),
    ],
)
def test_characters(text, ascii_):
    f = parse(text)
    assert str(f) == ascii_
    assert parse(str(f)) == f
    assert str(parse(str(f))) == ascii_
    assert parse(str(f)).variables == f.variables


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_agree_with_numpy(name):
    reference, arguments = NUMPY[name]
    names = "abc"[: len(arguments)]
    text = f"{name}({', '.join(names)})"
    if name == "where":
        text = "where(a > 0, b, c)"
        reference = lambda a, b, c: np.where(a > 0, b, c)
    close(parse(text)(*arguments), reference(*map(np.asarray, arguments)))


def test_every_function_has_a_reference():
    assert FUNCTIONS.keys() == NUMPY.keys()


@fuzz
@given(numbers, values)
def test_numbers_agree_with_numpy(text, given_values):
    f = parse(text)
    try:
        wanted = evaluated(text, given_values)
    except OverflowError:
        return
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = f(**{n: given_values[n] for n in f.variables})
    assert found.dtype is cr.float64
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9, atol=1e-12)


@fuzz
@given(conditions, values)
def test_conditions_agree_with_python(text, given_values):
    f = parse(text)
    wanted = evaluated(text, given_values)
    with np.errstate(all="ignore"):
        found = f(**{n: given_values[n] for n in f.variables})
    assert found.dtype is cr.bool
    assert found.item() == bool(wanted)


@fuzz
@given(numbers | conditions)
def test_printing_and_parsing_again(text):
    f = parse(text)
    again = parse(str(f))
    assert again == f
    assert str(again) == str(f)
    assert hash(again) == hash(f)
    # Python reads both texts as the same tree, so no space or parenthesis was lost.
    assert ast.dump(ast.parse(str(f))) == ast.dump(ast.parse(text.replace("^", "**").strip()))


PIECES = "( ) [ ] [0] , . + - * / @ ^ ** : ² √ π ₁ < == > = ! | _ ' # \\ if else not and 1 2.5 1e5"
WORDS = "x x1 T .T lambda import True __class__ ⁿ · 😀"
TOKENS = st.sampled_from([*PIECES.split(), *WORDS.split(), *FUNCTIONS, " ", "\n", '"'])


def read_or_refuse(read, text):
    """What was read, or the error."""
    try:
        return read(text)
    except ExpressionError as refused:
        return refused


@fuzz
@given(st.text(max_size=60) | st.lists(TOKENS, max_size=25).map("".join))
def test_any_text_is_an_expression_or_an_error(text):
    for read in (parse, parse_value):
        started = time.perf_counter()
        found = read_or_refuse(read, text)
        assert time.perf_counter() - started < 2
        if isinstance(found, ExpressionError):
            assert found.start is None or 0 <= found.start < found.end <= len(text) + 1
            lines = str(found).split("\n")
            assert len(lines) <= 3
            assert all(len(line) <= 160 for line in lines[1:])
            assert pickle.loads(pickle.dumps(found)).args == found.args
        elif read is parse:
            assert parse(str(found)) == found
            ast.parse(str(found), mode="eval")


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "9^9^9^9^9",
        "2**-(-9**9**9)",
        "(" * 100_000 + "x" + ")" * 100_000,
        "(" * 4000 + "x" + ")" * 4000,
        "[" * 4000 + "1" + "]" * 4000,
        "-" * 9000 + "x",
        "not " * 2000 + "x",
        "2**" * 3000 + "x",
        "x if y > 0 else " * 600 + "x",
        "sin(" * 2000 + "x" + ")" * 2000,
        "9" * 9000,
        "√" * 5000 + "x",
        "1e999",
        "1e308*10",
    ],
)
def test_what_would_take_for_ever_is_an_error(text):
    started = time.perf_counter()
    with pytest.raises(ExpressionError, match=r"too large|nested|characters|root|condition"):
        parse(text)
    assert time.perf_counter() - started < 1


def test_a_long_expression_is_not_a_deep_one():
    close(parse("+".join(["x"] * 4000))(0.5), 2000)
    close(parse("*".join(["x"] * 4000))(1.0), 1)
    close(parse("x" + ".T" * 4000)(2.0), 2)
    close(parse("x" + "[:]" * 3000)([1.0, 2.0]), [1, 2])
    close(parse("[" + ",".join(["1"] * 4000) + "][3]")(), 1)
    assert parse(" and ".join(["x < 1"] * 900))(0.5).item() is True


WRONG = [
    ("log(x1) + sine(x2)", "unknown function 'sine': did you mean 'sin'?", "sine"),
    ("Sin(x)", "unknown function 'Sin': did you mean 'sin'?", "Sin"),
    ("f(x) + zzz(y)", "'f' is not a function: did you mean f*(…)?", "f"),
    ("sec(x)", "unknown function 'sec': write 1/cos(…)", "sec"),
    ("e(x)", "unknown function 'e': write exp(…)", "e"),
    ("2x + 1", "an operator is missing: did you mean 2*x?", "2x"),
    ("x y", "an operator is missing: did you mean x*y?", "x y"),
    ("(a)(b)", "an operator is missing: did you mean (…)*(…)?", ")("),
    ("2sin(x)", "an operator is missing: did you mean 2*sin(…)?", "2sin"),
    ("((x + 1)*2", "'(' is never closed", "("),
    ("x + 1)", "')' closes nothing", ")"),
    ("f[(x]", "']' stands where ')' is expected", "]"),
    ("x +", "a value is missing after '+'", None),
    ("x + * y", "a value is missing before '*'", "*"),
    ("sin(, x)", "a value is missing before ','", ","),
    ("2*()", "there is nothing between '(' and ')'", "()"),
    ("x.real", "no attribute is available but .T, the transpose", ".real"),
    ("x.__class__", "no attribute is available but .T, the transpose", ".__class__"),
    ("__import__(x)", "unknown function '__import__'", "__import__"),
    ("_x", "a name begins with a letter", "_x"),
    ("sin(x, y)", "sin takes 1 argument, not 2", "sin(x, y)"),
    ("1 + max()", "max takes 1 or 2 arguments, not 0", "max()"),
    ("2*sin", "'sin' is a function: write sin(…)", "sin"),
    ("lambda + 1", "'lambda' is a word of Python's and cannot name a variable", "lambda"),
    ("norm(x, ord=1)", "'=' is not accepted here", "="),
    ("x = 3", "'=' is not accepted here", "="),
    ("|x|", "'|' is not accepted: write abs(x)", "|"),
    ("x % 2", "the operator '%' is not available", "%"),
    ("open('f')", "quoted text is not accepted", "'"),
    ("x ? y", "unexpected character '?' (U+003F)", "?"),
    ("x\ud800", "unexpected character U+D800", "\ud800"),
    ("½x", "unexpected character '½' (U+00BD)", "½"),
    ("x²^3", "this can be read in two ways", "x²^"),
    ("√x²", "this can be read in two ways", "√x²"),
    ("sin²(x)", "this can be read in two ways", "sin²("),
    ("x⁻", "the superscript '⁻' is not a number", "⁻"),
    ("1/(2 - 2)", "division by zero", "1/(2 - 2)"),
    ("1 + 9**9**9", "the result is too large for a float64", "9**9**9"),
    ("(-8)^(1/3)", "a power of a negative number with this exponent is not real", "(-8)^(1/3)"),
    ("x if y else z", "a condition is expected here, such as x > 0", "y"),
    ("where(x, y, z)", "a condition is expected here, such as x > 0", "x"),
    ("x if y > 0", "'if' has no 'else'", "if"),
    ("1 + not x", "put 'not' and what it negates in parentheses", "not"),
    ("x[y]", "an index is made of whole numbers", "y"),
    ("x[1.5]", "an index is made of whole numbers", "1.5"),
    ("2[0]", "a number has no parts", "["),
    ("[[1, 2], [3]]", "the entries differ in shape: 2 entries and 1 entry", "[[1, 2], [3]]"),
    ("[1, [2, 3]]", "the entries differ in shape: a number and 2 entries", "[1, [2, 3]]"),
    ("x, y", "',' separates arguments", ","),
    ("x in y", "'in' is not expected here", "in"),
    ("x:y", "':' is part of an index only", ":"),
    ("2 @ 3", "'@' multiplies vectors and matrices", "2 @ 3"),
]


@pytest.mark.parametrize(("text", "message", "part"), WRONG, ids=[w[0] for w in WRONG])
def test_errors_say_what_and_where(text, message, part):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    error = caught.value
    assert error.message.startswith(message)
    assert text[error.start : error.end] == (part or "")
    if text.isascii():
        _, shown, carets = str(error).split("\n")
        assert shown == "  " + text
        assert carets == " " * (2 + error.start) + "^" * (error.end - error.start)


def test_an_error_is_shown_as_lines():
    with pytest.raises(ExpressionError) as caught:
        parse("log(x1) + sine(x2)")
    assert str(caught.value) == (
        "unknown function 'sine': did you mean 'sin'?\n  log(x1) + sine(x2)\n            ^^^^"
    )


def test_carets_count_columns_not_characters():
    with pytest.raises(ExpressionError) as caught:
        parse("变量\t+ v̄ + ? ")
    assert str(caught.value).split("\n")[1:] == ["  变量 + v̄ + ? ", " " * 13 + "^"]


def test_long_texts_are_cut_around_the_place():
    with pytest.raises(ExpressionError) as caught:
        parse("x + " * 200 + "? + " + "x + " * 200 + "x")
    shown, carets = str(caught.value).split("\n")[1:]
    assert shown[carets.index("^")] == "?"
    assert shown[2] == shown[-1] == "…"


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_empty_text(text):
    with pytest.raises(ExpressionError, match="the expression is empty"):
        parse(text)


def test_text_must_be_a_string():
    with pytest.raises(TypeError, match="an expression is a str, not int"):
        parse(3)


@pytest.mark.parametrize(
    ("args", "values_", "message"),
    [
        ((), {"x1": 2}, "'x2' has no value: give one with x2=…"),
        ((1, 2, 3), {}, "3 values are given, but the variables are x1, x2"),
        ((1,), {"x1": 2}, "'x1' has two values"),
        ((1, 2), {"x3": 3}, "there is no variable 'x3': the variables are x1, x2"),
        ((1, 2), {"X1": 3}, "there is no variable 'X1': did you mean 'x1'?"),
        ((1, 2), {"sin": 3}, "'sin' is a function and cannot be given a value"),
        ((1, 2), {"pi": 3}, "'pi' is a constant (3.14159) and cannot be given a value"),
    ],
)
def test_values_must_fit(args, values_, message):
    with pytest.raises(ExpressionError) as caught:
        parse("x1*x2 + sin(pi)")(*args, **values_)
    assert caught.value.message.startswith(message)


def test_expression_without_variables():
    close(parse("2*pi")(), 2 * math.pi)
    with pytest.raises(ExpressionError, match="the expression has no variables"):
        parse("2*pi")(1)


@pytest.mark.parametrize("value", ["abc", None, object()])
def test_values_must_be_numeric(value):
    with pytest.raises(TypeError, match="the value of 'x' is"):
        parse("x + 1")(x=value)


def test_any_name_may_be_a_variable():
    close(parse("self + args*values + text")(self=1, args=2, values=3, text=4), 11)


def test_values_become_float64_and_tensors_stay():
    f = parse("x*2")
    assert f(3).dtype is f([1, 2]).dtype is f(np.float32(1)).dtype is cr.float64
    assert f(cr.tensor([1, 2])).dtype is cr.float64
    assert f(cr.tensor(1.0, dtype=cr.float32)).dtype is cr.float32
    assert f(1j).dtype is cr.complex128
    assert f(True).item() == 2.0


def test_truths_count_as_numbers():
    close(parse("(x > 0) + (x > 1) - [x > 2, 1]")(3.0), [1, 1])
    close(parse("sum(x > 1)")([1, 2, 3]), 2)
    assert parse("0 < x <= 1")([0, 0.5, 1, 2]).tolist() == [False, True, True, False]


def test_the_other_branch_is_not_computed():
    with np.errstate(all="raise"):
        close(parse("log(x) if x > 0 else 0")(-1.0), 0)


def test_errors_while_computing_keep_their_type_and_say_where():
    with pytest.raises(RuntimeError) as caught:
        parse("2 + A @ b")([[1, 2], [3, 4]], [1, 2, 3])
    assert caught.value.__notes__ == ["  2 + A @ b\n        ^"]
    with pytest.raises(IndexError) as caught:
        parse("x[0] + x[5]")([1, 2, 3])
    assert caught.value.__notes__ == ["  x[0] + x[5]\n          ^^^"]
    with pytest.raises(RuntimeError, match=r"write where\(condition, a, b\)") as caught:
        parse("1 if x > 0 else 2")([1, 2])
    assert caught.value.__notes__ == ["  1 if x > 0 else 2\n       ^^^^^"]


def test_expressions_under_transforms():
    f = parse("sum(x^3) + x[0]*exp(y)")
    x, y = cr.tensor([1.0, 2.0], dtype=cr.float64), cr.tensor(0.5, dtype=cr.float64)
    close(cr.func.grad(f)(x, y), [3 + math.exp(0.5), 12])
    close(cr.func.jvp(f, (x, y), (cr.ones_like(x), cr.zeros_like(y)))[1], 15 + math.exp(0.5))
    rows = cr.func.vmap(f, in_dims=(0, None))(cr.stack([x, 2 * x]), y)
    close(rows, [f(x, y).item(), f(2 * x, y).item()])


def test_pickle_and_signature():
    import inspect

    f = parse("√x + y")
    assert pickle.loads(pickle.dumps(f)) == f
    assert list(inspect.signature(f).parameters) == ["x", "y"]
    assert f != "sqrt(x) + y"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("-1.5e3", -1500.0),
        ("+3", 3),
        ("1/3", 1 / 3),
        ("pi/2", math.pi / 2),
        ("-π", -math.pi),
        ("2^10", 1024),
        ("2+1j", 2 + 1j),
        ("-2.5j", -2.5j),
        ("inf", math.inf),
        ("[1, 2, 3]", [1.0, 2.0, 3.0]),
        ("[[1,2],[3,1/4]]", [[1.0, 2.0], [3.0, 0.25]]),
        ("[1, 2j]", [1, 2j]),
        (" 7 ", 7),
    ],
)
def test_values(text, value):
    found = parse_value(text)
    np.testing.assert_array_equal(found, value)
    if isinstance(value, list):
        assert found.dtype == np.asarray(value).dtype
    else:
        assert type(found) is type(value)


def test_nan_and_large_values():
    assert math.isnan(parse_value("nan"))
    assert type(parse_value("2**53")) is int
    assert type(parse_value("2**54")) is float
    assert parse_value("[" + ",".join(["0.125"] * 10_000) + "]").shape == (10_000,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "'abc' is not a number"),
        ("x+1", "'x' is not a number"),
        ("sqrt(2)", "'sqrt' is not a number"),
        ("", "there is no value"),
        ("[1, [2]]", "the entries differ in shape"),
        ("[1, 2]*2", "a value is a number, or an array"),
        ("[1, 2].T", "a value is a number, or an array"),
        ("1 > 0", "a value is a number, or an array"),
        ("9**9**9", "the result is too large"),
        ("1/0", "division by zero"),
        ("2 j", "an operator is missing"),
        ("'2'", "quoted text is not accepted"),
        ("1,2", "',' separates arguments"),
        ("(-8)**0.5", "a power of a negative number"),
    ],
)
def test_what_is_no_value(text, message):
    with pytest.raises(ExpressionError) as caught:
        parse_value(text)
    assert caught.value.message.startswith(message)


@fuzz
@given(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53))
def test_numbers_are_read_exactly(value):
    assert parse_value(repr(value)) == value


def test_strict_reference_refuses_what_it_does_not_know():
    with pytest.raises(KeyError):
        Strict({}).visit(ast.parse("x", mode="eval"))
