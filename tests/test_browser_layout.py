"""Where things stand on the page, on screens of any size and in two tabs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.pages import (
    another_page,
    choose,
    control,
    needs_chromium,
    phase,
    running,
    screen,
    shown,
    stop_recording,
    until,
)
from tests.programs import python
from tests.stream_views import SESSION, written

pytestmark = needs_chromium


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    ("width", "height"),
    [(390, 844), (844, 390), (700, 450), (901, 800), (1060, 800)],
    ids=["phone", "turned", "zoomed", "narrow", "tight"],
)
def test_the_picture_stays_where_it_is_whatever_is_said(
    browser: webdriver.Chrome, width: int, height: int, labelled: bool
) -> None:
    tops = """
        const said = [["", ""], ["malignant", ""], ["no lesion flagged", "probability of a lesion below 50%"],
            ["indeterminate", "between benign and malignant"]];
        const [headline, reason] = ["headline", "reason"].map((each) => document.querySelector(`[data-show=${each}]`));
        document.querySelector(".rcd-source").textContent = "rtsp://192.168.100.100:8554";
        document.querySelector(".rcd-phase").textContent = "live";
        for (const each of document.querySelectorAll(".rcd-synthetic, .rcd-recording")) each.hidden = !arguments[0];
        return said.map((words) => {
            [headline.textContent, reason.textContent] = words;
            return document.querySelector(".rcd-picture").getBoundingClientRect().top;
        });
    """
    with screen(browser, width, height, phone=width == 390):
        assert len(set(browser.execute_script(tops, labelled))) == 1


def test_most_of_a_phone_on_its_side_is_the_picture(browser: webdriver.Chrome) -> None:
    share = "return 1 - document.querySelector('.rcd-picture').getBoundingClientRect().top / innerHeight"
    with screen(browser, 844, 390, phone=True):
        until(browser, lambda: browser.execute_script(share) > 0.55)


@pytest.mark.parametrize("width", [901, 1366])
def test_the_word_recording_is_broken_by_no_long_reason(browser: webdriver.Chrome, width: int) -> None:
    lines = """
        const words = {headline: "not analysed", recording: "RECORDING", reason:
            "judging a frame takes longer than 0.5 s: the engine is too slow, or the machine too busy"};
        for (const each in words) document.querySelector(`[data-show=${each}]`).textContent = words[each];
        const chip = document.querySelector(".rcd-recording"), range = document.createRange();
        chip.hidden = false;
        range.selectNodeContents(chip);
        return range.getClientRects().length;
    """
    with screen(browser, width, 800):
        assert browser.execute_script(lines) == 1


@pytest.mark.parametrize(("width", "least_px"), [(1366, 27), (1920, 38)])
def test_what_is_said_can_be_read_from_two_metres_away(browser: webdriver.Chrome, width: int, least_px: int) -> None:
    size = "return parseFloat(getComputedStyle(document.querySelector('.rcd-state')).fontSize)"
    with screen(browser, width, 768):
        assert browser.execute_script(size) >= least_px


def test_the_research_notice_stays_in_sight_on_a_small_screen(browser: webdriver.Chrome) -> None:
    with screen(browser, 1400, 620):
        until(browser, lambda: browser.execute_script("window.scrollTo(0, 9999); return scrollY") > 100)
        top = browser.execute_script("return document.querySelector('.rcd-notice').getBoundingClientRect().top")
        browser.execute_script("window.scrollTo(0, 0)")
    assert top >= 0


def test_the_picture_fills_the_screen_beside_the_research_notice_and_comes_back(browser: webdriver.Chrome) -> None:
    share = "return document.querySelector('#rcd-canvas').getBoundingClientRect().width / innerWidth"
    button, notice = control(browser, ".rcd-full"), browser.find_element(By.CSS_SELECTOR, ".rcd-full-notice")
    assert browser.execute_script(share) < 0.8
    button.click()
    until(browser, lambda: browser.execute_script(share) > 0.9)
    assert notice.is_displayed()
    with screen(browser, 844, 390):  # a telephone
        assert browser.execute_script("return document.querySelector('#rcd-canvas').clientHeight / innerHeight") > 0.6
    button.click()
    until(browser, lambda: browser.execute_script(share) < 0.8)
    assert not notice.is_displayed()


def test_the_bright_button_is_the_one_that_would_change_something(browser: webdriver.Chrome) -> None:
    def start_is_bright() -> bool:
        browser.execute_script("document.activeElement.blur()")
        start, stop = (control(browser, each).value_of_css_property("background-color") for each in ("#start", "#stop"))
        return start != stop

    until(browser, lambda: not start_is_bright())
    choose(browser, "onnx_cpu")
    until(browser, start_is_bright)
    choose(browser, "fake")
    until(browser, lambda: not start_is_bright())
    control(browser, "#stop").click()
    until(browser, start_is_bright)
    control(browser, "#start").click()
    ActionChains(browser).move_to_element(control(browser, ".rcd-notice")).perform()
    until(browser, lambda: not start_is_bright())


def test_the_controls_show_what_was_started_on_another_page(browser: webdriver.Chrome, address: str) -> None:
    def engine() -> str:
        return str(control(browser, "#engine input").get_property("value"))

    def start(name: str) -> None:
        choose(browser, name)
        until(browser, lambda: engine() == name)
        control(browser, "#start").click()

    before = engine()
    control(browser, "#stop").click()
    with another_page(browser, address) as page:
        control(browser, "#start")
        until(browser, lambda: phase(browser) == "stopped")
        other = browser.current_window_handle
        browser.switch_to.window(page)
        start("onnx_cpu")
        browser.switch_to.window(other)
        until(browser, lambda: engine() == "onnx_cpu")
        start(before)
        until(browser, lambda: phase(browser) == "running" and shown(browser, "engine") != "onnx_cpu")
    until(browser, lambda: engine() == before)
    until(browser, lambda: control(browser, "#start").text == "Restart")


def test_a_recording_ends_and_another_begins_while_the_page_runs(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with running("fake", tmp_path, "phantom:?size=320x240&fps=4", "--record", str(tmp_path / "recordings")) as recorded:
        browser.get(recorded)
        record, chip = stop_recording(browser)
        assert len(list(tmp_path.glob("recordings/*/summary.json"))) == 1
        record.click()
        until(browser, lambda: chip.is_displayed() and phase(browser) == "running")
        record.click()
        until(browser, lambda: not chip.is_displayed() and phase(browser) == "running")
        with another_page(browser, recorded):
            other = control(browser, "#record input")
            until(browser, lambda: phase(browser) == "running")
            assert not other.is_selected()
            other.click()
            until(browser, lambda: control(browser, ".rcd-recording").is_displayed() and phase(browser) == "running")
        until(browser, record.is_selected)
        record.click()
        until(browser, lambda: not chip.is_displayed() and phase(browser) == "running")
        (tmp_path / "recordings").rename(tmp_path / "full").with_name("recordings").touch()
        record.click()
        until(browser, lambda: not record.is_selected() and phase(browser) == "running")
    assert len(list(tmp_path.glob("full/*/summary.json"))) == 3


def test_a_page_whose_program_was_started_again_comes_anew_with_it(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Its controls were those of the program before: whatever was pressed, it was told that its source is not known."""

    def source() -> str:
        return str(browser.execute_script("return document.querySelector('#source input')?.value"))

    first, second = "phantom:?fps=4&seed=3", "phantom:?fps=4&seed=4"
    with running("fake", tmp_path, first) as address:
        browser.get(address)
        until(browser, lambda: source() == first)
    with running("fake", tmp_path, second, "--port", str(urlsplit(address).port)):
        until(browser, lambda: source() == second)


@pytest.mark.parametrize("still", [True, False])
def test_the_timeline_joins_no_pictures_that_have_nothing_to_do_with_one_another(
    browser: webdriver.Chrome, still: bool
) -> None:
    joined = """
        const [still, done] = arguments, canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        document.body.append(canvas);
        let last = null, sloping = 0;
        context.moveTo = (x, y) => { last = y; };
        context.lineTo = (x, y) => { sloping += y !== last; last = y; };
        const timeline = [0.1, 0.9, 0.4].map((p, at) => ({t_s: at / 2, smoothed: [p], state: "clear_finding"}));
        import("/viewer/timeline.js").then(({drawTimeline}) => {
            drawTimeline(canvas, {timeline, timeline_s: 60, class_colours: ["red"], still});
            canvas.remove();
            done(sloping);
        });
    """
    assert browser.execute_async_script(joined, still) == (0 if still else 2)


def test_a_server_that_does_not_answer_leaves_no_count_standing_and_moves_nothing(browser: webdriver.Chrome) -> None:
    look = """
        const cells = [...document.querySelectorAll("[data-show=counts] td")].map((cell) => cell.textContent);
        const top = document.querySelector("[data-show=area]").getBoundingClientRect().top + scrollY;
        return [document.querySelector(".rcd-phase").dataset.phase, cells, top];
    """
    until(browser, lambda: browser.execute_script(look)[1])
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/status.json*"]})
    try:
        looks = [browser.execute_script(look)]
        until(browser, lambda: looks.append(browser.execute_script(look)) or looks[-1][0] == "unreachable")
        (_, _, before), (_, cells, after) = looks[-2:]
        assert set(cells) == {"–"}
        assert after == before
    finally:
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
    until(browser, lambda: phase(browser) == "running")


def test_a_long_name_gives_way_to_the_reason_and_stands_below_no_arrow(browser: webdriver.Chrome) -> None:
    fits = """
        const [source, reason] = ["source", "reason"].map((each) => document.querySelector(`[data-show=${each}]`));
        source.textContent = "Export_of_a_left_breast_upper_outer_quadrant_sweep_transverse_".repeat(3);
        reason.textContent = "probability of a lesion between 50% and 85%";
        document.querySelector("[data-show=headline]").textContent = "indeterminate";
        const [words, arrow] = ["#source input", "#source svg"].map((each) => document.querySelector(each));
        const right = words.getBoundingClientRect().right - parseFloat(getComputedStyle(words).paddingRight);
        return [reason.scrollHeight <= reason.clientHeight, right <= arrow.getBoundingClientRect().left];
    """
    assert browser.execute_script(fits) == [True, True]


def test_a_zoomed_page_gives_neither_notice_nor_button_a_row_of_its_own_and_has_no_empty_margin(
    browser: webdriver.Chrome,
) -> None:
    edges = """
        const [name, notice, phase, button, picture] = ["h1", "notice", "phase", "full", "picture"].map((each) =>
            document.querySelector(`.rcd-header > ${each}, .rcd-${each}`).getBoundingClientRect());
        return [notice.top < name.bottom, button.top < phase.bottom, picture.left];
    """
    with screen(browser, 683, 384, 2):  # 1366 px at 200 %
        assert browser.execute_script(edges) == [True, True, 20]


def test_nothing_of_an_old_picture_is_said_once_no_new_one_comes(browser: webdriver.Chrome) -> None:
    """The phantom goes on, but nothing reaches this screen any more, as on a bad network."""
    never = "const { Picture } = await import('/viewer/picture.js'); Picture.prototype.take = () => {};"
    bright = """return [...document.querySelectorAll(".rcd-phase, .rcd-state, .rcd-reason, .rcd-words")]
        .filter((each) => getComputedStyle(each).visibility === "visible").map((each) => each.textContent)"""
    until(browser, lambda: "live" in browser.execute_script(bright))
    browser.execute_script(f"(async () => {{ {never} }})()")
    try:
        until(browser, lambda: browser.find_element(By.CSS_SELECTOR, ".rcd-veil").is_displayed())
        assert browser.execute_script(bright) == []
        assert re.fullmatch(r"for \d+ s(; judging .*)?", shown(browser, "veil-reason"))
    finally:
        browser.refresh()
    until(browser, lambda: "live" in browser.execute_script(bright))


def test_a_long_error_is_shown_whole_over_a_low_picture(browser: webdriver.Chrome) -> None:
    cut_off = """
        const [veil, headline, reason] = [".rcd-veil", "[data-show=veil]", "[data-show=veil-reason]"].map((each) =>
            document.querySelector(each));
        veil.hidden = false;
        headline.textContent = "Failed";
        reason.textContent = "the camera cannot be opened as it is now: is it in use? ".repeat(6);
        const [inner, outer] = [[headline, reason], [document.querySelector(".rcd-picture")]].map((each) =>
            [Math.min(...each.map((one) => one.getBoundingClientRect().top)),
             Math.max(...each.map((one) => one.getBoundingClientRect().bottom))]);
        return [inner[0] < outer[0], inner[1] > outer[1]];
    """
    with screen(browser, 390, 844, phone=True):
        assert browser.execute_script(cut_off) == [False, False]


@contextmanager
def forced_colours(browser: webdriver.Chrome) -> Iterator[None]:
    """As with a high-contrast theme of Windows."""
    forced = {"features": [{"name": "forced-colors", "value": "active"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", forced)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_lines_can_be_told_apart_in_forced_colours(browser: webdriver.Chrome) -> None:
    colours = """return [...document.querySelectorAll(".rcd-legend span")].map((each) =>
        getComputedStyle(each, "::before").backgroundColor)"""
    until(browser, lambda: browser.execute_script(colours))
    free = browser.execute_script(colours)
    with forced_colours(browser):
        assert browser.execute_script(colours) == free
    assert len(set(free)) == 3


def test_the_controls_are_seen_in_forced_colours(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with running("fake", tmp_path, "phantom:?fps=4", "--record", str(tmp_path)) as recorded, forced_colours(browser):
        browser.get(recorded)
        inputs = [control(browser, each) for each in ("#record input", "#opacity input[type=range]")]
        assert [each.value_of_css_property("appearance") for each in inputs] == ["auto", "auto"]
        buttons = [control(browser, each) for each in ("#start", "#stop")]
        assert [each.value_of_css_property("border-left-width") for each in buttons] == ["1px", "1px"]


def test_a_narrow_report_breaks_no_number_and_has_legible_axes(browser: webdriver.Chrome, tmp_path: Path) -> None:
    source = "lavfi:testsrc2=size=64x48:rate=30:duration=4"
    python("-m", "stream", "replay", source, "--engine", "fake", "--out", tmp_path, check=True)
    lines = """
    const cell = [...document.querySelectorAll("td")].findLast((each) => each.textContent === "120");
    const text = document.createRange();
    text.selectNodeContents(cell);
    return [text.getClientRects().length, document.querySelector("svg text").getBoundingClientRect().height > 9];
    """
    with another_page(browser, (tmp_path / "report.html").as_uri()), screen(browser, 390, 844, phone=True):
        assert browser.execute_script(lines) == [1, True]


def test_a_report_keeps_no_lesion_flagged_grey_and_prints_three_pictures_a_page_below_their_heading(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    written(tmp_path, replace(SESSION, still=True))
    colours = """
        const flagged = [...document.querySelectorAll("td")].find((each) => each.textContent.includes("no lesion"));
        return [flagged, document.querySelector(".dim")].map((each) => getComputedStyle(each).color);
    """
    printed = """
        const [heading, picture] = ["h2", "figure img"].map((each) => document.querySelector(each));
        picture.style.aspectRatio = "1"; // as high as the page is wide, if it may
        return [getComputedStyle(heading).breakAfter, picture.getBoundingClientRect().height <= 7 / 2.54 * 96];
    """
    with another_page(browser, (tmp_path / "report.html").as_uri()):
        called, grey = browser.execute_script(colours)
        assert called == grey
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert browser.execute_script(printed) == ["avoid", True]
