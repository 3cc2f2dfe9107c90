"""Printing to what cannot encode every letter, as a file or a pipe on Windows."""

import sys
from io import TextIOWrapper


def escape_what_stdout_lacks() -> None:
    """From here on, a letter that standard output cannot encode is escaped, as on standard error, and raises nothing.

    Nothing changes where it raised nothing before, as in Linux' C locale, which prints a file name's own bytes.
    """
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
