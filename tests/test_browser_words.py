"""What the page says of what runs: in two tabs, and of other sources than the phantom."""

from selenium import webdriver

from tests import test_browser
from tests.test_browser import choose, control, phase, shown, until
from tests.test_browser_layout import another_page

address, chromium, browser = test_browser.address, test_browser.chromium, test_browser.browser
pytestmark = test_browser.pytestmark


def test_a_page_that_another_one_stopped_names_the_button_that_it_has(browser: webdriver.Chrome, address: str) -> None:
    choose(browser, "onnx_cpu")
    until(browser, lambda: control(browser, "#start").text == "Switch")
    with another_page(browser, address):
        control(browser, "#stop").click()
        until(browser, lambda: phase(browser) == "stopped")
        until(browser, lambda: shown(browser, "veil-reason") == "press Start")
    until(browser, lambda: shown(browser, "veil-reason") == "press Switch")
