"""How long it takes to read the answer to a key over stdio, against a constant resource of the same server.

python tests/benchmarks/lookups.py [--rows N …] [--reads N] [--folder PATH]

For each size a finished job of so many rows is put on disk and into the ledger, a real server process is started over
that home, and a real MCP client reads random keys and a constant text of the same size in turn; the ratio is that of
the medians of one run. The constant is the SDK's own text resource, which does nothing but give its text. In process:
the 50 first failed rows with their texts, and opening a job whose index exists. The job is kept in `--folder` for the
next run.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import TextResourceContents

from genai_batch.resources import uris
from genai_batch.resources.jobs import Job, folder
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.results import Results

JOB = "job_benchmarkbenchma"
CONSTANT = "bench://constant"
MOST_MS, MOST_RATIO, FAILED_MS, OPEN_MS, SAME = 3.0, 1.3, 5.0, 5.0, 1.15
SERVER = """
import anyio, sys
from pathlib import Path
from mcp.server.mcpserver.resources import TextResource
from genai_batch.server.app import build_server, serve_stdio
from genai_batch.server.settings import Settings
home = Path(sys.argv[1])
server = build_server(Settings("emulator", "offline", home, (home,)))
text = Path(sys.argv[2]).read_text()
server.add_resource(TextResource(uri="bench://constant", name="constant", text=text, mime_type="application/json"))
anyio.run(serve_stdio, server)
"""
"""The server as it is, with one resource more."""


@dataclass(frozen=True)
class Reads:
    """Milliseconds of each read."""

    lookups: list[float]
    constant: list[float]

    @property
    def ratio(self) -> float:
        """How much longer the middle lookup takes than the middle constant read."""
        return median(self.lookups) / median(self.constant)


def finished_job(home: Path, rows: int) -> Job:
    """Put a finished job on disk and into the ledger, unless it is there, and index it."""
    ledger = Ledger(home)
    if (known := ledger.find(JOB)) is None:
        sizes = _write(folder(home, JOB), rows)
        known = ledger.record(_job(rows, *sizes), [], again=True)
    ledger.close()
    (folder(home, JOB) / "results.db").unlink(missing_ok=True)  # one that another commit made may be of another form
    with Results(home, known) as results:
        assert results.counts == known.counts
        return known


def _job(rows: int, requests_bytes: int, results_bytes: int) -> Job:
    failed = rows // 50
    return Job(
        id=JOB, name="benchmark", model="gemini-3.8-flash", lane="batch", backend="emulator", account="offline",
        digest="0", state="JOB_STATE_SUCCEEDED", requests=rows, bytes=requests_bytes, makes_media=False,
        counts={"ok": rows - failed, "error": failed}, results_bytes=results_bytes,
        created_at=1.8e9, ended_at=1.8e9 + 60,
    )  # fmt: skip


def _write(where: Path, rows: int) -> tuple[int, int]:
    """Write requests and, in another order, results of about 550 bytes; one of 50 failed."""
    where.mkdir(parents=True)
    chance = random.Random(rows)
    order = list(range(rows))
    chance.shuffle(order)
    with (where / "requests.jsonl").open("w") as file:
        for number in range(rows):
            file.write(f'{{"key":"{key(number)}","request":{{"contents":[{{"parts":[{{"text":"Hi"}}]}}]}}}}\n')
    with (where / "results.jsonl").open("w") as file:
        for number in order:
            file.write(json.dumps(_row(number), separators=(",", ":")) + "\n")
    return (where / "requests.jsonl").stat().st_size, (where / "results.jsonl").stat().st_size


def key(number: int) -> str:
    """Its key."""
    return f"row-{number:09d}"


def _row(number: int) -> dict[str, Any]:
    if number % 50 == 7:
        return {"key": key(number), "error": {"code": 13, "message": "Internal error encountered."}}
    candidate = {
        "content": {"parts": [{"text": f"Answer {number}: " + "the words of an answer " * 9}], "role": "model"},
        "finishReason": "STOP",
    }
    usage = {"promptTokenCount": 12, "candidatesTokenCount": 60, "totalTokenCount": 72}
    response = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3.8-flash"}
    return {"key": key(number), "response": {**response, "responseId": f"{number:032x}"}}


async def reads(home: Path, rows: int, count: int, warm: int = 50) -> Reads:
    """Read random keys and the constant in turn; the first `warm` pairs are not counted."""
    chance = random.Random(1)
    found = Reads([], [])
    (home / "constant.json").write_text(await _text(home, key(rows // 2)))
    async with Client(_server(home)) as client:
        for turn in range(count + warm):
            wanted = uris.result(JOB, key(chance.randrange(rows)))
            pair = [(wanted, found.lookups), (CONSTANT, found.constant)]
            for uri, times in pair if turn % 2 else reversed(pair):
                took = await _timed(client, uri)
                if turn >= warm:
                    times.append(took)
    return found


async def _timed(client: Client, uri: str) -> float:
    began = time.perf_counter()
    content = (await client.read_resource(uri, cache_mode="bypass")).contents[0]
    took = (time.perf_counter() - began) * 1_000
    assert isinstance(content, TextResourceContents)
    return took


async def _text(home: Path, wanted: str) -> str:
    """An ordinary result, as it is read."""
    (home / "constant.json").write_text("")
    async with Client(_server(home)) as client:
        content = (await client.read_resource(uris.result(JOB, wanted))).contents[0]
    assert isinstance(content, TextResourceContents)
    return content.text


def _server(home: Path) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=["-c", SERVER, str(home), str(home / "constant.json")])


def in_process(home: Path, job: Job) -> tuple[float, float]:
    """Milliseconds for 50 failed rows with what they say, and for opening the job and reading one."""

    def failed() -> None:
        with Results(home, job) as results:
            began.append(time.perf_counter())
            assert len([results.result(entry) for entry in results.page("error", 0, 50)]) == 50

    def opened() -> None:
        began.append(time.perf_counter())
        with Results(home, job) as results:
            results.result(results.entry(key(1)))

    began: list[float] = []
    return _middle(failed, began), _middle(opened, began)


def _middle(act: Callable[[], None], began: list[float], times: int = 21) -> float:
    took: list[float] = []
    for _ in range(times):
        act()
        took.append(time.perf_counter() - began[-1])
    return median(took) * 1_000


def figures(rows: int, found: Reads, inside: tuple[float, float]) -> Iterator[tuple[str, float, float | None]]:
    """Each figure of a size: what it is, its value, its target."""
    for said, times, target in (("a key", found.lookups, MOST_MS), ("the constant", found.constant, None)):
        yield f"{rows:,} rows, {said}, p50 ms", median(times), target
        yield f"{rows:,} rows, {said}, p99 ms", quantiles(times, n=100)[98], None
    yield f"{rows:,} rows, a key against the constant", found.ratio, MOST_RATIO
    yield f"{rows:,} rows, 50 failed rows in process, ms", inside[0], FAILED_MS
    yield f"{rows:,} rows, opening and one row in process, ms", inside[1], OPEN_MS


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000], help="rows of the jobs")
    parser.add_argument("--reads", type=int, default=1_000, help="reads of each kind")
    parser.add_argument("--folder", type=Path, help="where to keep the jobs, 0.7 GB for a million rows")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(measure(given.folder or Path(temporary), given.rows, given.reads))


def measure(where: Path, sizes: list[int], count: int) -> bool:
    """Measure every size; whether a target is missed."""
    say(f"{'case':<52}{'value':>8}{'target':>8}  met   (load {os.getloadavg()[0]:.1f})")
    missed, ratios = False, dict[int, float]()
    for rows in sizes:
        job = finished_job(where / str(rows), rows)
        found = asyncio.run(reads(where / str(rows), rows, count))
        missed |= tell(figures(rows, found, in_process(where / str(rows), job)))
        ratios[rows] = found.ratio
    if len(ratios) > 1:
        few, many = min(ratios), max(ratios)
        missed |= tell(iter([(f"{many:,} rows against {few:,}", ratios[many] / ratios[few], SAME)]))
    return missed


def tell(found: Iterator[tuple[str, float, float | None]]) -> bool:
    """Print figures; whether one misses its target."""
    missed = False
    for name, value, target in found:
        met = target is None or value <= target
        missed |= not met
        say(f"{name:<52}{value:>8.2f}" + ("" if target is None else f"{target:>8.2f}  {'yes' if met else 'NO'}"))
    return missed


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)  # noqa: T201 - the table is the point


if __name__ == "__main__":
    main()
