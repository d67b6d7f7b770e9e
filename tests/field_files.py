"""Files as people bring them, made for a test: spreadsheets, Parquet, PDF."""

import re
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import duckdb
import openpyxl

from tests.built import picture

Rows = Sequence[Sequence[Any]]


def sheet(
    rows: Rows,
    merged: tuple[str, ...] = (),
    edit: Callable[[bytes], bytes] = lambda xml: xml,
    more: tuple[str, ...] = (),
) -> bytes:
    """An Excel file with these rows and merged ranges; `edit` changes the XML of its sheet, `more` names other ones."""
    book = openpyxl.Workbook()
    page: Any = book.worksheets[0]
    for row in rows:
        page.append(row)
    for title in more:
        book.create_sheet(title)
    for cells in merged:
        page.merge_cells(cells)
    plain, edited = BytesIO(), BytesIO()
    book.save(plain)
    with ZipFile(plain) as packed, ZipFile(edited, "w") as target:
        for name in packed.namelist():
            content = packed.read(name)
            target.writestr(name, edit(content) if name.startswith("xl/worksheets/") else content)
    return edited.getvalue()


def sized(dimension: str) -> Callable[[bytes], bytes]:
    """Have a sheet say that it is so large."""
    return lambda xml: re.sub(rb'<dimension ref="[^"]*"', f'<dimension ref="{dimension}"'.encode(), xml)


def number_as_error(number: int, error: str) -> Callable[[bytes], bytes]:
    """Have the cell that holds a number hold an error."""
    pattern = rb'(<c r="[A-Z]+\d+") t="n"><v>%d</v></c>' % number
    return lambda xml: re.sub(pattern, rb'\1 t="e"><v>' + error.encode() + rb"</v></c>", xml)


def parquet(query: str, *values: Any) -> bytes:
    """A Parquet file of what a query yields."""
    with TemporaryDirectory() as folder, duckdb.connect() as db:
        path = Path(folder) / "a.parquet"
        db.execute(f"CREATE TABLE t AS {query}", list(values))
        db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
        return path.read_bytes()


PNG, JPEG = picture(), picture("blue", "JPEG")
HOSTED = parquet("SELECT 1 AS id, {'bytes': ?::BLOB, 'path': 'a.png'} AS image, 'red' AS label", PNG)
"""A picture as the hubs of data sets keep it."""
LISTED = parquet(
    "SELECT 1 AS id, [{'bytes': ?::BLOB, 'path': 'a'}, {'bytes': ?::BLOB, 'path': 'b'}] AS pages", PNG, JPEG
)
BARE = parquet("SELECT 1 AS id, ?::BLOB AS scan", JPEG)
TIMES = parquet(
    "SELECT 'a' AS id, TIMESTAMPTZ '2026-01-02 03:04:05.5+09' AS seen, [TIMESTAMPTZ '2026-01-02 00:00:00+00'] AS many, "
    "TIME '03:04:05' AS clock"
)
ODD = parquet(
    "SELECT 'a' AS id, INTERVAL 3 DAYS AS gap, '101'::BIT AS bits, "
    "TIMESTAMP_NS '2026-01-02 03:04:05.123456789' AS fine, "
    "MAP {'k': 1} AS map, 12345678901234567890.123::DECIMAL(30, 3) AS large"
)


def pdf(trailer: str = "") -> bytes:
    """The least that begins and ends like a PDF."""
    text = (
        f"%PDF-1.7\n1 0 obj\n<<>>\nendobj\nxref\n0 1\ntrailer\n<< /Size 2 /Root 1 0 R {trailer}>>\nstartxref\n30\n%%EOF"
    )
    return text.encode()


AVIF = b"\0\0\0\x1cftypavif\0\0\0\0" + b"\0" * 64
