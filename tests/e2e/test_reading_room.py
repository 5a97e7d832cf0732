"""The reading room in a browser over made-up studies: image and text point at each other, and a caliper measures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import served
from tests.dashboards.fake_api import make_app
from tests.e2e.browser import parts_of, press, settle, shown_image
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
APP = Path(__file__).parents[2] / "dashboards" / "app.py"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page answers."""
    home, port = tmp_path_factory.mktemp("room"), free_port()
    app, key = make_app(home)
    (home / "key").write_text(key)
    with served(app) as url:
        command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port), "--"]
        process = subprocess.Popen([*command, "--api-url", url, "--key-file", str(home / "key")])
        yield f"http://127.0.0.1:{port}/medical"
        process.terminate()
        process.wait(30)


@pytest.fixture
def page(room: str, browser: Chrome) -> Chrome:
    """The study with a nodule and a doubtful effusion, its image drawn."""

    def answers(_: Chrome) -> bool:
        browser.get(room)
        return "Trivium" in browser.title or bool(browser.find_elements("css selector", "[data-testid='stApp']"))

    WebDriverWait(browser, 60, ignored_exceptions=[Exception]).until(answers)
    settle(browser)
    press(browser, "Next open study")
    # The study before it is drawn too, and has no sentence that is linked.
    WebDriverWait(browser, 30).until(lambda _: parts_of(browser, ".linked .sentence"))
    WebDriverWait(browser, 30).until(lambda _: sum(shown_image(browser)) > 0)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", parts_of(browser, ".viewer canvas")[0])
    return browser


def _changes(page: Chrome, before: tuple[int, ...]) -> None:
    WebDriverWait(page, 15).until(lambda _: shown_image(page) != before)


def test_pointing_at_a_sentence_lights_its_region_and_the_other_way_round(page: Chrome) -> None:
    before = shown_image(page)
    sentence = parts_of(page, ".linked .sentence")[0]
    ActionChains(page).move_to_element(sentence).perform()
    _changes(page, before)

    canvas = parts_of(page, ".viewer canvas")[0]
    side = canvas.size["height"] if canvas.size["height"] < canvas.size["width"] else canvas.size["width"]
    nodule = ((176.5 - 128) / 256 * side, (115.5 - 128) / 256 * side)
    ActionChains(page).move_to_element_with_offset(canvas, *map(int, nodule)).perform()

    lit = [one.text for one in parts_of(page, ".linked .lit")]
    assert lit == ["Left lung nodule measuring 15.8 mm in diameter.", "Left lung nodule."]


def test_boxes_and_masks_are_switched_on_and_off(page: Chrome) -> None:
    buttons = {one.text: one for one in parts_of(page, ".viewer .tool")}
    for name in ("Mask", "Boxes", "Outlines", "Names"):
        before = shown_image(page)
        buttons[name].click()
        _changes(page, before)


def test_a_drag_sets_the_window_and_a_caliper_measures_in_mm(page: Chrome) -> None:
    canvas = parts_of(page, ".viewer canvas")[0]
    before = shown_image(page)
    ActionChains(page).drag_and_drop_by_offset(canvas, 60, 30).perform()
    _changes(page, before)
    level, width = (one.get_attribute("value") for one in parts_of(page, ".viewer .number"))
    assert (level, width) != ("40", "400")

    next(one for one in parts_of(page, ".viewer .tool") if one.text == "Measure").click()
    before = shown_image(page)
    ActionChains(page).drag_and_drop_by_offset(canvas, 80, 0).perform()
    _changes(page, before)
