"""Every form of an export holds the same rows, is written whole or not at all, and puts nothing outside its place."""

import csv
import json
import random
import resource
import sqlite3
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from mcp import Client
from PIL import Image

from genai_batch.resources.exports import Choice, parquet
from genai_batch.resources.exports.columns import lay_out
from genai_batch.resources.exports.spool import Spool
from genai_batch.resources.exports.tables import FORMULA
from genai_batch.server.settings import open_workspace
from genai_batch.tools.get_results import get_results
from tests.world import World, an_adopted_job, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
IMAGES = "gemini-nano-banana-2.1"
FORMATS = ("jsonl", "csv", "parquet", "sqlite")
HOSTILE = '=HYPERLINK("http://x","y")'
ROWS = [
    {**row("plain", 'First.\nSecond, "third".'), "score": 3, "ratio": 0.5, "done": True, "tags": ["a", "b"]},
    {**row("КЛЮЧ / ../1", "é 😀"), "score": -4, "ratio": 2, "Text": "the user's own", "note": HOSTILE},
    {**row("cut"), "note": "'=1", "score": None},
    row("bad"),
]  # fmt: skip


async def finished(client: Client, world: World, rows: list[dict[str, Any]], **more: Any) -> str:
    job_id = await start(client, world.write("source.jsonl", rows), **more)
    await finish(client, job_id)
    return job_id


async def export(client: Client, job_id: str, path: str, **more: Any) -> dict[str, Any]:
    return await call(client, "get_results", job_id=job_id, output_path=path, **more)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {name: text[1:] if FORMULA.match(text[1:]) and text[0] == "'" else text for name, text in line.items()}
        for line in rows
    ]


def read_sqlite(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(line) for line in db.execute("SELECT * FROM results")]


def read_parquet(path: Path) -> list[dict[str, Any]]:
    with closing(duckdb.connect()) as db:
        found = db.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [name for name, *_ in found.description or []]
        return [dict(zip(names, line, strict=True)) for line in found.fetchall()]


READ: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "jsonl": read_jsonl, "csv": read_csv, "sqlite": read_sqlite, "parquet": read_parquet
}  # fmt: skip


def told(value: Any) -> Any:
    """A value as any of the formats can tell it."""
    if value is None or value == "":
        return None
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = {"True": "1", "true": "1"}.get(str(value), str(value))
    return float(text) if text.strip("-").replace(".", "").isdecimal() else text


@contextmanager
def full_disk() -> Generator[None]:
    """No file can grow beyond 100 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_every_format_holds_the_same_rows_in_the_order_of_the_requests(world: World) -> None:
    await world.arm("row", match={"key": "cut"}, outcome="max_tokens")
    await world.arm("row", match={"key": "bad"}, outcome="error", message=HOSTILE)
    await world.arm("shuffle")
    async with world.client() as client:
        job_id = await finished(client, world, ROWS)
        for form in FORMATS:
            assert (await export(client, job_id, f"out.{form}"))["written"] == 4
    whole = read_jsonl(world.work / "out.jsonl")
    assert [line["key"] for line in whole] == [line["key"] for line in ROWS]
    assert [line["outcome"] for line in whole] == ["ok", "ok", "truncated", "error"]
    assert (whole[1]["source_Text"], whole[0]["tags"], whole[2]["note"]) == ("the user's own", ["a", "b"], "'=1")
    assert whole[3]["error"]["message"] == HOSTILE
    for line in whole:
        line |= line.pop("usage", {})
    for form in ("csv", "parquet", "sqlite"):
        found = READ[form](world.work / f"out.{form}")
        assert [{name: told(value) for name, value in line.items() if told(value)} for line in found] == [
            {name: told(value) for name, value in line.items() if told(value)} for line in whole
        ], form


async def test_columns_have_types_and_a_key_is_found_at_once(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, ROWS)
        await export(client, job_id, "a.parquet")
        await export(client, job_id, "b", format="sqlite")
    first = read_parquet(world.work / "a.parquet")[0]
    names = ("score", "ratio", "done", "tags", "input_tokens", "cost_usd", "attempt")
    assert [type(first[name]) for name in names] == [int, float, bool, str, int, float, int]
    with closing(sqlite3.connect(world.work / "b")) as db:
        plan = db.execute("EXPLAIN QUERY PLAN SELECT * FROM results WHERE key = 'cut'").fetchone()[3]
        assert "results_by_key" in plan
        assert db.execute("SELECT typeof(score), typeof(cost_usd) FROM results").fetchone() == ("integer", "real")


async def test_a_spreadsheet_finds_no_formula_in_a_csv_file(world: World) -> None:
    signs = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\uff1d1", "'=1", "fine", "1-1"]
    async with world.client() as client:
        job_id = await finished(client, world, [{**row(f"k{n}"), sign: sign} for n, sign in enumerate(signs)])
        await export(client, job_id, "a.csv")
    with (world.work / "a.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell.lstrip("\t\r\n")[:1] in tuple("=+-@\uff1d")]
    assert {"'=1+1", "''=1", "fine", "1-1"} <= set(cells)


async def test_a_row_can_carry_the_request_it_answers(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, ROWS)
        await export(client, job_id, "a.jsonl", with_requests=True, outcome="ok")
        await export(client, job_id, "a.csv", with_requests=True)
    assert [line["request"] for line in read_jsonl(world.work / "a.jsonl")] == [line["request"] for line in ROWS]
    assert json.loads(read_csv(world.work / "a.csv")[1]["request"]) == ROWS[1]["request"]


async def test_fields_whose_names_a_database_takes_for_one_keep_columns_of_their_own(world: World) -> None:
    rows = [{**row("a"), "price": 1, "Price": 2, "KEY": "k", 'x"y': "z", "": "empty", "price_2": 3}]
    async with world.client() as client:
        job_id = await finished(client, world, rows)
        for form in ("csv", "parquet", "sqlite"):
            await export(client, job_id, f"a.{form}")
            found = READ[form](world.work / f"a.{form}")[0]
            names = ("price", "Price_2", "source_KEY", 'x"y', "_", "price_2_2")
            assert [str(found[name]) for name in names] == ["1", "2", "k", "z", "empty", "3"], form


async def test_more_fields_than_a_table_has_columns_go_into_one(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(
            client, world, [{**row(f"r{n}"), **{f"f{n}-{i}": i for i in range(300)}} for n in range(9)]
        )
        await export(client, job_id, "a.sqlite")
    found = read_sqlite(world.work / "a.sqlite")
    assert json.loads(found[8]["source"])["f8-299"] == 299


async def test_without_duckdb_the_error_says_what_to_install(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    async with world.client() as client:
        job_id = await finished(client, world, ROWS[:1])
        said = await refusal(client, "get_results", job_id=job_id, output_path="a.parquet")
    assert "pipx install --force '.[data]'" in said
    assert [path.name for path in world.work.iterdir()] == ["source.jsonl"]


@pytest.mark.parametrize("form", FORMATS)
async def test_an_export_of_a_job_whose_rows_were_cut_says_what_is_lost(world: World, form: str) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, [row(f"k{n}") for n in range(50)])
        await call(client, "get_results", job_id=job_id)
        rows = world.home / "jobs" / job_id / "results.jsonl"
        rows.write_bytes(rows.read_bytes()[:-2000])
        page = await call(client, "get_results", job_id=job_id, output_path=f"a.{form}")
    assert "was cut" in page["notice"]
    assert page["counts"]["missing"] == 50 - page["counts"]["ok"] > 0
    assert page["written"] == 50


async def test_a_full_disk_is_told_and_harms_neither_file_nor_index(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(
            client, world, [{**row(f"k{n}"), "note": str(n) * 2_000} for n in range(200)], confirm=True
        )
        await call(client, "get_results", job_id=job_id)
        index = world.home / "jobs" / job_id / "results.db"
        before = index.stat().st_ino
        for form in FORMATS:
            with full_disk():
                assert "cannot be written" in await refusal(
                    client, "get_results", job_id=job_id, output_path=f"a.{form}"
                )
            assert [path.name for path in world.work.iterdir()] == ["source.jsonl"]
    assert index.stat().st_ino == before


async def test_a_folder_gets_a_file_for_each_row_named_by_its_output_or_its_key(world: World) -> None:
    rows = [
        {**row("photo-1", "Draw."), "output": "shoes/red.jpg"},
        {**row("photo-2", "Draw.")},
        {**row("Фото", "Draw."), "output": "shoes/blue"},
    ]
    async with world.client() as client:
        job_id = await finished(client, world, rows, model=IMAGES)
        told = await export(client, job_id, "out/")
        again = await refusal(client, "get_results", job_id=job_id, output_path="out/")
    assert (told["output_path"], told["written"]) == (str(world.work / "out" / "results.jsonl"), 3)
    assert "results.jsonl exists" in again
    table = read_jsonl(world.work / "out" / "results.jsonl")
    assert [line["media"][0]["path"] for line in table] == ["shoes/red.png", "photo-2.png", "shoes/blue.png"]
    for line in table:
        with Image.open(world.work / "out" / line["media"][0]["path"]) as shown:
            assert shown.size == (32, 32)
    assert len([path for path in (world.work / "out").rglob("*") if path.is_file()]) == 4


async def test_texts_become_files_too_and_the_table_any_format(world: World) -> None:
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]}
    rows = [
        {**row("energy"), "output": "posts/energy.md"},
        row("space"),
        row("facts", response_mime_type="application/json", response_schema=schema),
    ]
    async with world.client() as client:
        job_id = await finished(client, world, rows)
        (world.work / "out").mkdir()
        await export(client, job_id, "out", format="csv")
    table = read_csv(world.work / "out" / "results.csv")
    assert [line["path"] for line in table] == ["posts/energy.md", "space.txt", "facts.json"]
    assert [(world.work / "out" / line["path"]).read_text() for line in table] == [line["text"] for line in table]


async def test_an_output_that_leaves_the_folder_or_is_taken_is_named_and_not_used(world: World) -> None:
    (world.work / "out").mkdir()
    (world.work / "out" / "link").symlink_to(world.home)
    outputs: dict[str, Any] = {
        "a": "../a.txt", "b": "/etc/b.txt", "c": "link/c.txt", "d": "nul", "e": "one.txt", "f": "ONE.TXT",
        "g": "one.txt/g", "h": "results.jsonl", "i": ["x"],
    }  # fmt: skip
    async with world.client() as client:
        job_id = await finished(client, world, [{**row(key), "output": output} for key, output in outputs.items()])
        told = await export(client, job_id, "out/")
    files = {str(path.relative_to(world.work / "out")) for path in (world.work / "out").rglob("*")}
    assert files == {"link", "results.jsonl", "one.txt", *(f"{key}.txt" for key in "abcdfghi")}
    assert "8 outputs were not used" in told["notice"]
    assert "output '../a.txt' of 'a': it leaves the folder" in told["notice"]
    assert {path.name for path in world.work.iterdir()} == {"source.jsonl", "out"}
    assert not list(world.home.glob("c*"))


async def test_a_file_of_somebody_else_is_not_replaced_and_one_of_ours_not_written_twice(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, [row("a"), row("b")])
        (world.work / "out").mkdir()
        (world.work / "out" / "b.txt").write_text("mine")
        assert "b.txt exists with other content" in await refusal(
            client, "get_results", job_id=job_id, output_path="out/"
        )
        assert (world.work / "out" / "b.txt").read_text() == "mine"
        assert not (world.work / "out" / "results.jsonl").exists()
        (world.work / "out" / "b.txt").unlink()
        written = (world.work / "out" / "a.txt").stat()
        await export(client, job_id, "out/")
    assert (world.work / "out" / "a.txt").stat().st_mtime_ns == written.st_mtime_ns


async def test_a_person_may_write_a_folder_again_and_no_file_of_theirs_is_replaced(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, [row("notes")])
    person, notes = world.settings(roots=None), world.work / "notes.txt"
    async with open_workspace(person, lambda: world.time) as workspace:
        await get_results(job_id, workspace, output_path=f"{world.work}/out/")
        await get_results(job_id, workspace, output_path=f"{world.work}/out/")
        notes.write_text("mine")
        await get_results(job_id, workspace, output_path=str(world.work))
    assert notes.read_text() == "mine"
    assert "[emulator]" in (world.work / "notes.new.txt").read_text()
    assert "[emulator]" in (world.work / "out" / "notes.txt").read_text()


async def test_an_export_while_rows_are_sent_again_says_so(world: World) -> None:
    await world.arm("row", match={"key": "bad"}, outcome="error")
    async with world.client() as client:
        job_id = await finished(client, world, ROWS)
        await world.admin("POST", "/clock", {"freeze": True})
        await world.set(queue_s=1000)
        await call(client, "resume_job", job_id=job_id, rows="failed")
        told = await export(client, job_id, "a.jsonl")
    assert told["written"] == 4
    assert "Rows are being sent again" in told["notice"]


async def test_what_is_neither_words_nor_media_is_exported_whole(world: World) -> None:
    called = {"functionCall": {"name": "f", "args": {"x": 1}}}
    parts = {"plain": [{"text": "hi"}], "called": [{"text": "calling"}, called]}
    rows = [
        {"key": key, "response": {"candidates": [{"content": {"parts": held}, "finishReason": "STOP"}]}}
        for key, held in parts.items()
    ]
    job_id = an_adopted_job(world, rows)
    async with world.client() as client:
        await export(client, job_id, "a.jsonl")
    found = {line["key"]: line for line in read_jsonl(world.work / "a.jsonl")}
    assert "response" not in found["plain"]
    assert found["called"]["response"]["response"]["candidates"][0]["content"]["parts"][1] == called


async def test_an_embedding_is_exported_whole(world: World) -> None:
    rows = [{"key": "e", "request": {"content": {"parts": [{"text": "text"}]}, "output_dimensionality": 8}}]
    async with world.client() as client:
        job_id = await finished(client, world, rows, model="gemini-embedding-2")
        await export(client, job_id, "a.jsonl")
        await export(client, job_id, "a.parquet")
    whole = read_jsonl(world.work / "a.jsonl")[0]["response"]
    assert len(whole["response"]["embedding"]["values"]) == 8
    assert json.loads(read_parquet(world.work / "a.parquet")[0]["response"]) == whole


async def test_the_media_of_an_export_are_files_that_its_rows_name(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, [row(f"k{n}", "Draw.") for n in range(3)], model=IMAGES)
        await export(client, job_id, "a.jsonl")
    for line in read_jsonl(world.work / "a.jsonl"):
        with Image.open(line["media"][0]["path"]) as shown:
            shown.load()


def test_parquet_has_groups_of_some_megabytes_in_the_order_of_the_requests(tmp_path: Path) -> None:
    dice = random.Random(0)  # noqa: S311 - repeatable, no secret
    rows = ({"key": f"k{n}", "text": dice.randbytes(20_000).hex(), "outcome": "ok"} for n in range(1_000))
    spool = Spool(tmp_path / "lines", {}, {}, tagged=True)
    spool.fill(rows)
    assert parquet.write(tmp_path / "a.parquet", spool, lay_out({}, {}, Choice(), {})) is None
    assert spool.rows == 1_000
    with closing(duckdb.connect()) as db:
        source = [str(tmp_path / "a.parquet")]
        groups = db.execute("SELECT count(DISTINCT row_group_id) FROM parquet_metadata(?)", source).fetchall()[0][0]
        keys = db.execute("SELECT key FROM read_parquet(?, file_row_number = true) ORDER BY file_row_number", source)
        assert keys.fetchall() == [(f"k{n}",) for n in range(1_000)]
    assert groups >= 3


async def test_a_row_whose_name_is_taken_has_the_same_other_name_each_time(world: World) -> None:
    async with world.client() as client:
        job_id = await finished(client, world, [{**row("a"), "output": "b.txt"}, row("b")])
        seen = list[set[str]]()
        for _ in range(2):
            await export(client, job_id, "all/")
            (world.work / "all" / "results.jsonl").unlink()
            seen.append({path.name for path in (world.work / "all").iterdir()})
    assert seen[0] == seen[1]
