"""StreamError             exit code
├── UsageError          2  what the user asked for makes no sense; the message says what does
└── SourceError         3  the source cannot be opened, or broke off
"""


class StreamError(Exception):
    """What happened, what was expected and how to fix it, in one line."""

    exit_code = 1


class UsageError(StreamError):
    """What the user asked for makes no sense."""

    exit_code = 2


class SourceError(StreamError):
    """The source cannot be opened, or broke off."""

    exit_code = 3
