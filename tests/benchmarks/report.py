"""How long a report takes, and how much memory: `python tests/benchmarks/report.py [ROWS]`.

Against one bare parse of the same results, each in a process of its own, on a job whose index is there.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from genai_batch.resources import jobs
from genai_batch.resources.jobs import Job, Shard
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.results import read_results

_START = (
    "import sys, time, re, pathlib; home, job_id = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
    "from genai_batch.resources import report, jobs\n"
    "from genai_batch.resources.ledger import Ledger\n"
    "from genai_batch.resources.results import read_results\n"
    "import orjson, jinja2, PIL.Image\n"
    "ledger = Ledger(home); job = ledger.job(job_id); history = report.History.of(ledger, job, 2e9)\n"
    "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]) / 1024\n"
    "before = peak(); began = time.process_time()\n"
)
_END = "print(time.process_time() - began, peak() - before)"
WHAT = {
    "floor": "for line in (jobs.folder(home, job_id) / 'results.jsonl').open('rb'): orjson.loads(line)\n",
    "page": "read_results(home, job, lambda found: report.write(found, history, home / 'page.html'))\n",
    "markdown": "read_results(home, job, lambda found: report.markdown(found, history))\n",
}


TARGETS = {"page": 4.0, "markdown": 1.5}
"""How often the time of one bare parse of the results a report may take."""


class Cost(NamedTuple):
    """CPU seconds, and MB above what the process held before."""

    cpu: float
    memory: float


def finished(home: Path, rows: int) -> str:
    """Put a finished job with its index into a home: half a kB a row, one of 20 failed in one of 30 ways."""
    job = Job(
        id=jobs.new_id(), name="measured", model="gemini-3.8-flash", lane="batch", backend="emulator", account="a",
        digest="d", requests=rows, bytes=0, makes_media=False, created_at=1e9, estimate=1, estimate_low=0.5,
        estimate_high=2,
    )  # fmt: skip
    folder = jobs.folder(home, job.id)
    folder.mkdir(parents=True)
    sizes = [_written(folder / name, make(rows)) for name, make in (("requests", _requests), ("results", _results))]
    job = job.model_copy(update={"bytes": sizes[0], "results_bytes": sizes[1]})
    ledger = Ledger(home)
    ledger.record(job, [Shard(job_id=job.id, number=0, display_name=job.id, requests=rows)], again=True)
    counts = read_results(home, job, lambda found: found.counts)
    ledger.advance(job.id, 1e9 + 500, state="JOB_STATE_SUCCEEDED", counts=counts, cost=0.9)
    ledger.close()
    return job.id


def measure(home: Path, job_id: str, what: str) -> Cost:
    """Run one kind of work in a process of its own."""
    code = _START + WHAT[what] + _END
    done = subprocess.run([sys.executable, "-c", code, str(home), job_id], capture_output=True, text=True, check=True)
    return Cost(*map(float, done.stdout.split()))


def _written(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    with path.with_suffix(".jsonl").open("w") as file:
        return sum(file.write(json.dumps(row) + "\n") for row in rows)


def _requests(rows: int) -> Iterator[dict[str, Any]]:
    for n in range(rows):
        yield {"key": f"row-{n}", "request": {"contents": [{"role": "user", "parts": [{"text": f"Prompt {n}. " * 9}]}]}}


def _results(rows: int) -> Iterator[dict[str, Any]]:
    for n in range(rows):
        if n % 20 == 0:
            yield {"key": f"row-{n}", "error": {"code": 400 + n // 20 % 30, "message": f"Failed as {n // 20 % 30}."}}
            continue
        usage = {"promptTokenCount": 30 + n % 7, "candidatesTokenCount": 50 + n % 900, "thoughtsTokenCount": n % 300}
        parts = {"parts": [{"text": f"Answer {n}. " * (8 + n % 40)}], "role": "model"}
        answer = {"candidates": [{"content": parts, "finishReason": "STOP"}], "usageMetadata": usage}
        yield {"key": f"row-{n}", "response": answer}


def main(rows: int) -> bool:
    """Print a line for each kind of report; whether one misses its target."""
    missed = False
    print(f"{'report of ' + f'{rows:,} rows':<46}{'ratio':>8}{'target':>8}  met")  # noqa: T201 - the table is the point
    with tempfile.TemporaryDirectory() as folder:
        job_id = finished(Path(folder), rows)
        floor = min(measure(Path(folder), job_id, "floor").cpu for _ in range(3))
        for what, target in TARGETS.items():
            ratio = measure(Path(folder), job_id, what).cpu / floor
            missed |= ratio > target
            print(f"{what + ', CPU':<46}{ratio:>8.2f}{target:>8.2f}  {'yes' if ratio <= target else 'NO'}")  # noqa: T201 - the same
    return missed


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 100_000))
