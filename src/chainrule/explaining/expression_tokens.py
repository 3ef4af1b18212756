"""The words of an expression: its text, in whatever alphabet it was typed, as tokens.

Mathematical characters become the ASCII that means the same (`x₁²·√y` is `x1**2*sqrt(y)`), and
every token knows which part of the text it came from, so that an error can point there.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from chainrule.explaining.expression_errors import ExpressionError

MAX_LENGTH = 10_000

WORDS = ("if", "else", "and", "or", "not")
OPENING = {"(": ")", "[": "]"}

_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_OPERATOR = re.compile(r"\*\*|//|<=|>=|==|!=|&&|\|\||[-+*/@^()\[\],:.<>]")
_SYNONYMS = (
    dict.fromkeys("·⋅∙•×∗", "*")
    | dict.fromkeys("−–—", "-")
    | dict.fromkeys("÷∕⁄", "/")
    | {"≤": "<=", "≥": ">=", "≠": "!=", "^": "**"}
)
_LETTERS = {"π": "pi", "∞": "inf"}
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}

# What is often typed and not accepted, with what to write instead.
_REFUSED = {
    "=": "'=' is not accepted here: values are given separately, and == compares",
    "%": "the operator '%' is not available",
    "//": "the operator '//' is not available: divide with /",
    "&&": "'&&' is not accepted: write and",
    "||": "'||' is not accepted: write or",
    "|": "'|' is not accepted: write abs(x) for an absolute value, or to join conditions",
    "&": "'&' is not accepted: write and",
    "~": "'~' is not accepted: write not",
    "!": "'!' is not accepted: write not, or != to compare",
    "{": "'{' is not accepted: group with ( and )",
    "}": "'}' is not accepted: group with ( and )",
    ";": "';' is not accepted: write one expression",
    '"': "quoted text is not accepted",
    "'": "quoted text is not accepted",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the expression.

    Attributes:
        kind: "number", "name", "op" or "end".
        text: as it would be typed in ASCII.
        start, end: the part of the original text that it stands for.
        tight: nothing may be applied to what ends here (a power, an index, a call), because
            `√x²` and `x²^3` could be read in two ways.
    """

    kind: str
    text: str
    start: int
    end: int
    tight: bool = False


def tokenize(text: str, limit: int = MAX_LENGTH) -> list[Token]:
    """The tokens of a text, the last one of kind "end".

    Raises:
        ExpressionError: for characters that mean nothing here, for brackets that do not match, and
            for texts longer than `limit`.
    """
    if len(text) > limit:
        message = f"the expression has {len(text)} characters, more than the {limit} accepted"
        raise ExpressionError(message, text)
    tokens = _Reader(text).tokens()
    _check_readings(text, tokens)
    _check_brackets(text, tokens)
    return tokens


class _Reader:
    """Takes tokens off a text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.plain = text.translate(_FULL_WIDTH)  # one character for one, so places stay
        self.at = 0

    def tokens(self) -> list[Token]:
        found: list[Token] = []
        while self.at < len(self.plain):
            if self.plain[self.at].isspace():
                self.at += 1
            else:
                found += self.next()
        end = len(self.text.rstrip())
        return [*found, Token("end", "", end, end + 1)]

    def next(self) -> list[Token]:
        """What begins here; several tokens for a superscript or a root."""
        character, start = self.plain[self.at], self.at
        if _superscript(character):
            return self.superscript()
        if character == "√":
            return self.root()
        if character in _SYNONYMS:
            self.at += 1
            return [Token("op", _SYNONYMS[character], start, self.at)]
        if character.isalpha() or character == "_" or character in _LETTERS:
            return [self.name()]
        if number := _NUMBER.match(self.plain, start):
            self.at = number.end()
            digits = re.sub(r"^0+(?=[0-9])", "", number.group())
            return [Token("number", digits, start, self.at)]
        operator = _OPERATOR.match(self.plain, start)
        shown = operator.group() if operator else character
        if shown in _REFUSED or not operator:
            message = _REFUSED.get(shown) or f"unexpected character {_named(character)}"
            raise ExpressionError(message, self.text, start, start + len(shown))
        self.at = operator.end()
        return [Token("op", shown, start, self.at)]

    def name(self) -> Token:
        """A name: letters, digits, underscores, and subscripts, which become ordinary digits."""
        start = self.at
        self.at += 1
        while self.at < len(self.plain) and _continues(self.plain[self.at]):
            self.at += 1
        name = unicodedata.normalize("NFKC", self.plain[start : self.at])
        name = _LETTERS.get(name, name)
        if not name.isidentifier():
            shown = self.text[start : self.at]
            raise ExpressionError(f"'{shown}' is not a name", self.text, start, self.at)
        return Token("name", name, start, self.at)

    def superscript(self) -> list[Token]:
        """`x²`, `x⁻¹` and `xⁿ` are powers, `xᵀ` is the transpose."""
        start = self.at
        while self.at < len(self.plain) and _superscript(self.plain[self.at]):
            self.at += 1
        # Normalisation turns a raised minus into the long minus sign.
        raised = unicodedata.normalize("NFKC", self.plain[start : self.at]).replace("−", "-")
        if raised == "T":
            return [Token("op", ".", start, self.at), Token("name", "T", start, self.at)]
        parts = re.fullmatch(r"([-+]?)(?:([0-9]+)|([^\W\d_]))", raised)
        if parts is None:
            message = f"the superscript '{self.text[start : self.at]}' is not a number or a letter"
            raise ExpressionError(message + ": write ^(…)", self.text, start, self.at)
        sign, digits, letter = parts.groups()
        power = [Token("op", "**", start, self.at)]
        power += [Token("op", sign, start, self.at)] if sign else []
        kind = "number" if digits else "name"
        return [*power, Token(kind, digits or letter, start, self.at, tight=True)]

    def root(self) -> list[Token]:
        """`√2`, `√x` and `√(...)`: what stands under the root is one word or in parentheses."""
        start = self.at
        self.at += 1
        while self.at < len(self.plain) and self.plain[self.at].isspace():
            self.at += 1
        if self.plain.startswith("(", self.at):
            return [Token("name", "sqrt", start, start + 1)]
        under = self.next() if self.at < len(self.plain) and self.plain[self.at] != "√" else []
        if len(under) != 1 or under[0].kind == "op":
            message = "what stands under the root is not clear: write √(…)"
            raise ExpressionError(message, self.text, start, start + 1)
        word = under[0]
        return [
            Token("name", "sqrt", start, word.end),
            Token("op", "(", start, start + 1),
            word,
            Token("op", ")", word.start, word.end, tight=True),
        ]


def _superscript(character: str) -> bool:
    return unicodedata.decomposition(character).startswith("<super>")


def _continues(character: str) -> bool:
    """Whether a name goes on; the middle dot, which Unicode counts as a letter, is a product."""
    if character in _SYNONYMS or _superscript(character):
        return False
    return ("a" + unicodedata.normalize("NFKC", character)).isidentifier()


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"'{character}' ({code})" if character.isprintable() else code


def _check_readings(text: str, tokens: list[Token]) -> None:
    """Refuse `√x²`, `x²^3` and the like: which operation comes first is not clear."""
    for i, token in enumerate(tokens[:-1]):
        after = tokens[i + 1]
        if token.tight and after.text in ("**", "[", "(", "."):
            base = next((t for t in reversed(tokens[:i]) if t.start < token.start), token)
            message = "this can be read in two ways: say which with parentheses"
            raise ExpressionError(message, text, base.start, after.end)


def _check_brackets(text: str, tokens: list[Token]) -> None:
    open_: list[Token] = []
    for token in tokens:
        if token.kind != "op":
            continue
        if token.text in OPENING:
            open_.append(token)
        elif token.text in OPENING.values():
            if not open_:
                raise ExpressionError(
                    f"'{token.text}' closes nothing", text, token.start, token.end
                )
            wanted = OPENING[open_.pop().text]
            if token.text != wanted:
                message = f"'{token.text}' stands where '{wanted}' is expected"
                raise ExpressionError(message, text, token.start, token.end)
    if open_:
        left = open_[-1]
        raise ExpressionError(f"'{left.text}' is never closed", text, left.start, left.end)


def spelled(tokens: list[Token]) -> str:
    """The tokens as text with the usual spaces; it is Python, and parsing it gives the same."""
    pieces: list[str] = []
    before = ""  # the text of the previous token
    for token in tokens[:-1]:
        text = token.text
        if text in WORDS and token.kind == "name":
            pieces.append(" " * (before not in ("", "(", "[", " ")) + text + " ")
            before = " "
            continue
        operand = before in ("", " ", "(", "[", ",", ":") or before in _BINARY
        if text in _SPACED and not operand:
            pieces.append(f" {text} ")
        elif text == ",":
            pieces.append(", ")
        else:
            pieces.append(text)
        before = text
    return re.sub(" +", " ", "".join(pieces)).strip()


_SPACED = ("+", "-", "@", "<", "<=", ">", ">=", "==", "!=")
_BINARY = (*_SPACED, "*", "/", "**")
