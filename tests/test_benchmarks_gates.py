from benchmarks import gates
from stream import signal


def test_counts_of_right_answers() -> None:
    refused, passed = (
        gates.count("a", [signal.AIR, None], must_refuse=True),
        gates.count("b", [None, None, signal.AIR, None], must_refuse=False),
    )
    assert (refused.n, refused.refused, refused.right, refused.reasons) == (2, 1, 0.5, {signal.AIR.reason: 1})
    assert passed.right == 0.75
