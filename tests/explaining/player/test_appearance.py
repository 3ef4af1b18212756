"""How the page looks and handles in a real browser: sizes, colours, focus, zoom, paper."""

import pytest

from tests.explaining.player import samples, textbook
from tests.explaining.player.seen import PHONE, box, count, press, tag, visible


def test_long_traces_keep_the_step_in_view(show):
    tab = show(samples.long())
    assert count(tab) == "1 of 300"
    assert tab.locator(".trace .fold").inner_text() == "v0 … v9 once more ×11 (loop at demo.py:7)"
    for step in (1, 2, 150, 151, 299, 300, 40):
        tab.get_by_role("slider").fill(str(step))
        assert tab.locator(".trace .now th").inner_text() == f"v{step - 1}"
        assert visible(tab, ".trace .now", ".trace")
        assert visible(tab, ".canvas .is-current > .player-shape", ".stage")
    press(tab, "Last step")
    assert tab.locator(".trace .now pre").text_content() == samples.MATRIX
    assert tag(tab, "n299", "value") == "(2, 3)"


def test_folds_are_dimmed_until_reached(show):
    tab = show(samples.long(20))
    tab.get_by_role("slider").fill("10")
    assert "later" in tab.locator(".trace .fold").get_attribute("class")
    tab.keyboard.press("ArrowRight")
    assert "later" not in tab.locator(".trace .fold").get_attribute("class")


def test_zoom_and_pan(show):
    tab = show()
    before = box(tab)
    canvas = tab.locator(".canvas").bounding_box()
    x, y = round(canvas["x"] + canvas["width"] / 3), round(canvas["y"] + canvas["height"] / 3)
    part = (x - canvas["x"]) / canvas["width"], (y - canvas["y"]) / canvas["height"]
    tab.mouse.move(x, y)
    tab.mouse.wheel(0, -300)
    tab.wait_for_function(
        f"document.querySelector('.canvas > svg').viewBox.baseVal.width < {before[2]}"
    )
    near = box(tab)
    # The point under the pointer stays where it is.
    for i in range(2):
        fixed = before[i] + before[i + 2] * part[i]
        assert near[i] + near[i + 2] * part[i] == pytest.approx(fixed)
    tab.mouse.down()
    tab.mouse.move(x + 50, y - 20, steps=5)
    tab.mouse.up()
    moved = box(tab)
    scale = near[2] / canvas["width"]
    assert moved[0] == pytest.approx(near[0] - 50 * scale, abs=0.2)
    assert moved[1] == pytest.approx(near[1] + 20 * scale, abs=0.2)
    assert count(tab) == "1 of 7"
    tab.keyboard.press("0")
    assert box(tab) == pytest.approx(before)
    press(tab, "Zoom in")
    assert box(tab)[2] == pytest.approx(before[2] / 1.3)
    press(tab, "Zoom out")
    press(tab, "Fit")
    assert box(tab) == pytest.approx(before)


def test_a_drag_is_no_click(show):
    tab = show()
    place = tab.locator(".canvas [data-node=n4] .player-shape").bounding_box()
    tab.mouse.move(place["x"] + 20, place["y"] + 10)
    tab.mouse.down()
    tab.mouse.move(place["x"] + 60, place["y"] + 40, steps=4)
    tab.mouse.up()
    assert count(tab) == "1 of 7"
    tab.mouse.move(place["x"] + 60, place["y"] + 40)
    tab.mouse.down()
    tab.mouse.up()
    assert count(tab) == "4 of 7"


def test_pinch(show):
    tab = show(viewport=PHONE, has_touch=True, is_mobile=True)
    before = box(tab)
    canvas = tab.locator(".canvas").bounding_box()
    x, y = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2
    session = tab.context.new_cdp_session(tab)
    for kind, apart in (
        ("touchStart", 40),
        ("touchMove", 60),
        ("touchMove", 80),
        ("touchEnd", None),
    ):
        points = [{"x": x - apart, "y": y}, {"x": x + apart, "y": y}] if apart else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    tab.wait_for_function(
        """half => {
            const {width} = document.querySelector(".canvas > svg").viewBox.baseVal;
            return Math.abs(width - half) < 1;
        }""",
        arg=before[2] / 2,
    )


MODELS = {
    "textbook": textbook.model,
    "long": samples.long,
    "wide": samples.wide,
    "extended": samples.extended,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 800}], ids=["phone", "wide"])
def test_the_page_never_scrolls_sideways(show, name, viewport):
    tab = show(MODELS[name](), viewport=viewport)
    tab.keyboard.press("End")
    for key in range(1, 5):
        tab.keyboard.press(str(key))
        widths = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]


def test_a_wide_page_needs_no_scrolling_at_all(show):
    tab = show(at="#reverse/7")
    assert tab.evaluate("document.documentElement.scrollHeight <= innerHeight")
    for selector in (".trace", ".ledger .scroll"):
        hidden = tab.locator(selector).evaluate("e => e.scrollHeight - e.clientHeight")
        assert hidden <= 1


def test_the_controls_stay_at_hand_on_a_phone(show):
    tab = show(at="#reverse/4", viewport=PHONE)
    for selector in (".transport", "[aria-label='Next step']", ".stage"):
        tab.evaluate("scrollTo(0, 0)")
        assert visible(tab, selector, "html") or selector == ".stage"
        edge = tab.locator(selector).bounding_box()
        assert edge["y"] + edge["height"] <= PHONE["height"]
    tab.evaluate("scrollTo(0, 1e6)")
    bottom = tab.locator(".transport").bounding_box()
    assert bottom["y"] + bottom["height"] <= PHONE["height"] + 1


def colours(tab):
    return tab.evaluate(
        """() => [
            getComputedStyle(document.body).backgroundColor,
            getComputedStyle(document.body).color,
            getComputedStyle(document.querySelector(".canvas [data-node=n7] rect")).fill,
        ]"""
    )


def test_dark_and_light(show):
    light, dark = colours(show(color_scheme="light")), colours(show(color_scheme="dark"))
    assert all(a != b for a, b in zip(light, dark, strict=True))
    tab = show(color_scheme="light")
    press(tab, "Dark colours")
    assert colours(tab) == dark
    press(tab, "Light colours")
    assert colours(tab) == light
    tab = show(color_scheme="dark")
    press(tab, "Light colours")
    assert colours(tab) == light


def test_the_chosen_theme_holds_for_the_next_picture(show):
    tab = show(samples.extended(), color_scheme="light")
    press(tab, "Dark colours")
    dark = colours(tab)
    press(tab, "With adjoints")
    assert colours(tab) == dark


def contrast(tab, selector):
    """The contrast of an element's text with what is behind it (WCAG 2.2)."""
    return tab.evaluate(
        """selector => {
            const element = document.querySelector(selector);
            const canvas = document.createElement("canvas");
            const paint = canvas.getContext("2d", {willReadFrequently: true});
            const light = color => {
                paint.clearRect(0, 0, 1, 1);
                paint.fillStyle = color;
                paint.fillRect(0, 0, 1, 1);
                const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
                const pixel = [...paint.getImageData(0, 0, 1, 1).data];
                const [r, g, b] = pixel.map(v => linear(v / 255));
                return .2126 * r + .7152 * g + .0722 * b;
            };
            let behind = element;
            while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
                behind = behind.parentElement;
            const pair = [
                light(getComputedStyle(element).color),
                light(getComputedStyle(behind).backgroundColor),
            ].sort((a, b) => b - a);
            return (pair[0] + .05) / (pair[1] + .05);
        }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("link", ["#forward/3", "#tangent:x1/3", "#reverse/3"])
def test_text_can_be_read(show, scheme, link):
    tab = show(at=link, color_scheme=scheme)
    for selector in (
        ".about",
        ".names p",
        "[aria-selected=true]",
        ".trace .not-yet",
        ".trace .later td",
        ".trace .now td.value",
        ".step .value",
        ".count",
    ):
        assert contrast(tab, selector) >= 4.5, selector


def test_no_motion_where_none_is_wanted(show):
    duration = "getComputedStyle(document.querySelector('.canvas .node > *')).transitionDuration"
    assert show().evaluate(duration) == "0.2s"
    assert show(reduced_motion="reduce").evaluate(duration) == "0s"


def test_every_control_has_a_name_and_shows_its_focus(show):
    tab = show(at="#reverse/3")
    seen = set()
    for _ in range(25):
        tab.keyboard.press("Tab")
        name, outline = tab.evaluate(
            """() => {
                const e = document.activeElement;
                const label = e.labels && e.labels.length ? e.labels[0].innerText : "";
                return [e.getAttribute("aria-label") || label || e.innerText,
                        getComputedStyle(e).outlineStyle];
            }"""
        )
        if tab.evaluate("document.activeElement === document.body"):
            break
        assert name
        assert outline == "solid"
        seen.add(name)
    assert {"Play", "Next step", "Step", "Reverse", "Help", "Trace", "Contents"} <= seen


def test_space_presses_a_focused_button(show):
    tab = show()
    tab.get_by_role("button", name="Next step").focus()
    tab.keyboard.press(" ")
    assert count(tab) == "2 of 7"
    assert tab.get_by_role("button", name="Play").is_visible()


def test_paper_has_all_traces_in_light_colours(show):
    tab = show(color_scheme="light", at="#reverse/3")
    press(tab, "Dark colours")
    tab.emulate_media(media="print", color_scheme="light")
    seen = tab.locator(".full").inner_text()
    assert "v̄₄·v₁ + v̄₅·cos v₂" in seen
    assert tab.locator(".stage").is_visible()
    assert not tab.locator(".transport").is_visible()
    assert tab.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--panel')"
    ) in (
        "#fff",
        "#ffffff",
    )
