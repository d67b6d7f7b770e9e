"""What a fresh reader once broke: each of these paid twice, lost rows, hung, or said too much."""

import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp import MCPError
from mcp_types import TextResourceContents

from genai_batch.resources.requests import Cut
from genai_batch.server.settings import open_workspace
from genai_batch.tools.cancel_job import cancel_job
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.lanes.means import Pace
from genai_batch.tools.workspace import Workspace
from tests.world import MODEL, World, call, finish, read, refusal, row, start, text_of

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}") for n in range(60)]
WIDE = "错误" * 30_000


@asynccontextmanager
async def workspace(world: World, **changes: Any) -> AsyncGenerator[Workspace]:
    """What a command line works in: nothing goes on in the background."""
    async with open_workspace(world.settings(**changes), lambda: world.time) as opened:
        yield opened


async def test_a_job_whose_process_died_between_collecting_and_closing_is_closed_by_the_next(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
    next((world.home / "jobs").glob("job_*/results.db")).unlink()
    with sqlite3.connect(world.home / "ledger.db") as db:
        db.execute("UPDATE job SET state = 'JOB_STATE_RUNNING', ended_at = NULL, counts = NULL, cost = NULL")
    db.close()
    async with world.client() as client:
        assert (await finish(client, job_id))["counts"] == {"ok": 60}


async def sent(here: Workspace) -> str:
    """Wait until a job is on its way, and return its id."""
    while True:
        for job in here.ledger.open_jobs():
            if here.ledger.shards(job.id)[0].sent_at:
                return job.id
        await anyio.lowlevel.checkpoint()


async def test_a_job_cancelled_while_another_process_sends_it_is_cancelled_at_the_provider(world: World) -> None:
    await world.arm("slow", call="create", delay_s=0.5)
    await world.set(queue_s=1000)
    source = world.write("a.jsonl", ROWS)
    job_id = ""
    async with workspace(world) as sender, workspace(world) as other, anyio.create_task_group() as tasks:
        tasks.start_soon(create_batch, source, sender, MODEL)
        job_id = await sent(other)
        early = await cancel_job(job_id, other)
        assert early.state == "JOB_STATE_QUEUED", "the other process has the lease, and it may have been sent"
    async with workspace(world) as later:
        assert (await check_status(job_id, later, 5)).state == "JOB_STATE_CANCELLED"
    assert [batch["state"] for batch in await world.bill()] == ["CANCELLED"]


async def test_a_cancelled_job_that_may_have_been_sent_is_looked_up_before_it_is_given_up(
    world: World,
) -> None:
    await world.arm("drop_before", call="create")
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL)).job_id
        assert (await cancel_job(job_id, here)).state == "JOB_STATE_QUEUED"
        await world.advance(61)
        status = await check_status(job_id, here)
        assert (status.state, "shows no batch of it" in (status.notice or "")) == ("JOB_STATE_CANCELLED", True)
        assert status.done == 0
    assert await world.bill() == []


async def test_another_key_neither_drives_nor_cancels_a_job(world: World) -> None:
    await world.arm("drop_after", call="create")
    async with workspace(world) as mine:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), mine, MODEL)).job_id
    await world.advance(61)
    async with workspace(world, api_key="another key") as other:
        status = await check_status(job_id, other)
        assert (status.state, "another API key" in (status.notice or "")) == ("JOB_STATE_QUEUED", True)
        with pytest.raises(Exception, match="another API key"):
            await cancel_job(job_id, other)
    assert len(await world.bill()) == 1
    async with workspace(world) as mine:
        assert (await check_status(job_id, mine, 5)).counts.ok == 60
    assert len(await world.bill()) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [({"code": 429, "retry_delay_s": 37}, "create"), ({"code": 503}, "create"), ({"code": 503}, "get")],
)
async def test_after_a_failure_the_provider_is_left_alone_for_a_while(
    world: World, fault: dict[str, Any], kind: str
) -> None:
    await world.set(queue_s=1000)
    async with workspace(world, pace=Pace(5, 5, 60)) as here:
        await world.arm("http_error", call=kind, times=None, **fault)
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL)).job_id
        times: list[float] = []
        for second in range(300):
            before = len(await world.calls())
            await check_status(job_id, here)
            if len(await world.calls()) > before:
                times.append(second)
            await world.advance(1)
        pauses = [after - before for before, after in pairwise(times)]
        assert 2 <= len(times) <= 12, times
        assert min(pauses) >= (fault.get("retry_delay_s") or 4)


async def test_a_batch_that_the_provider_no_longer_knows_ends_the_job_with_its_reason(world: World) -> None:
    await world.set(queue_s=1000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await world.arm("http_error", call="get", code=404, times=None)
        early = await call(client, "check_status", job_id=job_id)
        assert (early["state"], "404" in early["notice"]) == ("JOB_STATE_PENDING", True)
        world.time += 49 * 3600
        status = await finish(client, job_id)
        assert (status["state"], "404" in status["notice"]) == ("JOB_STATE_FAILED", True)
        assert (status["done"], status["percent"]) == (0, 0)


async def test_the_users_limit_cannot_be_lifted_by_the_caller(world: World) -> None:
    source = world.write("a.jsonl", ROWS)
    async with world.client(max_cost_usd=0.001) as client:
        assert "$0.0010" in await refusal(client, "create_batch", source=source, model=MODEL, max_cost_usd=1000)


async def test_long_words_of_the_provider_do_not_make_long_answers(world: World) -> None:
    await world.arm("fail", message=WIDE)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        for tool in ("check_status", "get_results", "cancel_job"):
            assert len(text_of(await client.call_tool(tool, {"job_id": job_id})).encode()) <= 2_000
        for path in ("", "/results", "/results/k1", "/report"):
            content = (await client.read_resource(f"batch://jobs/{job_id}{path}")).contents[0]
            assert isinstance(content, TextResourceContents)
            assert len(content.text.encode()) <= 20_000


async def test_a_page_shows_at_least_one_row_however_wide_and_never_calls_itself_whole_too_early(world: World) -> None:
    await world.arm("row", outcome="error", message=WIDE)
    keys = [f"{n:02}" + "错" * 84 for n in range(40)]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(key) for key in keys]))
        await finish(client, job_id)
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await call(client, "get_results", job_id=job_id, **cursor)
            seen += [line["key"] for line in page["results"]]
            assert page["results"]
            assert len(json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()) <= 2_000
            if "next_cursor" not in page:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == keys
        assert (await read(client, f"batch://jobs/{job_id}/results/{'%E9%94%99'.join([''])}00{'%E9%94%99' * 84}"))[
            "outcome"
        ] == "error"


@pytest.mark.parametrize("end", ["fail", "expire"])
async def test_a_batch_that_broke_can_be_adopted_too(world: World, end: str) -> None:
    await world.arm(end)
    async with world.client() as client:
        await finish(client, await start(client, world.write("a.jsonl", ROWS)))
    name = (await world.bill())[0]["name"]
    (world.home / "ledger.db").unlink()
    async with world.client() as client:
        status = await call(client, "check_status", job_id=name, wait_s=5)
        assert status["state"] in ("JOB_STATE_FAILED", "JOB_STATE_EXPIRED")
        assert status["counts"] == {"missing": 60}


async def test_a_job_that_failed_does_not_stand_above_newer_ones(world: World) -> None:
    await world.arm("fail")
    async with world.client() as client:
        failed = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, failed)
        world.time += 10
        fine = await start(client, world.write("b.jsonl", ROWS[:5]))
        await finish(client, fine)
        assert [job["job_id"] for job in (await call(client, "list_jobs"))["jobs"]] == [fine, failed]


async def test_paths_that_cannot_be_used_are_told_and_do_not_crash(world: World) -> None:
    (world.work / "loop.jsonl").symlink_to(world.work / "loop.jsonl")
    (world.work / "folder").mkdir()
    good = world.write("a.jsonl", [row("a")])
    async with world.client() as client:
        for source in ("~nobody9/x.jsonl", "loop.jsonl", "a\x00b", "x" * 5_000, "folder/" * 300):
            said = await refusal(client, "estimate_cost", source=source, model=MODEL)
            assert said != "Error executing tool estimate_cost", source
        job_id = await start(client, good)
        await finish(client, job_id)
        for target in ("nope/x.jsonl", "nope/more/", "a.jsonl/", "", "x" * 300):
            said = await refusal(client, "get_results", job_id=job_id, output_path=target)
            assert said != "Error executing tool get_results", target
        for path in ("results?limit=abc", "results?outcome=fine", "media/a/x", "media/a/0"):
            with pytest.raises(MCPError) as caught:
                await client.read_resource(f"batch://jobs/{job_id}/{path}")
            assert "Error" not in str(caught.value), path


async def test_an_index_torn_behind_its_first_pages_is_made_again(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(f"k{n}") for n in range(600)]), confirm=True)
        await finish(client, job_id)
        index = next((world.home / "jobs").glob("job_*/results.db"))
        whole = index.read_bytes()
        index.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
        assert (world.work / "out.jsonl").read_text().count("\n") == 600


async def test_a_carriage_return_inside_a_line_is_sent_as_it_is(world: World) -> None:
    line = '{"key":"a",\r"request":{"contents":[{"parts":[{"text":"hi"}]}]}}\n'
    async with world.client() as client:
        assert (await finish(client, await start(client, world.write("a.jsonl", line))))["counts"] == {"ok": 1}


async def test_what_looks_like_a_setting_beside_request_may_be_the_users_own_column(world: World) -> None:
    rows = [{**row("shop"), "store": "Berlin", "temperature": 21}]
    async with world.client() as client:
        source = world.write("a.jsonl", rows)
        warnings = (await call(client, "estimate_cost", source=source, model=MODEL))["warnings"]
        assert "'temperature' stands beside request and is not sent" in warnings[0]["problem"]
        job_id = await start(client, source)
        await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
        assert json.loads((world.work / "out.jsonl").read_text())["store"] == "Berlin"


async def test_every_call_is_answered_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_batch.server.offering.CALL_S", 1)
    await world.set(queue_s=1000)
    async with world.client(pace=Pace(0, 60, 60)) as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await world.arm("slow", call="get", delay_s=30, times=None)
        with anyio.fail_after(10):
            assert "goes on" in await refusal(client, "get_results", job_id=job_id)
            assert "goes on" in await refusal(client, "check_status", job_id="batches/" + "z" * 36)


async def test_a_batch_of_our_own_that_is_adopted_by_name_is_the_job_it_belongs_to(world: World) -> None:
    await world.arm("drop_after", call="create")
    async with workspace(world) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL)).job_id
        name = (await world.bill())[0]["name"]
        status = await check_status(name, here, 5)
        assert (status.job_id, status.counts.ok) == (job_id, 60)


@pytest.mark.parametrize("code", [400, 404])
async def test_a_refused_cancel_does_not_keep_a_job_from_being_followed(world: World, code: int) -> None:
    await world.set(queue_s=1000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await world.arm("http_error", call="cancel", code=code, times=None)
        assert (await call(client, "cancel_job", job_id=job_id))["state"] == "JOB_STATE_PENDING"
        await world.advance(1001)
        assert (await finish(client, job_id))["counts"] == {"ok": 60}


async def test_while_a_wave_waits_gemini_is_asked_no_more_often_than_usual(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=1000, enqueued_tokens=300)
    cut = Cut(tokens=130)
    async with workspace(world, pace=Pace(5, 5, 60), cut=cut) as here:
        job_id = (await create_batch(world.write("a.jsonl", ROWS), here, MODEL)).job_id
        before = len(await world.calls())
        for _ in range(60):
            await world.advance(1)
            await check_status(job_id, here)
        asked = len(await world.calls()) - before
    assert asked <= 60 / 5 * 2 + 12, asked
