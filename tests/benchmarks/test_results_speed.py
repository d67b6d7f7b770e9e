"""The index of results is made near the speed of a parser; `make bench` measures how near."""

from pathlib import Path

from results import PASS, answered, passes, write

ROWS = 60_000
GENEROUS = 5
"""Twice what `make bench` shows for one process: it catches the loss of the typed readers, which costs ten times."""
AGAIN = 1.5
"""What a job sent again whole may cost, against one pass over as many rows; it takes 0.9."""


def test_the_index_takes_a_small_multiple_of_bare_parsing(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    floor = min(float(passes(PASS, "floor", str(tmp_path), str(ROWS))[0]) for _ in range(3))
    took = min(answered(tmp_path, passes(PASS, "one", str(tmp_path), str(ROWS))) for _ in range(3))
    assert took <= GENEROUS * floor + 0.2, (took, floor)


def test_rows_of_two_attempts_take_little_more_than_as_many_of_one(tmp_path: Path) -> None:
    once, again = tmp_path / "once", tmp_path / "again"
    for folder, rows in ((once, ROWS), (again, ROWS // 2)):
        folder.mkdir()
        write(folder, rows)
    rows = (again / "results.jsonl").read_bytes()
    (again / "results.jsonl").write_bytes(rows + rows)
    given = {once: (str(ROWS),), again: (str(ROWS // 2), str(len(rows)))}
    took = {
        folder.name: min(float(passes(PASS, "one", str(folder), *given[folder])[0]) for _ in range(3))
        for folder in given
    }
    assert took["again"] <= AGAIN * took["once"], took
