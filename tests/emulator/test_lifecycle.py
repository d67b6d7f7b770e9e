"""The whole life of files and batches, seen by the real SDK in process."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.genai import errors, types

from .bench import MODEL, Bench, jsonl, line, lines

pytestmark = pytest.mark.anyio


async def test_a_file_job_is_pending_then_running_then_succeeded(bench: Bench) -> None:
    name = await bench.create(lines(4))
    batches = bench.sdk().aio.batches
    assert (await batches.get(name=name)).state == types.JobState.JOB_STATE_PENDING
    await bench.advance(2)
    assert (await batches.get(name=name)).state == types.JobState.JOB_STATE_RUNNING
    await bench.advance(2)
    job = await batches.get(name=name)
    assert job.done
    assert job.dest is not None
    assert job.dest.file_name == f"files/batch-{name.removeprefix('batches/')}"


async def test_a_new_operation_has_no_done_and_counts_every_row_as_pending(bench: Bench) -> None:
    name = await bench.create(lines(4), name="shown")
    operation = await bench.get(f"/v1/{name}")
    metadata = operation["metadata"]
    assert set(operation) == {"name", "metadata"}
    assert len(name) == len("batches/") + 36
    assert metadata["name"] == name
    assert metadata["@type"].endswith("google.ai.generativelanguage.v1main.GenerateContentBatch")
    assert metadata["batchStats"] == {"requestCount": "4", "pendingRequestCount": "4"}
    assert metadata["displayName"] == "shown"
    assert metadata["model"] == f"models/{MODEL}"
    assert len(metadata["createTime"]) == len("2026-11-20T18:28:11.171635000Z")


async def test_rows_finish_steadily_while_a_job_runs(bench: Bench) -> None:
    name = await bench.create(lines(4))
    await bench.advance(2)
    operation = await bench.get(f"/v1/{name}")
    expected = {"requestCount": "4", "successfulRequestCount": "2", "pendingRequestCount": "2"}
    assert operation["metadata"]["batchStats"] == expected


async def test_a_finished_operation_carries_its_output_twice(bench: Bench) -> None:
    name = await bench.create(lines(2))
    await bench.advance()
    operation = await bench.get(f"/v1beta/{name}")
    output = {"responsesFile": f"files/batch-{name.removeprefix('batches/')}"}
    assert operation["done"] is True
    assert operation["metadata"]["output"] == output
    assert operation["response"].items() >= output.items()
    assert "error" not in operation
    assert operation["metadata"]["endTime"]


async def test_results_come_by_key_through_the_sdk(bench: Bench) -> None:
    name = await bench.create(lines(3))
    await bench.advance()
    job = await bench.sdk().aio.batches.get(name=name)
    assert job.dest is not None
    content = await bench.sdk().aio.files.download(file=str(job.dest.file_name))
    rows = [json.loads(row) for row in content.splitlines()]
    assert [row["key"] for row in rows] == ["r0", "r1", "r2"]
    for row in rows:
        response = row["response"]
        assert response["candidates"][0]["content"]["parts"][0]["text"].startswith("[emulator] No model was called")
        assert response["candidates"][0]["finishReason"] == "STOP"
        assert response["modelVersion"] == f"{MODEL}-emulator"
        assert response["usageMetadata"]["promptTokenCount"] == 2


async def test_an_inline_job_answers_inline_with_its_metadata(bench: Bench) -> None:
    config = types.GenerateContentConfig(temperature=0.5, labels={"a": "b"})
    requests = [types.InlinedRequest(contents=f"say {i}", metadata={"key": f"k{i}"}, config=config) for i in range(2)]
    batch = await bench.sdk().aio.batches.create(model=MODEL, src=requests, config={"display_name": "inline"})
    await bench.advance()
    job = await bench.sdk().aio.batches.get(name=str(batch.name))
    assert job.dest is not None
    assert job.dest.inlined_responses is not None
    assert [one.metadata for one in job.dest.inlined_responses] == [{"key": "k0"}, {"key": "k1"}]
    assert all(one.response and one.response.text for one in job.dest.inlined_responses)


async def test_everything_the_sdk_puts_in_an_inline_request_is_understood(bench: Bench) -> None:
    image = types.Part.from_bytes(data=b"\x00\xff\xfe\xfb", mime_type="image/png")
    config = types.GenerateContentConfig(
        system_instruction="be brief",
        tools=[types.Tool(google_search=types.GoogleSearch())],
        thinking_config=types.ThinkingConfig(thinking_budget=0),
        response_mime_type="application/json",
        response_schema={"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}},
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HATE_SPEECH,
                threshold=types.HarmBlockThreshold.BLOCK_ONLY_HIGH,
            )
        ],
        speech_config=types.SpeechConfig(
            voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore"))
        ),
    )
    request = types.InlinedRequest(model=MODEL, contents=["look", image], config=config)
    batch = await bench.sdk().aio.batches.create(model=MODEL, src=[request])
    await bench.advance()
    job = await bench.sdk().aio.batches.get(name=str(batch.name))
    assert job.dest is not None
    assert job.dest.inlined_responses is not None
    response = job.dest.inlined_responses[0].response
    assert response is not None
    assert isinstance(json.loads(str(response.text))["a"], int)
    assert response.usage_metadata is not None
    assert response.usage_metadata.thoughts_token_count is None
    counted = response.usage_metadata.prompt_tokens_details
    assert types.MediaModality.IMAGE in [one.modality for one in counted]


@pytest.mark.filterwarnings("ignore:.*create_embeddings.*")
async def test_embeddings_are_answered_from_a_file_and_inline(bench: Bench) -> None:
    rows = [{"key": "e1", "request": {"content": {"parts": [{"text": "a"}]}, "output_dimensionality": 8}}]
    source = await bench.upload(rows)
    batches = bench.sdk().aio.batches
    filed = await batches.create_embeddings(model="gemini-embedding-2", src={"file_name": source})
    config = types.EmbedContentConfig(output_dimensionality=8)
    requests = types.EmbedContentBatch(contents=["a", "b"], config=config)
    inline = await batches.create_embeddings(model="gemini-embedding-2", src={"inlined_requests": requests})
    await bench.advance()
    row = json.loads(await bench.download(str(filed.name)))
    assert row["key"] == "e1"
    assert len(row["response"]["embedding"]["values"]) == 8
    assert row["response"]["tokenCount"] == "1"
    job = await batches.get(name=str(inline.name))
    assert job.dest is not None
    answers = job.dest.inlined_embed_content_responses
    assert answers is not None
    assert [len(one.response.embedding.values or []) for one in answers if one.response and one.response.embedding] == [
        8,
        8,
    ]


async def test_a_cancelled_job_ends_with_error_code_1(bench: Bench) -> None:
    name = await bench.create(lines(2))
    await bench.sdk().aio.batches.cancel(name=name)
    job = await bench.sdk().aio.batches.get(name=name)
    operation = await bench.get(f"/v1/{name}")
    assert job.state == types.JobState.JOB_STATE_CANCELLED
    assert operation["done"] is True
    assert operation["error"]["code"] == 1
    assert "response" not in operation


async def test_cancelling_a_finished_job_changes_nothing(bench: Bench) -> None:
    name = await bench.create(lines(2))
    await bench.advance()
    await bench.sdk().aio.batches.cancel(name=name)
    assert (await bench.sdk().aio.batches.get(name=name)).state == types.JobState.JOB_STATE_SUCCEEDED


async def test_a_deleted_job_is_gone(bench: Bench) -> None:
    name = await bench.create(lines(2))
    await bench.sdk().aio.batches.delete(name=name)
    with pytest.raises(errors.ClientError) as caught:
        await bench.sdk().aio.batches.get(name=name)
    assert (caught.value.code, caught.value.message) == (404, "Requested entity was not found.")
    assert [job async for job in await bench.sdk().aio.batches.list(config={"page_size": 5})] == []


async def test_lists_are_newest_first_and_paged(bench: Bench) -> None:
    names = [await bench.create(lines(1)) for _ in range(5)]
    pager = await bench.sdk().aio.batches.list(config={"page_size": 2})
    assert len(pager.page) == 2
    assert [job.name async for job in pager] == names[::-1]


async def test_an_old_job_expires_without_results(bench: Bench) -> None:
    await bench.admin("settings", run_s=1e9)
    name = await bench.create(lines(2))
    await bench.advance(48 * 3600 - 1)
    assert (await bench.sdk().aio.batches.get(name=name)).state == types.JobState.JOB_STATE_RUNNING
    await bench.advance(2)
    operation = await bench.get(f"/v1/{name}")
    assert operation["metadata"]["state"] == "BATCH_STATE_EXPIRED"
    assert set(operation) == {"name", "metadata", "done", "error"}


async def test_priority_is_kept_as_a_string(bench: Bench) -> None:
    source = await bench.upload(lines(1))
    config: Any = {"display_name": "x", "http_options": {"extra_body": {"batch": {"priority": 5}}}}
    batch = await bench.sdk().aio.batches.create(model=MODEL, src=source, config=config)
    assert (await bench.get(f"/v1/{batch.name}"))["metadata"]["priority"] == "5"


async def test_another_key_sees_neither_batches_nor_files(bench: Bench) -> None:
    name = await bench.create(lines(1))
    await bench.advance()
    other = bench.sdk("key-2").aio
    with pytest.raises(errors.ClientError) as batch:
        await other.batches.get(name=name)
    with pytest.raises(errors.ClientError) as file:
        await other.files.download(file=f"files/batch-{name.removeprefix('batches/')}")
    assert (batch.value.code, file.value.code) == (404, 403)
    assert [job async for job in await other.batches.list(config={"page_size": 5})] == []


async def test_a_call_without_a_key_is_refused(bench: Bench) -> None:
    reply = await bench.http.get("/v1/batches")
    assert (reply.status_code, reply.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


async def test_a_key_in_the_query_counts_and_is_not_logged(bench: Bench) -> None:
    assert (await bench.http.get("/v1/models?key=secret-1")).status_code == 200
    assert "secret-1" not in (await bench.http.get("/emulator/log")).text


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_every_version_is_answered(bench: Bench, version: str) -> None:
    assert (await bench.get(f"/{version}/batches")) == {}
    assert (await bench.get(f"/{version}/files")) == {}


async def test_an_upload_of_several_chunks_arrives_whole(bench: Bench) -> None:
    filler = "x" * 1_000_000
    rows = [line(f"r{i}", filler) for i in range(18)]
    name = await bench.upload(rows)
    file = await bench.sdk().aio.files.get(name=name)
    assert file.size_bytes == len(jsonl(rows))
    assert await bench.sdk().aio.files.download(file=name) == jsonl(rows)


async def test_a_chunk_at_a_wrong_offset_is_refused_and_can_be_sent_again(bench: Bench) -> None:
    start = await bench.post("/upload/v1/files", {"file": {"displayName": "d"}})
    address = start.headers["x-goog-upload-url"]
    chunk = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": "0"}
    assert (await bench.http.post(address, content=b"abc", headers=chunk)).headers["x-goog-upload-status"] == "active"
    assert (await bench.http.post(address, content=b"abc", headers=chunk)).status_code == 400
    last = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "3"}
    done = await bench.http.post(address, content=b"", headers=last)
    assert done.json()["file"]["sizeBytes"] == "3"
    assert address.startswith("http://emulator/")


async def test_files_can_be_named_listed_and_deleted(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"")
    files = bench.sdk().aio.files
    file = await files.upload(
        file=path, config={"name": "my-name", "mime_type": "application/jsonl", "display_name": "é"}
    )
    assert (file.name, file.display_name) == ("files/my-name", "é")
    assert [one.name async for one in await files.list(config={"page_size": 2})] == ["files/my-name"]
    await files.delete(name="my-name")
    with pytest.raises(errors.ClientError) as caught:
        await files.get(name="my-name")
    assert caught.value.code == 403
    assert "permission to access the File my-name or it may not exist" in str(caught.value.message)


async def test_a_file_expires_after_48_hours(bench: Bench) -> None:
    name = await bench.upload(lines(1))
    await bench.advance(48 * 3600 + 1)
    with pytest.raises(errors.ClientError) as caught:
        await bench.sdk().aio.batches.create(model=MODEL, src=name)
    assert caught.value.code == 403


async def test_a_job_outlives_its_input_file(bench: Bench) -> None:
    source = await bench.upload(lines(2))
    batch = await bench.sdk().aio.batches.create(model=MODEL, src=source)
    await bench.sdk().aio.files.delete(name=source)
    await bench.advance()
    assert len((await bench.download(str(batch.name))).splitlines()) == 2


async def test_downloads_answer_both_spellings_and_ranges(bench: Bench) -> None:
    name = await bench.create(lines(2))
    await bench.advance()
    whole = await bench.download(name)
    path = f"/files/batch-{name.removeprefix('batches/')}:download?alt=media"
    key = {"x-goog-api-key": "key-1"}
    assert (await bench.http.get(f"/download/v1beta{path}", headers=key)).content == whole
    part = await bench.http.get(f"/v1{path}", headers=key | {"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    tail = await bench.http.get(f"/v1{path}", headers=key | {"Range": f"bytes={len(whole) - 5}-"})
    assert tail.content == whole[-5:]
    beyond = await bench.http.get(f"/v1{path}", headers=key | {"Range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416


async def test_a_result_file_is_generated_and_listed_only_if_asked(bench: Bench) -> None:
    name = await bench.create(lines(1))
    await bench.advance()
    result = f"files/batch-{name.removeprefix('batches/')}"
    file = await bench.get(f"/v1/{result}")
    assert file["source"] == "GENERATED"
    assert file["downloadUri"].endswith(":download?alt=media")
    listed = await bench.get("/v1/files")
    assert result not in [one["name"] for one in listed["files"]]
    await bench.admin("settings", list_generated_files=True)
    listed = await bench.get("/v1/files")
    assert result in [one["name"] for one in listed["files"]]


async def test_models_are_listed_with_what_they_can_do(bench: Bench) -> None:
    models = {str(one.name): one async for one in await bench.sdk().aio.models.list(config={"page_size": 7})}
    assert "batchGenerateContent" in (models[f"models/{MODEL}"].supported_actions or [])
    assert "asyncBatchEmbedContent" in (models["models/gemini-embedding-2"].supported_actions or [])
    assert "batchGenerateContent" not in (models["models/gemini-3.8-flash-live"].supported_actions or [])
    assert (await bench.sdk().aio.models.get(model=MODEL)).output_token_limit == 65_536


async def test_tokens_are_counted_of_contents_and_of_whole_requests(bench: Bench) -> None:
    counted = await bench.sdk().aio.models.count_tokens(model=MODEL, contents="x" * 400)
    assert counted.total_tokens == 100
    text = {"parts": [{"text": "x" * 400}]}
    request = {"model": f"models/{MODEL}", "contents": [text], "systemInstruction": text}
    whole = await bench.post(f"/v1/models/{MODEL}:countTokens", {"generateContentRequest": request})
    assert whole.json()["totalTokens"] == 200


async def test_live_calls_are_answered(bench: Bench) -> None:
    response = await bench.sdk().aio.models.generate_content(model=MODEL, contents="hi", config={"temperature": 0})
    assert str(response.text).startswith("[emulator] No model was called")
    assert response.usage_metadata is not None
    assert response.usage_metadata.thoughts_token_count


async def test_live_embeddings_are_answered(bench: Bench) -> None:
    made = await bench.sdk().aio.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    assert {len(one.values) for one in made.embeddings} == {3072}
