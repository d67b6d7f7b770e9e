"""When so many rows of a job have failed that it is stopped, where that was asked for."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from genai_batch.resources import jobs, outcomes
from genai_batch.resources.jobs import UNFINISHED, Job

LEAST_ROWS = 20
"""Rows that must be answered before their share counts."""


class Failures(NamedTuple):
    """Rows that were answered, and those among them that failed: an error, nothing, or a refusal to answer."""

    answered: int = 0
    failed: int = 0

    def add(self, row: dict[str, object]) -> "Failures":
        """Count a row of results."""
        return Failures(self.answered + 1, self.failed + (outcomes.judge(row).outcome in UNFINISHED))

    def gave_up(self) -> "Failures":
        """Count a row that got no answer."""
        return Failures(self.answered + 1, self.failed + 1)

    def reached(self, percent: float) -> bool:
        """Whether this share has failed, of rows enough to tell."""
        return self.answered >= LEAST_ROWS and 100 * self.failed >= percent * self.answered


def failures_words(job: Job, counts: Failures) -> str:
    """Say why a job has stopped, and how it goes on."""
    return (
        f"Stopped; {counts.failed:,} of {counts.answered:,} rows failed, and it was to stop at "
        f"{job.stop_on_failures:g} %. What is answered is kept. Look at the errors; resume_job(job_id='{job.id}') "
        f"(`genai-batch resume {job.id}`) sends the rest, cancel_job ends it."
    )


def failures_of(home: Path, job: Job) -> Failures:
    """Count the rows of the latest attempt that are here; those of a live one are not yet counted by the ledger."""
    results, counts = jobs.folder(home, job.id) / "results.jsonl", Failures()
    end = math.inf if job.lane_now != "batch" else job.results_bytes
    for row in _rows(results, job.begin_now, end):
        counts = counts.add(row)
    return counts


def _rows(results: Path, start: int, end: float) -> Iterator[dict[str, object]]:
    if not results.exists():
        return
    with results.open("rb") as file:
        file.seek(start)
        while file.tell() < end and (line := file.readline()):
            yield msgspec.json.decode(line, type=dict[str, object])
