"""What the ledger counts where answers are lost, days change, settings differ, runs break off or tell no tokens."""

import json
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from genai_batch.resources.ledger import Ledger
from genai_batch.server.emulator import live
from tests.benchmarks.answering import answering
from tests.benchmarks.limited_jobs import charged
from tests.test_limit_approvals import settled
from tests.test_limit_holes import account, bound_of, cli, killed, rows_of
from tests.test_limits import rested
from tests.world import MODEL, OVER, World, call, finish, refusal, row, start, stopped

pytestmark = pytest.mark.anyio
FULL = {"output_tokens": 1_000, "output_sigma": 0}
"""Answers as long as `rows_of` lets them be."""


async def over(world: World, client: Client, job_id: str, seconds: float = 600) -> dict[str, Any]:
    """Let time pass until a job is over."""
    while (status := await call(client, "check_status", job_id=job_id, wait_s=0.2))["state"] not in OVER:
        await world.advance(seconds)
    return status


def spent_today(world: World) -> float:
    """USD that are spent or set aside on the day of a world."""
    with closing(Ledger(world.home)) as ledger:
        return ledger.spent(world.time)


async def test_answers_that_are_lost_were_paid(world: World) -> None:
    await world.set(drawn=FULL)
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(60))
        limit = 1.2 * await bound_of(client, source, "batch")
        await world.arm("http_error", call="download", code=404, times=None)
        job_id = await start(client, source, max_cost_usd=limit)
        assert (await over(world, client, job_id, 36_000))["state"] == "JOB_STATE_FAILED"
        assert charged(world.home) <= (account(world, job_id).actual or 0) <= limit
        await world.admin("DELETE", "/faults")
        assert "earlier attempts" in await refusal(client, "resume_job", job_id=job_id)
        assert charged(world.home) <= limit
        await call(client, "resume_job", job_id=job_id, confirm=True)
        assert (await over(world, client, job_id))["done"] == 60
    assert account(world, job_id).actual == pytest.approx(charged(world.home) / 2), "what came home is known"


@pytest.mark.parametrize("done_s", [0, 70], ids=["before-it-ran", "in-the-middle"])
async def test_a_cancelled_batch_counts_what_may_have_run(world: World, done_s: float) -> None:
    await world.set(drawn=FULL)
    await world.arm("delay", queue_s=1, run_s=100, times=None)
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(60))
        limit = await bound_of(client, source, "batch")
        job_id = await start(client, source, max_cost_usd=limit)
        await world.advance(done_s)
        await call(client, "cancel_job", job_id=job_id)
        assert (await over(world, client, job_id))["state"] == "JOB_STATE_CANCELLED"
        assert charged(world.home) <= (account(world, job_id).actual or 0)
        assert account(world, job_id).actual == pytest.approx(limit if done_s else 0, rel=0.01)
        assert spent_today(world) == account(world, job_id).actual


async def test_a_limit_of_the_day_that_was_lowered_holds_for_a_live_job_under_way(world: World) -> None:
    await world.set(drawn=FULL, latency_s=0.3)
    async with world.client(max_cost_usd_per_day=10) as client:
        job_id = await start(client, world.write("a.jsonl", rows_of(60)), lane="live", concurrency=4)
        while not (await call(client, "check_status", job_id=job_id, wait_s=0.1))["done"]:
            pass
    paid, limit = charged(world.home), 2 * charged(world.home)
    await world.set(latency_s=0)
    async with world.client(max_cost_usd_per_day=limit) as client:
        assert "today's limit" in (await rested(client, job_id))["notice"]
    assert 1.5 * paid < charged(world.home) <= limit


async def test_a_limit_of_the_day_that_was_lowered_holds_for_a_batch_that_waits(world: World) -> None:
    await world.set(drawn=FULL)
    source = world.write("a.jsonl", rows_of(60))
    await world.arm("http_error", call="create", code=429, times=2)
    async with world.client(max_cost_usd_per_day=10) as client:
        limit = 0.9 * await bound_of(client, source, "batch")
        job_id = await start(client, source)
    await world.advance(600)
    async with world.client(max_cost_usd_per_day=limit) as client:
        assert "today's limit" in (await rested(client, job_id))["notice"]
        assert (charged(world.home), spent_today(world)) == (0, 0)
    async with world.client(max_cost_usd_per_day=10) as client:
        await call(client, "resume_job", job_id=job_id)
        assert (await over(world, client, job_id))["done"] == 60


async def test_a_limit_of_the_day_counts_what_a_process_without_one_sends(world: World) -> None:
    await world.set(drawn={"output_tokens": 30_000, "output_sigma": 0}, latency_s=0.3)
    a, b = (world.write(f"{word}.jsonl", [row(f"k{n}", f"{word} {n}.") for n in range(40)]) for word in ("Say", "Tell"))
    async with world.client() as first, world.client(max_cost_usd_per_day=4) as second:
        a_id = await start(first, a, lane="live", concurrency=8, max_cost_usd=50, confirm=True)
        while (await call(first, "check_status", job_id=a_id, wait_s=0.1))["done"] < 30:
            pass
        paid = charged(world.home)
        assert paid <= spent_today(world)
        answer = await refusal(second, "create_batch", source=b, model=MODEL, lane="live", max_cost_usd=50)
        assert "GENAI_BATCH_MAX_COST_USD_PER_DAY" in answer
        await finish(first, a_id)
        assert spent_today(world) == pytest.approx(charged(world.home)), "what was not used is given back"


@pytest.mark.parametrize("lane", ["batch", "live"])
async def test_what_is_sent_counts_on_the_day_on_which_it_is_sent(world: World, lane: str) -> None:
    await world.set(drawn=FULL)
    a, b = (world.write(f"{name}.jsonl", rows_of(60, labels={"of": name})) for name in "ab")
    await world.arm("http_error", call="create" if lane == "batch" else "generate", code=429, times=8)
    async with world.client() as client:
        limit = 1.1 * await bound_of(client, a, lane)
    async with world.client(max_cost_usd_per_day=limit) as client:
        a_id = await start(client, a, lane=lane)
    assert charged(world.home) == 0
    await world.admin("DELETE", "/faults")
    await world.advance(86_400)
    async with world.client(max_cost_usd_per_day=limit) as client:
        with suppress(AssertionError):  # the first may have been sent before it
            await settled(client, await start(client, b, lane=lane))
        await settled(client, a_id)
    assert 0.5 * limit < charged(world.home) <= limit


async def test_a_clock_that_goes_back_leaves_the_limit_of_the_day_where_it_was(world: World) -> None:
    await world.set(drawn=FULL, latency_s=0.3)
    a, b = (world.write(f"{name}.jsonl", rows_of(60, labels={"of": name})) for name in "ab")
    limit = 0.3
    async with world.client(max_cost_usd_per_day=limit) as client:
        a_id = await start(client, a, lane="live", concurrency=2)
        while not (await call(client, "check_status", job_id=a_id, wait_s=0.1))["done"]:
            pass
    world.time -= 3 * 86_400
    await world.set(latency_s=0)
    async with world.client(max_cost_usd_per_day=limit) as client:
        b_id = await start(client, b, lane="live", concurrency=2)
        for job_id in (b_id, a_id):
            await settled(client, job_id)
    assert 0.5 * limit < charged(world.home) <= limit


@pytest.mark.parametrize("limit", [10.0, None], ids=["limit-of-the-day", "all-rows-fit"])
async def test_a_job_that_stops_keeps_no_more_of_the_day_than_it_has_spent(world: World, limit: float | None) -> None:
    await world.set(drawn={"output_tokens": 300, "output_sigma": 0}, latency_s=0.1)
    await world.arm("http_error", call="generate", code=403, after=20, times=None)
    rows = [row(f"k{n}", f"Say {n}.") for n in range(60)]
    async with world.client(max_cost_usd_per_day=limit) as client:
        job_id = await start(client, world.write("a.jsonl", rows), lane="live", max_cost_usd=50, confirm=True)
        await stopped(client, job_id)
        assert account(world, job_id).reserved == pytest.approx(charged(world.home), rel=0.05)
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["done"] == 60


async def test_a_batch_that_is_refused_to_the_key_keeps_nothing_of_the_day(world: World) -> None:
    await world.set(drawn=FULL)
    await world.arm("http_error", call="create", code=403, message="API key was reported as leaked", times=None)
    source = world.write("a.jsonl", rows_of(60))
    async with world.client(max_cost_usd_per_day=10) as client:
        await refusal(client, "create_batch", source=source, model=MODEL)
        [job_id] = [line["job_id"] for line in (await call(client, "list_jobs"))["jobs"]]
        assert spent_today(world) == 0
        await world.admin("DELETE", "/faults")
        await call(client, "resume_job", job_id=job_id)
        assert (await over(world, client, job_id))["done"] == 60
    assert account(world, job_id).actual == pytest.approx(charged(world.home))


def test_a_kill_counts_no_more_than_was_set_aside(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    world = World(tmp_path / "work", tmp_path / "home")
    source = world.write("a.jsonl", [row(f"r0k{n:03}", f"Say r0k{n:03}.") for n in range(150)])
    day = {"GENAI_BATCH_MAX_COST_USD_PER_DAY": "10"}
    with answering(30, counts=True) as url:
        run = ["run", source, "--model", MODEL, "--lane", "live", "--confirm"]
        job_id = killed(world, url, *run, calls=4, **day)
        reserved = account(world, job_id).reserved
        with cli(world, url, "cancel", job_id, **day) as process:
            process.communicate(timeout=60)
    assert 0 < (account(world, job_id).actual or 0) <= reserved <= 10


async def test_a_run_that_cannot_begin_counts_no_call(world: World) -> None:
    await world.set(drawn=FULL)
    await world.arm("http_error", call="generate", code=403, times=None)
    async with world.client() as client:
        source = world.write("a.jsonl", rows_of(60))
        limit = await bound_of(client, source, "live")
        job_id = await start(client, source, lane="live", concurrency=4, max_cost_usd=limit)
        await stopped(client, job_id)
        await world.admin("DELETE", "/faults")
        results = world.home / "jobs" / job_id / "results.jsonl"
        results.unlink(missing_ok=True)
        results.symlink_to("nowhere/results.jsonl")
        await call(client, "resume_job", job_id=job_id)
        with anyio.fail_after(20):
            while "held up" not in (await call(client, "check_status", job_id=job_id, wait_s=0.1)).get("notice", ""):
                pass
        money = account(world, job_id)
        assert (money.in_flight, money.lost, money.reserved, charged(world.home)) == (0, 0, 0, 0)
        results.unlink()
        await call(client, "resume_job", job_id=job_id)
        assert (await over(world, client, job_id))["done"] == 60


async def test_an_answer_that_does_not_tell_its_tokens_keeps_no_more_than_it_can_have_cost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emulator that leaves the tokens of one answer out stands for a Gemini that does."""
    reply, untold = live.reply, [True]

    def without_tokens(response: dict[str, Any], headers: Any = None) -> Any:
        left_out = {"usageMetadata"} if untold and "usageMetadata" in response and untold.pop() else set[str]()
        return reply({name: value for name, value in response.items() if name not in left_out}, headers=headers)

    monkeypatch.setattr(live, "reply", without_tokens)
    await world.set(drawn={"output_tokens": 100, "output_sigma": 0})
    async with world.client(max_cost_usd_per_day=10) as client:
        source = world.write("a.jsonl", rows_of(60))
        high = await bound_of(client, source, "live")
        status = await finish(client, await start(client, source, lane="live"))
    assert "at most" in status["notice"]
    assert charged(world.home) <= spent_today(world) < charged(world.home) + 2 * high / 60


async def test_failures_of_earlier_runs_count(world: World) -> None:
    await world.set(latency_s=0.15)
    await world.arm("row", match={"prompt": "Say"}, outcome="blocked", times=None)
    items = [{"id": f"k{n}", "prompt": f"Say {n}."} for n in range(100)]
    manifest = {"model": MODEL, "lane": "live", "stop_on_failures": 50, "max_output_tokens": 100, "items": items}
    source, job_id, done = world.write("a.json", json.dumps(manifest)), "", 0
    status: dict[str, Any] = {}
    for _ in range(3):
        async with world.client() as client:
            job_id = job_id or (await call(client, "create_batch", source=source, concurrency=2))["job_id"]
            status = await call(client, "check_status", job_id=job_id)
            with anyio.fail_after(20):
                while status["done"] < done + 10 and "Stopped" not in status["notice"]:
                    status = await call(client, "check_status", job_id=job_id, wait_s=0.1)
            done = status["done"]
    assert "rows failed" in status["notice"]
    assert done < 30


@pytest.mark.parametrize("is_stage", [True, False], ids=["stages", "after-a-restart"])
async def test_it_says_that_most_of_a_limit_is_spent(world: World, is_stage: bool) -> None:
    await world.set(drawn=FULL, latency_s=0.4)
    source = world.write("a.jsonl", rows_of(60))
    async with world.client() as client:
        limit = await bound_of(client, source, "live")
    if is_stage:
        world.write("a.csv", "n\n" + "".join(f"{n}\n" for n in range(60)))
        one = {
            "name": "one",
            "lane": "live",
            "concurrency": 4,
            "data": "a.csv",
            "key": "k{{ n }}",
            "prompt": "Say {{ n }}.",
            "max_output_tokens": 1_000,
        }
        two = {"name": "two", "from": "one", "prompt": "{{ key }}", "max_output_tokens": 10}
        stages = {"model": MODEL, "max_cost_usd": 1.05 * limit, "stages": [one, two]}
        source = world.write("a.json", json.dumps(stages))
    notices = set[str]()
    async with world.client() as client:
        ask = {} if is_stage else {"model": MODEL, "lane": "live", "max_cost_usd": limit, "concurrency": 4}
        job_id = (await call(client, "create_batch", source=source, **ask))["job_id"]
        while (await call(client, "check_status", job_id=job_id, wait_s=0.1))["done"] < 30:
            pass
    async with world.client() as client:
        while (status := await call(client, "check_status", job_id=job_id, wait_s=0.1))["state"] not in OVER:
            notices.add(status.get("notice", ""))
    assert any("Three quarters of the limit" in notice for notice in notices), notices
