"""How the time of a job was spent, from the changes of state that the ledger has recorded."""

from typing import NamedTuple

from genai_batch.resources.jobs import BROKEN, FINISHED, Job, Shard
from genai_batch.resources.ledger import Ledger

_NAMES = {
    "JOB_STATE_QUEUED": "sending",
    "JOB_STATE_PENDING": "waiting at Gemini",
    "JOB_STATE_RUNNING": "running",
}
_OVER = {str(state) for state in FINISHED | BROKEN}
_COLLECTING = "collecting"
_LEAST_S = 0.05
"""Seconds below which a part is not worth a word."""


class Stage(NamedTuple):
    """A part of a job's time, in seconds since 1970."""

    name: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


class History(NamedTuple):
    """What the ledger knows of the way of a job."""

    events: list[tuple[float, str, str | None]]
    shards: list[Shard]
    now: float

    @classmethod
    def of(cls, ledger: Ledger, job: Job, now: float) -> "History":
        """Read it."""
        return cls(ledger.events(job.id), ledger.shards(job.id), now)

    def stages(self, job: Job) -> list[Stage]:
        """Name the parts in their order; the time between the end of an attempt and the next is nobody's."""
        found: list[Stage] = []
        after = [(at, state in _OVER) for at, state, _ in self.events[1:]] + [(job.ended_at or self.now, False)]
        for (start, state, _), (end, closes) in zip(self.events, after, strict=True):
            if state not in _OVER and end >= start:
                whole = Stage(_NAMES.get(state, state), start, end)
                found += self._parted(whole) if closes else [whole]
        return [stage for stage in found if stage.seconds >= _LEAST_S]

    def _parted(self, last: Stage) -> list[Stage]:
        """Part what came after the provider had ended the last batch of an attempt from what came before."""
        done = [at for shard in self.shards if (at := shard.finished_at) and last.start <= at <= last.end]
        return [last._replace(end=max(done)), Stage(_COLLECTING, max(done), last.end)] if done else [last]
