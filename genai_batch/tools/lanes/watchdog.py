"""What a person should know about a job that is under way: what threatens it, and what can be done."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from genai_batch.resources.jobs import Job, Shard
from genai_batch.resources.models import catalogue

STALLED_S = 6 * 3600
"""Seconds without any change after which a batch is worth a word; most move within minutes."""
EXPIRY_S = 48 * 3600
"""Seconds after which Gemini gives a batch up, with nothing to show for it."""
_LAST_S = 6 * 3600
"""Seconds before that end from which it is told."""
_DENIED = re.compile("Gemini answered 40[134]:")


def warn(job: Job, shards: list[Shard], now: float) -> str | None:
    """Say what threatens the job and what can be done; None while all is well."""
    if job.is_over:
        return None
    if job.lane_now != "batch":  # nothing of it waits at Gemini
        return " ".join(_retired(job, now)) or None
    open_ones = [shard for shard in shards if shard.collected_at is None and shard.attempt == job.attempt]
    running = [shard for shard in open_ones if shard.batch and shard.changed_at and shard.finished_at is None]
    said = [
        *_denied([shard for shard in open_ones if shard.batch and shard.finished_at is None and not shard.stopped_at]),
        *_stalled(running, len(shards), now),
        *_unsent(job, [shard for shard in open_ones if not shard.batch and not shard.stopped_at], now),
        *_ending(running, now),
        *_retired(job, now + EXPIRY_S if not running else min(_end(shard) for shard in running)),
    ]
    return " ".join(said) or None


def _end(shard: Shard) -> float:
    """When Gemini gives the batch up, as far as is known."""
    return (shard.sent_at or shard.changed_at or 0) + EXPIRY_S


def _denied(sent: list[Shard]) -> Iterator[str]:
    """The key of this process may not see what another made."""
    if any(_DENIED.match(shard.trouble or "") for shard in sent):
        yield (
            "Gemini does not show the batch to this key. Options: use the key and project it was made with, wait if "
            "they were just changed, or create_batch with again=true, which pays again."
        )


def _stalled(running: list[Shard], of: int, now: float) -> Iterator[str]:
    """Batches that do not move, though others of the job may."""
    still = [now - since for shard in running if (since := shard.changed_at or shard.sent_at) is not None]
    stuck = [seconds for seconds in still if seconds >= STALLED_S]
    if stuck:
        which = f" in {len(stuck)} of {of} batches" if of > 1 else ""
        left = max(0, min(map(_end, running)) - now)
        yield (
            f"No change for {max(stuck) / 3600:.0f} h{which}; Gemini gives a batch up after 48 h, "
            f"in {left / 3600:.0f} h. Options: wait, or cancel_job and send it anew, smaller or on another model."
        )


def _unsent(job: Job, unsent: list[Shard], now: float) -> Iterator[str]:
    """Batches that Gemini has had no room for, for long."""
    waited = now - max([job.created_at, *(shard.sent_at or shard.made_at or 0 for shard in unsent)])
    if unsent and waited >= STALLED_S:
        yield (
            f"Batches not accepted after {waited / 3600:.0f} h: {len(unsent)}. Options: wait, cancel other jobs "
            "of this model, cancel_job and send fewer rows, or another model; a higher tier has more room."
        )


def _ending(running: list[Shard], now: float) -> Iterator[str]:
    """The 48 h clock."""
    left = [seconds for shard in running if (seconds := _end(shard) - now) <= _LAST_S]
    if left:
        yield (
            f"Gemini gives {len(left)} of its batches up in {max(0, min(left)) / 3600:.1f} h, with nothing to show for "
            "it. Whatever is missing then can be sent again with resume_job."
        )


def _retired(job: Job, last: float) -> Iterator[str]:
    """The model is shut down while the job may still run."""
    facts = catalogue()["models"].get(job.model, {})
    if "ends" in facts and facts["ends"] <= datetime.fromtimestamp(last, UTC).date():
        yield f"{job.model} ends on {facts['ends']}, before this job must be done; use {facts['next']} from then on."
