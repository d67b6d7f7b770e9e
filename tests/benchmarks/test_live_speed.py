"""The live runner comes near the ideal; `make bench` measures how near."""

from pathlib import Path

from tests.benchmarks.answering import answering
from tests.benchmarks.live import LATENCY_S, OURS, ran, write


def test_sixty_four_calls_at_a_time_reach_most_of_the_ideal(tmp_path: Path) -> None:
    """Waiting for the disk after each call, or a task for each line, halves it."""
    write(tmp_path, 2_000)
    with answering(LATENCY_S) as url:
        took = min(ran(OURS, url, 64, tmp_path, 0)[0] for _ in range(3))
    assert 2_000 / took >= 0.75 * 64 / LATENCY_S
