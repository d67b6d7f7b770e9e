"""What the live lane sends and reads is what the real google-genai client does, byte by byte where that counts."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
import pytest
from google import genai
from google.genai import types

from genai_batch.resources import jobs
from genai_batch.resources.prices import Lane
from genai_batch.server.settings import open_workspace
from genai_batch.tools.check_status import check_status
from genai_batch.tools.create_batch import create_batch
from tests.world import MODEL, World

pytestmark = pytest.mark.anyio
VECTORS = "gemini-embedding-2"
OWN = {"host", "content-length", "connection", "accept-encoding"}
"""Headers that belong to the connection."""
ASKED = {
    "contents": [{"role": "user", "parts": [{"text": "Say hello, Zoë."}]}],
    "generationConfig": {"maxOutputTokens": 64, "temperature": 0.5},
}
ANSWER = {
    "candidates": [{"content": {"parts": [{"text": "Hello, Zoë."}], "role": "model"}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 4, "totalTokenCount": 9},
    "modelVersion": MODEL,
}


class Heard(NamedTuple):
    """A request as it came over the socket."""

    line: str
    headers: dict[str, str]
    body: Any


@asynccontextmanager
async def listening(heard: list[Heard], answer: bytes) -> AsyncGenerator[str]:
    """A server that writes down what it is sent and gives one answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
        body = await reader.readexactly(int(headers["content-length"]))
        heard.append(Heard(line, {name: headers[name] for name in headers.keys() - OWN}, json.loads(body)))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(("lane", "tier", "patience_s"), [("live", None, 300), ("flex", types.ServiceTier.FLEX, 900)])
async def test_our_request_and_our_row_are_those_of_the_sdk(
    world: World, monkeypatch: pytest.MonkeyPatch, lane: Lane, tier: types.ServiceTier | None, patience_s: int
) -> None:
    """The SDK tells Gemini by `X-Server-Timeout` how long it waits."""
    heard: list[Heard] = []
    source = world.write("one.jsonl", [{"key": "a", "request": ASKED}])
    async with listening(heard, json.dumps(ANSWER, indent=2).encode()) as url:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        options = types.HttpOptions(timeout=1_000 * patience_s, httpx_async_client=httpx2.AsyncClient())
        client = genai.Client(api_key="any key", http_options=options, vertexai=False)
        config = types.GenerateContentConfig(max_output_tokens=64, temperature=0.5, service_tier=tier)
        theirs = await client.aio.models.generate_content(
            model=MODEL, contents=types.Content(role="user", parts=[types.Part(text="Say hello, Zoë.")]), config=config
        )
        await client.aio.aclose()
        async with open_workspace(world.settings(backend="gemini", api_key="any key")) as workspace:
            job_id = (await create_batch(source, workspace, MODEL, lane=lane)).job_id
            assert (await check_status(job_id, workspace, 20)).counts.ok == 1
    assert heard[0] == heard[1]
    assert heard[1].headers["x-server-timeout"] == f"{patience_s}"
    row = json.loads((jobs.folder(world.home, job_id) / "results.jsonl").read_bytes())
    ours = types.GenerateContentResponse.model_validate(row["response"])
    left_out = {"sdk_http_response", "automatic_function_calling_history"}
    assert ours.model_dump(exclude=left_out) == theirs.model_dump(exclude=left_out)


@pytest.mark.parametrize("usage", [{"promptTokenCount": 3}, None], ids=["told", "untold"])
async def test_an_embedding_is_asked_for_and_read_as_the_sdk_does(
    world: World, monkeypatch: pytest.MonkeyPatch, usage: dict[str, int] | None
) -> None:
    """The SDK posts a list to `batchEmbedContents`; one of it is what `embedContent` takes."""
    heard: list[Heard] = []
    vector = {"values": [0.25, -0.5]}
    told = {"usageMetadata": usage} if usage else {}
    answer = {"embedding": vector, "embeddings": [vector], **told}
    asked = {"content": {"parts": [{"text": "Zoë"}]}, "taskType": "CLUSTERING", "outputDimensionality": 2}
    source = world.write("one.jsonl", [{"key": "a", "request": asked}])
    async with listening(heard, json.dumps(answer, indent=2).encode()) as url:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
        options = types.HttpOptions(timeout=300_000, httpx_async_client=httpx2.AsyncClient())
        client = genai.Client(api_key="any key", http_options=options, vertexai=False)
        config = types.EmbedContentConfig(task_type="CLUSTERING", output_dimensionality=2)
        content = types.Content(parts=[types.Part(text="Zoë")])
        theirs = await client.aio.models.embed_content(model=VECTORS, contents=content, config=config)
        await client.aio.aclose()
        async with open_workspace(world.settings(backend="gemini", api_key="any key")) as workspace:
            job_id = (await create_batch(source, workspace, VECTORS, lane="live")).job_id
            status = await check_status(job_id, workspace, 20)
    one = {name: value for name, value in heard[0].body["requests"][0].items() if name != "model"}
    assert (heard[1].line, heard[1].headers) == (f"POST /v1/models/{VECTORS}:embedContent HTTP/1.1", heard[0].headers)
    assert heard[1].body == one == asked
    row = json.loads((jobs.folder(world.home, job_id) / "results.jsonl").read_bytes())
    assert [types.ContentEmbedding.model_validate(row["response"]["embedding"])] == theirs.embeddings
    assert status.counts.ok == 1
    assert (status.cost_usd.actual is None) == (usage is None), "what nobody told is not free"
