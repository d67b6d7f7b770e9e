"""A flex job at its real size: rows, no room and latencies of minutes, on the emulator's clock.

python -m tests.benchmarks.flex [--rows N] [--no-room SHARE] [--longest-s S] [--rate R] [--seed S]

The emulator's clock runs `--rate` times as fast, so that a call of ten minutes takes a second. Printed is what came of
the rows, how often they were asked for, the price beside that of the same answers at the standard tier, and the time of
the processor.
"""

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio

from genai_batch.resources import prices
from genai_batch.resources.models import catalogue
from genai_batch.tools.lanes.live.runner import Limits
from tests.world import World, call, row, start

WAIT_S = 50


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run a job and say what came of it."""
    (folder / "work").mkdir()
    world = World(folder / "work", folder / "home")
    longest, rate = options.longest_s, options.rate
    await world.set(flex={"no_room": options.no_room, "latency_s": [1, longest], "seed": options.seed})
    await world.admin("POST", "/clock", {"rate": rate})
    source = world.write("rows.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(options.rows)])
    pauses = Limits(room=(5 / rate, 120 / rate))  # as long on the emulator's clock
    async with world.client(live=pauses, max_cost_usd=1_000) as client:
        job_id = await start(client, source, lane="flex", concurrency=options.concurrency)
        status: dict[str, Any] = {"percent": 0}
        while status["percent"] < 100:
            status = await call(client, "check_status", job_id=job_id, wait_s=WAIT_S)
    [bill] = (await world.admin("GET", "/billing")).values()
    tokens = bill["live_tiers"]["flex"]
    return {
        "state": status["state"],
        "counts": status["counts"],
        "requests": bill["live_requests"],
        "tiers": bill["live_tiers"],
        "cost_usd": status["cost_usd"]["actual"],
        "standard_usd": _standard(tokens),
        "cpu_s": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1),
    }


def _standard(tokens: dict[str, int]) -> float:
    """What the same tokens cost at the standard tier."""
    rate = prices.rates("gemini-3.8-flash", "live", catalogue()["checked"])
    written = tokens["output_tokens"] + tokens["thought_tokens"]
    return float(tokens["input_tokens"] * rate.input + written * rate.output)


def main() -> int:
    """Print the outcome; 1 where a row was lost, asked for again after it was served, or not billed at half price."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--no-room", type=float, default=0.3)
    parser.add_argument("--longest-s", type=float, default=600)
    parser.add_argument("--rate", type=float, default=600)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = anyio.run(run, options, Path(folder))
    print(json.dumps(outcome, indent=1))  # noqa: T201 - the figures are the result
    is_whole = outcome["counts"] == {"ok": options.rows} and not outcome["requests"]["served_more_than_once"]
    is_half = abs(outcome["cost_usd"] / outcome["standard_usd"] - 0.5) < 1e-6
    return 0 if is_whole and is_half else 1


if __name__ == "__main__":
    sys.exit(main())
