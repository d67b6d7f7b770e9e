"""A limit is a limit: no lane sends past it, whatever becomes of the calls, and what rests goes on once it is lifted."""

from typing import Any

import pytest

from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio


async def limit_stopped(client: Any, job_id: str) -> dict[str, Any]:
    for _ in range(200):
        status = await call(client, "check_status", job_id=job_id, wait_s=0.1)
        if "Stopped at" in status.get("notice", "") or status["state"] not in ("JOB_STATE_RUNNING", "JOB_STATE_QUEUED"):
            return status
    raise AssertionError(status)


async def test_x(world: World) -> None:
    await world.set(drawn={"output_tokens": 30000, "thought_tokens": 20000})
    rows = [row(f"k{n}", f"Say {n}.") for n in range(100)]
    async with world.client() as client:
        price = await call(client, "estimate_cost", source=world.write("a.jsonl", rows), model=MODEL, lane="live")
        print(price["cost_usd"])
        job_id = await start(client, "a.jsonl", lane="live", concurrency=8, max_cost_usd=4)
        status = await limit_stopped(client, job_id)
        print(status)
        print(await world.admin("GET", "/billing"))
        print(await refusal(client, "resume_job", job_id=job_id))
        await call(client, "resume_job", job_id=job_id, confirm=True)
        print(await finish(client, job_id))
    raise AssertionError
