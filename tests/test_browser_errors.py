"""What the page says to a press that is refused: where, and for how long."""

from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.pages import control, needs_chromium, running, scan_area, screen, stop_recording, until

pytestmark = needs_chromium

ERROR = """
    window.scrollTo(0, 0);
    const error = document.querySelector(".toast-body")?.getBoundingClientRect();
    const rest = [...document.querySelectorAll(".rcd-picture, #start, #stop, #record, #keep-area, #find-area")];
    const covered = rest.filter((each) => {
        const at = each.getBoundingClientRect();
        return at.right > error?.left && at.left < error?.right && at.bottom > error?.top && at.top < error?.bottom;
    });
    const said = document.querySelector(".toast-messages")?.innerText.split(":")[0];
    return [said, covered.map((each) => each.id || "picture")];
"""
"""What stands there as an error, up to its colon, and what it covers of the page where it begins."""


def refused(browser: webdriver.Chrome, width: WebElement, text: str) -> None:
    """Press Keep with a scan area that is as wide as this, which is too little."""
    width.clear()
    width.send_keys(text)
    control(browser, "#keep-area").click()


def test_an_error_about_the_scan_area_covers_neither_picture_nor_control_and_takes_the_place_of_the_one_before(
    browser: webdriver.Chrome,
) -> None:
    _, numbers = scan_area(browser)
    with screen(browser, 1366, 700):
        for text in "98":
            refused(browser, numbers[2], text)
            error = f"scan area of {text}x619 px is too small"
            until(browser, lambda error=error: browser.execute_script(ERROR) == [error, []])


def test_an_error_about_a_recording_covers_neither_picture_nor_control(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    with running("fake", tmp_path, "phantom:?fps=4", "--record", str(tmp_path / "r")) as recorded:
        browser.get(recorded)
        record, _ = stop_recording(browser)
        (tmp_path / "r").rename(tmp_path / "full").with_name("r").touch()
        with screen(browser, 1366, 625):
            record.click()
            until(browser, lambda: browser.execute_script(ERROR) == [f"cannot write {tmp_path / 'r'}", []])


def test_an_error_goes_by_itself(browser: webdriver.Chrome) -> None:
    soon = "<style>.toast-message-item { animation-duration: .1s !important; }</style>"
    refused(browser, scan_area(browser)[1][2], "9")
    control(browser, ".toast-body")
    browser.execute_script("document.head.insertAdjacentHTML('beforeend', arguments[0])", soon)
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, ".toast-body"))
    browser.refresh()
