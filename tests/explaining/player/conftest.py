"""One headless Chromium, the system's own, for all tests of the page; they skip without it."""

import shutil
from contextlib import contextmanager

import pytest

from chainrule.explaining.player import page
from tests.explaining.player import textbook

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE = {"width": 1280, "height": 800}


@pytest.fixture(scope="package")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on this machine (Debian's package is called chromium)")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def show(browser, tmp_path):
    """Opens a model's page; at the end, nothing was loaded and the console is silent."""
    opened, said, loaded = [], [], []

    def open_page(model=None, at="", viewport=WIDE, **options):
        file = tmp_path / f"trace{len(opened)}.html"
        file.write_text(page(model or textbook.model()), encoding="utf-8")
        context = browser.new_context(viewport=viewport, **options)
        tab = context.new_page()
        tab.set_default_timeout(30_000)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: loaded.append(request.url))
        tab.goto(file.as_uri() + at)
        opened.append((context, file.as_uri()))
        return tab

    yield open_page
    for context, _ in opened:
        context.close()
    assert said == []
    assert {url.split("#")[0] for url in loaded} == {address for _, address in opened}


@pytest.fixture
def without_script(browser, tmp_path):
    @contextmanager
    def open_page(model):
        file = tmp_path / "trace.html"
        file.write_text(page(model), encoding="utf-8")
        context = browser.new_context(java_script_enabled=False)
        tab = context.new_page()
        tab.goto(file.as_uri())
        yield tab
        context.close()

    return open_page
