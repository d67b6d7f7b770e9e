"""What jobs may cost and did cost: money is set aside before an attempt is sent and given back when it is over.

These run inside a transaction of the ledger, so two processes cannot both take the last of a day's limit. A day is one
of UTC, and an attempt counts on the day on which it is sent. What the ledger dates later than today was spent before
somebody set the clock back: it counts today as well.
"""

import sqlite3
from typing import NamedTuple

from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import OverBudget
from genai_batch.resources.jobs import Job, StopReason

DAY_S = 86_400
_OF_A_DAY = "SELECT coalesce(sum(max(coalesce(actual, reserved) - carried, 0)), 0) FROM spend WHERE at >= ?"
_ACTUAL = "UPDATE spend SET actual = max(0, ? - {}) + lost WHERE job_id = ? AND attempt = ?"
_EARLIER = "(SELECT coalesce(sum(actual - lost), 0) FROM spend WHERE job_id = ? AND attempt < ?)"
_MAYBE_SENT = "SELECT 1 FROM shard WHERE job_id = ? AND attempt = ? AND (batch IS NOT NULL OR sent_at IS NOT NULL)"
_THIS = "WHERE job_id = ? AND attempt = ?"
_PIPELINE = (
    "SELECT pipeline.id, budget, created_at FROM pipeline JOIN stage ON pipeline_id = pipeline.id "
    "WHERE job_id = ? AND created_at <= ? ORDER BY created_at DESC LIMIT 1"
)
_OF_A_PIPELINE = (
    "SELECT coalesce(sum(coalesce(actual, reserved)), 0) FROM spend WHERE at >= ? AND NOT (job_id = ? AND attempt = ?) "
    "AND job_id IN (SELECT job_id FROM stage WHERE pipeline_id = ?)"
)


class Budget(NamedTuple):
    """What one attempt sets aside, and what all attempts of a day may cost together; USD, None is no limit.

    `bound` is the most that the attempt can cost, `allowed` what it may cost before somebody approves more.
    """

    most: float
    per_day: float | None = None
    bound: float | None = None
    allowed: float | None = None


class Account(NamedTuple):
    """What the ledger knows of the money of one attempt; see `schema.sql`."""

    at: float
    reserved: float
    actual: float | None
    bound: float | None
    allowed: float | None
    lost: float
    carried: float
    in_flight: int

    @property
    def most(self) -> float | None:
        """USD that the attempt can cost at most if no further call is lost; None where that is not known."""
        return None if self.bound is None else self.bound + self.lost

    @property
    def spent(self) -> float:
        """USD that the attempt, which is over, did cost; where that is not known, what it can have cost at most.

        A run whose rows all fit into the limit sets no more aside than is likely, so that this may be more.
        """
        if self.actual is not None:
            return self.actual
        if self.most is None or self.allowed is None:
            return max(self.reserved, self.most or 0)
        return min(self.allowed, self.most)


def reserve(db: sqlite3.Connection, job_id: str, attempt: int, now: float, budget: Budget) -> None:
    """Set the money for an attempt aside.

    Raises:
        OverBudget: the day's limit would be passed.
    """
    spent = of_day(db, now)
    if budget.per_day is not None and spent + budget.most > budget.per_day:
        raise OverBudget(
            f"This may cost {dollars(budget.most)}, and {dollars(spent)} of today's {dollars(budget.per_day)} "
            "(GENAI_BATCH_MAX_COST_USD_PER_DAY) are spent or set aside for jobs under way. Nothing was sent. What a "
            "job does not use is given back when it ends or stops; max_output_tokens or a pilot narrows the estimate. "
            "Only the setting lifts this limit, confirm does not."
        )
    db.execute(
        "INSERT INTO spend (job_id, attempt, at, reserved, bound, allowed) VALUES (?, ?, ?, ?, ?, ?)",
        (job_id, attempt, now, budget.most, budget.bound, budget.allowed),
    )


def account(db: sqlite3.Connection, job_id: str, attempt: int) -> Account | None:
    """Read the money of an attempt; None for an adopted job, which has none."""
    row = db.execute(f"SELECT {', '.join(Account._fields)} FROM spend {_THIS}", (job_id, attempt)).fetchone()
    return Account(*row) if row else None


def limit_passed(
    db: sqlite3.Connection,
    job_id: str,
    attempt: int,
    now: float,
    needed: float,
    spent: float,
    per_day: float | None,
    *,
    in_flight: float = 0,
) -> StopReason | None:
    """Raise what an attempt has set aside to `needed` USD in all, or name the limit that does not allow it.

    `spent` is what it may have cost until now. Where another day has begun, that stays with the earlier ones, but not
    the bounds of the calls `in_flight`: they cost less, and the rest would be a credit on the new day.
    """
    _begin_day(db, job_id, attempt, now, spent, in_flight)
    if (row := account(db, job_id, attempt)) is None:
        return None
    if row.allowed is not None and needed > row.allowed:
        return "job_limit"
    if row.allowed is None and (shared := of_pipeline(db, job_id, attempt, row.at)):
        budget, others = shared
        if others + needed > budget:
            return "pipeline_limit"
    if per_day is not None:
        others = of_day(db, now) - max(row.reserved - row.carried, 0)
        if others + max(needed - row.carried, 0) > per_day:
            return "day_limit"
    db.execute(f"UPDATE spend SET reserved = max(reserved, ?) {_THIS}", (needed, job_id, attempt))
    return None


def _begin_day(db: sqlite3.Connection, job_id: str, attempt: int, now: float, spent: float, in_flight: float) -> None:
    row = account(db, job_id, attempt)
    if row is not None and row.at < now // DAY_S * DAY_S:
        changes = (now, spent, spent + in_flight, job_id, attempt)
        db.execute(f"UPDATE spend SET at = ?, carried = ?, reserved = ? {_THIS}", changes)


def note(db: sqlite3.Connection, job_id: str, attempt: int, *, lost: float, in_flight: int | None) -> None:
    """Record what calls without an answer may have cost, and how many rows may be on their way; None: as before."""
    sql = f"UPDATE spend SET lost = ?, in_flight = coalesce(?, in_flight) {_THIS}"
    db.execute(sql, (lost, in_flight, job_id, attempt))


def give_back(db: sqlite3.Connection, job_id: str, attempt: int, spent: float) -> None:
    """Leave no more set aside for an attempt, of which nothing is under way, than the USD that it may have cost."""
    db.execute(f"UPDATE spend SET reserved = min(reserved, ?) {_THIS}", (spent, job_id, attempt))


def bound_again(db: sqlite3.Connection, job_id: str, attempt: int, bound: float) -> None:
    """Raise the most that the rows of an attempt can cost, once answers were dearer than anybody thought."""
    db.execute(f"UPDATE spend SET bound = max(bound, ?) {_THIS}", (bound, job_id, attempt))


def lift(db: sqlite3.Connection, job_id: str, attempt: int, to: float | None = None) -> None:
    """Let an attempt cost as much as it can, or up to `to` USD where that is more than now.

    The budget of a pipeline grows to hold what its stage can cost.
    """
    if (row := account(db, job_id, attempt)) is None:
        return
    more = to if to is not None else row.most
    if row.allowed is not None:
        if more is not None:
            db.execute(f"UPDATE spend SET allowed = max(allowed, ?) {_THIS}", (more, job_id, attempt))
    elif more is not None and (pipeline := _pipeline(db, job_id, row.at)):
        pipeline_id, _, created_at = pipeline
        others = db.execute(_OF_A_PIPELINE, (created_at, job_id, attempt, pipeline_id)).fetchone()[0]
        db.execute("UPDATE pipeline SET budget = max(budget, ?) WHERE id = ?", (others + more, pipeline_id))


def restate(db: sqlite3.Connection, job_id: str, attempt: int, allowed: float) -> None:
    """Set what an attempt may cost before somebody approves more, whether that is more or less than before."""
    db.execute(f"UPDATE spend SET allowed = ? {_THIS}", (allowed, job_id, attempt))


def left(db: sqlite3.Connection, job_id: str, attempt: int) -> float | None:
    """USD that an attempt which is over has left of what it was allowed; None where that is not limited."""
    row = account(db, job_id, attempt)
    if row is None or row.allowed is None:
        return None
    return max(0.0, row.allowed - row.spent)


def settle(db: sqlite3.Connection, job: Job, paid_at_most: float | None = None) -> None:
    """Record what the latest attempt of a job that is over did cost; where that is not known, `paid_at_most` USD.

    Calls whose answers never came count as well, since they may have been billed. Where nothing is known of the cost
    what was set aside stays so.
    """
    this = (job.id, job.attempt)
    if job.cost is not None:
        db.execute(_ACTUAL.format(_EARLIER), (job.cost, *this, *this))
    elif paid_at_most is not None:
        db.execute(f"UPDATE spend SET actual = ? + lost {_THIS}", (paid_at_most, *this))
    elif db.execute(_MAYBE_SENT, this).fetchone() is None:
        db.execute("UPDATE spend SET actual = 0 WHERE job_id = ? AND attempt = ?", this)


def of_day(db: sqlite3.Connection, now: float) -> float:
    """USD spent or set aside on the day of `now`."""
    return float(db.execute(_OF_A_DAY, (now // DAY_S * DAY_S,)).fetchone()[0])


def of_pipeline(db: sqlite3.Connection, job_id: str, attempt: int, at: float) -> tuple[float, float] | None:
    """Read the budget of the pipeline that pays for an attempt begun at `at`, and what its other attempts cost, in USD.

    None for an attempt that is not paid out of a budget.
    """
    if (pipeline := _pipeline(db, job_id, at)) is None:
        return None
    pipeline_id, budget, created_at = pipeline
    others = db.execute(_OF_A_PIPELINE, (created_at, job_id, attempt, pipeline_id)).fetchone()[0]
    return budget, float(others)


def _pipeline(db: sqlite3.Connection, job_id: str, at: float) -> tuple[str, float, float] | None:
    """The pipeline that pays for a job: its id, its budget, and since when its stages count."""
    row = db.execute(_PIPELINE, (job_id, at)).fetchone()
    return (row[0], row[1], row[2]) if row else None
