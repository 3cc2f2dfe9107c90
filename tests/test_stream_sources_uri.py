"""One URI, one source: what is meant is found, and nothing secret is repeated."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import StreamError, UsageError
from stream.sources import SOURCES, open_source
from stream.sources.uri import split, without_secrets


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("clip.mp4", (None, "clip.mp4", "")),
        ("folder?fps=3", (None, "folder", "fps=3")),
        ("C:\\clips\\a.mp4", (None, "C:\\clips\\a.mp4", "")),
        ("./a:b.mp4", (None, "./a:b.mp4", "")),
        ("v4l2:/dev/video0?size=640x480&fps=30", ("v4l2", "/dev/video0", "size=640x480&fps=30")),
        ("file:///home/a%20b/%C3%BC%3F.dcm?fps=5", (None, "/home/a b/ü?.dcm", "fps=5")),
        ("file://localhost/a.png", (None, "/a.png", "")),
        ("FILE:///a.png", (None, "/a.png", "")),
        ("file://localhost.there/a.png", ("file", "//localhost.there/a.png", "")),
        ("PHANTOM:?seed=1", ("phantom", "", "seed=1")),
    ],
)
def test_a_uri_is_taken_apart(uri: str, parts: tuple[str | None, str, str]) -> None:
    assert split(uri) == parts


@pytest.mark.parametrize("slip", ["nope://", " rtsp://", '"rtsp://', "rtsp+tls://"])
def test_an_unknown_kind_names_the_known_ones_and_no_password(slip: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_source(f"{slip}user:secret@host")
    assert all(f"{scheme}:" in str(caught.value) for scheme in SOURCES)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("rtsp://user:secret@host:554/Jane?x=1", "rtsp://host:554"),
        ("rtsp://user:12345/word@host", "rtsp://..."),  # a slash in a password: what comes before it is no port
    ],
)
def test_of_an_address_no_part_of_a_password_is_shown(uri: str, told: str) -> None:
    assert without_secrets(uri) == told


@pytest.mark.parametrize("query", ["size=8193x480", "size=15x480", "fps=0", "fps=1001", "frames=-1"])
def test_numbers_that_nothing_could_deliver_are_refused(query: str) -> None:
    with pytest.raises(UsageError, match="makes no sense"):
        open_source(f"phantom:?{query}")


@pytest.mark.parametrize("uri", ["", "images:", "dicom:?fps=5"])
def test_no_source_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no source is named"):
        open_source(uri)


@given(text=st.text(max_size=30))
def test_any_text_after_a_path_is_one_clear_error(text: str) -> None:
    with pytest.raises(StreamError) as caught:
        open_source(f"/nowhere/{text}")
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code in (2, 3)
