"""Whether limits hold: jobs with drawn answers, thinking, searches and failures, run to their end or to their limit.

python -m tests.benchmarks.limited_jobs [--jobs N] [--seed S] [--day]

A tenth of the rows write up to the model's limit; half of the jobs state no max_output_tokens; limits lie between a
tenth and three times the true cost. Every job is a real one, in any of the three lanes, against the emulator, whose
charges at list prices are the true cost: those of answers that never arrived are among them. With `--day` the limit is
that of a day, and four processes share one home (`limited_days`).
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from math import log
from pathlib import Path
from random import Random
from typing import Any

from genai_batch.resources import charges, prices
from genai_batch.resources.errors import OverBudget
from genai_batch.resources.models import find
from genai_batch.resources.outcomes import judge
from genai_batch.resources.prices import Lane, ServiceTier, Usage
from genai_batch.resources.requests import Cut
from genai_batch.resources.shapes import named_tier, tier_of
from genai_batch.resources.status import JobStatus
from genai_batch.resources.tiers import LONG
from genai_batch.server.emulator.answers import answer
from genai_batch.server.emulator.drawn import Drawn
from genai_batch.server.emulator.models import find_model
from genai_batch.server.emulator.store import Store
from genai_batch.server.settings import open_workspace
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.estimate_cost import estimate_cost
from genai_batch.tools.lanes.live.runner import Limits
from genai_batch.tools.resume_job import resume_job
from genai_batch.tools.workspace import Workspace
from tests.benchmarks import bounded_jobs
from tests.benchmarks.simulated_jobs import DAY
from tests.world import World

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
MOST_ROWS, MODEL_LIMIT = 40, 65_536
FAULTS = ("drop_before", "drop_after", "empty_body", "http_error", "error_in_200")
TENTH = 1.2816
"""Standard deviations above which a tenth of a normal distribution lies."""


@dataclass(frozen=True)
class Job:
    """A job as its user sees it, how the model will behave, and how much of its true cost is allowed."""

    model: str
    lane: Lane
    requests: Sequence[dict[str, Any]]
    drawn: Drawn
    share: float
    faults: Sequence[dict[str, Any]]
    is_cut: bool


@dataclass(frozen=True)
class Outcome:
    """How a job went: what it was allowed, what it did cost then, and what it cost in the end, once it was approved."""

    job: Job
    end: str
    limit: float
    high: float
    cost: float
    whole_cost: float

    @property
    def problem(self) -> str | None:
        """What did not hold."""
        if self.cost > self.limit:
            return f"cost {self.cost} of {self.limit}"
        if self.high <= self.limit and self.end != "finished" and not self.job.faults:
            return f"it fits and has {self.end}"
        if self.end == "finished" and self.cost > self.high and not self.job.faults:
            return f"cost {self.cost}, at most {self.high} was estimated"
        return None


def drawn(dice: Random) -> Job:
    """One of many kinds of job."""
    base = bounded_jobs.drawn(dice)
    median = dice.uniform(200, 6_000) if dice.random() < 0.3 else dice.uniform(20_000, 50_000)
    sigma = log(MODEL_LIMIT / median) / TENTH
    how = Drawn(
        output_tokens=median, output_sigma=sigma, thought_tokens=dice.uniform(50, 3_000), thought_sigma=1.5,
        searches=base.drawn.searches,
    )  # fmt: skip
    requests = [*base.requests][:MOST_ROWS]
    return Job(
        base.model, base.lane, _unlimited(dice, requests), how, dice.uniform(0.1, 3),
        [_fault(dice, base.lane) for _ in range(dice.randint(1, 3) * (dice.random() < 0.4))], dice.random() < 0.5,
    )  # fmt: skip


def _unlimited(dice: Random, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Half of the jobs state no max_output_tokens."""
    if dice.random() < 0.5:
        return requests
    return [
        {**request, "generationConfig": _without(request["generationConfig"], "maxOutputTokens")}
        for request in requests
    ]


def _without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _fault(dice: Random, lane: Lane) -> dict[str, Any]:
    if lane == "batch":
        return {"fault": "row", "match": {"every": dice.randint(2, 9)}, "outcome": "error", "times": None}
    fault = {"fault": dice.choice(FAULTS), "call": "generate", "times": dice.randint(1, 4), "after": dice.randint(0, 9)}
    return fault | ({"code": 500} if fault["fault"] in ("http_error", "error_in_200") else {})


def true_cost(job: Job) -> float:
    """What all rows cost at list prices, each answered once."""
    model = find_model(job.model)
    return float(
        sum(
            usd(job.model, job.lane, answer(model, request, drawn=job.drawn), named_tier(request.get("serviceTier")))
            for request in job.requests
        )
    )


def usd(model: str, lane: Lane, response: dict[str, Any], tier: ServiceTier | None = None, day: date = DAY) -> Decimal:
    """What one answer costs at list prices, at the tier of its lane unless it has another."""
    usage: Usage = judge({"response": response}).usage
    rates = prices.rates(model, lane, day, long=usage.input > LONG, tier=tier)
    return prices.at(rates, usage) + charges.of_response(response, find(model, day))


def charged(home: Path) -> float:
    """What the emulator of a home has charged for, at list prices, all lanes."""
    total = Decimal(0)
    store = Store(home / "emulator")
    for row in store.rows("SELECT model, usage, searches, calls FROM charges"):
        grounding = {"webSearchQueries": ["a search"] * row["searches"]}
        used = json.loads(row["usage"])
        response = {"usageMetadata": used, "candidates": [{"groundingMetadata": grounding}]}
        total += row["calls"] * usd(row["model"], "live", response, tier_of(used["serviceTier"]))
    models = {row["id"]: row["model"] for row in store.rows("SELECT id, model FROM batches")}
    for results in (home / "emulator" / "results").glob("*.jsonl"):
        model = models[results.stem].removeprefix("models/")
        rows = [json.loads(line) for line in results.read_bytes().splitlines()]
        total += sum((usd(model, "batch", row["response"]) for row in rows if row.get("response")), Decimal(0))
    return float(total)


async def run(job: Job, folder: Path) -> Outcome:
    """Run a job up to its limit; where it rests there, approve the rest and run it to its end."""
    (folder / "work").mkdir()
    world = World(folder / "work", folder / "home")
    await world.set(queue_s=0, run_s=0, drawn={name: getattr(job.drawn, name) for name in job.drawn.__struct_fields__})
    for fault in job.faults:
        await world.arm(**fault)
    name = world.write("job.jsonl", [{"key": f"k{n}", "request": request} for n, request in enumerate(job.requests)])
    limit = job.share * true_cost(job)
    size = (world.work / name).stat().st_size
    cut = Cut(bytes=max(20_000, size // 3)) if job.is_cut else None
    settings = replace(world.settings(max_cost_usd=limit, cut=cut), roots=None, live=Limits(tries=2, trying=0))
    async with open_workspace(settings, lambda: world.time) as workspace:
        source = str(world.work / name)
        price = await estimate_cost(source, workspace, job.model, job.lane)
        arguments: dict[str, Any] = {"lane": job.lane, **({} if job.lane == "batch" else {"concurrency": 8})}
        try:
            status = await create_batch(source, workspace, job.model, **arguments)
        except OverBudget:
            return Outcome(job, "refused", limit, price.cost_usd.high, charged(world.home), 0)
        status = await _end(workspace, status)
        cost, end = charged(world.home), "rested" if status.stopped else "finished"
        if status.stopped:
            status = await _end(workspace, await resume_job(status.job_id, workspace, confirm=True))
            if status.stopped:
                end = "rested again"
    return Outcome(job, end, limit, price.cost_usd.high, cost, charged(world.home))


async def _end(workspace: Workspace, status: JobStatus) -> JobStatus:
    while not status.is_over:
        status = await check_status(status.job_id, workspace, 5)
    return status


def outcomes(jobs: int, seed: int = 1) -> Iterable[Outcome]:
    """Run so many seeded jobs."""
    for number in range(jobs):
        with tempfile.TemporaryDirectory(prefix="limited-jobs-") as folder:
            yield asyncio.run(run(drawn(Random(f"{seed}/{number}")), Path(folder)))


def table(results: Sequence[Outcome]) -> str:
    """The figures, one a line."""
    ends = Counter(f"{outcome.job.lane} {outcome.end}" for outcome in results)
    used = [outcome.cost / outcome.limit for outcome in results if outcome.end == "rested"]
    held = sum(outcome.cost <= outcome.limit for outcome in results)
    lines = [
        f"{len(results)} jobs, {sum(bool(outcome.job.faults) for outcome in results)} with faults",
        *(f"{name:<40}{count}" for name, count in sorted(ends.items())),
        f"cost within the limit                   {held} of {len(results)}",
        f"share of the limit used by those that rested: {min(used, default=0):.1%} to {max(used, default=0):.1%}",
    ]
    return "\n".join([*lines, *(f"{o.job.model} {o.job.lane}: {o.problem}" for o in results if o.problem)])


def main() -> None:
    """Run and print; the exit code is 1 when a limit did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--day", action="store_true", help="four processes at once, with the limit of a day")
    arguments = parser.parse_args()
    if arguments.day:
        from tests.benchmarks import limited_days  # which builds on this module

        outcomes_of_days = [*limited_days.days(arguments.jobs, arguments.seed)]
        print(limited_days.table(outcomes_of_days))  # noqa: T201 - the table is the point
        sys.exit(any(outcome.problems for outcome in outcomes_of_days))
    results = [*outcomes(arguments.jobs, arguments.seed)]
    print(table(results))  # noqa: T201 - the table is the point
    sys.exit(any(outcome.problem for outcome in results))


if __name__ == "__main__":
    main()
