"""Whether the range of an estimate holds, and how far a pilot narrows it: jobs with drawn answers and searches.

python -m tests.benchmarks.simulated_jobs [--jobs N] [--seed S]

Every job is written as JSONL and estimated by the one pass that estimates real files; its answers, and what they cost,
are those of the emulator.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import exp, log
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from genai_batch.resources import charges, prices
from genai_batch.resources.estimates import Bill
from genai_batch.resources.models import Model, find
from genai_batch.resources.prices import Usage
from genai_batch.resources.projection import Measured, Projection, Whole, project
from genai_batch.resources.requests import Preflight
from genai_batch.resources.row_sizes import RowSizes
from genai_batch.resources.strata import Stratum, draw
from genai_batch.resources.tokens.counting import of_request
from genai_batch.resources.triples import Triple
from genai_batch.server.emulator.answers import answer
from genai_batch.server.emulator.drawn import Drawn
from genai_batch.server.emulator.models import find_model

DAY = date(2026, 11, 20)
PILOT = 20
MODELS = ("gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro-preview", "gemini-3.1-flash-lite")
SUBJECTS = ("harbour", "lighthouse", "engine", "orchestra", "glacier", "contract", "vineyard", "telescope", "railway")
SENTENCES = (
    "Describe the {} in the tone of a travel guide, and name three reasons to go there.",
    "The {} was sold in 1987 for 4,300 dollars; who would have bought it, and why?",
    "Summarise what experts say about the {}: its history, its use today and its risks.",
    "Please translate the following note about the {} into plain language.",
)
SCHEMA = {
    "type": "OBJECT",
    "properties": {
        "title": {"type": "STRING"},
        "score": {"type": "NUMBER"},
        "tags": {"type": "ARRAY", "items": {"type": "STRING"}},
    },
    "required": ["title", "score"],
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A job as its user sees it, and how the model will behave, which nobody knows."""

    model: Model
    requests: Sequence[dict[str, Any]]
    drawn: Drawn


@dataclass(frozen=True)
class Outcome:
    """What was estimated, what it cost, and what a pilot said."""

    cost: float
    before: Triple
    after: Triple

    @property
    def held(self) -> bool:
        return self.before.low <= self.cost <= self.before.high

    @property
    def held_after(self) -> bool:
        return self.after.low <= self.cost <= self.after.high

    @property
    def left(self) -> float:
        """Width of the range after the pilot, as a share of what it was."""
        return self.after.width / self.before.width


def drawn_job(dice: Random) -> Job:
    """One of many kinds of job: with or without a bound, a schema, thinking settings and searches."""
    settings: dict[str, Any] = {}
    if dice.random() < 0.5:
        settings["maxOutputTokens"] = dice.choice((256, 512, 1_024, 2_048, 4_096, 8_192))
    if dice.random() < 0.4:
        settings["thinkingConfig"] = {"thinkingLevel": dice.choice(("low", "medium", "high"))}
    if dice.random() < 0.15:
        settings |= {"responseMimeType": "application/json", "responseSchema": SCHEMA}
    extra: dict[str, Any] = {"generationConfig": settings} if settings else {}
    if dice.random() < 0.3:
        extra["tools"] = [{"googleSearch": {}}]
    sentences = round(_between(dice, 1, 30))
    requests = [
        {"contents": [{"role": "user", "parts": [{"text": _prompt(dice, sentences)}]}], **extra}
        for _ in range(round(_between(dice, 40, 300)))
    ]
    drawn = Drawn(
        output_tokens=_between(dice, 40, 1_500), output_sigma=dice.uniform(0.2, 0.9),
        thought_tokens=_between(dice, 50, 2_000), thought_sigma=dice.uniform(0.3, 0.9), searches=_between(dice, 0.2, 3),
    )  # fmt: skip
    return Job(find(dice.choice(MODELS), DAY), requests, drawn)


def run(job: Job, dice: Random, folder: Path) -> Outcome:
    """Estimate a job, run a pilot of it, and then all of it."""
    bill = _bill(job, folder)
    rows = [_measured(job, request) for request in job.requests]
    with bill.found.source.open("rb") as lines:
        strata = draw(map(RowSizes(job.model).of_line, lines), PILOT, str(dice.random()))
    sample = [rows[number]._replace(stratum=place) for place, part in enumerate(strata) for number in part.drawn]
    cost = sum(row.input_usd + row.output_usd + row.fees_usd for row in rows)
    return Outcome(cost, bill.cost, _projected(job, bill, sample, strata).cost_usd)


def outcomes(jobs: int, seed: int = 1) -> Iterator[Outcome]:
    """Run so many seeded jobs."""
    with tempfile.TemporaryDirectory(prefix="simulated-jobs-") as folder:
        for number in range(jobs):
            dice = Random(f"{seed}/{number}")
            yield run(drawn_job(dice), dice, Path(folder))


def table(found: Sequence[Outcome]) -> str:
    """The figures, one a line."""
    left = sorted(each.left for each in found)
    rows = {
        "true cost inside the estimate": _share(each.held for each in found),
        "true cost inside the projection": _share(each.held_after for each in found),
        "jobs left with at most a third of the width": _share(each <= 1 / 3 for each in left),
        "width left, median": median(left),
        "width left, p95": left[int(0.95 * len(left))],
        "width left, all jobs together": sum(e.after.width for e in found) / sum(e.before.width for e in found),
    }
    head = f"{len(found)} jobs, a pilot of {PILOT} rows"
    return "\n".join([head, *(f"{name:<46}{value:>7.1%}" for name, value in rows.items())])


def _bill(job: Job, folder: Path) -> Bill:
    source = folder / "job.jsonl"
    lines = ({"key": f"k{number}", "request": request} for number, request in enumerate(job.requests))
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    found = Preflight(source, job.model).run()
    found.refuse_problems()
    return Bill(found, "batch", DAY)


def _projected(job: Job, bill: Bill, sample: Sequence[Measured], strata: Sequence[Stratum]) -> Projection:
    bounds = [request.get("generationConfig", {}).get("maxOutputTokens") for request in job.requests]
    fees = [fee.usd for fee, _ in bill.fees]
    return project(
        sample,
        Whole(
            len(job.requests),
            bill.input.likely,
            None if None in bounds else max(bounds),
            float(max(fees, default=0)),
            tuple(part.rows for part in strata),
        ),
    )


def _measured(job: Job, request: dict[str, Any]) -> Measured:
    response = answer(find_model(job.model.name), request, drawn=job.drawn)
    usage = response["usageMetadata"]
    asked, said = int(usage["promptTokenCount"]), int(usage.get("candidatesTokenCount", 0))
    thought = int(usage.get("thoughtsTokenCount", 0))
    return Measured(
        of_request(request, job.model), asked, said, thought,
        _usd(job, Usage(input=asked)), _usd(job, Usage(output=said + thought)),
        float(charges.of_response(response, job.model)),
    )  # fmt: skip


def _usd(job: Job, usage: Usage) -> float:
    cost: Decimal = prices.cost(job.model.name, "batch", DAY, usage)
    return float(cost)


def _prompt(dice: Random, sentences: int) -> str:
    return " ".join(dice.choice(SENTENCES).format(dice.choice(SUBJECTS)) for _ in range(dice.randint(1, 2 * sentences)))


def _between(dice: Random, low: float, high: float) -> float:
    return exp(dice.uniform(log(low), log(high)))


def _share(holds: Iterator[bool]) -> float:
    found = [*holds]
    return sum(found) / len(found)


def main() -> None:
    """Run and print; the exit code is 1 when fewer than 95 % of the ranges held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found = [*outcomes(arguments.jobs, arguments.seed)]
    print(table(found))  # noqa: T201 - the table is the point
    sys.exit(_share(each.held for each in found) < 0.95)


if __name__ == "__main__":
    main()
