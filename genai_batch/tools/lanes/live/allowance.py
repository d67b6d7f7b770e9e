"""What a live run may still spend: it sets the bound of each call aside before that leaves, and holds the limits.

Where all rows at their most fit into the limits, all of that is set aside and nothing is counted. What an answer cost
is known once it is home. A call whose answer never came counts with its bound, since it may have been billed: that is
written down before anything else of the run is sent, and a process that is killed leaves behind how many rows may have
been on their way. At its end a run gives back what it has set aside and not spent.
"""

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from anyio import to_thread

from genai_batch.resources import jobs, spend
from genai_batch.resources.answers import dollars
from genai_batch.resources.call_costs import CallCosts
from genai_batch.resources.errors import UnknownModel
from genai_batch.resources.jobs import Job, Shard, StopReason
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.local_files import LocalFiles
from genai_batch.resources.models import find
from genai_batch.resources.spend import Account
from genai_batch.resources.tokens.media import See, unseen
from genai_batch.tools.lanes.live.feed import Item
from genai_batch.tools.lanes.live.recovery import Recovered

_AT_ONCE = 16
"""Calls for which more is set aside at a time, so that not each of them waits for the ledger."""
_EXACT_ROWS = 20_000
"""Rows that are left up to which it is counted what they can cost."""
_WARN_AT = 0.75


class Allowance:
    """The money of one attempt of a job, in USD, as the run that sends it counts it."""

    def __init__(self, ledger: Ledger, job: Job, now: Callable[[], float], per_day: float | None) -> None:
        """Read what is allowed; `per_day` is what all jobs of a day may cost together."""
        self._ledger, self._job, self._now, self._per_day = ledger, job, now, per_day
        self._account = ledger.account(job.id, job.attempt)
        self._costs: CallCosts | None = None
        self._paid = self._in_flight = self._saved = self._lost = 0.0
        self._calls = 0
        self._reserved, self._until = 0.0, math.inf
        self.is_guarded = self.is_overdrawn = False
        """Whether every call is counted; and whether that has become necessary since the run began."""
        self.refusal: StopReason | None = None
        """The limit that kept the latest call from leaving."""

    @property
    def spent(self) -> float:
        """The most that the attempt has cost until now, what is in flight included."""
        return self._settled + self._in_flight

    @property
    def _settled(self) -> float:
        """What the attempt has cost without the calls in flight; those that got no answer count with their bound."""
        return self._paid + self._lost

    @property
    def paid(self) -> float | None:
        """What the answers cost that are home; None where they are not counted."""
        return self._paid if self.is_guarded else None

    async def begin(self, recovered: Recovered, shard: Shard, concurrency: int) -> None:
        """Count what earlier runs may have spent, and say in the ledger that rows are on their way from now on.

        Raises:
            UnknownModel: no price is known for the model.
            OSError: the requests or the results cannot be read.
        """
        if self._account is None or not self._is_limited(self._account):
            return
        self._costs = self._priced(unseen)
        await to_thread.run_sync(self._count, self._account, recovered, shard)
        account = self._account
        self._until = (self._now() // spend.DAY_S + 1) * spend.DAY_S
        self.is_guarded = not self._fits(self._ceiling(account))
        if self.is_guarded:
            paid = await to_thread.run_sync(self._paid_until_now, shard)
            self._paid = min(paid, max(0.0, account.reserved - self._lost))
        self._note(in_flight=_on_their_way(concurrency, is_guarded=self.is_guarded))

    async def count_killed(self, recovered: Recovered, shard: Shard) -> None:
        """Count the calls that were on their way when a process was killed, of a job that is to end.

        Where the model has no price any more, all that was set aside counts, so that the job can be ended.

        Raises:
            OSError: the requests or the results cannot be read.
        """
        if self._account is None or not self._account.in_flight:
            return
        try:
            await to_thread.run_sync(self._count, self._account, recovered, shard)
        except UnknownModel:
            self._lost = max(self._account.lost, self._account.reserved)
        self._note(in_flight=0)

    def _count(self, account: Account, recovered: Recovered, shard: Shard) -> None:
        """Count what earlier runs have spent: with one that was killed, the rows that were on their way.

        No run has spent more than was set aside for it, and one that has ended left no more set aside than that.
        """
        self._lost = account.lost
        if account.in_flight:
            self._paid = self._paid_until_now(shard)
            with self._costs_with_files(shard) as costs:
                killed = costs.bounds_of(self._requests(shard), recovered.answered, account.in_flight)
            self._lost = max(self._lost, min(self._lost + killed, account.reserved - self._paid))
        elif recovered.done:
            self._paid = max(0.0, account.reserved - account.lost)

    def _paid_until_now(self, shard: Shard) -> float:
        """What the answers on the disk have cost at most."""
        with self._costs_with_files(shard) as costs:
            return costs.paid_until_now(self._results, self._job.results_bytes, self._requests(shard))

    def use_files(self, files: LocalFiles | None) -> None:
        """Know the files that requests name, for pricing calls."""
        if self._costs and files:
            self._costs = self._priced(files.seen)

    def admits(self, item: Item) -> bool:
        """Whether a call may leave; what it needs is set aside by then, or `refusal` names the limit."""
        if self._costs is None:
            return True
        is_new_day = self._now() >= self._until
        if is_new_day:
            self._until = (self._now() // spend.DAY_S + 1) * spend.DAY_S
            self._reserved = 0.0
        if not self.is_guarded:
            if is_new_day or self._lost > self._saved:
                self.is_overdrawn = self.is_overdrawn or not self._fits(self._allowed)
            return not self.is_overdrawn
        if item.bound is None:
            item.bound = self._costs.bound(item.body)
        needed = self.spent + item.bound
        if needed <= self._reserved:
            return True
        if self.refusal and self._calls and not is_new_day:
            return False  # it is asked again once nothing is in flight any more
        return self._sets_aside(needed + _AT_ONCE * item.bound) or self._sets_aside(needed)

    def left(self, item: Item) -> None:
        """A call leaves."""
        self.save()
        self._calls += 1
        self._in_flight += item.bound or 0

    def answered(self, item: Item, body: bytes, served: str) -> None:
        """An answer is home, served at this tier."""
        self._ended(item)
        if self.is_guarded and self._costs:
            paid = self._costs.paid(msgspec.json.decode(body), self._costs.shape(item.body), served)
            self._paid += _bound(self._costs, item) if paid is None else paid

    def failed(self, item: Item, *, may_be_billed: bool) -> None:
        """A call has failed; one that may be billed all the same counts with its bound."""
        self._ended(item)
        if self._costs is None or not may_be_billed:
            return
        self._lost += _bound(self._costs, item)

    def save(self) -> None:
        """Write down what calls without an answer may have cost, before anything follows from it."""
        if self._lost > self._saved:
            self._note(in_flight=None)

    async def end(self, shard: Shard, unstored: list[bytes], *, is_done: bool) -> None:
        """Say that nothing of the run is on its way any more, and give back what was not spent.

        `unstored` are answers that the disk did not take: they are paid, and their rows will be sent again. Where all
        rows are done the job is over, which gives everything back.
        """
        if self._costs is None:
            return
        with suppress(UnknownModel, OSError):  # what cannot be counted stays set aside
            if unstored:
                self._lost += await to_thread.run_sync(self._paid_for, shard, unstored)
            self._note(in_flight=0)
            if is_done:
                return
            if unstored or not self.is_guarded:
                self._paid = await to_thread.run_sync(self._paid_until_now, shard)
            with self._ledger.writing() as db:
                spend.give_back(db, self._job.id, self._job.attempt, self._settled)

    def _paid_for(self, shard: Shard, rows: list[bytes]) -> float:
        with self._costs_with_files(shard) as costs:
            return costs.paid_for(map(msgspec.json.decode, rows), self._requests(shard))

    def warning(self, cost: float | None) -> str | None:
        """Say that most of the limit is spent, where `cost` USD of this run show it; None before."""
        if self._costs is None or self._account is None:
            return None
        spent = self._settled if self.is_guarded else self._settled + (cost or 0)
        allowed, of_stages = self._account.allowed, ""
        if allowed is None and (shared := self._ledger.shared_budget(self._job, self._account.at)):
            (allowed, others), of_stages = shared, " of all stages"
            spent += others
        if allowed is None or spent < _WARN_AT * allowed:
            return None
        return f"Three quarters of the limit of {dollars(allowed)}{of_stages} are spent."

    async def words(self, shard: Shard, answered: bytearray | None, rows: int) -> str:
        """Say which limit has stopped the run, what was paid, what is left, and how it goes on."""
        rest = dollars(await to_thread.run_sync(self._rest, shard, answered, rows))
        lost = f", {dollars(self._lost)} may have been for calls that got no answer" if self._lost else ""
        left = f"{dollars(self._paid)} paid{lost}; {rows:,} rows are left, which may cost up to {rest}."
        return f"Stopped at {self._limit_words()}; what is answered is kept. {left} {self._remedy()}"

    def _limit_words(self) -> str:
        if self.refusal == "day_limit":
            return f"today's limit of {dollars(self._per_day or 0)} (GENAI_BATCH_MAX_COST_USD_PER_DAY)"
        if self.refusal == "pipeline_limit":
            return "the limit of all stages"
        return f"its limit of {dollars((self._account and self._account.allowed) or 0)}"

    def _remedy(self) -> str:
        job = self._job.id
        if self.refusal == "day_limit":
            return (
                f"Only the setting lifts that limit, confirm does not. With a higher one, once other jobs have ended, "
                f"or on another day (UTC), resume_job(job_id='{job}') (`genai-batch resume {job}`) goes on."
            )
        return f"Ask the user; resume_job(job_id='{job}', confirm=true) (`genai-batch resume {job} --confirm`) goes on."

    def _rest(self, shard: Shard, answered: bytearray | None, rows: int) -> float:
        """The most that the rows which are left can cost."""
        bound = self._account.bound if self._account else None
        if bound is not None and rows > _EXACT_ROWS:
            return bound
        with self._costs_with_files(shard) as costs:
            rest = costs.bounds_of(self._requests(shard), answered)
        return rest if bound is None else min(rest, bound)

    def _is_limited(self, account: Account) -> bool:
        if account.allowed is not None or self._per_day is not None:
            return True
        return self._ledger.shared_budget(self._job, account.at) is not None

    @property
    def _allowed(self) -> float:
        allowed = self._account.allowed if self._account else None
        return math.inf if allowed is None else allowed

    def _ceiling(self, account: Account) -> float:
        """Up to where all rows are set aside at once: others share the day, or the pipeline."""
        is_shared = account.allowed is None or self._per_day is not None
        return min(self._allowed, account.reserved) if is_shared else self._allowed

    def _fits(self, ceiling: float) -> bool:
        """Whether all rows at their most stay below `ceiling`, and below the limits: they are set aside by then."""
        bound = self._account.bound if self._account else None
        if bound is None or bound + self._lost > ceiling:
            return False
        is_set_aside = self._sets_aside(bound + self._lost)
        self.refusal = None  # where they do not fit every call is counted
        return is_set_aside

    def _sets_aside(self, needed: float) -> bool:
        """Have the ledger set so much aside for the attempt in all."""
        with self._ledger.writing() as db:
            this = (self._job.id, self._job.attempt)
            self.refusal = spend.limit_passed(
                db, *this, self._now(), needed, self._settled, self._per_day, in_flight=self._in_flight
            )
            account = spend.account(db, *this)
        if self.refusal is None and account is not None:
            self._account, self._reserved = account, needed
        return self.refusal is None

    def _ended(self, item: Item) -> None:
        self._calls -= 1
        self._in_flight = self._in_flight - (item.bound or 0) if self._calls else 0.0

    def _note(self, in_flight: int | None) -> None:
        with self._ledger.writing() as db:
            spend.note(db, self._job.id, self._job.attempt, lost=self._lost, in_flight=in_flight)
        self._saved = self._lost

    @contextmanager
    def _costs_with_files(self, shard: Shard) -> Generator[CallCosts]:
        """Price calls in a thread, which opens the list of local files for itself."""
        with LocalFiles.beside(self._requests(shard)) or nullcontext() as files:
            yield self._priced(files.seen if files else unseen)

    @property
    def _results(self) -> Path:
        return jobs.folder(self._ledger.home, self._job.id) / "results.jsonl"

    def _requests(self, shard: Shard) -> Path:
        return jobs.requests_file(self._ledger.home, self._job.id, shard.attempt)

    def _priced(self, see: See) -> CallCosts:
        day = datetime.fromtimestamp(self._now(), UTC).date()
        return CallCosts(find(self._job.model, day), self._job.lane_now, day, see)


def _bound(costs: CallCosts, item: Item) -> float:
    return costs.bound(item.body) if item.bound is None else item.bound


def _on_their_way(concurrency: int, *, is_guarded: bool) -> int:
    """Count the rows that a run can have sent without their answers being on the disk.

    They are in flight, wait for another try, or are answered and not yet stored; in the file they are the first ones
    without an answer.
    """
    return 4 * concurrency + 1 if is_guarded else 3 * concurrency + max(concurrency, 64) + 1
