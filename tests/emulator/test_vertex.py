"""Vertex batch prediction jobs through the real SDK; a folder stands for the buckets."""

import json
from typing import Any, Literal

import httpx2
import pytest
from google.auth.credentials import Credentials
from google.genai import Client, types

from .bench import Bench, jsonl, line

pytestmark = pytest.mark.anyio


class Bearer(Credentials):  # pyright: ignore[reportMissingTypeArgument] - google-auth is untyped
    """Credentials that never ask anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "bearer-1"  # noqa: S105 - names no secret

    @property
    def expired(self) -> Literal[False]:
        return False

    def refresh(self, request: object) -> None:
        raise NotImplementedError


def vertex(http: httpx2.AsyncClient) -> Any:
    """The real SDK in Vertex mode."""
    options = types.HttpOptions(base_url="http://emulator", httpx_async_client=http)
    return Client(enterprise=True, project="p", location="us-central1", credentials=Bearer(), http_options=options)


async def test_a_vertex_job_reads_and_writes_buckets(bench: Bench) -> None:
    rows = [line("a") | {"note": "kept"}, line("b")]
    await bench.http.put("/emulator/buckets/b/in.jsonl", content=jsonl(rows))
    client = vertex(bench.http)
    job = await client.aio.batches.create(
        model="gemini-2.5-flash", src="gs://b/in.jsonl", config={"dest": "gs://b/out"}
    )
    assert job.state == types.JobState.JOB_STATE_QUEUED
    await bench.advance(2)
    assert (await client.aio.batches.get(name=str(job.name))).state == types.JobState.JOB_STATE_RUNNING
    await bench.advance()
    done = await client.aio.batches.get(name=str(job.name))
    assert done.state == types.JobState.JOB_STATE_SUCCEEDED
    assert done.completion_stats is not None
    assert done.completion_stats.successful_count == 2
    assert done.output_info is not None
    directory = str(done.output_info.gcs_output_directory).removeprefix("gs://")
    content = (await bench.http.get(f"/emulator/buckets/{directory}/predictions.jsonl")).text.splitlines()
    first = json.loads(content[0])
    assert (first["key"], first["note"], first["status"]) == ("a", "kept", "")
    assert first["request"] == rows[0]["request"]
    assert first["response"]["candidates"]
    assert first["processed_time"]


async def test_vertex_jobs_are_listed_cancelled_and_deleted(bench: Bench) -> None:
    await bench.http.put("/emulator/buckets/b/in.jsonl", content=jsonl([line("a")]))
    client = vertex(bench.http)
    job = await client.aio.batches.create(model="gemini-2.5-flash", src="gs://b/in.jsonl")
    name = str(job.name)
    assert [one.name async for one in await client.aio.batches.list(config={"page_size": 2})] == [name]
    await client.aio.batches.cancel(name=name)
    cancelled = await client.aio.batches.get(name=name)
    assert cancelled.state == types.JobState.JOB_STATE_CANCELLED
    assert cancelled.error is not None
    assert cancelled.error.code == 1
    await client.aio.batches.delete(name=name)
    assert [one.name async for one in await client.aio.batches.list(config={"page_size": 2})] == []


async def test_a_vertex_job_without_its_object_is_refused(bench: Bench) -> None:
    path = "/v1beta1/projects/p/locations/l/batchPredictionJobs"
    config = {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://b/none.jsonl"]}}
    target = {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://b/out"}}
    body = {"model": "publishers/google/models/gemini-2.5-flash", "inputConfig": config, "outputConfig": target}
    assert (await bench.post(path, body)).status_code == 404
    assert (await bench.post(path, body | {"outputConfig": {}})).status_code == 400
    config["gcsSource"] = {"uris": ["gs://../../etc/passwd"]}
    assert (await bench.post(path, body)).status_code == 400
