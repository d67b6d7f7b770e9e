"""Which lane a job takes: the one that was asked for; where that is left to us, the quickest that costs little."""

from typing import Literal, NamedTuple

from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import BatchError
from genai_batch.resources.prices import Fallback, Lane
from genai_batch.resources.sources.settings import Settings

Wish = Literal["batch", "flex", "live", "auto"]
FEW = 100
"""Rows up to which a job left to us goes live."""
SOME = 1_000
"""Rows up to which it goes flex, where they have no need to run at Gemini without this machine."""
CHEAP_USD = 0.5
"""What the quicker lane may cost more than another, where nobody is in a hurry."""
BATCH_H = 24
"""Hours within which Gemini means to finish a batch."""
FLEX_ROWS_PER_H = 256
"""Rows that flex answers in an hour where each of 64 calls at a time takes its quarter of an hour."""


class How(NamedTuple):
    """How a job is to be carried out.

    Its lane, the calls at a time where they leave from here, the hours it is needed within, the tier at which rows of
    the flex lane are sent that have found no room several times, and the percentage of failed rows at which it stops.
    """

    lane: Wish = "batch"
    concurrency: int | None = None
    deadline_h: float | None = None
    fallback: Fallback | None = None
    stop_on_failures: float | None = None

    @classmethod
    def of(
        cls,
        about: Settings,
        lane: Wish | None = None,
        concurrency: int | None = None,
        deadline_h: float | None = None,
        fallback: Fallback | None = None,
        stop_on_failures: float | None = None,
    ) -> "How":
        """What the caller says, else what the manifest does."""
        hours = deadline_h or about.deadline_h
        return cls(
            lane or about.lane or ("auto" if hours else "batch"),
            concurrency or about.concurrency,
            hours,
            fallback or about.fallback,
            stop_on_failures or about.stop_on_failures,
        )

    def refuse(self) -> None:
        """Refuse what a lane cannot do.

        Raises:
            BatchError: with what to do instead.
        """
        if self.lane == "batch" and self.concurrency is not None:
            raise BatchError("concurrency is for lane='live' or 'flex'; a batch runs at Gemini, which decides itself.")
        if self.lane == "batch" and self.deadline_h is not None and self.deadline_h < BATCH_H:
            raise BatchError(
                f"A batch may take {BATCH_H} h, and the job is needed within {self.deadline_h:g} h. Use lane='auto'."
            )
        if self.fallback and self.lane in ("batch", "live"):
            raise BatchError(
                "fallback is for lane='flex' (`--lane flex`), where Gemini may have no room; leave it out."
            )


AS_BATCH = How()


class Route(NamedTuple):
    """A lane, and why it was taken where that was left to us."""

    lane: Lane
    reason: str | None = None


def route(how: How, rows: int, batch_usd: float, live_usd: float, flex_usd: float | None = None) -> Route:
    """Choose the lane of a job with so many rows; prices are the likely ones, that of flex where its model has it."""
    if how.lane != "auto":
        return Route(how.lane)
    has_flex = flex_usd is not None and flex_usd - batch_usd <= CHEAP_USD
    lane, reason = _chosen(how, rows, live_usd - batch_usd, has_flex=has_flex)
    flex = "" if flex_usd is None else f"flex {dollars(flex_usd)}, "
    prices = f"live {dollars(live_usd)}, {flex}batch {dollars(batch_usd)}"
    return Route(lane, f"lane='auto' took {lane}: {reason}; {prices}.")


def _chosen(how: How, rows: int, more_usd: float, *, has_flex: bool) -> tuple[Lane, str]:
    if how.deadline_h is not None and how.deadline_h < BATCH_H:
        need = f"it is needed within {how.deadline_h:g} h, and a batch may take {BATCH_H} h"
        if has_flex and more_usd > CHEAP_USD and rows <= FLEX_ROWS_PER_H * how.deadline_h:
            return "flex", f"{need}, while flex is as cheap and has time for {rows:,} rows"
        return "live", need
    if rows <= FEW and more_usd <= CHEAP_USD:
        return "live", f"{rows:,} rows are few (up to {FEW})"
    if has_flex and rows <= SOME:
        return "flex", f"{rows:,} rows (up to {SOME:,}) take minutes there, at the price of a batch"
    if rows <= FEW:
        return "batch", f"{rows:,} rows are few, but live costs {dollars(more_usd)} more"
    return "batch", f"{rows:,} rows are many (more than {SOME if has_flex else FEW:,})"
