"""What a limit has to hold against besides answers: dearer tiers, midnight, processes that end, a busy ledger."""

import asyncio
import heapq
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from genai_batch.resources import prices
from genai_batch.resources.ledger import Ledger
from genai_batch.resources.prices import Usage
from genai_batch.resources.spend import Account
from genai_batch.server.emulator import live
from genai_batch.tools.lanes.live.allowance import Allowance
from genai_batch.tools.lanes.live.caller import Reply, calling
from genai_batch.tools.lanes.live.feed import Item
from genai_batch.tools.lanes.live.journal import Journal
from genai_batch.tools.lanes.live.pace import Pace
from genai_batch.tools.lanes.live.recovery import Recovered
from genai_batch.tools.lanes.live.runner import LIMITS, Runner
from genai_batch.tools.lanes.live.tally import Tally
from genai_batch.tools.lanes.wire import Endpoint
from tests.benchmarks.answering import answering
from tests.benchmarks.limited_jobs import charged
from tests.test_limits import rested
from tests.test_live_contract import ANSWER, Heard, listening
from tests.test_live_kills import heard
from tests.world import MODEL, World, call, finish, row, start, stopped

pytestmark = pytest.mark.anyio
FULL = {"output_tokens": 5_000, "output_sigma": 0}
"""Answers as long as they may be."""


def rows_of(count: int, **request: Any) -> list[dict[str, Any]]:
    """Rows whose answers may take 1,000 tokens."""
    rows = [row(f"k{n}", f"Say {n}.", max_output_tokens=1_000) for n in range(count)]
    for line in rows:
        line["request"] |= request
    return rows


def account(world: World, job_id: str) -> Account:
    """The money of the latest attempt of a job."""
    with closing(Ledger(world.home)) as ledger:
        money = ledger.account(job_id, ledger.job(job_id).attempt)
    assert money is not None
    return money


async def bound_of(client: Client, source: str, lane: str) -> float:
    """What a source can cost at most in a lane."""
    return (await call(client, "estimate_cost", source=source, model=MODEL, lane=lane))["cost_usd"]["high"]


@pytest.mark.parametrize(("lane", "asked"), [("flex", {}), ("live", {"service_tier": "flex"})])
async def test_a_row_at_flex_that_is_served_at_standard_stays_within_the_bound(
    world: World, lane: str, asked: dict[str, Any]
) -> None:
    await world.set(drawn=FULL, flex={"downgraded": 1, "seed": 1})
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(20, **asked))
        high = await bound_of(client, source, lane)
        status = await finish(client, await start(client, source, lane=lane, concurrency=4, max_cost_usd=high))
    assert (status["done"], status["cost_usd"]["actual"]) == (20, pytest.approx(charged(world.home)))
    assert 0.9 * high < charged(world.home) <= high


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("lane", "asked"), [("flex", {}), ("live", {"service_tier": "flex"})])
async def test_a_small_job_at_flex_finishes_once_it_is_approved(
    world: World, lane: str, asked: dict[str, Any], count: int
) -> None:
    await world.set(drawn=FULL)
    async with world.client(max_cost_usd_per_day=10, max_cost_usd=0.000001) as client:
        source = world.write("a.jsonl", rows_of(count, **asked))
        job_id = await start(client, source, lane=lane, concurrency=4, confirm=True)
        assert (await finish(client, job_id))["done"] == count


async def in_flight(client: Client, job_id: str, count: int) -> None:
    """Wait until so many calls of a job are in flight."""
    with anyio.fail_after(50):
        while (pulse := (await call(client, "check_status", job_id=job_id, wait_s=0.1)).get("live")) is None or (
            pulse["concurrency"] < count
        ):
            pass


async def asked(world: World) -> int:
    """How many requests have reached the emulator."""
    [bill] = (await world.admin("GET", "/billing")).values() or [{"live_requests": {"count": 0}}]
    return bill["live_requests"]["count"]


def killed(world: World, url: str, *arguments: str, calls: int, **env: str) -> str:
    """Kill a command once it has sent so many calls; return the id of the only job."""
    with cli(world, url, *arguments, **env) as process:
        until_s = time.monotonic() + 50
        while sum(heard(url).values()) < calls and time.monotonic() < until_s:
            time.sleep(0.01)
        process.kill()
    with closing(Ledger(world.home)) as ledger:
        [job_id] = [line["id"] for line in ledger.rows("SELECT id FROM job")]
    return job_id


def cli(world: World, url: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """A command as a process of its own, for which an address stands for Gemini."""
    env = {"GENAI_BATCH_BACKEND": "gemini", "GEMINI_API_KEY": "any-key", "GOOGLE_GEMINI_BASE_URL": url, **env}
    command = [sys.executable, "-m", "genai_batch", *arguments, "--json", "--quiet"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=world.env(**env), cwd=world.work, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("is_day_known", [True, False], ids=["same-limit", "without-the-limit-of-a-day"])
def test_a_job_that_is_cancelled_after_a_kill_counts_what_was_in_flight(tmp_path: Path, is_day_known: bool) -> None:
    (tmp_path / "work").mkdir()
    world = World(tmp_path / "work", tmp_path / "home")
    rows = [row(f"r0k{n:03}", f"Say r0k{n:03}.", max_output_tokens=5_000) for n in range(40)]
    source, day = world.write("a.jsonl", rows), {"GENAI_BATCH_MAX_COST_USD_PER_DAY": "2"}
    with answering(60, counts=True, tokens=5_000) as url:
        run = ["run", source, "--model", MODEL, "--lane", "live", "--concurrency", "8"]
        job_id = killed(world, url, *run, calls=8, **day)
        with cli(world, url, "cancel", job_id, **(day if is_day_known else {})) as process:
            out, _ = process.communicate(timeout=60)
        calls = sum(heard(url).values())
    today = datetime.now(UTC).date()
    usd = float(prices.cost(MODEL, "live", today, Usage(input=12, output=5_000)))
    assert (json.loads(out)["state"], calls) == ("JOB_STATE_CANCELLED", 8)
    money = account(world, job_id)
    assert 8 * usd <= (money.actual or 0) <= money.reserved
    assert money.in_flight == 0


@pytest.mark.parametrize("share", [0.9, 2.0], ids=["every-call-counted", "all-rows-fit"])
async def test_a_host_that_is_closed_counts_the_calls_in_flight_and_no_others(world: World, share: float) -> None:
    await world.set(flex={"latency_s": [600, 600]})
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(20))
        high = await bound_of(client, source, "flex")
        job_id = await start(client, source, lane="flex", concurrency=4, max_cost_usd=share * high)
        await in_flight(client, job_id, 4)
    money = account(world, job_id)
    assert (money.lost, money.in_flight) == (pytest.approx(4 / 20 * high, rel=0.02), 0)
    await world.set(flex={"latency_s": [0, 0]})
    async with world.client() as client:
        await call(client, "cancel_job", job_id=job_id)
    assert account(world, job_id).actual == pytest.approx(charged(world.home) + money.lost)


async def test_midnight_gives_no_credit_for_calls_in_flight(world: World) -> None:
    await world.set(drawn={"output_tokens": 300, "output_sigma": 0}, latency_s=1)
    rows, limit = [row(f"k{n}", f"Say {n}.") for n in range(60)], 6.0
    async with world.client(max_cost_usd_per_day=limit) as client:
        job_id = await start(client, world.write("a.jsonl", rows), lane="live", concurrency=8)
        assert account(world, job_id).reserved > 7 * 65_536 * 3.75e-6
        world.time += 86_400
        await world.set(drawn={"output_tokens": 30_000, "output_sigma": 0, "thought_tokens": 10_000}, latency_s=0.1)
        await rested(client, job_id)
    assert 0.8 * limit < charged(world.home) <= limit


async def test_a_busy_ledger_costs_no_call_that_is_in_flight(world: World) -> None:
    await world.set(latency_s=1)
    rows = [row(f"k{n}", f"Say {n}.") for n in range(100)]
    async with world.client() as client:
        with closing(sqlite3.connect(world.home / "ledger.db", timeout=20)) as db:
            db.execute(
                "CREATE TRIGGER busy BEFORE UPDATE OF reserved ON spend WHEN NEW.reserved > 5 "
                "BEGIN SELECT RAISE(ABORT, 'database is locked'); END"
            )
            job_id = await start(client, world.write("a.jsonl", rows), lane="live", concurrency=32, max_cost_usd=14)
            with anyio.fail_after(50):
                while "locked" not in (await call(client, "check_status", job_id=job_id)).get("notice", ""):
                    pass
            db.execute("DROP TRIGGER busy")
        assert (await finish(client, job_id))["done"] == 100
    assert account(world, job_id).lost == 0
    [bill] = (await world.admin("GET", "/billing")).values()
    assert bill["live_requests"]["calls"] == 100


async def test_a_job_that_stops_for_failures_sends_nothing_more_though_a_call_was_lost(world: World) -> None:
    """The call that is lost asks for a count of every call from then on; those in flight with it fail."""
    await world.set(latency_s=1)
    await world.arm("drop_after", call="generate", times=1)
    await world.arm("row", match={"prompt": "Say"}, outcome="blocked", times=None)
    items = [{"id": f"k{n}", "prompt": f"Say {n}."} for n in range(60)]
    manifest = {"model": MODEL, "stop_on_failures": 50, "max_output_tokens": 1_000, "items": items}
    async with world.client() as client:
        source = world.write("a.json", json.dumps(manifest))
        high = await bound_of(client, source, "live")
        job_id = await start(client, source, lane="live", concurrency=32, max_cost_usd=high)
        status = await stopped(client, job_id)
    assert "rows failed" in status["notice"]
    assert await asked(world) <= 32


async def test_an_answer_from_a_tier_without_a_price_is_kept_and_counted_by_whoever_goes_on_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emulator that says flex of calls that it serves at standard stands for a Gemini that does."""
    serve = live.serve

    async def serve_at_flex(*of_a_call: Any) -> str:
        await serve(*of_a_call)
        return "flex"

    monkeypatch.setattr(live, "serve", serve_at_flex)
    await world.set(drawn=FULL, latency_s=1)
    source = world.write("a.jsonl", [row(f"k{n}", f"Say {n}.") for n in range(20)])
    ask: dict[str, Any] = {"source": source, "model": "gemini-3.6-flash", "lane": "live"}
    async with world.client() as client:
        high = (await call(client, "estimate_cost", **ask))["cost_usd"]["high"]
        job_id = await start(client, **ask, concurrency=1, max_cost_usd=0.5 * high)
        with anyio.fail_after(50):
            while not (await call(client, "check_status", job_id=job_id, wait_s=0.1))["done"]:
                pass
    async with world.client() as client:
        status = await finish(client, job_id)
    assert (status["counts"], await asked(world)) == ({"ok": 20}, 20)


async def test_what_leaves_is_what_was_admitted_though_another_row_becomes_due_meanwhile(world: World) -> None:
    """The clock of the allowance is read between the two, and stands still until the other row is due."""
    await world.arm("http_error", call="generate", code=403, times=None)
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(20))
        limit = 0.99 * await bound_of(client, source, "live")
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=limit, confirm=True)
        await stopped(client, job_id)
    clock = asyncio.get_running_loop().time
    again, ahead = (Item(b'"k"', json.dumps(line["request"]).encode()) for line in rows_of(2))

    def now() -> float:
        while clock() <= again.due:
            pass
        return world.time

    with closing(Ledger(world.home)) as ledger:
        job, [shard] = ledger.job(job_id), ledger.shards(job_id)
        allowance = Allowance(ledger, job, now, 5)
        await allowance.begin(Recovered(20, 0, None), shard, 4)
        journal, pace = Journal(world.work / "results.jsonl"), Pace()
        pace.admit(4)
        runner = Between(iter([ahead]), unused, journal, pace, LIMITS, 4, Tally(None), allowance)
        runner.put_off(again)
        again.due = clock() + 0.05
        item = runner.next_item()
        assert again.due < clock()
        assert item is ahead
        assert (ahead.bound or 0) > 0
        await journal.close()


class Between(Runner):
    """A runner that shows the moment between two of its steps."""

    def put_off(self, item: Item) -> None:
        """Have an item wait for another try."""
        heapq.heappush(self._again, item)

    def next_item(self) -> Item | None:
        """The item that leaves next, where one may leave at once."""
        assert self._wait() == 0
        return self._take()


async def unused(body: bytes, seconds: float) -> Reply:
    """Stand for a network that nothing is sent over."""
    raise AssertionError((body, seconds))


@pytest.mark.parametrize(("seconds", "header"), [(300.0, "300"), (120.9, "120"), (900.0, "900"), (1.0, "1")])
async def test_gemini_gives_a_call_up_no_later_than_we_do(seconds: float, header: str) -> None:
    calls: list[Heard] = []
    async with (
        listening(calls, json.dumps(ANSWER).encode()) as url,
        calling(Endpoint(url, {"X-Server-Timeout": "300"})) as post,
    ):
        await post(b"{}", seconds)
    assert [request.headers["x-server-timeout"] for request in calls] == [header]
