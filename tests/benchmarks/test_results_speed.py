"""The index of results is made near the speed of a parser; `make bench` measures how near."""

from pathlib import Path

from results import PASS, passes, write

ROWS = 60_000
GENEROUS = 5
"""Twice what `make bench` shows for one process: it catches the loss of the typed readers, which costs ten times."""


def test_the_index_takes_a_small_multiple_of_bare_parsing(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    took = {
        way: min(float(passes(PASS, way, str(tmp_path), str(ROWS))[0]) for _ in range(3)) for way in ("floor", "one")
    }
    assert took["one"] <= GENEROUS * took["floor"] + 0.2, took
