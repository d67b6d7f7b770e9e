"""The limits between the batches of a job: what is home, what is under way and the next one must fit into them.

A batch that was sent is paid to its end, so a job is only begun where all of it fits. What came home may have cost more
than anybody thought, or have failed: then the rest waits for somebody who decides.
"""

from contextlib import nullcontext
from datetime import UTC, datetime

import msgspec
from anyio import to_thread

from genai_batch.resources import jobs, spend
from genai_batch.resources.answers import dollars
from genai_batch.resources.call_costs import CallCosts
from genai_batch.resources.jobs import Job, Shard, StopReason
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.local_files import LocalFiles
from genai_batch.resources.models import find
from genai_batch.resources.spend import Account
from genai_batch.resources.tokens.media import unseen
from genai_batch.tools.lanes.derived import lines
from genai_batch.tools.lanes.failures import failures_of, failures_words
from genai_batch.tools.lanes.means import Means
from genai_batch.tools.lanes.unanswered import lost_by


async def stops(means: Means, job: Job, shard: Shard) -> bool:
    """Whether a limit keeps a batch from being sent; it is then left alone, and its job says why.

    The ledger is asked before each, since the day, or the limit of the day, may be another than when it was recorded.

    Raises:
        UnknownModel: no price is known for the model any more.
        OSError: the requests or the results cannot be read.
    """
    shards = jobs.latest(job, means.ledger.shards(job.id))
    home = [other for other in shards if other.collected_at is not None and other.output is not None]
    if home and job.stop_on_failures is not None:
        counts = await to_thread.run_sync(failures_of, means.ledger.home, job)
        if counts.reached(job.stop_on_failures):
            _stop(means, shard, "failures", failures_words(job, counts))
            await give_back(means, job, shard)
            return True
    if (account := means.ledger.account(job.id, job.attempt)) is None:
        return False
    costs = await to_thread.run_sync(_Costs, means.ledger, job, shards, shard, means.now())
    share = sum(other.requests for other in home) / sum(other.requests for other in shards)
    if costs.paid <= (account.bound or 0) * share:
        everything = max(account.reserved, account.bound or 0)
        if _refusal(means, job, everything, costs.paid, in_flight=everything - costs.paid) is None:
            return False
    await to_thread.run_sync(costs.count_rest)
    reason = _raised(means, job, costs)
    _give_back(means, job, costs.paid + (costs.under_way if reason else costs.next))
    if reason:
        _stop(means, shard, reason, _words(means, job, account, costs, reason))
    return reason is not None


async def give_back(means: Means, job: Job, shard: Shard) -> None:
    """Set no more aside for a job that rests before a batch than what is home and under way can cost.

    Raises:
        UnknownModel: no price is known for the model any more.
        OSError: the requests or the results cannot be read.
    """
    if means.ledger.account(job.id, job.attempt) is not None:
        shards = jobs.latest(job, means.ledger.shards(job.id))
        costs = await to_thread.run_sync(_Costs, means.ledger, job, shards, shard, means.now())
        await to_thread.run_sync(costs.count_rest)
        _give_back(means, job, costs.paid + costs.under_way)


def _give_back(means: Means, job: Job, needed: float) -> None:
    with means.ledger.writing() as db:
        spend.give_back(db, job.id, job.attempt, needed)


class _Costs:
    """What the batches of an attempt cost that are home, lost answers at most, and can cost that are not, in USD."""

    def __init__(self, ledger: Ledger, job: Job, shards: list[Shard], following: Shard, now: float) -> None:
        """Count what is home; `following` is the batch that would be sent now."""
        self._job, self._following = job, following
        self._open = [shard for shard in shards if shard.collected_at is None]
        self._requests = jobs.requests_file(ledger.home, job.id, job.attempt)
        self._day = datetime.fromtimestamp(now, UTC).date()
        self.under_way = self.next = self.rest = 0.0
        """What is under way can cost, with the next batch, and with all that follow."""
        results = jobs.folder(ledger.home, job.id) / "results.jsonl"
        with LocalFiles.beside(self._requests) or nullcontext() as files:
            self.paid = self._priced(files).paid_until_now(results, job.begin_now, self._requests)
        if any(shard.output is None for shard in shards if shard.collected_at is not None):
            self.paid += lost_by(ledger.home, job, shards, now) or 0

    def count_rest(self) -> None:
        """Count what is not home."""
        with LocalFiles.beside(self._requests) or nullcontext() as files:
            costs = self._priced(files)
            for shard in self._open:
                bound = sum(map(costs.bound, map(_body, lines(self._requests, shard.start, shard.length))))
                self.rest += bound
                is_sent = shard.batch is not None or shard.sent_at is not None
                self.under_way += bound if is_sent else 0
                self.next += bound if is_sent or shard.number == self._following.number else 0

    def _priced(self, files: LocalFiles | None) -> CallCosts:
        return CallCosts(find(self._job.model, self._day), "batch", self._day, files.seen if files else unseen)


def _raised(means: Means, job: Job, costs: _Costs) -> StopReason | None:
    """Set aside what is sent with the next batch; what can be paid at most is known better by now."""
    with means.ledger.writing() as db:
        spend.bound_again(db, job.id, job.attempt, costs.paid + costs.rest)
    return _refusal(means, job, costs.paid + costs.next, costs.paid, in_flight=costs.under_way)


def _refusal(means: Means, job: Job, needed: float, paid: float, *, in_flight: float) -> StopReason | None:
    """Set `needed` USD aside for all batches of a job, or name the limit that does not allow it."""
    with means.ledger.writing() as db:
        this = (job.id, job.attempt)
        return spend.limit_passed(db, *this, means.now(), needed, paid, means.per_day, in_flight=in_flight)


def _stop(means: Means, shard: Shard, reason: StopReason, words: str) -> None:
    means.ledger.mark(shard, stopped_at=means.now(), stopped_by=reason, next_try_at=None, error=words)


def _words(means: Means, job: Job, account: Account, costs: _Costs, reason: StopReason) -> str:
    limit = f"its limit of {dollars(account.allowed or 0)}"
    remedy = (
        f"Ask the user; resume_job(job_id='{job.id}', confirm=true) (`genai-batch resume {job.id} --confirm`) goes on."
    )
    if reason == "pipeline_limit":
        limit = "the limit of all stages"
    if reason == "day_limit":
        limit = f"today's limit of {dollars(means.per_day or 0)} (GENAI_BATCH_MAX_COST_USD_PER_DAY)"
        remedy = (
            "Only the setting lifts that limit, confirm does not. With a higher one, once other jobs have ended, or on "
            f"another day (UTC), resume_job(job_id='{job.id}') (`genai-batch resume {job.id}`) goes on."
        )
    return (
        f"Stopped at {limit}; what is answered is kept. {dollars(costs.paid)} paid for what is here, the rest may cost "
        f"up to {dollars(costs.rest)}. {remedy}"
    )


class _Line(msgspec.Struct):
    request: msgspec.Raw


_LINE = msgspec.json.Decoder(_Line)


def _body(line: bytes) -> bytes:
    return bytes(_LINE.decode(line).request)
