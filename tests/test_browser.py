"""The whole product as a user meets it: the command, the page in a real browser, the picture, the controls."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.weights import SHIPPED
from tests.pages import choose, control, frame, needs_chromium, phase, running, scan_area, shown, until

pytestmark = needs_chromium

ENGINE = "auto" if (SHIPPED / "rcdnet.onnx").exists() else "fake"
"""Of the page: the shipped network where there is one."""

PIXELS = """
const canvas = document.querySelector("#rcd-canvas");
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let sum = 0, hash = 0;
for (let at = 0; at < pixels.length; at += 52) { sum += pixels[at]; hash = (31 * hash + pixels[at]) | 0; }
return [hash, sum / (pixels.length / 52)];
"""

LISTS_IN_SIGHT = (
    "return [...document.querySelectorAll('[role=listbox]')].filter((list) => list.checkVisibility()).length"
)


def test_the_painted_pixels_change(browser: webdriver.Chrome) -> None:
    first, brightness = browser.execute_script(PIXELS)
    assert brightness > 5, "the canvas is black"
    until(browser, lambda: browser.execute_script(PIXELS)[0] != first)


def test_what_was_flagged_is_still_to_be_seen_afterwards(browser: webdriver.Chrome) -> None:
    picture = control(browser, ".rcd-flagged li img")
    until(browser, lambda: picture.get_property("naturalWidth"))
    words = browser.find_element(By.CSS_SELECTOR, ".rcd-flagged li").text
    assert re.fullmatch(r"(benign|malignant) \d+%, (now|\d+ s ago)(; flagged for \d+\.\d s)?", words)


def test_the_numbers_move(browser: webdriver.Chrome) -> None:
    until(browser, lambda: shown(browser, "painted-p99") not in ("", "–"))
    until(browser, lambda: shown(browser, "drawn-p99") not in ("", "–"))
    until(browser, lambda: float(shown(browser, "painted-fps").replace("–", "0")) > 1)
    before = shown(browser, "counts")
    until(browser, lambda: shown(browser, "counts") != before)


def test_the_engine_is_shown_with_its_parity(browser: webdriver.Chrome) -> None:
    until(browser, lambda: shown(browser, "precision") not in ("", "–"))
    if shown(browser, "engine") != "fake":
        assert "|Δp| 0.00" in shown(browser, "parity")
    assert shown(browser, "replaced") == "–"


def test_the_timeline_is_drawn(browser: webdriver.Chrome) -> None:
    coloured = """
    const canvas = document.querySelector("#rcd-timeline");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let at = 0; at < pixels.length; at += 4) count += pixels[at + 3] > 0 && pixels[at] > pixels[at + 2] + 60;
    return count;
    """  # red: the line of the class malignant
    until(browser, lambda: browser.execute_script(coloured) > 20)


def test_the_strip_below_the_lines_is_explained(browser: webdriver.Chrome) -> None:
    caption = browser.find_element(By.CSS_SELECTOR, ".rcd-timeline figcaption").text
    assert "strip below: undecided or not judged" in caption


def test_the_page_says_what_it_is_not(browser: webdriver.Chrome) -> None:
    notice = browser.find_element(By.CSS_SELECTOR, ".rcd-notice")
    assert notice.is_displayed()
    assert notice.text == RESEARCH_NOTICE
    assert browser.find_element(By.CSS_SELECTOR, ".rcd-synthetic").is_displayed()


def test_the_slider_sets_the_opacity(browser: webdriver.Chrome) -> None:
    number = control(browser, "#opacity input[type=number]")
    browser.execute_script(
        "arguments[0].value = '0.9'; arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
        "arguments[0].dispatchEvent(new Event('change', {bubbles: true}));",
        number,
    )
    script = "return fetch('/status.json').then((answer) => answer.json()).then((status) => status.opacity)"
    until(browser, lambda: browser.execute_script(script) == 0.9)
    browser.execute_script("arguments[0].focus()", number)
    ActionChains(browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).send_keys(Keys.DELETE).perform()
    assert number.get_property("value") == "0.9"  # Gradio cannot take it empty


def test_the_opacity_has_no_button_that_would_move_its_slider_alone(browser: webdriver.Chrome) -> None:
    control(browser, "#opacity input[type=range]")
    assert not [one for one in browser.find_elements(By.CSS_SELECTOR, "#opacity button") if one.is_displayed()]


def test_the_number_of_the_opacity_looks_like_the_text_that_it_is(browser: webdriver.Chrome) -> None:
    number = control(browser, "#opacity input[type=number]")
    box = number.find_element(By.XPATH, "..")
    assert {each.value_of_css_property("border-top-width") for each in (number, box)} == {"0px"}
    assert {each.value_of_css_property("background-color") for each in (number, box)} == {"rgba(0, 0, 0, 0)"}
    assert number.accessible_name == "number input for Heat map opacity"


def test_the_scan_area_is_shown_changed_kept_and_found_again(browser: webdriver.Chrome) -> None:
    until(browser, lambda: "given by the source" in shown(browser, "area"))
    _, numbers = scan_area(browser)
    width = numbers[2]
    width.clear()
    width.send_keys("100", Keys.TAB)
    control(browser, "#keep-area").click()
    until(browser, lambda: re.search(r"^100x\d+ at .*, set$", shown(browser, "area")))
    control(browser, "#find-area").click()
    until(browser, lambda: "given by the source" in shown(browser, "area"))
    until(browser, lambda: not any(each.get_property("value") for each in numbers))


def test_what_lies_around_the_scan_area_is_shown_to_whoever_draws_it_and_not_else(browser: webdriver.Chrome) -> None:
    above_the_scan = """
        const canvas = document.querySelector('#rcd-canvas'), whole = canvas.width === 1280 + 288;
        const strip = canvas.getContext('2d').getImageData(0, 0, 800, whole ? 60 : 8);
        return [whole, strip.data.reduce((most, value, at) => at % 4 ? most : Math.max(most, value)) > 20]; // of red
    """
    panel, _ = scan_area(browser)
    until(browser, lambda: browser.execute_script(above_the_scan) == [True, True])
    panel.click()
    until(browser, lambda: browser.execute_script(above_the_scan) == [False, False])
    panel.click()
    until(browser, lambda: browser.execute_script(above_the_scan) == [True, True])


def test_the_scan_area_is_drawn_with_the_mouse(browser: webdriver.Chrome) -> None:
    _, numbers = scan_area(browser)
    picture = control(browser, "#rcd-canvas")
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".rcd-drawing"))  # and the picture is shown whole
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
    drawn = ".rcd-drawn"
    scale = picture.rect["width"] / browser.execute_script("return arguments[0].width", picture)

    def at(x_px: int, y_px: int) -> tuple[int, int]:
        """A pixel of the source's picture, from the middle of the canvas."""
        return round(x_px * scale - picture.rect["width"] / 2), round(y_px * scale - picture.rect["height"] / 2)

    def values() -> list[int]:
        return [int(each.get_property("value") or 0) for each in numbers]

    before = values()

    def drag() -> ActionChains:
        mouse = ActionChains(browser).move_to_element_with_offset(picture, *at(200, 150)).click_and_hold()
        return mouse.move_to_element_with_offset(picture, *at(500, 450))

    drag().perform()
    assert browser.find_element(By.CSS_SELECTOR, drawn).is_displayed()
    ActionChains(browser).send_keys(Keys.ESCAPE).release().perform()
    assert not browser.find_element(By.CSS_SELECTOR, drawn).is_displayed()
    assert values() == before
    drag().release().perform()
    assert browser.find_element(By.CSS_SELECTOR, drawn).is_displayed()
    assert values() == pytest.approx([200, 150, 300, 300], abs=round(1 / scale) + 1)
    control(browser, "#keep-area").click()
    width, height = values()[2:]
    until(browser, lambda: shown(browser, "area").startswith(f"{width}x{height} at "))
    control(browser, "#find-area").click()
    until(browser, lambda: "given by the source" in shown(browser, "area"))


def test_stop_is_visible_and_start_goes_on(browser: webdriver.Chrome) -> None:
    control(browser, "#stop").click()
    until(browser, lambda: phase(browser) == "stopped")
    until(browser, lambda: browser.find_element(By.CSS_SELECTOR, ".rcd-veil").is_displayed())
    stopped_at = frame(browser)
    control(browser, "#start").click()
    until(browser, lambda: phase(browser) == "running")
    until(browser, lambda: frame(browser) != stopped_at)
    until(browser, lambda: not browser.find_element(By.CSS_SELECTOR, ".rcd-veil").is_displayed())


def test_the_first_button_tells_whether_what_is_chosen_runs_already(browser: webdriver.Chrome) -> None:
    def reads(word: str) -> None:
        until(browser, lambda: control(browser, "#start").text == word)

    reads("Restart")
    choose(browser, "onnx_cpu")
    reads("Switch")
    choose(browser, "auto")
    reads("Restart")
    choose(browser, "onnx_cpu")
    reads("Switch")
    control(browser, "#start").click()
    reads("Restart")
    until(browser, lambda: shown(browser, "engine") == "onnx_cpu")


def test_the_operating_point_is_chosen_like_the_engine(browser: webdriver.Chrome) -> None:
    if shown(browser, "engine") == "fake":
        pytest.skip("the fake has one operating point")
    until(browser, lambda: shown(browser, "operating-point") == "balanced")
    choose(browser, "sensitive", of="operating-point")
    until(browser, lambda: control(browser, "#start").text == "Switch")
    control(browser, "#start").click()
    until(browser, lambda: shown(browser, "operating-point") == "sensitive")


def test_the_keyboard_reaches_every_control_in_sight_and_leaves_no_list_open(browser: webdriver.Chrome) -> None:
    focused = """
        const on = document.activeElement, notice = document.querySelector(".rcd-notice").getBoundingClientRect();
        if (on === document.body) return null;
        const seen = getComputedStyle(on).outlineStyle !== "none" && on.getBoundingClientRect().top >= notice.bottom;
        return [on.closest("[id]").id, seen];
    """
    browser.refresh()
    control(browser, "#opacity input[type=range]")
    for shift in ("", Keys.SHIFT):
        reached: dict[str, bool] = {}
        while not reached or browser.execute_script(focused):
            ActionChains(browser).send_keys(shift + Keys.TAB + Keys.NULL).perform()
            reached |= dict([browser.execute_script(focused) or ("end", True)])
        assert all(reached.values()), reached
        assert {"source", "engine", "operating-point", "start", "stop", "scan-area", "opacity"} <= {*reached}
    until(browser, lambda: not browser.execute_script(LISTS_IN_SIGHT))


def leave_the_engines(browser: webdriver.Chrome, key: str) -> None:
    """Load the page anew, and leave their list with this key as soon as it is drawn."""
    leave = f"""
        const timer = setInterval(() => {{
            const list = document.querySelector("#engine input");
            if (!list) return;
            clearInterval(timer);
            list.focus();
            list.dispatchEvent(new KeyboardEvent("keydown", {{key: "{key}", bubbles: true}}));
            list.blur();
        }}, 1);
    """
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": leave})
    browser.refresh()
    until(browser, lambda: control(browser, "#engine input").get_property("value"))  # what runs is filled in last
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_a_list_that_is_left_as_soon_as_it_is_drawn_is_told_to_be_closed(browser: webdriver.Chrome) -> None:
    leave_the_engines(browser, "Tab")
    assert control(browser, "#engine input").get_attribute("aria-expanded") == "false"


def test_a_list_that_a_key_opens_once_it_is_left_is_not_in_sight(browser: webdriver.Chrome) -> None:
    leave_the_engines(browser, "ArrowDown")
    assert browser.execute_script(LISTS_IN_SIGHT) == 0


def test_nothing_is_fetched_from_elsewhere(browser: webdriver.Chrome) -> None:
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    found = [urlsplit(url) for url in asked]
    assert {each.hostname for each in found if each.scheme in ("http", "https", "ws", "wss")} == {"127.0.0.1"}


def test_a_second_run_in_the_same_tab_is_not_veiled_between_the_pictures_of_a_slow_source(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    veiled_after_a_second = """
        const [canvas, veil, words] = ["#rcd-canvas", ".rcd-veil", "[data-show=veil-reason]"].map(
            (each) => document.querySelector(each));
        const frame = canvas.dataset.frame, done = arguments[0];
        let veiled = false;
        const timer = setInterval(() => {
            veiled ||= !veil.hidden && words.textContent.startsWith("for 1 s");
            if (canvas.dataset.frame !== frame) done(veiled, clearInterval(timer));
        }, 20);
    """
    with running("fake", tmp_path, "phantom:?fps=0.6") as slow:
        browser.get(slow)
        until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#start"))
        until(browser, lambda: frame(browser) is not None)
        assert not any(browser.execute_async_script(veiled_after_a_second) for _ in range(2))


def test_a_silence_is_announced_once(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with running("fake", tmp_path, "faults:drop@1+600/lavfi:testsrc2=size=64x48:rate=30") as silent:
        browser.get(silent)
        control(browser, "#start")  # with the controls the page comes anew
        until(browser, lambda: "no new frame for" in shown(browser, "veil-reason"))
        alert = control(browser, ".rcd-veil [role=alert]")
        every_other = """let n = 0, ask = fetch;
            fetch = (...of) => of[0] === "/status.json" && n++ % 2 ? Promise.reject() : ask(...of)"""
        browser.execute_script(every_other)
        said = set()  # one answer that fails changes nothing
        until(browser, lambda: said.add((alert.text, shown(browser, "veil-reason"))) or len(said) > 3)
    assert {headline for headline, _ in said} == {"No new picture"}


def test_a_page_whose_scripts_do_not_come_says_so(browser: webdriver.Chrome, address: str) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/viewer/stage.js*"]})
    try:
        browser.get(address)
        until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#start"))
        assert browser.find_element(By.CSS_SELECTOR, ".rcd-veil").is_displayed()
        assert "reload" in shown(browser, "veil-reason")
    finally:
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
