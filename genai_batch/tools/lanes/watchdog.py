"""What a person should know about a job that is under way: it does not move, its clock runs out, its model ends."""

from datetime import UTC, datetime

from genai_batch.resources.jobs import Job, Shard
from genai_batch.resources.models import catalogue

STALLED_S = 6 * 3600
"""Seconds without any change after which a job is worth a word; most batches move within minutes."""
EXPIRY_S = 48 * 3600
"""Seconds after which Gemini gives a batch up, with nothing to show for it."""


def warn(job: Job, shards: list[Shard], now: float) -> str | None:
    """Say what threatens the job and what can be done; None while all is well."""
    running = [shard for shard in shards if shard.batch and shard.finished_at is None]
    if job.is_over or not running:
        return None
    still = now - max(shard.changed_at or shard.sent_at or job.created_at for shard in running)
    left = EXPIRY_S - (now - min(shard.sent_at or job.created_at for shard in running))
    said: list[str] = []
    if still >= STALLED_S:
        said.append(
            f"No change for {still / 3600:.0f} h; Gemini gives a batch up after 48 h, in {max(0, left) / 3600:.0f} h."
        )
        said.append("Options: wait, or cancel_job and send it anew as smaller jobs or on another model.")
    if ends := _ends(job, now + left):
        said.append(ends)
    return " ".join(said) or None


def _ends(job: Job, last: float) -> str | None:
    """Whether the model is shut down while the job may still run."""
    facts = catalogue()["models"].get(job.model, {})
    if "ends" not in facts or facts["ends"] > datetime.fromtimestamp(last, UTC).date():
        return None
    return f"{job.model} ends on {facts['ends']}, before this job must be done; {facts['next']} is the one to use then."
