"""A pipeline as a manifest says it: its stages, each a manifest of its own."""

from pathlib import Path
from typing import Any, NamedTuple

from genai_batch.resources.sources.manifest import Plan, plan

MOST = 12
"""Stages of a pipeline."""
UNTIL_THEN = "job_aaaaaaaaaaaaaaaa"
"""Stands for the job of a stage that is not begun."""


class Part(NamedTuple):
    """A stage as it was written: `value` is a manifest of its own, `reads` the number of the stage it reads from."""

    name: str
    value: dict[str, Any]
    model: str
    reads: int | None = None

    def plan(self, staged: "Staged", job_id: str = UNTIL_THEN) -> Plan:
        """The plan of the stage; `job_id` is the job that it reads from, if it does.

        Raises:
            InvalidRequests: with everything that is wrong with it as a whole.
        """
        return plan_of(self.value, staged.source, staged.base, None if self.reads is None else job_id)


class Staged(NamedTuple):
    """A manifest of stages. `base` is where its paths begin."""

    name: str
    source: str
    base: Path | None
    max_cost_usd: float | None
    parts: list[Part]


def plan_of(value: dict[str, Any], source: str, base: Path | None, job_id: str | None) -> Plan:
    """The plan of a stage's manifest; `job_id` is the job that it reads from, if it does.

    Raises:
        InvalidRequests: with everything that is wrong with it as a whole.
    """
    return plan({**value, "job_id": job_id} if job_id else value, source, base)
