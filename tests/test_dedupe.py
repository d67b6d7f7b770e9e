"""Equal requests: an estimate counts them, and `dedupe` sends each once while every row gets its answer."""

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest

from tests.world import MODEL, World, call, finish, request, start

pytestmark = pytest.mark.anyio
ROWS, DISTINCT = 200, 150
LANES = ("batch", "live", "flex")


def rows_of(count: int = ROWS, distinct: int = DISTINCT) -> list[dict[str, Any]]:
    """Rows of which every one behind the first `distinct` is equal to an earlier one; members change their order."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        asked = request(f"Say {number % distinct}.", max_output_tokens=100, temperature=1)
        if number >= distinct:
            asked = {"generation_config": {"temperature": 1.0, "max_output_tokens": 100}, **asked}
            asked["generation_config"] = {"temperature": 1.0, "max_output_tokens": 100}
        rows.append({"key": f"k{number:03}", "request": asked, "shelf": number, "kind": f"K{number % 7}"})
    return rows


def manifest(world: World, rows: list[dict[str, Any]], **fields: Any) -> str:
    """The same rows as items of a manifest that sends equal requests once."""
    items = [
        {"id": each["key"], "request": each["request"], "shelf": each["shelf"], "kind": each["kind"]} for each in rows
    ]
    value = {"model": MODEL, "dedupe": True, **fields, "items": items}
    return world.write("rows.json", json.dumps(value))


def number_in(text: str) -> int:
    return int(text.partition("Say ")[2].partition(".")[0])


async def asked_for(world: World, lane: str) -> list[str]:
    """The prompts that the emulator was asked for."""
    if lane != "batch":
        return [call["path"] for call in await world.calls("generateContent")]
    return [""] * sum(batch["requests"] for batch in await world.bill())


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_sqlite(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(each) for each in db.execute("SELECT * FROM results")]


def read_parquet(path: Path) -> list[dict[str, Any]]:
    with closing(duckdb.connect()) as db:
        found = db.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, values, strict=True)) for values in found.fetchall()]


def read_workbook(path: Path) -> list[dict[str, Any]]:
    book = openpyxl.load_workbook(path, read_only=True)
    names, *rows = book.worksheets[0].iter_rows(values_only=True)
    return [dict(zip(map(str, names), each, strict=False)) for each in rows]


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "jsonl": read_lines,
    "csv": read_csv,
    "sqlite": read_sqlite,
    "parquet": read_parquet,
    "xlsx": read_workbook,
}


@pytest.mark.parametrize("lane", LANES)
async def test_equal_requests_are_sent_and_paid_once_and_every_row_gets_its_answer(world: World, lane: str) -> None:
    rows = rows_of()
    async with world.client() as client:
        job_id = await start(client, manifest(world, rows, lane=lane))
        status = await finish(client, job_id)
        for form, reader in READERS.items():
            path = f"out.{form}"
            written = await call(client, "get_results", job_id=job_id, output_path=path)
            table = reader(world.work / path)
            assert (written["written"], len(table)) == (ROWS, ROWS), form
            assert [each["key"] for each in table] == [each["key"] for each in rows], form
            assert [int(each["shelf"]) for each in table] == list(range(ROWS)), form
            assert [each["kind"] for each in table] == [each["kind"] for each in rows], form
            assert [number_in(each["text"]) for each in table] == [n % DISTINCT for n in range(ROWS)], form
            paid = sum(float(each["cost_usd"]) for each in table)
            assert paid == pytest.approx(status["cost_usd"]["actual"], rel=1e-9), form
            assert all(float(each["cost_usd"]) == 0 for each in table[DISTINCT:]), form
    assert (status["requests"], status["rows"], status["counts"]) == (DISTINCT, ROWS, {"ok": DISTINCT})
    assert "150 requests for 200 rows" in status["notice"]
    assert len(await asked_for(world, lane)) == DISTINCT
