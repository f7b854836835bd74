"""The page in a real browser: quiet, offline, its formulas laid out, nothing wider than a phone."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.reports.conftest import Report

CHROMIUM = shutil.which("chromium")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on PATH; .ci/run installs Debian's")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "images"), [(1200, 912), (390, 375)], ids=["desk", "phone"])
def test_the_page_in_a_browser(browser: Browser, width: int, images: int, report: Report) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.page.as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report.page.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.evaluate("[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)")
    assert len(heights) == 12
    assert min(heights) > 10
    # Every figure is shown, in the drawing made for this width.
    widths = page.evaluate("[...document.querySelectorAll('img')].map(i => i.naturalWidth)")
    assert len(widths) == 8
    assert all(abs(w - images) <= 3 for w in widths)
    # On A4 with usual margins nothing is cut: tables scroll on a screen only.
    page.set_viewport_size({"width": 718, "height": 1040})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    page.close()
