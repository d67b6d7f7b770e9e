"""Local files at the provider: what is there for whom until when, and who is just uploading what."""

from typing import NamedTuple

from genai_batch.resources.ledger import LEASE_S, Ledger
from genai_batch.resources.local_files import LocalFile

_THIS = "content = :content AND account = :account"


class Upload(NamedTuple):
    """A file at the provider. Times are seconds since 1970."""

    content: str
    account: str
    name: str
    uri: str
    made_at: float
    expires_at: float


def find(ledger: Ledger, content: str, account: str) -> Upload | None:
    """The upload of a content for a key, however old; None where none was finished."""
    sql = "SELECT * FROM upload WHERE content = ? AND account = ? AND name IS NOT NULL"
    rows = ledger.rows(sql, content, account)
    return Upload(*(rows[0][name] for name in Upload._fields)) if rows else None


def claim(ledger: Ledger, file: LocalFile, account: str, now: float) -> bool:
    """Take or renew the right to upload a file; False while another living process has it.

    Who sleeps through its lease may find that another has uploaded the same: a second upload is a nuisance, no loss.
    """
    ledger.hold()
    given = {"content": file.content, "account": account, "mime_type": file.mime_type, "size": file.size}
    names = "content, account, mime_type, size"
    new = f"INSERT OR IGNORE INTO upload ({names}) VALUES (:content, :account, :mime_type, :size)"
    free = "lease_owner IS NULL OR lease_owner IN (:me, :gone) OR lease_until < :now"
    sql = f"UPDATE upload SET lease_owner = :me, lease_until = :until WHERE {_THIS} AND ({free})"
    lease = {"me": ledger.owner, "gone": _gone(ledger, file.content, account), "now": now, "until": now + LEASE_S}
    with ledger.writing() as db:
        db.execute(new, given)
        return db.execute(sql, given | lease).rowcount == 1


def _gone(ledger: Ledger, content: str, account: str) -> str | None:
    """The owner of the right to upload a file, where that is a process of this machine that has ended."""
    sql = "SELECT lease_owner FROM upload WHERE content = ? AND account = ? AND lease_owner NOT IN (?, '')"
    rows = ledger.rows(sql, content, account, ledger.owner)
    return rows[0]["lease_owner"] if rows and ledger.is_gone(rows[0]["lease_owner"]) else None


def release(ledger: Ledger, content: str, account: str) -> None:
    """Give the right to upload a file back."""
    given = {"content": content, "account": account, "me": ledger.owner}
    with ledger.writing() as db:
        db.execute(f"UPDATE upload SET lease_owner = NULL WHERE {_THIS} AND lease_owner = :me", given)


def keep(ledger: Ledger, upload: Upload) -> None:
    """Record an upload that is there, in the place of an earlier one."""
    told = "name = :name, uri = :uri, made_at = :made_at, expires_at = :expires_at"
    with ledger.writing() as db:
        db.execute(f"UPDATE upload SET {told} WHERE {_THIS}", upload._asdict())


def forget(ledger: Ledger, upload: Upload) -> None:
    """Record that an upload is not there any more; another that was made meanwhile stays."""
    with ledger.writing() as db:
        db.execute(f"UPDATE upload SET name = NULL WHERE {_THIS} AND name = :name", upload._asdict())
