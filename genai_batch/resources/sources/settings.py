"""What a manifest says of its job as a whole, beside the requests."""

from pathlib import Path
from typing import Literal, NamedTuple

from genai_batch.resources.answers import Problem


class Settings(NamedTuple):
    """What to call a job, where to run it, what it may cost, and what was told while its requests were made.

    `changed_since` is the job that these were compared with; what that had sent is left out. `files` is where the
    local files are kept that the requests name, `beside` where outputs and columns are, by key. `stop_on_failures` is
    the percentage of failed rows at which it stops. `dedupe` asks that equal requests are sent once; where that was
    done, `equal` is the file of the rows that get the answer of another, and `rows` counts them and the others.
    """

    name: str | None = None
    lane: Literal["batch", "flex", "live", "auto"] | None = None
    max_cost_usd: float | None = None
    concurrency: int | None = None
    deadline_h: float | None = None
    fallback: Literal["standard"] | None = None
    stop_on_failures: float | None = None
    dedupe: bool = False
    warnings: tuple[Problem, ...] = ()
    changed_since: str | None = None
    files: Path | None = None
    beside: Path | None = None
    equal: Path | None = None
    rows: int | None = None
