"""What people order and what comes back: given an answer, then its outcome, its columns and its types."""

import csv
import json
import random
import sqlite3
import sys
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import httpx2
import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_batch.resources import column_types, extras
from genai_batch.resources.errors import BatchError
from genai_batch.resources.exports import parquet, tables, workbook
from genai_batch.resources.exports.columns import lay_out, names_taken, user_types
from genai_batch.resources.exports.details import Details
from genai_batch.resources.exports.rows import Choice, is_taken
from genai_batch.resources.exports.spool import Spool
from genai_batch.resources.repetition import repeats_itself
from genai_batch.server.emulator import create_app
from genai_batch.tools.lanes.embedded import EmbeddedTransport
from tests.built import manifest
from tests.test_cli import run
from tests.test_exports import full_disk
from tests.world import MODEL, World, call, finish, read, refusal, row, start, stopped

pytestmark = pytest.mark.anyio
IMAGES, SPEECH = "gemini-nano-banana-2.1", "gemini-3.8-flash-tts"
FORMS = ("jsonl", "csv", "csv-excel", "parquet", "sqlite", "xlsx")


class Given(NamedTuple):
    """A request and what the emulator does with it, then the outcome, the code, and whether the row may go again."""

    request: dict[str, Any]
    rule: dict[str, Any]
    then: tuple[str, object, bool | None]
    model: str = MODEL


OK, NO_IMAGE, EMPTY = ("ok", None, None), ("error", "no_image", True), ("empty", "STOP", True)
LOOP = ("truncated", "loop", False)
SPOKEN = {"response_modalities": ["AUDIO"]}
SORRY = {"outcome": "ok", "text": "Sorry, I cannot draw a mug."}
LINES = "\n".join(f"{n}. The mug is red and the handle is round" for n in range(1, 80))
ENDS = {
    "a text where a picture was ordered": Given({"response_modalities": ["IMAGE"]}, SORRY, NO_IMAGE, IMAGES),
    "the same in the wire's spelling": Given({"responseModalities": ["IMAGE"]}, SORRY, NO_IMAGE, IMAGES),
    "a text where both were ordered": Given({"response_modalities": ["TEXT", "IMAGE"]}, SORRY, NO_IMAGE, IMAGES),
    "a text of an image model that was told nothing": Given({}, SORRY, NO_IMAGE, IMAGES),
    "a text of an image model that was to write": Given({"response_modalities": ["TEXT"]}, SORRY, OK, IMAGES),
    "the picture that was ordered": Given({"response_modalities": ["IMAGE"]}, {"outcome": "ok"}, OK, IMAGES),
    "a text where speech was ordered": Given(SPOKEN, SORRY, ("error", "no_audio", True), SPEECH),
    "a blank text where speech was ordered": Given(SPOKEN, {"outcome": "ok", "text": " "}, EMPTY, SPEECH),
    "the speech that was ordered": Given(SPOKEN, {"outcome": "ok"}, OK, SPEECH),
    "NO_IMAGE": Given({}, {"outcome": "blocked", "finish_reason": "NO_IMAGE"}, ("error", "NO_IMAGE", True), IMAGES),
    "IMAGE_OTHER": Given(
        {}, {"outcome": "blocked", "finish_reason": "IMAGE_OTHER"}, ("error", "IMAGE_OTHER", True), IMAGES
    ),
    "IMAGE_SAFETY": Given(
        {}, {"outcome": "blocked", "finish_reason": "IMAGE_SAFETY"}, ("blocked", "IMAGE_SAFETY", False), IMAGES
    ),
    "a blank answer": Given({}, {"outcome": "ok", "text": " \n"}, EMPTY),
    "an answer of spaces that are none in ASCII": Given(
        {}, {"outcome": "ok", "text": "\u00a0\u3000\t"}, EMPTY
    ),
    "an answer of characters without width": Given(
        {}, {"outcome": "ok", "text": "\u200b\ufeff"}, EMPTY
    ),
    "blank parts": Given(
        {}, {"outcome": "ok", "candidate": {"content": {"parts": [{"text": ""}, {"text": "\n"}]}}},
        EMPTY,
    ),
    "an answer of one full stop": Given({}, {"outcome": "ok", "text": " ."}, OK),
    "a loop of sentences": Given({"max_output_tokens": 2_000}, {"outcome": "loop"}, LOOP),
    "a loop of one character": Given(
        {}, {"outcome": "ok", "text": "| a |\n" + "-" * 900, "finish_reason": "MAX_TOKENS"}, LOOP
    ),
    "a loop under ever new numbers": Given(
        {}, {"outcome": "ok", "text": LINES, "finish_reason": "MAX_TOKENS"}, LOOP
    ),
    "an answer that was only cut": Given(
        {}, {"outcome": "max_tokens"}, ("truncated", "MAX_TOKENS", False)
    ),
    "an answer that repeats itself and ends": Given({}, {"outcome": "ok", "text": "Ha. " * 200}, OK),
}  # fmt: skip


@pytest.mark.parametrize("model", [MODEL, IMAGES, SPEECH])
async def test_given_an_answer_then_its_outcome(world: World, model: str) -> None:
    cases = {name: case for name, case in ENDS.items() if case.model == model}
    for name, case in cases.items():
        await world.arm("row", match={"key": f"^{name}$"}, **case.rule)
    rows = [row(name, "Draw a mug.", **case.request) for name, case in cases.items()]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows), model=model)
        await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
    ended: dict[str, Any] = {}
    for line in read_jsonl(world.work / "out.jsonl"):
        error = line.get("error", {})
        ended[line["key"]] = (line["outcome"], error.get("code"), error.get("retryable"))
    assert ended == {name: case.then for name, case in cases.items()}


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("Page one. " + "The mug is white. " * 40, True), ("0" * 300, True), (LINES, True),
        ("x " * 40, False), ("Tea, coffee and milk. " * 2, False), (" ".join(map(str, range(900))), False),
        ("\n".join(f'{{"id": {n}, "price": {n * 7 % 97}}}' for n in range(200)), False),
        ("A paragraph of its own, " * 30 + "then a long way to a proper end that says something else entirely.", False),
        ("".join(f"Chapter {n}: " + "word " * (n % 9 + 2) for n in range(90)), False),
        (("All of a long page, which is copied whole: " + " ".join(f"w{n}" for n in range(900))) * 4, True),
    ],
)  # fmt: skip
def test_given_a_text_that_was_cut_then_it_is_a_loop_or_not(text: str, *, then: bool) -> None:
    assert repeats_itself(text) is then


async def test_given_loops_then_nobody_is_told_to_pay_for_twice_the_room(world: World) -> None:
    await world.arm("row", match={"key": "loop"}, outcome="loop")
    await world.arm("row", match={"key": "cut"}, outcome="max_tokens")
    rows = [row("loop", "One.", max_output_tokens=500), row("fine", "Two.")]
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows))
        status = await finish(client, job_id)
        assert "All truncated answers are loops" in status["notice"]
        assert "truncated" not in status["next"]
        said = await refusal(client, "resume_job", job_id=job_id, rows="truncated")
        assert "repeat themselves" in said
        report = (await client.read_resource(f"batch://jobs/{job_id}/report")).contents[0].model_dump()["text"]
        assert ("repeats itself" in report, "twice the output" in report) == (True, False)
        await call(client, "resume_job", job_id=job_id, rows=["loop"])
        await finish(client, job_id)
        sent = read_jsonl(world.home / "jobs" / job_id / "requests.1.jsonl")
        assert sent[0]["request"]["generation_config"]["max_output_tokens"] == 500
        job_id = await start(client, world.write("b.jsonl", [*rows, row("cut", "Three.", max_output_tokens=900)]))
        status = await finish(client, job_id)
        assert "1 of 2 truncated answers are loops" in status["notice"]
        assert "rows='truncated'" in status["next"]
        again = await call(client, "resume_job", job_id=job_id, rows="truncated")
        assert "1 that repeat themselves" in again["notice"]


async def test_given_a_text_for_a_picture_then_resume_brings_the_picture_and_its_text_is_not_lost(world: World) -> None:
    await world.arm("row", match={"key": "mug"}, times=1, **SORRY)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row("mug", "Draw."), row("cup", "Draw.")]), model=IMAGES)
        status = await finish(client, job_id)
        assert (status["counts"], "error no_image: 'mug'" in status["notice"]) == ({"ok": 1, "error": 1}, True)
        failed = await read(client, f"batch://jobs/{job_id}/results/mug")
        assert (failed["text"], failed["error"]["retryable"]) == (SORRY["text"], True)
        await call(client, "resume_job", job_id=job_id)
        assert (await finish(client, job_id))["counts"] == {"ok": 2}


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def read_rows(path: Path, form: str) -> list[dict[str, Any]]:
    """The rows of an export by column, without empty cells."""
    if form == "jsonl":
        return read_jsonl(path)
    if form.startswith("csv"):
        with path.open(newline="", encoding="utf-8-sig") as file:
            found: list[dict[str, Any]] = list(csv.DictReader(file))
    elif form == "sqlite":
        with closing(sqlite3.connect(path)) as db:
            db.row_factory = sqlite3.Row
            found = [dict(line) for line in db.execute("SELECT * FROM results")]
    elif form == "xlsx":
        names, *lines = openpyxl.load_workbook(BytesIO(path.read_bytes())).worksheets[0].iter_rows(values_only=True)
        found = [dict(zip(map(str, names), line, strict=True)) for line in lines]
    else:
        table = duckdb.read_parquet(str(path))
        found = [dict(zip(table.columns, line, strict=True)) for line in table.fetchall()]
    return [{name: value for name, value in line.items() if value not in (None, "")} for line in found]


class Holds(NamedTuple):
    """What an answer holds beside its text, and then the columns that an export has for it."""

    settings: dict[str, Any]
    candidate: dict[str, Any] | None
    then: dict[str, Any]


PIECES = [{"text": "First"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}, {"text": "then"},
          {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoA"}}]  # fmt: skip
SOURCES = {"groundingChunks": [{"web": {"uri": "https://a.example"}}]}
CITED = {"citationSources": [{"uri": "https://b.example"}]}
HELD = {
    "thoughts": Holds({"thinking_config": {"include_thoughts": True}}, None,
                      {"thoughts": "[emulator] A thought was asked for; none was had."}),
    "logprobs": Holds({"response_logprobs": True, "logprobs": 3}, None, {"avg_logprobs": float, "logprobs": dict}),
    "only the mean": Holds({}, {"avgLogprobs": -0.5}, {"avg_logprobs": -0.5}),
    "grounding": Holds({}, {"groundingMetadata": SOURCES}, {"grounding": SOURCES}),
    "citations": Holds({}, {"citationMetadata": CITED}, {"citations": CITED}),
    "pages": Holds({}, {"urlContextMetadata": {"urlMetadata": [1]}}, {"url_context": {"urlMetadata": [1]}}),
    "candidates": Holds({"candidate_count": 3}, None, {"text_2": str, "text_3": str}),
    "pieces in order": Holds({}, {"content": {"parts": PIECES}}, {"parts": list}),
    "nothing more": Holds({}, None, {}),
}  # fmt: skip
MORE = ("thoughts", "avg_logprobs", "logprobs", "grounding", "citations", "url_context", "text_2", "text_3", "parts")


@pytest.mark.parametrize("form", FORMS)
async def test_given_what_an_answer_holds_beside_text_then_every_form_has_it(world: World, form: str) -> None:
    for name, held in HELD.items():
        if held.candidate:
            await world.arm("row", match={"key": f"^{name}$"}, outcome="ok", candidate=held.candidate)
    async with world.client() as client:
        rows = [row(name, f"Say {name}.", **held.settings) for name, held in HELD.items()]
        job_id = await start(client, world.write("a.jsonl", rows))
        await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="out", format=form)
    found = {line["key"]: line for line in read_rows(world.work / "out", form)}
    for name, held in HELD.items():
        there = {each: value_of(found[name][each], form) for each in MORE if each in found[name]}
        assert there.keys() == held.then.keys(), name
        for column, then in held.then.items():
            assert there[column] == then or (isinstance(then, type) and isinstance(there[column], then)), (name, column)
    pieces = value_of(found["pieces in order"]["parts"], form)
    assert [each.get("text") or each["uri"][-1] for each in pieces] == ["First", "0", "then", "1"]


def value_of(cell: Any, form: str) -> Any:
    """A cell as JSON has it; but for JSON lines, tables hold it as text."""
    if form == "jsonl" or not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell


ADDRESS = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}, "zip": {"type": "STRING"}}}
SCHEMA = {
    "type": "OBJECT",
    "properties": {
        "label": {"type": "STRING"}, "score": {"type": "NUMBER"}, "count": {"type": "INTEGER"},
        "sure": {"type": "BOOLEAN"}, "tags": {"type": "ARRAY", "items": {"type": "STRING"}}, "address": ADDRESS,
        "key": {"type": "STRING"}, "note": {"type": "STRING", "nullable": True}, "text": {"type": "STRING"},
    },
    "required": ["label", "score"],
}  # fmt: skip
ANSWERS = [
    {"label": "=good", "score": 1, "count": 3, "sure": True, "tags": ["a"], "address": {"city": "Bonn", "zip": "007"},
     "key": "theirs", "text": "inner"},
    {"label": "bad", "score": 2, "count": 9_007_199_254_740_993, "sure": False, "address": {"city": "Köln"}},
    {"label": "odd", "score": 3.5, "address": {}, "more": {"deep": {"er": 1}}},
]  # fmt: skip


async def structured(world: World, form: str, **beside: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Answers in JSON in some form, and what was said of them."""
    config = {"response_mime_type": "application/json", "response_schema": SCHEMA}
    rows = [{**row(f"k{n}", f"Say {n}.", **config), **beside} for n in range(4)]
    for number, answer in enumerate(ANSWERS):
        await world.arm("row", match={"key": f"^k{number}$"}, outcome="ok", text=json.dumps(answer))
    await world.arm("row", match={"key": "k3"}, outcome="ok", text='{"label": 5}')
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", rows))
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, output_path="out", format=form)
    return read_rows(world.work / "out", form), page


@pytest.mark.parametrize("form", ["parquet", "sqlite", "xlsx"])
async def test_given_answers_of_a_schema_then_their_members_are_typed_columns(world: World, form: str) -> None:
    lines, page = await structured(world, form, label_by_hand="mine")
    first = lines[0]
    assert (first["label"], first["score"], first["count"], bool(first["sure"])) == ("=good", 1.0, 3, True)
    assert json.loads(first["tags"]) == ["a"]
    assert (first["address.city"], first["address.zip"]) == ("Bonn", "007")
    assert (first["answer_key"], first["answer_text"], first["key"]) == ("theirs", "inner", "k0")
    assert json.loads(first["text"]) == ANSWERS[0]
    assert "key is answer_key, text is answer_text" in page["notice"]
    assert int(lines[1]["count"]) == 9_007_199_254_740_993
    assert lines[2]["more.deep.er"] == 1
    assert (lines[3]["outcome"], "label" in lines[3]) == ("error", False)
    if form == "parquet":
        table = duckdb.read_parquet(str(world.work / "out"))
        kinds = dict(zip(table.columns, map(str, table.types), strict=True))
        assert [kinds[name] for name in ("label", "score", "count", "sure", "note")] == [
            "VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN", "VARCHAR"
        ]  # fmt: skip


async def test_given_a_column_of_the_users_with_the_name_of_a_member_then_both_are_there(world: World) -> None:
    lines, page = await structured(world, "csv", Label="by hand", thoughts="my own", **{"address.city": "home"})
    assert [line["Label"] for line in lines] == ["by hand"] * 4
    assert (lines[0]["answer_label"], lines[0]["thoughts"]) == ("'=good", "my own")
    assert (lines[0]["address.city"], lines[0]["answer_address.city"]) == ("home", "Bonn")
    assert "label is answer_label" in page["notice"]


async def test_given_answers_of_ever_other_members_then_columns_are_bounded_and_the_text_has_all(world: World) -> None:
    config = {"response_mime_type": "application/json"}
    for number in range(4):
        text = json.dumps({f"m{number}-{each}": each for each in range(300)})
        await world.arm("row", match={"key": f"^k{number}$"}, outcome="ok", text=text)
    async with world.client() as client:
        rows = [row(f"k{n}", f"Say {n}.", **config) for n in range(4)]
        job_id = await start(client, world.write("a.jsonl", rows))
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, output_path="out.sqlite")
    lines = read_rows(world.work / "out.sqlite", "sqlite")
    assert "more than 500 members" in page["notice"]
    assert (lines[0]["m0-7"], "m3-7" in lines[3], json.loads(lines[3]["text"])["m3-7"]) == (7, False, 7)


@pytest.mark.parametrize("form", FORMS)
async def test_given_raw_then_each_response_is_there_as_it_was_received(world: World, form: str) -> None:
    await world.arm("row", match={"key": "bad"}, outcome="error")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row("a"), row("bad"), row("é")]))
        await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="out", format=form, raw=True)
        await call(client, "get_results", job_id=job_id, output_path="folder/", format=form, raw=True)
    stored = read_jsonl(world.home / "jobs" / job_id / "results.jsonl")
    name = f"results.{'csv' if form.startswith('csv') else form}"
    for path in (world.work / "out", world.work / "folder" / name):
        assert [value_of(line["response"], form) for line in read_rows(path, form)] == stored


async def test_given_not_ok_and_a_file_then_the_failures_are_exported(world: World) -> None:
    await world.arm("row", match={"key": "bad"}, outcome="error")
    await world.arm("row", match={"key": "cut"}, outcome="max_tokens")
    source = world.write("a.jsonl", [row("a"), row("bad"), row("cut"), row("b")])
    done = run(world, "run", source, "--model", MODEL, "--output", "all.xlsx", "--raw", "--quiet")
    assert done.returncode == 3, done.stderr
    job_id = done.stdout.split()[0]
    for name in ("failures.csv", "failures.jsonl", "failures.parquet", "failures/"):
        args = ("results", job_id, "--outcome", "not_ok", "--output", name, "--json")
        done = run(world, *args)
        assert (done.returncode, json.loads(done.stdout)["written"]) == (0, 2), done.stderr
    assert [line["key"] for line in read_rows(world.work / "failures.csv", "csv")] == ["bad", "cut"]
    assert "response" in read_rows(world.work / "all.xlsx", "xlsx")[0]
    done = run(world, "results", job_id, "--output", "e.csv", "--format", "csv-excel", "--quiet")
    assert (world.work / "e.csv").read_bytes().startswith(b"\xef\xbb\xbfkey,")


async def inline_batch(world: World, metadata: list[Any]) -> str:
    """A batch that another program created inline, with metadata of its own."""
    items = [{"request": row("", f"Say {n}.")["request"], **({"metadata": each} if each is not None else {})}
             for n, each in enumerate(metadata)]  # fmt: skip
    transport = EmbeddedTransport(create_app(world.home / "emulator"))
    body = {"batch": {"displayName": "foreign", "inputConfig": {"requests": {"requests": items}}}}
    async with httpx2.AsyncClient(transport=transport, base_url="http://emulator.invalid") as http:
        url, key = f"/v1beta/models/{MODEL}:batchGenerateContent", {"x-goog-api-key": "offline"}
        reply = await http.post(url, json=body, headers=key)
    assert reply.status_code == 200, reply.text
    return reply.json()["name"]


FOREIGN: dict[str, tuple[list[Any], list[str]]] = {
    "no metadata": ([None, None, None], ["row-000001", "row-000002", "row-000003"]),
    "an id": ([{"id": "a", "lang": "de"}, {"id": "b"}], ["a", "b"]),
    "a number": ([{"row": 7}, {"row": 8}], ["7", "8"]),
    "several fields": ([{"x": 1, "y": 2}, {"x": 1, "y": 3}], ['{"x":1,"y":2}', '{"x":1,"y":3}']),
    "the same for all": ([{"lang": "de"}, {"lang": "de"}], ["de", "de row-000002"]),
    "our key": ([{"key": "k"}, {"key": "l"}], ["k", "l"]),
    "a mixture": ([{"key": "k"}, None, {"id": "x"}], ["k", "row-000001", "x"]),
}


@pytest.mark.parametrize("case", FOREIGN)
async def test_given_an_adopted_inline_batch_without_our_keys_then_every_answer_is_had(world: World, case: str) -> None:
    metadata, keys = FOREIGN[case]
    name = await inline_batch(world, metadata)
    async with world.client() as client:
        job_id = (await call(client, "check_status", job_id=name))["job_id"]
        status = await finish(client, job_id)
        assert status["counts"] == {"ok": len(keys)}
        await call(client, "get_results", job_id=job_id, output_path="out.jsonl")
        shown = await read(client, (await call(client, "get_results", job_id=job_id))["results"][0]["uri"])
    lines = {line["key"]: line["text"] for line in read_jsonl(world.work / "out.jsonl")}
    assert sorted(lines) == sorted(keys)
    assert [f"Say {n}." in lines[key] for n, key in enumerate(keys)] == [True] * len(keys)
    assert shown["outcome"] == "ok"
    assert ("without a key" in status.get("notice", "")) is (case != "our key")


SHADOWING = "id,text,source_text,key,source_key,Text,outcome,SOURCE_TEXT_2,path,price,Price"


@pytest.mark.parametrize("form", FORMS)
async def test_given_columns_that_have_names_of_ours_and_each_others_then_every_value_is_there(
    world: World, form: str
) -> None:
    values = [f"value {number}" for number in range(SHADOWING.count(",") + 1)]
    world.write("t.csv", f"{SHADOWING}\n{','.join(values)}\n")
    source = manifest(world, data="t.csv", key="id", prompt="Say {{ id }}.")
    async with world.client() as client:
        job_id = await start(client, source)
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, output_path="out", format=form)
    line = read_rows(world.work / "out", form)[0]
    assert [value for value in line.values() if str(value).startswith("value")] == [values[0], *values]
    assert (line["source_text"], line["source_key"], line["source_text_3"]) == (values[2], values[4], values[1])
    assert "text is source_text_3" in page["notice"]


async def test_given_more_columns_than_a_table_holds_then_it_is_said(world: World) -> None:
    world.write("a.jsonl", [{**row("a"), **{f"c{n}": n for n in range(501)}}])
    async with world.client() as client:
        job_id = await start(client, "a.jsonl")
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, output_path="out.csv")
    assert "more than 500 columns: they stand as JSON in one, source" in page["notice"]


async def test_given_many_columns_of_a_table_with_types_then_they_keep_them(world: World) -> None:
    days = ", ".join(f"DATE '2026-01-01' + {n} AS d{n}" for n in range(600))
    duckdb.sql(f"COPY (SELECT 'a' AS id, {days}) TO '{world.work / 't.parquet'}'")
    source = manifest(world, data="t.parquet", key="id", prompt="Say {{ id }}.")
    async with world.client() as client:
        job_id = await start(client, source)
        await finish(client, job_id)
        await call(client, "get_results", job_id=job_id, output_path="out.parquet")
    table = duckdb.read_parquet(str(world.work / "out.parquet"))
    kinds = dict(zip(table.columns, map(str, table.types), strict=True))
    assert {kinds[f"d{n}"] for n in range(600)} == {"DATE"}


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
async def test_given_a_live_job_that_is_not_over_then_its_rows_are_had_as_they_stand(world: World, form: str) -> None:
    await world.arm("http_error", call="generate", code=429, quota_id="RequestsPerDay", after=3, times=None)
    async with world.client() as client:
        source = world.write("a.jsonl", [{**row(f"k{n}", f"Say {n}."), "n": n} for n in range(9)])
        job_id = await start(client, source, lane="live", concurrency=1)
        await stopped(client, job_id)
        page = await call(client, "get_results", job_id=job_id, keys=["k1", "k8"])
        assert [line["key"] for line in page["results"]] == ["k1"]
        assert (await read(client, page["results"][0]["uri"]))["outcome"] == "ok"
        page = await call(client, "get_results", job_id=job_id, output_path="out", format=form)
        assert (page["counts"], page["written"]) == ({"ok": 3, "pending": 6}, 3)
        assert "still runs" in page["notice"]
        assert "no answer yet" in await refused(client, f"batch://jobs/{job_id}/results/k8")
        failed = await call(client, "get_results", job_id=job_id, outcome="not_ok")
        assert failed.get("results", []) == []
    assert [(line["key"], int(line["n"])) for line in read_rows(world.work / "out", form)] == [
        ("k0", 0), ("k1", 1), ("k2", 2)
    ]  # fmt: skip


async def refused(client: Any, uri: str) -> str:
    with pytest.raises(Exception) as error:  # noqa: PT011 - the client's own, of any version
        await client.read_resource(uri)
    return str(error.value)


async def test_given_hostile_and_large_cells_then_a_workbook_holds_them_as_text(world: World) -> None:
    cells = {"f": '=HYPERLINK("http://x","y")', "err": "#REF!", "zip": "00007", "big": 12_345_678_901_234_567,
             "bell": "a\x07b\x1f", "long": "é" * 40_000, "ok": True, "none": None, "nl": "a\nb"}  # fmt: skip
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [{**row("a"), **cells}]))
        await finish(client, job_id)
        page = await call(client, "get_results", job_id=job_id, output_path="out.xlsx")
    sheet = openpyxl.load_workbook(world.work / "out.xlsx").worksheets[0]
    found = {str(name.value): cell for name, cell in zip(sheet[1], sheet[2], strict=True)}
    assert [(found[name].value, found[name].data_type) for name in ("f", "err", "zip", "nl")] == [
        (cells["f"], "s"), ("#REF!", "s"), ("00007", "s"), ("a\nb", "s")
    ]  # fmt: skip
    assert (found["big"].value, found["ok"].value, found["bell"].value) == (
        "12345678901234567", True, "a_x0007_b_x001F_"
    )  # fmt: skip
    assert (len(str(found["long"].value)), "1 texts are longer" in page["notice"]) == (32_767, True)


async def test_given_no_openpyxl_then_the_error_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row("a")]))
        await finish(client, job_id)
        said = await refusal(client, "get_results", job_id=job_id, output_path="a.xlsx")
    assert ("pipx install --force '.[data]'" in said, "csv-excel" in said) == (True, True)
    assert [path.name for path in world.work.iterdir()] == ["a.jsonl"]


def test_given_more_rows_than_a_sheet_holds_then_nothing_is_cut_in_silence(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "lines", {}, {})
    spool.fill([{"key": "a", "outcome": "ok"}])
    spool.rows = workbook.MAX_ROWS
    with pytest.raises(BatchError, match="1,048,575 rows"):
        workbook.write(tmp_path / "a.xlsx", spool, lay_out({}, {}, Choice(), {}))
    assert not (tmp_path / "a.xlsx").exists()


async def test_given_a_full_disk_then_no_half_of_a_workbook_is_left(world: World) -> None:
    async with world.client() as client:
        rows = [{**row(f"k{n}"), "note": random_text(n)} for n in range(120)]
        job_id = await start(client, world.write("a.jsonl", rows), confirm=True)
        await finish(client, job_id)
        await call(client, "get_results", job_id=job_id)
        for form in ("xlsx", "csv-excel"):
            with full_disk():
                said = await refusal(client, "get_results", job_id=job_id, output_path="out", format=form)
            assert "cannot be written" in said
            assert [path.name for path in world.work.iterdir()] == ["a.jsonl"]


def random_text(seed: int) -> str:
    return random.Random(seed).randbytes(4_000).hex()  # noqa: S311 - repeatable, no secret


VALUES = """
SELECT * FROM (VALUES
  (1::BIGINT, DATE '2026-11-20', TIMESTAMP '2026-11-20 00:00:00', TIMESTAMPTZ '2026-11-20 10:00:00+02',
   12345678901234567890.12::DECIMAL(38, 2), 2.50::DECIMAL(9, 2), '\\x00\\xFF'::BLOB, ['a', NULL],
   {'bytes': '\\x89PNG'::BLOB, 'path': 'a.png'}, 'nan'::DOUBLE, INTERVAL '1 month 2 days',
   18446744073709551615::UBIGINT),
  (2, NULL, TIMESTAMP '2026-11-20 09:30:00.25', NULL, NULL, NULL, NULL, NULL, NULL, 0.1, NULL, NULL)
) AS t (id, day, "at", moment, wide, price, content, tags, image, ratio, span, huge)
"""


@pytest.mark.parametrize("key", ["id", "{{ id }}-x", None])
async def test_given_a_typed_table_then_its_columns_come_back_with_names_types_and_values(
    world: World, key: str | None
) -> None:
    duckdb.sql(f"COPY ({VALUES}) TO '{world.work / 't.parquet'}'")
    fields: dict[str, Any] = {"data": "t.parquet", "prompt": "Say {{ id }}.", **({"key": key} if key else {})}
    async with world.client() as client:
        job_id = await start(client, manifest(world, **fields))
        await finish(client, job_id)
        for form in FORMS:
            await call(client, "get_results", job_id=job_id, output_path=f"out.{form}", format=form)
    source = duckdb.read_parquet(str(world.work / "t.parquet"))
    back = duckdb.read_parquet(str(world.work / "out.parquet")).project(listed(source.columns))
    assert back.types == source.types
    assert (source.except_(back).fetchall(), back.except_(source).fetchall()) == ([], [])
    first = read_rows(world.work / "out.jsonl", "jsonl")[0]
    assert [first[name] for name in ("id", "day", "at", "moment", "wide", "price", "tags")] == [
        1, "2026-11-20", "2026-11-20T00:00:00", "2026-11-20T08:00:00+00:00", "12345678901234567890.12", 2.5, ["a", None]
    ]  # fmt: skip
    cells = read_rows(world.work / "out.xlsx", "xlsx")[0]
    assert (cells["day"].isoformat()[:10], cells["at"].isoformat()) == ("2026-11-20", "2026-11-20T00:00:00")


async def test_given_a_typed_table_and_two_stages_then_the_second_has_its_types_too(world: World) -> None:
    duckdb.sql(f"COPY ({VALUES}) TO '{world.work / 't.parquet'}'")
    stages = [{"name": "write", "data": "t.parquet", "key": "id", "prompt": "Say {{ id }}."},
              {"name": "shorten", "from": "write", "prompt": "Shorten {{ text }}"}]  # fmt: skip
    done = run(world, "run", manifest(world, stages=stages), "--output", "out/", "--format", "parquet", "--quiet")
    assert done.returncode == 0, done.stderr
    source = duckdb.read_parquet(str(world.work / "t.parquet"))
    for stage in ("write", "shorten"):
        back = duckdb.read_parquet(str(world.work / "out" / stage / "results.parquet")).project(listed(source.columns))
        assert (back.types, source.except_(back).fetchall()) == (source.types, [])


LITERALS: dict[str, list[str]] = {
    "BOOLEAN": ["true", "false"], "TINYINT": ["-128", "127"], "SMALLINT": ["-32768"], "INTEGER": ["-2147483648", "7"],
    "BIGINT": ["-9223372036854775808", "9223372036854775807"], "UTINYINT": ["255"], "USMALLINT": ["65535"],
    "UINTEGER": ["4294967295"], "UBIGINT": ["18446744073709551615"],
    "HUGEINT": ["170141183460469231731687303715884105727"],
    "FLOAT": ["0.1", "'nan'", "'-inf'", "3.4e38"], "DOUBLE": ["0.1", "'nan'", "'inf'", "-0.0", "5e-324", "1e22"],
    "DECIMAL(4,1)": ["-999.9", "0.5"], "DECIMAL(18,3)": ["123456789012345.678"], "DECIMAL(38,10)": [
        "1234567890123456789012345678.0123456789", "-0.0000000001"],
    "VARCHAR": ["''", "'NULL'", "'é 😀'", "'\"quoted\", ''x'''", "'[1, {a}]'", "'\\x41'", "E'a\\nb\\t'",
                "'00007'", "'=1+1'"],
    "BLOB": ["'\\x00\\xFF'::BLOB", "''::BLOB", "'a\\x5Cb'::BLOB"],
    "DATE": ["'2026-11-20'", "'0044-03-15 (BC)'", "'infinity'", "'9999-12-31'"],
    "TIME": ["'00:00:00'", "'23:59:59.999999'"],
    "TIMESTAMP": ["'2026-11-20'", "'1900-01-01 00:00:00.000001'", "'-infinity'"],
    "TIMESTAMP_S": ["'2026-11-20 09:30:00'"], "TIMESTAMP_MS": ["'2026-11-20 09:30:00.123'"],
    "TIMESTAMP_NS": ["'2026-11-20 09:30:00.123456789'"],
    "TIMESTAMPTZ": ["'2026-11-20 10:00:00+02'", "'2026-11-20 10:00:00.5-05:30'"],
    "INTERVAL": ["'1 month 2 days 3 hours'"], "UUID": ["'00000000-0000-0000-0000-0000000000ff'"],
    "BIT": ["'0101'"], "JSON": ["'{\"a\": [1, null]}'", "'\"text\"'"],
    "ENUM('a', 'b c')": ["'b c'"], "TIMETZ": ["'10:00:00+02'"], "TIME_NS": ["'10:00:00.123456789'"],
    "UNION(num INTEGER, word VARCHAR)": ["union_value(num := 2)"], "GEOMETRY": ["'POINT (1 2.5)'"],
}  # fmt: skip
"""A pool of values for each scalar type that DuckDB writes to Parquet."""
KEYS = [("VARCHAR", "'a b'", "''"), ("INTEGER", "-1", "2"), ("DATE", "DATE '2026-11-20'", "DATE '2026-11-21'"),
        ("DECIMAL(9,2)", "1.50::DECIMAL(9,2)", "2::DECIMAL(9,2)")]  # fmt: skip
"""Types of the keys of a map, each with two."""
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from(["Product Name", "品名", "select", "key", "text", "=1+1", 'a"b', "a.b", "usage", "source", "f0"]),
)  # fmt: skip


@st.composite
def typed(draw: st.DrawFn, depth: int = 2) -> tuple[str, str, str]:
    """A type, and two values of it."""
    shape = draw(st.sampled_from(["scalar"] * 4 + ["list", "struct", "map"] * (depth > 0)))
    if shape == "scalar":
        kind = draw(st.sampled_from(sorted(LITERALS)))
        values = [f"CAST({draw(st.sampled_from([*LITERALS[kind], 'NULL']))} AS {kind})" for _ in range(2)]
        return kind, values[0], values[1]
    kind, first, second = draw(typed(depth=depth - 1))
    if shape == "list":
        return f"{kind}[]", f"[{first}, {second}]", f"CAST([] AS {kind}[])"
    if shape == "map":
        name, one, other = draw(st.sampled_from(KEYS))
        return f"MAP({name}, {kind})", f"MAP {{{one}: {first}, {other}: {second}}}", "NULL"
    other, third, _ = draw(typed(depth=depth - 1))
    return f'STRUCT("x y" {kind}, "select" {other})', f"{{'x y': {first}, 'select': {third}}}", "NULL"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(typed(), min_size=1, max_size=4))
def test_any_types_go_from_parquet_through_json_to_parquet(
    tmp_path_factory: pytest.TempPathFactory, columns: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    names = [f"c {number}" for number in range(len(columns))]
    selected = [
        ", ".join(f'{each[place]} AS "{name}"' for each, name in zip(columns, names, strict=True)) for place in (1, 2)
    ]
    duckdb.sql(f"COPY (SELECT {selected[0]} UNION ALL SELECT {selected[1]}) TO '{folder / 'a.parquet'}'")
    through_json(folder, names)
    first, second = (duckdb.read_parquet(str(folder / f"{name}.parquet")).project(listed(names)) for name in "ab")
    assert second.types == first.types
    assert second.project("COLUMNS(*)::VARCHAR").fetchall() == first.project("COLUMNS(*)::VARCHAR").fetchall()


def listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def through_json(folder: Path, names: list[str]) -> None:
    """Write what an export writes of a table: by way of the lines that stand beside the requests."""
    table = column_types.of_table(folder / "a.parquet")
    plain = duckdb.read_parquet(str(folder / "a.parquet")).fetchall()  # of columns that JSON holds as they are
    path = folder / extras.NAME
    with path.open("wb") as file:
        file.write(extras.header(table.types))
        for number, cells in enumerate(plain):
            exact = next(table.rows, dict[str, Any]())
            line = {name: exact.get(name, cell) for name, cell in zip(names, cells, strict=True)}
            file.write(json.dumps({"key": f"k{number}", **line}).encode() + b"\n")
    rows = list(extras.rows(path))
    users = user_types({name: value for name, value in line.items() if name != "key"} for line in rows)
    spool = Spool(folder / "lines", users, {}, tagged=True)
    spool.fill({**line, "outcome": "ok"} for line in rows)
    said = parquet.write(folder / "b.parquet", spool, lay_out(users, {}, Choice(), extras.types(path)))
    assert said is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NAMES, min_size=1, max_size=8, unique=True))
def test_any_names_of_columns_come_back_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    apart = extras.named_apart(names, is_taken)
    fields = {apart.get(name, name): f"value {number}" for number, name in enumerate(names) if name != "key"}
    assert len(fields) == len(set(names) - {"key"})
    users = user_types([fields])
    details = Details(lambda: names_taken(users), members=True)
    answer = details.of({}, json.dumps({name: f"answer {number}" for number, name in enumerate(names)}), [])
    spool = Spool(folder / "lines", users, details.types, tagged=True)
    spool.fill([{"key": "k", **fields, **answer, "outcome": "ok"}])
    columns = lay_out(users, details.types, Choice(), {})
    assert len({column.name.lower() for column in columns}) == len(columns)
    tables.comma_separated(folder / "a.csv", spool, columns)
    tables.database(folder / "a.sqlite", spool, columns)
    parquet.write(folder / "a.parquet", spool, columns)
    workbook.write(folder / "a.xlsx", spool, columns)
    wanted = {column.name: value for column in columns if (value := {**fields, **answer}.get(column.field))}
    assert len(wanted) == len(fields) + len(answer)
    for form in ("sqlite", "parquet"):
        line = read_rows(folder / f"a.{form}", form)[0]
        assert {name: value for name, value in line.items() if str(value).startswith(("value", "answer"))} == wanted
    for form in ("csv", "xlsx"):
        assert set(wanted.values()) <= set(read_rows(folder / f"a.{form}", form)[0].values())
