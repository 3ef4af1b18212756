"""Rewrites what the library makes of the pages in this folder: tables, and pictures.

`python docs/make_pictures.py` runs the examples of each page in order.  Two kinds of comments in
a page say what is made of the results:

    <!-- insert: trace.table(trace.forward).markdown() -->
    ... replaced by the text that the expression gives ...
    <!-- end -->

    <!-- picture: pictures/forward.svg = trace.picture().svg -->

`tests/test_walkthrough.py` makes everything again and compares.
"""

from __future__ import annotations

import doctest
import io
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
PAGES = ("walkthrough.md", "walkthrough.zh.md", "explaining.md")
PLACE = "example.py"  # what the lines of the examples are called in pictures

_INSERT = re.compile(r"<!-- insert: (.+?) -->\n.*?<!-- end -->", re.S)
_PICTURE = re.compile(r"<!-- picture: (\S+) = (.+?) -->")

# The words of the library's tables in the Chinese page: whole cells, and titles and notes.
CELLS = {
    "formula": "算式",
    "numbers": "代入数值",
    "value": "值",
    "f′ naive": "f′ 照写",
    "f′ shared": "f′ 共享",
    "its ×": "其中乘法",
    "saving": "节省（倍）",
    "operations": "运算",
    "flops": "浮点运算",
    "exp, log, …": "exp、log 等",
    "read": "读",
    "written": "写",
    "multiply": "乘",
    "add": "加",
    "subtract": "减",
    "value and gradient": "值与梯度",
    "ratio": "比值",
    "forward mode": "前向模式",
    "forward mode, in one batch": "前向模式（成批）",
    "reverse mode": "反向模式",
    "forward difference": "前向差分",
    "central difference": "中心差分",
    "Richardson extrapolation": "理查森外推",
    "complex step": "复步长法",
    "symbolic, with sharing": "符号微分（共享）",
    "symbolic, without sharing": "符号微分（照写）",
    "grows as": "增长",
}
SENTENCES = {
    r"Forward: values": r"前向：变量的值",
    r"Tangents along (\S+)(?=\*\*)": r"切向量：沿 \1 方向",
    r"Reverse: adjoints": r"反向：伴随",
    r"operations of (\w+) and its gradient": r"\1 及其梯度的运算次数",
    r"operations of the derivative of (\w+)": r"\1 的导数所需的运算次数",
    r"cost of (\w+)": r"\1 的代价",
    r"naive: (.*); shared: (.*)": r"照写：\1；共享：\2",
    r"as (n\^[\d.]+)": r"按 \1 增长",
    r"×([\d.]+) for each step of n": r"n 每加 1，乘以 \1",
    r"memory of a run: (.*) at the peak; kept for backward: (.*) and (.*) of inputs": (
        r"运行一次的内存：峰值 \1；为反向传播保留 \2，另有输入 \3"
    ),
    r"memory of value and gradient: (.*) at the peak": r"值与梯度的内存：峰值 \1",
}


class Made(NamedTuple):
    """What became of a page: its text, and the pictures by name."""

    text: str
    pictures: dict[str, str]


def make(page: Path) -> Made:
    """Run a page's examples, and make its tables and pictures anew."""
    text = page.read_text(encoding="utf-8")
    scope: dict[str, Any] = {"__name__": "__main__"}
    parts, pictures, done = [], {}, 0
    examples = _examples(text, scope)
    for match in sorted([*_INSERT.finditer(text), *_PICTURE.finditer(text)], key=re.Match.start):
        examples.send(match.start())
        parts.append(text[done : match.start()])
        done = match.end()
        if match.re is _PICTURE:
            pictures[match[1]] = eval(match[2], {**scope, "figure": figure})
            parts.append(match[0])
        else:
            made = str(eval(match[1], scope)).strip("\n")
            if page.name.endswith(".zh.md"):
                made = in_chinese(made)
            parts.append(f"<!-- insert: {match[1]} -->\n\n{made}\n\n<!-- end -->")
    return Made("".join([*parts, text[done:]]), pictures)


def _examples(text: str, scope: dict[str, Any]) -> Iterator[None]:
    """A generator that, sent a position in the page, runs the examples before it."""

    def running() -> Iterator[None]:
        lines = [0, *(m.end() for m in re.finditer("\n", text))]
        until = yield
        for example in doctest.DocTestParser().get_examples(text):
            while lines[example.lineno] > until:
                until = yield
            if not example.options.get(doctest.SKIP):
                code = compile(example.source, PLACE, "single")
                with redirect_stdout(io.StringIO()):
                    exec(code, scope)
        while True:
            yield

    started = running()
    next(started)
    return started


def in_chinese(table: str) -> str:
    """A table of the library in Chinese words."""
    lines = []
    for line in table.splitlines():
        if line.startswith("|"):
            line = "|".join(f" {CELLS[c.strip()]} " if c.strip() in CELLS else c
                            for c in line.split("|"))  # fmt: skip
        else:
            for english, chinese in SENTENCES.items():
                line = re.sub(english, chinese, line)
        lines.append(line)
    return "\n".join(lines)


def figure(made: Any) -> str:
    """A Matplotlib figure as SVG, the same at every run, which follows the viewer's dark scheme."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "chainrule"}):
        made.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    dark = "@media (prefers-color-scheme:dark){svg{filter:invert(.9) hue-rotate(180deg)}}"
    return re.sub(r"(<svg[^>]*>)", rf"\1<style>{dark}</style>", out.getvalue(), count=1)


def main() -> None:
    """Write every page and picture that is not as it should be."""
    for name in PAGES:
        page = FOLDER / name
        made = make(page)
        for file, content in {name: made.text, **made.pictures}.items():
            target = FOLDER / file
            if not target.exists() or target.read_text(encoding="utf-8") != content:
                target.parent.mkdir(exist_ok=True)
                target.write_text(content, encoding="utf-8", newline="\n")
                print(f"wrote {target.relative_to(FOLDER.parent)}", file=sys.stderr)


if __name__ == "__main__":
    main()
