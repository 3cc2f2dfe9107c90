"""Printing to what cannot encode every letter, like a file or a pipe on Windows."""

import sys
from io import TextIOWrapper


def escape_what_stdout_lacks() -> None:
    """From now on, a letter that standard output cannot encode is escaped, as on standard error, and raises nothing.

    Nothing changes where none raised before, as in Linux's C locale, which prints a file name's own bytes.
    """
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
