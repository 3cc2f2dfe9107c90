"""The page in a real browser: what the tests of it do there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests import programs

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE_S = 60
"""For Gradio on a machine that is busy with other things; a condition that holds is noticed at once."""
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
]

needs_chromium = pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="chromium is not installed")


@contextmanager
def running(engine: str, settings: Path, source: str = "phantom:?fps=4", *options: str) -> Iterator[str]:
    """The URL of a run that keeps its settings in this folder. Few pictures take little."""
    with programs.running(source, *options, engine=engine, XDG_CONFIG_HOME=str(settings)) as (_, address):
        yield f"http://{address}"


@contextmanager
def launched(profile: Path) -> Iterator[webdriver.Chrome]:
    """Chromium without a window, which tells what it fetches."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    try:
        yield browser
    finally:
        browser.quit()


def opened(browser: webdriver.Chrome, address: str) -> webdriver.Chrome:
    """It, showing this page, with its controls filled in and the picture painted at least once."""
    if urlsplit(browser.current_url).netloc != urlsplit(address).netloc or frame(browser) is None:
        browser.get(address)
        until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#start"))
        until(browser, lambda: frame(browser) is not None and phase(browser) == "running")
        until(
            browser, lambda: control(browser, "#engine input").get_property("value")
        )  # or it is in the midst of typing
    return browser


def until(browser: webdriver.Chrome, condition: object) -> None:
    WebDriverWait(browser, PATIENCE_S, poll_frequency=0.1).until(lambda _: condition())  # type: ignore[operator]


def frame(browser: webdriver.Chrome) -> int | None:
    text = browser.execute_script("return document.querySelector('#rcd-canvas')?.dataset.frame")
    return None if text is None else int(text)


def shown(browser: webdriver.Chrome, name: str) -> str:
    script = "return document.querySelector(`[data-show='${arguments[0]}']`)?.textContent ?? ''"
    return str(browser.execute_script(script, name))


def phase(browser: webdriver.Chrome) -> str:
    return str(browser.execute_script("return document.querySelector('.rcd-phase')?.dataset.phase"))


def control(browser: webdriver.Chrome, selector: str) -> WebElement:
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, selector))
    return browser.find_element(By.CSS_SELECTOR, selector)


def choose(browser: webdriver.Chrome, name: str, of: str = "engine") -> None:
    """Typed again where Gradio loses it, which on a busy machine happens to keys that come within milliseconds. While
    the list is open, what stands there is typed, and not yet chosen."""

    def chosen() -> bool:
        field = control(browser, f"#{of} input")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(name, Keys.ENTER)
        return field.get_property("value") == name and field.get_attribute("aria-expanded") == "false"

    until(browser, chosen)


def stop_recording(browser: webdriver.Chrome) -> tuple[WebElement, WebElement]:
    """The box Record and the words that tell of a recording, once the one that began with the run has ended."""
    record, chip = control(browser, "#record input"), control(browser, ".rcd-recording")
    until(browser, lambda: record.is_selected() and chip.is_displayed())
    record.click()
    until(browser, lambda: not chip.is_displayed() and phase(browser) == "running")
    return record, chip


def scan_area(browser: webdriver.Chrome) -> tuple[WebElement, list[WebElement]]:
    """The button over the numbers of the scan area, and these, filled in with what holds. On a page that is loaded
    anew, where nothing stood in them before: else they might be filled in after what a test types.
    """
    browser.refresh()
    panel = control(browser, "#scan-area button")
    panel.click()
    numbers = "#scan-area input[type=number]"
    until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, numbers)) == 4)
    found = browser.find_elements(By.CSS_SELECTOR, numbers)
    until(browser, lambda: all(each.get_property("value") not in ("", "0") for each in found[2:]))
    return panel, found


@contextmanager
def screen(
    browser: webdriver.Chrome, width: int, height: int, scale: int = 1, *, phone: bool = False
) -> Iterator[None]:
    """The page as it is on a screen of this size."""
    size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@contextmanager
def another_page(browser: webdriver.Chrome, address: str) -> Iterator[str]:
    """A page in a tab of its own, in front at first; yields the tab before."""
    page = browser.current_window_handle
    browser.switch_to.new_window("tab")
    other = browser.current_window_handle
    try:
        browser.get(address)
        yield page
    finally:
        browser.switch_to.window(other)
        browser.close()
        browser.switch_to.window(page)
