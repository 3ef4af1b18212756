"""The constants of `chainrule.compiler.vecmath`: `python -m tests.compiler.vecmath.coefficients`.

Writes `polynomials.py`, `words.py` and `tables.py` anew. Polynomials come from Remez's exchange
algorithm (Muller, Elementary Functions, 3rd ed., section 3.6) in 100-digit arithmetic, of the
smallest degree that meets the bound; coefficients are then rounded to the type. The leading terms
of every function are exact and stand outside the polynomials, so that this rounding does not show.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import mpmath as mp
import numpy as np

from .fits import TURN, Fit, fits

DIGITS = 100
ROUND = {"float32": lambda c: float(np.float32(float(c))), "float64": float, "wide": float}


def grid_of(fit: Fit, points: int = 400) -> list:
    """Chebyshev points, dense at the ends; never exactly where a formula is 0/0."""
    centre, radius = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    nodes = [centre - radius * mp.cos(mp.pi * (i + 0.5) / points) for i in range(points)]
    return [fit.low + mp.mpf(10) ** -22, *nodes, fit.high - mp.mpf(10) ** -22]


def remez(values: list, weights: list, grid: list, degree: int) -> tuple[list, mp.mpf]:
    """The polynomial of least greatest weighted error on the grid, and that error."""
    count = degree + 2
    chosen = [
        round((len(grid) - 1) * (1 - mp.cos(mp.pi * i / (count - 1))) / 2) for i in range(count)
    ]
    chosen = sorted({int(i) for i in chosen})
    while len(chosen) < count:
        chosen = sorted({*chosen, *range(count - len(chosen) + 1)})[:count]
    coefficients: list = []
    for _ in range(30):
        matrix = mp.matrix(count, count)
        right = mp.matrix(count, 1)
        for row, i in enumerate(chosen):
            power = mp.mpf(1)
            for column in range(degree + 1):
                matrix[row, column] = power
                power *= grid[i]
            matrix[row, degree + 1] = (-1) ** row / weights[i]
            right[row] = values[i]
        solution = mp.lu_solve(matrix, right)
        coefficients = [solution[i] for i in range(degree + 1)]
        levelled = abs(solution[degree + 1])
        errors = [
            w * (v - mp.polyval(coefficients[::-1], x))
            for x, v, w in zip(grid, values, weights, strict=True)
        ]
        largest = max(map(abs, errors))
        if largest <= levelled * mp.mpf("1.02"):
            break
        chosen = exchange(errors, count)
    return coefficients, largest


def exchange(errors: list, count: int) -> list[int]:
    """Indices of `count` alternating extrema of the error, the largest among them."""
    extrema: list[int] = []
    for i, error in enumerate(errors):
        if extrema and (errors[extrema[-1]] > 0) == (error > 0):
            if abs(error) > abs(errors[extrema[-1]]):
                extrema[-1] = i
        else:
            extrema.append(i)
    while len(extrema) > count:
        if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]):
            extrema.pop(0)
        else:
            extrema.pop()
    if len(extrema) < count:
        raise ValueError("the error alternates too rarely: more digits or a denser grid is needed")
    return extrema


def fit_polynomials(fit: Fit) -> dict[str, tuple[list[float], float]]:
    """Rounded coefficients, lowest power first, and the approximation error, for each kind."""
    with mp.workdps(DIGITS):
        grid = grid_of(fit)
        values = [fit.function(x) for x in grid]
        weights = [max(abs(fit.weight(x)), mp.mpf(10) ** -30) for x in grid]
        found = {}
        degree = fit.start
        for kind, bound in sorted(fit.bounds.items(), key=lambda item: -item[1]):
            while True:
                coefficients, error = remez(values, weights, grid, degree)
                if error < bound:
                    break
                # Errors fall nearly geometrically with the degree.
                degree += max(1, int(mp.log(error / bound, 2) / 10))
            found[kind] = ([ROUND[kind](c) for c in coefficients], float(error))
        return found


def words(value: mp.mpf, first_bits: int, bits: int, count: int) -> tuple[float, ...]:
    """The value as a sum of `count` numbers of `bits` bits, the first of `first_bits` only."""
    parts = []
    for i in range(count):
        width = first_bits if i == 0 else bits
        with mp.workprec(width):
            part = +value
        parts.append(float(part))
        value = value - part
    return tuple(parts)


def all_words() -> dict[str, dict[str, tuple[float, ...]]]:
    """Constants of several words; ln 2 has a short first word, whose multiples are exact."""
    with mp.workdps(DIGITS):
        values = {
            "ln2": mp.log(2),
            "log2_e": 1 / mp.log(2),
            "log10_e": 1 / mp.log(10),
            "log10_2": mp.log(2) / mp.log(10),
            "half_pi": mp.pi / 2,
            "pi": mp.pi,
            "two_over_pi": 2 / mp.pi,
            "sqrt_half": mp.sqrt(mp.mpf(1) / 2),
            "density": 1 / mp.sqrt(2 * mp.pi),
            "erfcx_slope": 1 / mp.sqrt(mp.pi) - mp.mpf(1) / 2,
            "erf_slope": 2 / mp.sqrt(mp.pi) - 1,
            "two_thirds": mp.mpf(2) / 3,
            "third": mp.mpf(1) / 3,
            "cbrt_2": mp.cbrt(2),
            "cbrt_4": mp.cbrt(4),
            "half_log_2pi": mp.log(2 * mp.pi) / 2,
            "log_pi": mp.log(mp.pi),
            "sqrt_2pi": mp.sqrt(2 * mp.pi),
            "digamma_zero": mp.findroot(mp.digamma, 1.46),
        }
        short = {"ln2": (15, 41), "log10_2": (15, 41)}
        result = {}
        for name, value in values.items():
            single, double = short.get(name, (24, 53))
            result[name] = {
                "float32": words(value, single, 24, 4),
                "float64": words(value, double, 53, 3),
            }
        return result


def two_over_pi_bits(count: int = 20) -> list[int]:
    """The bits of 2/pi after the point, in words of 64, the first word first."""
    with mp.workprec(64 * count + 64):
        whole = int(mp.floor(mp.ldexp(2 / mp.pi, 64 * count)))
    return [(whole >> 64 * (count - 1 - i)) & (2**64 - 1) for i in range(count)]


def quotient_of(function: Callable, limit: mp.mpf, over: int, under: int) -> tuple[list, list]:
    """P and Q of those degrees, Q(0) = 1, with P/Q = function at Chebyshev's points of [0, limit].

    What interpolates there differs from the best approximation by a small factor.
    """
    count = over + under + 1
    matrix, right = mp.matrix(count, count), mp.matrix(count, 1)
    for row in range(count):
        z = limit / 2 * (1 - mp.cos(mp.pi * (row + mp.mpf(1) / 2) / count))
        right[row] = function(z)
        for k in range(over + 1):
            matrix[row, k] = z**k
        for k in range(1, under + 1):
            matrix[row, over + k] = -right[row] * z**k
    found = list(mp.lu_solve(matrix, right))
    return found[: over + 1], [mp.mpf(1), *found[over + 1 :]]


def all_quotients() -> dict[str, dict[str, list[float]]]:
    """P and Q with tanh(x) = x - x (z/4 + z P(z)/Q(z)), z = x^2, up to x = 0.9."""

    def function(z: mp.mpf) -> mp.mpf:
        x = mp.sqrt(z)
        return (x - mp.tanh(x)) / (x * z) - mp.mpf(1) / 4

    found: dict[str, dict[str, list[float]]] = {"tanh_over": {}, "tanh_under": {}}
    with mp.workdps(DIGITS):
        for kind, degrees in {"float32": (1, 2), "float64": (3, 3)}.items():
            quotient = quotient_of(function, mp.mpf("0.82"), *degrees)
            for name, part in zip(found, quotient, strict=True):
                found[name][kind] = [ROUND[kind](c) for c in part]
    return found


CUT = {"float32": 16, "float64": 40}  # bits of a power of two in the table of exp


def all_tables() -> dict[str, dict[str, list[float]]]:
    """Sines around the turn as two words; numbers near 2^(k/16), and k/16 ln 2 less their logs."""
    found: dict[str, dict[str, list[float]]] = {}
    with mp.workdps(DIGITS):
        for kind, bits in {"float32": 24, "float64": 53}.items():
            powers = [words(mp.power(2, mp.mpf(k) / 16), CUT[kind], bits, 1)[0] for k in range(16)]
            rests = [k * mp.log(2) / 16 - mp.log(power) for k, power in enumerate(powers)]
            tables = {"exp": powers, "exp_rest": [ROUND[kind](rest) for rest in rests]}
            for name, function in {"sin": mp.sin, "cos": mp.cos}.items():
                values = [function(2 * mp.pi * k / TURN[kind]) for k in range(TURN[kind])]
                # Zeros are zeros, although pi is rounded.
                pairs = [words(v, bits, bits, 2) if abs(v) > 1e-50 else (0.0, 0.0) for v in values]
                tables[name], tables[f"{name}_low"] = zip(*pairs, strict=True)
            for name, numbers in tables.items():
                found.setdefault(name, {})[kind] = list(numbers)
    return found


def table_of(numbers: list[float] | tuple[float, ...], indent: str) -> list[str]:
    lines, line = [], indent.rstrip(" ")
    for number in numbers:
        if len(line) + len(repr(number)) > 97:
            lines.append(line)
            line = ""
        line += f"{indent if not line else ' '}{number!r},"
    return [*lines, line]


HEADER = """\"\"\"{}

Written by `python -m tests.compiler.vecmath.coefficients`; a test compares.
\"\"\"

# fmt: off
"""


def polynomial_source() -> str:
    lines = [
        HEADER.format("Minimax polynomials by name and kind, lowest power first."),
        "POLYNOMIALS: dict[str, dict[str, tuple[float, ...]]] = {",
    ]
    for name, fit in fits().items():
        print(name, file=sys.stderr, flush=True)
        with mp.workdps(8):
            interval = f"[{mp.nstr(fit.low, 6)}, {mp.nstr(fit.high, 6)}]"
        lines.append(f"    # {fit.formula} on {interval}")
        lines.append(f'    "{name}": {{')
        for kind, (coefficients, error) in fit_polynomials(fit).items():
            lines.append(f'        "{kind}": (  # error 2^{np.log2(error):.1f}')
            lines += [*table_of(coefficients, " " * 12), "        ),"]
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


def word_source() -> str:
    lines = [
        HEADER.format("Constants as sums of floating-point numbers, and the bits of 2/pi."),
        "WORDS: dict[str, dict[str, tuple[float, ...]]] = {",
    ]
    for name, kinds in all_words().items():
        lines.append(f'    "{name}": {{')
        for kind, parts in kinds.items():
            lines.append(f'        "{kind}": (')
            lines += [*table_of(parts, " " * 12), "        ),"]
        lines.append("    },")
    lines += ["}", "", "TWO_OVER_PI = ("]
    lines += [f"    0x{word:016X}," for word in two_over_pi_bits()]
    return "\n".join([*lines, ")", ""])


def nested_source(name: str, found: dict[str, dict[str, list[float]]]) -> list[str]:
    lines = [f"{name}: dict[str, dict[str, tuple[float, ...]]] = {{"]
    for entry, kinds in found.items():
        lines.append(f'    "{entry}": {{')
        for kind, numbers in kinds.items():
            lines += [f'        "{kind}": (', *table_of(numbers, " " * 12), "        ),"]
        lines.append("    },")
    return [*lines, "}", ""]


def lookup_source() -> str:
    title = "Tables of registers of numbers, and quotients of polynomials, lowest power first."
    lines = [HEADER.format(title), *nested_source("TABLES", all_tables())]
    return "\n".join([*lines, *nested_source("QUOTIENTS", all_quotients())])


def main() -> None:
    import chainrule

    folder = Path(chainrule.__file__).parent / "compiler" / "vecmath"
    (folder / "words.py").write_text(word_source())
    (folder / "tables.py").write_text(lookup_source())
    (folder / "polynomials.py").write_text(polynomial_source())


if __name__ == "__main__":
    main()
