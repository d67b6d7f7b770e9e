"""A batch's life as a function of time: nothing runs, the clock alone moves it."""

from dataclasses import dataclass
from math import inf

from .plan import Plan
from .settings import Settings
from .wire import Object

PENDING, RUNNING = "PENDING", "RUNNING"
SUCCEEDED, FAILED, CANCELLED, EXPIRED = "SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"


@dataclass(frozen=True)
class Timeline:
    """When a batch runs, when and how it ends; decided when it is created."""

    created: float
    runs_at: float
    ends_at: float
    end_state: str = SUCCEEDED
    error: Object | None = None


@dataclass(frozen=True)
class Progress:
    """A batch at one moment."""

    state: str
    rows_done: int
    updated: float

    @property
    def terminal(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in (SUCCEEDED, FAILED, CANCELLED, EXPIRED)


def plan_timeline(created: float, rows: int, plan: Plan, settings: Settings) -> Timeline:
    """The timeline of a new batch: settings, bent by the faults that struck it, cut off at its expiry."""
    delay = plan.get("delay") or {}
    queue = settings.queue_s if delay.get("queue_s") is None else float(delay["queue_s"])
    rate = delay.get("rows_per_s") or (None if delay.get("run_s") is not None else settings.rows_per_s)
    run = rows / rate if rate else float(settings.run_s if delay.get("run_s") is None else delay["run_s"])
    runs_at = inf if plan.has("pending_forever") else created + queue
    ends_at = inf if plan.has("running_forever") else runs_at + run
    return _ended(Timeline(created, runs_at, ends_at), plan, settings)


def _ended(line: Timeline, plan: Plan, settings: Settings) -> Timeline:
    fail, expire = plan.get("fail"), plan.get("expire")
    if fail:
        error: Object = {"code": fail["code"], "message": fail["message"]}
        error |= {"details": fail["details"]} if fail.get("details") else {}
        line = _at(line, FAILED, error, fail.get("after_s"))
    elif expire:
        line = _at(line, EXPIRED, expiry_error(), expire.get("after_s"))
    deadline = line.created + settings.batch_life_s
    if line.ends_at > deadline:
        line = Timeline(line.created, min(line.runs_at, deadline), deadline, EXPIRED, expiry_error())
    return line


def _at(line: Timeline, state: str, error: Object, after_s: float | None) -> Timeline:
    ends_at = line.ends_at if after_s is None else line.created + float(after_s)
    return Timeline(line.created, min(line.runs_at, ends_at), ends_at, state, error)


def expiry_error() -> Object:
    """The operation error of an expired batch."""
    return {"code": 4, "message": "The batch expired before it was finished; no results are available."}


def progress_at(line: Timeline, rows: int, at: float) -> Progress:
    """Where a batch stands at a moment; rows finish steadily between start and end."""
    if at >= line.ends_at:
        return Progress(line.end_state, rows if line.end_state == SUCCEEDED else 0, line.ends_at)
    if at < line.runs_at:
        return Progress(PENDING, 0, line.created)
    span = line.ends_at - line.runs_at
    done = min(rows, int(rows * (at - line.runs_at) / span))
    return Progress(RUNNING, done, line.runs_at + (span * done / rows if rows else 0))
