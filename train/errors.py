"""What is wrong with data. A file of its own, since all of train raises these."""


class DataError(ValueError):
    """A data set, a run folder or a table of answers is missing, broken, or not enough for what is asked. The message
    names the file."""


class LeakError(ValueError):
    """A near copy, a patient or an external picture is on the wrong side of a split."""
