"""Which part of the picture the page shows: the scan as large as it may be, with the words of its panel."""

import re
from pathlib import Path

import cv2
import pytest
from selenium import webdriver

from tests.pages import control, frame, needs_chromium, phase, running, scan_area, screen, until
from tests.screens import textured

pytestmark = needs_chromium

SIZE = "const canvas = document.querySelector('#rcd-canvas'); return [canvas.width, canvas.height]"
WHOLE = [1280 + 288, 720]
"""The phantom's picture and its panel."""

PAINTED = """
    const done = arguments[0];
    import("/viewer/picture.js").then(({ Picture }) => {
        const draw = Picture.prototype.draw;
        Picture.prototype.draw = function () {
            draw.call(this);
            Picture.prototype.draw = draw;
            const sent = new OffscreenCanvas(this.bitmap.width, this.bitmap.height).getContext("2d");
            sent.drawImage(this.bitmap, 0, 0);
            done(compared(sent, this.context));
        };
    });
    const bright = ({ data }) => data.reduce((sum, value, at) => sum + (at % 4 < 3 && value > 48), 0);
"""
"""What ``compared`` makes of the picture as it was sent, and of the canvas on which it was painted."""


def test_the_scan_is_shown_alone_and_pixel_for_pixel(browser: webdriver.Chrome) -> None:
    compared = """
        const compared = (sent, canvas) => {
            const [before, after] = [sent.getImageData(125, 72, 774, 619), canvas.getImageData(13, 13, 774, 619)];
            return [bright(after) > 0, before.data.every((value, at) => value === after.data[at])];
        };
    """
    until(browser, lambda: browser.execute_script(SIZE) == [774 + 2 * 13 + 288, 619 + 2 * 13])
    assert browser.execute_async_script(compared + PAINTED) == [True, True]


def test_a_page_that_is_opened_after_stop_shows_the_scan_alone_as_well(browser: webdriver.Chrome) -> None:
    control(browser, "#stop").click()
    until(browser, lambda: phase(browser) == "stopped")
    browser.refresh()
    until(browser, lambda: frame(browser) is not None)
    seen = browser.execute_script(SIZE)
    control(browser, "#start").click()
    until(browser, lambda: phase(browser) == "running")
    assert seen == [774 + 2 * 13 + 288, 619 + 2 * 13]


def test_beside_a_low_scan_no_word_of_the_panel_is_lost(browser: webdriver.Chrome, tmp_path: Path) -> None:
    compared = """
        const compared = (sent, canvas) => [sent.getImageData(1280, 0, 288, 720),
            canvas.getImageData(canvas.canvas.width - 288, 0, 288, 480)].map(bright);
    """
    with running("fake", tmp_path, "phantom:?fps=4", "--scan-area", "125,72,774,200") as low:
        browser.get(low)
        until(browser, lambda: browser.execute_script(SIZE) == [774 + 2 * 13 + 288, 480])
        before, after = browser.execute_async_script(compared + PAINTED)
    assert before == after > 0


def test_all_of_the_picture_is_shown_to_whoever_draws_a_scan_area_even_if_no_other_one_comes(
    browser: webdriver.Chrome,
) -> None:
    never = "const { Picture } = await import('/viewer/picture.js'); Picture.prototype.take = () => {};"
    panel, _ = scan_area(browser)
    until(browser, lambda: browser.execute_script(SIZE) == WHOLE)
    browser.execute_script(f"(async () => {{ {never} }})()")
    try:
        panel.click()
        until(browser, lambda: browser.execute_script(SIZE) < WHOLE)
        panel.click()
        until(browser, lambda: browser.execute_script(SIZE) == WHOLE)
    finally:
        browser.refresh()


def test_nothing_is_cut_off_if_all_of_the_picture_is_the_scan_area(browser: webdriver.Chrome, tmp_path: Path) -> None:
    seen: set[tuple[int, int]] = set()
    with running("fake", tmp_path, "phantom:?fps=20", "--scan-area", "full") as full:
        browser.get(full)
        until(browser, lambda: browser.execute_script("return document.querySelector('#rcd-canvas')?.dataset.frame"))
        until(browser, lambda: seen.add(tuple(browser.execute_script(SIZE))) or len(seen) == 1)
    assert seen == {tuple(WHOLE)}


def test_a_picture_of_another_size_is_not_cut_like_the_one_before(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Even if no scan is found in it."""
    (folder := tmp_path / "stills").mkdir()
    screen = cv2.copyMakeBorder(textured(500, 500), 100, 120, 400, 380, cv2.BORDER_CONSTANT)
    cv2.imwrite(str(folder / "0.png"), screen)
    cv2.imwrite(str(folder / "1.png"), 0 * textured(720, 960))
    seen = set()
    with running("fake", tmp_path, str(folder)) as stills:
        browser.get(stills)
        until(browser, lambda: seen.add(tuple(browser.execute_script(SIZE))) or (960 + 288, 720) in seen)
        until(browser, lambda: browser.execute_script(SIZE)[0] in range(750, 850))


@pytest.mark.parametrize(
    ("areas", "shown"),
    [
        ([None], [0, 0, 1280, 720]),
        ([[200, 100, 600, 500]], [187, 87, 626, 526]),
        ([[200, 100, 600, 500], [194, 104, 610, 499], None], [187, 87, 626, 526]),
        ([[200, 100, 600, 500], [150, 100, 650, 500]], [137, 87, 676, 526]),
        ([[200, 100, 600, 500], [240, 100, 560, 460]], [187, 87, 626, 526]),
        ([[200, 100, 600, 500], [300, 100, 400, 400]], [287, 87, 426, 426]),
        ([[0, 0, 1280, 400]], [0, 0, 1280, 413]),
    ],
    ids=["none", "first", "wavers", "leaves", "shrinks a little", "shrinks", "at the edge"],
)
def test_the_part_that_is_shown_follows_the_scan_and_does_not_jump(
    browser: webdriver.Chrome, areas: list[list[int] | None], shown: list[int]
) -> None:
    last = """
        const [areas, done] = arguments;
        import("/viewer/crop.js").then(({ partToShow }) =>
            done(areas.reduce((before, area) => partToShow(before, area, [1280, 720]), null)));
    """
    assert browser.execute_async_script(last, areas) == shown


@pytest.mark.parametrize(("width", "height", "scale"), [(390, 844, 3), (844, 390, 3), (683, 384, 2)])
def test_where_the_panel_would_be_too_small_the_probabilities_stand_beside_the_scan_in_large_letters(
    browser: webdriver.Chrome, width: int, height: int, scale: int
) -> None:
    never = "const { Picture } = await import('/viewer/picture.js'); Picture.prototype.take = () => {};"
    words = """return [...document.querySelectorAll(".rcd-bars li")].filter((each) => each.offsetParent)
        .map((each) => [each.innerText, parseFloat(getComputedStyle(each).fontSize) >= 16])"""
    until(browser, lambda: browser.execute_script(SIZE)[0] == 774 + 2 * 13 + 288)
    assert browser.execute_script(words) == []
    browser.execute_script(f"(async () => {{ {never} }})()")  # as if it were stopped
    try:
        with screen(browser, width, height, scale, phone=True):
            until(browser, lambda: browser.execute_script(SIZE) == [774 + 2 * 13, 619 + 2 * 13])
            said = browser.execute_script(words)
        assert [re.sub(r"\s[<>]?\d+%$", " p", each) for each, _ in said] == ["no lesion p", "benign p", "malignant p"]
        assert all(legible for _, legible in said)
    finally:
        browser.refresh()


def test_the_probabilities_are_those_of_the_picture_that_is_seen(browser: webdriver.Chrome) -> None:
    compared = """
        const done = arguments[0];
        import("/viewer/picture.js").then(({ Picture }) => {
            const paint = Picture.prototype.paint;
            Picture.prototype.paint = async function (message) {
                const seen = await paint.call(this, message), length = new DataView(message).getUint32(8, true);
                const { surely } = JSON.parse(new TextDecoder().decode(message.slice(12, 12 + length)));
                Picture.prototype.paint = paint;
                done([surely, [...document.querySelectorAll(".rcd-bars b")].map((each) => each.textContent)]);
                return seen;
            };
        });
    """
    until(browser, lambda: browser.execute_script("return document.querySelector('.rcd-bars b')"))
    told, shown = browser.execute_async_script(compared)
    assert told == shown != []


def test_on_a_small_screen_the_scale_names_the_class_of_the_heat_map_or_is_not_seen(browser: webdriver.Chrome) -> None:
    named = """
        const [heat_map, done] = arguments;
        import("/viewer/bars.js").then(({ nameHeatMap }) => {
            const legend = document.querySelector(".rcd-heat").cloneNode(true);
            document.querySelector(".rcd-words").append(legend);
            nameHeatMap(legend, { heat_map });
            done(legend.innerText.split(/\\s*\\n\\s*/).join(" "));
            legend.remove();
        });
    """
    with screen(browser, 390, 844, phone=True):
        assert browser.execute_async_script(named, "benign") == "heat map: benign weak strong"
        assert browser.execute_async_script(named, None) == "no heat map"


def test_of_a_picture_that_is_not_judged_no_probability_is_said(browser: webdriver.Chrome) -> None:
    refused = """
        const done = arguments[0], list = document.createElement("ul");
        import("/viewer/bars.js").then(({ nameBars, fillBars }) => {
            nameBars(list, { classes: ["benign"], class_colours: ["#40beb2"] });
            const said = [[0.7], []].map((smoothed) => {
                fillBars(list, { smoothed, surely: smoothed.map(() => "70%") });
                return list.textContent + list.firstChild.style.getPropertyValue("--share");
            });
            done(said);
        });
    """
    assert browser.execute_async_script(refused) == ["benign70%0.7", "benign–0"]
