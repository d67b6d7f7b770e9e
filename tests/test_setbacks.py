"""What else may go wrong between a job and its end: waits, cuts, cancels, and readers at the same moment."""

import json
import resource
import subprocess
import sys
import time

import anyio
import pytest
from mcp import Client

from genai_batch.resources.leftovers import sweep
from genai_batch.resources.requests import Cut
from genai_batch.server.settings import open_workspace
from genai_batch.tools.cancel_job import cancel_job
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from genai_batch.tools.lanes.means import Pace
from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}") for n in range(60)]
MANY = [row(f"k{n}", f"{n}: {'Say something about this subject. ' * 12}", max_output_tokens=500) for n in range(100)]
CUT = Cut(tokens=2_200)
SLOW = Pace(5, 5, 60)


async def test_waiting_for_room_does_not_use_up_the_tries_for_a_lost_upload(world: World) -> None:
    await world.arm("http_error", call="create", code=429, times=4)
    await world.arm("expire_file", after_s=0)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        for _ in range(8):
            await world.advance(400)
            await call(client, "check_status", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 60}


async def test_a_truncated_row_gets_twice_what_it_had_itself_however_often_others_were_sent(world: World) -> None:
    rows = [row(f"k{n}", f"Prompt {n}", max_output_tokens=8_192) for n in range(5)]
    await world.arm("row", match={"key": "^k1$"}, outcome="max_tokens", times=1)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), confirm=True)
        await finish(client, job_id)
        for _ in range(3):
            await call(client, "resume_job", job_id=job_id, rows=["k2"], confirm=True)
            await finish(client, job_id)
        await call(client, "resume_job", job_id=job_id, rows="truncated", confirm=True)
    again = json.loads((world.home / "jobs" / job_id / "requests.4.jsonl").read_text())
    assert again["request"]["generation_config"]["max_output_tokens"] == 16_384


@pytest.mark.parametrize("left", [20_000, 0])
async def test_a_row_that_was_cut_off_comes_back_when_it_is_sent_again(world: World, left: int) -> None:
    rows = [row(f"k{n}", f"Prompt number {n}.") for n in range(200)]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), confirm=True)
        await finish(client, job_id)
        file = world.home / "jobs" / job_id / "results.jsonl"
        file.write_bytes(file.read_bytes()[:left])
        page = await call(client, "get_results", job_id=job_id, keys=["k199"])
        assert (page["results"][0]["outcome"], "was cut" in page["notice"]) == ("missing", True)
        await call(client, "resume_job", job_id=job_id, rows=["k199"], confirm=True)
        counts = (await finish(client, job_id))["counts"]
        assert counts["ok"] + counts["missing"] == 200
        page = await call(client, "get_results", job_id=job_id, keys=["k199"])
        assert page["results"][0]["outcome"] == "ok"


async def test_many_may_read_while_the_index_is_made(world: World) -> None:
    async with world.client() as client:
        rows = [row(f"k{n}") for n in range(3_000)]
        job_id = await start(client, world.write("a.jsonl", rows), confirm=True)
        await finish(client, job_id)
        (world.home / "jobs" / job_id / "results.db").unlink()
        async with anyio.create_task_group() as tasks:
            for n in range(4):
                tasks.start_soon(call_for, client, job_id, f"k{n}")


async def call_for(client: Client, job_id: str, key: str) -> None:
    """Read one row."""
    page = await call(client, "get_results", job_id=job_id, keys=[key])
    assert page["results"][0]["outcome"] == "ok"


async def test_a_job_that_waits_for_room_is_cancelled_at_once(world: World) -> None:
    await world.set(enqueued_tokens=10)
    async with open_workspace(world.settings(pace=SLOW), lambda: world.time) as here:
        job = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        for _ in range(12):
            world.time += 400
            await check_status(job.job_id, here)
        assert (await cancel_job(job.job_id, here)).state == "JOB_STATE_CANCELLED"


async def test_a_cancel_does_not_wait_for_what_a_question_was_told_to_wait(world: World) -> None:
    await world.set(queue_s=10_000)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await world.arm("http_error", call="get", code=503, retry_delay_s=3600)
        for _ in range(2):
            await call(client, "check_status", job_id=job_id)
        await call(client, "cancel_job", job_id=job_id)
        assert await world.calls(":cancel")


async def test_a_batch_that_was_refused_is_not_said_to_wait(world: World) -> None:
    await world.set(queue_s=1000)
    await world.arm("http_error", call="create", code=400, after=4, message="Bad line.")
    async with world.client(cut=CUT) as client:
        job_id = await start(client, world.write("a.jsonl", MANY))
        assert "wait for room" not in (await call(client, "check_status", job_id=job_id))["notice"]


async def test_requests_that_were_cut_before_they_were_sent_are_not_sent(world: World) -> None:
    await world.arm("drop_before", call="upload_start", times=3)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        file = world.home / "jobs" / job_id / "requests.jsonl"
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        await world.advance(400)
        assert "was cut" in await refusal(client, "check_status", job_id=job_id)
        assert await world.bill() == []
        file.write_bytes(whole)
        assert (await finish(client, job_id))["counts"] == {"ok": 60}


async def test_a_batch_that_shows_up_after_it_was_given_up_can_be_adopted(world: World) -> None:
    await world.arm("drop_after", call="create")
    await world.arm("list_lag", lists=2)
    async with open_workspace(world.settings(), lambda: world.time) as here:
        job = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        world.time += 61
        await cancel_job(job.job_id, here)
        world.time += 61
        status = await check_status(job.job_id, here)
        assert (status.state, "adopts it" in (status.notice or "")) == ("JOB_STATE_CANCELLED", True)
        adopted = await check_status((await world.bill())[0]["name"], here, 5)
        assert adopted.counts.ok == 60


async def test_a_create_that_timed_out_is_looked_for_as_long_as_one_that_was_dropped(world: World) -> None:
    await world.arm("drop_after", call="create")
    await world.arm("list_lag", lists=1)
    async with open_workspace(world.settings(pace=SLOW), lambda: world.time) as here:
        job = await create_batch(world.write("a.jsonl", ROWS), here, MODEL)
        sent = here.ledger.shard(job.job_id, 0)
        here.ledger.mark(sent, sent_at=world.time)  # the outcome became unknown just now, however long the call took
        for _ in range(5):
            world.time += 10
            await check_status(job.job_id, here)
    assert len(await world.bill()) == 1


async def test_an_index_that_does_not_fit_the_disk_is_told(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row(f"k{n}") for n in range(600)]), confirm=True)
        await finish(client, job_id)
    (world.home / "jobs" / job_id / "results.db").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "genai_batch", "results", job_id],
        env=world.env(), cwd=world.work, capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )  # fmt: skip
    assert (done.returncode, "The results are safe" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


async def test_what_killed_processes_left_is_removed_when_nobody_needs_it(world: World) -> None:
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        folder = world.home / "jobs" / job_id
        (folder / "results.0.999-dead.part").write_bytes(b"x" * 1000)
        await finish(client, job_id)
        assert not list(folder.glob("*.part"))
    (world.home / "jobs" / ".job_dead").mkdir()
    sweep(world.home, time.time())
    assert (world.home / "jobs" / ".job_dead").exists(), "perhaps somebody is at it"
    sweep(world.home, time.time() + 2 * 86_400)
    assert not (world.home / "jobs" / ".job_dead").exists()
