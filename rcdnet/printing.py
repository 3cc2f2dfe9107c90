"""What is printed where the terminal's own encoding ends: a file or a pipe on Windows takes few letters."""

import sys
from io import TextIOWrapper


def escape_what_stdout_lacks() -> None:
    """From here on a letter that standard output cannot encode is escaped, as standard error does it, and no error.

    Where it was no error, as in Linux' C locale, which gives a name its own bytes back, nothing changes.
    """
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
