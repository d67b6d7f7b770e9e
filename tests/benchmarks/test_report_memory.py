"""A report takes no more memory for more rows; `make bench` measures how fast it is made."""

from pathlib import Path

from report import TARGETS, finished, measure


def test_a_report_holds_no_more_of_many_rows_than_of_few(tmp_path: Path) -> None:
    small, large = finished(tmp_path, 10_000), finished(tmp_path, 60_000)
    for what in TARGETS:
        assert measure(tmp_path, large, what).memory - measure(tmp_path, small, what).memory <= 6, what
