from benchmarks import gates
from stream import signal


def test_counts_of_right_answers() -> None:
    refused, passed = (
        gates.count("a", True, [signal.AIR, None]),
        gates.count("b", False, [None, None, signal.AIR, None]),
    )
    assert (refused.n, refused.refused, refused.right, refused.reasons) == (2, 1, 0.5, {signal.AIR.reason: 1})
    assert passed.right == 0.75
