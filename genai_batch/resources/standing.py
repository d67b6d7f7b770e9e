"""How the rows of an attempt stand that is under way: what is whole on the disk is judged, the rest is pending.

The index is made when an attempt is over. Until then rows are judged as they come, each once by a process, for so long
as one look may take; a file that has grown more than that is caught up with over several looks.
"""

import time
from collections import Counter, OrderedDict
from pathlib import Path
from typing import NamedTuple

import msgspec

from genai_batch.resources import jobs, outcomes
from genai_batch.resources.errors import BatchError
from genai_batch.resources.jobs import Job, Outcome, Snapshot
from genai_batch.resources.prices import Lane
from genai_batch.resources.results import Results, read_results
from genai_batch.resources.results_index.pricing import Pricing
from genai_batch.resources.status import Counts
from genai_batch.resources.untyped import as_object

LOOK_S = 0.1
"""Seconds that one look may read."""
MOST = 10_000
"""Rows of a later attempt up to which it is known what they were before."""
_KEPT = 8


class Stand(NamedTuple):
    """Rows of the job by outcome, how many of the attempt's are whole on the disk, and what these cost in USD.

    The cost is None where no price is known.
    """

    counts: Counts
    back: int
    cost_usd: float | None


class _Key(msgspec.Struct):
    key: str


class _Attempt:
    """What is known of one attempt: the outcomes its rows had before it, and have, by key in a later attempt."""

    def __init__(self, job: Job, start: int, before: dict[str, Outcome]) -> None:
        self.number, self.start, self.at = job.attempt, start, start
        self.before = before
        self.now: dict[str, Outcome] = {}
        self.counts = Counter[Outcome]()
        self.back = 0
        self._pricing, self._units = Pricing(job), 0
        self._lane: Lane = job.lane_now

    @property
    def cost_usd(self) -> float | None:
        """What the rows cost that were judged; None where no price is known."""
        return self._units / 10**self._pricing.digits if self._pricing.is_known else None

    def catch_up(self, file: Path, end: int | None) -> bool:
        """Judge the whole rows up to `end`, or the last; False where the time for it is up before."""
        until, number = time.monotonic() + LOOK_S, 0
        with file.open("rb") as lines:
            lines.seek(self.at)
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n") or (end is not None and self.at >= end):
                    return True
                self._take(line)
                self.at += len(line)
                if number % 100 == 0 and time.monotonic() > until:
                    return False
        return True

    def _take(self, line: bytes) -> None:
        try:
            row = msgspec.json.decode(line)
            found = outcomes.judge(row)
        except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError):
            return
        response, served = as_object(row.get("response")), outcomes.tiers(row)[1]
        self._units += self._pricing.of(found.usage, response, self._lane, served) or 0
        key, outcome = found.key or "", found.outcome
        if self.number == 0:
            self.counts[outcome] += 1
            self.back += 1
        elif (was := self.before.get(key)) is not None:
            self.back += key not in self.now
            self.now[key] = max(outcome, self.now.get(key, was), key=_rank)


def _rank(outcome: Outcome) -> int:
    """No answer replaces a better one; of equals the first is the newer."""
    return {"ok": 2, "truncated": 1}.get(outcome, 0)


class Standing:
    """The attempts under way in one home, as far as this process has looked at them."""

    def __init__(self, home: Path) -> None:
        """Know nothing yet."""
        self._home = home
        self._attempts: OrderedDict[str, _Attempt] = OrderedDict()

    def look(self, snapshot: Snapshot) -> Stand | None:
        """How the rows of an open job stand; None where that would take too long, or cannot be told."""
        try:
            return self._looked(snapshot.job, sum(shard.requests for shard in snapshot.latest))
        except (OSError, BatchError):
            return None

    def _looked(self, job: Job, requests: int) -> Stand | None:
        file = jobs.folder(self._home, job.id) / "results.jsonl"
        if job.is_over or not job.bytes or (job.attempt and (requests > MOST or not job.counts)):
            return None
        size = file.stat().st_size if file.exists() else 0
        attempt = self._attempts.get(job.id)
        if attempt is None or attempt.number != job.attempt or size < attempt.at:
            attempt = self._attempts[job.id] = _Attempt(job, _start(job), self._before(job))
        self._attempts.move_to_end(job.id)
        while len(self._attempts) > _KEPT:
            self._attempts.popitem(last=False)
        end = None if job.lane_now != "batch" else job.results_bytes
        if size > attempt.at and not attempt.catch_up(file, end):
            return None
        return _stand(job, attempt, requests)

    def _before(self, job: Job) -> dict[str, Outcome]:
        """The outcomes that the rows of a later attempt had until then."""
        if not job.attempt:
            return {}
        with jobs.requests_file(self._home, job.id, job.attempt).open("rb") as lines:
            keys = [msgspec.json.decode(line, type=_Key).key for line in lines]

        def outcomes_of(results: Results) -> dict[str, Outcome]:
            return {key: results.entry(key).outcome for key in keys}

        return read_results(self._home, job, outcomes_of)


def _start(job: Job) -> int:
    """Where the rows of the latest attempt begin."""
    return job.begins[job.attempt - 1] if 0 < job.attempt <= len(job.begins) else 0


def _stand(job: Job, attempt: _Attempt, requests: int) -> Stand:
    back = min(attempt.back, requests)
    found = Counter[Outcome](attempt.counts)
    if job.attempt:
        found.update(job.counts or {})
        found.subtract(attempt.before.values())
        found.update(attempt.now.values())
    told: dict[str, int] = {outcome: count for outcome, count in found.items() if count > 0}
    return Stand(Counts.model_validate({**told, "pending": requests - back or None}), back, attempt.cost_usd)
