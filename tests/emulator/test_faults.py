"""Every fault of the catalogue, armed and seen to strike."""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from google.genai import errors, types

from genai_batch.server.emulator import ConnectionDropped
from genai_batch.server.emulator.catalogue import CATALOGUE

from .bench import MODEL, Bench, lines

pytestmark = pytest.mark.anyio


async def finished(bench: Bench, rows: int = 4, **fault: Any) -> str:
    """A job under a fault, run to its end."""
    await bench.admin("faults", **fault)
    name = await bench.create(lines(rows))
    await bench.advance()
    return name


async def rows_of(bench: Bench, rows: int = 4, **fault: Any) -> list[dict[str, Any]]:
    """The result rows of a job under a fault."""
    content = await bench.download(await finished(bench, rows, **fault))
    return [json.loads(row) for row in content.splitlines()]


def test_every_fault_has_a_test() -> None:
    tested = set(re.findall(r'fault="(\w+)"', Path(__file__).read_text(encoding="utf-8")))
    assert set(CATALOGUE) <= tested


async def test_the_catalogue_and_what_is_armed_can_be_read(bench: Bench) -> None:
    await bench.admin("faults", fault="slow", call="get", times=3, after=1, delay_s=0)
    shown = await bench.get("/emulator/faults")
    assert {fault["name"] for fault in shown["catalogue"]} == set(CATALOGUE)
    assert shown["armed"][0].items() >= {"fault": "slow", "times": 3, "after": 1, "passed": 0, "struck": 0}.items()
    await bench.http.delete("/emulator/faults")
    assert (await bench.get("/emulator/faults"))["armed"] == []


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "nonsense"},
        {"fault": "slow", "dely_s": 1},
        {"fault": "slow", "call": "gett"},
        {"fault": "row", "outcome": "bad"},
        {"fault": "row", "match": {"kee": "x"}},
        {"fault": "omit", "key": "("},
    ],
)
async def test_a_fault_that_does_not_exist_is_refused(bench: Bench, fault: dict[str, Any]) -> None:
    assert (await bench.http.post("/emulator/faults", json=fault)).status_code == 400


@pytest.mark.parametrize("code", [400, 403, 404, 408, 429, 500, 503])
async def test_the_nth_call_of_a_kind_is_refused(bench: Bench, code: int) -> None:
    await bench.admin("faults", fault="http_error", call="list", code=code, after=1)
    batches = bench.sdk().aio.batches
    await batches.list(config={"page_size": 1})
    with pytest.raises(errors.APIError) as caught:
        await batches.list(config={"page_size": 1})
    assert caught.value.code == code
    await batches.list(config={"page_size": 1})


async def test_a_quota_error_carries_what_was_asked_for(bench: Bench) -> None:
    await bench.admin("faults", fault="http_error", call="generate", code=429, retry_delay_s=37, quota_id="PerDay")
    with pytest.raises(errors.ClientError) as caught:
        await bench.sdk().aio.models.generate_content(model=MODEL, contents="x")
    error: Any = caught.value
    quota, _, retry = error.details["error"]["details"]
    assert quota["violations"][0]["quotaId"] == "PerDay"
    assert retry["retryDelay"] == "37s"


CALLS: dict[str, Callable[[Bench], Awaitable[object]]] = {
    "upload_start": lambda bench: bench.upload(lines(1)),
    "file_get": lambda bench: bench.sdk().aio.files.get(name="files/x"),
    "file_delete": lambda bench: bench.sdk().aio.files.delete(name="files/x"),
    "download": lambda bench: bench.sdk().aio.files.download(file="files/x"),
    "create": lambda bench: bench.sdk().aio.batches.create(model=MODEL, src="files/x"),
    "get": lambda bench: bench.sdk().aio.batches.get(name="batches/x"),
    "cancel": lambda bench: bench.sdk().aio.batches.cancel(name="batches/x"),
    "delete_batch": lambda bench: bench.sdk().aio.batches.delete(name="batches/x"),
    "count_tokens": lambda bench: bench.sdk().aio.models.count_tokens(model=MODEL, contents="x"),
    "models": lambda bench: bench.sdk().aio.models.get(model=MODEL),
    "generate": lambda bench: bench.sdk().aio.models.generate_content(model=MODEL, contents="x"),
}


@pytest.mark.parametrize("kind", list(CALLS))
async def test_each_kind_of_call_can_be_struck(bench: Bench, kind: str) -> None:
    await bench.admin("faults", fault="http_error", call=kind, code=500, message="struck")
    with pytest.raises(errors.ServerError) as caught:
        await CALLS[kind](bench)
    assert caught.value.message == "struck"


async def test_a_connection_dropped_before_a_create_leaves_no_batch(bench: Bench) -> None:
    await bench.admin("faults", fault="drop_before", call="create")
    with pytest.raises(ConnectionDropped):
        await bench.create(lines(1))
    assert await bench.get("/v1/batches") == {}


async def test_a_connection_dropped_after_a_create_leaves_a_batch_to_be_found(bench: Bench) -> None:
    await bench.admin("faults", fault="drop_after")
    with pytest.raises(ConnectionDropped):
        await bench.create(lines(1), name="unique-name")
    pager = await bench.sdk().aio.batches.list(config={"page_size": 5})
    assert [job.display_name for job in pager.page] == ["unique-name"]


async def test_a_slow_reply_comes(bench: Bench) -> None:
    await bench.admin("faults", fault="slow", call="list", delay_s=0.01)
    assert await bench.get("/v1/batches") == {}


async def test_a_hanging_call_ends_when_the_client_gives_up(bench: Bench) -> None:
    await bench.admin("faults", fault="hang", call="list")
    with anyio.move_on_after(0.05) as scope:
        await bench.get("/v1/batches")
    assert scope.cancelled_caught


async def test_an_error_in_a_200_looks_like_an_empty_job(bench: Bench) -> None:
    name = await bench.create(lines(1))
    await bench.admin("faults", fault="error_in_200", call="get")
    job = await bench.sdk().aio.batches.get(name=name)
    assert (job.name, job.state) == (None, None)


async def test_a_200_that_is_not_json_breaks_the_parser(bench: Bench) -> None:
    await bench.admin("faults", fault="not_json", call="list")
    with pytest.raises(json.JSONDecodeError):
        await bench.sdk().aio.batches.list(config={"page_size": 1})


async def test_an_empty_200_looks_like_an_empty_job(bench: Bench) -> None:
    name = await bench.create(lines(1))
    await bench.admin("faults", fault="empty_body", call="get")
    assert (await bench.sdk().aio.batches.get(name=name)).name is None


async def test_an_upload_error_is_the_famous_key_error(bench: Bench) -> None:
    await bench.admin("faults", fault="upload_error")
    with pytest.raises(KeyError, match="file"):
        await bench.upload(lines(1))
    assert await bench.get("/v1/files") == {}


async def test_an_upload_can_be_cancelled_by_the_server(bench: Bench) -> None:
    await bench.admin("faults", fault="upload_cancelled")
    with pytest.raises(ValueError, match="not finalized"):
        await bench.upload(lines(1))


async def test_a_chunk_without_status_can_be_sent_again(bench: Bench) -> None:
    address = (await bench.post("/upload/v1/files", {})).headers["x-goog-upload-url"]
    await bench.admin("faults", fault="upload_no_status")
    chunk = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
    lost = await bench.http.post(address, content=b"abc", headers=chunk)
    assert "x-goog-upload-status" not in lost.headers
    assert (await bench.http.post(address, content=b"abc", headers=chunk)).json()["file"]["sizeBytes"] == "3"


async def test_a_download_breaks_off(bench: Bench) -> None:
    name = await finished(bench, fault="download_drop", at_byte=10)
    with pytest.raises(ConnectionDropped):
        await bench.download(name)
    assert len((await bench.download(name)).splitlines()) == 4


async def test_a_download_ends_before_its_length(bench: Bench) -> None:
    name = await finished(bench, fault="short_body", at_byte=10)
    path = f"/v1/files/batch-{name.removeprefix('batches/')}:download"
    reply = await bench.http.get(path, headers={"x-goog-api-key": "key-1"})
    assert len(reply.content) == 10
    assert int(reply.headers["content-length"]) > 10


async def test_a_download_ignores_that_a_part_was_asked_for(bench: Bench) -> None:
    name = await finished(bench, fault="no_ranges")
    path = f"/v1/files/batch-{name.removeprefix('batches/')}:download"
    part = {"x-goog-api-key": "key-1", "range": "bytes=10-"}
    whole, rest = [await bench.http.get(path, headers=part) for _ in range(2)]
    assert (whole.status_code, rest.status_code, whole.content[10:]) == (200, 206, rest.content)
    other = await bench.http.get(path, headers=part | {"if-range": '"another"'})
    assert (other.status_code, other.content, other.headers["etag"]) == (200, whole.content, rest.headers["etag"])


async def test_a_slow_download_is_whole(bench: Bench) -> None:
    name = await finished(bench, fault="slow_download", delay_s=0.001, piece_bytes=500)
    assert len((await bench.download(name)).splitlines()) == 4


async def test_a_download_is_redirected(bench: Bench) -> None:
    name = await finished(bench, fault="redirect", times=None)
    assert len((await bench.download(name)).splitlines()) == 4
    assert 302 in [call["status"] for call in (await bench.get("/emulator/log"))["calls"]]


async def test_a_page_of_a_list_comes_twice(bench: Bench) -> None:
    names = [await bench.create(lines(1)) for _ in range(2)]
    await bench.admin("faults", fault="list_duplicate_page")
    pager = await bench.sdk().aio.batches.list(config={"page_size": 1})
    assert [job.name async for job in pager] == [names[1], names[1], names[0]]


async def test_a_new_file_expires_early(bench: Bench) -> None:
    await bench.admin("faults", fault="expire_file", after_s=60)
    name = await bench.upload(lines(1))
    assert (await bench.get(f"/v1/{name}"))["name"] == name
    await bench.advance(61)
    assert (await bench.get(f"/v1/{name}"))["error"]["code"] == 403


async def test_an_existing_file_expires_now(bench: Bench) -> None:
    name = await bench.upload(lines(1))
    await bench.admin("faults", fault="expire_file", name=name)
    assert (await bench.get(f"/v1/{name}"))["error"]["code"] == 403


async def test_a_file_that_cannot_be_processed_is_failed_and_no_request_may_name_it(bench: Bench) -> None:
    await bench.admin("faults", fault="process_fails")
    file = await bench.get(f"/v1/{await bench.upload(lines(1))}")
    assert (file["state"], file["error"]["code"]) == ("FAILED", 13)
    part = {"fileData": {"mimeType": "video/mp4", "fileUri": file["uri"]}}
    reply = await bench.post("/v1/models/gemini-3.8-flash:generateContent", {"contents": [{"parts": [part]}]})
    assert (reply.status_code, file["name"].removeprefix("files/") in reply.text) == (403, True)


@pytest.mark.parametrize("uri", ["local:" + "0" * 64, "/home/me/a.mp4"])
async def test_a_uri_of_somebodys_machine_is_refused(bench: Bench, uri: str) -> None:
    part = {"fileData": {"mimeType": "video/mp4", "fileUri": uri}}
    reply = await bench.post("/v1/models/gemini-3.8-flash:generateContent", {"contents": [{"parts": [part]}]})
    assert (reply.status_code, uri in reply.json()["error"]["message"]) == (400, True)


async def state_of(bench: Bench, name: str) -> str:
    """What the wire calls a job's state."""
    return str((await bench.get(f"/v1/{name}"))["metadata"]["state"])


async def test_a_job_takes_its_time_in_each_state(bench: Bench) -> None:
    await bench.admin("faults", fault="delay", queue_s=100, rows_per_s=1)
    name = await bench.create(lines(50))
    states: list[str] = []
    for seconds in (99, 2, 48, 2):
        await bench.advance(seconds)
        states.append(await state_of(bench, name))
    assert [state.removeprefix("BATCH_STATE_") for state in states] == ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]


async def test_a_job_stays_pending_until_it_expires(bench: Bench) -> None:
    name = await finished(bench, fault="pending_forever")
    assert await state_of(bench, name) == "BATCH_STATE_PENDING"
    await bench.advance(48 * 3600)
    assert await state_of(bench, name) == "BATCH_STATE_EXPIRED"


async def test_a_job_stays_running_until_it_expires(bench: Bench) -> None:
    name = await finished(bench, fault="running_forever")
    assert await state_of(bench, name) == "BATCH_STATE_RUNNING"
    await bench.advance(48 * 3600)
    assert await state_of(bench, name) == "BATCH_STATE_EXPIRED"


async def test_a_job_expires(bench: Bench) -> None:
    assert await state_of(bench, await finished(bench, fault="expire")) == "BATCH_STATE_EXPIRED"


async def test_a_job_fails_with_an_error_only_raw_reads_show(bench: Bench) -> None:
    name = await finished(bench, fault="fail", code=3, message="bad input")
    operation = await bench.get(f"/v1/{name}")
    assert operation["error"] == {"code": 3, "message": "bad input"}
    job = await bench.sdk().aio.batches.get(name=name)
    assert (job.state, job.error) == (types.JobState.JOB_STATE_FAILED, None)


async def test_a_fault_can_strike_a_job_that_exists(bench: Bench) -> None:
    name = await bench.create(lines(1))
    await bench.admin("faults", fault="fail", batch=name)
    await bench.advance()
    assert await state_of(bench, name) == "BATCH_STATE_FAILED"


async def test_a_job_succeeds_before_its_output_exists(bench: Bench) -> None:
    name = await finished(bench, fault="no_output", polls=2)
    jobs = [await bench.sdk().aio.batches.get(name=name) for _ in range(3)]
    assert [job.state for job in jobs] == [types.JobState.JOB_STATE_SUCCEEDED] * 3
    assert [job.dest is None for job in jobs] == [True, True, False]


async def test_a_job_shows_a_state_nobody_knows(bench: Bench) -> None:
    await bench.admin("faults", fault="unknown_state")
    name = await bench.create(lines(2))
    await bench.advance(2)
    with pytest.warns(UserWarning, match="not a valid JobState"):
        job = await bench.sdk().aio.batches.get(name=name)
    assert not job.done
    await bench.advance()
    assert (await bench.sdk().aio.batches.get(name=name)).done


async def test_a_file_job_answers_inline(bench: Bench) -> None:
    job = await bench.sdk().aio.batches.get(name=await finished(bench, 2, fault="inline_results"))
    assert job.dest is not None
    assert [one.metadata for one in job.dest.inlined_responses] == [{"key": "r0"}, {"key": "r1"}]


async def test_output_is_in_metadata_only(bench: Bench) -> None:
    name = await finished(bench, fault="output_only_in_metadata")
    operation = await bench.get(f"/v1/{name}")
    assert ("output" in operation["metadata"], "response" in operation) == (True, False)


async def test_output_is_in_response_only(bench: Bench) -> None:
    name = await finished(bench, fault="output_only_in_response")
    operation = await bench.get(f"/v1/{name}")
    assert ("output" in operation["metadata"], "response" in operation) == (False, True)


async def test_a_new_job_is_missing_from_lists_for_a_while(bench: Bench) -> None:
    await bench.admin("faults", fault="list_lag", lists=2)
    name = await bench.create(lines(1))
    counts = [len((await bench.get("/v1/batches")).get("operations", [])) for _ in range(3)]
    assert counts == [0, 0, 1]
    assert await state_of(bench, name)


async def test_rows_come_in_another_order(bench: Bench) -> None:
    keys = [row["key"] for row in await rows_of(bench, 8, fault="shuffle")]
    assert keys != sorted(keys)
    assert sorted(keys) == [f"r{i}" for i in range(8)]


async def test_rows_come_without_key(bench: Bench) -> None:
    keys = [row.get("key") for row in await rows_of(bench, fault="drop_key", key="r[12]")]
    assert keys == ["r0", None, None, "r3"]


async def test_rows_come_twice(bench: Bench) -> None:
    assert [row["key"] for row in await rows_of(bench, 2, fault="duplicate", key="r1")] == ["r0", "r1", "r1"]


async def test_rows_trade_their_answers(bench: Bench) -> None:
    plain = {row["key"]: row["response"]["responseId"] for row in await rows_of(bench, 5, fault="no_final_newline")}
    rows = await rows_of(bench, 5, fault="swap", key="r[^1]")
    assert [row["key"] for row in rows] == ["r1", "r0", "r2", "r3", "r4"]
    traded = {row["key"]: row["response"]["responseId"] for row in rows}
    assert traded == plain | {"r0": plain["r2"], "r2": plain["r0"], "r3": plain["r4"], "r4": plain["r3"]}


async def test_rows_do_not_come(bench: Bench) -> None:
    assert [row["key"] for row in await rows_of(bench, 3, fault="omit", key="r1")] == ["r0", "r2"]


async def test_the_last_line_is_cut_off(bench: Bench) -> None:
    content = (await bench.download(await finished(bench, fault="cut_line"))).splitlines()
    assert len(content) == 4
    with pytest.raises(json.JSONDecodeError):
        json.loads(content[-1])


async def test_a_line_in_the_middle_is_cut_off(bench: Bench) -> None:
    content = (await bench.download(await finished(bench, fault="cut_line", key="r1"))).splitlines()
    with pytest.raises(json.JSONDecodeError):
        json.loads(content[1])
    assert json.loads(content[2])["key"] == "r2"


async def test_the_last_line_has_no_newline(bench: Bench) -> None:
    content = await bench.download(await finished(bench, fault="no_final_newline"))
    assert not content.endswith(b"\n")
    assert json.loads(content.splitlines()[-1])["key"] == "r3"


async def test_rows_fail_by_key_and_the_job_counts_them(bench: Bench) -> None:
    name = await finished(bench, 6, fault="row", match={"key": "r[024]"}, outcome="error", code=8, message="busy")
    rows = [json.loads(row) for row in (await bench.download(name)).splitlines()]
    assert rows[0] == {"key": "r0", "error": {"code": 8, "message": "busy"}}
    assert "response" in rows[1]
    stats = (await bench.get(f"/v1/{name}"))["metadata"]["batchStats"]
    assert stats == {"requestCount": "6", "successfulRequestCount": "3", "failedRequestCount": "3"}


async def test_a_job_can_succeed_with_every_row_failed(bench: Bench) -> None:
    name = await finished(bench, fault="row", outcome="error")
    operation = await bench.get(f"/v1/{name}")
    assert operation["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert operation["metadata"]["batchStats"] == {"requestCount": "4", "failedRequestCount": "4"}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ({"outcome": "blocked"}, {"finishReason": "SAFETY"}),
        ({"outcome": "blocked", "finish_reason": "RECITATION"}, {"finishReason": "RECITATION"}),
        ({"outcome": "ok", "finish_reason": "MALFORMED_FUNCTION_CALL"}, {"finishReason": "MALFORMED_FUNCTION_CALL"}),
        ({"outcome": "max_tokens"}, {"finishReason": "MAX_TOKENS"}),
        ({"outcome": "no_parts"}, {"content": {"role": "model"}, "finishReason": "STOP"}),
    ],
)
async def test_rows_end_as_asked(bench: Bench, outcome: dict[str, Any], expected: dict[str, Any]) -> None:
    candidate = (await rows_of(bench, 1, fault="row", **outcome))[0]["response"]["candidates"][0]
    assert candidate.items() >= expected.items()


async def test_rows_are_blocked_by_prompt_or_empty(bench: Bench) -> None:
    await bench.admin("faults", fault="row", match={"key": "r0"}, outcome="prompt_blocked", block_reason="BLOCKLIST")
    rows = await rows_of(bench, 2, fault="row", match={"key": "r1"}, outcome="empty")
    assert rows[0]["response"]["promptFeedback"] == {"blockReason": "BLOCKLIST"}
    assert all("candidates" not in row["response"] for row in rows)
    assert all("usageMetadata" in row["response"] for row in rows)


async def test_a_row_has_a_status_instead_of_an_error(bench: Bench) -> None:
    row = (await rows_of(bench, 1, fault="row", outcome="status", code=4))[0]
    assert row["status"]["code"] == 4
    assert "error" not in row


async def test_rpc_details_in_an_inline_error_break_the_sdk(bench: Bench) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "x"}]
    await bench.admin("faults", fault="row", outcome="error", details=details)
    source = [types.InlinedRequest(contents="x", metadata={"key": "a"})]
    batch = await bench.sdk().aio.batches.create(model=MODEL, src=source)
    await bench.advance()
    with pytest.raises(ValueError, match="details"):
        await bench.sdk().aio.batches.get(name=str(batch.name))


async def test_rules_match_by_prompt_line_number_and_every_nth(bench: Bench) -> None:
    await bench.admin("faults", fault="row", match={"prompt": "hello 0"}, outcome="error", code=1)
    await bench.admin("faults", fault="row", match={"lines": [2]}, outcome="error", code=2)
    rows = await rows_of(bench, 6, fault="row", match={"every": 3}, outcome="error", code=3)
    assert [row.get("error", {}).get("code") for row in rows] == [1, 2, 3, None, None, 3]


async def test_a_rule_on_prompts_holds_for_live_calls_too(bench: Bench) -> None:
    await bench.admin("faults", fault="row", match={"prompt": "secret"}, outcome="blocked")
    response = await bench.sdk().aio.models.generate_content(model=MODEL, contents="a secret")
    assert response.candidates is not None
    assert response.candidates[0].finish_reason == types.FinishReason.SAFETY


async def test_a_row_is_as_long_as_asked(bench: Bench) -> None:
    row = (await rows_of(bench, 1, fault="row", outcome="ok", output_chars=100_000))[0]
    assert len(row["response"]["candidates"][0]["content"]["parts"][0]["text"]) == 100_000


async def test_faults_can_be_meant_for_jobs_of_a_name(bench: Bench) -> None:
    await bench.admin("faults", fault="fail", display_name="^doomed")
    spared, doomed = await bench.create(lines(1), name="spared"), await bench.create(lines(1), name="doomed-1")
    await bench.advance()
    assert await state_of(bench, spared) == "BATCH_STATE_SUCCEEDED"
    assert await state_of(bench, doomed) == "BATCH_STATE_FAILED"


async def test_a_transport_error_is_not_a_client_error() -> None:
    assert issubclass(ConnectionDropped, ConnectionError)
    assert not issubclass(ConnectionDropped, httpx2.HTTPError)
