"""What an attempt that is over can have cost where its answers do not say so.

Batches are paid though their answers are lost, and answers that do not tell their tokens were billed as well.
"""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from genai_batch.resources import jobs
from genai_batch.resources.call_costs import CallCosts
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job, Shard
from genai_batch.resources.local_files import LocalFiles
from genai_batch.resources.models import find
from genai_batch.resources.tokens.media import unseen
from genai_batch.tools.lanes.live.recovery import recover


def lost_by(home: Path, job: Job, shards: list[Shard], now: float) -> float | None:
    """USD that the batches which are home can have cost for rows whose answers did not come.

    `shards` are all those of the latest attempt, in order. A batch that ended while it waited cost nothing.
    Returns None where that cannot be counted.
    """
    if not any(map(_may_have_run, shards)):
        return 0
    requests, start = jobs.requests_file(home, job.id, job.attempt), job.begin_now
    try:
        found = recover(jobs.folder(home, job.id) / "results.jsonl", start, requests)
        answered, line = found.answered or bytearray(found.requests), 0
        for shard in shards:
            if not _may_have_run(shard):
                answered[line : line + shard.requests] = b"\1" * shard.requests
            line += shard.requests
        if all(answered):
            return 0
        with LocalFiles.beside(requests) or nullcontext() as files:
            return _costs(job, files, now).bounds_of(requests, answered)
    except (UnknownModel, OSError, msgspec.MsgspecError):
        return None


def paid_at_most(home: Path, job: Job, now: float) -> float | None:
    """USD that the answers of the latest attempt can have cost; None where that cannot be counted."""
    requests, results = jobs.requests_file(home, job.id, job.attempt), jobs.folder(home, job.id) / "results.jsonl"
    try:
        with LocalFiles.beside(requests) or nullcontext() as files:
            return _costs(job, files, now).paid_until_now(results, job.begin_now, requests)
    except (UnknownModel, OSError, msgspec.MsgspecError):
        return None


def _may_have_run(shard: Shard) -> bool:
    """Whether a batch that is home may have been billed; of one whose end nobody has seen that is not known."""
    is_home = shard.batch is not None and shard.collected_at is not None
    return is_home and (shard.ran_at is not None or shard.finished_at is None)


def _costs(job: Job, files: LocalFiles | None, now: float) -> CallCosts:
    day = datetime.fromtimestamp(now, UTC).date()
    return CallCosts(find(job.model, day), job.lane_now, day, files.seen if files else unseen)
