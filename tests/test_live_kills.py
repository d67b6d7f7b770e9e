"""Live runs are killed at random moments: what is answered is never asked for again, nothing is lost.

`make test` kills a few, `make soak` a hundred and more.
"""

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import AsyncExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from genai_batch.resources import prices
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.prices import Usage
from genai_batch.resources.results import read_results
from tests.benchmarks.answering import answering
from tests.drivers import STUCK_S, Ask, Dress, Script, command_line, fast_time, host, to_the_end
from tests.killing import Ring
from tests.processes import ending
from tests.world import MODEL, OVER, World, call, finish, row, start

ROWS, AT_ONCE, LATENCY_S = 400, 8, 0.03


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Ring]:
    """A home without drivers, and a process that answers and counts what it was asked; none is left."""
    (tmp_path / "work").mkdir()
    with answering(LATENCY_S, counts=True) as url:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        made = Ring(World(tmp_path / "work", tmp_path / "home"), url, random.Random(1))  # noqa: S311 - no secret
        yield made
        made.clear()


@pytest.mark.parametrize(
    ("at_once", "dress", "lane"),
    [(1, command_line, "live"), (2, host, "live"), (1, command_line, "flex")],
    ids=["run", "hosts", "flex"],
)
def test_killed_live_runs_never_ask_twice_for_what_is_answered_and_lose_nothing(
    ring: Ring, at_once: int, dress: Dress, lane: str, pytestconfig: pytest.Config
) -> None:
    kills = 3 if (most := int(str(pytestconfig.getoption("--kills")))) < 100 else most // 3
    ring.dress = dress
    repeated, stored = 0, dict[str, int]()
    while ring.killed < kills:
        before = ring.killed
        rows = [row(f"r{ring.rounds}k{n:03}", f"This is r{ring.rounds}k{n:03}.") for n in range(ROWS)]
        script = partial(lived, source=ring.source(rows), lane=lane)
        ring.harass(lambda script=script: note(ring, stored) or script, at_once, kills, begun=partial(at_work, ring))
        note(ring, stored)
        status = ring.undisturbed(script)
        assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": ROWS}), status
        assert ring.keys(status["job_id"]) == sorted(each["key"] for each in rows), "lost or repeated"
        asked = heard(ring.url)
        assert {key: asked[key] for key in stored} == stored, "what was on the disk at a kill was asked for again"
        counts, killed = [asked[each["key"]] for each in rows], ring.killed - before
        more = sum(counts) - ROWS
        assert more <= 2 * AT_ONCE * killed, "more than what was in flight, to Gemini or to the disk"
        assert max(counts) <= 1 + killed
        repeated += more
    assert stored, "nothing was stored at any kill"
    counted = f"{ring.killed} kills, {ring.rounds} jobs, {repeated} rows asked twice, {len(stored)} stored at a kill"
    print(f"{lane}, {dress.__name__}: {counted}")  # noqa: T201 - the counts are the result


def test_killed_live_runs_ask_once_for_equal_requests(ring: Ring) -> None:
    distinct = 3 * ROWS // 4
    rows = [row(f"k{n:03}", f"This is r0k{n % distinct:03}.") for n in range(ROWS)]
    script = partial(lived, source=ring.once(rows))
    ring.harass(lambda: script, 1, 2, begun=partial(at_work, ring))
    status = ring.undisturbed(script)
    assert (status["state"], status["counts"], status["rows"]) == ("JOB_STATE_SUCCEEDED", {"ok": distinct}, ROWS)
    assert ring.keys(status["job_id"]) == sorted(each["key"] for each in rows[:distinct]), "lost or repeated"
    asked = heard(ring.url)
    assert (len(asked), sum(asked.values()) - distinct <= 2 * AT_ONCE * ring.killed) == (distinct, True)
    with closing(Ledger(ring.world.home)) as ledger:
        job = ledger.job(status["job_id"])
        costs = read_results(ring.world.home, job, lambda results: [each.cost for each in results.page(None, 0, ROWS)])
    paid = [float(cost or 0) for cost in costs]
    assert (len(paid), paid[distinct:]) == (ROWS, [0.0] * (ROWS - distinct))
    assert sum(paid) == pytest.approx(status["cost_usd"]["actual"])


@contextmanager
def dear_ring(folder: Path, monkeypatch: pytest.MonkeyPatch, tokens: int) -> Generator[Ring]:
    """A ring in which each answer takes so many tokens."""
    (folder / "work").mkdir()
    with answering(LATENCY_S, counts=True, tokens=tokens) as url:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        ring = Ring(World(folder / "work", folder / "home"), url, random.Random(2))  # noqa: S311 - no secret
        try:
            yield ring
        finally:
            ring.clear()


@pytest.mark.parametrize(
    ("settings", "tokens", "limit"),
    [
        ({"max_output_tokens": 1_000}, 1_000, "high"),
        ({"max_output_tokens": 1_000}, 1_000, "likely_high"),
        ({}, 30_000, "likely_high"),
    ],
    ids=["all-rows-just-fit", "nearly-all-fit", "few-fit"],
)
def test_no_kill_lets_a_limited_run_pass_its_limit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    tokens: int,
    limit: str,
    pytestconfig: pytest.Config,
) -> None:
    """Whoever goes on counts what was on its way at a kill: everything that arrived is held against the limit."""
    kills = 4 if (most := int(str(pytestconfig.getoption("--kills")))) < 100 else most // 3
    today = datetime.fromtimestamp(fast_time(), UTC).date()
    answer_usd = float(prices.cost(MODEL, "live", today, Usage(input=12, output=tokens)))
    with dear_ring(tmp_path, monkeypatch, tokens) as ring:
        while ring.killed < kills:
            rows = [row(f"r{ring.rounds}k{n:03}", f"This is r{ring.rounds}k{n:03}.", **settings) for n in range(ROWS)]
            source, ring.limit_usd = ring.source(rows), 1e6
            ring.limit_usd = ring.undisturbed(partial(priced, source=source))[limit]
            script = partial(limited, source=source)
            kill_again_and_again(ring, script, kills)
            job_id = ring.undisturbed(script)["job_id"]
            asked = sum(count for key, count in heard(ring.url).items() if key.startswith(f"r{ring.rounds - 1}k"))
            assert asked * answer_usd <= ring.limit_usd, (asked, ring.killed)
            status = ring.undisturbed(partial(confirmed, job_id=job_id))
            assert status["counts"] == {"ok": ROWS}, status
    print(f"limited, {limit}: {ring.killed} kills, {ring.rounds} jobs")  # noqa: T201 - the counts are the result


def kill_again_and_again(ring: Ring, script: Script, most: int) -> None:
    """Kill one driver after the other at a random moment after it began to send, until one comes to its end."""
    while ring.killed < most:
        before, driver, until = len(heard(ring.url)), ring.start(script), time.monotonic() + STUCK_S
        while len(heard(ring.url)) < before + AT_ONCE and time.monotonic() < until and not is_stopped(ring):
            time.sleep(0.01)
        time.sleep(ring.chance.expovariate(1 / 0.15))  # the random moment is the point; nothing is waited for
        if not ring.kill(driver):
            return


def is_stopped(ring: Ring) -> bool:
    """Whether a job rests at its limit."""
    return bool(ring.asked("SELECT count(*) FROM shard WHERE stopped_by IS NOT NULL AND collected_at IS NULL"))


async def priced(ask: Ask, source: Path) -> dict[str, Any]:
    """What a job may cost in the live lane."""
    return (await ask("estimate_cost", source=str(source), model=MODEL, lane="live"))["cost_usd"]


async def limited(ask: Ask, source: Path) -> dict[str, Any]:
    """Run a job in the live lane until its end, or its limit."""
    status = await ask("create_batch", source=str(source), model=MODEL, lane="live", concurrency=AT_ONCE)
    while status["state"] not in OVER and "Stopped at" not in status.get("notice", ""):
        status = await ask("check_status", job_id=status["job_id"], wait_s=1)
    return status


async def confirmed(ask: Ask, job_id: str) -> dict[str, Any]:
    """Approve what is left of a job, and run it."""
    status = await ask("check_status", job_id=job_id)
    while status["state"] not in OVER:
        if "Stopped at" in status.get("notice", ""):
            await ask("resume_job", job_id=job_id, confirm=True)
        status = await ask("check_status", job_id=job_id, wait_s=1)
    return status


async def lived(ask: Ask, source: Path, lane: str = "live") -> dict[str, Any]:
    """Run a job in the live lane, or in that of flex."""
    begun = await ask("create_batch", source=str(source), model=MODEL, lane=lane, concurrency=AT_ONCE, confirm=True)
    return await to_the_end(ask, begun)


def heard(url: str) -> dict[str, int]:
    """How often each row was asked for."""
    with urlopen(url, timeout=20) as reply:  # noqa: S310 - loopback
        return {found[0]: count for body, count in json.load(reply) if (found := re.search(r"r\d+k\d+", body))}


def at_work(ring: Ring) -> None:
    """Wait until rows are stored: until the next has taken over a kill hits nothing."""

    def size() -> int:
        return sum(each.stat().st_size for each in ring.world.home.glob("jobs/*/results.jsonl"))

    before, until = size(), time.monotonic() + STUCK_S
    while size() == before and not ring.over() and time.monotonic() < until:
        time.sleep(0.01)


def note(ring: Ring, stored: dict[str, int]) -> None:
    """Remember how often the rows that are on the disk by now were asked for."""
    results = [each.read_bytes() for each in ring.world.home.glob("jobs/*/results.jsonl")]
    keys = [json.loads(line)["key"] for each in results for line in each[: each.rfind(b"\n") + 1].splitlines()]
    asked = heard(ring.url)
    for key in keys:
        stored.setdefault(key, asked[key])


@contextmanager
def emulating(folder: Path, port: str = "0") -> Generator[str]:
    """The emulator as a process of its own, which is killed at the end."""
    scenario = folder / "scenario.json"
    scenario.write_text(json.dumps({"settings": {"latency_s": 0.05}}))
    state = ["--scenario", str(scenario), "--state", str(folder / "state")]
    command = [sys.executable, "-m", "genai_batch", "emulate", "--port", port, *state]
    with ending(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as process:
        assert process.stderr
        try:
            yield process.stderr.readline().split()[-1]
        finally:
            process.kill()


@pytest.mark.anyio
async def test_while_gemini_is_away_a_run_waits_and_then_no_row_is_lost_or_failed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    """`make soak` has it away for 30 s."""
    away_s = 30 if int(str(pytestconfig.getoption("--kills"))) >= 100 else 0
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(200)])
    async with AsyncExitStack() as opened:
        with emulating(tmp_path) as url:
            monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
            client = await opened.enter_async_context(world.client(backend="gemini", api_key="any key"))
            job_id = await start(client, source, lane="live", concurrency=8, confirm=True)
            status: dict[str, Any] = {"done": 0}
            while not status["done"]:
                status = await call(client, "check_status", job_id=job_id, wait_s=0.2)
        while "does not answer" not in status.get("notice", ""):
            status = await call(client, "check_status", job_id=job_id, wait_s=0.2)
        status = await call(client, "check_status", job_id=job_id, wait_s=away_s)
        assert 0 < status["done"] < 200
        with emulating(tmp_path, url.rpartition(":")[2]):
            assert (await finish(client, job_id))["counts"] == {"ok": 200}
