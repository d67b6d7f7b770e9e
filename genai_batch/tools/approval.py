"""The gate before money is spent: who may approve a cost, and how the user is asked.

A cost above the limit needs the user's word. It comes as the argument `confirm`, or, where the host can ask its user,
as the answer to a question that whoever offers the tool puts to its user; one that is declined, cancelled or never
shown is no approval. What was approved is an amount: a file that became dearer meanwhile is asked about again.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import date
from functools import partial
from typing import Literal, NamedTuple

from anyio import move_on_after

from genai_batch.resources import estimates, jobs, models, spend
from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import BatchError, OverBudget
from genai_batch.resources.estimates import Bill, Estimate, other_lane
from genai_batch.resources.jobs import Job
from genai_batch.resources.lowering import best_setting
from genai_batch.resources.models import ending, ends_first
from genai_batch.resources.prices import Fallback, Lane
from genai_batch.resources.requests import Preflight
from genai_batch.resources.spend import Budget
from genai_batch.resources.triples import Triple
from genai_batch.tools.workspace import Workspace

PRICE_S = 10
"""Seconds that pricing may take before a question; a source that takes longer is not asked about but refused."""


class Quote(NamedTuple):
    """What the user is asked about: USD at most, and the limit that this is above."""

    most: float
    limit: float

    @property
    def question(self) -> str:
        """The question in words."""
        cost, limit = dollars(self.most), dollars(self.limit)
        return f"It may cost up to {cost}, which is above your limit of {limit}. Start it?"


class Word(NamedTuple):
    """The user's word on a quote; `nothing` where the question was cancelled or never shown."""

    quote: Quote
    said: Literal["yes", "no", "nothing"]


class Costs(NamedTuple):
    """What several jobs may cost together, in USD."""

    likely: float
    most: float


def priced(workspace: Workspace, found: Preflight, lane: Lane = "batch", fallback: Fallback | None = None) -> Estimate:
    """Estimate what a preflight has found, as a pilot of it, or earlier jobs of its model and shape, teach."""
    past = workspace.ledger.past(found.model.name, workspace.backend, found.shape)
    price = estimates.estimate(found, lane, workspace.today, workspace.backend, past, fallback)
    setting = best_setting(Bill(found, lane, workspace.today, fallback), workspace.max_cost_usd)
    price = price.model_copy(update={"to_lower": setting})
    pilot = partial(workspace.ledger.pilot_of, found.digest, found.model.name, backend=workspace.backend)
    if (here := pilot(lane=lane)) is None:
        return price
    dearest = (pilot(lane=other_lane(lane)) or here) if fallback else here
    return price.known(Triple(here.low, here.likely, dearest.high))


def limit_of(workspace: Workspace, asked: float | None) -> float:
    """The lower of the user's setting and the caller's wish: a caller cannot lift the user's limit."""
    return workspace.max_cost_usd if asked is None else min(asked, workspace.max_cost_usd)


def lower(asked: float | None, stated: float | None) -> float | None:
    """The lower of two limits, either of which may be missing."""
    return min((each for each in (asked, stated) if each is not None), default=None)


async def quote(priced: Callable[[], Awaitable[Quote]]) -> Quote | None:
    """Find out what to ask, from what a job may cost and the limit that holds; what is wrong is told by the tool."""
    found = None
    with move_on_after(PRICE_S), suppress(BatchError):
        found = await priced()
    return found if found and found.most > found.limit else None


def approve(
    price: Estimate | Costs,
    limit: float,
    *,
    confirm: bool,
    word: Word | None = None,
    sent: str = "Nothing was sent.",
    caution: str = "",
) -> float:
    """Stop a job that may cost more than the limit, unless the user agreed; `sent` says what was sent before.

    `caution` is what the user has to confirm whatever the job costs.

    Returns the USD that the job may cost from then on: the limit, what the user was asked about, or, where the cost
    was approved as a whole, all that it can cost.

    Raises:
        OverBudget: nothing else was sent.
    """
    if confirm:
        return max(limit, price.most, price.cost_usd.high if isinstance(price, Estimate) else 0)
    if caution:
        asked = "Ask the user; if they agree, call again with confirm=true (`--confirm`)."
        raise OverBudget(f"{caution} {sent} {asked}", approvable=True)
    if price.most <= limit:
        return limit
    if word and agrees(word) and price.most <= word.quote.most:
        return word.quote.most
    setting = (price.to_lower if isinstance(price, Estimate) else None) or "max_output_tokens lowers it"
    raise OverBudget(
        f"The job may cost more than {dollars(limit)}: {expected(price)}. {_told(word)}{sent} Ask "
        f"the user; if they agree, call again with confirm=true (`--confirm`). {setting}.",
        approvable=True,
    )


def caution_about(drafts: Iterable[Job], today: date) -> str:
    """What the user has to know before jobs are sent whose models may end before they do."""
    named = {draft.model: (models.find(draft.model, today), draft.lane) for draft in drafts}
    soon = [ending(model, lane, today) for model, lane in named.values() if ends_first(model, lane, today)]
    return " ".join(problem.sentence() for problem in soon if problem)


def expected(price: Estimate | Costs) -> str:
    """What is likely, and the amount that the limit was held against."""
    if isinstance(price, Costs):
        return f"{dollars(price.likely)} likely, {dollars(price.most)} at most"
    likely, most = dollars(price.cost_usd.likely), dollars(price.most)
    return f"{likely} likely, perhaps {most}" if price.can_stop else f"{likely} likely, {most} at most"


def agrees(word: Word | None) -> bool:
    """Whether the user said yes."""
    return word is not None and word.said == "yes"


_BECAME = {
    "yes": "It became dearer than what was approved. ",
    "no": "The question was declined. ",
    "nothing": "The question was cancelled, or the host could not show it. ",
}


def _told(word: Word | None) -> str:
    """What became of the question, where one was put."""
    return _BECAME[word.said] if word else ""


def budget(workspace: Workspace, price: Estimate, allowed: float | None = None) -> Budget:
    """What is set aside for an attempt, within which limit of the day, and what it may cost: `allowed`, if anything."""
    return Budget(price.most, workspace.max_cost_usd_per_day, price.cost_usd.high, allowed)


def lifts_limit(workspace: Workspace, job: Job, *, agreed: bool, limit: float | None = None) -> bool:
    """Let a job that a limit has stopped cost as much as it can, once the user agreed, or up to a higher `limit`.

    `limit` is for all attempts of the job together. Returns whether it may go on; one that was stopped for something
    else may. Failures do not stop it again.
    """
    reason = jobs.stopped_by(job, workspace.ledger.shards(job.id))
    if reason == "failures":
        workspace.ledger.advance(job.id, workspace.now(), stop_on_failures=None)
    if reason not in ("job_limit", "pipeline_limit"):
        return True
    account = workspace.ledger.account(job.id, job.attempt)
    if limit is not None:
        limit -= workspace.ledger.paid_before(job)
    is_higher = limit is not None and account is not None and account.allowed is not None and limit > account.allowed
    if not agreed and not is_higher:
        return False
    with workspace.ledger.writing() as db:
        spend.lift(db, job.id, job.attempt, None if agreed else limit)
    return True


def quote_of_stopped(workspace: Workspace, job: Job) -> Quote | None:
    """What a job may cost that a limit has stopped, and that limit; None for any other job."""
    if jobs.stopped_by(job, workspace.ledger.shards(job.id)) != "job_limit":
        return None
    account = workspace.ledger.account(job.id, job.attempt)
    if account is None or account.most is None or account.allowed is None:
        return None
    return Quote(account.most, account.allowed)


def over_the_day(workspace: Workspace, price: Estimate) -> bool:
    """Whether the limit of the day leaves no room for it."""
    per_day = workspace.max_cost_usd_per_day
    return per_day is not None and workspace.ledger.spent(workspace.now()) + price.most > per_day
