"""Sending a batch: upload, record the intent, create; after a create of unknown outcome the provider's list decides."""

import logging
from functools import partial
from pathlib import Path

import msgspec

from genai_batch.resources import jobs
from genai_batch.resources.answers import short
from genai_batch.resources.errors import FileUnusable, InvalidRequests, LedgerError, ProviderError
from genai_batch.resources.jobs import Job, Shard
from genai_batch.tools.lanes import shard_limits
from genai_batch.tools.lanes.attached import attached
from genai_batch.tools.lanes.derived import Derived, lines, placed
from genai_batch.tools.lanes.means import Means
from genai_batch.tools.lanes.refusals import midnight, moment
from genai_batch.tools.lanes.states import embeds, refused_lines
from genai_batch.tools.lanes.window import Window
from genai_batch.tools.lanes.wire import Batch

log = logging.getLogger("genai_batch")
INLINE_ROWS, INLINE_BYTES = 50, 1_000_000
"""Up to both a job is sent inline; above either, or when it makes media, as a file."""
_RESEND_S = 60
"""Seconds after the outcome of a create became unknown before its absence from the list is believed."""
_LOOKS = 2
"""Failures in a row, a look at the list without finding it among them, before that too: lists may lag."""
_UPLOAD_S = 46 * 3600
"""Age up to which an upload is used again; Gemini keeps it 48 h."""
_UPLOADS = 3
"""Times the requests are uploaded, where the reason of a refusal may be that the upload is lost."""


async def send(means: Means, shard: Shard) -> None:
    """Take a shard that no batch is known of as far as it goes; who has no lease on its job does nothing.

    Raises:
        ProviderError: Gemini cannot be asked now; or it refused for good, and the job has failed, or has stopped where
            it is the key that is refused.
        InvalidRequests: Gemini refused lines of the job, which has failed.
        FileUnusable: a local file that the requests name cannot be used; the job has failed, unless some of it is sent.
        LedgerError: the requests cannot be read.
    """
    async with means.lease(shard.job_id) as mine:
        job, shard = means.ledger.job(shard.job_id), means.ledger.shard(shard.job_id, shard.number)
        if not mine or job.is_over or shard.batch is not None or shard.collected_at is not None:
            return
        if shard.sent_at is not None:
            await _reconcile(means, job, shard)
        elif job.cancelled_at is not None:
            _never_sent(means, shard)
        elif not await _is_stopped(means, job, shard):
            await _create(means, job, shard)


async def _is_stopped(means: Means, job: Job, shard: Shard) -> bool:
    """Whether a limit keeps the shard from being sent."""
    try:
        return await shard_limits.stops(means, job, shard)
    except OSError as error:
        raise _unreadable(job, jobs.folder(means.ledger.home, job.id), error) from error


async def accept(means: Means, shard: Shard, batch: Batch) -> None:
    """Record the batch that the provider has made of a shard; a second one, of who was held up too long, is stopped."""
    if not means.ledger.accepted(shard, batch.name, batch.state, batch.done, means.now()):
        log.warning("%s was made beside another of %s; it is cancelled.", batch.name, shard.job_id)
        await means.gemini.cancel(batch.name)


async def _reconcile(means: Means, job: Job, shard: Shard) -> None:
    """After a create of unknown outcome: adopt what the provider has; send again once its absence is certain."""
    if found := await means.gemini.find(shard.display_name):
        await accept(means, shard, found)
    elif means.now() - (shard.sent_at or 0) < _RESEND_S or shard.tries < _LOOKS:
        means.put_off(shard)
    elif job.cancelled_at is not None:
        _never_sent(means, shard)
    elif not await _is_stopped(means, job, shard):
        await _create(means, job, shard)


async def _create(means: Means, job: Job, shard: Shard) -> None:
    """Upload, record the intent, send. Who lost the lease on the way does not send: another process is at it."""
    unknown = shard.sent_at is not None  # an earlier create may still have become a batch
    try:
        await means.gemini.load()
        source = await _source(means, job, shard)
        if source is None or (intended := means.ledger.intend(shard, means.now())) is None:
            return
        shard = intended
        batch = await means.gemini.create(
            job.model, shard.display_name, source, embeds=embeds(job.model), still=partial(_still, means, shard)
        )
    except ProviderError as error:
        _not_accepted(means, job, shard, await means.gemini.confirmed(error), unknown=unknown)
    except FileUnusable as error:
        _refused(means, job, shard, error)
    else:
        await accept(means, shard, batch)


def _still(means: Means, shard: Shard) -> bool:
    """Whether the intent is so young that nobody can believe by now that nothing came of it."""
    return means.now() - (shard.sent_at or 0) < _RESEND_S / 3


def _never_sent(means: Means, shard: Shard) -> None:
    certain = "Cancelled before it was sent; nothing was charged."
    likely = "Cancelled; Gemini shows no batch of it. Should one appear, check_status with its name adopts it."
    said = likely if shard.sent_at else certain
    means.ledger.settle(shard, means.now(), "BATCH_STATE_CANCELLED", said)


def _need_whole(path: Path, shard: Shard) -> None:
    """Refuse to send part of what was recorded."""
    size = path.stat().st_size if path.exists() else 0
    if size < shard.start + shard.length:
        said = f"{path} was cut: it has {size:,} bytes, {shard.start + shard.length:,} were recorded."
        raise LedgerError(f"{said} Nothing was sent. Put the file back, or cancel_job and create_batch again.")


async def _source(means: Means, job: Job, shard: Shard) -> str | list[dict[str, object]] | None:
    """Upload the requests, or read them when they are few and small enough to be sent inline.

    Their local files go first; None where the job is cancelled meanwhile.
    """
    path = jobs.requests_file(means.ledger.home, job.id, shard.attempt)
    _need_whole(path, shard)
    small = shard.requests <= INLINE_ROWS and (shard.length or job.bytes) <= INLINE_BYTES
    try:
        if (files := await attached(means, shard, path)) is None:
            return None
        if small and not job.makes_media and not embeds(job.model):
            part = lines(path, shard.start, shard.length)
            return [msgspec.json.decode(placed(line, files.uris)) for line in part if line.strip()]
        since = max(means.now() - _UPLOAD_S, files.made_at)
        if shard.upload is None or (shard.uploaded_at or 0) < since:
            opened = partial(Derived, path, shard.start, shard.length, files.uris, files.named)
            plain = partial(Window, path, shard.start, shard.length)
            name = await means.gemini.upload(opened if files.named else plain, shard.display_name)
            shard = means.ledger.mark(shard, upload=name, uploaded_at=means.now(), uploads=shard.uploads + 1)
    except OSError as error:
        raise _unreadable(job, path, error) from error
    return shard.upload or ""


def _unreadable(job: Job, path: Path, error: OSError) -> LedgerError:
    said = f"The requests of {job.id} cannot be read: {path}: {error.strerror or error}. Nothing was sent."
    return LedgerError(f"{said} Put the file back, or cancel_job and create_batch from its source.")


def _not_accepted(means: Means, job: Job, shard: Shard, error: ProviderError, *, unknown: bool) -> None:
    """Wait, reconcile later, or give the shard up, as the refusal demands.

    While an earlier create is of `unknown` outcome the list is looked through before each that follows.
    """
    if error.sent:
        means.ledger.mark(shard, sent_at=means.now())
    elif shard.sent_at is not None and not unknown:
        means.ledger.not_sent(shard)
    stale = error.reason in ("permission", "missing") and shard.upload is not None and shard.uploads < _UPLOADS
    if stale:
        means.ledger.mark(shard, upload=None)  # the upload may have expired: it is made again
    if error.reason == "key":
        raise ProviderError(f"{error} {job.id} keeps its place: resume_job sends it then.", reason="key") from error
    if error.sent or error.passing or stale:
        means.put_off(shard, error)
        means.ledger.mark(shard, error=short(f"Not accepted yet; {_again(means, error)} {error}", 400))
    else:
        _refused(means, job, shard, error)


def _again(means: Means, error: ProviderError) -> str:
    """When a batch that was not accepted is sent again, in words."""
    return f"it is tried again at {moment(midnight(means.now()))}." if error.reason == "day" else "it is tried again."


def _refused(means: Means, job: Job, shard: Shard, error: ProviderError | FileUnusable) -> None:
    """Give up the shard, and with it a job of which nothing was accepted yet."""
    shards = means.ledger.shards(job.id)
    why = short(str(error), 300)
    if job.attempt or any(other.batch for other in shards):  # the rest stays as it is
        means.ledger.settle(shard, means.now(), "BATCH_STATE_FAILED", why)
        return
    for other in shards:
        means.ledger.settle(other, means.now(), "BATCH_STATE_FAILED", why)
    counts = {"missing": job.requests}
    means.ledger.advance(job.id, means.now(), state="JOB_STATE_FAILED", notice=short(str(error), 450), counts=counts)
    if problems := refused_lines(str(error)):
        raise InvalidRequests(f"{job.name} as sent", problems) from error
    raise error
