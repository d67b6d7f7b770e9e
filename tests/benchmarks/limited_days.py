"""Whether the limit of a day holds where four processes share one home: the mode `--day` of `limited_jobs`.

Each of them runs jobs of its own in all three lanes. Afterwards what rests is cancelled, and a job that was refused
and fits into what the emulator's charges leave of the limit has to run to its end.
"""

import asyncio
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from typing import Any

from genai_batch.resources.errors import OverBudget
from genai_batch.resources.requests import Cut
from genai_batch.server.settings import Settings, open_workspace
from genai_batch.tools.cancel_job import cancel_job
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.estimate_cost import estimate_cost
from genai_batch.tools.lanes.live.runner import Limits
from genai_batch.tools.workspace import Workspace
from tests.benchmarks.limited_jobs import Job, charged, drawn, true_cost
from tests.world import World

PROCESSES, JOBS = 4, 10
"""Processes at once, and jobs of each on one day."""
_START_S = 60
"""Seconds that processes wait for each other before they begin."""
_at_once: Barrier


@dataclass(frozen=True)
class Day:
    """The jobs of one day by number, and what they may cost together; the model behaves alike in all of them."""

    jobs: Mapping[int, Job]
    limit: float

    @property
    def faults(self) -> Sequence[dict[str, Any]]:
        """What goes wrong on this day."""
        return next(iter(self.jobs.values())).faults


@dataclass(frozen=True)
class End:
    """How a job ended, and its id where it was recorded."""

    word: str
    job_id: str | None = None


@dataclass(frozen=True)
class DayOutcome:
    """What four processes did cost on a day, what was paid when all was over, and what did not hold."""

    day: Day
    ends: Mapping[int, End]
    cost: float
    last_cost: float
    later: Sequence[str]

    @property
    def problems(self) -> list[str]:
        """What did not hold."""
        passed = [f"cost {cost} of {self.day.limit}" for cost in (self.cost, self.last_cost) if cost > self.day.limit]
        return [*passed, *(word for word in self.later if word != "finished")]


def drawn_day(dice: Random, jobs: int) -> Day:
    """One of many kinds of day; half of the limits are below 0.55 of the true cost, so that they stop jobs."""
    several = [drawn(dice) for _ in range(jobs)]
    faults = next((job.faults for job in several if job.faults), ()) if dice.random() < 0.4 else ()
    alike = [replace(job, drawn=several[0].drawn, faults=faults) for job in several]
    return Day(dict(enumerate(alike)), exp(dice.uniform(log(0.1), log(3))) * sum(true_cost(job) for job in alike))


def days(jobs: int, seed: int = 1) -> Iterator[DayOutcome]:
    """Run so many seeded jobs, as many days as they need."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES, _initialize, (context.Barrier(PROCESSES),)) as pool:
        for first in range(0, jobs, PROCESSES * JOBS):
            day = drawn_day(Random(f"{seed}/day/{first}"), min(PROCESSES * JOBS, jobs - first))
            with tempfile.TemporaryDirectory(prefix="limited-days-") as folder:
                world = World(Path(folder) / "work", Path(folder) / "home")
                asyncio.run(_prepare(world, day))
                shares = [(world, day, range(process, len(day.jobs), PROCESSES)) for process in range(PROCESSES)]
                ends: dict[int, End] = {}
                for share in pool.starmap(_run_share, shares, chunksize=1):
                    ends |= share
                yield asyncio.run(_close(world, day, ends, charged(world.home)))
        pool.close()
        pool.join()


def _initialize(barrier: Barrier) -> None:
    """Keep the barrier, which reaches a process of a pool only when it begins."""
    global _at_once
    _at_once = barrier


async def _prepare(world: World, day: Day) -> None:
    world.work.mkdir()
    how = day.jobs[0].drawn
    await world.set(queue_s=0, run_s=0, drawn={name: getattr(how, name) for name in how.__struct_fields__})
    for fault in day.faults:
        await world.arm(**fault)
    for number, job in day.jobs.items():
        rows = [{"key": f"k{n}", "request": request} for n, request in enumerate(job.requests)]
        world.write(f"{number}.jsonl", rows)


def _run_share(world: World, day: Day, numbers: Sequence[int]) -> dict[int, End]:
    _at_once.wait(_START_S)
    return asyncio.run(_run(world, day, numbers))


async def _run(world: World, day: Day, numbers: Sequence[int]) -> dict[int, End]:
    """Run jobs one after the other, as one of several processes."""
    is_cut = bool(numbers) and numbers[0] % 2 == 1
    async with open_workspace(_settings(world, day, is_cut=is_cut), lambda: world.time) as workspace:
        return {number: await _end(world, workspace, number, day.jobs[number]) for number in numbers}


def _settings(world: World, day: Day, *, is_cut: bool = False) -> Settings:
    limits: dict[str, Any] = {"max_cost_usd_per_day": day.limit, "cut": Cut(bytes=20_000) if is_cut else None}
    return replace(world.settings(**limits), roots=None, live=Limits(tries=2, trying=0))


async def _end(world: World, workspace: Workspace, number: int, job: Job) -> End:
    """Run a job, approved whatever it costs, up to its end or to where the limit of the day stops it."""
    source = str(world.work / f"{number}.jsonl")
    concurrency = None if job.lane == "batch" else 8
    try:
        status = await create_batch(source, workspace, job.model, lane=job.lane, concurrency=concurrency, confirm=True)
    except OverBudget:
        return End("refused")
    while not status.is_over:
        status = await check_status(status.job_id, workspace, 5)
    return End("rested" if status.stopped else "finished", status.job_id)


async def _close(world: World, day: Day, ends: Mapping[int, End], cost: float) -> DayOutcome:
    """Cancel what rests, and run what was refused and fits by now."""
    later: list[str] = []
    async with open_workspace(_settings(world, day), lambda: world.time) as workspace:
        for end in ends.values():
            if end.word == "rested" and end.job_id:
                await cancel_job(end.job_id, workspace)
        refused = [number for number, end in ends.items() if end.word == "refused" and not day.faults]
        for number in refused:
            job = day.jobs[number]
            price = await estimate_cost(str(world.work / f"{number}.jsonl"), workspace, job.model, job.lane)
            if price.cost_usd.high <= day.limit - charged(world.home):
                end = await _end(world, workspace, number, job)
                later.append("finished" if end.word == "finished" else f"job {number} fits, and is {end.word}")
    return DayOutcome(day, ends, cost, charged(world.home), later)


def table(results: Sequence[DayOutcome]) -> str:
    """The figures, one a line."""
    ends = Counter(
        f"{outcome.day.jobs[number].lane} {end.word}" for outcome in results for number, end in outcome.ends.items()
    )
    used = [outcome.cost / outcome.day.limit for outcome in results]
    lines = [
        f"{sum(ends.values())} jobs on {len(results)} days, {PROCESSES} processes at once",
        f"days with faults                        {sum(bool(outcome.day.faults) for outcome in results)}",
        *(f"{name:<40}{count}" for name, count in sorted(ends.items())),
        f"refused at first, fitted later, finished {sum(outcome.later.count('finished') for outcome in results)}",
        f"cost of a day within its limit          {sum(share <= 1 for share in used)} of {len(results)}",
        f"share of the limit that was used: {min(used):.1%} to {max(used):.1%}",
    ]
    return "\n".join([*lines, *(problem for outcome in results for problem in outcome.problems)])
