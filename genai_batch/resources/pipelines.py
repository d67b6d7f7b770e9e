"""Pipelines: stages of jobs under one budget, as the ledger records them.

A stage and its job are written down in one transaction, within which the budget is held, so that of two processes one
begins it and nothing is paid twice.
"""

import math
import sqlite3
from typing import Any, NamedTuple

from genai_batch.resources import jobs
from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import OverBudget, UnknownJob
from genai_batch.resources.jobs import BROKEN, Job
from genai_batch.resources.ledger import Ledger

PREFIX = "pipe_"
_ROUNDING = 1e-9
"""USD by which sums of the same prices may differ, added up in another order."""
_SPENT = (
    "SELECT coalesce(sum(coalesce(actual, reserved)), 0) FROM spend WHERE at >= ? "
    "AND job_id IN (SELECT job_id FROM stage WHERE pipeline_id = ?)"
)
_AT_MOST = _SPENT.replace("coalesce(actual, reserved)", "coalesce(actual, max(reserved, coalesce(bound, 0) + lost))")
_LATEST = "SELECT job_id FROM stage WHERE pipeline_id = ? AND job_id IS NOT NULL ORDER BY number DESC LIMIT 1"
_THIS = "WHERE pipeline_id = ? AND number = ?"


class Pipeline(NamedTuple):
    """Stages under one budget, in USD; `id` is also the resume token. Times are seconds since 1970."""

    id: str
    name: str
    source: str
    base: str | None
    digest: str
    budget: float
    again: bool
    backend: str
    account: str
    created_at: float
    ended_at: float | None = None
    cancelled_at: float | None = None


class Stage(NamedTuple):
    """One stage. `reads` is the number of the stage whose rows of one `outcome` it is made of.

    Where it has no job yet, `price` is what it may cost at most if that was more than was left, and `trouble` says why
    it could not be begun.
    """

    number: int
    name: str
    model: str
    lane: str
    outcome: str
    reads: int | None = None
    job_id: str | None = None
    price: float | None = None
    trouble: str | None = None

    def finds_rows(self, job: Job | None) -> bool | None:
        """Whether the job that it reads from has rows for it; None while that is not over."""
        if job is None or not job.is_over:
            return None
        counts = {name: count for name, count in (job.counts or {}).items() if name != "missing"}
        return bool(sum(counts.values()) if self.outcome == "any" else counts.get(self.outcome, 0))


class Taken(Exception):
    """Somebody else was quicker: a stage is begun or given up, or a pipeline is there already."""

    def __init__(self, pipeline_id: str) -> None:
        """Name the pipeline."""
        super().__init__(pipeline_id)
        self.pipeline_id = pipeline_id


def new_id() -> str:
    """Make an unguessable id."""
    return jobs.new_id(PREFIX)


def find(ledger: Ledger, pipeline_id: str) -> Pipeline | None:
    """Find a pipeline, or None."""
    rows = ledger.rows("SELECT * FROM pipeline WHERE id = ?", pipeline_id)
    return _pipeline(rows[0]) if rows else None


def named(ledger: Ledger, job_id: str) -> Pipeline | None:
    """Find the pipeline that is meant by the name of one; None for the name of anything else.

    Raises:
        UnknownJob: there is none of this name.
    """
    if not job_id.startswith(PREFIX):
        return None
    if found := find(ledger, job_id):
        return found
    known = ledger.rows("SELECT id FROM pipeline ORDER BY created_at DESC LIMIT 500")
    raise UnknownJob(job_id, [row["id"] for row in known])


def of_job(ledger: Ledger, job_id: str, at: float = math.inf) -> Pipeline | None:
    """Find the latest pipeline that a job is a stage of, of those that were there `at` a time."""
    stages_of = "SELECT pipeline_id FROM stage WHERE job_id = ?"
    sql = f"SELECT * FROM pipeline WHERE id IN ({stages_of}) AND created_at <= ? ORDER BY created_at DESC"
    rows = ledger.rows(sql, job_id, at)
    return _pipeline(rows[0]) if rows else None


def standing(ledger: Ledger, pipeline: Pipeline) -> Job:
    """The job of the stage that was begun last, which stands for the pipeline."""
    return ledger.job(ledger.rows(_LATEST, pipeline.id)[0]["job_id"])


def stages(ledger: Ledger, pipeline: Pipeline) -> list[Stage]:
    """List the stages in order."""
    columns = ", ".join(Stage._fields)
    rows = ledger.rows(f"SELECT {columns} FROM stage WHERE pipeline_id = ? ORDER BY number", pipeline.id)
    return [Stage(*row) for row in rows]


def plan_of(ledger: Ledger, pipeline: Pipeline, stage: Stage) -> str:
    """The manifest of a stage, as JSON."""
    return ledger.rows(f"SELECT plan FROM stage {_THIS}", pipeline.id, stage.number)[0]["plan"]


def running(ledger: Ledger) -> list[Pipeline]:
    """List the pipelines whose stages may still begin by themselves."""
    rows = ledger.rows("SELECT * FROM pipeline WHERE ended_at IS NULL ORDER BY created_at")
    return [_pipeline(row) for row in rows]


def same(ledger: Ledger, pipeline: Pipeline) -> Pipeline | None:
    """Find a pipeline with the same content, backend and key that was not stopped and of which no stage was lost."""
    broken = ", ".join(f"'{state}'" for state in sorted(BROKEN))
    lost = f"SELECT 1 FROM stage JOIN job ON job.id = job_id WHERE pipeline_id = pipeline.id AND state IN ({broken})"
    sql = (
        "SELECT * FROM pipeline WHERE digest = ? AND backend = ? AND account = ? AND cancelled_at IS NULL "
        f"AND NOT EXISTS ({lost}) ORDER BY created_at DESC LIMIT 1"
    )
    rows = ledger.rows(sql, pipeline.digest, pipeline.backend, pipeline.account)
    return _pipeline(rows[0]) if rows else None


def spent(ledger: Ledger, pipeline: Pipeline) -> float:
    """USD that its stages did cost, or have set aside; what was paid before it began is not counted."""
    return float(ledger.rows(_SPENT, pipeline.created_at, pipeline.id)[0][0])


def at_most(ledger: Ledger, pipeline: Pipeline) -> float:
    """USD that the stages which are begun did cost, or can cost at most."""
    return float(ledger.rows(_AT_MOST, pipeline.created_at, pipeline.id)[0][0])


def allow(ledger: Ledger, pipeline: Pipeline, usd: float) -> None:
    """Let all stages together cost so much, where that is more than now."""
    with ledger.writing() as db:
        db.execute("UPDATE pipeline SET budget = max(budget, ?) WHERE id = ?", (usd, pipeline.id))


def restate(ledger: Ledger, pipeline: Pipeline, usd: float) -> None:
    """Set what all stages together may cost, whether that is more or less than before."""
    with ledger.writing() as db:
        db.execute("UPDATE pipeline SET budget = ? WHERE id = ?", (usd, pipeline.id))


def insert(db: sqlite3.Connection, pipeline: Pipeline, made: list[tuple[Stage, str]]) -> None:
    """Write a pipeline down, each stage with its manifest; inside a transaction."""
    _insert(db, "pipeline", pipeline._asdict())
    for stage, plan in made:
        _insert(db, "stage", {"pipeline_id": pipeline.id, "plan": plan, **stage._asdict()})


def link(db: sqlite3.Connection, job: Job, *, pipeline: Pipeline, number: int, confirm: bool) -> None:
    """Give a stage its job, inside the transaction that records the job; see `hold` for `confirm`.

    Raises:
        Taken: the stage has a job, or the pipeline was stopped.
        OverBudget: the stages would pass the budget.
    """
    open_ = "SELECT 1 FROM pipeline WHERE id = pipeline_id AND cancelled_at IS NULL"
    sql = f"UPDATE stage SET job_id = ?, price = NULL, trouble = NULL {_THIS} AND job_id IS NULL AND EXISTS ({open_})"
    if db.execute(sql, (job.id, pipeline.id, number)).rowcount != 1:
        raise Taken(pipeline.id)
    hold(db, job, pipeline=pipeline, confirm=confirm)


def hold(db: sqlite3.Connection, _job: Job, *, pipeline: Pipeline, confirm: bool) -> None:
    """Hold what all stages may cost against the budget, inside a transaction.

    With `confirm` the budget grows to what those that are begun can cost at most.

    Raises:
        OverBudget: the stages would pass the budget.
    """
    cost = float(db.execute(_SPENT, (pipeline.created_at, pipeline.id)).fetchone()[0])
    budget = float(db.execute("SELECT budget FROM pipeline WHERE id = ?", (pipeline.id,)).fetchone()[0])
    if confirm:
        most = float(db.execute(_AT_MOST, (pipeline.created_at, pipeline.id)).fetchone()[0])
        db.execute("UPDATE pipeline SET budget = max(budget, ?) WHERE id = ?", (most, pipeline.id))
    elif cost > budget + _ROUNDING:
        raise OverBudget(f"The stages may cost {dollars(cost)} of {dollars(budget)}.")


def note(ledger: Ledger, pipeline: Pipeline, stage: Stage, *, price: float | None, trouble: str | None) -> None:
    """Say what keeps a stage from being begun."""
    with ledger.writing() as db:
        sql = f"UPDATE stage SET price = ?, trouble = ? {_THIS} AND job_id IS NULL"
        db.execute(sql, (price, trouble, pipeline.id, stage.number))


def end(ledger: Ledger, pipeline: Pipeline, now: float) -> None:
    """Say that nothing more begins by itself."""
    with ledger.writing() as db:
        db.execute("UPDATE pipeline SET ended_at = coalesce(ended_at, ?) WHERE id = ?", (now, pipeline.id))


def stop(ledger: Ledger, pipeline: Pipeline, now: float) -> None:
    """Begin no more stages."""
    with ledger.writing() as db:
        db.execute("UPDATE pipeline SET cancelled_at = coalesce(cancelled_at, ?) WHERE id = ?", (now, pipeline.id))


def go_on(ledger: Ledger, pipeline: Pipeline) -> None:
    """Let stages begin again, those that could not be begun among them."""
    with ledger.writing() as db:
        db.execute("UPDATE pipeline SET ended_at = NULL, cancelled_at = NULL WHERE id = ?", (pipeline.id,))
        db.execute("UPDATE stage SET trouble = NULL WHERE pipeline_id = ? AND job_id IS NULL", (pipeline.id,))


def _insert(db: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    marks = ", ".join(f":{name}" for name in values)
    db.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", values)


def _pipeline(row: sqlite3.Row) -> Pipeline:
    found = Pipeline(*(row[name] for name in Pipeline._fields))
    return found._replace(again=bool(found.again))
