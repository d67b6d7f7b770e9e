"""What is said of a job while an attempt runs, here, elsewhere or not at all any more: what is on the disk counts."""

import json
import subprocess

import pytest

from genai_batch.resources import jobs
from tests.processes import ending
from tests.test_cli import answer, run
from tests.test_progress import begun, command
from tests.world import MODEL, World, call, finish, read, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", f"Say {n}.") for n in range(60)]


def stored(world: World, job_id: str) -> int:
    results = jobs.folder(world.home, job_id) / "results.jsonl"
    return results.read_bytes().count(b"\n") if results.exists() else 0


async def test_after_a_kill_what_is_stored_counts_and_the_next_command_goes_on_at_once(world: World) -> None:
    source = world.write("a.jsonl", ROWS)
    await world.set(latency_s=0.5)
    live = command("run", source, "--model", MODEL, "--lane", "live", "--concurrency", "5")
    with ending(subprocess.Popen(live, stderr=subprocess.PIPE, cwd=world.work, env=world.env(), text=True)) as process:
        await begun(world, process)
        job_id = next(world.home.glob("jobs/job_*")).name
        while not stored(world, job_id):
            assert process.poll() is None
        process.kill()
    before = stored(world, job_id)
    told = answer(run(world, "status", job_id, "--wait", "10", "--json"))
    assert told["done"] > before > 0
    counts = {"ok": told["done"], "pending": 60 - told["done"]}
    assert told["counts"] == {name: rows for name, rows in counts.items() if rows}
    assert len(await world.calls("generateContent")) <= stored(world, job_id) + 5 * 2, "what was in flight at most"


async def test_a_process_that_lives_is_not_said_to_be_gone(world: World) -> None:
    await world.set(latency_s=0.3)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS), lane="live", concurrency=4)
        async with world.client() as other:
            status = await call(other, "check_status", job_id=job_id, wait_s=1)
            while not status["done"]:
                status = await call(other, "check_status", job_id=job_id, wait_s=1)
    assert "was ended" not in status["notice"]
    assert status["done"] > 0


async def test_while_rows_of_a_batch_are_finished_live_its_counts_follow_what_is_stored(world: World) -> None:
    await world.arm("row", match={"prompt": r"Say ([0-9]|1[0-9])\."}, outcome="error", code=13, times=20)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert (await finish(client, job_id))["counts"] == {"ok": 40, "error": 20}
        await world.admin("DELETE", "/faults")
        await world.arm("row", match={"prompt": r"Say 3\."}, outcome="max_tokens")
        await world.set(latency_s=0.2)
        await call(client, "resume_job", job_id=job_id, lane="live")
        seen: list[dict[str, int]] = []
        while (status := await call(client, "check_status", job_id=job_id))["state"] == "JOB_STATE_RUNNING":
            assert sum(status["counts"].values()) == 60
            assert status["done"] == 60 - status["counts"].get("pending", 0)
            seen.append(status["counts"])
        page = json.loads(json.dumps(await read(client, f"batch://jobs/{job_id}")))
    assert any("pending" in each and each["ok"] > 40 for each in seen)
    assert status["counts"] == page["counts"] == {"ok": 59, "truncated": 1}


async def test_while_rows_of_a_live_job_are_sent_as_a_batch_they_are_pending(world: World) -> None:
    await world.arm("http_error", call="generate", code=400, message="No such field.", times=3)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS[:20]), lane="live")
        assert (await finish(client, job_id))["counts"] == {"ok": 17, "error": 3}
        await world.set(queue_s=1000)
        wrong = await call(client, "get_results", job_id=job_id, outcome="error")
        keys = [each["key"] for each in wrong["results"]]
        told = await call(client, "resume_job", job_id=job_id, rows=keys, lane="batch")
        assert (told["counts"], told["done"]) == ({"ok": 17, "pending": 3}, 17)
