"""How long an export takes and what it holds in memory, against a bare parser over the same results.

`python tests/benchmarks/exports.py [ROWS [FORMAT…]]`: each format in a process of its own; times are CPU seconds.
"""

import base64
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from genai_batch.resources import jobs
from genai_batch.resources.jobs import Job

TARGETS = {"jsonl": (10, 120), "csv": (20, 120), "sqlite": (17, 120), "parquet": (17, 200)}
"""How often the time of a bare parser each format may take, and how many MB above a bare interpreter it may hold."""
ID = "job_aaaaaaaaaaaaaaaa"
TEXT = "Tidal power uses the rise and fall of the sea. " * 15


def tell(text: str) -> None:
    """Say it on stdout."""
    print(text)  # noqa: T201 - what was measured is what was asked for


def write(home: Path, rows: int, response: Callable[[int], dict[str, Any]] | None = None) -> Job:
    """Write a finished job whose answers came in another order than its requests, every fifth with fields beside it."""
    response = response or _response
    folder = jobs.folder(home, ID)
    folder.mkdir(parents=True)
    with (folder / "requests.jsonl").open("w") as asked, (folder / "extras.jsonl").open("w") as beside:
        for n in range(rows):
            asked.write(
                json.dumps({"key": f"row-{n}", "request": {"contents": [{"parts": [{"text": TEXT[:200]}]}]}}) + "\n"
            )
            if n % 5 == 0:
                beside.write(
                    json.dumps({"key": f"row-{n}", "subject": "physics", "score": n, "tags": ["a", "b"]}) + "\n"
                )
    with (folder / "results.jsonl").open("wb") as came:
        for n in (start + step for start in range(0, rows, 1000) for step in reversed(range(min(1000, rows - start)))):
            came.write(orjson.dumps({"key": f"row-{n}", "response": response(n)}) + b"\n")
    sent, came_to = ((folder / name).stat().st_size for name in ("requests.jsonl", "results.jsonl"))
    return Job(
        id=ID, name="bench", model="gemini-3.8-flash", lane="batch", backend="emulator", account="a", digest="d",
        state="JOB_STATE_SUCCEEDED", makes_media=False, results_bytes=came_to, created_at=1.79e9, requests=rows,
        bytes=sent,
    )  # fmt: skip


def _response(n: int) -> dict[str, Any]:
    usage = {"promptTokenCount": 50, "candidatesTokenCount": 160 + n % 7, "totalTokenCount": 210 + n % 7}
    content = {"role": "model", "parts": [{"text": f"{n}: {TEXT}"}]}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": "gemini-3.8-flash",
        "responseId": "x" * 22,
    }


def picture(n: int) -> dict[str, Any]:
    """An answer of 8 MB."""
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + n.to_bytes(4) * 1_500_000).decode()
    content = {"role": "model", "parts": [{"inlineData": {"mimeType": "image/png", "data": data}}]}
    return _response(n) | {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}


def floor(path: Path) -> float:
    """CPU seconds of a bare parser over the same file."""
    start = time.process_time()
    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)
    return time.process_time() - start


def one(home: Path, job: Job, form: Any) -> dict[str, float]:
    """Export in this process; CPU seconds and MB above what it had before."""
    from genai_batch.resources.exports import Choice, export
    from genai_batch.resources.ledger import Ledger
    from genai_batch.resources.results import Results

    start = time.process_time()
    with closing(Ledger(home)) as ledger, Results(home, job) as results:
        done = export(results, home / f"out.{form}", form, Choice(), ledger, may_replace=True)
    cpu, status = time.process_time() - start, Path("/proc/self/status").read_text()
    return {"cpu_s": cpu, "above_mb": _peak_of(status) - _bare(), "rows": done.rows}


def _bare() -> float:
    """MB of an interpreter that does nothing."""
    command = [sys.executable, "-c", "print(open('/proc/self/status').read())"]
    return _peak_of(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _peak_of(status: str) -> float:
    """The most a process held, in MB; unlike getrusage's it does not begin with what its parent held."""
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1000


def measure(home: Path, job: Job, form: str) -> dict[str, float]:
    """Export in a process of its own."""
    command = [sys.executable, __file__, "--one", str(home), job.model_dump_json(), form]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main(rows: int, formats: list[str]) -> bool:
    """Print a line a format; whether one misses its target."""
    from genai_batch.resources.results import Results

    missed = False
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        job = write(home, rows)
        Results(home, job).__exit__()
        bare = min(floor(jobs.folder(home, job.id) / "results.jsonl") for _ in range(3))
        tell(f"{'export of ' + f'{rows:,} rows':<46}{'ratio':>8}{'target':>8}  met")
        for form in formats or TARGETS:
            taken = measure(home, job, form)
            for what, value, target in (
                (f"{form}, CPU", taken["cpu_s"] / bare, TARGETS[form][0]),
                (f"{form}, MB", taken["above_mb"], TARGETS[form][1]),
            ):
                missed |= value > target
                tell(f"{what:<46}{value:>8.2f}{target:>8.2f}  {'yes' if value <= target else 'NO'}")
    return missed


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        tell(json.dumps(one(Path(sys.argv[2]), Job.model_validate_json(sys.argv[3]), sys.argv[4])))
    else:
        sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 100_000, sys.argv[2:]))
