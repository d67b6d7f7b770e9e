"""How a job that is waited for is shown: a line that moves on a terminal, lines in a log, events for a pipe."""

import re
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

from genai_batch.resources.answers import Answer, dollars, printable
from genai_batch.resources.redaction import redact
from genai_batch.resources.status import JobStatus, for_rows
from genai_batch.server.printing import put

LOG_S = 60
"""Seconds between two lines of a log while a job is in one state, and between two that repeat reasons to wait."""
_NUMBER = re.compile(r"\d[\d:.,]*")


class Shown(Protocol):
    """What a waiting command tells while it waits."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def tell(self, status: JobStatus) -> None:
        """Show how the job stands now."""

    def say(self, text: str) -> None:
        """Show a sentence beside it."""


class Event(Answer):
    """One line of `--json` while a command waits: `progress` with how the job stands, `note` with a sentence."""

    event: str
    job_id: str | None = None
    state: str | None = None
    done: int | None = None
    requests: int | None = None
    percent: float | None = None
    stage: str | None = None
    failed: int | None = None
    retried: int | None = None
    per_s: float | None = None
    concurrency: int | None = None
    cost_usd: float | None = None
    elapsed_s: float | None = None
    eta_s: float | None = None
    text: str | None = None


def shown(*, json: bool, quiet: bool) -> Shown:
    """What suits who looks: events for `--json`, a moving line on a terminal, else lines; nothing when `quiet`."""
    if json:
        return Silent() if quiet else Events()
    if quiet:
        return Silent()
    return Bar() if sys.stderr.isatty() else Lines()


def sentence(status: JobStatus) -> str:
    """How a job stands, in one line: state, rows, and of a live run also its pace, its cost and the time left."""
    live = status.live
    stage = f"{status.pipeline.stage} " if status.pipeline and status.pipeline.stage else ""
    parts = [
        f"{stage}{_state(status)} {status.done:,}/{for_rows(status.requests, status.rows)}",
        *([f"{live.failed:,} failed"] if live and live.failed else []),
        *([f"{live.retried:,} retried"] if live and live.retried else []),
        *([f"{live.per_s:,.1f}/s", f"{live.concurrency} at once"] if live else []),
        *([dollars(live.cost_usd)] if live and live.cost_usd is not None else []),
        *([f"{clock(status.eta_s)} left"] if status.eta_s else []),
    ]
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """A span of time as people write it: 9 s, 4:05 min, 2:30 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


class Silent:
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put back."""

    def tell(self, status: JobStatus) -> None:
        """Say nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""


class Notices:
    """Which notices are worth showing: one that is new, but not where only a number has changed."""

    def __init__(self) -> None:
        """Nothing has been shown."""
        self._current = ""
        self._shown = set[str]()

    def new(self, notice: str | None, *, again: bool = True) -> str | None:
        """The notice, if it is to be shown now; `again` is whether one may be that was shown before."""
        words = _NUMBER.sub("#", notice or "")
        if words == self._current or (words in self._shown and not again):
            return None
        self._current = words
        self._shown.add(words)
        return notice


class Lines(Silent):
    """A line when the state changes, and no more than one a minute while rows are finished; for logs."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` gives seconds."""
        self._now, self._at = now, 0.0
        self._state: tuple[str, str | None] | None = None
        self._counts: tuple[int, int, int] | None = None
        self._notices = Notices()

    def tell(self, status: JobStatus) -> None:
        """Show how the job stands, if its state has changed, or its counts have and the last line is a minute old."""
        state = status.state, status.pipeline and status.pipeline.stage
        live = status.live
        counts = status.done, live.failed if live else 0, live.retried if live else 0
        is_due = self._now() - self._at >= LOG_S
        if state != self._state or (counts != self._counts and (is_due or status.done == status.requests)):
            self.say(f"{status.job_id} {sentence(status)}")
            self._state, self._counts, self._at = state, counts, self._now()
        if notice := self._notices.new(status.notice, again=is_due):
            self.say(f"  {notice}")
            self._at = self._now()

    def say(self, text: str) -> None:
        """Print a line."""
        put(printable(text), err=True)


class Events(Silent):
    """Objects on stdout, one a line; when nobody reads them any more the work goes on without."""

    def __init__(self) -> None:
        """Nothing has been told."""
        self._last: Event | None = None
        self._notices = Notices()

    def tell(self, status: JobStatus) -> None:
        """Write how the job stands, when that has changed."""
        event = progress(status)
        if event.model_copy(update={"elapsed_s": None, "eta_s": None}) != self._last:
            self._write(event)
        self._last = event.model_copy(update={"elapsed_s": None, "eta_s": None})
        if notice := self._notices.new(status.notice):
            self._write(Event(event="note", job_id=status.job_id, text=notice))

    def say(self, text: str) -> None:
        """Write a sentence."""
        self._write(Event(event="note", text=text))

    def _write(self, event: Event) -> None:
        put(event.compact())


def progress(status: JobStatus) -> Event:
    """The event that tells how a job stands."""
    live = status.live
    return Event(
        event="progress", job_id=status.job_id, state=status.state, done=status.done, requests=status.requests,
        percent=status.percent, stage=status.pipeline and status.pipeline.stage, failed=live and live.failed,
        retried=live and live.retried, per_s=live and live.per_s, concurrency=live and live.concurrency,
        cost_usd=live.cost_usd if live else status.cost_usd.actual, elapsed_s=status.elapsed_s, eta_s=status.eta_s,
    )  # fmt: skip


class Bar(Lines):
    """A bar that moves on a terminal, with the same words behind it."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__()
        columns = (BarColumn(24), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=4)
        self._task: Any = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, status: JobStatus) -> None:
        """Move the bar."""
        if self._task is None:
            self._task = self._bar.add_task("", total=status.requests)
        said = sentence(status)
        self._bar.update(self._task, description=said, completed=status.done, total=status.requests)
        if notice := self._notices.new(status.notice):
            self.say(f"  {notice}")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(printable(redact(text)), markup=False, highlight=False)


def _state(status: JobStatus) -> str:
    return status.state.removeprefix("JOB_STATE_").lower()
