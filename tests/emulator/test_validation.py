"""What is refused at create, and in which words."""

from typing import Any

import pytest
from google.genai import errors

from .bench import MODEL, Bench, Object, jsonl, line, lines

pytestmark = pytest.mark.anyio


async def refusal(bench: Bench, rows: list[Object] | bytes, model: str = MODEL) -> Any:
    """The error a create ends in."""
    with pytest.raises(errors.ClientError) as caught:
        await bench.create(rows, model=model)
    return caught.value


async def test_a_misplaced_field_is_named_with_its_line_and_column(bench: Bench) -> None:
    rows = [line("a"), line("b", thinking_config={"thinking_budget": 0})]
    error = await refusal(bench, rows)
    column = jsonl(rows[1:]).index(b'"thinking_config"') + 1
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT")
    assert error.message == f"Error on line 2: invalid JSON, near column {column}: no such field: 'thinking_config'"


async def test_every_bad_line_has_its_own_line_in_the_message(bench: Bench) -> None:
    rows = jsonl([line("a", temperature=1)]) + b"{nonsense\n" + jsonl([line("b")]) + b"[1]\n" + b'{"key":"c"}\n'
    message = str((await refusal(bench, rows)).message).split("\n")
    assert [one.split(":")[0] for one in message] == [f"Error on line {n}" for n in (1, 2, 4, 5)]


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"generation_config": {"maxOutputTokens": 5, "max_output_tokens": 5}}, "duplicate field: 'max_output_tokens'"),
        (
            {"generation_config": {"temperature": "hot"}},
            "invalid value for number field 'generation_config.temperature'",
        ),
        ({"generation_config": {"response_schema": {"$defs": {}}}}, "no such field: '$defs'"),
        ({"safety_settings": {}}, "expected a list for repeated field 'safety_settings'"),
        ({"config": {}}, "no such field: 'config'"),
        ({"generation_config": 3}, "expected a JSON object for 'generation_config'"),
    ],
)
async def test_a_bad_field_is_named(bench: Bench, request_: dict[str, Any], problem: str) -> None:
    assert str((await refusal(bench, [line("a", **request_)])).message).endswith(problem)


async def test_base64_of_two_alphabets_is_refused(bench: Bench) -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": "ab+/cd-_"}}
    row = {"key": "a", "request": {"contents": [{"parts": [blob]}]}}
    assert "bytes field 'contents[0].parts[0].inlineData.data'" in str((await refusal(bench, [row])).message)


async def test_both_spellings_of_every_level_are_accepted(bench: Bench) -> None:
    snake = line("a", system_instruction={"parts": [{"text": "x"}]}, generation_config={"max_output_tokens": 900})
    camel = line("b", systemInstruction={"parts": [{"text": "x"}]}, generationConfig={"maxOutputTokens": 900})
    answers = await bench.results([snake, camel])
    assert answers[0]["response"] == answers[1]["response"]


async def test_an_unknown_model_is_not_found(bench: Bench) -> None:
    error = await refusal(bench, lines(1), model="gemini-2.0-flash")
    assert error.code == 404
    assert str(error.message).startswith("models/gemini-2.0-flash is not found for API version v1, or is not supported")


async def test_a_live_only_model_cannot_batch(bench: Bench) -> None:
    error = await refusal(bench, lines(1), model="gemini-3.8-flash-live")
    assert "is not supported for batchGenerateContent" in str(error.message)


async def test_an_empty_file_is_refused(bench: Bench) -> None:
    assert (await refusal(bench, b"")).code == 400


async def test_a_missing_file_is_forbidden(bench: Bench) -> None:
    with pytest.raises(errors.ClientError) as caught:
        await bench.sdk().aio.batches.create(model=MODEL, src="files/nothing")
    message = "You do not have permission to access the File nothing or it may not exist."
    assert (caught.value.code, caught.value.status, caught.value.message) == (403, "PERMISSION_DENIED", message)


async def test_no_requests_are_refused(bench: Bench) -> None:
    reply = await bench.post(f"/v1/models/{MODEL}:batchGenerateContent", {"batch": {"displayName": "x"}})
    assert reply.status_code == 400


async def test_an_unknown_field_of_a_live_call_is_a_bad_request(bench: Bench) -> None:
    reply = await bench.post(f"/v1/models/{MODEL}:generateContent", {"contents": [], "temperature": 1})
    assert reply.status_code == 400
    assert 'Unknown name "temperature": Cannot find field.' in reply.json()["error"]["message"]


async def test_an_unknown_field_of_an_inline_request_is_a_bad_request(bench: Bench) -> None:
    requests: Object = {"requests": [{"request": {"contents": [], "nope": 1}}]}
    body: Object = {"batch": {"inputConfig": {"requests": requests}}}
    message = (await bench.post(f"/v1/models/{MODEL}:batchGenerateContent", body)).json()["error"]["message"]
    assert "Unknown name \"nope\" at 'batch.input_config.requests.requests[0].request': Cannot find field." in message


async def test_a_line_without_key_is_answered_without_key(bench: Bench) -> None:
    answers = await bench.results([{"custom_id": "x", "request": line("a")["request"]}])
    assert set(answers[0]) == {"response"}


async def test_a_row_without_contents_fails_alone(bench: Bench) -> None:
    answers = await bench.results([{"key": "a", "request": {}}, line("b")])
    assert answers[0]["error"]["code"] == 3
    assert "response" in answers[1]


async def test_a_row_that_points_at_a_foreign_file_fails_alone(bench: Bench) -> None:
    part = {"fileData": {"fileUri": "http://emulator/v1beta/files/foreign", "mimeType": "image/png"}}
    answers = await bench.results([{"key": "a", "request": {"contents": [{"parts": [part]}]}}, line("b")])
    assert "do not have permission to access the File foreign" in answers[0]["error"]["message"]
    assert "response" in answers[1]


async def test_a_job_over_its_token_allowance_is_refused_without_retry_info(bench: Bench) -> None:
    await bench.admin("settings", enqueued_tokens=10)
    error = await refusal(bench, lines(20))
    kinds = [one["@type"].rpartition(".")[2] for one in error.details["error"]["details"]]
    assert (error.code, error.status, kinds) == (429, "RESOURCE_EXHAUSTED", ["QuotaFailure", "Help"])


async def test_the_allowance_is_shared_by_active_jobs_of_a_model(bench: Bench) -> None:
    await bench.admin("settings", enqueued_tokens={MODEL: 5})
    await bench.create(lines(2))
    assert (await refusal(bench, lines(2))).code == 429
    await bench.create(lines(2), model="gemini-3.5-flash")
    await bench.advance()
    await bench.create(lines(2))


async def test_more_active_jobs_than_allowed_are_refused(bench: Bench) -> None:
    await bench.admin("settings", max_active_jobs=1)
    await bench.create(lines(1))
    assert (await refusal(bench, lines(1))).code == 429
    await bench.create(lines(1), key="key-2")


async def test_calls_beyond_the_rate_limit_are_told_when_to_retry(bench: Bench) -> None:
    await bench.admin("settings", requests_per_s=2)
    for _ in range(2):
        await bench.get("/v1/models")
    error = (await bench.get("/v1/models"))["error"]
    assert (error["code"], error["details"][0]["retryDelay"]) == (429, "1s")


async def test_storage_is_limited(bench: Bench) -> None:
    await bench.admin("settings", storage_bytes=10)
    with pytest.raises(errors.ClientError) as caught:
        await bench.upload(lines(1))
    assert caught.value.code == 429


async def test_an_inline_job_is_limited_in_size(bench: Bench) -> None:
    await bench.admin("settings", max_inline_bytes=10)
    reply = await bench.post(f"/v1/models/{MODEL}:batchGenerateContent", {"batch": {"displayName": "x" * 20}})
    assert "payload size exceeds the limit: 10 bytes" in reply.json()["error"]["message"]
