"""One run of a job by this process: what is on the disk is found, the rest is sent, and how that ends is written down.

Whoever begins one holds the lease of the job and the lock of its folder.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from anyio import to_thread

from genai_batch.resources import jobs
from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import LedgerError
from genai_batch.resources.jobs import Job, Shard, State, StopReason
from genai_batch.resources.local_files import LocalFiles
from genai_batch.resources.prices import default_tier
from genai_batch.tools.lanes.collection import close
from genai_batch.tools.lanes.failures import failures_of, failures_words
from genai_batch.tools.lanes.live.allowance import Allowance
from genai_batch.tools.lanes.live.caller import calling
from genai_batch.tools.lanes.live.feed import items
from genai_batch.tools.lanes.live.filed import Filed
from genai_batch.tools.lanes.live.journal import Journal
from genai_batch.tools.lanes.live.pace import FIRST, Pace
from genai_batch.tools.lanes.live.recovery import Recovered, recover
from genai_batch.tools.lanes.live.replies import Verdict
from genai_batch.tools.lanes.live.runner import Limits, Runner
from genai_batch.tools.lanes.live.tally import Tally
from genai_batch.tools.lanes.means import Means
from genai_batch.tools.lanes.refusals import midnight, resting_words, stopped_words
from genai_batch.tools.lanes.states import embeds

_TELL_S = 1.0
"""Seconds from one word about the progress to the next."""
_ROWS_TO_TELL = 20
"""Rows from which on their mean says what all will cost."""


class Run:
    """Carries a job out until its end, or until `stop` is set."""

    def __init__(
        self, means: Means, limits: Limits, pace: Pace, tally: Tally, stop: asyncio.Event, per_day: float | None = None
    ) -> None:
        """Use the pace of the job's model, and count in `tally`; `per_day` USD are what all jobs of a day may cost."""
        self._means, self._ledger, self._limits, self._pace, self._stop = means, means.ledger, limits, pace, stop
        self._tally, self._per_day = tally, per_day
        self._warning: str | None = None
        self._warned = set[str]()
        self._allowed: float | None = None
        self._is_restated = False

    async def carry_out(self, job: Job, shard: Shard | None) -> None:
        """Send what is not answered of `shard`, the open part of the job's attempt, and end the job when all is.

        Raises:
            OSError: the disk did not take the rows, or not give the requests; what it took counts.
            BatchError: the ledger or the connection cannot be used.
        """
        if shard is not None:
            while True:
                shard, found = await self._recovered(job, shard)
                if found.done == found.requests:
                    break
                if job.cancelled_at is not None:
                    await self._allowance(job).count_killed(found, shard)
                    break
                if not await self._send(job, shard, found):
                    break
            if (state := self._end(job, shard)) is None or not self._collected(job, shard, state):
                return
        await self._close(job.id)

    async def _recovered(self, job: Job, shard: Shard) -> tuple[Shard, Recovered]:
        """Find out what is answered."""
        folder = jobs.folder(self._ledger.home, job.id)
        requests = jobs.requests_of(folder, shard.attempt)
        found = await to_thread.run_sync(recover, folder / "results.jsonl", job.results_bytes, requests)
        return self._begun(shard, found), found

    def _begun(self, shard: Shard, found: Recovered) -> Shard:
        now = self._means.now()
        began = shard.sent_at or now
        return self._ledger.mark(shard, done=found.done, sent_at=began, polled_at=now, changed_at=now)

    async def _send(self, job: Job, shard: Shard, found: Recovered) -> bool:
        """Send what is not answered; where the provider or a limit stops it, say why and when it goes on.

        Returns whether the rest is to be sent at once, every call counted from then on.
        """
        self._ledger.advance(job.id, self._means.now(), job.attempt, state="JOB_STATE_RUNNING", notice=None)
        self._allowed, self._is_restated = self._limit_of(job), False
        allowance = self._allowance(job)
        if job.stop_on_failures is not None:  # those of earlier runs count as well
            self._tally.failures = await to_thread.run_sync(failures_of, self._ledger.home, job)
            if self._tally.is_failing:
                await self._rest_at_limit(job, shard, allowance, "failures")
                return False
        await allowance.begin(found, shard, job.concurrency or FIRST)
        unstored, done = list[bytes](), found.done
        try:
            async with self._runner(job, shard, found, allowance) as (runner, journal):
                beside = [
                    asyncio.create_task(self._tell(job, shard, found.done, journal, runner, allowance)),
                    asyncio.create_task(self._obey(runner)),
                ]
                try:
                    await runner.run()
                finally:
                    for task in beside:
                        task.cancel()
                    try:
                        await asyncio.shield(journal.close())
                    finally:
                        unstored, done = journal.unstored, found.done + journal.rows
                        self._ledger.mark(shard, done=done)
        finally:
            await allowance.end(shard, unstored, is_done=done == found.requests)
        if runner.stopped:
            self._rest(job, shard, runner.stopped)
        elif runner.refusal:
            await self._rest_at_limit(job, shard, allowance, runner.refusal)
        is_stopped = runner.stopped or runner.refusal or self._stop.is_set()
        return (allowance.is_overdrawn or self._is_restated) and not is_stopped

    def _is_lowered(self, job: Job) -> bool:
        """Whether the attempt may cost less than a moment ago; a limit that was raised is read with the next call."""
        before, self._allowed = self._allowed, self._limit_of(job)
        return self._allowed is not None and (before is None or self._allowed < before)

    def _limit_of(self, job: Job) -> float | None:
        """What the attempt may cost just now, in USD."""
        account = self._ledger.account(job.id, job.attempt)
        return account.allowed if account else None

    def _allowance(self, job: Job) -> Allowance:
        return Allowance(self._ledger, job, self._means.now, self._per_day)

    @asynccontextmanager
    async def _runner(
        self, job: Job, shard: Shard, found: Recovered, allowance: Allowance
    ) -> AsyncGenerator[tuple[Runner, Journal]]:
        folder = jobs.folder(self._ledger.home, job.id)
        verb = "embedContent" if embeds(job.model) else "generateContent"
        endpoint = await self._means.gemini.endpoint(f"models/{job.model}:{verb}", int(self._limits.attempt))
        self._pace.admit(job.concurrency)
        local = LocalFiles.beside(jobs.requests_of(folder))
        allowance.use_files(local)
        async with calling(endpoint) as through:
            call = Filed(through, self._means.uploads, local) if local else through
            journal = Journal(folder / "results.jsonl")
            lane = job.lane_of(shard.attempt)
            feed = items(jobs.requests_of(folder, shard.attempt), found.answered, default_tier(lane))
            most, fallback = job.concurrency or FIRST, job.fallback if lane == "flex" else None
            try:
                yield (
                    Runner(feed, call, journal, self._pace, self._limits, most, self._tally, allowance, fallback),
                    journal,
                )
            finally:
                if local:
                    local.close()

    async def _obey(self, runner: Runner) -> None:
        await self._stop.wait()
        runner.stop()

    async def _tell(
        self, job: Job, shard: Shard, done: int, journal: Journal, runner: Runner, allowance: Allowance
    ) -> None:
        """Move the count about once a second, say what slows it, and obey a wish to stop the job, and its deadline."""
        told, said = -1, None
        while True:
            await asyncio.sleep(_TELL_S)
            self._tally.look(journal.rows)
            with suppress(LedgerError):
                if told != journal.rows:
                    told = journal.rows
                    self._ledger.mark(shard, done=done + told, polled_at=self._means.now())
                self._warn(job, journal.rows, allowance)
                if said != (now_said := self._means.uploads.words() or runner.words() or self._warning):
                    said = now_said
                    self._ledger.advance(job.id, self._means.now(), job.attempt, notice=said)
                if self._is_lowered(job):  # what is left is counted anew under the limit that holds now
                    self._is_restated = True
                    runner.stop()
                if self._ledger.job(job.id).cancelled_at is not None or self._is_late(shard):
                    runner.stop()

    def _warn(self, job: Job, rows: int, allowance: Allowance) -> None:
        """Say once that most of the limit is spent, and once that rows cost other than was expected."""
        warnings = [allowance.warning(self._tally.cost), _off_range(job, rows, self._tally.cost)]
        new = [
            (warning, kind)
            for warning, kind in zip(warnings, ("limit", "range"), strict=True)
            if warning and kind not in self._warned
        ]
        if new:
            self._warning = " ".join(warning for warning, _ in new)
            self._warned.update(kind for _, kind in new)

    def _rest(self, job: Job, shard: Shard, why: Verdict) -> None:
        """Leave the rest of the job alone until it is resumed, or until what has stopped it is over by itself."""
        now = self._means.now()
        if why.comes == "resume":
            notice = stopped_words(why.reason)
            self._ledger.mark(shard, stopped_at=now, stopped_by=None, next_try_at=None, trouble=notice)
        else:
            until = midnight(now) if why.comes == "day" else now + (why.advice_s or 0)
            notice = resting_words(why.reason, until)
            self._ledger.mark(shard, next_try_at=until, trouble=notice)
        self._ledger.advance(job.id, now, job.attempt, notice=notice)

    async def _rest_at_limit(self, job: Job, shard: Shard, allowance: Allowance, reason: StopReason) -> None:
        """Leave the rest of the job alone until somebody lifts the limit."""
        _, found = await self._recovered(job, shard)
        if reason == "failures":
            notice = failures_words(job, self._tally.failures)
        else:
            notice = await allowance.words(shard, found.answered, found.requests - found.done)
        now = self._means.now()
        self._ledger.mark(shard, stopped_at=now, stopped_by=reason, next_try_at=None, trouble=notice)
        self._ledger.advance(job.id, now, job.attempt, notice=notice)

    def _is_late(self, shard: Shard) -> bool:
        return self._means.now() - (shard.sent_at or self._means.now()) > self._limits.job

    def _end(self, job: Job, shard: Shard) -> State | None:
        """How the attempt has ended; None while it has not."""
        if self._ledger.shard(job.id, shard.number).done >= shard.requests:
            return "JOB_STATE_SUCCEEDED"
        if self._ledger.job(job.id).cancelled_at is not None:
            return "JOB_STATE_CANCELLED"
        return "JOB_STATE_EXPIRED" if self._is_late(shard) else None

    def _collected(self, job: Job, shard: Shard, state: State) -> bool:
        """Record that what is on the disk is all; False where another process has the lease just now."""
        now, results = self._means.now(), jobs.folder(self._ledger.home, job.id) / "results.jsonl"
        size = results.stat().st_size if results.exists() else 0
        if not self._ledger.claim(job.id, now):
            return False
        end = max(size, job.results_bytes)
        self._ledger.collected(shard, job.results_bytes, end, now, output="live", state=state, finished_at=now)
        return self._ledger.shard(job.id, shard.number).collected_at is not None

    async def _close(self, job_id: str) -> None:
        """Index what came back and end the job as its attempt has ended."""
        job = self._ledger.job(job_id)
        last = jobs.latest(job, self._ledger.shards(job.id))[-1]
        said = {
            "JOB_STATE_CANCELLED": "Cancelled; rows finished before are kept and were charged.",
            "JOB_STATE_EXPIRED": f"Ended after {self._limits.job / 3600:.0f} h; resume_job sends what is missing.",
        }.get(last.state or "")
        await close(self._ledger, job, self._means.now(), state=last.state, notice=said)


def _off_range(job: Job, rows: int, cost: float | None) -> str | None:
    """Say that rows cost more, or less, than the range of the estimate, once there are enough of them."""
    if job.attempt or cost is None or rows < _ROWS_TO_TELL or job.estimate_low is None or job.estimate_high is None:
        return None
    projected = cost / rows * job.requests
    if job.estimate_low <= projected <= job.estimate_high:
        return None
    expected = f"{dollars(job.estimate_low)} to {dollars(job.estimate_high)}"
    return f"The first {rows:,} rows cost as if all would cost {dollars(projected)}; {expected} was expected."
