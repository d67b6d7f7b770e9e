"""Answers: honest about what they are, deterministic, shaped as asked."""

import json
import os
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import anyio
import pytest
from google.genai import types

from genai_batch.server.emulator.schema_answers import schema_answer

from .bench import MODEL, Bench, jsonl, line, lines

pytestmark = pytest.mark.anyio
CONTACT: dict[str, Any] = {
    "$defs": {"tag": {"type": "string", "enum": ["red", "green"]}},
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 18, "maximum": 20},
        "score": {"type": ["number", "null"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 3},
        "when": {"type": "string", "format": "date-time"},
        "more": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"x": {"const": 7}}, "required": ["x"]}]},
    },
    "required": ["name", "age", "tags"],
}


async def test_a_response_schema_in_upper_case_is_followed(bench: Bench) -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "mood": {"type": "STRING", "enum": ["good", "bad"]},
            "counts": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "4"},
            "ok": {"type": "BOOLEAN", "nullable": True},
        },
        "required": ["mood", "counts"],
    }
    config = {"response_mime_type": "application/json", "response_schema": schema}
    row = (await bench.results([line("a", generation_config=config)]))[0]
    answer = json.loads(row["response"]["candidates"][0]["content"]["parts"][0]["text"])
    assert answer["mood"] in ("good", "bad")
    assert [type(count) for count in answer["counts"]] == [int] * 4
    assert isinstance(answer["ok"], bool)


async def test_a_json_schema_is_followed(bench: Bench) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=CONTACT)
    response = await bench.sdk().aio.models.generate_content(model=MODEL, contents="x", config=config)
    answer = json.loads(str(response.text))
    assert len(answer["name"]) <= 12
    assert 18 <= answer["age"] <= 20
    assert set(answer["tags"]) <= {"red", "green"}
    assert len(answer["tags"]) == 3
    assert isinstance(answer["score"], float)
    assert answer["when"].endswith("Z")
    assert answer["more"] == {"x": 7}


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    again = {"$ref": "#"}
    node = {"type": "object", "properties": {"next": again, "all": {"type": "array", "items": again}}}
    assert json.loads(schema_answer(node, b"seed"))
    assert json.loads(schema_answer(node | {"required": ["next"]}, b"seed"))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "number", "minimum": 0.2, "maximum": 0.4},
        {"type": "integer", "minimum": 10, "multipleOf": 7, "maximum": 20},
    ],
)
def test_bounds_of_numbers_are_kept(schema: dict[str, Any]) -> None:
    number = json.loads(schema_answer(schema, b"seed"))
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    assert low <= number <= high
    assert number % schema.get("multipleOf", number) == 0


async def test_json_without_a_schema_says_that_no_model_was_called(bench: Bench) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json")
    response = await bench.sdk().aio.models.generate_content(model=MODEL, contents="x", config=config)
    assert json.loads(str(response.text))["emulator"] == "no model was called"


async def test_an_answer_longer_than_its_limit_is_cut(bench: Bench) -> None:
    config = types.GenerateContentConfig(max_output_tokens=5)
    response = await bench.sdk().aio.models.generate_content(model=MODEL, contents="x", config=config)
    assert response.candidates is not None
    assert response.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert len(str(response.text)) == 20


async def test_thinking_can_be_turned_off_and_shown(bench: Bench) -> None:
    off = {"thinking_config": {"thinking_budget": 0}}
    shown = {"thinking_config": {"include_thoughts": True}}
    rows = await bench.results([line("a", generation_config=off), line("b", generation_config=shown)])
    assert "thoughtsTokenCount" not in rows[0]["response"]["usageMetadata"]
    assert rows[1]["response"]["candidates"][0]["content"]["parts"][0]["thought"] is True


async def test_an_image_is_a_png_that_depends_on_the_prompt(bench: Bench) -> None:
    config = {"response_modalities": ["IMAGE"]}
    rows = await bench.results([line(f"{i}", f"draw {i}", generation_config=config) for i in range(2)])
    blobs = [row["response"]["candidates"][0]["content"]["parts"][0]["inlineData"] for row in rows]
    assert [blob["mimeType"] for blob in blobs] == ["image/png"] * 2
    assert b64decode(blobs[0]["data"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert blobs[0]["data"] != blobs[1]["data"]
    assert rows[0]["response"]["usageMetadata"]["candidatesTokensDetails"] == [
        {"modality": "IMAGE", "tokenCount": 1120}
    ]


async def test_speech_is_pcm(bench: Bench) -> None:
    config: Any = {"response_modalities": ["AUDIO"]}
    models = bench.sdk().aio.models
    response = await models.generate_content(model="gemini-3.8-flash-tts", contents="say", config=config)
    assert response.parts is not None
    blob = response.parts[0].inline_data
    assert blob is not None
    assert (blob.mime_type, len(blob.data or b"")) == ("audio/L16;codec=pcm;rate=24000", 12_000)


async def test_a_forced_function_is_called_with_arguments_of_its_schema(bench: Bench) -> None:
    parameters = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    tools = [{"function_declarations": [{"name": "weather", "parameters": parameters}]}]
    forced = {"function_calling_config": {"mode": "ANY"}}
    row = (await bench.results([line("a", tools=tools, tool_config=forced)]))[0]
    call = row["response"]["candidates"][0]["content"]["parts"][0]["functionCall"]
    assert (call["name"], list(call["args"])) == ("weather", ["city"])


async def test_as_many_candidates_come_as_were_asked_for(bench: Bench) -> None:
    row = (await bench.results([line("a", generation_config={"candidate_count": 3})]))[0]
    texts = {one["content"]["parts"][0]["text"] for one in row["response"]["candidates"]}
    assert len(texts) == 3


async def test_media_in_the_prompt_is_counted_by_modality(bench: Bench) -> None:
    parts = [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
    ]
    row = (await bench.results([{"key": "a", "request": {"contents": [{"role": "user", "parts": parts}]}}]))[0]
    counts = row["response"]["usageMetadata"]["promptTokensDetails"]
    assert counts == [{"modality": "AUDIO", "tokenCount": 1}, {"modality": "IMAGE", "tokenCount": 1120}]


async def test_a_prompt_longer_than_the_model_reads_fails_alone(bench: Bench) -> None:
    answers = await bench.results([line("a", "x" * 4_300_000), line("b")])
    assert "exceeds the maximum number of tokens allowed (1048576)" in answers[0]["error"]["message"]
    assert "response" in answers[1]


async def test_the_same_request_gets_the_same_answer_live_and_in_batch(bench: Bench) -> None:
    row = (await bench.results([line("a", "twice")]))[0]
    live = await bench.sdk().aio.models.generate_content(model=MODEL, contents="twice")
    assert row["response"]["candidates"][0]["content"]["parts"][0]["text"] == live.text


async def test_answers_do_not_depend_on_the_process(bench: Bench, tmp_path: Path) -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "NUMBER"}}}
    config = {"response_mime_type": "application/json", "response_schema": schema}
    rows = [
        *lines(3),
        line("s", generation_config=config),
        line("i", generation_config={"response_modalities": ["IMAGE"]}),
    ]
    name = await bench.create(rows)
    await bench.advance()
    here = await bench.download(name)
    program = (
        "import sys, asyncio, httpx2; from pathlib import Path; from genai_batch.server.emulator import create_app\n"
        "async def main():\n"
        "    transport = httpx2.ASGITransport(create_app(Path(sys.argv[1])))\n"
        "    async with httpx2.AsyncClient(transport=transport, base_url='http://emulator') as http:\n"
        "        r = await http.get(sys.argv[2], headers={'x-goog-api-key': 'key-1'})\n"
        "        sys.stdout.buffer.write(r.content)\n"
        "asyncio.run(main())"
    )
    path = f"/v1/files/batch-{name.removeprefix('batches/')}:download"
    (tmp_path / "state/results" / f"{name.removeprefix('batches/')}.jsonl").unlink()
    command = [sys.executable, "-c", program, str(tmp_path / "state"), path]
    there = await anyio.run_process(command, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert there.stdout == here
    assert len(jsonl(rows).splitlines()) == len(here.splitlines())
