"""What a reader sees on the page, and how buttons are pressed."""

NOT_YET = "not yet"
PHONE = {"width": 375, "height": 667}


def text(tab, selector):
    return tab.locator(selector).inner_text().strip()


def rows(tab):
    """The trace table as seen: name, formula, numbers and value of every row."""
    return tab.locator(".trace tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def tag(tab, node, kind):
    """What hangs on a node of the picture: its value, or its tangent or adjoint."""
    return tab.locator(f'[data-node="{node}"] .tag.{kind} text').text_content()


def ledger(tab):
    return {
        row["node"]: (row["parts"], row["sum"], row["state"])
        for row in tab.locator("[data-entry]").evaluate_all(
            """rows => rows.map(row => ({
                node: row.dataset.entry,
                parts: row.querySelector(".parts").textContent,
                sum: row.querySelector(".sum").textContent,
                state: row.querySelector(".state").textContent,
            }))"""
        )
    }


def joined(parts):
    return " + ".join(
        f"({part})" if i and part.startswith("−") else part for i, part in enumerate(parts)
    )


def count(tab):
    return text(tab, ".count")


def phase(tab):
    return text(tab, "[role=tab][aria-selected=true]")


def press(tab, name):
    tab.get_by_role("button", name=name, exact=True).click()


def lit(tab, state):
    return set(
        tab.locator(f".canvas .node.is-{state}").evaluate_all("all => all.map(n => n.dataset.node)")
    )


def lit_edges(tab, state):
    return set(
        tab.locator(f".canvas .edge.is-{state}").evaluate_all(
            "all => all.map(e => e.dataset.from + e.dataset.to)"
        )
    )


def visible(tab, inner, outer):
    """Whether an element is inside the visible part of another."""
    return tab.evaluate(
        """([inner, outer]) => {
            const a = document.querySelector(inner).getBoundingClientRect();
            const b = document.querySelector(outer).getBoundingClientRect();
            return a.top >= b.top - 1 && a.bottom <= b.bottom + 1 &&
                a.left >= b.left - 1 && a.right <= b.right + 1;
        }""",
        [inner, outer],
    )


def box(tab):
    view = tab.locator(".canvas > svg").get_attribute("viewBox")
    return [float(number) for number in view.split()]
