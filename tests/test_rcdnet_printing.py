"""What standard output cannot encode."""

from io import BytesIO, TextIOWrapper

import pytest

from rcdnet.printing import escape_what_stdout_lacks


@pytest.mark.parametrize(
    ("encoding", "errors", "printed"),
    [
        ("cp1252", "strict", b"\\u8d85\\u58f0 \xfc\\udcff"),
        ("utf-8", "surrogateescape", "超声 ü".encode() + b"\xff"),
    ],
    ids=["a file on Windows", "the C locale of Linux"],
)
def test_only_what_would_be_an_error_is_escaped(
    encoding: str, errors: str, printed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = BytesIO()
    stdout = TextIOWrapper(written, encoding=encoding, errors=errors, write_through=True)
    monkeypatch.setattr("sys.stdout", stdout)
    escape_what_stdout_lacks()
    stdout.write("超声 ü" + "\udcff")
    assert written.getvalue() == printed
