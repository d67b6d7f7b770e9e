"""Tables as people have them: from spreadsheets and databases, with everything that stands in cells."""

import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import duckdb
import openpyxl
import pytest

from genai_batch.resources.preflight.findings import Findings
from genai_batch.resources.sources.tables import rows
from genai_batch.server.settings import open_workspace
from genai_batch.tools.starting import drafted, preflight
from tests.built import built, prompts
from tests.world import MODEL, World, call, refusal

pytestmark = pytest.mark.anyio


def read(path: Path, found: Findings | None = None) -> list[dict[str, Any]]:
    """The cells of a table."""
    return [row.columns for row in rows(path, found=found)]


async def test_a_cell_may_hold_newlines_quotes_commas_and_braces(world: World) -> None:
    world.write("p.csv", 'id,what\r\n1,"two\nlines, and ""quotes"""\r\n2,{{ id }}\r\n\r\n3,é\r\n')
    async with world.client() as client:
        made = await built(client, world, data="p.csv", prompt="Say: {{ what }}", model=MODEL)
    assert prompts(made) == {"1": 'Say: two\nlines, and "quotes"', "2": "Say: {{ id }}", "3": "Say: é"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id;größe\n007;1,5\n".encode("utf-8-sig")),
        ("a.csv", 'id,größe\n007,"1,5"\n'.encode("utf-16")),
        ("a.tsv", "id\tgröße\n007\t1,5\n".encode()),
        ("a.csv", "sep=|\nid|größe\n007|1,5\n".encode()),
        ("a.csv", "id;größe\r007;1,5\r".encode()),
        ("a.jsonl", '\ufeff{"id": "007", "größe": "1,5"}\n\n'.encode()),
        ("a.json", ' [ {"id": "007", "größe": "1,5"} ] '.encode()),
    ],
)  # fmt: skip
def test_encodings_separators_and_ends_of_lines_are_told_apart(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name) == [{"id": "007", "größe": "1,5"}]


def test_excel_gives_dates_whole_numbers_and_what_formulas_came_to(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["id", "day", "at", "price", "count", "sum", "empty"])
    at = datetime(2026, 11, 20, 9, 30)  # noqa: DTZ001 - a cell has no time zone
    sheet.append(["a", date(2026, 11, 20), at, 9.5, 3.0, "=1+2", None])
    sheet.append([None] * 7)
    sheet.append(["b", None, None, 1, 2, 3, "x"])
    book.save(tmp_path / "plain.xlsx")
    with ZipFile(tmp_path / "plain.xlsx") as plain, ZipFile(tmp_path / "a.xlsx", "w") as saved:
        for name in plain.namelist():  # as Excel saves it, with what the formula came to
            saved.writestr(name, re.sub(rb"(<f>1\+2</f>)<v ?/?>(</v>)?", rb"\1<v>3</v>", plain.read(name)))
    told = Findings()
    assert [list(cells.values()) for cells in read(tmp_path / "a.xlsx", told)] == [
        ["a", "2026-11-20", "2026-11-20T09:30:00", 9.5, 3, 3, None],
        ["b", None, None, 1, 2, 3, "x"],
    ]
    assert told.warnings == []


async def test_formulas_that_were_never_computed_are_counted_and_the_first_is_named(world: World) -> None:
    book = openpyxl.Workbook()
    for cells in (["id", "n", "sum"], ["a", 1, "=B2+1"], ["b", "=1+1", 4], ["c", 3, None]):
        book.worksheets[0].append(cells)
    book.save(world.work / "t.xlsx")
    async with world.client() as client:
        given = {"data": "t.xlsx", "prompt": "{{ n }} {{ sum }}", "model": MODEL}
        told = await call(client, "build_requests", output_path="a.jsonl", **given)
    said = [each["problem"] for each in told["warnings"] if "formulas" in each["problem"]]
    assert said == ["t.xlsx: 2 formulas have no value, the first in column 'sum'; they are empty here"]


def test_parquet_keeps_types_that_json_has(tmp_path: Path) -> None:
    made = "SELECT 1::BIGINT n, DATE '2026-11-20' AS day, 2.50::DECIMAL(9,2) price, 'NaN'::DOUBLE nan, ['a'] tags"
    duckdb.sql(f"COPY ({made}) TO '{tmp_path / 'a.parquet'}'")
    assert read(tmp_path / "a.parquet") == [{"n": 1, "day": "2026-11-20", "price": 2.5, "nan": None, "tags": ["a"]}]


def test_a_large_array_streams(tmp_path: Path) -> None:
    made = [{"id": n, "text": "x" * (n % 3_000)} for n in range(3_000)]
    (tmp_path / "a.json").write_text(json.dumps(made, indent=1))
    assert read(tmp_path / "a.json") == made


WRONG = {
    "a cell too many": ("a.csv", "id,b\n1,2\n1,2,3\n", "row 2: has 3 cells, the first line 2"),
    "an open quote": ("a.csv", 'id,b\n1,2\n2,"open\n', "after row 1: unexpected end of data"),
    "a name twice": ("a.csv", "id,id\n1,2\n", "two columns are named 'id'"),
    "no names": ("a.csv", "", "no first line with the names"),
    "latin-1": ("a.csv", b"id,b\n1,caf\xe9\n", "is not UTF-8"),
    "a key twice": ("a.csv", "id\n1\n2\n1\n", "row 3: repeats the key of row 1"),
    "an empty key": ("a.csv", "key,b\n,1\n", "row-000001"),
    "half an array": ("a.json", '[{"id": 1}, {"id"', "after element 1"),
    "no objects": ("a.jsonl", '{"id": 1}\n[2]\n', "row 2: is a list, not an object"),
    "no workbook": ("a.xlsx", "PK nothing", "is no Excel file"),
    "no parquet": ("a.parquet", "nothing", "is no Parquet file"),
    "another kind": ("a.docx", "x", "is no table that can be read (.docx)"),
}


@pytest.mark.parametrize("case", [case for case in WRONG if case != "an empty key"])
async def test_what_is_wrong_with_a_table_is_named_with_its_row(world: World, case: str) -> None:
    name, content, said = WRONG[case]
    world.write(name, content)
    async with world.client() as client:
        answer = await refusal(client, "build_requests", output_path="out.jsonl", data=name, prompt="{{ id }}")
    assert said in answer
    assert not (world.work / "out.jsonl").exists()


async def test_columns_come_back_beside_the_answer_and_none_is_taken_for_a_part_of_the_request(world: World) -> None:
    world.write("a.csv", "name,tools,request,seed\nMug,hammer,none,5\n")
    async with world.client() as client:
        row = (await built(client, world, data="a.csv", prompt="{{ tools }}", model=MODEL))[0]
    assert row["key"] == "row-000001"
    assert {name: row[name] for name in row if name not in ("key", "request")} == {
        "name": "Mug", "source_tools": "hammer", "source_seed": "5", "source_request": "none",
    }  # fmt: skip


async def test_lines_to_be_sent_hold_nothing_beside_the_request_so_that_all_are_read_as_one(world: World) -> None:
    world.write("p.csv", "id,what\n1,a\n2,b\n")
    world.write("p.yaml", f"model: {MODEL}\ndata: p.csv\nprompt: '{{{{ what }}}}'\noutput: '{{{{ id }}}}.md'\n")
    async with open_workspace(world.settings()) as workspace, preflight(workspace, "p.yaml", None) as found:
        lines = [json.loads(line) for line in found.source.read_text().splitlines()]
        assert [line.keys() for line in lines] == [{"key", "request"}] * 2
        async with drafted(workspace, found, "p") as draft:
            beside = [json.loads(line) for line in (draft.folder / "extras.jsonl").read_text().splitlines()]
    assert beside == [
        {"key": "1", "output": "1.md", "id": "1", "what": "a"},
        {"key": "2", "output": "2.md", "id": "2", "what": "b"},
    ]
