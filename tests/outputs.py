"""docs/outputs.md as the tests read it, and the keys of what is written."""

import re
from collections.abc import Iterator
from typing import Any

from tests.programs import ROOT

PAGE = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")


def documented(heading: str) -> list[str]:
    """The keys in the tables below this heading, up to the next one; ``.y`` after ``x.a`` is ``x.y``."""
    told = []
    section = PAGE.partition(f"\n{heading}\n")[2].partition("\n#")[0]
    for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE):
        first, *others = re.findall(r"`(.+?)`", row)
        stem = first.rpartition(".")[0]
        told += [first, *(stem + key if key.startswith(".") else key for key in others)]
    return told


def written(value: Any, told: list[str], at: str = "") -> Iterator[str]:
    """The keys in a value, no deeper than they are told; those of all entries of a list or a table as ``*``."""
    deeper = {one.removeprefix(f"{at}.").partition(".")[0] for one in told if one.startswith(f"{at}.") or not at}
    if not deeper:
        yield at
    elif isinstance(value, list):
        for entry in value:
            yield from written(entry, told, f"{at}.*")
    elif isinstance(value, dict):
        for name, entry in value.items():
            key = "*" if "*" in deeper else name
            yield from written(entry, told, f"{at}.{key}" if at else key)
