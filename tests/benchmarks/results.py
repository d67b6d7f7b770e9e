"""What it costs to collect and index results, to find rows among them, against bare tools over the same files.

python tests/benchmarks/results.py [--runs N] [--folder PATH] [--quick]

`index` is the whole index: a pass over the requests for their keys, one over the rows, shuffled and 2 % of them failed,
and the file on disk; the floor is `for line in file: orjson.loads(line)` over the results alone. Each pass is a process
of its own, whose processor time is taken, imports left out. `find`, `failed` and `open` are inside a process; `open` is
the first question to an index that this process has not seen, imports left out. `collect` is `check_status` against the
emulator in another process: download, storing, index and the end of the job, in processor time and in time passed; the
floor is curl of the same file from the same emulator, and the orjson loop. Memory is the most that a process held above
a bare interpreter: its proportional set size, looked at every 20 ms, in a pass that is not timed.

A figure counts only with the right answer: after every pass the counts by outcome must be those that were written.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

from forms import held, say, tell

MODEL = "gemini-3.8-flash"
ROWS = 1_000_000
WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "amber",
    "bridge",
    "candle",
)
Figures = Iterator[tuple[str, float, float | None]]


class Seconds(NamedTuple):
    """Of the processor, and passed."""

    cpu: float
    wall: float


HEAD = """
import sys, time
from pathlib import Path
way, folder = sys.argv[1], Path(sys.argv[2])
results = folder / "results.jsonl"
def job_of(folder):
    from genai_batch.resources.jobs import Job
    requests = folder / "requests.jsonl"
    return Job(id=folder.name, name="x", model="gemini-3.8-flash", lane="batch", backend="emulator", account="",
               digest="", requests=int(sys.argv[3]), bytes=requests.stat().st_size, makes_media=False,
               created_at=1795000000, results_bytes=results.stat().st_size, checks="",
               begins=tuple(map(int, sys.argv[4:])), attempt=len(sys.argv[4:]))
"""
PASS = (
    HEAD  # noqa: S608 - a script; its SQL is all there
    + """
if way == "floor":
    import orjson
    def run():
        with open(results, "rb") as file:
            for line in file:
                orjson.loads(line)
elif way == "bare":
    def run(): pass
else:
    import genai_prices
    from genai_batch.resources.results_index.build import make_index
    job = job_of(folder)
    def run(): make_index(folder / "results.db", job, folder)
begun = time.process_time(), time.perf_counter()
run()
print(time.process_time() - begun[0], time.perf_counter() - begun[1])
if way == "index":
    import json, sqlite3
    with sqlite3.connect(folder / "results.db") as index:
        counts = dict(index.execute("SELECT outcome, count(*) FROM rows GROUP BY outcome"))
    print(json.dumps(counts, separators=(",", ":")))
"""
)
ASK = (
    HEAD
    + """
import random
from genai_batch.resources.results import Results
from genai_batch.resources.errors import UnknownResult
job, home = job_of(folder), folder.parent.parent
def took(ask):
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun
def begin():
    with Results(home, job) as results:
        results.entry("row-000000007")
print("open", took(begin))
with Results(home, job) as results:
    keys = [f"row-{random.randrange(job.requests):09d}" for _ in range(3000)]
    times = sorted(took(lambda: results.entry(key)) for key in keys)
    print("find", times[1500])
    print("find_99", times[2970])
    def nearest():
        try: results.entry("row-00000x7")
        except UnknownResult: pass
    for name, ask in {
        "failed": lambda: results.page("error", 0, 50),
        "failed_read": lambda: [results.result(entry) for entry in results.page("error", 0, 50)],
        "keys": lambda: results.keys("row-00000", 101),
        "no_keys": lambda: results.keys("nothing", 101),
        "near": nearest,
    }.items():
        print(name, sorted(took(ask) for _ in range(5))[2])
"""
)
COLLECT = """
import asyncio, sys, time
from pathlib import Path
home, job_id = Path(sys.argv[1]), sys.argv[2]
from google import genai
from google.genai import types
from genai_batch.server.settings import Settings, open_workspace
from genai_batch.tools.check_status import check_status
from genai_batch.tools.lanes.means import Pace
async def main():
    async with open_workspace(Settings("gemini", "key", home, None, pace=Pace(0, 0, 0))) as workspace:
        await workspace.lane.gemini.load()
        begun = time.process_time(), time.perf_counter()
        status = await check_status(job_id, workspace, 50)
        while not status.state.endswith("SUCCEEDED"):
            status = await check_status(job_id, workspace, 50)
        print(time.process_time() - begun[0], time.perf_counter() - begun[1])
        print(status.counts.model_dump_json(exclude_none=True))
asyncio.run(main())
"""


def row(chance: random.Random, number: int, *, large: int = 0) -> dict[str, Any]:
    """A row as it comes back, about 550 bytes long; a large one holds a picture of so many bytes."""
    key = f"row-{number:09d}"
    if chance.random() < 0.02:
        return {"key": key, "error": {"code": 13, "message": "Internal error encountered."}}
    asked, written, thought = (chance.randint(10, most) for most in (200, 400, 900))
    parts: list[dict[str, Any]] = [{"text": " ".join(chance.choices(WORDS, k=chance.randint(30, 56)))}]
    if large:
        data = b64encode(chance.randbytes(large * 3 // 4)).decode()
        parts.append({"inlineData": {"mimeType": "image/png", "data": data}})
    usage = {
        "promptTokenCount": asked, "candidatesTokenCount": written, "thoughtsTokenCount": thought,
        "totalTokenCount": asked + written + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": asked}],
    }  # fmt: skip
    candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
    response = {
        "candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL,
        "responseId": f"{chance.getrandbits(80):022x}",
    }  # fmt: skip
    return {"response": response, "key": key}


def write(folder: Path, rows: int, large: int = 0) -> None:
    """Write the requests and the shuffled results of a job, and their counts; `large` rows of 8 MB are among them."""
    chance = random.Random(rows)
    made = [json.dumps(row(chance, n), separators=(",", ":")).rsplit("row-", 1) for n in range(min(rows, 50_000))]
    order = list(range(rows))
    chance.shuffle(order)
    every = rows // large if large else rows + 1
    counts = {"ok": 0, "error": 0}
    with (folder / "results.jsonl").open("w") as file:
        for place, number in enumerate(order, 1):
            before, behind = made[place % len(made)]
            line = f"{before}row-{number:09d}{behind[9:]}"
            if not place % every:
                line = json.dumps(row(chance, number, large=8_000_000), separators=(",", ":"))
            file.write(line + "\n")
            counts["error" if '"error":{' in line else "ok"] += 1
    (folder / "counts.json").write_text(json.dumps(counts))
    ask = json.dumps({"contents": [{"role": "user", "parts": [{"text": " ".join(WORDS)}]}]})
    with (folder / "requests.jsonl").open("w") as file:
        file.writelines(f'{{"key": "row-{number:09d}", "request": {ask}}}\n' for number in range(rows))


def passes(code: str, *given: str) -> list[str]:
    """What a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code, *given], check=True, capture_output=True, text=True)
    return done.stdout.split()


def answered(folder: Path, said: list[str]) -> Seconds:
    """The seconds that a pass over the results in a folder has told, once its counts are found to be right.

    Raises:
        ValueError: they are not.
    """
    wanted, found = json.loads((folder / "counts.json").read_text()), json.loads(said[2])
    if found != wanted:
        raise ValueError(f"counted {found}, of {wanted}")
    return Seconds(*map(float, said[:2]))


def floor(folder: Path, rows: int) -> Seconds:
    """What the orjson loop over the results in a folder takes."""
    return Seconds(*map(float, passes(PASS, "floor", str(folder), str(rows))))


def most(folder: Path, code: str, *given: str, **env: str) -> float:
    """MB that a process holds at most; what it counts of the results in a folder must be right."""
    peak = 0.0
    with subprocess.Popen(
        [sys.executable, "-c", code, *given], stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
    ) as process:
        while process.poll() is None:
            peak = max(peak, held(process.pid))
            time.sleep(0.02)
        said = process.communicate()[0].split()
    if given[0] != "bare":
        answered(folder, said)
    return peak / 1024


def index(folder: Path, runs: int) -> Figures:
    """The whole index of a million rows."""
    job = folder / "jobs" / "job_million"
    job.mkdir(parents=True)
    write(job, ROWS)
    ours, floors = list[float](), list[float]()
    for _ in range(runs):
        floors.append(floor(job, ROWS).cpu)
        ours.append(answered(job, passes(PASS, "index", str(job), str(ROWS))).cpu)
    yield "index of 1 M rows", median(ours) / median(floors), 5.0
    yield "index of 1 M rows, MB on disk", (job / "results.db").stat().st_size / 1e6, None
    bare = most(job, PASS, "bare", str(job), str(ROWS))
    yield "index of 1 M rows, MB", most(job, PASS, "index", str(job), str(ROWS)) - bare, 120


def asking(folder: Path, runs: int) -> Figures:
    """Finding rows among ten thousand and among a million."""
    few = folder / "jobs" / "job_few"
    few.mkdir(parents=True)
    write(few, 10_000)
    targets = {"open": 5.0, "failed": 5.0, "failed_read": 5.0}
    told: dict[tuple[str, str], list[float]] = {}
    passes(PASS, "index", str(few), "10000")
    for _ in range(runs):
        for name, rows in (("few", 10_000), ("million", ROWS)):
            said = passes(ASK, "ask", str(folder / "jobs" / f"job_{name}"), str(rows))
            for what, value in zip(said[::2], said[1::2], strict=True):
                told.setdefault((what, name), []).append(float(value))
    for (what, name), values in sorted(told.items()):
        yield f"{what} among a {name}, ms", 1000 * median(values), targets.get(what)
    yield "find, million against few", median(told["find", "million"]) / median(told["find", "few"]), 1.5


@contextmanager
def emulator(folder: Path) -> Generator[str]:
    """The emulator in a process of its own; its address."""
    scenario = folder / "scenario.json"
    scenario.write_text(json.dumps({"settings": {"queue_s": 0, "run_s": 0}}))
    state = ["--scenario", str(scenario), "--state", str(folder / "state")]
    command = [sys.executable, "-m", "genai_batch", "emulate", "--port", "0", *state]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        yield process.stderr.readline().split()[-1]
        process.terminate()


START = """
import asyncio, sys
from pathlib import Path
from genai_batch.server.settings import Settings, open_workspace
from genai_batch.tools.create_batch import create_batch
async def main():
    async with open_workspace(Settings("gemini", "key", Path(sys.argv[1]), None)) as workspace:
        job = await create_batch(sys.argv[2], workspace, "gemini-3.8-flash")
        await workspace.look(workspace.ledger.snapshot(job.job_id))
        print(job.job_id)
asyncio.run(main())
"""


def begun(folder: Path, big: Path, address: str, rows: int) -> tuple[Path, str]:
    """A home with a job whose batch is over at the emulator, and whose requests and results are the big ones."""
    import sqlite3

    home = Path(tempfile.mkdtemp(dir=folder))
    source = home / "source.jsonl"
    prompt = {"contents": [{"role": "user", "parts": [{"text": home.name}]}]}
    source.write_text("".join(json.dumps({"key": f"k{n}", "request": prompt}) + "\n" for n in range(60)))
    post(address, "/settings", {"queue_s": 10_000})
    env = {**os.environ, "GOOGLE_GEMINI_BASE_URL": address}
    done = subprocess.run(
        [sys.executable, "-c", START, str(home), str(source)], check=True, capture_output=True, text=True, env=env
    )
    job_id = done.stdout.split()[-1]
    post(address, "/clock", {"advance_s": 20_000})
    with sqlite3.connect(home / "ledger.db") as ledger:
        [name] = ledger.execute("SELECT batch FROM shard").fetchone()
    ledger.close()
    file = f"batch-{name.removeprefix('batches/')}"
    fetch(address, file)
    target = folder / "state" / "results" / f"{file.removeprefix('batch-')}.jsonl"
    target.unlink()
    os.link(big / "results.jsonl", target)
    requests = home / "jobs" / job_id / "requests.jsonl"
    requests.unlink()
    os.link(big / "requests.jsonl", requests)
    with sqlite3.connect(home / "ledger.db") as ledger:
        ledger.execute("UPDATE job SET requests = ?, bytes = ?", (rows, requests.stat().st_size))
    ledger.close()
    return home, file


def post(address: str, path: str, body: dict[str, Any]) -> None:
    """Tell the emulator something."""
    with urlopen(Request(f"{address}/emulator{path}", json.dumps(body).encode())):  # noqa: S310 - loopback
        pass


def fetch(address: str, file: str) -> Seconds:
    """What curl takes to bring a file to disk."""
    with tempfile.NamedTemporaryFile() as target:
        url = f"{address}/v1beta/files/{file}:download?alt=media"
        begin, before = time.perf_counter(), os.times()
        command = ["curl", "-s", "-f", "-o", target.name, "-H", "x-goog-api-key: key", url]
        subprocess.run(command, check=True)
        spent = os.times()
        cpu = spent.children_user + spent.children_system - before.children_user - before.children_system
        return Seconds(cpu, time.perf_counter() - begin)


def collect(folder: Path, name: str, rows: int, large: int, runs: int) -> Figures:
    """Collecting a job whole, against curl and a bare parser, and memory."""
    big = folder / name
    big.mkdir()
    write(big, rows, large)
    size = (big / "results.jsonl").stat().st_size / 1e6
    ours, floors = list[Seconds](), list[list[Seconds]]()
    with emulator(folder) as address:
        env = {"GOOGLE_GEMINI_BASE_URL": address}
        for _ in range(runs):
            home, file = begun(folder, big, address, rows)
            floors.append([fetch(address, file), floor(big, rows)])
            done = subprocess.run(
                [sys.executable, "-c", COLLECT, str(home), next((home / "jobs").iterdir()).name],
                check=True, capture_output=True, text=True, env={**os.environ, **env},
            )  # fmt: skip
            ours.append(answered(big, done.stdout.split()))
            forget(home)
        cpu = median(each.cpu for each in ours) / median(sum(each.cpu for each in both) for both in floors)
        wall = median(each.wall for each in ours) / median(sum(each.wall for each in both) for both in floors)
        yield f"collect {size:,.0f} MB, against curl and orjson", wall, 2.0
        yield f"collect {size:,.0f} MB, processor time against theirs", cpu, None
        home, _ = begun(folder, big, address, rows)
        bare = most(big, PASS, "bare", str(big), str(rows))
        peak = most(big, COLLECT, str(home), next((home / "jobs").iterdir()).name, **env) - bare
        yield f"collect {size:,.0f} MB, MB", peak, 120
        forget(home)
    forget(big)
    forget(folder / "state")


def forget(folder: Path) -> None:
    """Remove a folder."""
    import shutil

    shutil.rmtree(folder)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="passes of each way (default 5)")
    parser.add_argument("--folder", type=Path, help="where to put the files, about 8 GB")
    parser.add_argument("--quick", action="store_true", help="leave out 2 GB")
    parser.add_argument("--only", choices=["index", "small", "large"], help="one part")
    given = parser.parse_args()
    missed = False
    say(f"{'case':<46}{'value':>8}{'target':>8}  met   (load {os.getloadavg()[0]:.1f})")
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        if given.only in (None, "index"):
            missed |= tell(index(folder, given.runs))
            missed |= tell(asking(folder, given.runs))
            forget(folder / "jobs")
        if given.only in (None, "small"):
            missed |= tell(collect(folder, "small", 430_000, 8, given.runs))
        if given.only == "large" or (given.only is None and not given.quick):
            missed |= tell(collect(folder, "large", 3_350_000, 20, given.runs))
    sys.exit(missed)


if __name__ == "__main__":
    main()
