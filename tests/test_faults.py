"""Every fault at every call it applies to, alone and in pairs: each job ends right, and nothing is paid twice."""

import random
from typing import Any

import anyio
import pytest
from mcp import Client

from genai_batch.tools.lanes import gemini
from tests.world import OVER, World, call, finish, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}") for n in range(60)]
Fault = dict[str, Any]
CALLS = ("upload_start", "upload_chunk", "create", "get", "list", "download")
EVERYWHERE: tuple[Fault, ...] = (
    {"fault": "http_error", "code": 408},
    {"fault": "http_error", "code": 429},
    {"fault": "http_error", "code": 429, "retry_delay_s": 7},
    {"fault": "http_error", "code": 500},
    {"fault": "http_error", "code": 503, "body": "<html>busy</html>"},
    {"fault": "drop_before"},
    {"fault": "drop_after"},
    {"fault": "hang"},
    {"fault": "slow", "delay_s": 0.05},
    {"fault": "error_in_200"},
    {"fault": "not_json"},
    {"fault": "empty_body"},
)
REFUSALS = (400, 401, 403, 404)
"""A passing loss of a key's rights must not cost a row that is already paid."""
ONCE: tuple[Fault, ...] = (
    {"fault": "expire_file", "after_s": 0},
    {"fault": "upload_no_status"},
    {"fault": "upload_error"},
    {"fault": "upload_cancelled"},
    {"fault": "download_drop", "at_byte": 3_000},
    {"fault": "short_body", "at_byte": 3_000},
    {"fault": "slow_download", "delay_s": 0.001},
    {"fault": "redirect"},
    {"fault": "list_duplicate_page"},
    {"fault": "no_output", "polls": 3},
    {"fault": "inline_results"},
    {"fault": "output_only_in_metadata"},
    {"fault": "output_only_in_response"},
    {"fault": "list_lag", "lists": 2},
    {"fault": "shuffle"},
    {"fault": "no_final_newline"},
    {"fault": "unknown_state"},
)


def all_faults() -> list[Fault]:
    """Every fault that a job should survive without losing a row."""
    at_calls = [{**fault, "call": kind} for fault in EVERYWHERE for kind in CALLS]
    refused = [{"fault": "http_error", "code": code, "call": kind} for code in REFUSALS for kind in ("get", "download")]
    return [*at_calls, *refused, *ONCE]


def cancel_faults() -> list[Fault]:
    """Every fault of the call that stops a batch, and of the one that has made it, perhaps without a word."""
    refused = [{"fault": "http_error", "code": code, "call": "cancel"} for code in REFUSALS]
    return [{**fault, "call": kind} for kind in ("cancel", "create") for fault in EVERYWHERE] + refused


def named(fault: Fault) -> str:
    """A fault as a word."""
    return "-".join(str(value).split("<")[0] for value in fault.values())


async def survive(world: World, *faults: Fault) -> None:
    """Run a job through faults to its end; whatever is put off is waited for."""
    for fault in faults:
        await world.arm(**fault)
    async with world.client() as client:
        with anyio.fail_after(60):
            job_id = await start(client, world.write("a.jsonl", ROWS))
            status = await followed(world, client, job_id)
    assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": 60}), status
    made = await world.bill()
    assert len(made) == 1, [batch["display_name"] for batch in made]


async def survive_cancelled(world: World, *faults: Fault) -> None:
    """Cancel a job under way; nothing is at work at Gemini when it is over, and what was paid is here."""
    await world.set(queue_s=5, run_s=10**6)
    for fault in faults:
        await world.arm(**fault)
    async with world.client() as client:
        with anyio.fail_after(60):
            job_id = await start(client, world.write("a.jsonl", ROWS))
            await world.advance(6)
            await client.call_tool("cancel_job", {"job_id": job_id})  # the wish holds, even if it ends in an error
            status = await followed(world, client, job_id)
    made = await world.bill()
    assert (status["state"], status["counts"]) == ("JOB_STATE_CANCELLED", {"missing": 60}), status
    assert [batch["state"] for batch in made] in ([], ["CANCELLED"]), made


async def followed(world: World, client: Client, job_id: str) -> dict[str, Any]:
    """Ask how a job is until it is over, letting time pass."""
    for _ in range(40):
        status = await call(client, "check_status", job_id=job_id)
        if status["state"] in OVER:
            return status
        await world.advance(16)
    return await finish(client, job_id)


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hang ends after a fifth of a second."""
    monkeypatch.setattr(gemini, "TIMEOUT_S", 0.2)


@pytest.mark.parametrize("fault", all_faults(), ids=named)
async def test_a_job_survives_each_fault_at_each_call(world: World, fault: Fault) -> None:
    await survive(world, fault)


@pytest.mark.parametrize("seed", range(25))
async def test_a_job_survives_two_faults_at_once(world: World, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, no secret
    await survive(world, *chance.sample(all_faults(), 2))


@pytest.mark.parametrize("fault", cancel_faults(), ids=named)
async def test_a_job_is_cancelled_whatever_becomes_of_the_call(world: World, fault: Fault) -> None:
    await survive_cancelled(world, fault)


@pytest.mark.parametrize("seed", range(25))
async def test_a_job_is_cancelled_through_two_faults_at_once(world: World, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, no secret
    await survive_cancelled(world, chance.choice(cancel_faults()), chance.choice(all_faults() + cancel_faults()))
