"""An export stays near the speed of a parser and holds a few rows at a time, however many there are and how long."""

from pathlib import Path

from exports import ID, floor, measure, picture, write

from genai_batch.resources import jobs

GENEROUS = {"jsonl": 15, "csv": 30, "sqlite": 25}
"""Half as much again as `python tests/benchmarks/exports.py 100000` shows: it catches a file opened for every row."""
MOST_MB = 120


def test_exports_take_a_small_multiple_of_bare_parsing_in_flat_memory(tmp_path: Path) -> None:
    job = write(tmp_path, 20_000)
    measure(tmp_path, job, "jsonl")  # makes the index
    bare = min(floor(jobs.folder(tmp_path, ID) / "results.jsonl") for _ in range(3))
    for form, most in GENEROUS.items():
        found = measure(tmp_path, job, form)
        assert found["rows"] == 20_000
        assert found["cpu_s"] <= most * bare, form
        assert found["above_mb"] <= MOST_MB, form


def test_rows_of_8_mb_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    found = measure(tmp_path, write(tmp_path, 12, picture), "jsonl")
    assert found["above_mb"] <= MOST_MB
    media = [path.stat().st_size for path in (jobs.folder(tmp_path, ID) / "media").iterdir()]
    assert media == [6_000_008] * 12
