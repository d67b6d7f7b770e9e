"""Bad input is normal input: every fault is named with its line and its remedy, and nothing is sent."""

import json
from pathlib import Path

import pytest

from tests.world import MODEL, World, call, finish, refusal, row, start

pytestmark = pytest.mark.anyio
GOOD = json.dumps(row("good"))
BODY = '"request":{"contents":[{"parts":[{"text":"hi"}]}]}'
PART = '{"contents":[{"parts":[{"text":"hi"}]}]'

BAD_LINES = {
    "a NUL byte": (b'{"key":"a\x00",' + BODY.encode() + b"}", "NUL bytes"),
    "half a line": ('{"key":"a","request":{"cont', "ends in the middle of a value"),
    "a trailing comma": ('{"key":"a",' + BODY + ",}", "trailing comma"),
    "a key that is a number": ('{"key":7,' + BODY + "}", "key is a number"),
    "an empty key": ('{"key":"",' + BODY + "}", "key is empty"),
    "a blank key": ('{"key":"  ",' + BODY + "}", "key is empty"),
    "a key with an escape sequence": ('{"key":"\\u001b[2J",' + BODY + "}", "control characters"),
    "no key": ("{" + BODY + "}", "has no key"),
    "a repeated key": ('{"key":"good",' + BODY + "}", "repeats the key of line 1"),
    "a key of 10 kB": ('{"key":"' + "k" * 10_000 + '",' + BODY + "}", "key is 10,000 bytes long"),
    "no request": ('{"key":"a"}', "has no request"),
    "a request that is a string": ('{"key":"a","request":"hi"}', "request is a string"),
    "no contents": ('{"key":"a","request":{}}', "has no contents"),
    "contents that are a string": ('{"key":"a","request":{"contents":"hi"}}', "contents is a string"),
    "a part that is a string": ('{"key":"a","request":{"contents":[{"parts":["hi"]}]}}', "a part is a string"),
    "config beside request": ('{"key":"a","config":{},' + BODY + "}", "'config' stands beside request"),
    "config inside request": ('{"key":"a","request":' + PART + ',"config":{}}}', "'config' is the SDK's spelling"),
    "custom_id for key": ('{"custom_id":"a",' + BODY + "}", "rename 'custom_id' to 'key'"),
    "temperature beside contents": ('{"key":"a","request":' + PART + ',"temperature":1}}', "into generation_config"),
    "thinking_config beside contents": (
        '{"key":"a","request":' + PART + ',"thinkingConfig":{}}}',
        "into generation_config",
    ),
    "generation_config beside request": ('{"key":"a","generation_config":{},' + BODY + "}", "stands beside request"),
    "an unknown setting": (
        '{"key":"a","request":' + PART + ',"generation_config":{"temprature":1}}}',
        "did you mean 'temperature'?",
    ),
    "camel and snake of one field": (
        '{"key":"a","request":' + PART + ',"generationConfig":{"maxOutputTokens":9,"max_output_tokens":9}}}',
        "both 'maxOutputTokens' and 'max_output_tokens'",
    ),
    "a member twice": ('{"key":"a","key":"b",' + BODY + "}", "the member 'key' twice"),
    "a member twice behind a space": ('{"key" : "a","key" :"b",' + BODY + "}", "the member 'key' twice"),
    "NaN": ('{"key":"a","x":NaN,' + BODY + "}", "NaN is not JSON"),
    "a lone surrogate": ('{"key":"a\\ud800",' + BODY + "}", "surrogate"),
    "200 levels": ('{"key":"a","x":' + "[" * 200 + "]" * 200 + "," + BODY + "}", "nested 201 levels deep"),
    "10,000 levels": ('{"key":"a","x":' + "[" * 10_000 + "]" * 10_000 + "," + BODY + "}", "nested deeper than 100"),
    "bytes that are not UTF-8": (b'{"key":"a","x":"\xff",' + BODY.encode() + b"}", "not UTF-8"),
    "a list": ("[1]", "is a list, not an object"),
    "a bare word": ("nonsense", "not JSON"),
}


@pytest.mark.parametrize("name", BAD_LINES)
async def test_a_bad_line_is_named_with_its_number_and_nothing_is_sent(world: World, name: str) -> None:
    line, said = BAD_LINES[name]
    bad = line if isinstance(line, bytes) else line.encode()
    source = world.write("a.jsonl", GOOD.encode() + b"\n" + bad + b"\n" + json.dumps(row("later")).encode() + b"\n")
    async with world.client() as client:
        estimate = await call(client, "estimate_cost", source=source, model=MODEL)
        assert (estimate["problem_count"], estimate["requests"]) == (len(estimate["problems"]), 2)
        assert {problem["line"] for problem in estimate["problems"]} == {2}
        assert said in json.dumps(estimate["problems"], ensure_ascii=False)
        refused = await refusal(client, "create_batch", source=source, model=MODEL)
        assert "line 2" in refused
        assert "nothing was sent" in refused
        assert len(refused.encode()) <= 2_000
        assert not (await call(client, "list_jobs"))["jobs"]
    assert not await world.calls()


BAD_FILES = {
    "a JSON array": ("a.json", b'[{"key":"a"}]', "jq -c '.[]'"),
    "UTF-16": ("a.jsonl", GOOD.encode("utf-16"), "iconv -f UTF-16"),
    "an empty file": ("a.jsonl", b"", "holds no requests"),
    "only blank lines": ("a.jsonl", b"\n\n \n", "holds no requests"),
    "a spreadsheet": ("a.csv", b"key,prompt\n", ".csv"),
}


@pytest.mark.parametrize("name", BAD_FILES)
async def test_a_file_that_is_no_jsonl_is_refused_with_the_way_to_make_it_one(world: World, name: str) -> None:
    file, content, said = BAD_FILES[name]
    source = world.write(file, content)
    async with world.client() as client:
        assert said in await refusal(client, "create_batch", source=source, model=MODEL)
    assert not await world.calls()


async def test_a_missing_file_and_a_folder_are_told_apart(world: World) -> None:
    world.write("really.jsonl", GOOD)
    (world.work / "folder").mkdir()
    async with world.client() as client:
        missing = await refusal(client, "estimate_cost", source="realy.jsonl", model=MODEL)
        assert "no such file" in missing
        assert "really.jsonl" in missing
        assert "is a folder" in await refusal(client, "estimate_cost", source="folder", model=MODEL)


async def test_a_path_outside_the_roots_is_refused_links_included(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text(GOOD)
    (world.work / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    async with world.client() as client:
        job_id = await start(client, world.write("a.jsonl", [row("a")]))
        await finish(client, job_id)
        for source in ("../secret.jsonl", str(tmp_path / "secret.jsonl"), "link.jsonl", "/etc/passwd"):
            said = await refusal(client, "create_batch", source=source, model=MODEL)
            assert "GENAI_BATCH_ROOTS" in said
            assert str(world.work) in said
        for target in ("../out.jsonl", "/tmp/out.jsonl"):  # noqa: S108 - it is refused
            assert "GENAI_BATCH_ROOTS" in await refusal(client, "get_results", job_id=job_id, output_path=target)


async def test_a_line_of_50_mb_is_refused_and_the_lines_behind_it_are_still_read(world: World) -> None:
    huge = b'{"key":"huge","request":{"contents":[{"parts":[{"text":"' + b"x" * 50_000_000 + b'"}]}]}}\n'
    source = world.write(
        "a.jsonl", GOOD.encode() + b"\n" + huge + b"nonsense\n" + json.dumps(row("last")).encode() + b"\n"
    )
    async with world.client() as client:
        estimate = await call(client, "estimate_cost", source=source, model=MODEL)
        assert [(problem["line"], "MiB" in problem["problem"]) for problem in estimate["problems"]] == [
            (2, True),
            (3, False),
        ]
        assert estimate["requests"] == 2


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gemini-3.8-flsh", "Did you mean 'gemini-3.8-flash'"),
        ("gpt-5", "batch://models"),
        ("gemini-2.0-flash", "shut down on 2026-06-01. Use gemini-3.5-flash-lite"),
        ("gemini-3.8-flash-live", "cannot run in a batch"),
        ("imagen-4.0-generate-001", "cannot run in a batch"),
    ],
)
async def test_a_model_that_cannot_run_is_refused_with_one_that_can(world: World, model: str, said: str) -> None:
    source = world.write("a.jsonl", [row("a")])
    async with world.client() as client:
        for tool in ("estimate_cost", "create_batch"):
            assert said in await refusal(client, tool, source=source, model=model)
    assert not await world.calls()


async def test_a_model_about_to_end_is_accepted_with_a_warning(world: World) -> None:
    source = world.write("a.jsonl", [row("a", max_output_tokens=2_000)])
    async with world.client() as client:
        warnings = (await call(client, "estimate_cost", source=source, model="gemini-2.5-pro"))["warnings"]
    assert [warning["fix"] for warning in warnings] == ["use gemini-3.8-flash"]


async def test_what_can_only_mean_one_thing_is_accepted_with_a_warning_and_every_row_survives(world: World) -> None:
    lines = [json.dumps(row(f"k{n}", "Grüße 你好")).encode() for n in range(3)]
    source = world.write("a.jsonl", b"\xef\xbb\xbf" + lines[0] + b"\r\n\r\n   \n" + lines[1] + b"\r\n" + lines[2])
    async with world.client() as client:
        estimate = await call(client, "estimate_cost", source=source, model=MODEL)
        assert (estimate["requests"], estimate["problem_count"]) == (3, 0)
        warnings = " ".join(warning["problem"] for warning in estimate["warnings"])
        for said in ("byte order mark", "CRLF", "2 blank lines", "no newline"):
            assert said in warnings
        status = await finish(client, await start(client, source))
        assert status["counts"] == {"ok": 3}
    sent = next((world.home / "jobs").glob("job_*/requests.jsonl")).read_bytes()
    assert sent == b"\n".join(lines) + b"\n"


async def test_of_many_faults_an_answer_shows_those_that_fit_and_counts_all(world: World) -> None:
    faults = (f'{{"key": "k{n}", "request": {{"contents": "x", "{"ab"[n % 2] * (n + 1)}": 1}}}}\n' for n in range(500))
    source = world.write("a.jsonl", "".join(faults))
    async with world.client() as client:
        estimate = await call(client, "estimate_cost", source=source, model=MODEL)
        assert estimate["problem_count"] == 1_000
        assert 5 <= len(estimate["problems"]) < 50
        assert "1000 problems" in await refusal(client, "create_batch", source=source, model=MODEL)


async def test_names_beside_the_request_and_nulls_in_it_are_nobodys_business(world: World) -> None:
    nulls: dict[str, object] = {"generationConfig": None, "contents": [{"parts": [{"text": "a", "inlineData": None}]}]}
    rows = [
        {**row("a"), "userId": 1, "user_id": 2, "meta": {"aB": 1, "a_b": 2}},
        {"key": "b", "request": nulls},
    ]
    async with world.client() as client:
        answer = await call(client, "estimate_cost", source=world.write("a.jsonl", rows), model=MODEL)
    assert answer["problem_count"] == 0, answer["problems"]


async def test_rows_that_only_look_wrong_are_sent(world: World) -> None:
    schema = {"type": "OBJECT", "properties": {"userName": {"type": "STRING"}, "user_name": {"type": "STRING"}}}
    rows = [
        row("colon", '":": "a" : "b" \\": NaN'),
        {"key": "spaced", "request": row("x")["request"], "note": ":starts with a colon"},
        row("schema", "Fill in.", response_mime_type="application/json", response_schema=schema),
        row("backslash\\", "a\\"),
        row("日本語/ключ", "hi"),
    ]
    async with world.client() as client:
        status = await finish(client, await start(client, world.write("a.jsonl", rows)))
    assert status["counts"] == {"ok": 5}
