"""An export holds a few rows at a time, however many there are and how long; `make bench` measures how fast it is."""

from pathlib import Path

from exports import ID, TARGETS, measure, picture, write

from genai_batch.resources import jobs


def test_exports_write_every_row_in_flat_memory(tmp_path: Path) -> None:
    job = write(tmp_path, 20_000)
    for form in ("jsonl", "csv", "sqlite"):
        taken = measure(tmp_path, job, form)
        assert taken["rows"] == 20_000
        assert taken["above_mb"] <= TARGETS[form][1], form


def test_rows_of_8_mb_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    taken = measure(tmp_path, write(tmp_path, 12, picture), "jsonl")
    assert taken["above_mb"] <= TARGETS["jsonl"][1]
    media = [path.stat().st_size for path in (jobs.folder(tmp_path, ID) / "media").iterdir()]
    assert media == [6_000_008] * 12
