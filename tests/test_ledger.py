"""The ledger is shared by many processes, survives its own schema, and never forgets."""

import sqlite3
from pathlib import Path

import pytest

from genai_batch.resources import jobs
from genai_batch.resources.errors import LedgerError, UnknownJob
from genai_batch.resources.jobs import Job, Shard
from genai_batch.resources.ledger import LEASE_S, Ledger


def job(**changes: object) -> tuple[Job, list[Shard]]:
    """A job that was never sent."""
    given: dict[str, object] = {
        "id": jobs.new_id(), "name": "n", "model": "m", "lane": "batch", "backend": "emulator", "account": "a",
        "digest": "d", "requests": 2, "bytes": 10, "makes_media": False, "created_at": 100.0,
    }  # fmt: skip
    made = Job.model_validate({**given, **changes})
    return made, [Shard(job_id=made.id, number=0, display_name=f"name {made.id}", requests=2)]


def test_what_one_process_writes_another_reads(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    made = first.record(*job(), again=False)
    assert second.job(made.id) == made
    second.advance(made.id, 105, state="JOB_STATE_SUCCEEDED", counts={"ok": 2})
    assert first.job(made.id).ended_at == 105
    assert [state for _, state, _ in first.events(made.id)] == ["JOB_STATE_QUEUED", "JOB_STATE_SUCCEEDED"]
    first.close()
    second.close()


def test_the_same_content_is_the_same_job_unless_it_broke(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    made = ledger.record(*job(), again=False)
    assert ledger.record(*job(), again=False).id == made.id
    assert ledger.record(*job(model="other"), again=False).id != made.id
    assert ledger.record(*job(account="other key"), again=False).id != made.id
    assert ledger.record(*job(), again=True).id != made.id
    for known in ledger.open_jobs():
        ledger.advance(known.id, 1, state="JOB_STATE_FAILED")
    assert ledger.record(*job(), again=False).id != made.id
    ledger.close()


def test_a_job_that_is_over_stays_as_it_is(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    made = ledger.record(*job(), again=False)
    ledger.advance(made.id, 1, state="JOB_STATE_CANCELLED")
    assert ledger.advance(made.id, 2, state="JOB_STATE_RUNNING", notice="late").state == "JOB_STATE_CANCELLED"
    ledger.close()


def test_one_process_holds_a_lease_until_it_gives_it_back_or_dies(tmp_path: Path) -> None:
    mine, other = Ledger(tmp_path), Ledger(tmp_path)
    made = mine.record(*job(), again=False)
    assert mine.claim(made.id, now=0)
    assert not other.claim(made.id, now=1)
    assert mine.claim(made.id, now=20), "it renews its own"
    assert not other.claim(made.id, now=20 + LEASE_S - 1)
    assert other.claim(made.id, now=20 + LEASE_S + 1), "the owner is dead"
    assert not mine.claim(made.id, now=20 + LEASE_S + 2)
    other.release(made.id)
    assert mine.claim(made.id, now=20 + LEASE_S + 3)
    mine.close()
    other.close()


def test_a_page_shows_finished_but_uncollected_jobs_first_and_then_the_newest(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    made = [ledger.record(*job(digest=str(n), created_at=float(n)), again=False) for n in range(4)]
    ledger.mark(ledger.shards(made[1].id)[0], finished_at=5.0)
    first = ledger.page(None, 2, None)
    assert [each.digest for each in first] == ["1", "3"]
    assert [each.digest for each in ledger.page(None, 2, first[-1].id)] == ["2", "0"]
    ledger.close()


def test_an_unknown_job_is_named_with_its_neighbours(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    made = ledger.record(*job(), again=False)
    with pytest.raises(UnknownJob, match=made.id):
        ledger.job(made.id[:-1] + ("x" if made.id[-1] != "x" else "y"))
    ledger.close()


def test_a_torn_or_foreign_ledger_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database, it only has its name" * 100)
    with pytest.raises(LedgerError, match="GENAI_BATCH_HOME"):
        Ledger(tmp_path)
    assert (tmp_path / "ledger.db").read_bytes().startswith(b"this is no database")


def test_the_steps_of_the_schema_are_taken_once_and_recorded_by_name(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    Ledger(tmp_path).close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        names = [name for (name,) in db.execute("SELECT name FROM migration")]
    assert names == [
        "001_jobs",
        "002_parts",
        "003_attempts",
        "004_watchdog",
        "005_trouble",
        "006_spend",
        "007_calibration",
        "008_attempts_begin",
        "009_checks",
        "010_blake3",
        "011_range",
        "012_live",
        "013_attempt_lanes",
        "014_pipelines",
        "015_changed_since",
        "016_uploads",
        "017_pilot_rows",
        "018_stopped",
        "019_written",
        "020_limits",
        "021_fallback",
        "022_dedupe",
        "023_written_content",
        "024_pilots",
        "025_ran",
    ]
    db.close()


def test_the_home_is_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Ledger(home).close()
    assert (home.stat().st_mode & 0o777, (home / "ledger.db").stat().st_mode & 0o777) == (0o700, 0o600)


def test_job_ids_are_unguessable_and_readable() -> None:
    made = {jobs.new_id() for _ in range(100)}
    assert len(made) == 100
    assert all(len(each) == 20 and each[4:].isalnum() and each == each.lower() for each in made)


def test_a_late_answer_does_not_undo_what_is_collected(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    made = ledger.record(*job(), again=False)
    shard = ledger.mark(ledger.shards(made.id)[0], state="BATCH_STATE_SUCCEEDED", output="files/x")
    ledger.claim(made.id, now=0)
    ledger.collected(shard, 0, 10, now=1)
    ledger.mark(shard, state="BATCH_STATE_RUNNING", finished_at=None)
    assert ledger.shards(made.id)[0].state == "BATCH_STATE_SUCCEEDED"
    ledger.close()
