"""A headless Chromium for the end-to-end tests and for looking at the pages. Ignores what is on them.

python -m tests.e2e.browser http://127.0.0.1:8501 out/     # a picture of every page, light and dark, two widths
"""

from __future__ import annotations

import argparse
import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en-US",
)
PAGES = ("", "finance", "medical", "support", "evaluation", "audit", "models", "operations")
_STATE = "[data-testid='stApp']"


def binaries() -> tuple[str, str] | None:
    """Paths of Chromium and its driver, or None where they are not installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def chromium(
    *, width: int = 1280, height: int = 900, dark: bool = False, downloads: Path | None = None
) -> Iterator[Chrome]:
    """A fresh browser with an empty profile.

    Args:
        width: Of the page, in CSS pixels.
        height: Of the page, in CSS pixels.
        dark: Whether the reader prefers dark pages.
        downloads: Where files go that a page offers.
    """
    found = binaries()
    assert found is not None, "Chromium is not installed (Debian: apt-get install chromium chromium-driver)"
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = found[0]
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if downloads is not None:
            options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        driver = Chrome(options=options, service=ChromeService(found[1]))
        try:
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            resize(driver, width=width, height=height)
            yield driver
        finally:
            driver.quit()


def resize(driver: Chrome, *, width: int, height: int) -> None:
    """Give the page this size, whatever the window's frame takes."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def settle(driver: Chrome, *, timeout_s: float = 60) -> None:
    """Wait until Streamlit has run the page's script to its end and nothing on the page is a placeholder."""

    def quiet(_: Chrome) -> bool:
        try:
            state = driver.find_element(By.CSS_SELECTOR, _STATE).get_attribute("data-test-script-state")
            skeletons = driver.find_elements(By.CSS_SELECTOR, "[data-testid='stSkeleton']")
            return state == "notRunning" and not skeletons
        except (StaleElementReferenceException, WebDriverException):
            return False

    WebDriverWait(driver, timeout_s, poll_frequency=0.2).until(quiet)


def find(driver: Chrome, text: str, *, tag: str = "*", timeout_s: float = 30) -> WebElement:
    """The first visible element whose own text holds `text`."""
    quoted = f'"{text}"' if '"' not in text else f"'{text}'"
    path = f"//{tag}[text()[contains(normalize-space(.), {quoted})]]"

    def visible(_: Chrome) -> WebElement | None:
        return next((one for one in driver.find_elements(By.XPATH, path) if one.is_displayed()), None)

    found = WebDriverWait(driver, timeout_s, ignored_exceptions=[StaleElementReferenceException]).until(visible)
    assert found is not None
    return found


def press(driver: Chrome, text: str, *, timeout_s: float = 30) -> None:
    """Click the button, tab or link that says `text`, then wait for the page."""
    element = find(driver, text, timeout_s=timeout_s)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()
    settle(driver)


_PARTS = """
const found = [];
const look = (root) => { for (const one of root.querySelectorAll('*')) if (one.shadowRoot) {
  found.push(...one.shadowRoot.querySelectorAll(arguments[0])); look(one.shadowRoot); } };
look(document);
return found;
"""
_PIXELS = """
const canvas = arguments[0], sum = [0, 0, 0];
const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
for (let i = 0; i < data.length; i++) if (i % 4 < 3) sum[i % 4] += data[i];
return sum;
"""


def parts_of(driver: Chrome, selector: str) -> list[WebElement]:
    """What matches inside our own elements, which are closed to the page's selectors."""
    return list(driver.execute_script(_PARTS, selector))


def shown_image(driver: Chrome, number: int = 0) -> tuple[int, ...]:
    """Sums of red, green and blue of a viewer's canvas: another image, window or mark has others."""
    settle(driver)
    canvases = parts_of(driver, ".viewer canvas")
    return tuple(driver.execute_script(_PIXELS, canvases[number])) if len(canvases) > number else ()


def picture(driver: Chrome, path: Path, *, width: int, max_height: int = 6000) -> None:
    """Write a PNG of the whole page, not only of what fits the window."""
    script = "const main = document.querySelector('[data-testid=stMain]'); return main ? main.scrollHeight : 0"
    height = int(driver.execute_script(script))
    resize(driver, width=width, height=min(max(height, 700), max_height))
    settle(driver)
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(shot["data"]))
    resize(driver, width=width, height=900)


def main() -> None:
    """Take a picture of every page in light and dark at 1280 and 1920 pixels."""
    parser = argparse.ArgumentParser(description="Pictures of the dashboards' pages.")
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for dark in (False, True):
        for width in (1280, 1920):
            with chromium(width=width, dark=dark) as driver:
                for page in PAGES:
                    driver.get(f"{args.url}/{page}")
                    settle(driver)
                    picture(
                        driver, args.out / f"{page or 'home'}-{'dark' if dark else 'light'}-{width}.png", width=width
                    )


if __name__ == "__main__":
    main()
