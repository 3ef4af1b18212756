"""The player in a real browser: what a reader clicks and presses, and the numbers that follow."""

import pytest

import chainrule as cr
from chainrule.explaining.model import model_of
from chainrule.explaining.player import page
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
    tab.clock.install(time=0)
    tab.reload()
    tab.clock.pause_at(60_000)  # from here on, time passes only where the test says so
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


def test_partial_adjoints_that_nobody_has_summed_yet(show):
    model = textbook.model()
    for step in model["phases"][-1]["steps"]:
        for entry in step["node_to_grad"]:
            entry["sum"] = entry["sum"] if entry["node"] == step["node"] else ""
    tab = show(model, at="#reverse/5")
    assert ledger(tab)["n1"] == ("5 + 0.5", "", "so far")
    assert tag(tab, "n1", "derivative") == "5 + 0.5 so far"
    assert tag(tab, "n2", "derivative") == "−0.284 + 2 so far"
    model["phases"][-1]["steps"][4]["node_to_grad"][-1]["parts"] = ["123456789.123", "0.5"]
    assert tag(show(model, at="#reverse/5"), "n1", "derivative") == "2 parts so far"


def test_inside_a_frame_without_an_address(show):
    """As a notebook shows it."""
    tab = show()
    tab.evaluate(
        """text => {
            const frame = document.createElement("iframe");
            frame.srcdoc = text;
            frame.style.cssText = "position: fixed; inset: 0; width: 100%; height: 100%";
            document.body.append(frame);
        }""",
        page(textbook.model()),
    )
    inside = tab.frame_locator("iframe")
    inside.get_by_role("tab", name="Reverse").click()
    inside.get_by_role("button", name="Last step").click()
    assert inside.locator("[data-current-value]").inner_text() == "5.5"
    tab.wait_for_timeout(400)  # longer than the address waits to be written
    assert inside.locator(".count").inner_text() == "7 of 7"


def test_an_explained_function(show):
    """The same numbers where the library has found them itself."""
    explanation = cr.explain(
        lambda x1, x2: cr.log(x1) + x1 * x2 - cr.sin(x2), cr.tensor(2.0), cr.tensor(5.0)
    )
    tab = show(model_of(explanation), at="#reverse/1")
    for step in textbook.reverse():
        assert tab.locator(".equation .left").inner_text() == step["name"]
        assert tab.locator("[data-current-value]").inner_text() == step["value"]
        assert tag(tab, step["node"], "derivative") == step["value"]
        tab.keyboard.press("ArrowRight")
    assert rows(tab)[5] == ["v̄₂", "v̄₄·v₁ + v̄₅·cos v₂", "1·2 + (−1)·0.284", "1.716"]
    for step in textbook.FORWARD:
        assert tag(tab, step["node"], "value") == step["value"]


FOLDED = {"n3": "0.693", "n4": "10", "n5": "−0.959"}


def test_what_a_fold_covers_is_known_once_it_is_passed(show):
    tab = show(samples.folded(), at="#forward/2")
    assert count(tab) == "2 of 4"
    assert {node: tag(tab, node, "value") for node in FOLDED} == dict.fromkeys(FOLDED, NOT_YET)
    tab.keyboard.press("ArrowRight")
    assert {node: tag(tab, node, "value") for node in FOLDED} == FOLDED
    assert lit(tab, "done") == {"n1", "n2", "n5"}
    assert lit(tab, "used") == {"n3", "n4"}
    tab.keyboard.press("4")
    assert tag(tab, "n2", "derivative") == NOT_YET
    assert ledger(tab)["n6"] == ("1", "1", "so far")
    tab.keyboard.press("ArrowRight")
    assert tag(tab, "n2", "derivative") == "1.716"
    assert tag(tab, "n5", "derivative") == "−1"
    assert ledger(tab)["n6"] == ("1", "1", "v̄₆")
    tab.keyboard.press("Home")
    tab.locator(".canvas [data-node=n5] text").first.click()
    assert count(tab) == "2 of 2"


def test_nothing_is_said_of_nodes_that_a_phase_leaves_out(show):
    tab = show(samples.folded(covers=False), at="#forward/2")
    assert lit(tab, "apart") == set(FOLDED)
    for node in FOLDED:
        assert tab.locator(f"[data-node={node}] .tag").count() == 0
