"""The command and a real browser, for the tests of the page; and how a user looks at it and works it."""

import os
import re
import shutil
import signal
import subprocess
import sys
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

from rcdnet.weights import SHIPPED

ROOT = Path(__file__).parents[1]
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

pytestmark = pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``python -m stream run`` on the phantom, with the shipped network where there is one."""
    engine = "auto" if (SHIPPED / "rcdnet.onnx").exists() else "fake"
    with running(engine, tmp_path_factory.mktemp("settings")) as found:
        yield found


@contextmanager
def running(engine: str, settings: Path, source: str = "phantom:?fps=4", *options: str) -> Iterator[str]:
    """The address of a run, on a port of its own; ends it with Ctrl-C, which must go well. Few pictures take little."""
    arguments = ["run", "--source", source, "--engine", engine, "--port", "0", *options]
    with subprocess.Popen(
        [sys.executable, "-m", "stream", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"XDG_CONFIG_HOME": str(settings)},
    ) as process:
        assert process.stderr is not None
        said = []  # first of the engines: one line each, taken or why not
        found = None
        while found is None and (line := process.stderr.readline()):
            said.append(line)
            found = re.search(r"http://\S+", line)
        try:
            assert found is not None, said
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest, rest


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome, address: str) -> webdriver.Chrome:
    """The page with its controls, the picture painted at least once and its words filled in."""
    if urlsplit(chromium.current_url).netloc != urlsplit(address).netloc or frame(chromium) is None:
        chromium.get(address)
        until(chromium, lambda: chromium.find_elements(By.CSS_SELECTOR, "#start"))
        until(chromium, lambda: frame(chromium) is not None and phase(chromium) == "running")
    return chromium


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
    control(browser, f"#{of} input").send_keys(Keys.CONTROL, "a")
    control(browser, f"#{of} input").send_keys(name, Keys.ENTER)


def scan_area(browser: webdriver.Chrome) -> tuple[WebElement, list[WebElement]]:
    """The button over the numbers of the scan area, and these: opened anew, and so filled in with what holds."""
    panel = control(browser, "#scan-area button")
    if "open" in (panel.get_attribute("class") or "").split():
        panel.click()
        until(browser, lambda: "open" not in (panel.get_attribute("class") or "").split())
    panel.click()
    numbers = "#scan-area input[type=number]"
    until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, numbers)) == 4)
    found = browser.find_elements(By.CSS_SELECTOR, numbers)
    until(browser, lambda: all(each.get_property("value") not in ("", "0") for each in found[2:]))
    return panel, found


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
