"""Broken files by the thousand: ``python -m tests.fuzz SAMPLE FIRST COUNT`` reads each mutant and prints how it ended.

One line before each mutant, its number, and one after it, the largest memory so far in bytes and how it ended: whoever
listens knows which one hung or crashed this process.
"""

import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from stream.errors import StreamError
from stream.sources import open_here
from stream.sources.isolated_child import limit_memory

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

MOST_FRAMES = 64
"""No sample has as many; a mutant that claims more has shown that it can be read."""


def mutant(sample: bytes, number: int) -> bytes:
    """The ``number``-th mutant of a file, the same on every machine."""
    chance = random.Random(number)
    data = bytearray(sample)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        mutate(data, chance)
    return bytes(data)


def mutate(data: bytearray, chance: random.Random) -> None:
    """Change one thing, half of the time within the first kilobyte, where headers are."""
    if not data:
        return
    reach = min(len(data), 1024) if chance.random() < 0.5 else len(data)
    at = chance.randrange(reach)
    length = min(chance.choice((1, 2, 4, 16, 256, 4096)), len(data) - at)
    kind = chance.randrange(7)
    if kind == 0:
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        data[at : at + length] = chance.randbytes(length)
    elif kind == 2:
        data[at : at + 4] = chance.choice(EXTREMES).to_bytes(4, chance.choice(("big", "little")))
    elif kind == 3:
        data[at : at + length] = bytes([chance.choice((0, 0xFF))]) * length
    elif kind == 4:
        del data[at : at + length]
    elif kind == 5:
        data[at:at] = data[at : at + length] * chance.choice((1, 2, 64))
    elif chance.random() < 0.25:  # else most mutants would be mere beginnings
        del data[at:]


def outcome(path: Path) -> str:
    """``read N``, ``refused`` if an error of ours came, or the name of one that was not."""
    frames = 0
    try:
        with open_here(str(path), live=False) as source:
            for _ in source.frames():
                frames += 1
                if frames == MOST_FRAMES:
                    break
    except StreamError:
        return "refused"
    except MemoryError:  # the limit held; apart from the rest, the reader's process ends here
        return "memory"
    except Exception as error:  # noqa: BLE001 - to name any other is what this is for
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return f"read {frames}"


def peak_memory() -> int:
    """Bytes. Not ``getrusage``, which counts what the process that started this one held at that moment."""
    found = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(found.split()[1])


def main(sample: Path, first: int, count: int) -> None:
    """Read mutants ``first`` to ``first + count``."""
    data = sample.read_bytes()
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"mutant{sample.suffix}"
        path.touch()
        for number in range(first, first + count):
            path.write_bytes(mutant(data, number))
            print(number, flush=True)
            ending = outcome(path)
            print(peak_memory(), ending, flush=True)


if __name__ == "__main__":
    limit_memory()
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
