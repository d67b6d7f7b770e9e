"""The addresses of what can be read. A key is a name that is looked up, never a path, and is percent-encoded whole."""

from urllib.parse import quote

JOBS = "batch://jobs"
MODELS = "batch://models"
JOB = "batch://jobs/{job_id}"
RESULTS = "batch://jobs/{job_id}/results{?outcome,cursor,limit}"
RESULT = "batch://jobs/{job_id}/results/{key}"
MEDIA = "batch://jobs/{job_id}/media/{key}/{index}"
REPORT = "batch://jobs/{job_id}/report"


def job(job_id: str) -> str:
    """Address of a job."""
    return f"{JOBS}/{job_id}"


def results(job_id: str, *, outcome: str | None = None, cursor: str | None = None, limit: int | None = None) -> str:
    """Address of a page of results."""
    given = {"outcome": outcome, "cursor": cursor, "limit": limit}
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in given.items() if value is not None)
    return f"{job(job_id)}/results" + (f"?{query}" if query else "")


def result(job_id: str, key: str) -> str:
    """Address of the result of one key."""
    return f"{job(job_id)}/results/{quote(key, safe='')}"


def report(job_id: str) -> str:
    """Address of the report on a job."""
    return f"{job(job_id)}/report"


def media(job_id: str, key: str, index: int) -> str:
    """Address of one picture or sound of a result."""
    return f"{job(job_id)}/media/{quote(key, safe='')}/{index}"
