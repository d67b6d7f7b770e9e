"""What jobs may cost and did cost: money is set aside before an attempt is sent and given back when it is over.

These run inside a transaction of the ledger, so two processes cannot both take the last of a day's limit. A day is one
of UTC, and an attempt counts on the day it was started.
"""

import sqlite3
from typing import NamedTuple

from genai_batch.resources.answers import dollars
from genai_batch.resources.errors import OverBudget
from genai_batch.resources.jobs import Job

DAY_S = 86_400
_OF_A_DAY = "SELECT coalesce(sum(coalesce(actual, reserved)), 0) FROM spend WHERE at >= ? AND at < ?"
_ACTUAL = "UPDATE spend SET actual = max(0, ? - {}) WHERE job_id = ? AND attempt = ?"
_EARLIER = "(SELECT coalesce(sum(actual), 0) FROM spend WHERE job_id = ? AND attempt < ?)"
_MAYBE_SENT = "SELECT 1 FROM shard WHERE job_id = ? AND attempt = ? AND (batch IS NOT NULL OR sent_at IS NOT NULL)"


class Budget(NamedTuple):
    """What one attempt may cost at most, and what all attempts of a day may together; USD, None is no limit."""

    most: float
    per_day: float | None = None


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
            "job does not use is given back when it ends; max_output_tokens or a pilot narrows the estimate. Only the "
            "setting lifts this limit, confirm does not."
        )
    db.execute(
        "INSERT INTO spend (job_id, attempt, at, reserved) VALUES (?, ?, ?, ?)", (job_id, attempt, now, budget.most)
    )


def settle(db: sqlite3.Connection, job: Job) -> None:
    """Record what the latest attempt of a job that is over did cost; where that is not known it stays set aside."""
    this = (job.id, job.attempt)
    if job.cost is not None:
        db.execute(_ACTUAL.format(_EARLIER), (job.cost, *this, *this))
    elif db.execute(_MAYBE_SENT, this).fetchone() is None:
        db.execute("UPDATE spend SET actual = 0 WHERE job_id = ? AND attempt = ?", this)


def of_day(db: sqlite3.Connection, now: float) -> float:
    """USD spent or set aside on the day of `now`."""
    start = now // DAY_S * DAY_S
    return float(db.execute(_OF_A_DAY, (start, start + DAY_S)).fetchone()[0])
