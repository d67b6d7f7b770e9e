"""What the live runner reaches: of the ideal, against google-genai's own client, and how much memory it holds.

python tests/benchmarks/live.py [--quick] [--peer PYTHON] [--only PART]

Each way is a process of its own against `answering.py`, a bare look-alike in another process that answers 100 ms after
a request; the emulator reads, bills and logs each call, so against it the emulator would be measured. The ideal is
concurrency ÷ latency. `ours` is the runner as the lane uses it: lines in, calls, rows on the disk that would survive
a power cut. Beside it stands `generate_content` of google-genai's async client in as many tasks, which keeps nothing:
with its default transport, which is httpx2, and with aiohttp, which it takes instead where somebody has installed it.
Imports are not timed, opening the connections is. Memory is the peak of the process above a bare interpreter. `rate`
runs against the emulator, which allows so many calls a second and tells nobody. `--peer` is a Python that has
`async-batch-llm` and aiohttp: 1,000 items, 50 at a time, each keeping its results on the disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from urllib.request import urlopen

if __name__ == "__main__":  # run as a file: the root of the project is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.answering import answering

LATENCY_S = 0.1
RATE = 100
PEER = (1_000, 50)
Figures = Iterator[tuple[str, float, float | None]]

OURS = """
import asyncio, os, resource, sys, time
from pathlib import Path
import aiohttp
from genai_batch.resources.jobs import Job
from genai_batch.resources.ledger import Ledger
from genai_batch.tools.lanes.live.allowance import Allowance
from genai_batch.tools.lanes.live.caller import calling
from genai_batch.tools.lanes.live.feed import items
from genai_batch.tools.lanes.live.journal import Journal
from genai_batch.tools.lanes.live.pace import Pace
from genai_batch.tools.lanes.live.runner import Limits, Runner
from genai_batch.tools.lanes.live.tally import Tally
from genai_batch.tools.lanes.wire import Endpoint
url, most, folder, until = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
async def main():
    pace = Pace()
    pace.admit(most)
    results = folder / f"results-{os.getpid()}.jsonl"
    journal = Journal(results)
    headers = {"x-goog-api-key": "k", "content-type": "application/json"}
    endpoint = Endpoint(url + "/v1/models/gemini-3.8-flash:generateContent", headers)
    job = Job(
        id="job", name="", model="gemini-3.8-flash", lane="live", backend="gemini", account="", digest="", requests=0,
        bytes=0, makes_media=False, created_at=0,
    )
    allowance = Allowance(Ledger(folder), job, time.time, None)
    async with calling(endpoint) as call:
        feed = items(folder / "requests.jsonl", None)
        runner = Runner(feed, call, journal, pace, Limits(), most, Tally(None), allowance)
        if until:
            asyncio.get_running_loop().call_later(until, runner.stop)
        began, busy = time.perf_counter(), time.process_time()
        await runner.run()
        await journal.close()
        took, busy = time.perf_counter() - began, time.process_time() - busy
    results.unlink()
    print(took, busy, journal.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, pace.refusals)
asyncio.run(main())
"""
SDK = """
import asyncio, json, resource, sys, time, warnings
if sys.argv[4] == "httpx2":
    sys.modules["aiohttp"] = None  # importing it fails, as it does where only google-genai is installed
warnings.simplefilter("ignore")
from pathlib import Path
from google import genai
from google.genai import types
url, most, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
async def main():
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url, timeout=60_000), vertexai=False)
    lines, done = iter((folder / "requests.jsonl").open()), 0
    async def work():
        nonlocal done
        for line in lines:
            text = json.loads(line)["request"]["contents"][0]["parts"][0]["text"]
            await client.aio.models.generate_content(model="gemini-3.8-flash", contents=text)
            done += 1
    began, busy = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(most)))
    took, busy = time.perf_counter() - began, time.process_time() - busy
    print(took, busy, done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0)
asyncio.run(main())
"""
ABL = """
import asyncio, json, resource, sys, time, logging
from pathlib import Path
import aiohttp
from async_batch_llm import ArtifactIdentity, CallableStrategy, CallOutcome, JsonlArtifactStore, process_prompts
url, most, folder = sys.argv[1] + "/v1/models/gemini-3.8-flash:generateContent", int(sys.argv[2]), Path(sys.argv[3])
logging.disable(logging.CRITICAL)
async def main():
    bodies = [json.dumps(json.loads(line)["request"]) for line in (folder / "requests.jsonl").open()]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def invoke(prompt, *, attempt, timeout, state):
            async with session.post(url, data=prompt, headers={"x-goog-api-key": "k"}) as reply:
                return CallOutcome(await reply.text())
        began, busy = time.perf_counter(), time.process_time()
        store = JsonlArtifactStore(folder / "abl.jsonl")
        strategy = CallableStrategy(invoke, identity=ArtifactIdentity(provider="none", model="none"))
        found = await process_prompts(strategy, bodies, concurrency=most, artifact_store=store)
        took = time.perf_counter() - began
    assert found.succeeded == len(bodies), found
    (folder / "abl.jsonl").unlink()
    busy = time.process_time() - busy
    print(took, busy, len(bodies), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0)
asyncio.run(main())
"""
BARE = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"


def write(folder: Path, rows: int) -> None:
    """Write the requests."""
    with (folder / "requests.jsonl").open("w") as file:
        for number in range(rows):
            text = f"Say hello to number {number}. {'word ' * 40}"
            line = {"key": f"k{number:07}", "request": {"contents": [{"role": "user", "parts": [{"text": text}]}]}}
            file.write(json.dumps(line) + "\n")


def ran(code: str, *given: object, python: str = sys.executable) -> list[float]:
    """Run a way: seconds, seconds of processor, rows, peak MB, refusals."""
    command = [python, "-c", code, *map(str, given)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return [float(each) for each in done.stdout.split()]


def shares(folder: Path, seconds: float, runs: int) -> Figures:
    """What part of the ideal each concurrency reaches, and how much more than the SDK that is."""
    with answering(LATENCY_S) as url:
        for most, target in ((64, 0.95), (256, 0.95), (512, 0.70)):
            write(folder, int(most / LATENCY_S * seconds))
            all_ = [ran(OURS, url, most, folder, 0) for _ in range(runs)]
            ours = median(rows / took for took, _, rows, _, _ in all_)
            yield f"{most} at a time, of the ideal", ours * LATENCY_S / most, target
            yield f"{most} at a time, µs of processor a call", median(1e6 * each[1] / each[2] for each in all_), None
            if most == 256:
                write(folder, int(most / LATENCY_S * seconds / 4))
                yield from against_sdk(folder, url, most, ours, runs)


def against_sdk(folder: Path, url: str, most: int, ours: float, runs: int) -> Figures:
    """How many times as fast `ours` is, in calls a second, as the SDK with each of its transports."""
    for transport, target in (("httpx2", 3.0), ("aiohttp", None)):
        all_ = [ran(SDK, url, most, folder, transport) for _ in range(runs)]
        theirs = median(rows / took for took, _, rows, _, _ in all_)
        name = f"{most} at a time, google-genai on {transport}"
        yield f"{name}, of the ideal", theirs * LATENCY_S / most, None
        yield f"{name}, µs of processor a call", median(1e6 * each[1] / each[2] for each in all_), None
        yield f"{name}, times that", ours / theirs, target


def memory(folder: Path, rows: int) -> Figures:
    """What is held at the most."""
    write(folder, rows)
    with answering(0) as url:
        took, _, done, peak, _ = ran(OURS, url, 256, folder, 0)
    assert done == rows
    yield f"MB above a bare interpreter, {rows:,} items", -(peak - ran(BARE)[0]), -150.0
    yield f"calls a second without latency, {rows:,} items", done / took, None


def rate(folder: Path, seconds: float) -> Figures:
    """What is reached where only so many calls a second are allowed."""
    write(folder, int(RATE * seconds * 2))
    settings = folder / "scenario.json"
    settings.write_text(json.dumps({"settings": {"requests_per_s": RATE, "latency_s": LATENCY_S}}))
    state = ["--scenario", str(settings), "--state", str(folder / "state")]
    command = [sys.executable, "-m", "genai_batch", "emulate", "--port", "0", *state]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        url = process.stderr.readline().split()[-1]
        took, _, rows, _, refused = ran(OURS, url, 64, folder, seconds)
        with urlopen(f"{url}/emulator/settings"):  # noqa: S310 - it is still there
            process.terminate()
    yield f"{RATE} a second allowed, reached", rows / took / RATE, 0.90
    yield "of these calls refused", -refused / (rows + refused), -0.03


def peer(folder: Path, python: str, runs: int) -> Figures:
    """The same beside async-batch-llm, in turns."""
    rows, most = PEER
    write(folder, rows)
    with answering(LATENCY_S) as url:
        both = [(ran(OURS, url, most, folder, 0), ran(ABL, url, most, folder, python=python)) for _ in range(runs)]
    ours, theirs = (median(each[way][0] for each in both) for way in (0, 1))
    yield f"{rows:,} items, {most} at a time: seconds", ours, None
    yield "async-batch-llm: seconds", theirs, None
    yield "times async-batch-llm", theirs / ours, 1.0


def tell(figures: Figures) -> bool:
    """Print figures, and whether one misses its target; what should be small is told and compared below zero."""
    missed = False
    for name, value, target in figures:
        met = target is None or value >= target
        missed |= not met
        goal = "" if target is None else f"{abs(target):8.2f}  {'yes' if met else 'NO'}"
        sys.stdout.write(f"{name:<64}{abs(value):10.3f}{goal}\n")
        sys.stdout.flush()
    return missed


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter runs, 100,000 items for the memory")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", help="a Python that has async-batch-llm and aiohttp")
    parser.add_argument("--only", choices=["shares", "memory", "rate", "peer"], help="one part")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {
            "shares": lambda: shares(folder, 8 if given.quick else 30, 1 if given.quick else given.runs),
            "rate": lambda: rate(folder, 30 if given.quick else 60),
            "memory": lambda: memory(folder, 100_000 if given.quick else 1_000_000),
            **({"peer": lambda: peer(folder, given.peer, given.runs)} if given.peer else {}),
        }
        missed = [tell(part()) for called, part in parts.items() if given.only in (None, called)]
    sys.exit(any(missed))


if __name__ == "__main__":
    main()
