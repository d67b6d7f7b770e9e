"""One run: requests leave in order as fast as they may, each answer goes to the journal, what fails is tried again.

Only what is on its way is held: the calls in flight, and the items that wait for another try, each no more than the
job's concurrency.
"""

import asyncio
import heapq
import math
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from genai_batch.resources.jobs import StopReason
from genai_batch.resources.prices import Fallback, ServiceTier
from genai_batch.tools.lanes.live.allowance import Allowance
from genai_batch.tools.lanes.live.caller import Caller, NoReply
from genai_batch.tools.lanes.live.feed import Item
from genai_batch.tools.lanes.live.journal import Journal
from genai_batch.tools.lanes.live.pace import Pace, Sent
from genai_batch.tools.lanes.live.replies import Verdict, judge
from genai_batch.tools.lanes.live.tally import Tally

_BACKOFF_S = (1.0, 60.0)
FALLBACK_AFTER = 3
"""Calls of a row that find no room, one after the other, until it falls back where it may."""
_PAGES = 3
"""HTML pages in a row, instead of answers, after which it is believed that Gemini cannot be reached from here."""


class Limits(NamedTuple):
    """Seconds that may pass: in one attempt of an item, from its first to its last attempt, in a whole job.

    An item is given up after `tries` failures, where the first was `trying` seconds ago. At the tier flex, which may
    take a quarter of an hour, `flex_attempt` and `flex_item` hold instead of the first two, and `room` is the first and
    the longest pause of an item that has found no room.
    """

    attempt: float = 300
    item: float = 1800
    job: float = 48 * 3600
    tries: int = 6
    trying: float = 90
    flex_attempt: float = 900
    flex_item: float = 5400
    room: tuple[float, float] = (5.0, 120.0)

    def of(self, tier: ServiceTier) -> tuple[float, float]:
        """Seconds that one attempt of an item, and all of them, may take at a tier."""
        return (self.flex_attempt, self.flex_item) if tier == "flex" else (self.attempt, self.item)


LIMITS = Limits()


class Runner:
    """Sends what `feed` gives through `call`; `stop` ends it once what is in flight is home."""

    def __init__(
        self,
        feed: Iterator[Item],
        call: Caller,
        journal: Journal,
        pace: Pace,
        limits: Limits,
        most: int,
        tally: Tally,
        allowance: Allowance,
        fallback: Fallback | None = None,
    ) -> None:
        """Use `most` calls at a time within `allowance`, and count in `tally`.

        What has found no room at flex is asked for at `fallback`.
        """
        self._feed, self._call, self._journal, self._pace = feed, call, journal, pace
        self._limits, self._most, self._tally, self._allowance = limits, most, tally, allowance
        self._unstored = most if allowance.is_guarded else max(most, 64)
        self._fallback: Fallback | None = fallback
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._again: list[Item] = []
        self._ahead: Item | None = None
        self._upcoming: Item | None = None
        """The item that may leave now, where `_wait` says so."""
        self._broken: BaseException | None = None
        self.stopped: Verdict | None = None
        self.refusal: StopReason | None = None
        """The limit that has ended the run."""
        self._stopping = False
        self._out = self._pages = 0
        self._reason = self._full = ""

    def stop(self, why: Verdict | None = None) -> None:
        """Send nothing more; `why` is what came back, where that is the reason."""
        self.stopped = self.stopped or why
        self._stopping = True
        self._changed.set()

    def wake(self) -> None:
        """Look again: something has changed."""
        self._changed.set()

    def words(self) -> str | None:
        """What the run waits for, for a person; None where it does not wait."""
        now = self._now()
        if words := self._pace.words(now, self._reason) or self._waits_for_room():
            return words
        if self._out == 0 and self._again and (pause := self._again[0].due - now) > 0:
            return f"Waiting: {self._reason} It is tried again in {math.ceil(pause)} s."
        return None

    def _waits_for_room(self) -> str | None:
        """Say that rows wait for room at flex; None where none does."""
        if not any(item.sent_at is None for item in self._again):
            return None
        later = f", and at {self._fallback} after {FALLBACK_AFTER} refusals" if self._fallback else ""
        return f"Waiting for room at flex: {self._full} Such rows are asked again by themselves{later}."

    async def run(self) -> None:
        """Send until nothing is left or `stop`, and wait for what is in flight; when cancelled that is given up.

        Raises:
            OSError: the requests could not be read.
            LedgerError: nothing could be set aside, or written down.
        """
        self._pace.wakes.add(self.wake)
        self._journal.told = self.wake
        try:
            await self._send()
            while self._calls:
                await asyncio.wait(self._calls)
        finally:
            for task in self._calls:
                task.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            self._pace.wakes.discard(self.wake)
        if self._broken:
            raise self._broken

    async def _send(self) -> None:
        """Send until nothing is left; a failure ends that, but what is in flight is paid and has to come home."""
        try:
            while item := await self._next():
                task = asyncio.create_task(self._carry(item, self._leave(item)))
                self._calls.add(task)
                task.add_done_callback(self._ended)
        except Exception as error:  # noqa: BLE001 - `run` raises it once nothing is in flight
            self._broken = self._broken or error

    async def _next(self) -> Item | None:
        """Wait until a call may leave, and say with what; None at the end."""
        while not self._is_ending:
            self._changed.clear()
            wait = self._wait()
            if wait <= 0:
                return self._take()
            if not (self._calls or self._again or self._has_more()):
                return None
            await self._sleep(wait)
        return None

    @property
    def _is_ending(self) -> bool:
        return bool(self._stopping or self._journal.trouble or self._broken)

    def _wait(self) -> float:
        """Seconds until there is something that may be sent; infinite where something else has to happen first."""
        if self._out >= self._most or self._journal.waiting >= self._unstored:
            return math.inf
        due = self._again[0].due - self._now() if self._again else math.inf
        if due > 0 and (len(self._again) >= self._most or not self._has_more()):
            return due
        if (delay := self._pace.delay(self._now())) > 0:
            return delay
        self._upcoming = self._again[0] if due <= 0 else self._ahead
        return 0 if self._upcoming is None or self._is_admitted(self._upcoming) else math.inf

    def _is_admitted(self, item: Item) -> bool:
        """Whether the limits let the next call leave; where nothing in flight can change that, the run ends."""
        if self._allowance.admits(item):
            return True
        if self._out == 0:
            self.refusal = self._allowance.refusal
            self.stop()
        return False

    def _has_more(self) -> bool:
        self._ahead = self._ahead or next(self._feed, None)
        return self._ahead is not None

    def _take(self) -> Item | None:
        """Take the item that `_wait` has let leave, though another may have become due since."""
        item, self._upcoming = self._upcoming, None
        if item is self._ahead:
            self._ahead = None
        else:
            heapq.heappop(self._again)
        return item

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        timer = None if seconds == math.inf else loop.call_later(seconds, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer:
                timer.cancel()

    def _leave(self, item: Item) -> Sent:
        self._out += 1
        self._tally.in_flight = self._out
        self._allowance.left(item)
        sent = self._pace.left(self._now())
        if item.sent_at is None:
            item.sent_at = self._pace.active(sent.at)
        return sent

    async def _carry(self, item: Item | None, sent: Sent) -> None:
        """Make a call, and then at once the next, while there is one that may leave: no task changes hands."""
        while item:
            try:
                verdict = judge(await self._call(item.body, self._seconds(item)))
            except NoReply as failure:
                verdict = judge(failure)
            except BaseException:
                self._pace.dropped(sent)
                self._allowance.failed(item, may_be_billed=True)
                raise
            finally:
                self._out -= 1
                self._tally.in_flight = self._out
            try:
                self._count(item, verdict)
            finally:  # an answer is paid, whatever it cost
                self._settle(item, sent, verdict)
            self._hold()
            item = None if self._is_ending or self._wait() > 0 else self._take()
            if item:
                sent = self._leave(item)
            if item is None or len(self._pace.wakes) > 1 or self._wait() <= 0:
                self._tell()

    def _tell(self) -> None:
        """There may be room for another call, here or in another job of the model."""
        for wake in self._pace.wakes:
            wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            self._broken = self._broken or task.exception()
        self.wake()

    def _seconds(self, item: Item) -> float:
        """How long an attempt may take: no longer than the item has."""
        passed = self._pace.active(self._now()) - (item.sent_at or 0)
        attempt, all_attempts = self._limits.of(item.tier)
        return max(1.0, min(attempt, all_attempts - passed))

    def _count(self, item: Item, verdict: Verdict) -> None:
        """Count what a call has cost, or may have."""
        if verdict.kind == "row":
            self._allowance.answered(item, verdict.body, verdict.served.tier(item.tier))
        else:
            self._allowance.failed(item, may_be_billed=verdict.may_be_billed)

    def _hold(self) -> None:
        """End the run where too many rows have failed, or each call has to be counted from now on."""
        if self._tally.is_failing:
            self.refusal = "failures"
        if self._tally.is_failing or self._allowance.is_overdrawn:
            self.stop()

    def _settle(self, item: Item, sent: Sent, verdict: Verdict) -> None:
        """Do what the reply demands."""
        now = self._now()
        self._reason = verdict.reason or self._reason
        self._pages = self._pages + 1 if verdict.is_page else 0 if verdict.is_heard else self._pages
        if verdict.is_page and verdict.kind == "again" and self._pages >= _PAGES:
            verdict = verdict._replace(kind="stop")
        if verdict.kind == "row":
            self._pace.answered(now, sent)
            members = verdict.served.members(item.tier, item.lane_tier)
            self._journal.add(item.row(b"response", verdict.body, members))
            self._tally.answered(verdict.body, verdict.tokens, verdict.served.tier(item.tier))
        elif verdict.kind == "refused":
            self._pace.answered(now, sent)
            self._give_up(item, verdict.body)
        elif verdict.kind == "stop":
            self._pace.dropped(sent)
            self.stop(verdict)
        elif verdict.kind == "quota":
            self._pace.refused(now, sent, verdict.advice_s, verdict.window_s)
            if item.tier == "flex":  # it may be for want of room, which a 429 does not tell
                item.sent_at = self._pace.active(now)
            self._later(item, verdict, 0)
        elif verdict.is_full and item.tier == "flex":
            self._pace.full(sent)
            self._await_room(item, verdict)
        else:
            self._pace.failed(now, sent, id(item))
            self._failed(item, verdict)

    def _await_room(self, item: Item, verdict: Verdict) -> None:
        """Ask again after a pause that doubles, or fall back; the item has not failed, and its time begins anew."""
        self._full, item.sent_at = verdict.reason, None
        item.refusals += 1
        if self._fallback and item.refusals >= FALLBACK_AFTER:
            item.move_to(self._fallback)
            self._push(item, 0)
            return
        first, longest = self._limits.room
        pause = min(longest, first * 2 ** min(item.refusals - 1, 10)) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        self._push(item, max(pause, verdict.advice_s or 0))

    def _failed(self, item: Item, verdict: Verdict) -> None:
        """Try again after a pause of any length up to one that doubles.

        That nobody can be reached is no item's failure. An answer is, in an outage too: it may be of some items alone.
        """
        if verdict.is_heard or not self._pace.is_out:
            item.tries += 1
        most = min(_BACKOFF_S[1], _BACKOFF_S[0] * 2 ** min(item.tries, 10))
        self._later(item, verdict, random.uniform(0, most) if not self._pace.is_out else 0)  # noqa: S311 - jitter

    def _later(self, item: Item, verdict: Verdict, seconds: float) -> None:
        now = self._pace.active(self._now())
        item.failed_at = self._now() if item.failed_at is None else item.failed_at
        tried_enough = item.tries >= self._limits.tries and self._now() - item.failed_at >= self._limits.trying
        if tried_enough or now + seconds - (item.sent_at or 0) >= self._limits.of(item.tier)[1]:
            self._give_up(item, verdict.body)
            return
        self._push(item, seconds)

    def _push(self, item: Item, seconds: float) -> None:
        self._tally.retries += 1
        item.due = self._now() + seconds
        heapq.heappush(self._again, item)

    def _give_up(self, item: Item, error: bytes) -> None:
        self._tally.gave_up()
        self._allowance.save()
        self._journal.add(item.row(b"error", error))
