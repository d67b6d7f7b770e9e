"""The gate before money is spent: who may approve a cost, and how the user is asked.

A cost above the limit needs the user's word. It comes as the argument `confirm`, or, where the host can ask its user,
as the answer to a question that whoever offers the tool puts to its user; one that is declined, cancelled or never
shown is no approval. What was approved is an amount: a file that became dearer meanwhile is asked about again.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import date
from functools import partial
from math import ceil
from typing import Literal, NamedTuple

from anyio import move_on_after

from genai_batch.resources import estimates, jobs, models, pipelines, spend
from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import BatchError, OverBudget
from genai_batch.resources.estimates import Bill, Estimate, other_lane
from genai_batch.resources.jobs import Job
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.lowering import best_setting
from genai_batch.resources.models import ending, ends_first
from genai_batch.resources.pipelines import Pipeline
from genai_batch.resources.prices import Fallback, Lane
from genai_batch.resources.requests import Preflight
from genai_batch.resources.spend import Budget
from genai_batch.resources.triples import Triple
from genai_batch.tools.workspace import Workspace

_ROUNDING = 1e-9
"""USD by which sums of the same prices may differ."""
PRICE_S = 10
"""Seconds that pricing may take before a question; a source that takes longer is not asked about but refused."""


class Quote(NamedTuple):
    """What the user is asked about: USD at most, and the limit that this is above.

    A yes approves exactly `most`. `costs` says what is likely and what is possible, `caution` what else the user has to
    know.
    """

    most: float
    limit: float
    caution: str = ""
    costs: str = ""

    @property
    def question(self) -> str:
        """The question in words."""
        if self.most <= self.limit:
            return "Start it all the same?"
        costs = f" ({self.costs})" if self.costs else ""
        cost, limit = dollars(self.most), dollars(self.limit)
        return f"It may cost up to {cost}{costs}, which is above your limit of {limit}. Start it, up to {cost}?"


ALL_STAGES = "all stages together, with what is paid"
"""What is said of the costs of a pipeline."""


class Word(NamedTuple):
    """The user's word on a quote; `nothing` where the question was cancelled or never shown."""

    quote: Quote
    said: Literal["yes", "no", "nothing"]


class Costs(NamedTuple):
    """What several jobs may cost together, in USD: likely, by what limits are held against, and at most."""

    likely: float
    most: float
    high: float


def priced(workspace: Workspace, found: Preflight, lane: Lane = "batch", fallback: Fallback | None = None) -> Estimate:
    """Estimate what a preflight has found, as a pilot of it, or earlier jobs of its model and shape, teach."""
    past = workspace.ledger.past(found.model.name, workspace.backend, found.shape)
    price = estimates.estimate(found, lane, workspace.today, workspace.backend, past, fallback)
    lowering = partial(best_setting, Bill(found, lane, workspace.today, fallback))
    price = price.model_copy(update={"to_lower": lowering(workspace.max_cost_usd)}).with_lowering(lowering)
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


class Restated(NamedTuple):
    """A limit in USD that a call states for what is there already, and a sentence where that changes anything."""

    usd: float
    was: float
    sentence: str = ""


def restated(
    workspace: Workspace, was: float, stated: float | None, manifest: float | None, *, confirm: bool
) -> Restated:
    """Find out what becomes of a limit that holds since before: `stated` replaces it, the manifest's can only raise it.

    Above the user's own limit it is raised with `confirm` only.
    """
    wish = stated if confirm and stated is not None else lower(stated, manifest)
    if wish is None:
        return Restated(was, was)
    usd = wish if confirm or wish <= was else max(was, limit_of(workspace, wish))
    if stated is None:
        usd = max(usd, was)
    words = [f"Its limit is now {dollars(usd)}; it was {dollars(was)}."] if abs(usd - was) > _ROUNDING else []
    if usd < wish:
        words.append(f"{dollars(wish)} is above the user's limit: with confirm=true (`--confirm`) it holds.")
    return Restated(usd, was, " ".join(words))


async def quote(priced: Callable[[], Awaitable[Quote | None]]) -> Quote | None:
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
    stated: float | None = None,
) -> float:
    """Stop a job that may cost more than the limit, unless the user agreed; `sent` says what was sent before.

    `caution` is what the user has to confirm whatever the job costs. `stated` is the limit that the caller states for
    the job: confirmed, it holds even above the user's own.

    Returns the USD that the job may cost from then on: the limit, exactly what the user was asked about, or, where
    all was approved, what it can cost at most.

    Raises:
        OverBudget: nothing else was sent.
    """
    if confirm and stated is None:
        return max(limit, price.most, _high(price))
    if confirm and stated is not None and (price.most <= stated or _can_stop(price)):
        return stated
    if price.most <= limit and not caution and not declines(word):
        return limit
    if word and agrees(word) and caution == word.quote.caution and price.most <= max(limit, word.quote.most):
        return max(limit, word.quote.most)
    limit = stated if confirm and stated is not None else limit
    quote = (price.most, limit, caution)
    text = setting = ""
    if price.most > limit:
        text = f"The job may cost more than {dollars(limit)}: {expected(price)}."
        setting = (price.setting_for(limit) if isinstance(price, Estimate) else None) or "max_output_tokens lowers it"
        setting = f"{setting}."
    told = _told(word).strip() if text or declines(word) else ""
    words = (caution, text, told, sent, _remedy(price, stated), setting)
    raise OverBudget(" ".join(filter(None, words)), quote=quote)


def _remedy(price: Estimate | Costs, stated: float | None) -> str:
    """How to approve; where the caller states a limit, that is what the user has to approve."""
    if stated is None or price.most <= stated:
        return "Ask the user; if they agree, call again with confirm=true (`--confirm`)."
    usd = f"{ceil(_high(price) * 10_000) / 10_000:g}"
    return (
        "Ask the user; if they agree, call again with confirm=true (`--confirm`) and the limit that they approve, "
        f"e.g. max_cost_usd={usd}."
    )


def _high(price: Estimate | Costs) -> float:
    """The most that it can cost."""
    return price.cost_usd.high if isinstance(price, Estimate) else price.high


def _can_stop(price: Estimate | Costs) -> bool:
    """Whether a limit itself stops it once it runs."""
    return isinstance(price, Estimate) and price.can_stop


def caution_about(drafts: Iterable[Job], today: date) -> str:
    """What the user has to know before jobs are sent whose models may end before they do."""
    named = {draft.model: (models.find(draft.model, today), draft.lane) for draft in drafts}
    soon = [ending(model, lane, today) for model, lane in named.values() if ends_first(model, lane, today)]
    return " ".join(problem.sentence() for problem in soon if problem)


def expected(price: Estimate | Costs) -> str:
    """What is likely, the amount that the limit is held against where that is not the bound, and the bound."""
    likely = price.likely if isinstance(price, Costs) else price.cost_usd.likely
    perhaps = f", perhaps {dollars(price.most)}" if price.most < _high(price) else ""
    return f"{dollars(likely)} likely{perhaps}, {dollars(_high(price))} at most"


def agrees(word: Word | None) -> bool:
    """Whether the user said yes."""
    return word is not None and word.said == "yes"


def amount(word: Word | None) -> float | None:
    """USD that the user approved; None where they did not."""
    return word.quote.most if word and word.said == "yes" else None


def declines(word: Word | None) -> bool:
    """Whether the user said no."""
    return word is not None and word.said == "no"


def refused(word: Word | None, notice: str, quote: Quote | None) -> OverBudget:
    """The refusal to go on with what a limit has stopped."""
    told = _told(word) if word and word.said != "yes" else ""
    text = f"{told}{notice} Nothing more was sent."
    return OverBudget(text, quote=quote and (quote.most, quote.limit, quote.caution))


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


def lifts_limit(workspace: Workspace, job: Job, *, confirm: bool, limit: float | None = None) -> bool:
    """Let a job go on that has stopped, as far as its limit leaves room or the user agreed.

    With `confirm` it may cost all that it can, with `limit` up to so many USD, where that is more than now: all
    attempts of the job together, or all stages of its pipeline. Returns whether it may go on; one that was stopped for
    something else may. Failures do not stop it again.
    """
    ledger, reason = workspace.ledger, jobs.stopped_by(job, workspace.ledger.shards(job.id))
    if reason == "failures":
        ledger.advance(job.id, workspace.now(), stop_on_failures=None)
    quote = quote_of_stopped(workspace, job)
    if quote is None:
        return confirm or reason not in ("job_limit", "pipeline_limit")
    if quote.most <= quote.limit:
        return True
    if not confirm and (limit is None or limit <= quote.limit):
        return False
    most = quote.most if confirm else limit or 0
    if reason == "pipeline_limit" and (pipeline := _paying(ledger, job)):
        pipelines.allow(ledger, pipeline, most)
        return True
    with ledger.writing() as db:
        spend.lift(db, job.id, job.attempt, most - ledger.paid_before(job))
    return True


def quote_of_stopped(workspace: Workspace, job: Job) -> Quote | None:
    """What a job that a limit has stopped may cost, and that limit; None for any other job.

    Both are of all attempts together, or of all stages of its pipeline.
    """
    ledger, reason = workspace.ledger, jobs.stopped_by(job, workspace.ledger.shards(job.id))
    if reason == "pipeline_limit" and (pipeline := _paying(ledger, job)):
        return Quote(pipelines.at_most(ledger, pipeline), pipeline.budget, costs=ALL_STAGES)
    account = ledger.account(job.id, job.attempt)
    if reason != "job_limit" or account is None or account.most is None or account.allowed is None:
        return None
    before = ledger.paid_before(job)
    return Quote(before + account.most, before + account.allowed, costs="with what is paid")


def _paying(ledger: Ledger, job: Job) -> Pipeline | None:
    """The pipeline that pays for the latest attempt of a job; a later one may have the job too."""
    account = ledger.account(job.id, job.attempt)
    return pipelines.of_job(ledger, job.id, account.at) if account else None


def over_the_day(workspace: Workspace, price: Estimate) -> bool:
    """Whether the limit of the day leaves no room for it."""
    per_day = workspace.max_cost_usd_per_day
    return per_day is not None and workspace.ledger.spent(workspace.now()) + price.most > per_day
