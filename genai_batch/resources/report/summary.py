"""What is said of a job that is over, on a page of any form."""

from collections.abc import Iterator
from typing import NamedTuple

from genai_batch.resources.answers import brief, dollars
from genai_batch.resources.jobs import Job
from genai_batch.resources.outcomes import LOOP
from genai_batch.resources.report.failures import Kind
from genai_batch.resources.report.text import visible
from genai_batch.resources.results import Results

PER_ROW = "A batch does not tell when each of its rows was answered."


class Step(NamedTuple):
    """Something to do next: sending `rows` again, or what no call does."""

    rows: str | None
    said: str


def money(amount: float | None) -> str:
    """An amount of USD that may not be known."""
    return "unknown" if amount is None else dollars(amount)


def expected(job: Job) -> str:
    """What a job was thought to cost."""
    if job.estimate is None:
        return "not estimated"
    if job.estimate_low is None or job.estimate_high is None:
        return f"{dollars(job.estimate)} estimated"
    return f"{dollars(job.estimate)} estimated, {dollars(job.estimate_low)} to {dollars(job.estimate_high)}"


def odd(results: Results) -> Iterator[tuple[str, list[str]]]:
    """What is not right with the answers as a whole, with some foreign words on it."""
    count, why = results.unmatched(3)
    if count:
        what = "row came back that matches" if count == 1 else "rows came back that match"
        yield f"{count:,} {what} no request", why
    if count := results.repeated:
        what = "answer" if count == 1 else "answers"
        said = f"{count:,} {what} to a key that was answered before; an ok one is preferred"
        yield said, [brief(key, 60) for key in results.repeated_keys[:3]]


def following(job: Job, kinds: list[Kind]) -> list[Step]:
    """What can be done about the failures of a job; of an adopted one the requests are not here to be sent again."""
    steps: list[Step] = []
    again = {kind.outcome for kind in kinds if kind.retryable}
    if again and job.bytes:
        steps.append(Step("missing" if again == {"missing"} else "unfinished", "sends what may succeed again"))
    if job.bytes and any(kind.outcome == "truncated" and kind.code != LOOP for kind in kinds):
        steps.append(Step("truncated", "sends what was cut again, with twice the output"))
    if any(kind.retryable is False and (kind.outcome != "truncated" or kind.code == LOOP) for kind in kinds):
        steps.append(Step(None, "What would fail again needs another prompt or setting: put it into a new file."))
    return steps


def verdict(kind: Kind) -> str:
    """Whether sending failures of a class again helps."""
    if kind.code == LOOP:
        return "repeats itself; more output would not help"
    if kind.outcome == "truncated":
        return "needs more output"
    if kind.retryable is None:
        return "not looked at"
    return "may succeed when sent again" if kind.retryable else "would fail again"


def name(kind: Kind) -> str:
    """What a class of failures is called."""
    code = visible(kind.code, 60)
    return kind.outcome if code in (kind.outcome, "missing") else f"{kind.outcome} {code}"
