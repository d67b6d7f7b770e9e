"""What people bring is read as they mean it: given a file, then these requests, warnings or problems."""

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_batch.resources.lint.repair import foreign
from genai_batch.resources.sources.templates import Templates
from tests.built import built, prompts, put
from tests.field_files import (
    AVIF,
    BARE,
    HOSTED,
    JPEG,
    LISTED,
    ODD,
    PNG,
    TIMES,
    number_as_error,
    parquet,
    pdf,
    sheet,
    sized,
)
from tests.world import MODEL, World, call, refusal, request, row

pytestmark = pytest.mark.anyio
TTS = "gemini-3.8-flash-tts"
VECTOR = "gemini-embedding-2"


class Given(NamedTuple):
    """A file, how it is asked about, and what then is right: the words of each request, or what is said."""

    name: str
    content: bytes | str
    ask: dict[str, Any]
    then: dict[str, str] | str
    warns: str = ""
    more: dict[str, bytes | str] = {}


LIST = [["id", "name"], [1, "Mug"], [2, "Cup"]]
SPREADSHEETS = {
    "a sheet that says it has one row, then all rows are read": Given(
        "a.xlsx", sheet(LIST, edit=sized("A1:B2")), {"prompt": "{{ name }}"}, {"1": "Mug", "2": "Cup"}
    ),
    "a sheet that says it is one cell, then all columns are read": Given(
        "a.xlsx", sheet(LIST, edit=sized("A1")), {"prompt": "{{ id }} {{ name }}"}, {"1": "1 Mug", "2": "2 Cup"}
    ),
    "a sheet that says it is narrow and has formulas, then all is read": Given(
        "a.xlsx",
        sheet([*LIST, [3, "Jar", "=1+1"]][:3], edit=sized("A1:A9")),
        {"prompt": "{{ name }}"},
        {"1": "Mug", "2": "Cup"},
    ),
    "a category merged over rows, then it holds for each, and that is said": Given(
        "a.xlsx",
        sheet([["id", "kind"], [1, "Kitchen"], [2, None], [3, "Garden"]], ("B2:B3",)),
        {"prompt": "{{ kind }}"},
        {"1": "Kitchen", "2": "Kitchen", "3": "Garden"},
        "cells filled with the value of their merged range: 1, the first in column 'kind'",
    ),
    "two ranges merged over each other's rows, then each fills its column": Given(
        "a.xlsx",
        sheet([["id", "x", "y"], [1, "a", None], [2, None, "b"], [3, None, None]], ("B2:B4", "C3:C4")),
        {"prompt": "{{ x }}{{ y }}"},
        {"1": "a", "2": "ab", "3": "ab"},
        "merged range: 3",
    ),
    "a range merged past the last row, then no row is made up": Given(
        "a.xlsx",
        sheet([["id", "x"], [1, "a"], [2, None]], ("B2:B9",)),
        {"prompt": "{{ x }}"},
        {"1": "a", "2": "a"},
    ),
    "an error value in a cell, then it is empty, and that is said": Given(
        "a.xlsx",
        sheet([["id", "x"], [1, 77], [2, "b"]], edit=number_as_error(77, "#N/A")),
        {"prompt": "x{{ x }}"},
        {"1": "x", "2": "xb"},
        "cells with an error like #N/A: 1, the first in column 'x'",
    ),
    "a reference that is lost, then it is empty, and that is said": Given(
        "a.xlsx",
        sheet([["id", "x"], [1, 77]], edit=number_as_error(77, "#REF!")),
        {"prompt": "x{{ x }}"},
        {"1": "x"},
        "cells with an error",
    ),
    "an error value in a CSV, then it is empty, and that is said": Given(
        "a.csv",
        "id,x\n1,#DIV/0!\n2,ok\n",
        {"prompt": "x{{ x }}"},
        {"1": "x", "2": "xok"},
        "cells with an error like #N/A: 1",
    ),
    "a text of an error in quotes among words, then it stays": Given(
        "a.csv",
        "id,x\n1,What is #N/A?\n",
        {"prompt": "{{ x }}"},
        {"1": "What is #N/A?"},
    ),
    "an error value of any program or language in a CSV, then it is empty": Given(
        "a.csv",
        'id,x\n1,#ERROR!\n2,Err:502\n3,#NV\n4,#FIELD!\n5," #N/A "\n6,#¿NOMBRE?\n7,Err:late\n8,#NVA\n',
        {"prompt": "x{{ x }}"},
        {"1": "x", "2": "x", "3": "x", "4": "x", "5": "x", "6": "x", "7": "xErr:late", "8": "x#NVA"},
        "cells with an error like #N/A: 6, the first in column 'x'",
    ),
    "an error value in a text cell, then it is empty, and that is said": Given(
        "a.xlsx",
        sheet([["id", "x"], *enumerate(["#ERROR!", "Err:502", "#NV", " #N/A ", "#WERT!", "What is #N/A?"])]),
        {"prompt": "x{{ x }}"},
        {"0": "x", "1": "x", "2": "x", "3": "x", "4": "x", "5": "xWhat is #N/A?"},
        "cells with an error like #N/A: 5, the first in column 'x'",
    ),
    "signs as .xlsx writes them, then they are read": Given(
        "a.xlsx",
        sheet([["id", "a_x000D_b"], [1, "one_x000D_\ntwo"], [2, "_x005F_x0041_ _xD83D__xDE00_ _xyz_ _x41_"]]),
        {"prompt": "{{ row['a\\rb'] }}"},
        {"1": "one\r\ntwo", "2": "_x0041_ 😀 _xyz_ _x41_"},
    ),
    "a range merged over columns, then it holds for each": Given(
        "a.xlsx",
        sheet([["id", "x", "y"], [1, "a", None], [2, "b", "c"]], ("B2:C2",)),
        {"prompt": "{{ x }}{{ y }}"},
        {"1": "aa", "2": "bc"},
        "merged range: 1, the first in column 'y'",
    ),
    "a range merged over rows and columns, then it holds for all cells": Given(
        "a.xlsx",
        sheet([["x", "y", "z"], ["a", None, 1], [None, None, 2], [None, None, 3], [None, None, 4]], ("A2:B4",)),
        {"prompt": "p{{ x }}{{ y }}", "fields": {"key": "z"}},
        {"1": "paa", "2": "paa", "3": "paa", "4": "p"},
        "merged range: 5",
    ),
    "a range merged beyond the columns that have names, then it ends with them": Given(
        "a.xlsx",
        sheet([["id", "x"], [1, "a"], [2, "b"]], ("B2:F3",)),
        {"prompt": "{{ x }}"},
        {"1": "a", "2": "a"},
    ),
    "several sheets and no choice, then it is said which is read": Given(
        "a.xlsx",
        sheet(LIST, more=("Prices", "Notes")),
        {"prompt": "{{ name }}"},
        {"1": "Mug", "2": "Cup"},
        "the sheet 'Sheet' is read, and not 'Prices', 'Notes'",
    ),
    "several sheets and a choice, then nothing is said": Given(
        "a.xlsx",
        sheet(LIST, more=("Prices",)),
        {"prompt": "{{ name }}", "fields": {"sheet": "Sheet"}},
        {"1": "Mug", "2": "Cup"},
        "-",
    ),
    "a key with zeros before it in a sheet, then it keeps them": Given(
        "a.xlsx", sheet([["sku", "x"], ["00007", "a"]]), {"prompt": "{{ x }}", "fields": {"key": "sku"}}, {"00007": "a"}
    ),
    "a key with zeros before it in Parquet, then it keeps them": Given(
        "a.parquet",
        parquet("SELECT '007' AS sku, 'a' AS x"),
        {"prompt": "{{ x }}", "fields": {"key": "sku"}},
        {"007": "a"},
    ),
    "a key with zeros before it in CSV, then it keeps them": Given(
        "a.csv", "sku,x\n007,a\n", {"prompt": "{{ x }}", "fields": {"key": "sku"}}, {"007": "a"}
    ),
}
PARQUET = {
    "a picture in a text, then the column is named": Given(
        "a.parquet", HOSTED, {"prompt": "See {{ image }}"}, "the column 'image' holds bytes"
    ),
    "bytes in a text, then the column is named": Given(
        "a.parquet", BARE, {"prompt": "See {{ scan }}"}, "the column 'scan' holds bytes"
    ),
    "a list of pictures in a text, then the column is named": Given(
        "a.parquet", LISTED, {"prompt": "See {{ pages | tojson }}{{ pages }}"}, "pages"
    ),
    "a column that is not used and holds bytes, then nothing stops": Given(
        "a.parquet", HOSTED, {"prompt": "{{ label }}"}, {"1": "red"}
    ),
    "times with a zone, then ISO 8601 in UTC": Given(
        "a.parquet",
        TIMES,
        {"prompt": "{{ seen }} {{ many | first }} {{ clock }}"},
        {"a": "2026-01-01T18:04:05.5+00:00 2026-01-02T00:00:00+00:00 03:04:05"},
    ),
    "types that Python has not, then they are texts": Given(
        "a.parquet",
        ODD,
        {"prompt": "{{ gap }} {{ bits }} {{ fine }}"},
        {"a": "3 days 101 2026-01-02T03:04:05.123456789"},
    ),
    "a map and a long decimal, then no digit is lost": Given(
        "a.parquet", ODD, {"prompt": "{{ map.k }} {{ large }}"}, {"a": "1 12345678901234567890.123"}
    ),
}
HEADS = "SKU,Product Name,price-usd,品名\n1,Red mug,3,杯\n"
NAMES = {
    "a name with a blank, then it fills": Given(
        "a.csv",
        HEADS,
        {"prompt": "{{ Product Name }}, {{ Product Name | upper }}", "fields": {"key": "SKU"}},
        {"1": "Red mug, RED MUG"},
    ),
    "a name with underscores for blanks, then it fills": Given(
        "a.csv", HEADS, {"prompt": "{{ Product_Name }} {{ price_usd }}", "fields": {"key": "SKU"}}, {"1": "Red mug 3"}
    ),
    "a name with a hyphen, then it is no subtraction": Given(
        "a.csv",
        HEADS,
        {"prompt": "{{ price-usd }}{% if price-usd %}!{% endif %}", "fields": {"key": "SKU"}},
        {"1": "3!"},
    ),
    "a name in another script, then it fills": Given(
        "a.csv", HEADS, {"prompt": "{{ 品名 }}", "fields": {"key": "SKU"}}, {"1": "杯"}
    ),
    "a name in quotes, then it fills": Given(
        "a.csv", HEADS, {"prompt": '{{ row["Product Name"] }}', "fields": {"key": "SKU"}}, {"1": "Red mug"}
    ),
    "names that are words of the template, numbers or formulas, then they fill": Given(
        "a.csv",
        "id,if,2026,=A1+B1,select\n1,a,b,c,d\n",
        {"prompt": "{{ if }}{{ 2026 }}{{ =A1+B1 }}{{ select }}"},
        {"1": "abcd"},
    ),
    "a name that two columns could mean, then both are named": Given(
        "a.csv", "id,a b,a-b\n1,x,y\n", {"prompt": "{{ a_b }}"}, "the column 'a b' or the column 'a-b'"
    ),
    "a name that is itself one of two columns, then it is that": Given(
        "a.csv", "id,a b,a-b\n1,x,y\n", {"prompt": "{{ a-b }}{{ a b }}"}, {"1": "yx"}
    ),
    "a key column by another spelling, then it is found": Given(
        "a.csv", HEADS, {"prompt": "x", "fields": {"key": "Product_Name"}}, {"Red mug": "x"}
    ),
    "columns that are called like ours, then the user's win": Given(
        "a.csv",
        "sku,key,variant,row\nm1,A-17,blue,7\n",
        {
            "prompt": "{{ key }} {{ variant }} {{ row }} {{ _key }} {{ _variant }} {{ _row.sku }}",
            "fields": {"key": "sku"},
        },
        {"m1": "A-17 blue 7 m1 1 m1"},
    ),
    "a column variant and several variants, then each path still has its number": Given(
        "a.csv",
        "id,variant\na,blue\n",
        {"prompt": "{{ variant }}", "fields": {"count": 2, "output": "{{ variant }}.md"}},
        {"a-1": "blue", "a-2": "blue"},
    ),
    "columns text, path and stem, then the user's win": Given(
        "a.csv", "id,text,path,stem\n1,a,b,c\n", {"prompt": "{{ text }}{{ path }}{{ stem }}"}, {"1": "abc"}
    ),
}
CELLS = {
    "an empty cell that is written, then its rows are counted by column": Given(
        "a.csv",
        "id,name,size\n1,Mug,\n2,,\n3,Cup,big\n",
        {"prompt": "{{ name }} {{ size }}."},
        {"1": "Mug .", "2": " .", "3": "Cup big."},
        "2 rows fill the template with empty cells: 'size' in 2, 'name' in 1",
    ),
    "an empty cell with a default, then nothing is said": Given(
        "a.csv",
        "id,size\n1,\n",
        {"prompt": "A {{ size | default('plain', true) }} mug"},
        {"1": "A plain mug"},
        "-empty",
    ),
    "an empty cell that is asked about, then nothing is said": Given(
        "a.csv", "id,size\n1,\n", {"prompt": "A mug{% if size %} of {{ size }}{% endif %}"}, {"1": "A mug"}, "-empty"
    ),
    "a null of JSON that is written by its name in quotes, then it is counted": Given(
        "a.jsonl",
        '{"id": "1", "big size": null}\n',
        {"prompt": 'x{{ row["big size"] }}'},
        {"1": "x"},
        "'big size' in 1",
    ),
    "an empty picture cell, then its row is named": Given(
        "a.csv",
        "id,photo\np1,\np2,cup.png\n",
        {"prompt": "Look", "fields": {"images": ["{{ photo }}"]}},
        {"p1": "Look", "p2": "Look"},
        "1 row has no file where the template names one: row 1 (key 'p1')",
        {"cup.png": PNG},
    ),
}
BRACES = {
    "one pair of braces and no column, then it is a problem": Given(
        "a.csv", "id,name\n1,Mug\n", {"prompt": "Describe {name}."}, "the template names no column: '{name}' is sent"
    ),
    "a dollar before the braces, then it is a problem": Given(
        "a.csv", "id,name\n1,Mug\n", {"prompt": "Describe ${name}."}, "write {{ name }}"
    ),
    "a place of Python with a blank in its name, then it is a problem": Given(
        "a.csv", "id,Product Name\n1,Mug\n", {"prompt": "Describe %(Product Name)s."}, "the template names no column"
    ),
    "one pair of braces in the system instruction only, then it is a warning": Given(
        "a.csv",
        "id,name\n1,Mug\n",
        {"prompt": "Describe {{ name }}.", "fields": {"system": "You sell {name}."}},
        {"1": "Describe Mug."},
        "in the template '{name}' is sent as it is written",
    ),
    "JSON in a prompt, then it is nobody's business": Given(
        "a.csv",
        "id,name\n1,Mug\n",
        {"prompt": 'As {"name": "…"}: {{ name }}'},
        {"1": 'As {"name": "…"}: Mug'},
        "-braces",
    ),
    "requests that are all equal, then the count and the cost are said": Given(
        "a.csv",
        "id,name\n1,Mug\n2,Cup\n3,Jar\n",
        {"prompt": "Describe it.", "model": MODEL},
        {"1": "Describe it.", "2": "Describe it.", "3": "Describe it."},
        "all 3 requests are equal",
    ),
}
PROMPTS = {
    "a prompt by file://, then the file is read": Given(
        "a.yaml",
        "items: [{id: a, prompt: 'file://p.txt'}]",
        {},
        {"a": "Say {{ hi }}"},
        more={"p.txt": "Say {{ hi }}\n"},
    ),
    "a prompt by @, then the file is read": Given(
        "a.yaml", "items: [{id: a, prompt: '@sub/p.md'}]", {}, {"a": "Hi"}, more={"sub/p.md": "Hi"}
    ),
    "a prompt_file for a table, then it is a template": Given(
        "a.yaml",
        "data: t.csv\nprompt_file: p.txt\n",
        {},
        {"1": "Say Mug"},
        more={"p.txt": "Say {{ name }}", "t.csv": "id,name\n1,Mug\n"},
    ),
    "a prompt whose file is not there, then it is named": Given(
        "a.yaml", "items: [{id: a, prompt: 'file://no.txt'}]", {}, "file 'no.txt' cannot be read: no such file"
    ),
    "a prompt outside the roots, then it is refused": Given(
        "a.yaml", "items: [{id: a, prompt: 'file:///etc/passwd'}]", {}, "lies outside"
    ),
    "a prompt that only begins with @, then it is a prompt": Given(
        "a.yaml", "items: [{id: a, prompt: '@ada, write a poem.'}]", {}, {"a": "@ada, write a poem."}
    ),
    "a cell that names a file, then it is data": Given(
        "a.csv", "id,name\n1,file://p.txt\n", {"prompt": "{{ name }}"}, {"1": "file://p.txt"}, more={"p.txt": "no"}
    ),
}
ENDS = {
    "a table with NaN, then that is named": Given(
        "a.jsonl", '{"id": 1, "x": NaN}\n', {"prompt": "{{ x }}"}, "row 1: holds NaN, which is not JSON"
    ),
    "an array with Infinity, then that is named": Given(
        "a.json", '[{"id": 1, "x": -Infinity}]', {"prompt": "{{ x }}"}, "-Infinity, which is not JSON"
    ),
    "a template without quotes, then quotes are advised": Given(
        "a.yaml", "data: t.csv\nprompt: {{ name }}\n", {}, "put it in quotes: prompt: '{{ name }}'"
    ),
    "a colon behind a template, then quotes are advised": Given(
        "a.yaml", "data: t.csv\nprompt: See {{ name }}: now\n", {}, "put it in quotes: prompt: 'See {{ name }}: now'"
    ),
    "an @ without quotes, then quotes are advised": Given(
        "a.yaml", "data: t.csv\nprompt: @p.txt\n", {}, "put it in quotes: prompt: '@p.txt'"
    ),
    "one pair of braces without quotes, then quotes are advised": Given(
        "a.yaml", "data: t.csv\nprompt: {name}\n", {}, "in quotes", more={"t.csv": "id\n1\n"}
    ),
}
BUILDS = {**SPREADSHEETS, **PARQUET, **NAMES, **CELLS, **BRACES, **PROMPTS, **ENDS}


def of_item(**fields: Any) -> str:
    """A manifest with one item."""
    return json.dumps({"items": [{"id": "a", "prompt": "x", **fields}]})


SETTINGS = {
    "a config with a misspelled member, then that is a problem": Given(
        "a.json",
        of_item(config={"temprature": 0.2, "maxOutputTokens": 50}),
        {},
        "'temprature' in config is no setting of a request Fix: did you mean 'temperature'?",
    ),
    "a config with a member of the SDK only, then that is a problem": Given(
        "a.json", of_item(config={"max_output_tokens": 50, "http_options": {}}), {}, "'http_options' in config"
    ),
    "a config with another API's name, then Gemini's is told": Given(
        "a.json",
        of_item(config={"max_completion_tokens": 5}),
        {},
        "in config is no setting of a request Fix: write max",
    ),
    "a slip in a config of defaults, then that is a problem": Given(
        "a.json",
        '{"defaults": {"config": {"topp": 1}}, "items": [{"id": "a", "prompt": "x"}]}',
        {},
        "defaults: 'topp' in config",
    ),
    "a slip in a config of the manifest, then that is a problem": Given(
        "a.json", '{"config": {"topk": 1}, "items": [{"id": "a", "prompt": "x"}]}', {}, "'topk' in config"
    ),
    "a config that is a text, then it is a column": Given("a.json", of_item(config="fast"), {}, {"a": "x"}, "-"),
    "a setting twice in an item, then that is a problem": Given(
        "a.json",
        of_item(temperature=0.3, max_tokens=500, generationConfig={"temperature": 1, "maxOutputTokens": 100}),
        {},
        "sets temperature twice, to 0.3 and to 1; keep one of them",
    ),
    "a setting twice that is the same, then nothing is said": Given(
        "a.json", of_item(temperature=1, generationConfig={"temperature": 1.0}), {}, {"a": "x"}, "-"
    ),
    "a voice twice, then that is a problem": Given(
        "a.json",
        of_item(voice="Kore", speechConfig={"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}}),
        {},
        "twice, to Kore and to Puck",
    ),
    "a setting twice in defaults, then that is a problem": Given(
        "a.json",
        '{"defaults": {"max_tokens": 5, "maxOutputTokens": 6}, "items": [{"id": "a", "prompt": "x"}]}',
        {},
        "defaults: 'maxOutputTokens' says again",
    ),
    "a setting of the manifest that defaults set otherwise, then that is a problem": Given(
        "a.json",
        '{"temperature": 0.2, "defaults": {"config": {"temperature": 0.9}}, "items": [{"id": "a", "prompt": "x"}]}',
        {},
        "'temperature' is set in defaults too, to something else",
    ),
    "a form and a type of the answer that differ, then that is a problem": Given(
        "a.json",
        of_item(response_format="json", response_mime_type="text/plain"),
        {},
        "sets response_mime_type twice",
    ),
    "a setting beside a whole request, then that is a problem": Given(
        "a.json",
        '{"items": [{"id": "a", "request": {"contents": []}, "temperature": 1}]}',
        {},
        "has a request and 'temperature' beside it",
    ),
    "a form of the answer that no API has, then that is a problem": Given(
        "a.json", of_item(response_format="xml"), {}, "response_format 'xml' is no form of an answer"
    ),
    "a message column that a template uses, then nothing is said": Given(
        "a.json",
        '{"prompt": "See {{ messages }}", "items": [{"id": "a", "messages": "x"}]}',
        {},
        {"a": "See x"},
        "-",
    ),
}
BUILDS.update(SETTINGS)
MIXED = parquet(
    "SELECT 1 AS id, {'bytes': ?::BLOB, 'path': 'a.png'} AS image UNION ALL "
    "SELECT 2, {'bytes': NULL, 'path': 'cup.png'} ORDER BY 1",
    PNG,
)
PICTURES = {
    "an empty list of pictures, then its row is named": Given(
        "a.jsonl",
        '{"id": "1", "imgs": []}\n{"id": "2", "imgs": ["cup.png", null, "cup.png"]}\n',
        {"prompt": "Look", "fields": {"images": ["{{ imgs }}"]}},
        {"1": "Look", "2": "Look"},
        "1 row has no file where the template names one: row 1 (key '1')",
        {"cup.png": PNG},
    ),
    "a list with an empty name, then its row is named": Given(
        "a.jsonl",
        '{"id": "1", "imgs": ["", null]}\n',
        {"prompt": "Look", "fields": {"images": ["{{ imgs }}"]}},
        {"1": "Look"},
        "1 row has no file",
    ),
    "a path of a file with bytes and of one without, then both are written": Given(
        "a.parquet",
        MIXED,
        {"prompt": "{{ image.path }} {{ image['path'] }}"},
        {"1": "a.png a.png", "2": "cup.png cup.png"},
    ),
    "a row as JSON with a path without bytes, then it is a text": Given(
        "a.parquet",
        parquet("SELECT 1 AS id, {'bytes': NULL::BLOB, 'path': 'cup.png'} AS image"),
        {"prompt": "{{ [image] | tojson }} {{ [image] }}"},
        {"1": '["cup.png"] ["cup.png"]'},
    ),
    "the bytes of a file in a text, then the column is named": Given(
        "a.parquet",
        HOSTED,
        {"prompt": "See {{ image.bytes }}"},
        "the column 'image' holds bytes, which no text can hold",
    ),
    "a member that no file has, then the column is named": Given(
        "a.parquet", HOSTED, {"prompt": "See {{ image.content }}"}, "in the column 'image', and 'content' is neither"
    ),
    "the bytes of a file without any, then its row is named": Given(
        "a.parquet",
        MIXED,
        {"prompt": "Look", "fields": {"images": ["{{ image.bytes }}"]}},
        {"1": "Look", "2": "Look"},
        "1 row has no file where the template names one: row 2",
    ),
    "a list of templates without quotes, then each is to be quoted": Given(
        "a.yaml",
        "data: t.csv\nprompt: x\nimages: [{{ v }}, cup.png]\n",
        {},
        "put it in quotes: images: ['{{ v }}', cup.png]",
    ),
    "NaN in an array, then null is advised": Given(
        "a.json", '[{"id": 1, "x": NaN}]', {"prompt": "{{ x }}"}, "holds NaN, which is not JSON Fix: write null"
    ),
    "Infinity in a manifest, then that is named": Given(
        "a.json",
        '{"items": [{"id": "a", "prompt": "x", "temperature": Infinity}]}',
        {},
        "holds Infinity, which is not JSON Fix: write null",
    ),
    "a key with one pair of braces, then two are advised": Given(
        "a.csv",
        "id,my name\n1,Mug\n",
        {"prompt": "x", "fields": {"key": "{my name}"}},
        "key '{my name}' is no template Fix: write key: '{{ my name }}'",
    ),
    "an output with one pair of braces, then two are advised": Given(
        "a.csv",
        "id,name\n1,Mug\n2,Cup\n",
        {"prompt": "{{ name }}", "fields": {"output": "{name}.md"}},
        "output: '{name}' is no place that is filled Fix: write {{ name }}",
    ),
    "a picture with one pair of braces, then two are advised": Given(
        "a.csv",
        "id,name\n1,Mug\n",
        {"prompt": "{{ name }}", "fields": {"images": ["${name}.png"]}},
        "images: '${name}' is no place that is filled",
    ),
    "a path with braces that names no column, then it is a path": Given(
        "a.csv", "id,name\n1,Mug\n", {"prompt": "{{ name }}", "fields": {"output": "{a}-{{ name }}.md"}}, {"1": "Mug"}
    ),
    "standard input as data of a manifest, then it is said": Given(
        "a.yaml", "data: '-'\nprompt: x\n", {}, "data '-' is standard input, which a manifest cannot name"
    ),
    "a table without an ending, then that is said": Given("a", "id\n1\n", {"prompt": "x"}, "its name has no ending"),
}
BUILDS.update(PICTURES)


@pytest.mark.parametrize("name", BUILDS)
async def test_given_a_table_or_a_manifest_then(world: World, name: str) -> None:
    case = BUILDS[name]
    put(world, {case.name: case.content, **case.more})
    async with world.client() as client:
        ask = {"data": case.name, "output_path": "a.jsonl.part", **case.ask}
        if isinstance(case.then, str):
            assert case.then in await refusal(client, "build_requests", **ask)
            return
        told = await call(client, "build_requests", **ask)
    rows = [json.loads(line) for line in (world.work / "a.jsonl.part").read_text().splitlines()]
    assert prompts(rows) == case.then
    warned = " ".join(warning["problem"] for warning in told.get("warnings", []))
    assert case.warns in warned if not case.warns.startswith("-") else warned == ""
    outputs = [each["output"] for each in rows if "output" in each]
    assert len(set(outputs)) == len(outputs)


@pytest.mark.parametrize(
    ("content", "field", "kinds"),
    [
        (HOSTED, "{{ image.bytes }}", ["image/png"]),
        (LISTED, "{{ pages[1].bytes }}", ["image/jpeg"]),
        (HOSTED, "{{ image }}", ["image/png"]),
        (LISTED, "{{ pages }}", ["image/png", "image/jpeg"]),
        (BARE, '{{ row["scan"] }}', ["image/jpeg"]),
    ],
)
async def test_given_bytes_in_a_column_then_they_are_attached_by_their_content(
    world: World, content: bytes, field: str, kinds: list[str]
) -> None:
    put(world, {"a.parquet": content})
    async with world.client() as client:
        (only,) = await built(client, world, data="a.parquet", prompt="Look.", fields={"images": [field]})
    parts = only["request"]["contents"][0]["parts"]
    assert [part["inlineData"]["mimeType"] for part in parts[:-1]] == kinds
    assert "b'" not in json.dumps({name: value for name, value in only.items() if name != "request"})


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "two speakers over the voice of all": (
        {"voice": "Kore", "items": [{"speechConfig": {"multiSpeakerVoiceConfig": {"speakerVoiceConfigs": []}}}]},
        {"generationConfig": {"speechConfig": {"multiSpeakerVoiceConfig": {"speakerVoiceConfigs": []}}}},
    ),
    "thinking_config of an item": (
        {"items": [{"thinking_config": {"thinking_budget": 0}}], "thinking_level": "low"},
        {"generationConfig": {"thinkingConfig": {"thinking_budget": 0}}},
    ),
    "thinkingConfig in defaults": (
        {"defaults": {"thinkingConfig": {"includeThoughts": True}}, "items": [{"thinking_level": "LOW"}]},
        {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"}}},
    ),
    "image_config of the manifest": (
        {"image_config": {"aspect_ratio": "16:9", "imageSize": "1K"}, "items": [{"aspect_ratio": "1:1"}]},
        {"generationConfig": {"imageConfig": {"aspectRatio": "1:1", "imageSize": "1K"}}},
    ),
    "a service tier, labels and logprobs": (
        {"items": [{"service_tier": "flex", "labels": {"team": "x"}, "responseLogprobs": True, "logprobs": 3}]},
        {
            "serviceTier": "flex",
            "labels": {"team": "x"},
            "generationConfig": {"responseLogprobs": True, "logprobs": 3},
        },
    ),
    "a config as the SDK writes it": (
        {"items": [{"config": {"temperature": 0.5, "thinkingConfig": {"thinkingLevel": "LOW"}}}]},
        {"generationConfig": {"temperature": 0.5, "thinkingConfig": {"thinkingLevel": "LOW"}}},
    ),
    "a system instruction as Gemini writes it": (
        {"items": [{"systemInstruction": {"parts": [{"text": "Be brief."}]}}]},
        {"systemInstruction": {"parts": [{"text": "Be brief."}]}},
    ),
}


@pytest.mark.parametrize("name", FIELDS)
async def test_given_settings_under_geminis_own_names_then_they_go_where_gemini_wants_them(
    world: World, name: str
) -> None:
    fields, right = FIELDS[name]
    items = [{"id": "a", "prompt": "x", "label": "mine", **item} for item in fields["items"]]
    put(world, {"a.json": json.dumps({**fields, "items": items})})
    async with world.client() as client:
        (only,) = await built(client, world, data="a.json")
    assert only["label"] == "mine"
    sent = only["request"]
    sent.pop("contents")
    sent.get("generationConfig", {}).pop("responseModalities", None)
    assert sent == right


SLIPS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"thinkingConfg": {}}, MODEL, "'thinkingConfg' is no field of a request", "thinking_config"),
    ({"max_output_token": 5}, MODEL, "'max_output_token' is no field", "max_output_tokens"),
    ({"aspectratio": "1:1"}, MODEL, "'aspectratio' is no field", "aspect_ratio"),
    ({"voice": "Korre"}, TTS, "no such voice 'Korre'", "did you mean 'Kore'?"),
]


@pytest.mark.parametrize(("field", "model", "problem", "fix"), SLIPS)
async def test_given_a_slip_in_a_field_then_it_is_a_problem(
    world: World, field: dict[str, Any], model: str, problem: str, fix: str
) -> None:
    put(world, {"a.json": json.dumps({"model": model, "items": [{"id": "a", "prompt": "x", **field}]})})
    async with world.client() as client:
        answer = await refusal(client, "create_batch", source="a.json")
    assert problem in answer
    assert fix in answer
    assert await world.bill() == []


def chat(**body: Any) -> dict[str, Any]:
    """A line of OpenAI's batch file."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], **body}
    return {"custom_id": "r", "method": "POST", "url": "/v1/chat/completions", "body": body}


def claude(**params: Any) -> dict[str, Any]:
    """A line of Anthropic's batch file."""
    return {"custom_id": "r", "params": {"model": "claude", "messages": [{"role": "user", "content": "hi"}], **params}}


HI = request("hi")["contents"]
PICTURE = {"type": "image_url", "image_url": {"url": "https://a.example/c.png", "detail": "low"}}
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
STRICT = {"name": "x", "strict": True, "schema": {**SCHEMA, "additionalProperties": False}}
CONVERTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "system and turns": (
        chat(messages=[{"role": "developer", "content": "d"}, {"role": "user", "content": "hi"}]),
        {"contents": HI, "systemInstruction": {"parts": [{"text": "d"}]}},
    ),
    "limits, stops and seeds": (
        chat(max_tokens=9, stop="END", seed=3, top_p=0.5, n=2),
        {
            "contents": HI,
            "generationConfig": {
                "maxOutputTokens": 9,
                "topP": 0.5,
                "seed": 3,
                "candidateCount": 2,
                "stopSequences": ["END"],
            },
        },
    ),
    "a tier and whether it is stored": (
        chat(service_tier="flex", store=False),
        {"contents": HI, "serviceTier": "flex", "store": False},
    ),
    "the usual tier": (chat(service_tier="default"), {"contents": HI}),
    "a schema": (
        chat(response_format={"type": "json_schema", "json_schema": STRICT}),
        {"contents": HI, "generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA}},
    ),
    "a picture": (
        chat(messages=[{"role": "user", "content": [PICTURE]}]),
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {
                            "fileData": {"mimeType": "image/png", "fileUri": "https://a.example/c.png"},
                            "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
                        }
                    ],
                }
            ],
        },
    ),
    "a function and its result": (
        chat(
            messages=[
                {"role": "user", "content": "hi"},
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
                {"role": "tool", "tool_call_id": "c", "content": "7"},
            ]
        ),
        {
            "contents": [
                *HI,
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "7"}}}]},
            ]
        },
    ),
    "a response": (
        {
            "custom_id": "r",
            "url": "/v1/responses",
            "body": {
                "model": "m",
                "instructions": "Sum up.",
                "input": "hi",
                "max_output_tokens": 5,
                "reasoning": {"effort": "low"},
            },
        },
        {
            "contents": HI,
            "systemInstruction": {"parts": [{"text": "Sum up."}]},
            "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"thinkingLevel": "LOW"}},
        },
    ),
    "a vector": (
        {"custom_id": "r", "url": "/v1/embeddings", "body": {"model": "m", "input": "hi", "dimensions": 256}},
        {"content": {"parts": [{"text": "hi"}]}, "outputDimensionality": 256},
    ),
    "a message of Anthropic": (
        claude(system="d", max_tokens=9, stop_sequences=["END"], thinking={"type": "enabled", "budget_tokens": 1024}),
        {
            "contents": HI,
            "systemInstruction": {"parts": [{"text": "d"}]},
            "generationConfig": {
                "maxOutputTokens": 9,
                "stopSequences": ["END"],
                "thinkingConfig": {"thinkingBudget": 1024},
            },
        },
    ),
    "a picture of Anthropic": (
        claude(
            messages=[
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
                        },
                    ],
                }
            ]
        ),
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                    ],
                }
            ]
        },
    ),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_given_a_line_of_another_api_then_it_is_converted(name: str) -> None:
    line, right = CONVERTED[name]
    assert foreign.convert(line) == ([right], [])


async def test_given_a_file_of_another_api_then_one_sentence_says_so_and_build_requests_converts_it(
    world: World,
) -> None:
    lines = [{**chat(logit_bias={"1": 2}), "custom_id": f"r{n}"} for n in range(3)]
    source = world.write("a.jsonl", lines)
    async with world.client() as client:
        told = await call(client, "estimate_cost", source=source, model=MODEL)
        made = await call(client, "build_requests", output_path="b.jsonl", data=source, model=MODEL)
    assert told["problem_count"] == 3
    assert [each["problem"] for each in told["problems"]] == [
        "is a line of OpenAI's batch format (chat/completions) (3 rows: lines 1, 2, 3)"
    ]
    assert "counterpart for logit_bias" in made["warnings"][0]["problem"]
    rows = [json.loads(line) for line in (world.work / "b.jsonl").read_text().splitlines()]
    assert prompts(rows) == {"r0": "hi", "r1": "hi", "r2": "hi"}


async def test_given_several_texts_for_vectors_and_several_answers_then_each_is_a_row(world: World) -> None:
    lines = [
        {"custom_id": "v", "url": "/v1/embeddings", "body": {"input": ["a", "b"]}},
        chat(n=2),
    ]
    async with world.client() as client:
        rows = await built(client, world, data=world.write("a.jsonl", lines))
    assert [each["key"] for each in rows] == ["v-1", "v-2", "r-1", "r-2"]


FIXES: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "a data URI": (
        {"contents": [{"role": "user", "parts": [{"file_data": {"file_uri": "data:image/png;base64,iVBORw0KGgo="}}]}]},
        MODEL,
        {"contents": [{"role": "user", "parts": [{"inline_data": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]}]},
    ),
    "a part of another API": (
        {
            "contents": [
                {"role": "user", "parts": [{"type": "image_url", "image_url": {"url": "https://a.example/c.png"}}]}
            ]
        },
        MODEL,
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [{"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/c.png"}}],
                }
            ]
        },
    ),
    "a vector's settings in a config": (
        {"content": "hi", "config": {"outputDimensionality": 256, "taskType": "CLUSTERING"}},
        VECTOR,
        {"content": {"parts": [{"text": "hi"}]}, "outputDimensionality": 256, "taskType": "CLUSTERING"},
    ),
    "several contents of one vector": (
        {"contents": [{"parts": [{"text": "hi"}]}], "taskType": "CLUSTERING"},
        VECTOR,
        {"content": {"parts": [{"text": "hi"}]}, "taskType": "CLUSTERING"},
    ),
}


@pytest.mark.parametrize("name", FIXES)
async def test_given_what_can_only_mean_one_thing_then_fix_writes_it_so(world: World, name: str) -> None:
    bad, model, right = FIXES[name]
    world.write("a.jsonl", [{"key": "a", "request": bad}])
    done = command(world, "estimate", "a.jsonl", "--model", model, "--fix", "b.jsonl", "--quiet")
    assert done.returncode == 0, done.stdout
    assert json.loads((world.work / "b.jsonl").read_text())["request"] == right


LINK = {"file_data": {"file_uri": "https://youtu.be/AAAAAAAAAAA"}}
REFUSED: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "an enum of numbers": (
        [row("a", response_mime_type="application/json", response_schema={"type": "INTEGER", "enum": [1, 2]})],
        MODEL,
        "enum of other values than strings",
    ),
    "an enum with an empty text": (
        [row("a", response_mime_type="text/x.enum", response_schema={"type": "STRING", "enum": ["", "b"]})],
        MODEL,
        "has an empty string in its enum",
    ),
    "an object within an object without properties": (
        [
            row(
                "a",
                response_mime_type="application/json",
                response_schema={"type": "OBJECT", "properties": {"a": {"type": "OBJECT"}}},
            )
        ],
        MODEL,
        "response_schema.a is an object without properties",
    ),
    "eleven videos": (
        [{"key": "a", "request": {"contents": [{"role": "user", "parts": [LINK] * 11}]}}],
        MODEL,
        "holds 11 videos",
    ),
    "eleven videos in two turns": (
        [
            {
                "key": "a",
                "request": {
                    "contents": [
                        {"role": "user", "parts": [LINK] * 6},
                        {"role": "model", "parts": [LINK] * 5},
                        {"role": "user", "parts": [{"text": "x"}]},
                    ]
                },
            }
        ],
        MODEL,
        "holds 11 videos",
    ),
    "a prompt above the limit": ([row("a"), row("b", "the house " * 900_000)], MODEL, "tokens of input; gemini"),
    "a text above the limit of a vector": (
        [{"key": "a", "request": {"content": {"parts": [{"text": "the house " * 9_000}]}}}],
        VECTOR,
        "takes 8,192",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_given_what_gemini_refuses_then_it_is_a_problem_before_anything_is_sent(world: World, name: str) -> None:
    lines, model, said = REFUSED[name]
    async with world.client() as client:
        answer = await refusal(client, "create_batch", source=world.write("a.jsonl", lines), model=model)
    assert said in answer
    assert await world.bill() == []


async def test_given_the_text_of_files_in_one_pair_of_braces_then_it_is_a_problem(world: World) -> None:
    put(world, {"in/a.txt": "Words.", "in/b.txt": "More words."})
    async with world.client() as client:
        ask = {"output_path": "a.jsonl", "folder": "in"}
        for prompt, column in (("Sum up {text}", "text"), ("Name {path}", "path"), ("File ${stem}", "stem")):
            answer = await refusal(client, "build_requests", prompt=prompt, **ask)
            assert f"write {{{{ {column} }}}}" in answer


async def test_given_links_to_youtube_then_no_advice_is_given_that_cannot_be_followed(world: World) -> None:
    lines = [{"key": "a", "request": {"contents": [{"role": "user", "parts": [LINK] * 10}]}}]
    async with world.client() as client:
        told = await call(client, "estimate_cost", source=world.write("a.jsonl", lines), model=MODEL)
    assert told["problem_count"] == 0
    words = json.dumps(told["warnings"])
    assert "YouTube" in words
    assert "Files API" not in words
    assert "mime_type" not in words


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.avif", AVIF, "is an AVIF picture, which Gemini does not read"),
        ("a.pdf", pdf("/Encrypt 2 0 R "), "1 PDF is encrypted"),
        ("b.pdf", pdf() + b" " * 9_000 + pdf("/Encrypt<</V 2>> "), "'b.pdf'"),
        ("c.pdf", pdf(), ""),
    ],
)
async def test_given_a_file_that_gemini_may_not_read_in_a_folder_then_it_is_warned_of(
    world: World, name: str, content: bytes, said: str
) -> None:
    put(world, {f"in/{name}": content, "in/ok.jpg": JPEG})
    async with world.client() as client:
        told = await call(client, "build_requests", output_path="a.jsonl", folder="in", prompt="Look.")
    assert said in json.dumps(told.get("warnings", []))
    assert bool(told.get("warnings")) is bool(said)


def command(world: World, *args: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command, with something on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "genai_batch", *args],
        input=None if stdin is None else stdin.decode(),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=world.work,
        env=world.env(),
        check=False,
    )


@pytest.mark.parametrize("source", ["-", "/dev/stdin"])
async def test_given_a_pipe_then_it_is_a_source_of_any_kind(world: World, source: str) -> None:
    put(world, {"t.csv": "id,name\n1,Mug\n"})
    lines = (json.dumps(row("a")) + "\n").encode()
    assert "can be sent: 1" in command(world, "estimate", source, "--model", MODEL, stdin=lines).stdout
    made = f"model: {MODEL}\ndata: t.csv\nprompt: '{{{{ name }}}}'\n".encode()
    assert "can be sent: 1" in command(world, "estimate", source, stdin=made).stdout
    table = command(world, "build", source, "--prompt", "{{ x }}", "--output", "a.jsonl", stdin=b"id,x\n1,a\n2,b\n")
    assert "wrote   2 requests" in table.stdout
    items = json.dumps({"model": MODEL, "items": [{"id": "a", "prompt": "hi"}]}).encode()
    assert "can be sent: 1" in command(world, "estimate", source, stdin=items).stdout
    assert "can be sent: 1" in command(world, "estimate", source, stdin=items + b"\n").stdout
    told = command(
        world, "build", "--set", f"data={source}", "--prompt", "{{ x }}", "--output", "b.jsonl", stdin=b"x\n1\n"
    )
    assert told.returncode == 0, told.stderr


async def test_given_nothing_at_the_other_side_of_a_pipe_then_no_command_hangs(world: World) -> None:
    for name in ("a.jsonl", "a.yaml", "a.csv"):
        os.mkfifo(world.work / name)
    assert "not a regular file" in command(world, "estimate", "a.jsonl", "--model", MODEL).stderr
    assert "not a regular file" in command(world, "estimate", "a.yaml", "--model", MODEL).stderr
    assert "not a regular file" in command(world, "build", "a.csv", "--prompt", "x", "--output", "b.jsonl").stderr
    assert "Nothing came through" in command(world, "estimate", "-", "--model", MODEL, stdin=b"").stderr


@pytest.mark.parametrize("name", ["no.jsonl", "no.yaml", "no/such/folder.json"])
async def test_given_a_file_that_is_not_there_then_that_is_said_and_not_that_no_model_is_named(
    world: World, name: str
) -> None:
    done = command(world, "estimate", name)
    assert (done.returncode, "no such file" in done.stderr) == (2, True)
    assert "No model" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "entry"),
    [
        (
            "a.jsonl",
            "".join(json.dumps({"key": f"k{n}", "request": {"contents": "hi"}}) + "\n" for n in range(5_000)),
            "problem line 1: key 'k0': contents is a string (5,000 rows: lines 1, 2, 3, …) Fix: make it a list",
        ),
        (
            "a.json",
            json.dumps({"model": MODEL, "items": [{"id": f"i{n}"} for n in range(5_000)]}),
            "items[0]: has no prompt (5,000 rows, also items[1], items[2], …)",
        ),
        (
            "b.json",
            json.dumps(
                {
                    "model": MODEL,
                    "items": [{"id": f"i{n}", "prompt": "x", "files": [f"no-{n}.png"]} for n in range(40)],
                }
            ),
            "cannot be read: no such file (40 rows, also items[1], items[2], …)",
        ),
    ],
)
async def test_given_a_fault_that_many_rows_share_then_it_is_one_entry_and_all_lists_every_one(
    world: World, name: str, content: str, entry: str
) -> None:
    world.write(name, content)
    rows = 40 if name == "b.json" else 5_000
    once, every = (command(world, "estimate", name, "--model", MODEL, *more) for more in ([], ["--all"]))
    word = entry.partition(" (")[0].rpartition(": ")[2]
    assert entry in once.stdout + once.stderr
    assert (once.stdout + once.stderr).count(word) == 1
    assert (every.stdout + every.stderr).count(word) == rows


COLUMN = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda name: name.strip() == name)
OURS = st.sampled_from(
    ["key", "variant", "row", "_row", "_key", "text", "path", "select", "=SUM(A1)", "a b", "if", "loop"]
)


@given(st.dictionaries(COLUMN | OURS, st.text(min_size=1), min_size=1, max_size=6))
def test_given_any_names_of_columns_then_each_fills_a_template(columns: dict[str, str]) -> None:
    templates = Templates()
    for name, value in columns.items():
        quoted = json.dumps(name, ensure_ascii=False)
        if "_row" not in columns:
            assert templates.text(f"{{{{ _row[{quoted}] }}}}", columns) == value
        if "{" not in name and "}" not in name and "|" not in name and name not in ("true", "false", "none"):
            assert templates.text(f"{{{{ {name} }}}}", columns) == value, name


WRITTEN = {
    "{{ row.size }}": "",
    "{{ row.size | upper }}": "",
    "{{ row.get('size') }}": "",
    "{{ size ~ name }}": "Mug",
    "{{ (size ~ name) | upper }}": "MUG",
    "{{ name + size }}": "Mug",
    "{{ size if name else 1 }}": "",
    "{{ [name, size] | join(',') }}": "Mug,",
    "{{ size.upper() }}": "",
    "{{ row['size'] }}": "",
}
UNWRITTEN = (
    "{{ row.size | default('-', true) }}",
    "{% if row.size %}{{ row.size }}{% endif %}",
    "{% if row['size'] %}{{ size }}{% endif %}",
    "{{ row.size if row.size else 1 }}",
    "{{ size or 'plain' }}",
    "{{ name ~ (size | default('x', true)) }}",
)


@pytest.mark.parametrize("template", [*WRITTEN, *UNWRITTEN])
def test_given_an_empty_cell_in_an_expression_then_it_counts_where_it_is_written(template: str) -> None:
    templates = Templates()
    text = templates.text(template, {"name": "Mug", "size": ""})
    assert templates.empty == ({"size"} if template in WRITTEN else set())
    assert text == WRITTEN.get(template, text)


@pytest.mark.parametrize(
    ("field", "value", "native"),
    [
        ("max_completion_tokens", 5, "write max_output_tokens"),
        ("reasoning_effort", "low", "write thinking_level: low"),
        ("params", {"temperature": 1}, "write its members beside the prompt"),
        ("parameters", {"maxOutputTokens": 1}, "write its members beside the prompt"),
        ("thinking", {"budget": 1}, "or thinking_budget"),
        ("google_search", True, "write tools: [{google_search: {}}]"),
        ("instructions", "Be brief.", "write system"),
        ("systemMessage", "Be brief.", "write system"),
        ("messages", [], "write prompt, or contents"),
        ("top_logprobs", 3, "write response_logprobs: true"),
        ("tool_choice", "auto", "write tool_config"),
    ],
)
async def test_given_a_setting_under_the_name_of_another_api_then_geminis_name_is_told(
    world: World, field: str, value: Any, native: str
) -> None:
    put(world, {"a.json": of_item(**{field: value})})
    async with world.client() as client:
        told = await call(client, "build_requests", data="a.json", output_path="a.jsonl")
    (warning,) = [each for each in told["warnings"] if "is kept beside the answer" in each["problem"]]
    assert field in warning["problem"]
    assert native in warning["fix"]


@pytest.mark.parametrize(
    ("value", "settings"),
    [
        ("json", {"responseMimeType": "application/json"}),
        ({"type": "json_object"}, {"responseMimeType": "application/json"}),
        ({"type": "text"}, None),
        (
            {"type": "json_schema", "json_schema": STRICT},
            {"responseMimeType": "application/json", "responseSchema": SCHEMA},
        ),
        ({"text": {"mimeType": "text/plain"}}, {"responseFormat": {"text": {"mimeType": "text/plain"}}}),
    ],
)
async def test_given_a_form_of_the_answer_then_it_is_geminis(world: World, value: Any, settings: Any) -> None:
    put(world, {"a.json": of_item(response_format=value)})
    async with world.client() as client:
        (only,) = await built(client, world, data="a.json")
    assert only["request"].get("generationConfig") == settings


async def test_given_variants_and_a_seed_of_geminis_then_each_has_its_own(world: World) -> None:
    put(world, {"a.json": of_item(count=2, generationConfig={"seed": 5})})
    async with world.client() as client:
        rows = await built(client, world, data="a.json")
    assert [each["request"]["generationConfig"]["seed"] for each in rows] == [5, 6]


async def test_given_a_pipe_in_a_folder_then_it_is_left_out_and_named(world: World) -> None:
    put(world, {"f/a.txt": "hi"})
    os.mkfifo(world.work / "f" / "pipe.txt")
    async with world.client() as client:
        told = await call(client, "build_requests", folder="f", prompt="Read.", output_path="a.jsonl")
    assert told["requests"] == 1
    assert "'pipe.txt' is a pipe, a socket or a device, and no file; it is left out" in str(told["warnings"])


@pytest.mark.parametrize(
    ("line", "problem", "fix"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, "is a chat as OpenAI has it", '"custom_id"'),
        ({"id": "1", "prompt": "hi"}, "is a row of a table", "build FILE --prompt '{{ prompt }}'"),
        ({"key": "1", "question": "hi?"}, "is a row of a table", "build FILE --prompt '{{ question }}'"),
    ],
)
async def test_given_lines_that_are_no_requests_then_it_is_told_what_makes_requests_of_them(
    world: World, line: dict[str, Any], problem: str, fix: str
) -> None:
    source = world.write("a.jsonl", [line])
    async with world.client() as client:
        (told,) = (await call(client, "estimate_cost", source=source, model=MODEL))["problems"]
    assert problem in told["problem"]
    assert fix in told["fix"]
