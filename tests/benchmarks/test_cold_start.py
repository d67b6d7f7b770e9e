"""A host that starts this server waits for the SDK, not for us."""

from collections.abc import Iterator

from cold_start import LIMIT, Measurement, measure

TRIES = 3
"""A machine is sometimes busy with something else; it is never idle by mistake."""


def test_a_cold_start_takes_at_most_a_quarter_longer_than_that_of_a_bare_one_tool_server() -> None:
    tried: list[Measurement] = []
    for measured in _measurements():
        tried.append(measured)
        if measured.worst <= LIMIT:
            return
    best = min(tried, key=lambda measured: measured.worst)
    raise AssertionError(f"{best.worst:.2f} times a bare server's cold start, in the best of {TRIES}\n{best.table()}")


def _measurements() -> Iterator[Measurement]:
    for _ in range(TRIES):
        yield measure(runs=7, eras=["2026-07-28"])
