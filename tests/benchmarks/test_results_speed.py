"""The index of results is made near the speed of a parser; `make bench` measures how near."""

from pathlib import Path

from results import PASS, answered, floor, passes, write

ROWS = 60_000
GENEROUS = 5
"""What is promised; it catches the loss of the typed readers, which costs ten times."""
AGAIN = 1.5
"""What a job sent again whole may cost, against one pass over as many rows; it takes 0.9."""


def test_the_index_takes_a_small_multiple_of_bare_parsing(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    bare = min(floor(tmp_path, ROWS).cpu for _ in range(3))
    took = min(answered(tmp_path, passes(PASS, "index", str(tmp_path), str(ROWS))).cpu for _ in range(3))
    assert took <= GENEROUS * bare + 0.2, (took, bare)


def test_rows_of_two_attempts_take_little_more_than_as_many_of_one(tmp_path: Path) -> None:
    once, again = tmp_path / "once", tmp_path / "again"
    for folder, rows in ((once, ROWS), (again, ROWS // 2)):
        folder.mkdir()
        write(folder, rows)
    rows = (again / "results.jsonl").read_bytes()
    (again / "results.jsonl").write_bytes(rows + rows)
    given = {once: (str(ROWS),), again: (str(ROWS // 2), str(len(rows)))}
    took = {
        folder.name: min(float(passes(PASS, "index", str(folder), *given[folder])[0]) for _ in range(3))
        for folder in given
    }
    assert took["again"] <= AGAIN * took["once"], took
