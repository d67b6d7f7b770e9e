"""Whether the upper bound of an estimate holds: jobs with drawn answers, thinking, searches, failures and media.

python -m tests.benchmarks.bounded_jobs [--jobs N] [--seed S]

A tenth of the rows of every job, and all rows of every seventh job, write up to the model's limit; half of the jobs
state no max_output_tokens. Every job is written as JSONL and estimated by the one pass that estimates real files, in
the batch lane, at flex or live; its answers, and what they cost, are those of the emulator.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from genai_batch.resources import charges, estimates, prices
from genai_batch.resources.estimates import Estimate
from genai_batch.resources.models import find
from genai_batch.resources.outcomes import judge
from genai_batch.resources.prices import Lane, ServiceTier
from genai_batch.resources.requests import Preflight
from genai_batch.resources.shapes import named_tier
from genai_batch.resources.tiers import LONG
from genai_batch.server.emulator.answers import answer
from genai_batch.server.emulator.drawn import Drawn
from genai_batch.server.emulator.models import Model, find_model
from genai_batch.server.emulator.outcomes import Outcome as Fate
from tests.benchmarks.simulated_jobs import DAY, SCHEMA, drawn_job

MODELS = ("gemini-3.1-flash-image", "gemini-nano-banana-2.1", "gemini-3.8-flash-tts", "gemini-2.5-flash")
TEXTS = (
    "日本語の文章をいくつか書いてください。",
    "Опишите гавань подробно. ",
    "3.14159 2.71828 1.41421 ",
    "naïve façade déjà vu ",
)
FILM = {"fileData": {"fileUri": "https://www.youtube.com/watch?v=AAAAAAAAAAA", "mimeType": "video/mp4"}}
PAGES = {"fileData": {"fileUri": "https://files.example/a.pdf", "mimeType": "application/pdf"}}
FUNCTION = {"functionDeclarations": [{"name": "look_up", "description": "Look a word up.", "parameters": SCHEMA}]}
LIMITLESS = 70_000
"""Tokens that no model may write."""


@dataclass(frozen=True)
class Job:
    """A job as its user sees it, in a lane, and how the model will behave."""

    model: str
    lane: Lane
    requests: Sequence[dict[str, Any]]
    drawn: Drawn
    at_limit: float = 0.1
    """Share of the rows that write as much as they may."""


@dataclass(frozen=True)
class Outcome:
    """What was estimated, and what it cost."""

    job: Job
    estimate: Estimate
    cost: float

    @property
    def held(self) -> bool:
        """Whether the bound held."""
        return self.cost <= self.estimate.cost_usd.high

    @property
    def filled(self) -> float:
        """How much of the bound was used."""
        return self.cost / self.estimate.cost_usd.high if self.estimate.cost_usd.high else 0


def drawn(dice: Random) -> Job:
    """One of many kinds of job."""
    base = drawn_job(dice)
    rows, model = [*base.requests][: dice.randint(1, 60)], base.model.name
    if dice.random() < 0.2:
        model = dice.choice(MODELS)
    lane: Lane = "batch" if dice.random() < 0.5 else "live"
    extra = _extra(dice, model, lane)
    if lane == "live" and find(model, DAY).flex and dice.random() < 0.3:
        lane = "flex"
    requests = [_row(dice, model, row, extra) for row in rows]
    if dice.random() < 0.85:
        return Job(model, lane, requests, base.drawn)
    if dice.random() < 0.5:  # so that input and searches are most of the cost
        for request in requests:
            request["generationConfig"] |= {"maxOutputTokens": 8}
    return Job(model, lane, requests, base.drawn, at_limit=1)


def _extra(dice: Random, model: str, lane: Lane) -> dict[str, Any]:
    """What all rows of a job have beside the usual."""
    extra: dict[str, Any] = {}
    if dice.random() < 0.2:
        extra["tools"] = [FUNCTION]
    if lane == "live" and dice.random() < 0.3:
        tiers = ("flex", "SERVICE_TIER_PRIORITY") if find(model, DAY).flex else ("priority",)
        extra["serviceTier"] = dice.choice(tiers)
    return extra


def _row(dice: Random, model: str, row: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    settings = dict(row.get("generationConfig", {}))
    parts = [*row["contents"][0]["parts"]]
    kind = find(model, DAY).kind
    if kind != "text":
        settings = {key: value for key, value in settings.items() if key == "maxOutputTokens"}
        settings["responseModalities"] = ["AUDIO"] if kind == "speech" else ["TEXT", "IMAGE"]
        extra = {key: value for key, value in extra.items() if key != "tools"}
        row = {key: value for key, value in row.items() if key != "tools"}
    elif "responseSchema" not in settings:
        if dice.random() < 0.2:
            settings["candidateCount"] = dice.randint(1, 4)
        if dice.random() < 0.2:
            parts.append({"text": dice.choice(TEXTS) * dice.randint(1, 40)})
        if dice.random() < 0.1:
            parts.append(dice.choice((FILM, PAGES)))
    if find(model, DAY).era < 3:  # which takes no thinking level, and one kind of tool, not with a schema
        settings.pop("thinkingConfig", None)
        extra = {key: value for key, value in extra.items() if key != "tools"}
        if "responseSchema" in settings:
            row = {key: value for key, value in row.items() if key != "tools"}
    return row | extra | {"contents": [{"role": "user", "parts": parts}], "generationConfig": settings}


def run(job: Job, dice: Random, folder: Path) -> Outcome:
    """Estimate a job, and then run all of it."""
    source = folder / "job.jsonl"
    lines = ({"key": f"k{number}", "request": request} for number, request in enumerate(job.requests))
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    scan = Preflight(source, find(job.model, DAY)).run()
    scan.refuse_problems()
    estimate = estimates.estimate(scan, job.lane, DAY, "emulator")
    return Outcome(job, estimate, sum(_cost(job, request, dice) for request in job.requests))


def _cost(job: Job, request: dict[str, Any], dice: Random) -> float:
    """What a row costs: some fail and cost nothing, some are blocked, a tenth writes as much as it may."""
    if job.at_limit < 1 and dice.random() < 0.05:
        return 0
    model: Model = find_model(job.model)
    how, fate = job.drawn, Fate()
    if dice.random() < job.at_limit:
        how = Drawn(output_tokens=LIMITLESS, output_sigma=0, thought_tokens=LIMITLESS, searches=job.drawn.searches)
        if dice.random() < 0.5:
            how = Drawn(output_tokens=5, thought_tokens=LIMITLESS, searches=job.drawn.searches)
    elif dice.random() < 0.05:
        fate = Fate(dice.choice(("blocked", "prompt_blocked", "empty")))
    response = answer(model, request, fate, how)
    usage = judge({"response": response}).usage
    tier: ServiceTier = named_tier(request.get("serviceTier")) or prices.default_tier(job.lane)
    rate = prices.dearest_rates if tier == "priority" and dice.random() < 0.5 else prices.rates
    rates = rate(job.model, job.lane, DAY, long=usage.input > LONG, tier=tier)
    return float(prices.at(rates, usage) + charges.of_response(response, find(job.model, DAY)))


def outcomes(jobs: int, seed: int = 1) -> Iterator[Outcome]:
    """Run so many seeded jobs."""
    with tempfile.TemporaryDirectory(prefix="bounded-jobs-") as folder:
        for number in range(jobs):
            dice = Random(f"{seed}/{number}")
            yield run(drawn(dice), dice, Path(folder))


def table(found: Sequence[Outcome]) -> str:
    """The figures, one a line."""
    filled = sorted(outcome.filled for outcome in found)
    unbounded = [o for o in found if "maxOutputTokens" not in o.job.requests[0].get("generationConfig", {})]
    lines = [
        f"{len(found)} jobs, {len(unbounded)} without max_output_tokens",
        f"true cost at most the bound             {sum(outcome.held for outcome in found)} of {len(found)}",
        f"share of the bound that was used        median {median(filled):.1%}, most {filled[-1]:.1%}",
        f"true cost above the likely range        {sum(o.cost > o.estimate.likely_range.high for o in found)}",
    ]
    failed = [f"{o.job.model} {o.job.lane}: {o.cost} > {o.estimate.cost_usd}" for o in found if not o.held]
    return "\n".join([*lines, *failed])


def main() -> None:
    """Run and print; the exit code is 1 when a bound did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found = [*outcomes(arguments.jobs, arguments.seed)]
    print(table(found))  # noqa: T201 - the table is the point
    sys.exit(not all(outcome.held for outcome in found))


if __name__ == "__main__":
    main()
