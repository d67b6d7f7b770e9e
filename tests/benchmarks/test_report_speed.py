"""A report reads the index once and a bounded number of rows: it stays near one bare parse, in flat memory."""

from pathlib import Path

from report import finished, measure

PAGE, MARKDOWN = 12, 4
"""Three times and more what `python tests/benchmarks/report.py` shows; reading every row would cost more."""


def test_a_report_takes_a_small_multiple_of_bare_parsing_and_no_more_memory_for_more_rows(tmp_path: Path) -> None:
    small, large = finished(tmp_path, 10_000), finished(tmp_path, 60_000)
    floor = min(measure(tmp_path, large, "floor").cpu for _ in range(3))
    for what, most in (("page", PAGE), ("markdown", MARKDOWN)):
        cost = measure(tmp_path, large, what)
        assert cost.cpu <= most * floor, what
        assert cost.memory - measure(tmp_path, small, what).memory <= 6, what
