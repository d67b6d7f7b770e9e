"""Which lane a job takes: the one that was asked for; where that is left to us, the quick one while it costs little."""

from typing import Literal, NamedTuple

from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import BatchError
from genai_batch.resources.prices import Lane
from genai_batch.resources.sources.settings import Settings

Wish = Literal["batch", "live", "auto"]
FEW = 100
"""Rows up to which a job left to us goes live."""
CHEAP_USD = 0.5
"""What going live may cost more than the batch lane, where nobody is in a hurry."""
BATCH_H = 24
"""Hours within which Gemini means to finish a batch."""


class How(NamedTuple):
    """How a job is to be carried out: its lane, the calls at a time in the live lane, the hours it is needed within.

    `stop_on_failures` is the percentage of failed rows at which it stops.
    """

    lane: Wish = "batch"
    concurrency: int | None = None
    deadline_h: float | None = None
    stop_on_failures: float | None = None

    @classmethod
    def of(
        cls,
        about: Settings,
        lane: Wish | None = None,
        concurrency: int | None = None,
        deadline_h: float | None = None,
        stop_on_failures: float | None = None,
    ) -> "How":
        """What the caller says, else what the manifest does."""
        hours = deadline_h or about.deadline_h
        lane = lane or about.lane or ("auto" if hours else "batch")
        return cls(lane, concurrency or about.concurrency, hours, stop_on_failures or about.stop_on_failures)

    def refuse(self) -> None:
        """Refuse what a lane cannot do.

        Raises:
            BatchError: with what to do instead.
        """
        if self.lane == "batch" and self.concurrency is not None:
            raise BatchError("concurrency is for lane='live'; a batch runs at Gemini, which decides that itself.")
        if self.lane == "batch" and self.deadline_h is not None and self.deadline_h < BATCH_H:
            raise BatchError(
                f"A batch may take {BATCH_H} h, and the job is needed within {self.deadline_h:g} h. Use lane='auto'."
            )


AS_BATCH = How()


class Route(NamedTuple):
    """A lane, and why it was taken where that was left to us."""

    lane: Lane
    reason: str | None = None


def route(how: How, rows: int, batch_usd: float, live_usd: float) -> Route:
    """Choose the lane of a job with so many rows; the prices are the likely ones."""
    if how.lane != "auto":
        return Route(how.lane)
    lane, why = _chosen(how, rows, live_usd - batch_usd)
    prices = f"live {dollars(live_usd)}, batch {dollars(batch_usd)}"
    return Route(lane, f"lane='auto' took {lane}: {why}; {prices}.")


def _chosen(how: How, rows: int, more_usd: float) -> tuple[Lane, str]:
    if how.deadline_h is not None and how.deadline_h < BATCH_H:
        return "live", f"it is needed within {how.deadline_h:g} h, and a batch may take {BATCH_H} h"
    if rows <= FEW and more_usd <= CHEAP_USD:
        return "live", f"{rows:,} rows are few (up to {FEW})"
    if rows <= FEW:
        return "batch", f"{rows:,} rows are few, but live costs {dollars(more_usd)} more"
    return "batch", f"{rows:,} rows are many (more than {FEW})"
