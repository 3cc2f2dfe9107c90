"""What the page says of what runs, or could not be started: in two tabs, and of other sources than the phantom."""

from pathlib import Path

import cv2
import pytest
from selenium import webdriver

from tests.clips import picture, write_clip
from tests.pages import another_page, choose, control, needs_chromium, phase, running, shown, until

pytestmark = needs_chromium


@pytest.mark.parametrize(("choice", "word"), [("fake", "Restart"), ("onnx_cpu", "Switch")])
def test_a_page_that_another_one_stopped_has_the_button_that_it_names(
    browser: webdriver.Chrome, address: str, choice: str, word: str
) -> None:
    start = control(browser, "#start")
    choose(browser, choice)
    until(browser, lambda: start.text == word)
    with another_page(browser, address):
        control(browser, "#stop").click()
        until(browser, lambda: phase(browser) == "stopped")
    until(browser, lambda: (shown(browser, "veil-reason"), start.text) == ("press Start", "Start"))
    start.click()
    until(browser, lambda: phase(browser) == "running" and start.text == "Restart")


@pytest.mark.parametrize(("recording", "words"), [("on", "finishing what was recorded"), ("off", "")])
def test_a_run_that_is_being_stopped_is_not_said_to_have_lost_its_source(
    browser: webdriver.Chrome, recording: str, words: str
) -> None:
    stopping = """const ask = fetch, [recording] = arguments;
        fetch = async (...of) => {
            const answer = await ask(...of);
            if (of[0] !== "/status.json") return answer;
            return Response.json({...await answer.json(), phase: "stopping", recording});
        }"""
    browser.execute_script(stopping, recording)  # as it is for seconds after Stop, if a recording is long
    try:
        until(browser, lambda: shown(browser, "veil") == "Stopping")
        assert shown(browser, "veil-reason") == words
    finally:
        browser.refresh()


@pytest.mark.parametrize("kind", ["pictures", "looped clip"])
def test_the_chip_tells_stills_and_clips_from_what_is_live(
    chromium: webdriver.Chrome, tmp_path: Path, kind: str
) -> None:
    source = write_clip(tmp_path / "clip.mp4")
    if kind == "pictures":
        source = tmp_path / "folder"
        source.mkdir()
        for number in range(2):
            cv2.imwrite(str(source / f"{number}.png"), picture(number))
    with running("fake", tmp_path, str(source)) as address:
        chromium.get(address)
        until(chromium, lambda: phase(chromium) == "running" and shown(chromium, "phase") == kind)


def test_an_error_is_shown_as_it_is_though_it_names_a_file_that_is_called_like_a_page_and_then_nothing_runs(
    chromium: webdriver.Chrome, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "<a href='about:blank'>Start<a>.mp4")
    with running("fake", tmp_path, str(clip)) as address:
        chromium.get(address)
        until(chromium, lambda: control(chromium, "#source input").get_attribute("value") == clip.name)
        clip.unlink()
        choose(chromium, "onnx_cpu")
        until(chromium, lambda: control(chromium, "#start").text == "Switch")
        control(chromium, "#start").click()
        told = control(chromium, '[data-testid="toast-text"]').get_attribute("textContent")
        assert told == f"{clip.name} does not exist, or is not a file. Expected a video."
        until(chromium, lambda: control(chromium, "#start").text == "Start")  # as nothing runs any more


def test_a_choice_is_kept_that_is_made_while_the_page_fills_in_what_another_one_started(
    chromium: webdriver.Chrome, tmp_path: Path
) -> None:
    hold = """const ask = fetch, go = new Promise((done) => { window.letGo = done; });
        fetch = async (...of) => {
            if (String(of[0]).includes("queue/join") && !JSON.parse(of[1].body).data.length) {
                window.holds = true;
                await go;
            }
            return ask(...of);
        }"""  # what the page asks the server when it fills in, and not what it tells of a choice

    def value(of: str) -> object:
        return control(chromium, f"#{of} input").get_property("value")

    def switches() -> bool:
        return control(chromium, "#start").text == "Switch"

    with running("fake", tmp_path, str(write_clip(tmp_path / "clip.mp4"))) as address:
        chromium.get(address)
        until(chromium, lambda: phase(chromium) == "running" and value("source") == "clip.mp4")
        chromium.execute_script(hold)
        with another_page(chromium, address) as page:
            until(chromium, lambda: value("source"))
            other = chromium.current_window_handle
            choose(chromium, "phantom (synthetic)", of="source")
            until(chromium, switches)
            control(chromium, "#start").click()
            chromium.switch_to.window(page)
            until(chromium, lambda: chromium.execute_script("return window.holds"))
            choose(chromium, "onnx_cpu")
            until(chromium, switches)
            chromium.execute_script("letGo()")
            until(chromium, lambda: value("source") == "phantom (synthetic)")
            chromium.switch_to.window(other)
        assert (value("engine"), switches()) == ("onnx_cpu", True)
