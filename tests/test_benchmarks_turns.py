from benchmarks.turns import LEAST_ROUNDS, interleave


class Clock:
    """Stands still, except while a call runs."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_calls_take_turns_and_only_what_they_cost_is_timed() -> None:
    clock, order = Clock(), []

    def call(name: str, cost_ns: int) -> None:
        order.append(name)
        clock.now_ns += cost_ns

    durations = interleave({"a": lambda: call("a", 300), "b": lambda: call("b", 7)}, 3e-6, clock)
    assert set(durations["a"]) == {300}
    assert set(durations["b"]) == {7}
    assert len(durations["a"]) == len(durations["b"]) >= LEAST_ROUNDS
    rounds = order[4:]  # after the warm-up
    assert rounds[:8] == ["a", "a", "b", "b", "b", "b", "a", "a"]


def test_even_a_short_time_gives_enough_calls_for_a_median() -> None:
    durations = interleave({"a": lambda: None, "b": lambda: None}, 0.0)
    assert len(durations["a"]) == len(durations["b"]) == LEAST_ROUNDS
