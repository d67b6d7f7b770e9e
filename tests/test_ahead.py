"""Rows are read while they arrive, and the index made of that is the one that is made of the file."""

import os
import random
import time
from pathlib import Path

import pytest

from genai_batch.resources.jobs import Job
from genai_batch.resources.results_index import ahead
from genai_batch.resources.results_index.ahead import Ahead, read_ahead
from genai_batch.resources.results_index.building import parts_of
from genai_batch.server.settings import open_workspace
from genai_batch.tools.check_status import check_status
from genai_batch.tools.lanes.means import Pace
from tests.test_downloads import broken_off
from tests.test_index import KEYS, MIXED, Kept, failure
from tests.world import World

STRETCH = 3_000


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small files read ahead."""
    monkeypatch.setattr(ahead, "LARGE", 0)
    monkeypatch.setattr(ahead, "STRETCH", STRETCH)
    monkeypatch.setattr(ahead, "REQUESTS", STRETCH)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path, KEYS)


def reading(kept: Kept, job: Job, base: int = 0) -> Ahead:
    """What reads the results of a job as they would arrive."""
    requests = None if base else (kept.folder / "requests.jsonl", job.bytes)
    return Ahead(kept.folder / "results.0.abc.part", base, parts_of(job), requests)


def arrive(reader: Ahead, content: bytes, stretches: int) -> None:
    """Have content arrive in three parts, and wait until so many stretches are read."""
    reader.file.write_bytes(b"")
    reader.arrived(0)
    for end in (len(content) // 3, len(content) // 2, len(content)):
        with reader.file.open("ab") as file:
            file.write(content[file.tell() : (whole := content.rfind(b"\n", 0, end) + 1)])
        reader.arrived(whole)
    until = time.monotonic() + 30
    while len(read_from(reader)) < stretches:
        assert time.monotonic() < until
        os.sched_yield()


def arrive_nowhere(reader: Ahead) -> None:
    """Wait until the process has found that its file is gone, and has ended."""
    process = reader._process  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - only a test waits for it
    assert process
    assert process.wait(30) == 0


def read_from(reader: Ahead) -> list[tuple[int, int]]:
    """Which bytes have been read."""
    seen = reader.file.with_name(f"seen.v{ahead.VERSION}.ahead")
    seen.write_bytes(reader.file.with_suffix(".ahead.part").read_bytes())
    try:
        return [stretch.covers for stretch, _ in read_ahead(seen.parent)]
    finally:
        seen.unlink()


def test_what_was_read_while_it_arrived_is_not_read_again(kept: Kept) -> None:
    first = kept.told(kept.job(MIXED))
    job = kept.job(MIXED)
    rows = (kept.folder / "results.jsonl").read_bytes()
    with reading(kept, job) as reader:
        arrive(reader, rows, job.bytes // STRETCH + job.results_bytes // STRETCH)
        reader.keep(0, "results.0")
    before, behind = rows.split(b"row 100")
    (kept.folder / "results.jsonl").write_bytes(before + b"row 100" + behind.replace(b"STOP", b"STOR", 1))
    assert kept.told(job)[1] == first[1]
    for path in (kept.folder / "results.db", *kept.folder.glob("*.ahead")):
        path.unlink()
    assert kept.told(job)[1] == {"ok": 199, "truncated": 10, "error": 11, "missing": 80}


def test_rows_behind_others_have_their_place(kept: Kept) -> None:
    again = [failure(key) for key in KEYS[:200]]
    job = kept.job(again, MIXED)
    first = kept.told(job)
    with reading(kept, job, job.begins[0]) as reader:
        rows = (kept.folder / "results.jsonl").read_bytes()[job.begins[0] :]
        arrive(reader, rows, len(rows) // STRETCH)
        reader.keep(job.begins[0], "results.1")
    assert next(read_ahead(kept.folder))[0].covers[0] == job.begins[0]
    assert kept.told(job) == first


def test_what_was_damaged_or_cut_is_read_again(kept: Kept) -> None:
    first = kept.told(kept.job(MIXED))
    job = kept.job(MIXED)
    with reading(kept, job) as reader:
        arrive(reader, (kept.folder / "results.jsonl").read_bytes(), 9)
        reader.keep(0, "results.0")
    [path] = kept.folder.glob("*.ahead")
    whole, chance = path.read_bytes(), random.Random(6)  # noqa: S311 - repeatable damage
    for _ in range(40):
        place = chance.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        assert kept.told(job) == first
        path.write_bytes(whole[:place])
        assert kept.told(job) == first


def test_a_file_that_begins_anew_is_read_anew(kept: Kept) -> None:
    job = kept.job(MIXED)
    rows = (kept.folder / "results.jsonl").read_bytes()
    first = kept.told(job)
    with reading(kept, job) as reader:
        arrive(reader, rows.replace(b"STOP", b"STOR"), 3)
        arrive(reader, rows, len(rows) // STRETCH)
        reader.keep(0, "results.0")
    assert [*read_ahead(kept.folder)]
    assert kept.told(job) == first


def test_what_is_moved_away_before_it_is_read_was_not_read(kept: Kept) -> None:
    job = kept.job(MIXED)
    first = kept.told(job)
    rows = (kept.folder / "results.jsonl").read_bytes()
    with reading(kept, job) as reader:
        arrive(reader, rows[: rows.index(b"\n", STRETCH) + 1], 1)
        with reader.file.open("ab") as file:
            file.write(rows[file.tell() :])
        reader.file.replace(kept.folder / "results.jsonl")
        reader.arrived(len(rows))
        arrive_nowhere(reader)
        reader.keep(0, "results.0")
    assert [*read_ahead(kept.folder)]
    assert kept.told(job) == first


def test_what_a_dead_process_began_is_not_kept(kept: Kept) -> None:
    job = kept.job(MIXED)
    with reading(kept, job) as reader:
        arrive(reader, (kept.folder / "results.jsonl").read_bytes(), 3)
        left = reader.file.with_suffix(".ahead.part").read_bytes()
    reader.file.with_suffix(".ahead.part").write_bytes(left)
    with reading(kept, job, 0) as another:
        another.keep(0, "results.0")
    assert not [*kept.folder.glob("*ahead*")]


def test_rows_that_got_another_place_are_read_again(kept: Kept) -> None:
    job = kept.job(MIXED)
    with reading(kept, job) as reader:
        arrive(reader, (kept.folder / "results.jsonl").read_bytes(), 3)
        reader.keep(700, "results.0")
    assert not [*kept.folder.glob("*ahead*")]
    assert kept.told(job)[1] == {"ok": 200, "truncated": 10, "error": 10, "missing": 80}


@pytest.mark.anyio
async def test_a_download_that_goes_on_is_read_from_its_beginning_and_leaves_nothing(world: World) -> None:
    part = await broken_off(world)
    await world.advance(400)
    async with open_workspace(world.settings(pace=Pace(0, 0, 0)), lambda: world.time) as workspace:
        status = await check_status(part.parent.name, workspace, 20)
    assert status.counts.ok == 60
    assert sorted(path.suffix for path in part.parent.iterdir() if "results" in path.name) == [".db", ".jsonl"]
