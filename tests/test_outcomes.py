"""However a batch ends and whatever its rows are, the job ends in the right state and counts, and says why."""

import base64
import json
from typing import Any

import pytest
from mcp_types import BlobResourceContents

from tests.world import MODEL, World, call, finish, read, refusal, row, start

pytestmark = pytest.mark.anyio
ROWS = [row(f"k{n}", f"Prompt number {n}.") for n in range(60)]
"""Enough to go as a file; the inline form has its own tests."""


async def run(world: World, rows: list[dict[str, Any]] = ROWS) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a job; return its status and all its results."""
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows))
        status = await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
    lines = (world.work / "out.jsonl").read_text().splitlines()
    return status, {found["key"]: found for found in map(json.loads, lines)}


@pytest.mark.parametrize(
    ("rule", "outcome", "code"),
    [
        ({"outcome": "max_tokens"}, "truncated", "MAX_TOKENS"),
        ({"outcome": "blocked", "finish_reason": "SAFETY"}, "blocked", "SAFETY"),
        ({"outcome": "blocked", "finish_reason": "RECITATION"}, "blocked", "RECITATION"),
        ({"outcome": "blocked", "finish_reason": "IMAGE_SAFETY"}, "blocked", "IMAGE_SAFETY"),
        ({"outcome": "prompt_blocked"}, "blocked", "SAFETY"),
        ({"outcome": "empty"}, "empty", "NO_CANDIDATE"),
        ({"outcome": "no_parts"}, "empty", "STOP"),
        ({"outcome": "ok", "finish_reason": "MALFORMED_FUNCTION_CALL"}, "error", "MALFORMED_FUNCTION_CALL"),
        ({"outcome": "error", "code": 13}, "error", 13),
        ({"outcome": "error", "code": 3, "details": [{"@type": "x", "links": [{"a": 1}]}]}, "error", 3),
        ({"outcome": "status", "code": 8}, "error", 8),
    ],
)
@pytest.mark.parametrize("count", [5, 60])
async def test_a_row_is_judged_by_its_own_end(
    world: World, rule: dict[str, Any], outcome: str, code: object, count: int
) -> None:
    await world.arm("row", match={"key": "^k3$"}, **rule)
    status, found = await run(world, ROWS[:count])
    assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": count - 1, outcome: 1})
    assert (found["k3"]["outcome"], found["k3"]["error"]["code"]) == (outcome, code)
    assert found["k3"]["error"]["message"]


async def test_a_job_that_succeeded_with_every_row_failed_does_not_look_ok(world: World) -> None:
    await world.arm("row", outcome="error", code=13, message="Internal error encountered.")
    status, found = await run(world)
    assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"error": 60})
    assert "outcome='not_ok'" in status["next"]
    assert found["k0"]["error"] == {"code": 13, "message": "Internal error encountered.", "retryable": True}


async def test_shuffled_rows_are_told_apart_by_key_and_read_in_the_order_of_the_requests(world: World) -> None:
    await world.arm("shuffle")
    status, found = await run(world)
    assert status["counts"] == {"ok": 60}
    assert list(found) == [line["key"] for line in ROWS]
    assert all(f"Prompt number {key[1:]}." in line["text"] for key, line in found.items())


async def test_missing_rows_are_named(world: World) -> None:
    await world.arm("omit", key="^k(7|8)$")
    status, found = await run(world)
    assert status["counts"] == {"ok": 58, "missing": 2}
    assert [key for key, line in found.items() if line["outcome"] == "missing"] == ["k7", "k8"]
    async with world.client() as client:
        missing = await call(client, "get_results", job_id=status["job_id"], outcome="missing")
        assert [line["key"] for line in missing["results"]] == ["k7", "k8"]
        assert (await read(client, f"batch://jobs/{status['job_id']}/results/k7"))["outcome"] == "missing"


async def test_a_row_without_its_key_is_unmatched_and_never_matched_by_its_place(world: World) -> None:
    await world.arm("drop_key", key="^k5$")
    status, found = await run(world)
    assert (status["counts"], found["k5"]["outcome"]) == ({"ok": 59, "missing": 1}, "missing")
    assert "a row without a key" in status["notice"]


async def test_repeated_rows_count_once(world: World) -> None:
    await world.arm("duplicate", key="^k[0-4]$")
    status, _ = await run(world)
    assert status["counts"] == {"ok": 60}
    assert "5 answers came again for the same key in one attempt" in status["notice"]


async def test_rows_cut_off_are_missing_and_the_rest_is_kept(world: World) -> None:
    await world.arm("cut_line")
    status, _ = await run(world)
    assert status["counts"] == {"ok": 59, "missing": 1}
    assert "perhaps cut off" in status["notice"]


@pytest.mark.parametrize(
    "fault", ["no_final_newline", "inline_results", "output_only_in_metadata", "output_only_in_response"]
)
async def test_results_are_taken_wherever_and_however_they_come(world: World, fault: str) -> None:
    await world.arm(fault)
    status, found = await run(world)
    assert (status["counts"], len(found)) == ({"ok": 60}, 60)


@pytest.mark.parametrize(
    ("fault", "params", "state", "said"),
    [
        ("fail", {"message": "Internal error encountered."}, "FAILED", "Internal error encountered."),
        ("expire", {"after_s": 0}, "EXPIRED", "expire"),
    ],
)
@pytest.mark.parametrize("count", [5, 60])
async def test_a_batch_that_broke_ends_the_job_with_its_reason(
    world: World, fault: str, params: dict[str, Any], state: str, said: str, count: int
) -> None:
    await world.arm(fault, **params)
    status, found = await run(world, ROWS[:count])
    assert (status["state"], status["counts"]) == (f"JOB_STATE_{state}", {"missing": count})
    assert said in status["notice"]
    assert {line["outcome"] for line in found.values()} == {"missing"}


async def test_a_batch_that_succeeded_before_its_output_exists_is_waited_for(world: World) -> None:
    await world.arm("no_output", polls=5)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        early = await call(client, "check_status", job_id=job_id)
        assert (early["state"], "output is not there yet" in early["notice"]) == ("JOB_STATE_RUNNING", True)
        status = await finish(client, job_id)
        assert (status["state"], status["counts"]) == ("JOB_STATE_SUCCEEDED", {"ok": 60})
        assert "not there yet" not in status["notice"]


async def test_a_batch_that_never_shows_its_output_fails_after_ten_minutes(world: World) -> None:
    await world.arm("no_output", polls=10**6)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await call(client, "check_status", job_id=job_id)
        await world.advance(601)
        status = await finish(client, job_id)
        assert (status["state"], "no output" in status["notice"]) == ("JOB_STATE_FAILED", True)


async def test_an_unknown_state_counts_as_running_and_is_named(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.set(queue_s=0, run_s=100)
    await world.arm("unknown_state", state="BATCH_STATE_REHYDRATING")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await world.advance(50)
        status = await call(client, "check_status", job_id=job_id)
        assert (status["state"], "BATCH_STATE_REHYDRATING" in status["notice"]) == ("JOB_STATE_RUNNING", True)
        await world.advance(60)
        assert (await finish(client, job_id))["counts"] == {"ok": 60}


async def test_a_batch_that_stays_pending_expires_and_nothing_hangs(world: World) -> None:
    await world.admin("POST", "/clock", {"freeze": True})
    await world.arm("pending_forever")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        assert (await call(client, "check_status", job_id=job_id))["state"] == "JOB_STATE_PENDING"
        await world.advance(48 * 3600 + 1)
        assert (await finish(client, job_id))["state"] == "JOB_STATE_EXPIRED"


async def test_a_cancelled_batch_ends_cancelled(world: World) -> None:
    await world.set(queue_s=0, run_s=1000, cancel_s=0)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", ROWS))
        await call(client, "cancel_job", job_id=job_id)
        status = await finish(client, job_id)
        assert (status["state"], status["counts"]) == ("JOB_STATE_CANCELLED", {"missing": 60})


async def test_lines_that_gemini_refuses_are_told_by_line_and_the_job_has_failed(world: World) -> None:
    rows = [row("a"), row("b", "x", speech_config={"voice_config": {"no_such_field": 1}})]
    async with world.client() as client:
        said = await refusal(client, "create_batch", source=world.write("a.jsonl", rows), model=MODEL)
        assert "line 2" in said
        job = (await call(client, "list_jobs"))["jobs"][0]
        assert job["state"] == "JOB_STATE_FAILED"


async def test_pictures_and_sounds_are_read_as_blobs_that_open(world: World) -> None:
    rows = [
        row("picture", "A red square.", response_modalities=["TEXT", "IMAGE"]),
        row("sound", "Say hi.", response_modalities=["AUDIO"]),
    ]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), model="gemini-nano-banana-2.1")
        assert (await finish(client, job_id))["counts"] == {"ok": 2}
        heads: dict[str, tuple[str, bytes]] = {}
        for line in (await call(client, "get_results", job_id=job_id))["results"]:
            blob = (await client.read_resource(line["media"][0]["uri"])).contents[0]
            assert isinstance(blob, BlobResourceContents)
            heads[line["key"]] = (blob.mime_type or "", base64.b64decode(blob.blob)[:4])
    assert heads == {"picture": ("image/png", b"\x89PNG"), "sound": ("audio/wav", b"RIFF")}


async def test_embeddings_come_back_under_their_keys(world: World) -> None:
    rows = [
        {"key": f"e{n}", "request": {"content": {"parts": [{"text": f"text {n}"}]}, "output_dimensionality": 8}}
        for n in range(3)
    ]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), model="gemini-embedding-2")
        assert (await finish(client, job_id))["counts"] == {"ok": 3}
        result = await read(client, f"batch://jobs/{job_id}/results/e1")
        assert len(result["response"]["response"]["embedding"]["values"]) == 8


async def test_the_index_is_made_again_when_it_is_gone_or_torn(world: World) -> None:
    await world.arm("row", match={"key": "^k3$"}, outcome="max_tokens")
    status, found = await run(world)
    index = next((world.home / "jobs").glob("job_*/results.db"))
    for damage in (
        index.unlink,
        lambda: index.write_bytes(b"torn"),
        lambda: index.write_bytes(index.read_bytes()[:5000]),
    ):
        damage()
        async with world.client() as client:
            page = await call(client, "get_results", job_id=status["job_id"], outcome="truncated")
            assert [line["key"] for line in page["results"]] == ["k3"]
            assert (await read(client, f"batch://jobs/{status['job_id']}/results/k5"))["text"] == found["k5"]["text"]
