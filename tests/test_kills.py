"""Processes are killed at random moments, again and again: nothing is paid twice, no row is lost or repeated.

Each driver is a forked process that does what `genai-batch run` does, over a real socket to the emulator, until it is
killed with SIGKILL. `make test` kills some dozens, `make soak` several hundred; both print their counts.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import anyio
import google.genai as loaded_before_the_fork
import pytest
from mcp import Client

from genai_batch.resources.jobs import JobStatus
from genai_batch.resources.untyped import as_object
from genai_batch.server.app import build_server
from genai_batch.server.settings import Settings, open_workspace
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.lanes.batch import Pace
from tests.world import MODEL, World, row

ROWS = 60
Work = Callable[[World, Path], Coroutine[Any, Any, Any]]
PACE = Pace(0.01, 0.01, 0.01)
BEGAN = time.time()
assert loaded_before_the_fork  # so that a driver is at work at once, and kills fall into the work


def settings(world: World) -> Settings:
    """What every driver is given."""
    return Settings("gemini", "any key", world.home, None, max_cost_usd=100, pace=PACE)


def fast_time() -> float:
    """Seconds since 1970, running twenty times too fast: a dead owner's lease of 30 s lapses after 1.5 s."""
    return BEGAN + (time.time() - BEGAN) * 20


async def drive(world: World, source: Path) -> JobStatus:
    """Do the whole job, as a command line would."""
    with anyio.fail_after(60):  # a job that is stuck is a failure, not a wait
        return await drive_on(world, source)


async def drive_on(world: World, source: Path) -> JobStatus:
    """Do it, however long it takes."""
    async with open_workspace(settings(world), fast_time) as workspace:
        status = await create_batch(str(source), MODEL, workspace)
        while not status.state.endswith(("SUCCEEDED", "FAILED")):
            status = await check_status(status.job_id, workspace, 1)
        return status


async def serve(world: World, source: Path) -> None:
    """Do the whole job, as a host with its own server would."""
    async with Client(build_server(settings(world), fast_time)) as client:
        tool, asked = "create_batch", dict[str, Any](source=str(source), model=MODEL)
        while True:
            made = as_object((await client.call_tool(tool, asked)).structured_content)
            if str(made.get("state", "FAILED")).endswith(("SUCCEEDED", "FAILED")):
                return
            tool, asked = "check_status", {"job_id": made["job_id"], "wait_s": 1}


def start(world: World, source: Path, work: Work) -> int:
    """Fork a process that does the job and return its id."""
    if pid := os.fork():
        return pid
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 2)
        anyio.run(work, world, source)
    finally:
        os._exit(0)


def kill(pid: int) -> bool:
    """Kill a process and say whether it was still at work."""
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def admin(url: str, path: str, body: Any = None) -> Any:
    """Call the emulator's admin endpoint."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{url}/emulator{path}", data=data)) as reply:  # noqa: S310 - a loopback address
        return json.load(reply)


def harass(world: World, source: Path, work: Work, at_once: int, chance: random.Random) -> int:
    """Keep `at_once` drivers on one job, kill one at a random moment again and again until one comes to the end.

    Returns how many were killed at work.
    """
    killed = 0
    drivers = [start(world, source, work) for _ in range(at_once)]
    while True:
        time.sleep(chance.expovariate(1 / 0.15))  # the random moment is the point; nothing is waited for
        victim = drivers.pop(chance.randrange(len(drivers)))
        if not kill(victim):
            break
        killed += 1
        drivers.append(start(world, source, work))
    for driver in drivers:
        killed += kill(driver)
    return killed


def finish(world: World, source: Path) -> JobStatus:
    """Let one driver come to the end undisturbed."""
    return anyio.run(drive, world, source)


@pytest.mark.parametrize("work", [drive, serve])
@pytest.mark.parametrize("at_once", [1, 3])
def test_killed_drivers_never_pay_twice_and_never_lose_or_repeat_a_row(
    tmp_path: Path, emulator_url: str, at_once: int, work: Work, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator_url)
    (tmp_path / "work").mkdir()
    world = World(tmp_path / "work", tmp_path / "home")
    admin(emulator_url, "/settings", {"queue_s": 0.05, "run_s": 0.1})
    chance = random.Random(at_once)  # noqa: S311 - a seed, no secret
    killed = rounds = 0
    while killed < kills:
        rounds += 1
        rows = [row(f"k{n}", f"Round {rounds}, row {n}.") for n in range(ROWS)]
        source = world.work / world.write(f"{rounds}.jsonl", rows)
        killed += harass(world, source, work, at_once, chance)
        status = finish(world, source)
        assert (status.state, status.counts.ok) == ("JOB_STATE_SUCCEEDED", ROWS), status
        keys = [json.loads(line)["key"] for line in results_of(world, status.job_id)]
        assert sorted(keys) == sorted(each["key"] for each in rows), "lost or repeated"
    bills = admin(emulator_url, "/billing")
    made = Counter(batch["display_name"] for bill in bills.values() for batch in bill["batches"])
    twice = sum(bill["rows_accepted_more_than_once"] for bill in bills.values())
    said = f"{killed} kills, {at_once} at once, {work.__name__}: {rounds} jobs, {len(made)} batches, {twice} rows twice"
    print(said, file=sys.stderr)  # noqa: T201 - the count is the result
    assert (len(made), set(made.values()), twice) == (rounds, {1}, 0)


@pytest.fixture
def kills(pytestconfig: pytest.Config) -> int:
    """How many processes each test kills."""
    return int(str(pytestconfig.getoption("--kills")))


def results_of(world: World, job_id: str) -> list[str]:
    """The rows of a job as they lie on disk."""
    return (world.home / "jobs" / job_id / "results.jsonl").read_text().splitlines()
