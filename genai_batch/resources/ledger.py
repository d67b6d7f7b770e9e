"""The SQLite record of jobs, shards and every change of state. Several processes use one ledger at once."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from genai_batch.resources import owners, spend
from genai_batch.resources.answers import Range
from genai_batch.resources.calibration import Past
from genai_batch.resources.database import Database
from genai_batch.resources.errors import BatchError, UnknownJob
from genai_batch.resources.jobs import BROKEN, Job, Shard, Snapshot, State
from genai_batch.resources.prices import Lane
from genai_batch.resources.spend import Account, Budget

LEASE_S = 30
"""Seconds a lease lasts unless it is renewed."""
_PAST = 20
"""Earlier jobs that teach about a new one, the latest."""
_JOB = tuple(Job.model_fields)
_SHARD = tuple(Shard.model_fields)
_SETTLE_UNSENT = "UPDATE shard SET collected_at = ? WHERE job_id = ? AND batch IS NULL AND collected_at IS NULL"
_THIS_SHARD = "job_id = :job_id AND number = :number"

Also = Callable[[sqlite3.Connection, Job], None]
"""Writes what belongs to a job while that is recorded."""


class Attempt(NamedTuple):
    """Rows of a finished job that are to be sent again.

    `estimate` is what it may cost in `lane`; `place` puts the requests where they belong, once it is certain whose
    attempt it is. `also` writes what belongs to the attempt, in the transaction that records it.
    """

    shards: list[Shard]
    estimate: Range
    budget: Budget
    place: Callable[[], object]
    lane: Lane = "batch"
    also: Also | None = None


class Told(NamedTuple):
    """What a pilot of so many rows told of a source, in USD for all of it in one lane."""

    digest: str
    model: str
    lane: str
    backend: str
    low: float
    likely: float
    high: float
    rows: int


class Ledger(Database):
    """Jobs and shards as they were last known. Every write is one transaction."""

    def __init__(self, home: Path) -> None:
        """Open or create `home/ledger.db`, taking the steps of `schema.sql` that it lacks.

        Raises:
            LedgerError: the home cannot be used.
        """
        super().__init__(home)
        self._owner = owners.Owner(home)
        self._is_twin = False
        self.begun: str | None = None
        """The job that was recorded or opened again here last."""

    def twin(self) -> "Ledger":
        """The same ledger, and the same owner of leases, through a connection of its own: for use in a thread."""
        made = Ledger(self.home)
        made._owner, made._is_twin = self._owner, True
        return made

    def close(self) -> None:
        """Let go of the file, and of the leases that may be left."""
        super().close()
        if not self._is_twin:
            self._owner.close()

    @property
    def owner(self) -> str:
        """The name of this process as an owner of leases."""
        return self._owner.id

    def record(
        self, job: Job, shards: list[Shard], *, again: bool, budget: Budget | None = None, also: Also | None = None
    ) -> Job:
        """Write a new job down before anything is sent; unless `again`, return the same job recorded before instead.

        `also` writes what belongs to the job, in the same transaction; what it raises leaves everything as it was.

        Raises:
            OverBudget: the day's limit would be passed; nothing is recorded.
        """
        with self.writing():
            if not again and (known := self.same(job)):
                if also:
                    also(self._db, known)
                return known
            self._insert("job", _plain(job))
            if budget:
                spend.reserve(self._db, job.id, job.attempt, job.created_at, budget)
            for shard in shards:
                self._insert("shard", {**shard.model_dump(), "made_at": job.created_at})
            self._event(job.id, job.created_at, job.state, "recorded")
            if also:
                also(self._db, job)
        self.begun = job.id
        return job

    def job(self, job_id: str) -> Job:
        """Find a job by its id or the provider's name of one of its shards.

        Raises:
            UnknownJob: with the nearest ids.
        """
        if (job := self.find(job_id)) is None:
            raise UnknownJob(
                job_id, [row["id"] for row in self.rows("SELECT id FROM job ORDER BY created_at DESC LIMIT 500")]
            )
        return job

    def find(self, job_id: str) -> Job | None:
        """Find a job, or None."""
        rows = self.rows(
            "SELECT * FROM job WHERE id = ? OR id = (SELECT job_id FROM shard WHERE batch = ?)", job_id, job_id
        )
        return _job(rows[0]) if rows else None

    def shards(self, job_id: str) -> list[Shard]:
        """List the shards of a job in order."""
        rows = self.rows("SELECT * FROM shard WHERE job_id = ? ORDER BY number", job_id)
        return [_shard(row) for row in rows]

    def shard(self, job_id: str, number: int) -> Shard:
        """Read one shard as it is now."""
        return _shard(self.rows("SELECT * FROM shard WHERE job_id = ? AND number = ?", job_id, number)[0])

    def snapshot(self, job_id: str) -> Snapshot:
        """Read a job and its shards.

        Raises:
            UnknownJob: with the nearest ids.
        """
        job = self.job(job_id)
        return Snapshot(job, self.shards(job.id))

    def jobs(self, job_ids: list[str]) -> dict[str, Job]:
        """Read several jobs, by id."""
        rows = self.rows("SELECT * FROM job WHERE id IN (SELECT value FROM json_each(?))", json.dumps(job_ids))
        return {row["id"]: _job(row) for row in rows}

    def open_jobs(self) -> list[Job]:
        """List the jobs that are not over, oldest first."""
        return [_job(row) for row in self.rows("SELECT * FROM job WHERE ended_at IS NULL ORDER BY created_at")]

    def page(self, state: State | None, limit: int, after: str | None) -> list[Job]:
        """List jobs, finished but uncollected first and then the newest, after the job `after`.

        Raises:
            UnknownJob: `after` is none of them.
        """
        if after is not None:
            self.job(after)
        collected = "SELECT min(collected_at IS NOT NULL OR finished_at IS NULL) FROM shard WHERE job_id = job.id"
        order = f"({collected}), -created_at, id"
        ranked = f"SELECT job.*, row_number() OVER (ORDER BY {order}) AS place FROM job WHERE ?1 IS NULL OR state = ?1"
        start = "coalesce((SELECT place FROM ranked WHERE id = ?3), 0)"
        sql = f"WITH ranked AS ({ranked}) SELECT * FROM ranked WHERE place > {start} ORDER BY place LIMIT ?2"
        return [_job(row) for row in self.rows(sql, state, limit, after)]

    def progress(self, most: int) -> dict[str, tuple[State, int]]:
        """State and finished rows of the open and the latest jobs, by id."""
        done = "(SELECT sum(done) FROM shard WHERE job_id = job.id)"
        latest = "id IN (SELECT id FROM job ORDER BY created_at DESC LIMIT ?) OR ended_at IS NULL"
        rows = self.rows(f"SELECT id, state, {done} AS done FROM job WHERE {latest}", most)
        return {row["id"]: (row["state"], row["done"]) for row in rows}

    def advance(
        self, job_id: str, now: float, attempt: int | None = None, *, paid_at_most: float | None = None, **changes: Any
    ) -> Job:
        """Change a job that is not over; a new state becomes an event, an end its time.

        A job that is over stays as it is, and so does one at another than the given attempt: who was held up while
        others went on has nothing to say about it. `paid_at_most` are USD that the answers of the attempt can have
        cost, where the cost of the job is not known.
        """
        with self.writing():
            job = self.job(job_id)
            if job.is_over or attempt not in (None, job.attempt):
                return job
            changed = job.model_copy(update=changes)
            if changed.is_over:
                changed = changed.model_copy(update={"ended_at": now})
            self._update("job", _plain(changed), "id = :id")
            if changed.state != job.state:
                self._event(job_id, now, changed.state, changed.notice)
            if changed.is_over:
                spend.settle(self._db, changed, paid_at_most)
        return changed

    def reopen(self, job: Job, attempt: Attempt, now: float) -> Job:
        """Begin another attempt of a job that is over: its new batches are written down before anything is sent.

        Raises:
            BatchError: another process has begun one; or OverBudget: a limit would be passed. All is as it was.
        """
        with self.writing():
            known = self.job(job.id)
            if not known.is_over or known.attempt != job.attempt:
                raise BatchError(f"{job.id} has just been taken up elsewhere; nothing was sent. See check_status.")
            self._db.execute(_SETTLE_UNSENT, (now, job.id))
            spend.reserve(self._db, job.id, job.attempt + 1, now, attempt.budget)
            if attempt.also:
                attempt.also(self._db, known)
            attempt.place()
            changes = {"state": "JOB_STATE_QUEUED", "ended_at": None, "cancelled_at": None, "attempt": job.attempt + 1}
            whole = _raised(known, attempt.estimate) if self._maybe_charged(known) else _priced(attempt.estimate)
            changes |= {**whole, "begins": json.dumps([*known.begins, known.results_bytes])}
            changes["lanes"] = json.dumps([*map(known.lane_of, range(1, known.attempt + 1)), attempt.lane])
            self._update("job", {**changes, "notice": None, "id": job.id}, "id = :id")
            for shard in attempt.shards:
                self._insert("shard", {**shard.model_dump(), "made_at": now})
            self._event(job.id, now, "JOB_STATE_QUEUED", f"attempt {job.attempt + 1}")
        self.begun = job.id
        return self.job(job.id)

    def mark(self, shard: Shard, **changes: Any) -> Shard:
        """Change a shard; one that is collected stays as it is, since an older answer may come in late."""
        with self.writing():
            self._change(shard, **changes)
        return shard.model_copy(update=changes)

    def intend(self, shard: Shard, now: float) -> Shard | None:
        """Record that a create is about to be sent; None when the lease is lost or another was quicker."""
        held = "lease_owner = :me AND lease_until >= :now AND ended_at IS NULL AND cancelled_at IS NULL"
        mine = f"EXISTS (SELECT 1 FROM job WHERE id = :job_id AND {held})"
        sql = f"UPDATE shard SET sent_at = :now WHERE {_THIS_SHARD} AND batch IS NULL AND sent_at IS :seen AND {mine}"
        given = {"now": now, "seen": shard.sent_at, "me": self.owner, "job_id": shard.job_id, "number": shard.number}
        with self.writing():
            if self._db.execute(sql, given).rowcount != 1:
                return None
        return self.shard(shard.job_id, shard.number)

    def accepted(self, shard: Shard, batch: str, state: str, done: int, now: float) -> bool:
        """Record the batch that was made of a shard; False when it has become another, or was given up, meanwhile."""
        told = {"batch": batch, "state": state, "done": done, "polled_at": now, "changed_at": now}
        calm = {"error": None, "tries": 0, "next_try_at": None, "trouble": None, "denied_at": None, "stopped_at": None}
        with self.writing():
            known = self.shard(shard.job_id, shard.number)
            if known.batch not in (None, batch) or known.collected_at is not None:
                return known.batch == batch
            self._change(shard, **told, **calm)
        return True

    def not_sent(self, shard: Shard) -> None:
        """Take the intent to send a shard back, unless another process has intended it anew."""
        sql = f"UPDATE shard SET sent_at = NULL WHERE {_THIS_SHARD} AND batch IS NULL AND sent_at = :sent_at"
        with self.writing():
            self._db.execute(sql, {"job_id": shard.job_id, "number": shard.number, "sent_at": shard.sent_at})

    def collected(self, shard: Shard, start: int, end: int, now: float, **changes: Any) -> None:
        """Record that a shard's rows are in results.jsonl from `start` to `end`.

        Nothing is recorded for who has lost the lease or found another start: another process has done it meanwhile.
        """
        sql = "UPDATE job SET results_bytes = ? WHERE id = ? AND results_bytes = ? AND lease_owner = ?"
        with self.writing():
            if self._db.execute(sql, (end, shard.job_id, start, self.owner)).rowcount == 1:
                self._change(shard, collected_at=now, **changes)

    def settle(self, shard: Shard, now: float, state: str, error: str) -> None:
        """Record that nothing is to be had from a shard."""
        with self.writing():
            self._change(shard, collected_at=now, state=state, error=error)

    def spent(self, now: float) -> float:
        """USD spent or set aside on the day of `now`."""
        with self._guard():
            return spend.of_day(self._db, now)

    def account(self, job_id: str, attempt: int) -> Account | None:
        """Read the money of an attempt of a job; None for an adopted job, which has none."""
        with self._guard():
            return spend.account(self._db, job_id, attempt)

    def unspent(self, job: Job) -> float | None:
        """USD that the attempts of a job have left of what it may cost; None where that is not limited."""
        with self._guard():
            return spend.left(self._db, job.id, job.attempt)

    def restate(self, job: Job, allowed: float) -> None:
        """Let the latest attempt of a job cost so many USD from now on, more or less than before."""
        with self.writing() as db:
            spend.restate(db, job.id, job.attempt, allowed)

    def paid_before(self, job: Job) -> float:
        """USD that the attempts of a job before the latest one did cost, or can have cost."""
        with self._guard():
            earlier = (spend.account(self._db, job.id, attempt) for attempt in range(job.attempt))
            return sum(account.spent for account in earlier if account)

    def paid_for_pilots(self, of: Job, *, but: str | None = None) -> float:
        """USD that all pilots of a job's source did cost, or can have cost, in any lane; `but` names one to skip."""
        where = "pilot_of = ? AND model = ? AND backend = ? AND id IS NOT ?"
        rows = self.rows(f"SELECT * FROM job WHERE {where}", of.digest, of.model, of.backend, but)
        with self._guard():
            paid = [
                (spend.account(self._db, other.id, other.attempt), self.paid_before(other)) for other in map(_job, rows)
            ]
        return sum((account.spent if account else 0) + before for account, before in paid)

    def shared_budget(self, job: Job, at: float) -> tuple[float, float] | None:
        """Read the budget that pays for the latest attempt of a job and for others, and what those cost, in USD."""
        with self._guard():
            return spend.of_pipeline(self._db, job.id, job.attempt, at)

    def past(self, model: str, backend: str, shape: str) -> list[Past]:
        """Find what the latest jobs of a model and shape were thought to cost and did cost."""
        sql = (
            "SELECT expected, cost * 1.0 AS actual FROM job WHERE model = ? AND backend = ? AND shape = ? "
            "AND attempt = 0 AND state = 'JOB_STATE_SUCCEEDED' AND cost * 1.0 > 0 AND expected > 0 "
            "AND NOT EXISTS (SELECT 1 FROM json_each(counts) WHERE key NOT IN ('ok', 'truncated')) "
            "AND fallback IS NULL ORDER BY created_at DESC LIMIT ?"
        )
        return [Past(row["expected"], row["actual"]) for row in self.rows(sql, model, backend, shape, _PAST)]

    def note_pilot(self, told: Told, now: float) -> None:
        """Keep what a pilot told of a source, unless one of more rows has."""
        with self.writing():
            known = self.pilot_of(told.digest, told.model, told.lane, told.backend)
            if known is None or known.rows <= told.rows:
                columns, values = ", ".join((*Told._fields, "at")), ", ".join("?" for _ in (*told, now))
                self._db.execute(f"INSERT OR REPLACE INTO piloted ({columns}) VALUES ({values})", (*told, now))

    def pilot_of(self, digest: str, model: str, lane: str, backend: str) -> Told | None:
        """Find what a pilot told of the same content."""
        sql = "SELECT * FROM piloted WHERE digest = ? AND model = ? AND lane = ? AND backend = ?"
        rows = self.rows(sql, digest, model, lane, backend)
        return Told(*(rows[0][name] for name in Told._fields)) if rows else None

    def note_written(self, path: Path, content: Path | None = None, job_id: str | None = None) -> None:
        """Note a file that was just written for its user; with `content`, that this file is about to become it.

        Until it has, the one that is there counts as ours as well. `job_id` names the job whose results it holds.
        """
        size, digest = _digest_of(content or path)
        with self.writing() as db:
            if content is None:
                db.execute("DELETE FROM written_content WHERE path = ?", (str(path),))
            db.execute("INSERT OR REPLACE INTO written_content VALUES (?, ?, ?, ?)", (str(path), size, digest, job_id))

    def job_written(self, path: Path) -> str | None:
        """The job whose results a file holds, if it is as it was written from here."""
        sql = "SELECT job_id FROM written_content WHERE size = ? AND digest = ? AND job_id IS NOT NULL"
        rows = self.rows(sql, *_digest_of(path)) if path.is_file() else []
        return rows[0]["job_id"] if rows else None

    def has_written(self, path: Path) -> bool:
        """Whether a file has the content of one that was written from here, wherever that was."""
        if not path.is_file():
            return False
        stat = path.stat()
        if self.rows("SELECT 1 FROM written_content WHERE size = ? LIMIT 1", stat.st_size):
            sql = "SELECT 1 FROM written_content WHERE size = ? AND digest = ?"
            if self.rows(sql, *_digest_of(path)):
                return True
        sql = "SELECT 1 FROM written WHERE path = ? AND size = ? AND mtime_ns = ?"
        return bool(self.rows(sql, str(path), stat.st_size, stat.st_mtime_ns))

    def make_room(self, job_id: str, until: float) -> None:
        """Let the shards of a job that wait to be sent, no longer than `until`, be tried at once."""
        waiting = "batch IS NULL AND collected_at IS NULL AND next_try_at <= ?"
        with self.writing():
            self._db.execute(f"UPDATE shard SET next_try_at = NULL WHERE job_id = ? AND {waiting}", (job_id, until))

    def by_display_name(self, name: str) -> Shard | None:
        """Find a shard by the unique name it was sent under."""
        rows = self.rows("SELECT * FROM shard WHERE display_name = ?", name)
        return _shard(rows[0]) if rows else None

    def claim(self, job_id: str, now: float) -> bool:
        """Take or renew the lease on a job; False while another living process has it.

        An owner on this machine that has ended is known at once; any other by the time of its lease.
        """
        self._owner.hold()
        if self._claimed(job_id, now, gone=None):
            return True
        holder = self.held(job_id, now)
        return holder is not None and self.is_gone(holder[0]) and self._claimed(job_id, now, gone=holder[0])

    def _claimed(self, job_id: str, now: float, gone: str | None) -> bool:
        """Write the lease down where it is free, or held by the owner that is gone."""
        free = "lease_owner IS NULL OR lease_owner IN (:me, :gone) OR lease_until < :now"
        sql = f"UPDATE job SET lease_owner = :me, lease_until = :until WHERE id = :id AND ({free})"
        values = {"id": job_id, "me": self.owner, "gone": gone, "now": now, "until": now + LEASE_S}
        with self.writing():
            return self._db.execute(sql, values).rowcount == 1

    def hold(self) -> None:
        """Make this process known as living before it takes a lease."""
        self._owner.hold()

    def is_gone(self, owner: str) -> bool:
        """Whether the owner of a lease is a process of this machine that has ended."""
        return owners.is_dead(self.home, owner)

    def is_orphaned(self, job_id: str, now: float) -> bool:
        """Whether the lease on a job is held by a process of this machine that has ended."""
        holder = self.held(job_id, now)
        return holder is not None and self.is_gone(holder[0])

    def held(self, job_id: str, now: float) -> tuple[str, float] | None:
        """Which other process has the lease on a job, and until when; None where none has."""
        sql = "SELECT lease_owner, lease_until FROM job WHERE id = ? AND lease_owner != ? AND lease_until >= ?"
        rows = self.rows(sql, job_id, self.owner, now)
        return (rows[0]["lease_owner"], rows[0]["lease_until"]) if rows else None

    def release(self, job_id: str) -> None:
        """Give the lease back."""
        with self.writing():
            self._db.execute("UPDATE job SET lease_owner = NULL WHERE id = ? AND lease_owner = ?", (job_id, self.owner))

    def events(self, job_id: str) -> list[tuple[float, str, str | None]]:
        """List the changes of a job's state: when, to what, why."""
        rows = self.rows("SELECT at, state, note FROM event WHERE job_id = ? ORDER BY at, rowid", job_id)
        return [(row["at"], row["state"], row["note"]) for row in rows]

    def same(self, job: Job) -> Job | None:
        """Find a job with the same content, model, lane, backend and key that was not broken off.

        One that an earlier version hashed is found once it has a digest that compares: see `hashed_otherwise`.
        """
        broken = ", ".join(f"'{state}'" for state in sorted(BROKEN))
        where = "digest = ? AND model = ? AND lane = ? AND backend = ? AND account = ?"
        sql = f"SELECT * FROM job WHERE {where} AND state NOT IN ({broken}) ORDER BY created_at DESC LIMIT 1"
        rows = self.rows(sql, job.digest, job.model, job.lane, job.backend, job.account)
        return _job(rows[0]) if rows else None

    def latest(self, job: Job, most: int) -> list[Job]:
        """List the latest jobs of the same model and backend that have answers or may get some, newest first."""
        sql = (
            "SELECT * FROM job WHERE model = ? AND backend = ? AND (ended_at IS NULL OR EXISTS "
            "(SELECT 1 FROM json_each(counts) WHERE key = 'ok' AND value > 0)) ORDER BY created_at DESC, id LIMIT ?"
        )
        return [_job(row) for row in self.rows(sql, job.model, job.backend, most)]

    def alike(self, digest: str) -> list[str]:
        """List the ids of all jobs of the same requests, however they ended."""
        return [row["id"] for row in self.rows("SELECT id FROM job WHERE digest = ? AND bytes > 0", digest)]

    def hashed_otherwise(self, job: Job) -> list[str]:
        """List the ids of jobs of the same size whose digest an earlier version made, which does not compare."""
        sql = "SELECT id FROM job WHERE digest LIKE 'sha256:%' AND bytes = ? AND requests = ?"
        return [row["id"] for row in self.rows(sql, job.bytes, job.requests)]

    def compared(self, job: Job, earlier: str) -> None:
        """Note with which earlier job a job was compared, if that is not known."""
        older = "created_at >= (SELECT created_at FROM job WHERE id = :earlier)"
        free = f"id = :id AND id != :earlier AND changed_since IS NULL AND {older}"
        with self.writing():
            told = {"id": job.id, "earlier": earlier}
            self._db.execute(f"UPDATE job SET changed_since = :earlier WHERE {free}", told)

    def rehashed(self, job_id: str, digest: str) -> None:
        """Give a job the digest that compares."""
        with self.writing():
            self._db.execute("UPDATE job SET digest = ? WHERE id = ?", (digest, job_id))

    def note(self, job: Job, text: str, now: float) -> None:
        """Write down once what was found of a job, beside the changes of its state."""
        with self.writing():
            if not self.is_noted(job, text):
                self._event(job.id, now, job.state, text)

    def is_noted(self, job: Job, text: str) -> bool:
        """Whether that was written down of a job."""
        return bool(self.rows("SELECT 1 FROM event WHERE job_id = ? AND note = ?", job.id, text))

    def _maybe_charged(self, job: Job) -> bool:
        """Whether anything of a job was sent that may have cost something."""
        sent = "batch IS NOT NULL OR sent_at IS NOT NULL"
        return job.cost != 0 and bool(self.rows(f"SELECT 1 FROM shard WHERE job_id = ? AND ({sent}) LIMIT 1", job.id))

    def _event(self, job_id: str, at: float, state: str, note: str | None) -> None:
        self._insert("event", {"job_id": job_id, "at": at, "state": state, "note": note})

    def _change(self, shard: Shard, **changes: Any) -> None:
        """Change a shard inside a transaction, unless it is collected already."""
        this = {"job_id": shard.job_id, "number": shard.number}
        self._update("shard", {**changes, **this}, f"{_THIS_SHARD} AND collected_at IS NULL")


def _digest_of(path: Path) -> tuple[int, str]:
    """The size of a file, and the BLAKE3 of its content."""
    return path.stat().st_size, blake3().update_mmap(path).hexdigest()


def _raised(job: Job, more: Range) -> dict[str, Any]:
    """What a job may cost with another attempt; of one of an earlier version only the likely cost is known."""
    known = job.estimate_low is not None and job.estimate_high is not None
    ends = {"estimate_low": (job.estimate_low or 0) + more.low, "estimate_high": (job.estimate_high or 0) + more.high}
    return {"estimate": str((job.estimate or 0) + more.likely), **(ends if known else {})}


def _priced(whole: Range) -> dict[str, Any]:
    """What a job may cost of which nothing was charged until now."""
    return {"estimate": str(whole.likely), "estimate_low": whole.low, "estimate_high": whole.high}


def _plain(job: Job) -> dict[str, Any]:
    values = job.model_dump()
    counts = json.dumps(job.counts) if job.counts is not None else None
    return values | {"counts": counts, "begins": json.dumps(job.begins), "lanes": json.dumps(job.lanes)}


def _shard(row: sqlite3.Row) -> Shard:
    return Shard.model_validate({name: row[name] for name in _SHARD})


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in _JOB}
    counts = json.loads(values["counts"]) if values["counts"] else None
    listed = {name: json.loads(values[name]) for name in ("begins", "lanes")}
    return Job.model_validate(values | {"counts": counts, **listed})
