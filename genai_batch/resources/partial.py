"""The rows of a job that still runs, as far as they are on the disk."""

import os
from pathlib import Path

from genai_batch.resources import jobs
from genai_batch.resources.jobs import Job

_BLOCK = 64 * 1024


def is_partial(job: Job) -> bool:
    """Whether requests without an answer are still to get one, so that they are pending and not missing."""
    return not job.is_over and not job.attempt


def so_far(home: Path, job: Job) -> Job | None:
    """Return the job with the rows that are stored by now, as if it had no others; None where it has none yet.

    A live job appends each answer as it comes; of a batch job those batches are here that are over.
    """
    if job.is_over or job.lane_now != "live":
        return job if job.results_bytes or job.is_over else None
    size = _end_of_rows(jobs.folder(home, job.id) / "results.jsonl", job.results_bytes)
    return job.model_copy(update={"results_bytes": size}) if size else None


def _end_of_rows(path: Path, start: int) -> int:
    """The byte behind the last line that is written to its end, `start` at least."""
    if not path.exists():
        return start
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > start:
            begin = max(start, end - _BLOCK)
            file.seek(begin)
            if at := file.read(end - begin).rfind(b"\n") + 1:
                return begin + at
            end = begin
    return start
