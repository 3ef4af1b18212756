"""The player in a real browser: what a reader clicks and presses, and the numbers that follow."""

import pytest

from tests.explaining.player import samples, textbook
from tests.explaining.player.seen import (
    NOT_YET,
    count,
    joined,
    ledger,
    lit,
    lit_edges,
    phase,
    press,
    rows,
    tag,
    text,
)


def written(steps, position, name=lambda step: step["name"]):
    """The rows a table must show at a position: later ones without numbers, and saying so."""
    shown = []
    for i, step in enumerate(steps):
        numbers, value = (step["numbers"], step["value"]) if i <= position else ("", NOT_YET)
        shown.append([name(step), step["formula"], numbers, value])
    return shown


def test_the_reverse_steps_show_every_number(show):
    tab = show()
    tab.get_by_role("tab", name="Reverse").click()
    steps = textbook.reverse()
    assert len(steps) == 7
    for i, step in enumerate(steps):
        assert count(tab) == f"{i + 1} of 7"
        assert rows(tab) == written(steps, i)
        assert tab.locator("[data-current-value]").inner_text() == step["value"]
        assert tab.locator(".step .formula").inner_text() == step["formula"]
        assert tab.locator(".step .says").inner_text() == step["says"]
        reached = {done["node"]: done for done in steps[: i + 1]}
        expected = {
            entry["node"]: (
                joined(entry["parts"]),
                entry["sum"],
                reached[entry["node"]]["name"] if entry["node"] in reached else "so far",
            )
            for entry in step["node_to_grad"]
        }
        assert ledger(tab) == expected
        for id_, *_ in textbook.NODES:
            adjoint = tag(tab, id_, "derivative")
            if id_ in reached:
                assert adjoint == reached[id_]["value"]
            elif id_ in expected:
                assert adjoint == f"{expected[id_][1]} so far"
            else:
                assert adjoint == NOT_YET
            value = next(row["value"] for row in textbook.FORWARD if row["node"] == id_)
            assert tag(tab, id_, "value") == value
        if i < 6:
            press(tab, "Next step")
    assert tab.locator(".icon[aria-label='Next step']").get_attribute("aria-disabled") == "true"
    assert text(tab, ".result").split() == ["∂y/∂x₁", "5.5", "∂y/∂x₂", "1.716"]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_other_phases_show_every_number(show, index):
    tab = show()
    part = textbook.model()["phases"][index]
    tab.get_by_role("tab", name=part["title"]).click()
    for i, step in enumerate(part["steps"]):
        assert rows(tab) == written(part["steps"], i)
        assert tab.locator("[data-current-value]").inner_text() == step["value"]
        for j, other in enumerate(part["steps"]):
            shown = tag(tab, other["node"], "derivative" if index else "value")
            assert shown == (other["value"] if j <= i else NOT_YET)
        press(tab, "Next step" if i < 6 else f"Next phase: {after(index)}")
    assert phase(tab) == after(index)


def after(index):
    return textbook.model()["phases"][index + 1]["title"]


def test_what_is_not_computed_is_never_zero(show):
    tab = show()
    assert "0" not in [tag(tab, f"n{i}", "value") for i in range(2, 8)]
    assert tab.locator("[data-node=n3] .tag title").text_content() == "not computed yet"
    assert tab.locator(".trace .not-yet").first.get_attribute("title") == "not computed yet"


def test_the_picture_lights_the_step(show):
    tab = show(at="#forward/4")
    assert lit(tab, "current") == {"n4"}
    assert lit(tab, "used") == {"n1", "n2"}
    assert lit(tab, "done") == {"n3"}
    assert lit(tab, "later") == {"n5", "n6", "n7"}
    assert lit_edges(tab, "used") == {"n1n4", "n2n4"}
    tab = show(at="#reverse/4")
    assert lit(tab, "current") == {"n4"}
    assert lit(tab, "used") == {"n6"}
    assert lit(tab, "target") == {"n1", "n2"}
    assert lit_edges(tab, "used") == {"n4n6"}
    assert lit_edges(tab, "sending") == {"n1n4", "n2n4"}
    assert "v̄₄·v₂ = 5 to v₁, v̄₄·v₁ = 2 to v₂" in text(tab, ".sends")


def test_keys(show):
    tab = show()
    for key, expected in [
        ("ArrowRight", ("Forward", "2 of 7")),
        ("ArrowRight", ("Forward", "3 of 7")),
        ("ArrowLeft", ("Forward", "2 of 7")),
        ("End", ("Forward", "7 of 7")),
        ("ArrowRight", ("Tangents along x₁", "1 of 7")),
        ("ArrowLeft", ("Forward", "7 of 7")),
        ("Home", ("Forward", "1 of 7")),
        ("ArrowLeft", ("Forward", "1 of 7")),
        ("4", ("Reverse", "1 of 7")),
        ("End", ("Reverse", "7 of 7")),
        ("ArrowRight", ("Reverse", "7 of 7")),
        ("3", ("Tangents along x₂", "1 of 7")),
        ("9", ("Tangents along x₂", "1 of 7")),
    ]:
        tab.keyboard.press(key)
        assert (phase(tab), count(tab)) == expected


def test_arrows_step_wherever_the_focus_is(show):
    tab = show()
    tab.get_by_role("slider").focus()
    tab.keyboard.press("ArrowRight")
    assert count(tab) == "2 of 7"
    tab.get_by_role("tab", name="Reverse").click()
    tab.keyboard.press("ArrowRight")
    assert (phase(tab), count(tab)) == ("Reverse", "2 of 7")


def test_buttons_and_slider(show):
    tab = show()
    press(tab, "Last step")
    assert count(tab) == "7 of 7"
    press(tab, "Previous step")
    assert count(tab) == "6 of 7"
    press(tab, "First step")
    assert count(tab) == "1 of 7"
    slider = tab.get_by_role("slider")
    slider.fill("5")
    assert count(tab) == "5 of 7"
    assert slider.get_attribute("aria-valuetext") == "step 5 of 7: v₅"
    assert rows(tab) == written(textbook.FORWARD, 4)


def test_a_click_on_a_row_or_a_node_goes_there(show):
    tab = show(at="#reverse/1")
    tab.locator("[data-row=n4]").click()
    assert count(tab) == "4 of 7"
    tab.locator(".canvas [data-node=n1] text").first.click()
    assert count(tab) == "7 of 7"


def test_play_runs_to_the_end_and_pauses(show):
    tab = show()
    tab.clock.install()
    tab.reload()
    tab.get_by_label("Speed").select_option("4")
    tab.locator("body").press(" ")
    assert tab.get_by_role("button", name="Pause").is_visible()
    tab.clock.run_for(850)
    assert count(tab) == "3 of 7"
    tab.locator("body").press(" ")
    tab.clock.run_for(5000)
    assert count(tab) == "3 of 7"
    press(tab, "Play")
    for _ in range(6):
        tab.clock.run_for(500)
    assert count(tab) == "7 of 7"
    assert tab.get_by_role("button", name="Play").is_visible()
    press(tab, "Play")
    assert count(tab) == "1 of 7"


def test_help(show):
    tab = show()
    tab.keyboard.press("?")
    dialog = tab.get_by_role("dialog")
    assert "one step back" in dialog.inner_text()
    tab.keyboard.press("ArrowRight")
    assert count(tab) == "1 of 7"
    tab.keyboard.press("Escape")
    assert not dialog.is_visible()
    tab.keyboard.press("ArrowRight")
    assert count(tab) == "2 of 7"


def test_links(show):
    tab = show(at="#reverse/3")
    assert (phase(tab), count(tab)) == ("Reverse", "3 of 7")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_url("**#reverse/4")
    tab.keyboard.press("2")
    tab.wait_for_url("**#tangent%3Ax1/1")
    tab.evaluate("location.hash = '#forward/6'")
    tab.wait_for_function("document.querySelector('.count').textContent === '6 of 7'")
    tab = show(at="#nothing/3")
    assert (phase(tab), count(tab)) == ("Forward", "1 of 7")
    tab = show(at="#reverse/99")
    assert (phase(tab), count(tab)) == ("Reverse", "7 of 7")
    tab = show(at="#%")
    assert (phase(tab), count(tab)) == ("Forward", "1 of 7")


def test_hostile_text_is_shown_as_text(show):
    attack = "</script><img src=x onerror=alert(1)><b>bold</b>"
    model = textbook.model()
    model["title"] = model["subtitle"] = attack
    model["phases"][0]["steps"] = [
        {**step, "value": attack, "says": attack} for step in textbook.FORWARD
    ]
    tab = show(model)
    assert text(tab, ".names h1") == attack
    assert tab.locator(".trace .now .value").inner_text() == attack
    assert tab.locator("img, b:text('bold')").count() == 0


def test_tables_without_scripts(without_script):
    model = textbook.model()
    with without_script(model) as tab:
        seen = tab.locator("body").inner_text()
        for part in model["phases"]:
            for step in part["steps"]:
                assert step["value"] in seen
                assert step["formula"] in seen
        assert tab.locator("figure svg").is_visible()


def test_a_model_without_pictures(show):
    model = textbook.model()
    del model["pictures"]
    tab = show(model, at="#reverse/6")
    assert tab.locator(".stage").count() == 0
    assert rows(tab) == written(textbook.reverse(), 5)


def test_the_extended_picture(show):
    tab = show(samples.extended(), at="#reverse/4")
    press(tab, "With adjoints")
    assert lit(tab, "current") == {"n4", "a4"}
    assert lit_edges(tab, "used") == {"n4n6", "a6a4"}
    assert tag(tab, "a4", "value") == "1"
    assert tag(tab, "a5", "value") == "−1"
    assert tag(tab, "a3", "value") == NOT_YET
    tab.locator("[data-node=a2] text").first.click()
    assert count(tab) == "6 of 7"
    assert tag(tab, "a2", "value") == "1.716"
    press(tab, "Graph")
    assert lit(tab, "current") == {"n2"}


def test_a_step_that_the_picture_folds_is_said(show):
    model = textbook.model()
    shown = [node for node in textbook.NODES if node[0] != "n6"]
    edges = [edge for edge in textbook.EDGES if "n6" not in edge]
    model["pictures"]["forward"] = textbook.picture(shown, edges)
    tab = show(model, at="#forward/5")
    assert not tab.locator(".absent").is_visible()
    tab.keyboard.press("ArrowRight")
    assert "the picture folds" in text(tab, ".absent")
