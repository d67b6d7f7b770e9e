"""What the provider denies once is not believed at once, and what may have been sent is never forgotten."""

import pytest

from genai_batch.server.settings import open_workspace
from genai_batch.tools.cancel_job import cancel_job
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.lanes import sending
from genai_batch.tools.lanes.means import GIVE_UP_S, Pace
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}") for n in range(60)]
SLOW = Pace(5, 5, 60)
HOUR = 3600


async def test_outages_before_a_short_download_do_not_make_it_whole(world: World) -> None:
    await world.arm("http_error", call="get", code=503, times=5)
    await world.arm("empty_body", call="download", times=1)
    async with world.client() as client:
        status = await finish(client, await start(client, world.write("a.jsonl", ROWS)))
    assert status["counts"] == {"ok": 60}


@pytest.mark.parametrize("code", [403, 404])
async def test_one_denial_after_a_weekend_does_not_give_a_batch_up_but_a_day_of_them_does(
    world: World, code: int
) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=600, run_s=600)
    async with open_workspace(world.settings(), lambda: world.time) as here:
        job = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        await world.advance(30 * 60)
        world.time += 49 * HOUR  # this machine was off
        await world.arm("http_error", call="get", code=code, times=1)
        await check_status(job.job_id, here)
        world.time += HOUR
        assert (await check_status(job.job_id, here, 3)).counts.ok == 60

        again = await create_batch(world.write("a.jsonl", ROWS), here, MODEL, again=True)
        await world.arm("http_error", call="get", code=code, times=None)
        await check_status(again.job_id, here)
        world.time += GIVE_UP_S + HOUR
        assert (await check_status(again.job_id, here)).state == "JOB_STATE_FAILED"


@pytest.mark.parametrize("code", [401, 403])
async def test_one_denied_download_does_not_give_paid_rows_up(world: World, code: int) -> None:
    await world.arm("http_error", call="download", code=503, times=1)
    async with open_workspace(world.settings(), lambda: world.time) as here:
        job = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        await check_status(job.job_id, here)
        world.time += 49 * HOUR
        await world.arm("http_error", call="download", code=code, times=1)
        await check_status(job.job_id, here)
        world.time += HOUR
        assert (await check_status(job.job_id, here, 3)).counts.ok == 60


async def test_a_batch_whose_shard_was_given_up_meanwhile_is_stopped(world: World) -> None:
    await world.set(queue_s=10_000)
    await world.arm("drop_after", call="create")
    async with open_workspace(world.settings(), lambda: world.time) as here:
        job = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        shard = here.ledger.shard(job.job_id, 0)
        batch = await here.lane.gemini.find(shard.display_name)
        assert batch
        here.ledger.settle(shard, world.time, "BATCH_STATE_CANCELLED", "by another process")
        await sending.accept(here.lane.means, shard, batch)
    assert await world.calls(":cancel")


@pytest.mark.parametrize("refusals", [0, 3])
async def test_a_create_of_unknown_outcome_is_looked_for_whatever_the_next_one_is_told(
    world: World, refusals: int
) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=100_000)
    await world.arm("drop_after", call="create")
    await world.arm("list_lag", lists=1)
    async with open_workspace(world.settings(pace=SLOW), lambda: world.time) as here:
        job = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        if refusals:
            await world.arm("http_error", call="create", code=429, times=refusals)
        for _ in range(6):
            world.time += 301
            await check_status(job.job_id, here)
        assert here.ledger.shard(job.job_id, 0).batch
    assert len(await world.bill()) == 1


async def test_what_may_have_been_sent_is_never_called_uncharged(world: World) -> None:
    await world.arm("drop_after", call="create")
    await world.arm("list_lag", lists=3)
    async with open_workspace(world.settings(pace=SLOW), lambda: world.time) as here:
        job = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        await world.arm("http_error", call="create", code=429, times=3)
        for _ in range(3):
            world.time += 301
            await check_status(job.job_id, here)
        status = await cancel_job(job.job_id, here)
    assert "nothing was charged" not in (status.notice or "").lower()


async def test_attempts_that_were_refused_do_not_use_up_a_rows_room(world: World) -> None:
    rows = [row(f"k{n}", f"Prompt {n}", max_output_tokens=16_384) for n in range(3)]
    await world.arm("row", match={"key": "^k1$"}, outcome="max_tokens", times=1)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), confirm=True)
        await finish(client, job_id)
        await world.arm("http_error", call="create", code=400, times=2, message="Not now.")
        for _ in range(2):
            await client.call_tool("resume_job", {"job_id": job_id, "rows": "truncated", "confirm": True})
            await finish(client, job_id)
        await call(client, "resume_job", job_id=job_id, rows="truncated", confirm=True)
        assert (await finish(client, job_id))["counts"] == {"ok": 3}


async def test_a_job_resumed_late_is_not_said_to_have_waited_since_its_beginning(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.arm("row", match={"key": "^k1$"}, times=1)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        await world.advance(72 * HOUR)
        await world.set(enqueued_tokens=1)
        await call(client, "resume_job", job_id=job_id)
        assert "72 h" not in (await call(client, "check_status", job_id=job_id))["notice"]


@pytest.mark.parametrize("left", [500, 0])
async def test_requests_that_were_cut_after_they_were_sent_are_told_and_not_paid_for_again(
    world: World, left: int
) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await finish(client, job_id)
        file = world.home / "jobs" / job_id / "requests.jsonl"
        file.write_bytes(file.read_bytes()[:left])
        assert "changed or cut" in await refusal(client, "resume_job", job_id=job_id, rows=["k1"])
        (world.home / "jobs" / job_id / "results.db").unlink()
        assert "changed or cut" in await refusal(client, "get_results", job_id=job_id)
    assert len(await world.bill()) == 1
